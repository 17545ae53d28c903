"""A collection read by Spark through MongoDB's own connector.

The connector has types of its own for what documents hold, and loses some on the way. So it is asked for each document as one text, in
canonical Extended JSON, which loses nothing, with the cursor's condition pushed down; the same code as everywhere makes rows of it on the
workers. That takes two passes over the documents held by the executors: one to see what they hold, one to make rows of the columns chosen.

Bytes of a string that are no UTF-8 have become U+FFFD by then: only the embedded engine keeps them.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, cast

import attrs
import pyarrow as pa
from bson import json_util
from bson.binary import UUID_SUBTYPE, Binary, UuidRepresentation
from bson.codec_options import DatetimeConversion
from bson.json_util import JSONMode, JSONOptions

from lakekit.engines.arrow import conform
from lakekit.engines.plan import Frame, Query
from lakekit.engines.spark import dialect
from lakekit.engines.types import ident
from lakekit.sources import mongo_cursor, on_spark
from lakekit.sources.cursors import greatest
from lakekit.sources.mongo_read import Rows
from lakekit.sources.protocol import Details, Increment, Target

if TYPE_CHECKING:
    from lakekit.engines.spark.session import SparkWork
    from lakekit.engines.spark.tables import SparkEngine
    from lakekit.sources.mongo import MongoCollection, Start
    from lakekit.sources.mongo_types import Shape
    from lakekit.sources.on_spark import OnWorker

_CANONICAL: Final = JSONOptions(
    json_mode=JSONMode.CANONICAL,
    uuid_representation=UuidRepresentation.UNSPECIFIED,  # the standard one would take old drivers' UUIDs, too, whose bytes mean nothing certain
    datetime_conversion=DatetimeConversion.DATETIME_AUTO,
    tz_aware=False,
)
_PARTITIONER: Final = (
    "partitioner",
    *(f"partitioner.options.{name}" for name in ("partition.field", "partition.size", "samples.per.partition", "max.number.of.partitions")),
)
_UUID_BYTES: Final = 16
_TEXT: Final = pa.schema([pa.field("d", pa.string())])
_HOLLOW: Final = "_hollow"


@contextmanager
def read(collection: MongoCollection, engine: SparkEngine, position: Details | None, *, target: Target) -> Generator[Increment]:
    """The documents from the position's low on."""
    with collection.connect() as session:
        start = collection.start(session, position)
    documents = on_spark.load(engine, "mongodb", _options(collection, engine, start), schema="d STRING", place=collection.place)
    with engine.session() as work:
        held = on_spark.staged(work, documents, _TEXT, place=collection.place)
        rows = Rows(collection, kind=start.kind, before=start.before)
        shape, seen = _learn(work, held, collection, start, rows.shape())
        rows.settle(shape, target=target.schema)
        schema = dialect.readable_schema(rows.schema)
        made = on_spark.on_workers(held.native, _maker(collection, start, rows.business), schema.append(pa.field(_HOLLOW, pa.string())))
        staged = on_spark.staged(work, made, schema.append(pa.field(_HOLLOW, pa.string())), place=collection.place)
        hollow = _hollow(work, staged)
        frame = Frame(schema, staged.native.select(*map(ident, schema.names)))
        overlap = None if position is None else start.overlap
        yield Increment(schema, iter(()), lambda: start.after(seen, hollow), overlap, held=on_spark.held(work, frame))


def _options(collection: MongoCollection, engine: SparkEngine, start: Start) -> dict[str, str]:
    # One field of text: the document as the server has it. Its _id stays beside it, since partitioners look for it here too.
    pipeline: list[dict[str, Any]] = [{"$match": start.wanted}] if start.wanted else []
    if (wanted := collection.projection()) is not None:
        pipeline.append({"$project": wanted})
    pipeline.append({"$project": {"d": "$$ROOT"}})
    chosen = {name: engine.spark.conf.get(f"spark.mongodb.read.{name}", None) for name in _PARTITIONER}
    return {
        "connection.uri": majority(collection.server.connection_string()),
        "database": collection.server.database,
        "collection": collection.name,
        "aggregation.pipeline": json_util.dumps(pipeline, json_options=_CANONICAL),
        "outputExtendedJson": "true",
        **{name: value for name, value in chosen.items() if value is not None},
    }


