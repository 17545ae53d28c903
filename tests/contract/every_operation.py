"""Each public function that writes, called once with rows that hold a marked value."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import lakekit as lk
from lakekit import identity, rules
from lakekit.testing import Source
from tests.contract.helpers import frame

MARK: Final = "zq7secret"

Done = lk.Commit | list[lk.Commit]


def people(*ids: int) -> list[dict[str, Any]]:
    return [{"id": number, "name": f"{MARK}{number}", "at": datetime(2026, 1, number, tzinfo=UTC)} for number in ids]


def ingest(lake: Any, folder: Path) -> Done:
    return lk.ingest(lake, Source(people(1, 2), primary_key="id", clock=now), into="bronze.people")


def now() -> datetime:
    return datetime(2026, 2, 1, tzinfo=UTC)


def ingest_deletes(lake: Any, folder: Path) -> Done:
    source = Source(people(1, 2), primary_key="id", clock=now)
    lk.ingest(lake, source, into="bronze.people")
    source.rows.pop()
    return lk.ingest_deletes(lake, source, into="bronze.people", deletes=lk.Deletes(max_fraction=1))


def backfill(lake: Any, folder: Path) -> Done:
    file = folder / "people.csv"
    source = lk.sources.Files(folder / "*.csv", format="csv", primary_key="id")
    file.write_text(f"id,name\n1,{MARK}\n")
    lk.ingest(lake, source, into="bronze.people")
    file.write_text(f"id,name,city\n1,{MARK},{MARK}\n")
    return lk.backfill(lake, source, into="bronze.people", columns="city")


def append(lake: Any, folder: Path) -> Done:
    return lk.append(frame(lake, "a", *people(1, 2)), into="bronze.people")


def merge(lake: Any, folder: Path) -> Done:
    return lk.merge(frame(lake, "a", *people(1, 2)), key="id", into="silver.people")


def replace_groups(lake: Any, folder: Path) -> Done:
    append(lake, folder)
    groups = lk.read_new_groups(lake, "bronze.people", into="gold.names", by="name")
    return lk.replace_groups(groups.sql("SELECT name, count(*) AS n FROM batch GROUP BY name"))


def merge_scd2(lake: Any, folder: Path) -> Done:
    return lk.merge_scd2(frame(lake, "a", *people(1, 2)), key="id", effective_at="at", into="gold.people")


def resolve_identities(lake: Any, folder: Path) -> Done:
    return lk.resolve_identities(
        {"shop": frame(lake, "a", *people(1, 2))},
        record_key={"shop": "id"},
        rules=identity.Rules(match=[identity.exact("name")]),
        into="silver.identities",
    )


def replay(lake: Any, folder: Path) -> Done:
    append(lake, folder)
    batch = lk.read_new(lake, "bronze.people", into="silver.people")
    lk.merge(lk.clean(batch, {"name": rules.email()}), key="id")
    return lk.replay(lake, "silver.people")


def rewind(lake: Any, folder: Path) -> Done:
    append(lake, folder)
    lk.merge(lk.read_new(lake, "bronze.people", into="silver.people"), key="id")
    return lk.rewind(lake, into="silver.people", upstream="bronze.people", to=None)


def maintain(lake: Any, folder: Path) -> Done:
    merge(lake, folder)
    return lk.maintain(lake, "silver.people", older_than=timedelta(days=7))


def forget(lake: Any, folder: Path) -> Done:
    merge(lake, folder)
    return lk.forget(lake, {"silver.people": {"name": f"{MARK}1"}})


def propagate(lake: Any, folder: Path) -> Done:
    for name in ("bronze.people", "silver.people"):
        lk.merge(frame(lake, "a", {"id": 1}), key="id", into=name)
    lk.merge(frame(lake, "b", *people(1)), key="id", into="bronze.people")
    plan = lk.evolution.plan(lake, "bronze.people", into="silver.people")
    return lk.evolution.propagate(lake, plan, path=["bronze.people", "silver.people"])


def unrescue(lake: Any, folder: Path) -> Done:
    lk.merge(frame(lake, "a", {"id": 1, "size": 7}), key="id", into="silver.people")
    lk.merge(frame(lake, "b", {"id": 2, "size": MARK}), key="id", into="silver.people")
    return lk.evolution.unrescue(lake, "silver.people")


def stream(lake: Any, folder: Path) -> Done:
    running = lk.stream(lake, Source(people(1, 2), primary_key="id", clock=now), into="bronze.people", every=None)
    running.wait()
    return running.commits


OPERATIONS: Final[dict[str, Callable[[Any, Path], Done]]] = {
    function.__name__: function
    for function in (
        ingest,
        ingest_deletes,
        backfill,
        append,
        merge,
        replace_groups,
        merge_scd2,
        resolve_identities,
        replay,
        rewind,
        maintain,
        forget,
        propagate,
        unrescue,
        stream,
    )
}


def commits(done: Done) -> list[lk.Commit]:
    return [done] if isinstance(done, lk.Commit) else done
