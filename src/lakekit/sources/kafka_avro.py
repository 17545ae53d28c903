"""Avro messages as columns: each is decoded by the schema it was written with, and resolved to the newest one of its subject.

What that gives is as Avro says: a field that a message lacks has its default, a renamed one is found by its alias, numbers widen. What a message has
and the newest schema has no more stands in ``_rescued_data``.
"""

from __future__ import annotations

import base64
import gc
import io
import json
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal
from typing import Any, Final

import attrs
import fastavro
import pyarrow as pa
from fastavro.read import SchemaResolutionError

from lakekit.columns import is_system
from lakekit.errors import SchemaError
from lakekit.sources import avro_types
from lakekit.sources.avro_types import Node, Schema
from lakekit.sources.kafka_json import Decoded, ValueDecoder
from lakekit.sources.kafka_registry import HEADER, Lookup, Registered, frame
from lakekit.sources.shapes import merged

NO_SCHEMA_ID: Final = "no_schema_id"
UNKNOWN_SCHEMA_ID: Final = "unknown_schema_id"
NOT_AVRO: Final = "not_avro"
SCHEMA_MISMATCH: Final = "schema_mismatch"


@attrs.frozen(eq=False)
class _Writer:
    """A schema that messages were written with.

    Attributes:
        lost: Its fields that have no column, or not in full: the newest schema has them no more, or their name can't be a column's.
    """

    schema: Schema
    lost: frozenset[str]
    is_newest: bool


class AvroDecoder(ValueDecoder):
    """Reads the values of messages in Avro, each after five bytes that name its schema."""

    rule = "avro"

    def __init__(self, newest: Registered, lookup: Lookup, *, target: pa.Schema | None, place: str) -> None:
        """Take the newest schema.

        Raises:
            SchemaError: It is no record, or can't be a table's columns.
        """
        self._lookup = lookup
        self._newest, self._named = _parsed(newest)
        if not isinstance(self._newest, dict) or self._newest["type"] != "record":
            raise SchemaError(place, "expected the schema of a record", got=json.dumps(self._newest)[:60])
        known = {} if target is None else {field.name: field.type for field in target}
        taken = {name.lower(): name for name in known}
        self._nodes: dict[str, Node] = {
            field["name"]: avro_types.node(field["type"], self._named, path=field["name"], within=(self._newest["name"],))
            for field in self._newest["fields"]
            if not is_system(field["name"]) and taken.setdefault(field["name"].lower(), field["name"]) == field["name"]
        }
        self.schema = pa.schema([(name, merged(node.kind, known.get(name))) for name, node in self._nodes.items()])
        self._writers: dict[int, _Writer | str] = {}

    def decode(self, values: Sequence[bytes | None]) -> Decoded:
        """Read the values of messages. None, a tombstone, is NULL in all columns."""
        records: list[dict[str, Any]] = []
        reasons: dict[int, str] = {}
        rescued: dict[int, dict[str, Any]] = {}
        with _without_garbage_collection():
            for index, value in enumerate(values):
                found, lost = ({}, {}) if value is None else self._record(value)
                if isinstance(found, str):
                    reasons[index], found = found, {}
                elif lost:
                    rescued[index] = lost
                records.append(found)
            columns = [self._array(field, records, rescued) for field in self.schema]
        return Decoded(columns, {row: as_json(fields) for row, fields in rescued.items()}, reasons)

    def _record(self, value: bytes) -> tuple[dict[str, Any] | str, dict[str, Any]]:
        """A message's fields, or why it can't be read; and those that the newest schema has no more."""
        writer = self._writer(value)
        if isinstance(writer, str):
            return writer, {}
        found = _decoded(value, writer.schema, None if writer.is_newest else self._newest)
        if not writer.lost or isinstance(found, str):
            return found, {}
        whole = _decoded(value, writer.schema, None)
        assert isinstance(whole, dict)  # noqa: S101 -- the same bytes were read above
        return found, {name: whole[name] for name in whole if name in writer.lost and whole[name] is not None}

    def _writer(self, value: bytes) -> _Writer | str:
        number = frame(value)
        if number is None:
            return NO_SCHEMA_ID
        if number not in self._writers:
            self._writers[number] = self._looked_up(number)
        return self._writers[number]

    def _looked_up(self, number: int) -> _Writer | str:
        found = self._lookup(number)
        if found is None:
            return UNKNOWN_SCHEMA_ID
        if found.kind != "AVRO":
            return NOT_AVRO
        schema, named = _parsed(found)
        if not isinstance(schema, dict) or schema["type"] != "record":
            return SCHEMA_MISMATCH
        columns = [field for field in self._newest["fields"] if field["name"] in self._nodes]
        read = {name: field["type"] for field in columns for name in (field["name"], *field.get("aliases", ()))}
        lost = {
            field["name"]
            for field in schema["fields"]
            if field["name"] not in read or _loses(field["type"], named, read[field["name"]], self._named)
        }
        return _Writer(schema, frozenset(lost), _plain(schema) == _plain(self._newest))

    def _array(self, field: pa.Field[Any], records: Sequence[Mapping[str, Any]], rescued: dict[int, dict[str, Any]]) -> Any:
        """One column; what its type does not hold is rescued."""
        node, values = self._nodes[field.name], [record.get(field.name) for record in records]
        if (made := _made(node, values, field.type)) is not None:
            return made
        for row, value in enumerate(values):
            if value is not None and _made(node, [value], field.type) is None:
                rescued.setdefault(row, {})[field.name] = value
                values[row] = None
        return node.array(values, field.type)


