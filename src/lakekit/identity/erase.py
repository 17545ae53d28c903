"""Erase records: their values, keys and links go; that they were there, and under which id, stays."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import attrs

from lakekit import columns as system
from lakekit.bookmark import Bookmark
from lakekit.commit import Commit
from lakekit.engines.plan import Frame, Node, Query, Scan, TableState
from lakekit.engines.protocol import count
from lakekit.engines.types import ident
from lakekit.identity import assign, block, decide, link
from lakekit.identity.records import RECORD_ID, layout
from lakekit.identity.rules import stored_rules
from lakekit.identity.tables import ERASED, KEYS, LINKS, PROPERTY, RECORD, RECORDS, Run, Table, open_table, put
from lakekit.incremental import cas
from lakekit.lake import Lake


def forget(lake: Lake, state: TableState, condition: str, instant: datetime, *, dry_run: bool) -> Commit:
    """Erase the records that a condition (already checked) on the rows of the identities is true of.

    Persons who lose a record this way may be divided; then everything that named the records goes, and their keys become hashes.
    """
    rules = stored_rules(state.properties[PROPERTY])
    with lake.engine.session() as session:
        run = Run(lake, session, state.name, rules, instant, dry_run=dry_run, rebuild=False)
        gone = run.query(f"SELECT {RECORD_ID} AS record_id, source, record_key FROM rows WHERE {condition}", rows=Scan(state, state.head))
        size = count(session, gone)
        figures = Commit(table=state.label, read=size, deleted=size)
        if dry_run or not size:
            return figures
        recorded = _bury(run, gone)
        links, _ = link.update(run, recorded, block.update(run, recorded), decide.update(run))
        nothing = run.query("SELECT * FROM gone WHERE false", gone=gone)
        divided = assign.update(run, recorded, links, Bookmark(epoch=cas.stored(state).epoch), figures, nothing)
        for table, columns in ((KEYS, ("record_id",)), (LINKS, ("left_id",)), (LINKS, ("right_id",))):
            _remove(run, lake.engine.load(table.name(state.name)), gone, columns[0])
        _hash_key(run, lake.engine.load(RECORDS.name(state.name)), gone, ("record_id",))
        _hash_key(run, lake.engine.load(state.name), gone, ("kind", "source", "record_key"))
    return attrs.evolve(divided, deleted=size, committed=True)


def _bury(run: Run, gone: Frame) -> Table:
    """Mark the records deleted, and empty them."""
    table = open_table(run, layout(run))
    empty = ", ".join(f"CAST(NULL AS STRING) AS {ident(name)}" for name in table.layout.columns if name not in RECORDS.columns)

    def differ(now: Table) -> Node:
        return Query(
            f"SELECT r.record_id, r.source, r.record_key{', ' if empty else ''}{empty}, {run.instant} AS `{system.DELETED_AT}`, 'update' AS _change "
            "FROM rows r LEFT SEMI JOIN gone g ON g.record_id = r.record_id",
            {"rows": now.rows, "gone": gone},
        )

    return put(run, table, differ, Bookmark())[0]


def _remove(run: Run, state: TableState, gone: Frame, column: str) -> None:
    """Remove the rows that name one of the records."""
    rows = run.query(
        f"SELECT t.*, 'delete' AS _change FROM stored t LEFT SEMI JOIN gone g ON g.record_id = t.{column}",
        stored=Scan(state, state.head),
        gone=gone,
    )
    _write(run, state, run.session.stage(one_each(rows, (column,))), (column,))


def one_each(rows: Node, on: Sequence[str]) -> Node:
    """One of the rows that are found by the same values: it stands for all, and Spark refuses a change that comes twice."""
    keys = ", ".join(map(ident, on))
    numbered = f"SELECT *, row_number() OVER (PARTITION BY {keys} ORDER BY {keys}) AS _nth FROM rows"
    return Query(f"SELECT * EXCEPT (_nth) FROM ({numbered}) WHERE _nth = 1", {"rows": rows})


def _hash_key(run: Run, state: TableState, gone: Frame, on: tuple[str, ...]) -> None:
    """Put a hash in the place of the records' keys."""
    hashed = f"concat('{ERASED}', CAST(g.record_id AS STRING)) AS record_key"
    columns = ", ".join(hashed if name == "record_key" else f"t.{ident(name)}" for name in state.schema.names)
    same = (
        "g.record_id = t.record_id"
        if on == ("record_id",)
        else f"t.kind = '{RECORD}' AND g.source = t.source AND g.record_key = t.record_key"
    )
    inputs: dict[str, Node] = {"stored": Scan(state, state.head), "gone": gone}
    if on == ("record_id",):
        _write(run, state, run.query(f"SELECT {columns}, 'update' AS _change FROM stored t JOIN gone g ON {same}", **inputs), on)
        return
    moved = f"SELECT {columns}, 'insert' AS _change FROM stored t JOIN gone g ON {same}"
    left = f"SELECT {', '.join(f't.{ident(name)}' for name in state.schema.names)}, 'delete' AS _change FROM stored t JOIN gone g ON {same}"
    _write(run, state, run.query(f"{moved} UNION ALL {left}", **inputs), on)


def _write(run: Run, state: TableState, rows: Frame, on: tuple[str, ...]) -> None:
    size = count(run.session, rows)

    def plan(state: TableState, write_id: int) -> cas.Planned:  # noqa: ARG001 -- named by the protocol; what consumers saw stays as it was
        figures = Commit(table=state.label, read=size)
        return cas.Planned(figures, (lambda: run.session.merge(state, rows, on=on, mode="copy-on-write")) if size else None)

    cas.write(run.lake.engine, state.name, state, Bookmark(), plan)
