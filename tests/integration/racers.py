"""What two processes do at once, round after round. Each function takes a lake and the round's number."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import psycopg

import lakekit as lk
from lakekit import sources
from lakekit.errors import CommitConflictError
from tests.integration.processes import PATIENCE

ROWS: Final = 40
Act = Callable[[], lk.Commit]


def more_people(lake: lk.Lake, turn: int) -> None:
    """Rows to race for: the next state of each key, some new keys, and in each second turn a new column, which both then add."""
    rows = [{"id": number, "at": turn, f"new_{turn // 2}": f"{number} in {turn}"} for number in range(ROWS + turn)]
    lk.append(lk.from_frame(lake, rows, run_id=f"turn {turn}"), into="bronze.people")


def people(lake: lk.Lake, into: str) -> lk.Batch:
    return lk.read_new(lake, "bronze.people", into=into)


def append(lake: lk.Lake, turn: int) -> Act:
    batch = people(lake, "bronze.copy")
    return lambda: lk.append(batch)


def merge(lake: lk.Lake, turn: int) -> Act:
    batch = people(lake, "silver.people")
    return lambda: lk.merge(batch, key="id", order_by="at")


def merge_scd2(lake: lk.Lake, turn: int) -> Act:
    batch = people(lake, "gold.dim_people")
    return lambda: lk.merge_scd2(batch, key="id", effective_at="at", surrogate_key="person_key")


def merge_two_feeds(lake: lk.Lake, number: int, turn: int) -> Act:
    """Two feeds of one dimension: each racer has a state of its own for every member."""
    rows = [{"id": key, "at": 2 * turn + number, "name": f"{key} by {number} in {turn}"} for key in range(ROWS)]
    batch = lk.from_frame(lake, rows, run_id=f"racer {number}, turn {turn}")
    return lambda: lk.merge_scd2(batch, into="gold.dim_fed", key="id", effective_at="at", surrogate_key="person_key")


def merge_facts(lake: lk.Lake, number: int, turn: int) -> Act:
    """Two fact tables that both meet members nobody has seen yet."""
    rows = [{"fact": ROWS * turn + key, "id": 1_000 * turn + key} for key in range(ROWS)]
    facts = lk.from_frame(lake, rows, run_id=f"turn {turn}")
    facts = lk.lookup(facts, "gold.dim_people", on="id", take="person_key", missing="infer")
    return lambda: lk.merge(facts, into=f"gold.fact_{number}", key="fact")


def ingest(lake: lk.Lake, dsn: str) -> Act:
    return lambda: lk.ingest(lake, sources.Postgres(dsn, name="shop").table("people", cursor="at"), into="bronze.people")


def change_people(dsn: str, turn: int) -> None:
    """The next state of each row, and some new rows, with a cursor that has just passed."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS people (id int PRIMARY KEY, turn int, at timestamptz)")
        connection.execute("UPDATE people SET turn = %s, at = clock_timestamp()", (turn,))
        connection.execute(
            "INSERT INTO people SELECT n, %s, clock_timestamp() FROM generate_series(%s::int, %s::int) n",
            (turn, ROWS * turn, ROWS * turn + 4),
        )


def race(what: str, number: int, barrier: Any, turns: int, folder: Path, dsn: str | None) -> list[int | None]:
    """One of two racers. Returns how many rows it inserted in each turn; None: it was told to try again."""
    done: list[int | None] = []
    try:
        for turn in range(turns):
            if number == 0 and dsn is not None:
                change_people(dsn, turn)
            elif number == 0 and what in ("append", "merge", "merge_scd2"):
                more_people(lk.connect(folder), turn)
            barrier.wait(PATIENCE)
            act = _prepare(what, number, turn, folder, dsn)
            barrier.wait(PATIENCE)
            try:
                done.append(act().inserted)
            except CommitConflictError:
                done.append(None)
            barrier.wait(PATIENCE)
    except BaseException:
        barrier.abort()
        raise
    return done


def _prepare(what: str, number: int, turn: int, folder: Path, dsn: str | None) -> Act:
    if what == "first ingest":  # each turn in a lake that is not there yet
        return ingest(lk.connect(folder / str(turn)), dsn or "")
    lake = lk.connect(folder)
    if what == "ingest":
        return ingest(lake, dsn or "")
    if what in ("merge_two_feeds", "merge_facts"):
        return {"merge_two_feeds": merge_two_feeds, "merge_facts": merge_facts}[what](lake, number, turn)
    return {"append": append, "merge": merge, "merge_scd2": merge_scd2}[what](lake, turn)
