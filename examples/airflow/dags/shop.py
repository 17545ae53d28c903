"""The shop on Airflow 3: bronze every hour, silver and gold when what they consume has come, deletes by night, new columns, upkeep.

The functions are those of ``examples/shop/pipeline.py``. Nothing but plain values passes from task to task: each task reads what its table
has not consumed, and the table knows that itself. So any task may be retried, cleared or run twice at any time.

Airflow is asked for three connections, ``shop`` (PostgreSQL), ``market`` (MongoDB) and ``web`` (Kafka: host and port), and for the variable
``lake``, a folder; with another catalog, `lake` is the one function to change.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import Asset, Connection, Variable, dag, get_current_context, task

import lakekit as lk
from examples.shop import pipeline
from lakekit import evolution, sources

SAFE = frozenset({"additive", "widening", "relaxing"})
"""What a source may change without anybody's word: no value of a row becomes another one."""
DEFAULTS: dict[str, Any] = {"retries": 3, "retry_delay": timedelta(seconds=30), "retry_exponential_backoff": True}
USERS, ORDERS, MARKET, EVENTS = (
    Asset(name) for name in ("bronze.postgres_users", "bronze.postgres_orders", "bronze.mongo_orders", "bronze.kafka_events")
)
PEOPLE, ALL_ORDERS = Asset("silver.users_unified"), Asset("silver.orders_unified")


def lake() -> lk.Lake:
    """The lake, with the run's name in every snapshot it makes."""
    run = get_current_context()
    return lk.connect(Variable.get("lake"), snapshot_properties={"airflow.dag_id": run["dag"].dag_id, "airflow.run_id": run["run_id"]})


def systems() -> pipeline.Systems:
    """The three systems. Their secrets stay with Airflow until lakekit connects."""
    shop = sources.Postgres(lambda: _uri("shop", "postgresql"), name="shop")
    market = sources.Mongo(lambda: _uri("market", "mongodb"), database="lakekit_shop", name="market")
    web = Connection.get("web")
    return pipeline.Systems(
        shop,
        market.collection("orders", cursor="order_time", schema=pipeline.DOCUMENTS),
        sources.Kafka(f"{web.host}:{web.port}", name="web").topic(pipeline.TOPIC, schema=pipeline.EVENTS),
    )


def _uri(connection: str, scheme: str) -> str:
    return f"{scheme}://{Connection.get(connection).get_uri().partition('://')[2]}"


def done(*commits: lk.Commit) -> list[dict[str, Any]]:
    """What a task did, for the log and for XCom."""
    for commit in commits:
        print(commit)
    return [commit.to_dict() for commit in commits]


@dag(schedule="@hourly", start_date=datetime(2026, 1, 1, tzinfo=UTC), catchup=False, max_active_runs=1, default_args=DEFAULTS)
def shop_bronze() -> None:
    """What each source says: four tasks side by side."""

    @task(outlets=[USERS])
    def users() -> list[dict[str, Any]]:
        source = systems().shop.table("public.users", cursor="last_updated_at")
        return done(lk.ingest(lake(), source, into="bronze.postgres_users"))

    @task(outlets=[ORDERS])
    def orders() -> list[dict[str, Any]]:
        source = systems().shop.table("public.orders", cursor="last_updated_at")
        return done(lk.ingest(lake(), source, into="bronze.postgres_orders"))

    @task(outlets=[MARKET])
    def market_orders() -> list[dict[str, Any]]:
        return done(lk.ingest(lake(), systems().market_orders, into="bronze.mongo_orders"))

    @task(outlets=[EVENTS])
    def events() -> list[dict[str, Any]]:
        return done(lk.ingest(lake(), systems().events, into="bronze.kafka_events"))

    users(), orders(), market_orders(), events()


