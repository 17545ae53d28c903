"""Rules for numbers written as text: exact decimals and whole numbers. Nothing passes through a float."""

from __future__ import annotations

import re
from decimal import ROUND_HALF_UP, Context, Decimal
from typing import ClassVar, Final

import attrs

from lakekit.errors import ConfigError
from lakekit.rules.base import InputType, PythonRule, Result
from lakekit.rules.characters import INVISIBLE, plain
from lakekit.rules.extras import needs

_WIDEST: Final = 38
_ROUNDING: Final = Context(prec=2 * _WIDEST, rounding=ROUND_HALF_UP)
_MOST_ADJUSTED: Final = 18  # the exponent of 2**63
_LONGEST_EXPONENT: Final = 9  # digits
_SEPARATORS: Final = ("", ",", ".", " ", "'")


@attrs.frozen
class Notation:
    """How a number is written: which character is the decimal point, and which one groups the digits."""

    point: str
    thousands: str
    pattern: re.Pattern[str] = attrs.field(init=False, repr=False, eq=False)

    def __attrs_post_init__(self) -> None:
        whole = r"[0-9]+"
        if self.thousands:
            group = re.escape(self.thousands)
            whole = rf"(?:[0-9]{{1,3}}(?:{group}[0-9]{{2,3}})*{group}[0-9]{{3}}|[0-9]+)"
        point = re.escape(self.point)
        object.__setattr__(self, "pattern", re.compile(rf"([+-]?)(?:({whole})(?:{point}([0-9]*))?|{point}([0-9]+))(?:[eE]([+-]?[0-9]+))?"))

    def read(self, text: str) -> tuple[Decimal | None, str]:
        """The number that a text stands for, or the reason why there is none."""
        text = plain(text)
        if not text.strip(INVISIBLE):
            return None, "empty"
        if self.thousands == "'":
            text = text.replace("\u2019", "'")
        match = self.pattern.fullmatch(text)
        if match is None:
            return None, "not_a_number"
        sign, whole, fraction, bare, exponent = match.groups()
        digits = (whole or "0").replace(self.thousands, "") if self.thousands else whole or "0"
        return Decimal(f"{sign}{digits}.{fraction or bare or '0'}e{_bounded(exponent or '0')}"), ""


_PLAIN: Final = Notation(".", "")


def _bounded(exponent: str) -> str:
    """An exponent that Decimal takes: one of more digits than that is out of every range all the same."""
    digits = exponent.lstrip("+-").lstrip("0") or "0"
    sign = "-" if exponent.startswith("-") else ""
    return sign + (digits if len(digits) <= _LONGEST_EXPONENT else "9" * _LONGEST_EXPONENT)


@attrs.frozen
class DecimalNumber(PythonRule):
    """The rule that ``decimal()`` makes."""

    precision: int
    scale: int
    notation: Notation
    round: bool

    name: ClassVar[str] = "decimal"
    input_type: ClassVar[InputType] = "any"

    @property
    def output_type(self) -> str:
        """The type of the clean values."""
        return f"decimal({self.precision},{self.scale})"

    @property
    def idempotent(self) -> bool:
        """Whether the rule reads the text of its own result as that result."""
        return self.notation.point == "." and self.notation.thousands != "."

    def scalar(self, value: str | None, /) -> Result:
        """The exact number with the right number of fraction digits, or a refusal."""
        if value is None:
            return Result(None)
        number, reason = self.notation.read(value)
        if number is None:
            return Result(None, reason)
        room = self.precision - self.scale
        if number and number.adjusted() >= room:
            return Result(None, "too_many_digits")
        # Below a tenth of the last place it rounds to nothing. Asked first: the exponent may be beyond what quantize can take.
        tiny = not number or number.adjusted() < -self.scale - 1
        rounded = _ROUNDING.quantize(Decimal(0) if tiny else number, Decimal((0, (1,), -self.scale)))
        if rounded != number and not self.round:
            return Result(None, "too_many_fraction_digits")
        if rounded and rounded.adjusted() >= room:
            return Result(None, "too_many_digits")
        return Result(rounded or rounded.copy_abs())  # there is no negative zero


@attrs.frozen
class Integer(PythonRule):
    """The rule that ``integer()`` makes."""

    notation: Notation

    name: ClassVar[str] = "integer"
    input_type: ClassVar[InputType] = "any"
    output_type: ClassVar[str | None] = "bigint"
    idempotent: ClassVar[bool] = True

    def scalar(self, value: str | None, /) -> Result:
        """The whole number, or a refusal."""
        if value is None:
            return Result(None)
        number, reason = self.notation.read(value)
        if number is None:
            return Result(None, reason)
        if number and number.adjusted() > _MOST_ADJUSTED:  # before int(): the number may have billions of digits
            return Result(None, "out_of_range")
        whole = int(number) if not number or number.adjusted() >= 0 else None
        if whole != number:
            return Result(None, "not_whole")
        return Result(whole) if -(2**63) <= number < 2**63 else Result(None, "out_of_range")


