"""Deletes found by comparing keys, on a real PostgreSQL: keys of every kind, a scope, and what happens beside the comparison."""

from __future__ import annotations

import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest

import lakekit as lk
from lakekit import sources
from lakekit.errors import SchemaError, SourceConfigError
from lakekit.sources.postgres import PostgresTable
from tests.contract.helpers import living, stored

TABLE = "bronze.t"
FORCED = lk.Deletes(force=True)
KEYS: dict[str, tuple[str, str]] = {
    "integers": ("id int PRIMARY KEY", "n"),
    "text": ("id text PRIMARY KEY", "'it''s \\ ' || n"),
    "uuids": ("id uuid PRIMARY KEY", "md5(n::text)::uuid"),
    "several columns": ("id text, n int, PRIMARY KEY (n, id)", "'a' || n % 3, n"),
    "numbers and times": ("id numeric(20,5), at timestamptz, PRIMARY KEY (id, at)", "n / 7.0, 'epoch'::timestamptz + n * interval '1.000001 s'"),
    "bytes": ("id bytea PRIMARY KEY", "int4send(n)"),
}  # fmt: skip


@pytest.fixture
def lake(tmp_path: Path) -> lk.Lake:
    return lk.connect(tmp_path)


@pytest.fixture
def execute(database: str) -> Callable[[str], None]:
    def run(statement: str) -> None:
        with psycopg.connect(database) as connection:
            connection.execute(statement)  # pyright: ignore[reportArgumentType, reportCallIssue]

    return run


def source(database: str, **options: Any) -> PostgresTable:
    return sources.Postgres(database, name="shop").table("t", **options)


def merged(lake: lk.Lake, *columns: str) -> list[tuple[Any, ...]]:
    lk.merge(lk.read_new(lake, TABLE, into="silver.t"), key="id")
    return living(lake, "silver.t", *columns)


@pytest.mark.parametrize("kind", KEYS)
def test_keys_of_every_kind_are_compared(kind: str, lake: lk.Lake, database: str, execute: Callable[[str], None]) -> None:
    columns, values = KEYS[kind]
    execute(f"CREATE TABLE t ({columns}, word text); INSERT INTO t SELECT {values}, 'w' || n FROM generate_series(1, 2500) n")
    lk.ingest(lake, source(database), into=TABLE)
    execute("DELETE FROM t WHERE word IN ('w7', 'w8')")
    assert lk.ingest_deletes(lake, source(database), into=TABLE).deleted == 2
    assert {word for word, operation in stored(lake, TABLE, "word", "_operation") if operation == "delete"} == {"w7", "w8"}
    commit = lk.ingest_deletes(lake, source(database), into=TABLE, deletes=lk.Deletes(scope="word < 'w2'"))
    assert (commit.read, commit.committed) == (1111, False)


@pytest.mark.parametrize("cursor", [{}, {"cursor": "version"}, {"cursor": "at"}], ids=["no cursor", "an integer cursor", "a time"])
def test_a_key_that_comes_again_lives_again_whatever_the_cursor(
    cursor: dict[str, str], lake: lk.Lake, database: str, execute: Callable[[str], None]
) -> None:
    execute(
        "CREATE TABLE t (id int PRIMARY KEY, word text, version int, at timestamptz DEFAULT now()); INSERT INTO t VALUES (1, 'one', 1), (2, 'two', 2)"
    )

    def run() -> list[tuple[Any, ...]]:
        lk.ingest(lake, source(database, **cursor), into=TABLE)
        lk.ingest_deletes(lake, source(database, **cursor), into=TABLE, deletes=FORCED)
        return merged(lake, "id", "word")

    run()
    for version in (3, 5):
        execute("DELETE FROM t WHERE id = 1")
        assert run() == [(2, "two")]
        execute(f"INSERT INTO t VALUES (1, 'again', {version})")
        assert run() == [(1, "again"), (2, "two")]
    assert run() == [(1, "again"), (2, "two")]


@pytest.mark.parametrize("cursor", [{}, {"cursor": "at"}], ids=["no cursor", "a time"])
def test_a_row_restored_from_a_backup_lives_again(
    cursor: dict[str, str], lake: lk.Lake, database: str, execute: Callable[[str], None]
) -> None:
    execute(
        "CREATE TABLE t (id int PRIMARY KEY, word text, at timestamptz);"
        "INSERT INTO t VALUES (1, 'one', '2026-01-01Z'), (2, 'two', '2026-02-01Z'); CREATE TABLE backup AS SELECT * FROM t"
    )
    t = source(database, **cursor)
    lk.ingest(lake, t, into=TABLE)
    execute("DELETE FROM t WHERE id = 1")
    assert lk.ingest_deletes(lake, t, into=TABLE, deletes=FORCED).deleted == 1
    assert merged(lake, "id") == [(2,)]
    execute("INSERT INTO t SELECT * FROM backup WHERE id = 1")
    assert lk.ingest(lake, t, into=TABLE).inserted == 0, "nothing new to ingest()"
    assert lk.ingest_deletes(lake, t, into=TABLE).inserted == 1
    assert not lk.ingest_deletes(lake, t, into=TABLE).committed
    assert merged(lake, "id", "word") == [(1, "one"), (2, "two")]
    execute("UPDATE t SET word = 'changed', at = now() WHERE id = 1")
    assert lk.ingest(lake, t, into=TABLE).inserted == 1
    assert merged(lake, "id", "word") == [(1, "changed"), (2, "two")]


