"""A session without a connector: the error has the line to add."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tests.integration.processes import Running
from tests.integration.sources.kafka_topics import Topic
from tests.integration.sources.mongo_reading import Market
from tests.integration.sources.reading import execute
from tests.integration.spark import streams

if TYPE_CHECKING:
    from tests.servers.kafka import KafkaServer


def test_a_missing_jar_is_an_error_with_the_line_to_add(
    database: str, market: Market, mongo: str, kafka: KafkaServer, tmp_path: Path
) -> None:
    execute(database, "CREATE TABLE users (id int PRIMARY KEY)")
    market["orders"].insert_one({"_id": 1})
    topic = Topic(kafka.servers)
    process = Running(streams.refusals_without_connectors, tmp_path / "lake", database, mongo, market.name, kafka.servers, topic.name)
    found = process.result()
    lines = [text.rpartition('"spark.jars.packages" = ')[2] for text in found]
    assert lines == [
        '"org.postgresql:postgresql:42.7.10".',
        '"org.mongodb.spark:mongo-spark-connector_2.13:10.5.0".',
        '"org.apache.spark:spark-sql-kafka-0-10_2.13:4.1.1".',
    ]
    assert not any("Traceback" in text or database in text for text in found)
