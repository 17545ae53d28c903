"""What is new in a change log, made whole: values that did not come with a change, and truncates as the deletes that they are.

A change says nothing of a large value that stayed as it was (TOAST). It is looked for among the earlier changes of the row: in the log, since
there alone each of them is kept as it came, whatever became of the row in tables that were made of the log. A row whose primary key was
changed goes on under another key, and its changes may stand in another partition of Kafka, which is read sooner or later: a change
that lacks a value waits until the other half of the move is there, and is given then. So what has been given, once all is read,
depends on the changes alone, and neither on how they were cut into batches nor on which partition was ahead.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, cast

import attrs
import pyarrow as pa

from lakekit import columns as system
from lakekit.engines.plan import Frame, Node, Query, Scan, TableState
from lakekit.engines.protocol import table
from lakekit.engines.sql import literal
from lakekit.engines.types import ident, sql_type
from lakekit.incremental.changes import changes_columns

if TYPE_CHECKING:
    from lakekit.engines.protocol import Session
    from lakekit.lake import Lake

log = logging.getLogger(__name__)

_EARLIEST: Final = datetime(1, 1, 1, tzinfo=UTC)
At = tuple[int, datetime]
"""When a change was made: the LSN, and the source's clock where there is none."""
_NOTABLE: Final = (
    system.WRITE_ID,
    system.KAFKA_TOPIC,
    system.KAFKA_PARTITION,
    system.KAFKA_OFFSET,
    system.SOURCE_LSN,
    system.SOURCE_TIMESTAMP,
    system.SOURCE_KEY,
    system.MOVED_FROM,
    system.MOVED_TO,
    system.OPERATION,
)
# Where a change stands. A topic made anew counts from nought again, in another write.
_PLACE: Final = (system.WRITE_ID, system.KAFKA_TOPIC, system.KAFKA_PARTITION, system.KAFKA_OFFSET)
_ORDER: Final = (system.SOURCE_LSN, system.SOURCE_TIMESTAMP, system.KAFKA_PARTITION, system.KAFKA_OFFSET)


def is_change_log(state: TableState) -> bool:
    """Whether a table holds what Debezium says."""
    return system.UNAVAILABLE in state.schema.names


@attrs.frozen
class Span:
    """A part of the life of a key, in which it names one row: between its moves to and from other keys.

    Attributes:
        row: What the row is called, under whichever keys it went.
        waits: Whether an earlier part of the row's life is not known yet.
    """

    topic: str
    key: str
    begin: At
    end: At | None
    row: str
    waits: bool


def whole(lake: Lake, state: TableState, new: Node) -> Node:
    """The new changes of a log, made whole; and earlier ones that waited for them."""
    every = Scan(state, state.head)
    with lake.engine.session() as session:
        notable = f"`{system.MOVED_FROM}` IS NOT NULL OR `{system.MOVED_TO}` IS NOT NULL OR `{system.OPERATION}` = '{system.TRUNCATE}'"
        names = ", ".join(map(ident, _NOTABLE))
        fresh = _rows(session, f"SELECT {names} FROM log WHERE {notable}", new)
        known = _rows(session, f"SELECT {names} FROM log WHERE {notable}", every)
        lacking = _lacking(session, new)
        places = {_place(row) for row in fresh}
        spans = _spans(known)
        before = {(span.topic, span.key, span.begin) for span in _spans(row for row in known if _place(row) not in places) if span.waits}
        released = [span for span in spans if not span.waits and (span.topic, span.key, span.begin) in before]
        if released:
            those = lake.engine.frame(_table(released))
            lacking |= _lacking(
                session, Query(f"SELECT l.* FROM log l LEFT SEMI JOIN spans s ON {_within('l')}", {"log": every, "spans": those})
            )
        truncates = [row for row in known if row[system.OPERATION] == system.TRUNCATE]
        emptied = _emptied(lake, session, state, new, truncates, places) if truncates else None
        filled = _filled(lake, session, state, new, sorted(lacking), spans, released) if lacking else None
    if waiting := sum(span.waits for span in spans):
        log.info("%s: changes under %s keys may wait for the other half of a move", state.label, waiting)
    columns = ", ".join(map(ident, changes_columns(state)))
    plain = f"SELECT {columns} FROM new WHERE `{system.OPERATION}` <> '{system.TRUNCATE}'"
    if filled is not None:
        plain += f" AND (`{system.UNAVAILABLE}` IS NULL OR `{system.SOURCE_KEY}` IS NULL)"
    parts = {name: node for name, node in (("filled", filled), ("emptied", emptied)) if node is not None}
    return Query(" UNION ALL ".join([plain, *(f"SELECT {columns} FROM {name}" for name in parts)]), {"new": new, **parts})


