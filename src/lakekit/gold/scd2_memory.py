"""What a dimension remembers beside its versions: the deletes that ended nothing, in a companion table that is written first."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from lakekit import columns as system
from lakekit.bookmark import Bookmark
from lakekit.commit import Commit
from lakekit.engines.plan import Frame, Node, Query, Scan, TableState
from lakekit.engines.protocol import count
from lakekit.engines.types import arrow_type, ident
from lakekit.gold.scd2_dimension import touched_versions
from lakekit.gold.scd2_spec import Scd2Spec, tombstone_columns
from lakekit.gold.scd2_sql import tombstones_sql
from lakekit.incremental import cas, target
from lakekit.names import Identifier, companion

if TYPE_CHECKING:
    from lakekit.engines.protocol import Session
    from lakekit.lake import Lake


def remember(lake: Lake, session: Session, into: Identifier, there: TableState, events: Frame, spec: Scd2Spec, *, dry_run: bool) -> Node:
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
        versions = touched_versions(session, there, events, spec)
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
