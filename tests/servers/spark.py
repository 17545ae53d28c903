"""Spark for tests: one JVM for both kinds of session, a classic one, and a Spark Connect server inside it for the other.

A classic session and a Connect session live in one process as long as the Connect one is built by its own class:
`pyspark.sql.SparkSession.builder` refuses a second kind.
"""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pyspark
from pyiceberg.catalog.sql import SqlCatalog
from sqlalchemy import NullPool, create_engine

from lakekit.engines.spark import older
from tests.servers.jars import POMS, jars

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

CONNECT = {
    "spark.plugins": "org.apache.spark.sql.connect.SparkConnectPlugin",
    "spark.connect.grpc.binding.address": "127.0.0.1",
    "spark.connect.grpc.binding.port": "0",
    "spark.sql.artifact.isolation.enabled": "true",
    "spark.sql.artifact.isolation.alwaysApplyClassloader": "true",
}
"""A Connect server inside the JVM: pyspark brings it since 4.0."""
INTERPRETED = {
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    "spark.sql.adaptive.enabled": "false",
}
"""To compile a plan takes longer than a few rows do. Tests that compare the engines leave it on."""
_numbers = itertools.count(1)


def catalog_settings(name: str, lake: Path) -> dict[str, str]:
    """The settings of a catalog in a folder, one that pyiceberg opens too."""
    key = f"spark.sql.catalog.{name}"
    return {
        key: "org.apache.iceberg.spark.SparkCatalog",
        f"{key}.type": "jdbc",
        f"{key}.uri": f"jdbc:sqlite:{lake / 'catalog.db'}",
        f"{key}.jdbc.schema-version": "V1",
        f"{key}.warehouse": f"file://{lake / 'warehouse'}",
    }


def open_with_pyiceberg(name: str, lake: Path) -> SqlCatalog:
    """The same catalog, opened by pyiceberg."""
    uri = f"sqlite:///{lake / 'catalog.db'}"
    catalog = SqlCatalog(name, uri=uri, warehouse=f"file://{lake / 'warehouse'}")
    catalog.engine.dispose()
    catalog.engine = create_engine(uri, poolclass=NullPool)  # pyiceberg would keep connections open
    return catalog


CATALOGS: dict[str, SqlCatalog] = {}
"""Every catalog that `Server.new_catalog` made, opened by pyiceberg: another tool, for the tests."""


@dataclass(frozen=True)
class Server:
    """The JVM: its first session, the address of its Connect server, the folder of the lake, and the sessions given out."""

    first: SparkSession
    connect_url: str
    lake: Path
    given: dict[tuple[str, str], SparkSession]

    def session(self, kind: str, program: str) -> SparkSession:
        """The session of one program: its own configuration, its own idea of what the tables hold."""
        if (kind, program) not in self.given:
            self.given[kind, program] = self._new(kind)
        return self.given[kind, program]

    def new_catalog(self, kind: str, lake: Path) -> tuple[SparkSession, str]:
        """A session, and a new, empty catalog of it in a folder."""
        name = f"catalog{next(_numbers)}"
        spark = self.session(kind, "contract")
        for key, value in {**catalog_settings(name, lake), **INTERPRETED}.items():
            spark.conf.set(key, value)
        lake.mkdir(parents=True)
        CATALOGS[name] = open_with_pyiceberg(name, lake)
        return spark, name

    def stop(self) -> None:
        """Ends all sessions, and Spark."""
        for (kind, _), session in self.given.items():
            if kind == "connect":
                session.stop()
        self.first.stop()

    def _new(self, kind: str) -> SparkSession:
        if kind == "classic":
            return self.first.newSession()
        from pyspark.sql.connect.session import SparkSession as ConnectSession

        return cast("SparkSession", ConnectSession.builder.remote(self.connect_url).create())


def jars_of(version: str) -> str:
    """The name of the jars that go with a pyspark: those of the connectors are with the newest one only."""
    release = ".".join(version.split(".")[:2])
    return f"spark-{release}" if (POMS / f"spark-{release}.xml").exists() else "spark"


def _configuration(lake: Path) -> dict[str, str]:
    return {
        "spark.jars": ",".join(str(jar) for jar in jars(jars_of(pyspark.__version__))),
        "spark.driver.memory": "1g",
        "spark.driver.extraJavaOptions": "-XX:+UseSerialGC",
        "spark.default.parallelism": "1",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.log.level": "OFF",
        "spark.sql.shuffle.partitions": "1",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.warehouse.dir": str(lake / "spark-warehouse"),
        "spark.sql.extensions": "org.apache.iceberg.spark.extensions.IcebergSparkSessionExtensions",
        **catalog_settings("lake", lake),
        **({} if older.needed() else CONNECT),
    }


def _connect_url(spark: SparkSession) -> str:
    service = getattr(spark._jvm, "org.apache.spark.sql.connect.service.SparkConnectService$")
    port = getattr(service, "MODULE$").localPort()
    return f"sc://127.0.0.1:{port}"


@contextmanager
def running(lake: Path) -> Generator[Server]:
    """Spark, until the block ends; its catalog ``lake`` is in the folder."""
    from pyspark.sql import SparkSession

    before = os.environ.get("PYSPARK_PYTHON")
    os.environ["PYSPARK_PYTHON"] = sys.executable  # or the workers run another Python, without pyarrow
    try:
        builder = SparkSession.builder.master("local[2]").appName("lakekit-tests")
        for key, value in _configuration(lake).items():
            builder = builder.config(key, value)
        first = builder.getOrCreate()
        server = Server(first, "" if older.needed() else _connect_url(first), lake, {})
        yield server
        server.stop()
    finally:
        if before is None:
            del os.environ["PYSPARK_PYTHON"]
        else:
            os.environ["PYSPARK_PYTHON"] = before
