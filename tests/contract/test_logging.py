"""What each operation logs: documented fields, no value of a row, no secret."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

import lakekit as lk
from lakekit import sources
from lakekit.bronze import stream as streams
from tests.contract.every_operation import MARK, OPERATIONS, commits
from tests.contract.helpers import frame


def fields(record: logging.LogRecord) -> dict[str, Any]:
    return {name.removeprefix("lakekit."): value for name, value in vars(record).items() if name.startswith("lakekit.")}


@pytest.fixture
def records(caplog: pytest.LogCaptureFixture) -> Any:
    caplog.set_level(logging.DEBUG, logger="lakekit")
    return lambda: [record for record in caplog.records if record.name.partition(".")[0] == "lakekit"]


@pytest.mark.parametrize("name", OPERATIONS)
def test_each_operation_logs_its_commits_with_fields(lake: Any, name: str, tmp_path: Path, records: Any) -> None:
    done = commits(OPERATIONS[name](lake, tmp_path))
    told = [fields(record) for record in records()]
    assert all("event" in found and "operation" in found for found in told)
    own = [found for found in told if found["event"] == "commit" and found["operation"] == name]
    assert len(own) == len(done)
    for commit, found in zip(done, own, strict=True):
        assert (found["table"], found["committed"]) == (commit.table, commit.committed)
        assert (found.get("snapshot_id"), found.get("write_id"), found.get("run_id")) == (
            commit.snapshot_id,
            commit.write_id,
            commit.run_id,
        )
        assert {f"lakekit_{figure}" for figure in found} >= commit.metrics().keys()
        assert found["rows_inserted"] == commit.inserted
    shown = json.dumps(told) + "".join(record.getMessage() for record in records())
    assert MARK not in shown


def test_a_record_names_the_line_that_called(lake: Any, records: Any) -> None:
    lk.append(frame(lake, "a", {"id": 1}), into="bronze.things")
    assert [(record.levelname, record.filename, record.name) for record in records()] == [
        ("INFO", "test_logging.py", "lakekit.silver.append")
    ]


def test_a_stream_that_tries_again_tells_no_secret(lake: Any, records: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    if lake.engine.name == "spark":
        pytest.skip("the stream itself is the same, and connects by JDBC")
    monkeypatch.setattr(streams, "LONGEST_PAUSE", 0.0)
    table = sources.Postgres(f"postgresql://reader:{MARK}@127.0.0.1:1/shop").table("public.users", cursor="at")
    running = lk.stream(lake, table, into="bronze.users", every=None)
    with pytest.raises(lk.LakekitError):
        running.wait()
    told = [fields(record) for record in records()]
    assert [found["event"] for found in told] == ["retry"] * 9 + ["stream_failed"]
    assert told[0].items() >= {"operation": "stream", "table": "bronze.users", "attempt": 1, "error": "SourceError"}.items()
    assert MARK not in json.dumps(told) + "".join(record.getMessage() for record in records())
