"""A source gets a column: it flows to gold by itself, or the job stops with the statements to run. On each engine, and with both by turns."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pytest

import lakekit as lk
from lakekit import evolution
from lakekit.errors import SchemaError
from tests.integration.drifting import ALTER, CREATE, LAYERS, Turns, devices, people, run, users
from tests.integration.sources.reading import execute

ON_SPARK = [pytest.mark.spark, pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")]
OLD, ALL = range(1, 6), range(1, 9)
NULLS = dict.fromkeys(OLD, None)
PHONES = dict.fromkeys(range(6, 9), "phone")


SLOWLY = [*ON_SPARK, pytest.mark.slow]
MINUTES = pytest.mark.parametrize(
    "turns", ["embedded", pytest.param("spark", marks=SLOWLY), pytest.param("by turns", marks=SLOWLY)], indirect=True
)
"""What `make test` leaves to the embedded engine."""


@pytest.fixture(params=["embedded", pytest.param("spark", marks=SLOWLY), pytest.param("by turns", marks=ON_SPARK)])
def turns(request: pytest.FixtureRequest, tmp_path: Path) -> Turns:
    if request.param == "embedded":
        lake = lk.connect(tmp_path / "lake")
        return Turns.of([lake], lk.connect(tmp_path / "lake"), None)
    from tests.integration.spark.both import both
    from tests.servers.spark import catalog_settings

    lakes = both(request.getfixturevalue("spark_server"), "classic", tmp_path / "lake")
    session = request.getfixturevalue("spark_server").session("classic", "engineer")
    for key, value in catalog_settings(lakes.catalog.name, tmp_path / "lake").items():
        session.conf.set(key, value)
    session.sql(f"USE {lakes.catalog.name}").collect()  # what the embedded engine prints names no catalog
    chosen = [lakes.spark] if request.param == "spark" else [lakes.spark, lakes.embedded, lakes.embedded]
    return Turns.of(chosen, lk.connect(lakes.catalog), lambda statement: session.sql(statement).collect())


@pytest.fixture
def shop(database: str) -> str:
    """A shop with five users."""
    execute(database, CREATE)
    people(database, 1, 5, at="2026-01-01 08:00Z")
    return database


@contextmanager
def readers(lake: lk.Lake, *, is_late: bool = False) -> Iterator[None]:
    """Reads all tables again and again meanwhile. ``is_late``: rows may be older than the column."""
    wrong: list[str] = []
    done, reads = threading.Event(), [0]

    def look() -> None:
        try:
            while not done.is_set():
                wrong.extend(inconsistent(lake, is_late=is_late))
                reads[0] += 1
        except Exception as error:  # noqa: BLE001 -- the thread's only way to tell
            wrong.append(repr(error))

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
    assert wrong == []
    assert reads[0] > 0


def inconsistent(lake: lk.Lake, *, is_late: bool) -> list[str]:
    """What no reader may see. Lower tables are read first: what they have, the upper ones had before."""
    found: list[str] = []
    below = False
    for table in reversed(LAYERS):
        there = devices(lake, table)
        old = {there.get(number, "gone") for number in OLD}
        if "gone" in old:
            found.append(f"{table}: rows are missing")
        if not is_late and any(there[number] != device for number, device in PHONES.items() if number in there):
            found.append(f"{table}: rows without the value that they came with")
        if len(old) > 1:
            found.append(f"{table}: filled in part: {old}")
        if below and "absent" in old:
            found.append(f"{table}: lacks a column of a table that is made of it")
        below = below or "absent" not in old
    return found


def test_a_new_column_is_in_gold_after_the_same_run(turns: Turns, shop: str) -> None:
    run(turns, shop)
    with readers(turns.outside):
        execute(shop, ALTER)
        people(shop, 6, 8, at="2026-01-02 08:00Z", device="phone")
        assert [commit.columns_added for commit in run(turns, shop)] == [("device_type",)] * 4
    assert {table: devices(turns.outside, table) for table in LAYERS} == dict.fromkeys(LAYERS, NULLS | PHONES)
    assert [commit.committed for commit in run(turns, shop)] == [False] * 4
    assert versions(turns) == len(ALL), "a column that is new makes no version"
    assert all("add device_type: STRING" in evolution.history(turns.outside, table)[-1].changes for table in LAYERS)


def versions(turns: Turns) -> int:
    """How many versions of users the dimension has."""
    return lk.read(turns.outside, "gold.dim_users").sql("SELECT * FROM batch WHERE user_id IS NOT NULL").count()


@MINUTES
def test_old_rows_are_filled_in_all_layers_where_it_is_asked_for(turns: Turns, shop: str) -> None:
    run(turns, shop)
    execute(shop, ALTER)
    people(shop, 6, 8, at="2026-01-02 08:00Z", device="phone")
    run(turns, shop)
    execute(shop, "UPDATE users SET device_type = 'web' WHERE user_id <= 5")  # a migration that leaves the cursor as it is
    assert [commit.committed for commit in run(turns, shop)] == [False] * 4
    with readers(turns.outside):
        assert lk.backfill(turns.next(), users(shop), into="bronze.users", columns="device_type").inserted == 5
        run(turns, shop)
    filled = dict.fromkeys(OLD, "web") | PHONES
    assert {table: devices(turns.outside, table) for table in LAYERS} == dict.fromkeys(LAYERS, filled)
    assert versions(turns) == len(ALL)


def test_the_job_stops_with_the_statements_and_goes_on_once_they_were_run(turns: Turns, shop: str) -> None:
    run(turns, shop, on_change="fail")
    execute(shop, ALTER)
    people(shop, 6, 8, at="2026-01-02 08:00Z", device="phone")
    with readers(turns.outside):
        for table in LAYERS:
            before = {name: turns.outside.load(name, place="test").native.metadata_location for name in LAYERS}
            with pytest.raises(SchemaError) as caught:
                run(turns, shop, on_change="fail")
            begun = LAYERS[: LAYERS.index(table)]
            assert all(
                turns.outside.load(name, place="test").native.metadata_location == before[name] for name in LAYERS if name not in begun
            )
            mend(turns, table, caught.value)
        run(turns, shop, on_change="fail")
    assert {table: devices(turns.outside, table) for table in LAYERS} == dict.fromkeys(LAYERS, NULLS | PHONES)


def mend(turns: Turns, table: str, error: SchemaError) -> None:
    """What an engineer does: run the statements that the error prints; without a session to run them in, apply the plan."""
    [statement] = [line for line in error.hint.splitlines() if line.startswith("ALTER TABLE")]
    assert statement.endswith(f"{table} ADD COLUMN device_type STRING;")
    if turns.run_statement is not None:
        turns.run_statement(statement)
        return
    change = evolution.Change("additive", ("device_type",), None, pa.string())
    plan = evolution.SchemaPlan(table, (evolution.Step(change, "fail"),), turns.outside.load(table, place="test").schema_id)
    assert plan.statements() == [statement]
    assert evolution.apply(turns.outside, evolution.SchemaPlan.from_json(plan.to_json())) == ("device_type",)


@MINUTES
def test_a_column_that_silver_left_behind_is_brought_down_later(turns: Turns, shop: str) -> None:
    run(turns, shop, rest="drop")
    execute(shop, ALTER)
    people(shop, 6, 8, at="2026-01-02 08:00Z", device="phone")
    silver = run(turns, shop, rest="drop")[1]
    assert (silver.columns_added, silver.columns_not_carried) == ((), ("device_type",))
    execute(shop, "UPDATE users SET device_type = 'web' WHERE user_id <= 5")
    lk.backfill(turns.next(), users(shop), into="bronze.users", columns="device_type")
    plan = evolution.SchemaPlan.from_json(evolution.plan(turns.next(), "bronze.users", into="silver.users").to_json())
    path = [
        "bronze.users",
        ("silver.users", {"device_type": "device_type"}),
        ("gold.contacts", {"contact": "user_id", "device_type": "device_type"}),
    ]
    with readers(turns.outside, is_late=True):
        assert [commit.updated for commit in evolution.propagate(turns.next(), plan, path=path, dry_run=True)] == [8, 8]
        done = evolution.propagate(turns.next(), plan, path=path)
        assert [(commit.columns_added, commit.updated) for commit in done] == [(("device_type",), 8)] * 2
        run(turns, shop)  # the dimension takes the rows that were filled
    filled = dict.fromkeys(OLD, "web") | PHONES
    assert {table: devices(turns.outside, table) for table in LAYERS} == dict.fromkeys(LAYERS, filled)
    assert [commit.updated for commit in evolution.propagate(turns.next(), plan, path=path)] == [0, 0]


@MINUTES
def test_the_tables_know_the_way_down_and_rows_to_come_find_the_column(turns: Turns, shop: str) -> None:
    run(turns, shop)
    execute(shop, ALTER, "UPDATE users SET device_type = 'web'")
    people(shop, 6, 8, at="2026-01-02 08:00Z", device="phone")
    plan = evolution.SchemaPlan.from_json(evolution.plan(turns.next(), users(shop), into="bronze.users").to_json())
    assert [change.name for change in plan.added] == ["device_type"]
    lk.ingest(turns.next(), users(shop), into="bronze.users")
    lk.backfill(turns.next(), users(shop), into="bronze.users", columns="device_type")
    with readers(turns.outside, is_late=True):
        done = {commit.table: (commit.columns_added, commit.updated) for commit in evolution.propagate(turns.next(), plan)}
    filled = (("device_type",), 5)
    assert done == {"silver.users": filled, "gold.contacts": filled, "gold.dim_users": ((), 0)}
    run(turns, shop)
    assert {table: devices(turns.outside, table) for table in LAYERS} == dict.fromkeys(LAYERS, dict.fromkeys(OLD, "web") | PHONES)
    assert versions(turns) == len(ALL)
