"""Topics of a real broker: each message once, whatever happens to partitions, transactions and the topic itself."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, TopicPartition

import lakekit as lk
from lakekit.errors import CommitConflictError, ConfigError, ContractError, SourceConfigError, SourceError
from lakekit.sources.protocol import Target
from tests.integration.processes import Running
from tests.integration.sources import kafka_topics
from tests.integration.sources.kafka_topics import INTO, Topic, events, everything, ids, positions, rows
from tests.servers.kafka import KafkaServer


@pytest.fixture
def topic(kafka: KafkaServer) -> Topic:
    return Topic(kafka.servers)


@pytest.fixture
def wide(kafka: KafkaServer) -> Topic:
    return Topic(kafka.servers, partitions=3)


def test_each_message_is_read_once_and_a_second_run_makes_no_snapshot(wide: Topic, lake: lk.Lake) -> None:
    for partition in range(3):
        wide.send(*events(partition * 10, partition * 10 + 4), partition=partition)
    first = lk.ingest(lake, wide.source(), into=INTO)
    assert (first.committed, first.read, first.inserted, first.rejected) == (True, 15, 15, 0)
    assert not lk.ingest(lake, wide.source(), into=INTO).committed
    wide.send(*events(100, 104), partition=1)
    assert lk.ingest(lake, wide.source(), into=INTO).inserted == 5
    assert positions(lake) == everything(wide, [5, 10, 5])
    assert len(lk.history(lake, INTO)) == 2


def test_a_row_holds_the_message_and_where_it_came_from(topic: Topic, lake: lk.Lake) -> None:
    at = 1_767_225_600_123
    topic.send(
        {"id": 7, "kind": "buy", "price": "19.90", "at": "2026-01-01T10:00:00+02:00", "device": {"os": "x"}},
        key=b"k\xff",
        headers=[("trace", b"\x00\x01"), ("trace", None)],
        timestamp=at,
    )
    lk.ingest(lake, topic.source(), into=INTO)
    (row,) = rows(lake)
    sent = datetime(2026, 1, 1, 0, 0, 0, 123_000, tzinfo=UTC)
    assert {name: row[name] for name in row if name not in {"_ingestion_timestamp", "_write_id"}} == {
        "id": 7,
        "kind": "buy",
        "price": Decimal("19.90"),
        "at": datetime(2026, 1, 1, 8, tzinfo=UTC),
        "_source": f"kafka.{topic.name}",
        "_operation": "upsert",
        "_source_timestamp": sent,
        "_kafka_topic": topic.name,
        "_kafka_partition": 0,
        "_kafka_offset": 0,
        "_kafka_timestamp": sent,
        "_kafka_key": b"k\xff",
        "_kafka_headers": [{"key": "trace", "value": b"\x00\x01"}, {"key": "trace", "value": None}],
        "_rescued_data": '{"device":{"os": "x"}}',
    }


def test_a_tombstone_is_a_delete_with_its_key(topic: Topic, lake: lk.Lake) -> None:
    topic.send({"id": 1}, None, key=b"1")
    lk.ingest(lake, topic.source(), into=INTO)
    upsert, delete = sorted(rows(lake), key=lambda row: row["_kafka_offset"])
    assert (upsert["_operation"], upsert["id"]) == ("upsert", 1)
    assert (delete["_operation"], delete["id"], delete["_kafka_key"]) == ("delete", None, b"1")


def test_messages_become_a_table_of_the_last_states_by_key(topic: Topic, lake: lk.Lake) -> None:
    topic.send({"id": 1, "kind": "a"}, {"id": 1, "kind": "b"}, key=b"1", timestamp=1_000)
    topic.send({"id": 2, "kind": "c"}, None, key=b"2", timestamp=1_000)
    lk.ingest(lake, topic.source(), into=INTO)
    batch = lk.read_new(lake, INTO, into="silver.events")
    batch = lk.select(batch, {"id": "coalesce(id, CAST(CAST(_kafka_key AS STRING) AS BIGINT))", "kind": "kind"})
    lk.merge(lk.latest(batch, key="id"), key="id")
    assert [(row["id"], row["kind"]) for row in rows(lake, "silver.events")] == [(1, "b")]


@pytest.mark.parametrize(("start", "read"), [("earliest", [1, 2, 3]), ("latest", []), (datetime.fromtimestamp(2, UTC), [2, 3])])
def test_the_first_read_begins_where_it_is_told_to(topic: Topic, lake: lk.Lake, start: Any, read: list[int]) -> None:
    for number in (1, 2, 3):
        topic.send(*events(number, number), timestamp=number * 1_000)
    lk.ingest(lake, topic.source(start=start), into=INTO)
    assert ids(lake) == read
    topic.send(*events(4, 4), timestamp=4_000)
    lk.ingest(lake, topic.source(start=start), into=INTO)
    assert ids(lake) == [*read, 4]


def test_an_instant_after_the_last_message_begins_at_the_end(topic: Topic, lake: lk.Lake) -> None:
    topic.send(*events(1, 1), timestamp=1_000)
    lk.ingest(lake, topic.source(start=datetime(2030, 1, 1, tzinfo=UTC)), into=INTO)
    assert ids(lake) == []


@pytest.mark.parametrize("start", ["earliest", "latest"])
def test_a_partition_that_is_added_is_read_from_its_first_message(topic: Topic, lake: lk.Lake, start: Any) -> None:
    lk.ingest(lake, topic.source(start=start), into=INTO)
    topic.grow(2)
    topic.send(*events(1, 3), partition=1)
    lk.ingest(lake, topic.source(start=start), into=INTO)
    assert positions(lake) == [(1, 0), (1, 1), (1, 2)]


def test_what_a_transaction_took_back_is_never_read(topic: Topic, lake: lk.Lake) -> None:
    aborted = topic.transaction()
    for number in range(50):
        aborted.produce(topic.name, b'{"id": -1}', partition=number % 1)
    aborted.flush()
    aborted.abort_transaction()
    lk.ingest(lake, topic.source(), into=INTO)
    assert ids(lake) == []
    committed = topic.transaction()
    committed.produce(topic.name, b'{"id": 1}', partition=0)
    committed.commit_transaction()  # its mark is the last offset of the partition, and no message
    assert lk.ingest(lake, topic.source(), into=INTO).inserted == 1
    assert not lk.ingest(lake, topic.source(), into=INTO).committed
    assert ids(lake) == [1]


def test_an_open_transaction_holds_back_what_comes_after_it_until_it_ends(topic: Topic, lake: lk.Lake) -> None:
    topic.send(*events(1, 2))
    open_one = topic.transaction()
    open_one.produce(topic.name, b'{"id": 3}', partition=0)
    open_one.flush()
    topic.send(*events(4, 5))
    lk.ingest(lake, topic.source(), into=INTO)
    assert ids(lake) == [1, 2]
    open_one.commit_transaction()
    lk.ingest(lake, topic.source(), into=INTO)
    assert ids(lake) == [1, 2, 3, 4, 5]


def test_who_wants_uncommitted_messages_gets_them_and_can_go_back(topic: Topic, lake: lk.Lake) -> None:
    open_one = topic.transaction()
    open_one.produce(topic.name, b'{"id": 1}', partition=0)
    open_one.flush()
    lk.ingest(lake, topic.source(options={"isolation.level": "read_uncommitted"}), into=INTO)
    assert ids(lake) == [1]
    assert not lk.ingest(lake, topic.source(), into=INTO).committed  # the stored offset is behind the last stable one
    open_one.commit_transaction()
    topic.send(*events(2, 2))
    lk.ingest(lake, topic.source(), into=INTO)
    assert ids(lake) == [1, 2]


def test_the_gaps_of_a_compacted_topic_do_not_stop_the_read(kafka: KafkaServer, lake: lk.Lake) -> None:
    compact = {"cleanup.policy": "compact", "segment.ms": "50", "min.cleanable.dirty.ratio": "0.01", "max.compaction.lag.ms": "50"}
    topic = Topic(kafka.servers, config=compact)
    for number in range(200):
        topic.send({"id": number}, key=b"one")
    left = 200
    while left > 20:  # each new segment lets the broker clean the ones before it
        topic.send({"id": 1000}, key=b"two")
        source = topic.source()
        with source.open(None, target=Target()) as increment:
            left = sum(batch.num_rows for batch in increment.batches)
    read = lk.ingest(lake, topic.source(), into=INTO).read
    assert read <= 20
    assert not lk.ingest(lake, topic.source(), into=INTO).committed
    topic.send({"id": 7}, key=b"one")
    lk.ingest(lake, topic.source(), into=INTO)
    assert 7 in ids(lake)


def test_a_topic_made_anew_is_an_error_until_it_is_acknowledged(topic: Topic, lake: lk.Lake, caplog: pytest.LogCaptureFixture) -> None:
    topic.send(*events(1, 3))
    lk.ingest(lake, topic.source(), into=INTO)
    topic.recreate()
    topic.send(*events(11, 15))  # more than before: the offsets alone would not tell
    for _ in range(2):
        with pytest.raises(ContractError, match=r"made anew(?s:.*)on_recreated='restart'"):
            lk.ingest(lake, topic.source(), into=INTO)
    assert ids(lake) == [1, 2, 3]
    with caplog.at_level(logging.WARNING):
        lk.ingest(lake, topic.source(on_recreated="restart"), into=INTO)
    assert "made anew" in caplog.text
    assert ids(lake) == [1, 2, 3, 11, 12, 13, 14, 15]
    topic.send(*events(16, 16))
    lk.ingest(lake, topic.source(), into=INTO)
    assert ids(lake)[-1] == 16


@pytest.mark.parametrize("new", [2, 3, 5])
def test_a_topic_made_anew_while_it_is_read_is_not_taken_for_the_old_one(topic: Topic, new: int) -> None:
    topic.send(*events(1, 3))

    def read() -> None:
        with topic.source().open(None, target=Target()) as increment:
            topic.recreate()
            topic.send(*events(11, 10 + new))
            list(increment.batches)
            increment.details()

    with pytest.raises(SourceError) as caught:
        read()
    assert caught.value.retryable


def test_a_table_whose_bookmark_was_set_back_takes_no_message_and_no_reject_twice(topic: Topic, lake: lk.Lake) -> None:
    source = topic.source(schema={**kafka_topics.EVENTS, "tags": "map<string, array<string>>"})
    topic.send({"id": 1, "tags": {"a": ["x"]}}, b"{", headers=[("trace", b"1")])
    lk.ingest(lake, source, into=INTO)
    lk.rewind(lake, into=INTO, upstream=source, to=None)
    topic.send(*events(2, 2))
    assert lk.ingest(lake, source, into=INTO).inserted == 1
    assert ids(lake) == [1, 2]
    assert len(rows(lake, f"{INTO}__rejects")) == 1


def test_another_cluster_of_the_same_name_is_taken_for_a_topic_made_anew(topic: Topic, kafka: KafkaServer, lake: lk.Lake) -> None:
    topic.send(*events(1, 1))
    lk.ingest(lake, topic.source(), into=INTO)
    other = lk.sources.Kafka(kafka.servers).topic(topic.name, schema={"id": "bigint"})
    assert other.upstream == topic.source().upstream
    elsewhere = lk.sources.Kafka(kafka.servers, name="elsewhere").topic(topic.name, schema={"id": "bigint"})
    assert lk.ingest(lake, elsewhere, into=INTO).inserted == 1  # a name of its own has a position of its own


def test_messages_deleted_before_they_were_read_are_missed_aloud(topic: Topic, lake: lk.Lake, caplog: pytest.LogCaptureFixture) -> None:
    topic.send(*events(1, 3))
    lk.ingest(lake, topic.source(), into=INTO)
    topic.send(*events(4, 9))
    topic.delete_before(0, 7)
    with pytest.raises(ContractError, match=r"deleted before they were read.*got partition 0: offsets 3 to 6"):
        lk.ingest(lake, topic.source(), into=INTO)
    with caplog.at_level(logging.WARNING):
        lk.ingest(lake, topic.source(on_gap="continue"), into=INTO)
    assert "offsets 3 to 6" in caplog.text
    assert ids(lake) == [1, 2, 3, 8, 9]
    assert not lk.ingest(lake, topic.source(), into=INTO).committed


def test_what_retention_removed_after_it_was_read_is_no_gap(topic: Topic, lake: lk.Lake) -> None:
    topic.send(*events(1, 3))
    lk.ingest(lake, topic.source(), into=INTO)
    topic.delete_before(0)
    assert not lk.ingest(lake, topic.source(), into=INTO).committed
    topic.send(*events(4, 4))
    assert lk.ingest(lake, topic.source(), into=INTO).inserted == 1


def test_runs_that_race_never_double_a_message(wide: Topic, tmp_path: Path) -> None:
    for round_ in range(4):
        for partition in range(3):
            wide.send(*events(1, 20 + round_), partition=partition)
        running = [Running(kafka_topics.ingest_once, tmp_path, wide.servers, wide.name) for _ in range(3)]
        outcomes = [process.result() for process in running]
        assert sum(rows for _, rows in outcomes) <= 3 * (20 + round_)
    kafka_topics.ingest_once(tmp_path, wide.servers, wide.name)
    count = 20 + 21 + 22 + 23
    assert positions(lk.connect(tmp_path)) == everything(wide, [count, count, count])


def test_a_race_lost_before_the_commit_adds_nothing(topic: Topic, lake: lk.Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    topic.send(*events(1, 5))
    from lakekit.incremental import cas

    write = cas.write

    def beaten(*arguments: Any, **more: Any) -> lk.Commit:
        monkeypatch.undo()
        topic.send(*events(6, 6))
        lk.ingest(lake, topic.source(), into=INTO)
        return write(*arguments, **more)

    monkeypatch.setattr(cas, "write", beaten)
    try:
        assert lk.ingest(lake, topic.source(), into=INTO).inserted == 0
    except CommitConflictError:
        pytest.fail("the other run is at the same count of increments: this one is done")
    assert ids(lake) == [1, 2, 3, 4, 5, 6]


def test_a_topic_that_is_not_there_and_brokers_that_are_not_there_are_told_apart(kafka: KafkaServer, lake: lk.Lake) -> None:
    schema = {"id": "bigint"}
    with pytest.raises(SourceConfigError, match="no such topic"):
        lk.ingest(lake, lk.sources.Kafka(kafka.servers).topic("nosuch", schema=schema), into=INTO)
    with pytest.raises(SourceError, match=r"no broker can be reached(?s:.*)refused"):
        lk.ingest(lake, lk.sources.Kafka("127.0.0.1:1").topic("events", schema=schema), into=INTO)
    assert lake.tables() == []


def test_a_topic_has_no_key_and_no_keys(topic: Topic, lake: lk.Lake) -> None:
    assert topic.source().primary_key() == ()
    with pytest.raises(ConfigError, match="tombstones"):
        topic.source().keys(scope=None)


def committed(topic: Topic, group: str) -> list[int]:
    """What the brokers know of a group's offsets."""
    asked = ConsumerGroupTopicPartitions(group, [TopicPartition(topic.name, partition) for partition in range(topic.partitions)])
    answer = topic.admin.list_consumer_group_offsets([asked])[group].result(kafka_topics.PATIENCE)
    return [partition.offset for partition in sorted(answer.topic_partitions, key=lambda found: found.partition)]


