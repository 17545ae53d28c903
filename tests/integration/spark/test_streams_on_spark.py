"""Streams on Spark: every message once, whoever is killed and whatever is lost."""

from __future__ import annotations

import random
import shutil
import threading
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import lakekit as lk
from lakekit.errors import ContractError, SourceConfigError
from lakekit.sources import kafka_follow
from tests.integration.processes import Running
from tests.integration.sources.kafka_topics import INTO, Topic, events, everything
from tests.integration.sources.test_kafka_stream import place
from tests.integration.spark import streams
from tests.integration.spark.both import Both, both, classic_first, rows
from tests.servers.spark import open_with_pyiceberg

if TYPE_CHECKING:
    from tests.servers.kafka import KafkaServer
    from tests.servers.spark import Server

PATIENCE = 300.0  # a JVM of its own begins, which takes a minute where others are at work


@pytest.fixture
def lakes(server: Server, kind: str, tmp_path: Path) -> Both:
    return both(server, kind, tmp_path / "lake")


def taken(lake: lk.Lake) -> list[tuple[int, int]]:
    good = [(row["_kafka_partition"], row["_kafka_offset"]) for row in rows(lake, INTO)]
    return sorted(good + [place(row) for row in rows(lake, f"{INTO}__rejects")])


@classic_first
def test_a_stream_takes_what_comes_rejects_what_is_bad_and_stops_in_order(kafka: KafkaServer, lakes: Both, kind: str) -> None:
    topic = Topic(kafka.servers, partitions=2)
    topic.send(*events(1, 10), partition=0)
    came = threading.Semaphore(0)
    threads: list[str] = []

    def then(_commit: lk.Commit) -> None:
        threads.append(threading.current_thread().name)
        came.release()

    running = lk.stream(lakes.spark, topic.source(max_messages=4), into=INTO, every="0.3 seconds", then=then)
    for _ in range(3):  # 4, 4 and 2
        assert came.acquire(timeout=PATIENCE)
    for number in range(2):
        topic.send(*events(number, number), b"{", partition=1)
        assert came.acquire(timeout=PATIENCE)
    running.stop()
    running.wait()
    assert sum(commit.rejected for commit in running.commits) == 2
    assert running.lag == running.commits[-1].lag == 0
    # A query of Spark calls back in a thread of its own; on Connect there is no such query.
    assert [name == "lakekit-stream" for name in threads] == [True] * 3 + [kind == "connect"] * 2
    assert taken(lakes.embedded) == everything(topic, [10, 4])
    topic.send(*events(5, 6), partition=1)
    assert lk.ingest(lakes.embedded, topic.source(), into=INTO).inserted == 2


@classic_first
def test_the_bookmark_wins_when_somebody_else_moves_it(kafka: KafkaServer, lakes: Both) -> None:
    topic = Topic(kafka.servers)
    topic.send(*events(1, 3))
    came = threading.Semaphore(0)
    running = lk.stream(lakes.spark, topic.source(), into=INTO, every="0.3 seconds", then=lambda _: came.release())
    assert came.acquire(timeout=PATIENCE)
    sent = 3
    for _ in range(3):  # both take what is new, as quickly as they can
        topic.send(*events(1, 2))
        sent += 2
        lk.stream(lakes.embedded, topic.source(), into=INTO, every=None).wait()
    topic.send(*events(1, 2))
    sent += 2
    deadline = time.monotonic() + PATIENCE
    while len(taken(lakes.embedded)) < sent and time.monotonic() < deadline:
        time.sleep(0.2)
    running.stop()
    running.wait()
    assert taken(lakes.embedded) == everything(topic, [sent])


