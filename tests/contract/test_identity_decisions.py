"""identity.confirm and identity.separate: what people have decided holds, whatever the rules say and whoever runs them."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

import lakekit as lk
from lakekit import identity
from lakekit.identity import confirm, separate
from tests.contract.helpers import snapshots
from tests.contract.identities import BY_EMAIL, INTO, masters, persons, resolve

ADA, BO = {"user_id": 1, "email": "ada@example.com"}, {"user_id": 2, "email": "bo@example.com"}
BUYER = {"buyer_id": "x", "email": "ada@example.com"}
ADA_AND_BO, ADA_AND_BUYER, BO_AND_BUYER = (("shop", 1), ("shop", 2)), (("shop", 1), ("market", "x")), (("shop", 2), ("market", "x"))


def deciding(*decisions: identity.Decision, rules: identity.Rules = BY_EMAIL) -> identity.Rules:
    return attrs.evolve(rules, overrides=decisions)


def test_confirmed_records_are_one_person_in_later_runs_too(lake: Any) -> None:
    resolve(lake, "a", shop=[ADA, BO], market=[BUYER], rules=deciding(confirm(*ADA_AND_BO)))
    assert persons(lake) == [["market x", "shop 1", "shop 2"]]
    resolve(lake, "b", shop=[{**ADA, "email": "new@example.com"}])
    assert persons(lake) == [["market x"], ["shop 1", "shop 2"]]
    resolve(lake, "c", rebuild=True, shop=[{**BO, "email": "other@example.com"}])
    assert persons(lake) == [["market x"], ["shop 1", "shop 2"]]


def test_separated_records_are_two_persons_though_every_pair_is_linked(lake: Any) -> None:
    third = {"user_id": 3, "email": "ada@example.com"}
    resolve(lake, "a", shop=[ADA, third], market=[BUYER], rules=deciding(separate(*ADA_AND_BUYER)))
    assert persons(lake) == [["market x", "shop 3"], ["shop 1"]]
    resolve(lake, "b", shop=[{"user_id": 4, "email": "ada@example.com"}])
    assert masters(lake)["shop 1"] != masters(lake)["market x"]


def test_a_decision_alone_is_enough_for_a_run_and_ids_stay(lake: Any) -> None:
    resolve(lake, "a", shop=[ADA, BO], market=[BUYER])
    before = masters(lake)
    commit = resolve(lake, "a", shop=[ADA, BO], market=[BUYER], rules=deciding(confirm(*BO_AND_BUYER)))
    assert (commit.committed, commit.updated, commit.read) == (True, 1, 0)
    assert set(masters(lake).values()) == {before["shop 1"]}
    assert not resolve(lake, "a", shop=[ADA, BO], market=[BUYER], rules=deciding(confirm(*BO_AND_BUYER))).committed
    resolve(lake, "a", shop=[ADA, BO], market=[BUYER], rules=deciding(separate(*BO_AND_BUYER)))
    assert persons(lake) == [["market x", "shop 1"], ["shop 2"]]


def test_a_decision_touches_only_whom_it_is_about(lake: Any) -> None:
    resolve(lake, "a", shop=[ADA, BO, {"user_id": 3, "email": "cy@example.com"}], market=[BUYER])
    lk.append(lk.read_new(lake, INTO, into="gold.copy"))
    made = snapshots(lake, f"{INTO}__keys")
    resolve(lake, "a", shop=[ADA], rules=deciding(confirm(("shop", 2), ("shop", 3))))
    changed = lk.read_new(lake, INTO, into="gold.copy").to_arrow().to_pylist()
    assert {row["record_key"] for row in changed if row["kind"] == "record"} <= {"2", "3"}
    assert snapshots(lake, f"{INTO}__keys") == made


def test_of_two_decisions_about_one_pair_the_later_one_counts(lake: Any) -> None:
    resolve(lake, "a", shop=[ADA, BO], rules=deciding(confirm(*ADA_AND_BO)))
    resolve(lake, "b", market=[BUYER], rules=deciding(separate(*ADA_AND_BO)))
    assert persons(lake) == [["market x", "shop 1"], ["shop 2"]]
    resolve(lake, "c", shop=[{"user_id": 3, "email": "cy@example.com"}], rules=deciding(confirm(*ADA_AND_BO)))
    assert persons(lake) == [["market x", "shop 1", "shop 2"], ["shop 3"]]


def test_what_is_confirmed_beats_vetoes_and_the_cap_and_others_are_still_kept_apart(lake: Any) -> None:
    rules = identity.Rules(match=[identity.exact("email")], never=[identity.veto("born")], max_members=2)
    people = [{"user_id": n, "email": "ada@example.com", "born": born} for n, born in ((1, "1990"), (2, "1991"), (3, "1991"), (4, "1992"))]
    decided = deciding(confirm(("shop", 1), ("shop", 2)), confirm(("shop", 2), ("shop", 3)), rules=rules)
    resolve(lake, "a", shop=people, rules=decided)
    assert persons(lake) == [["shop 1", "shop 2", "shop 3"], ["shop 4"]]


def test_a_decision_may_come_before_its_record(lake: Any) -> None:
    resolve(lake, "a", shop=[ADA], rules=deciding(confirm(*ADA_AND_BO)))
    resolve(lake, "b", shop=[BO])
    assert persons(lake) == [["shop 1", "shop 2"]]
    resolve(lake, "c", shop=[{**BO, "_operation": "delete"}])
    resolve(lake, "d", shop=[BO])
    assert persons(lake) == [["shop 1", "shop 2"]]


def test_a_decision_that_contradicts_earlier_ones_is_refused(lake: Any) -> None:
    resolve(lake, "a", shop=[ADA, BO], market=[BUYER], rules=deciding(confirm(*ADA_AND_BO), confirm(*ADA_AND_BUYER)))
    with pytest.raises(lk.errors.ConfigError, match="contradict") as error:
        resolve(lake, "a", shop=[ADA], rules=deciding(separate(*BO_AND_BUYER)))
    assert "earlier one back" in error.value.hint
    assert len(persons(lake)) == 1
    resolve(lake, "a", shop=[ADA], rules=deciding(separate(*BO_AND_BUYER), separate(*ADA_AND_BO)))
    assert persons(lake) == [["market x", "shop 1"], ["shop 2"]]


def test_a_dry_run_counts_what_a_decision_would_do(lake: Any) -> None:
    decided = deciding(confirm(*ADA_AND_BO))
    promised = resolve(lake, "a", shop=[ADA, BO], market=[BUYER], rules=decided, dry_run=True)
    assert (promised.inserted, lake.tables()) == (3, [])
    resolve(lake, "a", shop=[ADA, BO], market=[BUYER])
    promised = resolve(lake, "a", shop=[ADA], rules=decided, dry_run=True)
    assert (promised.updated, len(persons(lake))) == (1, 2)
    kept = resolve(lake, "a", shop=[ADA], rules=decided)
    assert (kept.inserted, kept.updated) == (promised.inserted, promised.updated)


def test_a_decision_of_a_run_that_broke_off_is_taken_up_by_the_next(lake: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    resolve(lake, "a", shop=[ADA, BO])
    decided = deciding(confirm(*ADA_AND_BO))
    with monkeypatch.context() as patch:
        patch.setattr("lakekit.identity.assign.put", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            resolve(lake, "a", shop=[ADA, BO], rules=decided)
    assert len(persons(lake)) == 2
    resolve(lake, "a", shop=[ADA, BO], rules=decided)
    assert len(persons(lake)) == 1


def test_explain_tells_what_was_decided(lake: Any) -> None:
    resolve(lake, "a", shop=[ADA, BO], market=[BUYER], rules=deciding(confirm(*ADA_AND_BO), separate(*ADA_AND_BUYER)))
    confirmed = identity.explain(lake, INTO, a=("shop", 1), b=("shop", 2))
    assert (confirmed.same, confirmed.steps[0].rules) == (True, (("confirm", 1.0),))
    separated = identity.explain(lake, INTO, a=("shop", 1), b=("market", "x"))
    assert not separated.same
    assert separated.summary == "two persons: a decision keeps them apart"
    assert separated.steps[0].reasons == "exact(email); kept apart by separate"
    unlinked = identity.explain(lake, INTO, a=("shop", 2), b=("market", "x"))
    assert not unlinked.same
