"""Which jars go with which Spark, without a session."""

from __future__ import annotations

import subprocess
import sys

import pytest

from lakekit.engines.spark import jars
from lakekit.errors import ConfigError


@pytest.mark.parametrize("version", ["3.4.1", "4.2.0", "5.0.0"])
def test_a_spark_that_iceberg_was_not_tested_with_is_refused(version: str) -> None:
    with pytest.raises(ConfigError, match=r"3\.5, 4\.0, 4\.1") as error:
        jars.packages(version, [])
    assert "pip install 'pyspark==4.1.*'" in error.value.hint


def test_connectors_are_built_for_the_scala_of_the_release() -> None:
    assert [name.split(":")[1] for name in jars.packages("3.5.9", ["kafka", "mongo", "postgres"])] == [
        "iceberg-spark-runtime-3.5_2.12",
        "sqlite-jdbc",
        "spark-sql-kafka-0-10_2.12",
        "mongo-spark-connector_2.12",
        "postgresql",
    ]


def test_an_unknown_connector_is_named() -> None:
    with pytest.raises(ConfigError, match="got 'mysql'"):
        jars.packages("4.1.4", ["mysql"])  # type: ignore[list-item]


def test_without_pyspark_the_install_line_is_told() -> None:
    program = "import sys; sys.modules['pyspark'] = None; import lakekit as lk; lk.spark.session('.')"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert "MissingExtraError" in done.stderr
    assert "pip install 'lakekit[spark]'" in done.stderr


def test_naming_the_local_session_loads_no_pyspark() -> None:
    program = "import sys, lakekit.spark; lakekit.spark.session; sys.exit('pyspark' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
