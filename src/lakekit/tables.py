"""create_table, and the list of SQL functions that mean the same on every engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from lakekit.errors import TableError
from lakekit.lake import Lake
from lakekit.names import TableName, text

if TYPE_CHECKING:
    import pyarrow as pa


def create_table(
    lake: Lake,
    table: TableName,
    *,
    schema: Mapping[str, str] | pa.Schema,
    partition_by: str | Sequence[str] = (),
    sort_by: str | Sequence[str] = (),
    properties: Mapping[str, str] | None = None,
) -> None:
    """Make a table by hand, where its partitions, order or properties matter. Writes make missing tables by themselves.

    Args:
        lake: Where.
        table: Its name.
        schema: Column to SQL type (``{"id": "bigint", "amount": "decimal(10,2)"}``), or an Arrow schema. Every column is optional; writes
            add lakekit's own.
        partition_by: One or several: ``"country"``, ``"day(ordered_at)"``, ``"bucket(16, user_id)"``, ``"truncate(4, code)"``.
        sort_by: ``"ordered_at"`` or ``"ordered_at desc"``: rows are written in this order.
        properties: Iceberg table properties.

    Raises:
        TableError: There is one already.
        SchemaError: An unknown type.
        ConfigError: An unknown column, or a partition transform that is none.

    >>> import lakekit as lk, tempfile
    >>> lake = lk.connect(tempfile.mkdtemp())
    >>> lk.create_table(lake, "silver.orders", schema={"id": "bigint", "ordered_at": "timestamp"}, partition_by=["day(ordered_at)"])
    >>> lake.tables()
    ['silver.orders']
    """
    import pyarrow as pa

    from lakekit.engines.types import arrow_type

    identifier = lake.identifier(table, place="create_table()")
    if lake.find(identifier) is not None:
        raise TableError(
            f"create_table(): {text(identifier)}", "there is one already", hint="use another name; writes add new columns by themselves."
        )
    if isinstance(schema, Mapping):
        schema = pa.schema([pa.field(name, arrow_type(words, place=f"create_table(): column {name!r}")) for name, words in schema.items()])
    partitions, order = ((given,) if isinstance(given, str) else tuple(given) for given in (partition_by, sort_by))
    lake.engine.create(identifier, schema, partition_by=partitions, sort_by=order, properties=dict(properties or {}))


def sql_functions() -> list[str]:
    """The SQL functions that mean the same on every engine: what `select`, `where` and `Batch.sql` may call.

    >>> "lower" in sql_functions()
    True
    """
    from lakekit.engines.sql import FUNCTIONS

    return sorted(" ".join(FUNCTIONS.values()).split())
