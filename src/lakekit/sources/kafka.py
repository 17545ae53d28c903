"""Topics of Kafka. The bookmark holds offsets and the topic's id; consumer groups play no part in what is read."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, Unpack, cast, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import attrs

from lakekit import columns as system
from lakekit.errors import ConfigError, SchemaError, SourceError
from lakekit.sources import kafka_client, kafka_formats, kafka_offsets, kafka_options, kafka_read, kafka_registry
from lakekit.sources.debezium_options import Changes
from lakekit.sources.kafka_offsets import OnGap, OnRecreated
from lakekit.sources.kafka_options import Options
from lakekit.sources.kafka_read import Read
from lakekit.sources.kafka_registry import GivenOptions as RegistryOptions
from lakekit.sources.kafka_values import Epoch
from lakekit.sources.protocol import Details, Following, Increment, KeyRead, Source, Target

if TYPE_CHECKING:
    from lakekit.engines.spark.tables import SparkEngine
    from lakekit.sources.debezium import Debezium
    from lakekit.sources.debezium_options import DebeziumOptions
    from lakekit.sources.kafka_client import Connection

Format = Literal["json", "avro", "json_schema"]
Start = Literal["earliest", "latest"] | datetime


def _check_text(_instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
    if not isinstance(value, str) or not value.strip():
        raise ConfigError(f"sources.Kafka({attribute.name}=)", "expected text", got=type(value).__name__ if value else repr(value))


def _check_options(_instance: object, _attribute: object, value: object) -> None:
    if not callable(value):
        kafka_options.check(value)


def _check_registry(_instance: object, _attribute: object, value: object) -> None:
    if value is not None and not callable(value):
        kafka_registry.check(value)


def _to_options(value: Options | Callable[[], Options] | None) -> Options | Callable[[], Options]:
    return {} if value is None else value


@attrs.frozen(repr=False)
class Kafka:
    """A Kafka cluster. Connects when one of its topics is read; until then nothing happens.

    Does not pickle where a secret stands in ``options``: give a function (an importable one, no lambda).

    Attributes:
        servers: The brokers to ask first: ``"broker:9092"``, several with commas between them.
        options: librdkafka's options, passed through: ``{"security.protocol": "SASL_SSL", …}``; or a function that returns them when they
            are needed. Never shown. ``isolation.level`` is ``read_committed`` unless they say otherwise; ``socket.timeout.ms`` (30 seconds)
            is how long the brokers may take to answer. With ``group.id``, that consumer group is told the offsets after each commit, so that
            tools which show lag know them; they are never read, and a failure is only logged.
        registry: The schema registry of its topics, for ``topic(format="avro")`` and ``"json_schema"``: its URL, or confluent-kafka's options for it
            (``{"url": …, "basic.auth.user.info": "user:password"}``), or a function that returns either when it is needed. Never shown.
        name: What the cluster is called in bookmarks and in ``_source``. Give one where there are several clusters.

    >>> Kafka("broker:9092", options={"sasl.password": "secret"})
    Kafka('broker:9092', name='kafka')
    """

    servers: str = attrs.field(validator=_check_text)
    options: Options | Callable[[], Options] = attrs.field(
        default=None, kw_only=True, eq=False, converter=_to_options, validator=_check_options
    )
    registry: RegistryOptions = attrs.field(default=None, kw_only=True, eq=False, validator=_check_registry)
    name: str = attrs.field(default="kafka", kw_only=True, validator=_check_text)

    def __repr__(self) -> str:
        return f"Kafka({self.servers!r}, name={self.name!r})"

    def __reduce__(self) -> tuple[object, ...]:
        secrets = {
            "options": not callable(self.options) and kafka_options.has_secret(self.options),
            "registry": not callable(self.registry) and kafka_registry.has_secret(self.registry),
        }
        for argument in (name for name, there in secrets.items() if there):
            raise ConfigError(
                f"sources.Kafka({argument}=)",
                "a source with a secret in it is not pickled",
                hint=f"give {argument}= as a function that returns it: it is called where it is needed.",
            )
        return _rebuild, (self.servers, self.options, self.registry, self.name)

    def topic(
        self,
        name: str,
        *,
        schema: Mapping[str, str] | Literal["infer"] = "infer",
        format: Format = "json",
        subject: str | None = None,
        start: Start = "earliest",
        on_recreated: OnRecreated = "raise",
        on_gap: OnGap = "raise",
        epoch: Epoch = "ms",
        time_zone: str | None = None,
        max_messages: int = 1_000_000,
    ) -> KafkaTopic:
        """A topic of this cluster.

        Args:
            name: The topic.
            schema: Its columns: name to SQL type, ``{"event_id": "bigint", "device": "struct<os: string>"}``. The reference has a table of what fits
                which type. A field that is not named here, and a value that does not fit, stand in ``_rescued_data``. ``"infer"``: a column for
                each field that a message has, of the type that its values have; the reference has a table of these, too. What a field holds
                is seen once the messages of a run are read, so they are put aside until then, on disk where they are many.
            format: What the messages are: JSON objects (``"json"``); or what Confluent's serializers write: Avro (``"avro"``), or JSON whose
                schema is in the registry (``"json_schema"``). Columns are then those of the newest schema of the subject, and ``schema=``
                is left out; with ``"json_schema"`` it may be given and counts instead.
            subject: The registry's subject whose newest schema has the columns. None: ``<topic>-value``.
            start: Where the first read begins: ``"earliest"``, ``"latest"``, or with the first message not older than a datetime.
            on_recreated: What a topic that was deleted and made anew means: an error, or to read it from its beginning.
            on_gap: What it means that messages were deleted before they were read: an error, or to go on with what is left.
            epoch: What a number counts in a column of type timestamp: seconds, milliseconds, micro- or nanoseconds since 1970.
            time_zone: What a time without a zone means in a column of type timestamp. None: it doesn't fit.
            max_messages: How many messages one commit takes at most. `ingest` makes as many commits as it needs to catch up, `stream` one for
                each micro-batch.

        Raises:
            ConfigError: An argument is wrong.
            SchemaError: A type is unknown, or a column is named like one of lakekit's. Nothing is asked of the brokers yet.
        """
        return KafkaTopic(
            self,
            name,
            schema=schema,
            format=format,
            subject=subject,
            start=start,
            on_recreated=on_recreated,
            on_gap=on_gap,
            epoch=epoch,
            time_zone=time_zone,
            max_messages=max_messages,
        )

    def debezium(
        self,
        name: str,
        *,
        format: Literal["json", "avro"] = "json",
        start: Start = "earliest",
        on_recreated: OnRecreated = "raise",
        on_gap: OnGap = "raise",
        max_messages: int = 1_000_000,
        **options: Unpack[DebeziumOptions],
    ) -> Debezium:
        """A topic of changes that Debezium writes.

        Args:
            name: The topic: ``"shop.public.users"``.
            format: ``"json"``, with schemas in the messages or without; or ``"avro"``, with schemas in ``Kafka(registry=)``.
            start: As in `topic`, like the next three.
            on_recreated: What a topic made anew means.
            on_gap: What it means that messages are gone.
            max_messages: How many messages one commit takes at most.
            options: Those of `sources.Debezium`: ``schema``, ``primary_key``, ``decimal_handling`` …

        Raises:
            ConfigError: An argument is wrong.
            SchemaError: A type is unknown, or a column is named like one of lakekit's.
        """
        from lakekit.sources.debezium import Debezium

        topic = self.topic(name, format=format, start=start, on_recreated=on_recreated, on_gap=on_gap, max_messages=max_messages)
        return Debezium(topic, **options)


def _rebuild(servers: str, options: Options | Callable[[], Options], registry: RegistryOptions, name: str) -> Kafka:
    return Kafka(servers, options=options, registry=registry, name=name)


def _one_of(*allowed: str) -> Callable[[object, attrs.Attribute[Any], object], None]:
    def check(_instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
        if value not in allowed:
            raise ConfigError(f"Kafka.topic({attribute.name}=)", f"expected {' or '.join(map(repr, allowed))}", got=repr(value))

    return check


def _check_name(_instance: object, _attribute: object, value: object) -> None:
    if not isinstance(value, str) or not value or value.startswith("^"):  # to librdkafka, ^ begins a pattern
        raise ConfigError("Kafka.topic(name=)", "expected the name of one topic", got=repr(value))


def _to_columns(schema: object) -> tuple[tuple[str, str], ...]:
    if schema == "infer":
        return ()
    if not isinstance(schema, Mapping) or not schema:
        raise ConfigError(
            "Kafka.topic(schema=)",
            "expected a mapping of columns to SQL types, or 'infer'",
            got=repr(schema),
            hint="write {'event_id': 'bigint'}.",
        )
    return tuple(cast("Mapping[str, str]", schema).items())


def _check_columns(_instance: object, _attribute: object, columns: tuple[tuple[str, str], ...]) -> None:
    from lakekit.engines.types import arrow_type

    system.refuse_reserved([name for name, _ in columns], place="Kafka.topic(schema=)")
    folded: dict[str, str] = {}
    for name, words in columns:
        arrow_type(words, place=f"Kafka.topic(schema=): column {name!r}")
        if folded.setdefault(name.lower(), name) != name:
            raise SchemaError("Kafka.topic(schema=)", "two columns differ in case only", got=f"{folded[name.lower()]!r} and {name!r}")


def _check_subject(topic: KafkaTopic, _attribute: object, value: object) -> None:
    place = f"Kafka.topic(format={topic.format!r})"
    if topic.format == "json":
        if value is not None:
            raise ConfigError(
                "Kafka.topic(subject=)", "plain JSON has no schema in a registry", hint="leave it out, or write format='json_schema'."
            )
        return
    if topic.server.registry is None:
        raise ConfigError(place, "needs a schema registry", hint="write sources.Kafka(…, registry='http://registry:8081').")
    if topic.format == "avro" and topic.columns:
        raise ConfigError(place, "Avro's columns are those of the registry's schema", got="schema=", hint="leave schema= out.")
    if value is not None and (not isinstance(value, str) or not value):
        raise ConfigError("Kafka.topic(subject=)", "expected the name of a subject", got=repr(value))


def _check_start(_instance: object, _attribute: object, value: object) -> None:
    if isinstance(value, datetime) and value.tzinfo is None:
        raise ConfigError("Kafka.topic(start=)", "expected a datetime with a time zone", got="a naive one", hint="write tzinfo=UTC.")
    if not isinstance(value, datetime) and value not in {"earliest", "latest"}:
        raise ConfigError("Kafka.topic(start=)", "expected 'earliest', 'latest' or a datetime", got=repr(value))


def _check_time_zone(_instance: object, _attribute: object, value: object) -> None:
    try:
        if value is not None:
            ZoneInfo(value if isinstance(value, str) else "")
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ConfigError(
            "Kafka.topic(time_zone=)", "expected the name of a time zone", got=repr(value), hint="write 'UTC' or 'Europe/Berlin'."
        ) from error


def _check_max_messages(_instance: object, _attribute: object, value: object) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ConfigError("Kafka.topic(max_messages=)", "expected a whole number above zero", got=repr(value))


@attrs.frozen
class KafkaTopic:
    """A topic of Kafka as a source of `ingest` and `stream`. Made by ``Kafka.topic``.

    One row for each message: its columns, declared or inferred, ``_kafka_topic``, ``_kafka_partition``, ``_kafka_offset``, ``_kafka_timestamp``,
    ``_kafka_key``, ``_kafka_headers``, ``_rescued_data``, ``_source`` (``kafka.events``) and ``_source_timestamp`` (the message's). A message
    without a value, a tombstone, is a row with ``_operation = 'delete'`` and NULL in its own columns. One that can't be
    read (no JSON object, broken Avro, a schema that the registry doesn't have) goes to the rejects with its bytes.

    Attributes:
        columns: Names and SQL types, as declared. Empty: they are inferred.
        changes: How Debezium's messages are read. None: it has others. ``Kafka.debezium`` says so.
    """

    server: Kafka
    name: str = attrs.field(validator=_check_name)
    columns: tuple[tuple[str, str], ...] = attrs.field(
        default=cast("Any", "infer"), kw_only=True, alias="schema", converter=_to_columns, validator=_check_columns
    )
    format: Format = attrs.field(default="json", kw_only=True, validator=_one_of(*get_args(Format)))
    subject: str | None = attrs.field(default=None, kw_only=True, validator=_check_subject)
    start: Start = attrs.field(default="earliest", kw_only=True, validator=_check_start)
    on_recreated: OnRecreated = attrs.field(default="raise", kw_only=True, validator=_one_of(*get_args(OnRecreated)))
    on_gap: OnGap = attrs.field(default="raise", kw_only=True, validator=_one_of(*get_args(OnGap)))
    epoch: Epoch = attrs.field(default="ms", kw_only=True, validator=_one_of(*get_args(Epoch)))
    time_zone: str | None = attrs.field(default=None, kw_only=True, validator=_check_time_zone)
    max_messages: int = attrs.field(default=1_000_000, kw_only=True, validator=_check_max_messages)
    changes: Changes | None = attrs.field(default=None, kw_only=True)

    @property
    def place(self) -> str:
        """Where this is, for errors and the log."""
        return f"{self.server!r}.topic({self.name!r})"

    @property
    def origin(self) -> str:
        """What ``_source`` holds: ``kafka.events``."""
        return f"{self.server.name}.{self.name}"

    @property
    def subject_name(self) -> str:
        """The registry's subject: ``events-value``."""
        return self.subject or f"{self.name}-value"

    @property
    def upstream(self) -> str:
        """``kafka:kafka/events``."""
        return f"kafka:{self.server.name}/{self.name}"

    def primary_key(self) -> tuple[str, ...]:
        """None: a topic has none of its own."""
        return ()

    def keys(self, *, scope: str | None) -> AbstractContextManager[KeyRead]:
        """Refused: what lives can't be told from a topic.

        Raises:
            ConfigError: Always.
        """
        raise ConfigError(
            f"{self.place}.keys()", "a topic has no keys to compare with", hint="its deletes are tombstones: ingest() reads them."
        )

    @contextmanager
    def open(self, position: Details | None, *, target: Target) -> Generator[Increment]:
        """Read the messages from the position's offsets up to the end that each partition has now.

        Raises:
            SourceError: The brokers can't be reached, or reading broke off.
            SourceConfigError: The brokers refuse, or there is no such topic.
            ConfigError: librdkafka doesn't take an option.
            ContractError: The topic was made anew, or messages are gone that were not read yet.
        """
        settings = kafka_options.Settings.of(self.server.servers, self.server.options)
        with kafka_client.connect(settings, self.name, place=self.place) as connection, ExitStack() as until_done:
            plan = self.plan(connection, position, in_portions=target.in_portions)
            read = Read(connection, plan, self.place)

            def details() -> Details:
                if not read.exhausted:
                    raise RuntimeError("details() was asked before the batches were read to their end")
                self.require_same(connection, plan.topic_id)
                return plan.to_details()

            decoder, messages = until_done.enter_context(kafka_formats.reading(self, read.messages(), target))
            rows = (kafka_read.as_rows(found, decoder, topic=self.name, source=self.origin) for found in messages)
            yield Increment(
                kafka_read.schema_of(decoder),
                rows,
                details,
                rejecting=True,
                behind=plan.behind,
                lag=plan.lag,
                acknowledge=lambda: connection.acknowledge(plan.end),
            )

    @contextmanager
    def open_on_spark(self, engine: SparkEngine, position: Details | None, *, target: Target) -> Generator[Increment]:
        """Read the same messages as `open`, by Spark's own connector.

        Raises:
            ConfigError: The session has no connector, or one of librdkafka's options has no counterpart in Kafka's Java client.
            SourceError, SourceConfigError, ContractError: As from `open`.
        """
        from lakekit.sources import kafka_spark

        with kafka_spark.read(self, engine, position, target=target) as increment:
            yield increment

    def follow(
        self, engine: SparkEngine, position: Details | None, *, seconds: float, each: Callable[[SparkEngine, Source], None]
    ) -> Following:
        """Start a streaming query of Spark that begins at a position, and hands its micro-batches over."""
        from lakekit.sources import kafka_follow

        return kafka_follow.follow(self, engine, position or {}, seconds=seconds, each=each)

    def plan(self, connection: Connection, position: Details | None, *, in_portions: bool) -> kafka_offsets.Plan:
        """From where to where the topic is read now."""
        found = connection.offsets()
        if position is not None:
            start = kafka_offsets.resume(position, found, on_recreated=self.on_recreated, on_gap=self.on_gap, place=self.place)
        elif isinstance(self.start, datetime):
            start = connection.offsets_at(self.start, otherwise=found.end)
        else:
            start = dict(found.first if self.start == "earliest" else found.end)
        topic_id = found.topic_id or cast("str | None", (position or {}).get("topic_id"))
        return kafka_offsets.plan(topic_id, start, found, at_most=self.max_messages if in_portions else None)

    def require_same(self, connection: Connection, topic_id: str | None) -> None:
        """Raise where the topic was made anew while it was read: the rows may be of both."""
        if (now := connection.topic_id()) is not None and now != topic_id:
            raise SourceError(self.place, "the topic was deleted and made anew while it was read", hint="run it again.")