def test_a_group_that_is_named_is_told_the_offsets_and_never_asked(wide: Topic, lake: lk.Lake, caplog: pytest.LogCaptureFixture) -> None:
    group = f"group-of-{wide.name}"
    source = wide.source(options={"group.id": group})
    wide.send(*events(1, 3), partition=0)
    wide.send(*events(4, 5), partition=2)
    lk.ingest(lake, source, into=INTO, dry_run=True)
    assert committed(wide, group) == [-1001, -1001, -1001]  # none
    lk.ingest(lake, source, into=INTO)
    assert committed(wide, group) == [3, 0, 2]
    set_back = [TopicPartition(wide.name, 0, 1)]
    wide.admin.alter_consumer_group_offsets([ConsumerGroupTopicPartitions(group, set_back)])[group].result(kafka_topics.PATIENCE)
    assert not lk.ingest(lake, source, into=INTO).committed
    assert committed(wide, group) == [3, 0, 2]
    assert "consumer group" not in caplog.text
    lk.ingest(lake, wide.source(), into=INTO)
    assert committed(wide, "lakekit") == [-1001, -1001, -1001]


def test_a_group_that_can_t_be_told_is_logged_and_nothing_more(topic: Topic, lake: lk.Lake, caplog: pytest.LogCaptureFixture) -> None:
    group = f"taken-{topic.name}"
    member = Consumer({"bootstrap.servers": topic.servers, "group.id": group, "auto.offset.reset": "earliest", "enable.auto.commit": False})
    try:
        member.subscribe([topic.name])
        topic.send(*events(1, 1))
        while not member.assignment():  # once somebody else is in the group, only members may commit to it
            member.poll(0.1)
        assert lk.ingest(lake, topic.source(options={"group.id": group}), into=INTO).inserted == 1
    finally:
        member.close()
    assert f"not committed to the consumer group '{group}'" in caplog.text
    assert ids(lake) == [1]


@pytest.mark.slow
def test_a_broker_that_crashes_in_mid_read_is_waited_for_or_told(lake: lk.Lake) -> None:
    with KafkaServer() as server:
        topic = Topic(server.servers)
        topic.send(*events(1, 50_000))
        source = topic.source(options={"socket.timeout.ms": 2_000, "fetch.message.max.bytes": 20_000, "queued.max.messages.kbytes": 20})
        with source.open(None, target=Target()) as increment:
            next(increment.batches)
            server.kill()
            with pytest.raises(SourceError):
                list(increment.batches)
        with pytest.raises(SourceError):
            lk.ingest(lake, topic.source(), into=INTO)
        server.start()
        lk.ingest(lake, topic.source(), into=INTO)
        assert ids(lake) == list(range(1, 50_001))
