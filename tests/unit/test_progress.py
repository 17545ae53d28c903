"""Progress bars: who sees them, and when."""

from __future__ import annotations

import io
import sys
from typing import Any

import pytest

from lakekit import progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def watch(monkeypatch: pytest.MonkeyPatch, stderr: io.StringIO) -> io.StringIO:
    """Have something else for stderr. Not by a fixture: pytest sets it anew for the test itself."""
    monkeypatch.setattr(sys, "stderr", stderr)
    monkeypatch.setenv("TERM", "xterm")
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
@pytest.mark.parametrize("wanted", [pytest.param({"show": None, "stderr": io.StringIO}, id="a file"), {"show": False, "stderr": Terminal}])
def test_who_does_not_look_or_does_not_want_it_sees_none(wanted: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    shown = watch(monkeypatch, wanted["stderr"]())
    list(progress.steps("silver.orders: files", "abc", total=3, show=wanted["show"]))
    assert shown.getvalue() == ""
