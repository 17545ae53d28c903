"""JSON messages whose schema is in a registry: their columns from its newest version.

| JSON Schema | column |
| --- | --- |
| ``string``; with ``format`` ``date-time``, ``date``, ``uuid`` | STRING; TIMESTAMP, DATE, UUID |
| ``integer``, ``number``, ``boolean`` | BIGINT, DOUBLE, BOOLEAN |
| ``object`` with ``properties``; with ``additionalProperties`` alone | STRUCT; MAP<STRING, …> |
| ``array`` with one schema for its ``items`` | ARRAY |
| one of these and ``null``, in any of the ways to write that | the same |
| ``integer`` and ``number`` | DOUBLE |
| anything else | STRING: text as it is, all else as its JSON text |

``$ref``, ``allOf`` and ``definitions`` are followed, also into the schemas that a schema refers to in the registry. Messages are not validated:
what does not fit its column stands in ``_rescued_data``, as with a declared schema.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

import attrs
import pyarrow as pa

from lakekit.columns import is_system
from lakekit.errors import SchemaError
from lakekit.sources.kafka_json import Decoded, JsonDecoder, ValueDecoder
from lakekit.sources.kafka_registry import HEADER, Lookup, Registered, frame
from lakekit.sources.kafka_values import Clock
from lakekit.sources.shapes import merged

NO_SCHEMA_ID: Final = "no_schema_id"
UNKNOWN_SCHEMA_ID: Final = "unknown_schema_id"
Schema = Mapping[str, Any]

_SIMPLE: Final[Mapping[str, pa.DataType]] = {"integer": pa.int64(), "number": pa.float64(), "boolean": pa.bool_()}
_FORMATS: Final[Mapping[str, pa.DataType]] = {"date-time": pa.timestamp("us", tz="UTC"), "date": pa.date32(), "uuid": pa.uuid()}


class JsonSchemaDecoder(ValueDecoder):
    """Reads the values of messages in JSON, each after five bytes that name its schema."""

    rule = "json_schema"

    def __init__(self, schema: pa.Schema, lookup: Lookup, clock: Clock) -> None:
        """Take the columns."""
        self.schema = schema
        self._json = JsonDecoder(schema, clock, nulls=False)
        self._lookup = lookup

    def decode(self, values: Sequence[bytes | None]) -> Decoded:
        """Read the values of messages. None, a tombstone, is NULL in all columns."""
        reasons = {index: reason for index, value in enumerate(values) if value is not None and (reason := self._refusal(value))}
        bodies = [None if value is None or index in reasons else value[HEADER:] for index, value in enumerate(values)]
        found = self._json.decode(bodies)
        return attrs.evolve(found, reasons={**found.reasons, **reasons})

    def _refusal(self, value: bytes) -> str:
        number = frame(value)
        if number is None:
            return NO_SCHEMA_ID
        return UNKNOWN_SCHEMA_ID if self._lookup(number) is None else ""


def columns(found: Registered, *, target: pa.Schema | None, place: str) -> pa.Schema:
    """The columns of a schema.

    Raises:
        SchemaError: It is not that of an object, or an object holds itself.

    >>> text = '{"type": "object", "properties": {"id": {"type": "integer"}, "at": {"type": ["null", "string"], "format": "date-time"}}}'
    >>> columns(Registered("JSON", text), target=None, place="docs")
    id: int64
    at: timestamp[us, tz=UTC]
    """
    kind = _Types(found, place).of(json.loads(found.text), "", ())
    if not pa.types.is_struct(kind):
        raise SchemaError(place, "expected the schema of an object with properties", got=str(kind))
    known = {} if target is None else {field.name: field.type for field in target}
    folded = {name.lower(): name for name in known}
    taken = [
        pa.field(field.name, merged(field.type, known.get(field.name)))
        for field in cast("list[pa.Field[Any]]", list(kind))
        if not is_system(field.name) and folded.setdefault(field.name.lower(), field.name) == field.name
    ]
    return pa.schema(taken)


class _Types:
    """The types of one schema, and of those it refers to."""

    def __init__(self, found: Registered, place: str) -> None:
        self._place = place
        self._documents: dict[str, Any] = {"": json.loads(found.text)}
        self._documents |= {name: json.loads(text) for name, text in found.references.items()}

    def of(self, schema: Schema, document: str, within: tuple[str, ...]) -> pa.DataType:
        """The type for a schema that stands in a document; ``within``: the references followed on the way."""
        if "$ref" in schema:
            return self._referred(str(schema["$ref"]), document, within)
        if "allOf" in schema:
            return self._all([{**schema, "allOf": None}, *schema["allOf"]], document, within)
        for words in ("oneOf", "anyOf"):
            if words in schema:
                return self._any([branch for branch in schema[words] if branch.get("type") != "null"], document, within)
        named: Any = schema.get("type")
        names = {named} if isinstance(named, str) else set(cast("list[str]", named or ())) - {"null"}
        if names == {"integer", "number"}:
            return pa.float64()
        if names == {"object"} or (not names and "properties" in schema):
            return self._object(schema, document, within)
        if names == {"array"} and isinstance(schema.get("items"), dict):
            return pa.list_(pa.field("element", self.of(schema["items"], document, within)))
        if names == {"string"}:
            return _FORMATS.get(str(schema.get("format")), pa.string())
        return _SIMPLE.get(next(iter(names)), pa.string()) if len(names) == 1 else pa.string()

    def _object(self, schema: Schema, document: str, within: tuple[str, ...]) -> pa.DataType:
        if properties := cast("Mapping[str, Schema]", schema.get("properties") or {}):
            return pa.struct([pa.field(name, self.of(inner, document, within)) for name, inner in properties.items()])
        more = schema.get("additionalProperties")
        return pa.map_(pa.string(), self.of(more, document, within)) if isinstance(more, dict) else pa.string()

    def _any(self, branches: Sequence[Schema], document: str, within: tuple[str, ...]) -> pa.DataType:
        kinds = {self.of(branch, document, within) for branch in branches}
        if kinds == {pa.int64(), pa.float64()}:
            return pa.float64()
        return next(iter(kinds)) if len(kinds) == 1 else pa.string()

    def _all(self, parts: Sequence[Schema], document: str, within: tuple[str, ...]) -> pa.DataType:
        """All of several: objects with the properties of each."""
        kinds = [self.of({name: value for name, value in part.items() if value is not None}, document, within) for part in parts]
        structs = [cast("list[pa.Field[Any]]", list(cast("Any", kind))) for kind in kinds if pa.types.is_struct(kind)]
        if structs:
            return pa.struct(list({field.name: field for fields in structs for field in fields}.values()))
        return next((kind for kind in kinds if kind != pa.string()), pa.string())

    def _referred(self, reference: str, document: str, within: tuple[str, ...]) -> pa.DataType:
        name, _, pointer = reference.partition("#")
        document = name or document
        if (whole := f"{document}#{pointer}") in within:
            raise SchemaError(
                self._place,
                "an object holds itself, and no column has such a type",
                got=reference,
                hint="declare the columns: topic(schema=…, format='json_schema').",
            )
        found: Any = self._documents.get(document)
        for part in filter(None, pointer.split("/")):
            part = part.replace("~1", "/").replace("~0", "~")  # noqa: PLW2901 -- JSON Pointer's escapes
            found = cast("dict[str, Any]", found).get(part) if isinstance(found, dict) else None
        if not isinstance(found, dict):
            raise SchemaError(self._place, "the schema refers to another one that is not there", got=reference)
        return self.of(cast("Schema", found), document, (*within, whole))
