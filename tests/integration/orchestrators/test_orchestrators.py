"""The shop's steps under Dagster, Prefect and cron: twice each, with the same tables."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

import lakekit as lk
from examples.shop import world
from lakekit.testing.checks import heads

ROOT = Path(__file__).parents[3]
PYTHON = ROOT / ".venv-orchestrators" / "bin" / "python"
PAGES = {"dagster": "dagster_shop.py", "prefect": "prefect_shop.py", "cron": "cron_shop.py"}


@pytest.mark.parametrize("name", [pytest.param("dagster", marks=pytest.mark.slow), pytest.param("prefect", marks=pytest.mark.slow), "cron"])
def test_an_orchestrator_runs_the_steps_and_may_run_them_again(name: str, database: str, tmp_path: Path) -> None:
    python = Path(sys.executable) if name == "cron" else PYTHON
    assert python.exists(), "needs Dagster and Prefect: make .venv-orchestrators/.installed"
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(world.SCHEMA)
        connection.execute(world.HOURS[0].sql)
    environment = {**os.environ, "SHOP": database, "LAKE": str(tmp_path / "lake"), "PYTHONPATH": str(ROOT)}
    environment |= {"PREFECT_HOME": str(tmp_path / "prefect"), "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "300"}
    environment |= {"DAGSTER_DISABLE_TELEMETRY": "yes", "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}
    seen: list[dict[str, int | None]] = []
    for _ in range(2):
        command = [python, "-m", f"examples.orchestrators.{PAGES[name].removesuffix('.py')}"]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=600)
        assert done.returncode == 0, done.stderr[-5_000:]
        seen.append(heads(lk.connect(tmp_path / "lake")))
    assert seen[0] == seen[1]
    assert lk.read(lk.connect(tmp_path / "lake"), "gold.dim_users").count() > 2


def test_a_database_that_does_not_answer_ends_cron_with_what_to_do(tmp_path: Path) -> None:
    environment = {**os.environ, "SHOP": "postgresql://nobody@127.0.0.1:1/nothing", "LAKE": str(tmp_path / "lake"), "PYTHONPATH": str(ROOT)}
    program = "import time; time.sleep = lambda seconds: None\nfrom examples.orchestrators import cron_shop\ncron_shop.main()"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 1
    assert "SourceError" in done.stderr
