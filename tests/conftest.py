"""Fixtures every test may ask for, and the marks that follow from them. ``tests/README.md`` lists both."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args
from zlib import crc32

import hypothesis
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyiceberg.catalog import Catalog
    from pymongo.database import Database

    from tests.servers.kafka import KafkaServer
    from tests.servers.postgres import PostgresServer
    from tests.servers.registry import RegistryServer
    from tests.servers.rest import RestServer
    from tests.servers.s3 import S3Server
    from tests.servers.spark import Server

Engine = Literal["embedded", "spark", "connect"]

HERE = Path(__file__).parent
SERVER_FIXTURES = frozenset(
    {"postgres", "database", "kafka", "registry", "mongo", "market", "rest", "s3", "postgres_catalog", "rest_catalog", "s3_catalog"}
)
CATALOGS = ("postgres_catalog", "rest_catalog", "s3_catalog", "merge_on_read_catalog")
"""The fixtures of catalogs on which the embedded engine runs the files below, too."""
ON_EVERY_CATALOG = frozenset({"test_merge.py", "test_merge_options.py", "test_maintain.py"})
"""What these test hangs on how a commit is made, and on where files are."""
SAMPLES = {"spark": 32, "connect": 50, **dict.fromkeys(CATALOGS, 10)}
"""Of so many contract tests, `make test` runs one on each kind of Spark session and on each catalog; `make test-all` runs all."""
MINUTES_ON_SPARK = frozenset({"test_forget.py", "test_half_created.py", "test_rerun.py"})
"""Never in that sample: each of these takes minutes on Spark."""

# No deadlines: the first example of a test pays for imports and for whatever else runs on the machine.
hypothesis.settings.register_profile("default", deadline=None, print_blob=True, max_examples=30)
hypothesis.settings.register_profile("fast", deadline=None, print_blob=True, max_examples=20)
hypothesis.settings.register_profile("thorough", deadline=None, print_blob=True, max_examples=1000)
hypothesis.settings.load_profile("default")


# A server is started by fork, after which gRPC, where it has run before (Spark Connect), may hang in its handlers.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "false")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--engine``, ``--cases``, ``--fixtures`` and ``--postgres-bin``."""
    parser.addoption(
        "--engine", choices=get_args(Engine), action="append", help="what the fixture lake runs on; may be given again (default: embedded)"
    )
    parser.addoption(
        "--cases", type=Path, default=HERE / "cases", metavar="DIR", help="scenarios to run: DIR/upsert/*.json; default: tests/cases"
    )
    captures = parser.getgroup("lakekit")
    captures._arggroup.conflict_handler = "resolve"  # pytest's own --fixtures lists the fixtures of tests: --funcargs still does
    captures.addoption(
        "--fixtures",
        type=Path,
        default=HERE / "fixtures",
        metavar="DIR",
        help="captured messages: DIR/debezium/*.jsonl; default: tests/fixtures",
    )
    parser.addoption("--postgres-bin", type=Path, default=None, help="the folder of initdb and postgres; default: Debian's, else pip's")


@pytest.hookimpl(tryfirst=True)  # before -m chooses by these marks
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark the tests that need a server or a Spark session, so that nobody has to remember it."""
    for item in items:
        fixtures = frozenset(getattr(item, "fixturenames", ()))
        chosen = item.callspec.params.get("engine", "embedded") if hasattr(item, "callspec") else "embedded"
        if (fixtures | {chosen}) & SERVER_FIXTURES or item.path.is_relative_to(HERE / "integration"):
            item.add_marker("server")
        left_out = (item.path.name in MINUTES_ON_SPARK and chosen not in CATALOGS) or crc32(item.nodeid.encode()) % SAMPLES.get(chosen, 1)
        if chosen in SAMPLES and left_out:  # by its name: a new test leaves the sample as it is
            item.add_marker("slow")
        if item.path.is_relative_to(HERE / "integration" / "spark") or chosen in {"spark", "connect"}:
            item.add_marker("spark")
            # A classic session leaves the sockets that carried its results to the garbage collector (pyspark 4.1).
            item.add_marker(pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run the contract once for each engine of ``--engine``, and whatever else asks for a lake on the embedded one."""
    if "engine" in metafunc.fixturenames:
        path = metafunc.definition.path
        contract = path.is_relative_to(HERE / "contract")
        chosen = (metafunc.config.getoption("--engine") if contract else None) or ["embedded"]
        more = CATALOGS if contract and path.name in ON_EVERY_CATALOG and "embedded" in chosen else ()
        metafunc.parametrize("engine", [*chosen, *more], indirect=True, scope="module")


@pytest.fixture(scope="module")
def engine(request: pytest.FixtureRequest) -> str:
    """The engine under test, chosen by ``--engine``; or the embedded one on the catalog of this name."""
    return request.param


