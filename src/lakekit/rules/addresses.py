"""The rule for the match key of an address line."""

from __future__ import annotations

import re
from typing import ClassVar, Final

import attrs

from lakekit.rules.base import Result, TextRule
from lakekit.rules.characters import INVISIBLE, squash
from lakekit.rules.people import folded

_LONGEST: Final = 1_000  # characters

# Each word becomes the short one before it: a key may be short, and "St" needs not be told whether it is Street or Saint.
_SHORT: Final = {
    "apt": "apartment",
    "av": "ave avenida avenue",
    "blvd": "boulevard",
    "ch": "chemin",
    "ctr": "center centre",
    "ct": "court",
    "cl": "calle",
    "cres": "crescent",
    "dr": "drive",
    "e": "east",
    "fl": "floor",
    "gdns": "gardens",
    "hwy": "highway",
    "ln": "lane",
    "n": "north",
    "nr": "no num number numero nummer",
    "pkwy": "parkway",
    "pl": "place platz plaza",
    "rd": "road",
    "rm": "room",
    "rte": "route",
    "s": "south",
    "sq": "square",
    "st": "saint sankt strasse street str",
    "ste": "suite",
    "terr": "ter terrace",
    "w": "west",
}
_BY_WORD: Final = {word: short for short, words in _SHORT.items() for word in words.split()}
_JOINED: Final = re.compile(r"(?<=[a-z]{2})(strasse|str|platz)$")
_APART: Final = re.compile(r"(?<=[0-9])(?=[^\W\d_])|(?<=[^\W\d_])(?=[0-9])")
_ORDINAL: Final = re.compile(r"([0-9]+)(st|nd|rd|th)")


@attrs.frozen
class AddressKey(TextRule):
    """The rule that ``address_key()`` makes."""

    name: ClassVar[str] = "address_key"

    def scalar(self, value: str | None, /) -> Result:
        """The key, or a refusal."""
        if value is None:
            return Result(None)
        text = squash(value)
        if not text.strip(INVISIBLE):
            return Result(None, "empty")
        key = " ".join(_words(text)) if len(text) <= _LONGEST else ""
        return Result(key) if key else Result(None, "not_an_address")


def _words(text: str) -> list[str]:
    words: list[str] = []
    for word in folded(text.replace("-", " ").replace("/", " ")).split():
        word = _ORDINAL.sub(r"\1", word) if _ORDINAL.fullmatch(word) else word  # noqa: PLW2901
        for part in _APART.sub(" ", word).split():
            joined = _JOINED.search(part)
            split = [part] if joined is None or part in _BY_WORD else [part[: joined.start()], joined.group()]
            words += [_BY_WORD.get(piece, piece) for piece in split]
    return words


def address_key() -> AddressKey:
    """A key that is equal for spellings of one address line: to find pairs by, never to write to. NULL stays NULL.

    Words are in lower case without accents and punctuation; common ones are short (Street and St, Straße and Str., Avenue and Ave, North
    and N); letters and digits stand apart (12a and 12 A), ordinals lose their ending (5th). The order stays: 12 Main St and Main St 12 are
    two keys. Countries' own ways beyond that are not known.

    Reasons: ``empty``, ``not_an_address`` (no letter or digit in it, more than 1,000 characters).

    Source: USPS Publication 28 appendix C (the abbreviations of English words); UAX #15 (NFKD).

    >>> print(*[address_key().scalar(text).value for text in ("12-A, 5th Avenue North", "Hauptstraße 7b", "Haupt-Str. 7 B")], sep=", ")
    12 a 5 av n, haupt st 7 b, haupt st 7 b
    """
    return AddressKey()
