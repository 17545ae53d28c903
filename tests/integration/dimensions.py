"""A dimension and its facts, batch after batch, to be killed and started again: late events, deletes of nobody, early facts, a rebuild."""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import UTC, datetime, timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

import lakekit as lk
from tests.integration import faults

DAY: Final = datetime(2026, 1, 1, tzinfo=UTC)
DIM: Final = "gold.dim_people"
FACTS: Final = "gold.facts"
Event = tuple[int, int, str | None]
BATCHES: Final[tuple[tuple[Event, ...], ...]] = (
    ((1, 0, "a"), (1, 5, "b"), (2, 3, None), (3, 4, "c")),  # the delete of 2 ends nothing: it is remembered first
    ((1, 2, "late"), (2, 1, "d"), (1, 7, None), (3, 4, "c"), (4, 9, None)),
    ((1, 3, None), (4, 8, "e"), (5, 6, "f")),  # the delete on day 3 shortens what another ended
)
ORDERS: Final = ((10, 1, 1), (11, 1, 6), (12, 2, 2), (13, 5, 7), (14, 6, 0))


def day(number: int) -> datetime:
    return DAY + timedelta(days=number)


def steps(lake: Any) -> list[Callable[[], Any]]:
    """Everything that is written, in order. Each step may be done again."""
    options: dict[str, Any] = {"into": DIM, "key": "id", "effective_at": "at", "surrogate_key": "person_key"}

    def events(number: int) -> list[dict[str, Any]]:
        return [{"id": i, "at": day(at), "name": name, "_operation": "upsert" if name else "delete"} for i, at, name in BATCHES[number]]

    def merge(number: int) -> Callable[[], Any]:
        return lambda: lk.merge_scd2(lk.from_frame(lake, events(number), run_id=f"batch {number}", now=day(number)), **options)

    def facts() -> lk.Commit:
        orders = lk.read_new(lake, "silver.orders", into=FACTS)
        return lk.merge(lk.lookup(orders, DIM, on={"person": "id"}, at="at", take=("person_key", "name"), missing="infer"), key="order")

    def log(number: int) -> Callable[[], Any]:
        return lambda: lk.append(lk.from_frame(lake, events(number), run_id=f"log {number}", now=day(number)), into="bronze.people")

    def rebuild() -> lk.Commit:
        chosen = lk.read(lake, "bronze.people").sql("SELECT * FROM batch WHERE id IN (1, 2, 4) AND at <> TIMESTAMP '2026-01-10 00:00:00'")
        return lk.merge_scd2(chosen, **options, rebuild=True)

    rows = [{"order": order, "person": person, "at": day(at)} for order, person, at in ORDERS]
    orders = lambda: lk.merge(lk.from_frame(lake, rows, run_id="orders", now=DAY), into="silver.orders", key="order")  # noqa: E731
    found: list[Callable[[], Any]] = [orders, merge(0), facts]
    for number in (1, 2):
        found += [merge(number), facts]
    return [*found, *(log(number) for number in range(len(BATCHES))), rebuild, facts]


def run(folder: Path, at: Any) -> None:
    """The steps, from the one on that was under way."""
    todo = steps(lk.connect(folder))
    while at.value < len(todo):
        todo[at.value]()
        at.value += 1


def run_and_die(folder: Path, at: Any, known: Collection[str], told: Connection) -> None:
    """The same, until the first point of a write that is not known."""
    lk.connect(folder)
    faults.die_at_first_unknown(known, folder, told.send)
    run(folder, at)


def picture(folder: Path) -> dict[str, list[str]]:
    """The rows of every table, without the marks of the writes."""
    lake = lk.connect(folder)
    kept = lambda row: {name: value for name, value in row.items() if name not in ("_write_id", "_run", "_since")}  # noqa: E731
    return {name: sorted(str(kept(row)) for row in lk.read(lake, name).to_arrow().to_pylist()) for name in lake.tables()}
