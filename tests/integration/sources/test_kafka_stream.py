"""Streams from a real broker: killed at any moment, stopped, behind, and over brokers that come and go."""

from __future__ import annotations

import os
import random
import signal
import threading
from pathlib import Path

import pytest

import lakekit as lk
from lakekit.errors import ContractError
from tests.integration.processes import Running
from tests.integration.sources import kafka_topics
from tests.integration.sources.kafka_topics import INTO, Topic, events, everything, ids, positions, rows
from tests.servers.kafka import KafkaServer

PATIENCE = 60.0


@pytest.fixture
def topic(kafka: KafkaServer) -> Topic:
    return Topic(kafka.servers)


def drain(topic: Topic, lake: lk.Lake) -> None:
    lk.stream(lake, topic.source(max_messages=7), into=INTO, every=None).wait()


def test_ingest_too_takes_portions_and_tells_their_sum(topic: Topic, lake: lk.Lake) -> None:
    topic.send(*events(1, 20))
    commit = lk.ingest(lake, topic.source(max_messages=7), into=INTO)
    assert (commit.read, commit.inserted, commit.lag) == (20, 20, 0)
    assert [found.inserted for found in lk.history(lake, INTO)] == [6, 7, 7]
    assert not lk.ingest(lake, topic.source(max_messages=7), into=INTO).committed


def test_a_stream_that_is_behind_takes_portions_one_after_the_other(kafka: KafkaServer, lake: lk.Lake) -> None:
    topic = Topic(kafka.servers, partitions=3)
    for partition, count in enumerate((20, 3, 0)):
        topic.send(*events(1, count), partition=partition)
    caught_up = threading.Event()

    def then(commit: lk.Commit) -> None:
        if sum(found.inserted for found in [*running.commits]) == 23:
            caught_up.set()

    begun = threading.Event()
    running = lk.stream(lake, topic.source(max_messages=7), into=INTO, every="1 hour", then=lambda c: begun.wait(PATIENCE) and then(c))
    begun.set()
    assert caught_up.wait(PATIENCE)
    running.stop()
    running.wait()
    assert [commit.inserted for commit in running.commits] == [7, 7, 7, 2]
    assert positions(lake) == everything(topic, [20, 3, 0])


def test_a_stream_says_how_far_it_is_behind(topic: Topic, lake: lk.Lake, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "lakekit")
    topic.send(*events(1, 20))
    seen: list[int | None] = []
    begun = threading.Event()
    running = lk.stream(
        lake, topic.source(max_messages=7), into=INTO, every=None, then=lambda _: begun.wait(PATIENCE) and seen.append(running.lag)
    )
    begun.set()
    running.wait()
    assert seen == [commit.lag for commit in running.commits] == [13, 6, 0]
    assert running.lag == 0
    assert "bronze.events: read 7, inserted 7, 13 messages behind" in caplog.text
    assert lk.ingest(lake, topic.source(), into=INTO).lag == 0


def test_new_messages_come_with_the_next_micro_batch_and_ingest_reads_on_from_there(topic: Topic, lake: lk.Lake) -> None:
    topic.send(*events(1, 3))
    seen = threading.Semaphore(0)
    running = lk.stream(lake, topic.source(), into=INTO, every="0.05 seconds", then=lambda _: seen.release())
    assert seen.acquire(timeout=PATIENCE)
    topic.send(*events(4, 5))
    assert seen.acquire(timeout=PATIENCE)
    running.stop()
    running.wait()
    topic.send(*events(6, 6))
    lk.ingest(lake, topic.source(), into=INTO)
    assert ids(lake) == [1, 2, 3, 4, 5, 6]


def test_micro_batches_of_nothing_but_rejects_move_on(topic: Topic, lake: lk.Lake) -> None:
    topic.send(*[b"{"] * 20, *events(1, 2))
    drain(topic, lake)
    assert ids(lake) == [1, 2]
    assert len(rows(lake, f"{INTO}__rejects")) == 20


def test_a_topic_made_anew_ends_the_stream(topic: Topic, lake: lk.Lake) -> None:
    topic.send(*events(1, 3))
    first = threading.Event()
    running = lk.stream(lake, topic.source(), into=INTO, every="0.05 seconds", then=lambda _: first.set())
    assert first.wait(PATIENCE)
    running.stop()
    running.wait()
    topic.recreate()
    with pytest.raises(ContractError, match="made anew"):
        lk.stream(lake, topic.source(), into=INTO, every="0.05 seconds").wait()


def test_sigterm_ends_a_stream_in_order(topic: Topic, tmp_path: Path) -> None:
    topic.send(*events(1, 50))
    process = Running(kafka_topics.stream_for_ever, tmp_path, topic.servers, topic.name, 7)
    while not (tmp_path / "ready").exists():
        assert process._process.is_alive()
    os.kill(process._process.pid, signal.SIGTERM)
    assert process.result() >= 1  # it returned from wait(), with what it had committed
    lake = lk.connect(tmp_path)
    drain(topic, lake)
    assert ids(lake) == list(range(1, 51))


def killed(kafka: KafkaServer, folder: Path, *, kills: int) -> None:
    """Send messages, some broken, while a stream is killed again and again; then drain: each message was taken once."""
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")  # noqa: T201 -- shown when the test fails
    draw = random.Random(seed)
    topic = Topic(kafka.servers, partitions=2)
    sent, bad = [0, 0], 0
    for number in range(kills):
        process = Running(kafka_topics.stream_for_ever, folder, topic.servers, topic.name, 9)
        for _ in range(draw.randint(1, 3)):
            partition, count = draw.randrange(2), draw.randint(1, 15)
            topic.send(*events(1, count), b"{", partition=partition)
            sent[partition] += count + 1
            bad += 1
        assert process.kill(after=draw.uniform(0.0, 1.5)), f"kill {number}: it had ended by itself"
    lake = lk.connect(folder)
    drain(topic, lake)
    rejects = rows(lake, f"{INTO}__rejects")
    taken = positions(lake) + sorted(place(row) for row in rejects)
    assert sorted(taken) == everything(topic, sent)
    assert len(rejects) == bad


def place(row: dict[str, str]) -> tuple[int, int]:
    found = kafka_topics.json.loads(row["_row"])
    return found["_kafka_partition"], found["_kafka_offset"]


def test_a_stream_killed_at_random_moments_takes_each_message_once(kafka: KafkaServer, tmp_path: Path) -> None:
    killed(kafka, tmp_path, kills=5)


@pytest.mark.slow
def test_a_stream_killed_at_twenty_random_moments_takes_each_message_once(kafka: KafkaServer, tmp_path: Path) -> None:
    killed(kafka, tmp_path, kills=20)


@pytest.mark.slow
def test_a_stream_outlives_its_broker(lake: lk.Lake) -> None:
    with KafkaServer() as server:
        topic = Topic(server.servers)
        topic.send(*events(1, 10))
        seen = threading.Semaphore(0)
        running = lk.stream(lake, topic.source(), into=INTO, every="0.05 seconds", then=lambda _: seen.release())
        assert seen.acquire(timeout=PATIENCE)
        server.kill()
        server.start()
        topic.send(*events(11, 12))
        assert seen.acquire(timeout=PATIENCE)
        running.stop()
        running.wait()
        assert ids(lake) == list(range(1, 13))
