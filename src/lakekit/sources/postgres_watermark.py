"""How far a table was read, and where the next read starts so that no late commit is skipped. No I/O here.

A row becomes visible when its transaction commits, but bears the time (or the sequence number) of an earlier instant. So the largest
cursor seen is no safe place to start from: a transaction that was open then may still commit smaller ones. Safe is ``low = min(seen,
horizon)``, where every transaction that this read could not see began at or after the *horizon*:

1. Before the snapshot is taken, outside of any transaction, read ``t1`` (the server's clock) and when each open transaction began.
2. Then take the snapshot, and read the rows.

A transaction that the snapshot cannot see either was open at step 1, and is in the list, or had not begun, and starts after ``t1``. One
that ended in between is visible, since PostgreSQL makes a commit visible before it takes the transaction off the list. ``SLACK`` covers
the time between a backend's noting that its transaction starts and its publishing it. So ``horizon = min(oldest, t1 - SLACK)``.

Where the horizon is not known exactly:

- *Prepared transactions* (``PREPARE TRANSACTION``) tell when they were prepared, not when they began. While there is one, ``low`` stays
  where it was: that was safe for every transaction invisible then, and the prepared one was invisible or had not begun.
- *Sessions that may not be seen* (no ``pg_read_all_stats``, or ``track_activities`` off), and *replicas*, where transactions run elsewhere:
  ``horizon = t1 - LAG``, on a replica counted from the last transaction replayed. A transaction longer than that can be missed: grant
  ``pg_read_all_stats``, or add to it with ``lookback=``.

A safe ``low`` stays safe, so it never moves back.

*Integer cursors* (sequences) can't be compared with a time. Instead the largest value before step 1 is noted as ``(t1, top)``: a
transaction that begins later draws greater values. As soon as all that are open began after ``t1``, ``top`` is safe. This holds for
values drawn in the inserting transaction from an ascending sequence without CACHE.

*UUIDs of version 7* begin with the milliseconds at which they were made, and are compared by those. This holds for ids that the server makes, or
an application in the transaction that inserts them; for ids made before it began, ``lookback=`` says how long before.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final, Literal, cast
from zoneinfo import ZoneInfo

import attrs

from lakekit.sources.cursors import from_text, greatest, to_text

SLACK: Final = timedelta(seconds=1)
LAG: Final = timedelta(hours=1)
_PENDING: Final = 16
_HOUR: Final = timedelta(hours=1)
_MICROSECOND: Final = timedelta(microseconds=1)
_MILLISECOND: Final = timedelta(milliseconds=1)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

CursorType = Literal["timestamptz", "timestamp", "date", "integer", "uuid7"]
CURSOR_TYPES: Final[Mapping[str, CursorType]] = {
    "timestamptz": "timestamptz",
    "timestamp": "timestamp",
    "date": "date",
    "int2": "integer",
    "int4": "integer",
    "int8": "integer",
    "uuid": "uuid7",
}
Value = datetime | date | int


@attrs.frozen
class Activity:
    """What the server was doing just before a snapshot.

    Attributes:
        now: The server's clock, before the rest was read.
        oldest: When the oldest transaction among those that can be seen began; None: none is open.
        hidden: Whether there are sessions whose transactions can't be seen.
        prepared: How many prepared transactions there are.
        replica: Whether this is a replica.
        replayed: On a replica, when the last transaction was committed that it has replayed.
    """

    now: datetime
    oldest: datetime | None = None
    hidden: bool = False
    prepared: int = 0
    replica: bool = False
    replayed: datetime | None = None

    def follows(self, instant: datetime) -> bool:
        """Whether every transaction invisible to the snapshot did nothing yet at an instant: this ``now``, or that of an earlier read.

        Sharper than the horizon: a transaction that is not in the list yet has done nothing yet, whenever it noted its start.
        """
        if self.hidden or self.prepared or self.replica:
            return self.horizon is not None and instant <= self.horizon
        return self.oldest is None or instant <= self.oldest

    @property
    def horizon(self) -> datetime | None:
        """Every transaction invisible to the snapshot began at or after this instant. None: nothing is known."""
        if self.prepared or (self.replica and self.replayed is None):
            return None
        if self.replica:
            return min(self.now, self.replayed or self.now) - LAG
        latest = self.now - (LAG if self.hidden else SLACK)
        return latest if self.oldest is None else min(self.oldest, latest)

    @property
    def doubt(self) -> str:
        """Why the horizon is not exact, in words for the log; empty where it is."""
        if self.prepared:
            return f"{self.prepared} prepared transaction(s) hold the watermark back until they are committed or rolled back"
        if self.replica:
            return f"a replica does not show the primary's open transactions: rows are read again for {LAG} in case one commits late"
        if self.hidden:
            return f"the user may not see the transactions of others: rows are read again for {LAG}; GRANT pg_read_all_stats to avoid it"
        return ""


@attrs.frozen
class Load:
    """A first load that is not done yet: what was read of it, and what the server was doing before it began.

    Attributes:
        by: The columns that its chunks go by.
        after: Their values, as text, where the last chunk ended.
        end: Their values where the load ends.
        activity: What the server was doing before the first snapshot: what later ones see of the chunks before them does not count.
        top: For integers: the largest cursor before that.
    """

    by: tuple[str, ...]
    after: tuple[str, ...]
    end: tuple[str, ...]
    activity: Activity
    top: int | None = None

    def to_details(self) -> dict[str, object]:
        """The load as the bookmark holds it."""
        found = attrs.asdict(self.activity, value_serializer=lambda _, __, value: to_text(value) if isinstance(value, datetime) else value)
        return {"by": list(self.by), "after": list(self.after), "end": list(self.end), "activity": found, "top": self.top}

    @classmethod
    def from_details(cls, details: Mapping[str, Any]) -> Load:
        """The load that a bookmark holds."""
        found: dict[str, Any] = dict(details["activity"])
        found |= {name: from_text(value, "timestamptz") for name, value in found.items() if isinstance(value, str)}
        return cls(tuple(details["by"]), tuple(details["after"]), tuple(details["end"]), Activity(**found), details["top"])


@attrs.frozen
class Mark:
    """How far a table was read. Its details are public format.

    Attributes:
        cursor: The cursor column.
        type: What it is.
        low: The next read starts here. None: at the beginning.
        seen: The largest cursor seen.
        system: Which server and database was read. None: it may not be asked.
        pending: For integers: instants and the largest value before each, not yet safe.
        load: The first load, until it is done.
    """

    cursor: str | None
    type: CursorType | None
    system: str | None
    low: Value | None = None
    seen: Value | None = None
    pending: tuple[tuple[datetime, int], ...] = ()
    load: Load | None = None

    def loading(self, seen: Value | None, load: Load) -> Mark:
        """The mark after a chunk that is not the last one: where increments start is said by the last one."""
        return attrs.evolve(self, seen=greatest(self.seen, seen), load=load)

    def to_details(self) -> dict[str, object]:
        """The mark as the bookmark holds it."""
        details: dict[str, object] = {
            "cursor": self.cursor,
            "type": self.type,
            "system": self.system,
            "low": None if self.low is None else to_text(self.low),
            "seen": None if self.seen is None else to_text(self.seen),
        }
        if self.pending:
            details["pending"] = [[to_text(at), str(top)] for at, top in self.pending]
        if self.load:
            details["load"] = self.load.to_details()
        return details

    @classmethod
    def from_details(cls, details: Mapping[str, object]) -> Mark:
        """The mark that a bookmark holds."""
        known = cast("Mapping[str, Any]", details)
        kind: CursorType | None = known.get("type")
        low, seen = known.get("low"), known.get("seen")
        return cls(
            cursor=known.get("cursor"),
            type=kind,
            system=known.get("system"),
            low=None if low is None or kind is None else from_text(low, kind),
            seen=None if seen is None or kind is None else from_text(seen, kind),
            pending=tuple((cast("datetime", from_text(at, "timestamptz")), int(top)) for at, top in known.get("pending", ())),
            load=Load.from_details(known["load"]) if "load" in known else None,
        )


def literal(value: Value, kind: CursorType) -> str:
    """A cursor value as SQL. Values come from the mark, and are parsed: nothing foreign gets into the statement."""
    if kind == "uuid7":
        return f"'{least_uuid(cast('datetime', value))}'::uuid"
    return str(value) if kind == "integer" else f"'{to_text(value)}'::{kind}"


def least_uuid(instant: datetime) -> str:
    """The least UUID of version 7 that is made at an instant or later, less what says the version.

    >>> least_uuid(datetime(2026, 1, 2, tzinfo=UTC))
    '019b7c01-0400-0000-0000-000000000000'
    """
    digits = f"{(instant - _EPOCH) // _MILLISECOND:012x}"
    return f"{digits[:8]}-{digits[8:]}-0000-0000-000000000000"


def on_clock(instant: datetime, kind: CursorType, time_zone: str | None) -> Value:
    """The least value that a clock of the cursor's kind can show at the instant or later.

    A zone's clock goes back in autumn, so the least offset of the next day counts. A date without a zone may be that of any zone on Earth.

    >>> on_clock(datetime(2026, 10, 25, 0, 30, tzinfo=UTC), "timestamp", "Europe/Berlin")  # 02:30 summer time, half an hour before it ends
    datetime.datetime(2026, 10, 25, 1, 30)
    >>> on_clock(datetime(2026, 1, 2, tzinfo=UTC), "date", None)
    datetime.date(2026, 1, 1)
    """
    if kind in {"timestamptz", "uuid7"}:
        return instant
    if time_zone is None:
        return (instant - timedelta(days=1)).date()
    zone = ZoneInfo(time_zone)
    offset = min(cast("timedelta", (instant + hours * _HOUR).astimezone(zone).utcoffset()) for hours in range(27))
    local = instant.astimezone(UTC).replace(tzinfo=None) + offset
    return local.date() if kind == "date" else local


def start(low: Value | None, lookback: timedelta | None, *, until: Value | None = None) -> Value | None:
    """Where a read starts: at the mark's low, less what the user looks back; at its end where there is nothing left to wait for."""
    if low is None or lookback is None or isinstance(low, int) or low == until:
        return low
    back = lookback if isinstance(low, datetime) else timedelta(days=math.ceil(lookback / timedelta(days=1)))
    try:
        return low - back
    except OverflowError:
        return None


