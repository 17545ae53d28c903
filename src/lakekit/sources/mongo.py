"""Collections of MongoDB, read from a cursor on. See ``mongo_types`` for the types, ``mongo_cursor`` for what late documents mean."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Mapping
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, get_args

import attrs

from lakekit import logs, names
from lakekit.columns import is_system
from lakekit.errors import ConfigError
from lakekit.sources import mongo_cursor, mongo_errors
from lakekit.sources.cursors import NullCursor
from lakekit.sources.protocol import Details, Increment, KeyRead, Overlap, Target

if TYPE_CHECKING:
    import pyarrow as pa

    from lakekit.engines.spark.tables import SparkEngine
    from lakekit.sources.mongo_changes import MongoChanges
    from lakekit.sources.mongo_cursor import CursorType, Mark, Value
    from lakekit.sources.mongo_read import Read
    from lakekit.sources.mongo_session import Session
    from lakekit.sources.spool import Spool

logger = logging.getLogger(__name__)

_SCHEMES: Final = ("mongodb://", "mongodb+srv://")
_MICROSECOND: Final = timedelta(microseconds=1)


def _check_uri(_instance: object, _attribute: object, value: object) -> None:
    if not (value.startswith(_SCHEMES) if isinstance(value, str) else callable(value)):
        raise mongo_errors.bad_uri()


def _check_name(_instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
    if attribute.name == "name" and value is None:
        return
    if not isinstance(value, str) or not value or "\0" in value:
        raise ConfigError(f"sources.Mongo({attribute.name}=)", "expected a name", got=repr(value), hint="write 'market'.")


@attrs.frozen(repr=False)
class Mongo:
    """A database of MongoDB. Connects when one of its collections is read; until then nothing happens.

    What the connection string says holds: time-outs, TLS, ``readPreference``. Where it names no ``readConcernLevel``, only what no failover
    can take back is read (``majority``). Pickles with its connection string: give a function (an importable one, no lambda) to keep a
    secret out of pickles.

    Attributes:
        uri: A connection string, or a function that returns one when it is needed. Never shown.
        database: The database.
        name: What the database is called in bookmarks and in ``_source``. Default: ``database``. Give one where two servers have
            databases of one name, or where the database may be renamed.

    >>> Mongo("mongodb://reader:secret@db:27017", database="market")
    Mongo(name='market')
    """

    uri: str | Callable[[], str] = attrs.field(validator=_check_uri)
    database: str = attrs.field(kw_only=True, validator=_check_name)
    name: str | None = attrs.field(default=None, kw_only=True, validator=_check_name)

    def __repr__(self) -> str:
        return f"Mongo(name={self.label!r})"

    @property
    def label(self) -> str:
        """The name given, or the database."""
        return self.name or self.database

    def connection_string(self) -> str:
        """The connection string, from the function where one was given. Do not log it."""
        found = self.uri if isinstance(self.uri, str) else self.uri()
        if not isinstance(found, str) or not found.startswith(_SCHEMES):  # pyright: ignore[reportUnnecessaryIsInstance] -- users are not type-checked
            raise mongo_errors.bad_uri()
        return found

    def collection(
        self,
        name: str,
        *,
        cursor: str | None = None,
        primary_key: names.Columns = "_id",
        columns: names.Columns | None = None,
        schema: Mapping[str, str] | None = None,
        lookback: timedelta | int | None = None,
        on_null_cursor: NullCursor = "raise",
        keep_nulls: bool = False,
    ) -> MongoCollection:
        """A collection or view of this database.

        Args:
            name: Its name.
            cursor: The field that grows with every change, or with every new document: dates, ObjectIds (``_id``) or integers; not one
                inside of another. None: the whole collection is read each time. Give it an index.
            primary_key: The fields that identify a document.
            columns: Read only these fields; the server sends no others. Default: all.
            schema: The types of fields, in SQL words: ``{"price": "decimal(12,2)", "payload": "string"}``. Others are found.
            lookback: Read this much further back: a timedelta, for integers a number. MongoDB tells nobody which writes are under way,
                so a document that appears with a smaller cursor than the largest one seen is read within the lookback, or never.
            on_null_cursor: What documents mean whose cursor is absent, null or of another type: an error, documents to read every time,
                or documents to leave out.
            keep_nulls: Whether a field that is null is told from one that is absent: it is NULL in both cases, and of null its path
                stands in ``_rescued_data`` too, as ``{"address.zip":null}``.

        Raises:
            ConfigError: An argument is wrong. Nothing is asked of the server yet.
            SchemaError: A type in ``schema=`` is unknown.

        >>> Mongo("mongodb://db", database="market").collection("orders", cursor="order_time").upstream
        'mongo:market/orders'
        """
        return MongoCollection(
            self,
            name,
            cursor=cursor,
            given_key=names.columns(primary_key, place="Mongo.collection(primary_key=)"),
            columns=None if columns is None else names.columns(columns, place="Mongo.collection(columns=)"),
            schema=schema,
            lookback=lookback,
            on_null_cursor=on_null_cursor,
            keep_nulls=keep_nulls,
        )


def _check_collection(_instance: object, _attribute: object, value: object) -> None:
    if not isinstance(value, str) or not value or "\0" in value or "$" in value:
        raise ConfigError("Mongo.collection(name)", "expected the name of a collection", got=repr(value), hint="write 'orders'.")


def _check_field(_instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
    given: tuple[object, ...] = value if isinstance(value, tuple) else () if value is None else (value,)
    for name in given:
        if not isinstance(name, str) or not name or "." in name or name.startswith("$") or is_system(name):
            argument = {"given_key": "primary_key"}.get(attribute.name, attribute.name)
            raise ConfigError(f"Mongo.collection({argument}=)", "expected a field, and not one inside of another", got=repr(name))


def _check_lookback(_instance: object, _attribute: object, value: object) -> None:
    if value is not None and not (
        value >= timedelta() if isinstance(value, timedelta) else isinstance(value, int) and not isinstance(value, bool) and value >= 0
    ):
        raise ConfigError("Mongo.collection(lookback=)", "expected a timedelta or a number of zero or more", got=repr(value))


def _check_null_cursor(_instance: object, _attribute: object, value: object) -> None:
    if value not in get_args(NullCursor):
        raise ConfigError("Mongo.collection(on_null_cursor=)", "expected 'raise', 'include' or 'exclude'", got=repr(value))


def _to_schema(value: Mapping[str, str] | None) -> tuple[tuple[str, str], ...]:
    given = {} if value is None else value
    if not isinstance(given, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ConfigError(
            "Mongo.collection(schema=)",
            "expected fields and their types",
            got=type(given).__name__,
            hint="write {'price': 'decimal(12,2)'}.",
        )
    return tuple(given.items())


@attrs.frozen
class Start:
    """Where a read of a collection starts: what was read before, what the cursor is, the server's clock, and which documents are wanted."""

    before: Mark
    kind: CursorType | None
    now: datetime | None
    wanted: dict[str, Any]
    overlap: Overlap

    def after(self, seen: Value | None, hollow: frozenset[str]) -> Details:
        """The position after the read."""
        return mongo_cursor.advance(self.before, kind=self.kind, seen=seen, now=self.now, hollow=hollow).to_details()


