"""identity.explain: why two records are one person, or why they are not, without showing what they say."""

from __future__ import annotations

from typing import Any

import pytest

import lakekit as lk
from lakekit import identity
from lakekit.identity.model import code
from tests.contract.identities import INTO, resolve

RULES = identity.Rules(
    match=[identity.exact("email"), identity.fuzzy("name", at_least=0.85, within="phone")],
    never=[identity.veto("born", unless="email")],
)
PEOPLE = [
    {"user_id": 1, "email": "secret@example.com", "phone": None, "name": "Catherine", "born": None},
    {"user_id": 2, "email": "secret@example.com", "phone": "+1", "name": "Kate", "born": None},
    {"user_id": 3, "email": None, "phone": "+1", "name": "Katie", "born": "1990"},
    {"user_id": 4, "email": None, "phone": "+1", "name": "Katie", "born": "1991"},
]
BUYERS = [{"buyer_id": "x", "email": "other@example.com", "name": "Bo"}]


@pytest.fixture
def resolved(lake: Any) -> Any:
    resolve(lake, "a", shop=PEOPLE, market=BUYERS, rules=RULES)
    return lake


def test_the_chain_between_two_records_names_rules_and_fields(resolved: Any) -> None:
    found = identity.explain(resolved, INTO, a=("shop", 1), b=("shop", 3))
    assert found.same
    assert [(step.a[1], step.b[1]) for step in found.steps] == [("1", "2"), ("2", "3")]
    assert found.steps[0].rules == (("exact(email)", 1.0),)
    (rule,) = found.steps[1].rules
    assert rule[0] == "fuzzy(name, jaro_winkler >= 0.85, within phone)"
    assert rule[1] == pytest.approx(0.953, abs=0.001)
    assert {field.column: field.agreement for field in found.steps[1].fields} == {
        "email": "missing",
        "name": "alike",
        "phone": "equal",
        "born": "missing",
    }


def test_values_are_shown_only_when_asked_for(resolved: Any) -> None:
    for text in (str, repr, identity.Explanation._repr_html_):
        hidden = text(identity.explain(resolved, INTO, a=("shop", 1), b=("shop", 3)))
        assert "secret" not in hidden
        assert "Kate" not in hidden
        assert "Kate" in text(identity.explain(resolved, INTO, a=("shop", 1), b=("shop", 3), show_values=True))


def test_a_veto_is_named_where_it_keeps_two_records_apart(resolved: Any) -> None:
    found = identity.explain(resolved, INTO, a=("shop", 3), b=("shop", 4))
    assert not found.same
    assert "veto(born" in str(found)
    assert found.summary.startswith("two persons")


def test_two_records_without_anything_in_common_are_two_persons(resolved: Any) -> None:
    found = identity.explain(resolved, INTO, a=("shop", 1), b=("market", "x"))
    assert (found.same, found.summary) == (False, "two persons")
    assert found.steps[0].reasons == "no rule matches"


def test_a_deleted_record_and_the_same_record_twice_are_explained_too(resolved: Any) -> None:
    resolve(resolved, "b", shop=[{**PEOPLE[0], "_operation": "delete"}], rules=RULES)
    assert identity.explain(resolved, INTO, a=("shop", 1), b=("shop", 2)).summary == "shop 1 deleted"
    assert identity.explain(resolved, INTO, a=("shop", 2), b=("shop", 2)).summary == "the same record"


def test_a_probabilistic_link_tells_what_each_field_says(lake: Any) -> None:
    people = [{"user_id": n, "name": f"name {n % 60}", "born": f"19{n % 60:02}", "city": str(n % 60 % 7)} for n in range(100)]
    people[60]["city"] = "moved"
    fields = [identity.compare(name, levels=()) for name in ("name", "born", "city")]
    rules = identity.Rules(match=[identity.probabilistic(compare=fields, block=["name", "born"], at_least=0.6)])
    rules = identity.train(lk.from_frame(lake, people, run_id="t"), rules=rules)
    resolve(lake, "a", shop=people, rules=rules)
    found = identity.explain(lake, INTO, a=("shop", 0), b=("shop", 60))
    assert found.same
    assert found.steps[0].rules[0][0] == "probabilistic"
    bits = {field.column: field.bits for field in found.steps[0].fields}
    assert bits["name"] is not None
    assert bits["name"] > 3
    assert bits["city"] is not None
    assert bits["city"] < 0 < found.steps[0].rules[0][1]


