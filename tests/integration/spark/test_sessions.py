"""Sessions as users start them: by `lakekit.spark.session`, or with something missing. Each in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.servers.spark import Server

ROOT = Path(__file__).parents[3]


def process(name: str, folder: Path, **environment: str) -> dict[str, Any]:
    """What a function of `sessions` finds."""
    command = [sys.executable, "-m", "tests.integration.spark.sessions", name, str(folder)]
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_a_local_session_and_the_embedded_engine_take_turns_on_one_folder(tmp_path: Path) -> None:
    found = process("local", tmp_path, PYSPARK_PYTHON="/nowhere/python")
    assert found["counts"] == [[2, 0], [0, 1], [1, 0]]
    assert found["cleaned"] == ["Ada King", "Grace Hopper"]
    assert found["rows"] == [[1, "Ada King"], [2, "Grace   Hopper"], [3, "Edsger"]]
    assert found["tables"] == [["silver.users"], []]
    assert found["the environment is as it was"]
    assert found["a setting"]["error"] == "ConfigError"
    assert "'spark.driver.memory'" in found["a setting"]["text"]


def test_a_session_without_iceberg_is_told_what_to_add(tmp_path: Path) -> None:
    found = process("without_iceberg", tmp_path)
    assert {answer["error"] for answer in found.values()} == {"ConfigError"}
    assert '"spark.jars.packages" = "org.apache.iceberg:iceberg-spark-runtime-4.1_2.13:1.12.0"' in found["no jar"]["text"]
    assert '"spark.sql.catalog.prod" = "org.apache.iceberg.spark.SparkCatalog"' in found["no such catalog"]["text"]
    assert 'connect(spark, catalog="lake")' in found["the session's own catalog"]["text"]
    assert '"spark.sql.extensions" = "org.apache.iceberg' in found["a local session beside it"]["text"]


def test_a_session_without_the_statements_or_the_driver_is_told_what_to_add(tmp_path: Path) -> None:
    found = process("without_extensions", tmp_path)
    assert {answer["error"] for answer in found.values()} == {"ConfigError"}
    assert '"spark.jars.packages" = "org.xerial:sqlite-jdbc:3.50.3.0"' in found["no driver"]["text"]
    extensions = '"spark.sql.extensions" = "org.apache.iceberg.spark.extensions.IcebergSparkSessionExtensions"'
    assert extensions in found["no statements"]["text"]


def test_the_client_of_connect_needs_no_java(server: Server, tmp_path: Path) -> None:
    without_java = {"PATH": str(tmp_path), "JAVA_HOME": str(tmp_path), "SERVER": server.connect_url}
    assert process("client", tmp_path, **without_java) == {
        "names": ["Grace Hopper"],
        "kind": "pyspark.sql.connect.dataframe",
        "java": False,
    }


@pytest.mark.slow
def test_a_session_whose_jvm_ends_is_told_why_and_what_to_do(tmp_path: Path) -> None:
    found = process("ended", tmp_path)
    assert found["it works"] == 2
    for answer in (found["meanwhile"], found["afterwards"]):
        assert answer["error"] == "QueryError"
        assert "Spark has ended" in answer["text"]
        assert '"spark.driver.memory" = "8g"' in answer["text"]


def test_a_session_needs_java(tmp_path: Path) -> None:
    program = "import lakekit as lk, sys; lk.spark.session(sys.argv[1])"
    environment = {name: value for name, value in os.environ.items() if name != "JAVA_HOME"} | {"PATH": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], env=environment, capture_output=True, text=True, check=False)
    assert "ConfigError: spark.session(): needs Java, got no java on the PATH." in done.stderr
    assert "Hint: install a JDK 17" in done.stderr
