"""Options of librdkafka are passed through, and none of their secrets is ever shown."""

from __future__ import annotations

import logging
import pickle
import traceback
from pathlib import Path
from typing import Any

import pytest

import lakekit as lk
from lakekit import sources
from lakekit.errors import ConfigError, LakekitError, SourceConfigError
from tests.integration.sources.kafka_topics import INTO, Topic, events, ids
from tests.servers.kafka import KafkaServer

SECRET = "s3cret-Pa55word"
SASL = {"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "PLAIN", "sasl.username": "reader"}


def failure(lake: lk.Lake, bus: sources.Kafka, caplog: pytest.LogCaptureFixture) -> tuple[LakekitError, str]:
    """The error of a read, and every text that a person or a log might see of it."""
    topic = bus.topic("events", schema={"id": "bigint"})
    with caplog.at_level(logging.DEBUG), pytest.raises(LakekitError) as caught:
        lk.ingest(lake, topic, into=INTO)
    error = caught.value
    chain, texts = error, list[str]()
    while chain is not None:
        texts += [str(chain), repr(chain), repr(chain.args)]
        chain = chain.__context__ if not chain.__suppress_context__ else None
    texts += traceback.format_exception(error, chain=True)
    texts += [caplog.text, *(repr(record.__dict__) for record in caplog.records)]
    texts += [repr(bus), repr(topic), str(topic), topic.place, topic.origin, str(pickle.loads(pickle.dumps(error)))]
    return error, "\n".join(texts)


def test_a_user_with_a_password_reads(kafka: KafkaServer, lake: lk.Lake) -> None:
    topic = Topic(kafka.servers)
    topic.send(*events(1, 3))
    options = {**SASL, "sasl.password": "reader-secret"}
    for given in (options, lambda: options):
        lk.ingest(lake, sources.Kafka(kafka.sasl_servers, options=given).topic(topic.name, schema={"id": "bigint"}), into=INTO)
    assert ids(lake) == [1, 2, 3]


def test_a_wrong_password_is_refused_and_never_shown(kafka: KafkaServer, lake: lk.Lake, caplog: pytest.LogCaptureFixture) -> None:
    for options in ({**SASL, "sasl.password": SECRET}, lambda: {**SASL, "sasl.password": SECRET}):
        error, texts = failure(lake, sources.Kafka(kafka.sasl_servers, options=options), caplog)
        assert isinstance(error, SourceConfigError)
        assert "Invalid username or password" in str(error)
        assert SECRET not in texts


@pytest.mark.parametrize("name", ["security.protocol", "ssl.key.pem", f"nosuch.{SECRET}", "queued.min.messages"])
def test_an_option_that_librdkafka_does_not_take_is_named_and_its_value_is_not(
    name: str, kafka: KafkaServer, lake: lk.Lake, caplog: pytest.LogCaptureFixture
) -> None:
    options = {"security.protocol": "ssl"} if name == "ssl.key.pem" else {}
    error, texts = failure(lake, sources.Kafka(kafka.servers, options={**options, name: SECRET}), caplog)
    assert isinstance(error, ConfigError)
    if "nosuch" not in name:
        assert SECRET not in texts
        assert name in str(error)


def test_what_librdkafka_logs_of_an_option_is_not_passed_on(kafka: KafkaServer, lake: lk.Lake, caplog: pytest.LogCaptureFixture) -> None:
    # A password as the mechanism: librdkafka warns, in the log, of both the name and the value.
    _, texts = failure(lake, sources.Kafka(kafka.servers, options={"sasl.mechanism": SECRET, "sasl.password": SECRET}), caplog)
    assert SECRET not in texts


def test_encryption_that_the_broker_does_not_speak_is_a_mistake(
    kafka: KafkaServer, lake: lk.Lake, caplog: pytest.LogCaptureFixture
) -> None:
    error, texts = failure(lake, sources.Kafka(kafka.servers, options={"security.protocol": "ssl", "ssl.key.password": SECRET}), caplog)
    assert isinstance(error, SourceConfigError)
    assert SECRET not in texts


def test_what_is_stored_holds_no_secret(kafka: KafkaServer, tmp_path: Path) -> None:
    topic = Topic(kafka.servers)
    topic.send(*events(1, 3), b"{")
    bus = sources.Kafka(kafka.sasl_servers, options={**SASL, "sasl.password": "reader-secret"})
    lk.ingest(lk.connect(tmp_path), bus.topic(topic.name, schema={"id": "bigint"}), into=INTO)
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and b"reader-secret" in path.read_bytes()]


def test_callbacks_of_the_user_are_called_too(kafka: KafkaServer, lake: lk.Lake) -> None:
    told: list[Any] = []
    bus = sources.Kafka("127.0.0.1:1", options={"error_cb": told.append})
    with pytest.raises(LakekitError):
        lk.ingest(lake, bus.topic("events", schema={"id": "bigint"}), into=INTO)
    assert told
