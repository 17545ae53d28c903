"""Tables with a sort order of their own: each file that a write makes is in it, wherever the rows come from."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

import lakekit as lk
from lakekit import testing
from tests.contract.helpers import foreign, frame, local

NUMBERS = random.Random(7).sample(range(1_000), 200)


def sorted_by_id(lake: Any, name: str) -> bool:
    """Whether the rows of each file are in order."""
    paths = [local(task.file.file_path) for task in foreign(lake, name).scan().plan_files()]
    found = [pq.ParquetFile(Path(path)).read(["id"])["id"].to_pylist() for path in paths]
    assert sum(map(len, found)) == len(NUMBERS)
    return all(ids == sorted(ids) for ids in found)


def test_rows_of_a_source_are_ingested_in_the_tables_order(lake: Any) -> None:
    lk.create_table(lake, "bronze.numbers", schema={"id": "bigint", "part": "bigint"}, partition_by="part", sort_by="id")
    source = testing.Source([{"id": number, "part": number % 3} for number in NUMBERS])
    assert lk.ingest(lake, source, into="bronze.numbers").inserted == 200
    assert sorted_by_id(lake, "bronze.numbers")


def test_rows_of_a_frame_are_appended_and_merged_in_the_tables_order(lake: Any) -> None:
    for name, write in {"bronze.copy": lk.append, "silver.numbers": lambda batch, into: lk.merge(batch, key="id", into=into)}.items():
        lk.create_table(lake, name, schema={"id": "bigint"}, sort_by="id")
        write(frame(lake, "a", *({"id": number} for number in NUMBERS)), into=name)
        assert sorted_by_id(lake, name)
