"""Killed at any point of a write that is audited, and started again: the rows are there once, and no reader saw them before."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any, cast

import lakekit as lk
from tests.integration import faults
from tests.integration.processes import DiedError, Running, context

UP, DOWN = "bronze.prices", "silver.prices"


class First:
    """Holds the first so many points that it is asked about: each run stages anew, so the names of points never come again."""

    def __init__(self, number: int) -> None:
        self.left = number

    def __contains__(self, point: object) -> bool:
        self.left -= 1
        return self.left >= 0


def write(folder: Path, passed: int, tell: Any) -> None:
    """An audited run, in a process of its own, which dies at the point after so many."""
    lake = lk.connect(folder)
    faults.die_at_first_unknown(cast("Collection[str]", First(passed)), folder, tell.send)
    lk.merge(lk.audit(lk.read_new(lake, UP, into=DOWN), {"positive": "price > 0"}), key="id")


def seen(folder: Path) -> list[tuple[int, int]]:
    table = lk.read(lk.connect(folder), DOWN).to_arrow()
    return sorted((row["id"], row["price"]) for row in table.to_pylist())


def test_killed_at_every_point_of_an_audited_write_the_rows_are_there_once_and_never_half(tmp_path: Path) -> None:
    lake = lk.connect(tmp_path)
    lk.append(lk.from_frame(lake, [{"id": 1, "price": 1}], run_id="a"), into=UP)
    lk.merge(lk.read_new(lake, UP, into=DOWN), key="id")
    lk.append(lk.from_frame(lake, [{"id": 1, "price": 2}, {"id": 2, "price": 3}], run_id="b"), into=UP)
    before, after = [(1, 1)], [(1, 2), (2, 3)]
    points: list[str] = []
    looks: list[list[tuple[int, int]]] = []
    while True:
        told, tell = context.Pipe(duplex=False)
        try:
            Running(write, tmp_path, len(points), tell).result()
            break
        except DiedError:
            points.append(str(told.recv()))
            looks.append(seen(tmp_path))
    assert len(points) > 10
    assert all(look in (before, after) for look in looks)
    assert looks == sorted(looks), "once published, it stays"
    assert seen(tmp_path) == after
    assert {*lake.load(DOWN, place="test").references} == {"main"}
