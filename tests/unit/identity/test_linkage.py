"""Average linkage of many components at once, against joining two groups of one component at a time."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakekit.identity.linkage import Pairs, average_linkage

Pair = tuple[int, int, int, bool, bool]
"""Left, right, weight, vetoed, linked."""
NONE = np.array([], dtype=np.int64)


def grouped(pairs: list[Pair], component: list[int], limit: float, sure: list[tuple[int, int]] | None = None) -> list[list[int]]:
    columns = [np.array([pair[at] for pair in pairs], dtype=kind) for at, kind in enumerate((int, int, int, bool, bool))]
    firm = (np.array([left for left, _ in sure]), np.array([right for _, right in sure])) if sure else (NONE, NONE)
    nodes, least = average_linkage(Pairs(*columns), np.array(component, dtype=np.int64), limit, firm)
    return sorted([int(node) for node in nodes[least == one]] for one in np.unique(least))


def one_by_one(pairs: list[Pair], limit: float, sure: list[tuple[int, int]]) -> list[list[int]]:
    """The naive way: look at all groups again after each join."""
    groups = {node: {node} for pair in pairs for node in pair[:2]}

    def join(left: int, right: int) -> None:
        low, high = sorted(next(least for least, group in groups.items() if node in group) for node in (left, right))
        if low != high:
            groups[low] |= groups.pop(high)

    for left, right in sure:
        join(left, right)
    while True:
        found = []
        for low, high in combinations(sorted(groups), 2):
            between = [pair for pair in pairs if {pair[0], pair[1]} & groups[low] and {pair[0], pair[1]} & groups[high]]
            mean = sum(pair[2] for pair in between) / len(between)
            if mean > limit and any(pair[4] for pair in between) and not any(pair[3] for pair in between):
                found.append((-mean, low, high))
        if not found:
            return sorted(map(sorted, groups.values()))
        join(*min(found)[1:])


@st.composite
def component(draw: st.DrawFn) -> tuple[list[Pair], list[tuple[int, int]]]:
    """All pairs of some records, and which of them are sure: no veto stands within what these form."""
    size = draw(st.integers(2, 6))
    flags = st.tuples(st.integers(-4, 4), st.sampled_from([False, False, False, True]), st.booleans())
    pairs = [(left, right, *draw(flags)) for left, right in combinations(range(size), 2)]
    return pairs, draw(st.lists(st.sampled_from([pair[:2] for pair in pairs]), max_size=2, unique=True))


@given(components=st.lists(component(), min_size=1, max_size=4), limit=st.sampled_from([-2.0, 0.0, 0.5]), draw=st.data())
def test_each_component_is_grouped_as_it_would_be_alone(
    components: list[tuple[list[Pair], list[tuple[int, int]]]], limit: float, draw: st.DataObject
) -> None:
    pairs: list[Pair] = []
    numbers: list[int] = []
    sure: list[tuple[int, int]] = []
    expected: list[list[int]] = []
    for number, (own, firm) in enumerate(components):  # interleaved: the records of one are not side by side
        shift = {node: node * len(components) + number for node in range(6)}
        pairs += [(shift[left], shift[right], *rest) for left, right, *rest in own]  # type: ignore[misc]
        numbers += [number] * len(own)
        sure += [(shift[left], shift[right]) for left, right in firm]
        expected += [[shift[node] for node in group] for group in one_by_one(own, limit, firm)]
    order = draw.draw(st.permutations(range(len(pairs))))
    assert grouped([pairs[at] for at in order], [numbers[at] for at in order], limit, sure) == sorted(expected)


@pytest.mark.parametrize(("limit", "groups"), [(-1, [[0, 1], [2, 3]]), (-4, [[0, 1, 2, 3]])])
def test_a_weak_link_is_outweighed_by_what_speaks_against_it_on_average(limit: int, groups: list[list[int]]) -> None:
    pairs = [
        (0, 1, 9, False, True),
        (2, 3, 9, False, True),
        (0, 2, 3, False, True),
        (0, 3, -5, False, False),
        (1, 2, -5, False, False),
        (1, 3, -5, False, False),
    ]
    assert grouped(pairs, [0] * 6, limit) == groups


def test_where_there_is_nothing_nothing_is_grouped() -> None:
    assert grouped([], [], 0.0) == []
