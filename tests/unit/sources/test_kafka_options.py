"""Topics of Kafka as values: checked when they are made, without a broker, and silent about secrets."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import attrs
import pytest

from lakekit import sources
from lakekit.errors import ConfigError, SchemaError
from lakekit.sources.kafka_options import Settings
from lakekit.sources.protocol import Source

SCHEMA = {"id": "bigint"}
SECRET = "s3cret"
PLAIN = {"sasl.username": "reader", "sasl.password": SECRET}


def options_from_elsewhere() -> Mapping[str, Any]:
    return PLAIN


def test_a_topic_is_a_source_that_hashes_and_pickles() -> None:
    topic = sources.Kafka("broker:9092", options=options_from_elsewhere).topic("events", schema=SCHEMA)
    assert isinstance(topic, Source)
    assert {topic: 1}[pickle.loads(pickle.dumps(topic))] == 1
    assert pickle.loads(pickle.dumps(topic)).server.options is options_from_elsewhere
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        topic.name = "other"  # type: ignore[misc]
    assert (topic.upstream, topic.origin) == ("kafka:kafka/events", "kafka.events")
    assert sources.Kafka("broker:9092", name="eu").topic("events", schema=SCHEMA).upstream == "kafka:eu/events"


def test_no_text_of_a_source_holds_a_secret() -> None:
    bus = sources.Kafka("broker:9092", options=PLAIN)
    topic = bus.topic("events", schema=SCHEMA)
    texts = f"{bus} {bus!r} {topic} {topic!r} {topic.place} {topic.origin} {topic.upstream} {Settings.of('broker', PLAIN)!r}"
    assert SECRET not in texts


def test_a_secret_is_not_pickled() -> None:
    topic = sources.Kafka("broker:9092", options=PLAIN).topic("events", schema=SCHEMA)
    with pytest.raises(ConfigError, match="function") as caught:
        pickle.dumps(topic)
    assert SECRET not in str(caught.value)
    harmless = sources.Kafka("broker:9092", options={"client.id": "shop"})
    assert pickle.loads(pickle.dumps(harmless)).options == {"client.id": "shop"}


@pytest.mark.parametrize("name", ["bootstrap.servers", "enable.auto.commit", "auto.offset.reset", "enable.partition.eof"])
def test_what_lakekit_sets_itself_can_not_be_set(name: str) -> None:
    with pytest.raises(ConfigError, match=name):
        sources.Kafka("broker:9092", options={name: SECRET})
    with pytest.raises(ConfigError, match=name) as caught:
        Settings.of("broker:9092", lambda: {name: SECRET})
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("given", [7, SECRET, [SECRET], {1: SECRET}])
def test_what_are_no_options_is_refused_and_not_quoted(given: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        sources.Kafka("broker:9092", options=given)
    assert SECRET not in f"{caught.value} {caught.value.__context__!r}"
    with pytest.raises(ConfigError):
        Settings.of("broker:9092", lambda: given)


def test_a_client_that_only_asks_gets_no_options_of_consumers() -> None:
    settings = Settings.of("broker:9092", {**PLAIN, "fetch.min.bytes": 10, "ssl.ca.location": "/ca.pem"})
    assert set(settings.admin(print)) == {
        "bootstrap.servers",
        "client.id",
        "error_cb",
        "sasl.password",
        "sasl.username",
        "socket.timeout.ms",
        "ssl.ca.location",
    }


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"schema": {}}, ConfigError),
        ({"schema": "id bigint"}, ConfigError),
        ({"schema": {"id": "nosuch"}}, SchemaError),
        ({"schema": {"id": "bigint", "ID": "bigint"}}, SchemaError),
        ({"schema": {"_kafka_offset": "bigint"}}, SchemaError),
        ({"name": ""}, ConfigError),
        ({"name": "^events.*"}, ConfigError),
        ({"format": "avro"}, ConfigError),
        ({"start": "beginning"}, ConfigError),
        ({"start": datetime(2026, 1, 1)}, ConfigError),  # noqa: DTZ001 -- that is the point
        ({"on_recreated": "ignore"}, ConfigError),
        ({"on_gap": None}, ConfigError),
        ({"epoch": "minutes"}, ConfigError),
        ({"time_zone": "Berlin"}, ConfigError),
        ({"max_messages": 0}, ConfigError),
        ({"max_messages": True}, ConfigError),
    ],
)
def test_a_wrong_argument_is_refused_when_the_topic_is_made(wrong: dict[str, Any], error: type[Exception]) -> None:
    right = {"name": "events", "schema": SCHEMA, "start": datetime(2026, 1, 1, tzinfo=UTC)}
    arguments = {**right, **wrong}
    with pytest.raises(error, match=r"Kafka\.topic\("):
        sources.Kafka("broker:9092").topic(arguments.pop("name"), **arguments)


@pytest.mark.parametrize("servers", ["", None, 9092])
def test_servers_are_text(servers: Any) -> None:
    with pytest.raises(ConfigError):
        sources.Kafka(servers)
