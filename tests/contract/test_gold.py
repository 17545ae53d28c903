"""What stands around a dimension: views, timelines, verification, several look-ups at once, dates, and facts that are no events."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

import lakekit as lk
from lakekit import gold
from lakekit.errors import ConfigError, ContractError
from tests.contract.helpers import foreign, frame, living, rows, snapshots

DIM = "gold.dim_people"
DAY = datetime(2026, 1, 1, tzinfo=UTC)


def at(day: int) -> datetime:
    return DAY + timedelta(days=day)


def put(lake: Any, run: str, *told: tuple[int, int, str | None, str | None], **options: Any) -> lk.Commit:
    """Events (id, day, name, city); one without a name is a delete."""
    events = [
        {"id": number, "name": name, "city": city, "at": at(day), "_operation": "upsert" if name else "delete"}
        for number, day, name, city in told
    ]
    return lk.merge_scd2(frame(lake, run, *events), into=DIM, key="id", effective_at="at", surrogate_key="person_key", **options)


@pytest.fixture
def filled(lake: Any) -> Any:
    put(lake, "a", (1, 0, "a", "Bonn"), (1, 3, "b", "Bonn"), (1, 5, "b", "Kiel"), (2, 0, "c", None), (2, 4, None, None), (3, 1, "d", "Ulm"))
    return lake


def test_the_current_state_is_one_row_for_each_member_that_is_there(filled: Any) -> None:
    assert rows(gold.current(filled, DIM), "id", "name", "city") == [(1, "b", "Kiel"), (3, "d", "Ulm")]
    put(filled, "b", (3, 6, None, None))
    lk.merge(
        lk.lookup(frame(filled, "f", {"fact": 1, "id": 9}), DIM, on="id", take="person_key", missing="infer"), into="gold.f", key="fact"
    )
    assert rows(gold.current(filled, DIM), "id") == [(1,)]


def test_type_3_shows_the_value_before_the_last_change_of_each_column(filled: Any) -> None:
    found = gold.with_previous(filled, DIM, ("name", "city"))
    assert rows(found, "id", "name", "previous_name", "previous_city") == [(1, "b", "a", "Bonn"), (3, "d", None, None)]


def test_type_6_shows_the_newest_value_beside_each_version(filled: Any) -> None:
    found = gold.with_current(filled, DIM, "name")
    expected = [(1, "a", "b"), (1, "b", "b"), (1, "b", "b"), (2, "c", "c"), (3, "d", "d")]
    specials = [(None, "Not applicable", "Not applicable"), (None, "Unknown", "Unknown")]
    assert rows(found, "id", "name", "current_name") == expected + specials


def test_a_timeline_tells_versions_gaps_and_what_changed(filled: Any) -> None:
    put(filled, "b", (2, 6, "c", "Kiel"))
    assert str(lk.timeline(filled, DIM, 1)).splitlines() == [
        "gold.dim_people, id 1",
        "  2026-01-01 – 2026-01-04  name: a, city: Bonn",
        "  2026-01-04 – 2026-01-06  name: a → b",
        "  2026-01-06 – now         city: Bonn → Kiel",
    ]
    assert [words for _, _, words in lk.timeline(filled, DIM, 2).changes()] == ["name: c, city: NULL", "deleted", "city: NULL → Kiel"]
    assert "Bonn → Kiel" in lk.timeline(filled, DIM, 1)._repr_html_()
    assert str(lk.timeline(filled, DIM, 77)) == "gold.dim_people, id 77: never heard of"
    for wrong in ({"name": 1}, "one"):
        with pytest.raises(ConfigError, match="timeline"):
            lk.timeline(filled, DIM, wrong)


def test_a_sound_history_is_verified_whatever_was_done_to_it(filled: Any) -> None:
    put(filled, "b", (1, 1, "x", "Bonn"), (1, 4, None, None), (4, 2, None, None), (2, 3, "c", "Bonn"), (2, 2, "c", None))
    facts = lk.lookup(frame(filled, "f", {"fact": 1, "id": 9}), DIM, on="id", take="person_key", missing="infer")
    lk.merge(facts, into="gold.fact", key="fact")
    found = lk.verify_scd2(filled, DIM)
    found.require()
    assert (found.members, found.broken) == (4, {})
    with pytest.raises(ConfigError, match="not a dimension"):
        lk.verify_scd2(filled, "gold.fact")


def test_what_another_tool_broke_is_found_and_counted(filled: Any) -> None:
    table = foreign(filled, DIM)
    stored = table.scan().to_arrow()
    first = stored.filter(pa.compute.equal(stored["id"], 1)).sort_by("valid_from").slice(0, 1)
    broken = first.set_column(first.schema.get_field_index("valid_to"), "valid_to", pa.array([at(9)], pa.timestamp("us", "UTC")))
    broken = broken.set_column(broken.schema.get_field_index("is_current"), "is_current", pa.array([True]))
    table.append(broken.cast(table.schema().as_arrow()))
    found = lk.verify_scd2(filled, DIM)
    assert found.broken["versions that overlap the next one"] == 1
    assert found.broken["versions whose is_current is not what valid_to says"] == 1
    assert found.broken["members with several open versions"] == 1
    assert found.broken["surrogate keys that stand twice"] == 1
    with pytest.raises(ContractError, match="overlap"):
        found.require()


def test_all_dimensions_and_roles_of_a_fact_are_looked_up_in_one_call_and_followed(filled: Any) -> None:
    def facts() -> lk.Commit:
        orders = lk.read_new(filled, "silver.orders", into="gold.orders")
        buyer = gold.Role(
            dimension=DIM, on={"buyer": "id"}, at="at", take={"person_key": "buyer_key", "city": "buyer_city"}, missing="infer"
        )
        seller = gold.Role(dimension=DIM, on={"seller": "id"}, at="at", take={"person_key": "seller_key", "city": "seller_city"})
        shop = gold.Role(dimension="gold.dim_shops", on={"shop": "shop_id"}, take={"name": "shop_name"})
        return lk.merge(gold.lookup_all(orders, buyer, seller, shop), key="order")

    shops = frame(filled, "shops", {"shop_id": "s", "name": "Corner", "at": at(0)})
    lk.merge_scd2(shops, into="gold.dim_shops", key="shop_id", effective_at="at")
    orders = [
        {"order": 1, "buyer": 1, "seller": 3, "shop": "s", "at": at(4)},
        {"order": 2, "buyer": 8, "seller": 1, "shop": "t", "at": at(5)},
    ]
    lk.merge(frame(filled, "orders", *orders), into="silver.orders", key="order")
    facts()
    names = ("order", "buyer_city", "seller_city", "shop_name")
    assert living(filled, "gold.orders", *names) == [(1, "Bonn", "Ulm", "Corner"), (2, None, "Kiel", None)]
    put(filled, "late", (1, 4, "b", "Mainz"), (8, 2, "h", "Trier"))
    assert facts().recomputed == 2
    assert living(filled, "gold.orders", *names) == [(1, "Mainz", "Ulm", "Corner"), (2, "Trier", "Kiel", None)]
    role = gold.Role(dimension=DIM, on={"buyer": "id"}, take="city")
    with pytest.raises(ConfigError, match="city"):
        gold.lookup_all(frame(filled, "x", *orders), role, role)


def test_a_composite_key_is_looked_up_by_all_its_parts(lake: Any) -> None:
    places = [{"country": c, "zip": z, "name": n, "at": at(d)} for c, z, n, d in [("DE", 1, "a", 0), ("DE", 1, "b", 3), ("FR", 1, "c", 0)]]
    options = {"key": ("country", "zip"), "effective_at": "at", "surrogate_key": "place_key"}
    lk.merge_scd2(frame(lake, "a", *places), into="gold.places", **options)
    told = [("DE", 1, 2), ("DE", 1, 3), ("FR", 1, 9), ("FR", 2, 9), (None, 1, 9)]
    facts = frame(lake, "f", *({"fact": n, "land": c, "zip": z, "at": at(d)} for n, (c, z, d) in enumerate(told)))
    found = lk.lookup(facts, "gold.places", on={"land": "country", "zip": "zip"}, at="at", take=("name", "place_key"), missing="infer")
    lk.merge(found, into="gold.facts", key="fact")
    assert [name for _, name in living(lake, "gold.facts", "fact", "name")] == ["a", "b", "c", None, None]
    members = {row["place_key"] for row in lk.read(lake, "gold.places").to_arrow().to_pylist()}
    assert {key for (key,) in living(lake, "gold.facts", "place_key")} <= members
    lk.verify_scd2(lake, "gold.places").require()


def test_a_date_dimension_has_a_row_for_each_day_and_facts_need_no_look_up(lake: Any) -> None:
    days = gold.date_dimension(lake, date(2024, 2, 28), date(2025, 1, 1), fiscal_year_begins=4, holidays={date(2024, 12, 25): "Christmas"})
    assert lk.merge(days, into="gold.dim_date", key="date_key").inserted == 309 + 2
    found = {row["date_key"]: row for row in lk.read(lake, "gold.dim_date").to_arrow().to_pylist()}
    leap, christmas, monday = found[20240229], found[20241225], found[20241230]
    assert (leap["date"], leap["is_last_of_month"], leap["day_of_year"], leap["fiscal_year"]) == (date(2024, 2, 29), True, 60, 2024)
    assert (christmas["holiday"], christmas["is_weekend"], christmas["fiscal_year"], christmas["fiscal_quarter"]) == (
        "Christmas",
        False,
        2025,
        3,
    )
    assert (monday["iso_year"], monday["iso_week"], monday["day_name"], monday["day_of_week"]) == (2025, 1, "Monday", 1)
    assert (found[-1]["day_name"], found[-1]["date"], found[-2]["month_name"]) == ("Unknown", None, "Not applicable")
    facts = frame(lake, "f", {"at": datetime(2024, 12, 25, 23, 59, tzinfo=UTC)}, {"at": None})
    assert rows(lk.select(facts, {"key": gold.date_key("at")}), "key") == [(-1,), (20241225,)]
    assert not lk.merge(gold.date_dimension(lake, date(2024, 12, 25), date(2024, 12, 31), fiscal_year_begins=4,
                                            holidays={date(2024, 12, 25): "Christmas"}), into="gold.dim_date", key="date_key").inserted  # fmt: skip
    with pytest.raises(ConfigError, match="last="):
        gold.date_dimension(lake, date(2025, 1, 1), date(2024, 1, 1))


def test_a_periodic_snapshot_shows_each_member_at_the_end_of_each_period_and_follows_late_events(filled: Any) -> None:
    def days() -> lk.Commit:
        return lk.replace_groups(
            gold.periodic_snapshot(filled, DIM, every="day", first=DAY.date(), last=at(5).date()), into="gold.people_by_day"
        )

    days()
    found = living(filled, "gold.people_by_day", "id", "period", "name", "city")
    assert [(number, (day - DAY.date()).days, name) for number, day, name, _ in found if number == 1] == [
        (1, 0, "a"), (1, 1, "a"), (1, 2, "a"), (1, 3, "b"), (1, 4, "b"), (1, 5, "b"),
    ]  # fmt: skip
    assert [(day - DAY.date()).days for number, day, *_ in found if number == 2] == [0, 1, 2, 3]
    before = snapshots(filled, "gold.people_by_day")
    assert not days().committed
    assert snapshots(filled, "gold.people_by_day") == before
    put(filled, "late", (1, 1, "x", "Bonn"))
    assert (days().inserted, snapshots(filled, "gold.people_by_day")) == (2, before + 1)
    months = gold.periodic_snapshot(filled, DIM, every="quarter", first=date(2025, 12, 31), last=date(2026, 3, 1))
    assert rows(months, "id", "period") == [(1, date(2026, 1, 1)), (3, date(2026, 1, 1))]
    with pytest.raises(ConfigError, match="every="):
        gold.periodic_snapshot(filled, DIM, every="hour", first=DAY.date(), last=DAY.date())  # type: ignore[arg-type]


def test_an_accumulating_snapshot_grows_with_its_process(lake: Any) -> None:
    steps = {"ordered_at": "kind = 'order'", "shipped_at": "kind = 'shipment'", "paid_at": "kind = 'payment'"}

    def tell(run: str, *told: tuple[int, str, int]) -> lk.Commit:
        lk.append(
            frame(lake, run, *({"no": no, "kind": kind, "at": at(day), "buyer": f"{no} on {day}"} for no, kind, day in told)),
            into="bronze.events",
        )
        events = lk.read_new_groups(lake, "bronze.events", into="gold.orders", by="no")
        return lk.replace_groups(gold.accumulating_snapshot(events, at="at", milestones=steps, take="buyer"))

    tell("a", (1, "order", 0), (2, "order", 1), (1, "shipment", 2))
    assert tell("b", (1, "payment", 5), (1, "shipment", 4)).inserted == 1
    names = ("no", "buyer", "milestone", "ordered_at", "shipped_at", "paid_at", "seconds_shipped_at_to_paid_at")
    assert living(lake, "gold.orders", *names) == [
        (1, "1 on 5", "paid_at", at(0), at(2), at(5), 3 * 86_400.0),
        (2, "2 on 1", "ordered_at", at(1), None, None, None),
    ]
    with pytest.raises(ConfigError, match="whole processes"):
        gold.accumulating_snapshot(lk.read(lake, "bronze.events"), at="at", milestones=steps)
