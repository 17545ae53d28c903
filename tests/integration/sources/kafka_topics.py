"""What the tests of Kafka share: topics that come and go, and what other processes do with them."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
from confluent_kafka import OFFSET_END, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewPartitions, NewTopic

import lakekit as lk
from lakekit import sources
from lakekit.sources.kafka import KafkaTopic

EVENTS = {"id": "bigint", "kind": "string", "price": "decimal(10,2)", "at": "timestamp"}
INTO = "bronze.events"
PATIENCE = 60.0
_numbers = itertools.count(1)


@attrs.define(eq=False)
class Topic:
    """A topic on a broker."""

    servers: str
    name: str = attrs.field(factory=lambda: f"events-{next(_numbers)}-{time.monotonic_ns()}")
    partitions: int = 1
    config: Mapping[str, str] = attrs.field(factory=dict)
    admin: Any = attrs.field(init=False)
    _producer: Any = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.admin = AdminClient({"bootstrap.servers": self.servers})
        self._producer = Producer({"bootstrap.servers": self.servers, "linger.ms": 0})
        self.create()

    def create(self) -> None:
        self.admin.create_topics([NewTopic(self.name, self.partitions, 1, config={"retention.ms": "-1", **self.config})])[self.name].result(
            PATIENCE
        )

    def recreate(self) -> None:
        self.admin.delete_topics([self.name])[self.name].result(PATIENCE)
        deadline = time.monotonic() + PATIENCE
        while self.name in self.admin.list_topics(timeout=PATIENCE).topics:
            assert time.monotonic() < deadline
        self.create()
        self._producer = Producer({"bootstrap.servers": self.servers, "linger.ms": 0})

    def grow(self, partitions: int) -> None:
        self.admin.create_partitions([NewPartitions(self.name, partitions)])[self.name].result(PATIENCE)
        deadline = time.monotonic() + PATIENCE
        while len(self._producer.list_topics(self.name, timeout=PATIENCE).topics[self.name].partitions) < partitions:
            assert time.monotonic() < deadline

    def delete_before(self, partition: int, offset: int = OFFSET_END) -> None:
        wanted = TopicPartition(self.name, partition, offset)
        for answer in self.admin.delete_records([wanted]).values():
            answer.result(PATIENCE)

    def send(self, *values: bytes | Mapping[str, Any] | None, partition: int = 0, **more: Any) -> None:
        for value in values:
            self._producer.produce(self.name, json.dumps(value) if isinstance(value, Mapping) else value, partition=partition, **more)
            self._producer.poll(0)
        assert self._producer.flush(PATIENCE) == 0

    def transaction(self) -> Producer:
        """A producer with an open transaction."""
        producer = Producer({"bootstrap.servers": self.servers, "transactional.id": f"tests-{next(_numbers)}-{time.monotonic_ns()}"})
        producer.init_transactions(PATIENCE)
        producer.begin_transaction()
        return producer

    def source(self, **options: Any) -> KafkaTopic:
        more = options.pop("options", None)
        return sources.Kafka(self.servers, options=more).topic(self.name, **{"schema": EVENTS, **options})


def events(first: int, last: int) -> list[dict[str, Any]]:
    return [{"id": number, "kind": "view", "price": "1.50", "at": "2026-01-01T10:00:00Z"} for number in range(first, last + 1)]


def rows(lake: lk.Lake, table: str = INTO) -> list[dict[str, Any]]:
    return lk.read(lake, table).to_arrow().to_pylist() if table in lake.tables() else []


def ids(lake: lk.Lake) -> list[int]:
    return sorted(row["id"] for row in rows(lake))


def positions(lake: lk.Lake) -> list[tuple[int, int]]:
    return sorted((row["_kafka_partition"], row["_kafka_offset"]) for row in rows(lake))


def everything(topic: Topic, counts: Sequence[int]) -> list[tuple[int, int]]:
    return [(partition, offset) for partition, count in enumerate(counts) for offset in range(count)]


# What other processes do


def stream_for_ever(folder: Path, servers: str, name: str, max_messages: int) -> int:
    """Take small micro-batches until SIGTERM comes. Returns how many commits there were."""
    topic = sources.Kafka(servers).topic(name, schema=EVENTS, max_messages=max_messages)
    ready = folder / "ready"
    running = lk.stream(lk.connect(folder), topic, into=INTO, every="0.2 seconds", then=lambda _: ready.touch())
    running.wait()
    return len(running.commits)


def ingest_once(folder: Path, servers: str, name: str) -> tuple[str, int]:
    """Ingest. Returns how it went, and how many rows it added."""
    topic = sources.Kafka(servers).topic(name, schema=EVENTS)
    try:
        return "done", lk.ingest(lk.connect(folder), topic, into=INTO).inserted
    except lk.errors.CommitConflictError:
        return "conflict", 0
