"""A table of PostgreSQL read by Spark through JDBC: several connections, one snapshot.

Everything is decided on the driver, by the same code as everywhere: where the read starts, what was going on before its snapshot, the
columns and their types. The driver's transaction then *exports* its snapshot, and each of Spark's connections takes it, as ``pg_dump -j``
does: together they see what one connection would have seen, so the watermark's reasoning holds as it is. The snapshot lives as long as
the driver's transaction: a read that outlives it breaks off, and nothing is written. All connections have to reach one server.

The rows are split by ranges of the cursor; at the first read, where there is a primary key of one integer, by that. The ranges are equally
wide, between the least and the greatest value, and as many as the server's estimate of the size is worth.
"""

from __future__ import annotations

import itertools
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, cast

import attrs

from lakekit.columns import SOURCE_TIMESTAMP
from lakekit.engines.arrow import conform
from lakekit.engines.plan import Frame, Query
from lakekit.engines.spark import dialect
from lakekit.engines.types import ident
from lakekit.sources import (
    on_spark,
    postgres_errors,
    postgres_java,
    postgres_read,
    postgres_session,
    postgres_start,
    postgres_types,
    postgres_wire,
)
from lakekit.sources.postgres_names import quote
from lakekit.sources.postgres_types import Column
from lakekit.sources.protocol import Details, Increment

if TYPE_CHECKING:
    import pyarrow as pa

    from lakekit.engines.spark.session import SparkWork
    from lakekit.engines.spark.tables import SparkEngine
    from lakekit.errors import LakekitError
    from lakekit.sources.on_spark import OnWorker
    from lakekit.sources.postgres import PostgresTable
    from lakekit.sources.postgres_chunks import Chunk
    from lakekit.sources.postgres_session import Session
    from lakekit.sources.postgres_start import Start
    from lakekit.sources.postgres_watermark import CursorType, Value

PARTITION_BYTES: Final = 32 << 20
MAX_PARTITIONS: Final = 64
BATCH_BYTES: Final = 8 << 20
_SPLIT: Final = "split_by"  # what the rows are split by; never fetched


@contextmanager
def read(table: PostgresTable, engine: SparkEngine, position: Details | None, *, in_portions: bool) -> Generator[Increment]:
    """The rows from the position's low on."""
    with engine.session() as work:
        with postgres_session.connect(table.server.connection_string, place=table.place) as session:
            start = postgres_start.find(table, session, position)
            columns, kind = table.begin(session, start), start.kind
            chunks = start.chunks(session, in_portions=in_portions)
            chunk = attrs.evolve(chunks[-1], after=chunks[0].after)  # Spark shares it out by itself
            schema = postgres_read.Read(table, columns, kind, iter(())).schema
            dialect.refuse_time(schema, place=table.place)
            frame = _frame(session, engine, start, columns, chunk)
            schema = dialect.readable_schema(schema)
            made = on_spark.on_workers(frame, decoder(table, columns, kind), schema)
            rows = on_spark.staged(work, made, schema, place=table.place, explain=_explain)
        seen = _greatest(work, rows, table.cursor, kind)
        yield Increment(
            schema,
            iter(()),
            lambda: start.after(seen, chunk),
            start.overlap,
            behind=chunk.more,
            held=on_spark.held(work, rows),
        )


def _explain(error: BaseException, *, place: str) -> LakekitError:
    return postgres_errors.reading(str(error), None, place=place)


def _greatest(work: SparkWork, rows: Frame, cursor: str | None, kind: CursorType | None) -> Value | None:
    if cursor is None:
        return None
    column = SOURCE_TIMESTAMP if kind == "uuid7" else cursor
    return cast("Value | None", work.one(Query(f"SELECT max({ident(column)}) AS seen FROM rows", {"rows": rows}))["seen"])


