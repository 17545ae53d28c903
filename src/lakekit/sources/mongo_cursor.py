"""How far a collection was read, and which documents the next read asks for. No I/O here.

MongoDB shows no open transactions, so nobody can tell whether a smaller cursor is still to come. The next read starts at ``low``, the largest
cursor seen, less ``lookback=``: a document that is written later with a cursor older than that is never read. What is read again is
recognised. Three things are known, and used:

- A cursor in the future, by the server's clock, would hide all documents until then: ``low`` is not moved past the server's clock.
- ObjectIds grow from second to second only; within one second they come in any order. So they are read again from their second on.
- A comparison in MongoDB finds values of one type only: documents whose cursor is of another type count as documents without one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal, cast

import attrs

from lakekit.sources.cursors import NullCursor, from_text, greatest, to_text

CursorType = Literal["date", "objectId", "integer"]
Value = datetime | str | int
"""A cursor value: an instant in UTC, an ObjectId as its 24 hexadecimal digits, or an integer."""

TYPES: Final[Mapping[CursorType, tuple[str, ...]]] = {"date": ("date",), "objectId": ("objectId",), "integer": ("int", "long", "double")}
"""MongoDB's names for the types of a cursor. Shells write integers as doubles."""
# Nobody makes a cursor of JavaScript, symbols or DBPointers.
_OTHERS: Final = (
    *("double", "string", "object", "array", "binData", "objectId", "bool", "date", "regex", "int", "timestamp", "long", "decimal"),
    *("minKey", "maxKey"),
)
_LEAST_INTEGER: Final = -(2**63)
_EARLIEST_IN_SECOND: Final = "0" * 16


@attrs.frozen
class Mark:
    """How far a collection was read. Its details are public format.

    Attributes:
        cursor: The cursor field.
        type: What it is. None: no document had one yet.
        collection: The collection's UUID; another one after a drop. None: the server does not tell.
        low: The next read starts here. None: at the beginning.
        seen: The largest cursor seen.
        hollow: Where an empty document or array was met while the field's type was not known, and the largest cursor seen then (None:
            any). Such values are in ``_rescued_data``, and stay there when they are read again, so that the row is recognised.
    """

    cursor: str | None
    type: CursorType | None = None
    collection: str | None = None
    low: Value | None = None
    seen: Value | None = None
    hollow: Mapping[str, Value | None] = attrs.field(factory=dict)

    def to_details(self) -> dict[str, object]:
        """The mark as the bookmark holds it."""
        details: dict[str, object] = {
            "cursor": self.cursor,
            "type": self.type,
            "collection": self.collection,
            "low": text_of(self.low),
            "seen": text_of(self.seen),
        }
        if self.hollow:
            details["hollow"] = {path: text_of(seen) for path, seen in self.hollow.items()}
        return details

    @classmethod
    def from_details(cls, details: Mapping[str, object]) -> Mark:
        """The mark that a bookmark holds."""
        known = cast("Mapping[str, Any]", details)
        kind: CursorType | None = known["type"]
        return cls(
            cursor=known["cursor"],
            type=kind,
            collection=known["collection"],
            low=from_text_of(known["low"], kind),
            seen=from_text_of(known["seen"], kind),
            hollow={path: from_text_of(seen, kind) for path, seen in known.get("hollow", {}).items()},
        )

    def restarted(self, *, cursor: str | None, collection: str | None) -> Mark:
        """The mark from which everything is read again."""
        return Mark(cursor, collection=collection, hollow=dict.fromkeys(self.hollow))


def text_of(value: Value | None) -> str | None:
    """A cursor value as text."""
    return value if value is None or isinstance(value, str) else to_text(value)


def from_text_of(text: str | None, kind: CursorType | None) -> Value | None:
    """The cursor value that a text was made of."""
    if text is None or kind is None or kind == "objectId":
        return text
    return cast("datetime | int", from_text(text, "integer" if kind == "integer" else "instant"))


