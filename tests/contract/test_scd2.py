"""merge_scd2 on a lake: history in one commit, whatever the order; full feeds; new columns; members; deletes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import permutations
from typing import Any

import pyarrow as pa
import pytest

import lakekit as lk
from lakekit.errors import ConfigError, ContractError, GuardError, SchemaError
from lakekit.gold.keys import hash63
from tests.contract.helpers import figures, foreign, frame, living, made_elsewhere, snapshots

DIM = "gold.dim_people"
DAY = datetime(2026, 1, 1, tzinfo=UTC)


def at(day: int) -> datetime:
    return DAY + timedelta(days=day)


def event(number: int, day: int, name: str | None, operation: str = "upsert", **more: Any) -> dict[str, Any]:
    return {"id": number, "name": name, "at": at(day), "_operation": operation, **more}


def put(lake: Any, run: str, *events: dict[str, Any], **options: Any) -> lk.Commit:
    return lk.merge_scd2(frame(lake, run, *events), into=DIM, key="id", effective_at="at", **options)


def full(lake: Any, day: int, *members: dict[str, Any], run: str = "", **options: Any) -> lk.Commit:
    batch = frame(lake, run or f"day {day}", *members)
    return lk.merge_scd2(batch, into=DIM, key="id", feed="full", observed_at=at(day), **options)


def history(lake: Any, *columns: str) -> list[tuple[Any, ...]]:
    """(id, name, first day, last day, more columns) of each version, special members left out."""
    rows = [row for row in lk.read(lake, DIM).to_arrow().to_pylist() if row["id"] is not None]

    def day(instant: datetime | None) -> int | None:
        return None if instant is None else (instant - DAY).days

    found = [(row["id"], row["name"], day(row["valid_from"]), day(row["valid_to"]), *(row[name] for name in columns)) for row in rows]
    return sorted(found, key=lambda row: (row[0], row[2]))


def test_a_change_closes_a_version_and_opens_the_next_in_one_snapshot(lake: Any) -> None:
    put(lake, "a", event(1, 0, "Ada"), event(2, 0, "Bo"))
    commit = put(lake, "b", event(1, 5, "Ada L."))
    assert history(lake) == [(1, "Ada", 0, 5), (1, "Ada L.", 5, None), (2, "Bo", 0, None)]
    assert (commit.inserted, commit.updated, snapshots(lake, DIM)) == (1, 1, 2)


def test_every_order_and_batching_of_events_gives_one_history(lake: Any) -> None:
    events = [event(1, 0, "a"), event(1, 3, "b"), event(1, 5, None, "delete"), event(1, 7, "b")]
    for number, order in enumerate(permutations(events)):
        table = f"gold.dim_{number}"
        for step, one in enumerate(order):
            lk.merge_scd2(frame(lake, f"{step}", one), into=table, key="id", effective_at="at")
        rows = lk.read(lake, table).to_arrow().sort_by("valid_from").to_pylist()
        assert [(row["name"], row["valid_from"], row["valid_to"]) for row in rows] == [
            ("a", at(0), at(3)),
            ("b", at(3), at(5)),
            ("b", at(7), None),
        ]
        if number == 5:
            break


def test_the_same_events_under_another_run_change_nothing_and_make_no_snapshot(lake: Any) -> None:
    events = [event(1, 0, "a"), event(1, 3, "b"), event(2, 1, "c"), event(2, 2, None, "delete")]
    put(lake, "a", *events)
    before = snapshots(lake, DIM)
    commit = put(lake, "b", *events)
    assert not commit.committed
    assert snapshots(lake, DIM) == before


def test_a_late_event_splits_the_version_it_falls_into(lake: Any) -> None:
    put(lake, "a", event(1, 0, "a"), event(1, 9, "c"))
    put(lake, "b", event(1, 4, "b"))
    assert history(lake) == [(1, "a", 0, 4), (1, "b", 4, 9), (1, "c", 9, None)]


def test_type1_overwrites_all_versions_and_untracked_only_the_open_one(lake: Any) -> None:
    put(lake, "a", event(1, 0, "a", born=1900, visits=1), track="name", type1="born")
    put(lake, "b", event(1, 3, "b", born=1900, visits=2), track="name", type1="born")
    put(lake, "c", event(1, 5, "b", born=1901, visits=3), track="name", type1="born")
    assert history(lake, "born", "visits") == [(1, "a", 0, 3, 1901, 1), (1, "b", 3, None, 1901, 3)]


def test_the_deletes_of_a_dimension_close_are_ignored_or_open_a_version(lake: Any) -> None:
    expected = {"close": [("a", True)], "ignore": [("a", True)], "new_record": [("a", False), ("a", True)], "hard": []}
    for mode, versions in expected.items():
        table = f"gold.{mode}"
        for run, one in (("a", event(1, 0, "a")), ("b", event(1, 2, None, "delete"))):
            lk.merge_scd2(frame(lake, run, one), into=table, key="id", effective_at="at", deletes=lk.Deletes(mode))  # type: ignore[arg-type]
        rows = lk.read(lake, table).to_arrow().sort_by("valid_from").to_pylist()
        expected_rows = [("a", False)] if mode == "close" else versions
        assert [(row["name"], row["is_current"]) for row in rows] == expected_rows, mode


def test_rows_without_key_or_instant_are_rejected_in_full(lake: Any) -> None:
    nowhen = {**event(2, 0, "b"), "at": None}
    commit = put(lake, "a", event(1, 0, "a"), {**event(1, 0, "x"), "id": None}, nowhen)
    assert (commit.read, commit.rejected) == (3, 2)
    rejected = lk.read(lake, f"{DIM}__rejects").to_arrow().to_pylist()
    assert sorted(row["_reason"] for row in rejected) == ["null_effective_at", "null_key"]


def test_surrogate_keys_are_hashes_and_special_members_are_there_from_the_first_run(lake: Any) -> None:
    put(lake, "a", event(1, 0, "a"), event(1, 3, "b"), surrogate_key="person_key")
    rows = {row["person_key"]: row for row in lk.read(lake, DIM).to_arrow().to_pylist()}
    first, later = hash63([1], ["BIGINT"]), hash63([1, at(3)], ["BIGINT", "TIMESTAMP"])
    assert set(rows) == {-1, -2, first, later}
    assert rows[-1]["name"] == "Unknown"


def test_other_options_than_the_dimension_was_made_with_are_refused(lake: Any) -> None:
    put(lake, "a", event(1, 0, "a"), surrogate_key="person_key")
    with pytest.raises(ConfigError, match="person_key"):
        put(lake, "b", event(1, 1, "b"), surrogate_key="user_key")
    with pytest.raises(ConfigError, match="valid_to"):
        put(lake, "b", event(1, 1, "b"), surrogate_key="person_key", valid_columns=("valid_from", "until"))


def test_surrogate_keys_may_be_a_sequence_that_late_events_leave_as_it_is(lake: Any) -> None:
    options: dict[str, Any] = {"surrogate_key": "person_key", "surrogate_keys": "sequence"}
    put(lake, "a", event(1, 2, "a"), event(2, 0, "c"), event(1, 6, "b"), **options)
    assert history(lake, "person_key") == [(1, "a", 2, 6, 1), (1, "b", 6, None, 2), (2, "c", 0, None, 3)]
    facts = frame(lake, "facts", *({"fact": day, "id": 1, "at": at(day)} for day in (3, 5, 7)))
    lk.merge(facts, into="silver.facts", key="fact")

    def look_up() -> list[tuple[Any, ...]]:
        found = lk.lookup(lk.read_new(lake, "silver.facts", into="gold.facts"), DIM, on="id", at="at", take="person_key")
        lk.merge(found, key="fact")
        return living(lake, "gold.facts", "fact", "person_key")

    assert look_up() == [(3, 1), (5, 1), (7, 2)]
    put(lake, "b", event(1, 4, "late"), event(1, 1, "early"), event(3, 0, "d"), **options)
    assert history(lake, "person_key") == [
        (1, "early", 1, 2, 1), (1, "a", 2, 4, 4), (1, "late", 4, 6, 5), (1, "b", 6, None, 2), (2, "c", 0, None, 3), (3, "d", 0, None, 6),
    ]  # fmt: skip
    assert look_up() == [(3, 4), (5, 5), (7, 2)]
    assert not put(lake, "c", event(1, 4, "late"), event(3, 0, "d"), **options).committed
    lk.verify_scd2(lake, DIM).require()
    with pytest.raises(ConfigError, match="sequence"):
        lk.lookup(frame(lake, "x", {"id": 1}), DIM, on="id", take="person_key", missing="infer")
    with pytest.raises(ConfigError, match="surrogate_keys"):
        put(lake, "d", event(1, 9, "z"), surrogate_key="person_key")


# New columns.


def test_a_new_column_is_adopted_by_the_open_version_and_tracked_from_then_on(lake: Any) -> None:
    put(lake, "a", event(1, 0, "a"), event(2, 0, "b"), event(2, 1, "c"))
    commit = put(lake, "b", event(1, 2, "a", city="Bonn"), event(2, 2, "c", city="Kiel"))
    assert commit.columns_added == ("city",)
    assert history(lake, "city") == [(1, "a", 0, None, "Bonn"), (2, "b", 0, 1, None), (2, "c", 1, None, "Kiel")]
    put(lake, "c", event(1, 4, "a", city="Cologne"))
    assert history(lake, "city")[:2] == [(1, "a", 0, 4, "Bonn"), (1, "a", 4, None, "Cologne")]


def test_a_new_column_may_version_all_or_be_refused(lake: Any) -> None:
    put(lake, "a", event(1, 0, "a"))
    with pytest.raises(SchemaError, match="city"):
        put(lake, "b", event(1, 2, "a", city="Bonn"), new_column="refuse")
    assert "city" not in lk.read(lake, DIM).columns
    put(lake, "b", event(1, 2, "a", city="Bonn"), new_column="version_all")
    assert history(lake, "city") == [(1, "a", 0, 2, None), (1, "a", 2, None, "Bonn")]


def test_a_rebuild_computes_history_anew_from_the_whole_log_and_refuses_a_part_of_it(lake: Any) -> None:
    log = [event(1, 0, "a", city="Bonn"), event(1, 2, "a", city="Kiel")]
    put(lake, "a", *({key: value for key, value in one.items() if key != "city"} for one in log))
    assert history(lake) == [(1, "a", 0, None)]
    lk.append(frame(lake, "log", *log), into="bronze.people")
    with pytest.raises(ConfigError, match="every event"):
        put(lake, "b", log[1], new_column="rebuild")
    lk.merge_scd2(lk.read(lake, "bronze.people"), into=DIM, key="id", effective_at="at", new_column="rebuild")
    assert history(lake, "city") == [(1, "a", 0, 2, "Bonn"), (1, "a", 2, None, "Kiel")]


def test_members_are_rebuilt_from_their_log_and_others_stay_as_they_are(lake: Any) -> None:
    put(lake, "a", event(1, 0, "a"), event(1, 2, "wrong"), event(2, 0, "b"), event(3, 1, None, "delete"), event(1, 4, None, "delete"))
    log = [event(1, 0, "a"), event(1, 2, "right"), event(1, 3, "z"), event(2, 0, "other"), event(3, 1, "c")]
    lk.append(frame(lake, "log", *log), into="bronze.people")
    chosen = lk.read(lake, "bronze.people").sql("SELECT * FROM batch WHERE id IN (1, 3)")
    options = {"into": DIM, "key": "id", "effective_at": "at", "rebuild": True}
    tried = lk.merge_scd2(chosen, **options, dry_run=True)
    assert (tried.inserted, tried.updated, tried.committed) == (2, 2, False)
    lk.merge_scd2(chosen, **options)
    assert history(lake) == [(1, "a", 0, 2), (1, "right", 2, 3), (1, "z", 3, None), (2, "b", 0, None), (3, "c", 1, None)]
    assert not lk.merge_scd2(chosen, **options).committed
    put(lake, "b", event(3, 0, "early"))  # the delete that the log doesn't tell is forgotten
    assert history(lake)[-2:] == [(3, "early", 0, 1), (3, "c", 1, None)]
    with pytest.raises(ConfigError, match="every event"):
        put(lake, "c", event(1, 9, "x"), rebuild=True)


def test_a_column_that_a_batch_does_not_have_keeps_its_value(lake: Any) -> None:
    put(lake, "a", event(1, 0, "a", city="Bonn", visits=1), event(1, 4, "a", city="Kiel", visits=2), track=("name", "city"))
    put(lake, "b", event(1, 6, "b"), track=("name", "city"))
    put(lake, "c", event(1, 2, "late"), track=("name", "city"))
    expected = [(1, "a", 0, 2, "Bonn", 1), (1, "late", 2, 4, "Bonn", 1), (1, "a", 4, 6, "Kiel", 2), (1, "b", 6, None, "Kiel", 2)]
    assert history(lake, "city", "visits") == expected
    assert not put(lake, "d", event(1, 6, "b"), event(1, 2, "late"), track=("name", "city")).committed


def test_a_column_that_a_full_feed_does_not_have_keeps_its_value(lake: Any) -> None:
    full(lake, 0, {"id": 1, "name": "a", "city": "Bonn"}, {"id": 2, "name": "b", "city": "Kiel"})
    commit = full(lake, 1, {"id": 1, "name": "a"}, {"id": 2, "name": "B"})
    assert (commit.inserted, commit.unchanged) == (1, 1)
    assert history(lake, "city") == [(1, "a", 0, None, "Bonn"), (2, "b", 0, 1, "Kiel"), (2, "B", 1, None, "Kiel")]


def test_a_widened_key_and_a_widened_column_neither_open_versions_nor_change_surrogate_keys(lake: Any) -> None:
    def small(run: str, kind: pa.DataType, *days: int) -> lk.Commit:
        columns = {"id": pa.array([1] * len(days), kind), "size": pa.array([7] * len(days), kind), "at": [at(day) for day in days]}
        batch = lk.from_frame(lake, pa.table(columns), run_id=run)
        return lk.merge_scd2(batch, into=DIM, key="id", effective_at="at", surrogate_key="size_key")

    small("a", pa.int32(), 0, 2)
    before = {row["size_key"] for row in lk.read(lake, DIM).to_arrow().to_pylist()}
    small("b", pa.int64(), 1, 5)
    rows = [row for row in lk.read(lake, DIM).to_arrow().to_pylist() if row["id"]]
    assert [(row["size"], row["valid_from"], row["valid_to"]) for row in rows] == [(7, at(0), None)]
    assert {row["size_key"] for row in lk.read(lake, DIM).to_arrow().to_pylist()} == before


def test_a_composite_key_is_a_key_in_all_its_parts(lake: Any) -> None:
    def place(run: str, *rows: tuple[str | None, int, int, str | None, str]) -> lk.Commit:
        names = ("country", "zip", "day", "name", "_operation")
        given = [dict(zip(names, row, strict=True)) for row in rows]
        events = [{**{name: row[name] for name in row if name != "day"}, "at": at(row["day"])} for row in given]
        options = {"key": ("country", "zip"), "effective_at": "at", "surrogate_key": "place_key"}
        return lk.merge_scd2(frame(lake, run, *events), into=DIM, **options)

    place("a", ("DE", 1, 0, "a", "upsert"), ("DE", 2, 0, "b", "upsert"), ("FR", 1, 0, "c", "upsert"), ("DE", 3, 4, None, "delete"))
    commit = place("b", ("DE", 1, 3, "A", "upsert"), ("FR", 1, 2, None, "delete"), ("DE", 3, 2, "d", "upsert"), (None, 1, 1, "x", "upsert"))
    assert (commit.rejected, commit.late) == (1, 0)
    rows = [row for row in lk.read(lake, DIM).to_arrow().to_pylist() if row["country"]]
    found = sorted((row["country"], row["zip"], row["name"], row["valid_from"], row["valid_to"]) for row in rows)
    assert [(*row[:3], (row[3] - DAY).days, row[4] and (row[4] - DAY).days) for row in found] == [
        ("DE", 1, "A", 3, None), ("DE", 1, "a", 0, 3), ("DE", 2, "b", 0, None), ("DE", 3, "d", 2, 4), ("FR", 1, "c", 0, 2),
    ]  # fmt: skip
    assert hash63(["DE", 1], ["STRING", "BIGINT"]) in {row["place_key"] for row in rows}


def test_events_that_came_late_and_those_that_say_nothing_new_are_counted(lake: Any) -> None:
    put(lake, "a", event(1, 0, "a"), event(1, 5, "b"), event(2, 0, "c"), event(2, 4, None, "delete"))
    commit = put(lake, "b", event(1, 3, "late"), event(1, 7, "b"), event(2, 2, "c"), event(3, 0, "new"), event(1, 5, "b"))
    assert (commit.read, commit.late, commit.unchanged) == (5, 2, 3)
    assert put(lake, "c", event(1, 8, "c"), event(2, 3, None, "delete")).unchanged == 0


def test_members_count_as_deleted_when_their_open_version_ends_and_no_other_one_begins(lake: Any) -> None:
    def put(mode: Any, run: str, *events: dict[str, Any]) -> int:
        batch, until = frame(lake, run, *events), "9999-12-31" if mode == "hard" else None
        options: dict[str, Any] = {"key": "id", "effective_at": "at", "deletes": lk.Deletes(mode), "open_until": until}
        return lk.merge_scd2(batch, into=f"gold.{mode}", **options).deleted

    for mode in ("close", "hard"):
        assert put(mode, "a", event(1, 0, "a"), event(1, 9, "c"), event(2, 0, "x"), event(3, 0, "y")) == 0
        assert put(mode, "b", event(1, 4, "late"), event(2, 4, "next")) == 0, "what a late event shortens was no open version"
        assert put(mode, "c", event(1, 12, None, "delete"), event(2, 5, None, "delete"), event(2, 6, "again")) == 1


# Lateness.


def test_a_dimension_forgets_what_only_late_events_need_and_rejects_those_that_say_something_else(lake: Any) -> None:
    put(
        lake, "a", *(event(1, day, "a", visits=1) for day in range(6)), event(2, 3, None, "delete", visits=None), event(1, 9, "b", visits=1)
    )
    put(lake, "b", event(3, 8, None, "delete", visits=None))
    before, versions = history(lake), {row["_write_id"] for row in lk.read(lake, DIM).to_arrow().to_pylist()}
    commit = lk.maintain(lake, DIM, older_than=timedelta(days=1), lateness=timedelta(days=3), now=at(10))
    assert commit.deleted == 4 + 1, "four events between the first and the last one before day 7, and the delete of nobody on day 3"
    assert (history(lake), {row["_write_id"] for row in lk.read(lake, DIM).to_arrow().to_pylist()}) == (before, versions)
    late = put(lake, "c", event(1, 3, "x", visits=1), event(1, 4, "a", visits=1), event(2, 2, "c", visits=1), event(1, 7, "late", visits=1))
    assert (late.read, late.rejected, late.unchanged, late.late) == (4, 2, 1, 1)
    assert history(lake) == [(1, "a", 0, 7), (1, "late", 7, 9), (1, "b", 9, None)]
    put(lake, "d", event(3, 7, "d", visits=1))  # the delete on day 8 is remembered
    assert history(lake)[-1] == (3, "d", 7, 8)
    assert [row["_reason"] for row in lk.read(lake, f"{DIM}__rejects").to_arrow().to_pylist()] == ["too_late", "too_late"]
    assert lk.maintain(lake, DIM, older_than=timedelta(days=1), lateness=timedelta(days=3), now=at(10)).deleted == 0
    lk.verify_scd2(lake, DIM).require()


def test_lateness_needs_versions_that_begin_at_times(lake: Any) -> None:
    lk.merge_scd2(frame(lake, "a", {"id": 1, "seq": 1}), into=DIM, key="id", effective_at="seq")
    with pytest.raises(ConfigError, match="valid_from"):
        lk.maintain(lake, DIM, older_than=timedelta(days=1), lateness=timedelta(days=1))


# Full feeds.


def test_a_full_feed_opens_closes_and_leaves_alone(lake: Any) -> None:
    force = lk.Deletes("close", max_fraction=0.5)
    full(lake, 0, {"id": 1, "name": "a"}, {"id": 2, "name": "b"}, {"id": 3, "name": "c"})
    full(lake, 1, {"id": 1, "name": "a"}, {"id": 2, "name": "B"}, deletes=force)
    assert history(lake) == [(1, "a", 0, None), (2, "b", 0, 1), (2, "B", 1, None), (3, "c", 0, 1)]
    full(lake, 2, {"id": 1, "name": "a"}, {"id": 2, "name": "B"}, {"id": 3, "name": "c"})
    assert history(lake)[-2:] == [(3, "c", 0, 1), (3, "c", 2, None)]


def test_a_feed_is_taken_once_an_unchanged_one_makes_no_snapshot_and_an_older_one_is_refused(lake: Any) -> None:
    full(lake, 1, {"id": 1, "name": "a"})
    before = snapshots(lake, DIM)
    assert not full(lake, 1, {"id": 1, "name": "something else"}, run="again").committed
    assert not full(lake, 2, {"id": 1, "name": "a"}).committed
    assert snapshots(lake, DIM) == before
    with pytest.raises(ContractError, match="taken already"):
        full(lake, 1, {"id": 1, "name": "x"}, run="late")
    assert history(lake) == [(1, "a", 1, None)]


def test_a_full_feed_that_lacks_too_much_is_refused_and_writes_nothing(lake: Any) -> None:
    full(lake, 0, *({"id": number, "name": "a"} for number in range(10)))
    with pytest.raises(GuardError, match="2 of 10"):
        full(lake, 1, *({"id": number, "name": "a"} for number in range(8)))
    with pytest.raises(GuardError):
        lk.merge_scd2(frame(lake, "empty", {"id": None, "name": None}), into=DIM, key="id", feed="full", observed_at=at(1))
    assert len(history(lake)) == 10
    full(lake, 1, *({"id": number, "name": "a"} for number in range(8)), run="forced", deletes=lk.Deletes("close", force=True))
    assert sum(row[3] is None for row in history(lake)) == 8


def test_a_scope_limits_which_members_can_be_found_missing(lake: Any) -> None:
    people = [{"id": 1, "name": "a", "country": "DE"}, {"id": 2, "name": "b", "country": "FR"}]
    full(lake, 0, *people)
    german = lk.Deletes("close", scope="country = 'DE'", max_fraction=1)
    full(lake, 1, {"id": 3, "name": "c", "country": "DE"}, deletes=german)
    assert history(lake) == [(1, "a", 0, 1), (2, "b", 0, None), (3, "c", 1, None)]


def test_a_full_feed_with_a_time_of_its_own_uses_it(lake: Any) -> None:
    options = {"effective_at": "updated_at"}
    full(lake, 10, {"id": 1, "name": "a", "updated_at": at(2)}, **options)
    full(lake, 20, {"id": 1, "name": "b", "updated_at": at(12)}, **options)
    assert history(lake) == [(1, "a", 2, 12), (1, "b", 12, None)]


def test_two_rows_of_one_member_in_a_full_feed_count_as_duplicates_and_do_not_toggle(lake: Any) -> None:
    commit = full(lake, 0, {"id": 1, "name": "a"}, {"id": 1, "name": "b"})
    assert commit.duplicates == 1
    assert not full(lake, 1, {"id": 1, "name": "b"}, {"id": 1, "name": "a"}).committed


def test_dry_run_counts_and_writes_nothing(lake: Any) -> None:
    put(lake, "a", event(1, 0, "a"))
    before = foreign(lake, DIM).metadata
    commit = put(lake, "b", event(1, 1, "b", city="Bonn"), event(2, 1, None, "delete"), dry_run=True)
    assert (commit.inserted, commit.updated, commit.committed) == (1, 1, False)
    assert foreign(lake, DIM).metadata == before
    assert lake.tables() == [DIM]


# Tables of other tools.


def test_a_table_that_another_tool_filled_is_taken_over_whole_with_the_first_merge(lake: Any) -> None:
    kind = pa.timestamp("us", "UTC")
    rows = {"id": [1, 1, 2], "name": ["a", "b", "c"], "valid_from": [at(0), at(3), at(1)], "valid_to": [at(3), None, None]}
    made_elsewhere(lake, DIM, pa.table({name: pa.array(values, kind if "valid" in name else None) for name, values in rows.items()}))
    put(lake, "a", event(1, 5, "B"), surrogate_key="person_key")
    assert history(lake, "is_current") == [(1, "a", 0, 3, False), (1, "b", 3, 5, False), (1, "B", 5, None, True), (2, "c", 1, None, True)]
    assert history(lake, "person_key")[-1][-1] == hash63([2], ["BIGINT"])
    assert put(lake, "b", event(2, 4, "c"), surrogate_key="person_key").inserted == 0


def test_a_validity_column_of_another_type_is_named_before_anything_is_written(lake: Any) -> None:
    made_elsewhere(lake, DIM, pa.table({"id": [1], "name": ["a"], "valid_from": ["2026-01-01"], "valid_to": pa.array([None], pa.string())}))
    with pytest.raises(SchemaError, match="valid_from"):
        put(lake, "a", event(1, 5, "B"))
    assert foreign(lake, DIM).schema().column_names == ["id", "name", "valid_from", "valid_to"]


def test_a_field_that_is_new_inside_of_a_tracked_list_of_structs_is_kept_and_tracked(lake: Any) -> None:
    put(lake, "a", event(1, 0, "a", homes=[{"city": "Bonn"}]))
    grown = event(1, 2, "a", homes=[{"city": "Bonn", "zip": "53"}])
    tried = put(lake, "b", grown, dry_run=True)
    assert figures(put(lake, "b", grown)) == figures(tried)
    assert history(lake, "homes") == [(1, "a", 0, 2, [{"city": "Bonn", "zip": None}]), (1, "a", 2, None, [{"city": "Bonn", "zip": "53"}])]
