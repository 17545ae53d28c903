"""A first load in chunks: each of them a commit, resumed where it broke off, and right beside writers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import attrs
import psycopg
import pytest

import lakekit as lk
from lakekit.errors import ConfigError, SourceError
from lakekit.sources import postgres_watermark
from lakekit.sources.postgres import PostgresTable
from lakekit.sources.protocol import Increment, Target
from tests.integration.sources.reading import execute, shop

INTO = "bronze.items"
ITEMS = "CREATE TABLE items (id int PRIMARY KEY, name text, at timestamptz NOT NULL)"
FILL = "INSERT INTO items SELECT n, 'item ' || n, '2026-01-01Z'::timestamptz + n * interval '1 s' FROM generate_series(1, 95) n"


@pytest.fixture
def items(database: str) -> str:
    execute(database, ITEMS, FILL)
    return database


@pytest.fixture
def lake(tmp_path: Path) -> lk.Lake:
    return lk.connect(tmp_path)


def ids(lake: lk.Lake, column: str = "id") -> list[Any]:
    return sorted(lk.read(lake, INTO).to_arrow().column(column).to_pylist())


def commits(lake: lk.Lake) -> list[int]:
    return [commit.inserted for commit in reversed(lk.history(lake, INTO))]


@attrs.frozen
class Between:
    """A source with something that happens before each of its reads."""

    source: PostgresTable
    acts: list[Callable[[], object]]

    @property
    def upstream(self) -> str:
        return self.source.upstream

    def primary_key(self) -> tuple[str, ...]:
        return self.source.primary_key()

    def keys(self, *, scope: str | None) -> Any:
        return self.source.keys(scope=scope)

    @contextmanager
    def open(self, position: Any, *, target: Target) -> Iterator[Increment]:
        if self.acts:
            self.acts.pop(0)()
        with self.source.open(position, target=target) as increment:
            yield increment


def break_off() -> None:
    raise SourceError("here", "it breaks off")


@pytest.mark.parametrize("readers", [1, 3])
def test_each_chunk_is_a_commit_and_the_whole_is_told_as_one(readers: int, items: str, lake: lk.Lake) -> None:
    table = shop(items).table("items", cursor="at", chunk_rows=30, readers=readers)
    commit = lk.ingest(lake, table, into=INTO)
    assert (commit.read, commit.inserted, commit.committed) == (95, 95, True)
    assert commits(lake) == [30, 30, 30, 5]
    assert commit.snapshot_id == lk.history(lake, INTO)[0].snapshot_id
    assert ids(lake) == list(range(1, 96))
    assert lk.ingest(lake, table, into=INTO).inserted == 0
    assert len(commits(lake)) == 4
    execute(items, "INSERT INTO items VALUES (0, 'new', now())")
    assert lk.ingest(lake, table, into=INTO).inserted == 1


def test_what_fills_the_last_chunk_exactly_makes_no_empty_one(items: str, lake: lk.Lake) -> None:
    lk.ingest(lake, shop(items).table("items", cursor="at", chunk_rows=19), into=INTO)
    assert commits(lake) == [19] * 5


def test_a_dry_run_counts_all_and_writes_nothing(items: str, lake: lk.Lake) -> None:
    commit = lk.ingest(lake, shop(items).table("items", cursor="at", chunk_rows=30), into=INTO, dry_run=True)
    assert (commit.inserted, commit.committed) == (95, False)
    assert lake.tables() == []


KEYS = {
    "a text and a number": ("a text, b int, PRIMARY KEY (a, b)", "chr(97 + n % 3) || '''\\', n"),
    "a uuid": ("a uuid PRIMARY KEY", "md5(n::text)::uuid"),
    "an instant": ("a timestamptz PRIMARY KEY", "'2026-01-01Z'::timestamptz + n * interval '1 microsecond'"),
    "a decimal": ("a numeric(20,3) PRIMARY KEY", "n * 1.001 - 40"),
    "bytes": ("a bytea PRIMARY KEY", "decode(md5(n::text), 'hex')"),
    "characters": ("a char(4) PRIMARY KEY", "n::text"),
    "an enum and a float": ("a mood, b float8, PRIMARY KEY (b, a)", "(ARRAY['sad', 'ok'])[1 + n % 2]::mood, n / 7.0"),
    "a name in capitals": ('"The ""Key" int PRIMARY KEY', "n"),
    "no key, a cursor with an index": ("b int", "n"),
}


@pytest.mark.parametrize("key", KEYS)
def test_chunks_go_by_any_key(key: str, database: str, lake: lk.Lake) -> None:
    columns, values = KEYS[key]
    execute(
        database,
        "CREATE TYPE mood AS ENUM ('sad', 'ok')",
        f"CREATE TABLE items (id int, at timestamptz, {columns})",
        f"INSERT INTO items SELECT n, '2026-01-01Z'::timestamptz + n / 4 * interval '1 s', {values} FROM generate_series(1, 100) n",
        "CREATE INDEX ON items (at)",
    )
    lk.ingest(lake, shop(database).table("items", cursor="at", chunk_rows=30), into=INTO)
    assert ids(lake) == list(range(1, 101))
    assert len(commits(lake)) == 4


def test_without_an_order_that_is_cheap_to_walk_all_is_read_at_once(items: str, lake: lk.Lake) -> None:
    execute(items, "CREATE VIEW seen AS SELECT * FROM items", "CREATE TABLE bare AS SELECT * FROM items")
    for name in ("seen", "bare"):
        into = f"bronze.{name}"
        lk.ingest(lake, shop(items).table(name, cursor="at", primary_key="id", chunk_rows=30), into=into)
        assert [commit.inserted for commit in lk.history(lake, into)] == [95]


def test_rows_without_a_cursor_come_with_the_last_chunk(database: str, lake: lk.Lake) -> None:
    execute(
        database,
        "CREATE TABLE items (id int, at timestamptz)",
        "INSERT INTO items SELECT n, CASE WHEN n % 10 > 0 THEN now() - n * interval '1 day' END FROM generate_series(1, 100) n",
        "CREATE INDEX ON items (at)",
    )
    table = shop(database).table("items", cursor="at", on_null_cursor="include", chunk_rows=30)
    assert lk.ingest(lake, table, into=INTO).inserted == 100
    assert commits(lake) == [30, 30, 40]
    assert lk.ingest(lake, table, into=INTO).inserted == 0


def test_a_table_without_a_cursor_is_loaded_in_chunks_too(items: str, lake: lk.Lake) -> None:
    table = shop(items).table("items", chunk_rows=40)
    lk.ingest(lake, table, into=INTO)
    assert commits(lake) == [40, 40, 15]
    execute(items, "UPDATE items SET name = 'changed' WHERE id = 7")
    assert lk.ingest(lake, table, into=INTO).inserted == 1


@pytest.mark.parametrize("readers", [1, 2])
def test_a_load_that_broke_off_goes_on_after_its_last_chunk(readers: int, items: str, lake: lk.Lake) -> None:
    table = shop(items).table("items", cursor="at", chunk_rows=20, readers=readers)
    with pytest.raises(SourceError):
        lk.ingest(lake, Between(table, [print, print, break_off]), into=INTO)
    assert ids(lake) == list(range(1, 41))
    commit = lk.ingest(lake, table, into=INTO)
    assert (commit.read, commit.inserted) == (55, 55)
    assert ids(lake) == list(range(1, 96))


def test_a_load_whose_order_is_gone_reads_everything_again_and_doubles_nothing(
    items: str, lake: lk.Lake, caplog: pytest.LogCaptureFixture
) -> None:
    table = shop(items).table("items", cursor="at", chunk_rows=20, columns=("name", "at"))
    with pytest.raises(SourceError):
        lk.ingest(lake, Between(table, [print, print, break_off]), into=INTO)
    execute(items, "ALTER TABLE items DROP COLUMN id")
    assert lk.ingest(lake, table, into=INTO).inserted == 55
    assert "in the order of id" in caplog.text
    assert len(set(ids(lake, "name"))) == len(ids(lake, "name")) == 95


@pytest.mark.parametrize("cursor", ["at", "number"])
def test_what_changes_during_the_load_is_there_in_the_end(cursor: str, items: str, lake: lk.Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is invisible to a chunk, and what changes behind it, comes with the increments that follow: they start at the load's start."""
    monkeypatch.setattr(postgres_watermark, "SLACK", timedelta())
    execute(items, "ALTER TABLE items ADD COLUMN number bigserial", "CREATE INDEX ON items (number)")
    now = "at = now(), number = DEFAULT"
    table = shop(items).table("items", cursor=cursor, chunk_rows=20)
    with psycopg.connect(items) as early, psycopg.connect(items) as late:
        early.execute(f"UPDATE items SET name = 'early', {now} WHERE id = 5")
        acts: list[Callable[[], object]] = [
            lambda: None,
            lambda: late.execute("INSERT INTO items VALUES (-1, 'late', now())"),
            lambda: execute(items, f"UPDATE items SET name = 'behind', {now} WHERE id = 6"),
            lambda: execute(items, f"UPDATE items SET name = 'ahead', {now} WHERE id = 90", "DELETE FROM items WHERE id = 91"),
            early.commit,
        ]
        lk.ingest(lake, Between(table, acts), into=INTO)
        assert not acts
        late.commit()
    lk.ingest(lake, table, into=INTO)
    assert lk.ingest(lake, table, into=INTO).inserted == 0
    found = Counter((row["id"], row["name"]) for row in lk.read(lake, INTO).to_arrow().to_pylist())
    assert set(found.values()) == {1}
    assert {(5, "early"), (6, "behind"), (90, "ahead"), (-1, "late")} <= set(found)
    with psycopg.connect(items) as connection:
        assert set(connection.execute("SELECT id, name FROM items").fetchall()) <= set(found)


