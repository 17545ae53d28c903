"""read_new: what changed since it was last consumed, each row once, whoever wrote it."""

from __future__ import annotations

from typing import Any

import pytest

import lakekit as lk
from lakekit.errors import BookmarkLostError, ConfigError, TableNotFoundError
from tests.contract.helpers import expire_all_but_the_last, foreign, frame, living, rewrite, rows, snapshots, stored

UP, DOWN = "silver.people", "gold.people"


def put(lake: Any, run: str, *people: dict[str, Any], **options: Any) -> lk.Commit:
    return lk.merge(frame(lake, run, *people), into=UP, key="id", order_by="at", **options)


def person(number: int, name: str, at: int, operation: str = "upsert") -> dict[str, Any]:
    return {"id": number, "name": name, "at": at, "_operation": operation}


def new(lake: Any, into: str = DOWN) -> list[tuple[Any, ...]]:
    return rows(lk.read_new(lake, UP, into=into), "id", "name", "_operation")


def consume(lake: Any, into: str = DOWN) -> lk.Commit:
    return lk.merge(lk.read_new(lake, UP, into=into), key="id", order_by="at")


def start(lake: Any) -> None:
    put(lake, "start", person(1, "Ada", 1), person(2, "Bo", 1), person(3, "Cy", 1))
    consume(lake)


def same(lake: Any) -> bool:
    return living(lake, UP, "id", "name", "at") == living(lake, DOWN, "id", "name", "at")


def test_the_first_read_gives_all_rows(lake: Any) -> None:
    put(lake, "a", person(1, "Ada", 1), person(2, "Bo", 1))
    assert new(lake) == [(1, "Ada", "upsert"), (2, "Bo", "upsert")]


def test_after_a_merge_only_the_changed_rows_come(lake: Any) -> None:
    start(lake)
    put(lake, "b", person(1, "Ada L.", 2), person(2, "Bo", 1), person(3, "old", 0), person(4, "Di", 1))
    assert new(lake) == [(1, "Ada L.", "upsert"), (4, "Di", "upsert")]


def test_a_row_changed_twice_comes_once_in_its_last_state(lake: Any) -> None:
    start(lake)
    put(lake, "b", person(1, "second", 2))
    put(lake, "c", person(1, "third", 3))
    assert new(lake) == [(1, "third", "upsert")]


def test_a_soft_delete_comes_as_a_delete_with_the_row(lake: Any) -> None:
    start(lake)
    put(lake, "b", person(1, "Ada", 2, "delete"))
    assert new(lake) == [(1, "Ada", "delete")]
    assert consume(lake).deleted == 1
    assert same(lake)


def test_a_hard_delete_comes_as_a_delete(lake: Any) -> None:
    start(lake)
    put(lake, "b", person(1, "Ada", 2, "delete"), deletes=lk.Deletes("hard"))
    assert new(lake) == [(1, "Ada", "delete")]
    consume(lake)
    assert same(lake)


def test_what_was_consumed_does_not_come_again(lake: Any) -> None:
    start(lake)
    put(lake, "b", person(1, "Ada L.", 2))
    assert consume(lake).updated == 1
    assert new(lake) == []
    again = consume(lake)
    assert (again.read, again.committed) == (0, False)


def test_reading_alone_moves_nothing(lake: Any) -> None:
    start(lake)
    put(lake, "b", person(1, "Ada L.", 2))
    assert new(lake) == new(lake) == [(1, "Ada L.", "upsert")]


def test_two_consumers_do_not_see_each_other(lake: Any) -> None:
    start(lake)
    assert len(new(lake, "gold.other")) == 3
    consume(lake, "gold.other")
    put(lake, "b", person(1, "Ada L.", 2))
    consume(lake)
    assert new(lake) == []
    assert new(lake, "gold.other") == [(1, "Ada L.", "upsert")]


def test_both_ends_are_fixed_when_the_batch_is_made(lake: Any) -> None:
    start(lake)
    put(lake, "b", person(1, "second", 2))
    batch = lk.read_new(lake, UP, into=DOWN)
    put(lake, "c", person(1, "third", 3), person(9, "Ix", 1))
    assert rows(batch, "id", "name") == [(1, "second")]
    lk.merge(batch, key="id", order_by="at")
    assert new(lake) == [(1, "third", "upsert"), (9, "Ix", "upsert")]


def test_a_foreign_rewrite_changes_nothing(lake: Any) -> None:
    start(lake)
    rewrite(lake, UP)
    assert new(lake) == []


def test_a_change_before_or_after_a_foreign_rewrite_comes_once(lake: Any) -> None:
    start(lake)
    put(lake, "b", person(1, "Ada L.", 2))
    rewrite(lake, UP)
    put(lake, "c", person(2, "Bob", 2))
    assert new(lake) == [(1, "Ada L.", "upsert"), (2, "Bob", "upsert")]


