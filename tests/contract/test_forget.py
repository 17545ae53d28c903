"""forget: nothing of a person is left in any live file, and nobody comes back with the next ingestion."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pyarrow.parquet as pq
import pytest

import lakekit as lk
from lakekit import identity, rules
from tests.contract.helpers import foreign, frame, listed, local, stored
from tests.contract.identities import INTO, NOW, persons

ADA = {"user_id": 71717171717, "email": "ada.secret@example.com", "name": "Ada Secretova", "phone": "0305550199"}
BO = {"user_id": 8282, "email": "bo@example.com", "name": "Bo", "phone": "0305550100"}
EVERYWHERE = {
    "bronze.users": {"user_id": 71717171717},
    "silver.users": {"user_id": 71717171717},
    INTO: {"source": "shop", "record_key": "71717171717"},
    "gold.people": "email = 'ada.secret@example.com'",
    "silver.orders": {"user_id": 71717171717},
}
MATCH = identity.Rules(match=[identity.exact("email"), identity.fuzzy("name", at_least=0.9, within="phone")])
SECRETS = (b"ada.secret", b"Secretova", b"5550199", b"71717171717", (71717171717).to_bytes(8, "little"))


def ingest(lake: Any, run: str, *people: dict[str, Any]) -> lk.Commit:
    return lk.append(frame(lake, run, *people), into="bronze.users")


def refine(lake: Any, run: str) -> None:
    users = lk.read_new(lake, "bronze.users", into="silver.users")
    lk.merge(lk.clean(users, {"phone": rules.phone("DE")}), key="user_id")
    batches = {"shop": lk.read_new(lake, "silver.users", into=INTO)}
    lk.resolve_identities(batches, record_key={"shop": "user_id"}, rules=MATCH, now=NOW)
    people = lk.select(lk.read_new(lake, "silver.users", into="gold.people"), {"user_id": "user_id", "email": "email", "name": "name"})
    lk.merge_scd2(people, key="user_id", effective_at="_ingestion_timestamp")


@pytest.fixture
def shop(lake: Any) -> Any:
    ingest(lake, "a", ADA, {**BO, "phone": "no phone"})
    refine(lake, "a")
    ingest(lake, "b", {**ADA, "name": "Ada S. Secretova"}, BO)
    ingest(lake, "c", {**ADA, "phone": "none of your business"})
    refine(lake, "b")
    orders = [{"order_id": 1, "user_id": 71717171717, "total": 5}, {"order_id": 2, "user_id": 8282, "total": 7}]
    lk.merge(frame(lake, "o", *orders), key="order_id", into="silver.orders")
    return lake


def live_bytes(lake: Any) -> Iterator[tuple[str, bytes]]:
    """The bytes of all Parquet files of all tables, and what they say, since pages are compressed."""
    for name in lake.tables():
        for path in sorted(listed(foreign(lake, name))):
            if path.endswith(".parquet"):
                file = local(path.removeprefix("file://"))
                yield name, file.read_bytes()
                yield name, repr(pq.read_table(file).to_pylist()).encode()


def seen(lake: Any) -> set[str]:
    """The tables whose files hold something of Ada's."""
    return {name for name, content in live_bytes(lake) for secret in SECRETS if re.search(re.escape(secret), content)}


def clean_up(lake: Any) -> None:
    """The next run of the pipeline, and then maintenance."""
    ingest(lake, "later", {"user_id": 9393, "email": "cy@example.com", "name": "Cy", "phone": None})
    refine(lake, "later")
    for name in lake.tables():
        lk.maintain(lake, name, older_than=timedelta(0))


def test_after_maintain_no_live_file_holds_a_value_of_the_person(shop: Any) -> None:
    assert {"bronze.users", "silver.users", INTO, f"{INTO}__records", "gold.people", "silver.orders", "silver.users__rejects"} <= seen(shop)
    commits = lk.forget(shop, EVERYWHERE)
    assert [(commit.table, commit.removed, commit.updated) for commit in commits] == [
        ("bronze.users", 3, 0),
        ("silver.users", 1, 0),
        (INTO, 0, 0),
        ("gold.people", 2, 0),
        ("silver.orders", 0, 1),
    ]
    assert commits[2].deleted == 1
    clean_up(shop)
    assert seen(shop) == set()
    assert persons(shop) == [["shop 8282"], ["shop 9393"]]
    assert stored(shop, "silver.orders", "order_id", "user_id", "total") == [(1, None, 5), (2, 8282, 7)]
    assert stored(shop, "silver.users", "user_id") == [(8282,), (9393,)]
    assert [row["_rule"] for row in lk.read(shop, "silver.users__rejects").to_arrow().to_pylist()] == ["phone"]


def test_the_tombstone_of_a_record_says_that_it_was_there_and_under_which_id(shop: Any) -> None:
    before = {row["record_key"]: row["master_user_id"] for row in lk.read(shop, INTO).to_arrow().to_pylist() if row["kind"] == "record"}
    lk.forget(shop, EVERYWHERE)
    rows = lk.read(shop, INTO, deleted=True).to_arrow().to_pylist()
    (tomb,) = [row for row in rows if row["kind"] == "record" and row["_deleted_at"] is not None]
    assert tomb["master_user_id"] == before["71717171717"]
    assert tomb["record_key"].startswith("#")
    assert lk.read(shop, f"{INTO}__keys", deleted=True).count() == 3 - 1


