"""Documents of every kind, as Hypothesis draws them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import bson
from bson import Binary, Code, DBRef, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp
from bson.binary import UuidRepresentation
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.datetime_ms import DatetimeMS
from hypothesis import strategies as st

Document = dict[str, Any]
CODEC: CodecOptions[Document] = CodecOptions(
    document_class=dict, uuid_representation=UuidRepresentation.STANDARD, datetime_conversion=DatetimeConversion.DATETIME_AUTO
)
OWN = ["_rescued_data", "_source", "_source_timestamp"]


def encoded(documents: Sequence[Document]) -> bytes:
    return b"".join(bson.encode(document, codec_options=CODEC) for document in documents)


NAMES = st.sampled_from(["a", "b", "c", "A", "a.b", "x\\y", "_source", "_rescued_data", "", "é", "$k"])
PLAIN_NAMES = st.sampled_from(["a", "b", "c", "é"])
MOMENTS = st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31)).map(lambda at: at.replace(microsecond=at.microsecond // 1000 * 1000))  # noqa: DTZ001
DECIMALS = st.sampled_from(
    [
        "0",
        "-0",
        "1.50",
        "1E+3",
        "-7",
        "5",
        "0.1",
        "1E-18",
        "1E-19",
        "1E-57",
        "9" * 20,
        "9" * 34,
        "9" * 34 + "E-60",
        "1E+6000",
        "1E-6000",
        "NaN",
        "Infinity",
        "-Infinity",
    ]
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**31), 2**31 - 1),
    st.integers(-(2**63), 2**63 - 1).map(Int64),
    st.floats(),
    st.sampled_from([0.0, 5.0, 0.1, 2.0**53, 2.0**63]),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=5),
    DECIMALS.map(Decimal128),
    st.binary(min_size=12, max_size=12).map(ObjectId),
    st.uuids(),
    st.binary(max_size=4),
    st.builds(Binary, st.binary(max_size=4), st.sampled_from([1, 5, 128])),
    MOMENTS,
    st.sampled_from([-(2**63), 2**63 - 1]).map(DatetimeMS),
    st.sampled_from(
        [
            Regex("^a", "i"),
            Code("f()"),
            Code("f()", {"x": 1}),
            Timestamp(7, 1),
            MinKey(),
            MaxKey(),
            DBRef("buyers", 5, "shop"),
            DBRef("b", {}),
        ]
    ),
)


def documents_of(names: st.SearchStrategy[str]) -> st.SearchStrategy[Document]:
    values = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3), max_leaves=6)
    return st.dictionaries(names, values, max_size=4)


DOCUMENTS = st.lists(documents_of(NAMES), min_size=1, max_size=6)
PLAIN = st.lists(documents_of(PLAIN_NAMES), min_size=1, max_size=6)
