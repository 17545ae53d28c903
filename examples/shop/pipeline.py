"""The shop's pipeline: three sources to bronze, silver and a star. One function for each table; every one may be run again at any time."""

from __future__ import annotations

from datetime import datetime

import attrs

import lakekit as lk
from lakekit import identity, rules, sources
from lakekit.sources.protocol import Source

EVENTS = {
    "event_id": "bigint",
    "event": "string",
    "visitor_id": "string",
    "happened_at": "timestamp",
    "page": "string",
    "full_name": "string",
    "email": "string",
    "phone": "string",
}
TOPIC = "events"
# What documents may lack for a while; fields that are not named here get the type of what they hold.
DOCUMENTS = {"buyer": "struct<id: string, name: string, email: string, phone: string>", "price": "decimal(12,2)"}
# An equal e-mail or phone makes two records one person; how alike the names on one phone are is kept with the link.
PEOPLE = identity.Rules(
    match=[identity.exact("email"), identity.exact("phone"), identity.fuzzy("full_name", at_least=0.92, within="phone")],
)
CLEAN = {
    "full_name": [rules.squash_spaces(), rules.empty_to_null()],
    "email": [rules.trim(), rules.empty_to_null(), rules.email()],
    "phone": [rules.empty_to_null(), rules.phone("US")],
}
TRUST = ("postgres", "mongo", "kafka")
ALLOW = lk.Deletes(max_fraction=0.5)  # of four users one is a quarter


@attrs.frozen
class Systems:
    """What the pipeline reads from: the shop's database, the marketplace's orders, the events of the web site."""

    shop: sources.Postgres
    market_orders: Source
    events: Source


# Bronze.


def bronze(lake: lk.Lake, systems: Systems, now: datetime) -> list[lk.Commit]:
    """What each source says, each row version once, and a delete for each key that is gone."""
    users = systems.shop.table("public.users", cursor="last_updated_at")
    orders = systems.shop.table("public.orders", cursor="last_updated_at")
    return [
        lk.ingest(lake, users, into="bronze.postgres_users", now=now),
        lk.ingest(lake, orders, into="bronze.postgres_orders", now=now),
        lk.ingest(lake, systems.market_orders, into="bronze.mongo_orders", now=now),
        lk.ingest(lake, systems.events, into="bronze.kafka_events", now=now),
        lk.ingest_deletes(lake, users, into="bronze.postgres_users", deletes=ALLOW, now=now),
        lk.ingest_deletes(lake, orders, into="bronze.postgres_orders", deletes=ALLOW, now=now),
    ]


# Silver: clean people of each source, who is who among them, and one record for each person.


def silver_users(lake: lk.Lake) -> lk.Commit:
    """What can't be cleaned stands in silver.users__rejects."""
    users = lk.read_new(lake, "bronze.postgres_users", into="silver.users")
    users = lk.latest(users, key="user_id")
    return lk.merge(lk.clean(users, CLEAN), key="user_id")


def silver_market_buyers(lake: lk.Lake) -> lk.Commit:
    """A buyer is what their last order says."""
    buyers = lk.read_new(lake, "bronze.mongo_orders", into="silver.market_buyers").pipe(dated, "order_time")
    buyers = lk.select(
        buyers,
        {"buyer_id": "buyer.id", "full_name": "buyer.name", "email": "buyer.email", "phone": "buyer.phone"},
        drop=["price", "quantity"],
    )
    buyers = lk.latest(buyers, key="buyer_id")
    return lk.merge(lk.clean(buyers, CLEAN), key="buyer_id")


def silver_visitors(lake: lk.Lake) -> lk.Commit:
    """Visitors who said who they are."""
    visitors = lk.read_new(lake, "bronze.kafka_events", into="silver.visitors").pipe(dated, "happened_at")
    visitors = lk.where(visitors, "event = 'signup'", otherwise="drop")
    visitors = lk.select(visitors, {name: name for name in ("visitor_id", "full_name", "email", "phone")})
    visitors = lk.latest(visitors, key="visitor_id")
    return lk.merge(lk.clean(visitors, CLEAN), key="visitor_id")


