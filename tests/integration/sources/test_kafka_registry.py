"""Messages whose schema is in a registry: Avro and JSON Schema, read by the newest version of their subject."""

from __future__ import annotations

import io
import json
import pickle
import socket
import threading
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, time
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import UUID

import fastavro
import pytest

import lakekit as lk
from lakekit import sources
from lakekit.engines.types import sql_type
from lakekit.errors import ConfigError, LakekitError, SchemaError, SourceConfigError, SourceError
from lakekit.incremental.reasons import WORDS
from lakekit.sources.kafka import KafkaTopic
from tests.integration.sources.kafka_topics import INTO, Topic, rows
from tests.servers.kafka import KafkaServer
from tests.servers.registry import RegistryServer

SECRET = "s3cret-Pa55word"


def record(*fields: tuple[str, Any], name: str = "Order", **more: Any) -> dict[str, Any]:
    """A record of fields, those of a union with null having NULL as their default."""
    made = [
        {"name": each, "type": kind, **({"default": None} if isinstance(kind, list) and kind[0] == "null" else {})} for each, kind in fields
    ]
    return {"type": "record", "name": name, "namespace": "shop", "fields": made, **more}


def framed(number: int, schema: Any, value: Any) -> bytes:
    body = io.BytesIO()
    fastavro.schemaless_writer(body, fastavro.parse_schema(schema), value)
    return b"\x00" + number.to_bytes(4) + body.getvalue()


@pytest.fixture
def topic(kafka: KafkaServer) -> Topic:
    return Topic(kafka.servers)


def source(topic: Topic, registry: Any, **options: Any) -> KafkaTopic:
    given = registry.url if isinstance(registry, RegistryServer) else registry
    return sources.Kafka(topic.servers, registry=given).topic(topic.name, **{"format": "avro", **options})


def columns(lake: lk.Lake) -> dict[str, str]:
    return {field.name: sql_type(field.type) for field in lk.read(lake, INTO).schema if not field.name.startswith("_")}


def business(lake: lk.Lake, table: str = INTO) -> list[dict[str, Any]]:
    found = sorted(rows(lake, table), key=lambda row: row["_kafka_offset"])
    return [{name: value for name, value in row.items() if not name.startswith("_") or name == "_rescued_data"} for row in found]


