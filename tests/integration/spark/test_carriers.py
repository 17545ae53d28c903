"""The two carriers of the bookmark on Spark: the guarded append, and the MERGE with properties or with a pending note."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from tests.integration.spark.table import Gate, Table, expire_all_but_the_head, refusals, snapshot_properties

if TYPE_CHECKING:
    from pyiceberg.catalog.sql import SqlCatalog
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.slow  # what Spark and Iceberg do: it changes with their releases, not with ours

NewTable = Callable[..., Table]
MERGE_MODES = pytest.mark.parametrize("mode", ["copy-on-write", "merge-on-read"])
CONFLICT = "ValidationException.* Found conflicting files"


def merged(new_table: NewTable, mode: str, isolation: str = "serializable") -> Table:
    """An empty table that MERGE writes in this mode."""
    return new_table(**{"write.merge.mode": mode, "write.merge.isolation-level": isolation})


# Appending


def test_two_plain_appends_of_one_increment_both_commit(table: Table) -> None:
    table.plain_append(7)
    table.plain_append(7)
    assert table.keys() == [0, 0, 1, 1]


def test_a_guarded_append_refuses_the_same_increment_from_the_same_base(table: Table) -> None:
    table.guarded_append(1, None, frame=table.frame(1, keys=(100,)))
    base = table.head()
    table.guarded_append(7, base)
    with pytest.raises(refusals(), match=CONFLICT):
        table.guarded_append(7, base)
    assert table.keys() == [0, 1, 100]


def test_a_guarded_append_accepts_another_increment_from_the_same_stale_base(table: Table) -> None:
    table.guarded_append(1, None, frame=table.frame(1, keys=(100,)))
    base = table.head()
    table.guarded_append(7, base)
    table.guarded_append(8, base, frame=table.frame(8, keys=(2, 3)))
    assert table.keys() == [0, 1, 2, 3, 100]


def test_the_rows_and_the_bookmark_of_a_guarded_append_come_in_one_snapshot(table: Table) -> None:
    table.guarded_append(7, table.head())
    (only,) = table.snapshots()
    summary = dict(only.summary)
    assert only.operation == "overwrite"
    assert summary["added-records"] == "2"
    assert summary["lakekit.write_id"] == "7"
    assert json.loads(summary["lakekit.bookmark"]) == {"orders": 7}


def test_of_two_first_appends_racing_into_an_empty_table_one_is_refused(table: Table, other_spark: SparkSession, gate: Gate) -> None:
    assert table.head() is None
    late, quick = table, table.seen_by(other_spark)
    outcome = gate.race(
        lambda: late.guarded_append(7, None, frame=gate.hold(late.frame(7))),
        lambda: quick.guarded_append(7, None),
    )
    with pytest.raises(refusals(), match=CONFLICT):
        outcome.result()
    assert table.keys() == [0, 1]


def test_a_guard_without_a_base_looks_through_the_whole_history(table: Table) -> None:
    table.guarded_append(7, None)
    table.guarded_append(8, None, frame=table.frame(8, keys=(2, 3)))
    with pytest.raises(refusals(), match=CONFLICT):
        table.guarded_append(7, None)


def test_a_guarded_append_whose_base_already_holds_the_increment_replaces_it(table: Table) -> None:
    table.guarded_append(7, None)
    table.guarded_append(7, table.head())
    assert table.keys() == [0, 1]


def test_a_guarded_append_whose_base_has_expired_is_refused(table: Table, pyiceberg_catalog: SqlCatalog) -> None:
    table.guarded_append(1, None)
    base = table.head()
    table.guarded_append(2, base)
    table.guarded_append(3, base)
    expire_all_but_the_head(pyiceberg_catalog, table)
    with pytest.raises(refusals(), match="Cannot determine history"):
        table.guarded_append(4, base)


def test_without_a_base_the_guard_notices_that_spark_expired_a_part_of_the_history(table: Table) -> None:
    table.guarded_append(1, None)
    table.guarded_append(2, None, frame=table.frame(2, keys=(2, 3)))
    table.call("expire_snapshots", "older_than => TIMESTAMP '2999-01-01'", "retain_last => 1")
    with pytest.raises(refusals(), match="Cannot determine history"):
        table.guarded_append(1, None)


def test_without_a_base_the_guard_does_not_notice_that_pyiceberg_did_but_the_overwrite_still_replaces(
    table: Table, pyiceberg_catalog: SqlCatalog
) -> None:
    # pyiceberg takes the parent away from a snapshot whose parent it expires: what is left looks like the whole history.
    table.guarded_append(1, None)
    table.guarded_append(2, None, frame=table.frame(2, keys=(2, 3)))
    expire_all_but_the_head(pyiceberg_catalog, table)
    (only,) = table.snapshots()
    assert only.parent_id is None
    table.guarded_append(1, None)
    assert table.summary()["deleted-records"] == "2"
    assert table.keys() == [0, 1, 2, 3]


def test_a_compacted_file_makes_the_guard_refuse_every_write_id_within_its_range(table: Table) -> None:
    table.guarded_append(10, None)
    table.guarded_append(1000, table.head())
    table.compact()
    with pytest.raises(refusals(), match="some, but not all, rows match filter"):
        table.guarded_append(500, table.head())
    table.guarded_append(2000, table.head())


def test_a_file_without_statistics_of_the_write_id_makes_the_guard_refuse_everything(new_table: NewTable) -> None:
    # As in a table of more than 100 columns, or one that got the column after its files.
    table = new_table(**{"write.metadata.metrics.max-inferred-column-defaults": "1"})
    table.guarded_append(7, None)
    with pytest.raises(refusals(), match="some, but not all, rows match filter"):
        table.guarded_append(8, table.head())


def test_statistics_asked_for_by_name_let_the_guard_work_in_a_wide_table(new_table: NewTable) -> None:
    properties = {"write.metadata.metrics.max-inferred-column-defaults": "1"}
    table = new_table(**properties, **{"write.metadata.metrics.column._write_id": "full"})
    table.guarded_append(7, None)
    table.guarded_append(8, table.head())


def test_a_guard_on_write_ids_that_rise_from_write_to_write_survives_compaction(table: Table) -> None:
    table.guarded_append(10, None)
    table.guarded_append(20, table.head())
    table.compact()
    base = table.head()
    table.guarded_append(31, base, condition="_write_id >= 30")
    with pytest.raises(refusals(), match=CONFLICT):
        table.guarded_append(32, base, condition="_write_id >= 30")


# Merging


@MERGE_MODES
def test_properties_set_around_a_merge_are_in_its_snapshot_and_in_no_later_one(new_table: NewTable, mode: str) -> None:
    table = merged(new_table, mode)
    table.plain_append(1)
    with snapshot_properties(table.spark, write_id="7", bookmark='{"orders": 7}'):
        table.merge(table.frame(7))
    summary = table.summary()
    assert summary["lakekit.write_id"] == "7"
    assert json.loads(summary["lakekit.bookmark"]) == {"orders": 7}
    table.merge(table.frame(8))
    assert "lakekit.write_id" not in table.summary()


def test_a_delete_of_whole_files_loses_the_properties_set_around_it(table: Table) -> None:
    table.plain_append(1)
    with snapshot_properties(table.spark, write_id="7"):
        table.spark.sql(f"DELETE FROM {table.name} WHERE _write_id = 1").collect()
    assert table.rows() == []
    assert "lakekit.write_id" not in table.summary()


@MERGE_MODES
@pytest.mark.parametrize("first_keys", [(100,), ()], ids=["rows", "empty"])
def test_of_two_merges_racing_with_one_increment_one_is_refused(
    new_table: NewTable, other_spark: SparkSession, gate: Gate, mode: str, first_keys: tuple[int, ...]
) -> None:
    late = merged(new_table, mode)
    quick = late.seen_by(other_spark)
    if first_keys:
        late.plain_append(1, keys=first_keys)
    outcome = gate.race(lambda: late.merge(gate.hold(late.frame(7))), lambda: quick.merge(quick.frame(7)))
    with pytest.raises(refusals(), match=CONFLICT):
        outcome.result()
    assert late.keys() == [0, 1, *first_keys]


def test_at_snapshot_isolation_two_racing_merges_give_two_rows_for_a_key(
    new_table: NewTable, other_spark: SparkSession, gate: Gate
) -> None:
    late = merged(new_table, "merge-on-read", isolation="snapshot")
    quick = late.seen_by(other_spark)
    gate.race(lambda: late.merge(gate.hold(late.frame(7))), lambda: quick.merge(quick.frame(7))).result()
    assert late.keys() == [0, 0, 1, 1]


def test_a_merge_that_only_inserts_is_not_guarded_at_serializable_isolation(
    new_table: NewTable, other_spark: SparkSession, gate: Gate
) -> None:
    late = merged(new_table, "merge-on-read")
    quick = late.seen_by(other_spark)
    insert = "WHEN NOT MATCHED THEN INSERT *"
    gate.race(lambda: late.merge(gate.hold(late.frame(7)), insert), lambda: quick.merge(quick.frame(7), insert)).result()
    assert late.keys() == [0, 0, 1, 1]


def test_a_merge_does_not_notice_what_was_committed_between_reading_the_bookmark_and_planning(
    new_table: NewTable, other_spark: SparkSession
) -> None:
    table = merged(new_table, "merge-on-read")
    assert table.head() is None  # so increment 7 is still to be merged
    other = table.seen_by(other_spark)
    other.merge(other.frame(7, value="older"))
    other.merge(other.frame(8, value="newer"))
    table.refresh()  # as happens by itself where a catalog doesn't cache tables, or not for so long
    table.merge(table.frame(7, value="older"))
    assert {row[1] for row in table.rows()} == {"older"}


def test_a_table_kept_by_the_session_makes_a_merge_notice_it_after_all(new_table: NewTable, other_spark: SparkSession) -> None:
    table = merged(new_table, "merge-on-read")
    assert table.head() is None
    other = table.seen_by(other_spark)
    other.merge(other.frame(7))
    with pytest.raises(refusals(), match=CONFLICT):
        table.merge(table.frame(7))


@MERGE_MODES
def test_a_merge_that_changes_nothing_still_makes_a_snapshot(new_table: NewTable, mode: str) -> None:
    table = merged(new_table, mode)
    table.plain_append(1)
    before, rows = table.head(), table.rows()
    table.merge(table.frame(1), "WHEN MATCHED AND t.v IS DISTINCT FROM s.v THEN UPDATE SET *")
    assert table.rows() == rows
    assert table.head() != before
    rewritten = table.summary().get("added-data-files", "0")
    assert rewritten == ("1" if mode == "copy-on-write" else "0")


# Bookmarks without a snapshot of their own


def test_a_bookmark_set_as_a_property_makes_no_snapshot(table: Table) -> None:
    table.plain_append(1)
    before = table.head()
    bookmark = json.dumps({"o'rders": 'a "quoted\\" one'})
    table.set_properties(bookmark=bookmark)
    assert table.head() == before
    assert len(table.snapshots()) == 1
    assert table.properties()["lakekit.bookmark"] == bookmark


def test_a_session_sees_what_others_committed_only_after_a_refresh(table: Table, other_spark: SparkSession) -> None:
    table.plain_append(1)
    count = f"SELECT count(*) FROM {table.name}.snapshots"
    other = table.seen_by(other_spark)
    assert table.spark.sql(count).collect()[0][0] == 1
    other.plain_append(2)
    assert table.spark.sql(count).collect()[0][0] == 1
    table.refresh()
    assert table.spark.sql(count).collect()[0][0] == 2


def announce(table: Table, write_id: int) -> None:
    """Before the MERGE: what is about to be written."""
    table.set_properties(pending=json.dumps({"write_id": write_id, "bookmark": {"orders": write_id}}))


def confirm(table: Table) -> None:
    """After the MERGE: the bookmark is the pending one, and nothing is pending. Two commits."""
    table.set_properties(bookmark=json.dumps(json.loads(table.properties()["lakekit.pending"])["bookmark"]))
    table.unset_property("pending")


def run(table: Table, write_id: int, *clauses: str) -> None:
    """One run of a task: settles what an earlier run left behind, then writes its increment unless it is there."""
    pending = table.properties().get("lakekit.pending")
    if pending and table.holds(json.loads(pending)["write_id"]):
        confirm(table)
    if json.loads(table.properties().get("lakekit.bookmark", "{}")).get("orders", 0) < write_id:
        announce(table, write_id)
        table.merge(table.frame(write_id), *clauses)
        confirm(table)


def assert_settled(table: Table, write_id: int, *, merges: int) -> None:
    properties = table.properties()
    assert json.loads(properties["lakekit.bookmark"]) == {"orders": write_id}
    assert "lakekit.pending" not in properties
    assert len(table.snapshots()) == merges


def test_a_crash_before_the_merge_is_answered_by_merging(new_table: NewTable) -> None:
    table = merged(new_table, "merge-on-read")
    announce(table, 7)
    run(table, 7)
    assert table.keys() == [0, 1]
    assert_settled(table, 7, merges=1)


def test_a_crash_after_the_merge_is_answered_by_confirming(new_table: NewTable) -> None:
    table = merged(new_table, "merge-on-read")
    announce(table, 7)
    table.merge(table.frame(7))
    run(table, 7)
    assert table.keys() == [0, 1]
    assert_settled(table, 7, merges=1)


def test_a_crash_between_the_two_steps_of_confirming_is_answered_by_confirming(new_table: NewTable) -> None:
    table = merged(new_table, "merge-on-read")
    announce(table, 7)
    table.merge(table.frame(7))
    table.set_properties(bookmark=json.dumps({"orders": 7}))
    run(table, 7)
    assert table.keys() == [0, 1]
    assert_settled(table, 7, merges=1)


def test_a_merge_that_only_deleted_leaves_no_proof_and_is_done_again(new_table: NewTable) -> None:
    table = merged(new_table, "merge-on-read")
    table.plain_append(1, keys=(0, 1, 2))
    delete = "WHEN MATCHED THEN DELETE"
    announce(table, 7)
    table.merge(table.frame(7), delete)
    assert not table.holds(7)
    run(table, 7, delete)
    assert table.keys() == [2]
    assert_settled(table, 7, merges=3)
