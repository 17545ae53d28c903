"""What Spark 3.5 lacks, said in what it has: ``* EXCEPT``, evaluated frames that join, and Arrow tables in and out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, cast

import pyarrow as pa
import sqlglot
from sqlglot import exp

from lakekit.engines import sql

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

Columns = Callable[[str], Sequence[str]]


def needed() -> bool:
    """Whether the installed pyspark is older than 4.0."""
    import pyspark

    return int(pyspark.__version__.split(".")[0]) < 4


def listed(text: str, columns: Columns) -> str:
    """Lakekit's SQL with every ``* EXCEPT (…)`` as a list of columns; ``columns`` gives those of a relation that it names.

    >>> listed("SELECT * EXCEPT (n) FROM (SELECT *, 1 AS n FROM t) WHERE n = 1", {"t": ["a", "b"]}.__getitem__)
    'SELECT `a`, `b` FROM (SELECT *, 1 AS n FROM t) WHERE n = 1'
    >>> listed("SELECT * EXCEPT (n) FROM (SELECT r.*, 1 AS n FROM u JOIN t r ON u.a = r.a)", {"t": ["a", "b"]}.__getitem__)
    'SELECT `a`, `b` FROM (SELECT r.*, 1 AS n FROM u JOIN t AS r ON u.a = r.a)'
    """
    if "EXCEPT (" not in text:
        return text
    tree = sqlglot.parse_one(text, read=sql.WRITTEN)
    for select in list(tree.find_all(exp.Select)):
        if any(_left_out(item) for item in select.expressions):
            names = [part for item in select.expressions for part in _parts(item, select, columns)]
            select.set("expressions", names)
    return tree.sql(dialect=sql.WRITTEN)


def _left_out(item: exp.Expr) -> set[str]:
    return {column.name.lower() for column in item.args.get("except_") or ()} if isinstance(item, exp.Star) else set()


def _parts(item: exp.Expr, select: exp.Select, columns: Columns) -> list[exp.Expr]:
    if not _left_out(item):
        return [item]
    return [exp.column(exp.to_identifier(name, quoted=True)) for name in _names(item, select, columns)]


def _names(item: exp.Expr, select: exp.Select, columns: Columns) -> list[str]:
    """What one item of a SELECT gives."""
    if not item.is_star:
        return [item.alias_or_name]
    sources = [select.args["from_"].this, *(join.this for join in select.args.get("joins") or ())]
    if isinstance(item, exp.Column):
        sources = [source for source in sources if source.alias_or_name == item.table]
    return [name for name in _of(sources[0], columns) if name.lower() not in _left_out(item)]


def _of(source: exp.Expr, columns: Columns) -> list[str]:
    """The columns of what stands after FROM."""
    if isinstance(source, exp.Table):
        return list(columns(source.name))
    if isinstance(source, exp.Subquery):
        return _of(source.this, columns)
    if isinstance(source, exp.SetOperation):
        return _of(source.left, columns)
    if isinstance(source, exp.Select):
        return [name for item in source.expressions for name in _names(item, source, columns)]
    raise TypeError(type(source).__name__)  # lakekit's own SQL has no such thing before a star


def evaluated(frame: DataFrame) -> DataFrame:
    """A frame whose rows the executors hold.

    Its columns are named anew: Spark 3.5 resolves no column that two sides of a join have from one frame, where one side is evaluated.
    """
    return frame.localCheckpoint(eager=True).toDF(*frame.columns)


def from_arrow(spark: SparkSession, table: pa.Table, ddl: str) -> DataFrame:
    """A frame of an Arrow table: its bytes are the rows of one column, which the workers read."""

    def read(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for value in batch.column(0):
                yield from pa.ipc.open_stream(value.as_py())

    packed = [(_packed(batch),) for batch in table.to_batches(max_chunksize=1 << 16)]
    return spark.createDataFrame(packed, "packed BINARY").mapInArrow(read, ddl)


def to_arrow(frame: DataFrame, schema: pa.Schema) -> pa.Table:
    """All rows of a frame. Without a worker in Python, which takes twice as long: what ``toPandas`` fetches is there under a private name."""
    batches: list[pa.RecordBatch] = cast("Any", frame)._collect_as_arrow()  # noqa: SLF001
    return pa.Table.from_batches(batches) if batches else schema.empty_table()


def _packed(batch: pa.RecordBatch) -> bytearray:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return bytearray(sink.getvalue())
