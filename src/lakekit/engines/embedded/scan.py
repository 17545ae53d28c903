"""Which files a scan reads."""

from __future__ import annotations

import datetime as dt
import decimal
import uuid
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pyiceberg.expressions import AlwaysTrue, And, BooleanExpression, GreaterThanOrEqual, LessThanOrEqual
from pyiceberg.manifest import DataFileContent
from pyiceberg.table import FileScanTask, Table
from pyiceberg.transforms import TruncateTransform

from lakekit.engines.absent import half_there
from lakekit.engines.embedded.partitions import BITS
from lakekit.engines.embedded.words import quote
from lakekit.errors import LakekitError, TableError

if TYPE_CHECKING:
    from lakekit.engines.plan import Scan, TableState


def select(scan: Scan) -> tuple[FileScanTask, ...]:
    """The files a scan has to read.

    Raises:
        TableError: A manifest is missing or broken, or there are equality deletes.
    """
    if scan.snapshot is None:
        return ()
    with manifests_of(scan.state):
        return _select(scan, scan.snapshot)


@contextmanager
def manifests_of(state: TableState) -> Generator[None]:
    """Reading a table's manifests.

    Raises:
        TableError: One is missing or broken.
    """
    try:
        yield
    except FileNotFoundError as error:
        raise half_there(state.label, type(error).__name__) from error
    except (OSError, LakekitError):  # the first may pass, the second knows better
        raise
    except Exception as error:  # what is no manifest makes its reader fail in any way
        raise half_there(state.label, type(error).__name__) from error


def _select(scan: Scan, snapshot: int) -> tuple[FileScanTask, ...]:
    table: Table = scan.state.native
    tasks = _plan(table, snapshot, _bounds(scan, table))
    if scan.minus is not None:
        known = {identity(task) for task in _plan(table, scan.minus, AlwaysTrue())}
        tasks = [task for task in tasks if identity(task) not in known]
    if scan.above is not None:
        known = sequences(table, snapshot)
        tasks = [task for task in tasks if known[task.file.file_path] > scan.above]
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


def identity(task: FileScanTask) -> tuple[str, frozenset[str]]:
    """What a file is known by: one whose delete files have changed holds other rows than before, though its path is the same."""
    return task.file.file_path, frozenset(file.file_path for file in task.delete_files)


def sequences(table: Table, snapshot: int) -> dict[str, int]:
    """The data sequence number of each file of a snapshot."""
    found = table.metadata.snapshot_by_id(snapshot)
    if found is None:
        raise TableError(".".join(table.name()), "has no such snapshot any more", got=str(snapshot))
    entries = (entry for manifest in found.manifests(table.io) for entry in manifest.fetch_manifest_entry(table.io, discard_deleted=True))
    return {entry.data_file.file_path: entry.sequence_number or 0 for entry in entries}


def _bounds(scan: Scan, table: Table) -> BooleanExpression:
    condition: BooleanExpression = AlwaysTrue()
    names = set(table.schema().column_names)  # those inside of structs too
    for column, (least, greatest) in scan.bounds.items():
        low, high = _literal(least), _literal(greatest)
        if column not in names or _wraps(table, column, low):
            continue
        if low is not None:
            condition = And(condition, _at_least(column, low))
        if high is not None:
            condition = And(condition, _at_most(column, high))
    return condition


def _wraps(table: Table, column: str, least: object) -> bool:
    """Whether truncation makes one of the greatest integers of this one: then partitions don't say what is less and what is more."""
    source = table.schema().find_field(column)
    bits = BITS.get(str(source.field_type))
    if bits is None or not isinstance(least, int):
        return False
    fields = (field for spec in table.specs().values() for field in spec.fields if field.source_id == source.field_id)
    return any(isinstance(field.transform, TruncateTransform) and least - field.transform.width < -(1 << (bits - 1)) for field in fields)


def within(scan: Scan) -> str:
    """DuckDB SQL for the rows that the bounds speak of, by whole numbers alone: what stands elsewhere in a file need not be decoded."""
    numbers = [
        (column, sign, bound)
        for column, bounds in scan.bounds.items()
        for sign, bound in zip((">=", "<="), bounds, strict=True)
        if isinstance(bound, int) and not isinstance(bound, bool) and column in scan.state.schema.names
    ]
    return " AND ".join(f"{quote(column)} {sign} {bound}" for column, sign, bound in numbers)


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
