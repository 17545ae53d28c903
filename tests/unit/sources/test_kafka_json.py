"""JSON messages as columns: each field is in its column or rescued, and what stands beside a message changes nothing."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any
from uuid import UUID

import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lakekit.engines.types import arrow_type
from lakekit.sources.kafka_json import JsonDecoder
from lakekit.sources.kafka_values import Clock

CLOCK = Clock()


def decoder(clock: Clock = CLOCK, /, **columns: str) -> JsonDecoder:
    return JsonDecoder(pa.schema([(name, arrow_type(words)) for name, words in columns.items()]), clock)


def read(made: JsonDecoder, *values: bytes | None) -> list[tuple[list[Any], str | None, str | None]]:
    """For each message: its values, what was rescued, and why it can't be read."""
    found = made.decode(values)
    rows = zip(*(column.to_pylist() for column in found.columns), strict=True)
    return [(list(row), found.rescued.get(index), found.reasons.get(index)) for index, row in enumerate(rows)]


def value(words: str, text: str, clock: Clock = CLOCK) -> Any:
    """The column's value for a field with this JSON. The rescued text, in a tuple, where it does not fit."""
    ((row, rescued, reason),) = read(decoder(clock, v=words), f'{{"v":{text}}}'.encode())
    assert reason is None
    if rescued is not None:
        assert rescued == f'{{"v":{text}}}'
        return (row[0], "rescued")
    return row[0]


RESCUED = (None, "rescued")
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("words", "text", "expected"),
    [
        ("string", '"a\\u00fc"', "aü"),
        ("string", '"null"', "null"),
        ("string", "1.50", "1.50"),
        ("string", '{"a": [1]}', '{"a": [1]}'),
        ("string", "true", "true"),
        ("int", "5", 5),
        ("int", "5.0", 5),
        ("int", '"5"', 5),
        ("int", "5.5", RESCUED),
        ("int", "2147483648", RESCUED),
        ("int", '"five"', RESCUED),
        ("int", "true", RESCUED),
        ("int", "null", None),
        ("int", '"null"', None),
        ("bigint", "-9223372036854775808", -(2**63)),
        ("bigint", "9223372036854775808", RESCUED),
        ("double", "1", 1.0),
        ("double", '"1.5"', 1.5),
        ("double", '"Infinity"', math.inf),
        ("double", "1e400", RESCUED),
        ("float", "1e39", RESCUED),
        ("float", '"-Infinity"', -math.inf),
        ("decimal(10,2)", "19.90", Decimal("19.90")),
        ("decimal(10,2)", '"19.9"', Decimal("19.90")),
        ("decimal(10,2)", "19.900", Decimal("19.90")),
        ("decimal(10,2)", "19.905", RESCUED),
        ("decimal(10,2)", "1e-41", RESCUED),
        ("decimal(10,2)", "123456789", RESCUED),
        ("decimal(10,2)", '"NaN"', RESCUED),
        ("decimal(10,2)", "1e3", Decimal("1000.00")),
        ("decimal(38,9)", "12345678901234567890.123456789", Decimal("12345678901234567890.123456789")),
        ("boolean", "true", True),
        ("boolean", '"False"', False),
        ("boolean", "1", True),
        ("boolean", "2", RESCUED),
        ("timestamp", '"2026-01-01T12:00:00Z"', NOON),
        ("timestamp", '"2026-01-01 14:00:00.000000+02:00"', NOON),
        ("timestamp", '"2026-01-01T12:00:00"', RESCUED),
        ("timestamp", '"2026-01-01"', RESCUED),
        ("timestamp", '"0001-01-01T00:00:00+01:00"', RESCUED),
        ("timestamp", "1767268800000", NOON),
        ("timestamp", '"1767268800000"', NOON),
        ("timestamp", "1767268800000.5", NOON.replace(microsecond=500)),
        ("timestamp", "1e30", RESCUED),
        ("timestamp", "99999999999999999999", RESCUED),
        ("timestamp", '"NaN"', RESCUED),
        ("timestamp", "true", RESCUED),
        ("timestamp_ntz", '"2026-01-01T12:00:00.5"', datetime(2026, 1, 1, 12, 0, 0, 500_000)),  # noqa: DTZ001 -- that is the type
        ("timestamp_ntz", '"2026-01-01T12:00:00Z"', RESCUED),
        ("timestamp_ntz", "1767268800000", RESCUED),
        ("date", '"2026-01-01"', date(2026, 1, 1)),
        ("date", '"2026-02-30"', RESCUED),
        ("time", '"10:00:00.5"', time(10, 0, 0, 500_000)),
        ("binary", '"aGk="', b"hi"),
        ("binary", '"a"', RESCUED),
        ("uuid", '"123E4567-e89b-12d3-a456-426614174000"', UUID("123e4567-e89b-12d3-a456-426614174000")),
        ("array<int>", '[1, null, "2"]', [1, None, 2]),
        ("array<int>", "[1, {}]", RESCUED),
        ("array<decimal(4,2)>", "[1.5, 100]", RESCUED),
        ("map<string, array<timestamp>>", '{"a": [1767268800000, null], "b": null}', [("a", [NOON, None]), ("b", None)]),
        ("struct<a: int, b: struct<c: string>>", '{"a": 1, "b": {"c": "x"}}', {"a": 1, "b": {"c": "x"}}),
        ("struct<a: int, b: struct<c: string>>", '{"b": null}', {"a": None, "b": None}),
        ("struct<a: int, b: struct<c: string>>", '{"a": 1, "b": {"c": "x", "d": 2}}', ({"a": 1, "b": {"c": "x"}}, "rescued")),
        ("struct<a: int>", '{"a": "x"}', RESCUED),
        ("array<string>", '["a", 1.50, null, {"b": [1]}, "null"]', ["a", "1.50", None, '{"b": [1]}', "null"]),
        ("struct<a: string, b: int>", '{"a": true, "b": "2"}', {"a": "true", "b": 2}),
        ("struct<a: string, b: int>", '{"a": 1, "z": 2}', ({"a": "1", "b": None}, "rescued")),
        ("map<string, struct<s: string>>", '{"k": {"s": "\\u00fc"}, "l": {"s": 7}}', [("k", {"s": "ü"}), ("l", {"s": "7"})]),
        ("array<struct<a: int>>", '[{"a": 1}, {"z": 2}]', ([{"a": 1}, {"a": None}], "rescued")),
    ],
)
def test_a_value_is_cast_to_its_column_or_rescued(words: str, text: str, expected: Any) -> None:
    assert value(words, text) == expected


