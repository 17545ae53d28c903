"""Which files a scan reads, and the DuckDB SQL that reads them by field id."""

from __future__ import annotations

import datetime as dt
import decimal
import uuid
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import attrs
from pyiceberg.expressions import AlwaysTrue, And, BooleanExpression, GreaterThanOrEqual, LessThanOrEqual
from pyiceberg.manifest import DataFile, DataFileContent, FileFormat
from pyiceberg.table import FileScanTask, Table
from pyiceberg.types import DecimalType, IcebergType, ListType, MapType, NestedField, PrimitiveType, StructType

from lakekit.errors import LakekitError, TableError

if TYPE_CHECKING:
    from lakekit.engines.plan import Scan

_DUCKDB = {
    "boolean": "BOOLEAN",
    "int": "INTEGER",
    "long": "BIGINT",
    "float": "FLOAT",
    "double": "DOUBLE",
    "date": "DATE",
    "time": "TIME",
    "timestamp": "TIMESTAMP",
    "timestamptz": "TIMESTAMP WITH TIME ZONE",
    "string": "VARCHAR",
    "uuid": "UUID",
    "binary": "BLOB",
}


@attrs.frozen
class FileSet:
    """The data files of a scan, each with the position-delete files that apply to it."""

    tasks: tuple[FileScanTask, ...]

    @property
    def paths(self) -> list[str]:
        """The data files, as local paths."""
        return [local_path(task.file.file_path) for task in self.tasks]

    @property
    def delete_paths(self) -> list[str]:
        """The position-delete files, as local paths, each once."""
        return sorted({local_path(file.file_path) for task in self.tasks for file in task.delete_files})

    @property
    def readable_by_duckdb(self) -> bool:
        """Whether DuckDB can read all of it by field id: local Parquet with plain position deletes."""
        files = [file for task in self.tasks for file in (task.file, *task.delete_files)]
        return all(file.file_format == FileFormat.PARQUET and is_local(file.file_path) for file in files)


def select(scan: Scan) -> FileSet:
    """The files a scan has to read.

    Raises:
        TableError: A manifest is missing or broken, or there are equality deletes.
    """
    if scan.snapshot is None:
        return FileSet(())
    try:
        return FileSet(_select(scan, scan.snapshot))
    except FileNotFoundError as error:
        raise half_there(scan.state.label, error) from error
    except (OSError, LakekitError):  # the first may pass, the second knows better
        raise
    except Exception as error:  # what is no manifest makes its reader fail in any way
        raise half_there(scan.state.label, error) from error


def half_there(label: str, error: Exception) -> TableError:
    """The error for a table of which a file is missing or broken."""
    return TableError(
        label,
        "one of its files is missing or broken; it was left half created or half removed",
        got=type(error).__name__,
        hint="restore the file, or roll the table back to a snapshot that is whole.",
    )


def _select(scan: Scan, snapshot: int) -> tuple[FileScanTask, ...]:
    table: Table = scan.state.native
    tasks = _plan(table, snapshot, _bounds(scan, table))
    if scan.minus is not None:
        known = {_identity(task) for task in _plan(table, scan.minus, AlwaysTrue())}
        tasks = [task for task in tasks if _identity(task) not in known]
    if scan.above is not None:
        newer = _paths_above(table, snapshot, scan.above)
        tasks = [task for task in tasks if task.file.file_path in newer]
    return tuple(sorted(tasks, key=lambda task: task.file.file_path))


def _plan(table: Table, snapshot: int, condition: BooleanExpression) -> list[FileScanTask]:
    tasks = list(table.scan(row_filter=condition, snapshot_id=snapshot).plan_files())
    for task in tasks:
        if any(file.content == DataFileContent.EQUALITY_DELETES for file in task.delete_files):
            raise TableError(
                ".".join(table.name()),
                "has equality deletes, which the embedded engine can't read",
                hint="compact the table with its writer.",
            )
    return tasks


def _identity(task: FileScanTask) -> tuple[str, frozenset[str]]:
    # A file whose delete files have changed holds other rows than before, though its path is the same.
    return task.file.file_path, frozenset(file.file_path for file in task.delete_files)


def _paths_above(table: Table, snapshot: int, sequence: int) -> set[str]:
    found = table.metadata.snapshot_by_id(snapshot)
    if found is None:
        raise TableError(".".join(table.name()), "has no such snapshot any more", got=str(snapshot))
    entries = (entry for manifest in found.manifests(table.io) for entry in manifest.fetch_manifest_entry(table.io, discard_deleted=True))
    return {entry.data_file.file_path for entry in entries if (entry.sequence_number or 0) > sequence}


