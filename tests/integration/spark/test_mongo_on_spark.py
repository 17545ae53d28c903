"""Collections, read by Spark through MongoDB's connector: the same rows and positions as on the embedded engine."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from bson import Decimal128, Int64, ObjectId
from bson.datetime_ms import DatetimeMS

import lakekit as lk
from lakekit.errors import ContractError
from tests.integration.sources.mongo_reading import Market, orders
from tests.integration.sources.test_mongo_types import CASES
from tests.integration.spark.both import Both, both, classic_first, connect_first, differences, rows

if TYPE_CHECKING:
    from tests.servers.spark import Server

PARTITIONERS = "com.mongodb.spark.sql.connector.read.partitioner"
DAY = datetime(2026, 1, 1, tzinfo=UTC)
# The stand-in for MongoDB takes names with a dollar, of a whole document too, for commands.
VALUES = {name: value for name, (value, _, _) in CASES.items() if name != "dbref" or os.environ.get("MONGO_URI")}


@pytest.fixture
def lakes(server: Server, kind: str, tmp_path: Path) -> Both:
    made = both(server, kind, tmp_path / "lake")
    # The others ask the server for statistics that the stand-in has not.
    made.spark.spark.spark.conf.set("spark.mongodb.read.partitioner", f"{PARTITIONERS}.SinglePartitionPartitioner")
    return made


def compare(lakes: Both, source: Any) -> None:
    commits = [lk.ingest(lake, source, into=into) for lake, into in ((lakes.spark, "bronze.on_spark"), (lakes.embedded, "bronze.embedded"))]
    assert (commits[0].read, commits[0].inserted) == (commits[1].read, commits[1].inserted)
    found, wanted = (rows(lakes.embedded, f"bronze.{name}", "_id", "at") for name in ("on_spark", "embedded"))
    assert differences(found, wanted) == []
    assert lakes.position("bronze.on_spark", source) == lakes.position("bronze.embedded", source)


@connect_first
def test_every_type_comes_as_on_the_embedded_engine_and_what_misfits_later_is_rescued(market: Market, mongo: str, lakes: Both) -> None:
    market["orders"].insert_many(
        [
            {"_id": 1, "at": DAY, **VALUES, "empty": {}, "none": [], "mixed": 1, "wide": {"a": 1}, "far": DatetimeMS(2**60)},
            {
                "_id": 2,
                "at": DAY + timedelta(1),
                **dict.fromkeys(VALUES),
                "mixed": "x",
                "wide": {"a": 1.5, "b": [ObjectId()]},
                "_own": 5,
                "MIXED": 7,
            },
            {"_id": "3", "at": DAY + timedelta(2), "nan": float("nan"), "zero": -0.0, "big": Int64(2**53 + 1), "d": Decimal128("NaN")},
        ]
    )
    compare(lakes, orders(market, mongo, cursor="at"))
    market["orders"].insert_many(
        [
            {
                "_id": 4,
                "at": DAY + timedelta(3),
                "int": "text",
                "double": Decimal128("1.1"),
                "empty": {"now": 1},
                "none": ["typed"],
                "new": {"x": {}},
            },
            {"_id": 5, "at": DAY + timedelta(4), "array": {"no": "array"}, "document": {"a": "no", "more": 1}},
        ]
    )
    compare(lakes, orders(market, mongo, cursor="at"))


@classic_first
def test_only_the_columns_asked_for_are_read_and_nulls_are_kept(market: Market, mongo: str, lakes: Both) -> None:
    market["orders"].insert_many([{"_id": 1, "at": DAY, "a": None, "b": {"c": None, "d": 1}, "e": 5}, {"_id": 2, "at": DAY, "b": {}}])
    compare(lakes, orders(market, mongo, cursor="at", columns=["_id", "at", "a", "b"], keep_nulls=True))
    first, second = rows(lakes.embedded, "bronze.on_spark", "_id")
    assert "e" not in first
    assert (first["_rescued_data"], second["_rescued_data"]) == ('{"a":null,"b.c":null}', None)


@pytest.mark.parametrize("lookback", [timedelta(days=30), pytest.param(None, marks=pytest.mark.slow)])
@classic_first
def test_the_engines_take_turns_on_one_table(market: Market, mongo: str, lakes: Both, lookback: timedelta | None) -> None:
    source = orders(market, mongo, cursor="at", on_null_cursor="include", lookback=lookback, schema={"price": "decimal(12,2)"})
    for turn, lake in enumerate((lakes.spark, lakes.embedded, lakes.spark)):
        market["orders"].insert_many([{"_id": 10 * turn + n, "at": DAY + timedelta(turn), "price": 1.25, "e": {}} for n in range(3)])
        market["orders"].insert_one({"_id": 10 * turn + 9, "at": None if turn else "text", "price": turn})
        market["orders"].update_one({"_id": 0}, {"$set": {"at": DAY + timedelta(turn, hours=1)}})
        assert lk.ingest(lake, source, into="bronze.turns").inserted == lk.ingest(lakes.embedded, source, into="bronze.control").inserted
        assert lakes.position("bronze.turns", source) == lakes.position("bronze.control", source)
    assert differences(rows(lakes.embedded, "bronze.turns", "_id", "at"), rows(lakes.embedded, "bronze.control", "_id", "at")) == []


@classic_first
def test_several_tasks_give_the_same_rows(market: Market, mongo: str, lakes: Both) -> None:
    conf = lakes.spark.spark.spark.conf
    conf.set("spark.mongodb.read.partitioner", f"{PARTITIONERS}.PaginateIntoPartitionsPartitioner")
    conf.set("spark.mongodb.read.partitioner.options.max.number.of.partitions", "4")
    market["orders"].insert_many(
        [{"_id": n, "n": n if n % 2 else n + 0.5, "late": {"x": n}} if n > 50 else {"_id": n, "n": n} for n in range(100)]
    )
    compare(lakes, orders(market, mongo, cursor="_id"))


@classic_first
def test_a_document_without_a_cursor_is_the_same_error(market: Market, mongo: str, lakes: Both) -> None:
    market["orders"].insert_many([{"_id": 1, "at": DAY}, {"_id": 2}])
    with pytest.raises(ContractError, match="1 document where it is absent"):
        lk.ingest(lakes.spark, orders(market, mongo, cursor="at"), into="bronze.on_spark")
