"""The dimension's table: its columns, what it notes about itself, and what a column that is new becomes."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import attrs
import pyarrow as pa

from lakekit import columns as system
from lakekit.batch import Batch
from lakekit.bookmark import WRITE_ID
from lakekit.engines.plan import Node, Query, Scan, TableState
from lakekit.engines.sql import literal
from lakekit.engines.types import arrow_type, ident, sql_type
from lakekit.errors import ConfigError, SchemaError
from lakekit.gold.scd2_recorded import require_kind, row_key, versions_now
from lakekit.gold.scd2_spec import ABSORBED, AT, IS_CURRENT, IS_DELETED, Scd2Spec, recorded_columns, state_columns
from lakekit.incremental import cas, contract, target
from lakekit.names import Identifier

if TYPE_CHECKING:
    from lakekit.engines.plan import Frame
    from lakekit.engines.protocol import Session
    from lakekit.evolution.policy import Policy
    from lakekit.lake import Lake

NewColumn = Literal["adopt", "version_all", "refuse", "rebuild"]

_CARRIED = (system.SOURCE, system.SOURCE_TIMESTAMP, system.SOURCE_LSN, system.INGESTION_TIMESTAMP, system.RESCUED_DATA)


def event_columns(batch: Batch, state: TableState | None, own: Collection[str | None]) -> list[tuple[str, str]]:
    """The stored columns that come with events, with their types: the table's in its order, then new ones.

    Args:
        batch: The events, in the types that the table will have.
        state: The dimension. None: it is not there yet.
        own: The names of the columns that the dimension has for itself.
    """
    given = {field.name: field.type for field in batch.schema if _is_stored(field.name)}
    if state is None:
        return [(name, sql_type(kind)) for name, kind in given.items()]
    own = {*own, IS_CURRENT, IS_DELETED}
    stored = {field.name: field.type for field in state.schema if field.name not in own and _is_stored(field.name)}
    columns = [(name, sql_type(given.get(name, kind))) for name, kind in stored.items()]
    return columns + [(name, sql_type(kind)) for name, kind in given.items() if name not in stored]


def _is_stored(name: str) -> bool:
    return name in _CARRIED or not system.is_system(name)


def adopted(state: TableState | None) -> dict[str, str]:
    """Columns that the dimension adopted, with the last instant known without them."""
    return dict((contract.scd2(state) or {}).get("adopted", {})) if state else {}


def take_new_columns(
    lake: Lake, session: Session, state: TableState, spec: Scd2Spec, policy: NewColumn, *, complete: bool, dry_run: bool
) -> tuple[TableState, Scd2Spec]:
    """Decide what a new tracked column does to versions that were made without it.

    What is decided is noted before the column is added: a crash in between then repeats the decision.

    Raises:
        SchemaError: ``refuse``.
        ConfigError: ``rebuild``, and the batch doesn't hold all events.
    """
    new = [name for name in spec.tracked if name not in state.schema.names]
    if not new or state.head is None or contract.scd2(state) is None:
        return state, spec
    place = f"merge_scd2(new_column={policy!r}): {state.label}"
    if policy == "refuse":
        raise SchemaError(place, "a new column would be tracked", got=", ".join(new), hint="name the columns in track=, or choose 'adopt'.")
    if policy == "rebuild":
        if not complete:
            raise ConfigError(
                place,
                "a rebuild needs every event of the members",
                got="a batch that begins in the middle",
                hint="give lk.read(lake, <the change log>).",
            )
        return state, attrs.evolve(spec, rebuild=True)
    if policy == "version_all":
        return state, spec
    fresh = [name for name in new if name not in dict(spec.adopted)]
    last = _last_instant(session, state, spec) if fresh else None
    if last is None:
        return state, spec
    noted = {**dict(spec.adopted), **dict.fromkeys(fresh, last)}
    if not dry_run:
        before = state.properties[contract.SCD2]
        after = contract.properties(layer="scd2", scd2={**(contract.scd2(state) or {}), "adopted": noted})[contract.SCD2]
        lake.engine.set_properties(state, {contract.SCD2: after}, expect={contract.SCD2: before})
        state = lake.engine.load(state.name)
    return state, attrs.evolve(spec, adopted=noted)


def _noted(spec: Scd2Spec) -> dict[str, Any]:
    found = spec.recorded
    recorded = {"recorded_from": found.begins, "recorded_to": found.ends, "recorded_until": found.until} if found else {}
    return {
        "key": list(spec.key),
        "surrogate_key": spec.surrogate_key,
        "surrogate_keys": spec.surrogate_keys,
        "valid_from": spec.valid_from,
        "valid_to": spec.valid_to,
        "open_until": spec.open_until,
        **recorded,
    }


def require_same(state: TableState, spec: Scd2Spec) -> None:
    """Raise where the dimension was made by other options: rows of both can't stand beside each other.

    Raises:
        ConfigError: They differ.
        SchemaError: A column that another tool made for the same purpose is of another type.
    """
    noted = contract.scd2(state)
    require_kind(state, spec)
    if noted is None:
        for column in state_columns(spec):
            found = sql_type(state.schema.field(column.name).type) if column.name in state.schema.names else None
            if column.name != ABSORBED and found not in (None, column.type):
                raise SchemaError(
                    f"merge_scd2(): {state.label}",
                    f"the column {column.name!r} has to be {column.type}, as effective_at is",
                    got=found,
                    hint="convert it, or let the dimension have columns of its own: valid_columns=.",
                )
        return
    for name, value in _noted(spec).items():  # the first dimensions didn't note how their surrogate keys are made: hashes
        if noted.get(name, "hash") != value:
            raise ConfigError(
                f"merge_scd2({name}): {state.label}",
                f"the dimension was made with {noted.get(name, 'hash')!r}",
                got=repr(value),
                hint="give what it was made with, or write to another table.",
            )


def _last_instant(session: Session, state: TableState, spec: Scd2Spec) -> str | None:
    """The last instant at which the dimension knows an event, as ISO text."""
    begins, ends = ident(spec.valid_from), ident(spec.valid_to)
    ended = f"CASE WHEN NOT {ident(IS_CURRENT)} THEN {ends} END"
    instants = [f"SELECT max({begins}) AS at FROM stored", f"SELECT max({ended}) AS at FROM stored"]
    if ABSORBED in state.schema.names:
        exploded = f"SELECT EXPLODE({ident(ABSORBED)}) AS e FROM stored WHERE {ident(ABSORBED)} IS NOT NULL"
        instants.append(f"SELECT max(e.{ident(AT)}) AS at FROM ({exploded})")
    found: Any = session.one(Query(f"SELECT max(at) AS at FROM ({' UNION ALL '.join(instants)})", {"stored": versions_now(state)}))["at"]
    return None if found is None else (found.isoformat() if hasattr(found, "isoformat") else str(found))


def ensure(lake: Lake, into: Identifier, spec: Scd2Spec, *, on_change: Policy) -> tuple[TableState, tuple[str, ...]]:
    """The table, made or fitted to the spec, and the columns that were added to it."""
    noted, schema = {**_noted(spec), "order_by": list(spec.order_by)}, table_schema(spec)
    return target.ensure(lake, into, schema, layer="scd2", key=row_key(spec), scd2=noted, on_change=on_change, place="merge_scd2")


def table_schema(spec: Scd2Spec) -> pa.Schema:
    """The columns of a dimension that is made by the spec."""
    own = (*state_columns(spec), *recorded_columns(spec))
    fields = [*spec.columns, *((column.name, column.type) for column in own), (system.WRITE_ID, "BIGINT")]
    return pa.schema([pa.field(name, arrow_type(words)) for name, words in fields])


def stored_versions(
    state: TableState,
    spec: Scd2Spec,
    *,
    of: Node | None = None,
    bounds: Mapping[str, tuple[Any, Any]] | None = None,
    places: Sequence[str] = (),
) -> Node:
    """The stored versions in the spec's columns and types, also where the table was not fitted (a dry run).

    Special members are left out, and what a bitemporal table held before.
    ``of``: events of which keys. None: of all.
    ``places``: the columns that say where a row is stored, where they are wanted.
    """
    fields = [*spec.columns, *((column.name, column.type) for column in (*state_columns(spec), *recorded_columns(spec)))]
    scan: Node = Scan(state, state.head, bounds=dict(bounds or {}), or_null=(ABSORBED,), places=bool(places))
    there = {field.name: sql_type(field.type) for field in state.schema}
    fitting = {name for name, kind in fields if name in there and there[name] == sql_type(arrow_type(kind))}

    def fitted(name: str, kind: str) -> str:
        if name in fitting:
            return ident(name)
        if name in there and "<" in kind:
            return f"lk_refit({ident(name)}, {literal(there[name])}, {literal(kind)}) AS {ident(name)}"
        return f"CAST({ident(name) if name in there else 'NULL'} AS {kind}) AS {ident(name)}"

    items = [fitted(name, kind) for name, kind in fields]
    if ABSORBED in there:  # pyiceberg 0.12, which reads files that DuckDB can't, makes an empty list of structs out of NULL
        place, absorbed = [name for name, _ in fields].index(ABSORBED), ident(ABSORBED)
        items[place] = f"CASE WHEN size({absorbed}) > 0 THEN {items[place].removesuffix(f' AS {absorbed}')} END AS {absorbed}"
    wanted = [spec.recorded.now()] if spec.recorded else []
    inputs: dict[str, Node] = {"stored": scan}
    rows = "stored"
    if of is not None:  # no event is of a special member, whose key is NULL
        same = " AND ".join(f"v.{ident(name)} = e.{ident(name)}" for name in spec.key)
        rows, inputs["events"] = f"(SELECT * FROM stored v LEFT SEMI JOIN events e ON {same})", of
    elif spec.surrogate_key in there:
        wanted.append(f"COALESCE({ident(spec.surrogate_key)}, 0) >= 0")
    where = f" WHERE {' AND '.join(wanted)}" if wanted else ""
    return Query(f"SELECT {', '.join([*items, *places])} FROM {rows}{where}", inputs, ordered=of is not None)


def is_foreign(state: TableState) -> bool:
    """Whether another tool made the rows of a table, and lakekit hasn't written to it yet."""
    known = cas.stored(state)
    if state.head is None or cas.is_lost(state) or known.snapshot is not None or known.sequence:
        return False
    return not any(WRITE_ID in found.summary for found in state.ancestry())


