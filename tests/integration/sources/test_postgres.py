"""Names, rights, failures: what PostgreSQL refuses is said in words that hold no secret."""

from __future__ import annotations

import logging
import pickle
import subprocess
import sys
import traceback
from typing import Any

import psycopg
import pytest

from lakekit import sources
from lakekit.errors import ContractError, LakekitError, SchemaError, SourceConfigError, SourceError
from lakekit.sources.protocol import Target
from tests.integration.sources.reading import execute, read, shop

SECRET = "s3cret-Pa55word"


def failure(source: Any, caplog: pytest.LogCaptureFixture) -> tuple[LakekitError, str]:
    """The error of a read, and every text that a person or a log might see of it."""
    with caplog.at_level(logging.DEBUG), pytest.raises(LakekitError) as caught:
        read(source)
    error = caught.value
    chain, texts = error, list[str]()
    while chain is not None:
        texts += [str(chain), repr(chain), repr(chain.args)]
        chain = chain.__context__
    texts += traceback.format_exception(error, chain=True)
    texts += [caplog.text, *(repr(record.__dict__) for record in caplog.records), repr(source), str(pickle.loads(pickle.dumps(error)))]
    return error, "\n".join(texts)


def test_a_wrong_password_is_refused_and_never_shown(database: str, caplog: pytest.LogCaptureFixture) -> None:
    dsn = f"postgresql://postgres:{SECRET}@{database.partition('@')[2]}"
    error, texts = failure(sources.Postgres(dsn).table("users"), caplog)
    assert isinstance(error, SourceConfigError)
    assert "password authentication failed" in str(error)
    assert SECRET not in texts


@pytest.mark.parametrize(
    "dsn",
    [
        f"postgresql://reader:{SECRET}@127.0.0.1:1/shop",
        f"postgresql://reader:{SECRET}@nosuch.invalid/shop",
        f"host=127.0.0.1 port=1 user=reader password='{SECRET}' dbname=shop",
    ],
)
def test_a_server_that_is_not_there_may_be_tried_again(dsn: str, caplog: pytest.LogCaptureFixture) -> None:
    error, texts = failure(sources.Postgres(dsn).table("users"), caplog)
    assert isinstance(error, SourceError)
    assert error.retryable
    assert SECRET not in texts


@pytest.mark.parametrize(
    "dsn",
    [f"postgresql://reader:%zz{SECRET}@db/shop", f"postgresql://reader:x@db/shop?{SECRET}=1", f"postgresql://reader:x@db:{SECRET}/shop"],
)
def test_what_the_driver_quotes_of_a_broken_connection_string_is_not_passed_on(dsn: str, caplog: pytest.LogCaptureFixture) -> None:
    error, texts = failure(sources.Postgres(dsn).table("users"), caplog)
    assert not error.retryable
    assert SECRET not in texts


def test_a_database_that_is_not_there_is_a_mistake(database: str, caplog: pytest.LogCaptureFixture) -> None:
    error, _ = failure(sources.Postgres(database.rpartition("/")[0] + "/nosuch").table("users"), caplog)
    assert isinstance(error, SourceConfigError)
    assert '"nosuch" does not exist' in str(error)


def test_a_connection_string_may_be_key_value_pairs_or_come_from_a_function(database: str) -> None:
    execute(database, "CREATE TABLE users (id int)")
    login, _, address = database.removeprefix("postgresql://").partition("@")
    (user, _, password), (host, _, rest) = login.partition(":"), address.partition(":")
    port, _, name = rest.partition("/")
    pairs = f"host={host} port={port} user={user} password='{password}' dbname={name}"
    assert read(sources.Postgres(pairs).table("users")).rows == []
    source = sources.Postgres(lambda: pairs).table("users")
    assert read(source).rows == []
    assert source.upstream == f"postgres:{name}/public.users"


