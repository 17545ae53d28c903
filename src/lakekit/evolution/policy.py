"""What is done about a difference: per class, and per column."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, cast, get_args

from lakekit import columns as system
from lakekit.errors import ConfigError
from lakekit.evolution.differences import KEY, Change, Class

Choice = Literal["evolve", "fail", "rescue", "reject"]
Policy = Choice | Mapping[str, str]
Action = Literal["evolve", "fail", "rescue", "reject", "keep"]
"""What a plan does about a change. ``keep``: the table stays, and rows are written as it takes them."""

_CHOICES: Final = get_args(Choice)
_DEFAULTS: Final[Mapping[Class, Action]] = {"additive": "evolve", "widening": "evolve", "relaxing": "evolve", "conflict": "rescue"}
"""Nothing is lost and nothing stops: the table follows where it can, and a value that its column can't hold is in ``_rescued_data``."""
_ASKED: Final = tuple(_DEFAULTS)
"""The classes that there is something to do about. A policy may name ``missing`` too, to fail."""


def require_policy(policy: Policy, *, place: str) -> None:
    """Raise where there is no such policy.

    Raises:
        ConfigError: An unknown word, or one that makes no sense for its class.
    """
    words = policy.values() if isinstance(policy, Mapping) else (policy,)
    for word in words:
        if word not in _CHOICES:
            raise ConfigError(f"{place}(on_change=)", f"expected {', '.join(map(repr, _CHOICES[:-1]))} or {_CHOICES[-1]!r}", got=repr(word))
    if isinstance(policy, Mapping) and policy.get("conflict") == "evolve":
        raise ConfigError(
            f"{place}(on_change=)",
            "a conflict is one since the column's type can't become the other",
            got="'conflict': 'evolve'",
            hint="'rescue' keeps the values in _rescued_data, 'reject' their rows in the rejects, 'fail' raises.",
        )


def action(change: Change, policy: Policy) -> Action:
    """What is done about a change. The nearest word counts: for its path, its column, its class, else the default.

    >>> from lakekit.evolution.differences import Change
    >>> new = Change("additive", ("device_type",))
    >>> action(new, "evolve"), action(new, "fail"), action(new, {"additive": "rescue"}), action(new, {"device_type": "reject"})
    ('evolve', 'fail', 'rescue', 'reject')
    """
    if change.kind == "missing" and change.note == KEY:
        return "fail"
    if system.is_system(change.column):  # those that lakekit itself keeps are no change of the source
        return "fail" if change.kind == "conflict" else _DEFAULTS.get(change.kind, "keep")
    default: Action = _DEFAULTS.get(change.kind, "keep")
    if isinstance(policy, Mapping):
        named = next((policy[name] for name in (change.name, change.column, change.kind) if name in policy), None)
        if change.kind not in _ASKED:
            return "fail" if named == "fail" and change.kind == "missing" else "keep"
        chosen = cast("Action", named or default)
    else:
        chosen = cast("Action", policy) if change.kind in _ASKED else "keep"
    if chosen == "evolve":
        return default
    # A column that may be NULL from now on rescues nothing: a row without the value is rejected, or the table follows.
    return "evolve" if change.kind == "relaxing" and chosen == "rescue" else chosen
