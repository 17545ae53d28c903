"""Text as declared types: what comes out says the same as what went in, or it does not fit."""

from __future__ import annotations

import math
from decimal import Decimal, InvalidOperation
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lakekit.sources import postgres_texts

NUMBERS = st.one_of(
    st.decimals(allow_nan=False, allow_infinity=False).map(lambda number: f"{number:f}" if abs(number.adjusted()) < 90 else str(number)),
    st.integers().map(str),
    st.floats().map(repr),
    st.sampled_from(
        ["NaN", "Infinity", "-Infinity", "", " 1", "1 ", "0x1F", "1_000", "١", "1.", ".5", "+1", "--1", "1e5", "1e-41", "0" * 50 + "1"]
    ),
    st.text(max_size=4),
)
KINDS = [pa.int32(), pa.int64(), pa.decimal128(8, 2), pa.decimal128(38, 0), pa.decimal128(38, 38), pa.float32(), pa.float64()]


def value_of(text: str) -> Decimal | None:
    """What a text says, if it is a plain number in ASCII."""
    try:
        return Decimal(text) if text.isascii() and "_" not in text and text.strip() == text else None
    except InvalidOperation:
        return None


def fits(kind: Any, number: Decimal | None) -> bool:
    """Whether a type holds a number to the last digit."""
    if number is None:
        return False
    if pa.types.is_floating(kind):
        if not number.is_finite():
            return True
        found = pa.scalar(float(number), pa.float64()).cast(kind, safe=False)
        as_text = str(found.cast(pa.string())) if math.isfinite(found.as_py()) else "NaN"
        return not Decimal(as_text).is_nan() and Decimal(as_text) == number
    if not number.is_finite():
        return False
    if pa.types.is_integer(kind):
        return number == number.to_integral_value() and -(2 ** (kind.bit_width - 1)) <= number < 2 ** (kind.bit_width - 1)
    unscaled = number.scaleb(kind.scale) if number.adjusted() > -200 else number
    return number.is_zero() or (unscaled == unscaled.to_integral_value() and abs(unscaled) < Decimal(10) ** kind.precision)


@pytest.mark.parametrize("kind", KINDS, ids=str)
@given(texts=st.lists(st.none() | NUMBERS, max_size=12))
@example(texts=["1.50", None, "0." + "0" * 40 + "1", "1." + "0" * 50, "9" * 39])
def test_a_number_fits_to_the_last_digit_or_not_at_all(kind: Any, texts: list[str | None]) -> None:
    import decimal

    with decimal.localcontext(prec=500, Emax=10**9, Emin=-(10**9)):
        made, odd = postgres_texts.read(pa.array(texts, pa.string()), kind)
        assert made.type == kind
        for row, (text, value) in enumerate(zip(texts, made.to_pylist(), strict=True)):
            if text is None or row in odd:
                assert value is None
                assert text is None or not fits(kind, value_of(text)), text
                continue
            wanted = value_of(text)
            assert wanted is not None, text
            assert fits(kind, wanted), text
            if not wanted.is_nan() and not pa.types.is_floating(kind):
                assert Decimal(value) == wanted


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        (pa.bool_(), ["true", "FALSE", "0"], ["t", "yes", ""]),
        (pa.date32(), ["2026-01-02", "0001-01-01"], ["2026-02-30", "2026-1-2", "20260102", "infinity"]),
        (pa.timestamp("us"), ["2026-01-02 03:04:05.000006", "2026-01-02T03:04"], ["2026-01-02 03:04:05.0000067", "2026-01-02T03:04Z"]),
        (pa.timestamp("us", tz="UTC"), ["2026-01-02 03:04:05+02", "2026-01-02T03:04Z"], ["2026-01-02 03:04", "-infinity"]),
        (pa.uuid(), ["a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"], ["a0eebc999c0b4ef8bb6d6bb9bd380a11", "{}", ""]),
    ],
    ids=str,
)
def test_what_is_of_the_type_fits_and_nothing_else(kind: Any, good: list[str], bad: list[str]) -> None:
    assert postgres_texts.read(pa.array([*bad, *good, None]), kind)[1] == list(range(len(bad)))
    assert postgres_texts.read(pa.array(good), kind)[1] == []
