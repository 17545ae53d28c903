"""Changes by key, written file by file in the cheaper of two ways: the file anew, or the positions of its rows that are gone."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, cast

import pyarrow as pa
import pyarrow.compute as pc
from pyiceberg.table import FileScanTask

from lakekit.engines.embedded import deletes
from lakekit.engines.embedded import scan as scans
from lakekit.engines.embedded.commit import PreparedFiles
from lakekit.engines.embedded.files import PLACES
from lakekit.engines.embedded.words import quote
from lakekit.engines.embedded.writer import FileWriter
from lakekit.engines.plan import Node, Scan, TableState
from lakekit.engines.types import dotted_parts
from lakekit.errors import LakekitError
from lakekit.progress import steps

if TYPE_CHECKING:
    from pyiceberg.manifest import DataFile
    from pyiceberg.table import Table

    from lakekit.engines.embedded.files import NumberedFile
    from lakekit.engines.embedded.session import DuckSession
    from lakekit.engines.plan import WriteMode

_PROPERTY: Final = "write.merge.mode"
_SMALL: Final = 50_000
"""Rows of a file that is written anew whatever changes in it: that costs what a file of deletes does."""
_FEW: Final = 4
"""A file is written anew where at least one in so many of its rows is gone. Measured in benchmarks/merge.py."""


def merge(session: DuckSession, state: TableState, changes: Node, *, on: tuple[str, ...], mode: WriteMode | None) -> PreparedFiles:
    """Write the files that bring a table from its state to the one after the changes.

    A change finds its stored rows by their places, where it has them, otherwise by its ``on`` columns (null-safe). A file that is written
    anew keeps its order, updates in place, deletes left out, one new file for one old, so that the files' key ranges stay as narrow as they
    were. Of the others, positions are noted, and the updated rows go to new files, as the inserts do.

    ``changes`` is read several times: rows that are staged, or a plain query over such rows.
    """
    table: Table = state.native
    placed = set(PLACES) <= set(session.schema(changes).names)
    hits = session.relation(changes) if placed else _located(session, state, changes, on)
    touched = _touched(session, hits, once=placed)
    anew = {number for number, count in touched.items() if _is_anew(session.files.numbered[number], count, _mode(table, mode))}
    noted = sorted(touched.keys() - anew)
    writer, files = FileWriter(table), session.files.numbered
    added: list[DataFile] = []
    try:
        _rewrite(session, state, writer, hits, sorted(anew))
        writer.write(session.query_rows(_new_rows(session, state, changes, hits, noted)))
        added = _note(session, state, hits, noted)
    except BaseException:
        writer.discard()
        raise
    removed = [files[number].task.file for number in sorted(anew)]
    removed += [file for number in sorted(touched) for file in _own_deletes(files[number].task)]
    return PreparedFiles(
        added=(*writer.files, *added),
        removed=tuple(removed),
        rows=writer.rows,
        size=writer.size + sum(file.file_size_in_bytes for file in added),
        io=table.io,
        rebasable=False,
    )


def _mode(table: Table, mode: WriteMode | None) -> str:
    return "copy-on-write" if table.metadata.format_version < 2 else mode or table.properties.get(_PROPERTY, "auto")


def _is_anew(file: NumberedFile, touched: int, mode: str) -> bool:
    """Whether a file with so many touched rows is written anew."""
    if mode == "copy-on-write" or not file.physical:
        return True
    rows = file.task.file.record_count
    return mode == "auto" and (rows <= _SMALL or (touched + deletes.already(file.task)) * _FEW >= rows)


def _located(session: DuckSession, state: TableState, changes: Node, on: tuple[str, ...]) -> str:
    """A relation of the changes that find stored rows, with those's places. Only the ``on`` columns of the files are read."""
    wanted, bounds = _wanted(session, state, changes, on)
    hits = session.name()
    paths = [_path(column, state) for column in on]
    same = " AND ".join(f"d.{path} IS NOT DISTINCT FROM c.{path}" for path in paths)
    candidates = scans.select(Scan(state, state.head if wanted else None, bounds=bounds))
    session.execute(
        f"CREATE TABLE {hits} AS SELECT d._file, d._pos, c.* "
        f"FROM ({session.files.query(state, candidates, places=True)}) d JOIN {session.relation(changes)} c ON {same} WHERE c._change <> 'insert'",
        ordered=True,
    )
    ((found,),) = session.fetch(f"SELECT count(*) AS rows FROM {hits}")
    if found < wanted:
        raise LakekitError(
            state.label,
            "rows to change were not found where the file statistics say they are",
            got=f"{found} of {wanted}",
            hint="this is a bug in lakekit, or the table's statistics are wrong; nothing was written.",
        )
    return hits


def _path(column: str, state: TableState) -> str:
    return ".".join(map(quote, dotted_parts(column, state.schema)))


def _wanted(session: DuckSession, state: TableState, changes: Node, on: tuple[str, ...]) -> tuple[int, dict[str, tuple[object, object]]]:
    """How many rows are to be found, and the least and greatest value among them of each ``on`` column that has no NULL there."""
    figures = "".join(
        f", min({path}) AS least_{index}, max({path}) AS most_{index}, count({path}) AS values_{index}"
        for index, path in enumerate(_path(column, state) for column in on)
    )
    ((rows, *row),) = session.fetch(f"SELECT count(*) AS rows{figures} FROM {session.relation(changes)} WHERE _change <> 'insert'")
    found = {column: row[3 * index : 3 * index + 3] for index, column in enumerate(on)}
    return rows, {column: (least, greatest) for column, (least, greatest, values) in found.items() if values == rows and rows}


