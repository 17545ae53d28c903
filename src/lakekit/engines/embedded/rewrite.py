"""Copy-on-write: the files that hold a changed row are written anew, all others stay as they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lakekit.engines.embedded import scan as scans
from lakekit.engines.embedded.commit import PreparedFiles
from lakekit.engines.embedded.scan import quote, text
from lakekit.engines.embedded.writer import FileWriter
from lakekit.engines.plan import Node, Query, Scan, TableState
from lakekit.errors import LakekitError

if TYPE_CHECKING:
    from pyiceberg.table import Table

    from lakekit.engines.embedded.session import DuckSession


def rewrite(session: DuckSession, state: TableState, changes: Node, *, on: tuple[str, ...]) -> PreparedFiles:
    """Write what takes the place of the touched files.

    A file is touched when it holds a row whose ``on`` columns equal (null-safe) those of an update or a delete. Its rows are copied in
    their order, updates in place, deletes left out, one new file for one old, so that the files' key ranges stay as narrow as they were.
    Inserts go to files of their own.

    ``changes`` is read several times: rows that are staged, or a plain query over such rows.
    """
    table: Table = state.native
    wanted, bounds = _wanted(session, changes, on)
    candidates = scans.select(Scan(state, state.head, bounds=bounds)) if wanted else scans.FileSet(())
    hits = _locate(session, state, candidates, changes, on)
    _require_all(session, state, hits, wanted)
    by_path = {scans.local_path(task.file.file_path): task for task in candidates.tasks}
    touched = [by_path[path] for (path,) in session.fetch(f"SELECT DISTINCT CAST(_file AS VARCHAR) AS path FROM {hits} ORDER BY path")]
    names = [field.name for field in table.schema().fields]
    merged = ", ".join(f"CASE WHEN h._change IS NULL THEN d.{quote(name)} ELSE h.{quote(name)} END AS {quote(name)}" for name in names)
    writer = FileWriter(table)
    try:
        for task in touched:
            source = session.files(state, scans.FileSet((task,)), positions=True)
            mine = f"SELECT * FROM {hits} WHERE _file = {text(scans.local_path(task.file.file_path))}"
            writer.write(
                session.query_rows(
                    f"SELECT {merged} FROM ({source}) d LEFT JOIN ({mine}) h ON d._pos = h._pos WHERE h._change IS DISTINCT FROM 'delete'"
                )
            )
        writer.write(session.rows(Query("SELECT * EXCEPT (_change) FROM changes WHERE _change = 'insert'", {"changes": changes})))
    except BaseException:
        writer.discard()
        raise
    return PreparedFiles(
        added=tuple(writer.files),
        removed=tuple(task.file for task in touched),
        rows=writer.rows,
        size=writer.size,
        io=table.io,
        rebasable=False,
    )


def _wanted(session: DuckSession, changes: Node, on: tuple[str, ...]) -> tuple[int, dict[str, tuple[object, object]]]:
    """How many rows are to be found, and the least and greatest value among them of each ``on`` column that has no NULL there."""
    figures = "".join(
        f", min({quote(c)}) AS least_{index}, max({quote(c)}) AS most_{index}, count({quote(c)}) AS values_{index}"
        for index, c in enumerate(on)
    )
    ((rows, *row),) = session.fetch(f"SELECT count(*) AS rows{figures} FROM {session.relation(changes)} WHERE _change <> 'insert'")
    found = {column: row[3 * index : 3 * index + 3] for index, column in enumerate(on)}
    return rows, {column: (least, greatest) for column, (least, greatest, values) in found.items() if values == rows and rows}


def _locate(session: DuckSession, state: TableState, candidates: scans.FileSet, changes: Node, on: tuple[str, ...]) -> str:
    """A relation of the changes that find a stored row, with its file and position. Only the ``on`` columns of the files are read."""
    hits = session.name()
    same = " AND ".join(f"d.{quote(column)} IS NOT DISTINCT FROM c.{quote(column)}" for column in on)
    # An enumeration: the path itself, in every row, would be larger than the rest of it.
    paths = f"ENUM ({', '.join(map(text, candidates.paths))})" if candidates.tasks else "VARCHAR"
    session.execute(
        f"CREATE TABLE {hits} AS SELECT CAST(d._file AS {paths}) AS _file, d._pos, c.* "
        f"FROM ({session.files(state, candidates, positions=True)}) d JOIN {session.relation(changes)} c ON {same} WHERE c._change <> 'insert'"
    )
    return hits


def _require_all(session: DuckSession, state: TableState, hits: str, wanted: int) -> None:
    ((found,),) = session.fetch(f"SELECT count(*) AS rows FROM {hits}")
    if found < wanted:
        raise LakekitError(
            state.label,
            "rows to change were not found where the file statistics say they are",
            got=f"{found} of {wanted}",
            hint="this is a bug in lakekit, or the table's statistics are wrong; nothing was written.",
        )
