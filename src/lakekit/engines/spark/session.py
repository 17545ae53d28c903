"""One evaluation in Spark: nodes become one statement, what is staged is kept by the cluster until the frame is forgotten."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, cast

import attrs
import pyarrow as pa

from lakekit import logs
from lakekit.engines.arrow import conform
from lakekit.engines.plan import Frame, Function, Node, Query, Scan, Stream, TableState, WriteMode, known_schema
from lakekit.engines.spark import dialect, failures, older, settings
from lakekit.engines.spark import scan as scans
from lakekit.engines.spark.commit import PreparedRows
from lakekit.engines.spark.compile import Compiler

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from pyspark.sql import DataFrame, SparkSession

log = logging.getLogger(__name__)

T = TypeVar("T")
# What stays in the plan itself rather than being handed to the executors.
SMALL_BYTES = 1 << 20


class SparkWork:
    """What is computed for one call of the user's; it changes nothing in the session that outlives it."""

    places: Sequence[str] = ()
    plans_joins = False

    def __init__(self, spark: SparkSession) -> None:
        self.spark = spark
        self._functions: dict[int, tuple[Function, str]] = {}
        self._staged: dict[int, tuple[Node, Frame]] = {}
        self._read_tables: dict[str, TableState] = {}

    def __enter__(self) -> Self:
        """Open it."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Forget the frames and the functions."""
        self._staged.clear()
        for _, name in self._functions.values():
            self.spark.sql(f"DROP TEMPORARY FUNCTION IF EXISTS {name}").collect()
        self._functions.clear()

    def frame(self, node: Node) -> DataFrame:
        """The node as a frame of Spark's, not yet computed."""
        if isinstance(node, Frame | Stream):
            return self._held(node)
        compiler = Compiler(self._held, self._define, self._read, (lambda part: self.schema(part).names) if older.needed() else None)
        statement = compiler.statement(self._known(node))
        return self.spark.sql(statement, **cast("dict[str, Any]", compiler.frames))

    def _known(self, node: Node) -> Node:
        """The node with what was staged meanwhile in the place of what it was staged from."""
        if id(node) in self._staged:
            return self._staged[id(node)][1]
        if isinstance(node, Query):
            inputs = {name: self._known(given) for name, given in node.inputs.items()}
            if any(inputs[name] is not given for name, given in node.inputs.items()):
                return attrs.evolve(node, inputs=inputs)
        return node

    def _held(self, node: Frame | Stream) -> DataFrame:
        if isinstance(node, Stream):
            return self.stage(node).native
        if isinstance(node.native, pa.Table):
            return self.stage(node).native
        return node.native

    def _read(self, scan: Scan) -> DataFrame | None:
        self._read_tables[scan.state.label] = scan.state
        if not scans.adds_only(scan):
            return None
        options = {"start-snapshot-id": str(scan.minus), "end-snapshot-id": str(scan.snapshot)}
        return self.spark.read.options(**options).table(scan.state.native.path)

    def _define(self, name: str, function: Function) -> str:
        if id(function) not in self._functions:
            known = f"{name}_{secrets.token_hex(4)}"
            self.spark.udf.register(known, python_function(function))
            self._functions[id(function)] = (function, known)
        return self._functions[id(function)][1]

    def _run(self, work: Callable[[], T]) -> T:
        with settings.pinned(self.spark):
            try:
                return work()
            except failures.kinds() as error:
                raise failures.explain(error, self._read_tables.values()) from None

    # The verbs

    def schema(self, node: Node) -> pa.Schema:
        """The columns a node gives, without reading rows."""
        if isinstance(node, Scan):
            return node.state.schema
        if (known := known_schema(node)) is not None:
            return dialect.readable_schema(known)
        return self._run(lambda: dialect.arrow_schema(self.frame(node).schema))

    def stage(self, node: Node) -> Frame:
        """Evaluate once; the executors hold the result, on disk where it is large."""
        if id(node) in self._staged:
            return self._staged[id(node)][1]
        if isinstance(node, Frame) and not isinstance(node.native, pa.Table):
            return node
        if isinstance(node, Query) and node.schema is not None:
            return Frame(self.schema(node), self._run(lambda: self.frame(node)))
        frame = self._run(lambda: self._stage(node))
        self._staged[id(node)] = (node, frame)
        return frame

    def _stage(self, node: Node) -> Frame:
        if isinstance(node, Frame | Stream):
            schema = dialect.readable_schema(node.schema)
            batches = node.native.to_batches() if isinstance(node, Frame) else node.batches
            return Frame(schema, hand_over(self.spark, batches, schema))
        frame = evaluated(self.frame(node))
        return Frame(dialect.arrow_schema(frame.schema), frame)

    def discard(self, *frames: Frame) -> None:
        """Staged rows that nobody will read again: the executors drop them once no one knows them."""
        self._staged = {key: (node, held) for key, (node, held) in self._staged.items() if all(held is not frame for frame in frames)}

    def rows(self, node: Node) -> Iterator[pa.RecordBatch]:
        """The rows, fetched to this process."""
        schema, table = self._run(lambda: fetched(self.frame(node)))
        for batch in table.to_batches():
            yield conform(batch, schema)

    def native(self, node: Node) -> DataFrame:
        """The rows as a frame that outlives this evaluation."""
        return self.stage(node).native

    def one(self, node: Node) -> dict[str, Any]:
        """The single row of a small result."""
        return next(row for batch in self.rows(node) for row in batch.to_pylist())

    def append(self, state: TableState, node: Node) -> PreparedRows:
        """Evaluate the rows; the commit writes them."""
        rows = self.stage(node)
        return PreparedRows(self, state, rows, inserts=self._count(rows), changes=0)

    def merge(self, state: TableState, changes: Node, *, on: Sequence[str], mode: WriteMode | None = None) -> PreparedRows:
        """Evaluate the changes; the commit merges them."""
        if mode not in (None, "auto", state.properties.get("write.merge.mode", "copy-on-write")):
            log.warning(
                "%s: Spark merges as the table's property write.merge.mode says, not %s",
                state.label,
                mode,
                extra=logs.fields("write_mode_ignored", table=state.label, mode=mode),
            )
        rows = self.stage(changes)
        kinds = self.one(Query("SELECT count(*) AS n, count(CASE WHEN _change = 'insert' THEN 1 END) AS added FROM c", {"c": rows}))
        return PreparedRows(self, state, rows, inserts=kinds["added"], changes=kinds["n"] - kinds["added"], on=tuple(on))

    def _count(self, rows: Frame) -> int:
        return int(self.one(Query("SELECT count(*) AS n FROM c", {"c": rows}))["n"])


