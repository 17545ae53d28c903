"""Captured changes of Debezium, produced again to a real broker: read in portions, by a stream, and after a crash, they make the same log."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

import lakekit as lk
from lakekit import sources
from tests.contract.captures import Capture, Record, Replayed, captured
from tests.integration.sources.kafka_topics import Topic
from tests.servers.kafka import KafkaServer

INTO = "bronze.users"


@pytest.fixture
def capture(request: pytest.FixtureRequest) -> Capture:
    """Envelopes without schemas, of a topic with three partitions."""
    return next(found for found in captured(request.config.getoption("--fixtures")) if found.name == "pgplain")


def produce(topic: Topic, records: Iterable[Record]) -> None:
    for record in records:
        raw: Any = record["value"]
        headers = [(name, value.encode()) for name, value in record["headers"]]
        topic.send(None if raw is None else raw.encode(), partition=record["partition"], key=record["key"], headers=headers)


def rows(lake: lk.Lake, table: str) -> list[dict[str, Any]]:
    left_out = ("_ingestion_timestamp", "_write_id", "_kafka_topic", "_kafka_timestamp", "_source")
    found = lk.read(lake, table).to_arrow().drop_columns(list(left_out)).to_pylist()
    return sorted(found, key=lambda row: (row["_kafka_partition"], row["_kafka_offset"]))


def test_a_topic_read_in_portions_makes_the_log_that_its_messages_make(kafka: KafkaServer, capture: Capture, tmp_path: Path) -> None:
    records = capture.records()[capture.topic("users")]
    topic = Topic(kafka.servers, partitions=3)
    produce(topic, records)
    lake, schema = lk.connect(tmp_path / "lake"), {"balance": "decimal(12, 2)", "local_ts": "timestamp_ntz"}
    source = sources.Kafka(kafka.servers).debezium(topic.name, schema=schema, max_messages=7)
    commit = lk.ingest(lake, source, into=INTO)
    assert (commit.read, commit.inserted, commit.skipped, commit.rejected) == (31, 28, 3, 0)
    assert lk.ingest(lake, source, into=INTO).read == 0
    lk.ingest(lake, Replayed(capture.debezium("t", schema=schema), records, len(records)), into="bronze.replayed")
    assert rows(lake, INTO) == rows(lake, "bronze.replayed")


def test_a_stream_follows_changes_and_a_dry_run_only_counts(kafka: KafkaServer, capture: Capture, tmp_path: Path) -> None:
    records = capture.records()[capture.topic("users")]
    topic = Topic(kafka.servers, partitions=3)
    lake, source = lk.connect(tmp_path / "lake"), sources.Debezium(sources.Kafka(kafka.servers).topic(topic.name))
    for part in (records[:9], records[9:]):
        produce(topic, part)
        found = lk.ingest(lake, source, into=INTO, dry_run=True)
        tombstones = sum(record["value"] is None for record in part)
        assert (found.inserted, found.skipped, found.committed) == (len(part) - tombstones, tombstones, False)
        running = lk.stream(lake, source, into=INTO, every=None)
        running.wait()
        assert sum(commit.skipped for commit in running.commits) == tombstones
    lk.merge(lk.read_new(lake, INTO, into="silver.users"), key="id")
    assert sorted(row["id"] for row in lk.read(lake, "silver.users").to_arrow().to_pylist()) == [1, 2, 3, 6, 7, 9, 10, 11, 12, 50]


def test_what_can_not_be_read_is_kept_beside_the_log(kafka: KafkaServer, tmp_path: Path) -> None:
    topic = Topic(kafka.servers)
    topic.send(b"{", b'{"op":"x","source":{"connector":"postgresql"},"before":null,"after":null}', None, b'{"ts_ms":1}')
    lake = lk.connect(tmp_path / "lake")
    commit = lk.ingest(lake, sources.Kafka(kafka.servers).debezium(topic.name), into=INTO)
    assert (commit.read, commit.rejected, commit.skipped, commit.inserted) == (4, 2, 2, 0)
    rejects = lk.read(lake, f"{INTO}__rejects").to_arrow().to_pylist()
    assert sorted((row["_reason"], row["_payload"][:1]) for row in rejects) == [("not_json", b"{"), ("unknown_operation", b"{")]
    assert all(row["_rule"] == "debezium" for row in rejects)
