"""Values that did not come with a change of a log: looked for among the earlier changes of the row, whatever key it had then."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lakekit import columns as system
from lakekit.engines.plan import Frame, Node, Query, Scan, TableState
from lakekit.engines.protocol import table
from lakekit.engines.sql import literal
from lakekit.engines.types import ident
from lakekit.incremental.change_log_moves import KEY, ORDER, PLACE, same, within
from lakekit.incremental.changes import changes_columns

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lakekit.engines.protocol import Session
    from lakekit.lake import Lake

LACKS = f"`{system.UNAVAILABLE}` IS NOT NULL AND `{system.SOURCE_KEY}` IS NOT NULL"
"""SQL for a change of which some value did not come."""


def lacking(log: Node, keys: Node | None = None) -> Query:
    """The changes of a log of which values did not come, of some keys only: where they stand, and which columns."""
    listed = f"`{system.KAFKA_TOPIC}` AS topic, `{system.SOURCE_KEY}` AS key, {', '.join(map(ident, PLACE))}, `{system.UNAVAILABLE}`"
    rows = f"SELECT {listed} FROM log WHERE {LACKS}"
    if keys is None:
        return Query(rows, {"log": log})
    return Query(f"SELECT r.* FROM ({rows}) r LEFT SEMI JOIN keys k ON {same('r', 'k', KEY)}", {"log": log, "keys": keys})


def columns_of(session: Session, wanted: Node) -> list[str]:
    """The columns of which some value did not come."""
    words = f"SELECT DISTINCT name FROM (SELECT EXPLODE(`{system.UNAVAILABLE}`) AS name FROM wanted)"
    return sorted(row["name"] for batch in session.rows(Query(words, {"wanted": wanted})) for row in batch.to_pylist())


def sought(
    session: Session, state: TableState, snapshot: int | None, wanted: Node, names: Sequence[str], spans: Node | None
) -> tuple[Frame, Frame]:
    """Of each change that lacks values: for each column, the change of the same row at or before it that has one.

    Returns:
        The places of these, for changes that wait for nothing; and the places of changes that wait.
    """
    found = session.stage(_last(Scan(state, snapshot), wanted, names, spans))
    unknown = " OR ".join(f"({absent(name)} AND `_write_{index}` IS NULL)" for index, name in enumerate(names))
    own, places = ", ".join(map(ident, PLACE)), ", ".join(_there(index, "`{}`") for index in range(len(names)))
    ready = Query(f"SELECT {own}, {places} FROM found WHERE NOT (`_waits` AND ({unknown}))", {"found": found})
    waiting = Query(f"SELECT {own} FROM found WHERE `_waits` AND ({unknown})", {"found": found})
    return session.stage(ready), session.stage(waiting)


def _there(index: int, form: str) -> str:
    return ", ".join(form.format(f"{name}_{index}") for name in ("_write", "_partition", "_offset"))


def _last(log: Node, wanted: Node, names: Sequence[str], spans: Node | None) -> Node:
    key, place = (system.KAFKA_TOPIC, system.SOURCE_KEY), ", ".join(map(ident, PLACE))
    keys: Node = Query("SELECT DISTINCT topic, key FROM wanted", {"wanted": wanted})
    if spans is not None:
        keys = Query("SELECT topic, key FROM wanted UNION SELECT topic, key FROM spans", {"wanted": wanted, "spans": spans})
    kept = ", ".join(f"l.{ident(name)}" for name in dict.fromkeys((*PLACE, *ORDER, *key, system.UNAVAILABLE)))
    of_those = f"l.`{system.KAFKA_TOPIC}` = k.topic AND l.`{system.SOURCE_KEY}` = k.key"
    mine = Query(
        f"SELECT {kept} FROM log l LEFT SEMI JOIN keys k ON {of_those} WHERE l.`{system.OPERATION}` = '{system.UPSERT}'",
        {"log": log, "keys": keys},
    )
    history = Query(f"SELECT l.*, l.`{system.SOURCE_KEY}` AS `_life`, false AS `_waits` FROM mine l", {"mine": mine})
    if spans is not None:
        life = f"coalesce(s.life, l.`{system.SOURCE_KEY}`) AS `_life`, coalesce(s.waits, false) AS `_waits`"
        history = Query(f"SELECT l.*, {life} FROM mine l LEFT JOIN spans s ON {within('l')}", {"mine": mine, "spans": spans})
    window = f"PARTITION BY `{system.KAFKA_TOPIC}`, `_life` ORDER BY " + ", ".join(f"{ident(name)} ASC NULLS FIRST" for name in ORDER)
    own = f"STRUCT(`{system.WRITE_ID}` AS w, `{system.KAFKA_PARTITION}` AS p, `{system.KAFKA_OFFSET}` AS o)"
    last = ", ".join(
        f"LAST_VALUE(CASE WHEN {absent(name)} THEN NULL ELSE {own} END) IGNORE NULLS "
        f"OVER ({window} ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS `_last_{index}`"
        for index, name in enumerate(names)
    )
    parts = ", ".join(
        f"f.`_last_{index}`.w AS `_write_{index}`, f.`_last_{index}`.p AS `_partition_{index}`, f.`_last_{index}`.o AS `_offset_{index}`"
        for index in range(len(names))
    )
    listed = ", ".join(f"f.{ident(name)}" for name in (*PLACE, system.UNAVAILABLE))
    return Query(
        f"SELECT {listed}, f.`_waits`, {parts} FROM (SELECT {place}, `{system.UNAVAILABLE}`, `_waits`, {last} FROM history) f "
        f"LEFT SEMI JOIN wanted w ON {same('f', 'w', PLACE)}",
        {"history": history, "wanted": wanted},
        ordered=True,
    )


def filled(lake: Lake, session: Session, state: TableState, new: Node, names: Sequence[str], found: Node, released: Frame | None) -> Node:
    """The changes that lack values, with the last value that each row had before.

    Where that stands was found out before, from columns that are small; the values themselves are read with the batch, and none but those.

    Args:
        lake: Where the log is.
        session: What ``found`` is of.
        state: The log.
        new: What is new in it.
        names: The columns of which values did not come.
        found: The places of the changes, and of their values.
        released: The places of earlier changes that waited, which are not in ``new``.
    """
    kept = changes_columns(state)
    columns, every = ", ".join(map(ident, kept)), Scan(state, state.head)
    wanted: Node = Query(f"SELECT {columns} FROM new WHERE {LACKS}", {"new": new})
    if released is not None:
        those = lake.engine.frame(table(session, released))
        waited = Query(f"SELECT l.* FROM log l LEFT SEMI JOIN places p ON {same('l', 'p', PLACE)}", {"log": every, "places": those})
        wanted = Query(f"SELECT {columns} FROM new UNION ALL SELECT {columns} FROM waited", {"new": wanted, "waited": waited})
    places = lake.engine.frame(table(session, found))
    unknown = " OR ".join(f"({absent(name, 'w')} AND f.`_write_{index}` IS NULL)" for index, name in enumerate(names))
    values = {
        name: f"CASE WHEN {absent(name, 'w')} THEN v{index}.{ident(name)} ELSE w.{ident(name)} END" for index, name in enumerate(names)
    }
    values[system.UNAVAILABLE] = f"CASE WHEN {unknown} THEN w.`{system.UNAVAILABLE}` END"
    items = ", ".join(f"{values.get(name, f'w.{ident(name)}')} AS {ident(name)}" for name in kept)
    joins, inputs = "", {"wanted": wanted, "found": places}
    for index, name in enumerate(names):
        there = f"`_write_{index}`", f"`{system.KAFKA_TOPIC}`", f"`_partition_{index}`", f"`_offset_{index}`"
        at = " AND ".join(f"{{0}}.{ident(own)} = f.{other}" for own, other in zip(PLACE, there, strict=True))
        # First only those rows of the log: whatever the engine makes of the join behind it, it is small.
        inputs[f"values_{index}"] = Query(
            f"SELECT {', '.join(f'l.{ident(each)}' for each in (*PLACE, name))} FROM log l LEFT SEMI JOIN found f ON {at.format('l')}",
            {"log": every, "found": places},
        )
        joins += f" LEFT JOIN values_{index} v{index} ON {at.format(f'v{index}')}"
    return Query(f"SELECT {items} FROM wanted w JOIN found f ON {same('w', 'f', PLACE)}{joins}", inputs)


def absent(name: str, relation: str = "") -> str:
    """SQL that says whether the value of a column did not come."""
    listed = f"{relation}.`{system.UNAVAILABLE}`" if relation else f"`{system.UNAVAILABLE}`"
    return f"coalesce(array_contains({listed}, {literal(name)}), false)"
