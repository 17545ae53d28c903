"""Average linkage over many components at once: in each round, each of them joins the two of its groups that are most alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]


@attrs.frozen(eq=False)
class Pairs:
    """Pairs of records, each once: ``left`` < ``right``, the weight in whole numbers, whether a veto keeps them apart, whether they match."""

    left: Array
    right: Array
    weight: Array
    vetoed: Array
    linked: Array


@attrs.frozen(eq=False)
class _Between:
    """What is between two groups, in the order of ``low`` and ``high``: the sum of the weights, and of how many pairs; a veto; a link."""

    low: Array
    high: Array
    total: Array
    number: Array
    vetoed: Array
    linked: Array


def components(size: int, left: Array, right: Array) -> Array:
    """The least record that each record is connected with.

    >>> import numpy as np
    >>> components(5, np.array([1, 3]), np.array([3, 4])).tolist()
    [0, 1, 2, 1, 1]
    """
    import numpy as np

    label = np.arange(size)
    while True:
        low, high = np.minimum(label[left], label[right]), np.maximum(label[left], label[right])
        if not (low < high).any():
            return label
        np.minimum.at(label, high, low)
        while not np.array_equal(shorter := label[label], label):
            label = shorter


def average_linkage(pairs: Pairs, component: Array, limit: float, sure: tuple[Array, Array]) -> tuple[Array, Array]:
    """Groups of records: the two with the greatest mean weight are joined, while it is above the limit, and again.

    Only groups with a link between them are joined, and never across a veto. Of several equally alike the least are joined.

    Args:
        pairs: All pairs within some components.
        component: The number of each pair's component.
        limit: What the mean weight has to exceed.
        sure: Pairs that are together, whatever the weights say: what they form is where it begins.

    Returns:
        The records, and the least one of each one's group.

    Source:
        Sokal, Michener: A statistical method for evaluating systematic relationships (1958), "average linkage".

    >>> import numpy as np
    >>> pairs = Pairs(*map(np.array, ([0, 0, 1], [1, 2, 2], [9, 0, 5], [False, True, False], [True, False, True])))
    >>> nodes, least = average_linkage(pairs, np.array([0, 0, 0]), 0.0, (np.array([], int), np.array([], int)))
    >>> nodes.tolist(), least.tolist()
    ([0, 1, 2], [0, 0, 2])
    """
    import numpy as np

    nodes, first = np.unique(np.concatenate([pairs.left, pairs.right]), return_index=True)
    of = np.concatenate([component, component])[first]
    order = np.argsort(of, kind="stable")  # the records of a component side by side, each in its order
    nodes, of = nodes[order], of[order]
    place = np.empty(int(nodes.max(initial=-1)) + 1, dtype=np.int64)
    place[nodes] = np.arange(len(nodes))
    group = components(len(nodes), place[sure[0]], place[sure[1]])
    one = np.ones(len(pairs.left), dtype=np.int64)
    between = _between(
        len(nodes), _Between(group[place[pairs.left]], group[place[pairs.right]], pairs.weight, one, pairs.vetoed, pairs.linked)
    )
    while len(between.low):
        mean = between.total / between.number
        mean[between.vetoed | ~between.linked | (mean <= limit)] = -np.inf
        starts = np.flatnonzero(np.r_[True, np.diff(of[between.low]) != 0])
        sizes = np.diff(np.r_[starts, len(mean)])
        best = np.repeat(np.maximum.reduceat(mean, starts), sizes)
        equal = np.flatnonzero((mean == best) & (best > -np.inf))
        chosen = equal[np.unique(np.repeat(starts, sizes)[equal], return_index=True)[1]]
        target = np.arange(len(nodes))
        target[between.high[chosen]] = between.low[chosen]
        group = target[group]
        goes_on = best > -np.inf
        rest = _Between(*(getattr(between, field.name)[goes_on] for field in attrs.fields(_Between)))
        between = _between(len(nodes), attrs.evolve(rest, low=target[rest.low], high=target[rest.high]))
    return nodes, nodes[group]


def _between(size: int, pairs: _Between) -> _Between:
    """One row for each two groups, in order; what is within a group goes."""
    import numpy as np

    low, high = np.minimum(pairs.low, pairs.high), np.maximum(pairs.low, pairs.high)
    apart = np.flatnonzero(low != high)
    code = low[apart] * size + high[apart]
    order = np.argsort(code, kind="stable")
    code, rows = code[order], apart[order]
    starts = np.flatnonzero(np.r_[True, code[1:] != code[:-1]]) if len(code) else np.array([], dtype=np.int64)
    if not len(starts):
        return _Between(*(getattr(pairs, field.name)[:0] for field in attrs.fields(_Between)))
    return _Between(
        low[rows][starts],
        high[rows][starts],
        np.add.reduceat(pairs.total[rows], starts),
        np.add.reduceat(pairs.number[rows], starts),
        np.logical_or.reduceat(pairs.vetoed[rows], starts),
        np.logical_or.reduceat(pairs.linked[rows], starts),
    )
