"""A dimension and the facts that look it up, killed at every point of every write: no overlap, no two open versions, and the end is the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import lakekit as lk
from tests.integration import dimensions
from tests.integration.processes import DiedError, Running, context


@pytest.mark.slow
def test_killed_at_every_point_of_every_write_history_is_sound_at_once_and_the_same_in_the_end(tmp_path: Path) -> None:
    calm, killed = tmp_path / "calm", tmp_path / "killed"
    Running(dimensions.run, calm, context.Value("i", 0, lock=False)).result()
    at, points = context.Value("i", 0, lock=False), list[str]()
    while (point := death(killed, at, points)) is not None:
        points.append(point)
        print(point)  # noqa: T201 -- shown when the test fails, or hangs
        lake = lk.connect(killed)
        # Made, but without a row yet, it has no members -1 and -2 either.
        if dimensions.DIM in lake.tables() and lk.read(lake, dimensions.DIM).count():
            lk.verify_scd2(lake, dimensions.DIM).require()
    assert any(point.startswith(f"{dimensions.DIM}__tombstones") for point in points)
    assert len([point for point in points if point.startswith(f"{dimensions.DIM} after")]) > 10
    assert dimensions.picture(killed) == dimensions.picture(calm)


def death(folder: Path, at: Any, known: list[str]) -> str | None:
    """Where a run died that dies at the first point that is not known. None: it reached its end."""
    told, tell = context.Pipe(duplex=False)
    try:
        Running(dimensions.run_and_die, folder, at, known, tell).result()
    except DiedError:
        return str(told.recv())
    return None
