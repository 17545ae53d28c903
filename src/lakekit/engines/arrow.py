"""Arrow batches brought into a table's columns and types."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from lakekit.errors import SchemaError


def conform(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """The batch with the schema's columns in its order; a missing one is NULL.

    Raises:
        SchemaError: A value doesn't fit its column.

    >>> batch = pa.RecordBatch.from_pydict({"b": [1]})
    >>> conform(batch, pa.schema([("a", pa.string()), ("b", pa.int64())])).to_pylist()
    [{'a': None, 'b': 1}]
    """
    arrays: list[pa.Array[Any]] = []
    names = {name: index for index, name in enumerate(batch.schema.names)}
    for field in schema:
        if field.name not in names:
            arrays.append(pa.nulls(batch.num_rows, field.type))
            continue
        column = batch.column(names[field.name])
        try:
            arrays.append(column if column.type == field.type else _cast(column, field.type))
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError):
            # Arrow's own text would show the value.
            raise SchemaError(
                f"column {field.name!r}",
                f"a value doesn't fit the table's type {field.type}",
                got=str(column.type),
                hint="clean it first, or widen the column.",
            ) from None
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _cast(column: pa.Array[Any], kind: pa.DataType) -> pa.Array[Any]:
    if isinstance(column.type, pa.BaseExtensionType):
        return _cast(column.storage, kind)  # type: ignore[attr-defined]
    if isinstance(kind, pa.BaseExtensionType):
        return pa.ExtensionArray.from_storage(kind, column.cast(kind.storage_type))
    return column.cast(kind)
