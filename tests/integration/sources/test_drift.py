"""Sources that drop, rename and retype columns under a running pipeline: no value is lost, and nothing stops that need not."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import psycopg
import pyarrow as pa
import pytest
from confluent_kafka import Producer

import lakekit as lk
from lakekit import evolution
from lakekit.engines.types import sql_type
from lakekit.errors import LakekitError, SchemaError
from lakekit.sources.postgres import PostgresTable
from tests.contract.helpers import foreign
from tests.integration.sources import kafka_topics
from tests.integration.sources.kafka_topics import Topic
from tests.integration.sources.mongo_reading import Market, orders
from tests.integration.sources.reading import execute, shop
from tests.integration.sources.test_postgres_chunks import Between
from tests.servers.kafka import KafkaServer

BRONZE, SILVER = "bronze.things", "silver.things"
PATIENCE = 60.0


@pytest.fixture
def things(database: str) -> PostgresTable:
    execute(
        database,
        "CREATE TABLE things (id int PRIMARY KEY, size int, price numeric(6,2), city text, at timestamptz NOT NULL)",
        "INSERT INTO things SELECT n, n, n + 0.25, 'city ' || n, '2026-01-01Z'::timestamptz + n * interval '1 h' FROM generate_series(1, 3) n",
    )
    return shop(database).table("things", cursor="at")


def run(lake: lk.Lake, source: Any) -> lk.Commit:
    """Bronze and silver. What is rescued comes with the bronze row."""
    commit = lk.ingest(lake, source, into=BRONZE)
    lk.merge(lk.read_new(lake, BRONZE, into=SILVER), key="id")
    return commit


def silver(lake: lk.Lake, *names: str, table: str = SILVER) -> list[tuple[Any, ...]]:
    """These columns of all rows, by id; what is rescued as an object."""
    rows = sorted(lk.read(lake, table).to_arrow().to_pylist(), key=lambda row: row.get("id", row.get("_id")))
    found = [{**row, "_rescued_data": json.loads(row.get("_rescued_data") or "{}", parse_float=Decimal)} for row in rows]
    return [tuple(row[name] for name in names) for row in found]


def kind(lake: lk.Lake, column: str, table: str = SILVER) -> str:
    return sql_type(lk.read(lake, table).schema.field(column).type)


def test_a_column_that_postgresql_drops_stays_and_is_null_from_there_on(things: PostgresTable, lake: lk.Lake, database: str) -> None:
    run(lake, things)
    execute(database, "ALTER TABLE things DROP COLUMN city")
    assert not run(lake, things).committed, "rows that were read before are known without the column, too"
    execute(database, "INSERT INTO things VALUES (4, 4, 4.25, now())", "UPDATE things SET size = 20, at = now() WHERE id = 2")
    run(lake, things)
    assert silver(lake, "id", "size", "city") == [(1, 1, "city 1"), (2, 20, None), (3, 3, "city 3"), (4, 4, None)]
    assert [step.change.kind for step in evolution.plan(lake, things, into=BRONZE).steps] == ["missing"]
    execute(database, "ALTER TABLE things ADD COLUMN city int", "INSERT INTO things VALUES (5, 5, 5.25, now(), 12345)")
    run(lake, things)
    assert silver(lake, "id", "city")[4] == (5, "12345"), "text holds what a number says"


def test_a_column_that_postgresql_renames_is_a_new_one_and_the_plan_says_what_it_suspects(
    things: PostgresTable, lake: lk.Lake, database: str
) -> None:
    run(lake, things)
    execute(database, "ALTER TABLE things RENAME COLUMN city TO town", "INSERT INTO things VALUES (4, 4, 4.25, 'Ulm', now())")
    plan = evolution.plan(lake, things, into=BRONZE)
    assert "rename city: STRING (perhaps town now; never applied by itself): keep" in str(plan)
    assert run(lake, things).columns_added == ("town",)
    assert silver(lake, "id", "city", "town")[-1] == (4, None, "Ulm")
    assert silver(lake, "id", "city")[0] == (1, "city 1"), "nothing is moved by a suspicion"


def test_a_cursor_that_postgresql_renames_stops_the_run_and_is_named(things: PostgresTable, lake: lk.Lake, database: str) -> None:
    run(lake, things)
    before = foreign(lake, BRONZE).metadata_location
    execute(database, "ALTER TABLE things RENAME COLUMN at TO changed_at", "INSERT INTO things VALUES (4, 4, 4.25, 'Ulm', now())")
    with pytest.raises(SchemaError, match=r"cursor=.*'at'") as caught:
        run(lake, things)
    assert "changed_at" in caught.value.hint
    assert foreign(lake, BRONZE).metadata_location == before
    run(lake, shop(database).table("things", cursor="changed_at"))
    assert silver(lake, "id", "at", "city")[3] == (4, None, "Ulm")


def test_rows_whose_key_postgresql_calls_otherwise_are_rejected_until_silver_knows_it(
    things: PostgresTable, lake: lk.Lake, database: str
) -> None:
    run(lake, things)
    execute(database, "ALTER TABLE things RENAME COLUMN id TO number", "INSERT INTO things VALUES (4, 4, 4.25, 'Ulm', now())")
    lk.ingest(lake, things, into=BRONZE)
    assert lk.merge(lk.read_new(lake, BRONZE, into=SILVER), key="id").rejected > 0
    (reject,) = (row for row in lk.read(lake, f"{SILVER}__rejects").to_arrow().to_pylist() if "Ulm" in row["_row"])
    assert json.loads(reject["_row"])["number"] == 4
    names = {name: name for name in ("size", "price", "city", "at")}
    lk.rewind(lake, into=SILVER, upstream=BRONZE, to=None)
    known = lk.select(lk.read_new(lake, BRONZE, into=SILVER), {"id": "coalesce(id, number)", **names})
    lk.merge(known, key="id")
    assert [row[0] for row in silver(lake, "id")] == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("column", "retype", "value", "becomes", "stored", "rescued"),
    [
        ("size", "bigint", "5000000000", "BIGINT", 5_000_000_000, None),
        ("price", "numeric(12,2)", "1234567.25", "DECIMAL(12, 2)", Decimal("1234567.25"), None),
        ("size", "text", "'7'", "INT", 7, None),
        ("size", "text", "'large'", "INT", None, "large"),
        ("size", "numeric(6,1)", "2.5", "INT", None, {"$decimal": "2.5"}),
        ("size", "double precision", "2.5", "INT", None, {"$double": "2.5"}),
        ("price", "numeric(8,3)", "1.255", "DECIMAL(6, 2)", None, {"$decimal": "1.255"}),
        ("size", "int[] USING ARRAY[size]", "'{1,2}'", "INT", None, [1, 2]),
        ("city", "int USING 0", "12", "STRING", "12", None),
        ("city", "timestamptz USING now()", "'2026-02-03Z'", "STRING", None, {"$timestamp": "2026-02-03 00:00:00+00"}),
        ("city", "bytea USING ''", r"'\xff'", "STRING", None, {"$binary": "/w=="}),
    ],
)
def test_a_column_that_postgresql_retypes_is_widened_or_its_values_are_rescued(
    column: str, retype: str, value: str, becomes: str, stored: Any, rescued: Any, things: PostgresTable, lake: lk.Lake, database: str
) -> None:
    run(lake, things)
    execute(
        database,
        f"ALTER TABLE things ALTER COLUMN {column} TYPE {retype}",
        f"INSERT INTO things (id, {column}, at) VALUES (4, {value}, now())",
    )
    run(lake, things)
    assert kind(lake, column) == becomes
    assert silver(lake, column, "_rescued_data")[-1] == (stored, {column: rescued} if rescued is not None else {})
    assert not run(lake, things).committed, "a second run finds nothing new"


def test_values_rescued_from_a_retyped_column_come_back_once_the_table_is_mended(
    things: PostgresTable, lake: lk.Lake, database: str
) -> None:
    run(lake, things)
    execute(database, "ALTER TABLE things ALTER COLUMN size TYPE text", "INSERT INTO things VALUES (4, 'large', 4.25, 'Ulm', now())")
    run(lake, things)
    for table in (BRONZE, SILVER):
        with foreign(lake, table).update_schema(allow_incompatible_changes=True) as update:
            update.rename_column("size", "size_before")
        with foreign(lake, table).update_schema() as update:
            update.union_by_name(pa.schema([("size", pa.string())]))
        assert evolution.unrescue(lake, table).updated == 1
    execute(database, "INSERT INTO things VALUES (5, 'small', 5.25, 'Bonn', now())")
    run(lake, things)
    assert silver(lake, "id", "size", "size_before", "_rescued_data")[2:] == [
        (3, None, 3, {}),
        (4, "large", None, {}),
        (5, "small", None, {}),
    ]


CHANGES = {
    "ADD COLUMN extra text DEFAULT 'new'": ("extra", {"new"}),
    "DROP COLUMN size": ("size", {None}),
    "RENAME COLUMN size TO magnitude": ("magnitude", set(range(1, 61))),
    "ALTER COLUMN size TYPE text USING 'number ' || size": ("size", {f"number {n}" for n in range(1, 61)}),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_between_the_chunks_of_a_first_load_loses_nothing(change: str, lake: lk.Lake, database: str) -> None:
    execute(
        database,
        "CREATE TABLE things (id int PRIMARY KEY, size int, at timestamptz NOT NULL)",
        "INSERT INTO things SELECT n, n, '2026-01-01Z'::timestamptz + n * interval '1 h' FROM generate_series(1, 60) n",
    )
    source = shop(database).table("things", cursor="at", chunk_rows=20)
    acts: list[Callable[[], object]] = [print, lambda: execute(database, f"ALTER TABLE things {change}")]
    lk.ingest(lake, Between(source, acts), into=BRONZE)
    column, wanted = CHANGES[change]
    rows = lk.read(lake, BRONZE).to_arrow().to_pylist()
    assert sorted(row["id"] for row in rows) == list(range(1, 61))
    late = [row for row in rows if row.get("size") is None or row.get("extra") is not None]
    assert len(late) == 40, "what the first chunk said stays"
    assert {(json.loads(row["_rescued_data"])[column] if row.get("_rescued_data") else row[column]) for row in late} <= wanted


def test_a_stream_goes_on_while_postgresql_changes_its_table(things: PostgresTable, lake: lk.Lake, database: str) -> None:
    """ALTERs come at any moment of the reads; in the end each row's word is in its column or rescued, whatever the column is called then."""
    commits = threading.Semaphore(0)
    running = lk.stream(lake, things, into=BRONZE, every="0.05 seconds", then=lambda _: commits.release())
    changes = [
        "ALTER TABLE things ADD COLUMN note text",
        "ALTER TABLE things RENAME COLUMN note TO remark",
        "ALTER TABLE things ALTER COLUMN size TYPE text USING 'size ' || size",
        "ALTER TABLE things DROP COLUMN city",
        "ALTER TABLE things ALTER COLUMN price TYPE numeric(12,2)",
        "ALTER TABLE things ADD COLUMN city jsonb",
    ]
    with psycopg.connect(database, autocommit=True) as connection:
        for number, change in enumerate(changes, 10):
            assert commits.acquire(timeout=PATIENCE)
            connection.execute(change)
            for more in range(5):
                connection.execute(
                    "INSERT INTO things (id, size, price, at) VALUES (%s, %s, 1, now())", (10 * number + more, "7" if number > 11 else 7)
                )
    last = 10 * (10 + len(changes) - 1) + 4
    while last not in lk.read(lake, BRONZE).to_arrow().column("id").to_pylist():
        assert commits.acquire(timeout=PATIENCE)
    running.stop()
    running.wait()
    rows = lk.read(lake, BRONZE).to_arrow().to_pylist()
    wanted = {1, 2, 3, *(10 * number + more for number in range(10, 10 + len(changes)) for more in range(5))}
    assert {row["id"] for row in rows} == wanted
    assert {"note", "remark", "city"} <= set(lk.read(lake, BRONZE).columns)
    assert all(row["size"] is not None or "size" in json.loads(row["_rescued_data"]) for row in rows)


