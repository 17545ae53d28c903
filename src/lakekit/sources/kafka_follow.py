"""A topic followed by a streaming query of Spark: it says which messages are new, the table's bookmark says which of them were taken.

The query begins where the bookmark ends, and keeps its checkpoint in a temporary folder, since nothing in it is needed again. Before a
micro-batch is taken, the bookmark is compared with what this query left there: whoever moved it wins, and the query has to begin anew.
"""

from __future__ import annotations

import json
import logging
import shutil
import tempfile
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import attrs

from lakekit import logs
from lakekit.engines.plan import Query
from lakekit.engines.spark import failures
from lakekit.engines.spark.tables import SparkEngine
from lakekit.errors import SourceError
from lakekit.sources import kafka_client, kafka_java, kafka_options, kafka_spark, on_spark
from lakekit.sources.protocol import Details, Increment, KeyRead, Source, Target

if TYPE_CHECKING:
    from lakekit.sources.kafka import KafkaTopic

logger = logging.getLogger(__name__)


class MovedError(SourceError):
    """Somebody else moved the table's bookmark while a query followed the topic."""


@attrs.define(eq=False)
class Reached:
    """How far a query has come: what the bookmark must hold, and the offset from which each partition goes on."""

    position: Details
    offsets: dict[int, int]


@attrs.frozen(eq=False)
class MicroBatch:
    """The messages of one micro-batch, as a source of their own."""

    topic: KafkaTopic
    messages: Any
    reached: Reached

    @property
    def upstream(self) -> str:
        """The topic's."""
        return self.topic.upstream

    def primary_key(self) -> tuple[str, ...]:
        """None."""
        return ()

    def keys(self, *, scope: str | None) -> AbstractContextManager[KeyRead]:
        """Refused, as by the topic."""
        return self.topic.keys(scope=scope)

    def open(self, position: Details | None, *, target: Target) -> AbstractContextManager[Increment]:
        """Not called: its messages are Spark's."""
        return self.topic.open(position, target=target)

    @contextmanager
    def open_on_spark(self, engine: SparkEngine, position: Details | None, *, target: Target) -> Generator[Increment]:
        """The messages as rows.

        Raises:
            MovedError: The bookmark is not where this query left it.
        """
        topic = self.topic
        if position != self.reached.position:
            raise MovedError(topic.place, "another run has moved the bookmark", hint="the query begins anew from there.")
        with engine.session() as session:
            rows = kafka_spark.parsed(topic, session, self.messages, target)
            ends = "SELECT _kafka_partition AS p, max(_kafka_offset) + 1 AS o FROM rows GROUP BY _kafka_partition"
            found = {row["p"]: row["o"] for batch in session.rows(Query(ends, {"rows": rows})) for row in batch.to_pylist()}
            offsets = {**self.reached.offsets, **found}
            details: Details = {
                "topic_id": self.reached.position["topic_id"],
                "offsets": {str(partition): at for partition, at in sorted(offsets.items())},
            }
            held = on_spark.held(session, rows, rejecting=True)
            with _connected(topic) as connection:
                topic.require_same(connection, cast("str | None", self.reached.position["topic_id"]))
                lag = sum(max(0, end - offsets.get(partition, 0)) for partition, end in connection.offsets().end.items())
                yield Increment(
                    rows.schema,
                    iter(()),
                    lambda: details,
                    rejecting=True,
                    held=held,
                    lag=lag,
                    acknowledge=lambda: connection.acknowledge(offsets),
                )
        self.reached.position, self.reached.offsets = details, offsets


def _connected(topic: KafkaTopic) -> AbstractContextManager[kafka_client.Connection]:
    settings = kafka_options.Settings.of(topic.server.servers, topic.server.options)
    return kafka_client.connect(settings, topic.name, place=topic.place)


class Followed:
    """A streaming query, and the folder of its checkpoint."""

    def __init__(self, query: Any, folder: Path) -> None:
        self._query, self._folder = query, folder

    def wait(self, seconds: float) -> bool:
        """Wait so long; whether it has ended."""
        try:
            ended = bool(self._query.awaitTermination(seconds))
        except failures.kinds() as error:
            kind = failures.java_class(error)
            told = logs.fields("query_ended", error=kind)
            logger.warning("A streaming query has ended (%s): the next read by explicit offsets tells why.", kind, extra=told)
            ended = True
        if ended:
            shutil.rmtree(self._folder, ignore_errors=True)
        return ended

    def stop(self) -> None:
        """End it now."""
        self._query.stop()
        shutil.rmtree(self._folder, ignore_errors=True)


def follow(
    topic: KafkaTopic, engine: SparkEngine, position: Details, *, seconds: float, each: Callable[[SparkEngine, Source], None]
) -> Followed:
    """Start the query."""
    settings = kafka_options.Settings.of(topic.server.servers, topic.server.options)
    with _connected(topic) as connection:
        plan = topic.plan(connection, position, in_portions=False)
    reached = Reached(position, dict(plan.start))

    def take(messages: Any, _number: int) -> None:
        # The query runs in a session of its own, a clone of the user's.
        each(
            engine.beside(messages.sparkSession),
            MicroBatch(topic, messages, reached),
        )

    options = {
        **kafka_java.options(settings, place=topic.place),
        "subscribe": topic.name,
        "startingOffsets": json.dumps({topic.name: {str(partition): at for partition, at in plan.start.items()}}),
        "includeHeaders": "true",
        "failOnDataLoss": "true",
    }
    folder = Path(tempfile.mkdtemp(prefix="lakekit-stream-"))
    messages = engine.spark.readStream.format("kafka").options(**options).load()
    writer = messages.writeStream.foreachBatch(take).option("checkpointLocation", folder.as_uri())
    return Followed(writer.trigger(processingTime=f"{max(1, round(seconds * 1000))} milliseconds").start(), folder)
