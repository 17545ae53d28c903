"""Topics of brokers that know no topic ids: librdkafka's own mock, which needs nothing but pip."""

from __future__ import annotations

from pathlib import Path

import pytest

import lakekit as lk
from examples.shop.kafka import MockKafka
from lakekit import sources
from lakekit.bookmark import BOOKMARK
from lakekit.errors import ContractError
from lakekit.sources.kafka import KafkaTopic

INTO = "bronze.events"


def events(bus: MockKafka) -> KafkaTopic:
    return sources.Kafka(bus.servers, name="bus").topic("events", schema={"id": "bigint"})


def test_messages_are_read_once_and_what_is_no_json_is_rejected(tmp_path: Path) -> None:
    lake = lk.connect(tmp_path)
    with MockKafka() as bus:
        bus.create("events")
        assert lk.ingest(lake, events(bus), into=INTO).read == 0
        bus.send("events", *({"id": number} for number in range(10)), b"{", None, key="k")
        commit = lk.ingest(lake, events(bus), into=INTO)
        assert (commit.read, commit.inserted, commit.rejected) == (12, 11, 1)
        assert not lk.ingest(lake, events(bus), into=INTO).committed
        bus.send("events", {"id": 10}, key="k")
        lk.ingest(lake, events(bus), into=INTO)
    found = sorted(row["id"] for row in lk.read(lake, INTO).to_arrow().to_pylist() if row["_operation"] == "upsert")
    assert found == list(range(11))
    assert '"topic_id":null' in lake.load(INTO, place="test").properties[BOOKMARK]


def test_a_topic_made_anew_is_told_by_its_offsets(tmp_path: Path) -> None:
    lake = lk.connect(tmp_path)
    with MockKafka() as bus:
        bus.send("events", {"id": 1}, {"id": 2}, key="k")
        lk.ingest(lake, events(bus), into=INTO)
    with MockKafka() as bus:
        bus.send("events", {"id": 3}, key="k")
        with pytest.raises(ContractError, match="made anew"):
            lk.ingest(lake, events(bus), into=INTO)
        restarted = sources.Kafka(bus.servers, name="bus").topic("events", schema={"id": "bigint"}, on_recreated="restart")
        assert lk.ingest(lake, restarted, into=INTO).inserted == 1
