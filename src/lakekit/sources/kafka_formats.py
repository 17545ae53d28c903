"""How a topic's messages become columns: by a declared schema, by what the messages hold, or by a schema registry."""

from __future__ import annotations

import functools
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, Protocol

from lakekit.errors import SourceConfigError
from lakekit.sources import json_shape, kafka_errors, kafka_registry
from lakekit.sources.json_shape import Shape
from lakekit.sources.kafka_read import Decoder, Messages
from lakekit.sources.kafka_registry import Lookup, Registered, Registry
from lakekit.sources.kafka_values import Clock
from lakekit.sources.protocol import Target
from lakekit.sources.spool import Spool

if TYPE_CHECKING:
    import pyarrow as pa

    from lakekit.sources.debezium_options import Changes
    from lakekit.sources.kafka import KafkaTopic

_AT_ONCE: Final = 500  # messages: what is read of them is gone before Python looks for garbage among it
MakeDecoder = Callable[[], Decoder]
"""Makes a decoder. It pickles, and holds no connection and no secret."""


@contextmanager
def reading(topic: KafkaTopic, messages: Iterator[Messages], target: Target) -> Generator[tuple[Decoder, Iterator[Messages]]]:
    """What decodes the messages, and the messages, which come once.

    Raises:
        MissingExtraError: A package is not installed.
        ConfigError: The temporary folder is full.
        SchemaError: The messages have too many fields, or the registry's schema can't be a table's columns.
        SourceError, SourceConfigError: The registry can't be reached, refuses, or has no such subject.
    """
    if topic.changes is None and topic.format != "json":
        with asked(topic) as registry:
            yield registered(topic, registry.newest(topic.subject_name), registry.schema, target.schema)(), messages
        return
    if topic.changes is None and topic.columns:
        yield declared(topic)(), messages
        return
    with Spool(place=topic.place) as spool:
        look = looking(topic)()
        for found in messages:
            look.look(found)
            spool.write(_packed(found.to_batch()))
        yield learned(topic, [look.to_plain()], target.schema)(), (Messages.of(_unpacked(part)) for part in spool.parts())


def declared(topic: KafkaTopic) -> MakeDecoder:
    """Decodes the declared columns."""
    return functools.partial(_json, _columns(topic), _clock(topic))


class Look(Protocol):
    """Looks at messages before the first is decoded: what they hold says which columns there are."""

    def look(self, messages: Messages) -> None:
        """Note what messages hold."""
        ...

    def to_plain(self) -> dict[str, Any]:
        """What was seen, for another process."""
        ...


def looking(topic: KafkaTopic) -> Callable[[], Look]:
    """Makes what looks at a topic's messages. It pickles, as a `MakeDecoder` does."""
    if topic.changes is None:
        return Observer
    return functools.partial(_look_at_changes, topic.changes, topic.format)


def learned(topic: KafkaTopic, seen: Sequence[Mapping[str, Any]], target: pa.Schema | None) -> MakeDecoder:
    """Decodes the columns that follow from what was seen.

    Raises:
        SourceError, SourceConfigError: The registry can't be reached, or refuses.
    """
    if topic.changes is None:
        shape = Shape()
        for each in seen:
            shape.add(each)
        return functools.partial(_json, json_shape.schema_of(shape, target=target), _clock(topic), nulls=False)
    if topic.format == "json":
        return functools.partial(_changes, topic.changes, seen, target)
    numbers = {number for each in seen for number in each["numbers"]}
    with asked(topic) as registry:
        schemas = {number: registry.schema(number) for number in sorted(numbers)}
    return functools.partial(_changes_in_avro, topic.changes, schemas, target)


@contextmanager
def asked(topic: KafkaTopic) -> Generator[Registry]:
    """The registry of a topic's cluster."""
    registry = Registry(topic.server.registry, place=topic.place)
    try:
        yield registry
    finally:
        registry.close()


def registered(topic: KafkaTopic, newest: Registered, lookup: Lookup, target: pa.Schema | None) -> MakeDecoder:
    """Decodes the columns of the newest schema of a topic.

    Raises:
        SourceConfigError: It is of another format.
    """
    wanted = {"avro": "AVRO", "json_schema": "JSON"}[topic.format]
    if newest.kind != wanted:
        raise SourceConfigError(
            topic.place,
            f"expected a schema of kind {wanted} as the newest of {topic.subject_name!r}",
            got=newest.kind,
            hint="format= says which: 'avro' or 'json_schema'. Protobuf is not read.",
        )
    if topic.format == "avro":
        return functools.partial(_avro, newest, lookup, target, topic.place)
    return functools.partial(_json_schema, _columns(topic) if topic.columns else newest, lookup, _clock(topic), target, topic.place)


