"""What values of each type of PostgreSQL are in an Iceberg table: a table to read, which tests go through on both engines.

A value that Python has no object for (a date before Christ, the year 294246) stands as the number that is stored: days or microseconds
from 1970 on.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Any
from uuid import UUID

import attrs
import psycopg
import pyarrow as pa

UTC = dt.UTC
NINES = "9" * 28 + "." + "9" * 10
DAY = 86_400_000_000


def at(*parts: int) -> dt.datetime:
    """A time without a zone."""
    return dt.datetime(*parts)  # type: ignore[misc,arg-type]  # noqa: DTZ001


def instant(*parts: int) -> dt.datetime:
    return dt.datetime(*parts, tzinfo=UTC)  # type: ignore[misc,arg-type]


@attrs.frozen
class Case:
    """A type of PostgreSQL, the type it is in Iceberg, and values: SQL, and what is read back."""

    type: str
    iceberg: str
    values: Mapping[str, Any]
    declared: str | None = None
    element: bool = True  # whether the type is an array's, too


SETUP = (
    "CREATE TYPE mood AS ENUM ('sad', 'happy', 'it''s')",
    "CREATE TYPE pair AS (a int, b text)",
    "CREATE TYPE nested AS (p pair, at timestamptz, raw bytea)",
    "CREATE DOMAIN price AS numeric(10,3)",
    "CREATE DOMAIN dear_price AS price CHECK (VALUE > 10)",
    "CREATE DOMAIN numbers AS int[]",
    "CREATE DOMAIN happy AS mood CHECK (VALUE = 'happy')",
    "CREATE TYPE textrange AS RANGE (subtype = text)",
)

CASES = [
    # Numbers
    Case("smallint", "int", {"-32768": -32768, "32767": 32767}),
    Case("integer", "int", {"-2147483648": -(2**31), "2147483647": 2**31 - 1, "0": 0}),
    Case("bigint", "long", {"-9223372036854775808": -(2**63), "9223372036854775807": 2**63 - 1}),
    Case("oid", "long", {"0": 0, "4294967295": 2**32 - 1}),
    Case("real", "float", {"3.4028235e38": 3.4028234663852886e38, "1.4e-45": 1.401298464324817e-45, "'NaN'": math.nan, "'-0'": -0.0}),
    Case(
        "double precision",
        "double",
        {"1.7976931348623157e308": 1.7976931348623157e308, "'5e-324'": 5e-324, "'NaN'": math.nan, "'Infinity'": math.inf, "'-0'": -0.0},
    ),
    Case("boolean", "boolean", {"true": True, "false": False}),
    Case("numeric(12,2)", "decimal(12, 2)", {"9999999999.99": Decimal("9999999999.99"), "-0.01": Decimal("-0.01"), "0": Decimal("0.00")}),
    Case("numeric(38,10)", "decimal(38, 10)", {NINES: Decimal(NINES), f"-{NINES}": Decimal(f"-{NINES}")}),
    Case("numeric(38,38)", "decimal(38, 38)", {"1e-38": Decimal("1e-38")}),
    Case("numeric(5)", "decimal(5, 0)", {"99999": Decimal(99999)}),
    Case("numeric(3,-2)", "decimal(5, 0)", {"12345": Decimal(12300)}),
    Case("numeric(2,4)", "decimal(4, 4)", {"0.0099": Decimal("0.0099")}),
    Case(
        "numeric",
        "string",
        {"1e40 + 1e-20": "1" + "0" * 40 + "." + "0" * 19 + "1", "0.10": "0.10", "'NaN'": "NaN", "'-Infinity'": "-Infinity", "0": "0"},
    ),
    Case("numeric(39,2)", "string", {"1": "1.00"}),
    Case("money", "string", {"'-92233720368547758.08'": "-92233720368547758.08", "12.5": "12.50"}),
    # Text and bytes
    Case("text", "string", {"''": "", "'ä€𝄞'": "ä€𝄞", r"E'a\tb\n\\N\"'": 'a\tb\n\\N"', "repeat('x', 100000)": "x" * 100_000}),
    Case("varchar(5)", "string", {"''": "", "'abc'": "abc"}),
    Case("char(5)", "string", {"'abc'": "abc  ", "''": "     "}),
    Case("name", "string", {"'abc'": "abc"}),
    Case('"char"', "string", {"'a'": "a"}),
    Case("bytea", "binary", {"''": b"", r"'\x00ff'": b"\x00\xff"}),
    # Dates and times
    Case(
        "date",
        "date",
        {
            "'4713-01-01 BC'": -210_863_520_000_000_000 // DAY,
            "'0001-01-01'": dt.date(1, 1, 1),
            "'1969-12-31'": dt.date(1969, 12, 31),
            "'1970-01-01'": dt.date(1970, 1, 1),
            "'9999-12-31'": dt.date(9999, 12, 31),
            "'5874897-12-31'": 2_145_042_905,
        },
    ),
    Case(
        "time", "time", {"'00:00'": dt.time(0), "'00:00:00.000001'": dt.time(0, 0, 0, 1), "'23:59:59.999999'": dt.time(23, 59, 59, 999_999)}
    ),
    Case("timetz", "string", {"'10:11:12+02'": "10:11:12+02", "'24:00:00-15:59'": "24:00:00-15:59"}),
    Case(
        "timestamp",
        "timestamp",
        {
            "'4713-01-01 00:00 BC'": -210_863_520_000_000_000,
            "'0001-01-01 00:00'": at(1, 1, 1),
            "'1969-12-31 23:59:59.999999'": at(1969, 12, 31, 23, 59, 59, 999_999),
            "'1970-01-01 00:00'": at(1970, 1, 1),
            "'2016-12-31 23:59:60'": at(2017, 1, 1),
            "'9999-12-31 23:59:59.999999'": at(9999, 12, 31, 23, 59, 59, 999_999),
            "'294246-12-31 23:59:59.999999'": 9_223_371_244_799_999_999,
        },
    ),
    Case(
        "timestamptz",
        "timestamptz",
        {
            "'4713-01-01 00:00+00 BC'": -210_863_520_000_000_000,
            "'0001-01-01 00:00+00'": instant(1, 1, 1),
            "'1969-12-31 23:59:59.999999+00'": instant(1969, 12, 31, 23, 59, 59, 999_999),
            "'1970-01-01 01:00+01'": instant(1970, 1, 1),
            "'2016-12-31 23:59:60+00'": instant(2017, 1, 1),
            "'2026-10-25 02:30 Europe/Berlin'": instant(2026, 10, 25, 1, 30),
            "'9999-12-31 23:59:59.999999+00'": instant(9999, 12, 31, 23, 59, 59, 999_999),
            "'294246-12-31 23:59:59.999999+00'": 9_223_371_244_799_999_999,
        },
    ),
    Case(
        "interval",
        "string",
        {
            "'0'": "PT0S",
            "'1 mon 2 days 03:00'": "P1M2DT3H",
            "'-1 year 1 us'": "P-1YT0.000001S",
            "'178000000 years'": "P178000000Y",
            "'1 day -00:00:01.5'": "P1DT-1.5S",
        },
    ),
    # Documents and identifiers
    Case("uuid", "string", {"'00000000-0000-0000-0000-000000000000'": "0" * 8 + "-0000" * 3 + "-" + "0" * 12}),
    Case("json", "string", {"'null'": "null", """'{"b":1, "a":2, "a":3}'""": '{"b":1, "a":2, "a":3}', "'[]'": "[]"}),
    Case("jsonb", "string", {"'null'": "null", """'{"b":1, "a":2, "a":3}'""": '{"a": 3, "b": 1}', "'1e400'": "1" + "0" * 400}),
    Case("jsonpath", "string", {"'$.a[*]'": '$."a"[*]'}),
    Case("tsvector", "string", {"'a:1A fat:2'": "'a':1A 'fat':2", "''": ""}),
    Case("tsquery", "string", {"'a & !b'": "'a' & !'b'"}),
    # Ranges
    Case("int4range", "string", {"'[1,5]'": "[1,6)", "'empty'": "empty", "'(,)'": "(,)"}),
    Case("int8range", "string", {"'[1,9223372036854775807)'": "[1,9223372036854775807)"}),
    Case("numrange", "string", {"'[1.50,NaN]'": "[1.50,NaN]"}),
    Case("daterange", "string", {"'[2026-01-01,infinity)'": "[2026-01-01,infinity)"}),
    Case("tsrange", "string", {"'[0044-03-15 BC,2026-01-01 00:00]'": '["0044-03-15 00:00:00 BC","2026-01-01 00:00:00"]'}),
    Case("tstzrange", "string", {"'[2026-01-01 00:00+02,)'": '["2025-12-31 22:00:00+00",)'}),
    Case("int4multirange", "string", {"'{[1,3),[5,8)}'": "{[1,3),[5,8)}", "'{}'": "{}"}),
    Case("int8multirange", "string", {"'{[1,3)}'": "{[1,3)}"}),
    Case("nummultirange", "string", {"'{[1.0,2]}'": "{[1.0,2]}"}),
    Case("datemultirange", "string", {"'{[2026-01-01,2026-01-03)}'": "{[2026-01-01,2026-01-03)}"}),
    Case("tsmultirange", "string", {"'{[2026-01-01,2026-01-03)}'": '{["2026-01-01 00:00:00","2026-01-03 00:00:00")}'}),
    Case("tstzmultirange", "string", {"'{[2026-01-01Z,)}'": '{["2026-01-01 00:00:00+00",)}'}),
    Case("textrange", "string", {"'[a,b)'": "[a,b)"}),
    Case("textmultirange", "string", {"'{[a,b)}'": "{[a,b)}"}),
    # Bits, networks, geometry
    Case("bit(3)", "string", {"B'101'": "101"}),
    Case("varbit", "string", {"B''": "", "B'0110'": "0110"}),
    Case("inet", "string", {"'10.0.0.1/8'": "10.0.0.1/8", "'::1'": "::1/128"}),
    Case("cidr", "string", {"'10.0.0.0/8'": "10.0.0.0/8"}),
    Case("macaddr", "string", {"'08:00:2b:01:02:03'": "08:00:2b:01:02:03"}),
    Case("macaddr8", "string", {"'08:00:2b:01:02:03:04:05'": "08:00:2b:01:02:03:04:05"}),
    Case("point", "string", {"'(0.1,-2)'": "(0.1,-2)", "'(NaN,Infinity)'": "(NaN,Infinity)"}),
    Case("line", "string", {"'{1,-1,0}'": "{1,-1,0}"}),
    Case("lseg", "string", {"'[(1,2),(3,4)]'": "[(1,2),(3,4)]"}),
    Case("box", "string", {"'(3,4),(1,2)'": "(3,4),(1,2)"}),
    Case("path", "string", {"'[(1,2),(3,4)]'": "[(1,2),(3,4)]", "'((1,2))'": "((1,2))"}),
    Case("polygon", "string", {"'((1,2),(3,4))'": "((1,2),(3,4))"}),
    Case("circle", "string", {"'<(1,2),3>'": "<(1,2),3>"}),
    # Of the system
    Case("tid", "string", {"'(0,1)'": "(0,1)"}),
    Case("xid", "string", {"'4294967295'": "4294967295"}),
    Case("xid8", "string", {"'18446744073709551615'": "18446744073709551615"}),
    Case("cid", "string", {"'7'": "7"}),
    Case("pg_lsn", "string", {"'FFFFFFFF/FFFFFFFF'": "FFFFFFFF/FFFFFFFF"}),
    Case("pg_snapshot", "string", {"'10:20:10,14'": "10:20:10,14"}),
    Case("regclass", "string", {"'pg_class'": "pg_class"}),
    Case("regtype", "string", {"'int4'": "integer"}),
    Case("int2vector", "string", {"'1 2'": "1 2"}, element=False),
    Case("oidvector", "string", {"'1 2'": "1 2"}, element=False),
    # Made by users
    Case("mood", "string", {"'happy'": "happy", "'it''s'": "it's"}),
    Case("happy", "string", {"'happy'": "happy"}),
    Case("price", "decimal(10, 3)", {"1.5": Decimal("1.500")}),
    Case("dear_price", "decimal(10, 3)", {"10.5": Decimal("10.500")}),
    Case("pair", "string", {"ROW(1, 'x')": "(1,x)", "ROW(NULL, '')": '(,"")'}),
    Case("nested", "string", {r"ROW(ROW(1, 'x,y'), '2026-01-02 02:00+02', '\xff')": r'("(1,""x,y"")","2026-01-02 00:00:00+00","\\xff")'}),
    # Arrays, besides those of every type above
    Case(
        "int[]", "list<int>", {"'{}'": [], "'{1,NULL,3}'": [1, None, 3], "'[0:1]={7,8}'": [7, 8], "'[-3:-2]={7,8}'": [7, 8]}, element=False
    ),
    Case("text[]", "list<string>", {"""'{"a,b",NULL,"NULL",""}'""": ["a,b", None, "NULL", ""]}, element=False),
    Case("int[][]", "string", {"'{{1,2},{3,4}}'": "{{1,2},{3,4}}", "'{}'": "{}"}, element=False),
    Case("numbers", "list<int>", {"'{1,2}'": [1, 2]}, element=False),
    Case("numbers[]", "list<string>", {"""'{"{1,2}"}'""": ["{1,2}"]}, element=False),
    Case("pair[]", "list<string>", {"ARRAY[ROW(1,'x'),NULL]::pair[]": ["(1,x)", None]}, element=False),
]

DECLARED = [
    Case("numeric", "decimal(38, 4)", {"1.5": Decimal("1.5000"), "7" + "0" * 20: Decimal("7" + "0" * 20 + ".0000")}, "decimal(38, 4)"),
    Case("numeric(60,50)", "decimal(20, 2)", {"12": Decimal("12.00")}, "decimal(20, 2)"),
    Case("numeric", "long", {"5.00": 5, "-9223372036854775808": -(2**63)}, "bigint"),
    Case("numeric", "double", {"0.1": 0.1, "'NaN'": math.nan, "'Infinity'": math.inf, "1e300": 1e300}, "double"),
    Case("numeric(6,2)", "string", {"1": "1.00", "'NaN'": "NaN"}, "string"),
    Case("money", "decimal(20, 2)", {"12.5": Decimal("12.50")}, "decimal(20, 2)"),
    Case("text", "int", {"'007'": 7, "'-5'": -5}, "int"),
    Case("text", "boolean", {"'true'": True, "'0'": False}, "boolean"),
    Case("text", "date", {"'2026-01-02'": dt.date(2026, 1, 2)}, "date"),
    Case("text", "timestamp", {"'2026-01-02T03:04:05.000006'": at(2026, 1, 2, 3, 4, 5, 6)}, "timestamp_ntz"),
    Case("text", "timestamptz", {"'2026-01-02 03:04:05+02:00'": instant(2026, 1, 2, 1, 4, 5)}, "timestamp"),
    Case("uuid", "uuid", {"'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'": UUID("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11")}, "uuid"),
    Case("real", "double", {"0.1": 0.1}, "double"),
    Case("integer", "long", {"7": 7}, "bigint"),
    Case("timestamptz", "string", {"'infinity'": "infinity", "'2026-01-02 00:00+02'": "2026-01-01 22:00:00+00"}, "string"),
    Case("time", "string", {"'24:00'": "24:00:00"}, "string"),
    Case("int[]", "string", {"'{1,2}'": "{1,2}", "'[0:1]={7,8}'": "[0:1]={7,8}"}, "string"),
    Case("money[]", "string", {"ARRAY[12.5::money]": "{12.50}"}, "string"),
    Case("numeric[]", "list<decimal(6, 2)>", {"'{1.5,NULL}'": [Decimal("1.50"), None], "'{}'": []}, "array<decimal(6, 2)>"),
    Case(
        "int[]",
        "list<list<int>>",
        {"'{{1,2},{3,NULL}}'": [[1, 2], [3, None]], "'{}'": [], "'[2:3][0:0]={{5},{6}}'": [[5], [6]]},
        "array<array<int>>",
    ),
    Case("text[][][]", "list<list<list<long>>>", {"'{{{1},{2}},{{3},{4}}}'": [[[1], [2]], [[3], [4]]]}, "array<array<array<bigint>>>"),
    Case("date[][]", "list<list<date>>", {"'{{2026-01-02,NULL}}'": [[dt.date(2026, 1, 2), None]]}, "array<array<date>>"),
]


@attrs.frozen
class Misfit:
    """A value that its column can't hold: what is read back where it is NULL, and what stands in ``_rescued_data`` behind the column's name."""

    type: str
    value: str
    rescued: Mapping[str, str]
    says: str
    left: Any = None
    declared: str | None = None


MISFITS = [
    Misfit("numeric(6,2)", "'NaN'", {"": "NaN"}, "NaN"),
    Misfit("date", "'infinity'", {"": "infinity"}, "infinity"),
    Misfit("date", "'-infinity'", {"": "-infinity"}, "infinity"),
    Misfit("timestamp", "'infinity'", {"": "infinity"}, "infinity"),
    Misfit("timestamp", "'294276-12-31 23:59:59.999999'", {"": "294276-12-31 23:59:59.999999"}, "294246"),
    Misfit("timestamptz", "'-infinity'", {"": "-infinity"}, "infinity"),
    Misfit("timestamptz", "'294276-12-31 00:00+00'", {"": "294276-12-31 00:00:00+00"}, "294246"),
    Misfit("time", "'24:00'", {"": "24:00:00"}, "24:00"),
    Misfit("int[]", "'{{1,2},{3,4}}'", {"": "{{1,2},{3,4}}"}, "one dimension"),
    Misfit("timestamptz[]", "'{2026-01-01Z,infinity}'", {".1": "infinity"}, "infinity", [instant(2026, 1, 1), None]),
    Misfit("numeric(6,2)[]", "'{NaN,1.5,NaN}'", {".0": "NaN", ".2": "NaN"}, "NaN", [None, Decimal("1.50"), None]),
    Misfit("numeric", "1.23456", {"": "1.23456"}, "decimal", declared="decimal(20, 4)"),
    Misfit("numeric", "'NaN'", {"": "NaN"}, "decimal", declared="decimal(20, 4)"),
    Misfit("numeric", "1e-41", {"": "0." + "0" * 40 + "1"}, "decimal", declared="decimal(8, 2)"),
    Misfit("numeric", "1e20", {"": "1" + "0" * 20}, "decimal", declared="decimal(8, 2)"),
    Misfit("numeric", "1.5", {"": "1.5"}, "int64", declared="bigint"),
    Misfit("numeric", "9223372036854775808", {"": "9223372036854775808"}, "int64", declared="bigint"),
    Misfit("numeric", "0.12345678901234567890", {"": "0.12345678901234567890"}, "double", declared="double"),
    Misfit("numeric", "1e400", {"": "1" + "0" * 400}, "double", declared="double"),
    Misfit("double precision", "0.123456789", {"": "0.123456789"}, "float", declared="float"),
    Misfit("text", "'x1'", {"": "x1"}, "int32", declared="int"),
    Misfit("text", "'0x1F'", {"": "0x1F"}, "int32", declared="int"),
    Misfit("text", "''", {"": ""}, "int32", declared="int"),
    Misfit("text", "'yes'", {"": "yes"}, "bool", declared="boolean"),
    Misfit("text", "'2026-02-30'", {"": "2026-02-30"}, "date", declared="date"),
    Misfit("text", "'2026-01-02 03:04'", {"": "2026-01-02 03:04"}, "timestamp", declared="timestamp"),
    Misfit("text", "'a0ee'", {"": "a0ee"}, "uuid", declared="uuid"),
    Misfit("int[]", "'{1}'", {"": "{1}"}, "2 dimensions", declared="array<array<int>>"),
    Misfit("text[]", "'{{1,2},{x,4}}'", {".1.0": "x"}, "int32", [[1, 2], [None, 4]], declared="array<array<int>>"),
]


def with_arrays() -> list[Case]:
    """All cases, and of each type that can be in an array a case with the array of its values."""
    arrays = [
        Case(
            f"{case.type}[]",
            f"list<{case.iceberg}>",
            {
                f"ARRAY[{', '.join(f'CAST({value} AS {case.type})' for value in case.values)}, NULL]::{case.type}[]": [
                    *case.values.values(),
                    None,
                ]
            },
        )
        for case in CASES
        if case.element
    ]
    return [*CASES, *arrays]


def create(dsn: str, table: str, cases: list[Case] | list[Case | Misfit] | list[Misfit]) -> None:
    """A table with a column ``c0`` … for each case, and one more row than the longest case has values."""
    values = [list(case.values) if isinstance(case, Case) else [case.value] for case in cases]
    rows = [[given[row] if row < len(given) else "NULL" for given in values] for row in range(1 + max(map(len, values)))]
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(f"CREATE TABLE {table} (n int, {', '.join(f'c{i} {case.type}' for i, case in enumerate(cases))})")
        for number, row in enumerate(rows):
            connection.execute(f"INSERT INTO {table} VALUES ({', '.join([str(number), *row])})")


def types(cases: list[Case] | list[Misfit]) -> dict[str, str]:
    """What ``types=`` says for them."""
    return {f"c{i}": case.declared for i, case in enumerate(cases) if case.declared}


def plain(value: pa.Scalar[Any]) -> Any:
    """A value as Python has it, or the number that is stored."""
    if isinstance(value, pa.ListScalar):
        return None if value.values is None else [plain(inner) for inner in value.values]
    try:
        found = value.as_py()
        return found.astimezone(UTC) if isinstance(found, dt.datetime) and found.tzinfo else found
    except (ValueError, OverflowError):
        return value.cast(pa.int32() if pa.types.is_date32(value.type) else pa.int64()).as_py()


def differences(found: pa.Table, cases: list[Case]) -> list[tuple[str, Any, Any]]:
    """Which values of a table's ``c0`` … are not those of the cases."""
    found = found.sort_by("n")
    wrong: list[tuple[str, Any, Any]] = []
    for index, case in enumerate(cases):
        given = [plain(value) for value in found.column(f"c{index}")]
        wanted = [*case.values.values(), *[None] * (len(found) - len(case.values))]
        wrong += [(case.type, one, other) for one, other in zip(given, wanted, strict=True) if repr(one) != repr(other)]
    return wrong
