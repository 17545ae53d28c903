"""Messages that can't be read: kept with their bytes and their position, each once, and counted."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

import lakekit as lk
from lakekit.errors import ContractError
from lakekit.incremental import cas
from tests.integration.sources.kafka_topics import INTO, Topic, events, ids, rows
from tests.servers.kafka import KafkaServer

REJECTS = f"{INTO}__rejects"
BAD = {
    b'{"id": 1': "not_json",
    b"\xff{}": "not_utf8",
    b"[1]": "not_an_object",
    b"null": "not_an_object",
    b"": "not_json",
    b"7 8": "not_json",
}


@pytest.fixture
def topic(kafka: KafkaServer) -> Topic:
    return Topic(kafka.servers)


def test_what_is_no_json_object_goes_to_the_rejects_with_its_bytes_and_its_position(topic: Topic, lake: lk.Lake) -> None:
    topic.send(*events(1, 2))
    topic.send(*BAD, key=b"k\xff", headers=[("trace", b"\x01"), ("none", None)])
    topic.send(*events(3, 3))
    commit = lk.ingest(lake, topic.source(), into=INTO)
    assert (commit.read, commit.inserted, commit.rejected, commit.unchanged) == (9, 3, 6, 0)
    assert ids(lake) == [1, 2, 3]
    found = sorted(rows(lake, REJECTS), key=lambda row: json.loads(row["_row"])["_kafka_offset"])
    assert {row["_payload"]: row["_reason"] for row in found} == BAD
    assert {row["_rule"] for row in found} == {"json"}
    assert {row["_origin"] for row in found} == {f"kafka:kafka/{topic.name}"}
    assert {row["_source"] for row in found} == {f"kafka.{topic.name}"}
    assert all(row["_source_timestamp"] and row["_ingestion_timestamp"] for row in found)
    places = [json.loads(row["_row"]) for row in found]
    assert [(place["_kafka_topic"], place["_kafka_partition"], place["_kafka_offset"]) for place in places] == [
        (topic.name, 0, offset) for offset in range(2, 8)
    ]
    assert base64.b64decode(places[0]["_kafka_key"]) == b"k\xff"
    assert places[0]["_kafka_headers"] == [{"key": "trace", "value": "AQ=="}, {"key": "none"}]
    assert "id" not in places[0]


def test_a_run_that_died_between_rejects_and_rows_is_repeated_without_a_second_reject(
    topic: Topic, lake: lk.Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    topic.send(*events(1, 1))
    topic.send(*BAD)
    write = cas.write

    def dies(engine: Any, into: Any, *arguments: Any, **more: Any) -> lk.Commit:
        if into == ("bronze", "events"):
            raise KeyboardInterrupt
        return write(engine, into, *arguments, **more)

    monkeypatch.setattr(cas, "write", dies)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            lk.ingest(lake, topic.source(), into=INTO)
    monkeypatch.undo()
    assert (len(rows(lake)), len(rows(lake, REJECTS))) == (0, len(BAD))
    topic.send(b"{")
    assert lk.ingest(lake, topic.source(), into=INTO).rejected == len(BAD) + 1
    assert (ids(lake), len(rows(lake, REJECTS))) == ([1], len(BAD) + 1)


def test_two_bad_messages_with_the_same_bytes_are_two_rejects(topic: Topic, lake: lk.Lake) -> None:
    topic.send(b"{", b"{")
    lk.ingest(lake, topic.source(), into=INTO)
    assert len(rows(lake, REJECTS)) == 2


def test_a_bad_message_of_a_topic_made_anew_is_another_one_though_its_position_is_the_same(topic: Topic, lake: lk.Lake) -> None:
    for _ in range(2):
        topic.send(b"{")
        lk.ingest(lake, topic.source(on_recreated="restart"), into=INTO)
        topic.recreate()
    assert len(rows(lake, REJECTS)) == 2


def test_where_all_messages_are_bad_the_bookmark_moves_all_the_same(topic: Topic, lake: lk.Lake) -> None:
    topic.send(*BAD)
    commit = lk.ingest(lake, topic.source(), into=INTO)
    assert (commit.snapshot_id, commit.read, commit.rejected) == (None, len(BAD), len(BAD))
    assert lk.ingest(lake, topic.source(), into=INTO).read == 0
    topic.send(*events(1, 1))
    assert lk.ingest(lake, topic.source(), into=INTO).read == 1
    assert lk.history(lake, INTO)[0].rejected == 0


def test_more_rejects_than_allowed_refuse_the_run_and_leave_everything_as_it_was(topic: Topic, lake: lk.Lake) -> None:
    topic.send(*events(1, 9), b"{")
    assert lk.ingest(lake, topic.source(), into=INTO, max_reject_fraction=0.1).rejected == 1
    topic.send(*events(10, 10), b"{")
    for _ in range(2):
        with pytest.raises(ContractError, match=r"at most 10\.0% of the rows to be rejected, got 1 of 2"):
            lk.ingest(lake, topic.source(), into=INTO, max_reject_fraction=0.1)
    assert (len(ids(lake)), len(rows(lake, REJECTS))) == (9, 1)
    assert lk.ingest(lake, topic.source(), into=INTO, max_reject_fraction=0.5).inserted == 1


def test_a_dry_run_counts_rejects_and_writes_none(topic: Topic, lake: lk.Lake) -> None:
    topic.send(*events(1, 2), b"{")
    for _ in range(2):
        commit = lk.ingest(lake, topic.source(), into=INTO, dry_run=True)
        assert (commit.committed, commit.read, commit.inserted, commit.rejected) == (False, 3, 2, 1)
    assert lake.tables() == []
    lk.ingest(lake, topic.source(), into=INTO)
    topic.send(b"{")
    commit = lk.ingest(lake, topic.source(), into=INTO, dry_run=True)
    assert (commit.read, commit.inserted, commit.rejected, commit.unchanged) == (1, 0, 1, 0)
    assert len(rows(lake, REJECTS)) == 1


def test_a_value_that_does_not_fit_is_rescued_and_its_row_is_kept(topic: Topic, lake: lk.Lake) -> None:
    topic.send({"id": 1, "price": 1.005, "at": "yesterday", "new": [1]})
    commit = lk.ingest(lake, topic.source(), into=INTO)
    assert (commit.inserted, commit.rejected) == (1, 0)
    (row,) = rows(lake)
    assert (row["id"], row["price"], row["at"]) == (1, None, None)
    assert row["_rescued_data"] == '{"price":1.005,"at":"yesterday","new":[1]}'
