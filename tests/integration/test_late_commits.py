"""Fifty writers whose transactions end in any order, while `ingest` reads again and again: no row version is lost, and none comes twice."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Final

import psycopg
import pytest

import lakekit as lk
from lakekit import sources

WRITERS: Final = 50
ROWS: Final = 4_000
INTO: Final = "bronze.items"
Versions = Counter[tuple[int, int]]
Reader = tuple[Callable[[], object], Callable[[], Versions]]
"""Reads what is new, again and again; and says how often each version of each row was read."""

TABLE: Final = f"""
CREATE TABLE items (id bigserial PRIMARY KEY, version int NOT NULL DEFAULT 0, writer int,
                    at timestamptz NOT NULL DEFAULT now(), number bigserial);
CREATE INDEX ON items (at);
CREATE INDEX ON items (number);
INSERT INTO items (writer, at) SELECT n % {WRITERS}, now() - interval '1 day' FROM generate_series(1, {ROWS}) n;
"""
CHANGE: Final = """
UPDATE items SET version = version + 1, at = DEFAULT, number = DEFAULT
WHERE id IN (SELECT id FROM items WHERE writer = %s ORDER BY random() LIMIT %s)
"""


def write(dsn: str, writer: int, draw: random.Random, stop: threading.Event) -> None:
    """One transaction after the other, most of them short and some long, on rows of its own; one in ten is given up."""
    with psycopg.connect(dsn) as connection:
        while not stop.is_set():
            for _ in range(draw.randint(1, 3)):
                connection.execute("INSERT INTO items (writer) SELECT %s FROM generate_series(1, %s)", (writer, draw.randint(1, 3)))
                connection.execute(CHANGE, (writer, draw.randint(0, 3)))
                stop.wait(min(draw.expovariate(6), 3.0))
            if draw.random() < 0.1:
                connection.rollback()
            else:
                connection.commit()


def ingesting(cursor: str, readers: int = 1) -> Callable[[str, Path], Reader]:
    """lakekit, from a first load in chunks on."""

    def make(dsn: str, folder: Path) -> Reader:
        lake = lk.connect(folder)
        table = sources.Postgres(dsn, name="shop").table("items", cursor=cursor, chunk_rows=500, readers=readers)

        def versions() -> Versions:
            return Counter((row["id"], row["version"]) for row in lk.read(lake, INTO).to_arrow().to_pylist())

        return lambda: lk.ingest(lake, table, into=INTO), versions

    return make


def naive(dsn: str, _: Path) -> Reader:
    """What is not to be done: only what is greater than the greatest cursor seen."""
    found: Versions = Counter()
    seen = [""]

    def read() -> None:
        with psycopg.connect(dsn) as connection:
            rows = connection.execute(
                "SELECT id, version, at::text FROM items WHERE at > %s ORDER BY at", (seen[0] or "-infinity",)
            ).fetchall()
        found.update((key, version) for key, version, _ in rows)
        seen[0] = rows[-1][2] if rows else seen[0]

    return read, lambda: found


def race(make: Callable[[str, Path], Reader], dsn: str, folder: Path, *, seconds: float) -> None:
    """Read while fifty write, and once more when they are done.

    Raises:
        AssertionError: A version that stands in the source in the end was not read, or one was read twice.
    """
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")  # noqa: T201 -- shown when the test fails; how quick the machine is decides as well
    draw, stop = random.Random(seed), threading.Event()
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(TABLE)
        ready, versions = make(dsn, folder)
        writers = [threading.Thread(target=write, args=(dsn, number, random.Random(draw.random()), stop)) for number in range(WRITERS)]
        for writer in writers:
            writer.start()
        rounds, began = 0, time.monotonic()
        try:
            while time.monotonic() - began < seconds or rounds < 5:
                ready()
                rounds += 1
        finally:
            stop.set()
            for writer in writers:
                writer.join()
        ready()
        there = set(connection.execute("SELECT id, version FROM items").fetchall())
    found = versions()
    assert len(there) > ROWS + WRITERS
    assert not there - set(found), f"missed {len(there - set(found))} of {len(there)} row versions in {rounds} rounds"
    assert not [version for version, times in found.items() if times > 1], "read twice"


@pytest.mark.parametrize("cursor", ["at", "number"])
def test_a_row_that_commits_late_is_neither_lost_nor_doubled(cursor: str, database: str, tmp_path: Path) -> None:
    race(ingesting(cursor), database, tmp_path, seconds=5)


@pytest.mark.slow
@pytest.mark.parametrize("cursor", ["at", "number"])
def test_in_minutes_of_late_commits_nothing_is_lost_or_doubled(cursor: str, database: str, tmp_path: Path) -> None:
    race(ingesting(cursor, readers=3), database, tmp_path, seconds=120)


def test_a_reader_that_trusts_the_greatest_cursor_it_saw_loses_rows_in_the_same_race(database: str, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="missed"):
        race(naive, database, tmp_path, seconds=3)
