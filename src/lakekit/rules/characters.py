"""The characters that carry no meaning of their own: white space, controls, and what cannot be seen.

Source: the property White_Space of the Unicode Character Database (PropList.txt); UAX #9 for the direction marks.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

_Ranges = tuple[tuple[int, int], ...]

_SPACES: Final[_Ranges] = (
    (0x00, 0x20),  # C0 controls (tab, line feed, NUL, …) and the space
    (0x7F, 0xA0),  # DEL, C1 controls, no-break space
    (0x1680, 0x1680),  # Ogham space mark
    (0x2000, 0x200B),  # en quad … hair space, zero width space
    (0x2028, 0x2029),  # line and paragraph separator
    (0x202F, 0x202F),  # narrow no-break space
    (0x205F, 0x2060),  # medium mathematical space, word joiner
    (0x3000, 0x3000),  # ideographic space
    (0xFEFF, 0xFEFF),  # byte order mark, zero width no-break space
)
_DIRECTION_MARKS: Final[_Ranges] = ((0x061C, 0x061C), (0x200E, 0x200F), (0x202A, 0x202E), (0x2066, 0x2069))
_JOINERS: Final[_Ranges] = ((0x200C, 0x200D),)


def _characters(ranges: _Ranges) -> str:
    return "".join(chr(code) for first, last in ranges for code in range(first, last + 1))


def _regex_class(ranges: _Ranges) -> str:
    r"""The ranges as a class of a regular expression with ``\x{…}``, read alike by RE2 (DuckDB) and by Java (Spark)."""
    return "[" + "".join(rf"\x{{{first:X}}}" + (rf"-\x{{{last:X}}}" if last > first else "") for first, last in ranges) + "]"


SPACES: Final = _characters(_SPACES)
"""White space in Unicode's sense, control characters, and what has no width but means a space or nothing."""

EDGES: Final = SPACES + _characters(_DIRECTION_MARKS)
"""What is stripped from the ends of a text: spaces, and the marks that set the direction of writing.

The joiners U+200C and U+200D stay: they are spelling in Persian, in the Indic scripts and in emoji.
"""

INVISIBLE: Final = EDGES + _characters(_JOINERS)
"""A text of these alone shows nothing: it is blank."""

SPACES_CLASS: Final = _regex_class(_SPACES)
EDGES_CLASS: Final = _regex_class(_SPACES + _DIRECTION_MARKS)
INVISIBLE_CLASS: Final = _regex_class(_SPACES + _DIRECTION_MARKS + _JOINERS)


def _latin() -> str:
    """The letters below U+0180 and all else there that both cases map one to one, to another one of them."""
    both = [(chr(code), chr(code).lower(), chr(code).upper()) for code in range(0x180)]
    kept = {character for character, low, up in both if len(low) == len(up) == 1 and max(ord(low), ord(up)) < 0x180}
    return "".join(character for character, low, up in both if {character, low, up} <= kept)


LATIN: Final = _latin()
"""Characters of Latin scripts for which Arrow's mapping of case is Python's, and which are as they are in NFC."""

ALL_LATIN: Final = r"\A[" + "".join(rf"\x{{{ord(character):X}}}" for character in LATIN) + r"]*\z"

SPACE_RUN: Final = re.compile("[" + re.escape(SPACES) + "]+")

_FULL_WIDTH_AND_MARKS: Final[dict[int, str | None]] = {
    **{code: chr(code - 0xFEE0) for code in range(0xFF01, 0xFF5F)},
    **dict.fromkeys(map(ord, _characters(_DIRECTION_MARKS))),
    0x2212: "-",
}


def squash(text: str) -> str:
    r"""Each run of spaces becomes one space, and the ends are stripped.

    >>> squash("  Ada\u00a0 \tLovelace\u200b")
    'Ada Lovelace'
    """
    return SPACE_RUN.sub(" ", text).strip(EDGES)


def plain(text: str) -> str:
    r"""A number or a date in ASCII as far as it goes: spaces squashed, decimal digits of any script, full-width signs, the minus sign.

    Superscripts, fractions and Roman numerals stay as they are: 10² is not 102.

    >>> plain("\uff14\uff12\u3000"), plain("\u2212٤٢"), plain("10²")
    ('42', '-42', '10²')
    """
    text = squash(text)
    if text.isascii():
        return text
    text = text.translate(_FULL_WIDTH_AND_MARKS)
    return text if text.isascii() else "".join(_ascii_digit(character) for character in text)


def _ascii_digit(character: str) -> str:
    return str(unicodedata.decimal(character, character))