def start(mark: Mark, lookback: timedelta | int | None) -> Value | None:
    """Where a read starts: at the mark's low, less what the user looks back.

    >>> start(Mark("_id", "objectId", low="65920080aaaaaaaaaaaaaaaa"), timedelta(seconds=1))
    '6592007f0000000000000000'
    """
    low = mark.low
    if isinstance(low, int):
        return max(low - (lookback if isinstance(lookback, int) else 0), _LEAST_INTEGER)
    back = lookback if isinstance(lookback, timedelta) else timedelta()
    if isinstance(low, str):
        return _object_id(int(low[:8], 16) - back.total_seconds())
    try:
        return None if low is None else low - back
    except OverflowError:
        return None


def _object_id(second: float) -> str:
    """The least ObjectId of a second."""
    return f"{max(int(second // 1), 0):08x}{_EARLIEST_IN_SECOND}"


def advance(before: Mark, *, kind: CursorType | None, seen: Value | None, now: datetime | None, hollow: frozenset[str]) -> Mark:
    """The mark after a read.

    Args:
        before: The mark it started from.
        kind: What the cursor is.
        seen: The largest cursor among the documents read.
        now: The server's clock before the read. None: it does not tell.
        hollow: Where empty documents and arrays of an unknown type were met.
    """
    seen = greatest(before.seen, seen)
    limit: Any = seen
    if now is not None and isinstance(seen, datetime):
        limit = min(seen, now)
    elif now is not None and isinstance(seen, str):
        limit = min(seen, _object_id(now.timestamp()))
    noted = {**before.hollow, **dict.fromkeys(sorted(hollow - {path for path, at in before.hollow.items() if at is None}), seen)}
    return attrs.evolve(before, type=kind, low=greatest(before.low, limit), seen=seen, hollow=noted)


def value_of(raw: object, kind: CursorType) -> Value | None:
    """A document's cursor value. None: it has none, or one of another type.

    >>> value_of(7.0, "integer"), value_of("7", "integer"), value_of(datetime(2026, 1, 1), "date")
    (7, None, datetime.datetime(2026, 1, 1, 0, 0, tzinfo=datetime.timezone.utc))
    """
    if kind == "date":
        return raw.replace(tzinfo=UTC) if isinstance(raw, datetime) else None
    if kind == "integer":
        if isinstance(raw, float):
            return int(raw) if raw.is_integer() and abs(raw) < 2**63 else None
        return int(raw) if isinstance(raw, int) and not isinstance(raw, bool) else None
    return str(raw) if type(raw).__name__ == "ObjectId" else None


def only(fields: Iterable[str]) -> dict[str, int]:
    """A projection to these fields.

    >>> only(["price"]), only(["_id", "price"])
    ({'_id': 0, 'price': 1}, {'_id': 1, 'price': 1})
    """
    return {"_id": 0, **dict.fromkeys(fields, 1)}


def has_cursor(cursor: str) -> dict[str, Any]:
    """The filter for documents whose cursor can be one."""
    return {cursor: {"$type": [name for names in TYPES.values() for name in names]}}


def without_cursor(cursor: str, kind: CursorType) -> dict[str, Any]:
    """The filter for documents without a cursor, or with one of another type. An index on the cursor answers it."""
    return {"$or": [{cursor: None}, {cursor: {"$type": [name for name in _OTHERS if name not in TYPES[kind]]}}]}


def condition(cursor: str | None, kind: CursorType | None, *, low: Value | None, nulls: NullCursor) -> dict[str, Any]:
    """The filter of a read from ``low`` on."""
    if cursor is None or kind is None:
        return {}
    if low is None:
        return {cursor: {"$type": list(TYPES[kind])}} if nulls == "exclude" else {}
    bound = {cursor: {"$gte": _native(low)}}
    return {"$or": [bound, without_cursor(cursor, kind)]} if nulls == "include" else bound


def _native(value: Value) -> Any:
    from bson import Int64, ObjectId

    if isinstance(value, str):
        return ObjectId(value)
    return value if isinstance(value, datetime) else Int64(value)
