"""A third way: write on a branch that starts at the base, then move main to it if main is still there."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from tests.integration.spark.table import Table, expire_all_but_the_head, refusals

if TYPE_CHECKING:
    from pyiceberg.catalog.sql import SqlCatalog
    from pyspark.sql import SparkSession

ATTEMPTS = 30
NOT_BEHIND = "Cannot fast-forward: main is not an ancestor"


def empty_append(table: Table, write_id: int = 0) -> None:
    """A snapshot without rows."""
    table.writer(table.spark.table(table.path).limit(0), write_id).append()


def test_of_two_increments_staged_from_one_base_the_second_is_refused(table: Table, other_spark: SparkSession) -> None:
    table.plain_append(1, keys=(100,))
    base = table.head()
    one, two = table.stage("one", base), table.seen_by(other_spark).stage("two", base)
    one.plain_append(7)
    two.plain_append(8)
    one.publish()
    with pytest.raises(refusals(), match=NOT_BEHIND):
        two.publish()
    assert table.keys() == [0, 1, 100]


def test_of_two_first_increments_staged_in_a_table_without_a_snapshot_the_second_is_refused(
    table: Table, other_spark: SparkSession
) -> None:
    one, two = table.stage("one", None), table.seen_by(other_spark).stage("two", None)
    one.plain_append(7)
    two.plain_append(8)
    one.publish()
    with pytest.raises(refusals(), match=NOT_BEHIND):
        two.publish()
    assert table.keys() == [0, 1]


def test_a_branch_without_a_base_starts_at_whatever_was_committed_meanwhile(table: Table, other_spark: SparkSession) -> None:
    assert table.head() is None
    table.seen_by(other_spark).plain_append(8)
    table.refresh()
    staged = table.stage("staged", None)
    staged.plain_append(7)
    staged.publish()
    assert table.keys() == [0, 0, 1, 1]


def test_an_empty_append_at_creation_gives_the_first_increment_a_base(table: Table, other_spark: SparkSession) -> None:
    empty_append(table)
    base = table.head()
    assert base is not None
    table.seen_by(other_spark).plain_append(8)
    staged = table.stage("staged", base)
    staged.plain_append(7)
    with pytest.raises(refusals(), match=NOT_BEHIND):
        staged.publish()


def test_rows_appended_on_a_branch_are_an_append_with_its_bookmark_in_one_snapshot_of_main(table: Table) -> None:
    table.plain_append(1, keys=(100,))
    base = table.head()
    staged = table.stage("staged", base)
    staged.plain_append(7)
    assert table.keys() == [100]
    staged.publish()
    head = table.head()
    (published,) = [row for row in table.snapshots() if row.snapshot_id == head]
    assert (published.parent_id, published.operation) == (base, "append")
    assert published.summary["lakekit.bookmark"] == json.dumps({"orders": 7})
    assert table.keys() == [0, 1, 100]


def test_compaction_and_expiry_do_not_stand_in_the_way_of_a_branch(table: Table, pyiceberg_catalog: SqlCatalog) -> None:
    table.plain_append(10)
    table.plain_append(1000)
    table.compact()
    expire_all_but_the_head(pyiceberg_catalog, table)
    staged = table.stage("staged", table.head())
    staged.plain_append(500, keys=(5,))
    staged.publish()
    assert table.keys() == [0, 0, 1, 1, 5]


def test_a_merge_and_an_empty_append_that_carries_the_bookmark_reach_main_in_one_move(table: Table) -> None:
    table.plain_append(1)
    staged = table.stage("staged", table.head())
    staged.merge(staged.frame(7, keys=(1, 2)))
    empty_append(staged, 7)
    assert table.keys() == [0, 1]
    assert table.summary()["lakekit.write_id"] == "1"
    staged.publish()
    assert table.rows() == [(0, "new", 1), (1, "new", 7), (2, "new", 7)]
    assert table.summary()["lakekit.write_id"] == "7"


def test_a_delete_and_the_append_that_replaces_it_reach_main_in_one_move(table: Table) -> None:
    table.plain_append(1)
    staged = table.stage("staged", table.head())
    staged.spark.sql(f"DELETE FROM {staged.path} WHERE k = 1").collect()
    staged.plain_append(7, keys=(2,))
    assert table.keys() == [0, 1]
    staged.publish()
    assert table.keys() == [0, 2]


def test_a_compaction_of_main_meanwhile_refuses_a_branch(table: Table, other_spark: SparkSession) -> None:
    table.plain_append(1)
    staged = table.stage("staged", table.head())
    staged.plain_append(7, keys=(2,))
    table.seen_by(other_spark).compact()
    with pytest.raises(refusals(), match=NOT_BEHIND):
        staged.publish()


def test_a_merge_staged_from_the_snapshot_whose_bookmark_was_read_notices_every_later_commit(
    table: Table, other_spark: SparkSession
) -> None:
    table.plain_append(1, keys=(100,))
    base = table.head()
    table.seen_by(other_spark).plain_append(8)
    staged = table.stage("staged", base)
    staged.merge(staged.frame(7), "WHEN NOT MATCHED THEN INSERT *")
    with pytest.raises(refusals(), match=NOT_BEHIND):
        staged.publish()
    assert {row[2] for row in table.rows()} == {1, 8}


def test_a_property_set_meanwhile_does_not_refuse_a_branch(table: Table, other_spark: SparkSession) -> None:
    staged = table.stage("staged", table.head())
    staged.plain_append(7)
    table.seen_by(other_spark).set_properties(bookmark="{}")
    staged.publish()
    assert table.keys() == [0, 1]


def test_a_rollback_of_main_is_not_noticed_and_comes_undone(table: Table) -> None:
    table.plain_append(1)
    first = table.head()
    table.plain_append(2, keys=(2,))
    staged = table.stage("staged", table.head())
    staged.plain_append(3, keys=(3,))
    table.call("rollback_to_snapshot", f"snapshot_id => {first}")
    staged.publish()
    assert table.keys() == [0, 1, 2, 3]


def test_writers_that_stage_again_when_refused_neither_lose_nor_double_a_row(
    table: Table, new_session: Callable[[str], SparkSession]
) -> None:
    empty_append(table)

    def append(key: int) -> None:
        mine = table.seen_by(new_session(f"writer {key}"))
        for attempt in range(ATTEMPTS):
            try:
                staged = mine.stage(f"w{key}_{attempt}", mine.head())
                staged.plain_append(key, keys=(key,))
                staged.publish()
            except refusals():
                continue
            return
        pytest.fail(f"refused {ATTEMPTS} times")

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(append, range(3)))
    assert table.keys() == [0, 1, 2]


def test_a_branch_dropped_after_publishing_takes_nothing_from_main(table: Table) -> None:
    staged = table.stage("staged", table.head())
    staged.plain_append(7)
    staged.publish()
    staged.drop_branch()
    assert table.keys() == [0, 1]
