"""A topic read by Spark: the offsets chosen as everywhere, the messages fetched by its connector, and parsed by the same code on the workers."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from lakekit.engines.spark import dialect
from lakekit.sources import kafka_client, kafka_java, kafka_options, kafka_read, on_spark
from lakekit.sources.kafka_values import Clock
from lakekit.sources.protocol import Details, Increment

if TYPE_CHECKING:
    import pyarrow as pa

    from lakekit.engines.plan import Frame
    from lakekit.engines.spark.session import SparkWork
    from lakekit.engines.spark.tables import SparkEngine
    from lakekit.sources.kafka import KafkaTopic
    from lakekit.sources.kafka_offsets import Plan
    from lakekit.sources.on_spark import OnWorker

# A timestamp as a number: what no calendar knows becomes NULL on the worker, as on the embedded engine.
_COLUMNS = ("value", "partition", "offset", "IF(timestampType < 0, NULL, unix_millis(timestamp)) AS millis", "key", "headers")


@contextmanager
def read(topic: KafkaTopic, engine: SparkEngine, position: Details | None, *, in_portions: bool) -> Generator[Increment]:
    """The messages from the position's offsets up to the end that each partition has now, or a portion of them."""
    settings = kafka_options.Settings.of(topic.server.servers, topic.server.options)
    schema = schema_of(topic)
    with engine.session() as session:
        with kafka_client.connect(settings, topic.name, place=topic.place) as connection:
            plan = topic.plan(connection, position, in_portions=in_portions)
            options = {**kafka_java.options(settings, place=topic.place), **_range(topic.name, plan)}
            messages = on_spark.load(engine, "kafka", options, place=topic.place)
            rows = parsed(topic, session, messages, schema)
            topic.require_same(connection, plan.topic_id)
        held = on_spark.held(session, rows, rejecting=True)
        yield Increment(schema, iter(()), plan.to_details, rejecting=True, behind=plan.behind, held=held)


def schema_of(topic: KafkaTopic) -> pa.Schema:
    """The columns of a topic's rows on Spark."""
    return dialect.readable_schema(kafka_read.schema_of(topic.declared()))


def parsed(topic: KafkaTopic, session: SparkWork, messages: Any, schema: pa.Schema) -> Frame:
    """Messages of the connector as rows, held."""
    rows = on_spark.on_workers(messages.selectExpr(*_COLUMNS), parser(topic), schema)
    return on_spark.staged(session, rows, schema, place=topic.place)


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


def parser(topic: KafkaTopic) -> OnWorker:
    """What makes rows of messages. It travels to the workers, so it holds no connection and no secret."""
    declared, clock, name, origin = topic.declared(), Clock(topic.epoch, topic.time_zone), topic.name, topic.origin

    def parse(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        from lakekit.engines.arrow import conform
        from lakekit.sources.kafka import decoder_of

        decoder, schema = decoder_of(declared, clock), kafka_read.schema_of(declared)
        for batch in batches:
            rows = kafka_read.as_rows(_messages(batch), decoder, schema=schema, topic=name, source=origin)
            yield conform(rows, dialect.readable_schema(schema))

    return parse


def _messages(batch: pa.RecordBatch) -> kafka_read.Messages:
    columns: dict[str, list[Any]] = batch.to_pydict()
    return kafka_read.Messages(
        values=columns["value"],
        partitions=columns["partition"],
        offsets=columns["offset"],
        millis=[None if millis is None else kafka_read.in_calendar(millis) for millis in columns["millis"]],
        keys=columns["key"],
        headers=[headers or None for headers in columns["headers"]],
    )
