"""What a process of its own does with sessions it starts itself: ``python -m tests.integration.spark.sessions NAME FOLDER``. Prints JSON."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lakekit as lk
from tests.servers.jars import jars
from tests.servers.spark import catalog_settings

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

SPARK_CATALOG = "org.apache.iceberg.spark.SparkCatalog"


def local(folder: Path) -> dict[str, Any]:
    """A session of `lakekit.spark`, a second one for another folder, and the embedded engine on the first one's tables."""
    before = os.environ.get("PYSPARK_PYTHON")
    spark = lk.spark.session(folder / "one", jars=jars("spark"), settings={"spark.sql.shuffle.partitions": "1"})
    lake = lk.connect(spark)
    commits = [lk.merge(lk.from_frame(lake, people, run_id=run), key="user_id", into="silver.users") for run, people in RUNS.items()]
    cleaned = lk.clean(lk.read(lake, "silver.users"), {"name": lk.rules.squash_spaces()})  # a function of Python's, in the workers
    other = lk.connect(lk.spark.session(folder / "two", jars=jars("spark")))
    embedded = lk.connect(folder / "one")
    more = lk.merge(lk.from_frame(embedded, [{"user_id": 3, "name": "Edsger"}], run_id="third"), key="user_id", into="silver.users")
    return {
        "counts": [(commit.inserted, commit.updated) for commit in (*commits, more)],
        "cleaned": sorted(cleaned.to_arrow()["name"].to_pylist()),
        "rows": sorted((row["user_id"], row["name"]) for row in lk.read(lake, "silver.users").to_arrow().to_pylist()),
        "tables": [lake.tables(), other.tables()],
        "the environment is as it was": os.environ.get("PYSPARK_PYTHON") == before,
        "a setting": told(lambda: lk.spark.session(folder, settings={"spark.driver.memory": "4g"})),
    }


RUNS = {"first": [{"user_id": 1, "name": "Ada"}, {"user_id": 2, "name": "Grace   Hopper"}], "second": [{"user_id": 1, "name": "Ada King"}]}


def ended(folder: Path) -> dict[str, Any]:
    """A session whose JVM ends, as it does when it has no memory left: while it computes, and before."""
    spark: Any = lk.spark.session(folder, jars=jars("spark"))
    lake = lk.connect(spark)
    lk.append(lk.from_frame(lake, RUNS["first"], run_id="1"), into="bronze.people")
    people, jvm = lk.read(lake, "bronze.people"), spark.sparkContext._gateway.proc.pid
    found: dict[str, Any] = {"it works": people.count()}
    threading.Timer(1.0, os.kill, (jvm, signal.SIGKILL)).start()
    return found | {"meanwhile": told(lambda: [people.count() for _ in range(1000)]), "afterwards": told(people.count)}


def without_iceberg(folder: Path) -> dict[str, Any]:
    """A session that names Iceberg's catalog and has no jar of it."""
    spark = started({"spark.sql.catalog.lake": SPARK_CATALOG, "spark.sql.catalog.lake.type": "hadoop"}, folder)
    return {
        "no jar": told(lambda: lk.connect(spark, catalog="lake")),
        "no such catalog": told(lambda: lk.connect(spark, catalog="prod")),
        "the session's own catalog": told(lambda: lk.connect(spark)),
        "a local session beside it": told(lambda: lk.spark.session(folder)),
    }


def without_extensions(folder: Path) -> dict[str, Any]:
    """A session that has Iceberg's jar alone: neither its statements nor a driver for SQLite."""
    (runtime,) = (jar for jar in jars("spark") if jar.name.startswith("iceberg-spark-runtime"))
    catalogs = {
        "spark.sql.catalog.files": SPARK_CATALOG,
        "spark.sql.catalog.files.type": "hadoop",
        "spark.sql.catalog.files.warehouse": f"file://{folder / 'warehouse'}",
        "spark.sql.catalog.lake": SPARK_CATALOG,
        "spark.sql.catalog.lake.type": "jdbc",
        "spark.sql.catalog.lake.uri": f"jdbc:sqlite:{folder / 'catalog.db'}",
        "spark.sql.catalog.lake.warehouse": f"file://{folder / 'warehouse'}",
    }
    (folder / "warehouse").mkdir()
    spark = started({"spark.jars": str(runtime), **catalogs}, folder)
    files = lk.connect(spark, catalog="files")

    def write(run: str) -> lk.Commit:
        return lk.append(lk.from_frame(files, [{"user_id": 1}], run_id=run), into="bronze.users")

    write("first")
    return {"no driver": told(lambda: lk.connect(spark, catalog="lake")), "no statements": told(lambda: write("second"))}


def client(folder: Path) -> dict[str, Any]:
    """The verbs through Spark Connect, the server being another process."""
    from pyspark import SparkContext
    from pyspark.sql.connect.session import SparkSession as ConnectSession

    spark: Any = ConnectSession.builder.remote(os.environ["SERVER"]).create()
    for name, value in catalog_settings("alone", folder).items():
        spark.conf.set(name, value)
    lake = lk.connect(spark, catalog="alone")
    lk.append(lk.from_frame(lake, RUNS["first"], run_id="1"), into="bronze.people")
    cleaned = lk.clean(lk.read_new(lake, "bronze.people", into="silver.people"), {"name": lk.rules.squash_spaces()})
    lk.merge(cleaned, key="user_id")
    lk.merge_scd2(
        lk.read_new(lake, "silver.people", into="gold.dim_people"), key="user_id", track="name", effective_at="_ingestion_timestamp"
    )
    found = lk.lookup(lk.from_frame(lake, [{"user_id": 2}], run_id="2"), "gold.dim_people", on="user_id", take="name")
    lk.merge(found, key="user_id", into="gold.fact")
    return {
        "names": lk.read(lake, "gold.fact").to_arrow()["name"].to_pylist(),
        "kind": type(lk.read(lake, "gold.fact").to_native()).__module__,
        "java": SparkContext._gateway is not None,  # pyright: ignore[reportPrivateUsage]
    }


def told(call: Callable[[], object]) -> dict[str, str]:
    """What a call that fails says."""
    try:
        call()
    except lk.LakekitError as error:
        return {"error": type(error).__name__, "text": str(error)}
    return {"error": "none", "text": ""}


def started(settings: dict[str, str], folder: Path) -> SparkSession:
    """A session with nothing but these settings, and what a test machine needs."""
    from pyspark.sql import SparkSession

    builder = SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false").config("spark.driver.host", "127.0.0.1")
    builder = builder.config("spark.sql.warehouse.dir", str(folder / "spark-warehouse")).config("spark.log.level", "OFF")
    for name, value in settings.items():
        builder = builder.config(name, value)
    return builder.getOrCreate()


if __name__ == "__main__":
    print(json.dumps(globals()[sys.argv[1]](Path(sys.argv[2]))))  # noqa: T201 -- the answer
