"""Manifests: commits merge small ones by Iceberg's properties, and forget those that name nothing any more."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import lakekit as lk

NAME = "bronze.things"


def written(folder: Path, runs: int, **properties: str) -> Any:
    """A table appended to some times, by pyiceberg."""
    lake = lk.connect(folder)
    lk.create_table(lake, NAME, schema={"id": "bigint"}, properties=properties)
    for run in range(runs):
        lk.append(lk.from_frame(lake, [{"id": run}], run_id=f"run {run}"), into=NAME)
    engine: Any = lake.engine
    assert lk.read(lake, NAME).count() == runs
    return engine.catalog.load_table(NAME)


def manifests(table: Any) -> list[Any]:
    return table.current_snapshot().manifests(table.io)


@pytest.mark.parametrize(
    ("properties", "expected"),
    [
        ({"commit.manifest.min-count-to-merge": "3"}, 3),  # three become one at the fourth run, and again at the sixth
        ({"commit.manifest.min-count-to-merge": "7"}, 7),
        ({"commit.manifest-merge.enabled": "false", "commit.manifest.min-count-to-merge": "2"}, 7),
        ({"commit.manifest.target-size-bytes": "1", "commit.manifest.min-count-to-merge": "2"}, 7),
        ({}, 7),
    ],
)
def test_a_commit_merges_manifests_as_the_properties_say(tmp_path: Path, properties: dict[str, str], expected: int) -> None:
    assert len(manifests(written(tmp_path, 7, **properties))) == expected


def test_merged_entries_keep_snapshot_and_sequence(tmp_path: Path) -> None:
    """By them it is known what is new since when."""

    def entries(table: Any) -> dict[str, tuple[int, int, int]]:
        found = (entry for manifest in manifests(table) for entry in manifest.fetch_manifest_entry(table.io))
        return {entry.data_file.file_path.rpartition("/")[2]: (entry.sequence_number, entry.file_sequence_number) for entry in found}

    alone = sorted(entries(written(tmp_path / "alone", 5)).values())
    assert sorted(entries(written(tmp_path / "merged", 5, **{"commit.manifest.min-count-to-merge": "2"})).values()) == alone


def test_a_manifest_that_names_nothing_any_more_is_left_out(tmp_path: Path) -> None:
    lake = lk.connect(tmp_path)
    for run in "abcd":
        lk.merge(lk.from_frame(lake, [{"id": 1, "word": run}], run_id=run), key="id", into="silver.things")
    engine: Any = lake.engine
    found = manifests(engine.catalog.load_table("silver.things"))
    assert len(found) == 2, "the last one's file, and the manifest that says which file it replaces"