@pytest.mark.timeout(180)
@pytest.mark.parametrize("kind", ["classic"])  # Connect has no query to stop
def test_a_micro_batch_that_begins_while_the_stream_is_stopped_does_not_hang_it(
    kafka: KafkaServer, lakes: Both, monkeypatch: pytest.MonkeyPatch
) -> None:
    topic = Topic(kafka.servers)
    topic.send(*events(1, 3))
    begun, first = threading.Event(), threading.Event()
    stop, micro_batch = kafka_follow.Followed.stop, kafka_follow.MicroBatch

    def begin(*given: Any) -> kafka_follow.MicroBatch:
        begun.set()
        return micro_batch(*given)

    def stop_when_begun(query: kafka_follow.Followed) -> None:
        begun.clear()
        topic.send(*events(1, 1))
        assert begun.wait(PATIENCE)
        stop(query)

    monkeypatch.setattr(kafka_follow, "MicroBatch", begin)
    monkeypatch.setattr(kafka_follow.Followed, "stop", stop_when_begun)
    running = lk.stream(lakes.spark, topic.source(), into=INTO, every="0.3 seconds", then=lambda _: first.set())
    assert first.wait(PATIENCE)
    running.stop()
    running.wait()
    assert taken(lakes.embedded) == everything(topic, [3]), "what came after the stop is for the next stream"


@pytest.mark.slow
def test_a_topic_made_anew_ends_the_stream(kafka: KafkaServer, lakes: Both) -> None:
    topic = Topic(kafka.servers)
    topic.send(*events(1, 3))
    first = threading.Event()
    running = lk.stream(lakes.spark, topic.source(), into=INTO, every="0.3 seconds", then=lambda _: first.set())
    assert first.wait(PATIENCE)
    topic.recreate()
    topic.send(*events(1, 1))
    # Or that there is no such topic: it may have looked before it was there again.
    with pytest.raises((ContractError, SourceConfigError), match=r"made anew|no such topic"):
        running.wait()
    assert taken(lakes.embedded) == everything(topic, [3])


def killed(
    start: object, kafka: KafkaServer, folder: Path, arguments: tuple[object, ...], *, kills: int, messages: int | None = None
) -> None:
    """Write messages all the while a stream is killed again and again, its checkpoint lost once; then drain: each was taken once.

    ``messages``: so many are written, also where the kills are over sooner. None: as long as it takes, since each stream has to find some.
    """
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")  # noqa: T201 -- shown when the test fails
    draw = random.Random(seed)
    topic = Topic(kafka.servers, partitions=3)
    done = threading.Event()
    sent = [0, 0, 0]

    def produce() -> None:
        while not done.is_set() if messages is None else sum(sent) < messages:
            partition, count = draw.randrange(3), 2 if messages is None else min(messages // 400, messages - sum(sent))
            topic.send(*events(1, count - 1), b"{", partition=partition)
            sent[partition] += count
            time.sleep(0.05)

    producer = threading.Thread(target=produce)
    producer.start()
    commits = folder / "commits"
    try:
        for number in range(kills):
            commits.unlink(missing_ok=True)
            process = Running(start, folder, topic.servers, topic.name, *arguments)  # type: ignore[arg-type]
            deadline = time.monotonic() + PATIENCE
            while not commits.exists():
                assert process._process.is_alive(), process.result()
                assert time.monotonic() < deadline
                time.sleep(0.05)
            assert process.kill(after=draw.uniform(0.0, 3.0)), f"kill {number}: it had ended by itself"
            if number == 0:
                shutil.rmtree(folder / "temporary", ignore_errors=True)
    finally:
        done.set()
        producer.join()
    lake = lk.connect(open_with_pyiceberg("lake", folder / "lake"))
    lk.stream(lake, topic.source(), into=INTO, every=None).wait()
    twice = [where for where, count in Counter(taken(lake)).items() if count > 1]
    assert twice == []
    assert taken(lake) == everything(topic, sent)


def test_a_stream_killed_at_a_random_moment_takes_each_message_once(kafka: KafkaServer, tmp_path: Path) -> None:
    killed(streams.stream_on_spark, kafka, tmp_path, (), kills=1)


@pytest.mark.slow
@pytest.mark.timeout(1800)  # ten times a JVM of its own
def test_a_stream_killed_ten_times_takes_each_of_200_000_messages_once(kafka: KafkaServer, tmp_path: Path) -> None:
    killed(streams.stream_on_spark, kafka, tmp_path, (), kills=10, messages=200_000)


@pytest.mark.slow
def test_a_stream_of_a_connect_client_killed_at_random_moments_takes_each_message_once(
    kafka: KafkaServer, server: Server, tmp_path: Path
) -> None:
    both(server, "connect", tmp_path / "lake")
    killed(streams.stream_on_connect, kafka, tmp_path, (server.connect_url, "killed"), kills=5)
