"""A new column on its way down, killed at every step and begun again: the tables end as they do undisturbed, and no value twice."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import lakekit as lk
from lakekit import evolution, testing

OLD: list[dict[str, Any]] = [{"id": number, "at": datetime(2026, 1, number, tzinfo=UTC), "size": number} for number in (1, 2, 3)]
NEW: list[dict[str, Any]] = [{**row, "device": f"phone {row['id']}"} for row in OLD]
WIDER = {"id": 4, "at": datetime(2026, 1, 4, tzinfo=UTC), "size": "large", "device": "web"}
PLAN = evolution.SchemaPlan("bronze.things", (evolution.Step(evolution.Change("additive", ("device",), None, pa.string()), "evolve"),))


def run(lake: lk.Lake) -> None:
    lk.merge(lk.select(lk.read_new(lake, "bronze.things", into="silver.things"), {"thing": "id"}, rest="keep"), key="thing")
    lk.merge(lk.read_new(lake, "silver.things", into="gold.facts"), key="thing")
    lk.merge_scd2(lk.read_new(lake, "silver.things", into="gold.dim"), key="thing", effective_at="at")


def begun(folder: Path) -> lk.Lake:
    lake = lk.connect(folder)
    lk.append(lk.from_frame(lake, OLD, run_id="old"), into="bronze.things")
    run(lake)
    return lake


@pytest.mark.slow
def test_a_run_with_a_new_column_and_a_conflict_ends_the_same_after_any_crash(tmp_path: Path) -> None:
    def take(lake: lk.Lake) -> None:
        lk.append(lk.from_frame(lake, [WIDER], run_id="new"), into="bronze.things")
        run(lake)

    assert testing.crash_anywhere(take, begun(tmp_path / "lake")) > 16


def test_a_propagation_ends_the_same_after_any_crash(tmp_path: Path) -> None:
    lake = begun(tmp_path / "lake")
    lk.append(lk.from_frame(lake, NEW, run_id="filled"), into="bronze.things")

    assert testing.crash_anywhere(lambda lake: evolution.propagate(lake, PLAN), lake) > 6
    run(lake)
    assert [commit.updated for commit in evolution.propagate(lake, PLAN)] == [0, 0, 0]
    found = lk.read(lake, "gold.facts").to_arrow().to_pylist()
    assert sorted((row["thing"], row["device"]) for row in found) == [(n, f"phone {n}") for n in (1, 2, 3)]
