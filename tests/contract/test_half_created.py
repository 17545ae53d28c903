"""A table that is half there, whatever half: each function says so, names it, and writes nothing."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import lakekit as lk
from lakekit import sources
from lakekit.errors import TableError
from tests.contract.helpers import foreign, frame, local

NAME = "gold.people"
AT = datetime(2026, 1, 1, tzinfo=UTC)


def metadata(lake: Any) -> Path:
    return local(foreign(lake, NAME).metadata_location)


def manifest_list(lake: Any) -> Path:
    return local(foreign(lake, NAME).current_snapshot().manifest_list)


def manifest(lake: Any) -> Path:
    table = foreign(lake, NAME)
    return local(table.current_snapshot().manifests(table.io)[0].manifest_path)


def data(lake: Any) -> Path:
    return local(next(iter(foreign(lake, NAME).scan().plan_files())).file.file_path)


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


WITHOUT_METADATA: dict[str, Callable[[Any], object]] = {
    "a metadata file that is gone": lambda lake: metadata(lake).unlink(),
    "an empty metadata file": lambda lake: metadata(lake).write_bytes(b""),
    "a metadata file cut in the middle": lambda lake: cut(metadata(lake)),
    "a metadata file that holds something else": lambda lake: metadata(lake).write_text('{"format-version": 2}'),
}
WITHOUT_ROWS: dict[str, Callable[[Any], object]] = {
    "a manifest list that is gone": lambda lake: manifest_list(lake).unlink(),
    "a manifest list cut in the middle": lambda lake: cut(manifest_list(lake)),
    "a manifest that is gone": lambda lake: manifest(lake).unlink(),
    "a manifest cut in the middle": lambda lake: cut(manifest(lake)),
    "a data file that is gone": lambda lake: data(lake).unlink(),
    "a data file cut in the middle": lambda lake: cut(data(lake)),
}
ROWS = ({"id": 1, "name": "Ada", "at": AT}, {"id": 2, "name": "Bo", "at": AT})


def rows(lake: Any) -> lk.Batch:
    return frame(lake, "b", {"id": 1, "name": "Ada L.", "at": AT})


READERS: dict[str, Callable[[Any, sources.Files], object]] = {
    "read": lambda lake, _: lk.read(lake, NAME).to_arrow(),  # Spark counts without opening data files
    "read_new": lambda lake, _: lk.read_new(lake, NAME, into="gold.others").to_arrow(),
    "lookup": lambda lake, _: lk.lookup(frame(lake, "c", {"id": 1}), NAME, on="id", take="name").to_arrow(),
    "merge": lambda lake, _: lk.merge(frame(lake, "d", {"id": 1, "valid_from": AT}), into=NAME, key=("id", "valid_from")),
    "merge_scd2": lambda lake, _: lk.merge_scd2(rows(lake), into=NAME, key="id", effective_at="at"),
}
OTHERS: dict[str, Callable[[Any, sources.Files], object]] = {
    "append": lambda lake, _: lk.append(rows(lake), into=NAME),
    "ingest": lambda lake, files: lk.ingest(lake, files, into=NAME),
    "ingest_deletes": lambda lake, files: lk.ingest_deletes(lake, files, into=NAME),
    "read_new for it": lambda lake, _: lk.read_new(lake, "bronze.people", into=NAME),
    "create_table": lambda lake, _: lk.create_table(lake, NAME, schema={"id": "bigint"}),
    "history": lambda lake, _: lk.history(lake, NAME),
}


def files(folder: Path) -> sources.Files:
    (folder / "in").mkdir(exist_ok=True)
    (folder / "in" / "a.jsonl").write_text('{"id": 7, "name": "Grace"}\n')
    return sources.Files(folder / "in", format="json", primary_key="id")


@pytest.fixture
def filled(lake: Any) -> Any:
    lk.append(frame(lake, "a", *ROWS), into="bronze.people")
    lk.merge_scd2(lk.read_new(lake, "bronze.people", into=NAME), key="id", effective_at="at")
    return lake


def refused(lake: Any, folder: Path, functions: dict[str, Callable[[Any, sources.Files], object]]) -> dict[str, str]:
    """What each function said instead of an error that names the table, a hint, and no row."""
    wrong = {}
    for name, function in functions.items():
        before = sorted(folder.rglob("*.parquet"))
        try:
            found = function(lake, files(folder))
        except TableError as error:
            if not (NAME in error.place and error.hint and error.got) or "Ada" in str(error) or sorted(folder.rglob("*.parquet")) != before:
                wrong[name] = str(error)
        except Exception as error:  # noqa: BLE001 -- shown by the assertion
            wrong[name] = f"{type(error).__name__}: {error}"
        else:
            wrong[name] = str(found)
    return wrong


@pytest.mark.parametrize("damage", WITHOUT_METADATA)
def test_a_table_without_its_metadata_is_refused_by_every_function(damage: str, filled: Any, tmp_path: Path) -> None:
    WITHOUT_METADATA[damage](filled)
    functions = {**READERS, **OTHERS}
    if filled.engine.name == "spark" and damage != "a metadata file that is gone":
        functions = {"read": READERS["read"]}  # Iceberg reads a broken metadata file again and again for a minute and a half each
    assert refused(filled, tmp_path, functions) == {}


@pytest.mark.parametrize("damage", WITHOUT_ROWS)
def test_a_table_without_some_of_its_rows_is_refused_by_whatever_reads_them(damage: str, filled: Any, tmp_path: Path) -> None:
    WITHOUT_ROWS[damage](filled)
    assert refused(filled, tmp_path, READERS) == {}


def test_maintain_and_status_go_on_beside_a_broken_table_and_nothing_goes_that_it_may_need(
    filled: Any, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(6):
        lk.append(frame(filled, f"more {number}", *ROWS), into="bronze.people")
    before = lk.status(filled)["bronze.people"].snapshots
    metadata(filled).unlink()
    commit = lk.maintain(filled, "bronze.people", older_than=timedelta(0))
    assert (commit.files, commit.snapshots_expired, commit.files_removed) == (1, 0, 0)
    assert any(NAME in record.getMessage() for record in caplog.records)
    status = lk.status(filled)
    assert (status[NAME].problem is not None, status[NAME].rows) == (True, None)
    assert status["bronze.people"].snapshots > before
    assert f"{NAME} can't be read" in str(status)
