"""lookup: a fact finds the version of its member that was valid at its time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from lakekit import columns as system
from lakekit.batch import Batch, Side
from lakekit.bookmark import Bookmark
from lakekit.clock import instant_of
from lakekit.commit import Commit
from lakekit.engines.plan import Node, Query, TableState
from lakekit.engines.protocol import count
from lakekit.engines.types import ident, sql_type
from lakekit.errors import ConfigError, ContractError
from lakekit.gold.keys import UNKNOWN, beginning_sql, text_sql
from lakekit.gold.scd2_recorded import next_instant, versions_now
from lakekit.gold.scd2_spec import IS_CURRENT
from lakekit.incremental import cas, contract, sides
from lakekit.incremental.target import require_columns
from lakekit.names import Columns, TableName
from lakekit.names import columns as as_columns

if TYPE_CHECKING:
    from lakekit.engines.protocol import Session
    from lakekit.lake import Lake


def lookup(
    batch: Batch,
    dimension: TableName,
    *,
    on: Columns | Mapping[str, str],
    at: str | None = None,
    take: Columns | Mapping[str, str],
    missing: Literal["unknown", "infer", "null", "raise"] = "unknown",
    now: datetime | None = None,
) -> Batch:
    """The batch with columns of a dimension: of the version valid at a row's own time, or of the current one.

    The dimension becomes a side input of the write: when it changes (a late event splits a version, a real row takes the place of an inferred
    member), rows already written are looked up again in the next run, also when there are no new facts. So `on` and `at` have to be stored, the
    rows are written by `merge`, and nothing but the write may follow.

    Args:
        batch: The facts.
        dimension: A table made by `merge_scd2`.
        on: The batch's columns that hold the member's key; a mapping where the dimension names them otherwise (batch: dimension).
        at: The batch's column that says when. A fact at exactly ``valid_from`` belongs to the new version. None: the current version.
        take: The dimension's columns to take; a mapping renames them (dimension: batch).
        missing: What a fact without a version gets. ``"unknown"``: the surrogate key -1. ``"infer"``: the key its first version has or will
            have; a member that has no row yet is made when the batch is written, and the first real row takes its place. ``"null"``: NULL.
            ``"raise"``: an error, now.
        now: The instant at which a bitemporal dimension records members that are inferred. Default: the clock, when they are.

    Raises:
        TableNotFoundError: There is no such dimension.
        ConfigError: It was not made by `merge_scd2`, or ``on`` is not its key.
        SchemaError: A named column is missing.
        ContractError: A fact finds no version and ``missing="raise"``.

    >>> import lakekit as lk, tempfile
    >>> lake = lk.connect(tempfile.mkdtemp())
    >>> people = lk.from_frame(lake, [{"id": 1, "city": "Bonn"}], run_id="a")
    >>> _ = lk.merge_scd2(people, into="gold.dim_people", key="id", effective_at="_ingestion_timestamp", surrogate_key="person_key")
    >>> facts = lk.from_frame(lake, [{"person": 1}, {"person": 7}], run_id="b")
    >>> found = lk.lookup(facts, "gold.dim_people", on={"person": "id"}, take="city")
    >>> found.to_arrow().sort_by("person").column("city").to_pylist()
    ['Bonn', None]
    """
    return looked_up(batch, batch.lake.load(dimension, place="lookup()"), on=on, at=at, take=take, missing=missing, now=now)


def looked_up(
    batch: Batch,
    state: TableState,
    *,
    on: Columns | Mapping[str, str],
    at: str | None,
    take: Columns | Mapping[str, str],
    missing: Literal["unknown", "infer", "null", "raise"],
    now: datetime | None = None,
) -> Batch:
    """The batch after a look-up in a state of a dimension."""
    noted = contract.scd2(state)
    if noted is None:
        raise ConfigError(f"lookup(): {state.label}", "is not a dimension with history", hint="make it with merge_scd2().")
    if missing not in ("unknown", "infer", "null", "raise"):
        raise ConfigError("lookup(missing=)", "expected 'unknown', 'infer', 'null' or 'raise'", got=repr(missing))
    joined = dict(on) if isinstance(on, Mapping) else {name: name for name in as_columns(on, place="lookup(on=)")}
    taken = dict(take) if isinstance(take, Mapping) else {name: name for name in as_columns(take, place="lookup(take=)")}
    if set(joined.values()) != set(noted["key"]):
        raise ConfigError(
            f"lookup(on=): {state.label}", f"the dimension's key is {', '.join(noted['key'])}", got=", ".join(joined.values())
        )
    require_columns(batch.columns, [*joined, *([at] if at else [])], place="lookup(on=, at=)")
    require_columns(state.schema.names, list(taken), place="lookup(take=)")
    surrogate: str | None = noted["surrogate_key"]
    if missing == "infer" and surrogate is None:
        raise ConfigError(
            f"lookup(missing='infer'): {state.label}", "the dimension has no surrogate key", hint="merge_scd2(surrogate_key=…)."
        )
    if missing == "infer" and noted.get("surrogate_keys", "hash") != "hash":
        raise ConfigError(
            f"lookup(missing='infer'): {state.label}",
            "a member's number must be known before it is written, and the dimension's surrogate keys are a sequence",
            hint="missing='unknown': the fact is looked up again when its member comes.",
        )
    if now is not None:
        now = instant_of(now, place="lookup(now=)")
        if missing != "infer" or contract.recorded(state) is None:
            hint = "leave it out."
            raise ConfigError(f"lookup(now=): {state.label}", "is when a bitemporal dimension records members that are inferred", hint=hint)
    match = " AND ".join(f"r.{ident(ours)} = d.{ident(theirs)}" for ours, theirs in joined.items())
    condition = f"{match} AND {_valid(noted, at)}" + (f" AND d.{ident(surrogate)} >= 0" if surrogate else "")
    values = {ours: _taken(theirs, surrogate, missing, joined, state) for theirs, ours in taken.items()}
    dimension_rows = versions_now(state)

    def step(rows: Node, names: Sequence[str]) -> Node:
        wanted = [*names, *(name for name in values if name not in names)]
        columns = ", ".join(f"{values[name]} AS {ident(name)}" if name in values else f"r.{ident(name)}" for name in wanted)
        return Query(f"SELECT {columns} FROM batch r LEFT JOIN dimension d ON {condition}", {"batch": rows, "dimension": dimension_rows})

    def infer(session: Session, rows: Node) -> None:
        keys = ", ".join(f"{ident(ours)} AS {ident(theirs)}" for ours, theirs in joined.items())
        known = " AND ".join(f"{ident(ours)} IS NOT NULL" for ours in joined)
        _infer(batch.lake, session, state, noted, Query(f"SELECT DISTINCT {keys} FROM batch WHERE {known}", {"batch": rows}), now)

    if missing == "raise":
        _refuse_missing(batch, dimension_rows, condition, state)
    reads = (*joined, *([at] if at else []))
    return sides.with_side(batch, Side(state, match, reads, tuple(values), step, infer if missing == "infer" else None))


def _valid(noted: Mapping[str, Any], at: str | None) -> str:
    if at is None:
        return f"d.`{IS_CURRENT}`"
    begins, ends = ident(noted["valid_from"]), ident(noted["valid_to"])
    return f"r.{ident(at)} >= d.{begins} AND (d.{ends} IS NULL OR r.{ident(at)} < d.{ends})"


def _taken(column: str, surrogate: str | None, missing: str, joined: Mapping[str, str], state: TableState) -> str:
    """SQL for one taken column: the surrogate key says what a missing member gets."""
    if column != surrogate or missing in ("null", "raise"):
        return f"d.{ident(column)}"
    if missing == "unknown":
        return f"coalesce(d.{ident(column)}, {UNKNOWN})"
    hashed = _hash(state, {theirs: f"r.{ident(ours)}" for ours, theirs in joined.items()})
    known = " AND ".join(f"r.{ident(ours)} IS NOT NULL" for ours in joined)
    return f"coalesce(d.{ident(column)}, CASE WHEN {known} THEN {hashed} ELSE {UNKNOWN} END)"


def _hash(state: TableState, values: Mapping[str, str]) -> str:
    """SQL for the surrogate key of a member's first version."""
    noted = contract.scd2(state) or {}
    parts = []
    for name in noted["key"]:
        kind = sql_type(state.schema.field(name).type)
        parts.append((f"CAST({values[name]} AS {kind})", kind))
    return f"lk_hash63({text_sql(parts)})"


