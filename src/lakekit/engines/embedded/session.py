"""One evaluation in DuckDB: nodes become SQL, results become Arrow batches or new Parquet files. Spills to a folder of its own."""

from __future__ import annotations

import inspect
import itertools
import tempfile
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import duckdb
import pyarrow as pa

from lakekit.engines import sql
from lakekit.engines.absent import half_there
from lakekit.engines.embedded import scan as scans
from lakekit.engines.embedded.commit import PreparedFiles
from lakekit.engines.embedded.files import PLACES, Files
from lakekit.engines.embedded.merge import merge, order
from lakekit.engines.embedded.words import quote, text
from lakekit.engines.embedded.writer import FileWriter, require_writable
from lakekit.engines.plan import Frame, Function, Node, Query, Scan, Stream, TableState, WriteMode, known_schema
from lakekit.engines.protocol import table
from lakekit.errors import LakekitError, QueryError, SchemaError

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from lakekit.engines.embedded.instances import Instances


# Small: each of DuckDB's threads builds a batch while others wait to be taken.
BATCH_ROWS = 16_384
_SCHEMA: Final = "evaluation"
_CONNECTED: Final = f"SET TimeZone = 'UTC'; SET schema = '{_SCHEMA}'"
"""Settings of a connection, which cursors don't inherit."""

_ERRORS: dict[str, type[duckdb.Error]] = {
    "Conversion Error: ": duckdb.ConversionException,
    "IO Error: ": duckdb.IOException,
    "Invalid Input Error: ": duckdb.InvalidInputException,
    "Out of Memory Error: ": duckdb.OutOfMemoryException,
    "Out of Range Error: ": duckdb.OutOfRangeException,
}


