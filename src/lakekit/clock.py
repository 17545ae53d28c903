"""The clock: read in one place, and only where the caller gave no instant."""

from __future__ import annotations

from datetime import UTC, datetime

from lakekit.errors import ConfigError


def instant_of(now: datetime | None, *, place: str) -> datetime:
    """The instant a caller gave, in UTC, or the clock's.

    Raises:
        ConfigError: A naive datetime.

    >>> instant_of(datetime(2026, 1, 1, tzinfo=UTC), place="ingest(now=)").isoformat()
    '2026-01-01T00:00:00+00:00'
    """
    if now is None:
        return datetime.now(UTC)
    if now.tzinfo is None:
        raise ConfigError(place, "expected a datetime with a time zone", got="a naive one", hint="write datetime(…, tzinfo=UTC).")
    return now.astimezone(UTC)
