"""A source that is wrong, seen from `ingest`: the error says where and what, shows no secret and no row, and the lake is as it was."""

from __future__ import annotations

import contextlib
import logging
import pickle
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

import lakekit as lk
from lakekit import sources
from lakekit.errors import ConfigError, ContractError, GuardError, LakekitError, SchemaError, SourceConfigError, SourceError
from tests.contract.helpers import foreign

SECRET = "s3cret-Pa55word"
ROW = "a value of a row"
INTO = "bronze.people"


@pytest.fixture
def shop(database: str) -> sources.Postgres:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("CREATE TABLE people (id int PRIMARY KEY, name text, at timestamptz NOT NULL)")
        connection.execute("INSERT INTO people VALUES (1, %s, '2026-01-01Z'), (2, %s, '2026-01-02Z')", (ROW, ROW))
        connection.execute("CREATE TABLE nobody (id int PRIMARY KEY, name text, at timestamptz)")
        connection.execute("CREATE TABLE undated AS SELECT id, name, CASE id WHEN 1 THEN at END AS at FROM people")
        connection.execute("CREATE TABLE keyless AS SELECT * FROM people")
        connection.execute("CREATE TABLE odd AS SELECT id, at, 'NaN'::numeric(8,2) AS price, %s::text AS name FROM people", (ROW,))
        connection.execute("CREATE TABLE people_renamed AS SELECT name AS id, at FROM people")
    return sources.Postgres(database, name="shop")


@pytest.fixture
def lake(tmp_path: Path, shop: sources.Postgres) -> lk.Lake:
    """A lake that holds the people already."""
    lake = lk.connect(tmp_path / "lake")
    lk.ingest(lake, shop.table("people", cursor="at"), into=INTO)
    return lake


def with_secret(shop: sources.Postgres, address: str | None = None) -> sources.Postgres:
    """The same database asked with a wrong password, or another address."""
    return sources.Postgres(f"postgresql://postgres:{SECRET}@{address or shop.connection_string().partition('@')[2]}", name="shop")


Make = Callable[[lk.Lake, sources.Postgres], object]
MISTAKES: dict[str, tuple[type[LakekitError], bool, Make]] = {
    "an unreachable source": (
        SourceError,
        True,
        lambda lake, shop: lk.ingest(lake, with_secret(shop, "127.0.0.1:1/shop").table("people", cursor="at"), into=INTO),
    ),
    "an unreachable source of keys": (
        SourceError,
        True,
        lambda lake, shop: lk.ingest_deletes(lake, with_secret(shop, "127.0.0.1:1/shop").table("people"), into=INTO),
    ),
    "a wrong password": (
        SourceConfigError,
        False,
        lambda lake, shop: lk.ingest(lake, with_secret(shop).table("people", cursor="at"), into=INTO),
    ),
    "a missing table": (SourceConfigError, False, lambda lake, shop: lk.ingest(lake, shop.table("poeple", cursor="at"), into=INTO)),
    "a missing column": (SchemaError, False, lambda lake, shop: lk.ingest(lake, shop.table("people", columns=("id", "nmae")), into=INTO)),
    "a missing cursor": (SchemaError, False, lambda lake, shop: lk.ingest(lake, shop.table("people", cursor="updated_at"), into=INTO)),
    "a NULL cursor": (ContractError, False, lambda lake, shop: lk.ingest(lake, shop.table("undated", cursor="at"), into="bronze.undated")),
    "a value that no column can hold": (
        ContractError,
        False,
        lambda lake, shop: lk.ingest(lake, shop.table("odd", cursor="at"), into="bronze.odd"),
    ),
    "a column of another type": (
        SchemaError,
        False,
        lambda lake, shop: lk.ingest(lake, shop.table("people_renamed", cursor="at"), into=INTO, on_change="fail"),
    ),
    "a table name without a namespace": (
        ConfigError,
        False,
        lambda lake, shop: lk.ingest(lake, shop.table("people", cursor="at"), into="people"),
    ),
    "an empty source of keys": (GuardError, False, lambda lake, shop: lk.ingest_deletes(lake, shop.table("nobody"), into=INTO)),
    "a source of keys without a key": (ConfigError, False, lambda lake, shop: lk.ingest_deletes(lake, shop.table("keyless"), into=INTO)),
}