TYPES: dict[str, tuple[Any, str, Any, Any]] = {
    # Avro's type, the column's, a value written, the value read
    "flag": ("boolean", "BOOLEAN", True, True),
    "small": ("int", "INT", -(2**31), -(2**31)),
    "large": ("long", "BIGINT", 2**63 - 1, 2**63 - 1),
    "single": ("float", "FLOAT", 1.5, 1.5),
    "double": ("double", "DOUBLE", -0.1, -0.1),
    "words": ("string", "STRING", "café", "café"),
    "raw": ("bytes", "BINARY", b"\xff\x00", b"\xff\x00"),
    "mac": ({"type": "fixed", "name": "Mac", "size": 2}, "BINARY", b"ab", b"ab"),
    "state": ({"type": "enum", "name": "State", "symbols": ["NEW", "DONE"]}, "STRING", "DONE", "DONE"),
    "price": (
        {"type": "bytes", "logicalType": "decimal", "precision": 10, "scale": 2},
        "DECIMAL(10, 2)",
        Decimal("-19.90"),
        Decimal("-19.90"),
    ),
    "fixed_price": (
        {"type": "fixed", "name": "P", "size": 16, "logicalType": "decimal", "precision": 38, "scale": 0},
        "DECIMAL(38, 0)",
        Decimal(10**37),
        Decimal(10**37),
    ),
    "huge": (
        {"type": "bytes", "logicalType": "decimal", "precision": 50, "scale": 2},
        "STRING",
        Decimal("1" * 45 + ".50"),
        "1" * 45 + ".50",
    ),
    "day": ({"type": "int", "logicalType": "date"}, "DATE", date(1969, 12, 31), date(1969, 12, 31)),
    "at_ms": ({"type": "long", "logicalType": "timestamp-millis"}, "TIMESTAMP", datetime(2026, 1, 1, 0, 0, 0, 1000, UTC), None),
    "at_us": ({"type": "long", "logicalType": "timestamp-micros"}, "TIMESTAMP", datetime(1900, 1, 1, 0, 0, 0, 1, UTC), None),
    "local": ({"type": "long", "logicalType": "local-timestamp-micros"}, "TIMESTAMP_NTZ", datetime(2026, 1, 1, 10), None),  # noqa: DTZ001
    "clock": ({"type": "int", "logicalType": "time-millis"}, "TIME", time(10, 0, 0, 500_000), None),
    "fine_clock": ({"type": "long", "logicalType": "time-micros"}, "TIME", time(10, 0, 0, 1), None),
    "uid": ({"type": "string", "logicalType": "uuid"}, "UUID", UUID(int=7), None),
    "odd": ({"type": "long", "logicalType": "of-another-maker"}, "BIGINT", 5, 5),
    "tags": ({"type": "array", "items": ["null", "string"]}, "ARRAY<STRING>", ["a", None], ["a", None]),
    "counts": ({"type": "map", "values": "long"}, "MAP<STRING, BIGINT>", {"a": 1}, [("a", 1)]),
    "inner": (record(("x", "int"), ("y", ["null", "string"]), name="Inner"), "STRUCT<`x`: INT, `y`: STRING>", {"x": 1, "y": None}, None),
    "again": ("Inner", "STRUCT<`x`: INT, `y`: STRING>", {"x": 2, "y": "q"}, None),
    "maybe": (["null", "Inner"], "STRUCT<`x`: INT, `y`: STRING>", {"x": 3, "y": "z"}, None),
    "lines": ({"type": "array", "items": "Inner"}, "ARRAY<STRUCT<`x`: INT, `y`: STRING>>", [{"x": 4, "y": "w"}], None),
    "number": (["int", "long"], "BIGINT", 2**40, 2**40),
    "either": (["null", "string", "long"], "STRUCT<`string`: STRING, `long`: BIGINT>", 5, {"string": None, "long": 5}),
    "shape": (
        [record(("r", "int"), name="Circle"), record(("w", "int"), name="Box"), {"type": "map", "values": "int"}],
        "STRUCT<`Circle`: STRUCT<`r`: INT>, `Box`: STRUCT<`w`: INT>, `map`: MAP<STRING, INT>>",
        ("shop.Box", {"w": 2}),
        {"Circle": None, "Box": {"w": 2}, "map": None},
    ),
}


def test_every_type_of_avro_has_a_column_and_its_value_comes_back(topic: Topic, registry: RegistryServer, lake: lk.Lake) -> None:
    schema = record(*((name, kind) for name, (kind, *_) in TYPES.items()))
    number = registry.register(f"{topic.name}-value", schema)
    topic.send(framed(number, schema, {name: value for name, (_, _, value, _) in TYPES.items()}), None, key=b"k", headers=[("a", b"\xff")])
    commit = lk.ingest(lake, source(topic, registry), into=INTO)
    assert (commit.read, commit.inserted, commit.rejected) == (2, 2, 0)
    assert columns(lake) == {name: words for name, (_, words, _, _) in TYPES.items()}
    first, tombstone = business(lake)
    for name, (_, _, value, expected) in TYPES.items():
        assert first[name] == (value if expected is None else expected), name
    assert set(tombstone.values()) == {None}
    assert sorted(row["_operation"] for row in rows(lake)) == ["delete", "upsert"]


def test_two_versions_in_one_batch_are_read_by_the_newest(topic: Topic, registry: RegistryServer, lake: lk.Lake) -> None:
    old = record(("id", "int"), ("name", "string"), ("gone", ["null", "bytes"]), ("inner", record(("a", "int"), ("b", "int"), name="In")))
    new = record(("inner", record(("c", ["null", "int"]), ("a", "int"), name="In")), ("id", "long"), ("full_name", "string"))
    new["fields"][2] |= {"aliases": ["name"]}
    new["fields"].append({"name": "state", "type": "string", "default": "new"})
    first = registry.register(f"{topic.name}-value", old)
    topic.send(framed(first, old, {"id": 1, "name": "a", "gone": b"\x01", "inner": {"a": 1, "b": 2}}))
    assert lk.ingest(lake, source(topic, registry), into=INTO).inserted == 1
    second = registry.register(f"{topic.name}-value", new)
    topic.send(framed(first, old, {"id": 2, "name": "b", "gone": None, "inner": {"a": 3, "b": 4}}))
    topic.send(framed(second, new, {"id": 2**40, "full_name": "c", "state": "done", "inner": {"a": 5, "c": 6}}))
    commit = lk.ingest(lake, source(topic, registry), into=INTO)
    assert commit.columns_added == ("full_name", "state")
    assert columns(lake)["inner"] == "STRUCT<`a`: INT, `b`: INT, `c`: INT>"
    found = business(lake)
    assert [row["id"] for row in found] == [1, 2, 2**40]
    assert [(row["full_name"], row["state"]) for row in found] == [(None, None), ("b", "new"), ("c", "done")]
    assert [row["inner"] for row in found] == [{"a": 1, "b": 2, "c": None}, {"a": 3, "b": None, "c": None}, {"a": 5, "b": None, "c": 6}]
    assert [row["_rescued_data"] for row in found] == [None, '{"inner":{"a":3,"b":4}}', None]
    registry.register(f"{topic.name}-value", {**new, "fields": [*new["fields"], {"name": "more", "type": "int", "default": 0}]})
    with pytest.raises(SchemaError, match="ADD COLUMN more"):
        lk.ingest(lake, source(topic, registry), into=INTO, on_change="fail")


