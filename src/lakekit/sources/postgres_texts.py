"""Text of PostgreSQL as the types that users declare: exactly, or not at all.

| declared | text that fits |
| --- | --- |
| ``string`` | any |
| ``int``, ``bigint``, ``decimal(p, s)`` | a number that the type holds to the last digit: ``5``, ``5.00`` |
| ``float``, ``double`` | a number whose digits the type gives back: ``0.1``, but not 20 digits; ``NaN``, ``Infinity`` |
| ``boolean`` | ``true``, ``false``, ``1``, ``0`` |
| ``date``, ``timestamp_ntz``, ``timestamp`` | ISO 8601: ``2026-01-02``; up to microseconds and without a zone; with one |
| ``uuid`` | 32 hexadecimal digits in five groups |
"""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, cast
from uuid import UUID

if TYPE_CHECKING:
    import pyarrow as pa

_NUMBER: Final = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_INFINITIES: Final = frozenset({"nan", "inf", "infinity", "+inf", "+infinity", "-inf", "-infinity"})
_EXACT_DIGITS: Final = {32: 6, 64: 15}
"""How many digits each number of a float gives back."""


class MisfitError(Exception):
    """A text is not of the type. Never leaves this package, and holds no value."""


def is_readable(kind: pa.DataType) -> bool:
    """Whether text can be read as a type."""
    import pyarrow as pa
    import pyarrow.types as pt

    known = (pt.is_string, pt.is_integer, pt.is_floating, pt.is_decimal, pt.is_boolean, pt.is_date, pt.is_timestamp)
    return kind == pa.uuid() or any(matches(kind) for matches in known)


def read(texts: pa.Array[Any], kind: pa.DataType) -> tuple[pa.Array[Any], list[int]]:
    """Texts as a type, and which of them don't fit it: NULL there.

    >>> import pyarrow as pa
    >>> read(pa.array(["1.50", "NaN", None]), pa.decimal128(4, 2))[0].to_pylist(), read(pa.array(["1", "x"]), pa.int64())[1]
    ([Decimal('1.50'), None, None], [1])
    """
    import pyarrow as pa

    try:
        return _read(texts, kind), []
    except (pa.ArrowInvalid, MisfitError):
        if len(texts) == 1:
            return cast("Any", pa).nulls(1, kind), [0]
    middle = len(texts) // 2
    (first, early), (second, late) = (read(half, kind) for half in (texts.slice(0, middle), texts.slice(middle)))
    return pa.concat_arrays([first, second]), [*early, *(middle + index for index in late)]


def _read(texts: pa.Array[Any], kind: pa.DataType) -> pa.Array[Any]:
    import pyarrow as pa

    if pa.types.is_integer(kind):
        return cast("pa.Array[Any]", _decimals(texts, pa.decimal128(38, 0)).cast(kind))
    if pa.types.is_decimal(kind):
        return _decimals(texts, kind)
    if pa.types.is_floating(kind):
        return _floats(texts, kind)
    if isinstance(kind, pa.BaseExtensionType):
        return pa.ExtensionArray.from_storage(kind, pa.array(_each(texts, _uuid_bytes), kind.storage_type))
    return cast("pa.Array[Any]", texts.cast(kind))


def _each(texts: pa.Array[Any], call: Callable[[str], Any]) -> list[Any]:
    found: list[str | None] = texts.to_pylist()
    return [None if text is None else call(text) for text in found]


def _uuid_bytes(text: str) -> bytes:
    if not _UUID.fullmatch(text):
        raise MisfitError
    return UUID(text).bytes


def _decimals(texts: pa.Array[Any], kind: Any) -> pa.Array[Any]:
    import pyarrow.compute as pc

    compute = cast("Any", pc)
    # pyarrow 26 takes 18 for a decimal(38, 38), makes 0 of a number with 39 decimals more than the type has, and refuses 1 with 40 zeros
    # behind the point. So it gets only what is of the type by the count of its digits.
    plain = rf"^[+-]?[0-9]{{0,{kind.precision - kind.scale}}}(?:\.[0-9]{{0,{kind.scale}}})?$"
    if compute.all(compute.match_substring_regex(texts, plain)).as_py() is False:
        texts = _shortened(texts, kind)
    return cast("pa.Array[Any]", texts.cast(kind))


def _shortened(texts: pa.Array[Any], kind: Any) -> pa.Array[Any]:
    """The same numbers without what needs not be written.

    Raises:
        MisfitError: The type does not hold one of them.
    """
    import pyarrow as pa

    def short(text: str) -> str:
        if not _NUMBER.fullmatch(text):
            raise MisfitError
        number = Decimal(text)
        if number.is_zero():
            return "0"
        sign, digits, exponent = number.as_tuple()
        zeros = len(digits) - len("".join(map(str, digits)).rstrip("0"))
        power = int(exponent) + zeros
        if power < -kind.scale or number.adjusted() >= kind.precision - kind.scale:
            raise MisfitError
        return f"{Decimal((sign, digits[: len(digits) - zeros], power)):f}"

    return pa.array(_each(texts, short), pa.string())


def _floats(texts: pa.Array[Any], kind: Any) -> pa.Array[Any]:
    import pyarrow as pa
    import pyarrow.compute as pc

    compute = cast("Any", pc)
    made = cast("pa.Array[Any]", texts.cast(kind))
    unsure = compute.match_substring_regex(texts, rf"^.{{{_EXACT_DIGITS[kind.bit_width] + 1},}}$|[^-0-9.]")
    given = cast("list[str]", texts.filter(unsure).to_pylist())
    back = cast("list[str]", made.filter(unsure).cast(pa.string()).to_pylist())  # the fewest digits that give the number
    if not all(map(_gives_back, given, back)):
        raise MisfitError
    return made


def _gives_back(text: str, digits: str) -> bool:
    """Whether the digits of a float say what the text says."""
    if _NUMBER.fullmatch(text):
        return _NUMBER.fullmatch(digits) is not None and Decimal(digits) == Decimal(text)
    return text.lower() in _INFINITIES
