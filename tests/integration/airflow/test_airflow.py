"""The shop on a real Airflow, in an environment of its own: run once, run twice, killed half-way; it ends with the tables of the plain script."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import attrs
import pytest

import lakekit as lk
from examples.shop import pipeline, world
from examples.shop.servers import Shop
from lakekit.testing.checks import heads
from tests import pages
from tests.integration.spark.shops import opened, rows

if TYPE_CHECKING:
    from tests.servers.kafka import KafkaServer

ROOT = Path(__file__).parents[3]
COMMAND = ROOT / ".venv-airflow" / "bin" / "airflow"
PAGE = ROOT / "docs" / "how-to" / "airflow.md"
DAG = """
from airflow.sdk import dag


@dag(schedule=None)
def page():
    users()


page()
"""
HOURLY = ("shop_bronze", "shop_deletes", "shop_silver", "shop_gold")


@attrs.frozen
class Airflow:
    """Airflow with the example's DAGs, and connections to a shop."""

    environment: dict[str, str]
    lake: Path

    def run(self, dag: str, *, kill_after: str | None = None) -> str:
        """Run a DAG as its scheduler would; or until its log says something, and not a moment longer."""
        command = [str(COMMAND), "dags", "test", dag]
        with subprocess.Popen(
            command, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
        ) as process:
            watchdog = threading.Timer(600, process.kill)
            watchdog.start()
            lines: list[str] = []
            for line in process.stdout or ():
                lines.append(line)
                if kill_after is not None and kill_after in line:
                    os.killpg(process.pid, signal.SIGKILL)
            watchdog.cancel()
        said = "".join(lines)
        assert process.returncode == (0 if kill_after is None else -signal.SIGKILL), said[-5_000:]
        return said


@pytest.fixture
def shop(database: str, mongo: str, kafka: KafkaServer) -> Iterator[Shop]:
    """The shop's systems, before the first hour."""
    with opened(database, mongo, kafka.servers) as found:
        yield found


@pytest.fixture
def airflow(shop: Shop, mongo: str, tmp_path: Path) -> Airflow:
    """Airflow, with a database of its own."""
    assert COMMAND.exists(), "needs Airflow: make .venv-airflow/.installed"
    market = urlsplit(mongo)
    environment = {
        **os.environ,
        "AIRFLOW_HOME": str(tmp_path / "airflow"),
        "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "examples" / "airflow" / "dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW_CONN_SHOP": shop.dsn,
        "AIRFLOW_CONN_MARKET": f"mongo://{market.netloc}",
        "AIRFLOW_CONN_WEB": f"kafka://{shop.bus.servers}",
        "AIRFLOW_VAR_LAKE": str(tmp_path / "lake"),
        "PYTHONPATH": str(ROOT),
    }
    subprocess.run([COMMAND, "db", "migrate"], env=environment, check=True, capture_output=True)
    return Airflow(environment, tmp_path / "lake")


def test_the_page_shows_a_task_that_runs_and_the_hourly_batch_goes_on_from_there(airflow: Airflow, shop: Shop, tmp_path: Path) -> None:
    shop.let_pass(world.HOURS[0])
    lake = lk.connect(airflow.lake)
    (block,) = pages.blocks(PAGE)
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags" / "page.py").write_text(f"{block.code}\n\n{DAG}")
    attrs.evolve(airflow, environment={**airflow.environment, "AIRFLOW__CORE__DAGS_FOLDER": str(tmp_path / "dags")}).run("page")
    read = lk.read(lake, "bronze.postgres_users").count()
    airflow.run("shop_bronze")
    assert lk.read(lake, "bronze.postgres_users").count() == read
    counts = {table: lk.read(lake, table).count() for table in lake.tables() if not table.endswith("__rejects")}
    assert set(counts) == {"bronze.postgres_users", "bronze.postgres_orders", "bronze.mongo_orders", "bronze.kafka_events"}
    assert all(counts.values())
    summaries = [snapshot.summary for snapshot in lake.load("bronze.postgres_users", place="test").ancestry()]
    assert "page" in {summary.get("airflow.dag_id") for summary in summaries}


@pytest.mark.slow
@pytest.mark.timeout(3_600)  # twenty runs, each in a process that imports Airflow first
def test_three_hours_end_with_the_tables_of_the_script(airflow: Airflow, shop: Shop, tmp_path: Path) -> None:
    plain = lk.connect(tmp_path / "plain")
    for number, hour in enumerate(world.HOURS):
        shop.let_pass(hour)
        if number == 2:
            airflow.run("shop_schema")  # the new column comes with it
        for dag in HOURLY:
            if number == 1 and dag == "shop_silver":
                airflow.run(dag, kill_after="end task task_id=identities")
            airflow.run(dag)
        pipeline.run(plain, shop.systems, datetime.now(UTC))
    lake = lk.connect(airflow.lake)
    before = heads(lake)
    for dag in HOURLY:
        airflow.run(dag)
    assert heads(lake) == before, "a second run changed something"
    airflow.run("shop_maintenance")
    for table in ("gold.dim_users", "gold.fact_orders", "silver.identities"):
        assert rows(lake, table) == rows(plain, table)
