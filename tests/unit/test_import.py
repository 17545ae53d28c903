"""What an import costs: ``import lakekit`` must be light enough for a DAG file that is parsed every few seconds."""

import subprocess
import sys

import pytest

HEAVY = ("duckdb", "pandas", "polars", "psycopg", "pyarrow", "pyiceberg", "pyspark", "sqlalchemy", "sqlglot")


def modules_after(statement: str) -> set[str]:
    """The top-level modules loaded in a fresh interpreter after a statement."""
    program = f"import sys; {statement}; print(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_importing_lakekit_loads_no_engine_and_no_table_format() -> None:
    assert not modules_after("import lakekit") & set(HEAVY)


@pytest.mark.parametrize("module", ["lakekit.errors", "lakekit.columns"])
def test_importing_the_foundations_loads_nothing_heavy(module: str) -> None:
    assert not modules_after(f"import {module}") & set(HEAVY)


def test_naming_a_public_function_does_not_load_pyspark() -> None:
    assert "pyspark" not in modules_after("import lakekit; lakekit.connect; lakekit.ingest; lakekit.merge")
