"""Single values of documents in Arrow's types: which value fits which type, and how it is written in a text column.

A value fits where it can be told from the column again:

- int64, int32, decimal: a number whose value the type holds exactly. A double counts by its shortest decimal digits, 0.1 as 0.1; -0 is 0.
- float64, float32: a number that the type holds exactly; a decimal by its digits, likewise.
- timestamp, date: a date of the years 1 to 9999; for a date column, midnight.
- string: everything, see ``text``. bool, binary, uuid: only what they are named after.
"""

from __future__ import annotations

import base64
import functools
import math
import struct
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

import attrs
import pyarrow as pa
from bson import Binary, Decimal128, Int64, ObjectId, json_util
from bson.binary import UuidRepresentation
from bson.json_util import JSONMode, JSONOptions

from lakekit.sources.mongo_types import is_text

MISFIT: Final = object()
"""Stands for a value that its column can't hold."""

_NONE: Final = type(None)
_JSON: Final = JSONOptions(json_mode=JSONMode.RELAXED, uuid_representation=UuidRepresentation.STANDARD, tz_aware=True, tzinfo=UTC)
_INTEGERS: Final = (int, Int64)


@attrs.frozen
class Leaf:
    """How values get into a column without structure.

    Attributes:
        direct: The Python types that Arrow takes as they are.
        convert: Gives the value for Arrow, or ``MISFIT``.
        bulk: For columns of one such type: gives the value for Arrow, which then checks whether it fits.
    """

    direct: frozenset[type]
    convert: Callable[[Any], Any]
    bulk: Mapping[type, Callable[[Any], Any]] = attrs.field(factory=dict)


@functools.lru_cache(maxsize=256)
def leaf(kind: pa.DataType) -> Leaf:
    """How values get into a column of this type."""
    types = pa.types
    if types.is_string(kind):
        return Leaf(frozenset({str, _NONE}), text, {ObjectId: lambda value: value.binary.hex()})
    if types.is_int64(kind) or types.is_int32(kind):
        bits = 64 if types.is_int64(kind) else 32
        return Leaf(frozenset({int, Int64, _NONE}), lambda value: _integer(value, bits))
    if types.is_float64(kind):
        return Leaf(frozenset({float, _NONE}), _double)
    if types.is_float32(kind):
        return Leaf(frozenset({_NONE}), _float)
    if types.is_decimal(kind):
        return Leaf(
            frozenset({_NONE}),
            lambda value: _decimal(value, kind.precision, kind.scale),
            {Decimal128: lambda value: _unless_tiny(value.to_decimal(), kind.scale)},
        )
    if types.is_timestamp(kind):
        return Leaf(frozenset({datetime, _NONE}), lambda value: value if isinstance(value, datetime) else MISFIT)
    if types.is_date(kind):
        return Leaf(frozenset({_NONE}), _date)
    if types.is_boolean(kind):
        return Leaf(frozenset({bool, _NONE}), lambda value: value if isinstance(value, bool) else MISFIT)
    if types.is_binary(kind):
        return Leaf(frozenset({bytes, Binary, _NONE}), lambda value: value if isinstance(value, bytes) else MISFIT)
    if kind == pa.uuid():
        return Leaf(frozenset({_NONE}), lambda value: value.bytes if isinstance(value, UUID) else MISFIT)
    return Leaf(frozenset({_NONE}), _nothing)


def _nothing(_value: Any) -> Any:
    return MISFIT


def text(value: Any) -> Any:
    """What stands in a string column: text itself, digits, ISO 8601, hexadecimal digits, Base64; Extended JSON for all that has none of these.

    >>> text(5), text(0.1), text(True), text(Decimal128("1.50")), text(datetime(2026, 1, 1)), text({"a": [1, None]})
    ('5', '0.1', 'true', '1.50', '2026-01-01T00:00:00.000Z', '{"a":[1,null]}')
    """
    if type(value) is str:
        return value if is_text(value) else MISFIT
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, _INTEGERS):
        return str(int(value))
    if isinstance(value, float):
        return repr(value) if math.isfinite(value) else {math.inf: "Infinity", -math.inf: "-Infinity"}.get(value, "NaN")
    if isinstance(value, datetime):
        return value.isoformat(timespec="milliseconds") + "Z"
    if isinstance(value, (ObjectId, UUID, Decimal128)):
        return str(value)
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return json(value)


