"""Messages of a topic, from a plan's start to its end, and what makes rows with lakekit's columns of them."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol

import attrs

from lakekit import columns as system
from lakekit.errors import SourceError

if TYPE_CHECKING:
    import pyarrow as pa

    from lakekit.sources.kafka_client import Connection
    from lakekit.sources.kafka_json import Decoded
    from lakekit.sources.kafka_offsets import Plan

BATCH_ROWS: Final = 10_000
BATCH_BYTES: Final = 8 << 20
_WAIT: Final = 0.2
_YEAR_10000: Final = 253_402_300_800_000  # in milliseconds
_YEAR_1: Final = -62_135_596_800_000
_SYSTEM: Final = (
    system.SOURCE,
    system.SOURCE_TIMESTAMP,
    system.OPERATION,
    system.KAFKA_TOPIC,
    system.KAFKA_PARTITION,
    system.KAFKA_OFFSET,
    system.KAFKA_TIMESTAMP,
    system.KAFKA_KEY,
    system.KAFKA_HEADERS,
    system.RESCUED_DATA,
)


class Decoder(Protocol):
    """What a format is: messages as columns.

    Attributes:
        rule: What rejects of this format say broke.
        schema: The columns.
        system: Those of lakekit's columns that it gives besides those of every message.
    """

    rule: str
    schema: pa.Schema
    system: tuple[str, ...]

    def read(self, messages: Messages) -> Decoded:
        """Read messages."""
        ...


@attrs.define(eq=False)
class Read:
    """One read of a topic.

    Attributes:
        exhausted: Whether every partition was read to its end.
    """

    connection: Connection
    plan: Plan
    place: str
    exhausted: bool = False

    def messages(self) -> Iterator[Messages]:
        """The messages, once."""
        for found in self._messages():
            yield Messages(
                values=[message.value() for message in found],
                partitions=[message.partition() for message in found],
                offsets=[message.offset() for message in found],
                millis=[_in_calendar(millis) if kind else None for kind, millis in [message.timestamp() for message in found]],
                keys=[message.key() for message in found],
                headers=[_headers(given) if given else None for given in [message.headers() for message in found]],
            )
        self.exhausted = True

    def _messages(self) -> Iterator[list[Any]]:
        """The messages between the plan's start and end, some thousands at a time.

        Offsets have gaps where a topic was compacted and where transactions end, so a partition is done when a message at or behind its
        end comes, or the event that there is nothing left up to there.
        """
        waiting = self.plan.open
        if waiting:
            self.connection.assign(waiting)
        size, heard = 100, time.monotonic()
        while waiting:
            left = sum(self.plan.end[partition] - at for partition, at in waiting.items())
            found = self.connection.consume(min(size, left), seconds=_WAIT)
            if found:
                heard = time.monotonic()
            elif time.monotonic() - heard > self.connection.timeout:
                self._require_messages(waiting)
                heard = time.monotonic()
            wanted = self._wanted(found, waiting)
            if wanted:
                # So many that they stay small in memory: librdkafka itself holds at most queued.max.messages.kbytes.
                size = max(1, min(BATCH_ROWS, BATCH_BYTES * len(wanted) // max(1, sum(map(len, wanted)))))
                yield wanted

    def _wanted(self, found: list[Any], waiting: dict[int, int]) -> list[Any]:
        """Those that are messages of this read. Notes how far their partitions have come."""
        wanted: list[Any] = []
        # Nearly all are in the midst of their partition, and told at once.
        last = {partition: end - 1 for partition, end in self.plan.end.items()}
        for message in found:
            partition, offset = message.partition(), message.offset()
            if message.error() is None and waiting.get(partition, offset + 1) <= offset < last[partition]:
                waiting[partition] = offset + 1
                wanted.append(message)
            elif self._is_wanted(message, waiting):
                wanted.append(message)
        return wanted

    def _is_wanted(self, message: Any, waiting: dict[int, int]) -> bool:
        """Whether it is a message of this read. Notes how far its partition has come."""
        partition, offset, error = message.partition(), message.offset(), message.error()
        if error is not None and error.name() != "_PARTITION_EOF":
            raise self.connection.failure(error)
        if offset < waiting.get(partition, offset + 1):
            return False
        end = self.plan.end[partition]
        if error is not None and offset < end:
            self._require_messages({partition: offset})
        waiting[partition] = offset if error is not None else offset + 1
        if waiting[partition] >= end:
            del waiting[partition]
            self.connection.pause(partition)
        return error is None and offset < end

    def _require_messages(self, waiting: dict[int, int]) -> None:
        """Raise where nothing more can come: the brokers don't answer, or have lost what was there when the read began."""
        for partition, there in self.connection.log_end(waiting).items():
            if there < self.plan.end[partition]:
                raise SourceError(
                    self.place,
                    f"partition {partition} has lost messages while it was read",
                    got=f"an end of {there:,}, before {self.plan.end[partition]:,}",
                    hint="run it again: it tells what is lost.",
                )


