"""Bitemporal dimensions: what a merge changes is not overwritten, but closed, so that the table can be read as it was known at any instant.

Valid time says when a version held in the world, recorded time when the table said so. The history is computed of what the table holds now, as
without recorded time, and gives the same rows. Only the write differs: a stored row that would change or go gets its ``recorded_to``, and the
row in its place is a new one.

``_absorbed`` is no part of what the table says: where nothing else changes, it is changed in place. A row that is closed loses it: the events of
a long version would otherwise be kept once more with each of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import attrs

from lakekit import columns as system
from lakekit.clock import instant_of
from lakekit.commit import RECORDED_AT, Commit
from lakekit.engines.plan import Node, Query, Scan, TableState
from lakekit.engines.protocol import count
from lakekit.engines.types import ident
from lakekit.errors import ConfigError
from lakekit.gold.scd2_spec import ABSORBED, CHANGE, Scd2Spec, merge_on, state_columns
from lakekit.incremental import cas, contract

if TYPE_CHECKING:
    from lakekit.engines.protocol import Session

COLUMNS: Final = ("recorded_from", "recorded_to")


def row_key(spec: Scd2Spec) -> tuple[str, ...]:
    """The columns that tell the table's rows apart: those of a version, and since when it is recorded."""
    return (*merge_on(spec), *([spec.recorded.begins] if spec.recorded else []))


def require_kind(state: TableState, spec: Scd2Spec) -> None:
    """Raise where one keeps recorded time, and the other doesn't.

    Raises:
        ConfigError: Rows that were there before say nothing of when they were recorded, or would be overwritten.
    """
    stored = contract.recorded(state)
    made_here = contract.scd2(state) is not None
    if (stored is None) == (spec.recorded is None) or (not made_here and state.head is None):
        return
    anew = f"make another table of the log: merge_scd2(lk.read(lake, <the change log>), into=<another table>, bitemporal={spec.recorded is not None})"
    raise ConfigError(
        f"merge_scd2(bitemporal=): {state.label}",
        "the table keeps recorded time, which a merge without it would overwrite"
        if stored is not None
        else "the table's rows don't say since when it holds them",
        got=f"bitemporal={spec.recorded is not None}",
        hint=f"write bitemporal={stored is not None}, or {anew}.",
    )


def versions_now(state: TableState, *, known_at: datetime | None = None, bounds: Mapping[str, tuple[Any, Any]] | None = None) -> Node:
    """A dimension's versions as its table holds them now, or held them at an instant: all rows of a table without recorded time.

    Raises:
        ConfigError: It doesn't keep what it held before, or the instant is a naive datetime.
    """
    recorded = contract.recorded(state)
    if known_at is None:
        scan = Scan(state, state.head, bounds=dict(bounds or {}))
        return scan if recorded is None else Query(f"SELECT * FROM stored WHERE {recorded.now()}", {"stored": scan})
    if recorded is None:
        raise ConfigError(
            f"known_at=: {state.label}",
            "the dimension doesn't keep what it held before",
            hint="make it with merge_scd2(bitemporal=True); lk.read(as_of=) reaches back as far as there are snapshots.",
        )
    instant = instant_of(known_at, place="known_at=")
    scan = Scan(state, state.head, bounds={**(bounds or {}), recorded.begins: (None, instant)})
    return Query(f"SELECT * FROM stored WHERE {recorded.at(instant)}", {"stored": scan})


def require_columns(names: tuple[str, str], now: datetime | None, *, bitemporal: bool) -> tuple[str, str] | None:
    """The names of the columns, where there are any.

    Raises:
        ConfigError: What is only for bitemporal tables is given for another one.
    """
    if not bitemporal and (given := {"recorded_columns": names != COLUMNS, "now": now is not None}) and any(given.values()):
        which = next(name for name, there in given.items() if there)
        raise ConfigError(f"merge_scd2({which}=)", "is about recorded time, which the table doesn't keep", hint="write bitemporal=True.")
    return names if bitemporal else None