def majority(uri: str) -> str:
    """A connection string that asks for what no failover takes back, where it doesn't say otherwise.

    >>> majority("mongodb://db:27017"), majority("mongodb://db/?tls=true")
    ('mongodb://db:27017/?readConcernLevel=majority', 'mongodb://db/?tls=true&readConcernLevel=majority')
    """
    address, question, options = uri.partition("?")
    if "readconcernlevel=" in options.lower():
        return uri
    slash = "" if question or "/" in address.partition("://")[2] else "/"
    return f"{address}{slash}?{options}{'&' if options else ''}readConcernLevel=majority"


def _documents(batch: pa.RecordBatch) -> list[dict[str, Any]]:
    return [json.loads(text, object_pairs_hook=_value) for text in _texts(batch)]


def _value(pairs: Sequence[tuple[str, Any]]) -> Any:
    value: Any = json_util.object_pairs_hook(pairs, _CANONICAL)
    if type(value) is Binary and value.subtype == UUID_SUBTYPE and len(value) == _UUID_BYTES:
        return value.as_uuid(UuidRepresentation.STANDARD)
    return value


def _texts(batch: pa.RecordBatch) -> list[str]:
    return cast("list[str]", batch.column(0).to_pylist())


def without_secret(collection: MongoCollection) -> MongoCollection:
    """The collection as it may travel to the workers."""
    server = attrs.evolve(collection.server, uri="mongodb://lakekit", name=collection.server.label)
    return attrs.evolve(collection, server=server, schema=dict(collection.schema))


def _learn(
    work: SparkWork, held: Frame, collection: MongoCollection, start: Start, shape: Shape
) -> tuple[Shape, mongo_cursor.Value | None]:
    """What the documents hold, and the largest cursor."""
    named, kind, before = without_secret(collection), start.kind, start.before

    def look(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        rows = Rows(named, kind=kind, before=before)
        found = rows.shape()
        for batch in batches:
            found.observe(rows.kept(_documents(batch)))
        told = {"shape": found.to_plain(), "seen": mongo_cursor.text_of(rows.seen)}
        yield pa.RecordBatch.from_pydict({"d": [json.dumps(told)]}, schema=_TEXT)

    looked = on_spark.staged(work, on_spark.on_workers(held.native, look, _TEXT), _TEXT, place=collection.place)
    seen: mongo_cursor.Value | None = None
    for batch in work.rows(looked):
        for told in map(json.loads, _texts(batch)):
            shape.add(told["shape"])
            seen = greatest(seen, mongo_cursor.from_text_of(told["seen"], kind))
    return shape, seen


def _maker(collection: MongoCollection, start: Start, business: pa.Schema) -> OnWorker:
    """What makes rows of the documents. The first row of a batch also tells where empty values of an unknown type were met."""
    named, kind, before = without_secret(collection), start.kind, start.before

    def make(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        rows = Rows(named, kind=kind, before=before)
        rows.settled(business)
        columns = rows.columns()
        for batch in batches:
            made = conform(rows.batch(rows.kept(_documents(batch)), columns), dialect.readable_schema(rows.schema))
            told = [json.dumps(sorted(columns.hollow)) if columns.hollow and not number else None for number in range(made.num_rows)]
            yield made.append_column(_HOLLOW, pa.array(told, pa.string()))

    return make


def _hollow(work: SparkWork, rows: Frame) -> frozenset[str]:
    told = work.rows(Query(f"SELECT DISTINCT {_HOLLOW} AS h FROM rows WHERE {_HOLLOW} IS NOT NULL", {"rows": rows}))
    return frozenset(path for batch in told for text in _texts(batch) for path in json.loads(text))
