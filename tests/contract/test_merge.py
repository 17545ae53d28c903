"""merge: a table kept by key, whatever comes, in whatever order."""

from __future__ import annotations

import re
import threading
from typing import Any

import pyarrow as pa
import pytest

import lakekit as lk
from lakekit.errors import ConfigError, ContractError, SchemaError
from tests.contract.helpers import altered, expire_all_but_the_last, foreign, frame, living, rewrite, snapshots, stored

TABLE = "silver.people"


def put(lake: Any, run: str, *rows: dict[str, Any], **options: Any) -> lk.Commit:
    options = {"key": "id", "order_by": "at", **options}
    return lk.merge(frame(lake, run, *rows), into=TABLE, **options)


def person(number: int | None, name: str | None, at: int, **more: Any) -> dict[str, Any]:
    return {"id": number, "name": name, "at": at, **more}


def gone(number: int, at: int) -> dict[str, Any]:
    return {"id": number, "name": None, "at": at, "_operation": "delete"}


def test_each_row_is_counted_as_what_became_of_it(lake: Any) -> None:
    put(lake, "a", person(1, "Ada", 5), person(2, "Bo", 5), person(3, "Cy", 5), person(4, "Di", 5))
    commit = put(
        lake,
        "b",
        {**person(1, "Ada L.", 6), "_operation": "upsert"},
        {**person(2, "Bo", 5), "_operation": "upsert"},
        {**person(3, "old", 4), "_operation": "upsert"},
        gone(4, 6),
        {**person(5, "Ed", 1), "_operation": "upsert"},
        {**person(5, "Eddie", 2), "_operation": "upsert"},
        {"id": None, "name": "nobody", "at": 9, "_operation": "upsert"},
    )
    counted = (
        commit.read,
        commit.inserted,
        commit.updated,
        commit.deleted,
        commit.unchanged,
        commit.late,
        commit.duplicates,
        commit.rejected,
    )
    assert counted == (7, 1, 1, 1, 1, 1, 1, 1)
    assert living(lake, TABLE, "id", "name") == [(1, "Ada L."), (2, "Bo"), (3, "Cy"), (5, "Eddie")]


def test_the_figures_stand_in_the_snapshot_too(lake: Any) -> None:
    put(lake, "a", person(1, "Ada", 5))
    put(lake, "b", person(1, "Ada L.", 6), person(2, "Bo", 1))
    latest = lk.history(lake, TABLE)[0]
    assert (latest.inserted, latest.updated) == (1, 1)


def test_a_repeated_run_changes_nothing_and_makes_no_snapshot(lake: Any) -> None:
    put(lake, "a", person(1, "Ada", 5))
    assert put(lake, "a", person(1, "Ada", 5)).committed is False
    again = put(lake, "another run", person(1, "Ada", 5))
    assert (again.unchanged, again.committed) == (1, False)
    assert snapshots(lake, TABLE) == 1


def test_a_plain_read_can_be_merged_again_and_again(lake: Any) -> None:
    lk.append(frame(lake, "a", {"id": 1, "at": 1}), into="bronze.people")
    first = lk.merge(lk.read(lake, "bronze.people"), into=TABLE, key="id")
    again = lk.merge(lk.read(lake, "bronze.people"), into=TABLE, key="id")
    assert (first.inserted, again.unchanged, again.committed) == (1, 1, False)


def test_a_late_row_does_not_win(lake: Any) -> None:
    put(lake, "a", person(1, "new", 5))
    commit = put(lake, "b", person(1, "old", 4))
    assert (commit.late, commit.updated, commit.committed) == (1, 0, False)
    assert living(lake, TABLE, "name", "at") == [("new", 5)]


def test_a_row_that_changed_upstream_at_the_instant_it_had_is_not_late(lake: Any) -> None:
    def one(run: str, version: int) -> None:
        people = [{**person(number, f"{run}{number}", 1), "version": version} for number in range(16)]
        lk.merge(frame(lake, run, *people), into="silver.one", key="id", order_by="version")

    def two() -> lk.Commit:
        return lk.merge(lk.read_new(lake, "silver.one", into="silver.two"), key="id", order_by="at")

    for version, run in enumerate("abc"):
        one(run, version)
        two()
    assert sorted(living(lake, "silver.two", "id", "name")) == [(number, f"c{number}") for number in range(16)]


def test_a_null_order_is_the_earliest(lake: Any) -> None:
    put(lake, "a", person(1, "dated", 5))
    assert put(lake, "b", {"id": 1, "name": "undated", "at": None}, person(2, "other", 1)).late == 1
    assert living(lake, TABLE, "name") == [("dated",), ("other",)]


