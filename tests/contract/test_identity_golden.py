"""golden: one record for each person, kept up as records and persons change."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import lakekit as lk
from lakekit import identity
from tests.contract.helpers import living
from tests.contract.identities import INTO, KEYS

PEOPLE = "silver.people"
TABLES = {"shop": "silver.shop", "market": "silver.market"}
RULES = identity.Rules(match=[identity.exact("email")])
DAY = datetime(2026, 1, 1, tzinfo=UTC)
Row = dict[str, Any]


class Shop:
    """Two sources and the people made of them, hour by hour."""

    def __init__(self, lake: Any) -> None:
        self.lake = lake
        self.hour = 0

    def write(self, source: str, *rows: Row) -> None:
        """New states of records, each made an hour after the last."""
        self.hour += 1
        at = DAY + timedelta(hours=self.hour)
        batch = lk.from_frame(self.lake, [{"_source_timestamp": at, **row} for row in rows], run_id=f"hour {self.hour}", now=at)
        lk.merge(batch, key=KEYS[source], into=TABLES[source])

    def resolve(self) -> None:
        batches = {source: lk.read_new(self.lake, table, into=INTO) for source, table in TABLES.items()}
        lk.resolve_identities(batches, record_key=KEYS, rules=RULES, now=DAY)

    def golden(self, **prefer: Any) -> lk.Batch:
        return lk.golden(self.lake, TABLES, identities=INTO, prefer=prefer or {"*": "latest"}, into=PEOPLE, now=DAY)

    def people(self, *columns: str) -> list[tuple[Any, ...]]:
        """What the people look like after a run."""
        self.resolve()
        lk.merge(self.golden(), key="master_user_id")
        return living(self.lake, PEOPLE, *columns)


@pytest.fixture
def shop(lake: Any) -> Shop:
    return filled(lake)


@pytest.fixture(scope="module")
def resolved(shared_lake: Any) -> Any:
    """The same with its persons, and two tables that are none of a source."""
    filled(shared_lake).resolve()
    lk.append(lk.from_frame(shared_lake, [{"user_id": 1}], run_id="a"), into="bronze.shop")
    lk.merge(lk.from_frame(shared_lake, [{"user_id": 1, "email": [1]}], run_id="a"), key="user_id", into="silver.numbers")
    return shared_lake


def filled(lake: Any) -> Shop:
    made = Shop(lake)
    made.write(
        "shop",
        {"user_id": 1, "email": "ada@example.com", "name": "Ada", "city": "Bonn"},
        {"user_id": 2, "email": "bo@example.com", "name": "Bo", "city": None},
    )
    made.write("market", {"buyer_id": "x", "email": "ada@example.com", "name": "Ada Lovelace", "city": None, "age": 36})
    return made


def test_each_person_is_one_record_with_the_preferred_values(shop: Shop) -> None:
    shop.resolve()

    def ada(choice: Any) -> Any:
        rows = shop.golden(name=choice, city=choice).to_arrow().to_pylist()
        return next((row["name"], row["city"]) for row in rows if row["city"])

    assert ada("latest") == ada("longest") == ada(("market", "shop")) == ada(["market"]) == ada("greatest") == ("Ada Lovelace", "Bonn")
    assert ada(("shop", "market")) == ada("least") == ("Ada", "Bonn")


def test_the_most_frequent_value_wins(shop: Shop) -> None:
    shop.write("shop", *({"user_id": number, "email": "ada@example.com", "name": name} for number, name in ((3, "A. L."), (4, "Ada"))))
    shop.write("market", {"buyer_id": "y", "email": "ada@example.com", "name": "A"})
    shop.resolve()
    assert "Ada" in {row["name"] for row in shop.golden(name="most_frequent").to_arrow().to_pylist()}


def test_a_star_means_all_other_columns_but_the_record_keys(shop: Shop) -> None:
    shop.resolve()
    batch = shop.golden(**{"name": "longest", "*": "latest"})
    assert batch.business_columns == ["master_user_id", "email", "name", "age", "city"]


def test_a_person_is_made_anew_when_a_record_of_it_changes_and_others_are_left_alone(shop: Shop) -> None:
    shop.people()
    shop.write("shop", {"user_id": 1, "email": "ada@example.com", "name": "Ada B.", "city": "Kiel"})
    shop.resolve()
    assert shop.golden().count() == 1
    assert shop.people("name", "city", "age") == [("Ada B.", "Kiel", 36), ("Bo", None, None)]


def test_two_persons_that_become_one_are_one_record(shop: Shop) -> None:
    assert len(shop.people("name")) == 2
    shop.write("shop", {"user_id": 2, "email": "ada@example.com", "name": "Bo", "city": "Ulm"})
    assert shop.people("name", "city") == [("Bo", "Ulm")]


def test_a_person_that_becomes_two_is_right_again_though_the_latest_record_has_left(shop: Shop) -> None:
    shop.people()
    shop.write("shop", {"user_id": 2, "email": "ada@example.com", "name": "Bo", "city": "Ulm"})
    shop.people()
    shop.write("shop", {"user_id": 2, "email": "bo@example.com", "name": "Bo", "city": "Ulm"})
    assert shop.people("name", "city") == [("Ada Lovelace", "Bonn"), ("Bo", "Ulm")]


def test_a_deleted_record_takes_its_values_along_and_a_person_without_records_goes(shop: Shop) -> None:
    shop.people()
    shop.write("market", {"buyer_id": "x", "_operation": "delete"})
    shop.write("shop", {"user_id": 2, "_operation": "delete"})
    assert shop.people("name", "age") == [("Ada", None)]


def test_nothing_new_is_an_empty_batch_that_writes_nothing(shop: Shop) -> None:
    shop.people()
    assert shop.golden().count() == 0
    assert not lk.merge(shop.golden(), key="master_user_id").committed


def test_a_new_column_of_a_source_reaches_the_people(shop: Shop) -> None:
    shop.people()
    shop.write("shop", {"user_id": 2, "email": "bo@example.com", "name": "Bo", "tier": "gold"})
    assert ("Bo", "gold") in shop.people("name", "tier")


@pytest.mark.parametrize(
    ("kind", "mistake"),
    [
        (lk.errors.ConfigError, {"records": {}}),
        (lk.errors.ConfigError, {"records": {"shopp": "silver.shop"}}),
        (lk.errors.ConfigError, {"records": {"shop": "bronze.shop"}}),
        (lk.errors.TableNotFoundError, {"records": {"shop": "silver.shopp"}}),
        (lk.errors.TableNotFoundError, {"identities": "silver.identitees"}),
        (lk.errors.ConfigError, {"identities": "silver.shop"}),
        (lk.errors.ConfigError, {"prefer": {}}),
        (lk.errors.ConfigError, {"prefer": {"name": "best"}}),
        (lk.errors.ConfigError, {"prefer": {"name": ("shopp",)}}),
        (lk.errors.ConfigError, {"prefer": {"name": ()}}),
        (lk.errors.SchemaError, {"prefer": {"nmae": "latest"}}),
        (lk.errors.SchemaError, {"prefer": {"email": "latest"}, "records": {"shop": "silver.numbers", "market": "silver.market"}}),
        (lk.errors.ConfigError, {"into": "people"}),
    ],
)
def test_a_mistake_is_named(resolved: Any, kind: type[lk.errors.LakekitError], mistake: dict[str, Any]) -> None:
    right: dict[str, Any] = {"records": TABLES, "identities": INTO, "prefer": {"name": "latest"}, "into": PEOPLE}
    with pytest.raises(kind) as error:
        lk.golden(resolved, **{**right, **mistake})
    assert error.value.place
    assert error.value.problem
