"""Rules for countries and currencies: ISO's codes, out of codes and names."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import ClassVar, Final

import attrs

from lakekit.errors import ConfigError
from lakekit.rules.base import Result, TextRule
from lakekit.rules.characters import INVISIBLE, squash
from lakekit.rules.extras import needs
from lakekit.rules.people import folded

# Regions that CLDR names and ISO 3166-1 does not. XK stays: Kosovo has no code of ISO's, and everybody uses this one.
_NO_COUNTRIES: Final = frozenset({"AC", "CP", "CQ", "DG", "EA", "EU", "EZ", "IC", "QO", "TA", "UN", "XA", "XB", "ZZ"})
_LONGEST: Final = 100  # characters


@attrs.frozen
class Country(TextRule):
    """The rule that ``country()`` makes."""

    languages: tuple[str, ...]

    name: ClassVar[str] = "country"

    def scalar(self, value: str | None, /) -> Result:
        """The code, or a refusal."""
        return _looked_up(value, _countries(self.languages), "not_a_country")


@attrs.frozen
class Currency(TextRule):
    """The rule that ``currency()`` makes."""

    languages: tuple[str, ...]
    historic: bool

    name: ClassVar[str] = "currency"

    def scalar(self, value: str | None, /) -> Result:
        """The code, or a refusal."""
        code, reason = _looked_up(value, _currencies(self.languages), "not_a_currency")
        withdrawn = reason is None and code is not None and not self.historic and code not in _in_use()
        return Result(None, "withdrawn") if withdrawn else Result(code, reason)


def _looked_up(value: str | None, known: Mapping[str, frozenset[str]], refused: str) -> Result:
    if value is None:
        return Result(None)
    text = squash(value)
    if not text.strip(INVISIBLE):
        return Result(None, "empty")
    found = known.get(_key(text), frozenset()) if len(text) <= _LONGEST else frozenset[str]()
    if len(found) > 1:
        return Result(None, "ambiguous")
    return Result(next(iter(found))) if found else Result(None, refused)


def _key(text: str) -> str:
    """What names are compared by: letters and digits in lower case without accents; a sign such as € by itself."""
    return folded(text).replace(" ", "") or text


@functools.cache
def _countries(languages: tuple[str, ...]) -> dict[str, frozenset[str]]:
    """What names a country → its code. Codes come before names."""
    from babel.core import Locale, get_global

    codes = {str(code) for code in Locale("en").territories if len(str(code)) == 2} - _NO_COUNTRIES
    named: dict[str, set[str]] = {}
    for language in languages:
        names = Locale.parse(language).territories
        for code in codes:
            full = str(names.get(code, code))
            for name in (full, full.partition(" (")[0], full.removesuffix(" SAR China"), full.replace("&", " and ")):
                named.setdefault(_key(name), set()).add(code)
    for alias, now in get_global("territory_aliases").items():
        if len(now) == 1 and now[0] in codes and (len(alias) == 3 or alias == "UK"):
            named[_key(alias)] = {now[0]}
    return {**{name: frozenset(found) for name, found in named.items()}, **{code.lower(): frozenset({code}) for code in codes}}


@functools.cache
def _currencies(languages: tuple[str, ...]) -> dict[str, frozenset[str]]:
    """What names a currency → its code. Codes come before names and signs."""
    from babel.core import Locale
    from babel.numbers import get_currency_name

    codes = {str(code) for code in Locale("en").currencies} - {"XXX", "XTS"}
    named: dict[str, set[str]] = {}
    for language in languages:
        locale = Locale.parse(language)
        for code in codes:
            for name in (locale.currencies.get(code), get_currency_name(code, 2, locale), locale.currency_symbols.get(code)):
                if name:
                    named.setdefault(_key(str(name)), set()).add(code)
    for sign, several in _SIGNS.items():
        named[sign] = {*several}
    return {**{name: frozenset(found) for name, found in named.items()}, **{code.lower(): frozenset({code}) for code in codes}}


_SIGNS: Final = {
    "$": ("USD", "CAD", "AUD", "MXN", "ARS", "CLP", "COP", "NZD", "HKD", "SGD"),
    "£": ("GBP", "EGP", "SYP", "LBP", "GIP", "FKP", "SHP", "SDG"),
    "¥": ("JPY", "CNY"),
    "kr": ("SEK", "NOK", "DKK", "ISK"),
}
"""Signs that several currencies share: CLDR gives each to one of them, by where the reader is."""


@functools.cache
def _in_use() -> frozenset[str]:
    from babel.core import get_global

    terms = [term for held in get_global("territory_currencies").values() for term in held]
    return frozenset(code for code, _, end, tender in terms if end is None and tender)


def country(*languages: str) -> Country:
    """A country as its two letters in ISO 3166-1, out of a code of two or three letters or three digits, or out of its name. NULL stays NULL.

    Names are compared without case, accents and punctuation, and in the short form that CLDR gives ("South Korea", not "Republic of Korea").
    What else comes is for ``map_values({...}, otherwise="keep")`` before it. ``UK`` is read as GB, and Kosovo is XK, though ISO has
    given it no code.

    Args:
        languages: In which names may come: ``"en"``, ``"de"``, ``"pt_BR"``. Default: English. A name that means two countries is refused.

    Reasons: ``empty``, ``not_a_country``, ``ambiguous``.

    Raises:
        ConfigError: an unknown language.
        MissingExtraError: Babel is not installed: ``pip install 'lakekit[clean]'``.

    Source: ISO 3166-1 and Unicode CLDR, as Babel has them.

    >>> print(*[country("en", "de").scalar(text).value for text in ("us", "USA", "840", "United States", "Österreich", "UK")], sep=", ")
    US, US, US, US, AT, GB
    >>> country().scalar("Narnia").reason
    'not_a_country'
    """
    return Country(_languages("country", languages))


def currency(*languages: str, historic: bool = False) -> Currency:
    """A currency as its three letters in ISO 4217, out of its code, its name or its sign. NULL stays NULL.

    A sign that several currencies share ($, £, ¥, kr) is refused: a ``map_values({"$": "USD"}, otherwise="keep")`` before it says which
    it is.

    Args:
        languages: In which names may come. Default: English.
        historic: Whether currencies pass that are no longer tender anywhere, such as DEM.

    Reasons: ``empty``, ``not_a_currency``, ``ambiguous``, ``withdrawn``.

    Raises:
        ConfigError: an unknown language.
        MissingExtraError: Babel is not installed: ``pip install 'lakekit[clean]'``.

    Source: ISO 4217 and Unicode CLDR, as Babel has them.

    >>> print(*[currency().scalar(text).value for text in ("eur", "€", "US dollars", "Swiss Franc")], sep=", ")
    EUR, EUR, USD, CHF
    >>> currency().scalar("$").reason, currency().scalar("DEM").reason
    ('ambiguous', 'withdrawn')
    """
    return Currency(_languages("currency", languages), historic)


def _languages(rule: str, languages: tuple[str, ...]) -> tuple[str, ...]:
    needs("babel", place=f"rules.{rule}()")
    from babel.core import Locale, UnknownLocaleError

    for language in languages:
        try:
            Locale.parse(language)
        except (UnknownLocaleError, ValueError, TypeError):
            got = repr(language) if isinstance(language, str) else f"a value of type {type(language).__name__}"  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConfigError(f"rules.{rule}(*languages)", "expected languages of CLDR", got=got, hint='write "en" or "pt_BR".') from None
    return tuple(dict.fromkeys(languages)) or ("en",)