def test_what_is_explained_adds_up_to_the_score_with_term_frequencies_and_every_kind_of_comparison(lake: Any) -> None:
    other = "operator:ne"  # one that Spark's workers can import, too
    levels = {
        "name": "name",
        "email": "email",
        "phone": "phone",
        "born": "date",
        "street": "address",
        "income": "numeric",
        "tags": "overlap",
    }
    fields = [identity.compare(column, scorer=scorer, term_frequency=column == "name") for column, scorer in levels.items()]
    fields.append(identity.compare("code", scorer=other, levels=(0.5,)))
    bits = [[float(10 - 3 * number) for number in range(len(item.levels) + 2)] for item in fields]
    often = identity.Frequencies([(code("bob"), -2.0)], rest=1.0)
    model = identity.Model(-20, bits, [often, *[None] * (len(fields) - 1)])
    rules = identity.Rules(match=[identity.probabilistic(compare=fields, block=["block"], model=model)])
    one = {
        "name": "bob",
        "email": "bob@a.example",
        "phone": "0171 1234567",
        "born": "1990-03-12",
        "street": "1 Main Street",
        "income": 1000,
    }
    people = [
        {**one, "user_id": 1, "tags": ["a", "b"], "code": "x", "block": "1"},
        {**one, "user_id": 2, "tags": ["b"], "code": "y", "block": "1", "name": "robert", "email": "bob@b.example", "income": 990},
        {
            **one,
            "user_id": 3,
            "tags": ["b"],
            "code": "yy",
            "block": "1",
            "phone": "+491711234567",
            "born": "1990-12-03",
            "street": "main st 1",
        },
    ]
    resolve(lake, "a", shop=people, rules=rules)
    for a, b in ((1, 2), (1, 3), (2, 3)):
        (step,) = identity.explain(lake, INTO, a=("shop", a), b=("shop", b)).steps
        assert step.rules[0][1] == pytest.approx(model.prior + sum(field.bits or 0 for field in step.fields))
    assert {field.column: field.bits for field in step.fields}["code"] == 7.0
    (step,) = identity.explain(lake, INTO, a=("shop", 1), b=("shop", 3)).steps
    said = {field.column: field.bits for field in step.fields}
    assert said == {"name": 8, "email": 10, "phone": 7, "born": 7, "street": 7, "income": 10, "tags": 7, "code": 7, "block": None}


RELATIVES = identity.Rules(
    match=[
        identity.probabilistic(
            compare=[
                identity.compare("first", levels=(), term_frequency=True),
                identity.compare("last", levels=()),
                identity.compare("phone", levels=()),
            ],
            block=["phone"],
            at_least=0.5,
            model=identity.Model(
                -12,
                [(8, -4), (9, -3), (14, -2)],
                [identity.Frequencies([(code("bob"), -2.0)], rest=1.0), None, None],
                relatives=[identity.Relatives(-1, [(7, -5), (0.5, -2), (3, -2)])],
            ),
        )
    ]
)


def test_against_relatives_what_they_share_says_little(lake: Any) -> None:
    people = [
        {"user_id": 1, "first": "ada", "last": "king", "phone": "1"},
        {"user_id": 2, "first": None, "last": "king", "phone": "1"},
        {"user_id": 3, "first": "bob", "last": "king", "phone": "1"},
        {"user_id": 4, "first": "bob", "last": "hall", "phone": "1"},
    ]
    resolve(lake, "a", shop=people, rules=RELATIVES)
    found = identity.pairs(lake, INTO)
    keys = [(int(found.records[left][1]), int(found.records[right][1])) for left, right in zip(found.left, found.right, strict=True)]
    told = {(min(pair), max(pair)): bits for pair, bits in zip(keys, found.bits.tolist(), strict=True)}
    # Against strangers: 11, 7, -5, 11, -1 and 5. Against relatives: 2.5, -2.5, -5, 2.5, 0 and 7.
    assert told == {(1, 2): 2.5, (1, 3): -2.5, (1, 4): -5, (2, 3): 2.5, (2, 4): -1, (3, 4): 5}
    links = lk.read(lake, f"{INTO}__links").to_arrow().column("score").to_pylist()
    assert sorted(links) == [2.5, 2.5, 5]
    for pair, bits in told.items():
        (step, *more) = identity.explain(lake, INTO, a=("shop", pair[0]), b=("shop", pair[1])).steps
        if not more and {step.a[1], step.b[1]} == {str(key) for key in pair}:
            prior = -12 if bits in (-1, 5) else -1
            assert prior + sum(field.bits or 0 for field in step.fields) == bits


