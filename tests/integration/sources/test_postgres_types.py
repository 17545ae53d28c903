"""Every type of PostgreSQL arrives as the Arrow type that is promised, or not at all."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import psycopg
import pyarrow as pa
import pytest

from lakekit.errors import ContractError
from tests.integration.sources.reading import execute, read, shop

UTC_MICROSECONDS = pa.timestamp("us", tz="UTC")
CASES: list[tuple[str, str, pa.DataType, Any]] = [
    ("smallint", "-7", pa.int32(), -7),
    ("integer", "7", pa.int32(), 7),
    ("bigint", "9223372036854775807", pa.int64(), 2**63 - 1),
    ("oid", "4294967295", pa.int64(), 4294967295),
    ("real", "1.5", pa.float32(), 1.5),
    ("double precision", "'NaN'", pa.float64(), "nan"),
    ("boolean", "true", pa.bool_(), True),
    ("numeric(12,2)", "1234567.89", pa.decimal128(12, 2), Decimal("1234567.89")),
    ("numeric(38,10)", "-1", pa.decimal128(38, 10), Decimal("-1.0000000000")),
    ("numeric(5)", "123", pa.decimal128(5, 0), Decimal(123)),
    ("numeric(3,-2)", "12300", pa.decimal128(5, 0), Decimal(12300)),
    ("numeric(2,4)", "0.0012", pa.decimal128(4, 4), Decimal("0.0012")),
    ("numeric", "123456789012345678901234567890.1234567890123", pa.string(), "123456789012345678901234567890.1234567890123"),
    ("numeric", "'NaN'", pa.string(), "NaN"),
    ("numeric(60,2)", "1", pa.string(), "1.00"),
    ("text", "'ä€'", pa.string(), "ä€"),
    ("varchar(5)", "'abc'", pa.string(), "abc"),
    ("char(5)", "'abc'", pa.string(), "abc  "),
    ("bytea", r"'\xdeadbeef'", pa.binary(), b"\xde\xad\xbe\xef"),
    ("uuid", "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'", pa.string(), "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
    ("json", """'{"b":1, "a":2}'""", pa.string(), '{"b":1, "a":2}'),
    ("jsonb", """'{"b":1, "a":2}'""", pa.string(), '{"a": 2, "b": 1}'),
    ("xml", "NULL", pa.string(), None),  # pip's PostgreSQL has the type, but no values of it: see below
    ("date", "'0001-01-01'", pa.date32(), dt.date(1, 1, 1)),
    ("time", "'10:11:12.5'", pa.time64("us"), dt.time(10, 11, 12, 500000)),
    ("timetz", "'10:11:12+02'", pa.string(), "10:11:12+02"),
    ("timestamp", "'2026-01-02 03:04:05.000006'", pa.timestamp("us"), dt.datetime(2026, 1, 2, 3, 4, 5, 6)),  # noqa: DTZ001
    ("timestamptz", "'2026-01-02 03:04:05.000006+02'", UTC_MICROSECONDS, dt.datetime(2026, 1, 2, 1, 4, 5, 6, tzinfo=dt.UTC)),
    ("interval", "'1 mon 2 days 03:00'", pa.string(), "P1M2DT3H"),
    ("money", "12.5", pa.string(), "12.50"),
    ("inet", "'10.0.0.1/8'", pa.string(), "10.0.0.1/8"),
    ("int4range", "'[1,5)'", pa.string(), "[1,5)"),
    ("tstzrange", "'[2026-01-01 00:00+02,)'", pa.string(), '["2025-12-31 22:00:00+00",)'),
    ("bit(3)", "B'101'", pa.string(), "101"),
    ("point", "'(1,2)'", pa.string(), "(1,2)"),
    ("mood", "'happy'", pa.string(), "happy"),
    ("price", "1.5", pa.decimal128(10, 3), Decimal("1.500")),
    ("dear_price", "10.5", pa.decimal128(10, 3), Decimal("10.500")),
    ("pair", "ROW(1, 'x')", pa.string(), "(1,x)"),
    ("int[]", "'{1,NULL,3}'", pa.list_(pa.int32()), [1, None, 3]),
    ("smallint[]", "'{1}'", pa.list_(pa.int32()), [1]),
    ("text[]", """'{"a,b",NULL}'""", pa.list_(pa.string()), ["a,b", None]),
    ("numeric(6,2)[]", "'{1.5,NULL}'", pa.list_(pa.decimal128(6, 2)), [Decimal("1.50"), None]),
    ("uuid[]", "'{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}'", pa.list_(pa.string()), ["a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"]),
    ("date[]", "'{2026-01-02}'", pa.list_(pa.date32()), [dt.date(2026, 1, 2)]),
    ("timestamptz[]", "'{2026-01-02Z}'", pa.list_(UTC_MICROSECONDS), [dt.datetime(2026, 1, 2, tzinfo=dt.UTC)]),
    ("mood[]", "'{happy}'", pa.list_(pa.string()), ["happy"]),
    ("price[]", "'{1.5}'", pa.list_(pa.decimal128(10, 3)), [Decimal("1.500")]),
    ("numbers", "'{1,2}'", pa.list_(pa.int32()), [1, 2]),
    ("interval[]", "'{1 day}'", pa.list_(pa.string()), ["P1D"]),
    ("int[]", "'{}'", pa.list_(pa.int32()), []),
    ("int[][]", "'{{1,2},{3,4}}'", pa.string(), "{{1,2},{3,4}}"),
    ("int2vector", "'1 2'", pa.string(), "1 2"),
]


def test_each_type_arrives_as_promised_and_null_stays_null(database: str) -> None:
    execute(
        database,
        "CREATE TYPE mood AS ENUM ('sad', 'happy')",
        "CREATE TYPE pair AS (a int, b text)",
        "CREATE DOMAIN price AS numeric(10,3)",
        "CREATE DOMAIN dear_price AS price CHECK (VALUE > 10)",
        "CREATE DOMAIN numbers AS int[]",
        f"CREATE TABLE every ({', '.join(f'c{i} {kind}' for i, (kind, *_) in enumerate(CASES))})",
        f"INSERT INTO every VALUES ({', '.join(value for _, value, *_ in CASES)})",
        "INSERT INTO every SELECT",
    )
    found = read(shop(database).table("every")).table
    for index, (kind, _, arrow, value) in enumerate(CASES):
        field = found.schema.field(f"c{index}")
        assert field.type == arrow, kind
        given, null = found.column(field.name).to_pylist()
        assert (str(given) if value == "nan" else given) == value, kind
        assert null is None, kind


def test_xml_arrives_as_its_text(database: str) -> None:
    try:
        execute(database, "CREATE TABLE papers (id int, body xml)", "INSERT INTO papers VALUES (1, '<a/>')")
    except psycopg.errors.FeatureNotSupported:
        pytest.skip("this PostgreSQL was built without libxml, so it holds no XML")
    assert read(shop(database).table("papers")).column("body") == ["<a/>"]


@pytest.mark.parametrize(
    ("kind", "value", "says"),
    [
        ("timestamptz", "infinity", "infinity"),
        ("timestamptz", "-infinity", "infinity"),
        ("timestamp", "infinity", "infinity"),
        ("timestamp", "294276-12-31", "294246"),
        ("date", "infinity", "infinity"),
        ("date", "-infinity", "infinity"),
        ("time", "24:00", "24:00"),
        ("numeric(6,2)", "NaN", "NaN"),
        ("timestamptz[]", "{infinity}", "infinity"),
        ("int[]", "{{1,2},{3,4}}", "2 dimensions"),
    ],
)
def test_a_value_that_arrow_cannot_hold_is_an_error_that_names_its_column(database: str, kind: str, value: str, says: str) -> None:
    execute(database, f"CREATE TABLE odd (id int, strange {kind})", f"INSERT INTO odd VALUES (1, NULL), (2, '{value}')")
    with pytest.raises(ContractError, match=rf"public.odd.*column 'strange'.*{says}(?s:.*)Hint"):
        read(shop(database).table("odd"))
    assert read(shop(database).table("odd", columns="id")).column("id") == [1, 2]


def test_times_before_christ_are_exact(database: str) -> None:
    execute(database, "CREATE TABLE old (at timestamptz, on_day date)", "INSERT INTO old VALUES ('4713-01-01 00:00Z BC', '4713-01-01 BC')")
    found = read(shop(database).table("old")).table
    assert found.column("at").cast(pa.int64()).to_pylist() == [-210863520000000000]
    assert found.column("on_day").cast(pa.int32()).to_pylist() == [-210863520000000000 // 86_400_000_000]


@pytest.mark.parametrize("value", ["infinity", "12000-01-01"])
def test_a_cursor_that_nothing_can_follow_is_an_error(database: str, value: str) -> None:
    execute(database, "CREATE TABLE odd (at timestamptz)", f"INSERT INTO odd VALUES ('{value}')")
    with pytest.raises(ContractError):
        read(shop(database).table("odd", cursor="at"))


def test_settings_of_the_session_change_no_text(database: str) -> None:
    name = database.rpartition("/")[2]
    execute(
        database,
        f"ALTER DATABASE {name} SET TimeZone = 'Asia/Tokyo'",
        f"ALTER DATABASE {name} SET DateStyle = 'German'",
        f"ALTER DATABASE {name} SET IntervalStyle = 'sql_standard'",
        f"ALTER DATABASE {name} SET standard_conforming_strings = off",
        "CREATE TABLE texts (during tstzrange, pause interval, at timestamptz)",
    )
    execute(database, "INSERT INTO texts VALUES ('[2026-01-02 00:00Z,)', '1 day', '2026-01-02 00:00Z')")
    table = shop(database).table("texts", cursor="at")
    found = read(table)
    assert [row["during"] for row in found.rows] == ['["2026-01-02 00:00:00+00",)']
    assert found.column("pause") == ["P1D"]
    assert read(table, found.details).column("pause") == ["P1D"]