def _touched(session: DuckSession, hits: str, *, once: bool) -> Mapping[int, int]:
    """How many rows of each file are replaced or go; ``once``: each is hit once."""
    rows = "count(*)" if once else "count(DISTINCT _pos)"
    return dict(session.fetch(f"SELECT _file, {rows} AS n FROM {hits} WHERE _change <> 'insert' GROUP BY _file"))


def _rewrite(session: DuckSession, state: TableState, writer: FileWriter, hits: str, numbers: list[int]) -> None:
    """Write these files anew, changes applied."""
    names = [field.name for field in state.native.schema().fields]
    merged = ", ".join(f"CASE WHEN h._change IS NULL THEN d.{quote(name)} ELSE h.{quote(name)} END AS {quote(name)}" for name in names)
    if len(numbers) > 1:  # by file, so that each finds its own without reading all of them
        mine = session.name()
        session.execute(
            f"CREATE TABLE {mine} AS SELECT * FROM {hits} WHERE _change <> 'insert' AND _file IN ({_list(numbers)}) ORDER BY _file"
        )
        hits = mine
    shown = session.settings.progress
    for number in steps(f"{state.label}: files written anew", numbers, total=len(numbers), show=shown):
        source = session.files.query(state, [session.files.numbered[number].task], places=True)
        rows = (
            f"SELECT {merged} FROM ({source}) d LEFT JOIN (SELECT * FROM {hits} WHERE _file = {number} AND _change <> 'insert') h "
            "ON d._pos = h._pos WHERE h._change IS DISTINCT FROM 'delete'"
        )
        writer.write(session.query_rows(f"{rows} {order(state)}"))


def _new_rows(session: DuckSession, state: TableState, changes: Node, hits: str, noted: list[int]) -> str:
    """The query of rows that go to files of their own."""
    names = ", ".join(quote(field.name) for field in state.native.schema().fields)
    rows = f"SELECT {names} FROM {session.relation(changes)} WHERE _change = 'insert'"
    if noted:
        rows += f" UNION ALL SELECT {names} FROM {hits} WHERE _change = 'update' AND _file IN ({_list(noted)})"
    return f"SELECT * FROM ({rows}) {order(state)}"


def _note(session: DuckSession, state: TableState, hits: str, numbers: list[int]) -> list[DataFile]:
    """Write the positions of what is gone from these files, with what their own delete files named already."""
    if not numbers:
        return []
    places = [f"SELECT _file AS n, _pos AS p FROM {hits} WHERE _change <> 'insert' AND _file IN ({_list(numbers)})"]
    tasks = {number: session.files.numbered[number].task for number in numbers}
    owners = {number: FileScanTask(task.file, delete_files=set(own)) for number, task in tasks.items() if (own := _own_deletes(task))}
    if owners:
        places.append(f"SELECT [{_list(owners)}][n + 1] AS n, p FROM ({session.files.positions(state, list(owners.values()))})")
    written: list[DataFile] = []
    try:
        rows = session.query_rows(f"SELECT n, p FROM ({' UNION ALL '.join(places)}) ORDER BY n, p")
        found = itertools.groupby(_runs(rows), key=lambda part: part[0])
        shown = session.settings.progress
        for number, parts in steps(f"{state.label}: files with deleted rows", found, total=len(numbers), show=shown):
            written.append(deletes.write(state.native, tasks[number], (positions for _, positions in parts)))
    except BaseException:
        for file in written:
            state.native.io.delete(file.file_path)
        raise
    return written


def _own_deletes(task: FileScanTask) -> list[DataFile]:
    """The delete files that go when the data file goes, or when another one names all its deleted rows: they speak of no other file."""
    return [file for file in task.delete_files if deletes.of_one_file(file, task)]


def _runs(batches: Iterator[pa.RecordBatch]) -> Iterator[tuple[int, pa.Array[Any]]]:
    """Sorted (file, position) rows as one array of positions for each file in each batch."""
    for batch in batches:
        numbers, positions = batch.columns
        changed = pc.not_equal(numbers[1:], numbers[:-1])
        starts = [0, *(index + 1 for index in cast("list[int]", pc.indices_nonzero(changed).to_pylist())), len(numbers)]
        for start, end in itertools.pairwise(starts):
            yield numbers[start].as_py(), positions.slice(start, end - start)


def _list(numbers: Iterable[int]) -> str:
    return ", ".join(map(str, numbers))


def order(state: TableState) -> str:
    """ORDER BY in the table's sort order, or nothing."""
    table: Table = state.native
    fields = [
        f"{quote(str(table.schema().find_column_name(field.source_id)))} {field.direction.name} NULLS {field.null_order.name.removeprefix('NULLS_')}"
        for field in table.sort_order().fields
        if str(field.transform) == "identity"
    ]
    return f"ORDER BY {', '.join(fields)}" if fields else ""