def planned(
    session: Session, state: TableState, changes: Node, versions: Node, spec: Scd2Spec, figures: Commit, now: datetime
) -> cas.Planned:
    """The write of what changes: old rows closed, new rows added. No row goes, so the commit counts none as ``removed``."""
    recorded = spec.recorded
    assert recorded is not None  # noqa: S101 -- told by whoever calls
    at = next_instant(session, state, recorded, now)
    then = contract.instant_sql(at)
    rows = session.stage(Query(rows_sql(spec, recorded, at, session.places), {"changes": changes, "versions": versions}))
    told = Query(f"SELECT 1 AS told FROM rows WHERE {ident(recorded.begins)} = {then} OR {ident(recorded.ends)} = {then}", {"rows": rows})
    figures = attrs.evolve(figures, updated=figures.updated + figures.removed, removed=0, recorded_at=at if count(session, told) else None)
    return cas.Planned(figures, lambda: session.merge(state, rows, on=row_key(spec)))


def next_instant(session: Session, state: TableState, recorded: contract.Recorded, now: datetime) -> datetime:
    """The instant of a write: the present, or one tick after the last write where the clock stood or went back."""
    last = _last_instant(session, state, recorded)
    return now if last is None or last < now else last + timedelta(microseconds=1)


def _last_instant(session: Session, state: TableState, recorded: contract.Recorded) -> datetime | None:
    """The instant of the last write, as its snapshot's summary says; only where all of these have expired, the rows are asked."""
    for found in state.ancestry():
        if RECORDED_AT in found.summary:
            return datetime.fromisoformat(found.summary[RECORDED_AT])
    if not any(found.count("total-records") for found in state.ancestry()):
        return None
    ended = f"CASE WHEN NOT ({recorded.now()}) THEN {ident(recorded.ends)} END"
    words = f"SELECT greatest(max({ident(recorded.begins)}), coalesce(max({ended}), max({ident(recorded.begins)}))) AS at FROM stored"
    at: datetime | None = session.one(Query(words, {"stored": Scan(state, state.head)}))["at"]
    return None if at is None else at.astimezone(UTC)


def rows_sql(spec: Scd2Spec, recorded: contract.Recorded, at: datetime, places: Sequence[str]) -> str:
    """SQL for the rows to write, found by ``row_key(spec)``, with ``_change``.

    Relations in: ``changes``, as a table without recorded time would be changed, with ``_write_id``; and ``versions``, the stored rows.
    """
    names = [name for name, _ in spec.columns] + [column.name for column in state_columns(spec)]
    version = merge_on(spec)
    same = " AND ".join(f"c.{ident(name)} = v.{ident(name)}" for name in version)
    differs = " OR ".join(f"c.{ident(name)} IS DISTINCT FROM v.{ident(name)}" for name in names if name not in {*version, ABSORBED})
    says = f"(c.{CHANGE} = 'update' AND ({differs}))"
    then = contract.instant_sql(at)
    memory = next(column.type for column in state_columns(spec) if column.name == ABSORBED)

    def row(of: str, begins: str, ends: str, change: str) -> str:
        values = {name: f"{of}.{ident(name)}" for name in names}
        if of == "v":
            values[ABSORBED] = f"CAST(NULL AS {memory})"
        values |= {recorded.begins: begins, recorded.ends: ends, system.WRITE_ID: f"c.{ident(system.WRITE_ID)}", CHANGE: f"'{change}'"}
        values |= {place: f"v.{place}" if change == "update" else "CAST(NULL AS BIGINT)" for place in places}
        return "SELECT " + ", ".join(f"{value} AS {ident(name)}" for name, value in values.items())

    known, begun = f"FROM changes c JOIN versions v ON {same}", f"v.{ident(recorded.begins)}"
    maybe = f"FROM changes c LEFT JOIN versions v ON c.{CHANGE} = 'update' AND {same}"
    return " UNION ALL ".join(
        [
            f"{row('v', begun, then, 'update')} {known} WHERE c.{CHANGE} = 'delete' OR {says}",
            f"{row('c', begun, recorded.open, 'update')} {known} WHERE c.{CHANGE} = 'update' AND NOT {says}",
            f"{row('c', then, recorded.open, 'insert')} {maybe} WHERE c.{CHANGE} = 'insert' OR {says}",
        ]
    )
