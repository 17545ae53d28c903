"""A topic read by Spark: the offsets chosen as everywhere, the messages fetched by its connector, and parsed by the same code on the workers."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from lakekit.engines.arrow import conform
from lakekit.engines.spark import dialect
from lakekit.sources import kafka_client, kafka_formats, kafka_java, kafka_options, kafka_read, kafka_registry, on_spark
from lakekit.sources.protocol import Details, Increment, Target

if TYPE_CHECKING:
    from lakekit.engines.plan import Frame
    from lakekit.engines.spark.session import SparkWork
    from lakekit.engines.spark.tables import SparkEngine
    from lakekit.sources.kafka import KafkaTopic
    from lakekit.sources.kafka_formats import MakeDecoder
    from lakekit.sources.kafka_offsets import Plan
    from lakekit.sources.on_spark import OnWorker

# A timestamp as a number: what no calendar knows becomes NULL on the worker, as on the embedded engine.
_COLUMNS = ("value", "partition", "offset", "IF(timestampType < 0, NULL, unix_millis(timestamp)) AS millis", "key", "headers")


@contextmanager
def read(topic: KafkaTopic, engine: SparkEngine, position: Details | None, *, target: Target) -> Generator[Increment]:
    """The messages from the position's offsets up to the end that each partition has now, or a portion of them."""
    settings = kafka_options.Settings.of(topic.server.servers, topic.server.options)
    with engine.session() as session, kafka_client.connect(settings, topic.name, place=topic.place) as connection:
        plan = topic.plan(connection, position, in_portions=target.in_portions)
        options = {**kafka_java.options(settings, place=topic.place), **_range(topic.name, plan)}
        messages = on_spark.load(engine, "kafka", options, place=topic.place)
        rows = parsed(topic, session, messages, target)
        topic.require_same(connection, plan.topic_id)
        held = on_spark.held(session, rows, rejecting=True)
        yield Increment(
            rows.schema,
            iter(()),
            plan.to_details,
            rejecting=True,
            behind=plan.behind,
            held=held,
            lag=plan.lag,
            acknowledge=lambda: connection.acknowledge(plan.end),
        )


def parsed(topic: KafkaTopic, session: SparkWork, messages: Any, target: Target) -> Frame:
    """Messages of the connector as rows, held."""
    found = messages.selectExpr(*_COLUMNS)
    if topic.changes is None and topic.columns and topic.format == "json":
        make = kafka_formats.declared(topic)
    else:  # two passes: one to see what they hold, one to make rows of it
        found = on_spark.staged(session, found, kafka_read.raw(), place=topic.place).native
        make = _learned(topic, session, found, target)
    schema = dialect.readable_schema(kafka_read.schema_of(make()))
    dialect.refuse_time(schema, place=topic.place)
    return on_spark.staged(session, on_spark.on_workers(found, parser(topic, make), schema), schema, place=topic.place)


def _learned(topic: KafkaTopic, session: SparkWork, messages: Any, target: Target) -> MakeDecoder:
    if topic.changes is not None or topic.format == "json":
        return kafka_formats.learned(topic, _seen(topic, session, messages), target.schema)
    # The registry is asked here: its credentials stay in this process.
    one = pa.schema([("p", pa.binary())])
    framed = messages.selectExpr(f"substring(value, 1, {kafka_registry.HEADER}) AS p").distinct()
    prefixes = [row["p"] for batch in session.rows(on_spark.staged(session, framed, one, place=topic.place)) for row in batch.to_pylist()]
    with kafka_formats.asked(topic) as registry:
        newest = registry.newest(topic.subject_name)
        numbers = {kafka_registry.frame(prefix) for prefix in prefixes if prefix is not None} - {None}
        schemas = {number: registry.schema(number) for number in numbers if number is not None}
    return kafka_formats.registered(topic, newest, schemas.get, target.schema)


def _seen(topic: KafkaTopic, session: SparkWork, messages: Any) -> list[dict[str, Any]]:
    """What the messages hold."""
    one, looking = pa.schema([("d", pa.string())]), kafka_formats.looking(topic)

    def look(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        found = looking()
        for batch in batches:
            found.look(kafka_read.Messages.of(batch))
        yield pa.RecordBatch.from_pydict({"d": [json.dumps(found.to_plain())]}, schema=one)

    looked = on_spark.staged(session, on_spark.on_workers(messages, look, one), one, place=topic.place)
    return [json.loads(told["d"]) for batch in session.rows(looked) for told in batch.to_pylist()]


def _range(topic: str, plan: Plan) -> dict[str, str]:
    """What is read, and nothing else: an offset that is gone is an error."""
    # Spark wants partitions; of one that has nothing to read, it reads nothing.
    wanted = plan.open or dict(list(plan.start.items())[:1])
    return {
        "assign": json.dumps({topic: sorted(wanted)}),
        "startingOffsets": json.dumps({topic: {str(partition): at for partition, at in wanted.items()}}),
        "endingOffsets": json.dumps({topic: {str(partition): plan.end[partition] for partition in wanted}}),
        "includeHeaders": "true",
        "failOnDataLoss": "true",
    }


def parser(topic: KafkaTopic, make: MakeDecoder) -> OnWorker:
    """What makes rows of messages. It travels to the workers, so it holds no connection and no secret."""
    name, origin = topic.name, topic.origin

    def parse(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        decoder = make()
        for batch in batches:
            rows = kafka_read.as_rows(kafka_read.Messages.of(batch), decoder, topic=name, source=origin)
            yield conform(rows, dialect.readable_schema(rows.schema))

    return parse
