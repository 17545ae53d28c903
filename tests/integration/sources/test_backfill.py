"""A column that the source filled without touching its cursor reaches bronze and silver, in portions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import lakekit as lk
from lakekit.errors import ConfigError, LakekitError, SchemaError, SourceError
from lakekit.sources.postgres import PostgresTable
from tests.integration.sources.reading import execute, shop

INTO = "bronze.users"
BORN = "UPDATE users SET born = 1900 + id"


@pytest.fixture
def lake(tmp_path: Path) -> lk.Lake:
    return lk.connect(tmp_path)


@pytest.fixture
def users(database: str, lake: lk.Lake) -> PostgresTable:
    """A table whose rows are in bronze, and which then got a column; one row changed since, and one is new."""
    execute(
        database,
        "CREATE TABLE users (id int PRIMARY KEY, name text, at timestamptz NOT NULL)",
        "INSERT INTO users SELECT n, CASE WHEN n % 9 > 0 THEN 'user ' || n END, '2026-01-01Z'::timestamptz + n * interval '1 s'"
        " FROM generate_series(1, 50) n",
    )
    table = shop(database).table("users", cursor="at", chunk_rows=20)
    lk.ingest(lake, table, into=INTO)
    execute(
        database,
        "ALTER TABLE users ADD COLUMN born int",
        BORN,
        "UPDATE users SET name = 'changed', at = now() WHERE id = 7",
        "INSERT INTO users VALUES (51, 'new', now(), 1951)",
    )
    return table


def born(lake: lk.Lake, table: str) -> dict[int, Any]:
    rows = lk.read(lake, table).to_arrow().to_pylist()
    return {row["id"]: row["born"] for row in sorted(rows, key=lambda row: row["_ingestion_timestamp"])}


def test_rows_of_bronze_are_filled_and_others_are_left_to_ingest(users: PostgresTable, lake: lk.Lake) -> None:
    wanted = {number: 1900 + number for number in range(1, 51) if number != 7}
    assert lk.backfill(lake, users, into=INTO, columns="born", dry_run=True).inserted == 49
    commit = lk.backfill(lake, users, into=INTO, columns="born")
    assert (commit.read, commit.inserted, commit.columns_added) == (51, 49, ("born",))
    assert born(lake, INTO) == {**wanted, 7: None}
    assert lk.ingest(lake, users, into=INTO).inserted == 2
    assert born(lake, INTO) == {**wanted, 7: 1907, 51: 1951}


def test_what_is_filled_flows_on(users: PostgresTable, lake: lk.Lake) -> None:
    lk.merge(lk.read_new(lake, INTO, into="silver.users"), key="id")
    lk.backfill(lake, users, into=INTO, columns="born")
    commit = lk.merge(lk.read_new(lake, INTO, into="silver.users"), key="id")
    assert (commit.updated, commit.inserted) == (49, 0)
    assert born(lake, "silver.users")[8] == 1908


def test_again_it_fills_only_what_changed_since(users: PostgresTable, lake: lk.Lake, database: str) -> None:
    lk.backfill(lake, users, into=INTO, columns="born")
    snapshots = len(lk.history(lake, INTO))
    assert lk.backfill(lake, users, into=INTO, columns="born").inserted == 0
    assert len(lk.history(lake, INTO)) == snapshots
    execute(database, "UPDATE users SET born = 1800 WHERE id = 9")
    assert lk.backfill(lake, users, into=INTO, columns="born").inserted == 1
    assert born(lake, INTO)[9] == 1800


def test_one_that_broke_off_goes_on_where_it_was(users: PostgresTable, lake: lk.Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[Any] = []
    opened = PostgresTable.open

    def breaking(table: PostgresTable, position: Any, **given: Any) -> Any:
        reads.append(position)
        if len(reads) == 3:
            raise SourceError("here", "it breaks off")
        return opened(table, position, **given)

    monkeypatch.setattr(PostgresTable, "open", breaking)
    with pytest.raises(SourceError):
        lk.backfill(lake, users, into=INTO, columns="born")
    assert sum(value is not None for value in born(lake, INTO).values()) == 39
    assert lk.backfill(lake, users, into=INTO, columns="born").read == 11
    assert [position is None for position in reads] == [True, False, False, False]


@pytest.mark.parametrize(
    ("columns", "into", "kind"),
    [("born", "bronze.nowhere", LakekitError), ("id", INTO, ConfigError), ("brn", INTO, SchemaError)],
)
def test_a_mistake_is_named(columns: str, into: str, kind: type[LakekitError], users: PostgresTable, lake: lk.Lake) -> None:
    with pytest.raises(kind):
        lk.backfill(lake, users, into=into, columns=columns)
