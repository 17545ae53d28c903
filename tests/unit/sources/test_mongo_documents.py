"""Documents as columns: each leaf is in its column or in _rescued_data, and how a read is cut into batches changes nothing."""

from __future__ import annotations

import base64
import itertools
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import bson
import pyarrow as pa
import pytest
from bson import DBRef, Decimal128, ObjectId, json_util
from bson.binary import UuidRepresentation
from bson.json_util import JSONMode, JSONOptions
from hypothesis import example, given
from hypothesis import strategies as st

from lakekit import sources
from lakekit.errors import SchemaError
from lakekit.sources.mongo_cursor import Mark
from lakekit.sources.mongo_read import Read
from lakekit.sources.mongo_types import Shape, schema_of
from lakekit.sources.spool import Spool
from tests.unit.sources.mongo_documents import CODEC, DOCUMENTS, OWN, PLAIN, Document, encoded

JSON = JSONOptions(json_mode=JSONMode.RELAXED, uuid_representation=UuidRepresentation.STANDARD)


def read(*batches: bytes | Sequence[Document], target: pa.Schema | None = None, schema: Mapping[str, str] | None = None) -> pa.Table:
    """What a read of these batches gives."""
    collection = sources.Mongo("mongodb://db", database="market").collection("orders", schema=schema)
    with Spool(place="here") as spool:
        found = Read(collection, spool, kind=None, before=Mark(None))
        found.gather((batch if isinstance(batch, bytes) else encoded(batch) for batch in batches), target=target)
        return pa.Table.from_batches(found.batches(), schema=found.schema)


def business(schema: pa.Schema) -> pa.Schema:
    return pa.schema([field for field in schema if field.name not in OWN])


def as_json(value: Any) -> Any:
    return json.loads(json_util.dumps(value, json_options=JSON))


def lost(value: Any, held: Any, path: tuple[str, ...], rescued: Document) -> Iterator[str]:
    """The paths whose values are neither in their column nor rescued, or in both; what is met in ``rescued`` is taken out of it."""
    if value is None:
        return
    key = ".".join(path)
    if path and key in rescued:
        if held is not None or rescued.pop(key) != as_json(value):
            yield key
        return
    if isinstance(value, DBRef):
        value = dict(value.as_doc())
    if isinstance(value, dict) and isinstance(held, dict):
        for name, inner in value.items():
            yield from lost(inner, held.get(name), (*path, name.replace("\\", "\\\\").replace(".", "\\.")), rescued)
    elif isinstance(value, list) and isinstance(held, list):
        for number, (inner, one) in enumerate(itertools.zip_longest(value, held)):
            yield from lost(inner, one, (*path, str(number)), rescued)
    elif not agree(value, held):
        yield key


def agree(value: Any, held: Any) -> bool:
    """Whether a column's value is this one of BSON."""
    if isinstance(value, str) and type(value) is str:
        return held == value
    if isinstance(value, bool):
        return held is value or held == str(value).lower()
    if isinstance(value, int):
        return not isinstance(held, bool) and held == (str(value) if isinstance(held, str) else value)
    if isinstance(value, float):
        return (float(held) if isinstance(held, (str, Decimal)) else held) == value or (math.isnan(value) and math.isnan(float(held)))
    if isinstance(value, Decimal128):
        exact = value.to_decimal()
        if exact.is_finite():
            # A double is its shortest decimal: that is what shells and drivers show of it.
            return Decimal(repr(held) if isinstance(held, float) else held) == exact
        return held == str(exact)
    if isinstance(value, (ObjectId, UUID)):
        return held == str(value)
    if isinstance(value, bytes):
        return held in (bytes(value), base64.b64encode(value).decode())
    if isinstance(value, datetime):
        at = value.replace(tzinfo=UTC)
        return held == at or (isinstance(held, str) and datetime.fromisoformat(held) == at)
    return isinstance(held, str) and json.loads(held) == as_json(value)


def assert_nothing_is_lost(documents: Sequence[Document], table: pa.Table) -> None:
    rows = table.to_pylist()
    assert len(rows) == len(documents)
    for document, row in zip(documents, rows, strict=True):
        stored = bson.decode(bson.encode(document, codec_options=CODEC), CODEC)
        rescued = json.loads(row["_rescued_data"] or "{}")
        columns = {name: value for name, value in row.items() if name not in OWN}
        assert list(lost(stored, columns, (), rescued)) == []
        assert rescued == {}, "rescued, but not in the document"


@given(DOCUMENTS)
@example([{"a": {"b": 1}}, {"a": {"b": {"c": 2}}}, {"a": 3}, {"a": [4, "x"]}, {"a": {}}, {"a": []}])
@example([{"a": {}}, {"a": [[]]}])
@example([{"a": 1, "A": 2}, {"A": 3, "a.b": 4, "_source": 5, "": 6}])
@example([{"a": Decimal128("1E-57")}, {"a": Decimal128("1.5")}])
@example([{"a": 2**62 + 1}, {"a": 0.5}, {"a": Decimal128("NaN")}])
def test_each_leaf_of_each_document_is_in_its_column_or_rescued(documents: list[Document]) -> None:
    assert_nothing_is_lost(documents, read(documents))


