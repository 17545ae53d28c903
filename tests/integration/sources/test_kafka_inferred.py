"""Topics without a declared schema: columns from what the messages hold, wider with later batches, and nothing lost."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pytest

import lakekit as lk
from lakekit.engines.types import sql_type
from lakekit.errors import SchemaError
from tests.integration.sources.kafka_topics import INTO, Topic, rows
from tests.servers.kafka import KafkaServer


@pytest.fixture
def topic(kafka: KafkaServer) -> Topic:
    return Topic(kafka.servers)


def columns(lake: lk.Lake) -> dict[str, str]:
    found = lk.read(lake, INTO).schema
    return {field.name: sql_type(field.type) for field in found if not field.name.startswith("_")}


def values(lake: lk.Lake, *names: str) -> list[tuple[Any, ...]]:
    return [tuple(row.get(name) for name in names) for row in sorted(rows(lake), key=lambda row: row["_kafka_offset"])]


def test_columns_and_types_are_those_that_the_messages_have(topic: Topic, lake: lk.Lake) -> None:
    topic.send(
        {"id": 1, "price": 2, "ok": True, "kind": "buy", "device": {"os": "x", "at": {"lat": 1.5}}, "tags": ["a"], "lines": [{"sku": "a"}]},
        {"id": 2, "price": 2.5, "device": {"version": 3}, "lines": [{"n": 1}], "nothing": None, "empty": {}, "none": []},
        None,
        b"{",
        key=b"k",
        headers=[("trace", b"\xff"), ("trace", b"")],
    )
    commit = lk.ingest(lake, topic.source(schema="infer"), into=INTO)
    assert (commit.read, commit.inserted, commit.rejected) == (4, 3, 1)
    assert columns(lake) == {
        "id": "BIGINT",
        "price": "DOUBLE",
        "ok": "BOOLEAN",
        "kind": "STRING",
        "device": "STRUCT<`os`: STRING, `at`: STRUCT<`lat`: DOUBLE>, `version`: BIGINT>",
        "tags": "ARRAY<STRING>",
        "lines": "ARRAY<STRUCT<`sku`: STRING, `n`: BIGINT>>",
    }
    assert values(lake, "id", "price", "_operation", "_rescued_data") == [
        (1, 2.0, "upsert", None),
        (2, 2.5, "upsert", '{"empty":{},"none":[]}'),
        (None, None, "delete", None),
    ]
    assert {json.dumps(row["_kafka_headers"], default=repr) for row in rows(lake)} == {
        json.dumps([{"key": "trace", "value": b"\xff"}, {"key": "trace", "value": b""}], default=repr)
    }


def test_later_messages_add_columns_and_fields_and_what_does_not_fit_is_rescued(topic: Topic, lake: lk.Lake) -> None:
    topic.send({"id": 1, "device": {"os": "x"}, "hollow": []})
    lk.ingest(lake, topic.source(schema="infer"), into=INTO)
    topic.send({"id": 2, "device": {"model": "m", "os": "y"}, "hollow": [1]}, {"id": "three", "device": "none"}, {"id": 4.5}, {"id": 5.0})
    commit = lk.ingest(lake, topic.source(schema="infer"), into=INTO)
    assert commit.columns_added == ("hollow",)
    assert columns(lake) == {"id": "BIGINT", "device": "STRUCT<`os`: STRING, `model`: STRING>", "hollow": "ARRAY<BIGINT>"}
    assert values(lake, "id", "device", "hollow", "_rescued_data") == [
        (1, {"os": "x", "model": None}, None, '{"hollow":[]}'),
        (2, {"os": "y", "model": "m"}, [1], None),
        (None, None, None, '{"id":"three","device":"none"}'),
        (None, None, None, '{"id":4.5}'),
        (5, None, None, None),
    ]


def test_a_policy_that_refuses_new_columns_leaves_the_table_as_it_was(topic: Topic, lake: lk.Lake) -> None:
    topic.send({"id": 1})
    lk.ingest(lake, topic.source(schema="infer"), into=INTO)
    topic.send({"id": 2, "kind": "x"})
    for _ in range(2):
        with pytest.raises(SchemaError, match=r"ALTER TABLE bronze\.events ADD COLUMN kind STRING"):
            lk.ingest(lake, topic.source(schema="infer"), into=INTO, on_change="fail")
    assert values(lake, "id") == [(1,)]


def test_mixed_values_are_text_and_large_numbers_keep_their_digits(topic: Topic, lake: lk.Lake) -> None:
    topic.send(
        b'{"mix": 1.50, "big": 9007199254740993, "huge": 1, "in": {"v": [1]}}',
        b'{"mix": "a", "big": 0.5, "huge": 99999999999999999999, "in": {"v": ["x", {}]}}',
    )
    lk.ingest(lake, topic.source(schema="infer"), into=INTO)
    assert values(lake, "mix", "big", "huge", "in", "_rescued_data") == [
        ("1.50", "9007199254740993", 1, {"v": ["1"]}, None),
        ("a", "0.5", None, {"v": ["x", "{}"]}, '{"huge":99999999999999999999}'),
    ]


def test_names_that_no_column_can_have_are_rescued(topic: Topic, lake: lk.Lake) -> None:
    topic.send({"id": 1, "_write_id": 5, "": 1, "a.b": 2, "ID": 3, "_id": "x", "in": {"c.d": 1, "e": 2}})
    lk.ingest(lake, topic.source(schema="infer"), into=INTO)
    assert {"id", "in"} == set(columns(lake))
    ((number, own, inner, rescued),) = values(lake, "id", "_id", "in", "_rescued_data")
    assert (number, own, inner) == (1, "x", {"e": 2})
    assert json.loads(rescued) == {"_write_id": 5, "": 1, "a.b": 2, "ID": 3, "in": {"c.d": 1, "e": 2}}


def test_a_topic_of_names_that_are_data_is_refused_with_the_way_out(topic: Topic, lake: lk.Lake) -> None:
    topic.send({"counts": {f"user-{number}": number for number in range(6_000)}})
    with pytest.raises(SchemaError, match="map<string"):
        lk.ingest(lake, topic.source(schema="infer"), into=INTO)
    assert lake.tables() == []
    lk.ingest(lake, topic.source(schema={"counts": "map<string, bigint>"}), into=INTO)
    assert len(rows(lake)) == 1


def test_a_declared_table_goes_on_with_inferred_columns_in_its_types(topic: Topic, lake: lk.Lake) -> None:
    topic.send({"id": 1, "price": "1.50"})
    lk.ingest(lake, topic.source(schema={"id": "int", "price": "decimal(10,2)"}), into=INTO)
    topic.send({"id": 2, "price": 2.25, "more": True})
    lk.ingest(lake, topic.source(schema="infer"), into=INTO)
    assert [str(value) for _, value in values(lake, "id", "price")] == ["1.50", "2.25"]
    assert columns(lake) == {"id": "INT", "price": "DECIMAL(10, 2)", "more": "BOOLEAN"}


def test_a_topic_of_nothing_but_tombstones_and_nonsense_has_no_columns(topic: Topic, lake: lk.Lake) -> None:
    topic.send(None, b"[]")
    commit = lk.ingest(lake, topic.source(schema="infer"), into=INTO)
    assert (commit.inserted, commit.rejected, columns(lake)) == (1, 1, {})
    topic.send({"id": 1})
    lk.ingest(lake, topic.source(schema="infer"), into=INTO)
    assert values(lake, "id") == [(None,), (1,)]


def test_a_stream_widens_the_table_portion_by_portion(topic: Topic, lake: lk.Lake) -> None:
    topic.send(*({"id": number, f"c{number // 5}": number} for number in range(20)))
    lk.stream(lake, topic.source(schema="infer", max_messages=5), into=INTO, every=None).wait()
    assert set(columns(lake)) == {"id", "c0", "c1", "c2", "c3"}
    assert pa.types.is_int64(lk.read(lake, INTO).schema.field("c3").type)
    assert [row[0] for row in values(lake, "id", "_rescued_data")] == list(range(20))
    assert {row["_rescued_data"] for row in rows(lake)} == {None}
