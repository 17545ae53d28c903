"""Deletes that a change log does not hold row by row: those of a truncate, and those of old keys whose own delete was lost."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any, Final, cast

import pyarrow as pa

from lakekit import columns as system
from lakekit import logs
from lakekit.engines.plan import Frame, Node, Query, Scan, TableState
from lakekit.engines.protocol import table
from lakekit.engines.types import ident, sql_type
from lakekit.incremental.change_log_moves import ORDER, PLACE, window
from lakekit.incremental.changes import changes_columns

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lakekit.engines.protocol import Session
    from lakekit.lake import Lake

log = logging.getLogger(__name__)

_SCHEMA: Final = pa.schema(
    [
        pa.field("topic", pa.string()),
        pa.field("key", pa.string()),  # NULL: all rows
        pa.field("since", pa.int64()),  # changes before it have nothing to do with this
        pa.field("lsn", pa.int64()),
        pa.field("time", pa.timestamp("us", tz="UTC")),
        pa.field("partition", pa.int32()),
        pa.field("offset", pa.int64()),
        pa.field("operation", pa.string()),
        pa.field("target", pa.string()),
        pa.field("is_new", pa.bool_()),
    ]
)


def emptied(lake: Lake, session: Session, state: TableState, old: int | None, new: Node, *, least: int, fresh: int) -> Node | None:
    """A delete of each row that lived when its table was truncated. None: nothing that is new has to do with a truncate.

    Args:
        lake: Where the log is.
        session: To find out in.
        state: The log.
        old: Its snapshot that was read before. None: none.
        new: What is new in it.
        least: The least LSN of that. Where no truncate is new, only later ones concern it.
        fresh: How many truncates are among it.
    """
    known = _truncates(session, window(state, old, least), least)
    again = _truncates(session, new, -1) if fresh else []
    # One may come twice.
    found = {(row["topic"], row["lsn"]): row for row in [*known, *({**row, "is_new": True} for row in again)]}
    if not found or not (key := _key(session, state)):
        return None
    truncates = _since(session, state, list(found.values()))
    if fresh:
        changes: Node = window(state, state.head, min(row["since"] for row in truncates))
    else:
        latest = max(row["lsn"] for row in truncates)
        late = f"n.`{system.KAFKA_TOPIC}` = l.`{system.KAFKA_TOPIC}` AND n.`{system.SOURCE_KEY}` = l.`{system.SOURCE_KEY}`"
        late += f" AND coalesce(n.`{system.SOURCE_LSN}`, -1) < {latest}"
        changes = Query(f"SELECT l.* FROM log l LEFT SEMI JOIN new n ON {late}", {"log": Scan(state, state.head), "new": new})
    rows = pa.Table.from_pylist([{"operation": "t", **row} for row in truncates], schema=_SCHEMA)
    return _deleted(state, key, changes, new, lake.engine.frame(rows))


def left(lake: Lake, session: Session, state: TableState, new: Node, lost: Node) -> Node | None:
    """A delete under its old key of each row that moved on, and of which the delete was lost."""
    words = (
        "SELECT topic, origin AS key, CAST(-1 AS BIGINT) AS since, lsn, time, CAST(NULL AS INT) AS partition, CAST(NULL AS BIGINT) AS offset, "
        "'d' AS operation, key AS target, true AS is_new FROM lost"
    )
    if not (key := _key(session, state)):
        return None
    found = table(session, Query(words, {"lost": lost})).cast(_SCHEMA)
    of_those = f"k.topic = l.`{system.KAFKA_TOPIC}` AND k.key = l.`{system.SOURCE_KEY}`"
    events = lake.engine.frame(found)
    changes = Query(f"SELECT l.* FROM log l LEFT SEMI JOIN keys k ON {of_those}", {"log": Scan(state, state.head), "keys": events})
    return _deleted(state, key, changes, new, events)


def _truncates(session: Session, node: Node, least: int) -> list[dict[str, Any]]:
    names = (
        f"`{system.KAFKA_TOPIC}` AS topic, `{system.SOURCE_LSN}` AS lsn, `{system.SOURCE_TIMESTAMP}` AS time, "
        f"`{system.KAFKA_PARTITION}` AS partition, `{system.KAFKA_OFFSET}` AS offset, false AS is_new"
    )
    words = f"SELECT {names} FROM log WHERE `{system.OPERATION}` = '{system.TRUNCATE}' AND `{system.SOURCE_LSN}` > {least}"
    return [row for batch in session.rows(Query(words, {"log": node})) for row in batch.to_pylist()]


def _since(session: Session, state: TableState, truncates: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Truncates, each with the place of the one before it: what lived before that one died with it."""
    least = min(row["lsn"] for row in truncates)
    before = f"SELECT `{system.KAFKA_TOPIC}` AS topic, max(`{system.SOURCE_LSN}`) AS lsn FROM log WHERE `{system.OPERATION}` = '{system.TRUNCATE}'"
    earlier = Query(f"{before} AND `{system.SOURCE_LSN}` < {least} GROUP BY `{system.KAFKA_TOPIC}`", {"log": Scan(state, state.head)})
    last = {row["topic"]: row["lsn"] for batch in session.rows(earlier) for row in batch.to_pylist()}
    found: list[dict[str, Any]] = []
    for row in sorted(truncates, key=lambda row: cast("int", row["lsn"])):
        found.append({**row, "since": last.get(row["topic"], -1)})
        last[row["topic"]] = row["lsn"]
    return found


