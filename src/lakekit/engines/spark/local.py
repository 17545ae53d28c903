"""A Spark session for work on one machine: the right jars, a catalog in a folder, and workers that run this Python."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Collection, Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from lakekit.engines.spark import failures
from lakekit.engines.spark.jars import CATALOG_CLASS, EXTENSIONS, Connector, packages
from lakekit.errors import ConfigError, MissingExtraError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

CATALOG: Final = "lake"
_PLACE: Final = "spark.session()"
_SETTINGS: Final = {
    "spark.sql.extensions": EXTENSIONS,
    "spark.driver.memory": "2g",  # all there is: on one machine the driver does the work
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.shuffle.partitions": str(os.cpu_count() or 2),  # 200, the default, is for a cluster
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.log.level": "ERROR",
}


def session(
    folder: str | Path,
    *,
    connectors: Collection[Connector] = (),
    jars: Sequence[str | Path] | None = None,
    settings: Mapping[str, str] | None = None,
) -> SparkSession:
    """A classic Spark session on this machine, with the tables of a folder as its catalog, ``lake``.

    ``connect(folder)`` opens the same tables without Spark, and either goes on where the other stopped. The jars are those that go
    with the installed pyspark (lakekit's tests run on 4.1); Spark fetches them from Maven Central at the first call, and keeps them. A second call gives a second session
    beside the first one, in the same JVM: that one's memory and jars stay as they are.

    On a cluster and on Databricks there is a session already: give that one to `connect`.

    Args:
        folder: Where the tables are; made if missing.
        connectors: The sources whose jars are needed too: ``kafka``, ``mongo``, ``postgres``.
        jars: Jar files to take instead, for machines that reach no Maven repository.
        settings: More settings of Spark's, or others than these: UTC, as many shuffle partitions as cores, 2 GB for the JVM, no web page.

    Raises:
        MissingExtraError: pyspark is not installed.
        ConfigError: There is no Iceberg for this Spark, Java is missing, a connector is unknown, or a session without Iceberg runs in
            this process already.

    >>> import lakekit as lk
    >>> spark = lk.spark.session("lake/", connectors=["postgres"])  # doctest: +SKIP
    >>> lake = lk.connect(spark)  # doctest: +SKIP
    """
    if "SPARK_REMOTE" in os.environ or "DATABRICKS_RUNTIME_VERSION" in os.environ:
        raise ConfigError(_PLACE, "is for work on one machine", got="a session of the platform's", hint="connect(spark) takes that one.")
    try:
        import pyspark
        from pyspark import SparkContext
    except ImportError:
        raise MissingExtraError(_PLACE, "needs the package pyspark", hint="pip install 'lakekit[spark]'.") from None
    needed = packages(pyspark.__version__, connectors)
    if SparkContext._active_spark_context is None:  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] -- getOrCreate would change that session
        _require_java()
        fetched = {"spark.jars": ",".join(str(Path(jar).resolve()) for jar in jars)} if jars else {"spark.jars.packages": ",".join(needed)}
        found = _started({**_SETTINGS, **fetched, **(settings or {})})
    else:
        found = _beside(settings or {})
    home = Path(folder).resolve()
    home.mkdir(parents=True, exist_ok=True)
    for name, value in catalog_settings(home).items():
        found.conf.set(name, value)
    return found


def catalog_settings(folder: Path) -> dict[str, str]:
    """The settings of a catalog in a folder, the one that ``connect(folder)`` opens."""
    key = f"spark.sql.catalog.{CATALOG}"
    return {
        key: CATALOG_CLASS,
        f"{key}.type": "jdbc",
        f"{key}.uri": f"jdbc:sqlite:{folder / 'catalog.db'}",
        f"{key}.jdbc.schema-version": "V1",  # the one that pyiceberg writes
        f"{key}.warehouse": f"file://{folder / 'warehouse'}",
        "spark.sql.defaultCatalog": CATALOG,
    }


def _started(settings: Mapping[str, str]) -> SparkSession:
    from pyspark.sql import SparkSession

    builder = SparkSession.builder.master("local[*]").appName("lakekit")
    for name, value in settings.items():
        builder = builder.config(name, value)
    with _workers_run_this_python():
        return builder.getOrCreate()


def _beside(settings: Mapping[str, str]) -> SparkSession:
    """One more session in the JVM that runs: with its own settings and its own catalogs."""
    from pyspark.sql import SparkSession

    running = SparkSession.builder.getOrCreate()
    if EXTENSIONS not in (running.conf.get("spark.sql.extensions", "") or ""):
        raise ConfigError(
            _PLACE,
            "a session without Iceberg runs in this process already",
            hint=f'stop() it first, or start it with "spark.sql.extensions" = "{EXTENSIONS}" and Iceberg\'s jar.',
        )
    found = running.newSession()
    for name, value in {"spark.sql.session.timeZone": "UTC", **settings}.items():
        if found.conf.get(name, None) == value:
            continue
        try:
            found.conf.set(name, value)
        except failures.kinds():
            raise ConfigError(
                _PLACE, "can't be set while Spark runs in this process", got=repr(name), hint="stop() that session first."
            ) from None
    return found


@contextmanager
def _workers_run_this_python() -> Generator[None]:
    """Else they run the first ``python3`` of the path, which may lack pyarrow or be of another version."""
    before = os.environ.get("PYSPARK_PYTHON")
    os.environ["PYSPARK_PYTHON"] = sys.executable
    try:
        yield
    finally:
        if before is None:
            del os.environ["PYSPARK_PYTHON"]
        else:
            os.environ["PYSPARK_PYTHON"] = before


def _require_java() -> None:
    home = os.environ.get("JAVA_HOME")
    if not (shutil.which("java") or (home and (Path(home) / "bin" / "java").exists())):
        raise ConfigError(_PLACE, "needs Java", got="no java on the PATH", hint="install a JDK 17, or set JAVA_HOME.")
