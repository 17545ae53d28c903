"""train: learns what fields are worth, the same each time, without labels."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

import lakekit as lk
from lakekit import identity

FIELDS = [identity.compare(name, levels=()) for name in ("name", "city", "sex")]
RULES = identity.Rules(match=[identity.exact("email"), identity.probabilistic(compare=FIELDS, block=["name", "city"])])


def people() -> list[dict[str, Any]]:
    """300 people, 150 of them twice, some of these having moved."""
    chosen = random.Random(7)
    found = [{"name": f"n{n}", "city": f"c{chosen.randrange(60)}", "sex": chosen.choice("fm"), "email": None} for n in range(300)]
    again = [{**row, "city": f"c{chosen.randrange(60)}" if chosen.random() < 0.2 else row["city"]} for row in found[:150]]
    return found + again


def learn(lake: Any, **options: Any) -> identity.Model:
    batch = lk.select(lk.from_frame(lake, people(), run_id="a"), {"email": "CAST(NULL AS STRING)"}, rest="keep")
    trained = identity.train(batch, rules=RULES, **options)
    assert trained.match[0] == RULES.match[0]
    assert trained.probabilistic is not None
    assert trained.probabilistic.model is not None
    return trained.probabilistic.model


def test_rare_values_say_more_than_frequent_ones_and_disagreement_speaks_against(lake: Any) -> None:
    model = learn(lake)
    (name, no_name), (city, no_city), (sex, no_sex) = model.bits
    assert name > city > sex > 0.5
    assert no_name < no_city < 0
    assert no_sex < -3


def test_the_prior_is_near_the_share_of_pairs_that_are_one_person(lake: Any) -> None:
    expected = 150 / (450 * 449 / 2)
    assert expected / 2 < 2 ** learn(lake).prior < expected * 2


@pytest.mark.parametrize("columns", [("name", "city"), ("name", "sex")])
def test_the_prior_does_not_collapse_on_few_columns(lake: Any, columns: tuple[str, ...]) -> None:
    fields = [identity.compare(name, levels=()) for name in columns]
    rules = identity.Rules(match=[identity.probabilistic(compare=fields, block=["name", "city"])])
    trained = identity.train(lk.from_frame(lake, people(), run_id="a"), rules=rules)
    assert trained.probabilistic is not None
    assert trained.probabilistic.model is not None
    expected = 150 / (450 * 449 / 2)
    assert expected / 2 < 2**trained.probabilistic.model.prior < expected * 2


def test_a_column_made_of_another_one_misleads_nobody(lake: Any) -> None:
    rows = [{**row, "initial": row["name"][:3], "born": f"19{10 + n % 300 % 90}-0{n % 300 % 9 + 1}"} for n, row in enumerate(people())]
    fields = [identity.compare(name, levels=()) for name in ("name", "born")]
    priors: list[float] = []
    for block in ([("name",), ("born",)], [("name",), ("initial", "born")], [("initial",), ("born",)]):
        rules = identity.Rules(match=[identity.probabilistic(compare=fields, block=block)])
        trained = identity.train(lk.from_frame(lake, rows, run_id="a"), rules=rules)
        assert trained.probabilistic is not None
        assert trained.probabilistic.model is not None
        priors.append(trained.probabilistic.model.prior)
    assert max(priors) - min(priors) < 0.5


def test_the_same_records_teach_the_same_whatever_their_order(lake: Any) -> None:
    model = learn(lake)
    assert learn(lake) == model
    shuffled = people()
    random.Random(1).shuffle(shuffled)
    again = identity.train(lk.from_frame(lake, [{**row, "email": "x"} for row in shuffled], run_id="b"), rules=RULES)
    assert again.probabilistic is not None
    assert again.probabilistic.model == model


def test_a_sample_is_enough(lake: Any) -> None:
    assert learn(lake, sample=200).bits[0][0] > 4


def test_term_frequencies_are_frozen_in_the_model_and_rare_values_say_more(lake: Any) -> None:
    people = [{"id": n, "name": "smith" if n % 3 else f"name {n}", "city": f"c{n % 40}"} for n in range(300)]
    fields = [identity.compare("name", levels=(), term_frequency=True), identity.compare("city", levels=())]
    rules = identity.Rules(match=[identity.probabilistic(compare=fields, block=["city"])])
    trained = identity.train(lk.from_frame(lake, people, run_id="a"), rules=rules)
    assert trained.probabilistic is not None
    model = trained.probabilistic.model
    assert model is not None
    names, cities = model.frequencies
    assert cities is None
    assert names is not None
    assert names.adds("smith") < 0 < names.adds("name 3") <= 6
    assert names.adds("never seen") > 0
    assert identity.Rules.from_dict(json.loads(json.dumps(trained.to_dict()))) == trained
    assert identity.Model.from_dict(json.loads(json.dumps(model.to_dict()))) == model
    assert "smith" not in json.dumps(trained.to_dict())


def test_a_placeholder_says_little_and_leaves_the_other_values_their_worth(lake: Any) -> None:
    fields = [identity.compare(name, levels=()) for name in ("name", "email")]
    rules = identity.Rules(match=[identity.probabilistic(compare=fields, block=["name", "email"], max_shared=20)])

    def model(placeholder: str | None) -> identity.Model:
        rows = [{**row, "email": placeholder if n % 5 == 0 else f"{row['name']}@example.com"} for n, row in enumerate(people())]
        trained = identity.train(lk.from_frame(lake, rows, run_id="a"), rules=rules).probabilistic
        assert trained is not None
        assert trained.model is not None
        return trained.model

    found, without = model("noreply@example.com"), model(None)
    assert found.bits == without.bits
    assert found.prior == without.prior
    known = found.of(1)
    assert known is not None
    assert 1 < found.bits[1][0] + known.adds("noreply@example.com") < 3, "a fifth of the records have it"
    assert known.adds("n1@example.com") == 0
    assert without.of(1) is None


def test_a_column_is_known_by_the_pairs_that_blocks_of_others_bring_together(lake: Any) -> None:
    chosen = random.Random(3)
    once = [{"name": f"n{n}", "email": f"e{n}", "phone": f"p{n}"} for n in range(3000)]
    again = [
        {name: value if chosen.random() < kept else f"{value}x" for (name, value), kept in zip(row.items(), (0.6, 0.6, 0.9), strict=True)}
        for row in once
    ]
    fields = [identity.compare(name, levels=()) for name in ("name", "email", "phone")]
    rules = identity.Rules(match=[identity.probabilistic(compare=fields, block=["name", "email"])])
    trained = identity.train(lk.from_frame(lake, once + again, run_id="a"), rules=rules).probabilistic
    assert trained is not None
    assert trained.model is not None
    differ = [2**different for _, different in trained.model.bits]
    assert differ == [pytest.approx(0.4, abs=0.06), pytest.approx(0.4, abs=0.06), pytest.approx(0.1, abs=0.06)]


def test_what_a_veto_keeps_apart_is_not_learned_from(lake: Any) -> None:
    """Households: two of one family name and one phone, whose first names differ; everybody comes twice."""
    rows = [
        {"first": f"{'ab'[n % 2]}{n // 2 % 60}", "last": f"l{n // 2 % 900}", "phone": f"p{n // 2}", "email": f"e{n}" if n % 3 else None}
        for n in range(2000)
    ]
    fields = [identity.compare(name, levels=()) for name in ("first", "last", "phone")]
    match = [identity.probabilistic(compare=fields, block=["phone", "email"])]

    def differs(**options: Any) -> float:
        trained = identity.train(lk.from_frame(lake, rows + rows, run_id="a"), rules=identity.Rules(match=match, **options)).probabilistic
        assert trained is not None
        assert trained.model is not None
        return trained.model.bits[0][-1]

    assert differs() > -2, "every second pair of a household has another first name"
    assert differs(never=[identity.veto("first", unless="email")]) < -8


def test_what_relatives_share_says_little_against_them(lake: Any) -> None:
    """Of a household all share the last name and the phone; a stranger has them as seldom as anything."""
    chosen = random.Random(5)
    rows = [{"first": f"f{chosen.randrange(50)}", "last": f"l{n // 3 % 300}", "phone": f"p{n // 3}", "born": f"b{n}"} for n in range(3000)]
    rows += [{**row, "born": None} for row in rows]
    fields = [identity.compare(name, levels=()) for name in ("first", "last", "phone", "born")]
    rule = identity.probabilistic(compare=fields, block=["phone", "born"])

    def model(*never: Any) -> identity.Model:
        trained = identity.train(lk.from_frame(lake, rows, run_id="a"), rules=identity.Rules(match=[rule], never=never)).probabilistic
        assert trained is not None
        assert trained.model is not None
        return trained.model

    assert model().relatives == ()
    found = model(identity.veto("first"))
    (relatives,) = found.relatives
    equal = [row[0] for row in relatives.bits]
    assert [bits > 6 for bits in equal] == [True, False, False, True], "what they don't share tells them apart"
    assert all(abs(bits) < 0.5 for bits in equal[1:3])
    assert all(row[0] > 5 for row in found.bits)
    assert -2 < relatives.prior < 0, "two pairs of relatives for one of one person, of which some have one first name"
    assert len(model(identity.veto("first"), identity.veto("born")).relatives) == 2
    assert identity.Model.from_dict(json.loads(json.dumps(found.to_dict()))) == found


def test_a_value_in_the_column_beside_is_no_objection_to_learn_from(lake: Any) -> None:
    rows = [{"first": f"f{n}", "last": f"l{n}", "email": f"e{n}"} for n in range(300)]
    again = [{**row, "first": row["last"], "last": row["first"]} if n % 3 == 0 else row for n, row in enumerate(rows)]
    fields = [identity.compare(name, levels=()) for name in ("first", "last", "email")]
    rule = identity.probabilistic(compare=fields, block=["email"])

    def relatives(**options: Any) -> int:
        rules = identity.Rules(match=[rule], never=[identity.veto("first", **options)])
        trained = identity.train(lk.from_frame(lake, rows + again, run_id="a"), rules=rules).probabilistic
        assert trained is not None
        assert trained.model is not None
        return len(trained.model.relatives)

    assert (relatives(), relatives(swapped="last")) == (1, 0)


def test_names_in_each_others_place_are_learned_from(lake: Any) -> None:
    rows = [{"first": f"f{n % 90}", "last": f"l{n % 70}", "email": f"e{n}", "born": f"b{n}"} for n in range(300)]
    again = [{**row, "first": row["last"], "last": row["first"]} if n % 3 == 0 else row for n, row in enumerate(rows)]
    fields = [
        identity.compare("first", levels=(0.95,), swapped="last"),
        identity.compare("last", levels=(0.95,), swapped="first"),
        *(identity.compare(name, levels=()) for name in ("email", "born")),
    ]
    rules = identity.Rules(match=[identity.probabilistic(compare=fields, block=["email", "born"])])
    trained = identity.train(lk.from_frame(lake, rows + again, run_id="a"), rules=rules)
    assert trained.probabilistic is not None
    assert trained.probabilistic.model is not None
    for equal, swapped, alike, different in trained.probabilistic.model.bits[:2]:
        assert swapped > 6, "it never happens to strangers"
        assert equal > 4
        assert equal >= alike >= different, "of likeness alone less says less"
    assert identity.Rules.from_dict(json.loads(json.dumps(trained.to_dict()))) == trained
