"""with_identity: a row gets the id of the person it is about, and keeps up with it."""

from __future__ import annotations

from typing import Any

import pytest

import lakekit as lk
from lakekit import identity
from lakekit.errors import ConfigError, SchemaError, TableNotFoundError
from tests.contract.helpers import frame, snapshots, stored

INTO, PEOPLE, ORDERS = "silver.unified", "silver.identities", "silver.orders"
RULES = identity.Rules(match=[identity.exact("email")])


def person(source: str, number: object, email: str | None, operation: str = "upsert") -> dict[str, Any]:
    return {"source": source, "id": number, "email": email, "_operation": operation}


def people(lake: Any, run: str, *records: dict[str, Any]) -> None:
    """Records of two sources, whose keys are of two types."""
    for source in ("shop", "market"):
        rows = [{name: value for name, value in record.items() if name != "source"} for record in records if record["source"] == source]
        if rows:
            lk.merge(frame(lake, run, *rows), into=f"silver.{source}", key="id")
    batches = {source: lk.read_new(lake, f"silver.{source}", into=PEOPLE) for source in ("shop", "market")}
    lk.resolve_identities(batches, record_key={"shop": "id", "market": "id"}, rules=RULES)


def unify(lake: Any) -> lk.Commit:
    orders = lk.read_new(lake, ORDERS, into=INTO)
    return lk.merge(lk.with_identity(orders, PEOPLE, source_column="channel", record_key="person"), key="order")


def ids(lake: Any) -> dict[int, int | None]:
    return dict(stored(lake, INTO, "order", "master_user_id"))


@pytest.fixture
def shop(lake: Any) -> Any:
    people(lake, "a", person("shop", 1, "ada@x.org"), person("shop", 2, "bo@x.org"), person("market", "m", "ada@x.org"))
    sold = [("shop", "1"), ("market", "m"), ("shop", "2"), ("shop", "9"), ("market", None)]
    rows = [{"order": number, "channel": channel, "person": key} for number, (channel, key) in enumerate(sold)]
    lk.merge(frame(lake, "orders", *rows), into=ORDERS, key="order")
    unify(lake)
    return lake


def test_records_of_one_person_give_one_id_and_unknown_ones_none(shop: Any) -> None:
    found = ids(shop)
    assert found[0] == found[1] != found[2]
    assert (found[3], found[4]) == (None, None)


def test_a_record_that_becomes_known_later_reaches_the_rows_written_before(shop: Any) -> None:
    people(shop, "b", person("shop", 9, "ada@x.org"))
    assert unify(shop).recomputed == 1
    assert ids(shop)[3] == ids(shop)[0]


def test_a_changed_email_splits_a_person_and_another_one_joins_them_again(shop: Any) -> None:
    people(shop, "b", person("market", "m", "other@x.org"))
    unify(shop)
    assert ids(shop)[0] != ids(shop)[1]
    people(shop, "c", person("market", "m", "ada@x.org"))
    unify(shop)
    assert ids(shop)[0] == ids(shop)[1]
    before = snapshots(shop, INTO)
    assert not unify(shop).committed
    assert snapshots(shop, INTO) == before


def test_a_deleted_record_keeps_the_id_it_had(shop: Any) -> None:
    before = ids(shop)
    people(shop, "b", person("shop", 2, "bo@x.org", "delete"))
    unify(shop)
    assert ids(shop) == before


def test_a_number_as_the_key_means_the_same_as_its_text(shop: Any) -> None:
    orders = frame(shop, "numbers", {"order": 7, "channel": "shop", "person": 1})
    found = lk.with_identity(orders, PEOPLE, source_column="channel", record_key="person").to_arrow()
    assert found.column("master_user_id").to_pylist() == [ids(shop)[0]]


def test_a_wrong_use_is_named(shop: Any) -> None:
    orders = frame(shop, "b", {"order": 7, "channel": "shop", "person": 1, "ratio": 0.5})
    with pytest.raises(TableNotFoundError):
        lk.with_identity(orders, "silver.nobody", source_column="channel", record_key="person")
    with pytest.raises(ConfigError, match="no identities"):
        lk.with_identity(orders, ORDERS, source_column="channel", record_key="person")
    with pytest.raises(SchemaError, match="'chanel'"):
        lk.with_identity(orders, PEOPLE, source_column="chanel", record_key="person")
    with pytest.raises(SchemaError, match="names of sources"):
        lk.with_identity(orders, PEOPLE, source_column="person", record_key="person")
    with pytest.raises(ConfigError, match="ratio"):
        lk.with_identity(orders, PEOPLE, source_column="channel", record_key="ratio")
    found = lk.with_identity(orders, PEOPLE, source_column="channel", record_key="person")
    with pytest.raises(ConfigError, match="person"):
        lk.merge(lk.select(found, {name: name for name in ("order", "channel", "master_user_id")}), into="silver.more", key="order")