def test_documents_whose_types_differ_lose_no_value_on_their_way_to_silver(market: Market, mongo: str, lake: lk.Lake) -> None:
    batches: list[list[dict[str, Any]]] = [
        [{"_id": 1, "price": 5, "buyer": {"zip": 89073}}],
        [{"_id": 2, "price": "on request", "buyer": {"zip": "SW1A"}}, {"_id": 3, "price": 7, "buyer": "anonymous"}],
        [{"_id": 4, "price": {"amount": 9, "currency": "EUR"}, "channel": "app"}, {"_id": 5, "price": [1, 2], "channel": 7}],
    ]
    for batch in batches:
        market["orders"].insert_many(batch)
        lk.ingest(lake, orders(market, mongo), into=BRONZE)
        lk.merge(lk.read_new(lake, BRONZE, into=SILVER), key="_id")
    assert kind(lake, "price") == "BIGINT"
    assert silver(lake, "_id", "price", "buyer", "channel", "_rescued_data") == [
        (1, 5, {"zip": 89073}, None, {}),
        (2, None, {"zip": None}, None, {"price": "on request", "buyer.zip": "SW1A"}),
        (3, 7, None, None, {"buyer": "anonymous"}),
        (4, None, None, "app", {"price": {"amount": 9, "currency": "EUR"}}),
        (5, None, None, "7", {"price": [1, 2]}),
    ]
    market["orders"].update_one({"_id": 2}, {"$set": {"price": 6}})
    lk.ingest(lake, orders(market, mongo), into=BRONZE)
    lk.merge(lk.read_new(lake, BRONZE, into=SILVER), key="_id")
    assert silver(lake, "price", "_rescued_data")[1] == (6, {"buyer.zip": "SW1A"})


