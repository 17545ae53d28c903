"""The steps as a flow of Prefect: ``python examples/orchestrators/prefect_shop.py`` runs it once, ``shop.serve(cron="0 * * * *")`` hourly."""

from __future__ import annotations

from typing import Any

from prefect import flow, task
from prefect.runtime import flow_run

from examples.orchestrators import steps

RETRY: dict[str, Any] = {"retries": 3, "retry_delay_seconds": [30, 60, 120]}


@task(**RETRY)
def bronze() -> dict[str, Any]:
    """What the shop says."""
    return steps.bronze(steps.lake(**{"prefect.flow_run_id": str(flow_run.id)})).to_dict()


@task(**RETRY)
def silver() -> dict[str, Any]:
    """What it means."""
    return steps.silver(steps.lake(**{"prefect.flow_run_id": str(flow_run.id)})).to_dict()


@task(**RETRY)
def gold() -> dict[str, Any]:
    """Its history."""
    return steps.gold(steps.lake(**{"prefect.flow_run_id": str(flow_run.id)})).to_dict()


@flow(log_prints=True)
def shop() -> list[dict[str, Any]]:
    """One after the other; each reads what its table has not seen."""
    return [bronze(), silver(), gold()]


if __name__ == "__main__":
    for commit in shop():
        print(commit["table"], commit["inserted"])
