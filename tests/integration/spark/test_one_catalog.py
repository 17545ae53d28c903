"""One catalog that both engines open: what one has begun, the other continues, bookmarks included."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import lakekit as lk
from tests.contract import town
from tests.contract.helpers import contents, figures
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
