"""Clustering: linked records as parts, one for each person. A pure function of the links and of what the pairs say.

Records are numbers from 0, in the order of (source, record key); a part is known by its least one. Everything breaks ties by these numbers,
so that the parts don't depend on what else is looked at, or on the order in which records came.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import attrs

from lakekit.identity.linkage import Pairs, average_linkage, components

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

PAIRS_AT_ONCE = 1_000_000
_PRECISION = 1_000_000  # weights are summed as whole millionths: sums of floats depend on their order


@attrs.frozen(eq=False)
class Links:
    """Linked pairs, each once: ``left`` < ``right``, and how strongly."""

    left: Array
    right: Array
    weight: Array

    def where(self, chosen: Array) -> Links:
        """Some of them."""
        return Links(self.left[chosen], self.right[chosen], self.weight[chosen])


@attrs.frozen(eq=False)
class Inside:
    """All pairs of records within some components, each once. The pairs of a record with those after it stand side by side.

    Attributes:
        left: The lesser record of each pair.
        right: The greater one.
        begin: How many pairs of other components come before these.
        component: The component of each record there is.
        place: The place of each record among those of its component, counted on from component to component.
        first: Where the pairs of each record with those after it begin. -1: its component is none of these.
    """

    left: Array
    right: Array
    begin: int
    component: Array
    place: Array
    first: Array

    def spread(self, left: Array, right: Array, values: Array) -> Array:
        """What is known of some pairs, at their places; 0 at the others. Found by counting: to search for them takes ten times as long."""
        import numpy as np

        at = self.first[left] + self.place[right] - self.place[left] - 1 - self.begin
        here = (self.first[left] >= 0) & (self.component[left] == self.component[right]) & (at >= 0) & (at < len(self.left))
        found = np.zeros(len(self.left), dtype=values.dtype)
        found[at[here]] = values[here]
        return found

    def marks(self, left: Array, right: Array) -> Array:
        """Which of the pairs are among some."""
        import numpy as np

        return self.spread(left, right, np.ones(len(left), dtype=bool))


Scorer = Callable[[Inside], "tuple[Array, Array]"]
"""Gives, for pairs of records, their weights and whether a veto keeps them apart."""


@attrs.frozen(eq=False)
class Decided:
    """Pairs that people have decided about, each once: those ``confirmed`` to be one person, and those ``separated``; (left, right)."""

    confirmed: tuple[Array, Array]
    separated: tuple[Array, Array]


def parts(
    size: int, links: Links, *, max_members: int, limit: float, scorer: Scorer | None, decided: Decided | None = None
) -> tuple[Array, int]:
    """The part of each record, and how many components were too large and had to be cut.

    Args:
        size: How many records.
        links: Which of them are linked.
        max_members: So many records a part may have.
        limit: Two groups are joined when the mean weight of all pairs between them is greater.
        scorer: Scores pairs. None: nothing speaks against a link.
        decided: What people have decided: neither a veto nor ``max_members`` divides what is confirmed. None: nothing.
    """
    import numpy as np

    none = np.array([], dtype=np.int64)
    decided = decided or Decided((none, none), (none, none))
    sure, apart = decided.confirmed, decided.separated
    label = components(size, np.concatenate([links.left, sure[0]]), np.concatenate([links.right, sure[1]]))
    counts = np.bincount(label, minlength=size)
    large = np.flatnonzero(counts > max_members)
    if len(large):
        label = _cut(label, large, links, sure, max_members)
        links = links.where(label[links.left] == label[links.right])
        counts = np.bincount(label, minlength=size)
    linked = np.bincount(label[links.left], minlength=size)
    # Where every pair is linked, nothing can keep the records apart, but for a decision.
    doubtful = (counts > 2) & (linked < counts * (counts - 1) // 2) if scorer else np.zeros(size, dtype=bool)
    doubtful[label[apart[0][label[apart[0]] == label[apart[1]]]]] = True
    links = links.where(doubtful[label[links.left]])
    for pairs in all_pairs(label, doubtful):
        unopposed = np.zeros(len(pairs.left), dtype=bool)
        weight, vetoed = scorer(pairs) if scorer else (pairs.spread(links.left, links.right, links.weight), unopposed)
        label = _divide(label, pairs, weight, vetoed, links, decided, limit)
    return label, len(large)


def _cut(label: Array, large: Array, links: Links, sure: tuple[Array, Array], max_members: int) -> Array:
    """Components that are too large, grown anew from the strongest link down, as long as they stay small enough; first what is sure."""
    import numpy as np

    links = links.where(np.isin(label[links.left], large))
    members = np.flatnonzero(np.isin(label, large))
    firm = np.isin(label[sure[0]], large)
    label = label.copy()
    parent = {int(node): int(node) for node in members}
    size = dict.fromkeys(parent, 1)

    def root(node: int) -> int:
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    order = np.lexsort((links.right, links.left, -links.weight))
    confirmed = zip(sure[0][firm].tolist(), sure[1][firm].tolist(), itertools.repeat(len(label)))
    linked = zip(links.left[order].tolist(), links.right[order].tolist(), itertools.repeat(max_members))
    for left, right, most in itertools.chain(confirmed, linked):
        low, high = sorted((root(left), root(right)))
        if low != high and size[low] + size[high] <= most:
            parent[high] = low
            size[low] += size[high]
    label[members] = [root(node) for node in members.tolist()]
    return label


def all_pairs(label: Array, chosen: Array) -> Iterator[Inside]:
    """All pairs of records within each of the chosen components, whole components at a time."""
    import numpy as np

    nodes = np.flatnonzero(chosen[label])
    nodes = nodes[np.argsort(label[nodes], kind="stable")]
    starts = np.flatnonzero(np.r_[True, label[nodes][1:] != label[nodes][:-1]]) if len(nodes) else np.array([], int)
    sizes = np.diff(np.r_[starts, len(nodes)])
    after = np.repeat(starts + sizes, sizes) - np.arange(len(nodes)) - 1  # how many of its component follow a record
    begins = np.cumsum(after) - after
    place, first = np.zeros(len(label), dtype=np.int64), np.full(len(label), -1)
    place[nodes], first[nodes] = np.arange(len(nodes)), begins
    group = np.cumsum(sizes * (sizes - 1) // 2) // PAIRS_AT_ONCE
    for number in np.unique(group):
        of = slice(starts[group == number][0], (starts + sizes)[group == number][-1])
        left = np.repeat(np.arange(of.start, of.stop), after[of])
        right = left + 1 + np.arange(len(left)) - np.repeat(begins[of] - begins[of.start], after[of])
        yield Inside(nodes[left], nodes[right], int(begins[of.start]), label, place, first)


def _divide(label: Array, pairs: Inside, weight: Array, vetoed: Array, links: Links, decided: Decided, limit: float) -> Array:
    """Components of which all pairs are scored, divided where something speaks against it."""
    import numpy as np

    label = label.copy()
    sure = pairs.marks(*decided.confirmed)
    vetoed = (vetoed | pairs.marks(*decided.separated)) & ~sure
    component = label[pairs.left]
    against = np.zeros(len(label), dtype=bool)
    against[component[vetoed | (weight <= limit)]] = True
    chosen = against[component]
    left, right, amount = pairs.left[chosen], pairs.right[chosen], np.rint(weight[chosen] * _PRECISION).astype(np.int64)
    doubtful = Pairs(left, right, amount, vetoed[chosen], pairs.marks(links.left, links.right)[chosen])
    nodes, least = average_linkage(doubtful, component[chosen], limit * _PRECISION, (left[sure[chosen]], right[sure[chosen]]))
    label[nodes] = least
    return label