@dag(
    schedule=(USERS | ORDERS | MARKET | EVENTS),
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    default_args=DEFAULTS,
)
def shop_silver() -> None:
    """What it means, as soon as one of the sources has come."""

    @task
    def users() -> list[dict[str, Any]]:
        return done(pipeline.silver_users(lake()))

    @task
    def buyers() -> list[dict[str, Any]]:
        return done(pipeline.silver_market_buyers(lake()))

    @task
    def visitors() -> list[dict[str, Any]]:
        return done(pipeline.silver_visitors(lake()))

    @task
    def identities() -> list[dict[str, Any]]:
        return done(pipeline.identities(lake(), datetime.now(UTC)))

    @task(outlets=[PEOPLE])
    def people() -> list[dict[str, Any]]:
        return done(pipeline.users_unified(lake(), datetime.now(UTC)))

    @task
    def orders() -> list[dict[str, Any]]:
        return done(pipeline.silver_orders(lake()))

    @task
    def market_orders() -> list[dict[str, Any]]:
        return done(pipeline.silver_market_orders(lake()))

    @task(outlets=[ALL_ORDERS])
    def all_orders() -> list[dict[str, Any]]:
        return done(pipeline.orders_unified(lake()))

    who = identities()
    [users(), buyers(), visitors()] >> who >> people()
    [who, orders(), market_orders()] >> all_orders()


@dag(schedule=(PEOPLE | ALL_ORDERS), start_date=datetime(2026, 1, 1, tzinfo=UTC), catchup=False, max_active_runs=1, default_args=DEFAULTS)
def shop_gold() -> None:
    """The star."""

    @task
    def dimension() -> list[dict[str, Any]]:
        return done(pipeline.dim_users(lake()))

    @task
    def facts() -> list[dict[str, Any]]:
        return done(pipeline.fact_orders(lake()))

    dimension() >> facts()


@dag(schedule="0 2 * * *", start_date=datetime(2026, 1, 1, tzinfo=UTC), catchup=False, max_active_runs=1, default_args=DEFAULTS)
def shop_deletes() -> None:
    """Every night: which keys are gone from the shop's database. Above a tenth of a table it stops, and a person looks."""

    @task(outlets=[USERS])
    def users() -> list[dict[str, Any]]:
        source = systems().shop.table("public.users", cursor="last_updated_at")
        return done(lk.ingest_deletes(lake(), source, into="bronze.postgres_users", deletes=pipeline.ALLOW))

    @task(outlets=[ORDERS])
    def orders() -> list[dict[str, Any]]:
        source = systems().shop.table("public.orders", cursor="last_updated_at")
        return done(lk.ingest_deletes(lake(), source, into="bronze.postgres_orders", deletes=pipeline.ALLOW))

    users(), orders()


@dag(schedule="30 * * * *", start_date=datetime(2026, 1, 1, tzinfo=UTC), catchup=False, max_active_runs=1, default_args=DEFAULTS)
def shop_schema() -> None:
    """What the shop's orders have that bronze lacks: planned, approved, applied, brought down to gold, and read."""

    @task.short_circuit
    def drift() -> str | None:
        source = systems().shop.table("public.orders", cursor="last_updated_at")
        plan = evolution.plan(lake(), source, into="bronze.postgres_orders")
        print(plan)
        return plan.to_json() if plan.steps else None

    @task.branch
    def policy(plan: str) -> str:
        kinds = {step.change.kind for step in evolution.SchemaPlan.from_json(plan).steps}
        return "apply" if kinds <= SAFE else "approval"

    @task(trigger_rule="none_failed_min_one_success", outlets=[ORDERS])
    def apply(plan: str) -> list[dict[str, Any]]:
        approved = evolution.SchemaPlan.from_json(plan)
        evolution.apply(lake(), approved)
        source = systems().shop.table("public.orders", cursor="last_updated_at")
        read = lk.ingest(lake(), source, into="bronze.postgres_orders")
        return done(read, *evolution.propagate(lake(), approved))

    found = drift()
    applied = apply(found)
    approval = ApprovalOperator(task_id="approval", subject="The shop's orders have changed", body="{{ ti.xcom_pull('drift') }}")
    policy(found) >> [applied, approval]
    approval >> applied


@dag(schedule="@weekly", start_date=datetime(2026, 1, 1, tzinfo=UTC), catchup=False, max_active_runs=1, default_args=DEFAULTS)
def shop_maintenance() -> None:
    """Every week: small files become few, what nobody needs goes; one task for each table."""

    @task
    def tables() -> list[str]:
        return lake().tables()

    @task(max_active_tis_per_dagrun=2)
    def maintain(table: str) -> list[dict[str, Any]]:
        return done(lk.maintain(lake(), table, older_than=timedelta(days=7)))

    maintain.expand(table=tables())


shop_bronze(), shop_silver(), shop_gold(), shop_deletes(), shop_schema(), shop_maintenance()
