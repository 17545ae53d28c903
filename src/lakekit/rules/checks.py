"""Rules that change nothing: they let a value pass, or refuse it with a reason."""

from __future__ import annotations

import re
from typing import ClassVar

import attrs

from lakekit.errors import ConfigError
from lakekit.rules.base import InputType, PythonRule, Result
from lakekit.rules.native import literal


@attrs.frozen
class NotNull:
    """The rule that ``not_null()`` makes."""

    name: ClassVar[str] = "not_null"
    input_type: ClassVar[InputType] = "any"
    output_type: ClassVar[str | None] = None
    idempotent: ClassVar[bool] = True

    def scalar(self, value: str | None, /) -> Result:
        """The value, or a refusal of NULL."""
        return Result(None, "null") if value is None else Result(value)

    def sql(self, column: str, /) -> str | None:
        """The column itself: a check changes nothing."""
        return column

    def reason_sql(self, column: str, /) -> str | None:
        """The same in SQL."""
        return f"CASE WHEN {column} IS NULL THEN 'null' END"


@attrs.frozen
class OneOf:
    """The rule that ``one_of()`` makes."""

    values: tuple[str, ...]
    known: frozenset[str] = attrs.field(repr=False, eq=False)

    name: ClassVar[str] = "one_of"
    input_type: ClassVar[InputType] = "string"
    output_type: ClassVar[str | None] = None
    idempotent: ClassVar[bool] = True

    def scalar(self, value: str | None, /) -> Result:
        """The text, or a refusal where it is not in the list."""
        return Result(value) if value is None or value in self.known else Result(None, "not_in_list")

    def sql(self, column: str, /) -> str | None:
        """The column itself: a check changes nothing."""
        return column if self._words() else None

    def reason_sql(self, column: str, /) -> str | None:
        """The same in SQL."""
        words = self._words()
        return f"CASE WHEN {column} NOT IN ({', '.join(words)}) THEN 'not_in_list' END" if words else None

    def _words(self) -> list[str]:
        """The values as SQL literals; empty where one of them cannot be written the same for every engine."""
        words = [quoted for quoted in map(literal, self.values) if quoted is not None]
        return words if len(words) == len(self.values) else []


@attrs.frozen
class Matches(PythonRule):
    """The rule that ``matches()`` makes."""

    pattern: str
    compiled: re.Pattern[str] = attrs.field(repr=False, eq=False)

    # Not as SQL: every engine has its own dialect of regular expressions.
    name: ClassVar[str] = "matches"
    input_type: ClassVar[InputType] = "string"
    output_type: ClassVar[str | None] = None
    idempotent: ClassVar[bool] = True

    def scalar(self, value: str | None, /) -> Result:
        """The text, or a refusal where it does not match."""
        return Result(value) if value is None or self.compiled.fullmatch(value) else Result(None, "no_match")


def not_null() -> NotNull:
    """A value must be there: NULL is refused with the reason ``null``. For columns of any type.

    The only rule that NULL does not pass. An empty text is not NULL: put ``empty_to_null()`` before it where it should be.

    >>> not_null().scalar(None).reason, not_null().scalar("").reason
    ('null', None)
    """
    return NotNull()


def one_of(*values: str) -> OneOf:
    """A text must be one of these, exactly; another one is refused with the reason ``not_in_list``. NULL passes.

    Raises:
        ConfigError: no value is given, or one that is no text.

    >>> one_of("paid", "open").scalar("Paid").reason
    'not_in_list'
    """
    place = "rules.one_of(*values)"
    if not values:
        raise ConfigError(place, "expected at least one text", got="none")
    for value in values:
        if not isinstance(value, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConfigError(
                place,
                "expected texts",
                got=f"a value of type {type(value).__name__}",
                hint='write rules.one_of("paid", "open"); for other types use a condition in clean(checks=).',
            )
    return OneOf(tuple(sorted(set(values))), frozenset(values))


def matches(pattern: str) -> Matches:
    """The whole text must match a regular expression of Python's; another one is refused with the reason ``no_match``. NULL passes.

    Raises:
        ConfigError: the pattern is no text, or no regular expression.

    Source: the module ``re`` of the Python standard library, ``fullmatch``.

    >>> matches("[A-Z]{2}[0-9]+").scalar("DE12 ").reason
    'no_match'
    """
    place = "rules.matches(pattern)"
    if not isinstance(pattern, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ConfigError(place, "expected a regular expression as text", got=f"a value of type {type(pattern).__name__}")
    try:
        return Matches(pattern, re.compile(pattern))
    except (re.error, RecursionError, OverflowError) as error:
        raise ConfigError(place, f"expected a regular expression ({error})", got=repr(pattern)) from error