def touched_versions(session: Session, state: TableState, events: Frame, spec: Scd2Spec) -> Frame:
    """The stored versions of the keys that events are about, from the files that may hold them, with the session's places.

    All versions of a table that another tool filled: there, the columns that a dimension has for itself are missing, and are filled by the
    first merge.
    """
    if is_foreign(state):
        return session.stage(stored_versions(state, spec, places=session.places))
    figures = ", ".join(f"min({ident(name)}) AS `min_{index}`, max({ident(name)}) AS `max_{index}`" for index, name in enumerate(spec.key))
    found = session.one(Query(f"SELECT {figures} FROM events", {"events": events}))
    bounds = {name: (found[f"min_{index}"], found[f"max_{index}"]) for index, name in enumerate(spec.key)}
    return session.stage(stored_versions(state, spec, of=events, bounds=bounds, places=session.places))


def with_stored_values(session: Session, versions: Frame, events: Frame, spec: Scd2Spec, absent: Sequence[str]) -> Frame:
    """Events with the values that were valid at their instants, in columns that the batch doesn't have: it says nothing about these."""
    if not absent or spec.rebuild:
        return events
    kept = [name for name in events.schema.names if name not in absent]
    same = " AND ".join(f"e.{ident(name)} = v.{ident(name)}" for name in spec.key)
    at, begins, ends = f"e.{ident(spec.effective_at)}", f"v.{ident(spec.valid_from)}", f"v.{ident(spec.valid_to)}"
    items = [*(f"e.{ident(name)}" for name in kept), *(f"v.{ident(name)}" for name in absent)]
    return session.stage(
        Query(
            f"SELECT {', '.join(items)} FROM events e LEFT JOIN versions v ON {same} AND {at} >= {begins} AND ({ends} IS NULL OR {at} < {ends})",
            {"events": events, "versions": versions},
        )
    )
