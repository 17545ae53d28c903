"""Lists that hold nothing aren't read, where nobody asks whether they are empty or NULL: files say so in their statistics."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import lakekit as lk
from lakekit.engines.plan import Scan

KIND = pa.list_(pa.struct([("x", pa.float64()), ("y", pa.string())]))
NOTHING = [None, [], None]
SOMETHING = {
    "numbers": [None, [{"x": 1.0, "y": None}], []],
    "NaN, of which there are no bounds": [[], [{"x": float("nan"), "y": None}]],
    "text that is too long for bounds": [None, [{"x": None, "y": "x" * 10_000}]],
    "elements that are NULL": [None, [None, None]],
}


def lake_of(folder: Path, *files: Any) -> lk.Lake:
    lake = lk.connect(folder)
    for number, told in enumerate(files):
        rows = pa.table({"id": pa.array([number] * len(told)), "told": pa.array(told, KIND)})
        lk.append(lk.from_frame(lake, rows, run_id=f"{number}"), into="bronze.x")
    return lake


def read(lake: lk.Lake, or_null: tuple[str, ...]) -> list[Any]:
    state = lake.engine.load("bronze.x")
    with lake.engine.session() as session:
        rows = session.native(Scan(state, state.head, or_null=or_null)).to_pylist()
    return [row["told"] for row in sorted(rows, key=lambda row: row["id"])]


@pytest.mark.parametrize("something", SOMETHING.values(), ids=SOMETHING)
def test_what_lists_hold_is_read_whatever_other_files_hold(tmp_path: Path, something: list[Any]) -> None:
    lake = lake_of(tmp_path, NOTHING, something, NOTHING)
    assert str(read(lake, ())) == str([*NOTHING, *something, *NOTHING]), "empty lists are not NULL, where it is asked for"
    assert str(read(lake, ("told",))) == str([*[None] * 3, *something, *[None] * 3])


def test_deleted_rows_stay_deleted_where_a_column_is_not_read(tmp_path: Path) -> None:
    lake = lk.connect(tmp_path)
    rows = pa.table({"id": pa.array(range(1000)), "told": pa.array([[]] * 1000, KIND)})
    lk.merge(lk.from_frame(lake, rows, run_id="1"), into="silver.x", key="id")
    again = rows.slice(0, 1).set_column(1, "told", pa.array([[{"x": 1.0}]], KIND))
    lk.merge(lk.from_frame(lake, again, run_id="2"), into="silver.x", key="id", write_mode="merge-on-read")
    state = lake.engine.load("silver.x")
    assert any(task.delete_files for task in state.native.scan().plan_files())
    with lake.engine.session() as session:
        found = session.native(Scan(state, state.head, or_null=("told",))).to_pylist()
    assert sorted(row["id"] for row in found) == list(range(1000))
    assert [row["told"] for row in found if row["told"]] == [[{"x": 1.0, "y": None}]]
