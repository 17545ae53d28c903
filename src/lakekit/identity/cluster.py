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

Scorer = Callable[[Any, Any], "tuple[Array, Array]"]
"""Gives, for pairs of records (left, right), their weights and whether a veto keeps them apart."""
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

    def weights(self, size: int, left: Array, right: Array) -> Array:
        """The weights of some pairs; 0 where they are not linked."""
        return lookup(left * size + right, self.left * size + self.right, self.weight)


def lookup(wanted: Array, known: Array, values: Array) -> Array:
    """The values of the wanted numbers among the known ones; 0 where they are not among them."""
    import numpy as np

    there, at = _places(wanted, known)
    return np.where(there, values[at], 0.0) if len(known) else np.zeros(len(wanted))


def among(wanted: Array, known: Array) -> Array:
    """Whether the wanted numbers are among the known ones. By sorting these alone: numpy's own way takes three times as long."""
    return _places(wanted, known)[0]


def _places(wanted: Array, known: Array) -> tuple[Array, Array]:
    import numpy as np

    if not len(known):
        return np.zeros(len(wanted), dtype=bool), np.zeros(len(wanted), dtype=np.int64)
    order = np.argsort(known)
    at = order[np.minimum(np.searchsorted(known, wanted, sorter=order), len(known) - 1)]
    return known[at] == wanted, at


@attrs.frozen(eq=False)
class Decided:
    """Pairs that people have decided about, each once: those ``confirmed`` to be one person, and those ``separated``; (left, right)."""

    confirmed: tuple[Array, Array]
    separated: tuple[Array, Array]

    def marks(self, size: int, left: Array, right: Array) -> tuple[Array, Array]:
        """Of some pairs, which are confirmed and which separated."""
        code = left * size + right
        return among(code, self.confirmed[0] * size + self.confirmed[1]), among(code, self.separated[0] * size + self.separated[1])


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
    for left, right in all_pairs(label, doubtful):
        weight, vetoed = scorer(left, right) if scorer else (links.weights(size, left, right), np.zeros(len(left), dtype=bool))
        label = _divide(label, left, right, weight, vetoed, links, decided, limit)
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


def all_pairs(label: Array, chosen: Array) -> Iterator[tuple[Array, Array]]:
    """All pairs of records within each of the chosen components, whole components at a time."""
    import numpy as np

    nodes = np.flatnonzero(chosen[label])
    nodes = nodes[np.argsort(label[nodes], kind="stable")]
    starts = np.flatnonzero(np.r_[True, label[nodes][1:] != label[nodes][:-1]]) if len(nodes) else np.array([], int)
    sizes = np.diff(np.r_[starts, len(nodes)])
    group = np.cumsum(sizes * (sizes - 1) // 2) // PAIRS_AT_ONCE
    for number in np.unique(group):
        first, count = starts[group == number], sizes[group == number]
        position = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
        after = np.repeat(count, count) - position - 1
        left = np.repeat(np.repeat(first, count) + position, after)
        right = left + 1 + np.arange(after.sum()) - np.repeat(np.cumsum(after) - after, after)
        yield nodes[left], nodes[right]


def _divide(label: Array, left: Array, right: Array, weight: Array, vetoed: Array, links: Links, decided: Decided, limit: float) -> Array:
    """Components of which all pairs are scored, divided where something speaks against it."""
    import numpy as np

    label = label.copy()
    size = len(label)
    is_link = among(left * size + right, links.left * size + links.right)
    sure, apart = decided.marks(size, left, right)
    vetoed = (vetoed | apart) & ~sure
    component = label[left]
    against = np.zeros(size, dtype=bool)
    against[component[vetoed | (weight <= limit)]] = True
    chosen = against[component]
    left, right, amount = left[chosen], right[chosen], np.rint(weight[chosen] * _PRECISION).astype(np.int64)
    pairs = Pairs(left, right, amount, vetoed[chosen], is_link[chosen])
    nodes, least = average_linkage(pairs, component[chosen], limit * _PRECISION, (left[sure[chosen]], right[sure[chosen]]))
    label[nodes] = least
    return label