def test_a_row_that_came_back_after_the_last_ingest_is_taken_once(lake: lk.Lake, database: str, execute: Callable[[str], None]) -> None:
    execute("CREATE TABLE t (id int PRIMARY KEY, word text, at timestamptz DEFAULT now()); INSERT INTO t VALUES (1, 'one'), (2, 'two')")
    t = source(database, cursor="at")
    lk.ingest(lake, t, into=TABLE)
    execute("DELETE FROM t WHERE id = 1")
    lk.ingest_deletes(lake, t, into=TABLE, deletes=FORCED)
    execute("INSERT INTO t VALUES (1, 'again')")
    assert lk.ingest_deletes(lake, t, into=TABLE).inserted == 1
    assert lk.ingest(lake, t, into=TABLE).inserted == 0
    assert merged(lake, "id", "word") == [(1, "again"), (2, "two")]


def test_a_row_that_left_the_scope_or_came_after_the_last_ingest_is_not_gone(
    lake: lk.Lake, database: str, execute: Callable[[str], None]
) -> None:
    execute(
        "CREATE TABLE t (id int PRIMARY KEY, country text, at timestamptz DEFAULT now());"
        "INSERT INTO t VALUES (1, 'DE'), (2, 'DE'), (3, 'DE'), (4, 'FR'), (5, 'FR')"
    )
    t = source(database, cursor="at")
    lk.ingest(lake, t, into=TABLE)
    execute("UPDATE t SET country = 'FR', at = now() WHERE id = 1; DELETE FROM t WHERE id IN (2, 5); INSERT INTO t VALUES (6, 'DE')")
    commit = lk.ingest_deletes(lake, t, into=TABLE, deletes=lk.Deletes(scope="country = 'DE'", max_fraction=0.4))
    assert (commit.read, commit.deleted) == (2, 1), "2; neither 1, which moved, nor 5, which is none of the scope"
    lk.ingest(lake, t, into=TABLE)
    assert merged(lake, "id", "country") == [(1, "FR"), (3, "DE"), (4, "FR"), (5, "FR"), (6, "DE")]


def write_often(dsn: str, writer: int) -> None:
    """Transactions of random lengths that insert, change and delete rows which others insert, change and delete too."""
    draw = random.Random(writer)
    with psycopg.connect(dsn) as connection:
        for turn in range(25):
            key = draw.randrange(40)  # one key for each transaction: no two wait for each other crosswise
            for _ in range(draw.randrange(1, 4)):
                statement = draw.choice(
                    (
                        "DELETE FROM t WHERE id = %(key)s AND %(word)s <> ''",
                        "INSERT INTO t VALUES (%(key)s, %(word)s, now()) ON CONFLICT (id) DO UPDATE SET word = excluded.word, at = now()",
                    )
                )
                connection.execute(statement, {"key": key, "word": f"{writer}.{turn}"})
                connection.execute("SELECT pg_sleep(%s)", (draw.random() / 50,))
            connection.commit()


def test_beside_writers_no_living_row_ends_dead_and_no_dead_one_alive(lake: lk.Lake, database: str, execute: Callable[[str], None]) -> None:
    execute(
        "CREATE TABLE t (id int PRIMARY KEY, word text, at timestamptz); INSERT INTO t SELECT n, 'first', now() FROM generate_series(0, 99) n"
    )
    t = source(database, cursor="at")
    with ThreadPoolExecutor(6) as pool:
        running = [pool.submit(write_often, database, writer) for writer in range(6)]
        while not all(writer.done() for writer in running):
            lk.ingest(lake, t, into=TABLE)
            lk.ingest_deletes(lake, t, into=TABLE, deletes=FORCED)
        for writer in running:
            writer.result()
    lk.ingest(lake, t, into=TABLE)
    lk.ingest_deletes(lake, t, into=TABLE, deletes=FORCED)
    found = merged(lake, "id", "word")
    with psycopg.connect(database) as connection:
        assert found == sorted(connection.execute("SELECT id, word FROM t").fetchall(), key=repr)


def test_a_scope_that_only_one_side_understands_is_refused(lake: lk.Lake, database: str, execute: Callable[[str], None]) -> None:
    execute("CREATE TABLE t (id int PRIMARY KEY, secret text, word text); INSERT INTO t VALUES (1, 'x', 'w')")
    t = source(database, columns=("id", "word"))
    lk.ingest(lake, t, into=TABLE)
    execute("DELETE FROM t")
    with pytest.raises(lk.LakekitError, match="secret"):
        lk.ingest_deletes(lake, t, into=TABLE, deletes=lk.Deletes(scope="secret = 'x'", force=True))
    with pytest.raises((SourceConfigError, SchemaError)):
        lk.ingest_deletes(lake, t, into=TABLE, deletes=lk.Deletes(scope="_operation = 'upsert'", force=True))
    assert len(stored(lake, TABLE, "id")) == 1
