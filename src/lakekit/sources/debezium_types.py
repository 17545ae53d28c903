"""Debezium's types as columns: what a message's own schema says of a field, or a declared type together with the connector's modes.

A message's own schema (Kafka Connect's, in JSON or as Avro) names the meaning of a field:

| Connect's type and name | column |
| --- | --- |
| ``int8``, ``int16``, ``int32``; ``int64``; ``float``, ``double``; ``boolean``; ``string`` | INT; BIGINT; FLOAT, DOUBLE; BOOLEAN; STRING |
| ``bytes``; ``array``, ``map``, ``struct`` | BINARY; ARRAY, MAP<STRING, …>, STRUCT |
| ``Decimal``; with more than 38 digits; ``VariableScaleDecimal`` | DECIMAL; STRING; STRING, exact: ``0.10`` |
| ``Date`` and ``IsoDate``; ``Time``, ``MicroTime``, ``NanoTime`` and ``IsoTime`` | DATE; TIME |
| ``Timestamp``, ``MicroTimestamp``, ``NanoTimestamp`` and ``IsoTimestamp`` | TIMESTAMP_NTZ |
| ``ZonedTimestamp`` | TIMESTAMP |
| ``MicroDuration``; ``Interval`` | BIGINT, microseconds; STRING |
| any other name | as the type beneath it |

A message without one says only what JSON says. Then a declared type tells what is meant, and the connector's modes how it is written.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import attrs
import pyarrow as pa
import pyarrow.types as pt

from lakekit.engines.types import arrow_type
from lakekit.errors import ConfigError
from lakekit.sources import debezium_values as values
from lakekit.sources.debezium_options import Modes
from lakekit.sources.debezium_values import Convert

if TYPE_CHECKING:
    from lakekit.sources.json_shape import Shape

_PRECISION: Final = re.compile(r"\s*(timestamp_ntz|timestamp|time)\s*\(\s*(\d)\s*\)\s*", re.IGNORECASE)
_SIMPLE: Final[Mapping[str, pa.DataType]] = {
    "int8": pa.int32(),
    "int16": pa.int32(),
    "int32": pa.int32(),
    "int64": pa.int64(),
    "float": pa.float32(),
    "float32": pa.float32(),
    "double": pa.float64(),
    "float64": pa.float64(),
    "boolean": pa.bool_(),
    "string": pa.string(),
    "bytes": pa.binary(),
}
_LOCAL: Final = pa.timestamp("us")
_INSTANT: Final = pa.timestamp("us", tz="UTC")
_TIME: Final = pa.time64("us")
# What a name means: the column, and what its numbers count.
_NAMED: Final[Mapping[str, tuple[pa.DataType, int | None]]] = {
    "io.debezium.time.Date": (pa.date32(), None),
    "org.apache.kafka.connect.data.Date": (pa.date32(), None),
    "io.debezium.time.IsoDate": (pa.date32(), None),
    "io.debezium.time.Time": (_TIME, values.MILLIS),
    "org.apache.kafka.connect.data.Time": (_TIME, values.MILLIS),
    "io.debezium.time.MicroTime": (_TIME, values.MICROS),
    "io.debezium.time.NanoTime": (_TIME, values.NANOS),
    "io.debezium.time.IsoTime": (_TIME, None),
    "io.debezium.time.Timestamp": (_LOCAL, values.MILLIS),
    "org.apache.kafka.connect.data.Timestamp": (_LOCAL, values.MILLIS),
    "io.debezium.time.MicroTimestamp": (_LOCAL, values.MICROS),
    "io.debezium.time.NanoTimestamp": (_LOCAL, values.NANOS),
    "io.debezium.time.IsoTimestamp": (_LOCAL, None),
    "io.debezium.time.ZonedTimestamp": (_INSTANT, None),
}
_DECIMAL: Final = "org.apache.kafka.connect.data.Decimal"
_VARIABLE: Final = "io.debezium.data.VariableScaleDecimal"


@attrs.frozen
class Declared:
    """A declared type.

    Attributes:
        precision: Digits of a second, where they were given: ``timestamp_ntz(3)``.
    """

    kind: pa.DataType
    precision: int | None = None

    @classmethod
    def of(cls, words: object, *, place: str) -> Declared:
        """The type that words name.

        Raises:
            SchemaError: They name none.

        >>> Declared.of("timestamp_ntz(3)", place="docs").precision
        3
        """
        if not isinstance(words, str):
            raise ConfigError(place, "expected an SQL type", got=repr(words))
        found = _PRECISION.fullmatch(words)
        return cls(arrow_type(found[1] if found else words, place=place), int(found[2]) if found else None)


@attrs.frozen(eq=False)
class Field:
    """One field of a row.

    Attributes:
        wire: The Arrow type as which the field is read.
        kind: The column's type.
        convert: Makes a column of what was read. None: it is one already.
    """

    name: str
    wire: pa.DataType
    kind: pa.DataType
    convert: Convert | None = None


def told(name: str, schema: Mapping[str, Any], declared: Declared | None, modes: Modes) -> Field:
    """The field that a message's own schema tells of; a declared type counts instead of the one that follows from it."""
    field = _told(name, schema, None if declared is None else declared.kind, modes)
    if declared is None or field.kind == declared.kind:
        return field
    return Field(name, field.wire, declared.kind, values.then(field.convert, values.recast(declared.kind)))


