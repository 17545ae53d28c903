"""Streams, over files and over sources that fail: when they go on, when they end, and what wait() says."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
import pytest

import lakekit as lk
from lakekit import sources
from lakekit.bronze import stream as streams
from lakekit.errors import ConfigError, SourceConfigError, SourceError
from lakekit.sources.protocol import Details, Increment, Target

INTO = "bronze.numbers"
PATIENCE = 60.0


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "landing"
    made.mkdir()
    return made


@pytest.fixture
def lake(tmp_path: Path) -> lk.Lake:
    return lk.connect(tmp_path / "lake")


@attrs.frozen
class Faulty:
    """Files, and something that happens before they are read."""

    files: sources.Files
    before: Callable[[], None]

    @property
    def upstream(self) -> str:
        return self.files.upstream

    @contextmanager
    def open(self, position: Details | None, *, target: Target) -> Generator[Increment]:
        self.before()
        with self.files.open(position, target=target) as increment:
            yield increment

    def primary_key(self) -> tuple[str, ...]:
        return ()

    def keys(self, *, scope: str | None) -> Any:
        raise AssertionError


def numbers(folder: Path, name: str, *values: int) -> sources.Files:
    (folder / name).write_text("\n".join(["number", *map(str, values)]) + "\n")
    return sources.Files(folder / "*.csv", format="csv")


def count(lake: lk.Lake) -> int:
    return lk.read(lake, INTO).count()


def test_a_stream_without_every_reads_what_there_is_and_ends(lake: lk.Lake, folder: Path) -> None:
    told: list[lk.Commit] = []
    running = lk.stream(lake, numbers(folder, "a.csv", 1, 2), into=INTO, every=None, then=told.append)
    running.wait()
    assert not running.running
    assert [commit.inserted for commit in running.commits] == [2]
    assert told == running.commits
    again = lk.stream(lake, numbers(folder, "a.csv", 1, 2), into=INTO, every=None)
    again.wait()
    assert again.commits == []


def test_a_stream_goes_on_until_it_is_stopped(lake: lk.Lake, folder: Path) -> None:
    running: list[lk.Stream] = []
    begun = threading.Event()

    def then(commit: lk.Commit) -> None:
        begun.wait(PATIENCE)
        if len(running[0].commits) < 3:
            numbers(folder, f"{len(running[0].commits)}.csv", 1)
        else:
            running[0].stop()

    running.append(lk.stream(lake, numbers(folder, "a.csv", 1), into=INTO, every="0.01 seconds", then=then))
    begun.set()
    running[0].wait()
    assert count(lake) == 3
    numbers(folder, "later.csv", 1)
    assert len(running[0].commits) == 3


def test_stop_wakes_a_stream_that_waits_for_its_next_micro_batch(lake: lk.Lake, folder: Path) -> None:
    done = threading.Event()
    running = lk.stream(lake, numbers(folder, "a.csv", 1), into=INTO, every="1 hour", then=lambda _: done.set())
    assert done.wait(PATIENCE)
    running.stop()
    running.wait()
    running.wait()


def test_sigterm_in_the_main_thread_finishes_the_micro_batch_and_puts_the_handler_back(lake: lk.Lake, folder: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    waiting = threading.Event()

    def then(commit: lk.Commit) -> None:
        waiting.wait(PATIENCE)
        os.kill(os.getpid(), signal.SIGTERM)

    running = lk.stream(lake, numbers(folder, "a.csv", 1), into=INTO, every="1 hour", then=then)

    def caught(*_: object) -> None:
        pytest.fail("the handler from before got the signal")

    signal.signal(signal.SIGTERM, caught)
    try:
        handler_of_wait = signal.signal

        def told(number: int, handler: Any) -> Any:
            found = handler_of_wait(number, handler)
            waiting.set()
            return found

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(signal, "signal", told)
            running.wait()
        assert signal.getsignal(signal.SIGTERM) is caught
    finally:
        signal.signal(signal.SIGTERM, before)
    assert count(lake) == 1


def test_wait_works_in_another_thread_too(lake: lk.Lake, folder: Path) -> None:
    running = lk.stream(lake, numbers(folder, "a.csv", 1), into=INTO, every=None)
    waiter = threading.Thread(target=running.wait)
    waiter.start()
    waiter.join(PATIENCE)
    assert not waiter.is_alive()


def test_what_may_pass_is_tried_again(lake: lk.Lake, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "LONGEST_PAUSE", 0.001)
    failures = iter([SourceError("source", "broke off"), SourceError("source", "broke off")])

    def before() -> None:
        for failure in failures:
            raise failure

    running = lk.stream(lake, Faulty(numbers(folder, "a.csv", 1), before), into=INTO, every=None)
    running.wait()
    assert count(lake) == 1


def test_what_does_not_pass_ends_the_stream_and_wait_says_it_each_time(
    lake: lk.Lake, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "LONGEST_PAUSE", 0.001)
    asked: list[int] = []

    def before() -> None:
        asked.append(1)
        raise SourceError("source", "is away")

    running = lk.stream(lake, Faulty(numbers(folder, "a.csv", 1), before), into=INTO)
    for _ in range(2):
        with pytest.raises(SourceError, match="is away"):
            running.wait()
    assert len(asked) == streams.ATTEMPTS


def test_what_needs_a_change_ends_the_stream_at_once(lake: lk.Lake, folder: Path) -> None:
    asked: list[int] = []

    def before() -> None:
        asked.append(1)
        raise SourceConfigError("source", "refuses")

    running = lk.stream(lake, Faulty(numbers(folder, "a.csv", 1), before), into=INTO)
    with pytest.raises(SourceConfigError):
        running.wait()
    assert asked == [1]


def test_an_error_of_then_ends_the_stream_and_keeps_the_commit(lake: lk.Lake, folder: Path) -> None:
    def then(commit: lk.Commit) -> None:
        raise ZeroDivisionError

    running = lk.stream(lake, numbers(folder, "a.csv", 1), into=INTO, then=then)
    with pytest.raises(ZeroDivisionError):
        running.wait()
    assert [commit.inserted for commit in running.commits] == [1]
    assert count(lake) == 1


def test_stop_ends_a_stream_that_waits_to_try_again(lake: lk.Lake, folder: Path) -> None:
    failed = threading.Event()

    def before() -> None:
        failed.set()
        raise SourceError("source", "is away")

    running = lk.stream(lake, Faulty(numbers(folder, "a.csv", 1), before), into=INTO)
    assert failed.wait(PATIENCE)
    running.stop()
    running.wait()
    assert running.commits == []


@pytest.mark.parametrize("every", ["", "5", "five minutes", "0 seconds", "-1 minutes", "5 days", 300])
def test_every_is_a_time_in_words(every: Any, lake: lk.Lake, folder: Path) -> None:
    with pytest.raises(ConfigError, match="every="):
        lk.stream(lake, numbers(folder, "a.csv", 1), into=INTO, every=every)


def test_wrong_arguments_are_refused_before_anything_runs(lake: lk.Lake, folder: Path) -> None:
    files = numbers(folder, "a.csv", 1)
    with pytest.raises(ConfigError, match=r"stream\(into=\)"):
        lk.stream(lake, files, into="numbers")
    with pytest.raises(ConfigError, match=r"stream\(\)"):
        lk.stream(lake, "a.csv", into=INTO)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"stream\(max_reject_fraction=\)"):
        lk.stream(lake, files, into=INTO, max_reject_fraction=2)
    assert lake.tables() == []


@pytest.mark.parametrize("every", ["'0.01 seconds'", "'1 hour'"])
def test_a_program_that_ends_without_waiting_ends(every: str, tmp_path: Path, folder: Path) -> None:
    for number in range(20):
        numbers(folder, f"{number}.csv", number)
    program = f"""
import lakekit as lk, threading
from lakekit import sources
begun = threading.Event()
files = sources.Files({str(folder / "*.csv")!r}, format="csv")
running = lk.stream(lk.connect({str(tmp_path / "lake")!r}), files, into="{INTO}", every={every}, then=lambda _: begun.set())
begun.wait(60)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert (done.returncode, done.stderr) == (0, "")
