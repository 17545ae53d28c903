"""read_new_groups and replace_groups: aggregates follow their rows, from group to group, deletes included."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

import lakekit as lk
from lakekit.errors import ConfigError, ContractError, QueryError, SchemaError
from tests.contract.helpers import expire_all_but_the_last, foreign, frame, rewrite, snapshots, stored

UP, DOWN = "silver.orders", "gold.turnover"


def put(lake: Any, run: str, *orders: tuple[int, str, int], gone: bool = False) -> None:
    operation = "delete" if gone else "upsert"
    rows = [{"id": number, "city": city, "price": price, "_operation": operation} for number, city, price in orders]
    lk.merge(frame(lake, run, *rows), into=UP, key="id", order_by="_ingestion_timestamp")


def turnover(lake: Any, **options: Any) -> lk.Commit:
    batch = lk.read_new_groups(lake, UP, into=DOWN, by="city")
    return lk.replace_groups(batch.sql("SELECT city, sum(price) AS turnover, count(*) AS orders FROM batch GROUP BY city"), **options)


def expected(lake: Any) -> list[tuple[Any, ...]]:
    sums: Counter[str] = Counter()
    numbers: Counter[str] = Counter()
    for row in lk.read(lake, UP).to_arrow().to_pylist():
        sums[row["city"]] += row["price"]
        numbers[row["city"]] += 1
    return sorted((city, sums[city], numbers[city]) for city in numbers)


def found(lake: Any) -> list[tuple[Any, ...]]:
    return stored(lake, DOWN, "city", "turnover", "orders")


@pytest.fixture
def shop(lake: Any) -> Any:
    put(lake, "a", (1, "Bonn", 2), (2, "Bonn", 3), (3, "Kiel", 4), (4, "Ulm", 5))
    turnover(lake)
    return lake


def test_only_touched_groups_are_read_and_written(shop: Any) -> None:
    put(shop, "b", (1, "Bonn", 20))
    batch = lk.read_new_groups(shop, UP, into=DOWN, by="city")
    assert sorted(batch.to_arrow().column("id").to_pylist()) == [1, 2]
    commit = turnover(shop)
    assert (commit.read, commit.inserted, commit.deleted) == (1, 1, 1)
    assert found(shop) == expected(shop)


def test_a_row_that_moves_touches_the_group_it_left(shop: Any) -> None:
    put(shop, "b", (3, "Bonn", 4))
    turnover(shop)
    assert found(shop) == expected(shop) == [("Bonn", 9, 3), ("Ulm", 5, 1)]


def test_deletes_soft_and_foreign_reach_the_aggregate(shop: Any) -> None:
    put(shop, "b", (1, "Bonn", 2), gone=True)
    turnover(shop)
    assert found(shop) == expected(shop)
    foreign(shop, UP).delete("id = 4")
    turnover(shop)
    assert found(shop) == expected(shop)


def test_again_and_without_a_difference_there_is_no_snapshot(shop: Any) -> None:
    before = snapshots(shop, DOWN)
    assert not turnover(shop).committed
    put(shop, "swap", (1, "Bonn", 3), (2, "Bonn", 2))
    assert turnover(shop).unchanged == 1
    assert snapshots(shop, DOWN) == before
    assert lk.read_new_groups(shop, UP, into=DOWN, by="city").count() == 0


def test_after_expiry_every_group_is_read_and_vanished_ones_go(shop: Any) -> None:
    put(shop, "b", (4, "Ulm", 5), gone=True)
    rewrite(shop, UP)
    expire_all_but_the_last(shop, UP)
    turnover(shop)
    assert found(shop) == expected(shop)


def test_a_group_may_be_an_expression(lake: Any) -> None:
    put(lake, "a", (1, "Bonn", 2), (12, "Bonn", 3))
    batch = lk.read_new_groups(lake, UP, into="gold.tens", by={"ten": "floor(id / 10)"})
    lk.replace_groups(batch.sql("SELECT ten, max(price) AS price FROM batch GROUP BY ten"))
    assert [(int(ten), price) for ten, price in stored(lake, "gold.tens", "ten", "price")] == [(0, 2), (1, 3)]


def test_a_downstream_reads_changed_and_vanished_groups(shop: Any) -> None:
    lk.merge(lk.read_new(shop, DOWN, into="gold.copy"), key="city")
    put(shop, "b", (3, "Bonn", 4))
    turnover(shop)
    lk.merge(lk.read_new(shop, DOWN, into="gold.copy"), key="city")
    living = lk.read(shop, "gold.copy").to_arrow().to_pylist()
    assert sorted((row["city"], row["turnover"]) for row in living) == [("Bonn", 9), ("Ulm", 5)]


def test_whole_groups_go_nowhere_else_and_nothing_else_goes_into_them(shop: Any) -> None:
    put(shop, "b", (1, "Bonn", 20))
    batch = lk.read_new_groups(shop, UP, into=DOWN, by="city")
    with pytest.raises(ConfigError, match="whole groups"):
        lk.merge(batch, key="id")
    with pytest.raises(ConfigError, match="whole groups"):
        lk.append(batch)
    with pytest.raises(ConfigError, match="read_new_groups"):
        lk.replace_groups(lk.read_new(shop, UP, into=DOWN))
    with pytest.raises(SchemaError, match="city"):
        lk.replace_groups(batch.sql("SELECT sum(price) AS turnover FROM batch GROUP BY city"))
    with pytest.raises(ContractError, match="not read"):
        lk.replace_groups(batch.sql("SELECT upper(city) AS city, sum(price) AS turnover FROM batch GROUP BY upper(city)"))
    with pytest.raises(SchemaError, match="town"):
        lk.read_new_groups(shop, UP, into=DOWN, by="town")
    with pytest.raises(QueryError):
        lk.read_new_groups(shop, UP, into=DOWN, by={"town": "twon"})
    assert found(shop)[0] == ("Bonn", 5, 2)


def test_a_dry_run_counts_and_writes_nothing(shop: Any) -> None:
    put(shop, "b", (1, "Bonn", 20))
    assert turnover(shop, dry_run=True).inserted == 1
    assert found(shop)[0] == ("Bonn", 5, 2)
