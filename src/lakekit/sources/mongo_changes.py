"""A collection of MongoDB that is followed through its change stream: every insert, update, replacement and delete, in order.

The first read takes a token of the stream, then all documents; the next ones take what happened since the token. What changes while the
documents are read comes twice: in them, and as an event that is later.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any, Final, cast

import attrs

from lakekit.errors import SourceConfigError
from lakekit.sources import mongo_events, mongo_read
from lakekit.sources.protocol import Details, Increment, KeyRead, Target
from lakekit.sources.spool import Spool

if TYPE_CHECKING:
    from lakekit.sources.mongo import MongoCollection
    from lakekit.sources.mongo_session import Session

PORTION: Final = 100_000


@attrs.frozen
class MongoChanges:
    """The changes of a collection as a source of ``ingest`` and ``stream``. Made by ``MongoCollection.changes``.

    Rows are those of the collection, with ``_operation`` (``upsert`` or ``delete``) and ``_source_timestamp`` (the event's cluster time, which
    orders events). Of a delete only the key is known. An update brings the document as it is when the event is read, not as the update left
    it: of several updates in a row, each has the last state.
    """

    collection: MongoCollection

    @property
    def place(self) -> str:
        """Where this is, for errors and the log."""
        return f"{self.collection.place}.changes()"

    @property
    def upstream(self) -> str:
        """``mongo-changes:market/orders``."""
        return f"mongo-changes:{self.collection.server.label}/{self.collection.name}"

    def primary_key(self) -> tuple[str, ...]:
        """The key of the collection."""
        return self.collection.primary_key()

    def keys(self, *, scope: str | None) -> AbstractContextManager[KeyRead]:
        """As of the collection."""
        return self.collection.keys(scope=scope)

    @contextmanager
    def open(self, position: Details | None, *, target: Target) -> Generator[Increment]:
        """Read what happened since the position; without one, all documents.

        The details hold the stream's resume token, as Extended JSON.

        Raises:
            SourceConfigError: The server has no change streams, keeps no events since the position, or the collection was dropped.
            SourceError: The server can't be reached, or the connection broke.
        """
        with Spool(place=self.place) as spool:
            read = mongo_events.Changes(self.collection, spool)
            with self.collection.connect() as session:
                session.find(self.collection.name)
                if position is None:
                    events = _Events(self, session, session.change_token(self.collection.name), most=None)
                    now = mongo_events.instant(session.operation_time())
                    documents = session.stream(self.collection.name, {}, self.collection.projection())
                    read.gather_documents(documents, at=now, target=target.schema)
                else:
                    events = _Events(self, session, cast("str", position["token"]), most=PORTION if target.in_portions else None)
                    read.gather_events(events.parts(), target=target.schema)

            def details() -> Details:
                if not read.exhausted:
                    raise RuntimeError("details() was asked before the batches were read to their end")
                return {"token": events.token}

            yield Increment(read.schema, read.batches(), details, behind=events.behind)


class _Events:
    """The events since a token, as BSON, some at a time.

    Attributes:
        token: How far they were read.
        behind: Whether there are more than were wanted.
    """

    def __init__(self, source: MongoChanges, session: Session, token: str, *, most: int | None) -> None:
        self._source, self._session, self._most = source, session, most
        self.token, self.behind = token, False

    def parts(self) -> Iterator[bytes]:
        """The events until none is there, or one is later than the read began."""
        until = self._session.operation_time()
        held, count = list[bytes](), 0
        for raw, token in self._session.changes(self._source.collection.name, self.token, self._pipeline()):
            if raw is None:
                self.token = token
                break
            event = mongo_read.decode(raw, place=self._source.place)[0]
            if mongo_events.ends(event):
                if not count:
                    raise self._ended(event)
                break  # what came before is taken first; the next read begins with the end
            self.token, count = token, count + 1
            held.append(raw)
            if len(held) == mongo_read.PART_DOCUMENTS:
                yield b"".join(held)
                held = []
            later = until is not None and event.get("clusterTime", until) > until
            if later or count == self._most:
                self.behind = not later
                break
        if held:
            yield b"".join(held)

    def _pipeline(self) -> list[dict[str, Any]]:
        columns = self._source.collection.columns
        documents = ["fullDocument"] if columns is None else [f"fullDocument.{name}" for name in columns]
        return [{"$project": dict.fromkeys(["operationType", "clusterTime", "documentKey", *documents], 1)}]

    def _ended(self, event: dict[str, Any]) -> SourceConfigError:
        return SourceConfigError(
            self._source.place,
            "the collection was dropped or renamed since the last read, and its stream ended",
            got=str(event["operationType"]),
            hint=f"lk.rewind(lake, into=…, upstream={self._source.upstream!r}, to=None) reads the collection of that name from its beginning.",
        )
