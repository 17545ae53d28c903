"""One JVM for both kinds of session: a classic one, and a Spark Connect server inside it for the other.

A classic session and a Connect session live in one process as long as the Connect one is built by its own
class: `pyspark.sql.SparkSession.builder` refuses a second kind.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest

from tests.integration.spark.table import Gate, Table
from tests.servers.jars import jars

if TYPE_CHECKING:
    from pyiceberg.catalog.sql import SqlCatalog
    from pyspark.sql import SparkSession

NAMESPACE = "lake.shop"
_numbers = itertools.count(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A classic session leaves the sockets that carried its results to the garbage collector (pyspark 4.1)."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"))


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


def _configuration(lake: Path) -> dict[str, str]:
    return {
        "spark.jars": ",".join(str(jar) for jar in jars("spark")),
        "spark.driver.memory": "1g",
        # Statements here are many and small: light compilation pays, the best does not.
        "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
        "spark.default.parallelism": "1",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.log.level": "OFF",
        "spark.sql.shuffle.partitions": "1",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.warehouse.dir": str(lake / "spark-warehouse"),
        "spark.plugins": "org.apache.spark.sql.connect.SparkConnectPlugin",
        "spark.connect.grpc.binding.address": "127.0.0.1",
        "spark.connect.grpc.binding.port": "0",
        "spark.sql.artifact.isolation.enabled": "true",
        "spark.sql.artifact.isolation.alwaysApplyClassloader": "true",
        "spark.sql.extensions": "org.apache.iceberg.spark.extensions.IcebergSparkSessionExtensions",
        "spark.sql.catalog.lake": "org.apache.iceberg.spark.SparkCatalog",
        "spark.sql.catalog.lake.type": "jdbc",
        "spark.sql.catalog.lake.uri": f"jdbc:sqlite:{lake / 'catalog.db'}",
        "spark.sql.catalog.lake.jdbc.schema-version": "V1",
        "spark.sql.catalog.lake.warehouse": f"file://{lake / 'tables'}",
    }


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Spark, started once for all tests; it ends with this process."""
    pytest.importorskip("pyspark", reason="pip install 'lakekit[spark]'")
    from pyspark.sql import SparkSession

    lake = tmp_path_factory.mktemp("lake")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYSPARK_PYTHON", sys.executable)
        builder = SparkSession.builder.master("local[2]").appName("lakekit-tests")
        for key, value in _configuration(lake).items():
            builder = builder.config(key, value)
        first = builder.getOrCreate()
        first.sql(f"CREATE NAMESPACE IF NOT EXISTS {NAMESPACE}")
        service = getattr(first._jvm, "org.apache.spark.sql.connect.service.SparkConnectService$")
        port = getattr(service, "MODULE$").localPort()
        running = Server(first, f"sc://127.0.0.1:{port}", lake, {})
        yield running
        running.stop()


@pytest.fixture(params=["classic", "connect"], scope="session")
def kind(request: pytest.FixtureRequest) -> str:
    """Which of the two kinds of session a test runs on."""
    return str(request.param)


@pytest.fixture
def spark(server: Server, kind: str) -> SparkSession:
    """The session that most statements run in."""
    return server.session(kind, "this")


@pytest.fixture
def other_spark(server: Server, kind: str) -> SparkSession:
    """A second session of the same kind: another program at work on the same lake."""
    return server.session(kind, "other")


@pytest.fixture
def new_session(server: Server, kind: str) -> Callable[[str], SparkSession]:
    """Gives each named program a session of its own."""
    return lambda program: server.session(kind, program)


@pytest.fixture
def new_table(spark: SparkSession) -> Callable[..., Table]:
    """Makes an empty table with a key, a value and `_write_id`."""

    def make(**properties: str) -> Table:
        table = Table(spark, f"{NAMESPACE}.t{next(_numbers)}")
        table.create(properties)
        return table

    return make


@pytest.fixture
def table(new_table: Callable[..., Table]) -> Table:
    """An empty table."""
    return new_table()


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    """Holds one statement between its planning and its commit."""
    return Gate(tmp_path)


@pytest.fixture(scope="session")
def pyiceberg_catalog(server: Server) -> Iterator[SqlCatalog]:
    """The same catalog file and the same folder, opened by pyiceberg."""
    from pyiceberg.catalog.sql import SqlCatalog

    catalog = SqlCatalog("lake", uri=f"sqlite:///{server.lake / 'catalog.db'}", warehouse=f"file://{server.lake / 'tables'}")
    yield catalog
    catalog.close()