def test_null_and_a_value_are_told_apart_and_null_equals_null(lake: Any) -> None:
    put(lake, "a", person(1, None, 1), person(2, "Bo", 1))
    commit = put(lake, "b", person(1, None, 1), person(2, None, 2))
    assert (commit.unchanged, commit.updated) == (1, 1)
    assert living(lake, TABLE, "id", "name") == [(1, None), (2, None)]


def test_a_soft_delete_keeps_the_row_and_marks_it(lake: Any) -> None:
    put(lake, "a", person(1, "Ada", 1))
    assert put(lake, "b", gone(1, 2)).deleted == 1
    assert living(lake, TABLE, "id") == []
    [(number, deleted_at)] = stored(lake, TABLE, "id", "_deleted_at")
    assert number == 1
    assert deleted_at is not None


def test_a_delete_that_says_nothing_but_the_key_keeps_what_the_row_said(lake: Any) -> None:
    put(lake, "a", person(1, "Ada", 1), person(2, "Bo", 1))
    assert put(lake, "b", gone(1, 2), {**person(2, "Bo at last", 2), "_operation": "delete"}).deleted == 2
    assert stored(lake, TABLE, "id", "name", "at") == [(1, "Ada", 2), (2, "Bo at last", 2)]
    assert put(lake, "c", gone(1, 2), gone(2, 2)).unchanged == 2


def test_a_soft_deleted_row_lives_again_with_a_later_upsert_but_not_with_an_earlier_one(lake: Any) -> None:
    put(lake, "a", person(1, "Ada", 1))
    put(lake, "b", gone(1, 5))
    assert put(lake, "c", person(1, "late", 4)).late == 1
    assert living(lake, TABLE, "id") == []
    put(lake, "d", person(1, "again", 6))
    assert living(lake, TABLE, "id", "name") == [(1, "again")]


def test_a_delete_of_an_unknown_key_keeps_an_earlier_upsert_dead(lake: Any) -> None:
    assert put(lake, "a", gone(1, 5)).deleted == 1
    assert put(lake, "b", person(1, "late", 4)).late == 1
    assert living(lake, TABLE, "id") == []


def test_at_one_instant_the_delete_is_after_the_upsert(lake: Any) -> None:
    put(lake, "a", {**person(1, "Ada", 3), "_operation": "upsert"}, gone(1, 3))
    assert living(lake, TABLE, "id") == []
    assert put(lake, "b", person(1, "Ada", 3)).late == 1


def test_a_hard_delete_removes_the_row_and_a_late_upsert_stays_dead(lake: Any) -> None:
    hard = lk.Deletes("hard")
    put(lake, "a", person(1, "Ada", 1), person(2, "Bo", 1), deletes=hard)
    commit = put(lake, "b", gone(1, 5), deletes=hard)
    assert (commit.deleted, commit.removed) == (1, 1)
    assert stored(lake, TABLE, "id") == [(2,)]
    assert put(lake, "c", person(1, "late", 4), deletes=hard).late == 1
    assert stored(lake, TABLE, "id") == [(2,)]
    assert put(lake, "d", person(1, "again", 6), deletes=hard).inserted == 1
    assert stored(lake, TABLE, "id", "name") == [(1, "again"), (2, "Bo")]


def test_a_hard_delete_written_twice_is_one(lake: Any) -> None:
    hard = lk.Deletes("hard")
    put(lake, "a", person(1, "Ada", 1), deletes=hard)
    put(lake, "b", gone(1, 5), deletes=hard)
    again = put(lake, "c", gone(1, 5), gone(2, 5), deletes=hard)
    assert (again.deleted, again.removed, again.unchanged) == (1, 0, 1)
    assert stored(lake, TABLE, "id") == []
    assert stored(lake, "silver.people__deleted", "id") == [(1,), (2,)]


def test_deletes_that_are_ignored_change_nothing(lake: Any) -> None:
    put(lake, "a", person(1, "Ada", 1))
    commit = put(lake, "b", gone(1, 5), deletes=lk.Deletes("ignore"))
    assert (commit.deleted, commit.committed) == (0, False)
    assert living(lake, TABLE, "name") == [("Ada",)]


def test_delete_when_says_what_a_delete_is(lake: Any) -> None:
    put(lake, "a", person(1, "Ada", 1), person(2, "Bo", 1))
    assert put(lake, "b", person(1, "GONE", 2), delete_when="name = 'GONE'").deleted == 1
    assert living(lake, TABLE, "id") == [(2,)]