@pytest.mark.parametrize("schema", ["infer", {"id": "bigint", "price": "bigint", "device": "string"}], ids=["inferred", "declared"])
def test_producers_of_two_versions_at_once_lose_no_value(schema: Any, kafka: KafkaServer, lake: lk.Lake) -> None:
    """One still says numbers, the other objects and a field more, in one topic, while a stream takes portions of both."""
    topic = Topic(kafka.servers, partitions=2)
    count = 40
    versions: list[Callable[[int], dict[str, Any]]] = [
        lambda n: {"id": n, "price": n},
        lambda n: {"id": 1000 + n, "price": {"amount": n, "currency": "EUR"}, "device": f"phone {n}"},
    ]
    topic.send(versions[0](0))
    lk.ingest(lake, topic.source(schema=schema), into=kafka_topics.INTO)

    def produce(partition: int) -> None:
        producer = Producer({"bootstrap.servers": kafka.servers, "linger.ms": 0})
        for number in range(1, count):
            producer.produce(topic.name, json.dumps(versions[partition](number)), partition=partition)
            producer.flush(PATIENCE)

    threads = [threading.Thread(target=produce, args=(partition,)) for partition in (0, 1)]
    seen = threading.Semaphore(0)
    running = lk.stream(
        lake, topic.source(schema=schema, max_messages=7), into=kafka_topics.INTO, every="0.05 seconds", then=lambda _: seen.release()
    )
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    while len(kafka_topics.rows(lake)) < 2 * count - 1:
        assert seen.acquire(timeout=PATIENCE)
    running.stop()
    running.wait()
    found = silver(lake, "id", "price", "device", "_rescued_data", table=kafka_topics.INTO)
    assert found[:count] == [(n, n, None, {}) for n in range(count)]
    assert found[count:] == [(1000 + n, None, f"phone {n}", {"price": {"amount": n, "currency": "EUR"}}) for n in range(1, count)]


