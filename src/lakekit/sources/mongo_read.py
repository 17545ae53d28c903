"""One read of a collection: all documents are put aside while their types are learned, then given as Arrow batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, NoReturn, cast

import bson
import pyarrow as pa
from bson.binary import UuidRepresentation
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.errors import InvalidBSON

from lakekit.columns import RESCUED_DATA, SOURCE, SOURCE_TIMESTAMP
from lakekit.errors import ContractError, SchemaError, SourceError
from lakekit.sources import mongo_cursor
from lakekit.sources.cursors import greatest
from lakekit.sources.mongo_columns import Columns
from lakekit.sources.mongo_cursor import Mark, Value
from lakekit.sources.mongo_types import INSTANT, Shape, schema_of
from lakekit.sources.spool import Spool

if TYPE_CHECKING:
    from lakekit.sources.mongo import MongoCollection
    from lakekit.sources.mongo_session import Session

# Decoded documents are many small objects: a hundred at a time decode twice as fast as some thousands (measured).
PART_DOCUMENTS: Final = 128
PART_BYTES: Final = 1 << 20
BATCH_ROWS: Final = 8_192
BATCH_BYTES: Final = 16 << 20

_STRICT: Final[CodecOptions[dict[str, Any]]] = CodecOptions(
    document_class=dict, datetime_conversion=DatetimeConversion.DATETIME_AUTO, uuid_representation=UuidRepresentation.STANDARD
)
_LENIENT: Final[CodecOptions[dict[str, Any]]] = _STRICT.with_options(unicode_decode_error_handler="surrogateescape")
_NATIVE: Final[Mapping[mongo_cursor.CursorType, type]] = {"date": datetime, "objectId": bson.ObjectId}
CURSOR_TYPES: Final[Mapping[mongo_cursor.CursorType, pa.DataType]] = {"date": INSTANT, "objectId": pa.string(), "integer": pa.int64()}


def parts(raw: bytes) -> Iterator[bytes]:
    """BSON documents that follow each other, some at a time."""
    begin = end = count = 0
    while end < len(raw):
        end += int.from_bytes(raw[end : end + 4], "little")
        count += 1
        if count == PART_DOCUMENTS or end - begin >= PART_BYTES or end == len(raw):
            yield raw[begin:end]
            begin, count = end, 0


def decode(part: bytes, *, place: str) -> list[dict[str, Any]]:
    """The documents; bytes of a string that are no UTF-8 become lone surrogates."""
    for options in (_STRICT, _LENIENT):
        try:
            return bson.decode_all(part, options)
        except InvalidBSON:
            continue
    raise SourceError(
        place, "MongoDB sent documents that are no BSON", hint="nothing was written: try again; db.collection.validate() tells more."
    )


def cursor_type(session: Session, collection: MongoCollection, before: Mark) -> mongo_cursor.CursorType | None:
    """What the cursor is: what it was before, or what the first document that has one says. None: there is no cursor, or no document.

    Raises:
        SchemaError: No document has such a field, or nowhere does it hold what can be a cursor.
    """
    if collection.cursor is None or before.type is not None:
        return before.type
    place = f"{collection.place}, cursor={collection.cursor!r}"
    if (found := session.one(collection.name, mongo_cursor.has_cursor(collection.cursor))) is not None:
        value = decode(found, place=place)[0][collection.cursor]
        return next((kind for kind in CURSOR_TYPES if mongo_cursor.value_of(value, kind) is not None), None) or _no_cursor(place, value)
    if (other := session.one(collection.name, {collection.cursor: {"$exists": True}})) is not None:
        return _no_cursor(place, decode(other, place=place)[0][collection.cursor])
    if (document := session.one(collection.name, {})) is None:
        return None
    raise SchemaError(place, "no document has such a field", hint=f"the first one has {', '.join(decode(document, place=place)[0])}.")


def _no_cursor(place: str, value: object) -> NoReturn:
    raise SchemaError(
        place,
        "expected dates, ObjectIds or integers",
        got=type(value).__name__,
        hint="without cursor= the whole collection is read each time.",
    )


class Rows:
    """Makes rows of documents.

    Attributes:
        schema: The columns; known when ``settle`` was told what the documents hold.
        seen: The largest cursor.
    """

    def __init__(self, collection: MongoCollection, *, kind: mongo_cursor.CursorType | None, before: Mark) -> None:
        """Take the collection; ``before`` is where the read starts."""
        self._collection, self._before = collection, before
        self._kind: mongo_cursor.CursorType | None = kind
        self._declared = collection.declared_types()
        if kind is not None and collection.cursor is not None:
            self._declared[collection.cursor] = CURSOR_TYPES[kind]
        self._business = pa.schema([])
        self.schema = pa.schema([])
        self.seen: Value | None = None

    def shape(self) -> Shape:
        """Where what is seen is noted."""
        return Shape(declared=self._declared)

    def settle(self, shape: Shape, *, target: pa.Schema | None) -> None:
        """Choose the columns for what was seen."""
        self.settled(schema_of(shape, declared=self._declared, target=target))

    def settled(self, business: pa.Schema) -> None:
        """Take the columns that were chosen, besides those of lakekit."""
        own: list[pa.Field[Any]] = [pa.field(RESCUED_DATA, pa.string()), pa.field(SOURCE, pa.string()), pa.field(SOURCE_TIMESTAMP, INSTANT)]
        self._business = business
        self.schema = pa.schema([*business, *own])

    @property
    def business(self) -> pa.Schema:
        """The columns without those of lakekit."""
        return self._business

    def columns(self) -> Columns:
        """What turns documents into the columns."""
        stays_hollow = self._stays_hollow if self._before.hollow else None
        keep_nulls = self._collection.keep_nulls
        return Columns(self._business, declared=self._declared, stays_hollow=stays_hollow, keep_nulls=keep_nulls)

    def batch(self, documents: list[dict[str, Any]], columns: Columns) -> pa.RecordBatch:
        """The rows of some documents."""
        arrays, rescued = columns.build(documents)
        if len(self.schema) > len(self._business):
            arrays += [rescued, pa.repeat(pa.scalar(self._collection.origin, pa.string()), len(documents)), self._instants(documents)]
        return pa.RecordBatch.from_arrays(arrays, schema=self.schema)

    def kept(self, documents: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The documents, without those that are left out for want of a cursor. Notes the largest cursor."""
        cursor, kind = self._collection.cursor, self._kind
        if cursor is None or kind is None or not documents:
            return documents
        raw: list[Any] = [document.get(cursor) for document in documents]
        if set(map(type, raw)) == {_NATIVE.get(kind)}:
            self.seen = greatest(self.seen, mongo_cursor.value_of(max(raw), kind))
            return documents
        values = [mongo_cursor.value_of(value, kind) for value in raw]
        self.seen = greatest(self.seen, *values)
        if None not in values or self._collection.on_null_cursor == "include":
            return documents
        if self._collection.on_null_cursor == "raise":
            raise null_cursor(self._collection, kind, "a document")
        return [document for document, value in zip(documents, values, strict=True) if value is not None]

    def _instants(self, documents: list[dict[str, Any]]) -> pa.Array[Any]:
        cursor = self._collection.cursor
        if cursor is None or self._kind in {None, "integer"}:
            return pa.nulls(len(documents), INSTANT)
        values = [document.get(cursor) for document in documents]
        if self._kind == "date":
            return pa.array([value if isinstance(value, datetime) else None for value in values], INSTANT)
        seconds = [int.from_bytes(value.binary[:4]) if isinstance(value, bson.ObjectId) else None for value in values]
        return pa.array(seconds, pa.int64()).cast(pa.timestamp("s", tz="UTC")).cast(INSTANT)

    def _stays_hollow(self, path: str) -> Callable[[dict[str, Any]], bool] | None:
        if path not in self._before.hollow:
            return None
        until: Any = self._before.hollow[path]
        cursor, kind = self._collection.cursor, self._kind

        def stays(document: dict[str, Any]) -> bool:
            value: Any = None if cursor is None or kind is None else mongo_cursor.value_of(document.get(cursor), kind)
            return value is None or until is None or value <= until

        return stays


