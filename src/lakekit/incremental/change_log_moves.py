"""Rows of a change log that go on under another key: what each was called before, and which moves have come by half.

A move is two changes of one place in the source's log: a delete under the old key, and the row under the new one. They may stand in different
partitions of Kafka, so either may be read first. Where the row has come and its delete has not, the earlier changes of the row may not have
come either: such a move is *open*. It ends when the delete comes, or when it can't come any more (`lost`).
"""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING, Any, Final, cast

import attrs

from lakekit import columns as system
from lakekit.bookmark import WAITING
from lakekit.engines.plan import Frame, Node, Query, Scan, TableState
from lakekit.engines.protocol import count

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from lakekit.engines.protocol import Session

# Where a change stands. A topic made anew counts from nought again, in another write.
PLACE: Final = (system.WRITE_ID, system.KAFKA_TOPIC, system.KAFKA_PARTITION, system.KAFKA_OFFSET)
ORDER: Final = (system.SOURCE_LSN, system.SOURCE_TIMESTAMP, system.KAFKA_PARTITION, system.KAFKA_OFFSET)
EARLIEST: Final = "CAST('0001-01-01T00:00:00Z' AS TIMESTAMP)"
AT: Final = ("lsn", "time")
"""When a change was made: the LSN, and the source's clock."""
KEY: Final = ("topic", "key")
_SPAN: Final = "topic, key, lsn, time, to_lsn, to_time, label"


@attrs.frozen
class Open:
    """Moves of which only the row has come.

    Attributes:
        moves: How many.
        lsn: The least LSN among them. None: some have none, or there are no moves.
        since: When the first of them was made, on the source's clock (UTC, ISO 8601). None: it does not say.
    """

    moves: int = 0
    lsn: int | None = None
    since: str | None = None

    @classmethod
    def of(cls, details: Mapping[str, Any]) -> Open | None:
        """Those that a position tells of. None: it tells nothing."""
        found = details.get(WAITING)
        return None if found is None else cls(**found)

    def to_dict(self) -> dict[str, object]:
        """Them as a position's details have them."""
        return attrs.asdict(self, filter=lambda field, value: field.name == "moves" or value is not None)


def window(state: TableState, snapshot: int | None, least: int | None) -> Scan:
    """The log from an LSN on. None: all of it."""
    return Scan(state, snapshot, bounds={} if least is None or least < 0 else {system.SOURCE_LSN: (least, None)})


def when(relation: str = "") -> tuple[str, str]:
    """SQL for the LSN of a change and the source's clock, neither of which is NULL."""
    prefix = f"{relation}." if relation else ""
    return f"coalesce({prefix}`{system.SOURCE_LSN}`, -1)", f"coalesce({prefix}`{system.SOURCE_TIMESTAMP}`, {EARLIEST})"


def same(one: str, other: str, names: tuple[str, ...]) -> str:
    """SQL that says whether columns of two relations are equal."""
    return " AND ".join(f"{one}.`{name}` = {other}.`{name}`" for name in names)


def _moves(log: Node, keys: Node | None = None) -> Query:
    """The moves in a log, of some keys only: where a row came from (``origin``), or that it went."""
    lsn, time = when("l")
    words = (
        f"SELECT DISTINCT l.`{system.KAFKA_TOPIC}` AS topic, l.`{system.SOURCE_KEY}` AS key, {lsn} AS lsn, {time} AS time, "
        f"l.`{system.MOVED_FROM}` AS origin, CASE WHEN l.`{system.MOVED_FROM}` IS NULL THEN l.`{system.MOVED_TO}` END AS target FROM log l "
    )
    if keys is not None:
        words += f"LEFT SEMI JOIN keys k ON k.topic = l.`{system.KAFKA_TOPIC}` AND k.key = l.`{system.SOURCE_KEY}` "
    words += f"WHERE (l.`{system.MOVED_FROM}` IS NOT NULL OR l.`{system.MOVED_TO}` IS NOT NULL) AND l.`{system.SOURCE_KEY}` IS NOT NULL"
    return Query(words, {"log": log} if keys is None else {"log": log, "keys": keys}, ordered=True)


def _halves(session: Session, moves: Node) -> Frame:
    """The rows that came, of which the delete under the old key did not."""
    left = "d.target IS NOT NULL AND d.topic = a.topic AND d.key = a.origin AND d.lsn = a.lsn AND d.time = a.time"
    return session.stage(Query(f"SELECT a.* FROM moves a LEFT ANTI JOIN moves d ON {left} WHERE a.origin IS NOT NULL", {"moves": moves}))


