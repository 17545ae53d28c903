"""Workers that merge into one table all at once, each round after round, and somebody who compacts it meanwhile."""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

import lakekit as lk
from lakekit.errors import CommitConflictError
from tests.integration import faults

TABLE: Final = "silver.contested"
KEYS: Final = 400
MODES: Final = ("merge-on-read", "copy-on-write")


def rows(worker: int, turn: int) -> list[dict[str, Any]]:
    """What a worker says in a turn: of half the keys, by turns, and of one key that nobody else has. Later turns are later everywhere."""
    at = 10 * turn + worker
    shared = [{"id": key, "at": at, "by": f"{worker} in {turn}"} for key in range((worker + turn) % 2, KEYS, 2)]
    return [*shared, {"id": 10_000 * (worker + 1) + turn, "at": at, "by": f"{worker} in {turn}"}]


def merge_often(folder: Path, worker: int, turns: int) -> int:
    """Every turn, whatever a worker before this one has done of them. Gives how often it had to try anew."""
    lake = lk.connect(folder)
    again = 0
    for turn in range(turns):
        while True:
            batch = lk.from_frame(lake, rows(worker, turn), run_id=f"{worker} in {turn}")
            try:
                lk.merge(batch, into=TABLE, key="id", order_by="at", write_mode=MODES[(worker + turn) % 2])
            except CommitConflictError:
                again += 1
                continue
            break
    return again


def maintain_often(folder: Path, done: Any) -> int:
    """Compact and expire until the others are done. Gives the number of compactions."""
    lake = lk.connect(folder)
    compactions = 0
    while not done.wait(0.2):
        compactions += lk.maintain(lake, TABLE, older_than=timedelta(0)).files > 0
    return compactions


def merge_and_maintain(folder: Path) -> None:
    """Merges of every kind, each after the other, and the clearing up after them."""
    lake = lk.connect(folder)
    for turn, mode in enumerate(("copy-on-write", "merge-on-read", "merge-on-read", "copy-on-write", "merge-on-read")):
        batch = lk.from_frame(lake, rows(0, turn), run_id=f"turn {turn}")
        lk.merge(batch, into=TABLE, key="id", order_by="at", write_mode=mode)
    gone = [{"id": key, "at": 1_000, "by": None, "_operation": "delete"} for key in range(0, KEYS, 3)]
    lk.merge(lk.from_frame(lake, gone, run_id="deletes"), into=TABLE, key="id", order_by="at", deletes=lk.Deletes("hard"))
    lk.maintain(lake, TABLE, older_than=timedelta(0))


def merge_and_maintain_and_die(folder: Path, known: Collection[str], tell: Connection) -> None:
    """The same, but this process dies at the first point of a write that is not known."""
    lk.connect(folder)
    faults.die_at_first_unknown(known, folder, tell.send)
    merge_and_maintain(folder)
