"""Identity: the rules by which records of several sources are found to be one person, and why they are."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from lakekit.identity.kinds import Comparison, Decision, Exact, Fuzzy, Probabilistic, Scorer, Veto
from lakekit.identity.model import Frequencies, Model
from lakekit.identity.rules import Rules, compare, confirm, exact, fuzzy, probabilistic, separate, veto

if TYPE_CHECKING:
    from lakekit.identity.explanation import Explanation, explain
    from lakekit.identity.shared import SharedValues, shared_values
    from lakekit.identity.training import train
    from lakekit.identity.weights import Weights, weights

# What computes loads on first use, so that rules cost nothing to write down.
_HOMES = {
    "Explanation": "explanation",
    "explain": "explanation",
    "SharedValues": "shared",
    "shared_values": "shared",
    "train": "training",
    "weights": "weights",
    "Weights": "weights",
}

__all__ = [
    "Comparison",
    "Decision",
    "Exact",
    "Explanation",
    "Frequencies",
    "Fuzzy",
    "Model",
    "Probabilistic",
    "Rules",
    "Scorer",
    "SharedValues",
    "Veto",
    "Weights",
    "compare",
    "confirm",
    "exact",
    "explain",
    "fuzzy",
    "probabilistic",
    "separate",
    "shared_values",
    "train",
    "veto",
    "weights",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        msg = f"module 'lakekit.identity' has no attribute {name!r}"
        raise AttributeError(msg)
    value = getattr(importlib.import_module(f"lakekit.identity.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