def _frame(session: Session, engine: SparkEngine, start: Start, columns: Sequence[Column], chunk: Chunk) -> Any:
    table = start.table
    split = _split(session, start, columns)
    fetched = [*map(postgres_wire.select, columns), *postgres_types.shapes(columns).values()]
    given = [f"{expression} AS c{number}" for number, expression in enumerate(fetched)]
    given += [] if split is None else [f"{quote(split.name)} AS {_SPLIT}"]
    rows_from = start.rows(chunk)
    rows, width = session.estimate(f"SELECT {', '.join(given)}{rows_from}")
    count = 1 if split is None else min(MAX_PARTITIONS, 1 + rows * width // PARTITION_BYTES)
    conditions = ["true"] if split is None else _ranges(session, split, rows_from, count)
    # A line of its own: the condition that ends it may end in a comment.
    relation = f"(SELECT {', '.join(given)}{rows_from}\n) AS t"
    options = {
        **postgres_java.options(table.server.connection_string(), place=table.place),
        "sessionInitStatement": _joined_snapshot(session.snapshot()),
        # What a task holds at once: without a number, the driver fetches all rows.
        "fetchsize": str(max(100, min(10_000, BATCH_BYTES // max(1, width)))),
    }
    frame = on_spark.load_jdbc(engine, relation, conditions, options, place=table.place)
    return frame.select(*(f"c{number}" for number in range(len(fetched))))


def _joined_snapshot(name: str) -> str:
    return "; ".join(
        [
            "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY",
            f"SET TRANSACTION SNAPSHOT '{name}'",
            *(f"SET LOCAL {setting}" for setting in postgres_session.TEXT_SETTINGS),
        ]
    )


def _split(session: Session, start: Start, columns: Sequence[Column]) -> Column | None:
    """The column that the rows are split by. None: there is none."""
    table, by_name = start.table, {column.name: column for column in columns}
    cursor = None if start.kind in {None, "uuid7"} else by_name[table.cursor or ""]
    if cursor is not None and start.low is not None:
        return cursor  # its index finds the increment
    key = table.given_key or session.primary_key(start.relation)
    if len(key) == 1 and key[0] in by_name and by_name[key[0]].kind in {"int2", "int4", "int8"}:
        return by_name[key[0]]
    return cursor


@attrs.frozen
class _Scale:
    """How values of a type become numbers, and numbers values, in PostgreSQL's words."""

    number: str
    value: str


_INTEGER: Final = _Scale("({0})::numeric", "{0}::int8")
_SCALES: Final = {
    "date": _Scale("(({0}) - date '2000-01-01')::numeric", "(date '2000-01-01' + {0}::int4)"),
    "timestamp": _Scale("floor(extract(epoch FROM {0}))::numeric", "(timestamp 'epoch' + {0} * interval '1 second')"),
    "timestamptz": _Scale("floor(extract(epoch FROM {0}))::numeric", "to_timestamp({0})"),
}


def _ranges(session: Session, split: Column, rows_from: str, count: int) -> list[str]:
    """Conditions that share the rows out, each of them to one. The first and the last are open, and the first takes NULL too."""
    scale = _SCALES.get(split.kind, _INTEGER)
    name = quote(split.name)
    finite = f"isfinite({name})" if split.kind in _SCALES else "true"
    ends = ", ".join(f"{scale.number.format(f'{end}({name}) FILTER (WHERE {finite})')}::text" for end in ("min", "max"))
    ((least, greatest),) = session.rows(f"SELECT {ends}{rows_from}") if count > 1 else ((None, None),)
    if least is None or greatest is None:
        return ["true"]
    low, high = int(least), int(greatest)
    edges = sorted({low + (high - low) * number // count for number in range(1, count)} - {low})
    values = [scale.value.format(f"({edge})") for edge in edges]
    if not values:
        return ["true"]
    between = [f"{_SPLIT} >= {first} AND {_SPLIT} < {second}" for first, second in itertools.pairwise(values)]
    return [f"{_SPLIT} < {values[0]} OR {_SPLIT} IS NULL", *between, f"{_SPLIT} >= {values[-1]}"]


def decoder(table: PostgresTable, columns: Sequence[Column], kind: CursorType | None) -> OnWorker:
    """What makes rows of what JDBC fetched. It travels to the workers, so it holds no connection string."""
    named = attrs.evolve(table, server=attrs.evolve(table.server, dsn="dbname=lakekit", name=table.server.database))

    def decode(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        read = postgres_read.Read(named, columns, kind, (postgres_wire.unpacked(batch, columns) for batch in batches))
        for batch in read.batches():
            yield conform(batch, dialect.readable_schema(read.schema))

    return decode