def test_drift_is_reported_over_many_tables_and_a_source_that_fails_keeps_no_other_from_it(
    things: PostgresTable, lake: lk.Lake, database: str, market: Market, mongo: str
) -> None:
    market["orders"].insert_one({"_id": 1})
    lk.ingest(lake, things, into=BRONZE)
    lk.ingest(lake, orders(market, mongo), into="bronze.orders")
    sources: dict[Any, Any] = {
        BRONZE: things,
        "bronze.orders": orders(market, mongo),
        "bronze.gone": shop(database.replace("@127.0.0.1:", "@127.0.0.1:1")).table("gone"),
        "bronze.not_there_yet": things,
    }
    assert evolution.drift(lake, things, BRONZE).same == (BRONZE,)
    assert evolution.drift(lake, sources).same == (BRONZE, "bronze.orders", "bronze.not_there_yet")
    execute(database, "ALTER TABLE things ADD COLUMN device_type text, ALTER COLUMN size TYPE bigint, ALTER COLUMN price TYPE text")
    found = evolution.drift(lake, sources)
    assert found.statements() == [
        "ALTER TABLE bronze.things ALTER COLUMN size TYPE BIGINT;",
        "ALTER TABLE bronze.things ADD COLUMN device_type STRING;",
    ]
    assert {step.change.kind for step in found.plans[0].steps} == {"widening", "conflict", "additive"}
    assert list(found.failed) == ["bronze.gone"]
    assert found
    assert "conflict price: DECIMAL(6, 2) -> STRING: fail" in str(found)
    assert str(found).endswith("as their sources: 2 of 4 tables")
    (again,) = (evolution.SchemaPlan.from_json(json.dumps(one)) for one in json.loads(found.to_json())["plans"])
    assert again == found.plans[0]
    password = database.partition("@")[0].rpartition(":")[2]
    assert password not in found.to_json() + str(found) + found._repr_html_()
    with pytest.raises(LakekitError):
        evolution.drift(lake, sources["bronze.gone"], "bronze.gone")
