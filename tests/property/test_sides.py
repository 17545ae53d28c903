"""After each run every fact bears what a computation from scratch gives it, however dimension, identities and facts changed in between."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import lakekit as lk
from lakekit import identity

DAY = datetime(2026, 1, 1, tzinfo=UTC)
PERSON, ORDER, DAYS = st.integers(1, 3), st.integers(1, 4), st.integers(0, 9)
DIMENSION_STEPS = st.one_of(
    st.tuples(st.just("person"), PERSON, DAYS, st.sampled_from("abc")),
    st.tuples(st.just("order"), ORDER, PERSON, DAYS),
    st.tuples(st.just("run")),
)
SOURCE, EMAIL = st.sampled_from(["shop", "market"]), st.sampled_from([None, "a@x.org", "b@x.org", "c@x.org"])
IDENTITY_STEPS = st.one_of(
    st.tuples(st.just("record"), SOURCE, PERSON, EMAIL, st.booleans()),
    st.tuples(st.just("order"), ORDER, SOURCE, PERSON),
    st.tuples(st.just("run")),
)
FEW = settings(max_examples=max(2, settings.default.max_examples // 12), suppress_health_check=[HealthCheck.too_slow])


def merge(lake: Any, run: int, table: str, row: dict[str, Any], key: tuple[str, ...]) -> None:
    lk.merge(lk.from_frame(lake, [row], run_id=str(run), now=DAY + timedelta(seconds=run)), into=table, key=key)


@FEW
@given(st.lists(DIMENSION_STEPS, min_size=1, max_size=9))
def test_every_fact_points_to_the_version_valid_at_its_time(steps: list[tuple[Any, ...]]) -> None:
    people: dict[int, dict[int, str]] = {}
    orders: dict[int, tuple[int, int]] = {}
    with tempfile.TemporaryDirectory() as folder:
        lake = lk.connect(folder)
        start = {"id": 0, "name": "nobody", "at": DAY}
        options = {"into": "gold.dim", "key": "id", "effective_at": "at", "surrogate_key": "person_key"}
        lk.merge_scd2(lk.from_frame(lake, [start], run_id="start"), **options)
        merge(lake, 0, "silver.orders", {"order": 0, "person": 0, "at": DAY}, ("order",))
        for number, step in enumerate([*steps, ("run",)], 1):
            if step[0] == "person":
                _, person, day, name = step
                if day in people.setdefault(person, {}):
                    continue
                people[person][day] = name
                event = {"id": person, "name": name, "at": DAY + timedelta(days=day)}
                lk.merge_scd2(lk.from_frame(lake, [event], run_id=str(number)), **options)
            elif step[0] == "order":
                _, order, person, day = step
                orders[order] = person, day
                merge(lake, number, "silver.orders", {"order": order, "person": person, "at": DAY + timedelta(days=day)}, ("order",))
            else:
                facts = lk.read_new(lake, "silver.orders", into="gold.facts")
                lk.merge(lk.lookup(facts, "gold.dim", on={"person": "id"}, at="at", take="name", missing="null"), key="order")
                found = {row["order"]: row["name"] for row in lk.read(lake, "gold.facts").to_arrow().to_pylist()}
                expected = {order: valid(people.get(person, {}), day) for order, (person, day) in orders.items()}
                assert found == {0: "nobody", **expected}


def valid(versions: dict[int, str], day: int) -> str | None:
    begun = [begin for begin in versions if begin <= day]
    return versions[max(begun)] if begun else None


@FEW
@given(st.lists(IDENTITY_STEPS, min_size=1, max_size=9))
def test_every_order_bears_the_id_of_its_person_after_merges_splits_and_changed_emails(steps: list[tuple[Any, ...]]) -> None:
    records: dict[tuple[str, int], str | None] = {}
    orders: dict[int, tuple[str, int]] = {}
    rules = identity.Rules(match=[identity.exact("email")])
    with tempfile.TemporaryDirectory() as folder:
        lake = lk.connect(folder)
        for source in ("shop", "market"):
            merge(lake, 0, f"silver.{source}", {"id": 0, "email": "zero@x.org", "_operation": "upsert"}, ("id",))
        merge(lake, 0, "silver.orders", {"order": 0, "channel": "shop", "person": 0}, ("order",))
        for number, step in enumerate([*steps, ("run",)], 1):
            if step[0] == "record":
                _, source, person, email, gone = step
                records[source, person] = None if gone else email
                row = {"id": person, "email": email, "_operation": "delete" if gone else "upsert"}
                merge(lake, number, f"silver.{source}", row, ("id",))
            elif step[0] == "order":
                _, order, source, person = step
                orders[order] = source, person
                merge(lake, number, "silver.orders", {"order": order, "channel": source, "person": person}, ("order",))
            else:
                new = {source: lk.read_new(lake, f"silver.{source}", into="silver.identities") for source in ("shop", "market")}
                lk.resolve_identities(new, record_key={"shop": "id", "market": "id"}, rules=rules)
                batch = lk.read_new(lake, "silver.orders", into="silver.orders_unified")
                batch = lk.with_identity(batch, "silver.identities", source_column="channel", record_key="person")
                lk.merge(batch, key="order")
                check(lake, records, orders)


def check(lake: Any, records: dict[tuple[str, int], str | None], orders: dict[int, tuple[str, int]]) -> None:
    """Orders of one person bear one id, of two persons two; and it is the one that the identities say."""
    rows = {row["order"]: row["master_user_id"] for row in lk.read(lake, "silver.orders_unified").to_arrow().to_pylist()}
    said = {
        (row["source"], row["record_key"]): row["master_user_id"]
        for row in lk.read(lake, "silver.identities", deleted=True).to_arrow().to_pylist()
        if row["kind"] == "record"
    }
    assert rows == {0: said["shop", "0"], **{order: said.get((source, str(person))) for order, (source, person) in orders.items()}}
    living = [(order, records[record]) for order, record in orders.items() if records.get(record) is not None]
    for order, email in living:
        assert [rows[order] == rows[other] for other, _ in living] == [email == also for _, also in living]