def test_a_column_the_batch_lacks_is_kept_in_old_rows_and_null_in_new_ones(lake: Any) -> None:
    put(lake, "a", person(1, "Ada", 1, city="London"))
    put(lake, "b", person(1, "Ada L.", 2), person(2, "Bo", 2))
    assert living(lake, TABLE, "id", "name", "city") == [(1, "Ada L.", "London"), (2, "Bo", None)]


def test_a_new_column_is_added(lake: Any) -> None:
    put(lake, "a", person(1, "Ada", 1), person(2, "Bo", 1))
    commit = put(lake, "b", person(1, "Ada", 2, city="London"))
    assert commit.columns_added == ("city",)
    assert living(lake, TABLE, "id", "city") == [(1, "London"), (2, None)]


def test_a_new_column_under_fail_is_refused_with_the_statement_to_run(lake: Any) -> None:
    put(lake, "a", person(1, "Ada", 1))
    with pytest.raises(SchemaError, match=re.escape(altered(lake, TABLE) + " ADD COLUMN")) as caught:
        put(lake, "b", person(2, "Bo", 1, city="Rome"), on_change="fail")
    assert "city" in str(caught.value)
    assert "Rome" not in str(caught.value)
    assert stored(lake, TABLE, "id") == [(1,)]
    assert "city" not in lk.read(lake, TABLE).columns


def test_a_table_made_by_hand_gets_lakekits_own_columns_under_fail_too(lake: Any) -> None:
    lk.create_table(lake, TABLE, schema={"id": "bigint", "name": "string", "at": "bigint"})
    with pytest.raises(SchemaError) as caught:
        put(lake, "a", person(1, "Ada", 1, city="Rome"), on_change="fail")
    assert caught.value.hint == f"run:\n{altered(lake, TABLE)} ADD COLUMN city STRING;"
    put(lake, "a", person(1, "Ada", 1), on_change="fail")
    assert living(lake, TABLE, "id", "name") == [(1, "Ada")]


def test_a_column_of_another_type_is_refused_before_anything_is_written(lake: Any) -> None:
    put(lake, "a", person(1, "Ada", 1))
    with pytest.raises(SchemaError, match=r"silver\.people\.at"):
        put(lake, "b", {"id": 2, "name": "Bo", "at": "noon"}, on_change={"conflict": "fail"})
    assert stored(lake, TABLE, "id") == [(1,)]


def test_too_many_rejects_refuse_the_whole_batch(lake: Any) -> None:
    with pytest.raises(ContractError, match=r"at most 10\.0%"):
        put(lake, "a", person(None, "nobody", 1), person(1, "Ada", 1), max_reject_fraction=0.1)
    assert TABLE not in lake.tables()


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_composite_keys_do_not_run_into_each_other(lake: Any, order: tuple[int, ...]) -> None:
    rows = [{"a": "a", "b": "bc", "v": 1}, {"a": "ab", "b": "c", "v": 2}]
    for index in order:
        lk.merge(frame(lake, str(index), rows[index]), key=("a", "b"), into=TABLE, order_by="v")
    assert living(lake, TABLE, "a", "b", "v") == [("a", "bc", 1), ("ab", "c", 2)]


def test_a_composite_key_with_one_null_is_rejected(lake: Any) -> None:
    commit = lk.merge(
        frame(lake, "a", {"a": "x", "b": None, "v": 1}, {"a": "x", "b": "y", "v": 1}), key=("a", "b"), into=TABLE, order_by="v"
    )
    assert (commit.inserted, commit.rejected) == (1, 1)


def test_an_empty_text_is_a_key_and_differs_in_case(lake: Any) -> None:
    commit = lk.merge(frame(lake, "a", {"k": "", "v": 1}, {"k": "a", "v": 1}, {"k": "A", "v": 1}), key="k", into=TABLE, order_by="v")
    assert (commit.inserted, commit.rejected) == (3, 0)


def test_another_key_than_the_table_is_kept_by_is_refused(lake: Any) -> None:
    put(lake, "a", person(1, "Ada", 1))
    with pytest.raises(ConfigError, match="the table's key is id"):
        put(lake, "b", person(1, "Ada", 1), key="name")


def test_a_table_with_doubles_of_one_key_is_refused(lake: Any) -> None:
    put(lake, "a", person(1, "Ada", 1))
    table = foreign(lake, TABLE)
    table.append(table.scan().to_arrow())
    with pytest.raises(ContractError, match="several rows of one key"):
        put(lake, "b", person(1, "Ada L.", 2))


def test_a_stale_batch_merged_after_another_run_is_a_no_op(lake: Any) -> None:
    lk.append(frame(lake, "a", person(1, "Ada", 1)), into="bronze.people")
    stale = lk.read_new(lake, "bronze.people", into=TABLE)
    lk.merge(lk.read_new(lake, "bronze.people", into=TABLE), key="id", order_by="at")
    assert lk.merge(stale, key="id", order_by="at").committed is False
    assert snapshots(lake, TABLE) == 1


