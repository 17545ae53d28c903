"""What Debezium's messages are taken for, and what their values become."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import json
import uuid
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from lakekit import sources
from lakekit.errors import ConfigError, SchemaError
from lakekit.sources import kafka_formats, kafka_read
from lakekit.sources.debezium import Debezium
from tests.contract.captures import messages

BUS = sources.Kafka("nowhere:9092", registry="http://nowhere")
SOURCE = {"connector": "postgresql", "lsn": 7, "sequence": '["5","7"]', "txId": 3, "ts_us": 1_000_001}
UNAVAILABLE = "__debezium_unavailable_value"


at = dt.datetime.fromisoformat


def envelope(operation: str, after: Any = None, before: Any = None, **more: Any) -> dict[str, Any]:
    return {"before": before, "after": after, "source": {**SOURCE, **more}, "op": operation}


def compact(value: Any) -> str:
    """JSON as Kafka Connect writes it."""
    return json.dumps(value, separators=(",", ":"))


def read(
    *values: Any, key: Any = None, headers: Mapping[str, str] | None = None, target: pa.Schema | None = None, **options: Any
) -> list[dict[str, Any]]:
    """The rows of these messages, without what is NULL in them."""
    records = [
        {
            "value": None if value is None else value if isinstance(value, str | bytes) else compact(value),
            "key": None if key is None else compact(key),
            "partition": 0,
            "offset": number,
            "timestamp": 2_000,
            "headers": list((headers or {}).items()),
        }
        for number, value in enumerate(values)
    ]
    topic = BUS.debezium("t", **options).log
    look = kafka_formats.looking(topic)()
    look.look(messages(records))
    # What was seen travels as JSON on Spark.
    decoder = kafka_formats.learned(topic, [json.loads(json.dumps(look.to_plain()))], target)()
    rows = kafka_read.as_rows(messages(records), decoder, topic="t", source="s").to_pylist()
    return [{name: value for name, value in row.items() if value is not None and not name.startswith("_kafka")} for row in rows]


def one(*values: Any, **options: Any) -> dict[str, Any]:
    [row] = read(*values, **options)
    return row


def test_an_envelope_says_where_a_change_comes_from() -> None:
    row = one(envelope("c", {"id": 1, "name": "Ann"}), key={"id": 1})
    assert row == {
        "id": 1,
        "name": "Ann",
        "_source": "s",
        "_operation": "upsert",
        "_source_operation": "c",
        "_source_lsn": 7,
        "_source_transaction": "3",
        "_source_key": '{"id":1}',
        "_source_timestamp": dt.datetime(1970, 1, 1, 0, 0, 1, 1, tzinfo=dt.UTC),
    }


def test_a_row_of_an_incremental_snapshot_has_its_place_in_the_sequence() -> None:
    assert one(envelope("r", {"id": 1}, lsn=None))["_source_lsn"] == 7


def test_a_delete_bears_its_key_only() -> None:
    row = one(envelope("d", before={"id": 1, "name": "", "at": "1970-01-01T00:00:00Z"}), key={"id": 1})
    assert (row["id"], row["_operation"], "name" in row) == (1, "delete", False)


def test_a_delete_without_a_key_bears_all_that_was_there() -> None:
    assert one(envelope("d", before={"name": "Ann"}))["name"] == "Ann"


def test_a_declared_key_is_taken_from_the_row() -> None:
    row = one(envelope("d", before={"a": 1, "b": 2, "c": 3}), primary_key=["a", "b"])
    assert (row["_source_key"], "c" in row) == ('{"a":1,"b":2}', False)


def test_a_row_that_moved_says_from_where_and_to_where() -> None:
    row = one(envelope("c", {"id": 50}), key={"id": 50}, headers={"__debezium.oldkey": '{"id":5}'})
    assert row["_moved_from"] == '{"id":5}'
    row = one(envelope("d", before={"id": 5}), key={"id": 5}, headers={"__debezium.newkey": '{"id":50}'})
    assert row["_moved_to"] == '{"id":50}'


def test_a_truncate_is_a_row_of_its_own() -> None:
    rows = read(envelope("c", {"id": 1}), envelope("t"))
    assert (rows[1]["_operation"], rows[1]["_source_operation"], "id" in rows[1]) == ("truncate", "t", False)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "tombstone"),
        ({"ts_ms": 1}, "heartbeat"),
        ({"status": "BEGIN", "id": "1:2", "event_count": None, "data_collections": None, "ts_ms": 1}, "transaction"),
        (envelope("m") | {"message": {"prefix": "p", "content": "eA=="}}, "logical_message"),
        ({"op": "m", "ts_ms": 1, "source": SOURCE, "message": {"prefix": "p"}}, "logical_message"),
        ({"source": {}, "databaseName": "d", "tableChanges": [], "ddl": ""}, "schema_change"),
    ],
)
def test_what_is_no_row_is_skipped(value: Any, reason: str) -> None:
    row = one(value, key={"id": 1})
    assert (row["_rule"], row["_reason"]) == ("skipped", reason)
    assert "_payload" not in row


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("no json", "not_json"),
        (b'{"a": "\xff"}', "not_utf8"),
        ("[1]", "not_an_object"),
        (envelope("u"), "no_row"),
        (envelope("d"), "no_key"),
        (envelope("x", {"id": 1}), "unknown_operation"),
    ],
)
def test_what_can_not_be_read_is_rejected_with_its_bytes(value: Any, reason: str) -> None:
    row = one(value)
    assert (row["_rule"], row["_reason"]) == ("debezium", reason)
    assert row["_payload"] == (value if isinstance(value, bytes) else value.encode() if isinstance(value, str) else compact(value).encode())


def test_a_tombstone_is_a_delete_where_nothing_else_is() -> None:
    row = one(None, key={"id": 1}, tombstones="delete", schema={"id": "bigint"})
    assert (row["id"], row["_operation"], row["_source_key"]) == (1, "delete", '{"id":1}')


def test_a_flattened_row_is_told_by_what_was_added_to_it() -> None:
    added = {"__op": "u", "__lsn": 9, "__source_ts_ms": 5, "__ts_us": 99, "__deleted": "false"}
    row = one({"id": 1, "name": "Ann", **added}, key={"id": 1})
    assert {name: row[name] for name in ("id", "name", "_operation", "_source_operation", "_source_lsn")} == {
        "id": 1,
        "name": "Ann",
        "_operation": "upsert",
        "_source_operation": "u",
        "_source_lsn": 9,
    }
    assert row["_source_timestamp"] == dt.datetime(1970, 1, 1, 0, 0, 0, 5_000, tzinfo=dt.UTC)
    assert one({"id": 1, "name": "", "__deleted": "true"}, key={"id": 1})["_operation"] == "delete"
    assert one({"id": 1, "name": "Ann"}, key={"id": 1})["_operation"] == "upsert"


@pytest.mark.parametrize(
    "value",
    [
        UNAVAILABLE,
        base64.b64encode(UNAVAILABLE.encode()).decode(),
        UNAVAILABLE.encode().hex(),
        [UNAVAILABLE],
        [base64.b64encode(UNAVAILABLE.encode()).decode()],
        list(UNAVAILABLE.encode()),
        {UNAVAILABLE: UNAVAILABLE},
        [str(uuid.UUID(bytes=hashlib.md5(UNAVAILABLE.encode(), usedforsecurity=False).digest(), version=3))],
    ],
    ids=["text", "base64", "hex", "texts", "bytes", "numbers", "hstore", "uuids"],
)
def test_a_value_that_did_not_come_is_no_value(value: Any) -> None:
    row = one(envelope("u", {"id": 1, "big": value}), key={"id": 1})
    assert (row["_unavailable"], "big" in row) == (["big"], False)


def test_text_that_only_speaks_of_the_placeholder_is_text() -> None:
    row = one(envelope("u", {"id": 1, "big": f"a {UNAVAILABLE}"}))
    assert (row["big"], "_unavailable" in row) == (f"a {UNAVAILABLE}", False)


def test_another_placeholder_is_known_by_its_name() -> None:
    assert one(envelope("u", {"id": 1, "big": "gone"}), unavailable_value="gone")["_unavailable"] == ["big"]


@pytest.mark.parametrize(
    ("words", "value", "modes", "wanted"),
    [
        ("decimal(12, 2)", "HL6ZGhQ=", {}, Decimal("1234567890.12")),
        ("decimal(12, 2)", "/w==", {}, Decimal("-0.01")),
        ("decimal(38, 20)", {"scale": 0, "value": "A+g="}, {}, Decimal(1000)),
        ("decimal(12, 2)", "1234", {"decimal_handling": "string"}, Decimal(1234)),
        ("decimal(12, 2)", 1.5, {"decimal_handling": "double"}, Decimal("1.5")),
        ("double", "NaN", {"decimal_handling": "double"}, "nan"),
        ("date", 7363, {}, dt.date(1990, 2, 28)),
        ("date", "1990-02-28Z", {"time_precision": "isostring"}, dt.date(1990, 2, 28)),
        ("time", 27_000_123_456, {}, dt.time(7, 30, 0, 123_456)),
        ("time(3)", 27_000_123, {}, dt.time(7, 30, 0, 123_000)),
        ("time(3)", 27_000_123_000, {"time_precision": "adaptive_time_microseconds"}, dt.time(7, 30, 0, 123_000)),
        ("time", 27_000_123, {"time_precision": "connect"}, dt.time(7, 30, 0, 123_000)),
        ("time", "07:30:00.123456Z", {"time_precision": "isostring"}, dt.time(7, 30, 0, 123_456)),
        ("timestamp_ntz", -1, {}, at("1969-12-31T23:59:59.999999")),
        ("timestamp_ntz(3)", -1, {}, at("1969-12-31T23:59:59.999000")),
        ("timestamp_ntz(6)", -1, {}, at("1969-12-31T23:59:59.999999")),
        ("timestamp_ntz", -1, {"time_precision": "connect"}, at("1969-12-31T23:59:59.999000")),
        ("timestamp_ntz", -1, {"time_precision": "nanoseconds"}, at("1969-12-31T23:59:59.999999")),
        ("timestamp_ntz", "2026-01-02T03:04:05.678Z", {"time_precision": "isostring"}, at("2026-01-02T03:04:05.678000")),
        ("timestamp", "2026-01-02T03:04:05+07:00", {}, dt.datetime(2026, 1, 1, 20, 4, 5, tzinfo=dt.UTC)),
        ("binary", "AP8Q", {}, b"\x00\xff\x10"),
        ("binary", "00ff10", {"binary_handling": "hex"}, b"\x00\xff\x10"),
        ("binary", "_-8=", {"binary_handling": "base64-url-safe"}, b"\xff\xef"),
        ("array<date>", [7363, None], {}, [dt.date(1990, 2, 28), None]),
        ("array<decimal(4, 1)>", ["GQ=="], {}, [Decimal("2.5")]),
    ],
)
def test_a_declared_type_is_read_by_the_connectors_modes(words: str, value: Any, modes: dict[str, Any], wanted: Any) -> None:
    row = one(envelope("c", {"id": 1, "v": value}), schema={"v": words}, **modes)
    assert "_rescued_data" not in row
    assert (str(row["v"]) if wanted == "nan" else row["v"]) == wanted


@pytest.mark.parametrize(
    ("words", "value", "modes"),
    [
        ("decimal(12, 2)", "no base64", {}),
        ("decimal(3, 2)", "HL6ZGhQ=", {}),
        ("decimal(12, 2)", "NAN", {"decimal_handling": "string"}),
        ("date", -2_147_472_692, {}),
        ("date", "1990-13-01", {}),
        ("time", 86_400_000_000, {}),
        ("timestamp_ntz", 9_223_372_036_825_200_000, {}),
        ("timestamp", "-infinity", {}),
        ("timestamp", "2026-01-02T03:04:05", {}),
        ("timestamp_ntz", "+294247-01-10T04:00:25.2Z", {"time_precision": "isostring"}),
        ("binary", "xx", {"binary_handling": "hex"}),
        ("array<date>", [7363, -2_147_472_692], {}),
    ],
)
def test_what_a_declared_type_does_not_hold_is_rescued_as_it_came(words: str, value: Any, modes: dict[str, Any]) -> None:
    rows = read(envelope("c", {"id": 1, "v": value}), envelope("c", {"id": 2, "v": None}), schema={"v": words}, **modes)
    assert "v" not in rows[0]
    assert json.loads(rows[0]["_rescued_data"]) == {"v": value}
    assert "_rescued_data" not in rows[1]


def framed(fields: list[dict[str, Any]], message: dict[str, Any]) -> dict[str, Any]:
    after = {"type": "struct", "fields": fields, "optional": True, "field": "after"}
    return {"schema": {"type": "struct", "fields": [after], "name": "Envelope"}, "payload": message}


def connect(name: str, kind: str, meaning: str | None = None, **parameters: str) -> dict[str, Any]:
    return {"field": name, "type": kind, "name": meaning, "parameters": parameters}


def test_each_message_is_decoded_by_its_own_schema() -> None:
    old = framed(
        [connect("id", "int32"), connect("v", "int64", "io.debezium.time.MicroTimestamp")], envelope("c", {"id": 1, "v": 1_000_000})
    )
    new = framed([connect("id", "int64"), connect("v", "int64", "io.debezium.time.Timestamp")], envelope("c", {"id": 2, "v": 1_000}))
    rows = read(old, new)
    assert [row["id"] for row in rows] == [1, 2]
    assert {row["v"] for row in rows} == {at("1970-01-01T00:00:01")}


def test_a_column_that_a_later_schema_has_no_more_is_kept() -> None:
    old = framed([connect("id", "int32"), connect("email", "string")], envelope("c", {"id": 1, "email": "a@b"}))
    new = framed([connect("id", "int32")], envelope("c", {"id": 2}))
    assert [row.get("email") for row in read(old, new)] == ["a@b", None]


def test_a_declared_type_counts_more_than_what_follows_from_the_schema() -> None:
    variable = {**connect("v", "struct", "io.debezium.data.VariableScaleDecimal"), "fields": []}
    message = framed([variable], envelope("c", {"v": {"scale": 2, "value": "GQ=="}}))
    assert one(message)["v"] == "0.25"
    assert one(message, schema={"v": "decimal(10, 4)"})["v"] == Decimal("0.25")


def test_a_conflict_of_two_schemas_rescues_what_does_not_fit_the_later_one() -> None:
    old = framed([connect("v", "string")], envelope("c", {"v": "x"}))
    new = framed([connect("v", "int32")], envelope("c", {"v": 2}))
    rows = read(old, new)
    assert (rows[0]["_rescued_data"], rows[1]["v"]) == ('{"v":"x"}', 2)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"schema": {"v": "nonsense"}}, SchemaError, "nonsense"),
        ({"schema": {"_v": "int"}}, SchemaError, "_v"),
        ({"schema": {"v": "int", "V": "int"}}, SchemaError, "case"),
        ({"schema": []}, ConfigError, "mapping"),
        ({"decimal_handling": "exact"}, ConfigError, "decimal.handling.mode"),
        ({"time_precision": "ms"}, ConfigError, "time.precision.mode"),
        ({"binary_handling": "raw"}, ConfigError, "binary.handling.mode"),
        ({"tombstones": "keep"}, ConfigError, "tombstones"),
        ({"unavailable_value": ""}, ConfigError, "placeholder"),
    ],
)
def test_a_wrong_argument_is_named(options: dict[str, Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        BUS.debezium("t", **options)


def test_columns_and_times_are_told_to_debezium_and_not_to_its_topic() -> None:
    for topic in (
        BUS.topic("t", schema={"a": "int"}),
        BUS.topic("t", epoch="s"),
        BUS.topic("t", time_zone="UTC"),
        BUS.topic("t", format="json_schema"),
    ):
        with pytest.raises(ConfigError):
            Debezium(topic)
    with pytest.raises(ConfigError, match="topic of Kafka"):
        Debezium("shop.public.users")  # type: ignore[arg-type]
    assert Debezium(BUS.topic("t", start="latest"), schema={"a": "int"}) == BUS.debezium("t", start="latest", schema={"a": "int"})
