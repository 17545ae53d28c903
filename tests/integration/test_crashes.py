"""Killed at any moment and started again, a pipeline ends where one ends that nobody disturbed."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.integration import shop
from tests.integration.processes import DiedError, Running, context
from tests.servers.postgres import PostgresServer

DEMO_KILLS = 20


@pytest.mark.parametrize(
    ("kills", "hours"),
    [pytest.param(4, shop.FEW, id="4, few rows"), pytest.param(30, shop.MANY, id="30, many rows", marks=pytest.mark.slow)],
)
def test_killed_at_random_moments_the_tables_equal_those_of_an_undisturbed_run(
    kills: int, hours: Sequence[str], database: str, tmp_path: Path
) -> None:
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")  # noqa: T201 -- shown when the test fails; how quick the machine is decides as well
    draw = random.Random(seed)
    calm, killed = tmp_path / "calm", tmp_path / "killed"
    for hour in range(len(hours)):
        shop.let_pass(database, hour, hours)
        done = Running(shop.run_hour, calm, database, hour).result()
        begun = [0.0, *done]
        at = context.Value("i", 0, lock=False)  # the step that was killed is the first one of the next run: an orchestrator's retry
        each = kills // len(hours)
        for part in range(each):
            after = done[-1] * (part + draw.random()) / each - begun[at.value]
            while not Running(shop.run_hour, killed, database, hour, at).kill(after=after):
                at.value, after = 0, after * 0.8  # it was quicker than the undisturbed run
        Running(shop.run_hour, killed, database, hour).result()
    assert shop.picture(killed) == shop.picture(calm)
    assert shop.upserts(killed) == shop.upserts(calm)


@pytest.mark.slow
def test_killed_at_every_point_of_every_write_the_tables_equal_those_of_an_undisturbed_run(database: str, tmp_path: Path) -> None:
    calm, killed = tmp_path / "calm", tmp_path / "killed"
    points: list[str] = []
    for hour in range(len(shop.FEW)):
        shop.let_pass(database, hour, shop.FEW)
        Running(shop.run_hour, calm, database, hour).result()
        at = context.Value("i", 0, lock=False)
        while (point := death(killed, database, hour, at, points)) is not None:
            points.append(point)
            print(point)  # noqa: T201 -- shown when the test fails, or hangs
    assert {point.partition(": ")[2] for point in points} == shop.faults.POINTS
    assert shop.picture(killed) == shop.picture(calm)
    assert shop.upserts(killed) == shop.upserts(calm)


def death(folder: Path, database: str, hour: int, at: Any, known: list[str]) -> str | None:
    """Where a run died that dies at the first point that is not known. None: it reached its end."""
    told, tell = context.Pipe(duplex=False)
    try:
        Running(shop.run_hour_and_die, folder, database, hour, at, known, tell).result()
    except DiedError:
        return str(told.recv())
    return None


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], float]:
    """The tables of the whole demo when nobody disturbs it, and how many seconds it takes."""
    folder = tmp_path_factory.mktemp("demo")
    with PostgresServer() as server:
        began = time.perf_counter()
        Running(shop.run_all, folder, server.dsn).result()
        return shop.picture(folder), time.perf_counter() - began


@pytest.mark.slow
@pytest.mark.parametrize("part", range(DEMO_KILLS))
def test_the_whole_demo_killed_with_its_database_and_started_again_ends_the_same(
    part: int, demo: tuple[dict[str, Any], float], tmp_path: Path
) -> None:
    calm, seconds = demo
    with PostgresServer() as server:
        run = Running(shop.run_all, tmp_path, server.dsn)
        run.kill(after=seconds * (part + random.random()) / DEMO_KILLS)
        server.kill()
        server.start()
        Running(shop.run_all, tmp_path, server.dsn).result()
    assert shop.picture(tmp_path) == calm