def test_threads_that_merge_different_keys_at_once_lose_nothing(lake: Any) -> None:
    put(lake, "first", person(0, "zero", 1))
    barrier = threading.Barrier(4)
    failures: list[BaseException] = []

    def run(number: int) -> None:
        barrier.wait()
        try:
            put(lake, f"run {number}", person(0, f"by {number}", number), person(number, f"n{number}", 1))
        except BaseException as error:  # noqa: BLE001 -- shown by the assertion
            failures.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(2, 6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert living(lake, TABLE, "id", "name") == [(0, "by 5"), (2, "n2"), (3, "n3"), (4, "n4"), (5, "n5")]


def test_two_threads_that_merge_the_same_new_keys_at_once_never_double_one(lake: Any) -> None:
    barrier = threading.Barrier(2)
    failures: list[BaseException] = []
    turns = 4

    def run(racer: int) -> None:
        try:
            for turn in range(turns):
                rows = [{**person(number, f"by {racer}", turn), f"new_{turn // 2}": turn} for number in range(3 * (turn + 1))]
                barrier.wait()  # the first turn makes the namespace and the table, each second one a column
                put(lake, f"racer {racer}, turn {turn}", *rows)
        except BaseException as error:  # noqa: BLE001 -- shown by the assertion
            failures.append(error)
            barrier.abort()

    threads = [threading.Thread(target=run, args=(racer,)) for racer in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert sorted(stored(lake, TABLE, "id", "at")) == [(number, turns - 1) for number in range(3 * turns)]


def test_a_merge_goes_on_after_a_foreign_rewrite_and_expired_snapshots(lake: Any) -> None:
    put(lake, "a", person(1, "Ada", 1), person(2, "Bo", 1))
    rewrite(lake, TABLE)
    expire_all_but_the_last(lake, TABLE)
    assert put(lake, "a", person(1, "Ada", 9)).committed is False
    commit = put(lake, "b", person(1, "Ada", 1), person(2, "Bob", 2))
    assert (commit.unchanged, commit.updated) == (1, 1)
    assert living(lake, TABLE, "id", "name") == [(1, "Ada"), (2, "Bob")]


def test_a_dry_run_counts_and_writes_nothing(lake: Any) -> None:
    put(lake, "a", person(1, "Ada", 1))
    commit = put(lake, "b", person(1, "Ada L.", 2, city="London"), person(2, "Bo", 1), dry_run=True)
    assert (commit.inserted, commit.updated, commit.committed) == (1, 1, False)
    assert snapshots(lake, TABLE) == 1
    assert "city" not in lk.read(lake, TABLE).columns


def test_pyiceberg_alone_reads_the_same_rows(lake: Any) -> None:
    put(lake, "a", person(1, "Ada", 1), person(2, "Bo", 1))
    put(lake, "b", person(1, "Ada L.", 2), gone(2, 2))
    own = sorted(lk.read(lake, TABLE, deleted=True).to_arrow().to_pylist(), key=lambda row: row["id"])
    table = foreign(lake, TABLE)
    assert table.format_version == 2
    assert sorted(table.scan().to_arrow().to_pylist(), key=lambda row: row["id"]) == own


def with_map(number: int, *entries: tuple[str, int | None], at: int) -> pa.Table:
    kind = pa.map_(pa.string(), pa.int64())
    fields = {"id": pa.int64(), "tags": kind, "deep": pa.list_(pa.struct([("of", kind)])), "at": pa.int64()}
    row = {"id": number, "tags": list(entries), "deep": [{"of": list(entries)}], "at": at}
    return pa.Table.from_pylist([row], schema=pa.schema(list(fields.items())))


def test_maps_are_compared_by_their_entries_whatever_the_order(lake: Any) -> None:
    def put(run: str, given: pa.Table) -> lk.Commit:
        return lk.merge(lk.from_frame(lake, given, run_id=run), key="id", order_by="at", into="silver.t")

    put("a", with_map(1, ("a", 1), ("b", None), at=1))
    assert put("b", with_map(1, ("b", None), ("a", 1), at=2)).updated == 1, "the instant changed"
    assert put("c", with_map(1, ("a", 1), ("b", None), at=2)).unchanged == 1
    assert put("d", with_map(1, ("a", 1), ("b", 2), at=3)).updated == 1
    (row,) = lk.read(lake, "silver.t").to_arrow().to_pylist()
    assert (dict(row["tags"]), dict(row["deep"][0]["of"])) == ({"a": 1, "b": 2}, {"a": 1, "b": 2})
