"""A table's files as DuckDB reads them: by field id, without the rows that position deletes name, and with each row's place if asked for."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Final

import attrs
import pyarrow as pa
from pyiceberg.expressions import AlwaysTrue
from pyiceberg.io.pyarrow import ArrowScan
from pyiceberg.manifest import FileFormat
from pyiceberg.schema import Schema, index_by_id, index_name_by_id
from pyiceberg.types import PrimitiveType

from lakekit.engines.absent import half_there
from lakekit.engines.arrow import conform
from lakekit.engines.embedded.remote import Remotes
from lakekit.engines.embedded.words import duckdb_type, quote, text

if TYPE_CHECKING:
    import duckdb
    from pyiceberg.table import FileScanTask, Table
    from pyiceberg.types import NestedField

    from lakekit.engines.plan import TableState

PLACES: Final = ("_file", "_pos")
"""Where a row is stored: the number of its file in this session, and its position there."""
_ROWS: Final = 1 << 40
"""More than a file has: number and position of a row are one integer, by which deletes are found thrice as fast as by two columns."""


@attrs.frozen(eq=False)
class NumberedFile:
    """A data file that was read with the places of its rows.

    Attributes:
        physical: Whether positions count all rows of the file, as position deletes do, and not only those that live.
    """

    task: FileScanTask
    physical: bool


@attrs.define(eq=False)
class Files:
    """The files that one session reads.

    Attributes:
        connection: The session's.
        watch: Keeps the error of a stream, which DuckDB would turn into text of its own.
        keep: Keeps another error, for the same reason.
        numbered: The files that were read with places; a row's ``_file`` is an index into this.
        labels: Path, as DuckDB quotes it, to the table it belongs to.
    """

    connection: duckdb.DuckDBPyConnection
    watch: Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]
    keep: Callable[[BaseException], None]
    numbered: list[NumberedFile] = attrs.field(factory=list)
    labels: dict[str, str] = attrs.field(factory=dict)
    _remotes: Remotes = attrs.field(init=False)
    _copies: dict[str, str] = attrs.field(factory=dict)
    _names: Iterator[int] = attrs.field(factory=itertools.count)

    def __attrs_post_init__(self) -> None:
        self._remotes = Remotes(self.connection, self._failed)

    def close(self) -> None:
        """Let the instance forget where they are."""
        self._remotes.close()

    def _failed(self, path: str, error: BaseException) -> None:
        """A remote file could not be read. Any error but that it isn't there may pass: it is raised as it was."""
        if isinstance(error, FileNotFoundError) and path in self.labels:
            error = half_there(self.labels[path], type(error).__name__)
        self.keep(error)

    def query(self, state: TableState, tasks: Sequence[FileScanTask], *, places: bool = False, or_null: Collection[str] = ()) -> str:
        """The DuckDB query that gives the live rows of some files, in the table's current columns; with ``places``, also those.

        ``or_null``: the columns that come as NULL where a file's statistics know no value of them.
        """
        table: Table = state.native
        fields = table.schema().fields
        if not tasks:
            return _nothing(fields, places=places)
        direct = [task for task in tasks if _is_parquet(task)] if _is_by_id(table) else []
        asked = [field for field in fields if field.name in or_null]
        groups: defaultdict[tuple[bool, frozenset[str]], list[FileScanTask]] = defaultdict(list)
        for task in direct:
            unread = frozenset(field.name for field in asked if _is_empty(field, task))
            groups[bool(task.delete_files), unread].append(task)
        parts = [self._read(state, group, places=places, unread=unread) for (_, unread), group in groups.items()]
        # pyiceberg reads the others too, only slower: deletion vectors, files without field ids, or not of Parquet.
        known = {task.file.file_path for task in direct}
        parts += [self._copied(state, task, places=places) for task in tasks if task.file.file_path not in known]
        return " UNION ALL ".join(parts)

    def path(self, state: TableState, location: str) -> str:
        """A location as DuckDB opens it."""
        return self._remotes.path(state.native.io, location)

    def positions(self, state: TableState, tasks: Sequence[FileScanTask]) -> str:
        """The DuckDB query that gives, for the rows of these files that position deletes name, ``n``, the file's index, and ``p``."""
        paths = sorted({self.path(state, file.file_path) for task in tasks for file in task.delete_files})
        # Paths become numbers at once: as a column of text, they would be larger than all the rest.
        known = f"ENUM ({', '.join(text(task.file.file_path) for task in tasks)})"
        return (
            f"SELECT enum_code(f)::BIGINT AS n, p FROM (SELECT TRY_CAST(file_path AS {known}) AS f, pos AS p FROM read_parquet({_list(paths)})) "
            "WHERE f IS NOT NULL"
        )

    def _read(self, state: TableState, tasks: Sequence[FileScanTask], *, places: bool, unread: Collection[str]) -> str:
        fields = state.native.schema().fields
        paths = [self.path(state, task.file.file_path) for task in tasks]
        self.labels |= dict.fromkeys(
            (*paths, *(self.path(state, file.file_path) for task in tasks for file in task.delete_files)), state.label
        )
        columns = ", ".join(
            f"{field.field_id}: {{name: {text(field.name)}, type: {text(duckdb_type(field.field_type))}, default_value: NULL}}"
            for field in fields
            if field.name not in unread
        )
        source = f"read_parquet({_list(paths)}, schema = MAP {{{columns}}})"
        extra = ""
        if places:
            extra = f", {len(self.numbered)} + file_index::BIGINT AS _file, file_row_number AS _pos"
            self.numbered += [NumberedFile(task, physical=True) for task in tasks]
        where = ""
        if tasks[0].delete_files:
            deleted = f"SELECT n * {_ROWS} + p FROM ({self.positions(state, tasks)})"
            where = f" WHERE file_index::BIGINT * {_ROWS} + file_row_number NOT IN ({deleted})"
        items = ", ".join(_null(field) if field.name in unread else quote(field.name) for field in fields)
        return f"SELECT {items}{extra} FROM {source}{where}"

    def _copied(self, state: TableState, task: FileScanTask, *, places: bool) -> str:
        """One file's rows, which pyiceberg read into this session."""
        path = task.file.file_path
        if path not in self._copies:
            number = next(self._names)
            reader = pa.RecordBatchReader.from_batches(state.schema, self.watch(_by_pyiceberg(state, task)))
            self.connection.register(f"stream_{number}", reader)
            self.connection.execute(f"CREATE TABLE copy_{number} AS SELECT * FROM stream_{number}")
            self.connection.unregister(f"stream_{number}")
            self._copies[path] = f"copy_{number}"
        extra = ""
        if places:
            extra = f", {len(self.numbered)}::BIGINT AS _file, rowid AS _pos"
            self.numbered.append(NumberedFile(task, physical=False))
        return f"SELECT {_names(state.native.schema().fields)}{extra} FROM {self._copies[path]}"