class Read(Rows):
    """The documents of one read by this process, put aside until their types are known.

    Attributes:
        exhausted: Whether the batches were read to their end.
    """

    def __init__(self, collection: MongoCollection, spool: Spool, *, kind: mongo_cursor.CursorType | None, before: Mark) -> None:
        """Prepare to read; ``before`` is where the read starts."""
        super().__init__(collection, kind=kind, before=before)
        self._spool = spool
        self._hollow: set[str] = set()
        self.exhausted = False

    @property
    def hollow(self) -> frozenset[str]:
        """Where empty documents and arrays of an unknown type were met."""
        return frozenset(self._hollow)

    def gather(self, batches: Iterator[bytes], *, target: pa.Schema | None, only: Sequence[str] | None = None) -> None:
        """Read everything, and learn the types; ``only`` these columns, without those of lakekit."""
        if only is not None:
            self._declared = {name: kind for name, kind in self._declared.items() if name in only}
        shape = self.shape()
        for raw in batches:
            for part in parts(raw):
                shape.observe(self._documents(part))
                self._spool.write(part)
        self.settle(shape, target=target)
        if only is not None:
            for name in only:  # an empty collection has no keys of any type, and yet the column is asked for
                self._business = self._business if name in self._business.names else self._business.append(pa.field(name, pa.string()))
            self.schema = self._business

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The rows, once."""
        columns = self.columns()
        held: list[pa.RecordBatch] = []
        rows = size = 0
        for part in self._spool.parts():
            batch = self.batch(self._documents(part), columns)
            held.append(batch)
            rows, size = rows + batch.num_rows, size + len(part)
            if rows >= BATCH_ROWS or size >= BATCH_BYTES:
                yield _together(held)
                held, rows, size = [], 0, 0
        if rows:
            yield _together(held)
        self._hollow = columns.hollow
        self.exhausted = True

    def _documents(self, part: bytes) -> list[dict[str, Any]]:
        return self.kept(decode(part, place=self._collection.place))


def _together(batches: list[pa.RecordBatch]) -> pa.RecordBatch:
    return cast("Any", pa).concat_batches(batches)


def null_cursor(collection: MongoCollection, kind: mongo_cursor.CursorType, got: str) -> ContractError:
    """The error for documents without a cursor."""
    return ContractError(
        f"{collection.place}, cursor={collection.cursor!r}",
        f"expected every document to have a cursor of type {kind}",
        got=f"{got} where it is absent, null, or of another type",
        hint="choose on_null_cursor='include' (such documents are read every time) or 'exclude' (they are left out).",
    )
