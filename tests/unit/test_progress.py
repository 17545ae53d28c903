"""Progress bars: who sees them, and when."""

from __future__ import annotations

import io
import re
import sys
from pathlib import Path
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
