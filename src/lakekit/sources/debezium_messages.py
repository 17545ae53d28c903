"""Messages of Debezium: what each of them is, and what it says of a row.

| message | becomes |
| --- | --- |
| an envelope of ``op`` ``c``, ``r``, ``u``; a flattened row | a row |
| ``op`` ``d``; a flattened row with ``__deleted`` or ``__op`` that says so | a delete: the key's columns, since all others may be fakes |
| ``op`` ``t`` | a row of no columns, ``_operation = 'truncate'`` |
| ``op`` ``m``, a heartbeat, the beginning or end of a transaction, a change of schema | skipped |
| a tombstone | skipped, or a delete |
| anything else | a reject |
"""

from __future__ import annotations

import base64
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, cast

import attrs
import msgspec

from lakekit.sources.debezium_options import Reading

if TYPE_CHECKING:
    from lakekit.sources.kafka_read import Messages

CREATE, READ, UPDATE, DELETE, TRUNCATE = "c", "r", "u", "d", "t"
_MESSAGE: Final = "m"
_UPSERTS: Final = (CREATE, READ, UPDATE)
_UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_TRANSACTION: Final = {"status", "id", "event_count", "data_collections", "ts_ms"}
_HEARTBEAT: Final = {"ts_ms", "ts_us", "ts_ns"}
_META: Final = "__"


class Skipped(str):
    """Why a message is no row: it is about something else."""

    __slots__ = ()


class Refused(str):
    """Why a message can't be read."""

    __slots__ = ()


@attrs.define(eq=False)
class Change:
    """What a message says of a row.

    Attributes:
        operation: ``c``, ``r``, ``u``, ``d`` or ``t``.
        image: The row: a JSON object, or the decoded fields of Avro. None: a truncate.
        version: Which schema the row is of. None: the message has none.
        key: The row's key as JSON. None: there is none.
        unavailable: The columns whose value did not come.
    """

    operation: str
    image: Any
    version: Any = None
    lsn: int | None = None
    transaction: str | None = None
    micros: int | None = None
    key: str | None = None
    moved_from: str | None = None
    moved_to: str | None = None
    unavailable: tuple[str, ...] = ()


class Source(msgspec.Struct, gc=False):
    """Where a change comes from: the part of ``source`` that is of interest."""

    connector: str
    lsn: int | None = None
    sequence: str | None = None
    txId: int | str | None = None  # noqa: N815 -- Debezium's word
    ts_us: int | None = None
    ts_ms: int | None = None

    @property
    def at(self) -> int | None:
        """The source's clock, in microseconds."""
        return self.ts_us if self.ts_us is not None else None if self.ts_ms is None else self.ts_ms * 1_000

    @property
    def position(self) -> int | None:
        """The LSN. Rows of an incremental snapshot have it in their sequence only."""
        return self.lsn if self.lsn is not None else last_of(self.sequence)


class _Parts(msgspec.Struct, gc=False):
    """A message's fields that tell what it is, as they stand. What it has not is empty."""

    op: msgspec.Raw = msgspec.Raw()
    source: msgspec.Raw = msgspec.Raw()
    before: msgspec.Raw = msgspec.Raw(b"null")
    after: msgspec.Raw = msgspec.Raw(b"null")
    schema: msgspec.Raw = msgspec.Raw()
    payload: msgspec.Raw = msgspec.Raw()


def last_of(sequence: str | None) -> int | None:
    """The second number of ``source.sequence``: the change's own LSN.

    >>> last_of('[null,"42497216"]'), last_of(None)
    (42497216, None)
    """
    try:
        found: Any = msgspec.json.decode(sequence or "[]")
        return int(found[-1]) if found else None
    except (msgspec.DecodeError, TypeError, ValueError):
        return None


def canonical(key: object) -> str | None:
    """A key as JSON that is the same wherever the key stands. None: there is none.

    >>> canonical({"id": 5})
    '{"id":5}'
    """
    return None if key is None else msgspec.json.encode(key, order="sorted").decode()


