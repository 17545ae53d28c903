"""Kafka for the shop: a broker that runs somewhere, or a private one from nothing but pip, the mock that librdkafka brings for its own tests.

    with MockKafka() as bus:
        bus.send("events", {"event_id": 1}, key="1")

The mock speaks Kafka's protocol on a port of the loopback address, to librdkafka's clients, and keeps its messages in memory. It ends with this
process. It has no topic ids: a topic made anew is told by its offsets. Kafka's Java client, and so Spark, waits for answers that it doesn't give.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from confluent_kafka import Producer

if TYPE_CHECKING:
    from typing import Self

TIMEOUT = 30.0
PARTITIONS = 4  # as many as the mock makes


class KafkaBus:
    """A broker.

    Attributes:
        name: What it is, for people.
        servers: Its address: ``127.0.0.1:…``.
    """

    name = "a real Kafka"

    def __init__(self, servers: str) -> None:
        """Connect."""
        self.servers = servers
        self._producer = Producer({"bootstrap.servers": servers}, logger=logging.getLogger(__name__))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def create(self, topic: str) -> None:
        """Make a topic."""
        from confluent_kafka.admin import AdminClient, NewTopic

        admin = AdminClient({"bootstrap.servers": self.servers})  # its answers come as long as it is held
        admin.create_topics([NewTopic(topic, PARTITIONS, 1)])[topic].result(TIMEOUT)

    def send(self, topic: str, *values: Mapping[str, Any] | bytes | None, key: str | None = None) -> None:
        """Send messages: objects as JSON, bytes as they are, None as a tombstone."""
        for value in values:
            self._producer.produce(topic, json.dumps(value) if isinstance(value, Mapping) else value, key=key)
        left = self._producer.flush(TIMEOUT)
        assert left == 0, f"{left} messages could not be sent"

    def close(self) -> None:
        """End the connection."""
        del self._producer


class MockKafka(KafkaBus):
    """One broker in memory. Its messages are gone when it is closed."""

    name = "Kafka's protocol, by librdkafka's mock broker"

    def __init__(self) -> None:
        """Start the broker."""
        settings = {"test.mock.num.brokers": 1, "bootstrap.servers": "replaced by the mock's"}
        self._producer = Producer(settings, logger=logging.getLogger(__name__))
        brokers = self._producer.list_topics(timeout=TIMEOUT).brokers.values()
        self.servers = ",".join(f"{broker.host}:{broker.port}" for broker in brokers)

    def create(self, topic: str) -> None:
        """Make a topic, if there is none."""
        self._producer.list_topics(topic, timeout=TIMEOUT)
