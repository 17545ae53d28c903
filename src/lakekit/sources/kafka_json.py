"""JSON messages as columns. A message reads the same whatever batch it comes in, and each of its fields is in its column or rescued."""

from __future__ import annotations

import functools
import json
import operator
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import attrs

from lakekit.sources import kafka_values
from lakekit.sources.kafka_values import Clock, MisfitError

if TYPE_CHECKING:
    import msgspec
    import pyarrow as pa

    from lakekit.sources.kafka_read import Messages

NOT_JSON: Final = "not_json"
NOT_UTF8: Final = "not_utf8"
NOT_AN_OBJECT: Final = "not_an_object"
NESTED_TOO_DEEPLY: Final = "nested_too_deeply"


@attrs.frozen(eq=False)
class Decoded:
    """Messages as columns.

    Attributes:
        columns: The declared columns, one value for each message.
        rescued: By message: JSON of the fields that have no column or don't fit it, each exactly as it stood in the message.
        reasons: By message: why it can't be read at all. Such a message is NULL in all columns.
        skipped: By message: why it is no row.
        own: Those of lakekit's columns that the format tells of.
    """

    columns: list[pa.Array[Any]]
    rescued: dict[int, str]
    reasons: dict[int, str]
    skipped: dict[int, str] = attrs.field(factory=dict)
    own: dict[str, Any] = attrs.field(factory=dict)


class ValueDecoder(ABC):
    """A decoder that looks at nothing but the values of messages.

    Attributes:
        system: Those of lakekit's columns that it gives besides those of every message.
    """

    system: tuple[str, ...] = ()

    def read(self, messages: Messages) -> Decoded:
        """Read messages."""
        return self.decode(messages.values)

    @abstractmethod
    def decode(self, values: Sequence[bytes | None]) -> Decoded:
        """Read the values of messages."""


@attrs.frozen(eq=False)
class _Column:
    """One declared column, and how its value is read by itself.

    Attributes:
        complete: Read it with every field of every object: as most values are; and, where text stands inside, with whatever stands there instead.
        lenient: Reads it without fields that are not declared.
    """

    name: str
    kind: pa.DataType
    is_text: bool
    complete: Sequence[msgspec.json.Decoder[Any]]
    lenient: msgspec.json.Decoder[Any]

    def read(self, raw: bytes) -> tuple[Any, bool]:
        """The value, and whether it holds all that stands in the JSON."""
        for decoder in self.complete:
            try:
                return decoder.decode(raw), True
            except _unreadable():
                continue
        if self.is_text:
            return raw.decode(), True
        try:
            return self.lenient.decode(raw), False
        except _unreadable():
            return None, False

    def holds_all(self, raw: bytes) -> bool:
        """Whether the declared type takes the JSON, with every field of every object."""
        return self.read(raw)[1]


@attrs.frozen(eq=False)
class _Unusual:
    """A message that is not as declared: its record, its fields as they stand, and which of these the record does not hold in full."""

    record: Any
    fields: Mapping[str, msgspec.Raw]
    names: set[str]

    def rescued(self) -> str:
        """JSON of those fields."""
        kept = (f"{_quoted(name)}:{bytes(raw).decode()}" for name, raw in self.fields.items() if name in self.names)
        return "{" + ",".join(kept) + "}"


def _column(field: pa.Field[Any], clock: Clock) -> _Column:
    import pyarrow.types as pt

    has_text = kafka_values.has_text(field.type)
    complete = [kafka_values.readable(field.type, clock, strict=True, raw=raw) for raw in ((False, True) if has_text else (False,))]
    lenient = kafka_values.readable(field.type, clock, strict=False, raw=has_text)
    return _Column(field.name, field.type, pt.is_string(field.type), [_decoder(kind) for kind in complete], _decoder(lenient))


def _decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    import msgspec

    return msgspec.json.Decoder(kind, strict=False)


