"""Users of a shop, from PostgreSQL to bronze, silver, a table of facts and a dimension: a pipeline whose source gets a column meanwhile."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, Literal

import attrs

import lakekit as lk
from lakekit.sources.postgres import PostgresTable
from tests.integration.sources.reading import execute, shop

LAYERS: Final = ("bronze.users", "silver.users", "gold.contacts", "gold.dim_users")
CREATE: Final = "CREATE TABLE users (user_id int PRIMARY KEY, name text, city text, last_updated_at timestamptz NOT NULL)"
ALTER: Final = "ALTER TABLE users ADD COLUMN device_type text"


@attrs.frozen
class Turns:
    """Who does the next step: one engine, or two by turns on the same tables."""

    lakes: Iterator[lk.Lake]
    outside: lk.Lake
    """The tables as another process sees them."""
    run_statement: Callable[[str], object] | None
    """Runs SQL where there is a session that does."""

    @classmethod
    def of(cls, lakes: Sequence[lk.Lake], outside: lk.Lake, run_statement: Callable[[str], object] | None) -> Turns:
        return cls(itertools.cycle(lakes), outside, run_statement)

    def next(self) -> lk.Lake:
        return next(self.lakes)


def people(dsn: str, first: int, last: int, *, at: str, device: str | None = None) -> None:
    """More users in the source."""
    column, value = (", device_type", f", '{device}'") if device else ("", "")
    execute(
        dsn,
        f"INSERT INTO users (user_id, name, city, last_updated_at{column})"
        f" SELECT n, 'user ' || n, 'Bonn', timestamptz '{at}' + n * interval '1 s'{value} FROM generate_series({first}, {last}) n",
    )


def users(dsn: str) -> PostgresTable:
    return shop(dsn).table("users", cursor="last_updated_at")


def run(turns: Turns, dsn: str, *, on_change: Any = "evolve", rest: Literal["keep", "drop"] = "keep") -> list[lk.Commit]:
    """One run of the pipeline: each table by whoever is next."""
    lake = turns.next()
    commits = [lk.ingest(lake, users(dsn), into="bronze.users", on_change=on_change)]
    lake = turns.next()
    silver = lk.select(
        lk.read_new(lake, "bronze.users", into="silver.users"),
        {"user_id": "user_id", "full_name": "upper(name)", "city": "city", "last_updated_at": "last_updated_at"},
        rest=rest,
    )
    commits.append(lk.merge(silver, key="user_id", on_change=on_change))
    lake = turns.next()
    facts = lk.select(lk.read_new(lake, "silver.users", into="gold.contacts"), {"contact": "user_id"}, rest="keep")
    commits.append(lk.merge(facts, key="contact", on_change=on_change))
    lake = turns.next()
    dim = lk.read_new(lake, "silver.users", into="gold.dim_users")
    commits.append(lk.merge_scd2(dim, key="user_id", effective_at="last_updated_at", surrogate_key="user_key", on_change=on_change))
    return commits


def devices(lake: lk.Lake, table: str) -> dict[int, Any]:
    """What each user's device is in a table: in bronze that of the last version, in a dimension that of the open one. "absent": no such column."""
    rows = lk.read(lake, table).to_arrow().to_pylist()
    key = "contact" if table == "gold.contacts" else "user_id"
    found = [row for row in rows if row.get("is_current", True) and row[key] is not None]
    if table == "bronze.users":
        found.sort(key=lambda row: (row["last_updated_at"], row["_ingestion_timestamp"], row.get("device_type") is not None))
    return {row[key]: row.get("device_type", "absent") for row in found}