def dated(batch: lk.Batch, column: str) -> lk.Batch:
    """The batch with a time of the business as the time of its changes."""
    return batch.sql(f"SELECT * EXCEPT (_source_timestamp), CAST({column} AS TIMESTAMP) AS _source_timestamp FROM batch")


RECORDS = {"postgres": "silver.users", "mongo": "silver.market_buyers", "kafka": "silver.visitors"}


def identities(lake: lk.Lake, now: datetime) -> lk.Commit:
    """Who is who: one master_user_id for each person across all sources."""
    batches = {source: lk.read_new(lake, table, into="silver.identities") for source, table in RECORDS.items()}
    keys = {"postgres": "user_id", "mongo": "buyer_id", "kafka": "visitor_id"}
    return lk.resolve_identities(batches, record_key=keys, rules=PEOPLE, now=now)


def users_unified(lake: lk.Lake, now: datetime) -> lk.Commit:
    """One record for each person, each value from the source that is trusted most with it."""
    prefer = {"full_name": TRUST, "email": TRUST, "phone": TRUST, "city": TRUST}
    people = lk.golden(lake, RECORDS, identities="silver.identities", prefer=prefer, into="silver.users_unified", now=now)
    return lk.merge(people, key="master_user_id")


def silver_orders(lake: lk.Lake) -> lk.Commit:
    """The shop's orders in our words. A column that is new at the source goes along."""
    orders = lk.read_new(lake, "bronze.postgres_orders", into="silver.orders")
    words = {"order_id": "CAST(order_id AS STRING)", "person": "CAST(user_id AS STRING)", "amount": "total", "ordered_at": "created_at"}
    return lk.merge(lk.select(orders, words, rest="keep"), key="order_id")


def silver_market_orders(lake: lk.Lake) -> lk.Commit:
    """The marketplace's orders in the same words."""
    orders = lk.read_new(lake, "bronze.mongo_orders", into="silver.market_orders").pipe(dated, "order_time")
    words = {
        "order_id": "_id",
        "person": "buyer.id",
        "amount": "CAST(CAST(price AS DECIMAL(10,2)) * quantity AS DECIMAL(12,2))",
        "ordered_at": "CAST(order_time AS TIMESTAMP)",
    }
    return lk.merge(lk.select(orders, words, rest="keep"), key="order_id")


def orders_unified(lake: lk.Lake) -> lk.Commit:
    """All orders in one table, each with the person who made it. When two people turn out to be one, rows written before follow."""
    into = "silver.orders_unified"
    orders = lk.union_by_name(
        *(
            lk.read_new(lake, table, into=into).sql(f"SELECT *, '{channel}' AS channel FROM batch")
            for channel, table in (("postgres", "silver.orders"), ("mongo", "silver.market_orders"))
        )
    )
    orders = lk.with_identity(orders, "silver.identities", source_column="channel", record_key="person")
    return lk.merge(orders, key=("channel", "order_id"))


# Gold: the star.


def dim_users(lake: lk.Lake) -> lk.Commit:
    """The history of every person."""
    people = lk.read_new(lake, "silver.users_unified", into="gold.dim_users")
    return lk.merge_scd2(people, key="master_user_id", track=("full_name", "email", "phone", "city"), surrogate_key="user_key")


def fact_orders(lake: lk.Lake) -> lk.Commit:
    """One row for each order, with the key of the person as they were when they ordered."""
    facts = lk.read_new(lake, "silver.orders_unified", into="gold.fact_orders")
    facts = lk.lookup(facts, "gold.dim_users", on="master_user_id", at="ordered_at", take="user_key", missing="infer")
    return lk.merge(facts, key=("channel", "order_id"))


def run(lake: lk.Lake, systems: Systems, now: datetime) -> list[lk.Commit]:
    """Everything, in order. A crash anywhere loses and doubles nothing: run it again."""
    return [
        *bronze(lake, systems, now),
        silver_users(lake),
        silver_market_buyers(lake),
        silver_visitors(lake),
        identities(lake, now),
        users_unified(lake, now),
        silver_orders(lake),
        silver_market_orders(lake),
        orders_unified(lake),
        dim_users(lake),
        fact_orders(lake),
    ]