class DuckSession:
    """A schema of a DuckDB instance, and connections to it, that live for one evaluation."""

    places: Sequence[str] = PLACES
    plans_joins = True

    def __init__(self, instances: Instances) -> None:
        self.settings = instances.settings
        self._instances = instances
        self._spill = tempfile.TemporaryDirectory(prefix="lakekit-", dir=self.settings.spill_directory, ignore_cleanup_errors=True)
        self._instance = instances.take()
        self._con = self._instance.cursor()
        self._con.execute(f"SET temp_directory = {text(self._spill.name)}; CREATE SCHEMA {_SCHEMA}; {_CONNECTED}")
        self._names = itertools.count()
        self._relations: dict[int, tuple[Node, str]] = {}
        self._functions: set[str] = set()
        self._over_registered: set[str] = set()  # views over Arrow objects
        self._errors: list[BaseException] = []
        self.files = Files(self._con, self._watch, self._errors.append)

    def __enter__(self) -> Self:
        """Open the session."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Close it, and remove what it spilled."""
        clean = error is None and self._is_cleared()
        self._con.close()  # in any case: as long as it is open, so is the instance
        self._instances.give_back(self._instance, clean=clean)
        self._relations.clear()
        self._spill.cleanup()

    def _is_cleared(self) -> bool:
        """Whether nothing is left of the session in the instance, nor of memory that was too little."""
        try:
            for name in self._functions:
                self._con.remove_function(name)
            self.files.close()
            self._con.execute(f"SET schema = 'main'; DROP SCHEMA {_SCHEMA} CASCADE")
        except duckdb.Error:
            return False
        return not any(Path(self._spill.name).iterdir())

    # What a node is called in DuckDB

    def relation(self, node: Node) -> str:
        """The name of a relation that holds the node's rows. Each node is defined once."""
        known = self._relations.get(id(node))
        if known is not None:
            return known[1]
        name = f"n{next(self._names)}"
        if isinstance(node, Query):
            self._define(node.functions)
            inputs = {key: self.relation(value) for key, value in node.inputs.items()}
            self.execute(f"CREATE VIEW {name} AS {sql.render(node.sql, 'duckdb', inputs)}")
        elif isinstance(node, Scan) and node.state.native is None:
            columns = [*node.state.schema, *(pa.field(place, pa.int64()) for place in PLACES if node.places)]
            self._con.from_arrow(pa.schema(columns).empty_table()).create(name)
        elif isinstance(node, Scan):
            rows = self.files.query(node.state, scans.select(node), places=node.places, or_null=node.or_null)
            within = scans.within(node)
            self.execute(f"CREATE VIEW {name} AS " + (f"SELECT * FROM ({rows}) WHERE {within}" if within else rows))
        elif isinstance(node, Stream):
            self._con.register(name, pa.RecordBatchReader.from_batches(node.schema, self._watch(node.batches)))
        elif isinstance(node.native, pa.Table):
            self._con.register(name, node.native)
        else:
            name = cast("str", node.native)
        self._relations[id(node)] = (node, name)
        return name

    def _define(self, functions: object) -> None:
        for name, function in cast("dict[str, Function]", functions).items():
            if name not in self._functions:
                self._functions.add(name)
                parameters: list[Any] = [self._words(kind) for kind in function.parameters]
                self._con.create_function(
                    name,
                    _whole(function),
                    parameters,
                    self._words(function.returns),
                    type="arrow",  # type: ignore[arg-type] -- DuckDB takes its enums by name
                    null_handling="special",  # type: ignore[arg-type] -- likewise
                )

    def _words(self, kind: pa.DataType) -> str:
        """DuckDB's words for an Arrow type."""
        return str(self._con.from_arrow(pa.schema([pa.field("v", kind)]).empty_table()).types[0])

    def _watch(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        # DuckDB turns an error of a Python stream into text of its own; the first one is kept, to be raised as it was.
        try:
            yield from batches
        except BaseException as error:
            self._errors.append(error)
            raise

    def execute(self, statement: str, *, ordered: bool = False) -> None:
        """Run a DuckDB statement of the engine's own; ``ordered``, with its joins built on the right side, as they are written."""
        try:
            with self._as_written() if ordered else nullcontext():
                self._con.execute(statement)
        except duckdb.Error as error:
            raise self._explain(error) from None

    @contextmanager
    def _as_written(self) -> Generator[None]:
        """What is planned meanwhile has its joins built on the right side: DuckDB takes Iceberg's files for a single row."""
        self._con.execute("SET disabled_optimizers = 'build_side_probe_side'")
        try:
            yield
        finally:
            self._con.execute("RESET disabled_optimizers")

    def _explain(self, error: Exception) -> BaseException:
        if self._errors:
            return self._errors[0]
        if not isinstance(error, duckdb.Error):
            return error
        for cause in (error.__cause__, error.__context__):
            if isinstance(cause, LakekitError):
                return cause
        if isinstance(error, duckdb.IOException | duckdb.InvalidInputException):
            text = str(error)
            if (label := next((label for path, label in self.files.labels.items() if path in text), None)) is not None:
                return half_there(label, type(error).__name__)
        if isinstance(error, duckdb.ConversionException | duckdb.OutOfRangeException | duckdb.InvalidInputException):
            # The text of these shows the value.
            return SchemaError("query", "a value can't be converted", got=type(error).__name__, hint="use clean(), or TRY_CAST.")
        if isinstance(error, duckdb.OutOfMemoryException):
            return QueryError(
                "query", "needs more memory than it may use", hint="raise connect(memory_limit=), or give more room to spill."
            )
        first = str(error).splitlines()[0]
        hint = "CAST one of them, or give the column a rule in clean() first." if "explicit cast" in first else ""
        return QueryError("query", "can't be evaluated", got=first, hint=hint)

    # The verbs

    def schema(self, node: Node) -> pa.Schema:
        """The columns a node gives, without reading rows."""
        known = known_schema(node)
        return self._columns(self.relation(node)) if known is None else known

    def _columns(self, relation: str) -> pa.Schema:
        reader, schema = self._export(self._con, f"(SELECT * FROM {relation} LIMIT 0)")
        reader.close()
        return schema

    def _export(self, connection: duckdb.DuckDBPyConnection, relation: str) -> tuple[pa.RecordBatchReader, pa.Schema]:
        """A relation's rows in Arrow, and what their columns are: UUIDs come as their bytes."""
        try:
            described = connection.sql(f"SELECT * FROM {relation}")
            kinds = dict(zip(described.columns, map(str, described.types), strict=True))
            given = [_exported(name, kind) for name, kind in kinds.items()]
            as_it_is = given == [quote(name) for name in kinds]  # then it need not be planned again
            rows = described if as_it_is else connection.sql(f"SELECT {', '.join(given)} FROM {relation}")
            reader = rows.to_arrow_reader(BATCH_ROWS)
        except duckdb.Error as error:
            raise self._explain(error) from None
        uuids = [name for name, kind in kinds.items() if kind == "UUID"]
        return reader, pa.schema([field.with_type(pa.uuid()) if field.name in uuids else field for field in reader.schema])

    def stage(self, node: Node) -> Frame:
        """Evaluate once into a table of this session; it spills where it is large."""
        if isinstance(node, Frame):
            return node
        if isinstance(node, Query) and node.schema is not None:
            frame = Frame(node.schema, self.relation(node))
            if self._reads_registered(node):
                self._over_registered.add(frame.native)
            return frame
        name = self.name()
        self.execute(f"CREATE TABLE {name} AS SELECT * FROM {self.relation(node)}", ordered=isinstance(node, Query) and node.ordered)
        frame = Frame(self._columns(name), name)
        # Whatever refers to the node from now on reads the table.
        self._relations[id(node)] = (node, name)
        return frame

    def discard(self, *frames: Frame) -> None:
        """Staged rows that nobody will read again."""
        names = {frame.native for frame in frames if isinstance(frame.native, str)}
        for name in names:
            self.execute(f"DROP TABLE {name}")
        self._relations = {key: (node, name) for key, (node, name) in self._relations.items() if name not in names}

    def rows(self, node: Node) -> Iterator[pa.RecordBatch]:
        """The rows in Arrow batches, as they are computed."""
        if isinstance(node, Stream):  # given as they come
            yield from node.batches
            return
        yield from self._read(self._connection(node), self.relation(node))

    def _connection(self, node: Node) -> duckdb.DuckDBPyConnection:
        """Where a node is read: an unfetched result blocks its connection, but registered Arrow objects are known to the first one only."""
        return self._con if self._reads_registered(node) else self._cursor()

    def query_rows(self, query: str) -> Iterator[pa.RecordBatch]:
        """The rows of DuckDB SQL of the engine's own; its joins are built on the right side, as they are written."""
        yield from self._read(self._cursor(), f"({query})", ordered=True)

    def _cursor(self) -> duckdb.DuckDBPyConnection:
        cursor = self._con.cursor()
        cursor.execute(_CONNECTED)
        return cursor

    def _read(self, connection: duckdb.DuckDBPyConnection, relation: str, *, ordered: bool = False) -> Iterator[pa.RecordBatch]:
        try:
            with self._as_written() if ordered else nullcontext():
                reader, schema = self._export(connection, relation)
            for batch in reader:
                yield _typed(batch, schema)
        except duckdb.Error as error:
            raise self._explain(error) from None
        except (pa.ArrowException, OSError) as error:
            raise self._explain(_of_stream(error)) from None
        finally:
            if connection is not self._con:
                connection.close()

    def _reads_registered(self, node: Node) -> bool:
        if isinstance(node, Query):
            return any(self._reads_registered(child) for child in node.inputs.values())
        if isinstance(node, Frame):
            return isinstance(node.native, pa.Table) or node.native in self._over_registered
        return isinstance(node, Stream)

    def native(self, node: Node) -> pa.Table:
        """All rows as an Arrow table."""
        return table(self, node)

    def one(self, node: Node) -> dict[str, Any]:
        """The single row of a small result."""
        rows = [row for batch in self.rows(node) for row in batch.to_pylist()]
        return rows[0]

    def append(self, state: TableState, node: Node) -> PreparedFiles:
        """Write rows to new files, in the table's sort order."""
        require_writable(state)
        ordered = order(state)
        rows = self._read(self._connection(node), f"(SELECT * FROM {self.relation(node)} {ordered})") if ordered else self.rows(node)
        writer = FileWriter(state.native).write(rows)
        return PreparedFiles(added=tuple(writer.files), removed=(), rows=writer.rows, size=writer.size, io=state.native.io, rebasable=True)

    def merge(self, state: TableState, changes: Node, *, on: Sequence[str], mode: WriteMode | None = None) -> PreparedFiles:
        """Write the files that replace the touched ones, the positions of rows that are gone, and the new rows."""
        require_writable(state)
        return merge(self, state, changes if _is_staged(changes) else self.stage(changes), on=tuple(on), mode=mode)

    def fetch(self, query: str) -> list[tuple[Any, ...]]:
        """The rows of a small result of DuckDB SQL. Through Arrow: DuckDB's own way to Python needs pytz for instants."""
        return [tuple(row.values()) for batch in self.query_rows(query) for row in batch.to_pylist()]

    def name(self) -> str:
        """A fresh name for a relation."""
        return f"t{next(self._names)}"


def _of_stream(error: Exception) -> Exception:
    """The error of DuckDB's that Arrow, which hands over its rows, made text of."""
    kind = next((kind for words, kind in _ERRORS.items() if str(error).startswith(words)), None)
    return error if kind is None else kind(str(error))


def _is_staged(node: Node) -> bool:
    """Whether a node only filters and projects rows that are staged: reading it again costs less than another copy of them."""
    if isinstance(node, Query):
        return len(node.inputs) == 1 and not node.functions and all(map(_is_staged, node.inputs.values()))
    return isinstance(node, Frame)


def _exported(name: str, kind: str) -> str:
    """A column as Arrow gets it."""
    quoted = quote(name)
    if kind == "UUID":  # given to Arrow as text; Iceberg wants its 16 bytes
        return f"unhex(replace(CAST({quoted} AS VARCHAR), '-', '')) AS {quoted}"
    if kind == "HUGEINT":  # what the sum of integers is; elsewhere it is a BIGINT that may overflow
        return f"CAST({quoted} AS BIGINT) AS {quoted}"
    return quoted


def _typed(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    if batch.schema.types == schema.types:
        return batch
    columns = [
        column if column.type == field.type else pa.ExtensionArray.from_storage(field.type, column.cast(field.type.storage_type))
        for column, field in zip(batch.columns, schema, strict=True)
    ]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _whole(function: Function) -> Any:
    """DuckDB hands over chunked arrays; lakekit's functions take plain ones."""

    def call(*arguments: Any) -> Any:
        return function.call(*(array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array for array in arguments))

    # DuckDB counts the parameters that the signature names.
    names = [inspect.Parameter(f"p{index}", inspect.Parameter.POSITIONAL_ONLY) for index in range(len(function.parameters))]
    call.__signature__ = inspect.Signature(names)  # type: ignore[attr-defined] -- functions have attributes
    return call
