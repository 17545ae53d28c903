"""Rules for numbers written as text."""

from decimal import Decimal

import pytest

from lakekit import rules
from lakekit.errors import ConfigError

MONEY = rules.decimal(10, 2)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("12.50", "12.50"),
        (" 12.5\n", "12.50"),
        ("+12", "12.00"),
        ("-0.01", "-0.01"),
        (".5", "0.50"),
        ("5.", "5.00"),
        ("007", "7.00"),
        ("1.500000", "1.50"),
        ("1.5e3", "1500.00"),
        ("1E2", "100.00"),
        ("150e-2", "1.50"),
        ("12345678.99", "12345678.99"),
        ("-99999999.99", "-99999999.99"),
        ("１２．５０", "12.50"),
        ("٤٢", "42.00"),
        ("\u22124.2", "-4.20"),
        ("\u200f12.5\u200e", "12.50"),
        ("0e999999999999", "0.00"),
        ("0." + "0" * 10_000, "0.00"),
        ("0" * 10_000 + "7", "7.00"),
    ],
)
def test_a_number_is_read_exactly(text: str, number: str) -> None:
    value = MONEY.scalar(text).value
    assert isinstance(value, Decimal)
    assert str(value) == number


@pytest.mark.parametrize("text", ["-0", "-0.00", "-0e5"])
def test_there_is_no_negative_zero(text: str) -> None:
    assert str(MONEY.scalar(text).value) == "0.00"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty"),
        ("\u00a0\u200b", "empty"),
        ("NaN", "not_a_number"),
        ("Infinity", "not_a_number"),
        ("-inf", "not_a_number"),
        ("1,5", "not_a_number"),
        ("1 000", "not_a_number"),
        ("1_000", "not_a_number"),
        ("1.2.3", "not_a_number"),
        ("0x10", "not_a_number"),
        ("12 €", "not_a_number"),
        ("(12)", "not_a_number"),
        ("--1", "not_a_number"),
        ("1e", "not_a_number"),
        ("e5", "not_a_number"),
        (".", "not_a_number"),
        ("+", "not_a_number"),
        ("10²", "not_a_number"),
        ("½", "not_a_number"),
        ("true", "not_a_number"),
        ("1\x000", "not_a_number"),
        ("\ud800", "not_a_number"),
        ("1e400", "too_many_digits"),
        ("-1e400", "too_many_digits"),
        ("1e99999999999999999999", "too_many_digits"),
        ("9" * 10_000, "too_many_digits"),
        ("100000000", "too_many_digits"),
        ("0.001", "too_many_fraction_digits"),
        ("12.505", "too_many_fraction_digits"),
        ("1e-400", "too_many_fraction_digits"),
        ("1e-99999999999999999999", "too_many_fraction_digits"),
        ("0." + "1" * 10_000, "too_many_fraction_digits"),
    ],
)
def test_what_is_no_number_or_does_not_fit_is_refused(text: str, reason: str) -> None:
    assert MONEY.scalar(text) == (None, reason)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0.005", "0.01"),
        ("-0.005", "-0.01"),
        ("0.0049", "0.00"),
        ("-0.004", "0.00"),
        ("2.675", "2.68"),
        ("1e-400", "0.00"),
        ("0." + "9" * 10_000, "1.00"),
    ],
)
def test_rounding_goes_half_away_from_zero(text: str, number: str) -> None:
    assert str(rules.decimal(10, 2, round=True).scalar(text).value) == number


def test_rounding_into_one_digit_too_many_is_refused() -> None:
    assert rules.decimal(4, 2, round=True).scalar("99.995") == (None, "too_many_digits")


@pytest.mark.parametrize("digits", ["9" * 38, "1" + "0" * 37, "-" + "9" * 38])
def test_all_38_digits_are_kept(digits: str) -> None:
    assert rules.decimal(38, 0).scalar(digits).value == Decimal(digits)


