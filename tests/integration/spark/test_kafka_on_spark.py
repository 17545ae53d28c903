"""Topics of a real broker, read by Spark: the same rows, rejects and positions as on the embedded engine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import lakekit as lk
from lakekit.errors import ConfigError, ContractError, SchemaError
from tests.integration.sources.kafka_topics import Topic, everything
from tests.integration.sources.test_kafka_registry import TYPES, framed, record
from tests.integration.sources.test_kafka_registry import source as from_registry
from tests.integration.spark.both import Both, both, classic_first, connect_first, differences, rows

if TYPE_CHECKING:
    from tests.servers.kafka import KafkaServer
    from tests.servers.registry import RegistryServer
    from tests.servers.spark import Server

SCHEMA = {
    "i": "int",
    "b": "bigint",
    "f": "float",
    "d": "double",
    "p": "decimal(38,10)",
    "ok": "boolean",
    "at": "timestamp",
    "local": "timestamp_ntz",
    "day": "date",
    "raw": "binary",
    "u": "uuid",
    "s": "string",
    "list": "array<struct<sku: string, n: int>>",
    "map": "map<string, decimal(5,2)>",
    "o": "struct<x: bigint, y: struct<z: string>>",
}
MESSAGES = [
    b'{"i":1,"b":9223372036854775807,"f":1.5,"d":"NaN","p":"1234567890123456789012345678.0123456789","ok":"true","at":"2026-01-01T10:00:00+02:00"}',
    b'{"at":1767225600123,"local":"2026-01-01T10:00:00.123456","day":"2026-02-03","raw":"AAE=","u":"12345678123456781234567812345678"}',
    b'{"s":"caf\xc3\xa9","list":[{"sku":"a","n":1},{"sku":null},null],"map":{"a":"1.25","b":null},"o":{"x":1,"y":{"z":"q"}}}',
    b'{"i":99999999999,"s":{"any":[1,2]},"more":{"x":[1.0]},"list":[{"sku":"a","extra":1}],"o":null}',
    b'{"list":[],"map":{},"o":{},"d":-0.0,"f":"-Infinity"}',
    None,
    b"{}",
    b"{",
    b"[1]",
    b'{"s":"\xff"}',
    b"",
]


@pytest.fixture
def lakes(server: Server, kind: str, tmp_path: Path) -> Both:
    return both(server, kind, tmp_path / "lake")


@connect_first
def test_the_engines_give_the_same_rows_rejects_and_position(kafka: KafkaServer, lakes: Both) -> None:
    topic = Topic(kafka.servers, partitions=3)
    topic.send(*MESSAGES, partition=0, key=b"k\xff", headers=[("trace", b"\x00"), ("trace", None)], timestamp=1_767_225_600_123)
    topic.send(*MESSAGES, partition=2)
    source = topic.source(schema=SCHEMA)
    for lake, into in ((lakes.spark, "bronze.on_spark"), (lakes.embedded, "bronze.embedded")):
        commit = lk.ingest(lake, source, into=into)
        assert (commit.read, commit.inserted, commit.rejected) == (22, 14, 8)
    found, wanted = (rows(lakes.spark, f"bronze.{name}", "_kafka_partition", "_kafka_offset") for name in ("on_spark", "embedded"))
    assert differences(found, wanted) == []
    assert lakes.position("bronze.on_spark", source) == lakes.position("bronze.embedded", source)
    rejects = [rows(lakes.spark, f"bronze.{name}__rejects", "_row", "_payload") for name in ("on_spark", "embedded")]
    of_the_table = {"_reject_id": 0, "_run": 0}
    assert [{**row, **of_the_table} for row in rejects[0]] == [{**row, **of_the_table} for row in rejects[1]]
    assert len(rejects[0]) == 8


@connect_first
def test_inferred_columns_are_the_same_on_both_engines(kafka: KafkaServer, lakes: Both) -> None:
    topic = Topic(kafka.servers, partitions=2)
    for more in ({}, {"late": [{"x": 1}], "o": {"y": "q"}}):
        topic.send({"id": 1, "price": 2, "o": {"x": 1.5}, "_own": 1, "none": []}, None, b"{", partition=0)
        topic.send({"id": 2, "price": 2.5, "mix": "a", **more}, {"id": "three", "mix": 1}, partition=1)
        for lake, into in ((lakes.spark, "bronze.on_spark"), (lakes.embedded, "bronze.embedded")):
            commit = lk.ingest(lake, topic.source(schema="infer"), into=into)
            assert (commit.read, commit.inserted, commit.rejected) == (5, 4, 1)
    found, wanted = (rows(lakes.spark, f"bronze.{name}", "_kafka_partition", "_kafka_offset") for name in ("on_spark", "embedded"))
    assert differences(found, wanted) == []
    assert {name: kind for name, kind in found[0].items() if name == "price"} == {"price": 2.0}


@connect_first
def test_messages_of_a_registry_are_the_same_on_both_engines(kafka: KafkaServer, registry: RegistryServer, lakes: Both) -> None:
    topic, schemas = Topic(kafka.servers), []
    types = {name: found for name, found in TYPES.items() if found[1] != "TIME"}
    for more in ((), (("late", ["null", "long"]),)):
        schemas.append(record(*((name, kind) for name, (kind, *_) in types.items()), *more))
        number = registry.register(f"{topic.name}-value", schemas[-1])
        value = {name: value for name, (_, _, value, _) in types.items()}
        topic.send(
            framed(number, schemas[-1], {**value, "late": 5}),
            None,
            framed(number, schemas[-1], value)[:-1],
            b"{}",
            b"\x00\x00\x0f\xff\xff{",
        )
        for lake, into in ((lakes.spark, "bronze.on_spark"), (lakes.embedded, "bronze.embedded")):
            commit = lk.ingest(lake, from_registry(topic, registry), into=into)
            assert (commit.read, commit.inserted, commit.rejected) == (5, 2, 3)
    found, wanted = (rows(lakes.spark, f"bronze.{name}", "_kafka_offset") for name in ("on_spark", "embedded"))
    assert differences(found, wanted) == []
    assert [row["late"] for row in found if row["large"] is not None] == [None, 5]
    reasons = [sorted(row["_reason"] for row in rows(lakes.spark, f"bronze.{name}__rejects")) for name in ("on_spark", "embedded")]
    assert reasons == [["no_schema_id", "no_schema_id", "not_avro", "not_avro", "unknown_schema_id", "unknown_schema_id"]] * 2
    registry.register(f"{topic.name}-time", record(("clock", TYPES["clock"][0])))
    with pytest.raises(SchemaError, match="column 'clock': Spark can't read or write"):
        lk.ingest(lakes.spark, from_registry(topic, registry, subject=f"{topic.name}-time"), into="bronze.of_time")


@classic_first
def test_json_of_a_registry_is_the_same_on_both_engines(kafka: KafkaServer, registry: RegistryServer, lakes: Both) -> None:
    topic = Topic(kafka.servers)
    schema = {"type": "object", "properties": {"id": {"type": "integer"}, "at": {"type": "string", "format": "date-time"}}}
    head = b"\x00" + registry.register(f"{topic.name}-value", schema, kind="JSON").to_bytes(4)
    topic.send(head + b'{"id": 1, "at": "2026-01-01T10:00:00Z"}', head + b'{"id": "x", "more": [1]}', head + b"{", None)
    for lake, into in ((lakes.spark, "bronze.on_spark"), (lakes.embedded, "bronze.embedded")):
        assert lk.ingest(lake, from_registry(topic, registry, format="json_schema"), into=into).rejected == 1
    found, wanted = (rows(lakes.spark, f"bronze.{name}", "_kafka_offset") for name in ("on_spark", "embedded"))
    assert differences(found, wanted) == []


@classic_first
def test_the_engines_take_turns_on_one_table(kafka: KafkaServer, lakes: Both) -> None:
    topic = Topic(kafka.servers, partitions=2)
    source = topic.source(max_messages=3)
    for number, lake in enumerate((lakes.spark, lakes.embedded, lakes.spark, lakes.embedded)):
        topic.send({"id": number}, {"id": 10 + number}, b"{", partition=number % 2)
        commit = lk.ingest(lake, source, into="bronze.events")
        assert (commit.read, commit.inserted, commit.rejected) == (3, 2, 1)
        assert not lk.ingest(lake, source, into="bronze.events").committed
    taken = rows(lakes.embedded, "bronze.events")
    assert sorted((row["_kafka_partition"], row["_kafka_offset"]) for row in taken) == [
        place for place in everything(topic, [6, 6]) if place[1] % 3 < 2
    ]


@classic_first
def test_messages_of_aborted_transactions_are_left_out_and_a_dry_run_only_counts(kafka: KafkaServer, lakes: Both) -> None:
    topic = Topic(kafka.servers)
    for end in ("abort_transaction", "commit_transaction"):
        producer = topic.transaction()
        producer.produce(topic.name, b'{"id": 1, "kind": "%s"}' % end.encode())
        producer.flush(60)
        getattr(producer, end)(60)
    assert lk.ingest(lakes.spark, topic.source(), into="bronze.events", dry_run=True).inserted == 1
    assert lk.ingest(lakes.spark, topic.source(), into="bronze.events").inserted == 1
    assert not lk.ingest(lakes.spark, topic.source(), into="bronze.events").committed
    assert lakes.position("bronze.events", topic.source())["offsets"] == {"0": 4}
    topic.send({"id": 2})
    assert lk.ingest(lakes.embedded, topic.source(), into="bronze.events").inserted == 1


@pytest.mark.slow
def test_messages_deleted_before_they_were_read_are_an_error(kafka: KafkaServer, lakes: Both) -> None:
    topic = Topic(kafka.servers)
    topic.send({"id": 1})
    lk.ingest(lakes.spark, topic.source(), into="bronze.events")
    topic.send({"id": 2}, {"id": 3})
    topic.delete_before(0, 2)
    with pytest.raises(ContractError, match="offsets 1 to 1"):
        lk.ingest(lakes.spark, topic.source(), into="bronze.events")
    assert lk.ingest(lakes.spark, topic.source(on_gap="continue"), into="bronze.events").inserted == 1


@classic_first
def test_a_user_and_a_password_reach_the_broker(kafka: KafkaServer, lakes: Both) -> None:
    topic = Topic(kafka.servers)
    topic.send({"id": 1})
    secrets = {
        "security.protocol": "SASL_PLAINTEXT",
        "sasl.mechanism": "PLAIN",
        "sasl.username": "reader",
        "sasl.password": "reader-secret",
    }
    source = lk.sources.Kafka(kafka.sasl_servers, options=secrets).topic(topic.name, schema={"id": "bigint"})
    assert lk.ingest(lakes.spark, source, into="bronze.events").inserted == 1
    refused = lk.sources.Kafka(kafka.servers, options={"linger.ms": 5, "sticky.partitioning.linger.ms": 1}).topic(
        topic.name, schema={"id": "int"}
    )
    with pytest.raises(ConfigError, match=r"sticky\.partitioning"):
        lk.ingest(lakes.spark, refused, into="bronze.events")
