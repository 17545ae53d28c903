"""What sources that are read by a cursor have in common: what a missing cursor means, and cursor values as a bookmark holds them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Any, Literal

NullCursor = Literal["raise", "include", "exclude"]
"""What rows without a cursor mean: an error, rows to read every time, or rows to leave out."""


def to_text(value: datetime | date | int) -> str:
    """A cursor value as text, exact: ISO 8601 with microseconds, instants in UTC.

    >>> to_text(datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)), to_text(date(2026, 1, 2)), to_text(7)
    ('2026-01-02T03:04:05.000006Z', '2026-01-02', '7')
    """
    if not isinstance(value, datetime):
        return str(value) if isinstance(value, int) else value.isoformat()
    if value.tzinfo is None:
        return value.isoformat(timespec="microseconds")
    return value.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def from_text(text: str, kind: str) -> datetime | date | int:
    """A cursor value from its text: an ``integer``, a ``date``, or an instant."""
    if kind == "integer":
        return int(text)
    return date.fromisoformat(text) if kind == "date" else datetime.fromisoformat(text)


def greatest(*values: Any) -> Any:
    """The greatest value; None counts as no value."""
    known: Sequence[Any] = [value for value in values if value is not None]
    return max(known, default=None)
