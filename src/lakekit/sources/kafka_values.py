"""What JSON values become in columns: for each type, what msgspec may read, and how the values read make an Arrow array.

| declared | JSON that fits |
| --- | --- |
| ``STRING`` | text; anything else as its JSON text |
| ``INT``, ``BIGINT`` | whole numbers in range; ``5.0``; ``"5"`` |
| ``FLOAT``, ``DOUBLE`` | numbers in range; ``"1.5"``, ``"NaN"``, ``"Infinity"`` |
| ``DECIMAL(p, s)`` | numbers and ``"19.90"``, to the last digit; never rounded |
| ``BOOLEAN`` | ``true``, ``false``; ``1``, ``0``; ``"true"``, ``"false"``, ``"1"``, ``"0"`` |
| ``TIMESTAMP`` | ``"2026-01-01T10:00:00Z"`` (RFC 3339: seconds and a zone, ``T`` or a space); a number, or one as text, counts from 1970 in ``epoch`` |
| ``TIMESTAMP_NTZ`` | the same text without a zone |
| ``DATE``, ``TIME`` | ``"2026-01-01"``; ``"10:00:00.5"`` |
| ``BINARY``, ``UUID`` | base64; the usual forms of a UUID |
| ``ARRAY``, ``MAP``, ``STRUCT`` | an array; an object; an object by field names |

``null``, the text ``"null"`` where text is not asked for, and an absent field are NULL. Digits beyond microseconds are rounded. Names match exactly.
"""

from __future__ import annotations

import datetime as dt
import decimal
import itertools
import operator
import uuid
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, cast
from zoneinfo import ZoneInfo

import attrs

if TYPE_CHECKING:
    import pyarrow as pa

