"""Events of MongoDB's change streams as rows. No I/O here.

| event | row |
| --- | --- |
| insert, replace, update | the whole document; ``_operation`` is ``upsert`` |
| delete | the document's key, all else NULL; ``_operation`` is ``delete`` |
| an update of a document that is gone by now | none: its delete follows |
| drop, rename, dropDatabase, invalidate | none: the stream ends here |
| all others | none |

``_source_timestamp`` is the event's cluster time: its seconds, and its number within the second as microseconds, so that it orders events.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import attrs
import pyarrow as pa
from bson import Timestamp

from lakekit import columns as system
from lakekit.sources.mongo_cursor import Mark
from lakekit.sources.mongo_read import BATCH_ROWS, Rows, decode
from lakekit.sources.mongo_types import INSTANT

if TYPE_CHECKING:
    from lakekit.sources.mongo import MongoCollection
    from lakekit.sources.spool import Spool

WRITES: Final = frozenset({"insert", "replace", "update"})
ENDS: Final = frozenset({"drop", "rename", "dropDatabase", "invalidate"})
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@attrs.frozen
class Change:
    """A row to be: the document, or the key of one that was deleted; what happened, and when."""

    document: dict[str, Any]
    operation: str
    at: datetime | None


def instant(time: object) -> datetime | None:
    """A cluster time as an instant that orders events. None: it is none.

    >>> instant(Timestamp(1767225600, 7))
    datetime.datetime(2026, 1, 1, 0, 0, 0, 7, tzinfo=datetime.timezone.utc)
    """
    if not isinstance(time, Timestamp):
        return None
    return _EPOCH + timedelta(seconds=time.time, microseconds=min(time.inc, 999_999))


def ends(event: Mapping[str, Any]) -> bool:
    """Whether the stream ends with an event: its collection is gone."""
    return event.get("operationType") in ENDS


def change(event: Mapping[str, Any]) -> Change | None:
    """What an event is as a row. None: no row.

    >>> change({"operationType": "delete", "documentKey": {"_id": 5}, "clusterTime": Timestamp(0, 1)}).operation
    'delete'
    """
    at = instant(event.get("clusterTime"))
    operation, document = event.get("operationType"), event.get("fullDocument")
    if operation == "delete":
        return Change(event["documentKey"], system.DELETE, at)
    if operation in WRITES and document is not None:
        return Change(document, system.UPSERT, at)
    return None


class Changes(Rows):
    """What is read of a collection that is followed: its documents at first, then its events, put aside until their types are known.

    Attributes:
        exhausted: Whether the batches were read to their end.
    """

    def __init__(self, collection: MongoCollection, spool: Spool) -> None:
        """Prepare to read."""
        super().__init__(collection, kind=None, before=Mark(None))
        self._spool = spool
        self._documents_at: datetime | None = None
        self._are_events = False
        self.exhausted = False

    def settled(self, business: pa.Schema) -> None:
        """Take the columns that were chosen, besides those of lakekit."""
        super().settled(business)
        self.schema = self.schema.append(pa.field(system.OPERATION, pa.string()))

    def gather_documents(self, parts: Iterable[bytes], *, at: datetime | None, target: pa.Schema | None) -> None:
        """Take the documents that were there at an instant."""
        self._documents_at = at
        self._gather(parts, target=target)

    def gather_events(self, parts: Iterable[bytes], *, target: pa.Schema | None) -> None:
        """Take events."""
        self._are_events = True
        self._gather(parts, target=target)

    def _gather(self, parts: Iterable[bytes], *, target: pa.Schema | None) -> None:
        shape = self.shape()
        for part in parts:
            shape.observe([found.document for found in self._changes(part)])
            self._spool.write(part)
        self.settle(shape, target=target)

    def _changes(self, part: bytes) -> list[Change]:
        decoded = decode(part, place=self._collection.place)
        if self._are_events:
            return [found for found in map(change, decoded) if found is not None]
        return [Change(document, system.UPSERT, self._documents_at) for document in decoded]

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The rows, once."""
        columns, held = self.columns(), list[Change]()
        for part in self._spool.parts():
            held += self._changes(part)
            if len(held) >= BATCH_ROWS:
                yield self._batch(held, columns)
                held = []
        if held:
            yield self._batch(held, columns)
        self.exhausted = True

    def _batch(self, changes: list[Change], columns: Any) -> pa.RecordBatch:
        arrays, rescued = columns.build([found.document for found in changes])
        origin: Any = pa.repeat(pa.scalar(self._collection.origin, pa.string()), len(changes))
        instants = pa.array([found.at for found in changes], INSTANT)
        operations = pa.array([found.operation for found in changes], pa.string())
        return pa.RecordBatch.from_arrays([*arrays, rescued, origin, instants, operations], schema=self.schema)
