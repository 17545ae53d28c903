"""What pairs of records are made of: one person, two relatives, two strangers. How many of each, and how they compare, without labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import attrs

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

_ROUNDS: Final = 200
_CLOSE: Final = 1e-6  # probabilities that change no more than that are found
_UNSEEN: Final = 1e-3  # so many pairs there are of what was not seen
_STRANGERS: Final = 10  # as many strangers are counted among the relatives: of a few pairs little is learned


@attrs.frozen(eq=False)
class Part:
    """A part of the mixture.

    Attributes:
        share: How many of all pairs it is.
        chances: For each comparison how likely each of its levels is.
    """

    share: float
    chances: list[Array]


@attrs.frozen(eq=False)
class Mixture:
    """What all pairs of records are made of. ``relatives``: of each veto that keeps some apart."""

    same: Part
    strangers: Part
    relatives: list[Part]


@attrs.frozen(eq=False)
class Patterns:
    """The ways in which pairs compare.

    Attributes:
        levels: For each way, the level of each comparison; -1 where a value is missing.
        telling: For each way, which comparisons tell how often they agree.
        apart: Which veto keeps such pairs apart; 0: none.
        counts: How many pairs there are.
    """

    levels: Array
    telling: Array
    apart: Array
    counts: Array

    def likelihood(self, part: Part) -> Array:
        """The logarithm of how likely a pair is of the part, and compares so."""
        import numpy as np

        found = np.full(len(self.counts), np.log(part.share))
        for chances, level in zip(part.chances, self.levels.T, strict=True):
            known = level >= 0
            found[known] += np.log(chances[level[known]])
        return found

    def chances(self, weight: Array, besides: Sequence[Array]) -> list[Array]:
        """How likely each level is among pairs of so much weight, and a few others."""
        import numpy as np

        found: list[Array] = []
        for level, telling, more in zip(self.levels.T, self.telling.T, besides, strict=True):
            known = (level >= 0) & telling
            total = np.bincount(level[known], weights=weight[known], minlength=len(more)) + more
            found.append(total / total.sum())
        return found


def separate(
    levels: Sequence[Array],
    telling: Sequence[Array],
    apart: Array,
    chance: Sequence[Array],
    *,
    whole: Sequence[bool],
    stands_for: float,
    everything: float,
) -> Mixture:
    """Tell the parts of the mixture from each other, by expectation maximization.

    The pairs of all blocks are looked at, and the others are taken for strangers. So it is known how many of the pairs would agree by chance
    alone, whatever the blocks select: what is more than that is what is learned from, if there are one or two columns only.

    Pairs that a veto keeps apart are of two persons, and a block has brought them together, mostly since these share a phone, an address or a
    name. How often they do is learned from these pairs alone: how many others there are of that kind, which no veto finds, from all of them.

    Args:
        levels: For each comparison the level of each pair.
        telling: For each comparison which pairs tell how often it agrees.
        apart: Which veto keeps each pair apart, counted from 1; 0: none.
        chance: How likely each level is for two records at random, which are seldom one person.
        whole: Whether all pairs that are equal in a comparison are looked at: it is a block for itself.
        stands_for: For so many pairs each of them stands.
        everything: How many pairs of records there are.

    Source:
        Winkler: Using the EM algorithm for weight computation in the Fellegi-Sunter model of record linkage (2000). Larsen, Rubin: Iterative
        automated record linkage using mixture models (2001), where two persons of one household are a class of their own.
    """
    import numpy as np

    rows, counts = np.unique(np.stack([*levels, *telling, apart], axis=1), axis=0, return_counts=True)
    width = len(levels)
    seen = Patterns(rows[:, :width], rows[:, width:-1] > 0, rows[:, -1], counts * stands_for)
    few, unseen, least = [_STRANGERS * one for one in chance], [np.full(len(one), _UNSEEN) for one in chance], 0.5 / everything
    same = Part(min(0.5, 0.1 * seen.counts.sum() / everything), [np.r_[0.8, np.full(len(one) - 1, 0.2 / (len(one) - 1))] for one in chance])
    kinds = [seen.apart == kind for kind in np.unique(seen.apart[seen.apart > 0])]
    relatives = [Part((seen.counts * kind).sum() / 2 / everything, seen.chances(seen.counts * kind, few)) for kind in kinds]
    strangers = Part(1 - same.share, list(chance))
    for _ in range(_ROUNDS):
        likely = np.stack([seen.likelihood(part) for part in (same, *relatives, strangers)])
        likely[0, seen.apart > 0] = -np.inf
        for number, kind in enumerate(kinds, start=1):
            likely[number, (seen.apart > 0) & ~kind] = -np.inf
        weights = seen.counts * np.exp(likely - np.logaddexp.reduce(likely))
        before = [one for part in (same, *relatives) for one in part.chances]
        same = Part(float(np.clip(weights[0].sum(), 1.0, everything / 2)) / everything, seen.chances(weights[0], unseen))
        relatives = [
            Part(max(float(weight.sum()), _UNSEEN) / everything, seen.chances(weight * kind, few))
            for weight, kind in zip(weights[1:-1], kinds, strict=True)
        ]
        # A value that is hardly ever shared but by one person's records says more than chance in all pairs tells.
        others = [same, *relatives]
        share = 1 - sum(part.share for part in others)
        left = [one - sum(part.share * part.chances[number] for part in others) for number, one in enumerate(chance)]
        for number in np.flatnonzero(whole).tolist():  # of all equal pairs so many are strangers: more exact than what the others leave
            equal = seen.levels[:, number] == 0
            left[number][0] = chance[number][0] * weights[-1, equal].sum() / max(seen.counts[equal].sum(), 1)
        strangers = Part(share, [np.maximum(one, least) / share for one in left])
        after = [one for part in others for one in part.chances]
        if max(float(np.abs(old - new).max()) for old, new in zip(before, after, strict=True)) < _CLOSE:
            break
    return Mixture(same, strangers, relatives)
