"""One connection to a topic: what the brokers say about it, and a consumer that is told its offsets. It joins no group and commits nothing."""

from __future__ import annotations

import logging
import math
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Final, TypeVar

from lakekit import logs
from lakekit.errors import LakekitError
from lakekit.sources import kafka_errors
from lakekit.sources.kafka_offsets import Offsets
from lakekit.sources.kafka_options import Settings

logger = logging.getLogger(__name__)

T = TypeVar("T")
_SLICE: Final = 1.0  # seconds after which librdkafka is asked what keeps it from answering


@contextmanager
def connect(settings: Settings, topic: str, *, place: str) -> Generator[Connection]:
    """Open a connection.

    Raises:
        ConfigError: librdkafka does not take an option.
        SourceError: No broker can be reached.
        SourceConfigError: The brokers refuse the user, or there is no such topic.
    """
    try:
        from confluent_kafka import Consumer, KafkaException
        from confluent_kafka.admin import AdminClient
    except ImportError:
        raise kafka_errors.missing_extra("confluent-kafka") from None
    reported: deque[Any] = deque(maxlen=50)
    log: Any = _Log(settings)
    try:
        consumer = Consumer(settings.consumer(reported.append), logger=log)
        admin = AdminClient(settings.admin(reported.append), logger=log)
    except (KafkaException, ValueError, TypeError) as error:
        raise kafka_errors.options(str(error)) from None
    try:
        yield Connection(consumer, admin, reported, settings, topic, place)
    finally:
        consumer.close()


