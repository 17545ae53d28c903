"""Differences and plans: pure, quick with thousands of columns, and told as JSON and as statements."""

from __future__ import annotations

import time
from typing import Any

import pyarrow as pa
import pytest

from lakekit.errors import ConfigError
from lakekit.evolution import SchemaPlan, diff
from lakekit.evolution.differences import CHANGING
from lakekit.evolution.schema_plan import grown, make


def nested(depth: int, leaf: pa.DataType) -> pa.DataType:
    kind = leaf
    for level in range(depth):
        kind = pa.struct([(f"level_{level}", kind), ("other", pa.string())])
    return kind


def wide(*, every_tenth: pa.DataType, more: int = 0) -> pa.Schema:
    """Two thousand columns, nested five deep."""
    kinds = {True: nested(5, every_tenth), False: nested(5, pa.int32())}
    return pa.schema([(f"c{number}", kinds[number % 10 == 0]) for number in range(2_000 + more)])


@pytest.mark.parametrize("now", [pa.int32(), pa.int64(), pa.string()], ids=str)
def test_two_thousand_columns_nested_five_deep_are_planned_in_a_tenth_of_a_second(now: pa.DataType) -> None:
    before, after = wide(every_tenth=pa.int32()), wide(every_tenth=now, more=20)
    seconds = []
    for _ in range(5):
        began = time.process_time()  # of this process: others at work count for nothing
        plan = make("bronze.wide", diff(before, after), "evolve")
        grown(before, plan.of("evolve"))
        seconds.append(time.process_time() - began)
    assert len(plan.steps) == 20 + (0 if now == pa.int32() else 200)
    assert min(seconds) < 0.1


def test_another_table_altogether_is_compared_in_no_time_and_suspects_nothing() -> None:
    before = pa.schema([(f"before_{number}", pa.int32()) for number in range(5_000)])
    after = pa.schema([(f"after_{number}", pa.int32()) for number in range(5_000)])
    began = time.process_time()
    found = diff(before, after)
    assert time.process_time() - began < 1
    assert {change.kind for change in found.changes} == {"missing", "additive"}


def test_a_rename_is_suspected_by_a_like_name_or_where_there_is_no_other() -> None:
    before = pa.schema([("city", pa.string()), ("name", pa.string()), ("n", pa.int32()), ("in", pa.struct([("zip", pa.string())]))])
    after = pa.schema(
        [("city_name", pa.string()), ("nick", pa.string()), ("m", pa.int32()), ("in", pa.struct([("postcode", pa.string())]))]
    )
    assert [(change.name, change.note.partition(" now")[0]) for change in diff(before, after).of("rename")] == [
        ("city", "perhaps city_name"),
        ("name", "perhaps city_name"),
        ("n", "perhaps m"),
        ("in.zip", "perhaps in.postcode"),
    ]


def test_what_partitions_and_sorting_hang_on_is_noted() -> None:
    table = pa.schema([("day", pa.date32()), ("region", pa.string()), ("n", pa.int32()), ("key", pa.int32())])
    source = pa.schema([("day", pa.timestamp("us")), ("n", pa.string())])
    found = diff(table, source, keys=["key"], partitioned=["day", "region"], sorted=["n"])
    assert [(change.kind, change.name, change.note) for change in found.changes] == [
        ("conflict", "day", "the table is partitioned by it"),
        ("missing", "region", "the table is partitioned by it"),
        ("conflict", "n", "its files are sorted by it"),
        ("missing", "key", "a column of the key"),
    ]


def test_a_date_becomes_a_timestamp_in_the_third_format_unless_partitions_are_made_of_it() -> None:
    table = pa.schema([("at", pa.date32()), ("day", pa.date32()), ("due", pa.date32()), ("in", pa.struct([("at", pa.date32())]))])
    plain, zoned = pa.timestamp("us"), pa.timestamp("us", tz="UTC")
    source = pa.schema([("at", plain), ("day", plain), ("due", zoned), ("in", pa.struct([("at", plain)]))])
    third = diff(table, source, partitioned=["day"], version=3)
    assert [(change.kind, change.name) for change in third.changes] == [
        ("widening", "at"),
        ("conflict", "day"),
        ("conflict", "due"),
        ("widening", "in.at"),
    ]
    assert {change.kind for change in diff(table, source).changes} == {"conflict"}


