"""Pairs scored, labelled and weighed up; a person as a graph; what other rules would do."""

from __future__ import annotations

from typing import Any

import attrs
import pyarrow as pa
import pytest

import lakekit as lk
from lakekit import identity
from lakekit.identity import compare, confirm, separate
from tests.contract.identities import INTO, persons, resolve

RULES = identity.Rules(
    match=[
        identity.probabilistic(
            compare=[compare("name", levels=(0.85,), term_frequency=True), compare("city", levels=())],
            block=["city", "name"],
            at_least=0.5,
            model=identity.Model(-8, [(9, 5, -5), (4, -3)], [identity.Frequencies([(0, 0.0)], rest=0.5), None]),
        )
    ]
)
PEOPLE = [
    {"user_id": 1, "name": "catherine", "city": "bonn"},
    {"user_id": 2, "name": "catherine", "city": "bonn"},
    {"user_id": 3, "name": "catherina", "city": "bonn"},
    {"user_id": 4, "name": "catherine", "city": "ulm"},
    {"user_id": 5, "name": "robert", "city": "ulm"},
]
SCORES = {("1", "2"): 5.5, ("1", "3"): 1, ("2", "3"): 1, ("1", "4"): -1.5, ("2", "4"): -1.5, ("4", "5"): -9}


@pytest.fixture
def scored(lake: Any) -> tuple[Any, identity.Pairs]:
    resolve(lake, "a", shop=PEOPLE, rules=RULES)
    return lake, identity.pairs(lake, INTO)


def by_key(found: identity.Pairs) -> dict[tuple[str, str], float]:
    pairs = zip(found.left.tolist(), found.right.tolist(), found.bits.tolist(), strict=True)
    return {tuple(sorted((found.records[left][1], found.records[right][1]))): bits for left, right, bits in pairs}  # type: ignore[misc]


def test_pairs_score_as_the_links_do_and_those_below_the_threshold_are_there_too(scored: tuple[Any, identity.Pairs]) -> None:
    lake, found = scored
    assert by_key(found) == pytest.approx(SCORES)
    links = lk.read(lake, f"{INTO}__links").to_arrow().column("score").to_pylist()
    assert sorted(links) == pytest.approx(sorted(bits for bits in SCORES.values() if bits >= 0))
    assert found.distribution() == [(-9, 1), (-2, 2), (1, 2), (5, 1)]
    for text in (str(found), repr(found), found._repr_html_()):
        assert "catherine" not in text
    assert "+1 bits*" in str(found)


def test_uncertain_pairs_are_labelled_and_come_back_as_decisions(scored: tuple[Any, identity.Pairs]) -> None:
    lake, found = scored
    assert persons(lake) == [["shop 1", "shop 2", "shop 3"], ["shop 4"], ["shop 5"]]
    asked = identity.uncertain(found, limit=4)
    assert {name for row in asked.to_pylist() for name in (row["a_name"], row["b_name"])} == {"catherine", "catherina"}
    assert asked.column("same").null_count == 4
    assert sorted(abs(row["bits"]) for row in asked.to_pylist()) == [1, 1, 1.5, 1.5]
    answers = [
        {**row, "same": {"3": False, "4": True}.get(row["a_key"], {"3": False, "4": True}.get(row["b_key"]))} for row in asked.to_pylist()
    ]
    decided = identity.decisions(pa.Table.from_pylist(answers))
    assert set(decided) == {
        *(separate(("shop", 3), ("shop", other)) for other in (1, 2)),
        *(confirm(("shop", 4), ("shop", other)) for other in (1, 2)),
    }
    assert identity.decisions(pa.Table.from_pylist(answers).to_pandas()) == decided
    resolve(lake, "a", shop=PEOPLE, rules=attrs.evolve(RULES, overrides=decided))
    assert persons(lake) == [["shop 1", "shop 2", "shop 4"], ["shop 3"], ["shop 5"]]


def test_labels_say_what_each_threshold_is_worth(scored: tuple[Any, identity.Pairs]) -> None:
    _, found = scored
    answers = {
        ("1", "2"): True,
        ("1", "3"): False,
        ("1", "4"): True,
        ("4", "5"): False,
        ("3", "5"): True,
        ("1", "9"): True,
        ("2", "3"): None,
    }
    labels = [{"a_source": "shop", "a_key": a, "b_source": "shop", "b_key": b, "same": same} for (a, b), same in answers.items()]
    seen = identity.tradeoff(found, labels, at_least=(0.2, 0.5, 0.9, 0.999))
    assert (seen.labelled, seen.missed) == (5, 1)
    assert [(row.precision, row.recall) for row in seen.rows] == [
        (pytest.approx(2 / 3), pytest.approx(2 / 3)),
        (pytest.approx(1 / 2), pytest.approx(1 / 3)),
        (1.0, pytest.approx(1 / 3)),
        (None, 0.0),
    ]
    assert "5 labelled pairs; 1 of one person" in str(seen)
    assert "0.667" in seen._repr_html_()


def test_a_dry_run_with_other_rules_tells_what_they_would_do(scored: tuple[Any, identity.Pairs]) -> None:
    lake, _ = scored
    strict = attrs.evolve(RULES, match=[attrs.evolve(RULES.match[0], at_least=0.9)])
    promised = resolve(lake, "b", shop=[PEOPLE[0]], rules=strict, rebuild=True, dry_run=True)
    assert (promised.committed, promised.updated) == (False, 1)
    assert by_key(identity.pairs(lake, INTO, rules=strict)) == pytest.approx(SCORES)
    assert len(persons(lake)) == 3


def test_a_person_is_a_graph_and_its_bridges_are_named(scored: tuple[Any, identity.Pairs]) -> None:
    lake, _ = scored
    found = identity.graph(lake, INTO, ("shop", 1))
    assert [record[1] for record in found.records] == ["1", "2", "3"]
    assert [(edge.a[1], edge.b[1]) for edge in found.edges] == [("1", "2"), ("1", "3"), ("2", "3")]
    assert not found.bridges
    assert found._repr_html_().count("<line") == 3
    resolve(lake, "a", shop=PEOPLE, rules=attrs.evolve(RULES, overrides=[confirm(("shop", 4), ("shop", 3))]))
    bridged = identity.graph(lake, INTO, ("shop", 3))
    assert [edge.rules for edge in bridged.bridges] == [(("confirm", 1.0),)]
    assert "shop 3 - shop 4: confirm (a bridge)" in str(bridged)
    alone = identity.graph(lake, INTO, ("shop", 5))
    assert str(alone).endswith("shop 5")


def test_what_is_wrong_is_named(scored: tuple[Any, identity.Pairs]) -> None:
    lake, found = scored
    mistakes = [
        lambda: identity.pairs(lake, f"{INTO}__links"),
        lambda: identity.pairs(lake, INTO, rules=identity.Rules(match=[identity.exact("name")])),
        lambda: identity.graph(lake, INTO, ("shop", 9)),
        lambda: identity.decisions([{"a_key": 1}]),
        lambda: identity.tradeoff(found, [{"a_source": "s", "a_key": "1", "b_source": "s", "b_key": "2", "same": "yes"}]),
    ]
    for mistake in mistakes:
        with pytest.raises(lk.errors.ConfigError) as error:
            mistake()
        assert error.value.place.startswith("identity.")
