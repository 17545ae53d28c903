"""What a dimension remembers beside its versions, and how it forgets that.

Deletes that ended nothing are in a companion table, which is written first; events that changed nothing in the column ``_absorbed``.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from lakekit import columns as system
from lakekit.bookmark import Bookmark
from lakekit.commit import Commit
from lakekit.engines.plan import Frame, Node, Query, Scan, TableState
from lakekit.engines.protocol import count
from lakekit.engines.types import arrow_type, ident, sql_type
from lakekit.errors import ConfigError
from lakekit.gold.scd2_spec import ABSORBED, AT, IS_DELETE, Scd2Spec, tombstone_columns
from lakekit.gold.scd2_sql import tombstones_sql
from lakekit.incremental import cas, contract, horizon, target
from lakekit.names import Identifier, companion

if TYPE_CHECKING:
    from lakekit.engines.protocol import Session
    from lakekit.lake import Lake


def remember(lake: Lake, session: Session, into: Identifier, versions: Frame, events: Frame, spec: Scd2Spec, *, dry_run: bool) -> Node:
    """The remembered deletes of the touched keys, after those of the events were added. A rebuild forgets what its events don't tell."""
    name = companion(into, "tombstones")
    fields = [(column.name, column.type) for column in tombstone_columns(spec)]
    columns = ", ".join(ident(field) for field, _ in fields)
    nothing: Node = Query(
        "SELECT " + ", ".join(f"CAST(NULL AS {words}) AS {ident(field)}" for field, words in fields) + " FROM events WHERE false",
        {"events": events},
    )
    same = " AND ".join(f"t.{ident(field)} = e.{ident(field)}" for field in spec.key)

    def remembered(found: TableState | None) -> Node:
        if found is None:
            return nothing
        rows = Query(
            f"SELECT {columns} FROM stored t LEFT SEMI JOIN events e ON {same}",
            {"stored": Scan(found, found.head), "events": events},
            ordered=True,
        )
        return session.stage(rows)

    def fresh(known: Node) -> Frame:
        return session.stage(Query(tombstones_sql(spec), {"events": events, "versions": versions, "tombstones": known}))

    def changes(known: Node) -> Frame:
        """Rows to merge on the key: for a rebuild all that there should be, otherwise what is new."""
        if not spec.rebuild:
            return session.stage(Query("SELECT *, 'insert' AS _change FROM fresh", {"fresh": fresh(known)}))
        told = fresh(nothing)
        differ = "(SELECT * FROM told EXCEPT SELECT * FROM known) UNION (SELECT * FROM known EXCEPT SELECT * FROM told)"
        keys = ", ".join(ident(field) for field in spec.key)
        blank = ", ".join(ident(field) if field in spec.key else f"CAST(NULL AS {words}) AS {ident(field)}" for field, words in fields)
        on = " AND ".join(f"t.{ident(field)} = d.{ident(field)}" for field in spec.key)
        return session.stage(
            Query(
                f"WITH differ AS (SELECT DISTINCT {keys} FROM ({differ}))"
                f" SELECT {columns}, 'insert' AS _change FROM told t LEFT SEMI JOIN differ d ON {on}"
                f" UNION ALL SELECT {blank}, 'delete' AS _change FROM (SELECT DISTINCT {keys} FROM known t LEFT SEMI JOIN differ d ON {on})",
                {"told": told, "known": known},
            )
        )

    found = lake.find(name)
    known = remembered(found)
    deletes = Query(f"SELECT * FROM events WHERE {ident(IS_DELETE)}", {"events": events})
    if not spec.rebuild and not count(session, deletes):  # only a delete can leave one that ends nothing
        return known
    if dry_run or not count(session, changes(known)):
        return known
    schema = pa.schema([*(pa.field(field, arrow_type(words)) for field, words in fields), pa.field(system.WRITE_ID, pa.int64())])
    made, _ = target.ensure(lake, name, schema, layer="tombstones", on_change="evolve", place="merge_scd2")

    def plan(state: TableState, write_id: int) -> cas.Planned:
        rows = changes(remembered(state))
        size = count(session, rows)
        figures = Commit(table=state.label, read=size, inserted=size)
        stamped = Query(f"SELECT *, CAST({write_id} AS BIGINT) AS `{system.WRITE_ID}` FROM fresh", {"fresh": rows})
        return cas.Planned(figures, (lambda: session.merge(state, stamped, on=spec.key)) if size else None)

    cas.write(lake.engine, name, made, Bookmark(), plan)
    return remembered(lake.engine.load(name))