STRUCT = pa.struct([("zip", pa.string()), ("at", pa.timestamp("us", tz="UTC"))])
BEFORE = pa.schema(
    [
        pa.field("id", pa.int32(), nullable=False),
        ("price", pa.decimal128(9, 2)),
        ("lines", pa.list_(pa.struct([("n", pa.int32())]))),
        ("by_name", pa.map_(pa.string(), pa.float32())),
        ("total", pa.int64()),
    ]
)
AFTER = pa.schema(
    [
        ("id", pa.int64()),
        ("price", pa.decimal128(12, 2)),
        ("lines", pa.list_(pa.struct([("n", pa.int64()), ("sku", pa.string())]))),
        ("by_name", pa.map_(pa.string(), pa.float64())),
        ("total", pa.string()),
        ("order", pa.string()),
        ("a b", pa.list_(pa.binary())),
        ("home", STRUCT),
    ]
)


def test_statements_say_all_that_changes_in_the_words_of_each_engine() -> None:
    plan = make("bronze.orders", diff(BEFORE, AFTER), {"conflict": "rescue"}, catalog="my-lake")
    assert plan.statements() == [
        f"ALTER TABLE `my-lake`.bronze.orders {words};"
        for words in (
            "ALTER COLUMN id DROP NOT NULL",
            "ALTER COLUMN id TYPE BIGINT",
            "ALTER COLUMN price TYPE DECIMAL(12, 2)",
            "ALTER COLUMN lines.element.n TYPE BIGINT",
            "ADD COLUMN lines.element.sku STRING",
            "ALTER COLUMN by_name.value TYPE DOUBLE",
            "ADD COLUMN order STRING",
            "ADD COLUMN `a b` ARRAY<BINARY>",
            "ADD COLUMN home STRUCT<`zip`: STRING, `at`: TIMESTAMP>",
        )
    ]
    assert plan.statements("trino")[6:] == [
        'ALTER TABLE "my-lake".bronze.orders ADD COLUMN "order" VARCHAR;',
        'ALTER TABLE "my-lake".bronze.orders ADD COLUMN "a b" ARRAY(VARBINARY);',
        'ALTER TABLE "my-lake".bronze.orders ADD COLUMN home ROW(zip VARCHAR, at TIMESTAMP(6) WITH TIME ZONE);',
    ]
    assert 'ALTER TABLE "my-lake".bronze.orders ALTER COLUMN price SET DATA TYPE DECIMAL(12, 2);' in plan.statements("trino")


@pytest.mark.parametrize("policy", ["evolve", "fail", {"additive": "rescue", "order": "reject"}], ids=str)
def test_a_plan_is_the_same_after_json(policy: Any) -> None:
    plan = make("bronze.orders", diff(BEFORE, AFTER, sorted=["total"]), policy, schema_id=3, catalog="lake")
    again = SchemaPlan.from_json(plan.to_json())
    assert again == plan
    assert (str(again), again.statements("trino")) == (str(plan), plan.statements("trino"))
    assert grown(BEFORE, again.of("evolve")) == grown(BEFORE, plan.of("evolve"))


@pytest.mark.parametrize("words", ["", "[]", "{}", '{"table": "a.b", "steps": [{}], "names": {}, "schema_id": 1}', "null"])
def test_what_is_no_plan_is_refused(words: str) -> None:
    with pytest.raises(ConfigError, match="plan's own JSON"):
        SchemaPlan.from_json(words)


def test_a_schema_that_has_grown_differs_in_nothing_that_changes_it() -> None:
    after = grown(BEFORE, diff(BEFORE, AFTER).of(*CHANGING))
    assert [change.kind for change in diff(after, AFTER).changes] == ["conflict"]
