"""resolve_identities: who is one person, under which id, and what becomes of ids."""

from __future__ import annotations

from typing import Any

import pytest

import lakekit as lk
from lakekit import identity
from tests.contract.helpers import frame
from tests.contract.identities import BY_EMAIL, INTO, NOW, masters, persons, resolve, rows

ADA, BO = {"user_id": 1, "email": "ada@example.com"}, {"user_id": 2, "email": "bo@example.com"}
BUYER = {"buyer_id": "x", "email": "ada@example.com"}


def test_the_usage_in_the_design_runs_as_it_is_written(lake: Any) -> None:
    user = {"user_id": 1, "email": "ada@example.com", "phone": "+1", "full_name": "Ada Lovelace"}
    lk.merge(frame(lake, "a", user), key="user_id", into="silver.users")
    lk.merge(frame(lake, "a", {"buyer_id": "x", "email": None, "phone": "+1"}), key="buyer_id", into="silver.market_buyers")
    people = identity.Rules(
        match=[identity.exact("email"), identity.exact("phone"), identity.fuzzy("full_name", at_least=0.92, within="phone")]
    )
    commit = lk.resolve_identities(
        {
            "postgres": lk.read_new(lake, "silver.users", into="silver.identities"),
            "mongo": lk.read_new(lake, "silver.market_buyers", into="silver.identities"),
        },
        record_key={"postgres": "user_id", "mongo": "buyer_id"},
        rules=people,
    )
    assert (commit.table, commit.inserted) == (INTO, 2)
    assert persons(lake) == [["mongo x", "postgres 1"]]


def test_records_with_one_value_are_one_person_and_others_are_not(lake: Any) -> None:
    resolve(lake, "a", shop=[ADA, BO], market=[BUYER])
    assert persons(lake) == [["market x", "shop 1"], ["shop 2"]]


def test_null_and_empty_text_match_nothing(lake: Any) -> None:
    resolve(
        lake,
        "a",
        shop=[{"user_id": 1, "email": None}, {"user_id": 2, "email": None}, {"user_id": 3, "email": ""}, {"user_id": 4, "email": ""}],
    )
    assert len(persons(lake)) == 4


def test_a_value_shared_by_too_many_records_is_no_evidence(lake: Any) -> None:
    rules = identity.Rules(match=[identity.exact("email", max_shared=2)])
    noreply = [{"user_id": number, "email": "noreply@example.com"} for number in range(3)]
    resolve(lake, "a", shop=noreply[:2], rules=rules)
    assert len(persons(lake)) == 1
    resolve(lake, "b", shop=noreply[2:], rules=rules)
    assert len(persons(lake)) == 3
    resolve(lake, "c", shop=[{**noreply[0], "_operation": "delete"}], rules=rules)
    assert persons(lake) == [["shop 1", "shop 2"]]


def test_a_source_may_lack_a_column_that_the_rules_read(lake: Any) -> None:
    rules = identity.Rules(match=[identity.exact("email"), identity.exact("phone")])
    resolve(lake, "a", shop=[{**ADA, "phone": "+1"}], market=[BUYER, {"buyer_id": "y", "email": "bo@example.com"}], rules=rules)
    assert persons(lake) == [["market x", "shop 1"], ["market y"]]


def test_columns_of_different_types_are_compared_as_text(lake: Any) -> None:
    rules = identity.Rules(match=[identity.exact("account")])
    resolve(lake, "a", shop=[{"user_id": 1, "account": 42}], market=[{"buyer_id": "x", "account": "42"}], rules=rules)
    assert persons(lake) == [["market x", "shop 1"]]


def test_a_fuzzy_rule_compares_only_records_that_share_a_value(lake: Any) -> None:
    rules = identity.Rules(match=[identity.fuzzy("name", at_least=0.9, within="phone")])
    people = [
        {"user_id": 1, "name": "catherine", "phone": "+1"},
        {"user_id": 2, "name": "catherina", "phone": "+1"},
        {"user_id": 3, "name": "robert", "phone": "+1"},
        {"user_id": 4, "name": "catherine", "phone": "+2"},
        {"user_id": 5, "name": "catherine", "phone": None},
    ]
    resolve(lake, "a", shop=people, rules=rules)
    assert persons(lake) == [["shop 1", "shop 2"], ["shop 3"], ["shop 4"], ["shop 5"]]


