"""Three steps of the shop that every orchestrator runs alike: users to bronze, silver and gold. Asked of the environment: SHOP and LAKE."""

from __future__ import annotations

import os

import lakekit as lk
from lakekit import rules, sources


def lake(**run: str) -> lk.Lake:
    """The lake; what names the run stands in each snapshot it makes."""
    return lk.connect(os.environ["LAKE"], snapshot_properties=run)


def bronze(lake: lk.Lake) -> lk.Commit:
    """What the shop says."""
    shop = sources.Postgres(lambda: os.environ["SHOP"], name="shop")
    return lk.ingest(lake, shop.table("public.users", cursor="last_updated_at"), into="bronze.users")


def silver(lake: lk.Lake) -> lk.Commit:
    """What it means."""
    users = lk.latest(lk.read_new(lake, "bronze.users", into="silver.users"), key="user_id")
    return lk.merge(lk.clean(users, {"full_name": rules.squash_spaces(), "email": [rules.trim(), rules.email()]}), key="user_id")


def gold(lake: lk.Lake) -> lk.Commit:
    """Its history."""
    users = lk.read_new(lake, "silver.users", into="gold.dim_users")
    return lk.merge_scd2(users, key="user_id", effective_at="last_updated_at", surrogate_key="user_key")