def test_what_can_t_be_read_is_rejected_with_its_bytes_and_its_position(topic: Topic, registry: RegistryServer, lake: lk.Lake) -> None:
    schema = record(("id", "int"), ("name", "string"))
    number = registry.register(f"{topic.name}-value", schema)
    other = registry.register(f"{topic.name}-other", record(("id", "string"), ("name", "string")))
    good = framed(number, schema, {"id": 1, "name": "abc"})
    bad = {
        good[:-1]: "not_avro",
        good + b"x": "not_avro",
        good[:5]: "not_avro",
        good[:5] + b"\x02\x04\xff\xfe": "not_avro",
        b"": "no_schema_id",
        b'{"id": 1}': "no_schema_id",
        b"\x00" + (999_999).to_bytes(4) + good[5:]: "unknown_schema_id",
        b"\x00" + other.to_bytes(4) + b"\x02a\x02b": "schema_mismatch",
    }
    topic.send(good, *bad)
    for _ in range(2):
        lk.ingest(lake, source(topic, registry), into=INTO)
    assert [row["id"] for row in business(lake)] == [1]
    rejects = rows(lake, f"{INTO}__rejects")
    assert {row["_payload"]: row["_reason"] for row in rejects} == bad
    assert {row["_rule"] for row in rejects} == {"avro"}
    assert {row["_message"] for row in rejects} == {WORDS[reason] for reason in bad.values()}
    assert sorted(json.loads(row["_row"])["_kafka_offset"] for row in rejects) == list(range(1, len(bad) + 1))


def test_schemas_that_refer_to_others_are_followed(topic: Topic, registry: RegistryServer, lake: lk.Lake) -> None:
    money = record(("amount", "long"), name="Money")
    registry.register(f"{topic.name}-money", money)
    schema = record(("id", "int"), ("price", "shop.Money"))
    reference = {"name": "shop.Money", "subject": f"{topic.name}-money", "version": 1}
    number = registry.register(f"{topic.name}-value", schema, references=[reference])
    topic.send(framed(number, record(("id", "int"), ("price", money)), {"id": 1, "price": {"amount": 5}}))
    lk.ingest(lake, source(topic, registry), into=INTO)
    assert business(lake) == [{"id": 1, "price": {"amount": 5}, "_rescued_data": None}]


def test_a_record_that_holds_itself_and_what_is_no_record_are_refused(topic: Topic, registry: RegistryServer, lake: lk.Lake) -> None:
    registry.register(f"{topic.name}-value", record(("id", "int"), ("next", ["null", "Order"])))
    registry.register("no-record", "string")
    with pytest.raises(SchemaError, match=r"field 'next': the record shop\.Order holds itself"):
        lk.ingest(lake, source(topic, registry), into=INTO)
    with pytest.raises(SchemaError, match="the schema of a record"):
        lk.ingest(lake, source(topic, registry, subject="no-record"), into=INTO)
    with pytest.raises(SourceConfigError, match="expected a schema of kind JSON"):
        lk.ingest(lake, source(topic, registry, format="json_schema"), into=INTO)
    with pytest.raises(SourceConfigError, match=r"no such subject, got 'nosuch'"):
        lk.ingest(lake, source(topic, registry, subject="nosuch"), into=INTO)
    assert lake.tables() == []


