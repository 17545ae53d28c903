"""Tables of PostgreSQL, read by Spark through JDBC: the same rows and positions as on the embedded engine, in one snapshot."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

import lakekit as lk
from lakekit.errors import ConfigError, ContractError, SchemaError, SourceConfigError
from lakekit.sources import postgres_session, postgres_spark
from tests.integration.sources.reading import execute, shop
from tests.integration.sources.test_postgres_types import CASES
from tests.integration.spark.both import Both, both, classic_first, connect_first, differences, rows

if TYPE_CHECKING:
    from tests.servers.spark import Server

INTO = "bronze.users"
TYPES = [case for case in CASES if case[0] not in {"time", "time[]"}]  # Spark has no time of day


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


@connect_first
def test_every_type_comes_as_on_the_embedded_engine(database: str, lakes: Both) -> None:
    execute(
        database,
        "CREATE TYPE mood AS ENUM ('sad', 'happy')",
        "CREATE TYPE pair AS (a int, b text)",
        "CREATE DOMAIN price AS numeric(10,3)",
        "CREATE DOMAIN dear_price AS price CHECK (VALUE > 10)",
        "CREATE DOMAIN numbers AS int[]",
        f'CREATE TABLE wide (id int, "o""dd" text, {", ".join(f"c{number} {kind}" for number, (kind, *_) in enumerate(TYPES))})',
        f"INSERT INTO wide VALUES (1, 'x', {', '.join(value for _, value, *_ in TYPES)})",
        "INSERT INTO wide (id) VALUES (2)",
        "ALTER TABLE wide ADD old timestamptz DEFAULT '0044-03-15 12:00+00', ADD day date DEFAULT '1500-02-03', ADD bools boolean[] DEFAULT '{t,NULL}',"
        " ADD floats float8[] DEFAULT '{NaN,-0,1.5}', ADD days timestamp[] DEFAULT '{1500-01-01 00:00:00.000001,NULL}'",
    )
    source = shop(database).table("wide")
    lk.ingest(lakes.spark, source, into="bronze.on_spark")
    lk.ingest(lakes.embedded, source, into="bronze.embedded")
    found, wanted = (lk.read(lakes.embedded, f"bronze.{name}") for name in ("on_spark", "embedded"))
    assert dict(zip(found.columns, found.schema.types, strict=True)) == dict(zip(wanted.columns, wanted.schema.types, strict=True))
    on_spark, embedded = (rows(lakes.embedded, f"bronze.{name}", "id") for name in ("on_spark", "embedded"))
    assert differences(on_spark, embedded) == []
    assert lakes.position("bronze.on_spark", source) == lakes.position("bronze.embedded", source)


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
    [("timestamptz", "infinity", "infinity"), ("numeric(6,2)", "NaN", "NaN"), ("int[]", "{{1,2},{3,4}}", "2 dimensions")],
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
