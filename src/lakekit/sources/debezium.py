"""Topics of Debezium: every change of a table, as a change log."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, cast

import attrs

from lakekit import columns as system
from lakekit.errors import ConfigError, SchemaError
from lakekit.names import columns as as_columns
from lakekit.sources import debezium_options
from lakekit.sources.debezium_options import BinaryHandling, Changes, DecimalHandling, Modes, Reading, TimePrecision, Tombstones
from lakekit.sources.kafka import KafkaTopic
from lakekit.sources.protocol import Details, Following, Increment, KeyRead, Source, Target

if TYPE_CHECKING:
    from lakekit.engines.spark.tables import SparkEngine


def _to_schema(schema: object) -> tuple[tuple[str, str], ...]:
    if schema is None:
        return ()
    if not isinstance(schema, Mapping):
        raise ConfigError(
            "sources.Debezium(schema=)",
            "expected a mapping of columns to SQL types",
            got=repr(schema),
            hint="write {'balance': 'decimal(12, 2)'}.",
        )
    return tuple(cast("Mapping[str, str]", schema).items())


def _check_schema(_instance: object, _attribute: object, columns: tuple[tuple[str, str], ...]) -> None:
    from lakekit.sources.debezium_types import Declared

    system.refuse_reserved([name for name, _ in columns], place="sources.Debezium(schema=)")
    folded: dict[str, str] = {}
    for name, words in columns:
        Declared.of(words, place=f"sources.Debezium(schema=): column {name!r}")
        if folded.setdefault(name.lower(), name) != name:
            raise SchemaError("sources.Debezium(schema=)", "two columns differ in case only", got=f"{folded[name.lower()]!r} and {name!r}")


def _check_topic(_instance: object, _attribute: object, topic: object) -> None:
    if not isinstance(topic, KafkaTopic):
        raise ConfigError(
            "sources.Debezium()", "expected a topic of Kafka", got=type(topic).__name__, hint="write bus.topic('shop.public.users')."
        )
    if topic.columns or topic.epoch != "ms" or topic.time_zone is not None:
        raise ConfigError(
            "sources.Debezium()",
            "a topic of changes says nothing of columns and times",
            got="a topic with schema=, epoch= or time_zone=",
            hint="give schema= and time_precision= to Debezium.",
        )
    if topic.format == "json_schema":
        raise ConfigError("sources.Debezium()", "expected a topic in JSON or Avro", got="format='json_schema'", hint="leave format= out.")


def _to_key(key: str | Sequence[str] | None) -> tuple[str, ...]:
    return () if key is None else as_columns(key, place="sources.Debezium(primary_key=)")


@attrs.frozen
class Debezium:
    """A topic of Debezium as a source of `ingest` and `stream`: the change log of a table.

    One row for each change, in full: the columns of the row; ``_operation`` (``upsert``, ``delete``, or ``truncate`` for all rows at once);
    ``_source_operation`` (Debezium's own word), ``_source_lsn``, ``_source_transaction``, ``_source_timestamp``; ``_source_key``, and ``_moved_from`` and
    ``_moved_to`` where a primary key changed; ``_unavailable``, the columns whose value did not come (TOAST); and Kafka's columns as of any topic.
    A delete has the key's columns only, since Debezium makes up values for those that can't be NULL.

    Envelopes and rows flattened by ``ExtractNewRecordState`` are told apart by themselves, and so are JSON with its schema and without. What is
    no row is skipped and counted (``Commit.skipped``): tombstones, heartbeats, transactions' ends, logical messages. What can't be read is rejected.

    Where the messages have a schema of their own, the columns are of its types. Otherwise ``schema`` declares those that JSON has no word for; the
    other columns are inferred, new ones too.

    Attributes:
        topic: The topic: ``bus.topic("shop.public.users")``.
        schema: Columns and their SQL types; not all need be named. ``timestamp_ntz(3)`` and ``time(3)`` say how precise PostgreSQL's column is:
            up to three digits, ``adaptive`` counts milliseconds.
        primary_key: The columns of the key, where the messages have none of their own.
        decimal_handling: The connector's ``decimal.handling.mode``.
        time_precision: Its ``time.precision.mode``.
        binary_handling: Its ``binary.handling.mode``.
        tombstones: ``"skip"``; or ``"delete"``, where nothing else tells of deletes: rows flattened without ``__deleted`` or ``__op``, a compacted topic.
        unavailable_value: Its ``unavailable.value.placeholder``.

    >>> from lakekit import sources
    >>> users = sources.Debezium(sources.Kafka("broker:9092").topic("shop.public.users"), schema={"balance": "decimal(12, 2)"})
    >>> users.upstream
    'kafka:kafka/shop.public.users'
    """

    topic: KafkaTopic = attrs.field(validator=_check_topic)
    schema: tuple[tuple[str, str], ...] = attrs.field(
        default=cast("Any", None), kw_only=True, converter=_to_schema, validator=_check_schema
    )
    key: tuple[str, ...] = attrs.field(default=cast("Any", None), kw_only=True, alias="primary_key", converter=_to_key)
    decimal_handling: DecimalHandling = attrs.field(default="precise", kw_only=True)
    time_precision: TimePrecision = attrs.field(default="adaptive", kw_only=True)
    binary_handling: BinaryHandling = attrs.field(default="bytes", kw_only=True)
    tombstones: Tombstones = attrs.field(default="skip", kw_only=True)
    unavailable_value: str = attrs.field(default="__debezium_unavailable_value", kw_only=True)

    def __attrs_post_init__(self) -> None:
        debezium_options.check(self._changes)

    @property
    def _changes(self) -> Changes:
        modes = Modes(self.decimal_handling, self.time_precision, self.binary_handling)
        return Changes(self.schema, modes, Reading(self.key, self.tombstones, self.unavailable_value))

    @property
    def log(self) -> KafkaTopic:
        """The topic, read as a change log."""
        return attrs.evolve(self.topic, schema="infer", changes=self._changes)

    @property
    def upstream(self) -> str:
        """The topic's: ``kafka:kafka/shop.public.users``."""
        return self.topic.upstream

    def primary_key(self) -> tuple[str, ...]:
        """The key that was declared. Empty: each message has its own."""
        return self.key

    def keys(self, *, scope: str | None) -> AbstractContextManager[KeyRead]:
        """Refused: a change log tells of its deletes.

        Raises:
            ConfigError: Always.
        """
        raise ConfigError(
            f"{self.topic.place}.keys()",
            "a change log has no keys to compare with",
            hint="it tells of deletes itself: ingest() reads them.",
        )

    def open(self, position: Details | None, *, target: Target) -> AbstractContextManager[Increment]:
        """Read the changes from the position's offsets up to the end that each partition has now.

        Raises:
            SourceError, SourceConfigError, ConfigError, ContractError: As from any topic.
        """
        return self.log.open(position, target=target)

    def open_on_spark(self, engine: SparkEngine, position: Details | None, *, target: Target) -> AbstractContextManager[Increment]:
        """Read the same changes by Spark's own connector."""
        return self.log.open_on_spark(engine, position, target=target)

    def follow(
        self, engine: SparkEngine, position: Details | None, *, seconds: float, each: Callable[[SparkEngine, Source], None]
    ) -> Following:
        """Start a streaming query of Spark, as for any topic."""
        return self.log.follow(engine, position, seconds=seconds, each=each)
