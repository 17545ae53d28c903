"""Gold: the star. What a dimension with history shows, dates, several look-ups at once, and facts that follow a process or a period."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lakekit.gold.dates import date_dimension, date_key
    from lakekit.gold.facts import accumulating_snapshot, periodic_snapshot
    from lakekit.gold.roles import Role, lookup_all
    from lakekit.gold.timeline import Timeline
    from lakekit.gold.verify import Verification
    from lakekit.gold.views import current, with_current, with_previous

_HOMES = {
    "Role": "roles",
    "Timeline": "timeline",
    "Verification": "verify",
    "accumulating_snapshot": "facts",
    "current": "views",
    "date_dimension": "dates",
    "date_key": "dates",
    "lookup_all": "roles",
    "periodic_snapshot": "facts",
    "with_current": "views",
    "with_previous": "views",
}

__all__ = [
    "Role",
    "Timeline",
    "Verification",
    "accumulating_snapshot",
    "current",
    "date_dimension",
    "date_key",
    "lookup_all",
    "periodic_snapshot",
    "with_current",
    "with_previous",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        msg = f"module 'lakekit.gold' has no attribute {name!r}"
        raise AttributeError(msg)
    value = getattr(importlib.import_module(f"lakekit.gold.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