@attrs.frozen(eq=False)
class Messages:
    """Messages of a topic, by what they consist of.

    Attributes:
        millis: Their timestamps. None: a message has none, or one that no calendar knows.
        headers: As they are stored. None: a message has none.
    """

    values: Sequence[bytes | None]
    partitions: Sequence[int]
    offsets: Sequence[int]
    millis: Sequence[int | None]
    keys: Sequence[bytes | None]
    headers: Sequence[list[dict[str, object]] | None]

    @classmethod
    def of(cls, batch: pa.RecordBatch) -> Messages:
        """Messages that `to_batch` made a batch of, or Spark's connector."""
        columns: dict[str, list[Any]] = batch.to_pydict()
        return cls(
            values=columns["value"],
            partitions=columns["partition"],
            offsets=columns["offset"],
            millis=[None if millis is None else _in_calendar(millis) for millis in columns["millis"]],
            keys=columns["key"],
            headers=[headers or None for headers in columns["headers"]],
        )

    def to_batch(self) -> pa.RecordBatch:
        """The messages as they are put aside."""
        import pyarrow as pa

        columns = (self.values, self.partitions, self.offsets, self.millis, self.keys, self.headers)
        return pa.RecordBatch.from_arrays(
            [pa.array(column, field.type) for column, field in zip(columns, raw(), strict=True)], schema=raw()
        )


def raw() -> pa.Schema:
    """The columns of messages that are put aside."""
    import pyarrow as pa

    headers = pa.list_(pa.struct([("key", pa.string()), ("value", pa.binary())]))
    kinds = {
        "value": pa.binary(),
        "partition": pa.int32(),
        "offset": pa.int64(),
        "millis": pa.int64(),
        "key": pa.binary(),
        "headers": headers,
    }
    return pa.schema(list(kinds.items()))


def schema_of(decoder: Decoder) -> pa.Schema:
    """The columns of the messages' values, lakekit's own, and the three that tell bad rows."""
    import pyarrow as pa

    from lakekit.engines.types import arrow_type

    own = [pa.field(name, arrow_type(system.BY_NAME[name].type)) for name in (*_SYSTEM, *decoder.system)]
    bad = [pa.field(system.RULE, pa.string()), pa.field(system.REASON, pa.string()), pa.field(system.PAYLOAD, pa.binary())]
    return pa.schema([*decoder.schema, *own, *bad])


def as_rows(messages: Messages, decoder: Decoder, *, topic: str, source: str) -> pa.RecordBatch:
    """The messages as rows of the schema that `schema_of` gives for the decoder."""
    import pyarrow as pa

    values, schema = messages.values, schema_of(decoder)
    count = len(values)
    decoded = decoder.read(messages)
    instants = pa.array(messages.millis, pa.timestamp("ms", tz="UTC"))
    bad = decoded.reasons
    own: dict[str, Any] = {
        system.SOURCE: pa.repeat(pa.scalar(source), count),
        system.SOURCE_TIMESTAMP: instants,
        system.OPERATION: [system.DELETE if value is None else system.UPSERT for value in values],
        system.KAFKA_TOPIC: pa.repeat(pa.scalar(topic), count),
        system.KAFKA_PARTITION: messages.partitions,
        system.KAFKA_OFFSET: messages.offsets,
        system.KAFKA_TIMESTAMP: instants,
        system.KAFKA_KEY: messages.keys,
        system.KAFKA_HEADERS: messages.headers,
        system.RESCUED_DATA: _spread(decoded.rescued, count),
        system.RULE: _spread({**dict.fromkeys(bad, decoder.rule), **dict.fromkeys(decoded.skipped, system.SKIPPED)}, count),
        system.REASON: _spread({**bad, **decoded.skipped}, count),
        system.PAYLOAD: _spread({row: values[row] for row in bad}, count),
        **decoded.own,
    }
    arrays = [*decoded.columns]
    for name in schema.names[len(arrays) :]:
        kind, made = schema.field(name).type, own[name]
        arrays.append(made.cast(kind) if isinstance(made, pa.Array) else pa.array(made, kind))
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _spread(found: Mapping[int, object], count: int) -> list[object]:
    """Values by row as a list, None where there is none."""
    return [found.get(row) for row in range(count)] if found else [None] * count


def _in_calendar(millis: int) -> int | None:
    """A timestamp, where a calendar knows it."""
    return millis if _YEAR_1 <= millis < _YEAR_10000 else None


def _headers(headers: list[tuple[str, bytes | None]]) -> list[dict[str, object]]:
    return [{"key": key, "value": value} for key, value in headers]
