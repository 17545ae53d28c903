"""backfill: columns of rows that stand in bronze already, filled from their source."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, cast

import attrs

from lakekit.bronze.ingest import Options, take_all
from lakekit.commit import Commit
from lakekit.errors import ConfigError, SchemaError
from lakekit.names import Columns, TableName
from lakekit.names import columns as as_columns
from lakekit.operations import operation
from lakekit.sources.protocol import Details, Increment, KeyRead, Overlap, Source, SparkSource, Target

if TYPE_CHECKING:
    from lakekit.engines.spark.tables import SparkEngine
    from lakekit.evolution.policy import Policy
    from lakekit.lake import Lake


@operation
def backfill(
    lake: Lake,
    source: Source,
    *,
    into: TableName,
    columns: Columns,
    on_change: Policy = "evolve",
    now: datetime | None = None,
    dry_run: bool = False,
) -> Commit:
    r"""Fill columns of rows that stand in a bronze table already, with what the source says about the same rows now.

    For a column that the source got, or that ``columns=`` of the source left out, after its rows were ingested: a migration that fills it
    does not touch the cursor, so `ingest` never sees it. The source is read once more, in portions as `ingest` reads it. A row that equals
    one in bronze in all other columns, and differs in these, is appended as a newer version; so it flows on to silver by `read_new`.
    Rows that bronze does not have, or has in another version, are left to `ingest`.

    A back-fill that broke off goes on where it was. One that is run again reads everything again, and appends what has changed since.

    Args:
        lake: Where the table is.
        source: The source that the table was ingested from, with a primary key.
        into: The bronze table.
        columns: The columns to fill.
        on_change: As in `ingest`: ``"evolve"`` adds the columns where the table lacks them.
        now: The instant written to ``_ingestion_timestamp``. Default: the clock.
        dry_run: Count, and write nothing.

    Writes:
        What `ingest` writes: the whole row, with ``_source_timestamp`` as the source says it now (NULL: it does not say).

    Raises:
        TableNotFoundError: There is no such table.
        ConfigError: The source has no primary key.
        SchemaError: The source has no such column.
        SourceError: The source can't be reached or broke off.

    >>> import lakekit as lk, tempfile, pathlib
    >>> from lakekit import sources
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> file, lake = folder / "a.csv", lk.connect(folder / "lake")
    >>> prices = sources.Files(folder / "*.csv", format="csv", primary_key="id")
    >>> _ = file.write_text("id,price\n1,2.5\n2,3.5\n")
    >>> lk.ingest(lake, prices, into="bronze.prices").inserted
    2
    >>> _ = file.write_text("id,price,currency\n1,2.5,EUR\n2,3.5,USD\n3,4.5,EUR\n")
    >>> lk.backfill(lake, prices, into="bronze.prices", columns="currency").inserted
    2
    """
    names = as_columns(columns, place="backfill(columns=)")
    state = lake.load(into, place="backfill(into=)")
    key = source.primary_key()
    if not key:
        raise ConfigError(f"backfill(): {source.upstream}", "the source has no primary key", hint="give primary_key= to the source.")
    if both := [name for name in names if name in key]:
        raise ConfigError("backfill(columns=)", "a column of the key is what rows are found by", got=both[0], hint="leave it out.")
    if state.head is None:
        return Commit(table=state.label)
    filling = (_FillingOnSpark if isinstance(source, SparkSource) else _Filling)(source, Overlap(None, None, filling=names, key=key))
    return take_all(lake, filling, into=into, options=Options(on_change=on_change, dry_run=dry_run, place="backfill"), now=now)


@attrs.frozen
class _Filling:
    """A source read from its beginning, beside its regular ingestion: with a position of its own."""

    source: Source
    overlap: Overlap

    @property
    def upstream(self) -> str:
        """``<source>#backfill=<columns>``."""
        return f"{self.source.upstream}#backfill={','.join(self.overlap.filling)}"

    def primary_key(self) -> tuple[str, ...]:
        """The source's."""
        return self.source.primary_key()

    def keys(self, *, scope: str | None) -> AbstractContextManager[KeyRead]:
        """The source's."""
        return self.source.keys(scope=scope)

    @contextmanager
    def open(self, position: Details | None, *, target: Target) -> Generator[Increment]:
        """The next portion of the source; from the beginning where the last one was the last."""
        with self.source.open(_within(position), target=_all(target)) as increment:
            yield self.narrowed(increment)

    def narrowed(self, increment: Increment) -> Increment:
        """The same rows, of which those are wanted that fill something."""
        if absent := [name for name in (*self.overlap.filling, *self.overlap.key) if name not in increment.schema.names]:
            raise SchemaError("backfill(columns=)", "names a column that the source does not give", got=repr(absent[0]))
        details = increment.details
        return attrs.evolve(increment, overlap=self.overlap, details=lambda: {"more": increment.behind, "read": cast("object", details())})


@attrs.frozen
class _FillingOnSpark(_Filling):
    """The same, read by Spark."""

    @contextmanager
    def open_on_spark(self, engine: SparkEngine, position: Details | None, *, target: Target) -> Generator[Increment]:
        """The next portion of the source."""
        with cast("SparkSource", self.source).open_on_spark(engine, _within(position), target=_all(target)) as increment:
            yield self.narrowed(increment)


def _within(position: Details | None) -> Details | None:
    """The source's own position, while it is not read to its end."""
    return cast("Details | None", position["read"]) if position is not None and position["more"] else None


def _all(target: Target) -> Target:
    return attrs.evolve(target, ingested=lambda: ())
