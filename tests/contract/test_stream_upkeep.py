"""How long the table of a stream keeps its snapshots, and who lets them go."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import lakekit as lk
from lakekit import commit as commits
from lakekit import sources
from lakekit.bronze import upkeep
from lakekit.errors import ConfigError
from lakekit.incremental import retention
from tests.contract.helpers import foreign, frame, snapshots

INTO = "bronze.numbers"
AGE, LEAST = "history.expire.max-snapshot-age-ms", "history.expire.min-snapshots-to-keep"
ALL_AT_ONCE = {AGE: "1", LEAST: "1"}


def drained(lake: Any, folder: Path, number: int, **options: Any) -> list[lk.Commit]:
    """A stream over one more file, until there is no more."""
    (folder / f"{number}.csv").write_text(f"n\n{number}\n")
    running = lk.stream(lake, sources.Files(folder / "*.csv", format="csv"), into=INTO, **{"every": None, **options})
    running.wait()
    return running.commits


def numbers(lake: Any) -> list[int]:
    return sorted(map(int, lk.read(lake, INTO).to_arrow().column("n").to_pylist()))


def files(lake: Any) -> int:
    return len(list(foreign(lake, INTO).scan().plan_files()))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "landing"
    made.mkdir()
    return made


@pytest.fixture
def due_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Five small files are many."""
    monkeypatch.setattr(commits, "_MANY_FILES", 5)


