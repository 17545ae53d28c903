"""What other processes do in the tests of sources and streams on Spark."""

from __future__ import annotations

import tempfile
from pathlib import Path

import lakekit as lk
from lakekit import sources
from tests.integration.sources.kafka_topics import EVENTS, INTO
from tests.servers.jars import jars
from tests.servers.spark import catalog_settings, running


def stream_on_spark(folder: Path, servers: str, name: str) -> None:
    """Follow a topic in a Spark of this process's own, until it is killed. It notes that it began, and each commit that follows."""
    tempfile.tempdir = str(folder / "temporary")
    for part in ("temporary", "lake"):
        (folder / part).mkdir(exist_ok=True)
    with running(folder / "lake") as server:
        lake = lk.connect(server.first, catalog="lake")
        stream(lake, folder, servers, name)


def stream_on_connect(folder: Path, servers: str, name: str, url: str, catalog: str) -> None:
    """The same as a client of a Spark that outlives it."""
    from pyspark.sql.connect.session import SparkSession

    spark = SparkSession.builder.remote(url).create()
    for key, value in catalog_settings(catalog, folder / "lake").items():
        spark.conf.set(key, value)
    stream(lk.connect(spark, catalog=catalog), folder, servers, name)


def stream(lake: lk.Lake, folder: Path, servers: str, name: str) -> None:
    topic = sources.Kafka(servers).topic(name, schema=EVENTS, max_messages=20_000)

    def note(_commit: lk.Commit) -> None:
        with (folder / "commits").open("a", encoding="utf-8") as file:
            file.write("x")

    lk.stream(lake, topic, into=INTO, every="0.3 seconds", then=note).wait()


def refusals_without_connectors(folder: Path, dsn: str, mongo: str, market: str, kafka: str, topic: str) -> list[str]:
    """What is said where the session has Iceberg's jar and no other."""
    from pyspark.sql import SparkSession

    folder.mkdir()
    builder = SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false").config("spark.driver.host", "127.0.0.1")
    builder = builder.config("spark.jars", ",".join(str(jar) for jar in jars("spark") if jar.name.startswith(("iceberg", "sqlite"))))
    for key, value in catalog_settings("lake", folder).items():
        builder = builder.config(key, value)
    lake = lk.connect(builder.getOrCreate(), catalog="lake")
    found: list[str] = []
    for source in (
        sources.Postgres(dsn).table("users"),
        sources.Mongo(mongo, database=market).collection("orders"),
        sources.Kafka(kafka).topic(topic, schema=EVENTS),
    ):
        try:
            lk.ingest(lake, source, into="bronze.t")
        except lk.errors.ConfigError as error:
            found.append(str(error))
    return found