def _bounds(scan: Scan, table: Table) -> BooleanExpression:
    condition: BooleanExpression = AlwaysTrue()
    names = {field.name for field in table.schema().fields}
    for column, (least, greatest) in scan.bounds.items():
        low, high = _literal(least), _literal(greatest)
        if column in names and low is not None:
            condition = And(condition, _at_least(column, low))
        if column in names and high is not None:
            condition = And(condition, _at_most(column, high))
    return condition


# pydantic's generated signature hides that these take a column and a value.
_at_least: Any = GreaterThanOrEqual
_at_most: Any = LessThanOrEqual


def _literal(value: object) -> Any:
    """The value as pyiceberg takes it, or None where files can't be pruned by it."""
    if isinstance(value, dt.datetime | dt.date):
        return value.isoformat()
    if isinstance(value, bool) or not isinstance(value, int | str | decimal.Decimal | uuid.UUID):
        return None
    return value


def is_local(location: str) -> bool:
    """Whether a location is a file of this machine."""
    return urlsplit(location).scheme in {"", "file"}


def local_path(location: str) -> str:
    """The path of a local file: Iceberg writes ``file:/a``, ``file:///a`` or ``/a``."""
    return location[len("file:") :].removeprefix("//") if location.startswith("file:") else location


def duckdb_type(kind: IcebergType) -> str:
    """DuckDB's words for an Iceberg type."""
    if isinstance(kind, DecimalType):
        return f"DECIMAL({kind.precision}, {kind.scale})"
    if isinstance(kind, ListType):
        return f"{duckdb_type(kind.element_type)}[]"
    if isinstance(kind, MapType):
        return f"MAP({duckdb_type(kind.key_type)}, {duckdb_type(kind.value_type)})"
    if isinstance(kind, StructType):
        return "STRUCT(" + ", ".join(f"{quote(field.name)} {duckdb_type(field.field_type)}" for field in kind.fields) + ")"
    if isinstance(kind, PrimitiveType) and str(kind) in _DUCKDB:
        return _DUCKDB[str(kind)]
    if str(kind).startswith("fixed"):
        return "BLOB"
    raise TableError("schema", "the embedded engine can't read this type", got=str(kind))


def quote(name: str) -> str:
    """An identifier in DuckDB's quotes."""
    escaped = name.replace('"', '""')
    return f'"{escaped}"'


def text(value: str) -> str:
    """A string literal in DuckDB's quotes."""
    escaped = value.replace("'", "''")
    return f"'{escaped}'"


def read_files(fields: Sequence[NestedField], files: FileSet, *, positions: bool = False) -> str:
    """The DuckDB query that gives the live rows of some files, in the table's current columns.

    With ``positions``, also ``_file`` (the local path) and ``_pos`` (the row's number in it).
    """
    names = ", ".join(quote(field.name) for field in fields)
    extra = ", filename AS _file, file_row_number AS _pos" if positions else ""
    if not files.tasks:
        empty = ", ".join(f"CAST(NULL AS {duckdb_type(field.field_type)}) AS {quote(field.name)}" for field in fields)
        return f"SELECT {empty}{', NULL::VARCHAR AS _file, NULL::BIGINT AS _pos' if positions else ''} WHERE false"
    columns = ", ".join(
        f"{field.field_id}: {{name: {text(field.name)}, type: {text(duckdb_type(field.field_type))}, default_value: NULL}}"
        for field in fields
    )
    needs_position = bool(files.delete_paths) or positions
    options = ", filename = true, file_row_number = true" if needs_position else ""
    source = f"read_parquet({_list(files.paths)}, schema = MAP {{{columns}}}{options})"
    if not files.delete_paths:
        return f"SELECT {names}{extra} FROM {source}"
    # Position-delete files name the data file as its writer wrote it: with or without a scheme.
    deletes = f"SELECT regexp_replace(file_path, '^file:(//)?', '') AS f, pos AS p FROM read_parquet({_list(files.delete_paths)})"
    return f"SELECT {names}{extra} FROM {source} d WHERE NOT EXISTS (SELECT 1 FROM ({deletes}) x WHERE x.f = d.filename AND x.p = d.file_row_number)"


def _list(paths: Iterable[str]) -> str:
    return "[" + ", ".join(text(path) for path in paths) + "]"


def data_files(files: FileSet) -> dict[str, DataFile]:
    """Local path to data file."""
    return {local_path(task.file.file_path): task.file for task in files.tasks}