def test_after_a_load_that_took_days_increments_start_where_the_load_did(items: str, lake: lk.Lake) -> None:
    table = shop(items).table("items", cursor="at", chunk_rows=50)
    with psycopg.connect(items) as connection:
        began = connection.execute("SELECT clock_timestamp()").fetchall()[0][0]
    execute(items, "INSERT INTO items VALUES (200, 'from the future', now() + interval '1 day')")
    lk.ingest(lake, table, into=INTO)
    with table.open({**positions(lake)[table.upstream]}, target=Target()) as increment:
        assert increment.overlap is not None
        assert began - timedelta(minutes=1) < increment.overlap.low < began + timedelta(seconds=1)  # type: ignore[operator]


def test_a_load_does_not_run_after_those_who_insert(items: str, lake: lk.Lake) -> None:
    more = "INSERT INTO items SELECT nextval('numbers'), 'new', now() FROM generate_series(1, 50)"
    execute(items, "CREATE SEQUENCE numbers START 1000")
    table = shop(items).table("items", cursor="at", chunk_rows=40)
    lk.ingest(lake, Between(table, [lambda: execute(items, more) for _ in range(9)]), into=INTO)
    assert commits(lake) == [40, 40, 40, 25]
    assert lk.ingest(lake, table, into=INTO).inserted == 150
    assert len(set(ids(lake))) == len(ids(lake)) == 295