def test_a_missing_table_names_those_that_look_alike(database: str) -> None:
    execute(database, 'CREATE TABLE "Users" (id int)', "CREATE TABLE orders (id int)")
    with pytest.raises(SourceConfigError, match=r'did you mean public\."Users"'):
        read(shop(database).table("users"))
    with pytest.raises(SourceConfigError, match=r"did you mean public\.orders"):
        read(shop(database).table("order"))


def test_a_missing_column_names_those_there_are(database: str) -> None:
    execute(database, "CREATE TABLE users (id int, name text)")
    with pytest.raises(SchemaError, match=r"columns=.*got 'email'(?s:.*)it has id, name"):
        read(shop(database).table("users", columns=("id", "email")))
    with pytest.raises(SchemaError, match="cursor="):
        read(shop(database).table("users", cursor="at"))


def test_a_column_named_like_one_of_lakekits_is_refused(database: str) -> None:
    execute(database, "CREATE TABLE users (id int, _source text)")
    with pytest.raises(SchemaError, match="_source"):
        read(shop(database).table("users"))
    assert read(shop(database).table("users", columns="id")).rows == []


def test_quoted_names_and_odd_columns_are_read(database: str) -> None:
    execute(
        database,
        'CREATE SCHEMA "My.Schema"',
        """CREATE TABLE "My.Schema"."Odd ""Table" ("Id" int PRIMARY KEY, "select" text, "a""b" text, "ü" timestamptz)""",
        """INSERT INTO "My.Schema"."Odd ""Table" VALUES (1, 'x', 'y', '2026-01-01Z')""",
    )
    for name in ('"My.Schema"."Odd ""Table"', ("My.Schema", 'Odd "Table')):
        table = shop(database).table(name, cursor="ü")
        found = read(table)
        assert found.table.column_names[:4] == ["Id", "select", 'a"b', "ü"]
        assert found.column("_source") == ['shop."My.Schema"."Odd ""Table"']
        assert table.primary_key() == ("Id",)
        assert read(table, found.details).column("Id") == [1]


def test_the_primary_key_is_read_in_its_own_order(database: str) -> None:
    execute(database, "CREATE TABLE lines (a int, b int, c int, PRIMARY KEY (c, a))", "CREATE VIEW seen AS SELECT * FROM lines")
    assert shop(database).table("lines").primary_key() == ("c", "a")
    assert shop(database).table("lines", primary_key=("a", "b")).primary_key() == ("a", "b")
    assert shop(database).table("seen").primary_key() == ()


def test_new_and_dropped_columns_are_followed(database: str) -> None:
    execute(
        database,
        "CREATE TABLE users (id int, old text, twice int GENERATED ALWAYS AS (id * 2) STORED)",
        "INSERT INTO users VALUES (1, 'x')",
    )
    table = shop(database).table("users")
    assert read(table).table.column_names[:-2] == ["id", "old", "twice"]
    execute(database, "ALTER TABLE users ADD COLUMN email text DEFAULT 'e'", "ALTER TABLE users DROP COLUMN old")
    found = read(table)
    assert found.table.column_names[:-2] == ["id", "twice", "email"]
    assert [dict(list(row.items())[:3]) for row in found.rows] == [{"id": 1, "twice": 2, "email": "e"}]


def test_views_partitions_and_materialized_views_are_tables_too(database: str) -> None:
    execute(
        database,
        "CREATE TABLE parts (id int, at timestamptz) PARTITION BY RANGE (id)",
        "CREATE TABLE part_1 PARTITION OF parts FOR VALUES FROM (0) TO (10)",
        "INSERT INTO parts VALUES (1, now())",
        "CREATE VIEW seen AS SELECT * FROM parts",
        "CREATE MATERIALIZED VIEW kept AS SELECT * FROM parts",
    )
    for name in ("parts", "seen", "kept"):
        assert read(shop(database).table(name, cursor="at")).column("id") == [1]