def decimal(
    precision: int, scale: int, *, point: str = ".", thousands: str = "", locale: str | None = None, round: bool = False
) -> DecimalNumber:
    """An exact decimal number out of a text, or out of a column of numbers. NULL stays NULL.

    Read are digits of any script, a sign, a decimal point and an exponent (``1.5e3``). What does not fit is refused, never cut off:
    zeros at the end of the fraction always fit.

    Args:
        precision: How many digits in all, 1 to 38.
        scale: How many of them behind the decimal point.
        point: The decimal point: ``"."`` or ``","``.
        thousands: What groups the digits: ``","``, ``"."``, ``" "`` (any space) or ``"'"``. Groups have to be whole: 1,5 is not 15.
            Off by default.
        locale: Both of these as they are usual somewhere: ``"de_DE"``, ``"en_IN"``. Digits in groups and without are read alike.
        round: Whether more fraction digits are rounded, half away from zero as in SQL, instead of refused.

    Reasons: ``empty``, ``not_a_number`` (also NaN and Infinity), ``too_many_digits``, ``too_many_fraction_digits``.

    Raises:
        ConfigError: precision or scale out of range; a point or a separator that cannot be one; an unknown locale.
        MissingExtraError: with ``locale=``, Babel is not installed: ``pip install 'lakekit[clean]'``.

    Source: ISO/IEC 9075-2 (exact numeric types, rounding); Decimal of the Python standard library; Unicode CLDR (locales).

    >>> decimal(10, 2).scalar("12.50").value
    Decimal('12.50')
    >>> decimal(10, 2, point=",", thousands=".").scalar("1.234,5").value
    Decimal('1234.50')
    >>> decimal(10, 2, locale="de_CH").scalar("1’234.5").value
    Decimal('1234.50')
    >>> decimal(10, 2).scalar("12.505").reason, decimal(4, 2).scalar("100").reason
    ('too_many_fraction_digits', 'too_many_digits')
    """
    for name, given, least, most in (("precision", precision, 1, _WIDEST), ("scale", scale, 0, precision)):
        if isinstance(given, bool) or not isinstance(given, int):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConfigError(f"rules.decimal({name})", "expected a whole number", got=f"a value of type {type(given).__name__}")
        if not least <= given <= most:
            hint = "Iceberg's decimals have at most 38 digits." if name == "precision" else "the scale is part of the precision."
            raise ConfigError(f"rules.decimal({name})", f"expected {least} to {most}", got=str(given), hint=hint)
    if locale is not None:
        if (point, thousands) != (".", ""):
            raise ConfigError("rules.decimal(locale=)", "expected it alone", got="point= or thousands= beside it", hint="give one of them.")
        point, thousands = _usual(locale)
    return DecimalNumber(precision, scale, _notation("decimal", point, thousands), round)


def _usual(locale: str) -> tuple[str, str]:
    """The decimal point and the separator of groups that are usual in a locale, with the digits of ASCII."""
    place = "rules.decimal(locale=)"
    needs("babel", place=place)
    from babel.core import UnknownLocaleError
    from babel.numbers import get_decimal_symbol, get_group_symbol

    try:
        point, group = get_decimal_symbol(locale, numbering_system="latn"), get_group_symbol(locale, numbering_system="latn")
    except (UnknownLocaleError, ValueError, TypeError, AttributeError):
        raise ConfigError(place, "expected a locale of CLDR", got=repr(locale), hint='write "de_DE" or "en_US".') from None
    return point, " " if group.isspace() else group.replace("\u2019", "'")


def integer(*, thousands: str = "") -> Integer:
    """A whole number of 64 bits out of a text, or out of a column of numbers. NULL stays NULL.

    A fraction of zeros is no fraction: ``"3.0"`` is 3.

    Args:
        thousands: What groups the digits: ``","``, ``" "`` (any space) or ``"'"``. Off by default.

    Reasons: ``empty``, ``not_a_number``, ``not_whole``, ``out_of_range``.

    Raises:
        ConfigError: a separator that cannot be one.

    >>> integer().scalar("-42").value, integer().scalar("4.2").reason
    (-42, 'not_whole')
    """
    return Integer(_notation("integer", "." if thousands != "." else ",", thousands))


def _notation(rule: str, point: str, thousands: str) -> Notation:
    if point not in (".", ","):
        raise ConfigError(f"rules.{rule}(point=)", "expected '.' or ','", got=repr(point))
    if thousands not in _SEPARATORS:
        raise ConfigError(f"rules.{rule}(thousands=)", f"expected one of {', '.join(map(repr, _SEPARATORS))}", got=repr(thousands))
    if thousands == point:
        raise ConfigError(f"rules.{rule}(thousands=)", "expected another one than point=", got=repr(thousands))
    return _PLAIN if (point, thousands) == (".", "") else Notation(point, thousands)
