"""Rows by partition, for every transform and without pyiceberg's optional native code: each value is transformed once."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final, cast

import pyarrow as pa
import pyarrow.compute as pc
from pyiceberg.partitioning import PartitionKey
from pyiceberg.transforms import TruncateTransform
from pyiceberg.typedef import Record

if TYPE_CHECKING:
    from pyiceberg.partitioning import PartitionField
    from pyiceberg.schema import Schema
    from pyiceberg.table import Table

BITS: Final = {"int": 32, "long": 64}


@dataclasses.dataclass(frozen=True)
class Partition(PartitionKey):
    """A partition by its values, which pyiceberg's own class can't tell where two fields come from one column."""

    values: Record

    @property
    def partition(self) -> Record:  # pyright: ignore[reportIncompatibleVariableOverride] -- there it is computed once
        """The values."""
        return self.values


def split(table: Table, rows: pa.Table) -> Iterator[tuple[PartitionKey, pa.Table]]:
    """The rows of each partition of the table's current spec, in the order in which they come."""
    spec, schema = table.spec(), table.schema()
    known: list[list[Any]] = []
    combined: Any = pa.repeat(0, rows.num_rows)
    for field in spec.fields:
        values, codes = _transformed(field, schema, rows)
        known.append(values)
        combined = pc.add(pc.multiply(combined, len(values)), codes)
    for code in cast("list[int]", pc.unique(combined).to_pylist()):
        rest, record = code, list[Any]()
        for values in reversed(known):
            rest, index = divmod(rest, len(values))
            record.append(values[index])
        yield Partition([], spec, schema, Record(*reversed(record))), rows.filter(pc.equal(combined, pa.scalar(code))).combine_chunks()


def _transformed(field: PartitionField, schema: Schema, rows: pa.Table) -> tuple[list[Any], pa.Array[Any]]:
    """The values that a partition field takes, and which of them each row has."""
    encoded: Any = pc.dictionary_encode(_physical(_column(rows, schema, field.source_id)), null_encoding="encode")
    kind = schema.find_type(field.source_id)
    transform: Any = field.transform.transform(kind)
    if isinstance(field.transform, TruncateTransform) and str(kind) in BITS:
        transform = _wrapping(transform, BITS[str(kind)])
    known: dict[Any, int] = {}
    codes = [known.setdefault(None if value is None else transform(value), len(known)) for value in encoded.dictionary.to_pylist()]
    return list(known), pa.array(codes, pa.int64()).take(encoded.indices)


def _wrapping(truncate: Callable[[int], int], bits: int) -> Callable[[int], int]:
    """Truncation of integers as Iceberg's reference has it: what is less than the least integer comes out at the other end."""
    half = 1 << (bits - 1)
    return lambda value: (truncate(value) + half) % (2 * half) - half


def _column(rows: pa.Table, schema: Schema, field_id: int) -> pa.Array[Any]:
    """The column of a field, which may be a part of a struct."""
    name = str(schema.find_column_name(field_id))
    if name in rows.column_names:
        return _whole(rows.column(name))
    first, *path = name.split(".")
    return cast("pa.Array[Any]", pc.struct_field(_whole(rows.column(first)), path))


def _whole(column: pa.ChunkedArray[Any]) -> pa.Array[Any]:
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)


def _physical(column: pa.Array[Any]) -> pa.Array[Any]:
    """The values as Iceberg's transforms and manifests know them: bytes of a UUID, days, microseconds."""
    kind: pa.DataType = column.type
    if isinstance(kind, pa.BaseExtensionType):
        return cast("pa.ExtensionArray[Any]", column).storage
    if pa.types.is_date32(kind):
        return column.cast(pa.int32())
    return column.cast(pa.int64()) if pa.types.is_timestamp(kind) or pa.types.is_time(kind) else column
