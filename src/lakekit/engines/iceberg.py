"""A table's state, read off Iceberg's own metadata."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import attrs
from pyiceberg.io.pyarrow import schema_to_pyarrow
from pyiceberg.schema import Schema
from pyiceberg.types import IcebergType, ListType, MapType, NestedField, StructType

from lakekit.engines.plan import Snapshot, TableState
from lakekit.engines.types import storable, storable_schema
from lakekit.names import Identifier

if TYPE_CHECKING:
    import pyarrow as pa
    from pyiceberg.table.metadata import TableMetadata
    from pyiceberg.table.snapshots import Snapshot as IcebergSnapshot


def state_of(name: Identifier, metadata: TableMetadata, native: Any) -> TableState:
    """The state that a table's metadata describes."""
    current = metadata.current_snapshot()
    return TableState(
        name=name,
        uuid=str(metadata.table_uuid),
        schema=arrow_schema(metadata.schema()),
        properties=dict(metadata.properties),
        snapshots=_Snapshots(metadata.snapshots),
        references={name: reference.snapshot_id for name, reference in metadata.refs.items()},
        head=current.snapshot_id if current else None,
        native=native,
        identifiers=_identifiers(metadata.schema()),
        required=frozenset(_required((), metadata.schema().as_struct())),
        schema_id=metadata.current_schema_id,
        partitioned=_columns(metadata.schema(), (field.source_id for field in metadata.spec().fields)),
        sorted=_columns(metadata.schema(), (field.source_id for field in metadata.sort_order().fields)),
    )


class _Snapshots(Mapping[int, Snapshot]):
    """Snapshots by their ids. Each is made when it is looked at: a table may have many thousands, of which a write looks at a few."""

    def __init__(self, found: Iterable[IcebergSnapshot]) -> None:
        self._found = {snapshot.snapshot_id: snapshot for snapshot in found}
        self._made: dict[int, Snapshot] = {}

    def __getitem__(self, number: int) -> Snapshot:
        made = self._made.get(number)
        if made is None:
            made = self._made[number] = _snapshot(self._found[number])
        return made

    def __contains__(self, number: object) -> bool:
        return number in self._found

    def __iter__(self) -> Iterator[int]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)


def _snapshot(found: IcebergSnapshot) -> Snapshot:
    return Snapshot(
        id=found.snapshot_id,
        parent=found.parent_snapshot_id,
        sequence=found.sequence_number or 0,
        committed_at=found.timestamp_ms,
        operation=found.summary.operation.value if found.summary else "append",
        summary=dict(found.summary.additional_properties) if found.summary else {},
    )


def _columns(schema: Schema, numbers: Iterable[int]) -> frozenset[str]:
    """Their names, dots leading inwards; what went since is left out."""
    found = (schema.find_column_name(number) for number in numbers)
    return frozenset(name for name in found if name is not None)


def _identifiers(schema: Schema) -> tuple[str, ...]:
    """The identifier fields in the order of the columns. None where one stands inside a struct: it is no column that rows could be joined by."""
    named = schema.identifier_field_names()
    columns = tuple(field.name for field in schema.fields if field.name in named)
    return columns if len(columns) == len(named) else ()


def _inside(kind: IcebergType) -> list[tuple[str, NestedField]]:
    """The fields in a type, by name; the keys of a map are none of them."""
    if isinstance(kind, StructType):
        return [(field.name, field) for field in kind.fields]
    if isinstance(kind, ListType):
        return [("element", kind.element_field)]
    return [("value", kind.value_field)] if isinstance(kind, MapType) else []


def _required(path: tuple[str, ...], kind: IcebergType) -> Iterator[tuple[str, ...]]:
    """The paths of what can't be NULL inside of a type."""
    for name, field in _inside(kind):
        if field.required:
            yield (*path, name)
        yield from _required((*path, name), field.field_type)


def arrow_schema(schema: Schema) -> pa.Schema:
    """An Iceberg schema in Arrow's types."""
    return storable_schema(schema_to_pyarrow(schema, include_field_ids=False))


@attrs.frozen
class SchemaField:
    """A column, or a field inside of one, as one version of a schema has it.

    Attributes:
        name: Its path in that version, as people read it.
        own: Its own name.
        parent: The number of the field that it is in. None: it is a column.
        nested: Whether others are in it.
    """

    name: str
    own: str
    type: pa.DataType
    required: bool
    parent: int | None
    nested: bool


@attrs.frozen
class SchemaVersion:
    """One schema that a table has had: number to field, and the snapshots that were made with it."""

    id: int
    fields: dict[int, SchemaField]
    snapshots: frozenset[int]


def schema_versions(state: TableState) -> list[SchemaVersion]:
    """The schemas that a table has had, oldest first."""
    metadata: TableMetadata = state.native.metadata
    return [
        SchemaVersion(
            schema.schema_id,
            dict(_numbered((), None, schema.as_struct())),
            frozenset(found.snapshot_id for found in metadata.snapshots if found.schema_id == schema.schema_id),
        )
        for schema in metadata.schemas
    ]


def _numbered(path: tuple[str, ...], parent: int | None, kind: IcebergType) -> Iterator[tuple[int, SchemaField]]:
    for name, field in _inside(kind):
        arrow = schema_to_pyarrow(Schema(field), include_field_ids=False).field(0).type
        own = (*path, name)
        yield field.field_id, SchemaField(".".join(own), name, storable(arrow), field.required, parent, not field.field_type.is_primitive)
        yield from _numbered(own, field.field_id, field.field_type)
