"""What PostgreSQL has is what stands in Iceberg, as pyiceberg reads it, or it is dealt with as asked for. The values: ``postgres_cases``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pytest
from pyiceberg.table import Table

import lakekit as lk
from lakekit.errors import ConfigError, ContractError, SchemaError
from tests.integration.sources.postgres_cases import DECLARED, MISFITS, SETUP, Misfit, create, differences, plain, types, with_arrays
from tests.integration.sources.reading import execute, read, shop
from tests.servers.postgres import PostgresServer
from tests.servers.spark import open_with_pyiceberg

INTO = "bronze.types"


class Reader:
    """A lake to ingest into, whose tables pyiceberg reads."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.catalog = open_with_pyiceberg("types", folder)
        self.lake = lk.connect(self.catalog)

    def ingest(self, dsn: str, table: str | tuple[str, ...], **options: Any) -> Table:
        lk.ingest(self.lake, shop(dsn).table(table, **options), into=INTO)
        return self.catalog.load_table(INTO)

    def column(self, dsn: str, table: str | tuple[str, ...], column: str, **options: Any) -> list[Any]:
        found = self.ingest(dsn, table, **options).scan().to_arrow()
        return [plain(value) for value in found.column(column)]


@pytest.fixture
def reader(tmp_path: Path) -> Reader:
    return Reader(tmp_path / "lake")


def test_each_type_and_each_array_is_in_iceberg_what_it_is_in_postgresql(database: str, reader: Reader) -> None:
    execute(database, *SETUP)
    cases = with_arrays()
    create(database, "every", cases)
    table = reader.ingest(database, "every")
    assert differences(table.scan().to_arrow(), cases) == []
    assert {case.type: str(table.schema().find_type(f"c{i}")) for i, case in enumerate(cases)} == {
        case.type: case.iceberg for case in cases
    }
    assert not lk.ingest(reader.lake, shop(database).table("every"), into=INTO).committed  # each is known when it is read again


def test_a_declared_type_is_what_is_in_iceberg(database: str, reader: Reader) -> None:
    create(database, "every", DECLARED)
    table = reader.ingest(database, "every", types=types(DECLARED))
    assert differences(table.scan().to_arrow(), DECLARED) == []
    found = {f"c{i}": str(table.schema().find_type(f"c{i}")) for i in range(len(DECLARED))}
    assert found == {f"c{i}": case.iceberg for i, case in enumerate(DECLARED)}


@pytest.mark.parametrize("case", MISFITS, ids=lambda case: f"{case.type}-{case.value}-{case.declared or ''}")
def test_a_value_that_its_column_cannot_hold_is_an_error_that_names_the_column(database: str, case: Misfit) -> None:
    execute(database, f"CREATE TABLE odd (id int, strange {case.type})", f"INSERT INTO odd VALUES (1, NULL), (2, {case.value})")
    source = shop(database).table("odd", types={"strange": case.declared} if case.declared else None)
    with pytest.raises(ContractError, match=rf"public.odd.*column 'strange'.*{case.says}(?s:.*)Hint") as caught:
        read(source)
    shown = case.value.strip("'")
    assert shown in {"infinity", "-infinity", "NaN", "24:00", ""} or shown not in str(caught.value)
    assert read(shop(database).table("odd", columns="id")).column("id") == [1, 2]


def test_such_a_value_is_rescued_or_null_where_that_is_asked_for(database: str, reader: Reader) -> None:
    create(database, "odd", MISFITS)
    rescued = reader.ingest(database, "odd", types=types(MISFITS), on_misfit="rescue").scan().to_arrow().sort_by("n")
    assert [[plain(value) for value in rescued.column(f"c{i}")] for i in range(len(MISFITS))] == [[case.left, None] for case in MISFITS]
    texts = {f"c{i}{path}": text for i, case in enumerate(MISFITS) for path, text in case.rescued.items()}
    assert [None if text is None else json.loads(text) for text in rescued.column("_rescued_data").to_pylist()] == [texts, None]
    nulls = read(shop(database).table("odd", types=types(MISFITS), on_misfit="null")).table
    assert "_rescued_data" not in nulls.column_names
    assert all(nulls.column(f"c{i}")[0].as_py() == case.left for i, case in enumerate(MISFITS))


