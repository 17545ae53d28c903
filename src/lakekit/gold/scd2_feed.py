"""A batch as events: a feed of changes as it comes, or a full feed compared with what is open."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Final

import attrs

from lakekit import columns as system
from lakekit.batch import Batch
from lakekit.bookmark import Bookmark, Position, Span, Stored
from lakekit.clock import instant_of
from lakekit.commit import Commit
from lakekit.deletes import Deletes
from lakekit.engines import sql
from lakekit.engines.functions import family
from lakekit.engines.plan import Frame, Node, Query, TableState
from lakekit.engines.protocol import count
from lakekit.engines.types import ident
from lakekit.errors import ConfigError, ContractError, GuardError
from lakekit.gold.scd2_dimension import stored_versions, touched_versions
from lakekit.gold.scd2_snapshot import snapshot_events_sql
from lakekit.gold.scd2_spec import IS_CURRENT, IS_DELETE, IS_DELETED, Scd2Spec
from lakekit.incremental import horizon, rejects
from lakekit.incremental.order import nth, order_columns
from lakekit.incremental.tallies import count_checks
from lakekit.names import Identifier, text

if TYPE_CHECKING:
    from lakekit.engines.protocol import Session

OBSERVED: Final = "full-feed"
"""The upstream whose position is the instant of the last full feed: the order number is its microseconds since 1970."""


def observe(batch: Batch, stored: Stored, observed_at: datetime | None, *, into: Identifier) -> tuple[Batch, datetime]:
    """The batch of a full feed, with the instant of its observation in the bookmark: a feed is taken once, and in order.

    Raises:
        ConfigError: There is no instant.
        ContractError: A later feed was taken already.
    """
    if observed_at is None:
        raise ConfigError(
            "merge_scd2(observed_at=)",
            "a full feed needs the instant at which it was observed",
            hint="write observed_at=datetime(…, tzinfo=UTC).",
        )
    instant = instant_of(observed_at, place="merge_scd2(observed_at=)")
    at = int(instant.timestamp()) * 1_000_000 + instant.microsecond
    last = stored.positions.get(OBSERVED)
    if last is not None and last.at > at:
        raise ContractError(
            f"merge_scd2(observed_at=): {text(into)}",
            f"a feed observed at {last.values['observed_at']} was taken already",
            got=instant.isoformat(),
            hint="give full feeds in their order; give what was missed as feed='changes' with effective_at=.",
        )
    span = Span(last, Position.of(at, {"observed_at": instant.isoformat()}))
    return attrs.evolve(batch, bookmark=batch.bookmark.union(Bookmark({OBSERVED: span}, epoch=stored.epoch))), instant


@attrs.frozen(eq=False)
class Feed:
    """A staged batch: its events or rows, its rejects, and what was counted."""

    rows: Frame
    bad: tuple[Frame, ...]
    figures: Commit


def stage(
    session: Session, batch: Batch, into: Identifier, spec: Scd2Spec, condition: str, *, required: Sequence[str], state: TableState | None
) -> Feed:
    """The batch's rows in the spec's columns, with ``_is_delete``; those without a key or an instant are rejected, and those too late for ``state``."""
    for node in batch.shared:
        session.stage(node)
    rows = session.stage(batch.node)
    given = set(rows.schema.names)
    stored = [(name, kind) for name, kind in spec.columns]
    items = [ident(name) if name in given else f"CAST(NULL AS {kind}) AS {ident(name)}" for name, kind in stored]
    items += [ident(name) for name, _ in spec.unstored if name in given and name not in dict(stored)]
    missing = " OR ".join(f"{ident(name)} IS NULL" for name in required)
    events = session.stage(
        Query(
            f"SELECT {', '.join(items)}, coalesce({condition}, false) AS {ident(IS_DELETE)} FROM batch WHERE NOT ({missing})",
            {"batch": rows},
        )
    )
    read = count(session, events)
    bad = [rejects.gather(session, into, item) for item in batch.rejects]
    if count(session, rows) > read:
        bad.append(_incomplete(session, rows, batch, into, spec, required))
    sizes = [rejects.total(session, [item]) for item in bad]
    checked = count_checks(session, batch.tallies, into=into)
    figures = Commit(table=text(into), read=read + sum(sizes), rejected=sum(sizes), checks=checked, columns_not_carried=batch.not_carried)
    staged = Feed(events, tuple(item for item, size in zip(bad, sizes, strict=True) if size), figures)
    return staged if state is None else _in_time(session, state, staged, spec, batch)


def _incomplete(session: Session, rows: Frame, batch: Batch, into: Identifier, spec: Scd2Spec, required: Sequence[str]) -> Frame:
    """The rows without a key or an instant, as rejects."""
    missing = " OR ".join(f"{ident(name)} IS NULL" for name in required)
    rule = " ".join(f"WHEN {ident(name)} IS NULL THEN {sql.literal('key' if name in spec.key else 'effective_at')}" for name in required)
    nulls = Query(
        f"SELECT *, CASE {rule} END AS _rule, concat('null_', CASE {rule} END) AS _reason FROM batch WHERE {missing}", {"batch": rows}
    )
    return rejects.gather(session, into, rejects.Rejects(nulls, nulls, batch.origin, batch.since))


def _in_time(session: Session, state: TableState, staged: Feed, spec: Scd2Spec, batch: Batch) -> Feed:
    """The feed without events before what the dimension has forgotten: those that say what it says are unchanged, others are rejected."""
    forgotten = horizon.of(state)
    if forgotten is None or spec.rebuild:
        return staged
    at, begins, ends = f"e.{ident(spec.effective_at)}", f"v.{ident(spec.valid_from)}", f"v.{ident(spec.valid_to)}"
    late = f"{at} < {horizon.instant_sql(state.schema.field(spec.valid_from).type, forgotten)}"
    same_key = " AND ".join(f"e.{ident(name)} = v.{ident(name)}" for name in spec.key)
    given = [name for name in spec.tracked if name in batch.columns]
    same = " AND ".join(
        f"(e.{ident(name)} IS NOT DISTINCT FROM v.{ident(name)}" + (f" OR e.{ident(name)} IS NULL)" if name in spec.ignore_null else ")")
        for name in given
    )
    there = f"{begins} IS NOT NULL" + (f" AND NOT coalesce(v.{ident(IS_DELETED)}, false)" if spec.deletes == "new_record" else "")
    says = f"CASE WHEN e.{ident(IS_DELETE)} THEN NOT ({there}) ELSE {there} AND {same or 'true'} END"
    known = touched_versions(session, state, staged.rows, spec)
    sorted_out = session.stage(
        Query(
            f"SELECT e.*, CASE WHEN NOT ({late}) THEN 'good' WHEN {says} THEN 'same' ELSE 'late' END AS _class FROM events e"
            f" LEFT JOIN versions v ON {same_key} AND {at} >= {begins} AND ({ends} IS NULL OR {at} < {ends})",
            {"events": staged.rows, "versions": known},
        )
    )

    def of(kind: str, more: str = "") -> Query:
        return Query(f"SELECT * EXCEPT (_class){more} FROM sorted_out WHERE _class = '{kind}'", {"sorted_out": sorted_out})

    bad = of("late", f", '{horizon.RULE}' AS _rule, '{horizon.REASON}' AS _reason")
    lost = rejects.gather(session, state.name, rejects.Rejects(bad, bad, batch.origin, batch.since))
    size = rejects.total(session, [lost])
    figures = attrs.evolve(
        staged.figures, rejected=staged.figures.rejected + size, unchanged=staged.figures.unchanged + count(session, of("same"))
    )
    return Feed(session.stage(of("good")), (*staged.bad, *([lost] if size else [])), figures)


@attrs.frozen(eq=False)
class Seen:
    """What a full feed says: its events, how many of its rows were doubles, and how many said nothing new."""

    events: Frame
    doubles: int
    unchanged: int


def snapshot_events(
    session: Session,
    state: TableState,
    rows: Frame,
    spec: Scd2Spec,
    deletes: Deletes,
    observed: datetime,
    absent: Sequence[str],
    *,
    timed: bool,
) -> Seen:
    """What a full feed says against the newest versions: events, to be merged by ``for_snapshots(spec)``.

    ``absent``: the columns that it doesn't have.

    Raises:
        GuardError: It lacks more open members than the guard lets go.
    """
    names = rows.schema.names
    once = session.stage(
        Query(
            f"SELECT * EXCEPT (_nth) FROM (SELECT *, {nth(rows.schema, spec.key, order_columns(names, None, place='merge_scd2()'))} AS _nth FROM batch WHERE NOT {ident(IS_DELETE)}) WHERE _nth = 1",
            {"batch": rows},
        )
    )
    stored = session.stage(stored_versions(state, spec))
    scope: Node = Query(f"SELECT {_keys(spec)} FROM stored WHERE false", {"stored": stored})
    if spec.deletes != "ignore":
        within = "true" if deletes.scope is None else sql.expression(deletes.scope, state.schema.names, place="merge_scd2(deletes.scope)")
        alive = f" AND NOT coalesce({ident(IS_DELETED)}, false)" if IS_DELETED in state.schema.names else ""
        scope = session.stage(
            Query(
                f"SELECT {_keys(spec)} FROM stored WHERE {ident(IS_CURRENT)}{alive} AND NOT coalesce({ident(system.IS_INFERRED)}, false) AND ({within})",
                {"stored": stored},
            )
        )
        _guard(session, state, once, scope, spec, deletes)
    at = observed.date().isoformat() if family(spec.instant_type) == "D" else observed.isoformat()
    query = snapshot_events_sql(spec, observed_at=at, timed=timed, absent=absent)
    events = session.stage(Query(query, {"snapshot": once, "versions": stored, "scope": scope}))
    told = count(session, Query(f"SELECT * FROM events WHERE NOT {ident(IS_DELETE)}", {"events": events}))
    size = count(session, once)
    return Seen(events, count(session, rows) - size, size - told)


def _guard(session: Session, state: TableState, rows: Frame, scope: Node, spec: Scd2Spec, deletes: Deletes) -> None:
    same = " AND ".join(f"o.{ident(name)} = s.{ident(name)}" for name in spec.key)
    gone: Node = Query(f"SELECT o.* FROM scope o LEFT ANTI JOIN snapshot s ON {same}", {"scope": scope, "snapshot": rows})
    opened, given, absent = count(session, scope), count(session, rows), count(session, gone)
    if not deletes.force and absent and (not given or absent > deletes.max_fraction * opened):
        raise GuardError(
            state.label,
            f"expected at most {deletes.max_fraction:.1%} of the open members to be absent from the full feed",
            got=f"{absent:,} of {opened:,}",
            hint="raise Deletes(max_fraction=), or Deletes(force=True).",
        )


def _keys(spec: Scd2Spec) -> str:
    return ", ".join(map(ident, spec.key))