def test_a_veto_keeps_a_family_on_one_phone_apart_unless_the_email_is_the_same(lake: Any) -> None:
    rules = identity.Rules(
        match=[identity.exact("email"), identity.exact("phone")], never=[identity.veto("name", below=0.7, unless="email")]
    )
    people = [
        {"user_id": 1, "name": "anna", "phone": "+1", "email": "a@example.com"},
        {"user_id": 2, "name": "robert", "phone": "+1", "email": "r@example.com"},
        {"user_id": 3, "name": "robert", "phone": None, "email": "a@example.com"},
    ]
    resolve(lake, "a", shop=people[:2], rules=rules)
    assert persons(lake) == [["shop 1"], ["shop 2"]]
    resolve(lake, "b", shop=people[2:], rules=rules)
    assert persons(lake) == [["shop 1", "shop 3"], ["shop 2"]]


def test_no_person_holds_two_records_that_a_veto_keeps_apart_whatever_links_them(lake: Any) -> None:
    rules = identity.Rules(match=[identity.exact("email"), identity.exact("phone")], never=[identity.veto("born")])
    twins = [
        {"user_id": 1, "born": "1990", "email": "a@example.com", "phone": "+1"},
        {"user_id": 2, "born": None, "email": "a@example.com", "phone": "+2"},
        {"user_id": 3, "born": "1991", "email": None, "phone": "+2"},
    ]
    resolve(lake, "a", shop=twins, rules=rules)
    assert persons(lake) == [["shop 1", "shop 2"], ["shop 3"]]


def test_a_group_too_large_is_cut_at_its_weakest_links(lake: Any, caplog: pytest.LogCaptureFixture) -> None:
    rules = identity.Rules(match=[identity.exact("email"), identity.exact("phone")], max_members=2)
    people = [
        {"user_id": 1, "email": "a@example.com", "phone": "+1"},
        {"user_id": 2, "email": "b@example.com", "phone": "+1"},
        {"user_id": 3, "email": "b@example.com", "phone": "+1"},
    ]
    resolve(lake, "a", shop=people, rules=rules)
    assert persons(lake) == [["shop 1"], ["shop 2", "shop 3"]]
    assert "1 groups of linked records were larger than 2" in caplog.text


def test_two_persons_that_turn_out_to_be_one_keep_the_larger_ones_id_and_an_alias(lake: Any) -> None:
    resolve(lake, "a", shop=[ADA, BO], market=[BUYER])
    before = masters(lake)
    commit = resolve(lake, "b", shop=[{**BO, "email": "ada@example.com"}])
    assert masters(lake) == dict.fromkeys(before, before["shop 1"])
    (alias,) = rows(lake, "alias")
    assert (alias["former_user_id"], alias["master_user_id"]) == (before["shop 2"], before["shop 1"])
    assert next(row for row in rows(lake) if row["record_key"] == "2")["former_user_id"] == before["shop 2"]
    assert (commit.inserted, commit.updated) == (1, 1)


def test_of_two_equal_persons_the_older_id_is_kept(lake: Any) -> None:
    resolve(lake, "a", shop=[BO])
    resolve(lake, "b", shop=[ADA])
    older = masters(lake)["shop 2"]
    resolve(lake, "c", shop=[{**ADA, "email": "bo@example.com"}])
    assert set(masters(lake).values()) == {older}


def test_an_alias_leads_to_the_living_id_however_often_it_moved_on(lake: Any) -> None:
    resolve(lake, "a", shop=[{"user_id": number, "email": f"{number}@example.com"} for number in (1, 2, 3)])
    first = masters(lake)
    resolve(lake, "b", shop=[{"user_id": 2, "email": "1@example.com"}])
    second = masters(lake)["shop 1"]
    resolve(lake, "c", shop=[{"user_id": number, "email": "3@example.com"} for number in (1, 2)])
    last = masters(lake)["shop 3"]
    assert set(masters(lake).values()) == {last}
    assert {row["master_user_id"] for row in rows(lake, "alias")} == {last}
    assert {row["former_user_id"] for row in rows(lake, "alias")} == {*first.values(), second} - {last}