@pytest.fixture
def lake(engine: str, request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """A new, empty lake on the engine under test."""
    import lakekit

    if engine == "embedded":
        return lakekit.connect(tmp_path / "lake")
    if engine in CATALOGS:
        return lakekit.connect(request.getfixturevalue(engine))
    return _on_spark(engine, request, tmp_path)


@pytest.fixture(scope="module")
def shared_lake(engine: str, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """One lake for the tests of a file that write nothing: on Spark to fill one takes longer than most of them."""
    import lakekit

    folder = tmp_path_factory.mktemp("shared")
    return lakekit.connect(folder / "lake") if engine == "embedded" else _on_spark(engine, request, folder)


def _on_spark(engine: str, request: pytest.FixtureRequest, folder: Path) -> Any:
    import lakekit

    server: Server = request.getfixturevalue("spark_server")
    spark, catalog = server.new_catalog("classic" if engine == "spark" else "connect", folder / "lake")
    return lakekit.connect(spark, catalog=catalog)


@pytest.fixture(scope="session")
def spark_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Spark, started once for all tests; it ends with this process."""
    pytest.importorskip("pyspark", reason="pip install 'lakekit[spark]'")
    from tests.servers.spark import running

    with running(tmp_path_factory.mktemp("spark")) as server:
        yield server


@pytest.fixture(scope="session")
def postgres(request: pytest.FixtureRequest) -> Iterator[PostgresServer]:
    """A PostgreSQL server, one per test process. A test that stops or kills a server starts its own."""
    from tests.servers.postgres import PostgresServer, debian_binaries

    with PostgresServer(binaries=request.config.getoption("--postgres-bin") or debian_binaries()) as server:
        yield server


@pytest.fixture
def database(postgres: PostgresServer) -> Iterator[str]:
    """The connection string of a new, empty PostgreSQL database."""
    from tests.servers.postgres import fresh_database

    yield from fresh_database(postgres)


@pytest.fixture
def postgres_catalog(database: str, tmp_path: Path) -> Iterator[Catalog]:
    """A catalog in a new database of PostgreSQL; its tables are in a local folder."""
    from tests.servers.catalogs import on_postgres

    with on_postgres(database, tmp_path) as catalog:
        yield catalog


@pytest.fixture(scope="session")
def rest() -> Iterator[RestServer]:
    """An Iceberg REST catalog, one per test process. A test that kills one starts its own."""
    from tests.servers.rest import RestServer

    with RestServer() as server:
        yield server


@pytest.fixture
def rest_catalog(rest: RestServer) -> Iterator[Catalog]:
    """The server's catalog, empty."""
    from tests.servers.rest import fresh_catalog

    yield from fresh_catalog(rest)


@pytest.fixture(scope="session")
def s3() -> Iterator[S3Server]:
    """S3, one server per test process. A test that kills one starts its own."""
    from tests.servers.s3 import S3Server

    with S3Server() as server:
        yield server


@pytest.fixture
def s3_catalog(s3: S3Server, tmp_path: Path) -> Iterator[Catalog]:
    """A catalog in a file of SQLite; its tables are on S3."""
    from tests.servers.catalogs import on_s3

    with on_s3(s3, tmp_path) as catalog:
        yield catalog


@pytest.fixture
def merge_on_read_catalog(tmp_path: Path) -> Iterator[Catalog]:
    """A catalog in a local folder whose tables note the positions of rows that are gone, and write no file anew."""
    from tests.servers.catalogs import of_merge_on_read

    with of_merge_on_read(tmp_path) as catalog:
        yield catalog


@pytest.fixture(scope="session")
def kafka() -> Iterator[KafkaServer]:
    """A Kafka broker, one per test process. A test that stops or kills a broker starts its own."""
    from tests.servers.kafka import KafkaServer

    with KafkaServer() as server:
        yield server


@pytest.fixture(scope="session")
def registry() -> Iterator[RegistryServer]:
    """A schema registry, one per test process. A test that stops or kills one starts its own."""
    from tests.servers.registry import RegistryServer

    with RegistryServer() as server:
        yield server


@pytest.fixture(scope="session")
def mongo() -> Iterator[str]:
    """The URI of a MongoDB server: ``MONGO_URI``, otherwise a stand-in, one per test process. A test that kills a server starts its own."""
    from tests.servers.mongo import MongoServer

    if uri := os.environ.get("MONGO_URI"):
        yield uri
        return
    with MongoServer() as server:
        yield server.uri


@pytest.fixture
def market(mongo: str) -> Iterator[Database[dict[str, Any]]]:
    """A new, empty database of MongoDB."""
    from tests.servers.mongo import fresh_database

    yield from fresh_database(mongo)