JSON_SCHEMA = {
    "$schema": "http://json-schema.org/draft-07/schema#",
    "type": "object",
    "definitions": {"place": {"type": "object", "properties": {"lat": {"type": "number"}}}},
    "properties": {
        "id": {"type": "integer"},
        "price": {"oneOf": [{"type": "null"}, {"type": "number"}]},
        "at": {"type": ["null", "string"], "format": "date-time"},
        "day": {"type": "string", "format": "date"},
        "ok": {"type": "boolean"},
        "state": {"enum": ["new", "done"]},
        "place": {"$ref": "#/definitions/place"},
        "lines": {"type": "array", "items": {"type": "object", "properties": {"sku": {"type": "string"}}}},
        "counts": {"type": "object", "additionalProperties": {"type": "integer"}},
        "any": {},
        "both": {"allOf": [{"$ref": "#/definitions/place"}, {"type": "object", "properties": {"name": {"type": "string"}}}]},
    },
}


def test_json_messages_have_the_columns_of_their_schema(topic: Topic, registry: RegistryServer, lake: lk.Lake) -> None:
    number = registry.register(f"{topic.name}-value", JSON_SCHEMA, kind="JSON")
    value = {"id": 1, "price": 2.5, "at": "2026-01-01T10:00:00Z", "day": "2026-01-01", "ok": True, "state": "new", "place": {"lat": 1.5}}
    value |= {"lines": [{"sku": "a"}], "counts": {"a": 1}, "any": [1, "x"], "both": {"lat": 1, "name": "n"}}
    head = b"\x00" + number.to_bytes(4)
    topic.send(head + json.dumps(value).encode(), head + b'{"id": "x", "more": 1}', head + b"{", b"{}", b"\x00\x00\x0f\xff\xff{}", None)
    commit = lk.ingest(lake, source(topic, registry, format="json_schema"), into=INTO)
    assert (commit.read, commit.inserted, commit.rejected) == (6, 3, 3)
    assert columns(lake) == {
        "id": "BIGINT",
        "price": "DOUBLE",
        "at": "TIMESTAMP",
        "day": "DATE",
        "ok": "BOOLEAN",
        "state": "STRING",
        "place": "STRUCT<`lat`: DOUBLE>",
        "lines": "ARRAY<STRUCT<`sku`: STRING>>",
        "counts": "MAP<STRING, BIGINT>",
        "any": "STRING",
        "both": "STRUCT<`lat`: DOUBLE, `name`: STRING>",
    }
    first, second, _ = business(lake)
    assert first == value | {
        "at": datetime(2026, 1, 1, 10, tzinfo=UTC),
        "day": date(2026, 1, 1),
        "counts": [("a", 1)],
        "any": '[1, "x"]',
        "_rescued_data": None,
    }
    assert (second["id"], second["_rescued_data"]) == (None, '{"id":"x","more":1}')
    reasons = {row["_reason"] for row in rows(lake, f"{INTO}__rejects")}
    assert reasons == {"not_json", "no_schema_id", "unknown_schema_id"}
    registry.register(
        f"{topic.name}-value", {**JSON_SCHEMA, "properties": {**JSON_SCHEMA["properties"], "more": {"type": "integer"}}}, kind="JSON"
    )
    topic.send(head + b'{"id": 2, "more": 7}')
    assert lk.ingest(lake, source(topic, registry, format="json_schema"), into=INTO).columns_added == ("more",)
    assert business(lake)[-1]["more"] == 7


def test_an_object_that_holds_itself_is_refused_unless_columns_are_declared(topic: Topic, registry: RegistryServer, lake: lk.Lake) -> None:
    tree = {"type": "object", "properties": {"id": {"type": "integer"}, "next": {"$ref": "#"}}}
    number = registry.register(f"{topic.name}-value", tree, kind="JSON")
    topic.send(b"\x00" + number.to_bytes(4) + b'{"id": 1, "next": {"id": 2}}')
    with pytest.raises(SchemaError, match="holds itself"):
        lk.ingest(lake, source(topic, registry, format="json_schema"), into=INTO)
    lk.ingest(lake, source(topic, registry, format="json_schema", schema={"id": "bigint", "next": "string"}), into=INTO)
    assert business(lake) == [{"id": 1, "next": '{"id": 2}', "_rescued_data": None}]