def test_a_person_that_turns_out_to_be_two_keeps_the_id_for_the_larger_part(lake: Any) -> None:
    resolve(lake, "a", shop=[ADA, {"user_id": 2, "email": "ada@example.com"}], market=[BUYER])
    before = masters(lake)["shop 1"]
    resolve(lake, "b", shop=[BO])
    after = masters(lake)
    assert after["shop 1"] == after["market x"] == before
    (split,) = rows(lake, "split")
    assert (split["former_user_id"], split["master_user_id"]) == (before, after["shop 2"])
    assert after["shop 2"] != before


def test_a_deleted_record_may_split_its_person(lake: Any) -> None:
    rules = identity.Rules(match=[identity.exact("email"), identity.exact("phone")])
    people = [
        {"user_id": 1, "email": "a@example.com", "phone": None},
        {"user_id": 2, "email": "a@example.com", "phone": "+1"},
        {"user_id": 3, "email": None, "phone": "+1"},
    ]
    resolve(lake, "a", shop=people, rules=rules)
    assert len(persons(lake)) == 1
    commit = resolve(lake, "b", shop=[{**people[1], "_operation": "delete"}], rules=rules)
    assert persons(lake) == [["shop 1"], ["shop 3"]]
    assert commit.deleted == 1
    gone = next(row for row in rows(lake) if row["record_key"] == "2")
    assert gone["_deleted_at"] == NOW
    assert gone["master_user_id"] is not None


def test_an_id_whose_last_record_went_leads_to_nobody_and_never_comes_back(lake: Any) -> None:
    resolve(lake, "a", shop=[ADA])
    before = masters(lake)["shop 1"]
    resolve(lake, "b", shop=[{**ADA, "_operation": "delete"}])
    assert [(row["former_user_id"], row["master_user_id"]) for row in rows(lake, "alias")] == [(before, None)]
    resolve(lake, "c", shop=[ADA])
    assert masters(lake)["shop 1"] != before


def test_a_deleted_record_leaves_no_values_behind(lake: Any) -> None:
    resolve(lake, "a", shop=[ADA])
    resolve(lake, "b", shop=[{**ADA, "_operation": "delete"}])
    assert lk.read(lake, f"{INTO}__records", deleted=True).to_arrow().column("email").to_pylist() == [None]


def test_the_last_row_of_a_record_in_a_batch_is_the_one_that_counts(lake: Any) -> None:
    one, two = (NOW.replace(hour=hour) for hour in (1, 2))
    late = [{**ADA, "_source_timestamp": two}, {**ADA, "email": "bo@example.com", "_source_timestamp": one}]
    commit = resolve(lake, "a", shop=late, market=[BUYER])
    assert persons(lake) == [["market x", "shop 1"]]
    assert (commit.read, commit.duplicates, commit.inserted) == (3, 1, 2)


def test_keys_of_several_columns_are_joined_and_stay_apart(lake: Any) -> None:
    people = [
        {"tenant": "a|b", "number": 1, "email": "x"},
        {"tenant": "a", "number": 1, "email": "y"},
        {"tenant": "50%", "number": 1, "email": "z"},
    ]
    batch = frame(lake, "a", *people)
    lk.resolve_identities({"shop": batch}, record_key={"shop": ("tenant", "number")}, rules=BY_EMAIL, into=INTO)
    assert {row["record_key"] for row in rows(lake)} == {"a%7Cb|1", "a|1", "50%25|1"}


def test_records_without_a_key_are_rejected_and_kept(lake: Any) -> None:
    commit = resolve(lake, "a", shop=[ADA, {"user_id": None, "email": "bo@example.com"}])
    assert (commit.read, commit.rejected, commit.inserted) == (2, 1, 1)
    (reject,) = lk.read(lake, f"{INTO}__rejects").to_arrow().to_pylist()
    assert (reject["_rule"], reject["_reason"]) == ("record_key", "null_record_key")
