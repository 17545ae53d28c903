"""Side inputs: rows already written are looked up again when the table they were looked up in changes, in the next run of the same write."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import lakekit as lk
from lakekit.errors import ConfigError, LakekitError, QueryError
from tests.contract.helpers import expire_all_but_the_last, frame, rewrite, snapshots, stored

DIM, FACTS, ORDERS = "gold.dim_people", "gold.facts", "silver.orders"
DAY = datetime(2026, 1, 1, tzinfo=UTC)


def at(day: int) -> datetime:
    return DAY + timedelta(days=day)


def people(lake: Any, run: str, *events: tuple[int, int, str]) -> lk.Commit:
    rows = [{"id": number, "name": name, "at": at(day)} for number, day, name in events]
    return lk.merge_scd2(frame(lake, run, *rows), into=DIM, key="id", effective_at="at", surrogate_key="person_key")


def orders(lake: Any, run: str, *rows: tuple[int, int, int]) -> None:
    lk.merge(frame(lake, run, *({"order": o, "person": p, "at": at(day)} for o, p, day in rows)), into=ORDERS, key="order")


def facts(lake: Any, **options: Any) -> lk.Commit:
    batch = lk.read_new(lake, ORDERS, into=FACTS)
    take = {"person_key": "person_key", "name": "person_name"}
    return lk.merge(lk.lookup(batch, DIM, on={"person": "id"}, at="at", take=take, missing="infer"), key="order", **options)


def names(lake: Any) -> list[tuple[Any, ...]]:
    return stored(lake, FACTS, "order", "person_name")


@pytest.fixture
def shop(lake: Any) -> Any:
    people(lake, "people", (1, 0, "Ada"), (2, 0, "Bo"))
    orders(lake, "orders", (10, 1, 5), (11, 2, 5), (12, 9, 5))
    facts(lake)
    return lake


def test_a_late_split_of_a_version_reaches_the_facts_it_affects_without_new_facts(shop: Any) -> None:
    people(shop, "late", (1, 3, "Ada L."))
    commit = facts(shop)
    assert names(shop) == [(10, "Ada L."), (11, "Bo"), (12, None)]
    assert (commit.read, commit.updated, commit.recomputed) == (0, 1, 1)
    changed = lk.read(shop, FACTS).to_arrow().to_pylist()
    assert [row["_write_id"] == commit.write_id for row in sorted(changed, key=lambda row: row["order"])] == [True, False, False]


def test_what_comes_again_after_a_recomputation_is_a_no_op_and_makes_no_snapshot(shop: Any) -> None:
    people(shop, "late", (1, 3, "Ada L."))
    facts(shop)
    before = snapshots(shop, FACTS)
    assert not facts(shop).committed
    people(shop, "elsewhen", (1, 20, "Ada M."))
    assert not facts(shop).committed, "no order falls into the new version"
    assert snapshots(shop, FACTS) == before


def test_a_real_row_takes_the_place_of_an_inferred_member_and_its_facts_follow(shop: Any) -> None:
    key = dict(stored(shop, FACTS, "order", "person_key"))[12]
    people(shop, "real", (9, 1, "Radia"))
    facts(shop)
    assert names(shop)[2] == (12, "Radia")
    assert dict(stored(shop, FACTS, "order", "person_key"))[12] == key


def test_new_rows_changed_rows_and_looked_up_rows_go_in_one_snapshot(shop: Any) -> None:
    people(shop, "late", (1, 3, "Ada L."), (2, 3, "Bo L."))
    orders(shop, "more", (11, 1, 6), (13, 2, 6))
    before = snapshots(shop, FACTS)
    commit = facts(shop)
    assert names(shop) == [(10, "Ada L."), (11, "Ada L."), (12, None), (13, "Bo L.")]
    assert (commit.inserted, commit.updated, commit.recomputed) == (1, 2, 1)
    assert snapshots(shop, FACTS) == before + 1


def test_expiry_and_a_foreign_rewrite_of_the_dimension_harm_nothing(shop: Any) -> None:
    people(shop, "late", (1, 3, "Ada L."))
    rewrite(shop, DIM)
    expire_all_but_the_last(shop, DIM)
    facts(shop)
    assert names(shop) == [(10, "Ada L."), (11, "Bo"), (12, None)]
    assert not facts(shop).committed


def test_a_look_up_by_a_looked_up_column_follows_both_tables(lake: Any) -> None:
    lk.merge_scd2(frame(lake, "r", {"region": 7, "label": "north", "at": at(0)}), into="gold.dim_regions", key="region", effective_at="at")
    homes = [{"id": 1, "region": 7, "at": at(0)}, {"id": 2, "region": 8, "at": at(0)}]
    lk.merge_scd2(frame(lake, "p", *homes), into=DIM, key="id", effective_at="at")
    orders(lake, "o", (10, 1, 5), (11, 2, 5))

    def run() -> lk.Commit:
        batch = lk.read_new(lake, ORDERS, into=FACTS)
        batch = lk.lookup(batch, DIM, on={"person": "id"}, take="region", missing="null")
        return lk.merge(lk.lookup(batch, "gold.dim_regions", on="region", take="label", missing="null"), key="order")

    run()
    assert stored(lake, FACTS, "order", "label") == [(10, "north"), (11, None)]
    lk.merge_scd2(frame(lake, "r2", {"region": 8, "label": "south", "at": at(0)}), into="gold.dim_regions", key="region", effective_at="at")
    lk.merge_scd2(frame(lake, "p2", {"id": 1, "region": 8, "at": at(1)}), into=DIM, key="id", effective_at="at")
    assert run().recomputed == 2
    assert stored(lake, FACTS, "order", "label") == [(10, "south"), (11, "south")]


def test_a_dry_run_counts_what_would_be_looked_up_again(shop: Any) -> None:
    people(shop, "late", (1, 3, "Ada L."))
    assert facts(shop, dry_run=True).recomputed == 1
    assert names(shop)[0] == (10, "Ada")


@pytest.mark.parametrize(
    ("derive", "error"),
    [
        (lambda batch: lk.where(batch, "person_key > 0"), ConfigError),
        (lambda batch: lk.select(batch, {"order": "order", "double": "person_key * 2"}), ConfigError),
        (lambda batch: lk.select(batch, {"order": "order", "key": "person_key"}), ConfigError),
        (lambda batch: lk.merge(lk.select(batch, {"order": "order", "person_key": "person_key"}), key="order"), ConfigError),
        (lambda batch: lk.merge(batch, key=("order", "person_key")), ConfigError),
        (lk.append, ConfigError),
        (lambda batch: lk.union_by_name(batch, batch), ConfigError),
        (lambda batch: batch.sql("SELECT * FROM batch"), QueryError),
        (lambda batch: batch.apply(lambda rows: rows), QueryError),
        (lambda batch: lk.merge_scd2(batch, key="order", effective_at="at"), ConfigError),
    ],
)
def test_what_would_go_stale_is_refused_with_a_way_out(shop: Any, derive: Any, error: type[LakekitError]) -> None:
    batch = lk.lookup(lk.read_new(shop, ORDERS, into=FACTS), DIM, on={"person": "id"}, at="at", take="person_key")
    with pytest.raises(error) as caught:
        derive(batch)
    assert caught.value.hint