def test_a_registry_that_dies_leaves_everything_as_it_was(topic: Topic, lake: lk.Lake) -> None:
    schema = record(("id", "int"))
    with RegistryServer() as own:
        number = own.register(f"{topic.name}-value", schema)
        topic.send(framed(number, schema, {"id": 1}))
        given = {"url": own.url, "max.retries": 0}
        assert lk.ingest(lake, source(topic, given), into=INTO).inserted == 1
        topic.send(framed(number, schema, {"id": 2}))
        own.kill()
        with pytest.raises(SourceError, match="registry can't be reached") as caught:
            lk.ingest(lake, source(topic, given), into=INTO)
        assert caught.value.retryable
        assert len(rows(lake)) == 1
        own.start()
        assert own.register(f"{topic.name}-value", schema) == number
        assert lk.ingest(lake, source(topic, given), into=INTO).inserted == 1


@contextmanager
def guarded(registry: RegistryServer, status: int) -> Iterator[str]:
    """The registry behind a door that asks for a user: ``reader``, with the password. Others get the status."""
    wanted = "Basic " + b64encode(f"reader:{SECRET}".encode()).decode()

    class Door(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            import urllib.request

            if self.headers["Authorization"] != wanted:
                self.send_response(status)
                self.end_headers()
                return
            with urllib.request.urlopen(f"http://{registry.address}{self.path}") as answer:
                self.send_response(answer.status)
                self.send_header("Content-Type", "application/json")
                self.end_headers()
                self.wfile.write(answer.read())

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Door)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"127.0.0.1:{server.server_port}/apis/ccompat/v7"
    finally:
        server.shutdown()
        server.server_close()


def test_credentials_are_used_and_never_shown(
    topic: Topic, registry: RegistryServer, lake: lk.Lake, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    schema = record(("id", "int"))
    topic.send(framed(registry.register(f"{topic.name}-value", schema), schema, {"id": 1}))
    with guarded(registry, 401) as address:
        for given in (f"http://reader:{SECRET}@{address}", {"url": f"http://{address}", "basic.auth.user.info": f"reader:{SECRET}"}):
            made = source(topic, given)
            lk.ingest(lake, made, into=INTO)
            assert SECRET not in repr(made) + repr(made.server) + made.place
            with pytest.raises(ConfigError, match=r"registry=.*not pickled"):
                pickle.dumps(made)
        wrong = source(topic, {"url": f"http://{address}", "basic.auth.user.info": f"other:{SECRET}"})
        with pytest.raises(SourceConfigError, match=r"refuses this user, got HTTP status 401"):
            lk.ingest(lake, wrong, into=INTO)
    with guarded(registry, 503) as address, pytest.raises(SourceError, match="HTTP status 503"):
        lk.ingest(lake, source(topic, {"url": f"http://other:{SECRET}@{address}", "max.retries": 0}), into=INTO)
    with pytest.raises(ConfigError, match="does not take an option") as caught:
        lk.ingest(lake, source(topic, {"url": "http://x", f"nosuch.{SECRET}": SECRET}), into=INTO)
    shown = caplog.text + str(caught.value)
    assert "versions/latest" in shown
    assert SECRET not in shown
    assert b64encode(f"reader:{SECRET}".encode()).decode() not in shown
    assert len(rows(lake)) == 1


def test_what_is_given_wrongly_is_refused_before_anything_is_asked(topic: Topic) -> None:
    bus = sources.Kafka(topic.servers)
    for build, words in (
        (lambda: sources.Kafka(topic.servers, registry="registry:8081"), "expected the URL"),
        (lambda: sources.Kafka(topic.servers, registry={"basic.auth.user.info": "a:b"}), "without 'url'"),
        (lambda: bus.topic("t", format="avro"), "needs a schema registry"),
        (lambda: bus.topic("t", subject="s"), "no schema in a registry"),
        (lambda: sources.Kafka("b", registry="http://r").topic("t", format="avro", schema={"id": "int"}), "leave schema= out"),
        (lambda: bus.topic("t", format="protobuf"), "expected 'json' or 'avro' or 'json_schema'"),
    ):
        with pytest.raises(ConfigError, match=words):
            build()
    assert pickle.loads(pickle.dumps(sources.Kafka("b", registry="http://r"))).registry == "http://r"


def test_a_registry_that_answers_nonsense_is_a_source_that_broke_off(topic: Topic, lake: lk.Lake) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"http://127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(LakekitError) as caught:  # it takes the connection and never answers
            lk.ingest(lake, source(topic, {"url": address, "timeout": 0.5, "max.retries": 0}), into=INTO)
    assert isinstance(caught.value, SourceError)
    assert lake.tables() == []
