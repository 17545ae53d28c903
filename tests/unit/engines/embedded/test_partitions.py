"""Which partition a row belongs to: the values are those of the Iceberg specification, its appendix B for buckets."""

from __future__ import annotations

import tempfile
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any
from uuid import UUID

import pyarrow as pa
import pytest

import lakekit as lk
from lakekit.engines.types import arrow_type
from tests.contract.helpers import foreign

TABLE = "silver.things"
HASHES = [
    ("int", 34, 2017239379),
    ("bigint", 34, 2017239379),
    ("decimal(9, 2)", Decimal("14.20"), -500754589),
    ("date", date(2017, 11, 16), -653330422),
    ("time", time(22, 31, 8), -662762989),
    ("timestamp_ntz", datetime(2017, 11, 16, 22, 31, 8), -2047944441),  # noqa: DTZ001 -- a type without a zone
    ("timestamp", datetime(2017, 11, 16, 22, 31, 8, tzinfo=UTC), -2047944441),
    ("string", "iceberg", 1210000089),
    ("uuid", UUID("f79c3e09-677c-4bbd-a479-3f349cb785e7"), 1488055340),
    ("binary", b"\x00\x01\x02\x03", -188683207),
]


def partitions(kind: str, partition_by: str | list[str], *values: Any) -> list[tuple[Any, ...]]:
    """The partitions that these values are written to."""
    with tempfile.TemporaryDirectory() as folder:
        lake = lk.connect(folder)
        lk.create_table(lake, TABLE, schema={"v": kind, "id": "bigint"}, partition_by=partition_by)
        frame = pa.table({"v": pa.array(values, arrow_type(kind)), "id": range(len(values))})
        lk.merge(lk.from_frame(lake, frame, run_id="a"), into=TABLE, key="id")
        assert sorted(lk.read(lake, TABLE).to_arrow()["id"].to_pylist()) == list(range(len(values)))
        return [tuple(task.file.partition) for task in foreign(lake, TABLE).scan().plan_files()]


@pytest.mark.parametrize(("kind", "value", "hashed"), HASHES)
def test_a_bucket_is_the_one_that_the_specification_says(kind: str, value: Any, hashed: int) -> None:
    assert partitions(kind, "bucket(97, v)", value) == [((hashed & 0x7FFFFFFF) % 97,)]


@pytest.mark.parametrize(
    ("kind", "partition_by", "value", "partition"),
    [
        ("timestamp", "year(v)", datetime(1969, 12, 31, 23, 59, tzinfo=UTC), -1),
        ("timestamp", "month(v)", datetime(2026, 3, 29, tzinfo=UTC), 674),
        ("timestamp", "day(v)", datetime(1970, 1, 2, 23, 59, tzinfo=UTC), 1),
        ("timestamp", "hour(v)", datetime(1970, 1, 2, 1, tzinfo=UTC), 25),
        ("date", "day(v)", date(1969, 12, 31), -1),
        ("int", "truncate(10, v)", -1, -10),
        ("decimal(9, 2)", "truncate(50, v)", Decimal("10.65"), Decimal("10.50")),
        ("string", "truncate(2, v)", "éa\U0001f600", "éa"),
        ("uuid", "v", UUID(int=1 << 127), UUID(int=1 << 127)),
        ("string", "v", "", ""),
    ],
)
def test_a_transform_gives_what_the_specification_says(kind: str, partition_by: str, value: Any, partition: Any) -> None:
    found = partitions(kind, partition_by, value)
    assert [UUID(bytes=part) if isinstance(part, bytes) else part for (part,) in found] == [partition]


@pytest.mark.parametrize("partition_by", ["v", "bucket(4, v)", "truncate(2, v)"])
def test_null_is_a_partition_of_its_own(partition_by: str) -> None:
    found = partitions("string", partition_by, "a", None, "a", None)
    assert len(found) == 2
    assert (None,) in found


def test_one_column_may_make_two_fields() -> None:
    found = partitions("string", ["truncate(1, v)", "v"], "aa", "ab", "ba", "aa")
    assert sorted(found) == [("a", "aa"), ("a", "ab"), ("b", "ba")]


@pytest.mark.parametrize(("kind", "bits"), [("int", 32), ("bigint", 64)])
def test_the_least_integers_are_truncated_as_elsewhere_and_found_again(kind: str, bits: int) -> None:
    least = -(1 << (bits - 1))
    assert partitions(kind, "truncate(3, v)", least, 0) == [(-least - 1,), (0,)]
    with tempfile.TemporaryDirectory() as folder:
        lake = lk.connect(folder)
        lk.create_table(lake, TABLE, schema={"v": kind, "word": "string"}, partition_by="truncate(3, v)")
        for word in ("old", "new"):
            rows = pa.table({"v": pa.array([least, 5, -least - 1], arrow_type(kind)), "word": [word] * 3})
            commit = lk.merge(lk.from_frame(lake, rows, run_id=word), into=TABLE, key="v")
        assert (commit.inserted, commit.updated) == (0, 3)