def _lost(session: Session, state: TableState, snapshot: int | None, halves: Node) -> Frame | None:
    """Those of them of which the delete can't come any more. None: there are none.

    Debezium writes a partition in the order in which transactions were committed. So the delete is not there once the partition of the old key
    holds a change that was committed an hour later: by LSN alone it might be, since transactions overlap, and clocks are not exact. Where the
    log knows nothing of the old key, any of its partitions may be the one.
    """
    least = session.one(Query("SELECT min(lsn) AS least FROM halves", {"halves": halves}))["least"]
    names = f"l.`{system.KAFKA_TOPIC}` AS topic, l.`{system.KAFKA_PARTITION}` AS partition"
    latest = session.stage(
        Query(f"SELECT {names}, max({when('l')[1]}) AS latest FROM log l GROUP BY 1, 2", {"log": window(state, snapshot, least)})
    )
    beyond = f"h.time > {EARLIEST} AND {{}}.latest >= h.time + INTERVAL '1' HOUR"
    some = session.stage(
        Query(
            f"SELECT h.* FROM halves h LEFT SEMI JOIN latest l ON l.topic = h.topic AND {beyond.format('l')}",
            {"halves": halves, "latest": latest},
        )
    )
    if not count(session, some):
        return None
    stands = session.stage(
        Query(
            f"SELECT DISTINCT {names}, l.`{system.SOURCE_KEY}` AS key FROM log l LEFT SEMI JOIN halves h "
            f"ON h.topic = l.`{system.KAFKA_TOPIC}` AND h.origin = l.`{system.SOURCE_KEY}`",
            {"log": Scan(state, snapshot), "halves": some},
            ordered=True,
        )
    )
    everywhere = session.stage(Query(f"SELECT DISTINCT {names} FROM log l", {"log": Scan(state, snapshot)}))
    unknown = session.stage(
        Query(
            "SELECT h.topic, h.origin FROM halves h LEFT ANTI JOIN stands s ON s.topic = h.topic AND s.key = h.origin",
            {"halves": some, "stands": stands},
        )
    )
    anywhere = session.stage(
        Query(
            "SELECT p.topic, p.partition, u.origin AS key FROM unknown u JOIN everywhere p ON p.topic = u.topic",
            {"unknown": unknown, "everywhere": everywhere},
        )
    )
    reached = session.stage(
        Query(
            f"SELECT s.topic, s.key, min(coalesce(l.latest, {EARLIEST})) AS latest "
            "FROM (SELECT topic, partition, key FROM stands UNION ALL SELECT topic, partition, key FROM anywhere) s "
            "LEFT JOIN latest l ON l.topic = s.topic AND l.partition = s.partition GROUP BY s.topic, s.key",
            {"stands": stands, "anywhere": anywhere, "latest": latest},
        )
    )
    lost = session.stage(
        Query(
            f"SELECT h.* FROM halves h LEFT SEMI JOIN reached r ON r.topic = h.topic AND r.key = h.origin AND {beyond.format('r')}",
            {"halves": some, "reached": reached},
        )
    )
    return lost if count(session, lost) else None


@attrs.frozen(eq=False)
class Halves:
    """The moves of a part of the log of which only the row has come: those that are open, and those that are lost.

    Attributes:
        lost: None: there are none.
    """

    open: Frame
    lost: Frame | None


def halves(session: Session, state: TableState, snapshot: int | None, least: int | None) -> Halves:
    """The moves since an LSN of which only the row has come."""
    found = _halves(session, session.stage(_moves(window(state, snapshot, least))))
    lost = _lost(session, state, snapshot, found) if count(session, found) else None
    if lost is None:
        return Halves(found, None)
    still = f"SELECT h.* FROM halves h LEFT ANTI JOIN lost l ON {same('h', 'l', (*KEY, *AT))}"
    return Halves(session.stage(Query(still, {"halves": found, "lost": lost})), lost)


def figures(session: Session, found: Frame) -> Open:
    """How many these are, and since when."""
    times = f"min(CASE WHEN time > {EARLIEST} THEN time END)"
    row = session.one(Query(f"SELECT count(*) AS n, min(lsn) AS lsn, {times} AS since FROM found", {"found": found}))
    lsn, since = row["lsn"], cast("datetime | None", row["since"])
    return Open(int(row["n"]), None if lsn is None or lsn < 0 else lsn, since and since.astimezone(UTC).isoformat())


def without(session: Session, some: Node, others: Node | None) -> Frame | None:
    """These moves without others. None: none is left."""
    if others is None:
        found = session.stage(some)
    else:
        words = f"SELECT s.* FROM some_of s LEFT ANTI JOIN others o ON {same('s', 'o', (*KEY, *AT))}"
        found = session.stage(Query(words, {"some_of": some, "others": others}))
    return found if count(session, found) else None


def onwards(session: Session, log: Node, keys: Node | None) -> Frame:
    """Keys, and those under which their rows went on. None: of all rows that came from another key."""
    every = session.stage(_moves(log))
    if keys is None:
        keys = Query("SELECT topic, key FROM moves WHERE origin IS NOT NULL", {"moves": every})
    step = "SELECT DISTINCT m.topic, m.target AS key FROM moves m LEFT SEMI JOIN keys k ON k.topic = m.topic AND k.key = m.key"
    return _closed(session, keys, lambda known: Query(f"{step} WHERE m.target IS NOT NULL", {"moves": every, "keys": known}))