@given(DOCUMENTS, DOCUMENTS)
@example([{"a": 1}], [{"a": 1.5}, {"a": "x"}, {"a": {"b": 1}}, {"a": 2.0}])
@example([{"a": [{"b": 1}]}], [{"a": [{"b": "x", "c": 2}, 5]}, {"a": {"b": 1}}])
def test_nothing_is_lost_where_the_table_has_types_already(first: list[Document], second: list[Document]) -> None:
    target = business(read(first).schema)
    table = read(second, target=target)
    assert_nothing_is_lost(second, table)
    for field in table.schema:
        if field.name in target.names and not pa.types.is_nested(field.type):
            assert field.type == target.field(field.name).type


@given(
    DOCUMENTS,
    st.dictionaries(
        st.sampled_from(["a", "b", "c"]),
        st.sampled_from(
            [
                *("string", "int", "bigint", "double", "float", "boolean", "date", "timestamp", "binary", "uuid", "decimal(12,2)"),
                *("array<string>", "array<int>", "map<string, bigint>", "map<string, string>", "struct<a: int, b: array<double>>"),
            ]
        ),
    ),
)
def test_nothing_is_lost_under_declared_types(documents: list[Document], schema: dict[str, str]) -> None:
    table = read(documents, schema=schema)
    rows = [_maps_as_documents(row, table.schema) for row in table.to_pylist()]
    for document, row in zip(documents, rows, strict=True):
        stored = bson.decode(bson.encode(document, codec_options=CODEC), CODEC)
        rescued = json.loads(row.pop("_rescued_data") or "{}")
        columns = {name: _loosened(value) for name, value in row.items() if name not in OWN}
        assert list(lost(stored, columns, (), rescued)) == []
        assert rescued == {}


def _maps_as_documents(row: Document, schema: pa.Schema) -> Document:
    return {name: dict(value) if value is not None and pa.types.is_map(schema.field(name).type) else value for name, value in row.items()}


def _loosened(value: Any) -> Any:
    """Dates as the instants they stand for, UUIDs as their text."""
    if type(value).__name__ == "date":
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    return str(value) if isinstance(value, UUID) else value


@given(DOCUMENTS, st.data())
def test_how_a_read_is_cut_into_batches_changes_nothing(documents: list[Document], data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.sets(st.integers(1, len(documents)))) | {0, len(documents)})
    whole, cut = read(documents), read(*(documents[a:b] for a, b in itertools.pairwise(cuts)))
    assert cut.schema == whole.schema
    assert repr(cut.to_pylist()) == repr(whole.to_pylist())


@given(PLAIN, st.data())
def test_the_types_do_not_depend_on_the_order_of_the_documents(documents: list[Document], data: st.DataObject) -> None:
    shuffled = data.draw(st.permutations(documents))
    assert sorted(map(_normal, read(shuffled).schema)) == sorted(map(_normal, read(documents).schema))


def _normal(field: pa.Field[Any]) -> str:
    """A column's name and type, fields in the order of their names."""
    kind: Any = field.type
    if pa.types.is_struct(kind):
        return f"{field.name}: {sorted(map(_normal, kind))}"
    return f"{field.name}: [{_normal(kind.value_field)}]" if pa.types.is_list(kind) else f"{field.name}: {kind}"


def test_many_documents_in_one_batch_are_read_like_few() -> None:
    documents: list[Document] = [{"_id": number, "a": str(number) if number % 300 == 0 else number} for number in range(1000)]
    table = read(documents)
    assert table.column("a").to_pylist() == [str(number) for number in range(1000)]
    assert read(*([document] for document in documents)).to_pylist() == table.to_pylist()


def test_undefined_is_null_like_an_absent_field() -> None:
    undefined = b"\x06v\x00"
    document = b"\x10a\x00\x07\x00\x00\x00" + undefined + b"\x00"
    table = read((len(document) + 4).to_bytes(4, "little") + document + encoded([{"v": 1}, {"v": None}, {}]))
    assert table.column("v").to_pylist() == [None, 1, None, None]


def test_bytes_that_are_no_utf8_are_rescued_as_bytes() -> None:
    raw = encoded([{"a": "xx", "b": 1}]).replace(b"xx", b"\xff\xfe")
    (row,) = read(raw + encoded([{"a": "fine"}])).to_pylist()[:1]
    assert (row["a"], row["b"]) == (None, 1)
    assert json.loads(row["_rescued_data"]) == {"a": {"$binary": {"base64": "//4=", "subType": "00"}}}


def test_documents_whose_field_names_are_data_are_an_error_that_says_what_to_declare() -> None:
    with pytest.raises(SchemaError, match=r"field 'by_day'.*at most 5,000 fields(?s:.*)map<string"):
        read([{"by_day": {f"d{number}": number for number in range(5_001)}}])
    declared = read([{"by_day": {f"d{number}": number for number in range(5_001)}}], schema={"by_day": "map<string, bigint>"})
    assert len(declared.column("by_day")[0].as_py()) == 5_001


@given(DOCUMENTS, st.integers(0, 6))
def test_what_several_processes_see_is_what_one_sees(documents: list[Document], cut: int) -> None:
    whole, parts = Shape(), Shape()
    whole.observe(documents)
    for part in (documents[:cut], documents[cut:]):
        seen = Shape()
        seen.observe(part)
        parts.add(json.loads(json.dumps(seen.to_plain())))
    assert schema_of(parts, declared={}, target=None) == schema_of(whole, declared={}, target=None)