@pytest.mark.parametrize(
    ("epoch", "number"), [("s", 1767268800), ("ms", 1767268800_000), ("us", 1767268800_000_000), ("ns", 1767268800_000_000_000)]
)
def test_a_number_counts_from_1970_in_what_epoch_says(epoch: Any, number: int) -> None:
    assert value("timestamp", str(number), Clock(epoch)) == NOON
    assert value("array<timestamp>", f'[{number}, "2026-01-01T12:00:00Z"]', Clock(epoch)) == [NOON, NOON]


def test_a_time_without_a_zone_is_of_the_zone_that_was_named() -> None:
    assert value("timestamp", '"2026-07-01T12:00:00"', Clock(time_zone="Europe/Berlin")) == datetime(2026, 7, 1, 10, tzinfo=UTC)
    assert value("timestamp", '"2026-07-01T12:00:00Z"', Clock(time_zone="Europe/Berlin")) == datetime(2026, 7, 1, 12, tzinfo=UTC)


def test_rescued_fields_keep_their_text_and_their_order() -> None:
    message = b'{ "z" : 1.500, "id":1,"\xc3\xbc\\"": {"a" : [ 1e400 ]}, "n":null}'
    assert read(decoder(id="bigint"), message) == [([1], '{"z":1.500,"ü\\"":{"a" : [ 1e400 ]},"n":null}', None)]


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (b"", "not_json"),
        (b"nonsense", "not_json"),
        (b"{", "not_json"),
        (b'{"id": 1} x', "not_json"),
        (b'{"id": 1,}', "not_json"),
        (b'{"id": NaN}', "not_json"),
        (b'{"other": "\\ud800"}', "not_json"),
        (b"[1", "not_json"),
        (b"\x00\x00\x00\x00\x01id", "not_json"),
        (b'{"id": 1, "other": "\xff"}', "not_utf8"),
        (b'{"\xff": 1}', "not_utf8"),
        (b"[]", "not_an_object"),
        (b"null", "not_an_object"),
        (b'"text"', "not_an_object"),
        (b" 7 ", "not_an_object"),
        (b'{"other":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested_too_deeply"),
    ],
)
def test_what_is_no_json_object_says_why(message: bytes, reason: str) -> None:
    assert read(decoder(id="bigint"), b'{"id": 2}', message, b'{"id": 3}') == [([2], None, None), ([None], None, reason), ([3], None, None)]


def test_a_tombstone_is_null_in_all_columns() -> None:
    assert read(decoder(id="bigint", tags="array<string>"), None, b"{}") == [([None, None], None, None)] * 2


