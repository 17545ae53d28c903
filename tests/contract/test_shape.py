"""where, select and union_by_name: rows are left out on purpose only, and the bookmark travels along."""

from __future__ import annotations

from typing import Any

import pytest

import lakekit as lk
from lakekit.errors import CommitConflictError, QueryError, SchemaError
from tests.contract.helpers import frame, living, rows, stored

UP, DOWN = "silver.orders", "gold.orders"


def put(lake: Any, run: str, *orders: dict[str, Any], into: str = UP) -> None:
    lk.merge(frame(lake, run, *orders), into=into, key="id", order_by="at")


def order(number: int, state: str | None, at: int) -> dict[str, Any]:
    return {"id": number, "state": state, "at": at}


def open_orders(lake: Any, otherwise: Any = "delete") -> lk.Commit:
    return lk.merge(lk.where(lk.read_new(lake, UP, into=DOWN), "state = 'open'", otherwise=otherwise), key="id", order_by="at")


def test_a_row_that_matches_no_more_is_deleted_downstream(lake: Any) -> None:
    put(lake, "a", order(1, "open", 1), order(2, "open", 1))
    open_orders(lake)
    put(lake, "b", order(1, "paid", 2))
    assert open_orders(lake).deleted == 1
    assert living(lake, DOWN, "id") == [(2,)]


def test_a_row_that_matches_again_lives_again(lake: Any) -> None:
    put(lake, "a", order(1, "paid", 1))
    open_orders(lake)
    assert living(lake, DOWN, "id") == []
    put(lake, "b", order(1, "open", 2))
    open_orders(lake)
    assert living(lake, DOWN, "id") == [(1,)]


def test_with_drop_a_stored_version_stays(lake: Any) -> None:
    put(lake, "a", order(1, "open", 1))
    open_orders(lake, "drop")
    put(lake, "b", order(1, "paid", 2))
    assert open_orders(lake, "drop").read == 0
    assert living(lake, DOWN, "id", "state") == [(1, "open")]


def test_null_counts_as_not_matching(lake: Any) -> None:
    put(lake, "a", order(1, None, 1), order(2, "open", 1))
    open_orders(lake)
    assert living(lake, DOWN, "id") == [(2,)]


def test_a_delete_that_matches_stays_a_delete(lake: Any) -> None:
    put(lake, "a", order(1, "open", 1))
    open_orders(lake)
    put(lake, "b", {**order(1, "open", 2), "_operation": "delete"})
    open_orders(lake)
    assert living(lake, DOWN, "id") == []


def test_rows_left_out_count_as_consumed(lake: Any) -> None:
    put(lake, "a", order(1, "paid", 1))
    open_orders(lake, "drop")
    assert lk.read_new(lake, UP, into=DOWN).count() == 0


def test_select_names_the_columns_it_left_behind(lake: Any) -> None:
    put(lake, "a", order(1, "open", 1))
    batch = lk.select(lk.read_new(lake, UP, into=DOWN), {"id": "id", "label": "upper(state)"})
    assert lk.merge(batch, key="id").columns_not_carried == ("at",)
    assert living(lake, DOWN, "id", "label") == [(1, "OPEN")]


def test_select_keeps_the_rest_when_asked_and_drops_by_name(lake: Any) -> None:
    put(lake, "a", order(1, "open", 1))
    batch = lk.read_new(lake, UP, into=DOWN)
    assert lk.select(batch, {"number": "id"}, rest="keep").business_columns == ["number", "state", "at"]
    assert lk.select(batch, {"number": "id"}, rest="keep", drop=["at"]).business_columns == ["number", "state"]
    assert lk.select(batch, {"number": "id"}, drop=["at", "state"]).not_carried == ()


def test_system_columns_go_through_select(lake: Any) -> None:
    put(lake, "a", order(1, "open", 1))
    batch = lk.read_new(lake, UP, into=DOWN)
    assert [name for name in batch.columns if name.startswith("_")] == [
        name for name in lk.select(batch, {"id": "id"}).columns if name.startswith("_")
    ]