def _told(name: str, schema: Mapping[str, Any], wanted: pa.DataType | None, modes: Modes) -> Field:
    meaning, kind = schema.get("name"), str(schema.get("type"))
    if meaning == _DECIMAL:
        return _decimal(name, schema.get("parameters") or {}, wanted)
    if meaning == _VARIABLE:
        wire = pa.struct([pa.field("scale", pa.int32()), pa.field("value", pa.binary())])
        target = wanted if wanted is not None and pt.is_decimal(wanted) else pa.string()
        return Field(name, wire, target, values.variable_decimals(target))
    if meaning in _NAMED:
        target, unit = _NAMED[str(meaning)]
        return _time(name, target, pa.string() if kind == "string" else _SIMPLE.get(kind, pa.int64()), unit)
    if kind == "array":
        return _list(name, _told("element", schema["items"], None, modes))
    if kind == "map":
        return _plain(name, pa.map_(pa.string(), _told("value", schema["values"], None, modes).wire))
    if kind == "struct":
        inner = [pa.field(each["field"], _told(each["field"], each, None, modes).wire) for each in schema["fields"]]
        return _plain(name, pa.struct(inner))
    if kind == "string" and wanted is not None and pt.is_binary(wanted):
        return Field(name, pa.string(), wanted, values.binaries(modes.binary))
    return _plain(name, _SIMPLE.get(kind, pa.string()))


def _plain(name: str, kind: pa.DataType) -> Field:
    return Field(name, kind, kind)


def _decimal(name: str, parameters: Mapping[str, str], wanted: pa.DataType | None) -> Field:
    scale, precision = int(parameters.get("scale", 0)), int(parameters.get("connect.decimal.precision", 38))
    target = wanted if wanted is not None and pt.is_decimal(wanted) else pa.string()
    if wanted is None and 0 <= scale <= precision <= 38:
        target = pa.decimal128(precision, scale)
    return Field(name, pa.binary(), target, values.decimals(target, scale))


def _time(name: str, kind: pa.DataType, wire: pa.DataType, unit: int | None) -> Field:
    return Field(name, wire, kind, values.texts(kind) if pt.is_string(wire) else values.numbers(kind, unit or values.MICROS))


def _list(name: str, element: Field) -> Field:
    wire, kind = (pa.list_(pa.field("element", inner)) for inner in (element.wire, element.kind))
    return Field(name, wire, kind, None if element.convert is None else values.elements(element.convert, kind))


def declared(name: str, wanted: Declared, seen: Shape | None, modes: Modes) -> Field:
    """The field for a declared type, of messages that have no schema; ``seen`` is what stands in them."""
    kind, kinds = wanted.kind, set[str]() if seen is None else seen.kinds
    numbers = kinds <= {"whole", "long"} and bool(kinds)
    if pt.is_decimal(kind) and modes.decimals == "precise" and not kinds & {"number", "whole", "long"}:
        return Field(name, pa.string(), kind, values.precise(kind))
    if pt.is_binary(kind) and modes.binary in {"hex", "base64-url-safe"}:
        return Field(name, pa.string(), kind, values.binaries(modes.binary))
    if pt.is_date(kind) or pt.is_time(kind) or pt.is_timestamp(kind):
        return _time(name, kind, pa.int64() if numbers else pa.string(), _unit(wanted, modes))
    if pt.is_list(kind):
        return _list(name, declared("element", Declared(kind.value_type), None if seen is None else seen.element, modes))
    return Field(name, kind, kind)


def _unit(wanted: Declared, modes: Modes) -> int:
    if modes.times == "nanoseconds":
        return values.NANOS
    if modes.times == "connect":
        return values.MILLIS
    short = wanted.precision is not None and wanted.precision <= 3
    adaptive = modes.times == "adaptive" or (modes.times == "adaptive_time_microseconds" and not pt.is_time(wanted.kind))
    return values.MILLIS if short and adaptive else values.MICROS