def test_a_scale_as_large_as_the_precision_leaves_no_digit_before_the_point() -> None:
    rule = rules.decimal(2, 2)
    assert [rule.scalar(text) for text in ("0.99", "1.00", "0")] == [
        (Decimal("0.99"), None),
        (None, "too_many_digits"),
        (Decimal("0.00"), None),
    ]


@pytest.mark.parametrize(
    ("thousands", "point", "text", "number"),
    [
        (",", ".", "1,234,567.89", "1234567.89"),
        (",", ".", "1234567.89", "1234567.89"),
        (",", ".", "12,34,567.00", "1234567.00"),
        (".", ",", "1.234.567,89", "1234567.89"),
        (" ", ",", "1 234\u202f567,89", "1234567.89"),
        (" ", ",", "1\u00a0234", "1234.00"),
        ("'", ".", "1'234.5", "1234.50"),
        ("'", ".", "1\u2019234.5", "1234.50"),
        ("", ",", "1234,5", "1234.50"),
        (",", ".", "-1,000", "-1000.00"),
    ],
)
def test_grouped_digits_are_read_where_asked_for(thousands: str, point: str, text: str, number: str) -> None:
    assert str(rules.decimal(12, 2, thousands=thousands, point=point).scalar(text).value) == number


@pytest.mark.parametrize("text", ["1,5", "12,34", "1,2345", ",123", "1,,234", "1,234,", "1.234,5", "1234,567", "1,23,45", "1,234e"])
def test_groups_that_are_not_whole_are_refused(text: str) -> None:
    assert rules.decimal(12, 2, thousands=",").scalar(text) == (None, "not_a_number")


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("42", 42),
        (" -42 ", -42),
        ("+7", 7),
        ("3.0", 3),
        ("1e3", 1000),
        ("1.5e1", 15),
        ("9223372036854775807", 2**63 - 1),
        ("-9223372036854775808", -(2**63)),
        ("４２", 42),
        ("-0", 0),
        ("0e999999999999", 0),
        ("0" * 10_000, 0),
    ],
)
def test_a_whole_number_is_read_exactly(text: str, number: int) -> None:
    value = rules.integer().scalar(text).value
    assert value == number
    assert type(value) is int


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty"),
        ("4.2", "not_whole"),
        ("0.1", "not_whole"),
        ("1e-400", "not_whole"),
        ("0." + "1" * 10_000, "not_whole"),
        ("9223372036854775808", "out_of_range"),
        ("-9223372036854775809", "out_of_range"),
        ("9223372036854775807.5", "not_whole"),
        ("1e400", "out_of_range"),
        ("9" * 10_000, "out_of_range"),
        ("NaN", "not_a_number"),
        ("1,000", "not_a_number"),
        ("1\x00", "1"),
    ],
)
def test_what_is_no_whole_number_of_64_bits_is_refused(text: str, reason: str) -> None:
    result = rules.integer().scalar(text)
    if reason == "1":  # a NUL at the end is an edge like any other
        assert result == (1, None)
    else:
        assert result == (None, reason)


def test_whole_numbers_may_be_grouped() -> None:
    assert rules.integer(thousands=".").scalar("1.234").value == 1234
    assert rules.integer(thousands=",").scalar("1,234").value == 1234


def test_null_passes() -> None:
    assert MONEY.scalar(None) == rules.integer().scalar(None) == (None, None)


@pytest.mark.parametrize(("precision", "scale"), [(0, 0), (39, 0), (-1, 0), (10, 11), (10, -1), ("10", 2), (10, 2.0), (True, 0), (None, 0)])
def test_a_precision_or_scale_that_cannot_be_is_refused(precision: object, scale: object) -> None:
    with pytest.raises(ConfigError, match=r"rules\.decimal\((precision|scale)\)"):
        rules.decimal(precision, scale)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "options", [{"point": ";"}, {"thousands": "_"}, {"thousands": "."}, {"point": ",", "thousands": ","}, {"point": ""}]
)
def test_separators_that_cannot_be_are_refused(options: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match=r"rules\.decimal\((point|thousands)=\)"):
        rules.decimal(10, 2, **options)  # type: ignore[arg-type]