Epoch = Literal["s", "ms", "us", "ns"]
_UNITS: Final[dict[Epoch, int]] = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
# What Python, and with it most readers, can say of a time.
_LEAST: Final = int((dt.datetime.min.replace(tzinfo=dt.UTC) - _EPOCH) / dt.timedelta(microseconds=1))
_MOST: Final = int((dt.datetime.max.replace(tzinfo=dt.UTC) - _EPOCH) // dt.timedelta(microseconds=1))


class MisfitError(Exception):
    """A value does not fit its column. Never leaves this package, and holds no value."""


@attrs.frozen
class Clock:
    """What numbers and times without a zone mean.

    Attributes:
        epoch: What a number in a TIMESTAMP counts.
        time_zone: The zone of a TIMESTAMP that names none. None: such a value does not fit.
    """

    epoch: Epoch = "ms"
    time_zone: str | None = None


def readable(kind: pa.DataType, clock: Clock, *, strict: bool, raw: bool = False) -> Any:
    """The Python type by which msgspec reads JSON for an Arrow type.

    ``strict``: objects may have no fields but those of their STRUCT. ``raw``: text is left as it stands, so that anything may stand there.
    """
    if raw and _is_string(kind):
        return _readable(kind, clock, strict=strict, raw=raw)
    return _readable(kind, clock, strict=strict, raw=raw) | None


def _is_string(kind: pa.DataType) -> bool:
    import pyarrow.types as pt

    return pt.is_string(kind)


def _readable(kind: pa.DataType, clock: Clock, *, strict: bool, raw: bool) -> Any:
    import msgspec
    import pyarrow.types as pt

    meta = msgspec.Meta
    simple: tuple[tuple[Callable[[pa.DataType], bool], Any], ...] = (
        (pt.is_boolean, bool),
        (pt.is_int32, Annotated[int, meta(ge=-(2**31), le=2**31 - 1)]),
        (pt.is_int64, Annotated[int, meta(ge=-(2**63), le=2**63 - 1)]),
        (pt.is_floating, float),
        (pt.is_string, msgspec.Raw if raw else str),
        (pt.is_binary, bytes),
        (pt.is_decimal, decimal.Decimal),
        (pt.is_date, dt.date),
        (pt.is_time, Annotated[dt.time, meta(tz=False)]),
    )
    for matches, found in simple:
        if matches(kind):
            return found
    if pt.is_timestamp(kind):
        if kind.tz is None:
            return Annotated[dt.datetime, meta(tz=False)]
        return (dt.datetime if clock.time_zone else Annotated[dt.datetime, meta(tz=True)]) | int | float
    if pt.is_list(kind):
        return list[readable(kind.value_type, clock, strict=strict, raw=raw)]
    if pt.is_map(kind):
        return dict[_readable(kind.key_type, clock, strict=strict, raw=False), readable(kind.item_type, clock, strict=strict, raw=raw)]
    if pt.is_struct(kind):
        return record([(field.name, readable(field.type, clock, strict=strict, raw=raw)) for field in kind], strict=strict)
    return uuid.UUID


def record(fields: Sequence[tuple[str, Any]], *, strict: bool) -> Any:
    """A class for objects with these fields, called ``f0``, ``f1`` … in Python: JSON allows names that Python does not."""
    import msgspec

    return msgspec.defstruct(
        "Record",
        [(f"f{index}", kind, None) for index, (_, kind) in enumerate(fields)],
        rename={f"f{index}": name for index, (name, _) in enumerate(fields)},
        forbid_unknown_fields=strict,
        gc=False,
    )


def has_struct(kind: pa.DataType) -> bool:
    """Whether objects with named fields stand somewhere in a type."""
    import pyarrow.types as pt

    if pt.is_list(kind):
        return has_struct(kind.value_type)
    return has_struct(kind.item_type) if pt.is_map(kind) else pt.is_struct(kind)


def has_text(kind: pa.DataType) -> bool:
    """Whether text stands somewhere inside a type, names aside."""
    import pyarrow.types as pt

    if pt.is_struct(kind):
        return any(pt.is_string(field.type) or has_text(field.type) for field in kind)
    inner = kind.value_type if pt.is_list(kind) else kind.item_type if pt.is_map(kind) else None
    return inner is not None and (pt.is_string(inner) or has_text(inner))


def array(values: Sequence[Any], kind: pa.DataType, clock: Clock) -> pa.Array[Any]:
    """The values that msgspec read for a type, as an Arrow array of it.

    Raises:
        MisfitError: One of them does not fit.
    """
    import pyarrow as pa
    import pyarrow.types as pt

    try:
        if pt.is_struct(kind):
            return _structs(values, kind, clock)
        if pt.is_list(kind):
            offsets, inside = _flattened(values)
            return pa.ListArray.from_arrays(offsets, array(inside, kind.value_type, clock), type=kind)
        if pt.is_map(kind):
            offsets, pairs = _flattened([None if value is None else list(value.items()) for value in values])
            keys, items = [key for key, _ in pairs], [item for _, item in pairs]
            from_arrays = cast("Callable[..., pa.Array[Any]]", pa.MapArray.from_arrays)
            return from_arrays(offsets, array(keys, kind.key_type, clock), array(items, kind.item_type, clock), type=kind)
        if pt.is_timestamp(kind):
            return _instants(values, kind, clock) if kind.tz else pa.array(values, kind)
        if pt.is_string(kind):
            return pa.array(values if set(map(type, values)) <= {str, type(None)} else list(map(_text, values)), kind)
        if pt.is_float32(kind):
            return _floats(values, kind)
        if pt.is_decimal(kind) and any(value is not None and value and value.adjusted() < -kind.scale for value in values):
            raise MisfitError  # pyarrow 26 makes 0 of a number with 39 decimals more than the type has
        if isinstance(kind, pa.BaseExtensionType):
            storage = pa.array([None if value is None else value.bytes for value in values], kind.storage_type)
            return pa.ExtensionArray.from_storage(kind, storage)
        return pa.array(values, kind)
    except (pa.ArrowException, OverflowError):
        raise MisfitError from None  # Arrow's own text would show the value


def _text(value: Any) -> str | None:
    """Text that may have been left as it stands in the JSON."""
    import msgspec

    if not isinstance(value, msgspec.Raw):
        return cast("str | None", value)
    found = bytes(value)
    return cast("str | None", msgspec.json.decode(found)) if found.startswith((b'"', b"null")) else found.decode()


def _structs(values: Sequence[Any], kind: pa.DataType, clock: Clock) -> pa.Array[Any]:
    import pyarrow as pa

    fields = list(cast("Any", kind))
    absent = [value is None for value in values]
    parts: list[Any] = []
    for index, field in enumerate(fields):
        attribute = operator.attrgetter(f"f{index}")
        parts.append(array([None if value is None else attribute(value) for value in values], field.type, clock))
    return cast("pa.Array[Any]", pa.StructArray.from_arrays(parts, fields=fields, mask=pa.array(absent, pa.bool_())))


def _flattened(values: Sequence[list[Any] | None]) -> tuple[Any, list[Any]]:
    """The offsets of lists, NULL where there is none, and everything inside them."""
    import pyarrow as pa

    ends = itertools.accumulate((0 if value is None else len(value) for value in values), initial=0)
    offsets = [None if value is None else end for value, end in zip([*values, ()], ends, strict=True)]
    return pa.array(offsets, pa.int32()), [item for value in values if value is not None for item in value]


def _instants(values: Sequence[Any], kind: pa.DataType, clock: Clock) -> pa.Array[Any]:
    import pyarrow as pa
    import pyarrow.compute as pc

    kinds = set(map(type, values))
    if kinds <= {int, type(None)} and clock.epoch != "ns":
        found = pc.multiply_checked(pa.array(values, pa.int64()), 1_000_000 // _UNITS[clock.epoch])
    elif clock.time_zone is not None or not kinds <= {dt.datetime, type(None)}:
        zone = None if clock.time_zone is None else ZoneInfo(clock.time_zone)
        values = [None if value is None else _micros(value, _UNITS[clock.epoch], zone) for value in values]
        found = pa.array(values, pa.int64())
    else:
        found = pa.array(values, kind).cast(pa.int64())
    if found.null_count < len(found) and not _LEAST <= pc.min(found).as_py() <= pc.max(found).as_py() <= _MOST:
        raise MisfitError
    return found.cast(kind)


def _micros(value: dt.datetime | float, per_second: int, zone: dt.tzinfo | None) -> int:
    """Microseconds since 1970."""
    if isinstance(value, dt.datetime):
        aware = value.replace(tzinfo=zone) if value.tzinfo is None else value
        return (aware - _EPOCH) // dt.timedelta(microseconds=1)
    if isinstance(value, int):
        return value * 1_000_000 // per_second
    if value != value or abs(value) == float("inf"):  # noqa: PLR0124 -- NaN
        raise MisfitError
    return round(decimal.Decimal(value) * 1_000_000 / per_second)


def _floats(values: Sequence[Any], kind: pa.DataType) -> pa.Array[Any]:
    import pyarrow as pa
    import pyarrow.compute as pc

    wide = pa.array(values, pa.float64())
    narrow = wide.cast(kind)
    if pc.is_inf(narrow).cast(pa.int8()) != pc.is_inf(wide).cast(pa.int8()):
        raise MisfitError
    return narrow
