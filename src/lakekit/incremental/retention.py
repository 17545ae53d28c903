"""How long a table keeps its snapshots: Iceberg's own table properties, and what they are where a stream makes the table."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from lakekit.engines.plan import TableState

AGE: Final = "history.expire.max-snapshot-age-ms"
LEAST: Final = "history.expire.min-snapshots-to-keep"
_DEFAULT_AGE: Final = timedelta(days=5)
"""Iceberg's default, and the longest that a stream asks for."""
_SHORTEST_AGE: Final = timedelta(hours=3)
_KEPT: Final = 1_000
"""A stream's table keeps about as many micro-batches: each commit copies what the table knows of all of them."""
_MILLISECOND: Final = timedelta(milliseconds=1)


def of_stream(every: float | None) -> dict[str, str]:
    """The properties of a table that a stream makes: the last thousand micro-batches, between three hours and five days.

    Args:
        every: Seconds from one micro-batch to the next. None: nobody knows.

    >>> of_stream(30)["history.expire.max-snapshot-age-ms"], of_stream(None)["history.expire.max-snapshot-age-ms"]
    ('30000000', '432000000')
    """
    age = _DEFAULT_AGE if every is None else min(max(timedelta(seconds=every * _KEPT), _SHORTEST_AGE), _DEFAULT_AGE)
    return {
        AGE: str(age // _MILLISECOND),
        LEAST: "100",
        "write.metadata.delete-after-commit.enabled": "true",
        "write.metadata.previous-versions-max": "20",
    }


def is_said(state: TableState) -> bool:
    """Whether the table itself says how long to keep its snapshots."""
    return AGE in state.properties


def since(state: TableState, now: datetime) -> datetime:
    """Snapshots older than this may expire, as the table says; Iceberg's default where it doesn't."""
    return now - (timedelta(milliseconds=int(state.properties[AGE])) if is_said(state) else _DEFAULT_AGE)


def least(state: TableState) -> int:
    """So many of the newest snapshots are kept, however old they are."""
    return int(state.properties.get(LEAST, "1"))