class _Log:
    """Takes librdkafka's log lines. Those that quote an option may hold a secret."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def log(self, level: int, text: str, *arguments: object) -> None:
        line = self._settings.without_secrets(text % arguments)
        if line:
            logger.log(level, "%s", line, extra=logs.fields("librdkafka"))


class Connection:
    """A consumer, and a client that asks about the topic."""

    def __init__(self, consumer: Any, admin: Any, reported: deque[Any], settings: Settings, topic: str, place: str) -> None:
        self._consumer = consumer
        self._admin = admin
        self._reported = reported
        self._settings = settings
        self._topic = topic
        self._place = place
        metadata = self._metadata()
        found = metadata.topics[topic]
        if found.error is not None:
            raise self.failure(found.error)
        self.partitions: list[int] = sorted(found.partitions)
        # A broker without a controller can't be asked about topics: librdkafka would wait for one.
        self._has_controller = metadata.controller_id in metadata.brokers

    @property
    def timeout(self) -> float:
        """How many seconds the brokers may take to answer."""
        return self._settings.timeout

    def failure(self, error: Any) -> LakekitError:
        """A KafkaError as lakekit's."""
        return kafka_errors.of(error, self._settings, place=self._place)

    def _metadata(self) -> Any:
        from confluent_kafka import KafkaException

        deadline = time.monotonic() + self.timeout
        while True:
            try:
                return self._consumer.list_topics(self._topic, timeout=_SLICE)
            except KafkaException as error:
                self._consumer.poll(0)  # lets librdkafka report
                if time.monotonic() > deadline or any(found.name() in {"_ALL_BROKERS_DOWN", "_AUTHENTICATION"} for found in self._reported):
                    raise kafka_errors.unreachable([*self._reported, error.args[0]], self._settings, place=self._place) from None

    def _answer(self, ask: Callable[[], T]) -> T:
        from confluent_kafka import KafkaException

        try:
            return ask()
        except KafkaException as error:
            raise self.failure(error.args[0]) from None

    def topic_id(self) -> str | None:
        """The topic's id. None: the brokers don't tell."""
        from confluent_kafka import TopicCollection

        if not self._has_controller:
            return None
        asked = self._admin.describe_topics(TopicCollection([self._topic]), request_timeout=self.timeout)[self._topic]
        found = self._answer(asked.result).topic_id
        # Brokers older than 2.8 answer with zeros.
        return str(found) if found is not None and (found.get_most_significant_bits() or found.get_least_significant_bits()) else None

    def offsets(self) -> Offsets:
        """What the brokers hold of the topic now."""
        topic_id = self.topic_id()
        asked = [
            self._ask(self.partitions, "earliest"),
            self._ask(self.partitions, "latest", committed=self._settings.committed_only),
            self._ask(self.partitions, "latest"),
        ]
        first, end, log_end = (answer() for answer in asked)
        return Offsets(topic_id, first, end, log_end)

    def log_end(self, partitions: Iterable[int]) -> Mapping[int, int]:
        """The offset after the last message of all, by partition."""
        return self._ask(partitions, "latest")()

    def offsets_at(self, instant: datetime, otherwise: Mapping[int, int]) -> dict[int, int]:
        """The first offset whose message is not older than an instant, by partition; where there is none, the other one."""
        found = self._ask(self.partitions, math.ceil(instant.timestamp() * 1000))()
        return {partition: at if at >= 0 else otherwise[partition] for partition, at in found.items()}

    def _ask(self, partitions: Iterable[int], at: str | int, *, committed: bool = False) -> Callable[[], dict[int, int]]:
        """Ask for one offset of each partition: the earliest, the latest, or the first from milliseconds since 1970 on."""
        from confluent_kafka import IsolationLevel, TopicPartition
        from confluent_kafka.admin import OffsetSpec  # pyright: ignore[reportPrivateImportUsage] -- documented to be there

        specs = {"earliest": OffsetSpec.earliest, "latest": OffsetSpec.latest}
        what = specs[at]() if isinstance(at, str) else OffsetSpec.for_timestamp(at)
        isolation = IsolationLevel.READ_COMMITTED if committed else IsolationLevel.READ_UNCOMMITTED
        wanted = {TopicPartition(self._topic, partition): what for partition in partitions}
        asked = self._admin.list_offsets(wanted, isolation_level=isolation, request_timeout=self.timeout)
        return lambda: {partition.partition: self._answer(answer.result).offset for partition, answer in asked.items()}

    def acknowledge(self, offsets: Mapping[int, int]) -> None:
        """Tell the user's consumer group how far the topic was read, for tools that show lag. Failure is only logged."""
        group = self._settings.acknowledged_group
        if group is None:
            return
        try:
            said = self._alter_group(group, offsets)
        except Exception as error:  # noqa: BLE001 -- the rows are committed: whatever goes wrong here must not undo that
            said = type(error).__name__
        if said:
            logger.warning(
                "%s: the offsets were not committed to the consumer group %r (%s). Nothing is lost.",
                self._place,
                group,
                said,
                extra=logs.fields("offsets_not_committed", source=self._place),
            )

    def _alter_group(self, group: str, offsets: Mapping[int, int]) -> str:
        """Set a group's offsets; why that was refused."""
        from confluent_kafka import ConsumerGroupTopicPartitions, KafkaException, TopicPartition

        reached = [TopicPartition(self._topic, partition, at) for partition, at in offsets.items()]
        wanted = [ConsumerGroupTopicPartitions(group, reached)]
        try:
            answer = self._admin.alter_consumer_group_offsets(wanted, request_timeout=self.timeout)[group].result()
        except KafkaException as error:
            return str(error.args[0].name())
        return next((str(partition.error.name()) for partition in answer.topic_partitions if partition.error is not None), "")

    def assign(self, start: Mapping[int, int]) -> None:
        """Read these partitions, each from its offset on."""
        from confluent_kafka import TopicPartition

        self._answer(lambda: self._consumer.assign([TopicPartition(self._topic, partition, at) for partition, at in start.items()]))

    def pause(self, partition: int) -> None:
        """Read no more of a partition."""
        from confluent_kafka import TopicPartition

        self._answer(lambda: self._consumer.pause([TopicPartition(self._topic, partition)]))

    def consume(self, at_most: int, *, seconds: float) -> list[Any]:
        """The next messages and events; fewer, or none, when the seconds are over."""
        return self._answer(lambda: self._consumer.consume(at_most, seconds))