def test_what_is_rescued_is_found_again_beside_values_that_fit(database: str) -> None:
    execute(
        database,
        'CREATE TABLE odd (id int, "a.b" timestamptz, codes text[])',
        "INSERT INTO odd SELECT g, CASE WHEN g % 1000 = 7 THEN 'infinity' ELSE '2026-01-01Z'::timestamptz + g * interval '1 s' END,"
        " ARRAY[g::text, CASE WHEN g % 777 = 5 THEN 'x' || g ELSE '5' END, NULL] FROM generate_series(1, 20000) g",
    )
    found = read(shop(database).table("odd", types={"codes": "array<bigint>"}, on_misfit="rescue")).rows
    assert len(found) == 20_000
    for row in found:
        wanted = {"a\\.b": "infinity"} if row["id"] % 1000 == 7 else {}
        wanted |= {"codes.1": f"x{row['id']}"} if row["id"] % 777 == 5 else {}
        assert json.loads(row["_rescued_data"] or "{}") == wanted
        assert row["codes"] == [row["id"], None if "codes.1" in wanted else 5, None]
        assert (row["a.b"] is None) == ("a\\.b" in wanted)


@pytest.mark.parametrize("options", [{"on_misfit": "rescue"}, {"on_misfit": "null"}])
def test_in_a_key_or_the_cursor_it_is_an_error_always(database: str, options: dict[str, Any]) -> None:
    execute(
        database,
        "CREATE TABLE odd (code text PRIMARY KEY, at timestamptz)",
        "INSERT INTO odd VALUES ('x', 'infinity')",
        "CREATE VIEW seen AS SELECT * FROM odd",
    )
    source = shop(database)
    for table in (
        source.table("odd", types={"code": "int"}, columns="code", **options),
        source.table("seen", types={"code": "int"}, columns="code", primary_key="code", **options),
        source.table("odd", cursor="at", **options),
    ):
        with pytest.raises(ContractError):
            read(table)
    with pytest.raises(ContractError), source.table("odd", types={"code": "int"}, **options).keys(scope=None) as keys:
        list(keys.batches)


@pytest.mark.parametrize(
    ("kind", "declared"),
    [
        ("int", "array<int>"),
        ("int[]", "int"),
        ("text", "time"),
        ("text", "binary"),
        ("jsonb", "struct<a: int>"),
        ("text[]", "map<string, int>"),
    ],
)
def test_a_type_that_no_text_is_read_as_is_refused(database: str, kind: str, declared: str) -> None:
    execute(database, f"CREATE TABLE odd (id int, strange {kind})")
    with pytest.raises(SchemaError, match=r"public.odd.*types=: column 'strange'"):
        read(shop(database).table("odd", types={"strange": declared}))


def test_a_declared_column_must_be_there_and_must_not_be_the_cursor(database: str) -> None:
    execute(database, "CREATE TABLE users (id int, at timestamptz)")
    with pytest.raises(SchemaError, match=r"types=.*'nme'"):
        read(shop(database).table("users", types={"nme": "int"}))
    with pytest.raises(ConfigError, match=r"'at'.*cursor"):
        shop(database).table("users", cursor="at", types={"at": "string"})


@pytest.mark.parametrize("value", ["infinity", "12000-01-01"])
def test_a_cursor_that_nothing_can_follow_is_an_error(database: str, value: str) -> None:
    execute(database, "CREATE TABLE odd (at timestamptz)", f"INSERT INTO odd VALUES ('{value}')")
    with pytest.raises(ContractError):
        read(shop(database).table("odd", cursor="at"))


def test_xml_arrives_as_its_text(database: str, reader: Reader) -> None:
    try:
        execute(database, "CREATE TABLE papers (id int, body xml)", "INSERT INTO papers VALUES (1, '<a/>')")
    except psycopg.errors.FeatureNotSupported:
        pytest.skip("this PostgreSQL was built without libxml, so it holds no XML")
    assert reader.column(database, "papers", "body") == ["<a/>"]


