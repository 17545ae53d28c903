"""One connection to MongoDB, and what lakekit asks it. Documents arrive as BSON, a few megabytes at a time."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, TypeVar

from lakekit.errors import LakekitError, SourceConfigError
from lakekit.sources import mongo_errors

if TYPE_CHECKING:
    from bson import Timestamp
    from pymongo import MongoClient
    from pymongo.collection import Collection as Documents

    from lakekit.sources.mongo import Mongo

Result = TypeVar("Result")

BATCH_DOCUMENTS: Final = 10_000  # MongoDB itself ends a batch at 16 MB
_UNAUTHORIZED: Final = 13


@contextmanager
def connect(server: Mongo, *, place: str) -> Generator[Session]:
    """A connection for the length of a ``with`` block.

    Raises:
        MissingExtraError: pymongo is not installed.
        ConfigError: The connection string can't be understood.
    """
    client = _client(server.connection_string(), place=place)
    try:
        yield Session(client, server.database, place=place)
    finally:
        client.close()


def _client(uri: str, *, place: str) -> MongoClient[dict[str, Any]]:
    try:
        from pymongo import MongoClient, uri_parser
        from pymongo.errors import PyMongoError
    except ImportError:
        raise mongo_errors.missing_extra() from None
    problem: LakekitError
    try:
        if not uri.startswith("mongodb+srv:"):  # that one asks the DNS: MongoClient does it, too
            uri_parser.parse_uri(uri, validate=True, warn=False)  # MongoClient itself only warns of an unknown option
        return MongoClient(uri)
    except (PyMongoError, ValueError, TypeError) as error:
        problem = mongo_errors.unresolved(place) if "DNS" in str(error) else mongo_errors.bad_uri()
    except OSError as error:
        problem = mongo_errors.unreadable(error.strerror)
    raise problem  # outside of the handler: the driver's own text may hold the connection string


class Session:
    """A connection that reads from one database."""

    def __init__(self, client: MongoClient[dict[str, Any]], database: str, *, place: str) -> None:
        """Wrap the driver's client."""
        self._client, self._name, self._place = client, database, place

    def ask(self, call: Callable[[], Result]) -> Result:
        """Call the driver; what it raises becomes an error of lakekit.

        Raises:
            SourceError: MongoDB can't be reached, or broke off.
            SourceConfigError: MongoDB refuses.
        """
        from pymongo.errors import PyMongoError

        try:
            return call()
        except (PyMongoError, OSError) as error:
            problem = mongo_errors.explain(error, place=self._place)
        raise problem  # outside of the handler, so that the driver's error is not chained: its text may hold documents

    def now(self) -> datetime | None:
        """The server's clock. None: it does not tell."""
        found = self.ask(lambda: self._client.admin.command("hello")).get("localTime")
        return found.replace(tzinfo=UTC) if isinstance(found, datetime) else None

    def find(self, name: str) -> str | None:
        """A collection's UUID. None: it has none, or the user may not see it.

        Raises:
            SourceConfigError: It is not there; the text names those that look alike. To MongoDB itself it would be empty.
        """
        listed = self._listed()
        if listed is None:
            return None
        if name in listed:
            return listed[name]
        near = difflib.get_close_matches(name, listed, n=3, cutoff=0.5) or sorted(listed)[:8]
        if listed:
            hint = f"did you mean {' or '.join(near)}?" if name not in near else ""
            raise SourceConfigError(self._place, f"the database {self._name!r} has no such collection", got=repr(name), hint=hint)
        raise SourceConfigError(self._place, "there is no such database, or it is empty", got=repr(self._name), hint=self._databases())

    def _listed(self) -> dict[str, str | None] | None:
        """The collections and views, with their UUIDs where they have one. None: the user may not list them."""
        from pymongo.errors import OperationFailure

        def call() -> list[dict[str, Any]] | None:
            try:
                return [dict(entry) for entry in self._client[self._name].list_collections()]
            except OperationFailure as error:
                if error.code != _UNAUTHORIZED:
                    raise
                return None

        entries = self.ask(call)
        if entries is None:
            return None
        return {entry["name"]: _uuid(entry.get("info", {}).get("uuid")) for entry in entries}

    def _databases(self) -> str:
        try:
            names = self.ask(self._client.list_database_names)
        except LakekitError:
            return "check database=."
        near = difflib.get_close_matches(self._name, names, n=3, cutoff=0.5) or sorted(names)
        return f"there are: {', '.join(near[:8])}." if near else "check database=, and that the uri names the right server."

    def one(self, name: str, condition: dict[str, Any]) -> bytes | None:
        """A document that meets a condition, as BSON."""
        return next(self._stream(name, condition, limit=1), None) or None

    def count(self, name: str, condition: dict[str, Any]) -> int:
        """How many documents meet a condition."""
        return self.ask(lambda: self._documents(name).count_documents(condition))

    def stream(self, name: str, condition: dict[str, Any], fields: dict[str, int] | None = None) -> Iterator[bytes]:
        """The documents as BSON, one after the other in each part."""
        return self._stream(name, condition, projection=fields, batch_size=BATCH_DOCUMENTS)

    def operation_time(self) -> Timestamp | None:
        """The server's cluster time. None: it has none, as it is no replica set."""
        return self.ask(lambda: self._client.admin.command("ping")).get("operationTime")

    def change_token(self, name: str) -> str:
        """Where a collection's change stream is now, as Extended JSON.

        Raises:
            SourceConfigError: The server has none.
        """
        from bson import json_util

        hello = self.ask(lambda: self._client.admin.command("hello"))
        if "setName" not in hello and hello.get("msg") != "isdbgrid":
            raise SourceConfigError(
                self._place,
                "this server has no change streams: it is neither a replica set nor a sharded cluster",
                hint="make it a replica set of one, or read it with cursor=.",
            )
        stream: Any = self.ask(lambda: self._documents(name).watch(max_await_time_ms=1))
        try:
            found: Any = stream.resume_token
            if found is None:
                self.ask(stream.try_next)  # some servers tell it with an answer only
                found = stream.resume_token
        finally:
            stream.close()
        if found is None:
            raise SourceConfigError(self._place, "this server does not tell where its change stream is", hint="MongoDB does from 4.2 on.")
        return json_util.dumps(dict(found))

    def changes(self, name: str, token: str, pipeline: list[dict[str, Any]]) -> Iterator[tuple[bytes | None, str]]:
        """The events of a collection since a token, as BSON, each with the token after it. None: no event is there now."""
        from bson import json_util
        from bson.raw_bson import RawBSONDocument

        documents: Any = self._documents(name)
        raw = documents.with_options(codec_options=documents.codec_options.with_options(document_class=RawBSONDocument))
        after = json_util.loads(token)
        stream: Any = self.ask(lambda: raw.watch(pipeline, full_document="updateLookup", resume_after=after))
        try:
            while True:
                event = self.ask(stream.try_next)
                yield None if event is None else event.raw, json_util.dumps(dict(stream.resume_token))
        finally:
            stream.close()

    def _stream(self, name: str, condition: dict[str, Any], **options: Any) -> Iterator[bytes]:
        cursor: Any = self.ask(lambda: self._documents(name).find_raw_batches(condition, **options))
        try:
            while (batch := self.ask(lambda: next(cursor, None))) is not None:
                yield batch
        finally:
            cursor.close()

    def _documents(self, name: str) -> Documents[dict[str, Any]]:
        """The collection; where the connection string doesn't say otherwise, only what no failover takes back is read."""
        from pymongo.read_concern import ReadConcern

        collection = self._client[self._name][name]
        given = self._client.read_concern.level
        return collection if given else collection.with_options(read_concern=ReadConcern("majority"))


def _uuid(value: Any) -> str | None:
    return value.hex() if isinstance(value, bytes) else None