class JsonDecoder(ValueDecoder):
    """Reads the values of messages by a declared schema, with the casts that ``kafka_values`` lists.

    Most messages are read in one step into a record of the declared types. One with more fields than declared is read into the same
    record without them, one with values that don't fit is read field by field: by the same types, so that all ways give the same.
    """

    rule = "json"

    def __init__(self, schema: pa.Schema, clock: Clock, *, nulls: bool = True) -> None:
        """Take the columns; ``nulls``: whether a ``null`` without a column is rescued, too."""
        import msgspec

        def types(*, strict: bool) -> list[Any]:
            return [kafka_values.readable(field.type, clock, strict=strict) for field in schema]

        self.schema = schema
        self._clock = clock
        self._nulls = nulls
        self._columns = [_column(field, clock) for field in schema]
        self._nested = [column for column in self._columns if kafka_values.has_struct(column.kind)]
        self._named = {column.name: (index, column) for index, column in enumerate(self._columns)}
        self._record = kafka_values.record(list(zip(schema.names, types(strict=True), strict=True)), strict=True)
        self._whole = _decoder(self._record)
        self._without_more = _decoder(kafka_values.record(list(zip(schema.names, types(strict=False), strict=True)), strict=False))
        self._fields: msgspec.json.Decoder[dict[str, msgspec.Raw]] = msgspec.json.Decoder(dict[str, msgspec.Raw])

    def decode(self, values: Sequence[bytes | None]) -> Decoded:
        """Read the values of messages. None, a tombstone, is NULL in all columns."""
        whole, empty, unreadable = self._whole.decode, self._record(), _unreadable()
        records: list[Any] = []
        unusual: dict[int, _Unusual] = {}
        reasons: dict[int, str] = {}
        for index, value in enumerate(values):
            try:
                records.append(empty if value is None else whole(value))
            except unreadable:
                found = self._read(value or b"")
                if isinstance(found, str):
                    reasons[index] = found
                    records.append(empty)
                    continue
                records.append(found.record)
                unusual[index] = found
        columns: list[pa.Array[Any]] = []
        for index, column in enumerate(self._columns):
            array, misfits = self._array(index, column, records)
            columns.append(array)
            for row in misfits:
                if row not in unusual:
                    unusual[row] = _Unusual(records[row], self._fields.decode(values[row] or b""), set())
                unusual[row].names.add(column.name)
        return Decoded(columns, {index: found.rescued() for index, found in unusual.items() if found.names}, reasons)

    def _read(self, value: bytes) -> _Unusual | str:
        """A message with other fields than declared; or why it can't be read."""
        try:
            value.decode()  # msgspec does not look into text that it skips
            fields = self._fields.decode(value)
        except _unreadable() as error:
            return _refusal(error, value)
        try:
            record = self._without_more.decode(value)
        except _unreadable():
            return self._by_field(fields)
        names = {name for name, raw in fields.items() if self._is_unknown(name, raw)}
        for column in self._nested:
            if column.name in fields and not column.holds_all(bytes(fields[column.name])):
                names.add(column.name)
        return _Unusual(record, fields, names)

    def _is_unknown(self, name: str, raw: msgspec.Raw) -> bool:
        return name not in self._named and (self._nulls or bytes(raw) != b"null")

    def _by_field(self, fields: Mapping[str, msgspec.Raw]) -> _Unusual:
        found: dict[str, Any] = {}
        names: set[str] = set()
        for name, raw in fields.items():
            if name not in self._named:
                if self._is_unknown(name, raw):
                    names.add(name)
                continue
            index, column = self._named[name]
            found[f"f{index}"], complete = column.read(bytes(raw))
            if not complete:
                names.add(name)
        return _Unusual(self._record(**found), fields, names)

    def _array(self, index: int, column: _Column, records: list[Any]) -> tuple[pa.Array[Any], list[int]]:
        """One column of all records, and the rows whose value msgspec took and Arrow does not: NULL there."""
        values = list(map(operator.attrgetter(f"f{index}"), records))
        try:
            return kafka_values.array(values, column.kind, self._clock), []
        except MisfitError:
            misfits = [row for row, value in enumerate(values) if not self._fits(value, column.kind)]
        for row in misfits:
            values[row] = None
        return kafka_values.array(values, column.kind, self._clock), misfits

    def _fits(self, value: Any, kind: pa.DataType) -> bool:
        try:
            kafka_values.array([value], kind, self._clock)
        except MisfitError:
            return False
        return True


@functools.lru_cache(maxsize=1024)
def _quoted(name: str) -> str:
    return json.dumps(name, ensure_ascii=False)


@functools.cache
def _unreadable() -> tuple[type[Exception], ...]:
    """What msgspec raises where JSON is broken or not of the type asked for."""
    import msgspec

    return (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def _refusal(error: Exception, value: bytes) -> str:
    import msgspec

    if isinstance(error, msgspec.ValidationError):  # found at the first byte that is no brace: what follows may still be broken
        try:
            msgspec.json.decode(value, type=msgspec.Raw)
        except _unreadable() as broken:
            error = broken
    if isinstance(error, msgspec.ValidationError):
        return NOT_AN_OBJECT
    if isinstance(error, RecursionError):
        return NESTED_TOO_DEEPLY
    return NOT_UTF8 if isinstance(error, UnicodeDecodeError) else NOT_JSON