def _rows(session: Session, sql: str, node: Node) -> list[dict[str, Any]]:
    return [row for batch in session.rows(Query(sql, {"log": node})) for row in batch.to_pylist()]


def _lacking(session: Session, node: Node) -> set[str]:
    """The columns of which some value did not come."""
    exploded = f"SELECT EXPLODE(`{system.UNAVAILABLE}`) AS name FROM log WHERE `{system.UNAVAILABLE}` IS NOT NULL AND `{system.SOURCE_KEY}` IS NOT NULL"
    return {row["name"] for row in _rows(session, f"SELECT DISTINCT name FROM ({exploded})", node)}


def _place(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(row[name] for name in _PLACE)


def _at(row: Mapping[str, Any]) -> At:
    lsn, instant = row[system.SOURCE_LSN], row[system.SOURCE_TIMESTAMP]
    return (-1 if lsn is None else lsn, instant or _EARLIEST)


def _spans(moves: Iterable[Mapping[str, Any]]) -> list[Span]:
    """The parts of the lives of all keys that rows were moved to or from."""
    came: dict[tuple[str, str], dict[At, str | None]] = {}
    left: set[tuple[str, str, At]] = set()
    for row in moves:
        topic, key, at = row[system.KAFKA_TOPIC], row[system.SOURCE_KEY], _at(row)
        if key is None or not (row[system.MOVED_FROM] or row[system.MOVED_TO]):
            continue
        cuts = came.setdefault((topic, key), {})
        if row[system.MOVED_FROM] is not None:
            cuts[at] = row[system.MOVED_FROM]
            came.setdefault((topic, row[system.MOVED_FROM]), {})
        else:
            cuts.setdefault(at, None)
            left.add((topic, key, at))
    found: dict[tuple[str, str], list[Span]] = {
        (topic, key): [Span(topic, key, (-2, _EARLIEST), None, key, waits=False)] for topic, key in came
    }
    # In order of time: where a row comes from is known before it arrives.
    for at, topic, key, origin in sorted(
        (at, topic, key, origin or "") for (topic, key), cuts in came.items() for at, origin in cuts.items()
    ):
        own = found[topic, key]
        own[-1] = attrs.evolve(own[-1], end=at)
        row, waits = f"{key}@{at[0]}@{at[1].isoformat()}", False
        if origin:
            # Once its leaving is known, so is all that the row went through before it left: that came in the same partition.
            parent = (
                next((span for span in reversed(found[topic, origin]) if span.begin < at), None) if (topic, origin, at) in left else None
            )
            row, waits = (row, True) if parent is None else (parent.row, parent.waits)
        own.append(Span(topic, key, at, None, row, waits=waits))
    return [span for each in found.values() for span in each]


def _table(spans: Sequence[Span]) -> pa.Table:
    instant = pa.timestamp("us", tz="UTC")
    return pa.table(
        {
            "topic": pa.array([span.topic for span in spans], pa.string()),
            "key": pa.array([span.key for span in spans], pa.string()),
            "from_lsn": pa.array([span.begin[0] for span in spans], pa.int64()),
            "from_time": pa.array([span.begin[1] for span in spans], instant),
            "to_lsn": pa.array([None if span.end is None else span.end[0] for span in spans], pa.int64()),
            "to_time": pa.array([None if span.end is None else span.end[1] for span in spans], instant),
            "row": pa.array([span.row for span in spans], pa.string()),
            "waits": pa.array([span.waits for span in spans], pa.bool_()),
        }
    )


def _within(change: str) -> str:
    """SQL that says whether a change falls into a span ``s``."""
    lsn, time = f"coalesce({change}.`{system.SOURCE_LSN}`, -1)", f"{change}.`{system.SOURCE_TIMESTAMP}`"
    time = f"coalesce({time}, CAST('0001-01-01T00:00:00Z' AS TIMESTAMP))"
    since = f"({lsn} > s.from_lsn OR ({lsn} = s.from_lsn AND {time} >= s.from_time))"
    until = f"(s.to_lsn IS NULL OR {lsn} < s.to_lsn OR ({lsn} = s.to_lsn AND {time} < s.to_time))"
    return f"{change}.`{system.KAFKA_TOPIC}` = s.topic AND {change}.`{system.SOURCE_KEY}` = s.key AND {since} AND {until}"


def _filled(
    lake: Lake, session: Session, state: TableState, new: Node, lacking: Sequence[str], spans: Sequence[Span], released: Sequence[Span]
) -> Node:
    """The changes that lack values, with the last value that each row had before.

    Where that stands is found out now, from columns that are small; the values themselves are read with the batch, and none but those.
    """
    names = changes_columns(state)
    columns, every = ", ".join(map(ident, names)), Scan(state, state.head)
    without = f"`{system.UNAVAILABLE}` IS NOT NULL AND `{system.SOURCE_KEY}` IS NOT NULL"
    wanted: Node = Query(f"SELECT {columns} FROM new WHERE {without}", {"new": new})
    if released:
        waited = Query(
            f"SELECT {columns} FROM log l LEFT SEMI JOIN spans s ON {_within('l')} "
            f"LEFT ANTI JOIN new n ON {_same('l', 'n', _PLACE)} WHERE {without}",
            {"log": every, "spans": lake.engine.frame(_table(released)), "new": new},
        )
        wanted = Query(f"SELECT {columns} FROM new UNION ALL SELECT {columns} FROM waited", {"new": wanted, "waited": waited})
    found = lake.engine.frame(table(session, _last(lake, every, wanted, lacking, spans)))
    unknown = " OR ".join(f"({_absent(name, 'w')} AND f.`_write_{index}` IS NULL)" for index, name in enumerate(lacking))
    filled = {
        name: f"CASE WHEN {_absent(name, 'w')} THEN v{index}.{ident(name)} ELSE w.{ident(name)} END" for index, name in enumerate(lacking)
    }
    filled[system.UNAVAILABLE] = f"CASE WHEN {unknown} THEN w.`{system.UNAVAILABLE}` END"
    items = ", ".join(f"{filled.get(name, f'w.{ident(name)}')} AS {ident(name)}" for name in names)
    joins, inputs = "", {"wanted": wanted, "found": found}
    for index, name in enumerate(lacking):
        there = f"`_write_{index}`", f"`{system.KAFKA_TOPIC}`", f"`_partition_{index}`", f"`_offset_{index}`"
        at = " AND ".join(f"{{0}}.{ident(own)} = f.{other}" for own, other in zip(_PLACE, there, strict=True))
        # First only those rows of the log: whatever the engine makes of the join behind it, it is small.
        inputs[f"values_{index}"] = Query(
            f"SELECT {', '.join(f'l.{ident(each)}' for each in (*_PLACE, name))} FROM log l LEFT SEMI JOIN found f ON {at.format('l')}",
            {"log": every, "found": found},
        )
        joins += f" LEFT JOIN values_{index} v{index} ON {at.format(f'v{index}')}"
    return Query(
        f"SELECT {items} FROM wanted w JOIN found f ON {_same('w', 'f', _PLACE)}{joins} WHERE NOT (f.`_waits` AND ({unknown}))", inputs
    )


def _last(lake: Lake, every: Node, wanted: Node, lacking: Sequence[str], spans: Sequence[Span]) -> Node:
    """Of each change that lacks values: for each column, the change of the same row at or before it that has one."""
    lives, key, place = lake.engine.frame(_table(spans)), (system.KAFKA_TOPIC, system.SOURCE_KEY), ", ".join(map(ident, _PLACE))
    keys = Query(f"SELECT {', '.join(map(ident, key))} FROM wanted UNION SELECT topic, key FROM spans", {"wanted": wanted, "spans": lives})
    kept = ", ".join(f"l.{ident(name)}" for name in dict.fromkeys((*_PLACE, *_ORDER, system.UNAVAILABLE)))
    history = Query(
        f"SELECT {kept}, coalesce(s.row, l.`{system.SOURCE_KEY}`) AS `_row`, coalesce(s.waits, false) AS `_waits` "
        f"FROM log l LEFT SEMI JOIN keys k ON {_same('l', 'k', key)} LEFT JOIN spans s ON {_within('l')} WHERE l.`{system.OPERATION}` = '{system.UPSERT}'",
        {"log": every, "keys": keys, "spans": lives},
    )
    window = f"PARTITION BY `{system.KAFKA_TOPIC}`, `_row` ORDER BY " + ", ".join(f"{ident(name)} ASC NULLS FIRST" for name in _ORDER)
    own = f"STRUCT(`{system.WRITE_ID}` AS w, `{system.KAFKA_PARTITION}` AS p, `{system.KAFKA_OFFSET}` AS o)"
    last = ", ".join(
        f"LAST_VALUE(CASE WHEN {_absent(name)} THEN NULL ELSE {own} END) IGNORE NULLS "
        f"OVER ({window} ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS `_last_{index}`"
        for index, name in enumerate(lacking)
    )
    parts = ", ".join(
        f"f.`_last_{index}`.w AS `_write_{index}`, f.`_last_{index}`.p AS `_partition_{index}`, f.`_last_{index}`.o AS `_offset_{index}`"
        for index in range(len(lacking))
    )
    listed = ", ".join(f"f.{ident(name)}" for name in _PLACE)
    return Query(
        f"SELECT {listed}, f.`_waits`, {parts} FROM (SELECT {place}, `_waits`, {last} FROM history) f "
        f"LEFT SEMI JOIN wanted w ON {_same('f', 'w', _PLACE)}",
        {"history": history, "wanted": wanted},
    )


def _absent(name: str, relation: str = "") -> str:
    """SQL that says whether the value of a column did not come."""
    listed = f"{relation}.`{system.UNAVAILABLE}`" if relation else f"`{system.UNAVAILABLE}`"
    return f"coalesce(array_contains({listed}, {literal(name)}), false)"


def _same(one: str, other: str, names: Iterable[str]) -> str:
    return " AND ".join(f"{one}.{ident(name)} = {other}.{ident(name)}" for name in names)


def _emptied(
    lake: Lake, session: Session, state: TableState, new: Node, truncates: Sequence[Mapping[str, Any]], fresh: set[tuple[Any, ...]]
) -> Node | None:
    """A delete of each row that lived when its table was truncated. None: nothing that is new has to do with a truncate."""
    least = _rows(session, f"SELECT min(coalesce(`{system.SOURCE_LSN}`, -1)) AS least FROM log", new)[0]["least"]
    if not any(_place(row) in fresh for row in truncates) and (least is None or least > max(_at(row)[0] for row in truncates)):
        return None
    one = _rows(
        session, f"SELECT `{system.SOURCE_KEY}` AS k FROM log WHERE `{system.SOURCE_KEY}` IS NOT NULL LIMIT 1", Scan(state, state.head)
    )
    key = cast("dict[str, Any]", json.loads(one[0]["k"])) if one else {}
    if not one or not isinstance(key, dict) or not set(key) <= set(state.schema.names):  # pyright: ignore[reportUnnecessaryIsInstance] -- a key may be no object
        log.warning("%s: was truncated at its source, and its rows have no key to delete them by", state.label)
        return None
    given = {
        system.OPERATION: f"'{system.DELETE}'",
        system.SOURCE_OPERATION: "'t'",
        system.SOURCE_LSN: "t.lsn",
        system.SOURCE_TIMESTAMP: "t.time",
        system.KAFKA_PARTITION: "t.partition",
        system.KAFKA_OFFSET: "t.offset",
    }
    kept = {*key, system.SOURCE, system.SOURCE_KEY, system.KAFKA_TOPIC, system.INGESTION_TIMESTAMP, system.WRITE_ID}
    types = {field.name: sql_type(field.type) for field in state.schema}
    items = ", ".join(
        f"{given.get(name) or (f'l.{ident(name)}' if name in kept else f'CAST(NULL AS {types[name]})')} AS {ident(name)}"
        for name in changes_columns(state)
    )
    earlier = f"coalesce(l.`{system.SOURCE_LSN}`, -1) < t.lsn"
    order = ", ".join(f"l.{ident(name)} DESC NULLS LAST" for name in _ORDER)
    nth = f"row_number() OVER (PARTITION BY l.`{system.KAFKA_TOPIC}`, l.`{system.SOURCE_KEY}`, t.lsn ORDER BY {order})"
    last = (
        f"SELECT {items}, l.`{system.OPERATION}` AS `_was`, t.is_new OR n.`{system.KAFKA_OFFSET}` IS NOT NULL AS `_new`, {nth} AS `_nth` "
        f"FROM log l JOIN truncates t ON l.`{system.KAFKA_TOPIC}` = t.topic AND {earlier} "
        f"LEFT JOIN new n ON {_same('l', 'n', _PLACE)} "
        f"WHERE l.`{system.SOURCE_KEY}` IS NOT NULL AND l.`{system.OPERATION}` <> '{system.TRUNCATE}'"
    )
    return Query(
        f"SELECT * FROM ({last}) WHERE `_nth` = 1 AND `_was` = '{system.UPSERT}' AND `_new`",
        {"log": Scan(state, state.head), "new": new, "truncates": _truncates(lake, truncates, fresh)},
    )


def _truncates(lake: Lake, truncates: Sequence[Mapping[str, Any]], fresh: set[tuple[Any, ...]]) -> Frame:
    once = {(row[system.KAFKA_TOPIC], _at(row)): row for row in truncates}  # one may come twice
    rows = list(once.values())
    columns = {
        "topic": pa.array([row[system.KAFKA_TOPIC] for row in rows], pa.string()),
        "lsn": pa.array([_at(row)[0] for row in rows], pa.int64()),
        "time": pa.array([row[system.SOURCE_TIMESTAMP] for row in rows], pa.timestamp("us", tz="UTC")),
        "partition": pa.array([row[system.KAFKA_PARTITION] for row in rows], pa.int32()),
        "offset": pa.array([row[system.KAFKA_OFFSET] for row in rows], pa.int64()),
        "is_new": pa.array([_place(row) in fresh for row in rows], pa.bool_()),
    }
    return lake.engine.frame(pa.table(columns))
