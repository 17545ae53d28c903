"""The figures of commits as monitoring systems take them, and the name of the operation that wrote."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import lakekit as lk
from tests.contract.every_operation import MARK, OPERATIONS, commits
from tests.contract.helpers import foreign, frame

ALWAYS = lk.Commit(table="silver.people").metrics().keys()


@pytest.mark.parametrize("name", OPERATIONS)
def test_each_operation_gives_figures_and_its_name(lake: Any, name: str, tmp_path: Path) -> None:
    done = commits(OPERATIONS[name](lake, tmp_path))
    assert done
    for commit in done:
        figures = commit.metrics()
        assert figures.keys() >= ALWAYS
        assert all(re.fullmatch(r"lakekit_[a-z_]+", found) and not found.endswith("_total") for found in figures)
        assert all(type(number) in (int, float) and number >= 0 for number in figures.values())
        assert commit.labels() == {"table": commit.table, "operation": name}
        assert commit.metrics("counter").keys() & commit.metrics("gauge").keys() == set()
        assert {**commit.metrics("counter"), **commit.metrics("gauge")} == figures
        assert MARK not in f"{figures}{commit.labels()}{commit.to_dict()}"


def test_figures_tell_rows_bytes_seconds_and_when(lake: Any) -> None:
    commit = lk.append(frame(lake, "a", {"id": 1}, {"id": 2}), into="bronze.things")
    figures = commit.metrics()
    assert (figures["lakekit_commits"], figures["lakekit_rows_read"], figures["lakekit_rows_inserted"]) == (1, 2, 2)
    assert figures["lakekit_written_bytes"] > 0
    assert figures["lakekit_duration_seconds"] >= figures["lakekit_commit_seconds"] > 0
    assert commit.committed_at is not None
    assert figures["lakekit_last_commit_timestamp_seconds"] == commit.committed_at.timestamp()
    assert commit.run_id == "a"


def test_a_run_without_news_counts_no_commit_and_tells_no_time(lake: Any) -> None:
    batch = frame(lake, "a", {"id": 1})
    lk.append(batch, into="bronze.things")
    again = lk.append(batch, into="bronze.things")
    assert again.metrics()["lakekit_commits"] == 0
    assert "lakekit_last_commit_timestamp_seconds" not in again.metrics()
    assert again.labels()["operation"] == "append"


def test_history_tells_the_operation_of_each_snapshot_and_of_other_tools_none(lake: Any) -> None:
    lk.append(frame(lake, "a", {"id": 1}), into="bronze.things")
    lk.merge(lk.read_new(lake, "bronze.things", into="silver.things"), key="id")
    lk.rewind(lake, into="silver.things", upstream="bronze.things", to=None)
    table = foreign(lake, "silver.things")
    table.append(table.scan().to_arrow())
    told = [commit.operation for commit in lk.history(lake, "silver.things")]
    assert sorted(map(str, told)) == ["None", "merge", "rewind"]
    assert lk.Commit(table="silver.things").labels()["operation"] == "other"
