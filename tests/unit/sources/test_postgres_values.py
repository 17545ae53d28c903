"""Sources of PostgreSQL as values: checked when they are made, without a server, and silent about secrets."""

import pickle
from datetime import timedelta
from typing import Any

import attrs
import pytest

from lakekit import sources
from lakekit.errors import ConfigError, SchemaError
from lakekit.sources import postgres_names
from lakekit.sources.protocol import Source

DSN = "postgresql://reader:s3cret@db:5432/shop"


def test_a_table_is_a_source_that_hashes_and_pickles() -> None:
    table = sources.Postgres(DSN).table("users", cursor="at", columns=["id", "at"], lookback=timedelta(minutes=5), types={"id": "bigint"})
    assert isinstance(table, Source)
    assert {table: 1}[pickle.loads(pickle.dumps(table))] == 1
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        table.cursor = "other"  # type: ignore[misc]


@pytest.mark.parametrize(
    "dsn", [DSN, "host=db user=reader password=s3cret dbname=shop", "host=db user=reader password = 's3c ret' dbname='shop'"]
)
def test_no_text_of_a_source_holds_its_password(dsn: str) -> None:
    shop = sources.Postgres(dsn)
    texts = (
        f"{shop} {shop!r} {shop.table('users')!r} {shop.table('users').upstream} {shop.table('users').origin} {shop.table('users').place}"
    )
    assert "s3c" not in texts
    assert repr(shop) == "Postgres(name='shop')"


@pytest.mark.parametrize(
    "dsn",
    [
        "",
        "s3cret",
        "mysql://u:s3cret@db/x",
        "postgresql+psycopg://u:s3cret@db/x",
        "postgresql://u:s3/cret@db/shop",
        "host db s3cret",
        7,
        None,
    ],
)
def test_what_is_no_connection_string_is_refused_and_not_quoted(dsn: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        sources.Postgres(dsn)
    assert "s3" not in f"{caught.value} {caught.value!r} {caught.value.__context__!r}"


@pytest.mark.parametrize(
    ("dsn", "database"),
    [
        ("postgres://db/shop", "shop"),
        ("postgresql://u:p@a:1,b:2/shop?target_session_attrs=any", "shop"),
        ("postgresql://u:p%40x@[::1]:5432/my%20shop", "my shop"),
        ("postgresql://u@db", "u"),
        ("postgresql:///shop?host=/tmp&user=x", "shop"),
        (r"host=db dbname='it\'s' password=x", "it's"),
        ("user=x host = db", "x"),
    ],
)
def test_the_database_is_the_one_libpq_would_choose(dsn: str, database: str) -> None:
    assert sources.Postgres(dsn).database == database


def test_a_connection_string_without_a_database_needs_a_name() -> None:
    shop = sources.Postgres("service=shop")
    with pytest.raises(ConfigError, match="name='shop'"):
        _ = shop.table("users").upstream
    assert sources.Postgres("service=shop", name="shop").table("users").upstream == "postgres:shop/public.users"


def test_a_function_is_called_when_it_is_needed_and_not_before() -> None:
    def refuse() -> str:
        raise AssertionError

    table = sources.Postgres(refuse, name="shop").table("sales.orders", cursor="at")
    assert (table.upstream, table.origin) == ("postgres:shop/sales.orders", "shop.sales.orders")
    assert repr(sources.Postgres(refuse)) == "Postgres(name=None)"
    with pytest.raises(ConfigError, match="must return a connection string, got int"):
        sources.Postgres(lambda: 7).connection_string()  # type: ignore[arg-type,return-value]


@pytest.mark.parametrize(
    ("name", "table"),
    [
        ("users", ("public", "users")),
        ("Public.Users", ("public", "users")),
        ('"Sales"."Or.ders"', ("Sales", "Or.ders")),
        ('"a""b"', ("public", 'a"b')),
        (("Users",), ("public", "Users")),
        (("a.b", "C"), ("a.b", "C")),
        ("straße.größe", ("straße", "größe")),
    ],
)
def test_a_tables_name_is_read_as_postgresql_reads_it(name: Any, table: tuple[str, str]) -> None:
    assert sources.Postgres(DSN).table(name).name == table


@pytest.mark.parametrize(
    "name", ["", "a.b.c", "a.", ".a", 'a"b', '"a', "users; DROP TABLE x", "1a", (), ("a", ""), ("a", "b", "c"), 7, None]
)
def test_what_is_no_tables_name_is_refused(name: Any) -> None:
    with pytest.raises(ConfigError, match=r"table\(name=\)"):
        sources.Postgres(DSN).table(name)


def test_text_and_quotes_of_a_name_come_back() -> None:
    for table in (("public", "users"), ("Sales", 'o"d.d'), ("a b", "select")):
        assert postgres_names.parse_table(postgres_names.text(table), place="") == table


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({"lookback": timedelta(1)}, "lookback="),
        ({"cursor": "at", "lookback": timedelta(-1)}, "lookback="),
        ({"cursor": "at", "lookback": 5}, "lookback="),
        ({"cursor": "at", "on_null_cursor": "ignore"}, "on_null_cursor="),
        ({"cursor": "at", "time_zone": "Mars/Base"}, "time_zone="),
        ({"cursor": "at", "time_zone": 2}, "time_zone="),
        ({"cursor": ""}, "cursor="),
        ({"where": " "}, "where="),
        ({"columns": []}, "columns="),
        ({"columns": ["id", "id"]}, "columns="),
        ({"columns": "id", "cursor": "at"}, "columns="),
        ({"columns": "id", "primary_key": "key"}, "columns="),
        ({"primary_key": ()}, "primary_key="),
        ({"types": "int"}, "types="),
        ({"types": {"amount": int}}, "types=.*'amount'"),
        ({"cursor": "at", "types": {"at": "string"}}, "types=.*'at'"),
        ({"on_misfit": "ignore"}, "on_misfit="),
    ],
)
def test_a_wrong_argument_is_refused_before_anything_is_read(options: dict[str, Any], names: str) -> None:
    with pytest.raises(ConfigError, match=names):
        sources.Postgres(DSN).table("users", **options)


def test_a_column_that_lakekit_keeps_for_itself_can_not_be_asked_for() -> None:
    with pytest.raises(SchemaError, match="_source"):
        sources.Postgres(DSN).table("users", columns="_source")


def test_an_unknown_type_names_its_column() -> None:
    with pytest.raises(SchemaError, match=r"'amount'.*'monney'"):
        sources.Postgres(DSN).table("users", types={"amount": "monney"})


def test_a_missing_driver_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "adbc_driver_postgresql", None)
    with pytest.raises(ConfigError, match=r"pip install 'lakekit\[postgres\]'"):
        sources.Postgres(DSN).table("users").primary_key()
