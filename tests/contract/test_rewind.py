"""rewind and status: how far a table has consumed what, and setting that back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import lakekit as lk
from lakekit import sources
from lakekit.errors import CommitConflictError, ConfigError, TableNotFoundError
from tests.contract.helpers import foreign, frame, living, snapshots

UP, DOWN = "bronze.things", "silver.things"


@pytest.fixture
def filled(lake: Any) -> Any:
    for number in (1, 2, 3):
        lk.append(frame(lake, str(number), {"id": number}), into=UP)
    lk.merge(lk.read_new(lake, UP, into=DOWN), key="id")
    return lake


def new(lake: Any) -> list[int]:
    return sorted(lk.read_new(lake, UP, into=DOWN).to_arrow().column("id").to_pylist())


def test_from_the_beginning_everything_comes_again_and_changes_nothing(filled: Any) -> None:
    lk.rewind(filled, into=DOWN, upstream=UP, to=None)
    assert new(filled) == [1, 2, 3]
    commit = lk.merge(lk.read_new(filled, UP, into=DOWN), key="id")
    assert (commit.unchanged, commit.inserted, commit.updated) == (3, 0, 0)
    assert new(filled) == []


def test_what_is_read_again_by_other_rules_counts_though_it_is_as_old(lake: Any) -> None:
    lk.append(frame(lake, "a", *({"id": number, "name": f"name {number}"} for number in range(9))), into=UP)

    def step(words: str) -> lk.Commit:
        return lk.merge(lk.select(lk.read_new(lake, UP, into=DOWN), {"id": "id", "name": words}), key="id")

    step("name")
    lk.rewind(lake, into=DOWN, upstream=UP, to=None)
    assert step("upper(name)").updated == 9
    lk.rewind(lake, into=DOWN, upstream=UP, to=None)
    assert step("upper(name)").unchanged == 9
    assert living(lake, DOWN, "name") == [(f"NAME {number}",) for number in range(9)]


def test_a_row_that_a_condition_left_out_comes_when_the_condition_is_another_one(lake: Any) -> None:
    lk.append(frame(lake, "a", {"id": 1, "price": 2}, {"id": 2, "price": 9}), into=UP)

    def step(condition: str) -> lk.Commit:
        return lk.merge(lk.where(lk.read_new(lake, UP, into=DOWN), condition), key="id")

    step("price < 5")
    lk.rewind(lake, into=DOWN, upstream=UP, to=None)
    step("price < 10")
    assert living(lake, DOWN, "id") == [(1,), (2,)]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_of_rows_as_old_as_each_other_the_same_one_counts_in_any_order_after_a_rewind_too(lake: Any, order: tuple[int, int]) -> None:
    lk.append(frame(lake, "a", {"id": 1, "at": 1, "name": "x"}), into=UP)
    lk.merge(lk.read_new(lake, UP, into=DOWN), key="id", order_by="at")
    lk.rewind(lake, into=DOWN, upstream=UP, to=None)
    lk.merge(lk.read_new(lake, UP, into=DOWN), key="id", order_by="at")
    for number in order:
        lk.append(frame(lake, f"b{number}", {"id": 1, "at": 2, "name": f"tie {number}"}), into=UP)
        lk.merge(lk.read_new(lake, UP, into=DOWN), key="id", order_by="at")
    assert living(lake, DOWN, "name") == [("tie 1",)]


def test_back_to_a_snapshot_an_instant_or_a_tag(filled: Any) -> None:
    table = foreign(filled, UP)
    first = table.metadata.snapshots[0]
    table.manage_snapshots().create_tag(first.snapshot_id, "monday").commit()
    lk.rewind(filled, into=DOWN, upstream=UP, to=first.snapshot_id)
    assert new(filled) == [2, 3]
    lk.rewind(filled, into=DOWN, upstream=UP, to="monday")
    assert new(filled) == [2, 3]
    lk.rewind(filled, into=DOWN, upstream=UP, to=datetime.fromtimestamp(first.timestamp_ms / 1000, UTC) + timedelta(days=9))
    assert new(filled) == []


def test_a_batch_that_was_read_before_the_rewind_is_not_written(filled: Any) -> None:
    lk.append(frame(filled, "4", {"id": 4}), into=UP)
    stale = lk.read_new(filled, UP, into=DOWN)
    lk.rewind(filled, into=DOWN, upstream=UP, to=None)
    with pytest.raises(CommitConflictError, match="rewound"):
        lk.merge(stale, key="id")
    assert living(filled, DOWN, "id") == [(1,), (2,), (3,)]


def test_a_rewind_makes_one_snapshot_that_changes_no_row(filled: Any) -> None:
    before = snapshots(filled, DOWN)
    commit = lk.rewind(filled, into=DOWN, upstream=UP, to=None)
    assert commit.committed
    assert snapshots(filled, DOWN) == before + 1
    assert lk.read_new(filled, DOWN, into="gold.things").count() == 3


def test_a_rewound_source_is_read_again_and_rows_that_are_there_are_left_out(lake: Any, tmp_path: Any) -> None:
    (tmp_path / "a.csv").write_text("id\n1\n2\n")
    source = sources.Files(tmp_path / "*.csv", format="csv")
    lk.ingest(lake, source, into="bronze.files")
    lk.rewind(lake, into="bronze.files", upstream=source, to=None)
    lk.ingest(lake, source, into="bronze.files")
    assert living(lake, "bronze.files", "id") == [("1",), ("2",)]


def test_a_wrong_rewind_is_named(filled: Any) -> None:
    with pytest.raises(ConfigError, match="no such upstream"):
        lk.rewind(filled, into=UP, upstream=DOWN, to=None)
    with pytest.raises(ConfigError, match="no such upstream"):
        lk.rewind(filled, into=DOWN, upstream="bronze.nothing", to=None)
    with pytest.raises(ConfigError, match="snapshot"):
        lk.rewind(filled, into=DOWN, upstream=UP, to=1)
    with pytest.raises(TableNotFoundError):
        lk.rewind(filled, into="silver.nothing", upstream=UP, to=None)


def test_status_says_what_is_consumed_and_how_far_behind(filled: Any) -> None:
    assert lk.status(filled)[DOWN].upstreams[0].behind == 0
    lk.append(frame(filled, "4", {"id": 4}), into=UP)
    lk.merge(frame(filled, "bad", {"id": None}, {"id": 5}), into="silver.others", key="id")
    status = lk.status(filled)
    table = status[DOWN]
    assert (table.layer, table.rows, table.upstreams[0].table, table.upstreams[0].behind) == ("merged", 3, UP, 1)
    assert (status["silver.others"].rejects, status["silver.others"].open_rejects) == (1, {"key: null_key": 1})
    assert table.upstreams[0].behind_since == lk.history(filled, UP)[0].committed_at
    assert status["silver.others"].last == lk.history(filled, "silver.others")[0]
    assert "silver.others: 1 open rejects, key: null_key" in str(status)
    assert [found.table for found in status.tables] == [UP, "silver.others", DOWN]
    assert UP in str(status)
    assert "<table>" in status._repr_html_()
    with pytest.raises(KeyError):
        status["silver.nothing"]


def test_the_name_that_status_shows_can_be_rewound(filled: Any) -> None:
    lk.rewind(filled, into=DOWN, upstream=lk.status(filled)[DOWN].upstreams[0].upstream, to=None)
    assert new(filled) == [1, 2, 3]
