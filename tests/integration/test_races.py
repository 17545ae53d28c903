"""Two processes do the same thing at once: one wins, the other finds it done."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
import psycopg
import pytest

import lakekit as lk
from lakekit import sources
from lakekit.sources.protocol import Increment, Source, Target
from tests.contract.helpers import snapshots
from tests.integration import racers
from tests.integration.processes import Running, context

TURNS = 8


def race(what: str, folder: Path, dsn: str | None = None, *, turns: int = TURNS) -> list[tuple[Any, Any]]:
    """What both inserted in each turn."""
    barrier = context.Barrier(2)
    one, other = [Running(racers.race, what, number, barrier, turns, folder, dsn) for number in (0, 1)]
    return list(zip(one.result(), other.result(), strict=True))


def versions(lake: lk.Lake, table: str, *columns: str) -> Counter[tuple[Any, ...]]:
    """How often each row stands in a table, by these columns. The members of a dimension that nobody is are left out."""
    rows = lk.read(lake, table, deleted=True).to_arrow().to_pylist()
    return Counter(tuple(row[column] for column in columns) for row in rows if row.get("id", 0) is not None)


def test_two_ingests_of_one_increment_at_once_never_double_a_row(database: str, tmp_path: Path) -> None:
    done = race("ingest", tmp_path, database)
    found = versions(lk.connect(tmp_path), "bronze.people", "id", "turn")
    assert set(found.values()) == {1}
    assert sum(found.values()) == sum(5 * (turn + 1) for turn in range(TURNS))
    assert [sorted(pair, key=str) for pair in done] == [[0, 5 * (turn + 1)] for turn in range(TURNS)]


def test_two_first_ingests_into_a_lake_that_is_not_there_yet_never_double_a_row(database: str, tmp_path: Path) -> None:
    done = race("first ingest", tmp_path, database)
    assert [sorted(pair, key=str) for pair in done] == [[0, 5 * (turn + 1)] for turn in range(TURNS)]
    for turn in range(TURNS):
        found = versions(lk.connect(tmp_path / str(turn)), "bronze.people", "id")
        assert found == Counter((racers.ROWS * then + row,) for then in range(turn + 1) for row in range(5))


@pytest.mark.parametrize("what", ["append", "merge", "merge_scd2"])
def test_two_writers_of_one_increment_at_once_write_it_once(what: str, tmp_path: Path) -> None:
    done = race(what, tmp_path)
    table = {"append": "bronze.copy", "merge": "silver.people", "merge_scd2": "gold.dim_people"}[what]
    lake = lk.connect(tmp_path)
    # A dimension also notes what a new column means for older versions: who comes second there has to look again.
    second = {0, None} if what == "merge_scd2" else {0}
    assert all(one in second or other in second for one, other in done)
    found = versions(lake, table, "id", "at")
    assert set(found.values()) == {1}
    states = {(key, turn) for turn in range(TURNS) for key in range(racers.ROWS + turn)}
    assert set(found) == ({(key, turn) for key, turn in states if turn == TURNS - 1} if what == "merge" else states)
    assert snapshots(lake, table) == TURNS
    if what == "merge_scd2":
        one_open_version_for_each_member(lake, table)


def one_open_version_for_each_member(lake: lk.Lake, table: str) -> None:
    found = versions(lake, table, "id", "is_current")
    assert {times for (_, is_current), times in found.items() if is_current} == {1}
    assert {key for key, is_current in found if is_current} == {key for key, _ in found}


def test_two_feeds_of_one_dimension_at_once_never_leave_two_open_versions(tmp_path: Path) -> None:
    done = race("merge_two_feeds", tmp_path)
    lake = lk.connect(tmp_path)
    assert None not in [inserted for pair in done for inserted in pair]
    one_open_version_for_each_member(lake, "gold.dim_fed")
    last = 2 * TURNS - 1
    states = {(key, at, at + 1 if at < last else None) for key in range(racers.ROWS) for at in range(last + 1)}
    assert versions(lake, "gold.dim_fed", "id", "valid_from", "valid_to") == Counter(states)


def test_two_facts_at_once_infer_a_member_once(tmp_path: Path) -> None:
    lake = lk.connect(tmp_path)
    racers.more_people(lake, 0)
    racers.merge_scd2(lake, 0)()
    race("merge_facts", tmp_path)
    inferred = {1_000 * turn + key for turn in range(TURNS) for key in range(racers.ROWS)}
    assert versions(lake, "gold.dim_people", "id") == Counter((key,) for key in inferred | set(range(racers.ROWS)))
    known = {key for (key,) in versions(lake, "gold.dim_people", "person_key")}
    for number in (0, 1):
        assert {key for (key,) in versions(lake, f"gold.fact_{number}", "person_key")} <= known


def test_a_batch_read_before_another_process_wrote_the_same_adds_nothing(tmp_path: Path) -> None:
    lake = lk.connect(tmp_path)
    for turn, what in enumerate(("append", "merge", "merge_scd2")):
        racers.more_people(lake, turn)
        stale = getattr(racers, what)(lake, turn)
        Running(racers.race, what, 1, context.Barrier(1), 1, tmp_path, None).result()
        before = {name: snapshots(lake, name) for name in lake.tables()}
        assert stale().committed is False
        assert {name: snapshots(lake, name) for name in lake.tables()} == before


@attrs.frozen
class Interrupted:
    """A source during whose read something else happens."""

    source: Source
    meanwhile: Any

    @property
    def upstream(self) -> str:
        return self.source.upstream

    def primary_key(self) -> tuple[str, ...]:
        return self.source.primary_key()

    def keys(self, *, scope: str | None) -> Any:
        return self.source.keys(scope=scope)

    @contextmanager
    def open(self, position: Any, *, target: Target) -> Iterator[Increment]:
        with self.source.open(position, target=target) as increment:
            self.meanwhile()
            yield increment


def test_an_ingest_overtaken_by_another_process_while_it_reads_adds_nothing(database: str, tmp_path: Path) -> None:
    lake = lk.connect(tmp_path)
    people = sources.Postgres(database, name="shop").table("people", cursor="at")

    def overtake() -> None:
        Running(racers.race, "ingest", 1, context.Barrier(1), 1, tmp_path, database).result()

    def overtake_with_more() -> None:
        racers.change_people(database, 2)
        overtake()

    for turn, meanwhile in enumerate((overtake, overtake, overtake_with_more)):
        if turn < 2:
            racers.change_people(database, turn)
        commit = lk.ingest(lake, Interrupted(people, meanwhile), into="bronze.people")
        assert (commit.inserted, commit.committed) == (0, False)
    assert lk.ingest(lake, people, into="bronze.people").inserted == 0
    found = versions(lake, "bronze.people", "id", "turn")
    assert set(found.values()) == {1}
    assert sum(found.values()) == 5 + 10 + 15


def test_rows_committed_while_an_overtaken_ingest_read_come_with_the_next_one(database: str, tmp_path: Path) -> None:
    lake = lk.connect(tmp_path)
    people = sources.Postgres(database, name="shop").table("people", cursor="at")
    racers.change_people(database, 0)
    lk.ingest(lake, people, into="bronze.people")
    with psycopg.connect(database) as late:
        late.execute("INSERT INTO people VALUES (-1, 0, '2026-01-01 00:00Z')")
        late.execute("UPDATE people SET turn = 7, at = at + interval '1 second' WHERE id = 0")

        def overtake() -> None:
            Running(racers.race, "ingest", 1, context.Barrier(1), 1, tmp_path, database).result()
            late.commit()

        lk.ingest(lake, Interrupted(people, overtake), into="bronze.people")
    lk.ingest(lake, people, into="bronze.people")
    assert versions(lake, "bronze.people", "id", "turn")[0, 7] == 1