def test_a_name_in_the_place_of_the_other_is_no_objection(lake: Any) -> None:
    people = [
        {"user_id": 1, "first": "ada", "last": "king", "phone": "1"},
        {"user_id": 2, "first": "king", "last": "ada", "phone": "1"},
        {"user_id": 3, "first": "zoe", "last": None, "phone": "1"},
        {"user_id": 4, "first": "king", "last": None, "phone": "1"},
    ]
    vetoes = [identity.veto("first", below=0.7, swapped="last")]
    resolve(lake, "a", shop=people, rules=identity.Rules(match=[identity.exact("phone")], never=vetoes))
    masters = {n: identity.explain(lake, INTO, a=("shop", 1), b=("shop", n)).same for n in (2, 3, 4)}
    assert masters == {2: True, 3: False, 4: True}
    (step,) = identity.explain(lake, INTO, a=("shop", 1), b=("shop", 3)).steps
    assert step.vetoes == ("veto(first, jaro_winkler < 0.7, unless it is the other's last)",)


SWAPPED = identity.Rules(
    match=[
        identity.probabilistic(
            compare=[
                identity.compare("first", levels=(0.9,), swapped="last", term_frequency=True),
                identity.compare("last", levels=(), swapped="first"),
                identity.compare("maiden", levels=(), swapped="last"),
            ],
            block=["phone"],
            at_least=0.001,
            model=identity.Model(
                0, [(8, 5, 2, -6), (9, 7, -4), (3, 1, -1)], [identity.Frequencies([(code("ada"), -1.0)], rest=0.5), None, None]
            ),
        )
    ],
)


def test_names_in_each_others_place_are_an_outcome_of_their_own(lake: Any) -> None:
    names = [
        ("ada", "king", None),
        ("king", "ada", None),
        ("zoe", None, "king"),
        ("king", None, "adam"),
        ("ada", "ada", "hall"),
        ("bob", "zoe", None),
        ("bob", "king", "bob"),
        ("amy", "bob", None),
    ]
    people = [dict(zip(("user_id", "first", "last", "maiden"), (n, *row), strict=True), phone="1") for n, row in enumerate(names)]
    resolve(lake, "a", shop=people, rules=SWAPPED)
    found = identity.pairs(lake, INTO)
    keys = [(int(found.records[left][1]), int(found.records[right][1])) for left, right in zip(found.left, found.right, strict=True)]
    told = {(min(pair), max(pair)): bits for pair, bits in zip(keys, found.bits.tolist(), strict=True)}
    assert told[0, 1] == 5 - 1 + 7, "both in each other's place; the value that is frequent takes away, the one that is not adds nothing"
    assert told[0, 3] == 5 - 1, "what is missing doesn't speak against it"
    assert told[0, 4] == 8 - 1 - 4
    assert told[5, 7] == -6 - 4, "bob is in the other's place, but zoe is not"
    assert told[5, 6] == 8.5 - 4
    assert told[2, 6] == -6 + 1, "a third column that may be swapped with the second"
    rows = {row["record_id"]: int(row["record_key"]) for row in lk.read(lake, f"{INTO}__records").to_arrow().to_pylist()}
    links = {
        tuple(sorted((rows[link["left_id"]], rows[link["right_id"]]))): link["score"]
        for link in lk.read(lake, f"{INTO}__links").to_arrow().to_pylist()
    }
    assert links == {pair: bits for pair, bits in told.items() if bits >= found.least_bits}
    for pair, bits in told.items():
        (step, *more) = identity.explain(lake, INTO, a=("shop", pair[0]), b=("shop", pair[1])).steps
        if not more and {step.a[1], step.b[1]} == {str(key) for key in pair}:
            assert sum(field.bits or 0 for field in step.fields) == bits
    (step,) = identity.explain(lake, INTO, a=("shop", 0), b=("shop", 1)).steps
    assert [field.agreement for field in step.fields if field.column in ("first", "last")] == ["swapped", "swapped"]
    assert "the other's last" in str(identity.weights(SWAPPED))


@pytest.mark.parametrize("record", [("shop", 9), ("shopp", 1), ("shop", "1 OR 1=1"), ("shop", "'")])
def test_an_unknown_record_is_an_error(resolved: Any, record: tuple[str, object]) -> None:
    with pytest.raises(lk.errors.ConfigError, match="no record"):
        identity.explain(resolved, INTO, a=record, b=("shop", 1))


def test_only_identities_can_be_explained(resolved: Any) -> None:
    with pytest.raises(lk.errors.ConfigError, match="holds no identities"):
        identity.explain(resolved, f"{INTO}__records", a=("shop", 1), b=("shop", 2))
