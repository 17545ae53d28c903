"""A dimension and the facts that look it up, killed at every point of every write: no overlap, no two open versions, and the end is the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import lakekit as lk
from lakekit import testing
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


@pytest.mark.slow
def test_a_bitemporal_dimension_that_dies_anywhere_records_each_change_once_and_at_its_instant(tmp_path: Path) -> None:
    options: dict[str, Any] = {"into": dimensions.DIM, "key": "id", "effective_at": "at", "surrogate_key": "person_key", "bitemporal": True}
    when = (100, 101, 103)
    orders = [{"order": order, "person": person, "at": dimensions.day(at)} for order, person, at in dimensions.ORDERS]

    def batch(lake: Any, run: str, rows: list[dict[str, Any]]) -> lk.Batch:
        return lk.from_frame(lake, rows, run_id=run, now=dimensions.DAY)

    def merge(lake: Any, number: int) -> None:
        told = [{"id": i, "at": dimensions.day(at), "name": name, "_operation": "upsert" if name else "delete"}
                for i, at, name in dimensions.BATCHES[number]]  # fmt: skip
        lk.merge_scd2(batch(lake, f"batch {number}", told), **options, now=dimensions.day(when[number]))

    def run(lake: Any) -> None:
        merge(lake, 1)  # the delete of nobody is remembered before
        facts = lk.read_new(lake, "silver.orders", into=dimensions.FACTS)
        taken = {"on": {"person": "id"}, "at": "at", "take": "person_key", "missing": "infer"}
        lk.merge(lk.lookup(facts, dimensions.DIM, **taken, now=dimensions.day(102)), key="order")
        merge(lake, 2)

    lake = lk.connect(tmp_path / "lake")
    lk.merge(batch(lake, "orders", orders), into="silver.orders", key="order")
    merge(lake, 0)
    assert testing.crash_anywhere(run, lake) > 16
    assert [commit.recorded_at for commit in lk.history(lake, dimensions.DIM)] == [
        dimensions.day(number) for number in (103, 102, 101, 100)
    ]
    lk.verify_scd2(lake, dimensions.DIM).require()


def death(folder: Path, at: Any, known: list[str]) -> str | None:
    """Where a run died that dies at the first point that is not known. None: it reached its end."""
    told, tell = context.Pipe(duplex=False)
    try:
        Running(dimensions.run_and_die, folder, at, known, tell).result()
    except DiedError:
        return str(told.recv())
    return None
