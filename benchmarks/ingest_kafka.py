"""A topic of JSON messages to Iceberg, against a bare loop of confluent-kafka's consumer that only counts the bytes. Needs Java.

python -m benchmarks.ingest_kafka                            1,000,000 messages, then 4,000,000, for what a message costs beyond the start
python -m benchmarks.ingest_kafka --sizes 100000 200000      quicker
"""

from __future__ import annotations

import argparse
import functools
import importlib
import json
import sys
import tempfile
from pathlib import Path

import attrs
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import lakekit as lk
from benchmarks import measure
from lakekit import sources
from tests.servers.kafka import KafkaServer

PARTITIONS = 4
COLUMNS = {
    "event_id": "bigint",
    "user_id": "bigint",
    "kind": "string",
    "price": "double",
    "quantity": "int",
    "in_stock": "boolean",
    "at": "timestamp",
    "page": "string",
    "device": "struct<os: string, version: int>",
    "tags": "array<string>",
    "referrer": "string",
}


@attrs.frozen
class Site:
    """What a step needs."""

    lake: lk.Lake
    servers: str
    topic: str
    messages: int


def produce(servers: str, topic: str, messages: int) -> int:
    """Make the topic and fill it. Gives the size of its messages."""
    admin = AdminClient({"bootstrap.servers": servers})
    admin.create_topics([NewTopic(topic, PARTITIONS, 1)])[topic].result(60)
    producer = Producer(
        {"bootstrap.servers": servers, "linger.ms": 50, "queue.buffering.max.messages": 1_000_000, "compression.type": "lz4"}
    )
    size = 0
    for number in range(messages):
        message = {
            "event_id": number,
            "user_id": number * 7919 % 200_000,
            "kind": ("view", "buy", "cart")[number % 3],
            "price": number % 100_000 / 100,
            "quantity": number % 7,
            "in_stock": number % 2 == 0,
            "at": 1_767_225_600_000 + number,
            "page": f"/products/{number % 5000}",
            "device": {"os": "android", "version": number % 14},
            "tags": ["a", "b"][: number % 3],
            "referrer": None if number % 4 else "https://example.com/",
        }
        body = json.dumps(message).encode()
        size += len(body)
        producer.produce(topic, body, key=str(number), partition=number % PARTITIONS)
        if number % 10_000 == 0:
            producer.poll(0)
    producer.flush(120)
    return size


def arrive(folder: str, servers: str, topic: str, messages: int) -> Site:
    """Connect, with everything imported that the steps import on first use."""
    for name in ("confluent_kafka.admin", "lakekit.engines.embedded", "msgspec", "sqlglot.dialects.duckdb"):
        importlib.import_module(name)
    return Site(lk.connect(Path(folder) / "lake", progress=False), servers, topic, messages)


def bare(site: Site) -> int:
    """All messages fetched, their bytes counted, nothing kept: with the options that lakekit sets, too."""
    options = {"bootstrap.servers": site.servers, "group.id": "bare", "enable.auto.commit": False, "fetch.queue.backoff.ms": 50}
    consumer = Consumer(options)
    consumer.assign([TopicPartition(site.topic, partition, 0) for partition in range(PARTITIONS)])
    count = size = 0
    while count < site.messages:
        for message in consumer.consume(10_000, 1.0):
            count += 1
            size += len(message.value())
    consumer.close()
    return count


def ingest(site: Site, *, inferred: bool) -> int:
    """All messages to bronze."""
    topic = sources.Kafka(site.servers).topic(site.topic, schema="infer" if inferred else COLUMNS)
    return lk.ingest(site.lake, topic, into=f"bronze.{site.topic}_{'inferred' if inferred else 'declared'}").inserted


STEPS = {
    "bare consumer": bare,
    "ingest, declared": functools.partial(ingest, inferred=False),
    "ingest, inferred": functools.partial(ingest, inferred=True),
}


def main() -> None:
    """Measure, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000_000, 4_000_000], help="how many messages, in each run")
    sizes = parser.parse_args().sizes
    print(measure.machine())
    runs: dict[str, dict[str, measure.Measurement]] = {}
    with KafkaServer() as server, tempfile.TemporaryDirectory() as folder:
        for messages in sizes:
            topic = f"events_{messages}"
            size = produce(server.servers, topic, messages)
            name = f"{messages:,} messages of {size / messages:.0f} bytes"
            runs[name] = {step: measure.fresh(run, arrive, folder, server.servers, topic, messages) for step, run in STEPS.items()}
            print(f"\n{measure.table(name, runs[name])}")
            floor = runs[name]["bare consumer"].cpu
            for step, found in runs[name].items():
                print(f"{step}: {found.rows / found.cpu:,.0f} messages for a second of CPU, {found.cpu / floor:.1f} × the bare consumer")
    if len(runs) > 1:
        first, *_, last = runs.values()
        print("\nbeyond the start, which is the same for any size:")
        costs = {step: (last[step].cpu - first[step].cpu) / (last[step].rows - first[step].rows) for step in STEPS}
        for step, cost in costs.items():
            print(f"{step}: {1 / cost:,.0f} messages for a second of CPU, {cost / costs['bare consumer']:.1f} × the bare consumer")


if __name__ == "__main__":
    main()
