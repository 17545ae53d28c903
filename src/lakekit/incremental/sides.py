"""Side inputs: when a table that rows were looked up in changes, the rows already written are looked up again, by the same write.

A side is an upstream of the target like any other: its position is part of the bookmark, and moves with the commit. Affected are the rows of the
target whose join columns are among what changed in the side since that position; so the target must store those columns.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

import attrs

from lakekit import columns as system
from lakekit import logs
from lakekit.batch import Batch, Side
from lakekit.bookmark import Bookmark, Position, Span, Stored
from lakekit.engines.plan import Frame, Node, Query, Scan, TableState
from lakekit.engines.types import dotted, ident
from lakekit.errors import BookmarkLostError, CommitConflictError, ConfigError
from lakekit.incremental import changes
from lakekit.incremental.equal import same
from lakekit.names import Identifier, text

if TYPE_CHECKING:
    from lakekit.engines.protocol import Session

log = logging.getLogger(__name__)


def upstream(side: Side) -> str:
    """The name under which the target's bookmark keeps how far a side was consumed."""
    return f"side:{changes.upstream(side.state)}"


def follow(batch: Batch, stored: Stored, *, into: Identifier) -> Bookmark:
    """The batch's bookmark with the spans of its sides: from where the target stands to what the batch was looked up in.

    Raises:
        CommitConflictError: Another run has looked rows up in a newer state of a side meanwhile.
    """
    bookmark = batch.bookmark
    for side in batch.sides:
        head = side.state.current
        if head is None:
            continue
        start = stored.positions.get(upstream(side))
        if start is not None and start.at > head.sequence:
            raise CommitConflictError(
                text(into), f"another run has consumed more of {side.state.label}", hint="run it again: it looks up anew."
            )
        span = Span(start, Position.of(head.sequence, {"snapshot": head.id}))
        bookmark = bookmark.union(Bookmark({upstream(side): span}, epoch=stored.epoch))
    return bookmark


def require_storable(batch: Batch, names: Collection[str], key: Sequence[str], *, place: str) -> None:
    """Raise where rows could not be looked up again.

    Raises:
        ConfigError: A join column isn't stored, or a looked-up column is part of the key.
    """
    for side in batch.sides:
        if lost := [name for name in side.reads if name not in names]:
            raise ConfigError(
                place,
                f"rows looked up in {side.state.label} must store the columns they are looked up by",
                got=f"no column {', '.join(map(repr, lost))}",
                hint="keep them in the select().",
            )
        if moving := [name for name in side.takes if name in key]:
            raise ConfigError(
                place,
                f"a column looked up in {side.state.label} can't be part of the key: it may change",
                got=", ".join(map(repr, moving)),
                hint="use read_new_groups() and replace_groups() for one row for each value of it.",
            )


def _changed(side: Side, bookmark: Bookmark) -> Node | None:
    """The rows of a side that changed in the bookmark's span. None: nobody can tell, so all may have."""
    span = bookmark.spans[upstream(side)]
    try:
        found = changes.since(side.state, span.start)
    except BookmarkLostError:
        log.warning(
            "%s: was rolled back behind what was looked up in it; every row is looked up again",
            side.state.label,
            extra=logs.fields("rolled_back", table=side.state.label),
        )
        return None
    if found.superset:  # what vanished since can't be told any more
        log.warning(
            "%s: the snapshot looked up in last has expired; every row is looked up again",
            side.state.label,
            extra=logs.fields("snapshot_expired", table=side.state.label),
        )
        return None
    return found.node


def recompute(session: Session, state: TableState, batch: Batch, bookmark: Bookmark, *, key: Sequence[str], busy: Node) -> Frame | None:
    """The stored rows that look different when looked up again, as they look now. None: no side has changed.

    Args:
        session: Where it is computed.
        state: The target.
        batch: Its sides.
        bookmark: With their spans.
        key: The target's key.
        busy: The keys of rows that are written anyway.
    """
    moved = [side for side in batch.sides if side.state.head is not None and _has_moved(bookmark.spans[upstream(side)])]
    if not moved or state.head is None:
        return None
    names = state.schema.names
    inputs: dict[str, Node] = {"stored": Scan(state, state.head), "busy": busy}
    conditions: list[str] = []
    for index, side in enumerate(moved):
        found = _changed(side, bookmark)
        if found is not None:
            inputs[f"changed_{index}"] = session.stage(found)
        conditions.append("true" if found is None else f"EXISTS (SELECT 1 FROM changed_{index} d WHERE {side.match})")
    taken = " AND ".join(f"busy.{dotted(name, state.schema)} <=> r.{dotted(name, state.schema)}" for name in key)
    takes = list(dict.fromkeys(name for side in batch.sides for name in side.takes if name in names))
    old = {name: f"_old_{index}" for index, name in enumerate(takes)}
    kept = ", ".join(["r.*", *(f"r.{ident(name)} AS {ident(was)}" for name, was in old.items())])
    rows: Node = session.stage(
        Query(f"SELECT {kept} FROM stored r WHERE ({' OR '.join(conditions)}) AND NOT EXISTS (SELECT 1 FROM busy WHERE {taken})", inputs)
    )
    for side in batch.sides:
        rows = side.step(rows, [*names, *old.values()])
    kinds = {name: state.schema.field(name).type for name in old}
    differs = " OR ".join(f"NOT ({same(ident(name), ident(was), kinds[name])})" for name, was in old.items()) or "false"
    return session.stage(Query(f"SELECT {', '.join(map(ident, names))} FROM looked_up WHERE {differs}", {"looked_up": rows}))


def _has_moved(span: Span) -> bool:
    return span.start != span.end


def looked_up(batch: Batch) -> Mapping[str, Side]:
    """Column to the side it is looked up in."""
    return {name: side for side in batch.sides for name in side.takes}


def refuse_derived(batch: Batch, names: Collection[str], *, place: str, hint: str) -> None:
    """Raise where something is derived of a looked-up column: it would go stale when the side changes.

    Raises:
        ConfigError: It is.
    """
    if taken := sorted(set(names) & set(looked_up(batch))):
        side = looked_up(batch)[taken[0]]
        raise ConfigError(
            place,
            f"nothing can be derived of a column looked up in {side.state.label}: it may change",
            got=", ".join(map(repr, taken)),
            hint=hint,
        )


def refuse_sides(batch: Batch, *, place: str, hint: str) -> None:
    """Raise where a batch with sides can't go.

    Raises:
        ConfigError: It has some.
    """
    if batch.sides:
        raise ConfigError(
            place, "a batch that was looked up can't go here", got=", ".join(side.state.label for side in batch.sides), hint=hint
        )


def stamped(rows: Node, state: TableState, write_id: int) -> Node:
    """Recomputed rows as changes of the target."""
    columns = ", ".join(
        f"CAST({write_id} AS BIGINT) AS {ident(name)}" if name == system.WRITE_ID else ident(name) for name in state.schema.names
    )
    return Query(f"SELECT {columns}, 'update' AS _change FROM rows", {"rows": rows})


def with_side(batch: Batch, side: Side) -> Batch:
    """The batch after its rows were looked up in one more side.

    Raises:
        CommitConflictError: The side has moved on since the batch looked up in it before.
    """
    for other in batch.sides:
        if other.state.uuid == side.state.uuid and other.state.head != side.state.head:
            raise CommitConflictError(side.state.label, "it changed between two look-ups of one batch", hint="run it again.")
    return attrs.evolve(batch, node=side.step(batch.node, batch.columns), sides=(*batch.sides, side))