def texts(error: LakekitError, caplog: pytest.LogCaptureFixture) -> str:
    """Whatever a person or a log might see of an error."""
    found = [str(error), repr(error), str(pickle.loads(pickle.dumps(error))), caplog.text]
    return "\n".join([*found, *(repr(record.__dict__) for record in caplog.records), *traceback.format_exception(error)])


def variables(error: BaseException | None) -> str:
    """What tools see that show the variables of each function on the way."""
    found: list[str] = []
    while error is not None:
        for frame, _ in traceback.walk_tb(error.__traceback__):
            for value in frame.f_locals.values() if "/lakekit/" in frame.f_code.co_filename else ():
                with contextlib.suppress(Exception):  # a closed connection has no repr
                    found.append(repr(value))
        error = error.__cause__ or error.__context__
    return "\n".join(found)


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_source_that_is_wrong_is_named_and_leaves_the_lake_as_it_was(
    mistake: str, shop: sources.Postgres, lake: lk.Lake, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    kind, retryable, make = MISTAKES[mistake]
    before = foreign(lake, INTO).metadata_location
    files = sorted(tmp_path.rglob("*.parquet"))
    with caplog.at_level(logging.DEBUG), pytest.raises(kind) as caught:
        make(lake, shop)
    error = caught.value
    assert error.retryable is retryable
    assert str(error).startswith(error.place)
    assert all((error.place, error.problem, error.hint))
    assert SECRET not in texts(error, caplog) + variables(error)
    assert ROW not in texts(error, caplog)
    assert foreign(lake, INTO).metadata_location == before
    assert sorted(tmp_path.rglob("*.parquet")) == files
    # Rows are written as they come, so a table that was not there yet may be left behind, empty.
    assert all(foreign(lake, name).current_snapshot() is None for name in lake.tables() if name != INTO)


def test_an_empty_source_makes_an_empty_table_and_rows_come_later(shop: sources.Postgres, lake: lk.Lake) -> None:
    nobody = shop.table("nobody", cursor="at")
    for _ in range(2):
        commit = lk.ingest(lake, nobody, into="bronze.nobody")
        assert (commit.read, commit.committed, commit.snapshot_id) == (0, False, None)
        assert lk.read(lake, "bronze.nobody").to_arrow().num_rows == 0
    with psycopg.connect(shop.connection_string(), autocommit=True) as connection:
        connection.execute("INSERT INTO nobody VALUES (1, 'somebody', '2026-01-01Z')")
    assert lk.ingest(lake, nobody, into="bronze.nobody").inserted == 1


def test_a_source_that_breaks_off_in_the_middle_leaves_the_table_as_it_was(shop: sources.Postgres, lake: lk.Lake, tmp_path: Path) -> None:
    with psycopg.connect(shop.connection_string(), autocommit=True) as connection:
        connection.execute("CREATE TABLE many AS SELECT n AS id, '2026-01-01Z'::timestamptz AS at FROM generate_series(1, 300000) n")
        connection.execute("CREATE VIEW breaking AS SELECT id, at, 1 / (id - 299999) AS part FROM many")
    with pytest.raises(LakekitError) as caught:
        lk.ingest(lake, shop.table("breaking", cursor="at"), into="bronze.many")
    assert "299999" not in str(caught.value)
    assert not list(tmp_path.rglob("*many*/data/*"))
    assert lk.ingest(lake, shop.table("many", cursor="at"), into="bronze.many").inserted == 300_000


def test_a_refused_ingest_goes_on_where_it_was_once_it_is_mended(shop: sources.Postgres, lake: lk.Lake) -> None:
    with psycopg.connect(shop.connection_string(), autocommit=True) as connection:
        connection.execute("ALTER TABLE people ALTER at DROP NOT NULL")
        connection.execute("INSERT INTO people VALUES (3, 'Cy', '2026-01-03Z'), (4, 'Di', NULL)")
        people: Any = shop.table("people", cursor="at")
        with pytest.raises(ContractError):
            lk.ingest(lake, people, into=INTO)
        connection.execute("UPDATE people SET at = '2026-01-04Z' WHERE id = 4")
    assert lk.ingest(lake, people, into=INTO).inserted == 2
    assert sorted(lk.read(lake, INTO).to_arrow().column("id").to_pylist()) == [1, 2, 3, 4]