def test_a_union_of_two_upstreams_consumes_both(lake: Any) -> None:
    put(lake, "a", order(1, "open", 1), into="silver.shop")
    put(lake, "a", {"id": 2, "at": 1, "phone": "123"}, into="silver.hotline")

    def both() -> lk.Batch:
        shop, hotline = (lk.read_new(lake, name, into=DOWN) for name in ("silver.shop", "silver.hotline"))
        return lk.union_by_name(shop, hotline)

    assert lk.merge(both(), key="id", order_by="at").inserted == 2
    assert living(lake, DOWN, "id", "state", "phone") == [(1, "open", None), (2, None, "123")]
    assert both().count() == 0
    put(lake, "b", {"id": 2, "at": 2, "phone": "456"}, into="silver.hotline")
    assert rows(both(), "id", "phone") == [(2, "456")]
    assert lk.merge(both(), key="id", order_by="at").updated == 1
    assert both().count() == 0


def test_a_union_of_which_one_part_was_consumed_meanwhile_is_a_conflict(lake: Any) -> None:
    put(lake, "a", order(1, "open", 1), into="silver.shop")
    put(lake, "a", order(2, "open", 1), into="silver.hotline")
    shop, hotline = (lk.read_new(lake, name, into=DOWN) for name in ("silver.shop", "silver.hotline"))
    lk.append(shop)
    with pytest.raises(CommitConflictError):
        lk.append(lk.union_by_name(shop, hotline))
    assert stored(lake, DOWN, "id") == [(1,)]
    assert lk.append(hotline).inserted == 1
    assert stored(lake, DOWN, "id") == [(1,), (2,)]


def test_a_union_of_one_increment_with_itself_is_one_increment(lake: Any) -> None:
    put(lake, "a", order(1, "open", 1), order(2, "paid", 1))
    batch = lk.read_new(lake, UP, into=DOWN)
    parts = lk.where(batch, "state = 'open'", otherwise="drop"), lk.where(batch, "state <> 'open'", otherwise="drop")
    assert lk.append(lk.union_by_name(*parts)).inserted == 2
    assert lk.read_new(lake, UP, into=DOWN).count() == 0


def test_one_upstream_over_two_ranges_cannot_be_united(lake: Any) -> None:
    put(lake, "a", order(1, "open", 1))
    first = lk.read_new(lake, UP, into=DOWN)
    put(lake, "b", order(2, "open", 1))
    with pytest.raises(QueryError, match="two different ranges"):
        lk.union_by_name(first, lk.read_new(lake, UP, into=DOWN))


def test_batches_read_for_different_tables_cannot_be_united(lake: Any) -> None:
    put(lake, "a", order(1, "open", 1))
    with pytest.raises(QueryError, match="different tables"):
        lk.union_by_name(lk.read_new(lake, UP, into=DOWN), lk.read_new(lake, UP, into="gold.other"))


def test_columns_whose_types_do_not_fit_cannot_be_united(lake: Any) -> None:
    with pytest.raises(SchemaError, match="'v'"):
        lk.union_by_name(frame(lake, "x", {"v": 1}), frame(lake, "x", {"v": "one"}))


def test_a_query_of_ones_own_keeps_bookmark_and_system_columns(lake: Any) -> None:
    put(lake, "a", order(1, "open", 1))
    put(lake, "a", {"id": 1, "at": 1, "name": "Ada"}, into="silver.names")
    batch = lk.read_new(lake, UP, into=DOWN).sql(
        "SELECT batch.id, batch.at, names.name FROM batch LEFT JOIN names ON names.id = batch.id", names=lk.read(lake, "silver.names")
    )
    assert lk.merge(batch, key="id", order_by="at").inserted == 1
    assert living(lake, DOWN, "id", "name") == [(1, "Ada")]
    assert lk.read_new(lake, UP, into=DOWN).count() == 0


def test_latest_gives_the_last_row_of_each_key_and_a_merge_agrees(lake: Any) -> None:
    lk.append(frame(lake, "a", order(1, "open", 1), order(1, "paid", 2), order(2, "open", 1)), into="bronze.orders")
    batch = lk.read_new(lake, "bronze.orders", into=UP)
    assert rows(lk.latest(batch, key="id", order_by="at"), "id", "state") == [(1, "paid"), (2, "open")]
    assert lk.merge(batch, key="id", order_by="at").duplicates == 1
    assert living(lake, UP, "id", "state") == [(1, "paid"), (2, "open")]
