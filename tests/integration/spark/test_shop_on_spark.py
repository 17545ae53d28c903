"""The shop on Spark: the same sources, the same functions, and the embedded engine's tables row for row."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

import lakekit as lk
from examples.shop import pipeline, world
from examples.shop.kafka import MockKafka
from examples.shop.servers import TOPIC, MongoMarket, Shop
from tests.servers.spark import CATALOGS

if TYPE_CHECKING:
    from tests.servers.spark import Server

SERVER_CLOCK = world.at(23, 59)  # whatever comes later is an instant of PostgreSQL's own clock, and each engine asked for itself
RUN_COLUMNS = {"_write_id", "_reject_id", "_origin", "_since"}  # they name the run, or tables by their UUIDs


@pytest.fixture
def shop(database: str, mongo: str) -> Iterator[Shop]:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(world.SCHEMA)
    market = MongoMarket(mongo, "a stand-in", database=f"shop_{random.randrange(10**9)}")
    with MockKafka() as bus:
        bus.create(TOPIC)
        yield Shop(database, market, bus)
    market.close()


def rows(lake: lk.Lake, table: str) -> list[str]:
    """A table's rows, deleted ones included, all but run columns."""
    found = lk.read(lake, table, deleted=True).to_arrow().to_pylist()
    return sorted(repr({key: _steady(row[key]) for key in sorted(row) if key not in RUN_COLUMNS}) for row in found)


def _steady(value: Any) -> Any:
    if isinstance(value, list):
        return [_steady(item) for item in value]
    if isinstance(value, dict):
        return {key: _steady(item) for key, item in value.items()}
    if isinstance(value, datetime):
        return "server's clock" if value > SERVER_CLOCK else value.astimezone(UTC).isoformat()
    return value


@pytest.mark.parametrize("kind", ["classic", pytest.param("connect", marks=pytest.mark.slow)])
def test_every_table_of_the_shop_is_the_embedded_one(kind: str, shop: Shop, spark_server: Server, tmp_path: Path) -> None:
    session, catalog = spark_server.new_catalog(kind, tmp_path / "spark")
    embedded, spark = lk.connect(tmp_path / "embedded"), lk.connect(session, catalog=catalog)
    for number, hour in enumerate(world.HOURS):
        shop.let_pass(hour)
        now = world.at(9, 30) + timedelta(hours=number)
        counts = [
            [(commit.read, commit.inserted, commit.updated, commit.deleted) for commit in pipeline.run(lake, shop.systems, now)]
            for lake in (embedded, spark)
        ]
        assert counts[0] == counts[1]
    written = lk.connect(CATALOGS[catalog])  # what Spark wrote, as pyiceberg reads it
    assert written.tables() == spark.tables() == embedded.tables()
    assert {table: rows(written, table) for table in embedded.tables()} == {table: rows(embedded, table) for table in embedded.tables()}
    for table in ("gold.dim_users", "gold.fact_orders", "silver.identities"):
        assert rows(spark, table) == rows(embedded, table)
    assert not any(commit.committed for commit in pipeline.run(spark, shop.systems, world.at(13, 30)))