@pytest.mark.parametrize(
    ("every", "age"), [("10 seconds", timedelta(hours=3)), ("30 seconds", timedelta(seconds=30_000)), (None, timedelta(days=5))]
)
def test_a_table_that_a_stream_makes_keeps_a_thousand_micro_batches(lake: Any, folder: Path, every: str | None, age: timedelta) -> None:
    (folder / "0.csv").write_text("n\n0\n")
    running = lk.stream(lake, sources.Files(folder / "*.csv", format="csv"), into=INTO, every=every, then=lambda _: running.stop())
    running.wait()
    found = foreign(lake, INTO).properties
    assert (found[AGE], found[LEAST]) == (str(age // timedelta(milliseconds=1)), "100")
    assert found["write.metadata.delete-after-commit.enabled"] == "true"
    assert found["write.metadata.previous-versions-max"] == "20"


def test_a_table_that_is_there_keeps_its_properties(lake: Any, folder: Path) -> None:
    lk.create_table(lake, INTO, schema={"n": "bigint"}, properties={AGE: "7"})
    drained(lake, folder, 0)
    found = foreign(lake, INTO).properties
    assert found[AGE] == "7"
    assert not {LEAST, "write.metadata.previous-versions-max"} & found.keys()


def test_maintain_goes_by_the_tables_own_properties(lake: Any) -> None:
    lk.create_table(lake, INTO, schema={"n": "bigint"}, properties={AGE: str(30 * 60 * 1000), LEAST: "2"})
    for number in range(4):
        lk.append(frame(lake, f"run {number}", {"n": number}), into=INTO)
    present = datetime.now(UTC)
    assert lk.maintain(lake, INTO, now=present + timedelta(minutes=29)).snapshots_expired == 0
    assert lk.maintain(lake, INTO, now=present + timedelta(minutes=31)).snapshots_expired == 2
    assert snapshots(lake, INTO) == 2
    assert numbers(lake) == [0, 1, 2, 3]


def test_without_properties_maintain_goes_by_icebergs_default(lake: Any) -> None:
    lk.append(frame(lake, "a", {"n": 1}), into=INTO)
    state = lake.load(INTO, place="")
    present = datetime.now(UTC)
    assert (retention.since(state, present), retention.least(state)) == (present - timedelta(days=5), 1)
    assert lk.maintain(lake, INTO).snapshots_expired == 0


@pytest.mark.usefixtures("due_soon")
def test_a_stream_keeps_its_table_few_in_files_and_snapshots(lake: Any, folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="lakekit")
    lk.create_table(lake, INTO, schema={"n": "bigint"}, properties=ALL_AT_ONCE)
    for number in range(6):
        drained(lake, folder, number)
    assert numbers(lake) == list(range(6))
    assert files(lake) < 5
    assert snapshots(lake, INTO) < 5
    told = [record for record in caplog.records if vars(record).get("lakekit.event") == "upkeep"]
    assert [vars(record)["lakekit.files"] for record in told] == [1]
    assert drained(lake, folder, 6)[0].inserted == 1


@pytest.mark.usefixtures("due_soon")
def test_the_rejects_are_kept_up_with_their_table(lake: Any, folder: Path) -> None:
    lk.create_table(lake, INTO, schema={"n": "bigint"}, properties=ALL_AT_ONCE)
    for number in range(6):
        (folder / f"{number}.csv").write_text(f"n\n{number}\nnone\n")
        running = lk.stream(lake, sources.Files(folder / "*.csv", format="csv"), into=INTO, every=None, on_change={"conflict": "reject"})
        running.wait()
    assert numbers(lake) == list(range(6))
    assert lk.read(lake, f"{INTO}__rejects").count() == 6
    assert snapshots(lake, f"{INTO}__rejects") < 5


@pytest.mark.usefixtures("due_soon")
def test_what_a_consumer_has_yet_to_read_stays(lake: Any, folder: Path) -> None:
    lk.create_table(lake, INTO, schema={"n": "bigint"}, properties=ALL_AT_ONCE)
    drained(lake, folder, 0)
    lk.append(lk.read_new(lake, INTO, into="silver.numbers"))
    for number in range(1, 7):
        drained(lake, folder, number)
    assert files(lake) < 5
    assert lk.append(lk.read_new(lake, INTO, into="silver.numbers")).inserted == 6
    assert sorted(lk.read(lake, "silver.numbers").to_arrow().column("n").to_pylist()) == list(range(7))


@pytest.mark.usefixtures("due_soon")
@pytest.mark.parametrize("leave_alone", ["the table says nothing", "the stream is told so"])
def test_a_table_is_left_alone(lake: Any, folder: Path, leave_alone: str) -> None:
    silent = leave_alone == "the table says nothing"
    lk.create_table(lake, INTO, schema={"n": "bigint"}, properties={} if silent else ALL_AT_ONCE)
    for number in range(6):
        last = drained(lake, folder, number, **({} if silent else {"maintain": None}))
    assert files(lake) == 6
    assert "data files" in last[0].upkeep


@pytest.mark.usefixtures("due_soon")
def test_upkeep_that_fails_does_not_end_the_stream(
    lake: Any, folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(*_: Any, **__: Any) -> None:
        raise OSError

    monkeypatch.setattr(upkeep, "keep_up", fails)
    for number in range(6):
        drained(lake, folder, number)
    assert numbers(lake) == list(range(6))
    assert "upkeep_failed" in [vars(record).get("lakekit.event") for record in caplog.records]


def test_upkeep_pauses_where_it_is_due_again_at_once(monkeypatch: pytest.MonkeyPatch, lake: Any) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(upkeep, "keep_up", lambda *_, **__: asked.append(1))
    keeper = upkeep.Upkeep(lake, ("bronze", "numbers"), 3600.0)
    keeper.after(lk.Commit(table=INTO))
    assert asked == []
    for _ in range(3):
        keeper.after(lk.Commit(table=INTO, upkeep="400 data files"))
    assert asked == [1]


def test_a_commit_tells_of_many_snapshots(lake: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commits, "_MANY_SNAPSHOTS", 2)
    told = [lk.append(frame(lake, f"run {number}", {"n": number}), into=INTO).upkeep for number in range(3)]
    assert told == ["", "", "3 snapshots, of which each commit writes a list"]
    assert lk.status(lake)[INTO].upkeep == told[-1]


def test_the_pause_is_told_in_words(lake: Any, folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"stream\(maintain=\)"):
        lk.stream(lake, sources.Files(folder, format="csv"), into=INTO, maintain="hourly")
