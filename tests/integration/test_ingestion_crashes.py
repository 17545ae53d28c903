"""Ingestion killed at any moment, and at every point of every write, and started again: the tables are those of an undisturbed run."""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Any

import psycopg
import pytest

import lakekit as lk
from tests.contract.helpers import contents
from tests.integration import faults, loads
from tests.integration.processes import DiedError, Running, context


@pytest.fixture
def shop(database: str) -> str:
    with psycopg.connect(database) as connection:
        connection.execute(loads.PEOPLE)
    return database


def start() -> Any:
    """The number of the step to begin with."""
    return context.Value("i", 0, lock=False)


def calm(folder: Path, dsn: str) -> tuple[dict[str, list[str]], float]:
    """The tables of an undisturbed run, and how many seconds it took. Afterwards the source is what it was before."""
    began = time.perf_counter()
    Running(loads.run, folder, dsn, start()).result()
    seconds = time.perf_counter() - began
    with psycopg.connect(dsn) as connection:
        connection.execute("DROP TABLE people")
        connection.execute(loads.PEOPLE)
    return contents(lk.connect(folder)), seconds


@pytest.mark.parametrize("kills", [2, pytest.param(15, marks=pytest.mark.slow)])
def test_killed_at_random_moments_the_tables_equal_those_of_an_undisturbed_run(kills: int, shop: str, tmp_path: Path) -> None:
    expected, seconds = calm(tmp_path / "calm", shop)
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")  # noqa: T201 -- shown when the test fails; how quick the machine is decides as well
    draw, at = random.Random(seed), start()
    for _ in range(kills):
        # What is left is shorter the further it came.
        left = seconds * (1 - at.value / 11)
        while not Running(loads.run, tmp_path / "killed", shop, at).kill(after=left * draw.random()):
            at.value = 0  # it was quicker: all of it once more, which changes nothing
    Running(loads.run, tmp_path / "killed", shop, at).result()
    assert contents(lk.connect(tmp_path / "killed")) == expected


@pytest.mark.parametrize("every", [17, pytest.param(1, marks=pytest.mark.slow)])
def test_killed_at_points_of_every_write_the_tables_equal_those_of_an_undisturbed_run(every: int, shop: str, tmp_path: Path) -> None:
    expected, _ = calm(tmp_path / "calm", shop)
    points: list[str] = []
    at = start()
    while (point := death(tmp_path / "killed", shop, at, points, every)) is not None:
        points.append(point)
        print(point)  # noqa: T201 -- shown when the test fails, or hangs
    assert contents(lk.connect(tmp_path / "killed")) == expected
    if every == 1:
        assert {point.partition(": ")[2] for point in points} == faults.POINTS
        assert len(points) >= 100
    assert points


def death(folder: Path, dsn: str, at: Any, known: list[str], every: int) -> str | None:
    """Where a run died that dies at the first point that is not known. None: it reached its end."""
    told, tell = context.Pipe(duplex=False)
    try:
        Running(loads.run_and_die, folder, dsn, at, known, tell, every).result()
    except DiedError:
        return str(told.recv())
    return None