class Observer:
    """Notes what messages hold. Most messages are like earlier ones: they are told by one quick read, and hold nothing to note."""

    def __init__(self) -> None:
        """Begin with nothing seen.

        Raises:
            MissingExtraError: msgspec is not installed.
        """
        try:
            import msgspec
        except ModuleNotFoundError:
            raise kafka_errors.missing_extra("msgspec") from None
        self.shape = Shape()
        self._decode = msgspec.json.Decoder().decode
        self._like_earlier: Callable[[bytes], object] = self._decode_none
        self._unreadable = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

    def look(self, messages: Messages) -> None:
        """Note what messages hold."""
        self.observe(messages.values)

    def to_plain(self) -> dict[str, Any]:
        """What was seen."""
        return self.shape.to_plain()

    def observe(self, values: Sequence[bytes | None]) -> None:
        """Note what the values of messages hold. Those that are no JSON objects are left out: they are rejected later.

        Raises:
            SchemaError: There are too many fields.
        """
        import msgspec

        for start in range(0, len(values), _AT_ONCE):
            unusual = [found for value in values[start : start + _AT_ONCE] if (found := self._unlike(value)) is not None]
            if unusual:
                self.shape.observe(unusual)
                self._like_earlier = msgspec.json.Decoder(self.shape.readable()).decode

    def _unlike(self, value: bytes | None) -> object:
        """A message that is not like earlier ones. None: it is, or it is no object."""
        if value is None:
            return None
        try:
            self._like_earlier(value)
        except self._unreadable:
            return self._object(value)
        return None

    def _object(self, value: bytes) -> object:
        try:
            found = self._decode(value)
        except self._unreadable:
            return None
        return found if type(found) is dict else None

    def _decode_none(self, value: bytes) -> object:
        import msgspec

        raise msgspec.ValidationError


def _columns(topic: KafkaTopic) -> pa.Schema:
    import pyarrow as pa

    from lakekit.engines.types import arrow_type

    return pa.schema([(name, arrow_type(words)) for name, words in topic.columns])


def _clock(topic: KafkaTopic) -> Clock:
    return Clock(topic.epoch, topic.time_zone)


def _json(columns: pa.Schema, clock: Clock, *, nulls: bool = True) -> Decoder:
    try:
        from lakekit.sources.kafka_json import JsonDecoder

        return JsonDecoder(columns, clock, nulls=nulls)
    except ModuleNotFoundError:
        raise kafka_errors.missing_extra("msgspec") from None


def _avro(newest: Registered, lookup: Lookup, target: pa.Schema | None, place: str) -> Decoder:
    try:
        from lakekit.sources.kafka_avro import AvroDecoder
    except ModuleNotFoundError:
        raise kafka_registry.missing_extra() from None
    return AvroDecoder(newest, lookup, target=target, place=place)


def _look_at_changes(changes: Changes, format: str) -> Look:
    try:
        if format == "json":
            from lakekit.sources.debezium_decode import JsonLook

            return JsonLook(changes.reading)
        from lakekit.sources.debezium_avro import AvroLook

        return AvroLook()
    except ModuleNotFoundError:
        raise kafka_errors.missing_extra("msgspec") if format == "json" else kafka_registry.missing_extra() from None


def _changes(changes: Changes, told: Sequence[Mapping[str, Any]], target: pa.Schema | None) -> Decoder:
    from lakekit.sources import debezium_decode

    return debezium_decode.json_decoder(changes, debezium_decode.seen(told), target)


def _changes_in_avro(changes: Changes, schemas: Mapping[int, Registered | None], target: pa.Schema | None) -> Decoder:
    from lakekit.sources.debezium_avro import avro_decoder

    return avro_decoder(changes, schemas, target)


def _json_schema(newest: Registered | pa.Schema, lookup: Lookup, clock: Clock, target: pa.Schema | None, place: str) -> Decoder:
    try:
        from lakekit.sources.kafka_json_schema import JsonSchemaDecoder, columns

        found = columns(newest, target=target, place=place) if isinstance(newest, Registered) else newest
        return JsonSchemaDecoder(found, lookup, clock)
    except ModuleNotFoundError:
        raise kafka_registry.missing_extra() from None


def _packed(batch: pa.RecordBatch) -> bytes:
    return batch.serialize().to_pybytes()


def _unpacked(part: bytes) -> pa.RecordBatch:
    import pyarrow as pa

    from lakekit.sources.kafka_read import raw

    return pa.ipc.read_record_batch(pa.py_buffer(part), raw())
