"""The steps as assets of Dagster: ``dagster dev -f examples/orchestrators/dagster_shop.py``."""

from collections.abc import Callable

import dagster as dg

import lakekit as lk
from examples.orchestrators import steps


def materialized(context: dg.AssetExecutionContext, step: Callable[[lk.Lake], lk.Commit]) -> dg.MaterializeResult:
    """A step, with its figures as metadata and the run's id in its snapshot."""
    commit = step(steps.lake(**{"dagster.run_id": context.run_id}))
    return dg.MaterializeResult(
        metadata={"read": commit.read, "inserted": commit.inserted, "updated": commit.updated, "rejected": commit.rejected}
    )


RETRY = dg.RetryPolicy(max_retries=3, delay=30, backoff=dg.Backoff.EXPONENTIAL)


@dg.asset(key=["bronze", "users"], retry_policy=RETRY)
def bronze_users(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
    """What the shop says."""
    return materialized(context, steps.bronze)


@dg.asset(key=["silver", "users"], deps=[bronze_users], retry_policy=RETRY)
def silver_users(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
    """What it means."""
    return materialized(context, steps.silver)


@dg.asset(key=["gold", "dim_users"], deps=[silver_users], retry_policy=RETRY)
def dim_users(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
    """Its history."""
    return materialized(context, steps.gold)


ASSETS = [bronze_users, silver_users, dim_users]
HOURLY = dg.ScheduleDefinition(name="hourly", target=dg.AssetSelection.assets(*ASSETS), cron_schedule="0 * * * *")
definitions = dg.Definitions(assets=ASSETS, schedules=[HOURLY])

if __name__ == "__main__":
    assert dg.materialize(ASSETS).success
