"""Values as Debezium writes them, made Arrow arrays: numbers that count, digits in bytes, times in ISO 8601.

A conversion gives the array, and the rows whose value does not fit, which are NULL in it. Calendars are proleptic Gregorian, as PostgreSQL's are.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Iterable
from decimal import Context, Decimal
from typing import Any, Final, cast

import pyarrow as pa
import pyarrow.compute
import pyarrow.types as pt

pc: Any = pyarrow.compute  # its stubs take no scalar beside an array
Array = Any
Kind = Any
"""An Arrow type: what its stubs know of ``tz`` and ``scale`` is on the concrete types only."""
Convert = Callable[[Array], tuple[Array, list[int]]]
"""Gives the array, and the rows whose value does not fit."""

MILLIS: Final = 1_000
MICROS: Final = 1
NANOS: Final = -1_000
"""What one unit is in microseconds; of a nanosecond, how many make one."""
_DAY: Final = 86_400_000_000
_FIRST: Final = -2_440_588  # days: 4714-11-24 BC, PostgreSQL's earliest
_LAST: Final = 2_932_896  # 9999-12-31: what is later is infinity, or as good as that
_ISO: Final = re.compile(
    r"(?:(?P<y>[+-]?\d{4,9})-(?P<m>\d\d)-(?P<d>\d\d))?[T ]?(?:(?P<H>\d\d):(?P<M>\d\d)(?::(?P<S>\d\d)(?:[.,](?P<f>\d{1,9}))?)?)?"
    r"(?P<z>Z|[+-]\d\d(?::?\d\d)?)?"
)
_EXACT: Final = Context(prec=2000)
_ZONE: Final = r"(:\d\d(?:\.\d+)?)(?:Z|[+-]\d\d(?::?\d\d)?)$|Z$"


class _UnfitError(Exception):
    """A value does not fit. Never leaves this module."""


def then(first: Convert | None, second: Convert) -> Convert:
    """One conversion after another."""
    if first is None:
        return second

    def convert(array: Array) -> tuple[Array, list[int]]:
        made, bad = first(array)
        made, more = second(made)
        return made, sorted({*bad, *more})

    return convert


def recast(kind: Kind) -> Convert:
    """To another type, where that holds the value in full."""

    def convert(array: Array) -> tuple[Array, list[int]]:
        try:
            return array.cast(kind), []
        except (pa.ArrowException, NotImplementedError):
            return _each(array, one(array.type), kind)

    def one(given: Kind) -> Callable[[Any], Any]:
        return lambda value: cast("Any", pa.scalar(value, given)).cast(kind).as_py()

    return convert


def numbers(kind: Kind, unit: int) -> Convert:
    """Days of a DATE; what ``unit`` says of other times."""

    def convert(array: Array) -> tuple[Array, list[int]]:
        wide = array.cast(pa.int64())
        if pt.is_date(kind):
            return _within(wide, _FIRST, _LAST, lambda found: found.cast(pa.int32()).cast(kind))
        least, most = (0, _DAY - 1) if pt.is_time(kind) else (_FIRST * _DAY, (_LAST + 1) * _DAY - 1)
        if unit == NANOS:
            floor = pc.divide(pc.subtract(wide, pc.if_else(pc.less(wide, 0), 999, 0)), 1000)  # dividing cuts towards zero
            return _within(floor, least, most, lambda found: found.cast(kind))
        return _within(wide, least // unit, most // unit, lambda found: pc.multiply(found, unit).cast(kind))

    return convert


def _within(array: Array, least: int, most: int, make: Callable[[Array], Array]) -> tuple[Array, list[int]]:
    out = pc.or_(pc.less(array, least), pc.greater(array, most))
    if pc.any(out).as_py():
        return make(pc.if_else(out, None, array)), [row for row, gone in enumerate(out.to_pylist()) if gone]
    return make(array), []


def texts(kind: Kind) -> Convert:
    """ISO 8601: a year may have a sign, a time without a zone one that says UTC."""

    def convert(array: Array) -> tuple[Array, list[int]]:
        try:
            # Arrow takes a zone where there is to be one, and none where not.
            plain = array if pt.is_timestamp(kind) and kind.tz else pc.replace_substring_regex(array, _ZONE, r"\1")
            made = plain.cast(kind)
        except pa.ArrowException:
            return _each(array, lambda value: _moment(value, kind), kind, storage=pa.int32() if pt.is_date(kind) else pa.int64())
        return (
            (made, [])
            if not pt.is_timestamp(kind)
            else _within(made.cast(pa.int64()), _FIRST * _DAY, (_LAST + 1) * _DAY - 1, lambda found: found.cast(kind))
        )

    return convert


def _moment(value: str, kind: Kind) -> int:
    """Days, or microseconds, since 1970; since midnight for a TIME.

    >>> _moment("-0043-03-15T00:00:00Z", pa.timestamp("us"))
    -63517824000000000
    """
    found = _ISO.fullmatch(value)
    if found is None or (found["y"] is None) != pt.is_time(kind):
        raise _UnfitError
    clock = 0
    if found["H"] is not None:
        fraction = int((found["f"] or "0")[:6].ljust(6, "0"))
        clock = ((int(found["H"]) * 60 + int(found["M"])) * 60 + int(found["S"] or 0)) * 1_000_000 + fraction
    if pt.is_time(kind):
        if clock >= _DAY:
            raise _UnfitError
        return clock
    days = _days(int(found["y"]), int(found["m"]), int(found["d"]))
    if not _FIRST <= days <= _LAST:
        raise _UnfitError
    if pt.is_date(kind):
        return days
    zone = 0
    if kind.tz and found["z"] not in {None, "Z"}:
        digits = found["z"][1:].replace(":", "").ljust(4, "0")
        zone = (int(digits[:2]) * 60 + int(digits[2:])) * 60_000_000 * (-1 if found["z"].startswith("-") else 1)
    elif kind.tz and found["z"] is None:
        raise _UnfitError
    return days * _DAY + clock - zone


def _days(year: int, month: int, day: int) -> int:
    """Days since 1970. Python's own dates begin with the year 1."""
    if not (1 <= month <= 12 and 1 <= day <= 31):
        raise _UnfitError
    year -= month <= 2
    era, of_era = divmod(year, 400)
    of_year = (153 * (month + (-3 if month > 2 else 9)) + 2) // 5 + day - 1
    return era * 146_097 + of_era * 365 + of_era // 4 - of_era // 100 + of_year - 719_468


