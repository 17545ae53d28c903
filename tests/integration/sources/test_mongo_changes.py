"""A collection followed through its change stream, on a real MongoDB that is a replica set: ``MONGO_URI``. The stand-in has no streams."""

from __future__ import annotations

import os
from typing import Any

import pytest

import lakekit as lk
from lakekit.errors import SourceConfigError
from tests.integration.sources.mongo_reading import Market, orders, rows

INTO = "bronze.changes"
real = pytest.mark.skipif(not os.environ.get("MONGO_URI"), reason="needs a real MongoDB in MONGO_URI")


@pytest.mark.skipif(bool(os.environ.get("MONGO_URI")), reason="is about the stand-in")
def test_a_server_without_change_streams_is_a_mistake(market: Market, mongo: str, lake: lk.Lake) -> None:
    market["orders"].insert_one({"_id": 1})
    with pytest.raises(SourceConfigError, match="no change streams"):
        lk.ingest(lake, orders(market, mongo).changes(), into=INTO)
    assert lake.tables() == []


@real
def test_every_change_is_a_row_and_a_second_run_makes_none(market: Market, mongo: str, lake: lk.Lake) -> None:
    market["orders"].insert_many([{"_id": 1, "a": 1}, {"_id": 2, "a": 2}])
    source = orders(market, mongo).changes()
    assert lk.ingest(lake, source, into=INTO).inserted == 2
    market["orders"].insert_one({"_id": 3, "a": 3})
    market["orders"].update_one({"_id": 1}, {"$set": {"a": 10}})
    market["orders"].replace_one({"_id": 2}, {"b": True})
    market["orders"].delete_one({"_id": 3})
    lk.ingest(lake, source, into=INTO)
    assert not lk.ingest(lake, source, into=INTO).committed
    lk.merge(lk.read_new(lake, INTO, into="silver.orders"), key="_id")
    live: list[dict[str, Any]] = lk.read(lake, "silver.orders").to_arrow().to_pylist()
    assert sorted((row["_id"], row["a"], row["b"]) for row in live) == [(1, 10, None), (2, None, True)]
    assert [row["_operation"] for row in rows(lake, INTO) if row["_id"] == 3][-1] == "delete"


@real
def test_a_dropped_collection_ends_the_stream_with_the_way_out(market: Market, mongo: str, lake: lk.Lake) -> None:
    market["orders"].insert_one({"_id": 1})
    source = orders(market, mongo).changes()
    lk.ingest(lake, source, into=INTO)
    market["orders"].insert_one({"_id": 2})
    market["orders"].drop()
    market["orders"].insert_one({"_id": 5})
    assert lk.ingest(lake, source, into=INTO).inserted == 1
    with pytest.raises(SourceConfigError, match=r"lk\.rewind"):
        lk.ingest(lake, source, into=INTO)
    lk.rewind(lake, into=INTO, upstream=source, to=None)
    lk.ingest(lake, source, into=INTO)
    assert {row["_id"] for row in rows(lake, INTO)} == {1, 2, 5}