def _refuse_missing(batch: Batch, scan: Node, condition: str, state: TableState) -> None:
    with batch.lake.engine.session() as session:
        without = Query(f"SELECT r.* FROM batch r LEFT ANTI JOIN dimension d ON {condition}", {"batch": batch.node, "dimension": scan})
        lost = count(session, without)
    if lost:
        raise ContractError(
            f"lookup(): {state.label}", "facts without a member", got=f"{lost:,} rows", hint="missing='infer' or missing='unknown'."
        )


def _infer(lake: Lake, session: Session, state: TableState, noted: Mapping[str, Any], wanted: Node, now: datetime | None) -> None:
    """Add a member for each wanted key that has no row. Keyed, so that doing it again adds nothing."""
    keys: list[str] = noted["key"]
    same = " AND ".join(f"w.{ident(name)} = d.{ident(name)}" for name in keys)
    staged = session.stage(wanted)
    recorded = contract.recorded(state)
    present = instant_of(now, place="lookup(now=)") if recorded else None

    def plan(state: TableState, write_id: int) -> cas.Planned:
        own = {name: f"w.{ident(name)}" for name in keys}
        own[noted["surrogate_key"]] = _hash(state, {name: f"w.{ident(name)}" for name in keys})
        own[noted["valid_from"]] = beginning_sql(sql_type(state.schema.field(noted["valid_from"]).type))
        kind = sql_type(state.schema.field(noted["valid_to"]).type)
        own[noted["valid_to"]] = f"CAST('{noted['open_until']}' AS {kind})" if noted["open_until"] else f"CAST(NULL AS {kind})"
        own |= {IS_CURRENT: "true", system.IS_INFERRED: "true", system.WRITE_ID: f"CAST({write_id} AS BIGINT)"}
        at = None
        if recorded and present:
            at = next_instant(session, state, recorded, present)
            own |= {recorded.begins: contract.instant_sql(at), recorded.ends: recorded.open}
        columns = ", ".join(
            f"{own.get(field.name, f'CAST(NULL AS {sql_type(field.type)})')} AS {ident(field.name)}" for field in state.schema
        )
        fresh = session.stage(
            Query(
                f"SELECT {columns}, 'insert' AS _change FROM wanted w LEFT ANTI JOIN dimension d ON {same}",
                {"wanted": staged, "dimension": versions_now(state)},
            )
        )
        size = count(session, fresh)
        figures = Commit(table=state.label, read=size, inserted=size, recorded_at=at if size else None)
        return cas.Planned(figures, (lambda: session.merge(state, fresh, on=(*keys, noted["surrogate_key"]))) if size else None)

    cas.write(lake.engine, state.name, lake.engine.load(state.name), Bookmark(), plan)