def test_names_may_be_anything_and_match_exactly() -> None:
    made = decoder(**{"class": "int", "event-id": "int", "f0": "int", "": "int", "a.b": "struct<`x-y`: int>"})
    message = {"class": 1, "event-id": 2, "f0": 3, "": 4, "a.b": {"x-y": 5}, "Class": 6}
    assert read(made, json.dumps(message).encode()) == [([1, 2, 3, 4, {"x-y": 5}], '{"Class":6}', None)]


def test_of_a_name_that_comes_twice_the_last_one_counts() -> None:
    made = decoder(id="bigint")
    assert read(made, b'{"id":1,"id":2}', b'{"id":"x","id":2}') == [([2], None, None)] * 2
    assert read(made, b'{"id":1,"id":"x"}') == [([None], '{"id":"x"}', None)]


# The laws

COLUMNS = {
    "i": "int",
    "l": "bigint",
    "d": "double",
    "f": "float",
    "n": "decimal(6,2)",
    "b": "boolean",
    "s": "string",
    "t": "timestamp",
    "a": "array<bigint>",
    "m": "map<string, decimal(4,1)>",
    "o": "struct<x: int, y: struct<z: string>>",
}
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.integers(-5, 5),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(["1", "1.5", "null", "NaN", "true", "2026-01-01T12:00:00Z", "2026-01-01T12:00:00", "aGk="]),
    st.text(max_size=5),
)
NAMES = st.sampled_from([*COLUMNS, "x", "y", "z", "extra"])
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3), max_leaves=6)
OBJECTS = st.dictionaries(NAMES, VALUES, max_size=6)
MESSAGES = st.one_of(
    st.none(),
    OBJECTS.map(lambda fields: json.dumps(fields).encode()),
    OBJECTS.map(lambda fields: json.dumps(fields, ensure_ascii=False, indent=1).encode("utf-8", "surrogatepass")),
    VALUES.map(lambda value: json.dumps(value).encode()),
    st.binary(max_size=12),
)
EVERYTHING = decoder(**COLUMNS)


@given(OBJECTS)
def test_each_field_is_in_its_column_or_rescued_as_it_was(fields: dict[str, Any]) -> None:
    ((row, rescued, reason),) = read(EVERYTHING, json.dumps(fields).encode())
    assert reason is None
    kept: Mapping[str, Any] = json.loads(rescued) if rescued is not None else {}
    columns = dict(zip(COLUMNS, row, strict=True))
    assert {name: fields[name] for name in kept} == kept
    for name, given_ in fields.items():
        if name not in COLUMNS:
            assert name in kept
        elif name not in kept and columns[name] is None:
            assert given_ is None or (isinstance(given_, str) and given_.lower() == "null")
        elif columns[name] is not None and name not in "om":
            assert name not in kept
    assert all(columns[name] is None for name in COLUMNS if name not in fields)


@given(st.lists(MESSAGES, max_size=8), st.data())
@example([b'{"n":1.005}', b'{"n":1.5}', b'{"f":1e39}', b'{"f":1.5}', b'{"t":1e30}', b'{"t":1}'], None)
def test_a_message_reads_the_same_in_any_batch(messages: list[bytes | None], data: Any) -> None:
    alone = [row for message in messages for row in read(EVERYTHING, message)]
    assert repr(read(EVERYTHING, *messages)) == repr(alone)  # NaN is like NaN
    if data is not None and messages:
        cut = data.draw(st.integers(0, len(messages)))
        assert repr(read(EVERYTHING, *messages[:cut]) + read(EVERYTHING, *messages[cut:])) == repr(alone)


@given(MESSAGES)
def test_a_message_is_refused_exactly_when_it_is_no_json_object(message: bytes | None) -> None:
    ((_, _, reason),) = read(EVERYTHING, message)
    if message is None:
        assert reason is None
        return
    try:
        is_object = isinstance(json.loads(message.decode(), parse_constant=lambda _: 1 / 0), dict)
        message.decode()
        json.dumps(json.loads(message), ensure_ascii=False).encode()  # a lone surrogate is no text
    except (ValueError, ZeroDivisionError):
        is_object = False
    assert (reason is None) == is_object


@given(st.integers(-(2**31), 2**31 - 1), st.decimals(-9999, 9999, places=2), st.text(), st.datetimes(timezones=st.just(UTC)))
def test_what_was_written_as_declared_is_read_back(number: int, price: Decimal, words: str, at: datetime) -> None:
    words = words.encode("utf-8", "ignore").decode()
    message = f'{{"i":{number},"n":{price},"s":{json.dumps(words)},"t":"{at.isoformat()}"}}'.encode()
    ((row, rescued, _),) = read(decoder(i="int", n="decimal(6,2)", s="string", t="timestamp"), message)
    assert (row, rescued) == ([number, price, words, at], None)
