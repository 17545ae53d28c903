"""Progress bars: who sees them, and when."""

from __future__ import annotations

import importlib.util
import io
import os
import pty
import re
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import pyarrow as pa
import pytest

import lakekit as lk
from lakekit import progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def watch(monkeypatch: pytest.MonkeyPatch, stderr: io.StringIO) -> io.StringIO:
    """Have something else for stderr. Not by a fixture: pytest sets it anew for the test itself."""
    monkeypatch.setattr(sys, "stderr", stderr)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "300")
    monkeypatch.delitem(sys.modules, "ipykernel", raising=False)
    return stderr


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is done in a moment."""
    monkeypatch.setattr(progress, "_MOMENT", -1.0)


@pytest.mark.usefixtures("slow")
def test_long_work_shows_a_bar_in_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = watch(monkeypatch, Terminal())
    assert list(progress.steps("silver.orders: files", "abc", total=3, show=None)) == ["a", "b", "c"]
    assert "silver.orders: files" in shown.getvalue()


def test_what_takes_a_moment_shows_none(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = watch(monkeypatch, Terminal())
    list(progress.steps("silver.orders: files", "abc", total=3, show=True))
    assert shown.getvalue() == ""


@pytest.mark.usefixtures("slow")
def test_rows_on_their_way_show_how_many_they_are_and_how_quick(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = watch(monkeypatch, Terminal())
    batch = pa.record_batch({"n": list(range(2_000))})
    assert list(progress.rows("postgres:shop/public.users", iter([batch, batch]), show=None)) == [batch, batch]
    assert re.search(r"postgres:shop/public.users .*4,000 rows, 0 MB, [\d,]+ rows/s", shown.getvalue().replace("\n", ""))


@pytest.mark.usefixtures("slow")
@pytest.mark.parametrize(("wanted", "seen"), [(None, True), (False, False)])
def test_ingest_and_ingest_deletes_show_their_rows(
    *, wanted: bool | None, seen: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = watch(monkeypatch, Terminal())
    (tmp_path / "a.jsonl").write_text('{"id": 1}\n')
    lake, files = lk.connect(tmp_path / "lake", progress=wanted), lk.sources.Files(tmp_path / "*.jsonl", format="json", primary_key="id")
    lk.ingest(lake, files, into="bronze.t")
    lk.ingest_deletes(lake, files, into="bronze.t")
    assert (files.upstream in shown.getvalue().replace("\n", ""), "bronze.t: keys" in shown.getvalue()) == (seen, seen)


@pytest.mark.usefixtures("slow")
@pytest.mark.parametrize("wanted", [pytest.param({"show": None, "stderr": io.StringIO}, id="a file"), {"show": False, "stderr": Terminal}])
def test_who_does_not_look_or_does_not_want_it_sees_none(wanted: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    shown = watch(monkeypatch, wanted["stderr"]())
    list(progress.steps("silver.orders: files", "abc", total=3, show=wanted["show"]))
    assert shown.getvalue() == ""


WORK = """
import sys, time
import lakekit as lk
from lakekit import progress
from lakekit.incremental import cas

progress._MOMENT = 0.0
folder, wanted, seen = sys.argv[1], {"None": None, "True": True, "False": False}[sys.argv[2]], sys.argv[3] == "True"


def until_it_shows(*given, **named):
    while seen and not progress._SCREEN._lines:
        time.sleep(0.01)
    return write(*given, **named)


write, cas.write = cas.write, until_it_shows
lake = lk.connect(folder, progress=wanted)
lk.append(lk.from_frame(lake, [{"id": 1}], run_id="a"), into="bronze.things")
"""


@pytest.mark.parametrize(
    ("terminal", "wanted", "seen"),
    [(True, None, True), (True, False, False), (True, True, True), (False, None, False), (False, True, False)],
)
def test_an_operation_shows_that_it_is_under_way(*, terminal: bool, wanted: bool | None, seen: bool, tmp_path: Path) -> None:
    command = [sys.executable, "-c", WORK, str(tmp_path / "lake"), str(wanted), str(seen)]
    ours, theirs = pty.openpty() if terminal else os.pipe()
    program = subprocess.Popen(command, stderr=theirs, stdout=subprocess.PIPE, env={**os.environ, "TERM": "xterm"})
    os.close(theirs)
    shown = b""
    try:
        while part := os.read(ours, 1 << 16):
            shown += part
    except OSError:  # so a terminal ends on Linux
        pass
    os.close(ours)
    output, _ = program.communicate()
    assert (program.returncode, output) == (0, b"")
    assert ("append" in shown.decode()) == seen
    assert seen or shown == b""


@pytest.mark.usefixtures("slow")
def test_the_phase_and_what_runs_within_share_one_display(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = watch(monkeypatch, Terminal())
    with progress.waiting("merge", show=None):
        with progress.waiting("count", show=None):
            progress.note("write")
        line = progress._waiting.get()
        assert line is not None
        line._timer.join()
        assert list(progress.steps("files written anew", "ab", total=2, show=None)) == ["a", "b"]
        assert progress._SCREEN._lines == 1
    assert progress._SCREEN._progress is None
    assert all(words in shown.getvalue() for words in ("merge", "write", "files written anew"))
    assert "count" not in shown.getvalue()


def test_what_ends_at_once_leaves_no_thread_and_shows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = watch(monkeypatch, Terminal())
    with progress.waiting("merge", show=None):
        line = progress._waiting.get()
    assert line is not None
    line._timer.join()
    assert not line._timer.is_alive()
    assert shown.getvalue() == ""


def test_nobody_watches_where_there_is_no_stderr(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "ipykernel", raising=False)
    monkeypatch.setattr(sys, "stderr", None)
    assert not progress.watched()
    closed = Terminal()
    closed.close()
    monkeypatch.setattr(sys, "stderr", closed)
    assert not progress.watched()


def test_the_one_switch_reaches_every_function(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool | None] = []
    monkeypatch.setattr(progress, "_wanted", lambda show: bool(asked.append(show)))
    lake = lk.connect(tmp_path, progress=True)
    batch = lk.from_frame(lake, [{"id": 1, "email": "a"}], run_id="a")
    lk.merge(batch, key="id", into="silver.things")
    rules = lk.identity.Rules(match=[lk.identity.exact("email")])
    lk.resolve_identities({"shop": batch}, record_key={"shop": "id"}, rules=rules, into="silver.identities")
    lk.read(lake, table="silver.things").count()
    lk.status(lake)
    lk.maintain(lake=lake, table="silver.things", older_than=timedelta(days=1))
    assert set(asked) == {True}


@pytest.mark.parametrize(("cell", "widgets"), [(True, True), (True, False), (False, True)])
def test_a_notebook_sees_it_where_rich_can_show_it(*, cell: bool, widgets: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    watch(monkeypatch, io.StringIO())
    ipython = ModuleType("IPython")
    monkeypatch.setattr(ipython, "get_ipython", lambda: object() if cell else None, raising=False)
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    assert not progress.watched()
    monkeypatch.setitem(sys.modules, "ipykernel", ModuleType("ipykernel"))
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: (name if widgets else None) if name == "ipywidgets" else find(name))
    assert progress.watched() == (cell and widgets)
