"""Arrow: out of whatever frames people hold, and brought into a table's columns and types."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

import pyarrow as pa

from lakekit.errors import ConfigError, SchemaError


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


def with_constants(batch: pa.RecordBatch, values: Mapping[str, pa.Scalar[Any]]) -> pa.RecordBatch:
    """The batch with columns that have one value.

    >>> with_constants(pa.RecordBatch.from_pydict({"a": [1, 2]}), {"b": pa.scalar("x")}).to_pylist()
    [{'a': 1, 'b': 'x'}, {'a': 2, 'b': 'x'}]
    """
    fields = [*batch.schema, *(pa.field(name, value.type) for name, value in values.items())]
    arrays = [*batch.columns, *(pa.repeat(cast("Any", value), batch.num_rows) for value in values.values())]
    return pa.RecordBatch.from_arrays(arrays, schema=pa.schema(fields))


def _cast(column: pa.Array[Any], kind: pa.DataType) -> pa.Array[Any]:
    if isinstance(column.type, pa.BaseExtensionType):
        if column.type == pa.uuid() and pa.types.is_string(kind):  # Spark has no type for it
            return pa.array([None if value is None else str(value) for value in column.to_pylist()], kind)
        return _cast(column.storage, kind)  # type: ignore[attr-defined] -- an ExtensionArray, by its type
    if isinstance(kind, pa.BaseExtensionType):
        return pa.ExtensionArray.from_storage(kind, column.cast(kind.storage_type))
    return column.cast(kind)


def to_arrow(data: object) -> pa.Table:
    """Arrow out of whatever people hold: Arrow itself, pandas, Polars, DuckDB, or rows as dictionaries."""
    if isinstance(data, pa.Table):
        return data
    if isinstance(data, pa.RecordBatch):
        return pa.Table.from_batches([data])
    if isinstance(data, pa.RecordBatchReader):
        return data.read_all()
    if isinstance(data, list):
        rows = cast("list[dict[str, Any]]", data)
        names = dict.fromkeys(name for row in rows for name in row)
        return pa.Table.from_pylist([{**names, **rows[0]}, *rows[1:]] if rows else rows)  # Arrow knows the columns of the first row only
    if type(data).__module__.startswith("pandas."):
        return pa.Table.from_pandas(data, preserve_index=False)  # type: ignore[arg-type] -- told by its module, without importing pandas
    for method in ("to_arrow_table", "to_arrow", "toArrow"):
        convert: Callable[[], pa.Table] | None = getattr(data, method, None)
        if callable(convert):
            return convert()
    if hasattr(data, "__arrow_c_stream__"):
        return pa.table(data)  # type: ignore[arg-type] -- it was asked for the method
    raise ConfigError(
        "from_frame()", "expected an Arrow, pandas, Polars or DuckDB frame, or a list of dictionaries", got=type(data).__name__
    )