def positions(lake: lk.Lake) -> dict[str, dict[str, Any]]:
    return {upstream.upstream: dict(upstream.position) for upstream in lk.status(lake)[INTO].upstreams}


def test_a_backfill_beside_the_regular_ingestion_shares_no_row_with_it(items: str, lake: lk.Lake) -> None:
    border = datetime(2026, 1, 1, 0, 1, tzinfo=UTC)
    regular = shop(items).table("items", cursor="at", where="at >= '2026-01-01 00:01Z'")
    old = shop(items).table("items", cursor="at", until=border, chunk_rows=25)
    assert lk.ingest(lake, regular, into=INTO).inserted == 36
    assert lk.ingest(lake, old, into=INTO).inserted == 59
    assert ids(lake) == list(range(1, 96))
    again = lk.ingest(lake, old, into=INTO)
    assert (again.read, again.committed) == (0, False)
    assert set(positions(lake)) == {regular.upstream, old.upstream}


@pytest.mark.parametrize(
    ("cursor", "until", "time_zone", "rows"),
    [
        ("id", 11, None, 10),
        ("on_day", date(2026, 1, 5), None, 4),
        ("local", datetime(2026, 1, 5), "Europe/Berlin", 4),  # noqa: DTZ001 -- as the column is
    ],
)
def test_until_is_a_value_of_the_cursor(cursor: str, until: Any, time_zone: str | None, rows: int, database: str, lake: lk.Lake) -> None:
    execute(
        database,
        "CREATE TABLE items (id int PRIMARY KEY, on_day date, local timestamp)",
        "INSERT INTO items SELECT n, d, d FROM generate_series(1, 30) n, LATERAL (SELECT '2025-12-31'::date + n) AS t (d)",
    )
    table = shop(database).table("items", cursor=cursor, until=until, time_zone=time_zone, chunk_rows=3)
    assert lk.ingest(lake, table, into=INTO).inserted == rows
    assert lk.ingest(lake, table, into=INTO).read == 0


