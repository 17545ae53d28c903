"""The shop on Spark: the same sources, the same functions, and the embedded engine's tables row for row."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import lakekit as lk
from examples.shop import pipeline, world
from tests.integration.spark.shops import opened, rows, tables
from tests.servers.spark import CATALOGS

if TYPE_CHECKING:
    from examples.shop.servers import Shop
    from tests.servers.kafka import KafkaServer
    from tests.servers.spark import Server

NOTEBOOKS = Path(__file__).parents[3] / "examples" / "databricks"


@pytest.fixture
def shop(database: str, mongo: str, kafka: KafkaServer) -> Iterator[Shop]:
    with opened(database, mongo, kafka.servers) as found:
        yield found


@pytest.mark.slow  # minutes
def test_every_table_of_the_shop_is_the_embedded_one(shop: Shop, spark_server: Server, tmp_path: Path) -> None:
    session, catalog = spark_server.new_catalog("classic", tmp_path / "spark")
    embedded, spark = lk.connect(tmp_path / "embedded"), lk.connect(session, catalog=catalog)
    for number, hour in enumerate(world.HOURS):
        shop.let_pass(hour)
        now = world.at(9, 30) + timedelta(hours=number)
        assert [str(commit) for commit in pipeline.run(spark, shop.systems, now)] == [
            str(commit) for commit in pipeline.run(embedded, shop.systems, now)
        ]
    assert tables(lk.connect(CATALOGS[catalog])) == tables(embedded)  # what Spark wrote, as pyiceberg reads it
    for table in ("gold.dim_users", "gold.fact_orders", "silver.identities"):
        assert rows(spark, table) == rows(embedded, table)
    assert not any(commit.committed for commit in pipeline.run(spark, shop.systems, world.at(13, 30)))


class Secrets:
    """The one thing of ``dbutils`` that the notebooks use: secrets by scope and key."""

    def __init__(self, **known: str) -> None:
        self.secrets = self
        self._known = known

    def get(self, scope: str, key: str) -> str:
        assert scope == "shop"
        return self._known[key]


def run_notebook(name: str, **given: Any) -> None:
    """The cells of a notebook in Databricks' source format, without its magics."""
    text = (NOTEBOOKS / f"{name}.py").read_text(encoding="utf-8")
    assert text.startswith("# Databricks notebook source\n")
    for cell in text.split("# COMMAND ----------"):
        if "# MAGIC" not in cell:
            exec(compile(cell, f"{name}.py", "exec"), given)


@pytest.mark.slow  # minutes
def test_the_notebooks_for_databricks_make_the_embedded_tables(shop: Shop, mongo: str, spark_server: Server, tmp_path: Path) -> None:
    session, catalog = spark_server.new_catalog("connect", tmp_path / "spark")
    before = session.catalog.currentCatalog()
    session.catalog.setCurrentCatalog(catalog)
    embedded, dbutils = lk.connect(tmp_path / "embedded"), Secrets(postgres=shop.dsn, mongo=mongo, kafka=shop.bus.servers)
    try:
        for hours in (world.HOURS[:1], world.HOURS[1:]):
            for hour in hours:
                shop.let_pass(hour)
            pipeline.run(embedded, shop.systems, datetime.now(UTC))
            given: dict[str, Any] = {"spark": session, "dbutils": dbutils}
            for name in ("bronze", "silver", "gold"):
                run_notebook(name, **given)
    finally:
        session.catalog.setCurrentCatalog(before)
    assert tables(lk.connect(CATALOGS[catalog])) == tables(embedded)
