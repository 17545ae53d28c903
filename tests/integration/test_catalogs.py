"""Catalogs that others use too, and that break off: what was committed stays whole, and what was not is written again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pyiceberg.catalog.sql import SqlCatalog

import lakekit as lk
from lakekit.errors import RetryableError
from tests.contract.helpers import frame, living, snapshots
from tests.servers.catalogs import on_postgres
from tests.servers.postgres import PostgresServer, debian_binaries

TABLE = "silver.people"


def merge(lake: Any, run: str, *ids: int, **more: Any) -> lk.Commit:
    return lk.merge(frame(lake, run, *({"id": number, "run": run, **more} for number in ids)), into=TABLE, key="id")


class Overtaken(SqlCatalog):
    """A catalog whose next commit finds that another one was quicker, by the little time between its look and its swap."""

    meanwhile: Callable[[], object] | None = None

    def _update_and_stage_table(self, *arguments: Any) -> Any:
        staged = super()._update_and_stage_table(*arguments)
        if (meanwhile := self.meanwhile) is not None:
            self.meanwhile = None
            meanwhile()
        return staged


@pytest.fixture
def overtaken(tmp_path: Path) -> Iterator[Overtaken]:
    with Overtaken("lake", uri=f"sqlite:///{tmp_path / 'catalog.db'}", warehouse=f"file://{tmp_path / 'warehouse'}") as catalog:
        yield catalog


REFUSAL = "could not serialize access"
ACTS: dict[str, Callable[[Any], lk.Commit]] = {
    "merge": lambda lake: merge(lake, "second", 2),
    "merge with a new column": lambda lake: merge(lake, "second", 2, city="Rome"),
    "maintain": lambda lake: lk.maintain(lake, TABLE, older_than=timedelta(0)),
}


@pytest.mark.parametrize("act", ACTS)
def test_whoever_is_overtaken_while_committing_looks_again(act: str, overtaken: Overtaken) -> None:
    lake = lk.connect(overtaken)
    merge(lake, "first", 1)
    merge(lake, "first again", 1)
    overtaken.meanwhile = lambda: merge(lake, "quicker", 1, 3)
    commit = ACTS[act](lake)
    assert overtaken.meanwhile is None
    assert commit.committed
    expected = {(1, "quicker"), (3, "quicker")} | ({(2, "second")} if act != "maintain" else set())
    assert set(living(lake, TABLE, "id", "run")) == expected
    assert len(living(lake, TABLE, "id")) == len(expected)


def move(lake: Any) -> lk.Commit:
    """A bookmark moves, and no row changes."""
    return lk.merge(lk.read_new(lake, "bronze.people", into=TABLE), key="id")


@pytest.mark.parametrize("act", [*ACTS, "move of the bookmark alone"])
def test_a_database_that_refuses_the_slower_of_two_transactions_is_asked_again(
    act: str, postgres: PostgresServer, database: str, tmp_path: Path
) -> None:
    acts = {**ACTS, "move of the bookmark alone": move}
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(f"ALTER DATABASE {connection.info.dbname} SET default_transaction_isolation = 'repeatable read'")
    with on_postgres(database, tmp_path) as catalog, ThreadPoolExecutor() as threads:
        lake = lk.connect(catalog)
        merge(lake, "first", 1)
        merge(lake, "first again", 1)
        lk.append(frame(lake, "zero", {"id": 1, "run": "first again"}), into="bronze.people")
        refused = postgres.log.count(REFUSAL)
        with psycopg.connect(database) as slow, psycopg.connect(database, autocommit=True) as watch:
            slow.execute("UPDATE iceberg_tables SET metadata_location = metadata_location")
            done = threads.submit(acts[act], lake)
            while not watch.execute("SELECT 1 FROM pg_locks WHERE NOT granted").fetchone():
                assert not done.done()
            slow.commit()
        done.result()
    assert postgres.log.count(REFUSAL) == refused + 1


class BreaksOff(SqlCatalog):
    """A catalog whose server dies while a commit is made: before it is there, or after."""

    dies: Callable[[], None] | None = None
    landed = False

    def commit_table(self, *arguments: Any) -> Any:
        if self.dies is None:
            return super().commit_table(*arguments)
        if self.landed:
            super().commit_table(*arguments)
        self.dies()
        return super().commit_table(*arguments)


@pytest.mark.parametrize("when", ["before it landed", "after it landed"])
def test_the_files_of_a_commit_of_unknown_outcome_stay_and_the_next_run_finds_out(
    when: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    binaries = request.config.getoption("--postgres-bin") or debian_binaries()
    with PostgresServer(binaries=binaries) as server, breaks_off(server, tmp_path) as catalog:
        lake = lk.connect(catalog)
        merge(lake, "first", 1, 2)
        catalog.dies, catalog.landed = server.kill, when == "after it landed"
        with pytest.raises(RetryableError, match="unknown"):
            merge(lake, "second", 2, 3)
        catalog.dies = None
        server.start()
        assert merge(lake, "second", 2, 3).committed is not catalog.landed
        assert living(lake, TABLE, "id", "run") == [(1, "first"), (2, "second"), (3, "second")]
        assert snapshots(lake, TABLE) == 2


def breaks_off(server: PostgresServer, folder: Path) -> BreaksOff:
    uri = server.dsn.replace("postgresql:", "postgresql+psycopg:", 1)
    return BreaksOff("lake", uri=uri, warehouse=f"file://{folder / 'warehouse'}", pool_pre_ping="true")