@pytest.mark.parametrize(
    ("extension", "kind", "value", "text"),
    [
        ("hstore", "hstore", """'a=>"x y", b=>NULL'""", '"a"=>"x y", "b"=>NULL'),
        ("citext", "citext", "'ABC'", "ABC"),
        ("ltree", "ltree", "'a.b.c'", "a.b.c"),
        ("cube", "cube", "'(1,2)'", "(1, 2)"),
        ("isn", "isbn13", "'978-0-393-04002-9'", "978-0-393-04002-9"),
    ],
)
def test_a_type_of_an_extension_is_its_text(database: str, reader: Reader, extension: str, kind: str, value: str, text: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        if not connection.execute("SELECT 1 FROM pg_available_extensions WHERE name = %s", (extension,)).fetchall():
            pytest.skip(f"this server has no {extension}")
    execute(
        database,
        f"CREATE EXTENSION {extension}",
        f"CREATE TABLE t (v {kind}, vs {kind}[])",
        f"INSERT INTO t VALUES ({value}, ARRAY[{value}::{kind}])",
    )
    found = reader.ingest(database, "t").scan().to_arrow()
    assert (found.column("v").to_pylist(), found.column("vs").to_pylist()) == ([text], [[text]])


def test_every_type_of_the_server_can_be_a_columns(database: str) -> None:
    with psycopg.connect(database) as connection:
        names = connection.execute(
            "SELECT t.oid::regtype::text FROM pg_type t LEFT JOIN pg_type e ON e.oid = t.typelem"
            " WHERE t.typnamespace = 'pg_catalog'::regnamespace AND t.typtype <> 'p' AND e.typtype IS DISTINCT FROM 'p'"
            " AND t.typrelid = 0 AND coalesce(e.typrelid, 0) = 0 ORDER BY 1"
        ).fetchall()
    assert len(names) > 150
    execute(
        database, f"CREATE TABLE every ({', '.join(f'c{i} {name}' for i, (name,) in enumerate(names))})", "INSERT INTO every DEFAULT VALUES"
    )
    (row,) = read(shop(database).table("every")).rows
    assert {row[f"c{i}"] for i in range(len(names))} == {None}


STYLES = ["sql_standard", "postgres", "postgres_verbose", "iso_8601"]
LOCALES = ["C", "en_US.UTF-8", "de_DE.UTF-8"]


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("locale", LOCALES)
def test_settings_of_the_database_change_no_text(database: str, reader: Reader, style: str, locale: str) -> None:
    name = database.rpartition("/")[2]
    try:
        execute(database, f"ALTER DATABASE {name} SET lc_monetary = '{locale}'")
    except psycopg.errors.InvalidParameterValue:
        pytest.skip(f"this machine has no locale {locale}")
    execute(
        database,
        f"ALTER DATABASE {name} SET TimeZone = 'Asia/Tokyo'",
        f"ALTER DATABASE {name} SET DateStyle = 'German'",
        f"ALTER DATABASE {name} SET IntervalStyle = '{style}'",
        f"ALTER DATABASE {name} SET bytea_output = 'escape'",
        f"ALTER DATABASE {name} SET extra_float_digits = -3",
        f"ALTER DATABASE {name} SET standard_conforming_strings = off",
        "CREATE TYPE many AS (day date, raw bytea, pause interval)",
        "CREATE TABLE texts (during tstzrange, pause interval, pauses interval[], at timestamptz, price money, prices money[], all_of many, p point)",
    )
    execute(
        database,
        "INSERT INTO texts VALUES ('[2026-01-02 00:00Z,)', '1 day -2:03:04.5', '{1 year}', '2026-01-02 00:00Z', 1234.5::numeric::money,"
        " ARRAY[(-0.01)::numeric::money], ROW('2026-01-02', 'a', '1 mon'), '(0.1,1e-20)')",
    )
    table = shop(database).table("texts", cursor="at")
    first = read(table)
    for found in (first, read(table, first.details)):
        assert found.column("during") == ['["2026-01-02 00:00:00+00",)']
        assert (found.column("pause"), found.column("pauses")) == (["P1DT-2H-3M-4.5S"], [["P1Y"]])
        assert (found.column("price"), found.column("prices")) == (["1234.50"], [["-0.01"]])
        assert (found.column("all_of"), found.column("p")) == ([r'(2026-01-02,"\\x61",P1M)'], ["(0.1,1e-20)"])


def test_a_database_of_another_encoding_arrives_in_unicode(postgres: PostgresServer, reader: Reader) -> None:
    with psycopg.connect(postgres.dsn, autocommit=True) as connection:
        connection.execute("CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'")
        dsn = postgres.dsn_of("latin")
        try:
            execute(dsn, 'CREATE TABLE "größe" ("maß" text)', "INSERT INTO \"größe\" VALUES ('ä')")
            assert reader.column(dsn, '"größe"', "maß") == ["ä"]
        finally:
            connection.execute("DROP DATABASE latin WITH (FORCE)")


ODD_NAMES = [
    "Upper",
    "with space",
    "dot.ted",
    "dot",
    'quo"te',
    "back`tick",
    "it's",
    "größe",
    "日本",
    "select",
    "1st",
    "$x",
    "%s",
    "{y}",
    "new\nline",
    "a-b;--",
]


def test_odd_names_of_tables_and_columns_are_kept(database: str, reader: Reader) -> None:
    quoted = ['"' + name.replace('"', '""') + '"' for name in ODD_NAMES]
    values = ", ".join(map(str, range(len(ODD_NAMES))))
    for name, quote in zip(ODD_NAMES, quoted, strict=True):
        execute(database, f"CREATE TABLE {quote} ({', '.join(f'{column} int' for column in quoted)})")
        execute(database, f"INSERT INTO {quote} VALUES ({values})")
        assert read(shop(database).table(("public", name))).rows[0]["größe"] == ODD_NAMES.index("größe")
    table = reader.ingest(database, '"dot.ted"', types={"Upper": "bigint", 'quo"te': "string"})
    (row,) = table.scan().to_arrow().select(ODD_NAMES).to_pylist()
    assert row == {**dict(zip(ODD_NAMES, range(len(ODD_NAMES)), strict=True)), 'quo"te': "4"}
    (row,) = lk.read(reader.lake, INTO).to_arrow().select(ODD_NAMES).to_pylist()
    assert row["dot.ted"] == 2


def test_columns_that_differ_in_case_only_are_refused_with_the_way_out(database: str, reader: Reader) -> None:
    execute(database, 'CREATE TABLE twins (id int, "Id" int)', "INSERT INTO twins VALUES (1, 2)")
    with pytest.raises(SchemaError, match=r"'id' and 'Id'(?s:.*)columns="):
        reader.ingest(database, "twins")
    assert reader.column(database, "twins", "Id", columns=["Id"]) == [2]


def test_generated_and_identity_columns_are_read_and_dropped_ones_are_not(database: str, reader: Reader) -> None:
    execute(
        database,
        "CREATE TABLE made (id int GENERATED ALWAYS AS IDENTITY, gone text, price numeric(6,2), twice numeric(8,2) GENERATED ALWAYS AS (price * 2) STORED,"
        " later bigint GENERATED BY DEFAULT AS IDENTITY, n serial)",
        "INSERT INTO made (price) VALUES (1.5)",
        "ALTER TABLE made DROP COLUMN gone",
    )
    with psycopg.connect(database) as connection:
        virtual = connection.info.server_version >= 180_000
    if virtual:
        execute(database, "ALTER TABLE made ADD thrice numeric(8,2) GENERATED ALWAYS AS (price * 3) VIRTUAL")
    (row,) = reader.ingest(database, "made").scan().to_arrow().to_pylist()
    assert {name: str(value) for name, value in row.items() if not name.startswith("_")} == {
        "id": "1",
        "price": "1.50",
        "twice": "3.00",
        "later": "1",
        "n": "1",
        **({"thrice": "4.50"} if virtual else {}),
    }


@pytest.mark.parametrize(
    ("table", "ids"),
    [("parent", [1, 2]), ("heir", [2]), ("parted", [1, 15]), ("parted_two", [15]), ("seen", [1, 2]), ("held", [1, 2]), ("far", [1, 2])],
)
def test_all_kinds_of_tables_are_read(database: str, reader: Reader, table: str, ids: list[int]) -> None:
    execute(
        database,
        "CREATE TABLE parent (id int, price numeric(6,2))",
        "CREATE TABLE heir (more text) INHERITS (parent)",
        "INSERT INTO parent VALUES (1, 1)",
        "INSERT INTO heir VALUES (2, 2, 'x')",
        "CREATE TABLE parted (id int, price numeric(6,2)) PARTITION BY RANGE (id)",
        "CREATE TABLE parted_one PARTITION OF parted FOR VALUES FROM (0) TO (10)",
        "CREATE TABLE parted_two PARTITION OF parted FOR VALUES FROM (10) TO (20)",
        "INSERT INTO parted VALUES (1, 1), (15, 2)",
        "CREATE VIEW seen AS SELECT * FROM parent",
        "CREATE MATERIALIZED VIEW held AS SELECT * FROM parent",
    )
    if table == "far":
        try:
            execute(database, "CREATE EXTENSION postgres_fdw")
        except psycopg.errors.FeatureNotSupported:
            pytest.skip("this server has no postgres_fdw")
        info = psycopg.conninfo.conninfo_to_dict(database)
        execute(
            database,
            f"CREATE SERVER here FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '{info['host']}', port '{info['port']}', dbname '{info['dbname']}')",
            f"CREATE USER MAPPING FOR CURRENT_USER SERVER here OPTIONS (user '{info['user']}', password '{info['password']}')",
            "CREATE FOREIGN TABLE far (id int, price numeric(6,2)) SERVER here OPTIONS (table_name 'parent')",
        )
    found = reader.ingest(database, table).scan().to_arrow()
    assert sorted(found.column("id").to_pylist()) == ids
    assert found.schema.field("price").type == pa.decimal128(6, 2)
