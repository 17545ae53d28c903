"""Short words for what the contract tests do all the time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow.fs import FileSelector
from pyiceberg.catalog import Catalog
from pyiceberg.io.pyarrow import PyArrowFileIO, _dataframe_to_data_files
from pyiceberg.table import Table
from pyiceberg.table.snapshots import Operation, Summary
from pyiceberg.table.update.snapshot import _OverwriteFiles

import lakekit as lk
from lakekit.bookmark import OF_PARENT


def catalog(lake: Any) -> Catalog:
    """The lake's catalog as another tool opens it: pyiceberg alone."""
    if lake.engine.name == "spark":
        from tests.servers.spark import CATALOGS

        return CATALOGS[lake.engine.catalog]
    return lake.engine.catalog


def foreign(lake: Any, name: str) -> Table:
    """The table as another tool opens it: pyiceberg alone."""
    return catalog(lake).load_table(tuple(name.split(".")))


def altered(lake: Any, name: str) -> str:
    """How the statements begin that lakekit prints for a table: as the session that is to run them names it."""
    return f"ALTER TABLE {lake.engine.catalog}.{name}" if lake.engine.name == "spark" else f"ALTER TABLE {name}"


def local(location: str) -> Path:
    """The path of a local file: Iceberg writes ``file:/a`` and ``file:///a``."""
    return Path(location.removeprefix("file:").replace("///", "/"))


def made_elsewhere(lake: Any, name: str, rows: pa.Table, *, identifiers: tuple[str, ...] = ()) -> None:
    """Have another tool make a table, with these rows and Iceberg identifier fields."""
    catalog(lake).create_namespace_if_not_exists(name.rpartition(".")[0])
    required = pa.schema([field.with_nullable(field.nullable and field.name not in identifiers) for field in rows.schema])
    table = catalog(lake).create_table(name, required)
    if identifiers:
        with table.update_schema() as update:
            update.set_identifier_fields(*identifiers)
    if rows.num_rows:
        table.append(rows.cast(required))


def listed(table: Table) -> set[str]:
    """The locations of all files in a table's folders, wherever these are. What Hadoop hides beside them is left out."""
    scheme, host, path = PyArrowFileIO.parse_location(table.location())
    found = table.io.fs_by_scheme(scheme, host).get_file_info(FileSelector(path, recursive=True))
    return {f"{scheme}://{file.path}" for file in found if file.is_file and not file.base_name.startswith(".")}


def snapshots(lake: Any, name: str) -> int:
    """How many writes there were: an empty snapshot that speaks for its parent is of the same one."""
    summaries = [found.summary for found in foreign(lake, name).metadata.snapshots]
    return len([one for one in summaries if one is None or OF_PARENT not in one.additional_properties])


def frame(lake: Any, run: str, *rows: dict[str, Any]) -> lk.Batch:
    return lk.from_frame(lake, list(rows), run_id=run)


def stored(lake: Any, name: str, *columns: str) -> list[tuple[Any, ...]]:
    """These columns of all rows, soft-deleted ones too, sorted."""
    table = lk.read(lake, name, deleted=True).to_arrow()
    return sorted((tuple(row[column] for column in columns) for row in table.to_pylist()), key=repr)


def living(lake: Any, name: str, *columns: str) -> list[tuple[Any, ...]]:
    """These columns of the rows that are not deleted, sorted."""
    table = lk.read(lake, name).to_arrow()
    return sorted((tuple(row[column] for column in columns) for row in table.to_pylist()), key=repr)


def rows(batch: lk.Batch, *columns: str) -> list[tuple[Any, ...]]:
    """These columns of a batch, sorted."""
    return sorted((tuple(row[column] for column in columns) for row in batch.to_arrow().to_pylist()), key=repr)


def figures(commit: lk.Commit) -> dict[str, int]:
    """The counts of a commit that don't hang on how it was stored."""
    return {
        name: value
        for name, value in commit.to_dict().items()
        if type(value) is int and name not in ("write_id", "snapshot_id", "files", "bytes")
    }


def contents(lake: Any) -> dict[str, list[str]]:
    """The rows of every table without what differs from run to run: writes, ids that hang on the tables' own, and when keys were read."""
    own = {"_write_id", "_reject_id", "_origin", "_since", "_source_timestamp", "_row", "_run"}

    def shown(row: dict[str, Any]) -> str:
        kept = {name: value for name, value in row.items() if name not in own}
        # pyiceberg 0.12 makes an empty list of structs out of NULL.
        return str(kept | {"_deleted_at": row.get("_deleted_at") is not None, "_absorbed": row.get("_absorbed") or None})

    return {name: sorted(map(shown, lk.read(lake, name, deleted=True).to_arrow().to_pylist())) for name in lake.tables()}


def expire_all_but_the_last(lake: Any, name: str) -> None:
    table = foreign(lake, name)
    old = [found.snapshot_id for found in table.metadata.snapshots if found.snapshot_id != table.metadata.current_snapshot_id]
    if old:
        table.maintenance.expire_snapshots().by_ids(old).commit()


def rewrite(lake: Any, name: str) -> None:
    """What another tool's clumsy compaction does: every row written anew, as an overwrite."""
    table = foreign(lake, name)
    table.overwrite(table.scan().to_arrow())


def compact(lake: Any, name: str) -> None:
    """What another tool's good compaction does: all files written anew as one, in a ``replace`` snapshot."""
    table = foreign(lake, name)
    files = [task.file for task in table.scan().plan_files()]
    with table.transaction() as transaction, _Replace(Operation.REPLACE, transaction, table.io) as update:
        for file in files:
            update.delete_data_file(file)
        for file in _dataframe_to_data_files(table.metadata, table.scan().to_arrow(), table.io):
            update.append_data_file(file)


class _Replace(_OverwriteFiles):
    """pyiceberg's overwrite with the label of a compaction, which pyiceberg itself doesn't write."""

    def _summary(self, snapshot_properties: Any = None) -> Summary:
        self._operation = Operation.OVERWRITE
        summary = super()._summary(snapshot_properties or {})
        return Summary(Operation.REPLACE, **summary.additional_properties)
