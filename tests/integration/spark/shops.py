"""A shop with its three systems, and its tables as two runs can be compared by them."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import psycopg
from confluent_kafka.admin import AdminClient

import lakekit as lk
from examples.shop import world
from examples.shop.kafka import KafkaBus
from examples.shop.servers import TOPIC, MongoMarket, Shop

SERVER_CLOCK = world.at(23, 59)  # whatever comes later is an instant of a clock, and each run asked for itself
RUN_COLUMNS = {"_write_id", "_run", "_reject_id", "_origin", "_since"}  # they name the run, or tables by their UUIDs


@contextmanager
def opened(database: str, mongo: str, kafka: str) -> Generator[Shop]:
    """The shop, with nothing in it, on servers that run."""
    admin = AdminClient({"bootstrap.servers": kafka})
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(world.SCHEMA)
    market = MongoMarket(mongo, "a stand-in")
    with KafkaBus(kafka) as bus:
        bus.create(TOPIC)
        yield Shop(database, market, bus)
    market.close()
    admin.delete_topics([TOPIC], operation_timeout=30)[TOPIC].result(30)


def tables(lake: lk.Lake) -> dict[str, list[str]]:
    """Every table's rows."""
    return {table: rows(lake, table) for table in lake.tables()}


def rows(lake: lk.Lake, table: str) -> list[str]:
    """A table's rows, deleted ones included, all but run columns; an instant of a clock is one word."""
    found = lk.read(lake, table, deleted=True).to_arrow().to_pylist()
    return sorted(repr({key: _steady(row[key]) for key in sorted(row) if key not in RUN_COLUMNS}) for row in found)


def _steady(value: Any) -> Any:
    if isinstance(value, list):
        return [_steady(item) for item in value]
    if isinstance(value, dict):
        return {key: _steady(item) for key, item in value.items()}
    if isinstance(value, datetime):
        return "a clock" if value > SERVER_CLOCK else value.astimezone(UTC).isoformat()
    return value
