"""Tables whose files are on S3: what is missing, broken or out of reach there is told as what it is."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pyiceberg.catalog import Catalog
from pyiceberg.table import Table

import lakekit as lk
from lakekit.engines.embedded import scan
from lakekit.errors import TableError
from tests.contract.helpers import foreign, frame, listed, living
from tests.servers.catalogs import on_s3
from tests.servers.s3 import S3Server

TABLE = "silver.people"
WEEK = timedelta(days=7)


def merge(lake: Any, run: str, *ids: int) -> lk.Commit:
    return lk.merge(frame(lake, run, *({"id": number, "name": f"Ada {run}"} for number in ids)), into=TABLE, key="id")


@pytest.fixture
def lake(s3_catalog: Catalog) -> Any:
    """A lake on S3 with a table of one data file, some rows of which a file of position deletes names."""
    lake = lk.connect(s3_catalog)
    lk.create_table(lake, TABLE, schema={"id": "bigint", "name": "string"}, properties={"write.merge.mode": "merge-on-read"})
    merge(lake, "a", *range(10))
    merge(lake, "b", 1)
    return lake


FILES: dict[str, Callable[[Table], str]] = {
    "metadata file": lambda table: table.metadata_location,
    "manifest list": lambda table: table.current_snapshot().manifest_list,
    "manifest": lambda table: table.current_snapshot().manifests(table.io)[0].manifest_path,
    "data file": lambda table: next(task.file.file_path for task in table.scan().plan_files() if task.delete_files),
    "file of deletes": lambda table: next(file.file_path for task in table.scan().plan_files() for file in task.delete_files),
}
READERS: dict[str, Callable[[Any], object]] = {
    "read": lambda lake: lk.read(lake, TABLE).to_arrow(),
    "merge": lambda lake: merge(lake, "c", 2),
    "maintain": lambda lake: lk.maintain(lake, TABLE, older_than=WEEK),
}


def remove(table: Table, location: str) -> None:
    table.io.delete(location)


def cut(table: Table, location: str) -> None:
    with table.io.new_input(location).open() as file:
        whole = file.read()
    with table.io.new_output(location).create(overwrite=True) as file:
        file.write(whole[: len(whole) // 2])


@pytest.mark.parametrize("damage", [remove, cut])
@pytest.mark.parametrize("which", FILES)
def test_a_file_that_is_missing_or_broken_is_told_with_the_name_of_the_table(
    which: str, damage: Callable[[Table, str], None], lake: Any
) -> None:
    table = foreign(lake, TABLE)
    damage(table, FILES[which](table))
    there = listed(table)
    for name, reader in READERS.items():
        with pytest.raises(TableError) as caught:
            reader(lake)
        assert (caught.value.place, bool(caught.value.hint), "Ada" in str(caught.value)) == (TABLE, True, False), name
    assert listed(table) == there


def test_a_store_that_is_out_of_reach_is_no_broken_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with S3Server() as server, on_s3(server, tmp_path) as catalog:
        lake = lk.connect(catalog)
        merge(lake, "a", 1)
        planned = scan.select

        def then_out_of_reach(what: Any) -> Any:
            found = planned(what)
            server.kill()
            return found

        monkeypatch.setattr(scan, "select", then_out_of_reach)
        with pytest.raises(OSError, match="NETWORK_CONNECTION"):
            lk.read(lake, TABLE).to_arrow()


def test_files_are_no_orphans_because_another_tool_wrote_their_scheme_in_another_way(s3: S3Server, s3_catalog: Catalog) -> None:
    lake = lk.connect(s3_catalog)
    folder = f"{s3.new_warehouse()}/data"
    lk.create_table(lake, TABLE, schema={"id": "bigint", "name": "string"}, properties={"write.data.path": folder.replace("s3:", "s3a:")})
    merge(lake, "a", 1, 2)
    with foreign(lake, TABLE).transaction() as change:
        change.set_properties({"write.data.path": folder})
    merge(lake, "b", 3)
    lk.maintain(lake, TABLE, older_than=timedelta(0), now=datetime.now(UTC) + WEEK)
    assert {task.file.file_path.partition(":")[0] for task in foreign(lake, TABLE).scan().plan_files()} == {"s3", "s3a"}
    assert living(lake, TABLE, "id") == [(1,), (2,), (3,)]
