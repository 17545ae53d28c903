"""train: learns what fields are worth, the same each time, without labels."""

from __future__ import annotations

import random
from typing import Any

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