class Unavailable:
    """The forms in which the connector says that a value did not come, since it did not change and is stored apart (TOAST)."""

    def __init__(self, placeholder: str) -> None:
        """Take the connector's ``unavailable.value.placeholder``."""
        raw = placeholder.encode()
        texts = [
            placeholder,
            base64.b64encode(raw).decode(),
            base64.urlsafe_b64encode(raw).decode(),
            raw.hex(),
            # What Java's UUID.nameUUIDFromBytes makes of it, for arrays of UUIDs.
            str(uuid.UUID(bytes=_md5(raw), version=3)),
        ]
        numbers = list(raw)
        forms: list[Any] = [
            *texts[:4],
            *([text] for text in texts),
            numbers,
            {placeholder: placeholder},
            f'{{"{placeholder}":"{placeholder}"}}',
        ]
        self._forms = [*forms, raw, [raw]]
        self._encoded = {msgspec.json.encode(form) for form in forms}
        self._needles = [text.encode() for text in texts] + [msgspec.json.encode(numbers)[1:-1]]
        self._fields: msgspec.json.Decoder[dict[str, msgspec.Raw]] = msgspec.json.Decoder(dict[str, msgspec.Raw])

    def without(self, image: bytes) -> tuple[bytes, tuple[str, ...]]:
        """A row without the columns that did not come, and their names."""
        for needle in self._needles:
            if needle in image:
                break
        else:
            return image, ()
        fields = self._fields.decode(image)
        gone = tuple(name for name, value in fields.items() if bytes(value) in self._encoded)
        if not gone:
            return image, ()
        return msgspec.json.encode({name: value for name, value in fields.items() if name not in gone}), gone

    def among(self, fields: Mapping[str, Any]) -> tuple[str, ...]:
        """The names of decoded fields that did not come."""
        return tuple(name for name, value in fields.items() if type(value) in {str, bytes, list, dict} and value in self._forms)


def _md5(raw: bytes) -> bytes:
    import hashlib

    return hashlib.md5(raw, usedforsecurity=False).digest()


def moves(headers: Sequence[dict[str, object]] | None) -> tuple[str | None, str | None]:
    """The keys from and to which a row was moved, by the headers of a change of its primary key."""
    found: dict[str, str | None] = {}
    for header in headers or ():
        if header["key"] in {"__debezium.oldkey", "__debezium.newkey"}:
            found[cast("str", header["key"])] = _key_of(cast("bytes | None", header["value"]))
    return found.get("__debezium.oldkey"), found.get("__debezium.newkey")


def _key_of(value: bytes | None) -> str | None:
    if value is None:
        return None
    try:
        return canonical(unframed(msgspec.json.decode(value)))
    except _UNREADABLE:
        return value.decode(errors="replace")


def unframed(found: Any) -> Any:
    """What stands beside its schema, where it does."""
    return found["payload"] if type(found) is dict and found.keys() == {"schema", "payload"} else found


