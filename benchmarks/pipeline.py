"""Three sources to a star schema: the pipeline of examples/shop at size. Rows per second and peak memory of each step, each in its own process.

python -m benchmarks.pipeline                            1,000,000 orders, 200,000 users, 1,000,000 events, 100,000 orders of the marketplace
python -m benchmarks.pipeline --sizes 1000000 5000000    both, and the ratios of peak memory
"""

from __future__ import annotations

import argparse
import functools
import importlib
import json
import sys
import tempfile
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import attrs
import psycopg
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import lakekit as lk
from benchmarks import measure
from benchmarks.measure import Measurement
from examples.shop import pipeline as shop
from examples.shop import world
from examples.shop.postgres import PostgresServer
from examples.shop.servers import EVENTS, TOPIC, FileMarket
from lakekit import sources
from tests.servers.kafka import KafkaServer

NOW = datetime(2026, 6, 1, tzinfo=UTC)
SEED = """
INSERT INTO users
SELECT n, '  Given' || n % 5000 || '   Family' || n % 70001 || ' ', CASE WHEN n % 200 = 0 THEN 'nobody' ELSE 'User' || n || '@Example.com' END,
    '(' || (ARRAY[212, 305, 312, 415, 503, 617, 702, 808])[1 + n % 8] || ') ' || 200 + n / 80000 % 800 || '-' || lpad((n / 8 % 10000)::text, 4, '0'),
    'City ' || n % 997, timestamptz '2026-01-01Z' + n * (interval '40 days' / {users})
FROM generate_series(1::bigint, {users}) AS n;
INSERT INTO orders
SELECT n, 1 + n * 7919 % {users}, n % 100000 / 100.0, instant, instant
FROM generate_series(1::bigint, {orders}) AS n, LATERAL (SELECT timestamptz '2026-03-01Z' + n * (interval '40 days' / {orders})) AS t(instant);
ANALYZE;
"""
# Half a percent of the rows changes, anywhere in the tables, half a percent is new, and one in a thousand is gone.
CHANGES = """
UPDATE users SET city = city || ' North', last_updated_at = timestamptz '2026-05-20Z' + user_id * interval '1 millisecond' WHERE user_id % 200 = 7;
UPDATE orders SET total = total + 1, last_updated_at = timestamptz '2026-05-20Z' + order_id * interval '1 millisecond' WHERE order_id % 200 = 7;
INSERT INTO users
SELECT {users} + n, 'New' || n || '  User', 'new' || n || '@example.com', NULL, 'City ' || n % 997, timestamptz '2026-05-21Z' + n * interval '1 millisecond'
FROM generate_series(1::bigint, {users} / 200) AS n;
INSERT INTO orders
SELECT {orders} + n, 1 + n * 104729 % {users}, n % 100000 / 100.0, instant, instant
FROM generate_series(1::bigint, {orders} / 200) AS n, LATERAL (SELECT timestamptz '2026-05-21Z' + n * interval '1 millisecond') AS t(instant);
DELETE FROM users WHERE user_id % 1000 = 11;
DELETE FROM orders WHERE order_id % 1000 = 11;
ANALYZE;
"""


@attrs.frozen
class Site:
    """What a step needs: the lake, and the shop's systems."""

    lake: lk.Lake
    systems: shop.Systems


def arrive(folder: str, dsn: str, broker: str, memory_limit: str) -> Site:
    """Connect, with everything imported that the steps import on first use: what imports take is another benchmark's business."""
    for name in (
        "adbc_driver_postgresql.dbapi",
        "confluent_kafka.admin",
        "email_validator",
        "lakekit.engines.embedded",
        "lakekit.identity.resolve",
        "msgspec",
        "phonenumbers",
        "rapidfuzz.process",
        "sqlglot.dialects.duckdb",
    ):
        importlib.import_module(name)
    lake = lk.connect(Path(folder) / "lake", memory_limit=memory_limit, spill_directory=folder)
    events = sources.Kafka(broker, name="web").topic(TOPIC, schema=EVENTS)
    return Site(
        lake, shop.Systems(sources.Postgres(dsn, name="shop"), FileMarket(Path(folder) / "market", "files are enough here").orders, events)
    )


def ingest(site: Site, *, source: str) -> int:
    """Rows that are new in a source to bronze."""
    found, table = {
        "users": (site.systems.shop.table("public.users", cursor="last_updated_at"), "bronze.postgres_users"),
        "orders": (site.systems.shop.table("public.orders", cursor="last_updated_at"), "bronze.postgres_orders"),
        "market": (site.systems.market_orders, "bronze.mongo_orders"),
        "events": (site.systems.events, "bronze.kafka_events"),
    }[source]
    return lk.ingest(site.lake, found, into=table, now=NOW).read


def deletes(site: Site, *, table: str) -> int:
    """All keys of the source, compared with those that live in bronze. The rows are the keys compared."""
    return lk.ingest_deletes(site.lake, site.systems.shop.table(f"public.{table}"), into=f"bronze.postgres_{table}", now=NOW).read


def transform(site: Site, *, function: Callable[..., lk.Commit], timed: bool = False) -> int:
    """One function of the shop's pipeline, bronze to silver or silver to gold."""
    return (function(site.lake, NOW) if timed else function(site.lake)).read


