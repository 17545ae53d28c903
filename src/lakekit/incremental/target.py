"""The table a write goes to: named, made where it is missing, and fitted to the incoming columns."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import attrs

from lakekit import columns as system
from lakekit.batch import Rejects
from lakekit.bookmark import BOOKMARK, Stored
from lakekit.engines import sql
from lakekit.engines.plan import TableState
from lakekit.engines.types import arrow_type, dotted_parts, ident, sql_type
from lakekit.errors import CommitConflictError, ConfigError, SchemaError
from lakekit.evolution import rows as fitting
from lakekit.evolution.fit import exact, fit, planned
from lakekit.evolution.policy import require_policy
from lakekit.evolution.schema_plan import grown, quoted
from lakekit.incremental import contract
from lakekit.lineage import PROPERTY, to_property
from lakekit.names import Identifier, TableName, text

if TYPE_CHECKING:
    import pyarrow as pa

    from lakekit.batch import Batch
    from lakekit.evolution.policy import Policy
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


def _settled(batch: Batch, state: TableState | None) -> Batch:
    """The batch with types for the columns that hold no value: the table's own, or none where the table lacks the column."""
    if not batch.untyped:
        return batch
    types = {} if state is None else {field.name: sql_type(field.type) for field in state.schema}
    items = [
        f"CAST(NULL AS {types[name]}) AS {ident(name)}" if name in batch.untyped else ident(name)
        for name in batch.columns
        if name not in batch.untyped or name in types
    ]
    return batch.then(f"SELECT {', '.join(items)} FROM batch", untyped=())


def adapt(batch: Batch, into: Identifier, state: TableState | None, *, on_change: Policy, keys: Collection[str] = (), place: str) -> Batch:
    """The batch as the table takes it: in its names and types, with values that don't fit rescued or their rows rejected, as the policy says.

    ``state`` is the table. None: it is not there yet.

    Raises:
        SchemaError: The policy says that a person decides. Nothing was written.
        ConfigError: An unknown policy.
    """
    from lakekit.incremental import forgotten

    require_policy(on_change, place=place)
    batch = forgotten.without(_settled(batch, state), state, place=place)
    if state is None:
        refuse_new_table(batch.lake, into, batch.schema, on_change, place=place)
        return batch
    fitted = fitted_to(state, batch.schema, on_change, keys=keys, place=place)
    if system.RESCUED_DATA in state.schema.names:
        fitted = _without_old_rescues(state, batch.schema, fitted)
    if fitted is None:
        return batch
    good, bad = fitting.split(batch.node, batch.schema, fitted)
    rejected = () if bad is None else (Rejects(bad[0], bad[1], batch.origin, batch.since),)
    return attrs.evolve(batch, node=good, rejects=(*batch.rejects, *rejected))


def fitted_to(state: TableState, incoming: pa.Schema, policy: Policy, *, keys: Collection[str] = (), place: str) -> fitting.Fitted | None:
    """How incoming rows become those of a table. None: as they are, once the table's own schema has followed.

    Raises:
        SchemaError: The policy says that a person decides.
    """
    import pyarrow as pa

    business = pa.schema([field for field in incoming if not system.is_system(field.name)])
    plan = planned(state, business, policy, keys=keys, place=place)
    plan.require_allowed(place=place)
    if not any(
        step.action in fitting.LEAVING or step.change.kind in ("narrower", "case") or len(step.change.path) > 1 for step in plan.steps
    ):
        return None
    return fitting.fitted(incoming, grown(exact(state), plan.of("evolve")), plan)


def _without_old_rescues(state: TableState, incoming: pa.Schema, fitted: fitting.Fitted | None) -> fitting.Fitted | None:
    """Rows that say all of a table's columns leave nothing of what was rescued from older ones; others may leave what they don't speak of."""
    import pyarrow as pa

    given = fitted.items if fitted else {name: ident(name) for name in incoming.names}
    business = {name for name in state.schema.names if not system.is_system(name)}
    if system.RESCUED_DATA in given or not business <= given.keys():
        return fitted
    schema = (fitted.schema if fitted else incoming).append(pa.field(system.RESCUED_DATA, pa.string()))
    items = {**given, system.RESCUED_DATA: "CAST(NULL AS STRING)"}
    return attrs.evolve(fitted, items=items, schema=schema) if fitted else fitting.Fitted(items, schema)


def refuse_new_table(lake: Lake, into: Identifier, schema: pa.Schema, policy: Policy, *, place: str) -> None:
    """Raise where a table that is not there yet is not to be made.

    Raises:
        SchemaError: The policy's word for ``table`` is ``fail``, or that for everything.
    """
    if isinstance(policy, Mapping) and policy.get("table", "evolve") != "evolve":
        columns = ", ".join(f"{quoted((field.name,))} {sql_type(field.type)}" for field in schema if not system.is_system(field.name))
        where = quoted((*([lake.spark.catalog] if lake.spark else []), *into))
        raise SchemaError(f"{place}: {text(into)}", "there is no such table", hint=f"run:\nCREATE TABLE {where} ({columns}) USING iceberg;")


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
    on_change: Policy,
    place: str,
    key: Sequence[str] = (),
    scd2: Mapping[str, Any] | None = None,
    properties: Mapping[str, str] | None = None,
) -> tuple[TableState, tuple[str, ...]]:
    """The table, made (then with these properties, too) or fitted to these columns.

    Returns:
        The table, and the names of the columns that were added to it.
    """
    require_policy(on_change, place=place)
    state = lake.find(into)
    if state is None:
        noted = {**(properties or {}), **contract.properties(layer=layer, key=key, scd2=scd2)}
        state = lake.engine.create(into, schema, partition_by=(), sort_by=(), properties=noted)
    elif contract.FORMAT not in state.properties:
        _adopt(lake, state, contract.properties(layer=layer, key=key, scd2=scd2))
        state = lake.engine.load(into)
    if key:
        contract.require_key(state, key, place=place)
    return fit(lake.engine, state, schema, on_change=on_change, place=place)


def with_lineage(state: TableState, batch: Batch) -> TableState:
    """The table, after where its columns come from was noted, if that is new."""
    words = to_property(state.properties, batch.lineage)
    if not batch.lineage or words == state.properties.get(PROPERTY):
        return state
    with suppress(CommitConflictError):  # the next write notes it
        batch.lake.engine.set_properties(state, {PROPERTY: words}, expect={PROPERTY: state.properties.get(PROPERTY)})
    return batch.lake.engine.load(state.name)


def _adopt(lake: Lake, state: TableState, properties: Mapping[str, str]) -> None:
    """Note the contract on a table that was made by create_table() or by another tool."""
    # A bookmark that says that nothing was consumed: without any, the rows that are there would look like lakekit's own.
    lake.engine.set_properties(state, {BOOKMARK: Stored().to_json(), **properties}, expect={contract.FORMAT: None})


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