def _key(session: Session, state: TableState) -> tuple[str, ...]:
    """The columns of the key that the rows of a log have. Empty: they have none, or none that its columns hold."""
    words = f"SELECT `{system.SOURCE_KEY}` AS k FROM log WHERE `{system.SOURCE_KEY}` IS NOT NULL LIMIT 1"
    one = [row["k"] for batch in session.rows(Query(words, {"log": Scan(state, state.head)})) for row in batch.to_pylist()]
    found: Any = json.loads(one[0]) if one else None
    if isinstance(found, dict) and found.keys() <= {*state.schema.names}:
        return tuple(cast("dict[str, Any]", found))
    log.warning(
        "%s: was truncated at its source, or rows got other keys, and there is no key to delete rows by",
        state.label,
        extra=logs.fields("no_key", table=state.label),
    )
    return ()


def _deleted(state: TableState, key: Sequence[str], changes: Node, new: Node, events: Frame) -> Query:
    """The deletes of rows that lived at each event: that were last upserted before it."""
    given = {
        system.OPERATION: f"'{system.DELETE}'",
        system.SOURCE_OPERATION: "e.operation",
        system.SOURCE_LSN: "e.lsn",
        system.SOURCE_TIMESTAMP: "e.time",
        system.KAFKA_PARTITION: "e.partition",
        system.KAFKA_OFFSET: "e.offset",
        system.MOVED_TO: "e.target",
    }
    kept = {*key, system.SOURCE, system.SOURCE_KEY, system.KAFKA_TOPIC, system.INGESTION_TIMESTAMP, system.WRITE_ID}
    types = {field.name: sql_type(field.type) for field in state.schema}
    items = ", ".join(
        f"{given.get(name) or (f'l.{ident(name)}' if name in kept else f'CAST(NULL AS {types[name]})')} AS {ident(name)}"
        for name in changes_columns(state)
    )
    order = ", ".join(f"l.{ident(name)} DESC NULLS LAST" for name in ORDER)
    nth = f"row_number() OVER (PARTITION BY l.`{system.KAFKA_TOPIC}`, l.`{system.SOURCE_KEY}`, e.lsn ORDER BY {order})"
    place = " AND ".join(f"l.{ident(name)} = n.{ident(name)}" for name in PLACE)
    lsn = f"coalesce(l.`{system.SOURCE_LSN}`, -1)"
    last = (
        f"SELECT {items}, l.`{system.OPERATION}` AS `_was`, e.is_new OR n.`{system.KAFKA_OFFSET}` IS NOT NULL AS `_new`, {nth} AS `_nth` "
        f"FROM log l JOIN events e ON l.`{system.KAFKA_TOPIC}` = e.topic AND {lsn} >= e.since AND {lsn} < e.lsn "
        f"AND (e.key IS NULL OR e.key = l.`{system.SOURCE_KEY}`) LEFT JOIN new n ON {place} "
        f"WHERE l.`{system.SOURCE_KEY}` IS NOT NULL AND l.`{system.OPERATION}` <> '{system.TRUNCATE}'"
    )
    return Query(
        f"SELECT * FROM ({last}) WHERE `_nth` = 1 AND `_was` = '{system.UPSERT}' AND `_new`", {"log": changes, "new": new, "events": events}
    )
