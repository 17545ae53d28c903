"""Changes of Debezium, read by Spark: the same log, tables and counts as on the embedded engine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import lakekit as lk
from lakekit import sources
from tests.contract.captures import captured
from tests.integration.sources.kafka_topics import Topic
from tests.integration.sources.test_debezium import produce
from tests.integration.spark.both import Both, both, classic_first, connect_first, differences, rows

if TYPE_CHECKING:
    from tests.servers.kafka import KafkaServer
    from tests.servers.spark import Server

SCHEMA = {"balance": "decimal(12, 2)", "birth": "date", "local_ts": "timestamp_ntz", "last_updated_at": "timestamp", "payload": "binary"}


@pytest.fixture
def lakes(server: Server, kind: str, tmp_path: Path) -> Both:
    return both(server, kind, tmp_path / "lake")


@connect_first
@pytest.mark.parametrize("name", ["pgplain", "pgschema", pytest.param("pgflat", marks=pytest.mark.slow)])
def test_the_engines_make_the_same_log_and_the_same_table(
    kafka: KafkaServer, lakes: Both, request: pytest.FixtureRequest, name: str
) -> None:
    capture = next(found for found in captured(request.config.getoption("--fixtures")) if found.name == name)
    records = capture.records()[capture.topic("users")]
    topic = Topic(kafka.servers, partitions=3)
    produce(topic, records)
    schema = {"wake": "string"} if capture.has_schemas else SCHEMA  # Spark has no TIME
    source = sources.Kafka(kafka.servers).debezium(topic.name, schema=schema, **capture.modes)
    for lake, engine in ((lakes.spark, "on_spark"), (lakes.embedded, "embedded")):
        commit = lk.ingest(lake, source, into=f"bronze.{engine}")
        assert (commit.read, commit.inserted, commit.skipped, commit.rejected) == (31, 28, 3, 0)
        lk.merge(lk.read_new(lake, f"bronze.{engine}", into=f"silver.{engine}"), key="id")
    for layer, order in (("bronze", ("_kafka_partition", "_kafka_offset")), ("silver", ("id",))):
        found, wanted = (rows(lakes.spark, f"{layer}.{engine}", *order) for engine in ("on_spark", "embedded"))
        assert differences(found, wanted) == []
    assert lakes.position("bronze.on_spark", source) == lakes.position("bronze.embedded", source)


@classic_first
def test_a_stream_of_changes_is_followed_by_spark(kafka: KafkaServer, lakes: Both, request: pytest.FixtureRequest) -> None:
    capture = next(found for found in captured(request.config.getoption("--fixtures")) if found.name == "pgplain")
    records = capture.records()[capture.topic("users")]
    topic = Topic(kafka.servers, partitions=3)
    produce(topic, records)
    running = lk.stream(lakes.spark, sources.Kafka(kafka.servers).debezium(topic.name), into="bronze.users", every=None)
    running.wait()
    assert sum(commit.inserted for commit in running.commits) == 28
