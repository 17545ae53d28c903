"""What is read of a change log follows the batch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import lakekit as lk
from lakekit.engines.embedded.files import Files
from tests.contract.test_change_log import GONE, LOG, TABLE, Log


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files of the log that were read, each time that they were."""
    found: list[str] = []
    query = Files.query

    def watched(self: Files, state: Any, tasks: Sequence[Any], **options: Any) -> str:
        if state.label == LOG:
            found.extend(task.file.file_path for task in tasks)
        return query(self, state, tasks, **options)

    monkeypatch.setattr(Files, "query", watched)
    return found


def take(log: Log, read: list[str]) -> set[str]:
    """What is read to merge what was said."""
    lk.ingest(log.lake, log.source(), into=LOG)
    read.clear()
    lk.merge(lk.read_new(log.lake, LOG, into=TABLE), key="id")
    return {*read}


def test_a_batch_reads_its_own_file_only_and_from_the_first_open_move_on_where_there_is_one(tmp_path: Path, read: list[str]) -> None:
    log = Log(lk.connect(tmp_path))
    log.say("c", 1, 5, name="a", big="long")
    log.say("t", 2, partition=2)
    assert len(take(log, read)) == 1
    log.say("c", 3, 5, name="a", big="long")
    assert len(take(log, read)) == 1
    log.say("c", 9, 50, partition=1, moved={"oldkey": 5}, name="b", big="short")
    assert len(take(log, read)) == 1
    log.say("c", 10, 60, name="b", big="y")
    assert len(take(log, read)) == 2
    log.say("d", 9, 5, moved={"newkey": 50})
    take(log, read)
    log.say("c", 12, 70, name="c", big="z")
    assert len(take(log, read)) == 1
    log.say("u", 13, 5, name="d", big=GONE)
    assert len(take(log, read)) == 7