def _closed(session: Session, keys: Node, following: Callable[[Node], Query]) -> Frame:
    """Keys, and all that follow from them."""
    known = frontier = session.stage(Query("SELECT DISTINCT topic, key FROM keys", {"keys": keys}))
    while True:
        # Staged before it is joined: Spark's optimizer loses a column where it carries an anti join below a DISTINCT.
        found = session.stage(following(frontier))
        fresh = Query(f"SELECT f.* FROM found f LEFT ANTI JOIN known k ON {same('f', 'k', KEY)}", {"found": found, "known": known})
        frontier = session.stage(fresh)
        if not count(session, frontier):
            return known
        known = session.stage(Query("SELECT * FROM known UNION ALL SELECT * FROM fresh", {"known": known, "fresh": frontier}))


def spans(session: Session, state: TableState, snapshot: int | None, keys: Node) -> Frame | None:
    """The parts of the lives of some keys, and of all that their rows were called before: in each, a key names one row. None: none ever moved.

    A span begins at ``lsn`` and ``time``, and lasts until ``to_lsn`` and ``to_time`` (NULL: still). ``life`` is what its row is called, under
    whichever keys it went; ``waits``: an earlier part of that is not known yet.
    """
    parts: list[Frame] = []

    def origins(frontier: Node) -> Query:
        parts.append(session.stage(_moves(Scan(state, snapshot), frontier)))
        return Query("SELECT DISTINCT topic, origin AS key FROM moves WHERE origin IS NOT NULL", {"moves": parts[-1]})

    _closed(session, keys, origins)
    moves = session.stage(_united(parts))
    if not count(session, moves):
        return None
    alone = _halves(session, moves)
    lost = _lost(session, state, snapshot, alone) if count(session, alone) else None
    if lost is not None:  # the row did leave its old key, whether or not the log says so
        left = Query("SELECT topic, origin AS key, lsn, time, CAST(NULL AS STRING) AS origin, key AS target FROM lost", {"lost": lost})
        moves = session.stage(_united([moves, left]))
    return _lives(session, _cut(session, moves), moves)


def _united(parts: Sequence[Node]) -> Query:
    return Query(
        " UNION ALL ".join(f"SELECT * FROM p{index}" for index in range(len(parts))), {f"p{i}": part for i, part in enumerate(parts)}
    )


def _cut(session: Session, moves: Frame) -> Frame:
    cuts = "SELECT topic, key, lsn, time, max(origin) AS origin FROM moves GROUP BY topic, key, lsn, time"
    over = "OVER (PARTITION BY topic, key ORDER BY lsn, time)"
    ended = (
        f"SELECT *, lead(lsn) {over} AS to_lsn, lead(time) {over} AS to_time, row_number() {over} AS nth, "
        f"concat(key, '@', CAST(lsn AS STRING), '@', CAST(time AS STRING)) AS label FROM ({cuts})"
    )
    found = session.stage(Query(ended, {"moves": moves}))
    first = (
        f"SELECT topic, key, -2 AS lsn, {EARLIEST} AS time, lsn AS to_lsn, time AS to_time, key AS label, CAST(NULL AS STRING) AS origin"
    )
    return session.stage(Query(f"{first} FROM cuts WHERE nth = 1 UNION ALL SELECT {_SPAN}, origin FROM cuts", {"cuts": found}))


def _lives(session: Session, cut: Frame, moves: Frame) -> Frame:
    """The spans, each with the row that it is a part of: once the leaving of the old key is known, so is all that the row went through before."""
    names = ", ".join(f"s.{name}" for name in _SPAN.split(", "))
    left = "SELECT DISTINCT topic, key, lsn, time FROM moves WHERE target IS NOT NULL"
    linked = session.stage(
        Query(
            f"SELECT {names}, coalesce(p.label, s.label) AS life, s.origin IS NOT NULL AND p.label IS NULL AS waits FROM spans s "
            f"LEFT JOIN ({left}) d ON d.topic = s.topic AND d.key = s.origin AND d.lsn = s.lsn AND d.time = s.time "
            "LEFT JOIN spans p ON p.topic = d.topic AND p.key = d.key AND p.to_lsn = d.lsn AND p.to_time = d.time",
            {"spans": cut, "moves": moves},
        )
    )
    while True:  # each time twice as far back
        further = Query(
            f"SELECT {names}, p.life, p.waits, p.life <> s.life AS went FROM spans s JOIN spans p ON p.topic = s.topic AND p.label = s.life",
            {"spans": linked},
        )
        found = session.stage(further)
        linked = session.stage(Query("SELECT * EXCEPT (went) FROM found", {"found": found}))
        if not count(session, Query("SELECT 1 AS one FROM found WHERE went", {"found": found})):
            return linked


def within(change: str) -> str:
    """SQL that says whether a change falls into a span ``s``."""
    lsn, time = when(change)
    since = f"({lsn} > s.lsn OR ({lsn} = s.lsn AND {time} >= s.time))"
    until = f"(s.to_lsn IS NULL OR {lsn} < s.to_lsn OR ({lsn} = s.to_lsn AND {time} < s.to_time))"
    return f"{change}.`{system.KAFKA_TOPIC}` = s.topic AND {change}.`{system.SOURCE_KEY}` = s.key AND {since} AND {until}"