def json(value: Any) -> str:
    """A value as Extended JSON v2, in its relaxed form. Strings that are no UTF-8 become their bytes.

    >>> json({"price": Decimal128("1.50"), "n": 5, "id": ObjectId("65920080aaaaaaaaaaaaaaaa")})
    '{"price":{"$numberDecimal":"1.50"},"n":5,"id":{"$oid":"65920080aaaaaaaaaaaaaaaa"}}'
    """
    written = json_util.dumps(value, json_options=_JSON, separators=(",", ":"), ensure_ascii=False)
    if is_text(written):
        return written
    return json_util.dumps(_with_bytes(value), json_options=_JSON, separators=(",", ":"), ensure_ascii=False)


def _with_bytes(value: Any) -> Any:
    """The value with strings that are no UTF-8 as binary; in names, such bytes are written out."""
    if isinstance(value, dict):
        return {name.encode(errors="backslashreplace").decode(): _with_bytes(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_with_bytes(inner) for inner in value]
    if type(value) is str and not is_text(value):
        return value.encode(errors="surrogateescape")
    return value


def _integer(value: Any, bits: int) -> Any:
    if isinstance(value, Decimal128):
        value = value.to_decimal()
        whole = value.is_finite() and value.as_tuple().exponent < 20 and value == value.to_integral_value()  # type: ignore[operator] -- a finite one has a number there
    elif isinstance(value, float):
        whole = value.is_integer()
    else:
        whole = isinstance(value, _INTEGERS) and not isinstance(value, bool)
    if not whole:
        return MISFIT
    number = int(value)
    return number if -(1 << (bits - 1)) <= number < 1 << (bits - 1) else MISFIT


def _double(value: Any) -> Any:
    if isinstance(value, float):
        return value
    if isinstance(value, _INTEGERS) and not isinstance(value, bool):
        number = float(value)
        return number if int(number) == value else MISFIT
    if isinstance(value, Decimal128):
        exact = value.to_decimal()
        if exact.is_finite():
            number = float(exact)
            return number if math.isfinite(number) and Decimal(repr(number)) == exact else MISFIT
    return MISFIT


def _float(value: Any) -> Any:
    number = _double(value)
    if number is MISFIT or not math.isfinite(number):
        return number
    try:
        return number if struct.unpack("f", struct.pack("f", number))[0] == number else MISFIT
    except OverflowError:
        return MISFIT


def _decimal(value: Any, precision: int, scale: int) -> Any:
    if isinstance(value, Decimal128):
        exact = value.to_decimal()
    elif isinstance(value, float):
        exact = Decimal(repr(value))
    elif isinstance(value, _INTEGERS) and not isinstance(value, bool):
        exact = Decimal(int(value))
    else:
        return MISFIT
    if not exact.is_finite():
        return MISFIT
    if exact.is_zero():
        return Decimal(0)
    _, digits, exponent = exact.as_tuple()
    while digits[-1] == 0:
        digits, exponent = digits[:-1], int(exponent) + 1
    fits = -int(exponent) <= scale and len(digits) + int(exponent) <= precision - scale
    return exact if fits else MISFIT


def _unless_tiny(exact: Decimal, scale: int) -> Decimal:
    """The number, where Arrow checks it: pyarrow 26 makes 0 of one with 39 decimals more than the type has, as 1E-57 for 18."""
    if exact.adjusted() < -scale:
        raise OverflowError
    return exact


def _date(value: Any) -> Any:
    return value.date() if isinstance(value, datetime) and value == value.replace(hour=0, minute=0, second=0, microsecond=0) else MISFIT
