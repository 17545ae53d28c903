"""What a notebook shows of a lake and of a batch: names and types, no row."""

from __future__ import annotations

import io
from typing import Any

from rich.console import Console

import lakekit as lk
from tests.contract.helpers import frame


def test_a_lake_shows_its_tables_and_a_batch_its_columns(lake: Any) -> None:
    lk.append(frame(lake, "a", {"<id>": 1, "name": "a-secret"}), into="bronze.things")
    assert "bronze.things" in lake._repr_html_()
    shown = lk.read_new(lake, "bronze.things", into="silver.things")._repr_html_()
    assert "&lt;id&gt;" in shown
    assert "BIGINT" in shown
    assert "into silver.things" in shown
    assert "a-secret" not in shown


def test_rich_prints_the_same(lake: Any) -> None:
    lk.append(frame(lake, "a", {"[id]": 1, "name": "a-secret"}), into="bronze.things")
    batch = lk.read_new(lake, "bronze.things", into="silver.things")
    console = Console(file=io.StringIO(), width=120)
    console.print(lake, batch)
    shown = console.file.getvalue()
    assert "bronze.things" in shown
    assert "[id]" in shown
    assert "BIGINT" in shown
    assert "a-secret" not in shown
