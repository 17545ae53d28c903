"""Times that Python has no object for are written, merged and read: a file only has no bounds of them."""

import datetime as dt
from pathlib import Path

import pyarrow as pa
from pyiceberg.conversions import from_bytes

import lakekit as lk
from tests.servers.spark import open_with_pyiceberg

BEFORE_CHRIST, FAR = -2_440_550, 90_000_000


def frame(*days: int) -> pa.Table:
    numbers = range(len(days))
    dates = pa.array(days, pa.int32()).cast(pa.date32())
    instants = pa.array([day * 86_400_000_000 for day in days], pa.int64()).cast(pa.timestamp("us", tz="UTC"))
    return pa.table(
        {"id": pa.array(numbers, pa.int64()), "day": dates, "at": instants, "known": pa.array(numbers, pa.int32()).cast(pa.date32())}
    )


def test_a_date_before_christ_is_merged_like_any_other_and_other_columns_keep_their_bounds(tmp_path: Path) -> None:
    (tmp_path / "lake").mkdir()
    catalog = open_with_pyiceberg("distant", tmp_path / "lake")
    lake = lk.connect(catalog)
    lk.merge(lk.from_frame(lake, frame(BEFORE_CHRIST, 5, FAR), run_id="1"), into="silver.t", key="id")
    again = lk.merge(lk.from_frame(lake, frame(BEFORE_CHRIST, 6, FAR), run_id="2"), into="silver.t", key="id")
    assert (again.updated, again.unchanged) == (1, 2)
    table = catalog.load_table("silver.t")
    stored = table.scan().to_arrow().sort_by("id")
    assert stored.column("day").cast(pa.int32()).to_pylist() == [BEFORE_CHRIST, 6, FAR]
    (file,) = [task.file for task in table.scan().plan_files()]
    known, day, at = (table.schema().find_field(name) for name in ("known", "day", "at"))
    assert from_bytes(known.field_type, file.upper_bounds[known.field_id]) == (dt.date(1970, 1, 3) - dt.date(1970, 1, 1)).days
    assert not {day.field_id, at.field_id} & {*file.lower_bounds, *file.upper_bounds}
    assert file.value_counts[day.field_id] == 3