def _is_by_id(table: Table) -> bool:
    """Whether DuckDB's reading by field id is right: it goes by name inside of structs, and needs ids in the files."""
    if "schema.name-mapping.default" in table.properties:
        return False
    paths: dict[int, str] = {}
    ids: dict[tuple[int, str], int] = {}
    for schema in table.metadata.schemas if len(table.metadata.schemas) > 1 else []:
        for field in schema.fields:
            for inner, name in index_name_by_id(Schema(field)).items():
                path = name[len(field.name) :]
                if paths.setdefault(inner, path) != path or ids.setdefault((field.field_id, path), inner) != inner:
                    return False
    return True


def _is_parquet(task: FileScanTask) -> bool:
    return all(file.file_format == FileFormat.PARQUET for file in (task.file, *task.delete_files))


def _nothing(fields: Sequence[NestedField], *, places: bool) -> str:
    empty = [_null(field) for field in fields]
    empty += [f"CAST(NULL AS BIGINT) AS {name}" for name in PLACES] if places else []
    return f"SELECT {', '.join(empty)} WHERE false"


def _null(field: NestedField) -> str:
    return f"CAST(NULL AS {duckdb_type(field.field_type)}) AS {quote(field.name)}"


def _is_empty(field: NestedField, task: FileScanTask) -> bool:
    """Whether a file's statistics say that each row of a column is NULL, or empty as lists are. Not all writers say so of lists."""
    counts, nulls = task.file.value_counts or {}, task.file.null_value_counts or {}
    leaves = [inner for inner in index_by_id(Schema(field)).values() if isinstance(inner.field_type, PrimitiveType)]
    return all(counts.get(leaf.field_id) is not None and counts.get(leaf.field_id) == nulls.get(leaf.field_id) for leaf in leaves)


def _names(fields: Iterable[NestedField]) -> str:
    return ", ".join(quote(field.name) for field in fields)


def _list(paths: Iterable[str]) -> str:
    return "[" + ", ".join(text(path) for path in paths) + "]"


def _by_pyiceberg(state: TableState, task: FileScanTask) -> Iterator[pa.RecordBatch]:
    table: Table = state.native
    reader = ArrowScan(table.metadata, table.io, table.schema(), AlwaysTrue(), case_sensitive=True)
    try:
        for batch in reader.to_record_batches([task]):
            yield conform(batch, state.schema)
    except (FileNotFoundError, pa.ArrowInvalid) as error:
        raise half_there(state.label, type(error).__name__) from error
