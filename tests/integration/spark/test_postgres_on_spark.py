"""Tables of PostgreSQL, read by Spark through JDBC: the same rows and positions as on the embedded engine, in one snapshot."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import psycopg
import pytest

import lakekit as lk
from lakekit.bronze.ingest import Options, take
from lakekit.errors import ConfigError, ContractError, SchemaError, SourceConfigError
from lakekit.sources import postgres_session, postgres_spark
from tests.integration.sources.postgres_cases import DECLARED, MISFITS, SETUP, Case, create, differences, types, with_arrays
from tests.integration.sources.reading import execute, shop
from tests.integration.spark.both import Both, both, classic_first, connect_first, rows
from tests.integration.spark.both import differences as lake_differences

if TYPE_CHECKING:
    from tests.servers.spark import Server

INTO = "bronze.users"


@pytest.fixture
def lakes(server: Server, kind: str, tmp_path: Path) -> Both:
    return both(server, kind, tmp_path / "lake")


@pytest.fixture
def many_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres_spark, "PARTITION_BYTES", 2_000)


def users(dsn: str, count: int, *, ids: str = "g") -> None:
    execute(
        dsn,
        "CREATE TABLE users (id int PRIMARY KEY, name text, at timestamptz)",
        f"INSERT INTO users SELECT {ids}, 'n' || g, timestamptz '2026-01-01 00:00+00' + g * interval '1 minute' FROM generate_series(1, {count}) g",
        "ANALYZE users",
    )


def without_time(cases: list[Case]) -> list[Case]:
    """The cases whose type Spark has."""
    return [case for case in cases if "time" not in case.iceberg.replace("timestamp", "").replace("<", " ").replace(">", " ").split()]


@connect_first
def test_each_type_and_each_array_is_what_it_is_on_the_embedded_engine(database: str, lakes: Both) -> None:
    execute(database, *SETUP)
    cases = without_time(with_arrays())
    create(database, "every", cases)
    source = shop(database).table("every")
    for lake, into in ((lakes.spark, "bronze.on_spark"), (lakes.embedded, "bronze.embedded")):
        lk.ingest(lake, source, into=into)
    found, wanted = (lakes.catalog.load_table(f"bronze.{name}") for name in ("on_spark", "embedded"))
    assert differences(found.scan().to_arrow(), cases) == []
    shown = {field.name: str(field.field_type) for field in found.schema().fields}
    assert shown == {field.name: str(field.field_type) for field in wanted.schema().fields}
    assert lakes.position("bronze.on_spark", source) == lakes.position("bronze.embedded", source)


@classic_first
def test_a_declared_type_is_what_it_is_on_the_embedded_engine(database: str, lakes: Both) -> None:
    create(database, "every", DECLARED)
    lk.ingest(lakes.spark, shop(database).table("every", types=types(DECLARED)), into=INTO)
    as_text = [
        attrs.evolve(case, values={sql: str(value) for sql, value in case.values.items()}) for case in DECLARED if case.iceberg == "uuid"
    ]
    cases = [case if case.iceberg != "uuid" else as_text.pop(0) for case in DECLARED]
    assert differences(lakes.catalog.load_table(INTO).scan().to_arrow(), cases) == []


@classic_first
def test_a_value_that_its_column_cannot_hold_is_rescued_as_on_the_embedded_engine(database: str, lakes: Both) -> None:
    cases = [case for case in MISFITS if case.type != "time"]
    create(database, "odd", cases)
    source = shop(database).table("odd", types=types(cases), on_misfit="rescue")
    lk.ingest(lakes.spark, source, into="bronze.on_spark")
    lk.ingest(lakes.embedded, source, into="bronze.embedded")
    found, wanted = (rows(lakes.embedded, f"bronze.{name}", "n") for name in ("on_spark", "embedded"))
    assert found[0]["_rescued_data"]
    assert lake_differences(found, wanted) == []


@pytest.mark.parametrize("cursor", ["at", pytest.param("id", marks=pytest.mark.slow)])
@classic_first
def test_the_engines_take_turns_on_one_table(database: str, lakes: Both, many_tasks: None, cursor: str) -> None:
    users(database, 300, ids="g * 3")
    source = shop(database).table("users", cursor=cursor)
    changes = [
        [],
        [
            "UPDATE users SET id = id + 1000, at = at + interval '1 day' WHERE id <= 30",
            "INSERT INTO users VALUES (5000, NULL, '2026-01-05 00:00+00')",
        ],
        [],
        ["INSERT INTO users SELECT 6000 + g, 'late', '2026-01-06 00:00+00' FROM generate_series(1, 90) g"],
        ["INSERT INTO users VALUES (7000, 'more', '2026-01-07 00:00+00')"],
    ]
    for statements, turn in zip(changes, [lakes.spark, lakes.embedded, lakes.spark, lakes.spark, lakes.embedded], strict=True):
        execute(database, *statements)
        commit = lk.ingest(turn, source, into="bronze.turns")
        control = lk.ingest(lakes.embedded, source, into="bronze.control")
        assert (commit.inserted, commit.read) == (control.inserted, control.read)
        positions = [lakes.position(table, source) for table in ("bronze.turns", "bronze.control")]
        assert {**positions[0], "pending": 0} == {**positions[1], "pending": 0}
    assert rows(lakes.embedded, "bronze.turns", "id", "at") == rows(lakes.embedded, "bronze.control", "id", "at")


@classic_first
def test_a_first_load_in_chunks_is_begun_by_one_engine_and_ended_by_the_other(database: str, lakes: Both, many_tasks: None) -> None:
    users(database, 300)
    source = shop(database).table("users", cursor="at", chunk_rows=80)
    for _ in range(2):
        take(lakes.spark, source, into=INTO, options=Options(in_portions=True))
    assert lk.read(lakes.embedded, INTO).count() == 160
    commit = lk.ingest(lakes.embedded, source, into=INTO)
    assert (commit.read, commit.inserted) == (140, 140)
    assert sorted(row["id"] for row in rows(lakes.embedded, INTO)) == list(range(1, 301))
    assert lk.ingest(lakes.spark, source, into=INTO).inserted == 0
    assert lk.ingest(lakes.spark, source, into="bronze.again").inserted == 300
    assert [commit.inserted for commit in lk.history(lakes.spark, "bronze.again")] == [60, 80, 80, 80]
    assert lakes.position("bronze.again", source)["low"] == lakes.position(INTO, source)["low"]


@classic_first
def test_a_column_is_filled_by_spark_as_by_the_embedded_engine(database: str, lakes: Both, many_tasks: None) -> None:
    users(database, 90)
    source = shop(database).table("users", cursor="at", chunk_rows=40)
    for into in (INTO, "bronze.control"):
        lk.ingest(lakes.embedded, source, into=into)
    execute(database, "ALTER TABLE users ADD COLUMN born int", "UPDATE users SET born = 1900 + id WHERE id % 2 = 0")
    control = lk.backfill(lakes.embedded, source, into="bronze.control", columns="born")
    assert lk.backfill(lakes.spark, source, into=INTO, columns="born").inserted == control.inserted == 45
    keep = ("id", "name", "born")
    found, wanted = ([tuple(row[name] for name in keep) for row in rows(lakes.embedded, into, *keep)] for into in (INTO, "bronze.control"))
    assert found == wanted


@classic_first
def test_several_connections_see_one_snapshot_and_what_changes_meanwhile_comes_next(
    database: str, lakes: Both, many_tasks: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    users(database, 300)
    execute(database, "CREATE VIEW seen AS SELECT *, pg_backend_pid() AS pid FROM users")
    source = shop(database).table("seen", cursor="at", primary_key="id", lookback=None)
    before = postgres_session.Session.snapshot

    def snapshot(session: postgres_session.Session) -> str:
        name = before(session)
        execute(
            database,
            "UPDATE users SET at = '2026-02-01 00:00+00', name = 'moved' WHERE id IN (1, 300)",
            "DELETE FROM users WHERE id = 150",
            "INSERT INTO users VALUES (999, 'new', '2026-02-02 00:00+00')",
        )
        return name

    with monkeypatch.context() as patched:
        patched.setattr(postgres_session.Session, "snapshot", snapshot)
        assert lk.ingest(lakes.spark, source, into=INTO).inserted == 300
    first = rows(lakes.embedded, INTO, "id")
    assert len({row["pid"] for row in first}) > 1
    assert sorted((row["id"], row["name"]) for row in first) == [(number, f"n{number}") for number in range(1, 301)]
    narrow = shop(database).table("seen", cursor="at", primary_key="id", columns=["id", "name", "at"])
    lk.ingest(lakes.embedded, narrow, into=INTO)
    added = [row for row in rows(lakes.embedded, INTO, "id") if row["at"].month == 2]
    assert [(row["id"], row["name"]) for row in added] == [(1, "moved"), (300, "moved"), (999, "new")]


@pytest.mark.slow
def test_a_transaction_that_commits_late_is_read_late(database: str, lakes: Both) -> None:
    execute(
        database, "CREATE TABLE users (id int PRIMARY KEY, name text, at timestamptz DEFAULT now())", "INSERT INTO users VALUES (1, 'a')"
    )
    source = shop(database).table("users", cursor="at")
    with psycopg.connect(database) as slow:
        slow.execute("INSERT INTO users VALUES (2, 'slow')")
        execute(database, "INSERT INTO users VALUES (3, 'quick')")
        assert lk.ingest(lakes.spark, source, into=INTO).inserted == 2
    assert lk.ingest(lakes.spark, source, into=INTO).inserted == 1
    assert [row["id"] for row in rows(lakes.spark, INTO, "id")] == [1, 2, 3]


@pytest.mark.parametrize(
    ("declared", "value", "says"),
    [("timestamptz", "infinity", "infinity"), ("numeric(6,2)", "NaN", "NaN"), ("int[]", "{{1,2},{3,4}}", "one dimension")],
)
@classic_first
def test_a_value_that_arrow_cannot_hold_is_the_same_error(database: str, lakes: Both, declared: str, value: str, says: str) -> None:
    execute(database, f"CREATE TABLE odd (id int, strange {declared})", f"INSERT INTO odd VALUES (1, NULL), (2, '{value}')")
    with pytest.raises(ContractError, match=rf"public.odd.*column 'strange'.*{says}(?s:.*)Hint"):
        lk.ingest(lakes.spark, shop(database).table("odd"), into=INTO)
    assert INTO not in lakes.embedded.tables()


@classic_first
def test_a_row_that_fails_on_the_server_shows_no_value(database: str, lakes: Both) -> None:
    users(database, 3)
    with pytest.raises(SourceConfigError, match="failed on a row") as caught:
        lk.ingest(lakes.spark, shop(database).table("users", where="CAST(name AS int) > 0", columns=["id"]), into=INTO)
    assert "n1" not in str(caught.value)


@classic_first
def test_what_jdbc_or_spark_cannot_do_is_said_before_anything_is_read(database: str, lakes: Both) -> None:
    execute(database, "CREATE TABLE hours (id int, at time)")
    with pytest.raises(SchemaError, match="time of day"):
        lk.ingest(lakes.spark, shop(database).table("hours"), into=INTO)
    with pytest.raises(ConfigError, match="require_auth"):
        lk.ingest(lakes.spark, shop(f"{database}?require_auth=scram-sha-256").table("hours", columns=["id"]), into=INTO)
