"""Rules for people's names: their parts, and a key to match by."""

from __future__ import annotations

import unicodedata
from typing import ClassVar, Final, Literal

import attrs

from lakekit.errors import ConfigError
from lakekit.rules.base import InputType, PythonRule, Result
from lakekit.rules.characters import INVISIBLE, squash
from lakekit.rules.extras import needs

Part = Literal["honorific", "given", "middle", "family", "suffix", "nickname"]

_PARTS: Final = {"honorific": "title", "given": "first", "middle": "middle", "family": "last", "suffix": "suffix", "nickname": "nickname"}
_LONGEST: Final = 300  # characters; no name is as long, and taking one apart costs more than in proportion
_LETTERS: Final = {"ß": "ss", "æ": "ae", "œ": "oe", "ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "ı": "i"}


@attrs.frozen
class PersonName(PythonRule):
    """The rule that ``person_name()`` makes."""

    part: Part

    name: ClassVar[str] = "person_name"
    input_type: ClassVar[InputType] = "string"
    output_type: ClassVar[str | None] = "string"
    idempotent: ClassVar[bool] = False

    def scalar(self, value: str | None, /) -> Result:
        """The part, NULL where the name has none, or a refusal."""
        text, reason = _name(value)
        if text is None:
            return Result(None, reason)
        parts = _parts(text)
        return Result(None, "not_a_name") if parts is None else Result(parts[_PARTS[self.part]] or None)


@attrs.frozen
class NameKey(PythonRule):
    """The rule that ``name_key()`` makes."""

    name: ClassVar[str] = "name_key"
    input_type: ClassVar[InputType] = "string"
    output_type: ClassVar[str | None] = "string"
    idempotent: ClassVar[bool] = False

    def scalar(self, value: str | None, /) -> Result:
        """The key, or a refusal."""
        text, reason = _name(value)
        if text is None:
            return Result(None, reason)
        parts = _parts(text)
        if parts is None:
            return Result(None, "not_a_name")
        kept = " ".join(parts[part] for part in ("first", "middle", "last")) if any(parts[p] for p in ("first", "last")) else text
        words = sorted(folded(kept).split())
        return Result(" ".join(words)) if words else Result(None, "not_a_name")


def _name(value: str | None) -> tuple[str | None, str | None]:
    """The text of a name, or None and the reason why it is none; without a reason it was NULL."""
    if value is None:
        return None, None
    text = squash(value)
    if not text.strip(INVISIBLE):
        return None, "empty"
    named = len(text) <= _LONGEST and "@" not in text and any(character.isalpha() for character in text)
    return (text, None) if named else (None, "not_a_name")


def _parts(text: str) -> dict[str, str] | None:
    from nameparser import HumanName

    try:
        return {part: str(found) for part, found in HumanName(text).as_dict().items()}
    except (ValueError, IndexError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def folded(text: str) -> str:
    """Letters and digits in lower case without accents; hyphens and apostrophes join, all else separates.

    >>> folded("Müller-Lüdenscheidt, O’Neill"), folded("ŁÓDŹ")
    ('mullerludenscheidt oneill', 'lodz')
    """
    plain = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", text).casefold())
    kept: list[str] = []
    for character in plain:
        category = unicodedata.category(character)
        if category == "Nd":
            kept.append(str(unicodedata.decimal(character)))
        elif category.startswith(("L", "N")) or category in ("Mc", "Me"):
            kept.append(_LETTERS.get(character, character))
        elif category not in ("Mn", "Pd", "Cf") and character not in "'’‘ʼ`´":
            kept.append(" ")
    return "".join(kept)


def person_name(part: Part) -> PersonName:
    """A part of a person's name, out of the whole in one text. NULL stays NULL, and a part that the name lacks is NULL.

    Names don't tell for sure which of their words is what: particles (``van``, ``de la``), honorifics, suffixes and "family, given" are
    known, names of other orders and scripts are taken apart as if they were written in the European order. Use it beside the whole name,
    never in its stead:

        {"given_name": [rules.copy_of("full_name"), rules.person_name("given")]}

    Args:
        part: ``"honorific"`` (``Dr.``), ``"given"``, ``"middle"``, ``"family"`` with its particles, ``"suffix"`` (``Jr.``, ``PhD``), or
            ``"nickname"`` (in quotes or parentheses).

    Reasons: ``empty``, ``not_a_name`` (no letter in it, an e-mail address, more than 300 characters).

    Raises:
        ConfigError: another part.
        MissingExtraError: nameparser is not installed: ``pip install 'lakekit[clean]'``.

    Source: nameparser, HumanName.

    >>> print(*[person_name(part).scalar("Dr. Vincent van Gogh Jr.").value for part in ("honorific", "given", "family", "suffix")], sep=", ")
    Dr., Vincent, van Gogh, Jr.
    >>> person_name("given").scalar("Lovelace, Ada").value
    'Ada'
    """
    if part not in _PARTS:
        raise ConfigError("rules.person_name(part)", f"expected one of {', '.join(map(repr, _PARTS))}", got=repr(part))
    needs("nameparser", place="rules.person_name()")
    return PersonName(part)


def name_key() -> NameKey:
    """A key that is equal for spellings of one name: to find pairs by, since different people share it. NULL stays NULL.

    Honorifics, suffixes and nicknames are left out; the words of the rest are in lower case, without accents, hyphens and apostrophes, in
    alphabetical order: so "Lovelace, Ada" and "Dr. Ada LOVELACE" are one.

    Reasons: ``empty``, ``not_a_name``, as ``person_name()`` has them.

    Raises:
        MissingExtraError: nameparser is not installed: ``pip install 'lakekit[clean]'``.

    Source: nameparser, HumanName; UAX #15 (NFKD) and section 3.13 of The Unicode Standard (case folding).

    >>> name_key().scalar("Lovelace, Ada").value == name_key().scalar("Dr. Ada LOVELACE").value == "ada lovelace"
    True
    """
    needs("nameparser", place="rules.name_key()")
    return NameKey()
