"""Every type of BSON arrives as the Arrow type that is promised; what is of another type is rescued, in whatever run it comes."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pyarrow as pa
import pytest
from bson import Binary, Code, DBRef, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp
from bson.datetime_ms import DatetimeMS

import lakekit as lk
from lakekit.errors import ConfigError, SchemaError
from tests.integration.sources.mongo_reading import INTO, Market, orders, rows

INSTANT = pa.timestamp("us", tz="UTC")
NOON = datetime(2026, 1, 2, 12, 0, 0, 123_000, tzinfo=UTC)
SOME_ID = ObjectId("65920080aaaaaaaaaaaaaaaa")
SOME_UUID = UUID("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11")
CASES: dict[str, tuple[Any, pa.DataType, Any]] = {
    "int": (7, pa.int64(), 7),
    "long": (Int64(2**63 - 1), pa.int64(), 2**63 - 1),
    "double": (1.5, pa.float64(), 1.5),
    "infinite": (float("-inf"), pa.float64(), float("-inf")),
    "decimal": (Decimal128("12345678901234567890.123456789"), pa.decimal128(38, 18), Decimal("12345678901234567890.123456789000000000")),
    "bool": (True, pa.bool_(), True),
    "date": (NOON, INSTANT, NOON),
    "date_of_the_year_1": (datetime(1, 1, 1, tzinfo=UTC), INSTANT, datetime(1, 1, 1, tzinfo=UTC)),
    "string": ("ä€\0𝄞", pa.string(), "ä€\0𝄞"),
    "objectId": (SOME_ID, pa.string(), str(SOME_ID)),
    "uuid": (SOME_UUID, pa.string(), str(SOME_UUID)),
    "binary": (b"\x00\xff", pa.binary(), b"\x00\xff"),
    "binary_of_a_subtype": (Binary(b"\x01", 128), pa.binary(), b"\x01"),
    "empty_binary": (b"", pa.binary(), b""),
    "uuid_of_old_drivers": (Binary(SOME_UUID.bytes, 3), pa.binary(), SOME_UUID.bytes),
    "smallest_date": (datetime(1, 1, 1, tzinfo=UTC), INSTANT, datetime(1, 1, 1, tzinfo=UTC)),
    "greatest_date": (
        datetime(9999, 12, 31, 23, 59, 59, 999_000, tzinfo=UTC),
        INSTANT,
        datetime(9999, 12, 31, 23, 59, 59, 999_000, tzinfo=UTC),
    ),
    "a_millisecond_before_1970": (
        datetime(1969, 12, 31, 23, 59, 59, 999_000, tzinfo=UTC),
        INSTANT,
        datetime(1969, 12, 31, 23, 59, 59, 999_000, tzinfo=UTC),
    ),
    "smallest_long": (Int64(-(2**63)), pa.int64(), -(2**63)),
    "smallest_double": (5e-324, pa.float64(), 5e-324),
    "empty_string": ("", pa.string(), ""),
    "decimal_with_zeros": (Decimal128("1.500"), pa.decimal128(38, 18), Decimal("1.500000000000000000")),
    "document": (
        {"a": 1, "b": {"c": "x"}},
        pa.struct([("a", pa.int64()), ("b", pa.struct([("c", pa.string())]))]),
        {"a": 1, "b": {"c": "x"}},
    ),
    "dbref": (DBRef("buyers", 5), pa.struct([("$ref", pa.string()), ("$id", pa.int64())]), {"$ref": "buyers", "$id": 5}),
    "array": ([1, None, 3], pa.list_(pa.field("element", pa.int64())), [1, None, 3]),
    "array_of_documents": ([{"a": 1}, {}], pa.list_(pa.field("element", pa.struct([("a", pa.int64())]))), [{"a": 1}, {"a": None}]),
    "array_of_arrays": ([[1], []], pa.list_(pa.field("element", pa.list_(pa.field("element", pa.int64())))), [[1], []]),
    "regex": (Regex("^a", "i"), pa.string(), '{"$regularExpression":{"pattern":"^a","options":"i"}}'),
    "javascript": (Code("f()"), pa.string(), '{"$code":"f()"}'),
    "timestamp": (Timestamp(7, 1), pa.string(), '{"$timestamp":{"t":7,"i":1}}'),
    "minKey": (MinKey(), pa.string(), '{"$minKey":1}'),
    "maxKey": (MaxKey(), pa.string(), '{"$maxKey":1}'),
}
if os.environ.get("MONGO_URI"):  # the stand-in does not know it
    CASES["code_with_scope"] = (Code("f()", {"a": 1}), pa.string(), '{"$code":"f()","$scope":{"a":1}}')


def ingest(market: Market, uri: str, lake: lk.Lake, *documents: dict[str, Any], **options: Any) -> list[dict[str, Any]]:
    """Insert, ingest, and give the business columns of the new rows by _id, with what was rescued as ``rescued``."""
    market["orders"].insert_many(documents)
    lk.ingest(lake, orders(market, uri, **options), into=INTO)
    wanted = [document["_id"] for document in documents]
    found = sorted((row for row in rows(lake) if row["_id"] in wanted), key=lambda row: row["_id"])
    return [
        {name: value for name, value in row.items() if name == "_id" or not name.startswith("_")}
        | {"rescued": json.loads(row["_rescued_data"] or "{}")}
        for row in found
    ]


def kind(lake: lk.Lake, column: str) -> pa.DataType:
    return lk.read(lake, INTO).to_arrow().schema.field(column).type


def test_each_type_arrives_as_promised_and_null_stays_null(market: Market, mongo: str, lake: lk.Lake) -> None:
    values = {name: value for name, (value, _, _) in CASES.items()}
    market["orders"].insert_many([{"_id": 1, **values}, {"_id": 2, **dict.fromkeys(values)}, {"_id": 3}])
    source = orders(market, mongo)
    with source.open(None, target=lk.sources.protocol.Target()) as increment:
        list(increment.batches)
        assert {name: increment.schema.field(name).type for name in CASES} == {name: arrow for name, (_, arrow, _) in CASES.items()}
    lk.ingest(lake, source, into=INTO)
    given, null, absent = sorted(rows(lake), key=lambda row: row["_id"])
    assert {name: given[name] for name in CASES} == {name: expected for name, (_, _, expected) in CASES.items()}
    assert {row[name] for row in (null, absent) for name in CASES} == {None}
    assert {row["_rescued_data"] for row in (given, null, absent)} == {None}
    assert not lk.ingest(lake, source, into=INTO).committed  # and each is known when it is read again


MISFITS: dict[str, tuple[Any, Any]] = {
    "date_beyond_the_year_9999": (DatetimeMS(2**60), {"$date": {"$numberLong": str(2**60)}}),
    "date_before_christ": (DatetimeMS(-(10**14)), {"$date": {"$numberLong": str(-(10**14))}}),
    "decimal_of_34_digits": (Decimal128("9" * 34), {"$numberDecimal": "9" * 34}),
    "decimal_of_19_decimals": (Decimal128("1E-19"), {"$numberDecimal": "1E-19"}),
    "greatest_decimal": (Decimal128("9E+6144"), {"$numberDecimal": "9." + "0" * 33 + "E+6144"}),
    "decimal_nan": (Decimal128("NaN"), {"$numberDecimal": "NaN"}),
    "decimal_infinity": (Decimal128("-Infinity"), {"$numberDecimal": "-Infinity"}),
}


def test_a_value_that_no_column_holds_is_rescued(market: Market, mongo: str, lake: lk.Lake) -> None:
    (row,) = ingest(market, mongo, lake, {"_id": 1, **{name: value for name, (value, _) in MISFITS.items()}})
    assert {name: row.get(name) for name in MISFITS} == dict.fromkeys(MISFITS)
    assert row["rescued"] == {name: rescued for name, (_, rescued) in MISFITS.items()}


def test_declared_as_text_or_wider_such_a_value_is_in_its_column(market: Market, mongo: str, lake: lk.Lake) -> None:
    schema = {"nan": "string", "long": "decimal(38, 0)", "texts": "array<string>"}
    document = {"_id": 1, "nan": Decimal128("NaN"), "long": Decimal128("9" * 34), "texts": [1, "a", Decimal128("1.50"), {"b": 1}]}
    (row,) = ingest(market, mongo, lake, document, schema=schema)
    assert (row["nan"], row["long"], row["texts"], row["rescued"]) == ("NaN", Decimal("9" * 34), ["1", "a", "1.50", '{"b":1}'], {})


def test_arrays_of_mixed_types_lose_nothing(market: Market, mongo: str, lake: lk.Lake) -> None:
    numbers, mixed, nested = [1, 2.5, None], [1, "a", True, NOON], [{"a": 1}, 5, [1]]
    (row,) = ingest(market, mongo, lake, {"_id": 1, "numbers": numbers, "mixed": mixed, "nested": nested})
    assert row["numbers"] == [1.0, 2.5, None]
    assert row["mixed"] == ["1", "a", "true", "2026-01-02T12:00:00.123Z"]
    assert row["nested"] == [None, None, [1]]
    assert row["rescued"] == {"nested.0": {"a": 1}, "nested.1": 5}


def test_deep_nesting_is_kept_level_by_level(market: Market, mongo: str, lake: lk.Lake) -> None:
    deep: Any = {"leaf": 1}
    for level in range(40):
        deep = {"inner": deep} if level % 2 else {"list": [deep]}
    (row,) = ingest(market, mongo, lake, {"_id": 1, "deep": deep})
    assert (row["deep"], row["rescued"]) == (deep, {})


def test_absent_and_null_are_both_null_and_told_apart_where_that_is_asked_for(market: Market, mongo: str, lake: lk.Lake) -> None:
    documents = [
        {"_id": 1, "a": 1, "s": {"x": 1, "y": 2}, "list": [{"x": 1}]},
        {"_id": 2, "a": None, "s": {"x": None}, "list": [{"x": None}, {}, None], "never": None, "a.b": None},
        {"_id": 3},
    ]
    one, two, three = ingest(market, mongo, lake, *documents, keep_nulls=True)
    assert (two["a"], two["s"], two["list"]) == (None, {"x": None, "y": None}, [{"x": None}, {"x": None}, None])
    assert [row["rescued"] for row in (one, two, three)] == [
        {},
        {"a": None, "a\\.b": None, "list.0.x": None, "never": None, "s.x": None},
        {},
    ]
    assert not lk.ingest(lake, orders(market, mongo, keep_nulls=True), into=INTO).committed
    lk.ingest(lake, orders(market, mongo), into="bronze.plain")
    assert [row["_rescued_data"] for row in rows(lake, "bronze.plain")] == [None, None, None]


def test_only_the_columns_asked_for_are_read(market: Market, mongo: str, lake: lk.Lake) -> None:
    (row,) = ingest(market, mongo, lake, {"_id": 1, "a": 1, "b": {"c": 2}, "d": "x"}, columns=["_id", "b", "absent"])
    assert row == {"_id": 1, "b": {"c": 2}, "rescued": {}}
    without_id = orders(market, mongo, primary_key="a", columns=["a"])
    lk.ingest(lake, without_id, into="bronze.no_id")
    assert "_id" not in rows(lake, "bronze.no_id")[0]


@pytest.mark.parametrize(
    "options",
    [{"columns": "a"}, {"columns": ["_id"], "cursor": "at"}, {"columns": ["_id"], "schema": {"a": "int"}}, {"columns": ["_id", "a.b"]}],
)
def test_columns_that_leave_out_what_is_needed_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="columns="):
        lk.sources.Mongo("mongodb://db", database="market").collection("orders", **options)


def test_numbers_of_several_types_get_the_type_that_holds_them(market: Market, mongo: str, lake: lk.Lake) -> None:
    ingest(
        market, mongo, lake, {"_id": 1, "a": 1, "b": 1, "c": 0.5}, {"_id": 2, "a": 1.5, "b": Decimal128("0.1"), "c": Decimal128("1E-19")}
    )
    assert (kind(lake, "a"), kind(lake, "b")) == (pa.float64(), pa.decimal128(38, 18))
    (row,) = [row for row in rows(lake) if row["_id"] == 2]
    assert (row["b"], row["c"], row["_rescued_data"]) == (Decimal("0.1"), None, '{"c":{"$numberDecimal":"1E-19"}}')


def test_other_mixes_are_text_and_nested_ones_lose_nothing(market: Market, mongo: str, lake: lk.Lake) -> None:
    one, two, three = ingest(
        market,
        mongo,
        lake,
        {"_id": 1, "v": 5, "address": {"zip": 12345, "city": "Ulm"}, "items": [{"price": 1, "tags": ["a"]}]},
        {"_id": 2, "v": "five", "address": {"zip": "D-1"}, "items": [{"price": "free", "tags": "b"}, 7]},
        {"_id": 3, "v": True, "address": "Ulm", "items": {"price": 1}},
    )
    assert [row["v"] for row in (one, two, three)] == ["5", "five", "true"]
    assert (one["address"], one["items"]) == ({"zip": "12345", "city": "Ulm"}, [{"price": "1", "tags": ["a"]}])
    assert (two["address"], two["items"]) == ({"zip": "D-1", "city": None}, [{"price": "free", "tags": None}, None])
    assert (three["address"], three["items"]) == (None, None)
    assert [row["rescued"] for row in (one, two, three)] == [
        {},
        {"items.0.tags": "b", "items.1": 7},
        {"address": "Ulm", "items": {"price": 1}},
    ]


def test_a_column_keeps_its_type_and_what_does_not_fit_is_rescued(market: Market, mongo: str, lake: lk.Lake) -> None:
    ingest(market, mongo, lake, {"_id": 1, "n": 1, "items": [{"price": 1.5}], "text": "x"})
    two, three = ingest(
        market,
        mongo,
        lake,
        {"_id": 2, "n": "two", "items": [{"price": "free"}, {"price": 2}], "text": 5},
        {"_id": 3, "n": 2.5, "items": [], "text": {"a": 1}},
    )
    assert (two["n"], two["items"], two["text"]) == (None, [{"price": None}, {"price": 2.0}], "5")
    assert two["rescued"] == {"n": "two", "items.0.price": "free"}
    assert (three["n"], three["items"], three["text"], three["rescued"]) == (None, [], '{"a":1}', {"n": 2.5})
    assert not lk.ingest(lake, orders(market, mongo), into=INTO).committed


def test_a_new_field_gets_its_column_in_the_same_run(market: Market, mongo: str, lake: lk.Lake) -> None:
    ingest(market, mongo, lake, {"_id": 1, "address": {"zip": "1"}, "items": [{"price": 1}]})
    (row,) = ingest(market, mongo, lake, {"_id": 2, "channel": "app", "address": {"city": "Ulm"}, "items": [{"price": 2, "gift": True}]})
    assert row == {
        "_id": 2,
        "channel": "app",
        "address": {"zip": None, "city": "Ulm"},
        "items": [{"price": 2, "gift": True}],
        "rescued": {},
    }
    assert next(row for row in rows(lake) if row["_id"] == 1)["channel"] is None
    assert not lk.ingest(lake, orders(market, mongo), into=INTO).committed


def test_a_field_that_was_empty_is_rescued_until_its_type_is_known(market: Market, mongo: str, lake: lk.Lake) -> None:
    (row,) = ingest(market, mongo, lake, {"_id": 1, "tags": [], "extra": {}})
    assert row["rescued"] == {"tags": [], "extra": {}}
    (row,) = ingest(market, mongo, lake, {"_id": 2, "tags": ["a"], "extra": {"a": 1}})
    assert (row["tags"], row["extra"], row["rescued"]) == (["a"], {"a": 1}, {})
    assert len(rows(lake)) == 2  # the first is read again, and recognised
    assert not lk.ingest(lake, orders(market, mongo), into=INTO).committed


def test_fields_that_can_be_no_columns_are_rescued(market: Market, mongo: str, lake: lk.Lake) -> None:
    unfit = {"_source": 1, "_rescued_data": "x", "_class": "Order", "state": "b", "a.b": 1, "": 2}
    (row,) = ingest(market, mongo, lake, {"_id": 1, "State": "a", **unfit})
    assert row == {"_id": 1, "State": "a", "rescued": {name.replace(".", "\\."): value for name, value in unfit.items()}}


def test_odd_names_are_columns_too(market: Market, mongo: str, lake: lk.Lake) -> None:
    names = ["select", 'a"b', "a`b", "a'b", "a b", "a-b;", "ü", "1st", "a\nb", "%s", "{x}"]
    (row,) = ingest(
        market, mongo, lake, {"_id": 1, "__v": 0, **dict.fromkeys(names, 1), "inner": dict.fromkeys([*names, "_class", "$k"], 1)}
    )
    assert {name: row[name] for name in names} == dict.fromkeys(names, 1)
    assert row["inner"] == dict.fromkeys([*names, "_class", "$k"], 1)
    assert rows(lake)[0]["__v"] == 0
    assert not lk.ingest(lake, orders(market, mongo), into=INTO).committed


def test_declared_types_hold_and_what_does_not_fit_them_is_rescued(market: Market, mongo: str, lake: lk.Lake) -> None:
    schema = {
        "price": "decimal(12,2)",
        "payload": "string",
        "by_day": "map<string, bigint>",
        "on_day": "date",
        "key": "uuid",
        "none": "int",
    }
    one, two = ingest(
        market,
        mongo,
        lake,
        {
            "_id": 1,
            "price": 19.9,
            "payload": {"a": [1]},
            "by_day": {"mo": 1, "tu": "x"},
            "on_day": datetime(2026, 1, 2, tzinfo=UTC),
            "key": SOME_UUID,
        },
        {"_id": 2, "price": Decimal128("0.005"), "payload": 5, "by_day": 5, "on_day": NOON, "key": "a"},
        schema=schema,
    )
    assert kind(lake, "price") == pa.decimal128(12, 2)
    assert (one["price"], one["payload"], dict(one["by_day"]), one["on_day"], one["none"]) == (
        Decimal("19.90"),
        '{"a":[1]}',
        {"mo": 1, "tu": None},
        datetime(2026, 1, 2, tzinfo=UTC).date(),
        None,
    )
    assert one["key"] in {SOME_UUID, str(SOME_UUID), SOME_UUID.bytes}
    assert one["rescued"] == {"by_day.tu": "x"}
    assert [two[name] for name in schema] == [None, "5", None, None, None, None]
    assert set(two["rescued"]) == {"price", "by_day", "on_day", "key"}


def test_fields_whose_names_are_data_are_an_error_and_nothing_is_written(market: Market, mongo: str, lake: lk.Lake) -> None:
    market["orders"].insert_one({"_id": 1, "by_day": {f"d{number}": 1 for number in range(5_001)}})
    with pytest.raises(SchemaError, match="'by_day'"):
        lk.ingest(lake, orders(market, mongo), into=INTO)
    assert lake.tables() == []
    lk.ingest(lake, orders(market, mongo, schema={"by_day": "map<string, int>"}), into=INTO)
    assert len(rows(lake)[0]["by_day"]) == 5_001