def test_the_person_does_not_come_back_with_the_next_ingestion(shop: Any) -> None:
    lk.forget(shop, EVERYWHERE)
    again = ingest(shop, "d", ADA, {**BO, "name": "Bo B."})
    assert (again.read, again.inserted) == (1, 1)
    refine(shop, "d")
    lk.merge(frame(shop, "again", ADA), key="user_id", into="silver.users")
    batch = {"shop": frame(shop, "again", ADA)}
    lk.resolve_identities(batch, record_key={"shop": "user_id"}, rules=MATCH, into=INTO)
    clean_up(shop)
    assert seen(shop) == set()
    assert persons(shop) == [["shop 8282"], ["shop 9393"]]


def test_a_member_of_a_dimension_with_surrogate_keys_does_not_come_back_either(lake: Any) -> None:
    def people(run: str) -> lk.Commit:
        rows = [{"user_id": 71717171717, "name": run, "at": 1}, {"user_id": 8282, "name": run, "at": 1}]
        return lk.merge_scd2(frame(lake, run, *rows), into="gold.dim", key="user_id", effective_at="at", surrogate_key="user_key")

    people("a")
    lk.forget(lake, {"gold.dim": {"user_id": 71717171717}})
    people("b")
    assert {row[0] for row in stored(lake, "gold.dim", "user_id")} == {8282, None}


def test_without_suppress_a_person_who_comes_again_is_a_new_one(shop: Any) -> None:
    rows = lk.read(shop, INTO).to_arrow().to_pylist()
    before = next(row["master_user_id"] for row in rows if row["record_key"] == "71717171717")
    lk.forget(shop, EVERYWHERE, suppress=False)
    ingest(shop, "d", ADA)
    refine(shop, "d")
    assert persons(shop) == [["shop 71717171717"], ["shop 8282"]]
    rows = lk.read(shop, INTO).to_arrow().to_pylist()
    assert next(row["master_user_id"] for row in rows if row["record_key"] == "71717171717") != before


def test_forgetting_again_does_nothing_more_and_a_dry_run_nothing_at_all(shop: Any) -> None:
    promised = lk.forget(shop, EVERYWHERE, dry_run=True)
    assert "bronze.users" in seen(shop)
    assert f"{INTO}__forgotten" not in shop.tables()
    kept = lk.forget(shop, EVERYWHERE)
    assert [(one.removed, one.updated) for one in promised] == [(one.removed, one.updated) for one in kept]
    again = lk.forget(shop, EVERYWHERE)
    assert not any(commit.committed for commit in again)


def test_facts_are_deleted_where_that_is_wanted(shop: Any) -> None:
    lk.forget(shop, EVERYWHERE, facts="delete")
    assert stored(shop, "silver.orders", "order_id") == [(2,)]


def test_erasing_a_record_may_divide_its_person_and_the_others_keep_the_id(lake: Any) -> None:
    match = identity.Rules(match=[identity.exact("email"), identity.exact("phone")])
    people = [{"id": 1, "email": "a", "phone": None}, {"id": 2, "email": "a", "phone": "1"}, {"id": 3, "email": None, "phone": "1"}]
    lk.resolve_identities({"shop": frame(lake, "a", *people)}, record_key={"shop": "id"}, rules=match, into=INTO)
    assert len(persons(lake)) == 1
    lk.forget(lake, {INTO: {"source": "shop", "record_key": "2"}})
    assert persons(lake) == [["shop 1"], ["shop 3"]]
    repeated = lk.resolve_identities({"shop": frame(lake, "b", *people)}, record_key={"shop": "id"}, rules=match, into=INTO)
    assert repeated.inserted == 0
    assert not lk.resolve_identities(
        {"shop": frame(lake, "b", *people)}, record_key={"shop": "id"}, rules=match, into=INTO, rebuild=True
    ).committed


def test_a_table_that_consumes_a_named_one_and_is_not_named_is_warned_of(shop: Any, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        lk.forget(shop, {"silver.users": {"user_id": 71717171717}})
    assert f"may hold the person: gold.people, {INTO}" in caplog.text
    assert "71717171717" not in caplog.text


MISTAKES: list[tuple[Any, type[lk.errors.LakekitError]]] = [
    ({}, lk.errors.ConfigError),
    ({"silver.users": {}}, lk.errors.ConfigError),
    ({"silver.users": {"user_id": None}}, lk.errors.ConfigError),
    ({"silver.users": {"userid": 71717171717}}, lk.errors.SchemaError),
    ({"silver.users": "userid = 71717171717"}, lk.errors.QueryError),
    ({"silver.users": "user_id = = 71717171717"}, lk.errors.QueryError),
    ({"silver.users": "1 = 1"}, lk.errors.ConfigError),
    ({"silver.nobody": {"user_id": 71717171717}}, lk.errors.TableNotFoundError),
    ({"bronze.users": "email LIKE 'ada.secret%'"}, lk.errors.ConfigError),
]


def test_what_is_wrong_is_said_before_anything_is_written(shop: Any) -> None:
    for where, kind in MISTAKES:
        with pytest.raises(kind) as error:
            lk.forget(shop, {**where, **({"silver.orders": {"order_id": 1}} if where else {})})
        assert "71717171717" not in str(error.value)
        assert "ada.secret" not in str(error.value)
        assert lk.read(shop, "silver.orders").count() == 2
    with pytest.raises(lk.errors.ConfigError, match="detach"):
        lk.forget(shop, EVERYWHERE, facts="keep")  # type: ignore[arg-type]