class JsonMessages:
    """Reads messages in JSON, each with its schema or without."""

    def __init__(self, reading: Reading) -> None:
        """Take how to read them."""
        self._reading = reading
        self._unavailable = Unavailable(reading.placeholder)
        self._parts = msgspec.json.Decoder(_Parts)
        self._source = msgspec.json.Decoder(Source)
        self._fields: msgspec.json.Decoder[dict[str, msgspec.Raw]] = msgspec.json.Decoder(dict[str, msgspec.Raw])
        self._any = msgspec.json.Decoder()

    def changes(self, messages: Messages) -> Iterator[Change | Skipped | Refused]:
        """What each of them says."""
        for value, key, headers in zip(messages.values, messages.keys, messages.headers, strict=True):
            try:
                found = self._change(value, key)
            except _UNREADABLE as error:
                found = Refused(
                    "not_utf8"
                    if isinstance(error, UnicodeDecodeError)
                    else "not_an_object"
                    if isinstance(error, msgspec.ValidationError)
                    else "not_json"
                )
            if isinstance(found, Change) and headers:
                found.moved_from, found.moved_to = moves(headers)
            yield found

    def _change(self, value: bytes | None, key: bytes | None) -> Change | Skipped | Refused:
        names = None if key is None else unframed(self._any.decode(key))
        if value is None:
            return self._tombstone(names)
        version, parts = None, self._parts.decode(value)
        if bytes(parts.schema) and bytes(parts.payload) and not bytes(parts.op):
            version, value = bytes(parts.schema), bytes(parts.payload)
            if value == b"null":
                return self._tombstone(names)
            parts = self._parts.decode(value)
        try:
            source = self._source.decode(parts.source) if bytes(parts.op) and bytes(parts.source) else None
        except msgspec.ValidationError:
            source = None
        if source is None:
            return self._flat(self._fields.decode(value), names, version)
        found = self._of_envelope(parts, names)
        if isinstance(found, Change):
            found.version, found.lsn, found.micros = version, source.position, source.at
            found.transaction = None if source.txId is None else str(source.txId)
        return found

    def _tombstone(self, key: Any) -> Change | Skipped | Refused:
        if self._reading.tombstones == "skip":
            return Skipped("tombstone")
        return Change(DELETE, msgspec.json.encode(key), key=canonical(key)) if type(key) is dict else Refused("no_key")

    def _of_envelope(self, parts: _Parts, key: Any) -> Change | Skipped | Refused:
        operation = self._any.decode(parts.op)
        if operation in _UPSERTS:
            image = bytes(parts.after)
            return Refused("no_row") if image == b"null" else self._upsert(operation, image, key)
        if operation == DELETE:
            before = bytes(parts.before)
            return self._delete({} if before == b"null" else self._fields.decode(before), key)
        if operation == TRUNCATE:
            return Change(TRUNCATE, None)
        return Skipped("logical_message") if operation == _MESSAGE else Refused("unknown_operation")

    def _upsert(self, operation: str, image: bytes, key: Any) -> Change:
        image, unavailable = self._unavailable.without(image)
        found = Change(operation, image, key=canonical(key), unavailable=unavailable)
        if self._reading.primary_key:
            fields = self._fields.decode(image)
            found.key = canonical({name: fields[name] for name in self._reading.primary_key if name in fields})
        return found

    def _delete(self, before: Mapping[str, msgspec.Raw], key: Any) -> Change | Refused:
        names = self._reading.primary_key or (tuple(cast("dict[str, Any]", key)) if type(key) is dict else ())
        if not names and not before:
            return Refused("no_key")
        fields: dict[str, Any] = {name: before[name] for name in names if name in before} if names else dict(before)
        if len(fields) < len(names):
            fields = {**({name: value for name, value in key.items() if name in names} if type(key) is dict else {}), **fields}
        own = canonical({name: fields[name] for name in names if name in fields}) if self._reading.primary_key else canonical(key)
        return Change(DELETE, msgspec.json.encode(fields), key=own)

    def _flat(self, fields: dict[str, msgspec.Raw], key: Any, version: bytes | None) -> Change | Skipped | Refused:
        """A row that ExtractNewRecordState has taken out of its envelope; or no row at all."""
        if (about := about_else(fields.keys())) is not None:
            return about
        if "op" in fields and "message" in fields and bytes(fields["op"]) == b'"m"':
            return Skipped("logical_message")
        meta = {name[len(_META) :]: self._any.decode(value) for name, value in fields.items() if name.startswith(_META)}
        row = {name: value for name, value in fields.items() if not name.startswith(_META)}
        found = self._of_flat(operation_of(meta), row, key)
        if isinstance(found, Change):
            found.version = version
            describe(found, meta)
        return found

    def _of_flat(self, operation: str, row: Mapping[str, msgspec.Raw], key: Any) -> Change | Refused:
        if operation == DELETE:
            return self._delete(row, key)
        if operation == TRUNCATE:
            return Change(TRUNCATE, None)
        return self._upsert(operation, msgspec.json.encode(row), key)


def about_else(names: Any) -> Skipped | None:
    """What a message without an envelope is about, where that is not a row."""
    names = set(names)
    if names == _TRANSACTION:
        return Skipped("transaction")
    if names and names <= _HEARTBEAT:
        return Skipped("heartbeat")
    return Skipped("schema_change") if names >= {"source", "databaseName", "tableChanges"} else None


def operation_of(meta: Mapping[str, Any]) -> str:
    """What a flattened row's metadata say was done."""
    if meta.get("op") in {CREATE, READ, UPDATE, DELETE, TRUNCATE}:
        return str(meta["op"])
    return DELETE if str(meta.get("deleted")).lower() == "true" else UPDATE


def describe(change: Change, meta: Mapping[str, Any]) -> None:
    """Note what a flattened row's metadata say: whatever ``add.fields`` of the connector's configuration added, by its usual names."""
    change.lsn = _first_number(meta, ("lsn", 1), ("source_lsn", 1))
    if change.lsn is None:
        change.lsn = last_of(meta.get("sequence") or meta.get("source_sequence"))
    # Where the source's own time was not added, the connector's will do.
    change.micros = _first_number(meta, ("source_ts_us", 1), ("source_ts_ms", 1_000), ("ts_us", 1), ("ts_ms", 1_000))
    transaction = meta.get("txId", meta.get("source_txId"))
    change.transaction = None if transaction is None else str(transaction)


def _first_number(meta: Mapping[str, Any], *wanted: tuple[str, int]) -> int | None:
    return next((meta[name] * factor for name, factor in wanted if type(meta.get(name)) is int), None)
