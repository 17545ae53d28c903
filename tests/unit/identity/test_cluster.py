"""Clustering: components, and the guard that divides them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakekit.identity import cluster
from lakekit.identity.cluster import Decided, Inside, Links, all_pairs, components, parts

EDGES = st.lists(st.tuples(st.integers(0, 11), st.integers(0, 11)).filter(lambda edge: edge[0] < edge[1]), unique=True, max_size=20)
WEIGHTS = st.dictionaries(
    st.tuples(st.integers(0, 7), st.integers(0, 7)).filter(lambda pair: pair[0] < pair[1]), st.sampled_from([5, 10, 20]), max_size=14
)
VETOES = st.sets(st.tuples(st.integers(0, 7), st.integers(0, 7)).filter(lambda pair: pair[0] < pair[1]), max_size=6)


def arrays(edges: Sequence[tuple[int, int]]) -> tuple[Any, Any]:
    found = np.array(sorted(edges), dtype=np.int64).reshape(-1, 2)
    return found[:, 0], found[:, 1]


@given(EDGES)
def test_components_are_what_can_be_reached(edges: list[tuple[int, int]]) -> None:
    label = list(range(12))
    for _ in label:
        for a, b in edges:
            label[a] = label[b] = min(label[a], label[b])
    assert components(12, *arrays(edges)).tolist() == label


def test_a_long_chain_is_one_component() -> None:
    order = np.random.default_rng(1).permutation(5_000)
    low, high = np.minimum(order[:-1], order[1:]), np.maximum(order[:-1], order[1:])
    assert not components(5_000, low, high).any()


def divide(weights: dict[tuple[int, int], int], vetoes: set[tuple[int, int]], *, max_members: int = 8) -> list[int]:
    pairs = sorted(set(weights) - vetoes)

    def scorer(inside: Inside) -> tuple[Any, Any]:
        asked = list(zip(inside.left.tolist(), inside.right.tolist(), strict=True))
        return np.array([float(weights.get(pair, 0)) for pair in asked]), np.array([pair in vetoes for pair in asked])

    links = Links(*arrays(pairs), np.array([float(weights[pair]) for pair in pairs]))
    return parts(8, links, max_members=max_members, limit=0.0, scorer=scorer)[0].tolist()


@given(WEIGHTS, VETOES)
def test_no_part_holds_a_veto_and_every_part_is_connected_by_links(
    weights: dict[tuple[int, int], int], vetoes: set[tuple[int, int]]
) -> None:
    label = divide(weights, vetoes)
    assert not [pair for pair in vetoes if label[pair[0]] == label[pair[1]]]
    inside = [pair for pair in sorted(set(weights) - vetoes) if label[pair[0]] == label[pair[1]]]
    assert components(8, *arrays(inside)).tolist() == label


@given(WEIGHTS, VETOES, VETOES, VETOES, st.sampled_from(["scored", "links alone"]))
def test_decisions_hold_whatever_the_weights_the_vetoes_and_the_sizes_say(
    weights: dict[tuple[int, int], int], vetoes: set[tuple[int, int]], sure: set[tuple[int, int]], apart: set[tuple[int, int]], what: str
) -> None:
    pairs = sorted(set(weights) - vetoes)
    firm = components(8, *arrays(sure))
    apart = {pair for pair in apart if firm[pair[0]] != firm[pair[1]]}

    def scorer(inside: Inside) -> tuple[Any, Any]:
        asked = list(zip(inside.left.tolist(), inside.right.tolist(), strict=True))
        return np.array([float(weights.get(pair, 0)) for pair in asked]), np.array([pair in vetoes for pair in asked])

    links = Links(*arrays(pairs), np.array([float(weights[pair]) for pair in pairs]))
    decided = Decided(arrays(sure), arrays(apart))
    label, _ = parts(8, links, max_members=3, limit=0.0, scorer=scorer if what == "scored" else None, decided=decided)
    assert not [pair for pair in sure if label[pair[0]] != label[pair[1]]]
    assert not [pair for pair in apart if label[pair[0]] == label[pair[1]]]
    inside = [pair for pair in [*pairs, *sure] if label[pair[0]] == label[pair[1]]]
    assert components(8, *arrays(inside)).tolist() == label.tolist()


@given(WEIGHTS, VETOES)
def test_a_link_between_two_parts_has_a_veto_against_it(weights: dict[tuple[int, int], int], vetoes: set[tuple[int, int]]) -> None:
    label = divide(weights, vetoes)
    for a, b in set(weights) - vetoes:
        if label[a] != label[b]:
            assert [(x, y) for x, y in vetoes if {label[x], label[y]} == {label[a], label[b]}]


@given(WEIGHTS, VETOES, st.integers(2, 5))
def test_no_part_is_larger_than_it_may_be(weights: dict[tuple[int, int], int], vetoes: set[tuple[int, int]], most: int) -> None:
    assert max(np.bincount(divide(weights, vetoes, max_members=most))) <= most


@given(WEIGHTS, VETOES)
def test_other_records_around_make_no_difference(weights: dict[tuple[int, int], int], vetoes: set[tuple[int, int]]) -> None:
    """The same records with others between them, which keeps their order."""
    moved = {(2 * a + 1, 2 * b + 1): weight for (a, b), weight in weights.items()}
    apart = {(2 * a + 1, 2 * b + 1) for a, b in vetoes}
    pairs = sorted(set(moved) - apart)

    def scorer(inside: Inside) -> tuple[Any, Any]:
        asked = list(zip(inside.left.tolist(), inside.right.tolist(), strict=True))
        return np.array([float(moved.get(pair, 0)) for pair in asked]), np.array([pair in apart for pair in asked])

    links = Links(*arrays(pairs), np.array([float(moved[pair]) for pair in pairs]))
    label = parts(16, links, max_members=8, limit=0.0, scorer=scorer)[0].tolist()
    assert [(found - 1) // 2 for found in label[1::2]] == divide(weights, vetoes)


def test_the_strongest_link_decides_on_which_side_of_a_veto_a_record_is() -> None:
    assert divide({(0, 1): 5, (1, 2): 10}, {(0, 2)})[:3] == [0, 1, 1]
    assert divide({(0, 1): 10, (1, 2): 5}, {(0, 2)})[:3] == [0, 0, 2]


@pytest.mark.parametrize("at_once", [1, 5, 1_000])
def test_all_pairs_come_once_with_whole_components_together(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "PAIRS_AT_ONCE", at_once)
    label = np.array([0, 1, 0, 3, 1, 0, 6, 1])
    chunks = list(all_pairs(label, np.array([True, True, False, False, False, False, False, False])))
    found = [pair for inside in chunks for pair in zip(inside.left.tolist(), inside.right.tolist(), strict=True)]
    assert sorted(found) == [(0, 2), (0, 5), (1, 4), (1, 7), (2, 5), (4, 7)]
    components_of = [set(label[inside.left].tolist()) for inside in chunks]
    assert sum(map(len, components_of)) == len(set().union(*components_of))


@given(st.lists(st.integers(0, 3), min_size=1, max_size=12), st.sets(st.integers(0, 3)), EDGES, st.sampled_from([1, 4, 1_000]))
def test_what_is_known_of_some_pairs_comes_to_their_places(
    groups: list[int], chosen: set[int], known: list[tuple[int, int]], at_once: int
) -> None:
    label = np.array([groups.index(group) for group in groups])
    wanted = np.array([at in {groups.index(group) for group in chosen & set(groups)} for at in range(len(groups))])
    known = [pair for pair in known if pair[1] < len(groups)]
    values = {pair: float(number) for number, pair in enumerate(sorted(known), start=1)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cluster, "PAIRS_AT_ONCE", at_once)
        for inside in all_pairs(label, wanted):
            found = inside.spread(*arrays(known), np.array(list(values.values())))
            pairs = list(zip(inside.left.tolist(), inside.right.tolist(), strict=True))
            assert found.tolist() == [values.get(pair, 0.0) for pair in pairs]
            assert inside.marks(*arrays(known)).tolist() == [pair in values for pair in pairs]
