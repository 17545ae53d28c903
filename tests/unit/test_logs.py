"""Log records carry fields, all of them documented."""

from __future__ import annotations

import ast
import logging
import re
from pathlib import Path

from lakekit import logs

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "how-to" / "logging.md").read_text(encoding="utf-8")
CALLS = [
    (path, node)
    for path in (ROOT / "src").rglob("*.py")
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Name)
]
LOGGED = [(path, call) for path, call in CALLS if call.func.value.id in {"log", "logger"}]  # type: ignore[attr-defined]
FIELDS = [call for _, call in CALLS if (call.func.value.id, call.func.attr) == ("logs", "fields")]  # type: ignore[attr-defined]


def test_every_record_has_fields() -> None:
    assert len(LOGGED) > 40
    assert [f"{path.name}:{call.lineno}" for path, call in LOGGED if "extra" not in {word.arg for word in call.keywords}] == []


def test_every_event_and_every_field_is_documented() -> None:
    listed = set(re.findall(r"`([a-z_.]+)`", PAGE))
    events = {str(ast.literal_eval(call.args[0])) for call in FIELDS}
    names = {f"lakekit.{word.arg}" for call in FIELDS for word in call.keywords if word.arg}
    assert (sorted(events - listed), sorted(names - listed)) == ([], [])


def test_an_operation_within_another_belongs_to_that() -> None:
    assert "lakekit.operation" not in logs.fields("conflict")
    with logs.during("forget"), logs.during("merge"):
        assert logs.fields("conflict")["lakekit.operation"] == "forget"
    assert logs.operation() is None


def test_nothing_is_printed_without_a_handler() -> None:
    assert any(isinstance(handler, logging.NullHandler) for handler in logging.getLogger("lakekit").handlers)
