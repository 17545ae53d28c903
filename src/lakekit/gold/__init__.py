"""Gold: the star. What a dimension with history shows, dates, several look-ups at once, and facts that follow a process or a period."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lakekit import lazy

if TYPE_CHECKING:
    from lakekit.gold.dates import date_dimension, date_key
    from lakekit.gold.facts import accumulating_snapshot, periodic_snapshot
    from lakekit.gold.roles import Role, lookup_all
    from lakekit.gold.timeline import Timeline
    from lakekit.gold.verify import Verification
    from lakekit.gold.views import current, known_at, with_current, with_previous

_HOMES = {
    "Role": "roles",
    "Timeline": "timeline",
    "Verification": "verify",
    "accumulating_snapshot": "facts",
    "current": "views",
    "date_dimension": "dates",
    "date_key": "dates",
    "known_at": "views",
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
    "known_at",
    "lookup_all",
    "periodic_snapshot",
    "with_current",
    "with_previous",
]


__getattr__ = lazy.loader(__name__, _HOMES)


def __dir__() -> list[str]:
    return __all__
