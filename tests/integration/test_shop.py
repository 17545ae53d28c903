"""The whole shop: three sources to a star, in any batches and order, killed at any moment."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

import lakekit as lk
from examples.shop import pipeline, world
from examples.shop.kafka import MockKafka
from examples.shop.servers import TOPIC, MongoMarket, Shop
from tests.integration.processes import Running
from tests.oracles.star import Star
from tests.servers.mongo import MongoServer

KILLS = 30
NOW = world.at(9, 30)
SERVER_CLOCK = world.at(23, 59)  # whatever comes later is an instant of PostgreSQL's own clock
RUN_COLUMNS = {"_write_id", "_run", "_reject_id", "_origin", "_since"}  # the last two name tables by their UUIDs


@pytest.fixture(scope="module")
def mongo_uri() -> Iterator[str]:
    with MongoServer() as server:
        yield server.uri


@pytest.fixture
def shop(database: str, mongo_uri: str) -> Iterator[Shop]:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(world.SCHEMA)
    market = MongoMarket(mongo_uri, "a stand-in", database=f"shop_{random.randrange(10**9)}")
    with MockKafka() as bus:
        bus.create(TOPIC)
        yield Shop(database, market, bus)
    market.close()


def held(shop: Shop, hours: list[world.Hour]) -> tuple[list[dict[str, Any]], ...]:
    """What the sources hold after these hours."""
    with psycopg.connect(shop.dsn, row_factory=dict_row) as connection:
        users, orders = (connection.execute(f"SELECT * FROM {table}").fetchall() for table in ("users", "orders"))
    documents = [{**found, "amount": Decimal(found["price"]) * found["quantity"]} for hour in hours for found in hour.documents]
    return users, orders, documents, [event for hour in hours for event in hour.events if isinstance(event, dict)]


def star(lake: lk.Lake) -> list[tuple[Any, ...]]:
    """The living facts of gold, each with its person's records, name and city, by joins alone."""
    people: dict[int, list[tuple[str, str]]] = {}
    for row in lk.read(lake, "silver.identities").to_arrow().to_pylist():
        if row["kind"] == "record":
            people.setdefault(row["master_user_id"], []).append((row["source"], row["record_key"]))
    versions = {row["user_key"]: row for row in lk.read(lake, "gold.dim_users").to_arrow().to_pylist()}
    found = []
    for fact in lk.read(lake, "gold.fact_orders").to_arrow().to_pylist():
        version, records = versions[fact["user_key"]], people.get(fact["master_user_id"])
        person = None if records is None else tuple(sorted(records))
        own = (fact["channel"], fact["order_id"], fact["amount"], fact["ordered_at"], fact.get("device_type"))
        found.append((*own, person, version["full_name"], version["city"]))
    return sorted(found, key=repr)


def shuffled(hours: tuple[world.Hour, ...], draw: random.Random) -> list[world.Hour]:
    """The same hours with documents and events in another order."""
    found = []
    for hour in hours:
        documents, events = list(hour.documents), list(hour.events)
        draw.shuffle(documents)
        draw.shuffle(events)
        found.append(world.Hour(hour.title, hour.sql, tuple(documents), tuple(events)))
    return found


@pytest.mark.parametrize("batches", [(2, 1), *(pytest.param(given, marks=pytest.mark.slow) for given in ((1, 1, 1), (1, 2), (3,)))])
def test_gold_equals_a_computation_by_dictionaries_after_each_batch_of_hours(shop: Shop, batches: tuple[int, ...], tmp_path: Path) -> None:
    hours, passed, oracle = shuffled(world.HOURS, random.Random(repr(batches))), 0, Star()
    lake = lk.connect(tmp_path / "lake")
    for size in batches:
        for hour in hours[passed : passed + size]:
            shop.let_pass(hour)
        passed += size
        pipeline.run(lake, shop.systems, NOW + timedelta(hours=passed))
        assert star(lake) == oracle.after(*held(shop, hours[:passed]))
    assert not any(commit.committed for commit in pipeline.run(lake, shop.systems, NOW + timedelta(hours=9)))


def run_hour(folder: Path, systems: pipeline.Systems, now: datetime) -> None:
    spill = folder / "spill"  # what a killed process leaves behind is in the test's own folder
    spill.mkdir(parents=True, exist_ok=True)
    pipeline.run(lk.connect(folder / "lake", spill_directory=spill), systems, now)


def picture(folder: Path) -> dict[str, list[str]]:
    """Every table's rows, all but run columns; an instant of the server's clock is one word."""
    lake = lk.connect(folder / "lake")
    found = {}
    for name in lake.tables():
        rows = lk.read(lake, name, deleted=True).to_arrow().to_pylist()
        found[name] = sorted(repr({key: _steady(value) for key, value in row.items() if key not in RUN_COLUMNS}) for row in rows)
    return found


def _steady(value: Any) -> Any:
    if isinstance(value, list):
        return [_steady(item) for item in value]
    if isinstance(value, dict):
        return {key: _steady(item) for key, item in value.items()}
    return "server's clock" if isinstance(value, datetime) and value > SERVER_CLOCK else value


@pytest.mark.slow
def test_killed_at_random_moments_the_whole_chain_ends_as_an_undisturbed_one(shop: Shop, tmp_path: Path) -> None:
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")  # noqa: T201 -- shown when the test fails
    draw = random.Random(seed)
    calm, killed = tmp_path / "calm", tmp_path / "killed"
    for number, hour in enumerate(world.HOURS):
        shop.let_pass(hour)
        now = NOW + timedelta(hours=number)
        began = datetime.now()  # noqa: DTZ005 -- a duration
        Running(run_hour, calm, shop.systems, now).result()
        seconds = (datetime.now() - began).total_seconds()  # noqa: DTZ005 -- a duration
        each = KILLS // len(world.HOURS)
        for part in range(each):
            after = seconds * (part + draw.random()) / each
            while not Running(run_hour, killed, shop.systems, now).kill(after=after):
                after *= 0.7  # it had less to do than the undisturbed run
        Running(run_hour, killed, shop.systems, now).result()
    assert picture(killed) == picture(calm)
