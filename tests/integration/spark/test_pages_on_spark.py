"""The documentation's pages whose code needs Spark, run on a session: all blocks of a page, in order, in a folder of its own."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

import lakekit as lk
from examples.shop import world
from tests import pages
from tests.integration.sources.kafka_topics import Topic
from tests.servers.jars import jars

if TYPE_CHECKING:
    from pymongo.database import Database

    from tests.servers.kafka import KafkaServer
    from tests.servers.spark import Server

SOURCES = pages.ROOT / "docs" / "how-to" / "spark-sources.md"
CONNECTORS = ', connectors=["kafka", "mongo", "postgres"]'
PARTITIONER = "com.mongodb.spark.sql.connector.read.partitioner.SinglePartitionPartitioner"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("page", [page for page in pages.PAGES if "spark" in pages.needs(page) and page != SOURCES], ids=pages.name)
def test_the_pages_on_spark_run(page: Path, server: Server, tmp_path: Path) -> None:
    spark, catalog = server.new_catalog("connect", tmp_path / "lake")
    code = [block.code for block in pages.blocks(page) if block.needs == "spark"]
    addresses = {'catalog="lake"': f'catalog="{catalog}"', 'catalog="main"': f'catalog="{catalog}"'}
    given = pages.run([pages.replaced(part, addresses) for part in code], page, {"spark": spark})
    assert given["lake"].tables() == []


@pytest.mark.slow
def test_the_page_on_sources_read_by_spark_runs(
    server: Server, database: str, mongo: str, market: Database[dict[str, Any]], kafka: KafkaServer, tmp_path: Path
) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(world.SCHEMA)
        connection.execute(world.HOURS[0].sql)
    market["orders"].insert_many([{"_id": number, "order_time": datetime(2026, 1, 1, tzinfo=UTC)} for number in range(3)])
    topic = Topic(kafka.servers)
    topic.send(*({"event_id": number, "visitor_id": "v-1"} for number in range(3)))
    spark, catalog = server.new_catalog("classic", tmp_path / "lake")
    spark.conf.set("spark.mongodb.read.partitioner", PARTITIONER)  # the stand-in knows the default one as little
    addresses = {
        'catalog="lake"': f'catalog="{catalog}"',
        "postgresql://reader@db/shop": database,
        "mongodb://reader@db": mongo,
        'database="market"': f'database="{market.name}"',
        "broker:9092": kafka.servers,
        '"events"': f'"{topic.name}"',
    }
    lake = pages.run([pages.replaced(block.code, addresses) for block in pages.blocks(SOURCES)], SOURCES, {"spark": spark})["lake"]
    assert {lk.read(lake, table).count() for table in lake.tables()} == {3}
    assert len(lake.tables()) == 3


@pytest.mark.parametrize("page", [page for page in pages.PAGES if "java" in pages.needs(page)], ids=pages.name)
def test_a_session_of_its_own_starts_as_the_page_says(page: Path) -> None:
    """In a process of its own, since this one has a JVM; with jars that are there, where the page lets Spark fetch them."""
    code = "\n".join(block.code for block in pages.blocks(page) if block.needs == "java")
    assert CONNECTORS in code
    code = code.replace(CONNECTORS, f", jars={[str(jar) for jar in jars('spark')]!r}") + "print(lake.tables())\n"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.splitlines()[-1:]) == (0, ["[]"]), done.stderr[-3000:]
