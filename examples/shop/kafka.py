"""A private Kafka, from nothing but pip: the mock broker that librdkafka brings for its own tests.

    with MockKafka() as bus:
        bus.send("events", {"event_id": 1}, key="1")

It speaks Kafka's protocol on a port of the loopback address, to any client, and keeps its messages in memory. It ends with this process.
It has no topic ids: a topic made anew is told by its offsets.
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


class MockKafka:
    """One broker in memory.

    Attributes:
        servers: Its address: ``127.0.0.1:…``.
    """

    def __init__(self) -> None:
        """Start the broker."""
        settings = {"test.mock.num.brokers": 1, "bootstrap.servers": "replaced by the mock's"}
        self._producer = Producer(settings, logger=logging.getLogger(__name__))
        brokers = self._producer.list_topics(timeout=TIMEOUT).brokers.values()
        self.servers = ",".join(f"{broker.host}:{broker.port}" for broker in brokers)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def create(self, topic: str) -> None:
        """Make a topic of four partitions, if there is none."""
        self._producer.list_topics(topic, timeout=TIMEOUT)

    def send(self, topic: str, *values: Mapping[str, Any] | bytes | None, key: str | None = None) -> None:
        """Send messages: objects as JSON, bytes as they are, None as a tombstone."""
        for value in values:
            self._producer.produce(topic, json.dumps(value) if isinstance(value, Mapping) else value, key=key)
        left = self._producer.flush(TIMEOUT)
        assert left == 0, f"{left} messages could not be sent"

    def close(self) -> None:
        """End the broker. Its messages are gone."""
        del self._producer
