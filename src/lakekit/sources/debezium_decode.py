"""Changes as rows: each decoded by the schema of its own message, or by declared types and what JSON says; all of a read in the same columns."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol

import attrs
import pyarrow as pa

from lakekit import columns as system
from lakekit.columns import is_system
from lakekit.engines.types import widens
from lakekit.sources import debezium_types, debezium_values, json_shape
from lakekit.sources.debezium_messages import DELETE, TRUNCATE, Change, JsonMessages, Refused, Skipped
from lakekit.sources.debezium_options import Changes, Reading
from lakekit.sources.debezium_types import Declared, Field
from lakekit.sources.json_shape import Shape
from lakekit.sources.kafka_json import Decoded, JsonDecoder
from lakekit.sources.kafka_values import Clock

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from lakekit.sources.kafka_read import Messages

SYSTEM: Final[tuple[str, ...]] = (
    system.SOURCE_LSN,
    system.SOURCE_TRANSACTION,
    system.SOURCE_OPERATION,
    system.SOURCE_KEY,
    system.MOVED_FROM,
    system.MOVED_TO,
    system.UNAVAILABLE,
)
_META: Final = "__"
PLACE: Final = "sources.Debezium(schema=)"


@attrs.frozen(eq=False)
class Seen:
    """What a look at all messages gave: plain data, so that other processes may look, too.

    Attributes:
        shape: What the rows hold that come without a schema.
        schemas: For each version of the schema the fields of the row, in Connect's words; in the order met.
    """

    shape: Mapping[str, Any]
    schemas: Mapping[Any, Sequence[Mapping[str, Any]]]


class Splits(Protocol):
    """Reads messages of one format."""

    def changes(self, messages: Messages) -> Iterator[Change | Skipped | Refused]:
        """What each of them says."""
        ...


class Version:
    """The fields of one version of a row."""

    def __init__(self, fields: Iterable[Field]) -> None:
        """Take them."""
        self.fields = list(fields)

    def arrays(self, images: Sequence[Any]) -> tuple[list[Any], list[dict[str, str]], Mapping[int, str]]:
        """The columns; of each row the values that did not fit, by name, as JSON; and which rows can't be read, and why."""
        if images and isinstance(images[0], bytes):
            return self._of_json(images)
        return *self._of_values(images), {}

    def _of_json(self, images: Sequence[bytes]) -> tuple[list[Any], list[dict[str, str]], Mapping[int, str]]:
        import msgspec

        decoder = JsonDecoder(pa.schema([(field.name, field.wire) for field in self.fields]), Clock(), nulls=False)
        found = decoder.decode(images)
        raw = msgspec.json.Decoder(dict[str, msgspec.Raw])
        rescued: list[dict[str, str]] = [{} for _ in images]
        for row, text in found.rescued.items():
            rescued[row] = {name: bytes(value).decode() for name, value in raw.decode(text).items()}
        arrays: list[Any] = []
        for field, array in zip(self.fields, found.columns, strict=True):
            made, bad = (array, ()) if field.convert is None else field.convert(array)
            arrays.append(made)
            for row in bad:
                rescued[row][field.name] = bytes(raw.decode(images[row])[field.name]).decode()
        return arrays, rescued, found.reasons

    def _of_values(self, images: Sequence[Mapping[str, Any]]) -> tuple[list[Any], list[dict[str, str]]]:
        known = {field.name for field in self.fields}
        rescued = [{name: _text(value) for name, value in image.items() if name not in known and value is not None} for image in images]
        arrays: list[Any] = []
        for field in self.fields:
            array = pa.array([image.get(field.name) for image in images], field.wire)
            made, bad = (array, ()) if field.convert is None else field.convert(array)
            arrays.append(made)
            for row in bad:
                rescued[row][field.name] = _text(images[row][field.name])
        return arrays, rescued


def _text(value: Any) -> str:
    from lakekit.sources.kafka_avro import as_json

    return as_json(value)


class ChangeDecoder:
    """Reads messages of Debezium."""

    rule: str = "debezium"
    system: tuple[str, ...] = SYSTEM

    def __init__(self, splits: Splits, options: Changes, seen: Seen, target: pa.Schema | None) -> None:
        """Take what is known before the first message is decoded."""
        self._splits = splits
        declared = {name: Declared.of(words, place=PLACE) for name, words in options.schema}
        self._versions: dict[Any, Version] = {None: Version(_without_schema(seen.shape, declared, options, target))}
        for version, fields in seen.schemas.items():
            own = [debezium_types.told(each["field"], each, declared.get(each["field"]), options.modes) for each in fields]
            self._versions[version] = Version(_usable(own, target))
        self.schema = _together(self._versions.values())

    def read(self, messages: Messages) -> Decoded:
        """Read messages."""
        found = list(self._splits.changes(messages))
        reasons: dict[int, str] = {row: str(each) for row, each in enumerate(found) if isinstance(each, Refused)}
        skipped: dict[int, str] = {row: str(each) for row, each in enumerate(found) if isinstance(each, Skipped)}
        changes = [each if isinstance(each, Change) else None for each in found]
        columns, rescued, unreadable = self._columns(changes)
        reasons |= unreadable
        return Decoded(columns, rescued, reasons, skipped, _own(changes, messages))

    def _columns(self, changes: Sequence[Change | None]) -> tuple[list[Any], dict[int, str], dict[int, str]]:
        rows: dict[Any, list[int]] = {}
        for row, change in enumerate(changes):
            if change is not None and change.image is not None:
                rows.setdefault(change.version if change.version in self._versions else None, []).append(row)
        rescued: dict[int, str] = {}
        reasons: dict[int, str] = {}
        parts: dict[str, list[Any]] = {name: [] for name in self.schema.names}
        for version, own in rows.items():
            there = self._versions[version]
            arrays, lost, unreadable = there.arrays([changes[row].image for row in own])  # pyright: ignore[reportOptionalMemberAccess]
            made = {field.name: array for field, array in zip(there.fields, arrays, strict=True)}
            for field in self.schema:
                array = made.get(field.name)
                part = pa.nulls(len(own), field.type) if array is None else array
                if part.type != field.type:
                    before = part
                    part, bad = debezium_values.recast(field.type)(before)
                    for position in bad:
                        lost[position][field.name] = _text(before[position].as_py())
                parts[field.name].append(part)
            reasons |= {own[position]: reason for position, reason in unreadable.items()}
            rescued |= {row: _object(values) for row, values in zip(own, lost, strict=True) if values}
        order = [row for own in rows.values() for row in own]
        places: list[int | None] = [None] * len(changes)
        for place, row in enumerate(order):
            places[row] = place
        indices = pa.array(places, pa.int32())
        columns = [
            pa.concat_arrays(found).take(indices) if (found := parts[field.name]) else pa.nulls(len(changes), field.type)
            for field in self.schema
        ]
        return columns, rescued, reasons


