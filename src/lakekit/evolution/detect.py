"""plan, apply: what a source has that a table lacks, and the table's schema made to follow."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from lakekit import logs
from lakekit.engines.plan import TableState
from lakekit.errors import CommitConflictError
from lakekit.evolution.differences import Difference
from lakekit.evolution.fit import alteration, planned
from lakekit.evolution.policy import Policy
from lakekit.evolution.schema_plan import SchemaPlan, make
from lakekit.incremental import cas, contract
from lakekit.names import TableName, text
from lakekit.sources.protocol import Source, Target

if TYPE_CHECKING:
    import pyarrow as pa

    from lakekit.lake import Lake

log = logging.getLogger(__name__)


def plan(lake: Lake, source_or_table: Source | TableName, *, into: TableName, policy: Policy = "evolve") -> SchemaPlan:
    """What is to be done so that a table takes what a source, or another table, has. Nothing is changed, and no row is kept.

    Args:
        lake: Where the table is.
        source_or_table: A source as for `ingest`, or a table's name.
        into: The table that is to take it.
        policy: As ``on_change=`` of the function that will write.

    Returns:
        The plan; empty where there is nothing to do, also where the table isn't there yet: its first write makes it.

    Raises:
        SourceError: The source can't be reached.
        TableNotFoundError: There is no such table to take from.

    >>> import lakekit as lk, tempfile
    >>> lake = lk.connect(tempfile.mkdtemp())
    >>> _ = lk.append(lk.from_frame(lake, [{"id": 1}], run_id="a"), into="silver.orders")
    >>> _ = lk.append(lk.from_frame(lake, [{"id": 1, "device_type": "phone"}], run_id="a"), into="bronze.orders")
    >>> print(lk.evolution.plan(lake, "bronze.orders", into="silver.orders"))
    silver.orders:
      additive device_type: STRING: evolve, the table follows
    """
    name = lake.identifier(into, place="evolution.plan(into=)")
    state = lake.find(name)
    incoming = _columns(lake, source_or_table, state)
    if state is None:
        return make(text(name), Difference(), policy)
    return planned(state, incoming, policy, keys=contract.key(state), place="evolution.plan")


def apply(lake: Lake, plan: SchemaPlan) -> tuple[str, ...]:
    """Change a table's schema as a plan says, if the table's schema is still the one that it was made for.

    What the plan's policy left to a person (``fail``) is done too: applying it is that person's word. Conflicts stay for the write.

    Returns:
        The names of the columns and fields that were added.

    Raises:
        CommitConflictError: The schema has changed since.
        TableNotFoundError: There is no such table.

    >>> import lakekit as lk, tempfile
    >>> lake = lk.connect(tempfile.mkdtemp())
    >>> _ = lk.append(lk.from_frame(lake, [{"id": 1}], run_id="a"), into="silver.orders")
    >>> _ = lk.append(lk.from_frame(lake, [{"id": 1, "device_type": "phone"}], run_id="a"), into="bronze.orders")
    >>> lk.evolution.apply(lake, lk.evolution.plan(lake, "bronze.orders", into="silver.orders", policy="fail"))
    ('device_type',)
    """
    changes = [change for change in plan.of("evolve", "fail") if change.kind in ("additive", "widening", "relaxing")]
    if not changes:
        return ()
    state = lake.load(plan.table, place="evolution.apply()")
    if state.schema_id != plan.schema_id:
        raise CommitConflictError(
            state.label, "its schema is not the one that the plan was made for", hint="make the plan anew: evolution.plan()."
        )
    lake.engine.alter(state, [alteration(change) for change in changes])
    log.info(
        "%s: schema changed: %s",
        state.label,
        ", ".join(change.name for change in changes),
        extra=logs.fields("schema_changed", table=state.label, columns=[change.name for change in changes]),
    )
    return tuple(change.name for change in changes if change.kind == "additive")


def _columns(lake: Lake, source_or_table: Source | TableName, state: TableState | None) -> pa.Schema:
    """What a source or a table has, without lakekit's own columns."""
    import pyarrow as pa

    from lakekit import columns as system

    if isinstance(source_or_table, Source):
        stored = cas.stored(state).positions.get(source_or_table.upstream) if state else None
        with source_or_table.open(stored.values if stored else None, target=Target(state.schema if state else None)) as increment:
            schema = increment.schema
    else:
        schema = lake.load(source_or_table, place="evolution.plan()").schema
    return pa.schema([field for field in schema if not system.is_system(field.name)])
