"""What is new in a change log, made whole: values that did not come with a change, and truncates as the deletes that they are.

A change says nothing of a large value that stayed as it was (TOAST). It is looked for among the earlier changes of the row: in the log, since
there alone each of them is kept as it came, whatever became of the row in tables that were made of the log. A row whose primary key was
changed goes on under another key, and its changes may stand in another partition of Kafka, which is read sooner or later: a change
that lacks a value waits until the other half of the move is there, or can't come any more, and is given then. So what has been given, once all is
read, depends on the changes alone, and neither on how they were cut into batches nor on which partition was ahead.

What it takes follows the batch: where nothing in it lacks a value, was truncated or moved, one look at some of its columns. For which moves wait,
the position says (`moves.Open`), so that they alone are looked at again.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import attrs

from lakekit import columns as system
from lakekit import logs
from lakekit.engines.plan import Frame, Node, Query, Scan, TableState
from lakekit.engines.protocol import count
from lakekit.engines.types import ident
from lakekit.incremental import change_log_deaths as deaths
from lakekit.incremental import change_log_moves as moves
from lakekit.incremental import change_log_values as values
from lakekit.incremental.changes import changes_columns

if TYPE_CHECKING:
    from lakekit.bookmark import Position
    from lakekit.engines.protocol import Session
    from lakekit.lake import Lake

log = logging.getLogger(__name__)


def is_change_log(state: TableState) -> bool:
    """Whether a table holds what Debezium says."""
    return system.UNAVAILABLE in state.schema.names


@attrs.frozen(eq=False)
class Whole:
    """Changes made whole, and the moves that are open after them."""

    node: Node
    waiting: moves.Open


@attrs.frozen
class _Seen:
    """What is in a batch.

    Attributes:
        rows: How many changes.
        arrivals: How many of them are of rows that came from another key.
        truncates: How many are truncates.
        lacking: How many lack values.
        least: The least LSN; -1: some have none.
        came: The least LSN of the arrivals.
    """

    rows: int
    arrivals: int
    truncates: int
    lacking: int
    least: int
    came: int


@attrs.frozen(eq=False)
class _Moved:
    """What became of moves.

    Attributes:
        waiting: Those that are open now.
        keys: The keys of rows that waited, and wait no more. None: there are none.
        lost: The moves that are newly lost. None: there are none.
    """

    waiting: moves.Open
    keys: Frame | None = None
    lost: Frame | None = None


@attrs.frozen(eq=False)
class _Log:
    """A log, and how far it was read.

    Attributes:
        old: The snapshot read before. None: none was.
        known: The moves that were open then. None: nobody noted it.
        expired: Whether that snapshot is there no more. Then what waited then counts as if it had not been given.
    """

    lake: Lake
    session: Session
    state: TableState
    new: Node
    old: int | None
    known: moves.Open | None
    expired: bool


def whole(lake: Lake, state: TableState, new: Node, start: Position | None) -> Whole:
    """The new changes of a log, made whole; and earlier ones that waited for them.

    Args:
        lake: Where the log is.
        state: The log.
        new: What is new in it: all after ``start``, or more.
        start: How far it was read before.
    """
    known = moves.Open() if start is None else moves.Open.of(start.values)
    read = None if start is None else start.values["snapshot"]
    if known is not None and read == state.head:
        return Whole(new, known)
    expired = read is not None and read not in state.snapshots
    with lake.engine.session() as session:
        given = _Log(lake, session, state, new, state.head if expired else read, known, expired)
        seen = _seen(session, new)
        if not seen.rows and known is not None:
            return Whole(new, known)
        moved = _moved(given, seen)
        filled = _filled(given, seen, moved)
        emptied = deaths.emptied(lake, session, state, given.old, new, least=seen.least, fresh=seen.truncates)
        left = None if moved.lost is None else deaths.left(lake, session, state, new, moved.lost)
    _say(state, known, moved.waiting)
    columns, conditions = ", ".join(map(ident, changes_columns(state))), list[str]()
    if seen.truncates:
        conditions.append(f"`{system.OPERATION}` <> '{system.TRUNCATE}'")
    if seen.lacking:
        conditions.append(f"(`{system.UNAVAILABLE}` IS NULL OR `{system.SOURCE_KEY}` IS NULL)")
    plain = f"SELECT {columns} FROM new" + (f" WHERE {' AND '.join(conditions)}" if conditions else "")
    parts = {name: node for name, node in (("filled", filled), ("emptied", emptied), ("gone", left)) if node is not None}
    every = Query(" UNION ALL ".join([plain, *(f"SELECT {columns} FROM {name}" for name in parts)]), {"new": new, **parts})
    return Whole(every, moved.waiting)


def _seen(session: Session, new: Node) -> _Seen:
    arrives = f"`{system.MOVED_FROM}` IS NOT NULL AND `{system.SOURCE_KEY}` IS NOT NULL"
    lsn = moves.when()[0]
    words = (
        f"SELECT count(*) AS rows, count(CASE WHEN {arrives} THEN 1 END) AS arrivals, "
        f"count(CASE WHEN `{system.OPERATION}` = '{system.TRUNCATE}' THEN 1 END) AS truncates, "
        f"count(CASE WHEN {values.LACKS} THEN 1 END) AS lacking, "
        f"coalesce(min({lsn}), -1) AS least, coalesce(min(CASE WHEN {arrives} THEN {lsn} END), -1) AS came FROM new"
    )
    return _Seen(**session.one(Query(words, {"new": new})))


def _moved(given: _Log, seen: _Seen) -> _Moved:
    """The moves that are open now, and what became of those that were."""
    known, session, state = given.known, given.session, given.state
    if known is not None and not known.moves and not seen.arrivals:
        return _Moved(moves.Open())
    starts = [seen.came] if seen.arrivals else []
    starts += [-1 if known.lsn is None else known.lsn] if known is not None and known.moves else []
    least = None if known is None else min(starts)
    now = moves.halves(session, state, state.head, least)
    waiting = moves.figures(session, now.open)
    if given.expired:
        return _Moved(waiting, moves.onwards(session, moves.window(state, state.head, least), None), now.lost)
    if known is not None and not known.moves and now.lost is None:
        return _Moved(waiting)
    before = moves.halves(session, state, given.old, least)
    freed = moves.without(session, before.open, now.open)
    keys = None if freed is None else moves.onwards(session, moves.window(state, state.head, least), freed)
    return _Moved(waiting, keys, None if now.lost is None else moves.without(session, now.lost, before.lost))


def _filled(given: _Log, seen: _Seen, moved: _Moved) -> Node | None:
    """The changes that lack values: the new ones, and those that waited and do so no more. None: there are none."""
    session, state = given.session, given.state
    wanted: Node | None = session.stage(values.lacking(given.new)) if seen.lacking else None
    released = None if moved.keys is None else _released(given, moved.keys)
    if released is not None:
        parts = {"released": released} if wanted is None else {"released": released, "wanted": wanted}
        wanted = session.stage(Query(" UNION ALL ".join(f"SELECT * FROM {name}" for name in parts), parts))
    if wanted is None:
        return None
    names = values.columns_of(session, wanted)
    spans = moves.spans(session, state, state.head, wanted)
    found, _ = values.sought(session, state, state.head, wanted, names, spans)
    return values.filled(given.lake, session, state, given.new, names, found, released)


def _released(given: _Log, keys: Frame) -> Frame | None:
    """The earlier changes of some keys that waited. None: there are none."""
    session, state = given.session, given.state
    rows = session.stage(values.lacking(Scan(state, given.old), keys))
    if given.expired:
        missing = f"SELECT r.* FROM rows r LEFT ANTI JOIN new n ON {moves.same('r', 'n', moves.PLACE)}"
        rows = session.stage(Query(missing, {"rows": rows, "new": given.new}))
    if not count(session, rows):
        return None
    if given.expired:
        return rows
    spans = moves.spans(session, state, given.old, rows)
    _, waiting = values.sought(session, state, given.old, rows, values.columns_of(session, rows), spans)
    waited = f"SELECT r.* FROM rows r LEFT SEMI JOIN waiting w ON {moves.same('r', 'w', moves.PLACE)}"
    found = session.stage(Query(waited, {"rows": rows, "waiting": waiting}))
    return found if count(session, found) else None


def _say(state: TableState, known: moves.Open | None, waiting: moves.Open) -> None:
    if waiting.moves:
        level = logging.WARNING if known is not None and known.moves else logging.INFO  # at first, it may be on its way
        log.log(
            level,
            "%s: of %s rows that got another key, the delete under the old one has not come; their changes that lack values wait for it",
            state.label,
            waiting.moves,
            extra=logs.fields("moves_wait", table=state.label, moves=waiting.moves),
        )