def advance(
    before: Mark,
    *,
    seen: Value | None,
    top: int | None,
    activity: Activity,
    time_zone: str | None,
    until: Value | None = None,
    lookback: timedelta | None = None,
) -> Mark:
    """The mark after a read.

    Args:
        before: The mark it started from.
        seen: The largest cursor among the rows read.
        top: For integers: the largest cursor before the activity was looked at.
        activity: What the server was doing before the snapshot was taken.
        time_zone: The zone of a cursor without one.
        until: Rows from this cursor on are not read. Once no other can come any more, it is the low.
        lookback: How long they come late.
    """
    if until is not None and before.low == until:
        return before
    seen = greatest(before.seen, seen)
    if before.type == "integer":
        after = _advance_integer(before, cast("int | None", seen), top, activity)
        done = until is not None and after.low is not None and cast("int", after.low) >= cast("int", until)
        return attrs.evolve(after, low=until, pending=()) if done else after
    low, horizon = before.low, activity.horizon
    if horizon is None or before.type is None:
        return attrs.evolve(before, seen=seen)
    safe = on_clock(horizon, before.type, time_zone)
    if until is not None and cast("Any", start(safe, lookback)) >= until:
        low = until
    elif seen is not None:
        low = greatest(low, min(cast("Any", seen), safe))
    return attrs.evolve(before, low=low, seen=seen)


def _advance_integer(before: Mark, seen: int | None, top: int | None, activity: Activity) -> Mark:
    noted = list(before.pending)
    if top is not None and (not noted or top > noted[-1][1]):
        noted.append((activity.now, top))
    safe = [value for at, value in noted if activity.follows(at)]
    low = greatest(before.low, max(safe, default=None))
    pending = [(at, value) for at, value in noted if low is None or value > cast("int", low)]
    if len(pending) > _PENDING:
        pending = [*pending[: _PENDING - 1], pending[-1]]
    return attrs.evolve(before, low=low, seen=seen, pending=tuple(pending))


def read_at(horizon: datetime) -> datetime:
    """The instant of a key read: later than every change it saw the end of, earlier than every one it could not see.

    A delete found by comparing keys is ordered by this instant. A transaction that our snapshot could not see may insert the key again; its
    cursor is its own start, at or after the horizon, and must win, also where both fall on one microsecond (there the delete would win).
    A row changed after the horizon and deleted before the read is stamped later than the delete: it stays alive until the next key read.
    """
    return horizon - _MICROSECOND
