"""Rows of a hundred kilobytes: what is held of them at once stays within the limit."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

import lakekit as lk

ROWS, KEYS, LETTERS = 1_200, 40, 6_000


def changes() -> pa.Table:
    """Each of some keys many times, with a large text, and a list of as many numbers."""
    texts = [chr(97 + number % 26) * LETTERS for number in range(ROWS)]
    return pa.table(
        {
            "id": pa.array([number % KEYS for number in range(ROWS)]),
            "lsn": pa.array(range(ROWS)),
            "text": pa.array(texts),
            "also": pa.array([f'{{"text": "{text}"}}' for text in texts]),
            "numbers": pa.array([list(range(number, number + LETTERS)) for number in range(ROWS)], pa.list_(pa.int32())),
        }
    )


def test_many_changes_of_few_large_rows_are_merged_within_the_limit(tmp_path: Path) -> None:
    lake = lk.connect(tmp_path, memory_limit="256MB")
    told = changes()
    commit = lk.merge(lk.from_frame(lake, told, run_id="1"), into="silver.users", key="id", order_by="lsn")
    assert (commit.inserted, commit.duplicates) == (KEYS, ROWS - KEYS)
    found = lk.read(lake, "silver.users").to_arrow().sort_by("id").select(told.column_names)
    assert found.equals(told.slice(ROWS - KEYS).cast(found.schema))
