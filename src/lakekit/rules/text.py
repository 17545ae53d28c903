"""Rules for text: white space, case, and what stands for nothing."""

from __future__ import annotations

from typing import Any, ClassVar, Final, Literal

import attrs

from lakekit.errors import ConfigError
from lakekit.rules.base import Result, TextRule
from lakekit.rules.characters import EDGES, EDGES_CLASS, INVISIBLE, INVISIBLE_CLASS, SPACES_CLASS, squash
from lakekit.rules.native import literal, replace_all

_PASSES_NULL: Final = Result(None)
_ENDS: Final = rf"\A{EDGES_CLASS}+|{EDGES_CLASS}+\z"


def _compute() -> Any:
    import pyarrow.compute

    return pyarrow.compute


@attrs.frozen
class Trim(TextRule):
    """The rule that ``trim()`` makes."""

    name: ClassVar[str] = "trim"
    plain: ClassVar[Literal["ascii", "latin"]] = "latin"

    def scalar(self, value: str | None, /) -> Result:
        """The text without what is invisible at its ends."""
        return _PASSES_NULL if value is None else Result(value.strip(EDGES))

    def sql(self, column: str, /) -> str | None:
        """The same in SQL."""
        return replace_all(column, _ENDS, "")

    def over_plain(self, texts: Any, /) -> Any:
        """The same over Arrow."""
        return _compute().utf8_trim(texts, characters=EDGES)


@attrs.frozen
class SquashSpaces(TextRule):
    """The rule that ``squash_spaces()`` makes."""

    name: ClassVar[str] = "squash_spaces"
    plain: ClassVar[Literal["ascii", "latin"]] = "latin"

    def scalar(self, value: str | None, /) -> Result:
        """The text with single spaces."""
        return _PASSES_NULL if value is None else Result(squash(value))

    def sql(self, column: str, /) -> str | None:
        """The same in SQL."""
        return replace_all(replace_all(column, f"{SPACES_CLASS}+", " "), _ENDS, "")

    def over_plain(self, texts: Any, /) -> Any:
        """The same over Arrow."""
        squashed = _compute().replace_substring_regex(texts, pattern=f"{SPACES_CLASS}+", replacement=" ")
        return _compute().utf8_trim(squashed, characters=EDGES)


@attrs.frozen
class Lower(TextRule):
    """The rule that ``lower()`` makes."""

    # Not as SQL: DuckDB maps one character to one (final sigma, ß); Java and Python look at the whole text.
    name: ClassVar[str] = "lower"
    plain: ClassVar[Literal["ascii", "latin"]] = "latin"

    def scalar(self, value: str | None, /) -> Result:
        """The text in lower case."""
        return _PASSES_NULL if value is None else Result(value.lower())

    def over_plain(self, texts: Any, /) -> Any:
        """The same over Arrow."""
        return _compute().utf8_lower(texts)

    def plain_sql(self, column: str, /) -> str:
        """The same in SQL, where no letter is a special case."""
        return f"LOWER({column})"


@attrs.frozen
class Upper(TextRule):
    """The rule that ``upper()`` makes."""

    # Not as SQL: see Lower.
    name: ClassVar[str] = "upper"
    plain: ClassVar[Literal["ascii", "latin"]] = "latin"

    def scalar(self, value: str | None, /) -> Result:
        """The text in upper case."""
        return _PASSES_NULL if value is None else Result(value.upper())

    def over_plain(self, texts: Any, /) -> Any:
        """The same over Arrow."""
        return _compute().utf8_upper(texts)

    def plain_sql(self, column: str, /) -> str:
        """The same in SQL, where no letter is a special case."""
        return f"UPPER({column})"


@attrs.frozen
class EmptyToNull(TextRule):
    """The rule that ``empty_to_null()`` makes."""

    also: tuple[str, ...]

    name: ClassVar[str] = "empty_to_null"
    plain: ClassVar[Literal["ascii", "latin"]] = "latin"

    def scalar(self, value: str | None, /) -> Result:
        """NULL for a text that stands for nothing, else the text."""
        if value is None or not value.strip(INVISIBLE):
            return _PASSES_NULL
        return _PASSES_NULL if self.also and value.strip(EDGES) in self.also else Result(value)

    def sql(self, column: str, /) -> str | None:
        """The same in SQL."""
        blank = f"{replace_all(column, INVISIBLE_CLASS + '+', '')} = ''"
        if not self.also:
            return f"CASE WHEN {blank} THEN NULL ELSE {column} END"
        words = [quoted for quoted in map(literal, self.also) if quoted is not None]
        if len(words) < len(self.also):
            return None
        return f"CASE WHEN {blank} OR {replace_all(column, _ENDS, '')} IN ({', '.join(words)}) THEN NULL ELSE {column} END"

    def over_plain(self, texts: Any, /) -> Any:
        """The same over Arrow."""
        import pyarrow as pa

        nothing = pa.array(["", *self.also], pa.string())
        blank = _compute().is_in(_compute().utf8_trim(texts, characters=EDGES), value_set=nothing)
        return _compute().if_else(blank, pa.scalar(None, pa.string()), texts)


def trim() -> Trim:
    r"""White space, control characters, zero-width characters and direction marks go from both ends of a text.

    The joiners U+200C and U+200D stay: they are spelling. NULL stays NULL; a blank text becomes '' (``empty_to_null()`` makes it NULL).

    Source: the property White_Space of the Unicode Character Database; UAX #9 for the direction marks.

    >>> trim().scalar("\ufeff  Ada \u00a0").value
    'Ada'
    """
    return Trim()


def squash_spaces() -> SquashSpaces:
    r"""Every run of white space, control or zero-width characters becomes one space; the ends are trimmed as by ``trim()``.

    NULL stays NULL.

    >>> squash_spaces().scalar("Ada\u00a0\u2003 Lovelace\n").value
    'Ada Lovelace'
    """
    return SquashSpaces()


def lower() -> Lower:
    """Lower case by Unicode's full mapping, without regard to a language. NULL stays NULL.

    Source: The Unicode Standard, section 3.13, Default Case Conversion.

    >>> lower().scalar("ΟΔΟΣ").value
    'οδος'
    """
    return Lower()


def upper() -> Upper:
    """Upper case by Unicode's full mapping, without regard to a language: ß becomes SS. NULL stays NULL.

    Source: The Unicode Standard, section 3.13, Default Case Conversion.

    >>> upper().scalar("straße").value
    'STRASSE'
    """
    return Upper()


def empty_to_null(*, also: tuple[str, ...] = ()) -> EmptyToNull:
    """A text that shows nothing becomes NULL: the empty one, and one of white space and invisible characters only.

    Other texts pass as they are, untrimmed. NULL stays NULL.

    Args:
        also: Further texts that stand for nothing, compared after trimming, in exactly this case.

    Raises:
        ConfigError: ``also`` is not a tuple of texts.

    >>> rule = empty_to_null(also=("N/A", "-"))
    >>> print(*[rule.scalar(text).value for text in ("", "  ", " N/A ", "n/a")])
    None None None n/a
    """
    place = "rules.empty_to_null(also=)"
    if isinstance(also, str):
        raise ConfigError(place, "expected a tuple of texts", got="one text", hint=f"write ({also!r},).")
    for word in also:
        if not isinstance(word, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConfigError(place, "expected a tuple of texts", got=f"a value of type {type(word).__name__} in it")
    return EmptyToNull(tuple(word.strip(EDGES) for word in also))