def test_columns_are_enough_where_only_columns_may_be_read(database: str) -> None:
    execute(
        database,
        "CREATE TABLE users (id int PRIMARY KEY, iban text)",
        "INSERT INTO users VALUES (1, 'DE')",
        "DROP ROLE IF EXISTS narrow",
        "CREATE ROLE narrow LOGIN PASSWORD 'narrow'",
        "GRANT SELECT (id) ON users TO narrow",
    )
    dsn = f"postgresql://narrow:narrow@{database.partition('@')[2]}"
    try:
        assert read(shop(dsn).table("users", columns="id")).column("id") == [1]
        with pytest.raises(SourceConfigError, match="permission denied"):
            read(shop(dsn).table("users"))
    finally:
        execute(database, "DROP OWNED BY narrow", "DROP ROLE narrow")


@pytest.mark.parametrize("where", ["id >", "nosuch = 1", "id = 1; DROP TABLE users"])
def test_a_condition_that_postgresql_does_not_accept_is_a_mistake(database: str, where: str) -> None:
    execute(database, "CREATE TABLE users (id int)")
    with pytest.raises((SourceConfigError, SchemaError)):
        read(shop(database).table("users", where=where))
    assert read(shop(database).table("users", where="id > 0 -- all of them")).rows == []


def test_a_condition_that_fails_on_a_row_does_not_quote_the_row(database: str, caplog: pytest.LogCaptureFixture) -> None:
    execute(database, "CREATE TABLE users (name text)", f"INSERT INTO users VALUES ('{SECRET}')")
    error, texts = failure(shop(database).table("users", where="name::int > 0"), caplog)
    assert not error.retryable
    assert "invalid input syntax" in str(error)
    assert SECRET not in texts


def test_a_value_that_arrow_refuses_is_not_quoted(database: str, caplog: pytest.LogCaptureFixture) -> None:
    execute(database, "CREATE TABLE prices (amount numeric(10,2))", "INSERT INTO prices VALUES (1.5), ('NaN')")
    error, texts = failure(shop(database).table("prices"), caplog)
    assert isinstance(error, ContractError)
    assert "'amount'" in str(error)
    assert "Invalid" not in texts.replace("ContractError", "")


def test_a_connection_that_breaks_in_the_middle_may_be_tried_again(database: str) -> None:
    execute(database, "CREATE TABLE numbers AS SELECT i, repeat('x', 100) AS filler FROM generate_series(1, 1000000) i")
    with shop(database).table("numbers").open(None, target=Target()) as increment:
        next(increment.batches)
        execute(
            database,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = current_database()",
        )
        with pytest.raises(SourceError) as caught:
            list(increment.batches)
    assert caught.value.retryable


def test_a_read_given_up_leaves_no_session_behind(database: str) -> None:
    execute(database, "CREATE TABLE numbers AS SELECT i, repeat('x', 100) AS filler FROM generate_series(1, 300000) i")
    with shop(database).table("numbers").open(None, target=Target()) as increment:
        next(increment.batches)
    with psycopg.connect(database) as connection:
        query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state <> 'idle' AND pid <> pg_backend_pid()"
        for _ in range(100):
            if connection.execute(query).fetchone() == (0,):
                return
            connection.rollback()
            connection.execute("SELECT pg_sleep(0.05)")
    pytest.fail("the session is still there")


@pytest.mark.slow
def test_reading_a_million_rows_holds_a_few_batches_in_memory(database: str) -> None:
    execute(
        database,
        "CREATE TABLE wide AS SELECT i::bigint AS id, repeat(md5(i::text), 8) AS filler, i * 0.01::numeric(12,2) AS amount, now() AS at"
        " FROM generate_series(1, 1000000) i",
    )
    program = """
import resource, sys
from lakekit import sources
from lakekit.sources.protocol import Target
source = sources.Postgres(sys.argv[1], name="shop").table("wide", cursor="at")
def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
with source.open(None, target=Target()) as increment:
    rows = next(increment.batches).num_rows
    start = peak()
    for batch in increment.batches:
        rows += batch.num_rows
    assert rows == 1_000_000, rows
    assert increment.details()["seen"]
    print(peak() - start)
"""
    done = subprocess.run([sys.executable, "-c", program, database], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 60, "the rows alone are 280 MB"
