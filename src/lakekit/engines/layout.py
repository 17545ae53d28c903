"""A table's schema, partitions and order, in pyiceberg's words."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

import pyarrow as pa
from pyiceberg.exceptions import CommitFailedException
from pyiceberg.io.pyarrow import _pyarrow_to_schema_without_ids  # pyright: ignore[reportPrivateUsage] -- the public one asks for field ids
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema, assign_fresh_schema_ids
from pyiceberg.table.sorting import NullOrder, SortDirection, SortField, SortOrder
from pyiceberg.transforms import IdentityTransform, Transform, parse_transform

from lakekit.engines.types import storable_schema
from lakekit.errors import CommitConflictError, ConfigError

if TYPE_CHECKING:
    from pyiceberg.table import Table
    from pyiceberg.types import IcebergType

    from lakekit.engines.plan import Alteration

_CALL = re.compile(r"(?P<transform>\w+)\s*\(\s*(?:(?P<width>\d+)\s*,\s*)?(?P<column>[^(),]+?)\s*\)")
_FIRST_PARTITION_ID = 1000


def iceberg_schema(schema: pa.Schema) -> Schema:
    """The Iceberg schema for an Arrow one, every column optional.

    >>> print(iceberg_schema(pa.schema([("id", pa.int64())])))
    table {
      1: id: optional long
    }
    """
    return assign_fresh_schema_ids(_pyarrow_to_schema_without_ids(storable_schema(schema)))


def _iceberg_type(kind: pa.DataType) -> IcebergType:
    return iceberg_schema(pa.schema([pa.field("v", kind)])).find_field("v").field_type


def partition_spec(schema: Schema, partition_by: Sequence[str]) -> PartitionSpec:
    """The partition spec for words like ``country``, ``day(ordered_at)``, ``bucket(16, user_id)``.

    >>> schema = iceberg_schema(pa.schema([("at", pa.timestamp("us", tz="UTC"))]))
    >>> print(partition_spec(schema, ["day(at)"]).fields[0])
    1000: at_day: day(1)
    """
    fields: list[PartitionField] = []
    for offset, words in enumerate(partition_by):
        call = _CALL.fullmatch(words.strip())
        column = call["column"] if call else words.strip()
        transform = _transform(call["transform"].lower(), call["width"], words) if call else IdentityTransform()
        name = f"{column}_{call['transform'].lower()}" if call else column
        fields.append(PartitionField(_source(schema, column, "create_table(partition_by=)"), _FIRST_PARTITION_ID + offset, transform, name))
    return PartitionSpec(*fields)


def _transform(name: str, width: str | None, words: str) -> Transform[Any, Any]:
    singular = {"years": "year", "months": "month", "days": "day", "hours": "hour"}.get(name, name)
    if singular in {"year", "month", "day", "hour"} and width is None:
        return parse_transform(singular)
    if singular in {"bucket", "truncate"} and width is not None:
        return parse_transform(f"{singular}[{width}]")
    raise ConfigError(
        "create_table(partition_by=)",
        "unknown partition transform",
        got=repr(words),
        hint="write 'country', 'day(ordered_at)', 'bucket(16, user_id)' or 'truncate(4, code)'.",
    )


def sort_order(schema: Schema, sort_by: Sequence[str]) -> SortOrder:
    """The sort order for words like ``ordered_at`` or ``ordered_at desc``."""
    fields: list[SortField] = []
    for words in sort_by:
        column, _, direction = words.strip().partition(" ")
        if direction.strip().lower() not in {"", "asc", "desc"}:
            raise ConfigError("create_table(sort_by=)", "expected a column, and 'asc' or 'desc'", got=repr(words))
        descending = direction.strip().lower() == "desc"
        fields.append(
            SortField(
                source_id=_source(schema, column, "create_table(sort_by=)"),
                transform=IdentityTransform(),
                direction=SortDirection.DESC if descending else SortDirection.ASC,
                null_order=NullOrder.NULLS_LAST if descending else NullOrder.NULLS_FIRST,
            )
        )
    return SortOrder(*fields)


def _source(schema: Schema, column: str, place: str) -> int:
    try:
        return schema.find_field(column).field_id
    except ValueError:
        names = ", ".join(field.name for field in schema.fields)
        raise ConfigError(place, "unknown column", got=repr(column), hint=f"there are: {names}.") from None


def alter(table: Table, alterations: Sequence[Alteration]) -> None:
    """Change a table's schema in one commit.

    Raises:
        CommitConflictError: Somebody else changed the schema first.
    """
    try:
        with table.update_schema() as update:
            for change in alterations:
                if change.kind == "add":
                    update.add_column(change.path, _iceberg_type(change.type), required=False)
                elif change.kind == "widen":
                    update.update_column(change.path, cast("Any", _iceberg_type(change.type)))
                else:
                    update.make_column_optional(change.path)
    except CommitFailedException as error:
        raise CommitConflictError(".".join(table.name()), "somebody else changed the schema first", hint="run it again.") from error