def _own(changes: Sequence[Change | None], messages: Messages) -> dict[str, Any]:
    """Lakekit's columns, as the changes tell them."""
    operations = {DELETE: system.DELETE, TRUNCATE: system.TRUNCATE}
    none = Change("", None)
    known = [none if change is None else change for change in changes]
    millis = [None if at is None else at * 1_000 for at in messages.millis]
    return {
        system.OPERATION: [operations.get(change.operation, system.UPSERT) for change in known],
        system.SOURCE_TIMESTAMP: pa.array(
            [at if change.micros is None else change.micros for change, at in zip(known, millis, strict=True)], pa.timestamp("us", tz="UTC")
        ),
        system.SOURCE_LSN: [change.lsn for change in known],
        system.SOURCE_TRANSACTION: [change.transaction for change in known],
        system.SOURCE_OPERATION: [change.operation or None for change in known],
        system.SOURCE_KEY: [change.key for change in known],
        system.MOVED_FROM: [change.moved_from for change in known],
        system.MOVED_TO: [change.moved_to for change in known],
        system.UNAVAILABLE: [list(change.unavailable) or None for change in known],
    }


def _without_schema(seen: Mapping[str, Any], declared: Mapping[str, Declared], options: Changes, target: pa.Schema | None) -> list[Field]:
    """The fields of rows that have no schema: the declared ones, and those that were seen."""
    shape = Shape()
    shape.add(seen)
    own = [debezium_types.declared(name, wanted, shape.fields.get(name), options.modes) for name, wanted in declared.items()]
    rest = json_shape.schema_of(shape, target=target)
    taken = {name.lower() for name in declared}
    return own + [Field(field.name, field.type, field.type) for field in rest if field.name.lower() not in taken]


def _usable(fields: Iterable[Field], target: pa.Schema | None) -> list[Field]:
    """Those that can be columns: others are rescued."""
    taken = {} if target is None else {name.lower(): name for name in target.names}
    return [
        field
        for field in fields
        if field.name
        and "." not in field.name
        and not is_system(field.name)
        and taken.setdefault(field.name.lower(), field.name) == field.name
    ]


def _together(versions: Iterable[Version]) -> pa.Schema:
    """The columns of all versions; of two types the wider one, or else the later."""
    found: dict[str, pa.DataType] = {}
    for version in versions:
        for field in version.fields:
            before = found.get(field.name)
            found[field.name] = before if before is not None and widens(field.kind, before) else field.kind
    return pa.schema(list(found.items()))


def _object(values: Mapping[str, str]) -> str:
    return "{" + ",".join(f"{json.dumps(name, ensure_ascii=False)}:{value}" for name, value in values.items()) + "}"


def row_fields(schema: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The fields of the row, of the schema of an envelope or of a flattened row."""
    fields = schema.get("fields") or ()
    after = next((each for each in fields if each.get("field") in {"after", "before"} and each.get("type") == "struct"), None)
    wanted = fields if after is None else after["fields"]
    return [each for each in wanted if not str(each.get("field", "")).startswith(_META)]


class JsonLook:
    """Looks at all messages of a read before the first is decoded: what their rows hold, and which schemas they have."""

    def __init__(self, reading: Reading) -> None:
        """Begin with nothing seen."""
        from lakekit.sources.kafka_formats import Observer

        self._messages = JsonMessages(reading)
        self._observer = Observer()
        self._schemas: dict[bytes, None] = {}

    def look(self, messages: Messages) -> None:
        """Note what messages hold."""
        found = [change for change in self._messages.changes(messages) if isinstance(change, Change) and change.image is not None]
        self._schemas |= dict.fromkeys(change.version for change in found if change.version is not None)
        self._observer.observe([change.image for change in found if change.version is None])

    def to_plain(self) -> dict[str, Any]:
        """What was seen, for another process."""
        return {"shape": self._observer.shape.to_plain(), "schemas": [text.decode() for text in self._schemas]}


def seen(told: Iterable[Mapping[str, Any]]) -> Seen:
    """What several looks saw."""
    shape = Shape()
    schemas: dict[Any, Sequence[Mapping[str, Any]]] = {}
    for each in told:
        shape.add(each["shape"])
        schemas |= {text.encode(): row_fields(json.loads(text)) for text in each["schemas"]}
    return Seen(shape.to_plain(), schemas)


def json_decoder(options: Changes, found: Seen, target: pa.Schema | None) -> ChangeDecoder:
    """Reads messages in JSON."""
    return ChangeDecoder(JsonMessages(options.reading), options, found, target)
