"""Sessions, tables and races for the tests of Spark."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.integration.spark.table import Gate, Table
from tests.servers.spark import open_with_pyiceberg

if TYPE_CHECKING:
    from pyiceberg.catalog.sql import SqlCatalog
    from pyspark.sql import SparkSession

    from tests.servers.spark import Server

NAMESPACE = "lake.shop"
_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def server(spark_server: Server) -> Server:
    """Spark, started once for all tests."""
    spark_server.first.sql(f"CREATE NAMESPACE IF NOT EXISTS {NAMESPACE}")
    return spark_server


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
    catalog = open_with_pyiceberg("lake", server.lake)
    yield catalog
    catalog.close()
