"""The table a write goes to: named, made where it is missing, and fitted to the incoming columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lakekit import columns as system
from lakekit.engines import sql
from lakekit.engines.plan import TableState
from lakekit.engines.types import arrow_type, dotted_parts, ident, sql_type
from lakekit.errors import ConfigError, SchemaError
from lakekit.evolution.fit import fit, require_policy
from lakekit.incremental import contract
from lakekit.names import Identifier, TableName, text

if TYPE_CHECKING:
    import pyarrow as pa

    from lakekit.batch import Batch
    from lakekit.lake import Lake


def resolve(batch: Batch, into: TableName | None, *, place: str) -> Identifier:
    """The table a batch is to be written to.

    Raises:
        ConfigError: None is named, or another one than ``read_new(into=)`` said: that table's bookmark would not move, and rows be lost.
    """
    named = None if into is None else batch.lake.identifier(into, place=f"{place}(into=)")
    if named is None and batch.into is None:
        raise ConfigError(f"{place}(into=)", "expected a table to write to", hint="name it here, or in read_new(into=).")
    if batch.groups is not None and place != "replace_groups":
        raise ConfigError(
            f"{place}()", "whole groups are written whole", got="a batch of read_new_groups()", hint="write it with replace_groups()."
        )
    if named is not None and batch.into is not None and named != batch.into:
        raise ConfigError(
            f"{place}(into=)",
            f"the batch was read for {text(batch.into)!r}",
            got=repr(text(named)),
            hint=f"read it again with read_new(…, into={text(named)!r}): each table consumes for itself.",
        )
    return named or batch.into or ()


def settle(batch: Batch, into: Identifier) -> Batch:
    """The batch with types for the columns that hold no value: the table's own, or none where the table lacks the column."""
    if not batch.untyped:
        return batch
    state = batch.lake.find(into)
    types = {} if state is None else {field.name: sql_type(field.type) for field in state.schema}
    items = [
        f"CAST(NULL AS {types[name]}) AS {ident(name)}" if name in batch.untyped else ident(name)
        for name in batch.columns
        if name not in batch.untyped or name in types
    ]
    return batch.then(f"SELECT {', '.join(items)} FROM batch", untyped=())


def delete_condition(batch: Batch, delete_when: str | None, *, place: str) -> str:
    """SQL for the rows that are deletes: what the user says, or ``_operation``.

    Raises:
        QueryError: The user's condition doesn't parse, or names an unknown column.
    """
    if delete_when is not None:
        return sql.expression(delete_when, batch.columns, place=f"{place}(delete_when=)")
    return f"`{system.OPERATION}` = '{system.DELETE}'" if system.OPERATION in batch.columns else "false"


def schema_for(business: pa.Schema, names: Sequence[str]) -> pa.Schema:
    """Business columns, followed by these system columns."""
    import pyarrow as pa

    fields: list[pa.Field[Any]] = [field for field in business if not system.is_system(field.name)]
    fields += [pa.field(name, arrow_type(system.BY_NAME[name].type)) for name in names]
    return pa.schema(fields)


def ensure(
    lake: Lake,
    into: Identifier,
    schema: pa.Schema,
    *,
    layer: str,
    on_change: str,
    place: str,
    key: Sequence[str] = (),
    scd2: Mapping[str, Any] | None = None,
) -> tuple[TableState, tuple[str, ...]]:
    """The table, made or fitted to these columns.

    Returns:
        The table, and the names of the columns that were added to it.
    """
    require_policy(on_change, place=place)
    state = lake.find(into)
    if state is None:
        properties = contract.properties(layer=layer, key=key, scd2=scd2)
        state = lake.engine.create(into, schema, partition_by=(), sort_by=(), properties=properties)
    elif contract.FORMAT not in state.properties:
        _adopt(lake, state, contract.properties(layer=layer, key=key, scd2=scd2))
        state = lake.engine.load(into)
    if key:
        contract.require_key(state, key, place=place)
    return fit(lake.engine, state, schema, on_change=on_change, place=place)


def _adopt(lake: Lake, state: TableState, properties: Mapping[str, str]) -> None:
    """Note the contract on a table that was made by create_table() or by another tool."""
    lake.engine.set_properties(state, properties, expect={contract.FORMAT: None})


def require_fields(schema: pa.Schema, wanted: Sequence[str], *, place: str) -> None:
    """Raise where a named column, or field inside of a struct column, is missing.

    Raises:
        SchemaError: It is missing; the text says what there is.
    """
    require_columns(schema.names, [dotted_parts(name, schema)[0] for name in wanted], place=place)


def require_columns(names: Sequence[str], wanted: Sequence[str], *, place: str) -> None:
    """Raise where a named column is missing.

    Raises:
        SchemaError: It is missing; the text says what there is.
    """
    missing = [name for name in wanted if name not in names]
    if missing:
        shown = ", ".join(name for name in names if not system.is_system(name))
        raise SchemaError(place, "no such column", got=", ".join(map(repr, missing)), hint=f"there are: {shown}.")
