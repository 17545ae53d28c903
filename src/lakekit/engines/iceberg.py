"""A table's state, read off Iceberg's own metadata."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from pyiceberg.io.pyarrow import schema_to_pyarrow
from pyiceberg.types import IcebergType, ListType, MapType, NestedField, StructType

from lakekit.engines.plan import Snapshot, TableState
from lakekit.engines.types import storable_schema
from lakekit.names import Identifier

if TYPE_CHECKING:
    import pyarrow as pa
    from pyiceberg.schema import Schema
    from pyiceberg.table.metadata import TableMetadata

OWN_BRANCH: Final = "lakekit_"
"""What the names of branches begin with on which writes wait to reach main; those of crashed writes are left."""


def state_of(name: Identifier, metadata: TableMetadata, native: Any) -> TableState:
    """The state that a table's metadata describes."""
    snapshots = {
        found.snapshot_id: Snapshot(
            id=found.snapshot_id,
            parent=found.parent_snapshot_id,
            sequence=found.sequence_number or 0,
            committed_at=found.timestamp_ms,
            operation=found.summary.operation.value if found.summary else "append",
            summary=dict(found.summary.additional_properties) if found.summary else {},
        )
        for found in metadata.snapshots
    }
    current = metadata.current_snapshot()
    return TableState(
        name=name,
        uuid=str(metadata.table_uuid),
        schema=arrow_schema(metadata.schema()),
        properties=dict(metadata.properties),
        snapshots=snapshots,
        references={name: reference.snapshot_id for name, reference in metadata.refs.items()},
        head=current.snapshot_id if current else None,
        native=native,
        identifiers=_identifiers(metadata.schema()),
        required=frozenset(_required((), metadata.schema().as_struct())),
        schema_id=metadata.current_schema_id,
    )


def _identifiers(schema: Schema) -> tuple[str, ...]:
    """The identifier fields in the order of the columns. None where one stands inside a struct: it is no column that rows could be joined by."""
    named = schema.identifier_field_names()
    columns = tuple(field.name for field in schema.fields if field.name in named)
    return columns if len(columns) == len(named) else ()


def _required(path: tuple[str, ...], kind: IcebergType) -> Iterator[tuple[str, ...]]:
    """The paths of what can't be NULL inside of a type; the keys of a map never can."""
    inner: list[tuple[str, NestedField]] = []
    if isinstance(kind, StructType):
        inner = [(field.name, field) for field in kind.fields]
    elif isinstance(kind, ListType):
        inner = [("element", kind.element_field)]
    elif isinstance(kind, MapType):
        inner = [("value", kind.value_field)]
    for name, field in inner:
        if field.required:
            yield (*path, name)
        yield from _required((*path, name), field.field_type)


def arrow_schema(schema: Schema) -> pa.Schema:
    """An Iceberg schema in Arrow's types."""
    return storable_schema(schema_to_pyarrow(schema, include_field_ids=False))