def test_rows_a_foreign_tool_appended_come(lake: Any) -> None:
    start(lake)
    table = foreign(lake, UP)
    strange = lk.from_frame(lake, [{"id": 7, "name": "Gus", "at": 1}], run_id="x").to_arrow().select(["id", "name", "at"])
    table.append(strange)
    assert new(lake) == [(7, "Gus", "upsert")]
    put(lake, "b", person(1, "Ada L.", 2))
    assert new(lake) == [(1, "Ada L.", "upsert"), (7, "Gus", "upsert")]
    consume(lake)
    assert same(lake)


def test_rows_a_foreign_tool_deleted_come_as_deletes(lake: Any) -> None:
    start(lake)
    foreign(lake, UP).delete("id = 2")
    assert new(lake) == [(2, "Bo", "delete")]
    consume(lake)
    assert same(lake)


def test_a_row_a_foreign_tool_changed_comes_once(lake: Any) -> None:
    start(lake)
    table = foreign(lake, UP)
    everything = table.scan().to_arrow().to_pylist()
    changed = [{**row, "name": "Zed", "at": 9} if row["id"] == 2 else row for row in everything]
    table.overwrite(type(table.scan().to_arrow()).from_pylist(changed, schema=table.scan().to_arrow().schema))
    assert new(lake) == [(2, "Zed", "upsert")]
    consume(lake)
    assert same(lake)


def test_a_new_column_does_not_make_old_rows_new(lake: Any) -> None:
    start(lake)
    put(lake, "b", {**person(4, "Di", 1), "city": "Rome"})
    assert new(lake) == [(4, "Di", "upsert")]
    rewrite(lake, UP)
    assert new(lake) == [(4, "Di", "upsert")]
    consume(lake)
    assert living(lake, DOWN, "id", "city") == [(1, None), (2, None), (3, None), (4, "Rome")]


def test_an_expired_snapshot_gives_a_superset_that_a_merge_takes(lake: Any) -> None:
    start(lake)
    put(lake, "b", person(1, "Ada L.", 2))
    expire_all_but_the_last(lake, UP)
    batch = lk.read_new(lake, UP, into=DOWN)
    assert batch.bookmark.superset
    assert (1, "Ada L.", "upsert") in rows(batch, "id", "name", "_operation")
    assert lk.merge(batch, key="id", order_by="at").updated == 1
    assert new(lake) == []
    assert same(lake)


def test_an_upstream_rolled_back_behind_what_was_consumed_is_an_error(lake: Any) -> None:
    start(lake)
    before = foreign(lake, UP).metadata.current_snapshot_id
    put(lake, "b", person(1, "Ada L.", 2))
    consume(lake)
    assert before is not None
    foreign(lake, UP).manage_snapshots().rollback_to_snapshot(before).commit()
    with pytest.raises(BookmarkLostError, match="rolled back"):
        new(lake)


def test_a_bookmark_that_moves_without_rows_makes_no_snapshot(lake: Any) -> None:
    start(lake)
    put(lake, "b", person(1, "hidden", 2))
    batch = lk.where(lk.read_new(lake, UP, into=DOWN), "name <> 'hidden'", otherwise="drop")
    count = snapshots(lake, DOWN)
    assert lk.merge(batch, key="id", order_by="at").committed is False
    assert snapshots(lake, DOWN) == count
    assert new(lake) == []


def test_an_upstream_that_was_never_written_gives_no_rows(lake: Any) -> None:
    lk.create_table(lake, UP, schema={"id": "bigint", "name": "string", "at": "bigint"})
    assert new(lake) == []
    assert consume(lake).committed is False
    put(lake, "a", person(1, "Ada", 1))
    assert new(lake) == [(1, "Ada", "upsert")]


def test_bronze_deletes_reach_silver(lake: Any) -> None:
    lk.append(frame(lake, "a", person(1, "Ada", 1), person(2, "Bo", 1)), into="bronze.people")
    lk.merge(lk.read_new(lake, "bronze.people", into=UP), key="id", order_by="at")
    lk.append(frame(lake, "b", person(1, "Ada", 2, "delete")), into="bronze.people")
    lk.merge(lk.read_new(lake, "bronze.people", into=UP), key="id", order_by="at")
    assert living(lake, UP, "id") == [(2,)]
    assert stored(lake, UP, "id") == [(1,), (2,)]


def test_a_missing_upstream_is_an_error_that_names_what_there_is(lake: Any) -> None:
    start(lake)
    with pytest.raises(TableNotFoundError, match=r"silver\.people"):
        lk.read_new(lake, "silver.poeple", into=DOWN)


def test_a_table_cannot_consume_itself(lake: Any) -> None:
    start(lake)
    with pytest.raises(ConfigError, match="itself"):
        lk.read_new(lake, UP, into=UP)
