"""The rows of an increment on their way in: counted, and the bad ones set aside."""

from __future__ import annotations

import tempfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import attrs
import pyarrow as pa
import pyarrow.compute as pc

from lakekit import columns as system
from lakekit import progress
from lakekit.commit import Commit
from lakekit.engines.arrow import conform
from lakekit.engines.plan import Node, Query, Stream
from lakekit.engines.types import ident, sql_type
from lakekit.sources.protocol import Details, Increment, Source, SparkSource, Target

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from lakekit.lake import Lake

IN_MEMORY: Final = 16 << 20


@contextmanager
def opened(lake: Lake, source: Source, position: Details | None, *, target: Target) -> Generator[Increment]:
    """A source, opened: read by Spark where both can, otherwise by this process, which shows how far it is."""
    spark = lake.spark
    if spark is not None and isinstance(source, SparkSource):
        with source.open_on_spark(spark, position, target=target) as increment:
            yield increment
        return
    with source.open(position, target=target) as increment:
        yield attrs.evolve(increment, batches=progress.rows(source.upstream, increment.batches, show=lake.engine.progress))


class Incoming:
    """Gives the good rows of an increment, once. The bad ones are kept, on disk where they are many, until the `with` block ends.

    Attributes:
        overlap: What may stand in the target already.
        details: Gives how far the increment came, once all rows have come.
        schema: The columns of the good rows.
        bad_schema: The columns of the bad ones: also why they are bad.
        rows: How many came so far, of both kinds.
        rejected: How many of them are bad.
        skipped: How many are no rows, and no bad ones.
    """

    def __init__(self, increment: Increment) -> None:
        self.bad_schema = increment.schema
        self.overlap = increment.overlap
        self.details = increment.details
        self.schema = pa.schema([field for field in increment.schema if field.name not in {system.RULE, system.REASON, system.PAYLOAD}])
        self.rows = 0 if increment.held is None else increment.held.read
        self.rejected = 0 if increment.held is None else increment.held.rejected
        self.skipped = 0 if increment.held is None else increment.held.skipped
        self._increment = increment
        self._file = tempfile.SpooledTemporaryFile(max_size=IN_MEMORY, prefix="lakekit-")  # noqa: SIM115 -- closed by __exit__
        self._writer: pa.RecordBatchStreamWriter | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._file.close()

    def good(self, schema: pa.Schema) -> Node:
        """The good rows, as these columns."""
        held = self._increment.held
        if held is None:
            return Stream(schema, (conform(batch, schema) for batch in self.batches()))
        columns = ", ".join(_as(field, held.frame.schema) for field in schema)
        where = f" WHERE {system.REASON} IS NULL" if self._increment.rejecting else ""
        return Query(f"SELECT {columns} FROM rows{where}", {"rows": held.frame})

    def bad_rows(self) -> Node:
        """The bad rows, once all have come."""
        held = self._increment.held
        if held is None:
            return Stream(self.bad_schema, self.bad())
        return Query(f"SELECT * FROM rows WHERE {system.REASON} IS NOT NULL AND {system.RULE} <> '{system.SKIPPED}'", {"rows": held.frame})

    def drain(self) -> None:
        """Count the rows, and drop them."""
        for _ in self.batches():
            pass

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The good rows that come through this process."""
        for batch in self._increment.batches:
            self.rows += batch.num_rows
            yield self._good(batch) if self._increment.rejecting else batch

    def _good(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        reasons = batch.column(system.REASON)
        if reasons.null_count < batch.num_rows:
            left_out = batch.filter(pc.is_valid(reasons))
            bad = left_out.filter(pc.not_equal(left_out.column(system.RULE), pa.scalar(system.SKIPPED)))
            self.skipped += left_out.num_rows - bad.num_rows
            self.rejected += bad.num_rows
            if self._writer is None and bad.num_rows:
                self._writer = pa.ipc.new_stream(self._file, self.bad_schema)
            if self._writer is not None:
                self._writer.write_batch(bad)
            batch = batch.filter(pc.is_null(reasons))
        return batch.select(self.schema.names)

    def bad(self) -> Iterator[pa.RecordBatch]:
        """Those of the bad rows that came through this process."""
        if self._writer is not None:
            self._writer.close()
            self._file.seek(0)
            yield from pa.ipc.open_stream(self._file)

    def figures(self, label: str, *, inserted: int, unfit: int = 0) -> Commit:
        """What came; of the good rows, those that the table doesn't take are rejected too."""
        rejected = self.rejected + unfit
        unchanged = self.rows - self.skipped - rejected - inserted
        return Commit(table=label, read=self.rows, inserted=inserted, rejected=rejected, skipped=self.skipped, unchanged=unchanged)


def _as(field: pa.Field, given: pa.Schema) -> str:
    """A column as another type, if it has not that one yet."""
    name = ident(field.name)
    return name if given.field(field.name).type == field.type else f"CAST({name} AS {sql_type(field.type)}) AS {name}"
