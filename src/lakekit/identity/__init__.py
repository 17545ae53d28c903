"""Identity: the rules by which records of several sources are found to be one person, and why they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lakekit import lazy
from lakekit.identity.kinds import Comparison, Decision, Exact, Fuzzy, Probabilistic, Scorer, Veto
from lakekit.identity.model import Frequencies, Model, Relatives
from lakekit.identity.rules import Rules, compare, confirm, exact, fuzzy, probabilistic, separate, veto

if TYPE_CHECKING:
    from lakekit.identity.explanation import Explanation, explain
    from lakekit.identity.labels import Pairs, Tradeoff, decisions, pairs, tradeoff, uncertain
    from lakekit.identity.network import Graph, graph
    from lakekit.identity.shared import SharedValues, shared_values
    from lakekit.identity.training import train
    from lakekit.identity.weighing import Weights, weights

# What computes loads on first use, so that rules cost nothing to write down.
_HOMES = {
    "Graph": "network",
    "Explanation": "explanation",
    "Pairs": "labels",
    "SharedValues": "shared",
    "Tradeoff": "labels",
    "Weights": "weighing",
    "graph": "network",
    "decisions": "labels",
    "explain": "explanation",
    "pairs": "labels",
    "shared_values": "shared",
    "train": "training",
    "tradeoff": "labels",
    "uncertain": "labels",
    "weights": "weighing",
}

__all__ = [
    "Comparison",
    "Decision",
    "Exact",
    "Explanation",
    "Frequencies",
    "Fuzzy",
    "Graph",
    "Model",
    "Pairs",
    "Probabilistic",
    "Relatives",
    "Rules",
    "Scorer",
    "SharedValues",
    "Tradeoff",
    "Veto",
    "Weights",
    "compare",
    "confirm",
    "decisions",
    "exact",
    "explain",
    "fuzzy",
    "graph",
    "pairs",
    "probabilistic",
    "separate",
    "shared_values",
    "tradeoff",
    "train",
    "uncertain",
    "veto",
    "weights",
]


__getattr__ = lazy.loader(__name__, _HOMES)


def __dir__() -> list[str]:
    return __all__
