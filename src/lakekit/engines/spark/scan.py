"""Rows of a table's snapshot, as SQL: in the table's current columns, and of some of its files only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from pyiceberg.types import IcebergType, ListType, MapType, NestedField, StructType

from lakekit.engines.iceberg import arrow_schema
from lakekit.engines.plan import Scan, TableState
from lakekit.engines.spark import dialect
from lakekit.engines.types import ident, sql_type

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa
    from pyiceberg.schema import Schema
    from pyiceberg.table.metadata import TableMetadata

    from lakekit.engines.plan import Snapshot


def words(scan: Scan) -> str:
    """The SELECT that gives a scan's rows."""
    schema = scan.state.schema
    if scan.snapshot is None:
        empty = ", ".join(f"CAST(NULL AS {sql_type(field.type)}) AS {ident(field.name)}" for field in schema)
        return f"SELECT {empty} WHERE false"
    path = scan.state.native.path
    columns = ", ".join(_columns(scan.state, scan.snapshot))
    rows = f"{path} VERSION AS OF {scan.snapshot}"
    conditions = _bounds(scan)
    if scan.minus is not None or scan.above is not None:
        rows = f"(SELECT *, _file FROM {rows}) r LEFT SEMI JOIN ({_files(scan, path)}) f ON r._file = f.file_path"
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    return f"SELECT {columns} FROM {rows}{where}"


def adds_only(scan: Scan) -> bool:
    """Whether a scan is of what was appended since an older snapshot, so that Iceberg's incremental read gives it."""
    if scan.minus is None or scan.snapshot is None or scan.above is not None or scan.minus == scan.snapshot:
        return False
    return all(
        found.operation == "append"
        and not any(found.count(name) for name in ("deleted-data-files", "added-delete-files", "removed-delete-files"))
        for found in _between(scan.state, scan.minus, scan.snapshot)
    )


def _between(state: TableState, base: int, head: int) -> list[Snapshot]:
    """The snapshots after one, up to another. Where they aren't of one line, all that are known: no one can tell."""
    found: list[Snapshot] = []
    at: int | None = head
    while at is not None and at != base and at in state.snapshots:
        found.append(state.snapshots[at])
        at = state.snapshots[at].parent
    return found if at == base else list(state.snapshots.values())


def _files(scan: Scan, path: str) -> str:
    """The data files a scan reads."""
    if scan.above is not None:
        # Status 2: the entry says that the file is gone.
        at = f"{path}.entries VERSION AS OF {scan.snapshot}"
        return f"SELECT data_file.file_path FROM {at} WHERE status < 2 AND data_file.content = 0 AND sequence_number > {scan.above}"
    now, before = (_identities(scan.state, path, cast("int", snapshot)) for snapshot in (scan.snapshot, scan.minus))
    return f"SELECT file_path FROM (SELECT * FROM ({now}) EXCEPT SELECT * FROM ({before}))"


def _identities(state: TableState, path: str, snapshot: int) -> str:
    """Data files, each with its delete files: with others, it holds other rows under the same path."""
    at = f"VERSION AS OF {snapshot}"
    data = f"SELECT file_path FROM {path}.files {at} WHERE content = 0"
    if not state.snapshots[snapshot].count("total-delete-files"):
        return f"SELECT file_path, CAST(NULL AS STRING) AS deletes FROM ({data})"
    positions = f"SELECT DISTINCT file_path, delete_file_path FROM {path}.position_deletes {at}"
    listed = (
        f"SELECT file_path, concat_ws(',', array_sort(collect_list(delete_file_path))) AS deletes FROM ({positions}) GROUP BY file_path"
    )
    # Equality deletes name no data file: any of them may have changed any.
    equality = f"SELECT concat_ws(',', array_sort(collect_list(file_path))) AS any FROM {path}.files {at} WHERE content = 2"
    return (
        "SELECT d.file_path, concat_ws('|', p.deletes, nullif(e.any, '')) AS deletes "
        f"FROM ({data}) d LEFT JOIN ({listed}) p ON d.file_path = p.file_path CROSS JOIN ({equality}) e"
    )


def _bounds(scan: Scan) -> list[str]:
    conditions: list[str] = []
    for column, (least, greatest) in scan.bounds.items():
        if column not in scan.state.schema.names:
            continue
        low, high = dialect.value(least), dialect.value(greatest)
        conditions += [f"{ident(column)} >= {low}"] if low is not None else []
        conditions += [f"{ident(column)} <= {high}"] if high is not None else []
    return conditions


def _columns(state: TableState, snapshot: int) -> list[str]:
    """The current columns, out of those that the snapshot was written with: time travel gives the latter."""
    metadata: TableMetadata = state.native.metadata
    found = metadata.snapshot_by_id(snapshot)
    now = metadata.schema()
    then = now if found is None or found.schema_id is None else _schema(metadata, found.schema_id)
    return [f"{expression} AS {ident(name)}" for name, expression in zip(state.schema.names, _fitted(then, now, state.schema), strict=True)]


def _schema(metadata: TableMetadata, schema_id: int) -> Schema:
    return next((schema for schema in metadata.schemas if schema.schema_id == schema_id), metadata.schema())


def _fitted(then: Schema, now: Schema, schema: pa.Schema) -> list[str]:
    if then.schema_id == now.schema_id:
        return [ident(name) for name in schema.names]
    known = {field.field_id: field for field in then.fields}
    return [
        _field(known.get(field.field_id), field, ident(known[field.field_id].name) if field.field_id in known else "", kind.type)
        for field, kind in zip(now.fields, schema, strict=True)
    ]


def _field(old: NestedField | None, new: NestedField, expression: str, kind: pa.DataType) -> str:
    return f"CAST(NULL AS {sql_type(kind)})" if old is None else _value(old.field_type, new.field_type, expression, kind)


def _value(old: IcebergType, new: IcebergType, expression: str, kind: Any, depth: int = 0) -> str:
    """A value of an old type as one of the current type: new fields are NULL, renamed ones bear their new name."""
    if old == new:
        return expression
    if isinstance(old, StructType) and isinstance(new, StructType):
        known = {field.field_id: field for field in old.fields}
        parts: Sequence[str] = [
            f"{dialect.text(field.name)}, "
            + (
                _value(
                    known[field.field_id].field_type,
                    field.field_type,
                    f"{expression}.{ident(known[field.field_id].name)}",
                    part.type,
                    depth,
                )
                if field.field_id in known
                else f"CAST(NULL AS {sql_type(part.type)})"
            )
            for field, part in zip(new.fields, kind, strict=True)
        ]
        return f"CASE WHEN {expression} IS NULL THEN NULL ELSE named_struct({', '.join(parts)}) END"
    if isinstance(old, ListType) and isinstance(new, ListType):
        item = f"x{depth}"
        return f"transform({expression}, {item} -> {_value(old.element_type, new.element_type, item, kind.value_type, depth + 1)})"
    if isinstance(old, MapType) and isinstance(new, MapType):
        item = f"v{depth}"
        return f"transform_values({expression}, (k{depth}, {item}) -> {_value(old.value_type, new.value_type, item, kind.item_type, depth + 1)})"
    return f"CAST({expression} AS {sql_type(kind)})"


def current_schema(metadata: TableMetadata) -> pa.Schema:
    """A table's current columns as Spark gives them."""
    return dialect.readable_schema(arrow_schema(metadata.schema()))
