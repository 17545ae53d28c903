"""What a source is to the rest of lakekit: something that can be read from a position on, and that can list its keys."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager
from datetime import datetime
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import attrs

if TYPE_CHECKING:
    import pyarrow as pa

    from lakekit.engines.plan import Frame
    from lakekit.engines.spark.tables import SparkEngine

Details = Mapping[str, object]
"""How far a source was read, in the source's own words. JSON-able; stored in the bookmark of the target."""


@attrs.frozen
class Overlap:
    """The rows read again on purpose: those whose cursor is at or above ``low`` may stand in the target already.

    Attributes:
        column: The cursor column, as it is named in the target. None: the source has no cursor, so ``low`` is None too.
        low: The least cursor value read; a Python value of the column's type. None: everything may stand there already.
        nulls: Whether rows without a cursor are read every time, so that they may stand there already too.
        filling: Columns that are being filled: then a row is wanted only where one stands there that equals it in all others.
        key: What those rows are found by.
    """

    column: str | None
    low: object | None
    nulls: bool = False
    filling: tuple[str, ...] = ()
    key: tuple[str, ...] = ()


def _nothing() -> Collection[str]:
    return ()


def _silently() -> None:
    return


@attrs.frozen(eq=False)
class Target:
    """The table that a source is read for, as far as a source may care.

    Attributes:
        schema: The columns that stand there, for sources whose own data has no schema. None: the table is not there yet.
        ingested: Gives the distinct ``_source`` values that stand there. Only sources that read each thing once call it.
        in_portions: Whether a part of what is new will do: the source is asked again at once for as long as it is ``behind``.
    """

    schema: pa.Schema | None = None
    ingested: Callable[[], Collection[str]] = _nothing
    in_portions: bool = False


@attrs.frozen(eq=False)
class Held:
    """The rows of an increment where the engine has read them by itself: all of them, once.

    Attributes:
        frame: The rows.
        read: How many there are, the bad ones included.
        rejected: How many are bad.
        skipped: How many are no rows, and no bad ones.
    """

    frame: Frame
    read: int
    rejected: int
    skipped: int = 0


@attrs.frozen
class Increment:
    """One read of a source, from a position on.

    Attributes:
        schema: The Arrow schema of the batches: the source's columns with the source's types, plus those system columns the source
            knows (``_source``, ``_source_timestamp``, ``_operation``).
        batches: The rows, read once, as they come. Memory holds one batch, not the result.
        details: To be called when the batches are exhausted: how far this read came. Equal to the position it started from where
            there was nothing new.
        overlap: The rows that may stand in the target already, or None when none can.
        rejecting: Whether rows may be bad: then the schema ends with ``_rule``, ``_reason`` (text) and ``_payload`` (the bytes that could not
            be read). A row with a ``_reason`` goes to the rejects, or nowhere where ``_rule`` is ``skipped``; in all others the three are NULL.
        behind: Whether the source holds more than this increment takes. Only where it was asked for portions.
        held: The rows where the engine holds them already; then there are no batches.
        lag: How many messages the source held beyond these when they were planned. None: it doesn't tell.
        acknowledge: Called once the rows are committed, for what the source's own monitors see. Never raises, and nothing is read back.
    """

    schema: pa.Schema
    batches: Iterator[pa.RecordBatch]
    details: Callable[[], Details | None]
    overlap: Overlap | None = None
    rejecting: bool = False
    behind: bool = False
    held: Held | None = None
    lag: int | None = None
    acknowledge: Callable[[], None] = _silently


@attrs.frozen
class KeyRead:
    """All keys that live in a source at one instant.

    Attributes:
        batches: The primary key's columns, in Arrow batches, named as in the target.
        read_at: The instant of the read, on the source's clock (UTC).
        look_up: Gives the rows of these keys that live at that instant, whatever the scope: schema and batches, as `open` would. Called once
            the batches of keys are exhausted. None: the source can't.
    """

    schema: pa.Schema
    batches: Iterator[pa.RecordBatch]
    read_at: datetime
    look_up: Callable[[pa.Table], tuple[pa.Schema, Iterator[pa.RecordBatch]]] | None = None


@runtime_checkable
class Source(Protocol):
    """A table, collection, topic or set of files that can be ingested. Building one does no I/O."""

    @property
    def upstream(self) -> str:
        """The name under which the target's bookmark keeps this source's position. The same for the same data, whoever reads it."""
        ...

    def open(self, position: Details | None, *, target: Target) -> AbstractContextManager[Increment]:
        """Read what came after a position (None: everything).

        Args:
            position: The details stored by the last read, or None.
            target: The table that is read for.
        """
        ...

    def primary_key(self) -> tuple[str, ...]:
        """The source's own key, given by the user or read from the source. Empty where it has none."""
        ...

    def keys(self, *, scope: str | None) -> AbstractContextManager[KeyRead]:
        """Read every key that lives in the source now; ``scope`` is a condition that limits them."""
        ...


@runtime_checkable
class SparkSource(Source, Protocol):
    """A source that Spark reads by itself, in as many tasks as it is worth."""

    def open_on_spark(self, engine: SparkEngine, position: Details | None, *, target: Target) -> AbstractContextManager[Increment]:
        """Read what `open` would read, from and to the same positions, and leave the rows with Spark."""
        ...


@runtime_checkable
class FollowedSource(SparkSource, Protocol):
    """A source that a streaming query of Spark can follow."""

    def follow(
        self, engine: SparkEngine, position: Details | None, *, seconds: float, each: Callable[[SparkEngine, Source], None]
    ) -> Following:
        """Start a query that begins at a position.

        Args:
            engine: The engine to start it in.
            position: The details stored by the last read.
            seconds: How often it looks for what is new.
            each: Called with each micro-batch: an engine to take it in, and the micro-batch as a source.
        """
        ...


class Following(Protocol):
    """A query under way."""

    def wait(self, seconds: float) -> bool:
        """Wait so long; whether it has ended. It ends when a call of ``each`` raises, too."""
        ...

    def stop(self) -> None:
        """End it now."""
        ...