def forget(lake: Lake, state: TableState, before: datetime) -> int:
    """Forget what only an event before an instant could need, once it is noted that such events come too late. Gives its amount.

    Forgotten are deletes that ended nothing, and of the events that a version absorbed those between its first and its last one before the
    instant which say the same as the latter. Rows keep their ``_write_id``: nothing has changed that a consumer could see.

    Raises:
        ConfigError: The versions don't begin at times.
    """
    noted = contract.scd2(state) or {}
    begins, kind = noted["valid_from"], state.schema.field(noted["valid_from"]).type
    if not horizon.is_time(kind):
        raise ConfigError(
            f"maintain(lateness=): {state.label}",
            "expected a dimension whose versions begin at times",
            got=f"{begins}: {kind}",
            hint="leave lateness= out.",
        )
    horizon.note(lake, state, begins, before)
    now = lake.engine.load(state.name)
    instant = horizon.instant_sql(kind, before)
    buried = lake.find(companion(state.name, "tombstones"))

    def without_deletes(state: TableState, write_id: int) -> cas.Planned:  # noqa: ARG001 -- rows that go bear no stamp
        keys = ", ".join(map(ident, noted["key"]))
        old = f"SELECT DISTINCT {keys} FROM stored WHERE `{AT}` < {instant}"
        on = " AND ".join(f"s.{ident(name)} = o.{ident(name)}" for name in noted["key"])
        names = ", ".join(ident(name) for name in state.schema.names)
        touched = session.stage(
            Query(f"SELECT {names} FROM stored s LEFT SEMI JOIN ({old}) o ON {on}", {"stored": Scan(state, state.head)})
        )
        gone = count(session, Query(f"SELECT * FROM touched WHERE `{AT}` < {instant}", {"touched": touched}))
        blank = ", ".join(
            ident(field.name) if field.name in noted["key"] else f"CAST(NULL AS {sql_type(field.type)}) AS {ident(field.name)}"
            for field in state.schema
        )
        rows = Query(
            f"SELECT {names}, 'insert' AS _change FROM touched WHERE `{AT}` >= {instant}"
            f" UNION ALL SELECT {blank}, 'delete' AS _change FROM (SELECT DISTINCT {keys} FROM touched)",
            {"touched": touched},
        )
        figures = Commit(table=state.label, read=gone, deleted=gone)
        return cas.Planned(figures, (lambda: session.merge(state, rows, on=noted["key"])) if gone else None)

    def without_events(state: TableState, write_id: int) -> cas.Planned:  # noqa: ARG001 -- see above
        rows = session.stage(Query(_trimmed(state, instant, noted.get("order_by", [])), {"stored": Scan(state, state.head)}))
        gone = int(session.one(Query("SELECT coalesce(sum(_gone), 0) AS n FROM rows", {"rows": rows}))["n"])
        changed = Query("SELECT * EXCEPT (_gone), 'update' AS _change FROM rows", {"rows": rows})
        figures = Commit(table=state.label, read=gone, deleted=gone)
        return cas.Planned(figures, (lambda: session.merge(state, changed, on=contract.key(state))) if gone else None)

    with lake.engine.session() as session:
        forgotten = 0
        if buried is not None:
            forgotten += cas.write(lake.engine, buried.name, buried, Bookmark(), without_deletes).deleted
        if ABSORBED in now.schema.names:
            forgotten += cas.write(lake.engine, now.name, now, Bookmark(), without_events).deleted
    return forgotten


def _trimmed(state: TableState, instant: str, order_by: Sequence[str]) -> str:
    """SQL for the rows whose ``_absorbed`` gets shorter, with ``_gone``: by how much."""
    all_ = ident(ABSORBED)
    fields: Any = state.schema.field(ABSORBED).type.value_type
    told = [
        field.name
        for field in fields
        if field.name not in {AT, *order_by} and not (system.is_system(field.name) and field.name != IS_DELETE)
    ]
    differs = " OR ".join(f"x.{ident(name)} IS DISTINCT FROM `__last`.{ident(name)}" for name in told) or "false"
    kept = f"FILTER({all_}, x -> x.`{AT}` >= `__last`.`{AT}` OR x.`{AT}` = `__first` OR {differs})"
    names = ", ".join(ident(name) for name in state.schema.names if name != ABSORBED)
    old = f"FILTER({all_}, y -> y.`{AT}` < {instant})"
    ends = f"SELECT *, ELEMENT_AT({all_}, 1).`{AT}` AS `__first`, ELEMENT_AT({old}, -1) AS `__last` FROM stored WHERE size({old}) > 2"
    shorter = f"SELECT {names}, {kept} AS {all_}, size({all_}) - size({kept}) AS _gone FROM ({ends})"
    return f"SELECT {', '.join(ident(name) for name in state.schema.names)}, _gone FROM ({shorter}) WHERE _gone > 0"
