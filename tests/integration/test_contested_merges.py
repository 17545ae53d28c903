"""Several workers merge into one table at once, are killed and start again, while somebody compacts it: no key twice, no row lost."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import lakekit as lk
from tests.contract.helpers import foreign
from tests.integration import faults, mergers
from tests.integration.processes import DiedError, Running, context

WORKERS = 4


def expected(turns: int) -> dict[int, str]:
    """What is said of each key last."""
    said = [row for worker in range(WORKERS) for turn in range(turns) for row in mergers.rows(worker, turn)]
    return {row["id"]: row["by"] for row in sorted(said, key=lambda row: row["at"])}


def test_killed_at_every_point_of_every_write_the_table_ends_the_same(tmp_path: Path) -> None:
    calm, killed = tmp_path / "calm", tmp_path / "killed"
    Running(mergers.merge_and_maintain, calm).result()
    points: list[str] = []
    while (point := death(killed, points)) is not None:
        points.append(point)
    assert {point.partition(": ")[2] for point in points} == faults.POINTS
    assert rows_of(killed) == rows_of(calm)


def death(folder: Path, known: list[str]) -> str | None:
    """Where a run died that dies at the first point that is not known. None: it reached its end."""
    told, tell = context.Pipe(duplex=False)
    try:
        Running(mergers.merge_and_maintain_and_die, folder, known, tell).result()
    except DiedError:
        return str(told.recv())
    return None


def rows_of(folder: Path) -> list[tuple[int, str]]:
    found = lk.read(lk.connect(folder), mergers.TABLE).to_arrow().to_pylist()
    return sorted((row["id"], row["by"]) for row in found)


@pytest.mark.parametrize(
    ("turns", "every"),
    [pytest.param(5, 2.0, id="5 turns"), pytest.param(50, 5.0, id="50 turns", marks=pytest.mark.slow)],
)
def test_no_key_is_there_twice_and_no_row_is_lost(turns: int, every: float, tmp_path: Path) -> None:
    lake = lk.connect(tmp_path)
    lk.create_table(lake, mergers.TABLE, schema={"id": "bigint", "at": "bigint", "by": "string"})
    lk.merge(lk.from_frame(lake, mergers.rows(0, 0), run_id="0 in 0"), into=mergers.TABLE, key="id", order_by="at")
    done = context.Event()
    keeper = Running(mergers.maintain_often, tmp_path, done)
    running = {worker: Running(mergers.merge_often, tmp_path, worker, turns) for worker in range(WORKERS)}
    kills = 0
    while running:
        worker = random.choice(list(running))
        if running[worker].kill(after=every):
            kills += 1
            running[worker] = Running(mergers.merge_often, tmp_path, worker, turns)
        else:
            running.pop(worker).result()
    done.set()
    compactions = keeper.result()
    found: list[dict[str, Any]] = lk.read(lake, mergers.TABLE).to_arrow().to_pylist()
    assert set(Counter(row["id"] for row in found).values()) == {1}
    assert {row["id"]: row["by"] for row in found} == expected(turns)
    by_pyiceberg = foreign(lake, mergers.TABLE).scan().to_arrow()
    assert sorted(by_pyiceberg["id"].to_pylist()) == sorted(row["id"] for row in found)
    assert kills
    assert compactions
