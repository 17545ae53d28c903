"""Rules: checked when they are made, written as JSON and read again, equal when they mean the same."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from typing import Any

import attrs
import pytest

from lakekit import identity
from lakekit.errors import ConfigError
from lakekit.identity import Frequencies, Model, Rules, compare, confirm, exact, fuzzy, probabilistic, separate, veto

FULL = Rules(
    match=[
        exact("email", max_shared=5),
        exact("last_name", "birth_date"),
        fuzzy("full_name", at_least=0.92, within="phone"),
        probabilistic(
            compare=[compare("first_name"), compare("city", levels=(), term_frequency=True)],
            block=["birth_date", ("first_name", "city")],
            model=Model(-12.5, ((5.0, 3.0, 0.5, -2.0), (3.0, -1.0)), (None, Frequencies([(7, -1.5)], 2))),
        ),
    ],
    never=[veto("full_name", below=0.7, unless="email"), veto("birth_date")],
    max_block=40,
    max_members=50,
    overrides=[confirm(("shop", 1), ("market", ("a|b", 2))), separate(("shop", 1), ("shop", 2))],
)
OLD = {
    "match": [
        {"rule": "exact", "block": {"columns": ["email"], "max_shared": 5}},
        {
            "rule": "probabilistic",
            "compare": [{"column": "name", "levels": [0.9], "scorer": "jaro_winkler"}],
            "blocks": [{"columns": ["born"], "max_shared": 100}],
            "at_least": 0.9,
            "model": {"prior": -12.5, "bits": [[5.0, 1.0, -2.0]]},
        },
    ],
    "veto": [{"column": "born", "below": 1.0, "unless": ["email"], "scorer": "jaro_winkler"}],
    "max_members": 50,
}
"""Rules as the first version wrote them."""


def test_rules_are_written_as_json_and_read_again() -> None:
    assert Rules.from_dict(json.loads(json.dumps(FULL.to_dict()))) == FULL


def test_rules_survive_pickling_and_hash() -> None:
    assert pickle.loads(pickle.dumps(FULL)) == FULL
    assert len({FULL, Rules.from_dict(FULL.to_dict())}) == 1


def test_the_fingerprint_is_part_of_the_format() -> None:
    assert Rules(match=[exact("email")]).fingerprint == "086773a2e50c5777"


def test_rules_that_the_first_version_wrote_are_read_and_written_alike() -> None:
    rules = Rules.from_dict(OLD)
    assert json.loads(json.dumps(rules.to_dict())) == OLD
    assert (rules.algorithm, rules.fingerprint) == (2, "5f1335d56363d7be")


def test_what_is_in_a_rule_counts_more_than_what_is_in_the_rules() -> None:
    rules = Rules(match=[exact("email"), exact("phone", max_shared=6), fuzzy("name", at_least=0.9, within="city")], max_block=20)
    assert [block.max_shared for block in rules.blocks] == [20, 6, 20]
    assert [block.max_shared for block in Rules(match=[exact("email")]).blocks] == [100]


def test_a_model_of_a_newer_form_is_refused() -> None:
    with pytest.raises(ConfigError, match="version"):
        Model.from_dict({**Model(-3, [(1, -1)]).to_dict(), "version": 2})


def test_decisions_are_no_part_of_the_fingerprint() -> None:
    assert attrs.evolve(FULL, overrides=()).fingerprint == FULL.fingerprint


def test_a_decision_is_the_same_whichever_record_comes_first() -> None:
    assert confirm(("b", 1), ("a", 2)) == confirm(("a", "2"), ("b", "1"))


def test_the_fingerprint_tells_rules_apart_and_numbers_not_by_how_they_are_written() -> None:
    assert Rules(match=[fuzzy("a", at_least=1, within="b")]).fingerprint == Rules(match=[fuzzy("a", at_least=1.0, within="b")]).fingerprint
    different = [
        Rules(match=[exact("a")]),
        Rules(match=[exact("b")]),
        Rules(match=[exact("a", "b")]),
        Rules(match=[exact("a", max_shared=9)]),
        Rules(match=[exact("a")], max_block=8),
        Rules(match=[exact("a")], never=[veto("b")]),
        Rules(match=[exact("a")], max_members=9),
        Rules(match=[fuzzy("a", at_least=0.5, within="b")]),
        Rules(match=[fuzzy("a", at_least=0.5, within="b", scorer="osa")]),
    ]
    assert len({rules.fingerprint for rules in different}) == len(different)


def test_columns_and_blocks_are_listed_once() -> None:
    assert FULL.columns == ("email", "last_name", "birth_date", "full_name", "phone", "first_name", "city")
    assert len(FULL.blocks) == 5
    assert len(Rules(match=[exact("phone"), fuzzy("name", at_least=0.9, within="phone")]).blocks) == 1


MISTAKES: dict[str, Callable[[], Any]] = {
    "no rule": lambda: Rules(match=[]),
    "something else than a rule": lambda: Rules(match=["email"]),  # type: ignore[list-item]
    "a veto among the matches": lambda: Rules(match=[veto("email")]),  # type: ignore[list-item]
    "a match among the vetoes": lambda: Rules(match=[exact("email")], never=[exact("email")]),  # type: ignore[list-item]
    "a rule twice": lambda: Rules(match=[exact("email"), exact("email", max_shared=3)]),
    "a block of one record": lambda: Rules(match=[exact("email")], max_block=1),
    "something else than a decision": lambda: Rules(match=[exact("email")], overrides=[(("a", 1), ("b", 2))]),  # type: ignore[list-item]
    "a decision about one record": lambda: confirm(("a", 1), ("a", "1")),
    "a decision about a key without its source": lambda: separate(("a", 1), "b"),  # type: ignore[arg-type]
    "a decision and its opposite": lambda: Rules(
        match=[exact("email")], overrides=[confirm(("a", 1), ("b", 2)), separate(("b", 2), ("a", 1))]
    ),
    "decisions that contradict each other": lambda: Rules(
        match=[exact("email")], overrides=[confirm(("a", 1), ("a", 2)), separate(("a", 1), ("a", 3)), confirm(("a", 2), ("a", 3))]
    ),
    "a person of one record": lambda: Rules(match=[exact("email")], max_members=1),
    "no column": exact,
    "a column twice": lambda: exact("email", "email"),
    "an empty column": lambda: exact(""),
    "a system column": lambda: exact("_source"),
    "a column of the records table": lambda: exact("record_key"),
    "a value that nobody may share": lambda: exact("email", max_shared=1),
    "no column to compare": lambda: fuzzy("", at_least=0.9, within="phone"),
    "nothing to look within": lambda: fuzzy("name", at_least=0.9, within=()),
    "a likeness above one": lambda: fuzzy("name", at_least=92, within="phone"),
    "a likeness of zero": lambda: fuzzy("name", at_least=0, within="phone"),
    "a likeness in words": lambda: fuzzy("name", at_least="high", within="phone"),  # type: ignore[arg-type]
    "an unknown scorer": lambda: fuzzy("name", at_least=0.9, within="phone", scorer="soundex"),  # type: ignore[arg-type]
    "a veto below zero": lambda: veto("name", below=-1),
    "a veto swapped with itself": lambda: veto("name", swapped="name"),
    "a comparison swapped with itself": lambda: compare("name", swapped="name"),
    "a veto swapped with no column": lambda: veto("name", swapped=""),
    "a comparison swapped with a column of lakekit's own": lambda: compare("name", swapped="_deleted_at"),
    "an unknown scorer in a veto": lambda: veto("name", scorer="soundex"),  # type: ignore[arg-type]
    "levels out of order": lambda: compare("name", levels=(0.8, 0.9)),
    "a level twice": lambda: compare("name", levels=(0.9, 0.9)),
    "no comparison": lambda: probabilistic(compare=[], block=["name"]),
    "no block": lambda: probabilistic(compare=[compare("name")], block=[]),
    "a certain probability": lambda: probabilistic(compare=[compare("name")], block=["name"], at_least=1.0),
    "a scorer without a module": lambda: compare("name", scorer=":same"),
    "a model that is no number": lambda: Model(float("nan"), [(1, -1)]),
    "frequencies for other comparisons": lambda: Model(-3, [(1, -1)], (None, None)),
    "more outcomes for one person than for two": lambda: Model.of_probabilities(
        prior=0.1, same=[(0.9, 0.05, 0.05)], different=[(0.1, 0.9)]
    ),
    "a probability of one": lambda: Model.of_probabilities(prior=1.0, same=[(0.9, 0.1)], different=[(0.1, 0.9)]),
    "a model of other comparisons": lambda: attrs.evolve(
        probabilistic(compare=[compare("name")], block=["name"]), model=Model(-5.0, ((1.0, -1.0),))
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_refused_when_the_rule_is_made(mistake: str) -> None:
    with pytest.raises(ConfigError) as error:
        MISTAKES[mistake]()
    assert error.value.place.startswith("identity.")


def test_every_public_name_has_a_docstring_and_is_there() -> None:
    for name in identity.__all__:
        assert getattr(identity, name).__doc__
    assert set(identity.__all__) <= set(dir(identity))


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="soundex"):
        identity.soundex  # noqa: B018  # type: ignore[attr-defined]