@attrs.frozen
class MongoCollection:
    """A collection of MongoDB as a source of ``ingest``. Made by ``Mongo.collection``.

    Every field is a column. Documents become structs, arrays lists; ObjectIds, UUIDs and whatever Arrow has no type for are text; numbers of
    different types get a type that holds them; any other mix is text. null and an absent field are both NULL: see ``keep_nulls``.

    A value that its column can't hold is NULL there, and stands under its path in ``_rescued_data`` as Extended JSON:
    ``{"address.zip":5}``. So do fields that can't be columns: those with a dot in their name, those that begin with ``_`` (but for ``_id`` and
    ``__v``), and those that differ from another one in case only.

    Besides the fields there are ``_rescued_data`` (NULL: all values fitted), ``_source`` (``market.orders``) and ``_source_timestamp`` (the
    cursor, of an ObjectId the second in it; NULL where it is no time).

    Types are known when all documents are read, so they are put aside in a temporary file: room for about a third of their size.
    """

    server: Mongo
    name: str = attrs.field(validator=_check_collection)
    cursor: str | None = attrs.field(default=None, kw_only=True, validator=_check_field)
    given_key: tuple[str, ...] = attrs.field(default=("_id",), kw_only=True, validator=_check_field)
    columns: tuple[str, ...] | None = attrs.field(default=None, kw_only=True, validator=_check_field)
    schema: tuple[tuple[str, str], ...] = attrs.field(default=None, kw_only=True, converter=_to_schema)
    lookback: timedelta | int | None = attrs.field(default=None, kw_only=True, validator=_check_lookback)
    on_null_cursor: NullCursor = attrs.field(default="raise", kw_only=True, validator=_check_null_cursor)
    keep_nulls: bool = attrs.field(default=False, kw_only=True)

    def __attrs_post_init__(self) -> None:
        if self.cursor is None and self.lookback is not None:
            raise ConfigError("Mongo.collection(lookback=)", "looks back from a cursor, and there is none", hint="give cursor= too.")
        needed = [name for name in (self.cursor, *self.given_key, *self.declared_types()) if name is not None]
        if self.columns is not None and (absent := [name for name in needed if name not in self.columns]):
            raise ConfigError("Mongo.collection(columns=)", "leaves out a field that is needed", got=repr(absent[0]), hint="add it.")

    @property
    def place(self) -> str:
        """Where this is, for errors and the log."""
        return f"{self.server!r}.collection({self.name!r})"

    @property
    def origin(self) -> str:
        """What ``_source`` holds: ``market.orders``."""
        return f"{self.server.label}.{self.name}"

    @property
    def upstream(self) -> str:
        """``mongo:market/orders``."""
        return f"mongo:{self.server.label}/{self.name}"

    def primary_key(self) -> tuple[str, ...]:
        """The key given; by default ``_id``."""
        return self.given_key

    def changes(self) -> MongoChanges:
        """The collection, followed through MongoDB's change stream: every insert, update, replacement and delete, in order.

        Needs a replica set or a sharded cluster, and the right to read the stream. See `MongoChanges`.

        Raises:
            ConfigError: The collection has a cursor: the stream needs none.

        >>> Mongo("mongodb://db", database="market").collection("orders").changes().upstream
        'mongo-changes:market/orders'
        """
        from lakekit.sources.mongo_changes import MongoChanges

        if self.cursor is not None:
            raise ConfigError(f"{self.place}.changes()", "needs no cursor", got=repr(self.cursor), hint="leave cursor= out.")
        return MongoChanges(self)

    def declared_types(self) -> dict[str, pa.DataType]:
        """The types in ``schema=``.

        Raises:
            SchemaError: A type is unknown, or one that no value of MongoDB fits.
            ConfigError: The cursor is declared, or a name can't be a column's.
        """
        if not self.schema:
            return {}
        from lakekit.sources import mongo_schema

        return mongo_schema.types(self.schema, cursor=self.cursor)

    def projection(self) -> dict[str, int] | None:
        """What the server is to send of each document. None: all."""
        return None if self.columns is None else mongo_cursor.only(self.columns)

    @contextmanager
    def open(self, position: Details | None, *, target: Target) -> Generator[Increment]:
        """Read the documents from the position's low on; without a position, all of them.

        The details hold ``low`` and ``seen`` as text, the cursor and its type, and the collection's UUID. Where that is another one than
        before (the collection was dropped and made anew), or the cursor is another field, everything is read again, and the overlap says
        that all of it may be there already. With another cursor a row is recognised only where ``_source_timestamp`` stays the same.

        Raises:
            SourceConfigError: The server refuses: password, missing database or collection, rights.
            SourceError: The server can't be reached, or the connection broke.
            SchemaError: No document has the cursor, it is not of a type that can be one, or documents have too many fields.
            ContractError: A document without a cursor under ``on_null_cursor="raise"``.
            ConfigError: ``lookback=`` does not go with the cursor's type.
        """
        with self._spool() as spool:
            with self.connect() as session:
                start = self.start(session, position)
                read = self._read(spool, kind=start.kind, before=start.before)
                read.gather(session.stream(self.name, start.wanted, self.projection()), target=target.schema)

            def details() -> Details:
                if not read.exhausted:
                    raise RuntimeError("details() was asked before the batches were read to their end")
                return start.after(read.seen, read.hollow)

            yield Increment(read.schema, read.batches(), details, None if position is None else start.overlap)

    @contextmanager
    def open_on_spark(self, engine: SparkEngine, position: Details | None, *, target: Target) -> Generator[Increment]:
        """Read the same documents as `open`, by MongoDB's own connector, in as many tasks as its partitioner makes.

        Raises:
            ConfigError: The session has no connector; or as from `open`.
            SourceError, SourceConfigError, SchemaError, ContractError: As from `open`.
        """
        from lakekit.sources import mongo_spark

        with mongo_spark.read(self, engine, position, target=target) as increment:
            yield increment

    def start(self, session: Session, position: Details | None) -> Start:
        """Where a read starts."""
        before = self._mark(position, session.find(self.name))
        now = session.now()  # before the documents: a cursor past it is in the future
        kind = self._cursor_type(session, before)
        low = mongo_cursor.start(before, self.lookback)
        overlap = Overlap(self.cursor, low, nulls=self.cursor is not None and self.on_null_cursor == "include")
        wanted = mongo_cursor.condition(self.cursor, kind, low=low, nulls=self.on_null_cursor)
        return Start(before, kind, now, wanted, overlap)

    def connect(self) -> AbstractContextManager[Session]:
        """A connection to the server."""
        from lakekit.sources import mongo_session

        return mongo_session.connect(self.server, place=self.place)

    def _spool(self) -> Spool:
        from lakekit.sources.spool import Spool

        return Spool(place=self.place)

    def _read(self, spool: Spool, *, kind: CursorType | None, before: Mark) -> Read:
        from lakekit.sources.mongo_read import Read

        return Read(self, spool, kind=kind, before=before)

    def _mark(self, position: Details | None, uuid: str | None) -> Mark:
        """Where this read starts: the position, or the beginning where the position is that of something else."""
        if position is None:
            return mongo_cursor.Mark(self.cursor, collection=uuid)
        known = mongo_cursor.Mark.from_details(position)
        if known.collection is not None and uuid is not None and known.collection != uuid:
            logger.warning(
                "%s: this is another collection of that name than the one read before. Everything is read again, and what is there already is"
                " left out. If both are meant, tell them apart with Mongo(name=).",
                self.place,
                extra=logs.fields("source_restarted", source=self.place),
            )
        elif known.cursor != self.cursor:
            logger.warning(
                "%s: the cursor was %s. Everything is read again, and added again where the new cursor gives another _source_timestamp.",
                self.place,
                known.cursor,
                extra=logs.fields("source_restarted", source=self.place),
            )
        else:
            return attrs.evolve(known, collection=uuid or known.collection)
        return known.restarted(cursor=self.cursor, collection=uuid)

    def _cursor_type(self, session: Session, before: Mark) -> CursorType | None:
        """What the cursor is. None: there is none, or no document."""
        from lakekit.sources import mongo_read

        kind = mongo_read.cursor_type(session, self, before)
        if kind is None or self.cursor is None:
            return None
        if self.lookback is not None and isinstance(self.lookback, int) != (kind == "integer"):
            wanted = "a number" if kind == "integer" else "a timedelta"
            raise ConfigError(f"{self.place}, lookback=", f"expected {wanted}, since the cursor is of type {kind}", got=repr(self.lookback))
        if self.on_null_cursor == "raise" and (count := session.count(self.name, mongo_cursor.without_cursor(self.cursor, kind))):
            raise mongo_read.null_cursor(self, kind, f"{count:,} document{'s' if count > 1 else ''}")
        return kind

    @contextmanager
    def keys(self, *, scope: str | None) -> Generator[KeyRead]:
        """Read the keys of all documents that live in the collection now.

        A key column has the type that the present keys need. Where keys of different types were ingested as text, declare it, so that they
        compare: ``schema={"_id": "string"}``.

        Raises:
            ConfigError: A scope is given: MongoDB understands no SQL.
            SourceError: The server can't be reached, or broke off.
            SourceConfigError: The server refuses.
        """
        if scope is not None:
            raise ConfigError(f"{self.place}.keys(scope=)", "MongoDB understands no SQL", got=repr(scope), hint="leave scope= out.")
        with self._spool() as spool:
            with self.connect() as session:
                uuid = session.find(self.name)
                now = session.now() or datetime.now(UTC)
                read = self._read(spool, kind=None, before=mongo_cursor.Mark(None, collection=uuid))
                read.gather(session.stream(self.name, {}, mongo_cursor.only(self.given_key)), target=None, only=self.given_key)
            # Dates of MongoDB have milliseconds: a document inserted right after the read may bear the very instant, and is to win.
            read_at = now.replace(microsecond=now.microsecond // 1000 * 1000) - _MICROSECOND
            yield KeyRead(read.schema, read.batches(), read_at)