def decimals(kind: Kind, scale: int) -> Convert:
    """Digits in bytes, of a scale that the schema says."""
    return lambda array: _each(array, lambda value: _fitting(_digits(value, scale), kind), kind)


def variable_decimals(kind: Kind) -> Convert:
    """Digits in bytes, each value with its scale."""

    def convert(array: Array) -> tuple[Array, list[int]]:
        return _rows(array.to_pylist(), lambda value: _fitting(_digits(value["value"], value["scale"]), kind), kind)

    return convert


def precise(kind: Kind) -> Convert:
    """Digits in base64, of the declared scale; or an object of scale and value, which is how a NUMERIC without a scale is written."""

    def one(value: str) -> Any:
        if value.startswith("{"):
            found = cast("dict[str, Any]", json.loads(value))
            return _fitting(_digits(_base64(found["value"]), found["scale"]), kind)
        return _fitting(_digits(_base64(value), kind.scale), kind)

    return lambda array: _each(array, one, kind)


def _digits(value: bytes, scale: int) -> Decimal:
    return Decimal(int.from_bytes(value, signed=True)).scaleb(-scale, context=_EXACT)


def _fitting(value: Decimal, kind: Kind) -> Decimal | str:
    if not pt.is_decimal(kind):
        return format(value, "f")
    if value and cast("int", value.normalize(_EXACT).as_tuple().exponent) < -kind.scale:
        raise _UnfitError  # pyarrow 26 makes 0 of a number with 39 decimals more than the type has
    return value


def binaries(mode: str) -> Convert:
    """Bytes in hexadecimal digits, or in base64."""
    if mode == "hex":
        return lambda array: _each(array, bytes.fromhex, pa.binary())
    return lambda array: _each(array, _base64, pa.binary())


def _base64(value: str) -> bytes:
    return base64.b64decode(value.replace("-", "+").replace("_", "/"), validate=True)


def elements(convert: Convert, kind: Kind) -> Convert:
    """The same for each element of a list. A list with one that does not fit does not fit."""

    def of_lists(array: Array) -> tuple[Array, list[int]]:
        made, bad = convert(array.flatten())
        parents = pc.list_parent_indices(array)
        rows = sorted({parents[position].as_py() for position in bad})
        lengths = pc.fill_null(pc.list_value_length(array), 0)
        ends = pc.cumulative_sum(lengths.cast(pa.int32()))
        offsets = pa.concat_arrays([pa.array([0], pa.int32()), ends.combine_chunks() if isinstance(ends, pa.ChunkedArray) else ends])
        absent = set(rows) | {row for row, there in enumerate(array.is_valid().to_pylist()) if not there}
        mask = pa.array([row in absent for row in range(len(array))], pa.bool_())
        return cast("Any", pa.ListArray).from_arrays(offsets, made, type=kind, mask=mask), rows

    return of_lists


def _each(array: Array, make: Callable[[Any], Any], kind: Kind, *, storage: pa.DataType | None = None) -> tuple[Array, list[int]]:
    """Value by value, each distinct one once."""
    encoded = array.dictionary_encode()
    made, bad = _rows(encoded.dictionary.to_pylist(), make, storage or kind)
    if storage is not None:
        made = made.cast(kind)
    wrong = set(bad)
    rows = [row for row, code in enumerate(encoded.indices.to_pylist()) if code in wrong] if wrong else []
    return made.take(encoded.indices), rows


def _rows(found: Iterable[Any], make: Callable[[Any], Any], kind: Kind) -> tuple[Array, list[int]]:
    made: list[Any] = []
    bad: list[int] = []
    for row, value in enumerate(found):
        try:
            made.append(None if value is None else make(value))
            if made[-1] is not None and pt.is_decimal(kind):
                pa.scalar(made[-1], kind)
        except (_UnfitError, ValueError, KeyError, TypeError, OverflowError, ArithmeticError, binascii.Error, pa.ArrowException):
            del made[row:]
            made.append(None)
            bad.append(row)
    return pa.array(made, kind), bad
