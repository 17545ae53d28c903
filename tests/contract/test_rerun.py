"""Every step may be run again at any time, may be tried without writing, and goes on whatever other tools did to the tables."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pyiceberg.table.snapshots import Operation

import lakekit as lk
from lakekit import rules
from lakekit.errors import BookmarkLostError
from tests.contract import town
from tests.contract.helpers import compact, contents, expire_all_but_the_last, figures, foreign, frame, living, stored

DAYS = (0, 1)


def files(folder: Path) -> dict[str, tuple[int, int]]:
    """Every file below a folder, with its size and the instant of its last change."""
    found = (path for path in folder.rglob("*") if path.is_file())
    return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in found}


def test_a_step_run_again_changes_nothing_and_makes_no_snapshot(lake: Any, tmp_path: Path) -> None:
    for day in DAYS:
        town.let_pass(tmp_path / "in", day)
        for step in town.steps(lake, tmp_path / "in", day).values():
            step()
        changed = []
        for again in ("at first", "from then on"):
            for name, step in town.steps(lake, tmp_path / "in", day).items():
                before = files(tmp_path)
                commit = step()
                # The facts themselves made members of the dimension that they look up: they move their bookmark past these, without a snapshot.
                may_move = name == "merge of what was looked up" and again == "at first"
                new = [
                    file
                    for file in files(tmp_path).keys() ^ before.keys()
                    if not (may_move and file.endswith((".metadata.json", ".metadata.json.crc")))
                ]
                if commit.committed or commit.snapshot_id is not None or new:
                    changed.append((name, str(commit), new))
        assert changed == []


def test_a_dry_run_counts_what_the_run_then_does_and_writes_nothing(lake: Any, tmp_path: Path) -> None:
    different = {}
    for day in DAYS:
        town.let_pass(tmp_path / "in", day)
        for name, step in town.steps(lake, tmp_path / "in", day).items():
            before = files(tmp_path)
            tried = step(dry_run=True)
            assert (tried.committed, tried.snapshot_id) == (False, None)
            assert files(tmp_path) == before, f"{name} wrote"
            done = step()
            if figures(tried) != figures(done):
                different[f"{name}, day {day}"] = {
                    key: (value, figures(done)[key]) for key, value in figures(tried).items() if value != figures(done)[key]
                }
    assert different == {}


def compact_all(lake: Any) -> None:
    for name in lake.tables():
        head = foreign(lake, name).current_snapshot()
        if head is not None and head.summary is not None and head.summary.operation != Operation.REPLACE:
            compact(lake, name)


def expire_all(lake: Any) -> None:
    for name in lake.tables():
        expire_all_but_the_last(lake, name)


def compact_and_expire_all(lake: Any) -> None:
    compact_all(lake)
    expire_all(lake)


@pytest.mark.parametrize(
    "meanwhile",
    [pytest.param(compact_all, marks=pytest.mark.slow), pytest.param(expire_all, marks=pytest.mark.slow), compact_and_expire_all],
)
def test_steps_go_on_where_they_were_after_other_tools_compacted_or_expired(
    meanwhile: Callable[[Any], None], lake: Any, tmp_path: Path
) -> None:
    calm = lk.connect(tmp_path / "calm")
    for day in DAYS:
        town.let_pass(tmp_path / "in", day)
        for step in town.steps(calm, tmp_path / "in", day).values():
            step()
        for name, step in town.steps(lake, tmp_path / "in", day).items():
            meanwhile(lake)
            if name == "append an increment" and day and meanwhile is not compact_all:
                # Rows without a key can't be told from those appended already: none is lost or doubled, and the user has to say how to go on.
                with pytest.raises(BookmarkLostError):
                    step()
            else:
                step()
    expected, found = contents(calm), contents(lake)
    if meanwhile is not compact_all:
        assert len(found.pop("bronze.copy")) < len(expected.pop("bronze.copy"))
    assert found == expected


def history_lost(lake: Any, name: str) -> None:
    """A compaction, then expiry: what was consumed last is gone, and every row stands in a new file."""
    compact(lake, name)
    expire_all_but_the_last(lake, name)


def test_a_hard_delete_reaches_the_next_table_after_its_history_was_lost(lake: Any) -> None:
    def put(run: str, **row: Any) -> None:
        lk.merge(frame(lake, run, {"name": None} | row), into="silver.people", key="id", order_by="at", deletes=lk.Deletes("hard"))

    def consume() -> None:
        lk.merge(lk.read_new(lake, "silver.people", into="gold.people"), key="id", order_by="at")

    put("a", id=1, at=1, name="Ada")
    put("b", id=2, at=1, name="Bo")
    put("c", id=3, at=1, name="Cy")
    consume()
    put("d", id=1, at=2, _operation="delete")
    put("e", id=3, at=2, _operation="delete")
    put("f", id=3, at=3, name="Cy again")
    history_lost(lake, "silver.people")
    consume()
    assert living(lake, "gold.people", "id", "name") == [(2, "Bo"), (3, "Cy again")]
    assert stored(lake, "gold.people", "id", "name", "at")[0] == (1, "Ada", 2)
    history_lost(lake, "silver.people")
    assert not lk.merge(lk.read_new(lake, "silver.people", into="gold.people"), key="id", order_by="at").committed


def test_a_member_removed_for_good_is_looked_up_again_after_its_history_was_lost(lake: Any) -> None:
    def put(run: str, **row: Any) -> None:
        options = {"key": "id", "effective_at": "at", "surrogate_key": "person_key", "deletes": lk.Deletes("hard")}
        lk.merge_scd2(frame(lake, run, {"name": None} | row), into="gold.people", **options)

    def orders() -> lk.Commit:
        batch = lk.read_new(lake, "bronze.orders", into="silver.orders")
        named = lk.lookup(batch, "gold.people", on={"person": "id"}, take={"name": "name"}, missing="null")
        return lk.merge(named, key="order_id")

    lk.append(frame(lake, "a", {"order_id": 1, "person": 1}, {"order_id": 2, "person": 2}), into="bronze.orders")
    put("b", id=1, at=datetime(2026, 1, 1, tzinfo=UTC), name="Ada")
    put("c", id=2, at=datetime(2026, 1, 1, tzinfo=UTC), name="Bo")
    orders()
    put("d", id=1, at=datetime(2026, 1, 2, tzinfo=UTC), _operation="delete")
    history_lost(lake, "gold.people")
    assert orders().recomputed == 1
    assert living(lake, "silver.orders", "order_id", "name") == [(1, None), (2, "Bo")]


def test_a_reject_read_again_after_a_new_column_came_stands_once(lake: Any) -> None:
    def consume() -> None:
        lk.merge(lk.clean(lk.read_new(lake, "bronze.people", into="silver.people"), {"mail": rules.email()}), key="id")

    tags = [{"key": "a", "weight": None}, None]
    lk.append(frame(lake, "a", {"id": 1, "mail": "nothing", "tags": tags, "home": {"city": "Bonn", "zip": None}}), into="bronze.people")
    consume()
    [(row,)] = stored(lake, "silver.people__rejects", "_row")
    assert {name: value for name, value in json.loads(row).items() if not name.startswith("_")} == {
        "id": 1,
        "mail": "nothing",
        "tags": [{"key": "a"}, None],
        "home": {"city": "Bonn"},
    }
    lk.append(frame(lake, "b", {"id": 2, "mail": "bo@example.com", "phone": "1"}), into="bronze.people")
    history_lost(lake, "bronze.people")
    consume()
    assert stored(lake, "silver.people__rejects", "_rule") == [("email",)]