@contextmanager
def _without_garbage_collection() -> Generator[None]:
    """Python would look through all records of a batch again and again for garbage; there is none, and that takes as long as decoding."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _made(node: Node, values: Sequence[Any], kind: pa.DataType) -> Any:
    """The values as an array. None: one of them does not fit."""
    try:
        return node.array(values, kind)
    except (pa.ArrowException, OverflowError, UnicodeEncodeError):
        return None


def _parsed(found: Registered) -> tuple[Schema, dict[str, Schema]]:
    """A schema as fastavro parses it, and the named types in it and in those it refers to."""
    named: dict[str, Schema] = {}
    for text in found.references.values():
        fastavro.parse_schema(json.loads(text), named_schemas=named)
    return fastavro.parse_schema(json.loads(found.text), named_schemas=named), named


def _decoded(value: bytes, writer: Schema, reader: Schema | None) -> dict[str, Any] | str:
    body = io.BytesIO(value)
    body.seek(HEADER)
    try:
        found: Any = fastavro.schemaless_reader(body, writer, reader, return_record_name=True)
    except SchemaResolutionError:
        return SCHEMA_MISMATCH
    except Exception:  # noqa: BLE001 -- broken bytes make it raise whatever comes: EOFError, IndexError, ValueError, struct.error …
        return NOT_AVRO
    return found if body.tell() == len(value) else NOT_AVRO


def _loses(writer: Schema, named: Mapping[str, Schema], reader: Schema, known: Mapping[str, Schema]) -> bool:
    """Whether records somewhere in a type have fields that the reader's have not."""
    there = _records(writer, named, {})
    here = _records(reader, known, {})
    return any(name in here and not fields <= here[name] for name, fields in there.items())


def _records(schema: Schema, named: Mapping[str, Schema], found: dict[str, set[str]]) -> dict[str, set[str]]:
    """The fields of each record in a type, by the record's name."""
    if isinstance(schema, str):
        schema = named.get(schema)
    if isinstance(schema, list):
        for branch in schema:
            _records(branch, named, found)
    elif isinstance(schema, dict) and schema["type"] in {"record", "error"}:
        name = schema["name"].rpartition(".")[2]
        if name not in found:
            found[name] = {each for field in schema["fields"] for each in (field["name"], *field.get("aliases", ()))}
            for field in schema["fields"]:
                _records(field["type"], named, found)
    elif isinstance(schema, dict):
        _records(schema.get("items", schema.get("values")), named, found)
    return found


def _plain(schema: Schema) -> Schema:
    return {name: value for name, value in schema.items() if not name.startswith("__")}


def as_json(value: Any) -> str:
    """A decoded value as JSON: bytes in base64, instants in ISO 8601, decimals as their digits."""
    return json.dumps(_jsonable(value), ensure_ascii=False, separators=(",", ":"))


def _jsonable(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _jsonable(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_jsonable(inner) for inner in value]
    if isinstance(value, tuple):  # a record of a union, after its name
        return _jsonable(value[1])
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return format(value, "f") if isinstance(value, Decimal) else value.isoformat() if hasattr(value, "isoformat") else str(value)
