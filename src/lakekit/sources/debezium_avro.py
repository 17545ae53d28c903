"""Messages of Debezium in Avro: each read by the schema it was written with, so that no column is lost that a later schema has no more.

Kafka Connect's words stand beside Avro's (``connect.name``, ``connect.parameters``). Values come as those beneath the logical types, as they
do in JSON, so that both are converted alike.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, cast

import fastavro
import msgspec

from lakekit.sources import debezium_messages as words
from lakekit.sources.debezium_decode import ChangeDecoder, Seen, row_fields
from lakekit.sources.debezium_messages import Change, Refused, Skipped, Source, Unavailable, canonical
from lakekit.sources.debezium_options import Changes, Reading
from lakekit.sources.kafka_avro import NO_SCHEMA_ID, NOT_AVRO, UNKNOWN_SCHEMA_ID
from lakekit.sources.kafka_registry import HEADER, Lookup, Registered, frame

if TYPE_CHECKING:
    import pyarrow as pa

    from lakekit.sources.kafka_read import Messages

_LOGICAL: Final[Mapping[str, str]] = {
    "date": "io.debezium.time.Date",
    "time-millis": "io.debezium.time.Time",
    "time-micros": "io.debezium.time.MicroTime",
    "local-timestamp-millis": "io.debezium.time.Timestamp",
    "local-timestamp-micros": "io.debezium.time.MicroTimestamp",
    "timestamp-millis": "io.debezium.time.Timestamp",
    "timestamp-micros": "io.debezium.time.MicroTimestamp",
}
_TYPES: Final[Mapping[str, str]] = {"int": "int32", "long": "int64", "fixed": "bytes", "enum": "string", "null": "string"}


class AvroMessages:
    """Reads messages in Avro."""

    def __init__(self, reading: Reading, lookup: Lookup) -> None:
        """Take how to read them, and where their schemas are."""
        self._reading = reading
        self._lookup = lookup
        self._unavailable = Unavailable(reading.placeholder)
        self._schemas: dict[int, Any] = {}

    def changes(self, messages: Messages) -> Iterator[Change | Skipped | Refused]:
        """What each of them says."""
        for value, key, headers in zip(messages.values, messages.keys, messages.headers, strict=True):
            found = self._change(value, key)
            if isinstance(found, Change) and headers:
                found.moved_from, found.moved_to = words.moves(headers)
            yield found

    def _change(self, value: bytes | None, key: bytes | None) -> Change | Skipped | Refused:
        names = None if key is None else self._decoded(key)
        if isinstance(names, Refused):  # a key of its own format
            names = key.decode(errors="replace") if key is not None else None
        if value is None:
            if self._reading.tombstones == "skip":
                return Skipped("tombstone")
            return (
                Change(words.DELETE, names, version=frame(key or b""), key=canonical(names)) if type(names) is dict else Refused("no_key")
            )
        found = self._decoded(value)
        if isinstance(found, Refused):
            return found
        change = self._envelope(found, names) if type(found.get("source")) is dict and "op" in found else self._flat(found, names)
        if isinstance(change, Change):
            change.version = frame(value)
        return change

    def _decoded(self, value: bytes) -> Any:
        number = frame(value)
        if number is None:
            return Refused(NO_SCHEMA_ID)
        if number not in self._schemas:
            found = self._lookup(number)
            self._schemas[number] = None if found is None or found.kind != "AVRO" else _parsed(found)
        schema = self._schemas[number]
        if schema is None:
            return Refused(UNKNOWN_SCHEMA_ID)
        body = io.BytesIO(value)
        body.seek(HEADER)
        try:
            found: Any = fastavro.schemaless_reader(body, schema, None)
        except Exception:  # noqa: BLE001 -- broken bytes make it raise whatever comes
            return Refused(NOT_AVRO)
        return found if body.tell() == len(value) and type(found) in {dict, str, int} else Refused(NOT_AVRO)

    def _envelope(self, found: Mapping[str, Any], key: Any) -> Change | Skipped | Refused:
        operation = found["op"]
        if operation in {words.CREATE, words.READ, words.UPDATE}:
            change = Refused("no_row") if found.get("after") is None else self._upsert(operation, found["after"], key)
        elif operation == words.DELETE:
            change = self._delete(found.get("before") or {}, key)
        elif operation == words.TRUNCATE:
            change = Change(words.TRUNCATE, None)
        else:
            return Skipped("logical_message") if operation == "m" else Refused("unknown_operation")
        if isinstance(change, Change):
            source = msgspec.convert(found["source"], Source)
            change.lsn, change.micros = source.position, source.at
            change.transaction = None if source.txId is None else str(source.txId)
        return change

    def _flat(self, found: Mapping[str, Any], key: Any) -> Change | Skipped | Refused:
        if (about := words.about_else(found.keys())) is not None:
            return about
        meta = {name[2:]: value for name, value in found.items() if name.startswith("__")}
        row = {name: value for name, value in found.items() if not name.startswith("__")}
        operation = words.operation_of(meta)
        change = (
            self._delete(row, key)
            if operation == words.DELETE
            else Change(words.TRUNCATE, None)
            if operation == words.TRUNCATE
            else self._upsert(operation, row, key)
        )
        if isinstance(change, Change):
            words.describe(change, meta)
        return change

    def _upsert(self, operation: str, row: Mapping[str, Any], key: Any) -> Change:
        gone = self._unavailable.among(row)
        image = {name: value for name, value in row.items() if name not in gone}
        names = self._reading.primary_key
        own = canonical({name: row[name] for name in names if name in row} if names else key)
        return Change(operation, image, key=own, unavailable=gone)

    def _delete(self, before: Mapping[str, Any], key: Any) -> Change | Refused:
        names = self._reading.primary_key or (tuple(cast("dict[str, Any]", key)) if type(key) is dict else ())
        if not names and not before:
            return Refused("no_key")
        image = {name: before[name] if name in before else key[name] for name in names} if names else dict(before)
        return Change(words.DELETE, image, key=canonical(image if self._reading.primary_key else key))


def _parsed(found: Registered) -> Any:
    """A schema for fastavro, without logical types: values come as they are beneath these."""
    named: dict[str, Any] = {}
    for text in found.references.values():
        fastavro.parse_schema(_bare(json.loads(text)), named_schemas=named)
    return fastavro.parse_schema(_bare(json.loads(found.text)), named_schemas=named)


def _bare(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_bare(each) for each in cast("list[Any]", schema)]
    if isinstance(schema, dict):
        return {
            name: _bare(value)
            for name, value in cast("dict[str, Any]", schema).items()
            if name not in {"logicalType", "default"} or name == "name"
        }
    return schema


def connect_schema(schema: Any, named: dict[str, Any]) -> dict[str, Any]:
    """An Avro schema in Connect's words.

    >>> connect_schema(["null", {"type": "long", "connect.name": "io.debezium.time.MicroTimestamp"}], {})
    {'type': 'int64', 'name': 'io.debezium.time.MicroTimestamp', 'parameters': {}}
    """
    if isinstance(schema, list):
        branches = [each for each in cast("list[Any]", schema) if each != "null"]
        return connect_schema(branches[0] if branches else "null", named)
    if isinstance(schema, str):
        return named.get(schema.rpartition(".")[2]) or {"type": _TYPES.get(schema, schema)}
    kind = schema["type"]
    if not isinstance(kind, str):
        return connect_schema(kind, named)
    if kind == "record":
        made: dict[str, Any] = {"type": "struct", "name": schema.get("connect.name")}
        named[schema["name"].rpartition(".")[2]] = made
        made["fields"] = [{**connect_schema(each["type"], named), "field": each["name"]} for each in schema["fields"]]
        return made
    if kind == "array":
        return {"type": "array", "items": connect_schema(schema["items"], named)}
    if kind == "map":
        return {"type": "map", "values": connect_schema(schema["values"], named)}
    parameters = dict(schema.get("connect.parameters") or {})
    logical = schema.get("logicalType", "")
    if logical == "decimal":
        parameters |= {"scale": schema.get("scale", 0), "connect.decimal.precision": schema["precision"]}
        return {"type": "bytes", "name": "org.apache.kafka.connect.data.Decimal", "parameters": parameters}
    return {"type": _TYPES.get(kind, kind), "name": schema.get("connect.name") or _LOGICAL.get(logical), "parameters": parameters}


class AvroLook:
    """Notes the numbers of the schemas that messages and their keys have."""

    def __init__(self) -> None:
        """Begin with nothing seen."""
        self._numbers: dict[int, None] = {}

    def look(self, messages: Messages) -> None:
        """Note what messages have."""
        for found in (messages.values, messages.keys):
            self._numbers |= dict.fromkeys(number for each in found if each is not None and (number := frame(each)) is not None)

    def to_plain(self) -> dict[str, Any]:
        """What was seen, for another process."""
        return {"numbers": list(self._numbers)}


def avro_decoder(options: Changes, schemas: Mapping[int, Registered | None], target: pa.Schema | None) -> ChangeDecoder:
    """Reads messages in Avro, whose schemas are these."""
    fields = {
        number: row_fields(connect_schema(json.loads(found.text), {}))
        for number, found in schemas.items()
        if found is not None and found.kind == "AVRO"
    }
    nothing = {"kinds": [], "fields": {}, "element": None}
    return ChangeDecoder(AvroMessages(options.reading, schemas.get), options, Seen(nothing, fields), target)