def test_until_a_time_to_come_goes_on_until_then(items: str, lake: lk.Lake) -> None:
    table = shop(items).table("items", cursor="at", until=datetime.now(UTC) + timedelta(days=1))
    assert lk.ingest(lake, table, into=INTO).inserted == 95
    execute(items, "INSERT INTO items VALUES (0, 'new', now()), (-1, 'too new', now() + interval '2 days')")
    assert lk.ingest(lake, table, into=INTO).inserted == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"until": datetime(2026, 1, 1)}, "a datetime with a zone"),  # noqa: DTZ001 -- the mistake
        ({"until": 5}, "a datetime with a zone"),
        ({"until": "2026"}, "until="),
        ({"chunk_rows": 0}, "chunk_rows="),
        ({"readers": True}, "readers="),
        ({"cursor": None, "until": 5}, "there is none"),
    ],
)
def test_what_is_no_end_is_refused(arguments: Any, words: str, items: str, lake: lk.Lake) -> None:
    with pytest.raises(ConfigError, match=words):
        lk.ingest(lake, shop(items).table("items", **{"cursor": "at", **arguments}), into=INTO)


def test_a_composite_cursor_is_the_order_of_the_chunks(items: str, lake: lk.Lake) -> None:
    execute(items, "UPDATE items SET at = '2026-02-01Z'::timestamptz - id % 2 * interval '1 day'", "CREATE INDEX ON items (at, id)")
    table = shop(items).table("items", cursor=("at", "id"), chunk_rows=30)
    with pytest.raises(SourceError):
        lk.ingest(lake, Between(table, [print, print, break_off]), into=INTO)
    assert len(ids(lake)) == 60
    assert set(ids(lake)) >= set(range(1, 96, 2))  # the older ones first
    assert lk.ingest(lake, table, into=INTO).read == 35
    assert ids(lake) == list(range(1, 96))
    execute(items, "UPDATE items SET at = now(), name = 'changed' WHERE id = 2")
    assert lk.ingest(lake, table, into=INTO).inserted == 1


def test_further_columns_of_a_cursor_must_not_be_null(items: str, lake: lk.Lake) -> None:
    with pytest.raises(ConfigError, match=r"NOT NULL.*'name'"):
        lk.ingest(lake, shop(items).table("items", cursor=("at", "name")), into=INTO)


def test_a_load_by_uuids_of_version_7_goes_on_with_increments(database: str, lake: lk.Lake) -> None:
    made = "('2026-01-01Z'::timestamptz + n * interval '1 s')"
    uuid = f"overlay(overlay(md5(n::text) PLACING lpad(to_hex(extract(epoch FROM {made})::int8 * 1000), 12, '0') FROM 1) PLACING '7' FROM 13)::uuid"
    execute(database, "CREATE TABLE items (id uuid PRIMARY KEY)", f"INSERT INTO items SELECT {uuid} FROM generate_series(1, 50) n")
    table = shop(database).table("items", cursor="id", chunk_rows=20)
    assert lk.ingest(lake, table, into=INTO).inserted == 50
    execute(database, f"INSERT INTO items SELECT {uuid} FROM generate_series(51, 60) n")
    commit = lk.ingest(lake, table, into=INTO)
    assert (commit.read, commit.inserted) == (11, 10)
    until = shop(database).table("items", cursor="id", until=datetime(2026, 1, 1, 0, 0, 11, tzinfo=UTC))
    assert lk.ingest(lake, until, into="bronze.until").inserted == 10
