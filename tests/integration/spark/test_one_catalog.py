"""One catalog that both engines open: what one has begun, the other continues, bookmarks included."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import lakekit as lk
from tests.contract import town
from tests.contract.helpers import contents, figures, foreign
from tests.servers.spark import CATALOGS, Server

DAYS = (0, 1)
EACH_KIND = pytest.mark.parametrize("kind", ["classic", pytest.param("connect", marks=pytest.mark.slow)], scope="session")


@pytest.fixture
def lakes(server: Server, kind: str, tmp_path: Path) -> dict[str, Any]:
    """The same lake, once on each engine."""
    spark, catalog = server.new_catalog(kind, tmp_path / "shared")
    return {"embedded": lk.connect(CATALOGS[catalog]), "spark": lk.connect(spark, catalog=catalog)}


@EACH_KIND
@pytest.mark.parametrize("first", [pytest.param("embedded", marks=pytest.mark.slow), "spark"])
def test_steps_taken_in_turns_give_the_tables_of_one_engine_alone(first: str, lakes: dict[str, Any], tmp_path: Path) -> None:
    alone, folder = lk.connect(tmp_path / "alone"), tmp_path / "in"
    order = [first, *(name for name in lakes if name != first)]
    different = {}
    for day in DAYS:
        town.let_pass(folder, day)
        for number, (name, step) in enumerate(town.steps(alone, folder, day).items()):
            turn = lakes[order[(number + day) % 2]]
            expected, found = figures(step()), figures(town.steps(turn, folder, day)[name]())
            if expected != found:
                different[name, day] = (expected, found)
    assert different == {}
    assert contents(lakes["spark"]) == contents(lakes["embedded"]) == contents(alone)


@EACH_KIND
def test_bookmarks_outlive_the_compaction_and_the_expiry_of_spark(kind: str, server: Server, tmp_path: Path) -> None:
    spark, catalog = server.new_catalog(kind, tmp_path / "shared")
    lake, folder = lk.connect(CATALOGS[catalog]), tmp_path / "in"
    folder.mkdir()
    files = lk.sources.Files(folder, format="json", primary_key="id")

    def run(number: int) -> tuple[int, int, int]:
        (folder / f"{number}.jsonl").write_text(f'{{"id": {number}}}\n')
        taken = lk.ingest(lake, files, into="bronze.t").inserted
        gone = lk.ingest_deletes(lake, files, into="bronze.t").deleted
        return taken, gone, lk.merge(lk.read_new(lake, "bronze.t", into="silver.t"), key="id").inserted

    assert [run(number) for number in range(3)] == [(1, 0, 1)] * 3
    for table in ("bronze.t", "silver.t"):
        for call in (
            f"rewrite_data_files(table => '{table}', options => map('rewrite-all', 'true'))",
            f"expire_snapshots(table => '{table}', older_than => TIMESTAMP '2999-01-01', retain_last => 1)",
        ):
            spark.sql(f"CALL {catalog}.system.{call}").collect()
        assert len(foreign(lake, table).metadata.snapshots) == 1
    assert run(3) == (1, 0, 1)
    assert lk.read(lake, "silver.t").count() == 4


@pytest.mark.slow
@EACH_KIND
def test_what_one_engine_did_is_done_for_the_other(lakes: dict[str, Any], tmp_path: Path) -> None:
    folder = tmp_path / "in"
    town.let_pass(folder, 0)
    for step in town.steps(lakes["spark"], folder, 0).values():
        step()
    again = {name: step() for name, step in town.steps(lakes["embedded"], folder, 0).items()}
    again.pop("merge of what was looked up")  # it made members of the dimension that it looks up, and moves past these
    assert {name: str(commit) for name, commit in again.items() if commit.committed} == {}
