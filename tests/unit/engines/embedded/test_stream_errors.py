"""Errors that come after the first rows: Arrow hands them over as text, and they are told like the others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import lakekit as lk
from lakekit.errors import SchemaError, TableError
from tests.contract.helpers import foreign, frame, local


def test_a_value_that_cannot_be_converted_far_down_is_not_shown(lake: Any) -> None:
    rows = pa.table({"v": ["1"] * 400_000 + ["Ada"]})
    lk.append(lk.from_frame(lake, rows, run_id="a"), into="bronze.people")
    numbers = lk.select(lk.read(lake, "bronze.people"), {"v": "CAST(v AS BIGINT)"})
    with pytest.raises(SchemaError) as caught:
        numbers.to_arrow()
    assert "Ada" not in str(caught.value)


def test_a_broken_file_that_is_read_after_others_is_told_with_the_name_of_its_table(lake: Any) -> None:
    for run in "abc":
        lk.append(frame(lake, run, {"id": 1}), into="bronze.people")
    for task in list(foreign(lake, "bronze.people").scan().plan_files())[:2]:
        cut(local(task.file.file_path))
    with pytest.raises(TableError, match=r"bronze\.people"):
        lk.read(lake, "bronze.people").to_arrow()


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
