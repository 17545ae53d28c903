"""Rules for values out of a known list: words mapped to others, and booleans."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Final, Literal

import attrs

from lakekit.errors import ConfigError
from lakekit.rules.base import InputType, PythonRule, Result
from lakekit.rules.characters import EDGES, INVISIBLE
from lakekit.rules.native import literal

Otherwise = Literal["reject", "keep", "null"]

_TRUE: Final = ("true", "t", "yes", "y", "1", "on")
_FALSE: Final = ("false", "f", "no", "n", "0", "off")


@attrs.frozen
class MapValues:
    """The rule that ``map_values()`` makes."""

    values: tuple[tuple[str, str | None], ...]
    otherwise: Otherwise
    known: Mapping[str, str | None] = attrs.field(repr=False, eq=False)

    name: ClassVar[str] = "map_values"
    input_type: ClassVar[InputType] = "string"
    output_type: ClassVar[str | None] = "string"

    @property
    def idempotent(self) -> bool:
        """Whether each of its results is one that it leaves as it is."""
        results = [self.scalar(new) for _, new in self.values]
        return all(result == (new, None) for result, (_, new) in zip(results, self.values, strict=True))

    def scalar(self, value: str | None, /) -> Result:
        """What the text is mapped to, or what becomes of one that is not in the map."""
        if value is None or value in self.known:
            return Result(None if value is None else self.known[value])
        if self.otherwise == "reject":
            return Result(None, "not_in_map")
        return Result(value if self.otherwise == "keep" else None)

    def sql(self, column: str, /) -> str | None:
        """The same in SQL."""
        if not self._writable():
            return None
        cases = " ".join(f"WHEN {literal(old)} THEN {'NULL' if new is None else literal(new)}" for old, new in self.values)
        return f"CASE {column} {cases} ELSE {column if self.otherwise == 'keep' else 'CAST(NULL AS STRING)'} END"

    def reason_sql(self, column: str, /) -> str | None:
        """The same in SQL."""
        if self.otherwise != "reject" or not self._writable():
            return None
        return f"CASE WHEN {column} NOT IN ({', '.join(str(literal(old)) for old, _ in self.values)}) THEN 'not_in_map' END"

    def _writable(self) -> bool:
        """Whether each text can be written as a literal that every engine reads the same."""
        return all(literal(text) is not None for pair in self.values for text in pair if text is not None)


@attrs.frozen
class Boolean(PythonRule):
    """The rule that ``boolean()`` makes."""

    true: tuple[str, ...]
    false: tuple[str, ...]

    name: ClassVar[str] = "boolean"
    input_type: ClassVar[InputType] = "any"
    output_type: ClassVar[str | None] = "boolean"

    @property
    def idempotent(self) -> bool:
        """Whether the rule reads the text of its own result as that result."""
        return "true" in self.true and "false" in self.false

    def scalar(self, value: str | None, /) -> Result:
        """True or false, or a refusal."""
        if value is None:
            return Result(None)
        word = value.strip(EDGES).casefold()
        if word in self.true or word in self.false:
            return Result(word in self.true)
        return Result(None, "not_a_boolean" if word.strip(INVISIBLE) else "empty")


def map_values(values: Mapping[str, str | None], *, otherwise: Otherwise = "reject") -> MapValues:
    """Texts out of a list in place of those that came. NULL stays NULL.

    Texts are compared exactly: put ``trim()``, ``lower()`` or ``normalize("NFKC")`` before where they should not be.

    Args:
        values: Each text and what it becomes; None is NULL.
        otherwise: A text that is not in the map is refused (``"reject"``), goes on as it is (``"keep"``), or becomes NULL (``"null"``).

    Reasons: ``not_in_map``.

    Raises:
        ConfigError: an empty map, one of other things than texts, or an unknown choice.

    >>> rule = map_values({"m": "male", "f": "female", "-": None})
    >>> rule.scalar("f").value, rule.scalar("-").value, rule.scalar("x").reason
    ('female', None, 'not_in_map')
    """
    place = "rules.map_values(values)"
    if not isinstance(values, Mapping) or not values:  # pyright: ignore[reportUnnecessaryIsInstance]
        got = f"a value of type {type(values).__name__}" if values else "an empty one"
        raise ConfigError(place, "expected a mapping of texts to texts", got=got, hint='write {"m": "male", "f": "female"}.')
    for old, new in values.items():
        for text in (old, "" if new is None else new):
            if not isinstance(text, str):  # pyright: ignore[reportUnnecessaryIsInstance]
                raise ConfigError(place, "expected a mapping of texts to texts", got=f"a value of type {type(text).__name__} in it")
    if otherwise not in ("reject", "keep", "null"):
        raise ConfigError("rules.map_values(otherwise=)", "expected one of 'reject', 'keep', 'null'", got=repr(otherwise))
    return MapValues(tuple(sorted(values.items())), otherwise, dict(values))


def boolean(*, true: tuple[str, ...] = _TRUE, false: tuple[str, ...] = _FALSE) -> Boolean:
    """True or false out of a word, or out of a column of booleans or numbers. NULL stays NULL.

    Args:
        true: The words for true, compared trimmed and whatever their case.
        false: Those for false.

    Reasons: ``empty``, ``not_a_boolean``.

    Raises:
        ConfigError: no words, words that are no texts, or a word that is both.

    >>> boolean().scalar(" Yes").value, boolean().scalar("0").value, boolean().scalar("maybe").reason
    (True, False, 'not_a_boolean')
    >>> boolean(true=("ja",), false=("nein",)).scalar("Nein").value
    False
    """
    for name, words in (("true", true), ("false", false)):
        place = f"rules.boolean({name}=)"
        if isinstance(words, str) or not words:
            raise ConfigError(place, "expected a tuple of words", got="one text" if words else "none", hint='write ("yes", "ja").')
        for word in words:
            if not isinstance(word, str) or not word.strip(INVISIBLE):  # pyright: ignore[reportUnnecessaryIsInstance]
                raise ConfigError(place, "expected words", got=repr(word) if word == "" else f"a value of type {type(word).__name__}")
    yes, no = (tuple(dict.fromkeys(word.strip(EDGES).casefold() for word in words)) for words in (true, false))
    if both := sorted({*yes} & {*no}):
        raise ConfigError("rules.boolean()", "expected words that mean one thing", got=", ".join(map(repr, both)))
    return Boolean(yes, no)