def evaluated(frame: DataFrame) -> DataFrame:
    """A frame whose rows the executors hold, until it is forgotten.

    On disk, from where it streams, and the system's file cache helps. By default Spark holds whole partitions of objects: ten million rows
    filled a heap of 2 GB, and took half as long again.
    """
    from pyspark.storagelevel import StorageLevel

    if older.needed():
        return older.evaluated(frame)
    held: Any = frame.localCheckpoint(eager=True, storageLevel=StorageLevel.DISK_ONLY)
    spark = frame.sparkSession
    if held.sparkSession is not spark:
        # pyspark's Connect client (proto_to_remote_cached_dataframe) takes the thread's active session for the one that has the rows.
        held._session = held._plan._spark_session = spark  # noqa: SLF001 -- there is no public way
    return cast("DataFrame", held)


def hand_over(spark: SparkSession, batches: Iterator[pa.RecordBatch] | list[pa.RecordBatch], schema: pa.Schema) -> DataFrame:
    """Rows of this process as a frame that the executors hold: in portions, so that this process needs not hold them all."""
    frame: DataFrame | None = None
    portion: list[pa.RecordBatch] = []
    size = total = 0
    for batch in batches:
        portion.append(conform(batch, schema))
        size += batch.nbytes
        if size >= 64 * SMALL_BYTES:
            part = evaluated(_local(spark, portion, schema))
            frame = part if frame is None else frame.unionAll(part)
            portion, total, size = [], total + size, 0
    if frame is None:
        last = _local(spark, portion, schema)
        return last if size < SMALL_BYTES else evaluated(last)
    return frame.unionAll(evaluated(_local(spark, portion, schema))) if portion else frame


def _local(spark: SparkSession, portion: list[pa.RecordBatch], schema: pa.Schema) -> DataFrame:
    table = pa.Table.from_batches(portion, schema)
    if not table.num_rows:
        return spark.createDataFrame([], dialect.spark_schema(schema))  # Connect makes no frame of an empty Arrow table
    if older.needed():
        return older.from_arrow(spark, table, dialect.columns(schema))
    return spark.createDataFrame(table, dialect.spark_schema(schema))


def fetched(frame: DataFrame) -> tuple[pa.Schema, pa.Table]:
    """All rows of a frame, and what their columns are."""
    schema = dialect.arrow_schema(frame.schema)
    return schema, older.to_arrow(frame, schema) if older.needed() else frame.toArrow()


def python_function(function: Function) -> Any:
    """A function over Arrow arrays as Spark registers it, on a classic session and on Connect alike."""
    from pyspark.sql.pandas import functions as kinds
    from pyspark.sql.udf import UserDefinedFunction

    call, parameters, returns = function.call, function.parameters, function.returns

    def over_arrow(*arrays: Any) -> Any:
        given = [array if array.type == kind else array.cast(kind) for array, kind in zip(arrays, parameters, strict=True)]
        found = call(*given)
        return found if found.type == returns else found.cast(returns)

    names = [field.name for field in cast("Any", returns)] if pa.types.is_struct(returns) else []

    def over_pandas(*columns: Any) -> Any:
        import pandas as pd

        given = [pa.Array.from_pandas(column, type=kind) for column, kind in zip(columns, parameters, strict=True)]
        found: Any = call(*given)
        if not pa.types.is_struct(returns):
            return found.to_pandas(types_mapper=pd.ArrowDtype)
        table = pa.Table.from_arrays(found.flatten(), names=names)
        return table.to_pandas(types_mapper=pd.ArrowDtype)  # pandas' own types would make floats of integers beside NULL

    arrow = getattr(kinds, "ArrowUDFType", None)  # Spark 4.1 and later
    chosen, kind = (over_pandas, kinds.PandasUDFType) if arrow is None else (over_arrow, arrow)
    return UserDefinedFunction(chosen, dialect.spark_type(returns), evalType=kind.SCALAR)
