"""The text of a record's key: the same in SQL as in Python, and of no two keys the same."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import lakekit as lk
from lakekit.errors import ConfigError
from lakekit.incremental.record_key import record_key_sql, record_key_text

VALUES: list[tuple[Any, pa.DataType, str]] = [
    (42, pa.int32(), "42"),
    (-1, pa.int64(), "-1"),
    ("a|b%", pa.string(), "a|b%"),
    (Decimal("1.50"), pa.decimal128(10, 2), "1.5"),
    (True, pa.bool_(), "true"),
    (date(2026, 1, 2), pa.date32(), "2026-01-02"),
    (datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC), pa.timestamp("us", tz="UTC"), "1767323045000006"),
    (b"\x01\xff", pa.binary(), "01FF"),
]


@pytest.mark.parametrize(("value", "kind", "text"), VALUES, ids=[text for _, _, text in VALUES])
def test_sql_and_python_write_a_key_alike(lake: Any, value: Any, kind: pa.DataType, text: str) -> None:
    frame = pa.table({"key": pa.array([value, None], kind)})
    batch = lk.from_frame(lake, frame, run_id="a")
    alone = (
        batch.then(f"SELECT {record_key_sql(batch.schema, ['key'], place='test')} AS text FROM batch").to_arrow().column("text").to_pylist()
    )
    twice = batch.then(f"SELECT {record_key_sql(batch.schema, ['key', 'key'], place='test')} AS text FROM batch").to_arrow().column("text")
    assert alone == [text, None]
    assert record_key_text(value) == text
    assert twice.to_pylist() == [record_key_text((value, value)), None]


PARTS = st.text(alphabet="a|%27C5", max_size=4)


@given(st.tuples(PARTS, PARTS), st.tuples(PARTS, PARTS))
def test_two_keys_of_several_columns_never_share_a_text(one: tuple[str, str], other: tuple[str, str]) -> None:
    assert (record_key_text(one) == record_key_text(other)) == (one == other)


def test_a_key_whose_text_depends_on_the_engine_is_refused() -> None:
    with pytest.raises(ConfigError, match="column 'key'"):
        record_key_sql(pa.schema([("key", pa.float64())]), ["key"], place="test")
