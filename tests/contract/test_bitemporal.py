"""merge_scd2(bitemporal=True): nothing is overwritten, what the table holds is what it would hold otherwise, and it tells what it held before."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

import lakekit as lk
from lakekit.errors import ConfigError, ContractError
from tests.contract.helpers import expire_all_but_the_last, frame, living, made_elsewhere, snapshots
from tests.contract.test_scd2 import at, event, history

DIM = "gold.dim_people"
PLAIN = "gold.plain"
FIRST = datetime(2026, 6, 1, tzinfo=UTC)
TICK = timedelta(microseconds=1)


def clock(day: int) -> datetime:
    """The instants at which the table records: months after those of the events."""
    return FIRST + timedelta(days=day)


def put(lake: Any, day: int, *events: dict[str, Any], table: str = DIM, **options: Any) -> lk.Commit:
    options = {"bitemporal": True, "now": clock(day), "key": "id", "effective_at": "at", **options}
    return lk.merge_scd2(
        frame(lake, f"{day} {len(lk.history(lake, table)) if table in lake.tables() else 0}", *events), into=table, **options
    )


def days(rows: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    """(id, name, first day, last day, recorded from day, to day) of each row, special members left out."""

    def day(instant: datetime | None, since: datetime) -> int | None:
        return None if instant is None else (instant - since).days

    found = [
        (row["id"], row["name"], day(row["valid_from"], at(0)), day(row["valid_to"], at(0)),
         day(row["recorded_from"], FIRST), day(row["recorded_to"], FIRST)) for row in rows if row["id"] is not None
    ]  # fmt: skip
    return sorted(found, key=repr)


def recorded(lake: Any, table: str = DIM) -> list[tuple[Any, ...]]:
    return days(lk.read(lake, table).to_arrow().to_pylist())


def known(lake: Any, instant: datetime, table: str = DIM) -> list[tuple[Any, ...]]:
    return [row[:4] for row in days(lk.gold.known_at(lake, table, instant).to_arrow().to_pylist())]


def test_what_a_merge_changes_is_closed_and_the_new_row_stands_beside_it(lake: Any) -> None:
    tried = put(lake, 0, event(1, 0, "a"), event(2, 0, "x"), dry_run=True)
    assert (tried.inserted, tried.committed, lake.tables()) == (2, False, [])
    put(lake, 0, event(1, 0, "a"), event(2, 0, "x"))
    commit = put(lake, 1, event(1, 5, "b"))
    assert (commit.inserted, commit.updated, commit.removed, commit.recorded_at) == (1, 1, 0, clock(1))
    assert snapshots(lake, DIM) == 2
    assert recorded(lake) == [
        (1, "a", 0, 5, 1, None), (1, "a", 0, None, 0, 1), (1, "b", 5, None, 1, None), (2, "x", 0, None, 0, None),
    ]  # fmt: skip
    assert lk.history(lake, DIM)[0].recorded_at == clock(1)


def test_a_partitioned_table_and_positions_of_rows_that_are_gone_make_no_difference(lake: Any) -> None:
    properties = {"write.merge.mode": "merge-on-read", "write.update.mode": "merge-on-read"}
    schema = pa.schema([("id", pa.int64()), ("name", pa.string()), ("at", pa.timestamp("us", "UTC"))])
    lk.create_table(lake, DIM, schema=schema, partition_by="bucket(4, id)", properties=properties)
    members = range(1, 9)
    put(lake, 0, *(event(member, 0, "a") for member in members))
    put(lake, 1, *(event(member, 4, "b") for member in members if member % 2))
    put(lake, 2, *(event(member, 2, "late") for member in members))
    assert known(lake, clock(0)) == [(member, "a", 0, None) for member in members]
    assert [row for row in known(lake, clock(2)) if row[0] < 3] == [
        (1, "a", 0, 2), (1, "b", 4, None), (1, "late", 2, 4), (2, "a", 0, 2), (2, "late", 2, None),
    ]  # fmt: skip
    lk.verify_scd2(lake, DIM).require()


def test_a_late_event_a_correction_and_a_delete_leave_what_was_known_before(lake: Any) -> None:
    put(lake, 0, event(1, 0, "a"), event(1, 9, "c"))
    put(lake, 1, event(1, 4, "b"))  # late
    put(lake, 2, event(1, 9, "d"))  # another value of the same instant: the greater one holds
    put(lake, 3, event(1, 12, None, "delete"))
    assert known(lake, clock(0) - TICK) == []
    assert known(lake, clock(0)) == [(1, "a", 0, 9), (1, "c", 9, None)]
    assert known(lake, clock(1) - TICK) == known(lake, clock(0))
    assert known(lake, clock(1)) == [(1, "a", 0, 4), (1, "b", 4, 9), (1, "c", 9, None)]
    assert known(lake, clock(2)) == [(1, "a", 0, 4), (1, "b", 4, 9), (1, "d", 9, None)]
    assert known(lake, clock(3)) == known(lake, clock(99)) == [(1, "a", 0, 4), (1, "b", 4, 9), (1, "d", 9, 12)]
    lk.verify_scd2(lake, DIM).require()


def test_a_replay_records_nothing_and_makes_no_snapshot(lake: Any) -> None:
    events = [event(1, 0, "a"), event(1, 3, "b"), event(2, 1, "c"), event(2, 2, None, "delete")]
    put(lake, 0, *events)
    before = recorded(lake), snapshots(lake, DIM)
    commit = put(lake, 1, *events)
    assert (commit.committed, commit.recorded_at) == (False, None)
    assert (recorded(lake), snapshots(lake, DIM)) == before


def test_an_event_that_only_the_memory_needs_closes_no_row(lake: Any) -> None:
    put(lake, 0, event(1, 0, "a"), event(1, 4, "a"))
    before = recorded(lake)
    commit = put(lake, 1, event(1, 2, "a"))
    assert (commit.committed, commit.recorded_at) == (True, None)
    assert recorded(lake) == before
    put(lake, 2, event(1, 3, "b"))  # and yet it was remembered
    assert known(lake, clock(2)) == [(1, "a", 0, 3), (1, "a", 4, None), (1, "b", 3, 4)]
    closed = [row for row in lk.read(lake, DIM).to_arrow().to_pylist() if row["recorded_to"] is not None]
    assert len(closed) == 1
    assert not closed[0]["_absorbed"], "what is closed needs no memory"


def test_recorded_time_grows_when_the_clock_stands_and_when_it_goes_back(lake: Any) -> None:
    first = put(lake, 5, event(1, 0, "a"))
    standing = put(lake, 5, event(1, 1, "b"))
    back = put(lake, 0, event(1, 2, "c"))
    assert [first.recorded_at, standing.recorded_at, back.recorded_at] == [clock(5), clock(5) + TICK, clock(5) + 2 * TICK]
    expire_all_but_the_last(lake, DIM)
    lk.maintain(lake, DIM, older_than=timedelta(0))
    assert put(lake, 1, event(1, 3, "d")).recorded_at == clock(5) + 3 * TICK
    lk.verify_scd2(lake, DIM).require()


def test_recorded_time_grows_when_no_snapshot_says_it_any_more(lake: Any) -> None:
    put(lake, 5, event(1, 0, "a"))
    for number in range(5):
        put(lake, 6 + number, event(number, 1, "b"))
    commit = lk.maintain(lake, DIM, older_than=timedelta(0))  # the compaction is the only snapshot left
    assert commit.files
    expire_all_but_the_last(lake, DIM)
    assert put(lake, 0, event(1, 3, "d")).recorded_at == clock(10) + TICK


def test_a_version_keeps_its_surrogate_key_however_often_it_is_recorded(lake: Any) -> None:
    keyed: dict[str, Any] = {"surrogate_key": "person_key"}
    put(lake, 0, event(1, 2, "a"), event(1, 9, "c"), **keyed)
    put(lake, 1, event(1, 4, "b"), **keyed)
    put(lake, 2, event(1, 9, "d"), **keyed)
    rows = [row for row in lk.read(lake, DIM).to_arrow().to_pylist() if row["id"] is not None]
    assert len(rows) == 5
    keys = {row["valid_from"]: row["person_key"] for row in rows}
    assert len(set(keys.values())) == 3
    assert all(row["person_key"] == keys[row["valid_from"]] for row in rows), "corrected, or ended earlier: the version is the same"
    put(lake, 3, event(1, 0, "early"), **keyed)  # takes the first version's key over, as in any dimension
    now = {row["valid_from"]: row["person_key"] for row in lk.gold.known_at(lake, DIM, clock(3)).to_arrow().to_pylist() if row["id"]}
    assert now[at(0)] == keys[at(2)] != now[at(2)]
    assert {now[at(4)], now[at(9)]} == {keys[at(4)], keys[at(9)]}
    lk.verify_scd2(lake, DIM).require()


def test_the_numbers_of_a_sequence_are_never_used_again(lake: Any) -> None:
    options: dict[str, Any] = {"surrogate_key": "person_key", "surrogate_keys": "sequence", "deletes": lk.Deletes("hard")}
    put(lake, 0, event(1, 0, "a"), event(2, 0, "b"), **options)
    put(lake, 1, event(2, 1, None, "delete"), **options)
    assert known(lake, clock(1)) == [(1, "a", 0, None)]
    assert known(lake, clock(0)) == [(1, "a", 0, None), (2, "b", 0, None)]
    put(lake, 2, event(3, 0, "c"), **options)
    numbers = sorted(row["person_key"] for row in lk.read(lake, DIM).to_arrow().to_pylist())
    assert numbers == [-2, -1, 1, 2, 3]
    lk.verify_scd2(lake, DIM).require()


def test_facts_find_what_the_table_holds_now_and_follow_corrections(lake: Any) -> None:
    keyed: dict[str, Any] = {"surrogate_key": "person_key"}
    put(lake, 0, event(1, 0, "a"), event(1, 9, "c"), **keyed)
    facts = [{"fact": day, "id": person, "at": at(day)} for day, person in ((3, 1), (5, 1), (11, 1), (4, 2))]
    lk.merge(frame(lake, "facts", *facts), into="silver.facts", key="fact")

    def look_up(day: int) -> list[tuple[Any, ...]]:
        new = lk.read_new(lake, "silver.facts", into="gold.facts")
        taken = {"person_key": "person_key", "name": "name"}
        lk.merge(lk.lookup(new, DIM, on="id", at="at", take=taken, missing="infer", now=clock(day)), key="fact")
        return living(lake, "gold.facts", "fact", "name")

    assert look_up(1) == [(11, "c"), (3, "a"), (4, None), (5, "a")]
    assert known(lake, clock(1))[-1][:2] == (2, None), "inferred, and recorded when the facts were written"
    assert lk.history(lake, DIM)[0].recorded_at == clock(1)
    put(lake, 2, event(1, 4, "b"), event(1, 9, "d"), event(2, 1, "x"), **keyed)
    assert look_up(3) == [(11, "d"), (3, "a"), (4, "x"), (5, "b")]
    stored = {row["fact"]: row["person_key"] for row in lk.read(lake, "gold.facts").to_arrow().to_pylist()}
    held = {row["person_key"] for row in lk.gold.known_at(lake, DIM, clock(3)).to_arrow().to_pylist()}
    assert set(stored.values()) <= held
    assert lk.gold.current(lake, DIM).count() == 2
    lk.verify_scd2(lake, DIM).require()


def test_only_a_bitemporal_dimension_has_a_now_to_infer_at(lake: Any) -> None:
    put(lake, 0, event(1, 0, "a"), bitemporal=False, now=None, surrogate_key="person_key")
    with pytest.raises(ConfigError, match="bitemporal"):
        lk.lookup(frame(lake, "x", {"id": 1}), DIM, on="id", take="person_key", missing="infer", now=clock(0))


def test_whatever_reads_a_dimension_reads_it_as_it_is_known_now_or_was_known_then(lake: Any) -> None:
    put(lake, 0, event(1, 0, "a"), event(1, 35, "c"), track="name")
    put(lake, 1, event(1, 2, "b"), event(2, 0, "z"), track="name")
    dim, then = lk.gold.current(lake, DIM), {"known_at": clock(0)}
    assert sorted(dim.to_arrow().column("name").to_pylist()) == ["c", "z"]
    assert lk.gold.current(lake, DIM, **then).to_arrow().column("name").to_pylist() == ["c"]

    def previous(**asked: Any) -> list[Any]:
        return lk.gold.with_previous(lake, DIM, "name", **asked).to_arrow().sort_by("id").column("previous_name").to_pylist()

    assert (previous(), previous(**then)) == (["b", None], ["a"])
    assert lk.gold.with_current(lake, DIM, "name").count() == 4
    assert lk.gold.with_current(lake, DIM, "name", **then).to_arrow().column("current_name").to_pylist() == ["c", "c"]
    assert [words for _, _, words in lk.timeline(lake, DIM, 1).changes()] == ["name: a", "name: a → b", "name: b → c"]
    assert [words for _, _, words in lk.timeline(lake, DIM, 1, **then).changes()] == ["name: a", "name: a → c"]

    def balances(**asked: Any) -> list[tuple[Any, ...]]:
        months = lk.gold.periodic_snapshot(lake, DIM, every="month", first=date(2026, 1, 1), last=date(2026, 2, 1), **asked)
        assert "recorded_from" not in months.columns
        return sorted((row["period"].month, row["id"], row["name"]) for row in months.to_arrow().to_pylist())

    assert balances() == [(1, 1, "b"), (1, 2, "z"), (2, 1, "c"), (2, 2, "z")]
    assert balances(**then) == [(1, 1, "a"), (2, 1, "c")]


def test_a_rebuild_of_members_keeps_what_was_said_before(lake: Any) -> None:
    put(lake, 0, event(1, 0, "a"), event(1, 2, "wrong"), event(2, 0, "b"))
    lk.append(frame(lake, "log", event(1, 0, "a"), event(1, 3, "right")), into="bronze.people")
    options: dict[str, Any] = {"into": DIM, "key": "id", "effective_at": "at", "bitemporal": True, "rebuild": True}
    tried = lk.merge_scd2(lk.read(lake, "bronze.people"), **options, now=clock(1), dry_run=True)
    done = lk.merge_scd2(lk.read(lake, "bronze.people"), **options, now=clock(1))
    assert [(c.inserted, c.updated, c.removed) for c in (tried, done)] == [(1, 2, 0)] * 2
    assert known(lake, clock(0)) == [(1, "a", 0, 2), (1, "wrong", 2, None), (2, "b", 0, None)]
    assert known(lake, clock(1)) == [(1, "a", 0, 3), (1, "right", 3, None), (2, "b", 0, None)]
    assert not lk.merge_scd2(lk.read(lake, "bronze.people"), **options, now=clock(2)).committed


def test_members_die_and_live_again_whatever_deletes_do(lake: Any) -> None:
    expected: dict[str, list[tuple[Any, ...]]] = {
        "close": [(1, "a", 0, 2), (1, "b", 4, None)],
        "new_record": [(1, "a", 0, 2), (1, "a", 2, 4), (1, "b", 4, None)],
        "hard": [(1, "b", 4, None)],
        "ignore": [(1, "a", 0, 4), (1, "b", 4, None)],
    }
    for mode, versions in expected.items():
        table, options = f"gold.{mode}", {"deletes": lk.Deletes(mode)}  # type: ignore[arg-type]
        put(lake, 0, event(1, 0, "a"), table=table, **options)
        put(lake, 1, event(1, 2, None, "delete"), table=table, **options)
        put(lake, 2, event(1, 4, "b"), table=table, **options)
        put(lake, 3, event(1, 2, None, "delete"), table=table, **options)
        assert known(lake, clock(0), table) == [(1, "a", 0, None)], mode
        assert known(lake, clock(3), table) == versions, mode
        lk.verify_scd2(lake, table).require()


def test_a_full_feed_is_compared_with_what_the_table_holds_now(lake: Any) -> None:
    def full(day: int, *members: dict[str, Any]) -> lk.Commit:
        options: dict[str, Any] = {"feed": "full", "observed_at": at(day), "deletes": lk.Deletes("close", max_fraction=1)}
        return lk.merge_scd2(frame(lake, f"{day}", *members), into=DIM, key="id", bitemporal=True, now=clock(day), **options)

    full(0, {"id": 1, "name": "a"}, {"id": 2, "name": "b"})
    assert not full(1, {"id": 1, "name": "a"}, {"id": 2, "name": "b"}).committed
    full(2, {"id": 1, "name": "A"})
    full(3, {"id": 1, "name": "A"}, {"id": 2, "name": "b"})
    assert known(lake, clock(2)) == [(1, "A", 2, None), (1, "a", 0, 2), (2, "b", 0, 2)]
    assert known(lake, clock(3))[-2:] == [(2, "b", 0, 2), (2, "b", 3, None)]


def test_what_is_forgotten_for_lateness_changes_nothing_that_was_recorded(lake: Any) -> None:
    put(lake, 0, *(event(1, day, "a") for day in range(6)), event(2, 3, None, "delete"), event(1, 9, "b"))
    before = recorded(lake)
    assert lk.maintain(lake, DIM, older_than=timedelta(days=1), lateness=timedelta(days=3), now=at(10)).deleted == 5
    assert recorded(lake) == before
    late = put(lake, 1, event(1, 3, "x"), event(1, 4, "a"), event(1, 7, "late"))
    assert (late.rejected, late.unchanged, late.late) == (1, 1, 1)
    assert known(lake, clock(1)) == [(1, "a", 0, 7), (1, "b", 9, None), (1, "late", 7, 9)]


def test_a_new_column_is_null_in_what_was_recorded_before(lake: Any) -> None:
    put(lake, 0, event(1, 0, "a"))
    put(lake, 1, event(1, 2, "a", city="Bonn"))
    rows = {row["recorded_from"]: row["city"] for row in lk.read(lake, DIM).to_arrow().to_pylist()}
    assert rows == {clock(0): None, clock(1): "Bonn"}


def test_the_open_end_may_be_a_literal_in_recorded_time_too(lake: Any) -> None:
    options: dict[str, Any] = {"open_until": "9999-12-31", "recorded_columns": ("known_from", "known_to"), "surrogate_key": "person_key"}
    put(lake, 0, event(1, 0, "a"), **options)
    put(lake, 1, event(1, 5, "b"), **options)
    end = datetime(9999, 12, 31, tzinfo=UTC)
    rows = lk.read(lake, DIM).to_arrow().to_pylist()
    found = sorted((row["name"], row["valid_to"], row["known_from"], row["known_to"]) for row in rows if row["id"] is not None)
    assert found == [("a", at(5), clock(1), end), ("a", end, clock(0), clock(1)), ("b", end, clock(1), end)]
    assert lk.gold.current(lake, DIM).to_arrow().column("name").to_pylist() == ["b"]
    assert lk.gold.known_at(lake, DIM, clock(0)).count() == 3
    assert put(lake, 0, event(1, 6, "c"), **options).recorded_at == clock(1) + TICK
    lk.verify_scd2(lake, DIM).require()


def test_numbers_as_instants_leave_the_end_of_recorded_time_null(lake: Any) -> None:
    for day, name in ((0, "a"), (1, "b")):
        batch = frame(lake, f"{day}", {"id": 1, "name": name, "seq": day})
        options: dict[str, Any] = {"open_until": "999999", "bitemporal": True, "now": clock(day)}
        lk.merge_scd2(batch, into=DIM, key="id", effective_at="seq", **options)
    rows = lk.read(lake, DIM).to_arrow().to_pylist()
    assert sorted((row["name"], row["valid_to"], row["recorded_to"] is None) for row in rows) == [
        ("a", 1, True), ("a", 999999, False), ("b", 999999, True),
    ]  # fmt: skip


def test_one_kind_of_table_is_not_written_as_the_other(lake: Any) -> None:
    put(lake, 0, event(1, 0, "a"))
    with pytest.raises(ConfigError, match="bitemporal=True"):
        put(lake, 1, event(1, 1, "b"), bitemporal=False, now=None)
    with pytest.raises(ConfigError, match="recorded_from"):
        put(lake, 1, event(1, 1, "b"), recorded_columns=("known_from", "known_to"))
    put(lake, 0, event(1, 0, "a"), table=PLAIN, bitemporal=False, now=None)
    before = snapshots(lake, PLAIN)
    with pytest.raises(ConfigError, match="into=<another table>"):
        put(lake, 1, event(1, 1, "b"), table=PLAIN)
    with pytest.raises(ConfigError, match="held before"):
        lk.gold.known_at(lake, PLAIN, clock(0))
    assert snapshots(lake, PLAIN) == before
    assert history(lake) == [(1, "a", 0, None)]
    kind = pa.timestamp("us", "UTC")
    rows = pa.table({"id": [1], "valid_from": pa.array([at(0)], kind), "valid_to": pa.array([None], kind)})
    made_elsewhere(lake, "gold.elsewhere", rows)
    with pytest.raises(ConfigError, match="since when"):
        put(lake, 1, event(1, 1, "b"), table="gold.elsewhere")
    made_elsewhere(lake, "gold.empty", rows.slice(0, 0))
    put(lake, 1, event(1, 1, "b"), table="gold.empty")
    assert known(lake, clock(1), "gold.empty") == [(1, "b", 1, None)]


def test_arguments_about_recorded_time_need_a_table_that_keeps_it(lake: Any) -> None:
    with pytest.raises(ConfigError, match="now"):
        put(lake, 0, event(1, 0, "a"), bitemporal=False)
    with pytest.raises(ConfigError, match="recorded_columns"):
        put(lake, 0, event(1, 0, "a"), bitemporal=False, now=None, recorded_columns=("a", "b"))
    with pytest.raises(ConfigError, match="time zone"):
        put(lake, 0, event(1, 0, "a"), now=datetime(2026, 1, 1))  # noqa: DTZ001 -- that is what is refused
    with pytest.raises(ConfigError, match="recorded_to"):
        put(lake, 0, event(1, 0, "a", recorded_to=1))
    put(lake, 0, event(1, 0, "a"))
    with pytest.raises(ConfigError, match="time zone"):
        lk.gold.known_at(lake, DIM, datetime(2026, 1, 1))  # noqa: DTZ001 -- see above


def test_consumers_are_told_of_closed_rows_and_of_new_ones(lake: Any) -> None:
    def copy() -> list[tuple[Any, ...]]:
        batch = lk.read_new(lake, DIM, into="gold.copy")
        lk.merge(lk.select(batch, {}, rest="keep"), key=("id", "valid_from", "recorded_from"))
        return recorded(lake, "gold.copy")

    put(lake, 0, event(1, 0, "a"), event(1, 9, "c"))
    assert copy() == recorded(lake)
    put(lake, 1, event(1, 4, "b"), event(1, 9, "d"))
    put(lake, 2, event(1, 4, None, "delete"), deletes=lk.Deletes("close"))
    assert copy() == recorded(lake)


def test_checks_of_an_audit_see_what_the_table_holds_now(lake: Any) -> None:
    def audited(day: int, *events: dict[str, Any]) -> None:
        batch = lk.audit(frame(lake, f"{day}", *events), {"once": lk.checks.unique("id", "valid_from"), "named": "name <> 'x'"})
        lk.merge_scd2(batch, into=DIM, key="id", effective_at="at", bitemporal=True, now=clock(day))

    audited(0, event(1, 0, "a"))
    audited(1, event(1, 4, "b"))
    with pytest.raises(ContractError, match="named"):
        audited(2, event(1, 5, "x"))
    assert known(lake, clock(2)) == [(1, "a", 0, 4), (1, "b", 4, None)]


def test_who_is_forgotten_leaves_what_was_recorded_too_and_does_not_come_back(lake: Any) -> None:
    keyed: dict[str, Any] = {"surrogate_key": "person_key"}
    put(lake, 0, event(1, 0, "a"), event(2, 0, "b"), **keyed)
    put(lake, 1, event(1, 3, "c"), **keyed)
    lk.forget(lake, {DIM: {"id": 1}})
    assert recorded(lake) == [(2, "b", 0, None, 0, None)]
    assert put(lake, 2, event(1, 5, "d"), event(2, 5, "e"), **keyed).inserted == 1
    assert {row[0] for row in recorded(lake)} == {2}
    lk.verify_scd2(lake, DIM).require()


def test_verify_finds_rows_that_were_held_side_by_side(lake: Any) -> None:
    put(lake, 0, event(1, 0, "a"))
    put(lake, 1, event(1, 5, "b"))
    rows = lk.read(lake, DIM).to_arrow()
    wrong = rows.filter(pa.compute.is_valid(rows["recorded_to"]))
    from tests.contract.helpers import foreign

    later = wrong.set_column(wrong.column_names.index("recorded_to"), "recorded_to", pa.array([clock(2)], pa.timestamp("us", "UTC")))
    foreign(lake, DIM).append(later.cast(foreign(lake, DIM).schema().as_arrow()))
    assert "twice" in str(lk.verify_scd2(lake, DIM))
    assert "overlap" in str(lk.verify_scd2(lake, DIM))