STEPS: Mapping[str, Callable[[Site], int]] = {
    "ingest users": functools.partial(ingest, source="users"),
    "ingest orders": functools.partial(ingest, source="orders"),
    "ingest marketplace": functools.partial(ingest, source="market"),
    "ingest events": functools.partial(ingest, source="events"),
    "deletes of users": functools.partial(deletes, table="users"),
    "deletes of orders": functools.partial(deletes, table="orders"),
    "silver.users": functools.partial(transform, function=shop.silver_users),
    "silver.market_buyers": functools.partial(transform, function=shop.silver_market_buyers),
    "silver.visitors": functools.partial(transform, function=shop.silver_visitors),
    "silver.identities": functools.partial(transform, function=shop.identities, timed=True),
    "silver.users_unified": functools.partial(transform, function=shop.users_unified, timed=True),
    "silver.orders": functools.partial(transform, function=shop.silver_orders),
    "silver.market_orders": functools.partial(transform, function=shop.silver_market_orders),
    "silver.orders_unified": functools.partial(transform, function=shop.orders_unified),
    "gold.dim_users (SCD2)": functools.partial(transform, function=shop.dim_users),
    "gold.fact_orders (lookup)": functools.partial(transform, function=shop.fact_orders),
}


def fill_market(folder: str, numbers: range, users: int, day: datetime) -> None:
    """Orders of the marketplace as one more file. Every second buyer is a user of the shop, by the same e-mail."""
    documents = (
        {
            "_id": f"{number:024x}",
            "order_time": (day + timedelta(milliseconds=number)).isoformat(),
            "buyer": {"id": f"m-{buyer}", "name": f"Given{buyer % 5000} Family{buyer % 70001}", "email": f"{kind}{buyer}@example.com"},
            "price": f"{number % 10000 / 100:.2f}",
            "quantity": 1 + number % 3,
        }
        for number in numbers
        for buyer in [1 + number * 31 % users]
        for kind in ["user" if buyer % 2 else "buyer"]
    )
    market = Path(folder) / "market"
    with (market / f"{len(list(market.iterdir()))}.jsonl").open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(found) + "\n" for found in documents)


def fill_topic(servers: str, numbers: range, users: int, day: datetime) -> None:
    """Events: one in twenty is a visitor who signs up, most of them with a user's phone number."""

    def event(number: int) -> dict[str, object]:
        time = day + timedelta(milliseconds=number)
        visitor = number * 17 % users
        if number % 20:
            return world.view(number, time, f"v-{visitor}", f"/{number % 100}")
        code = (212, 305, 312, 415, 503, 617, 702, 808)[visitor % 8]
        phone = f"+1{code}{200 + visitor // 80000 % 800}{visitor // 8 % 10000:04d}"
        return world.signup(number, time, f"v-{visitor}", full_name=f"given{visitor % 5000} family{visitor % 70001}", phone=phone)

    producer = Producer({"bootstrap.servers": servers, "linger.ms": 50})
    for number in numbers:
        found = event(number)
        producer.produce(TOPIC, json.dumps(found), key=str(found["visitor_id"]))
        if number % 20_000 == 0:
            producer.flush()
    producer.flush()


def run(orders: int, memory_limit: str) -> dict[str, dict[str, Measurement]]:
    """All steps for a first load, and for an increment after it."""
    users = orders // 5
    found: dict[str, dict[str, Measurement]] = {}
    more = {
        "first load": (SEED, range(orders), range(orders // 10)),
        "increment": (CHANGES, range(orders, orders + orders // 100), range(orders // 10, orders // 10 + orders // 1000)),
    }
    with tempfile.TemporaryDirectory(prefix="lakekit-bench-") as folder, PostgresServer() as server, KafkaServer() as bus:
        admin = AdminClient({"bootstrap.servers": bus.servers})
        admin.create_topics([NewTopic(TOPIC, 4, 1)])[TOPIC].result(30)
        (Path(folder) / "market").mkdir()
        with psycopg.connect(server.dsn, autocommit=True) as connection:
            connection.execute(world.SCHEMA)
        for title, (statements, events, documents) in more.items():
            day = datetime(2026, 3, 1, tzinfo=UTC) if title == "first load" else datetime(2026, 5, 21, tzinfo=UTC)
            with measure.progress(f"{orders:,} orders, {title}: the sources"), psycopg.connect(server.dsn, autocommit=True) as connection:
                connection.execute(statements.format(orders=orders, users=users))
                fill_market(folder, documents, users, day)
                fill_topic(bus.servers, events, users, day)
            found[title] = {}
            for name, step in STEPS.items():
                with measure.progress(f"{orders:,} orders, {title}: {name}"):
                    found[title][name] = measure.fresh(step, arrive, folder, server.dsn, bus.servers, memory_limit)
            print(measure.table(f"{orders:,} orders, {title}", found[title]), end="\n\n", flush=True)
    return found


def main() -> None:
    """Run for each size and print the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pipeline", description="PostgreSQL to a star schema, at size.")
    parser.add_argument(
        "--orders", type=int, default=1_000_000, help="how many orders there are, and a fifth as many users (default: %(default)s)"
    )
    parser.add_argument("--sizes", type=int, nargs="+", help="several numbers of orders, compared side by side")
    parser.add_argument(
        "--memory-limit", default="256MB", help="connect(memory_limit=): what DuckDB may hold before it spills (default: %(default)s)"
    )
    options = parser.parse_args()
    print(f"{measure.machine()}; memory_limit {options.memory_limit}\n", flush=True)
    runs = {f"{orders:,}": run(orders, options.memory_limit) for orders in options.sizes or [options.orders]}
    if len(runs) > 1:
        for title in ("first load", "increment"):
            print(measure.ratios(title, {size: found[title] for size, found in runs.items()}), end="\n\n")


if __name__ == "__main__":
    main()
