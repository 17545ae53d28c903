"""Short words for tests of identities: people in two sources, and who is found to be whom."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import lakekit as lk
from lakekit import identity

INTO = "silver.identities"
KEYS = {"shop": "user_id", "market": "buyer_id"}
NOW = datetime(2026, 1, 1, tzinfo=UTC)
BY_EMAIL = identity.Rules(match=[identity.exact("email")])

Rows = Sequence[Mapping[str, Any]]


def resolve(lake: Any, run: str, *, shop: Rows = (), market: Rows = (), rules: identity.Rules = BY_EMAIL, **options: Any) -> lk.Commit:
    """Resolve the rows of a run; a row is a record's new state."""
    given = {"shop": shop, "market": market}
    batches = {source: lk.from_frame(lake, [dict(row) for row in rows], run_id=run) for source, rows in given.items() if rows}
    keys = {source: KEYS[source] for source in batches}
    return lk.resolve_identities(batches, record_key=keys, rules=rules, **{"into": INTO, "now": NOW, **options})


def rows(lake: Any, kind: str = "record") -> list[dict[str, Any]]:
    """All rows of one kind."""
    return [row for row in lk.read(lake, INTO, deleted=True).to_arrow().to_pylist() if row["kind"] == kind]


def masters(lake: Any) -> dict[str, int]:
    """Record to its person's id: ``{"shop 1": 4711}``."""
    return {f"{row['source']} {row['record_key']}": row["master_user_id"] for row in rows(lake) if row["_deleted_at"] is None}


def persons(lake: Any) -> list[list[str]]:
    """The records of each person, sorted."""
    found: dict[int, list[str]] = {}
    for record, master in masters(lake).items():
        found.setdefault(master, []).append(record)
    return sorted(sorted(group) for group in found.values())
