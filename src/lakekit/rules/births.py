"""The rule for dates of birth: a date that a living person can have been born on."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, ClassVar

import attrs

from lakekit.errors import ConfigError
from lakekit.rules.base import InputType, PythonRule, Result
from lakekit.rules.temporal import Ambiguous, check_ambiguous, date_patterns, read_all

if TYPE_CHECKING:
    import re


@attrs.frozen
class BirthDate(PythonRule):
    """The rule that ``birth_date()`` makes."""

    formats: tuple[str, ...]
    as_of: dt.date
    oldest: int
    ambiguous: Ambiguous
    patterns: tuple[re.Pattern[str], ...] = attrs.field(repr=False, eq=False)

    name: ClassVar[str] = "birth_date"
    input_type: ClassVar[InputType] = "string"
    output_type: ClassVar[str | None] = "date"

    @property
    def idempotent(self) -> bool:
        """Whether the rule reads the text of its own result as that result."""
        return "iso" in self.formats

    def scalar(self, value: str | None, /) -> Result:
        """The day, or a refusal."""
        if value is None:
            return Result(None)
        said, reason = read_all(value, self.patterns, "not_a_date")
        days: list[dt.date] = []
        for moment, short_year in said:
            days += _centuries(moment.clock.date()) if short_year else [moment.clock.date()]
        plausible = list(dict.fromkeys(day for day in days if self._first <= day <= self.as_of))
        if len(plausible) > 1 and self.ambiguous == "reject":
            return Result(None, "ambiguous")
        if plausible:
            return Result(plausible[0])
        return Result(None, reason or ("in_the_future" if all(day > self.as_of for day in days) else "too_long_ago"))

    @property
    def _first(self) -> dt.date:
        year = max(self.as_of.year - self.oldest, 1)
        leap_day = (self.as_of.month, self.as_of.day) == (2, 29)
        return dt.date(year, 2, 28) if leap_day else self.as_of.replace(year=year)


def _centuries(day: dt.date) -> list[dt.date]:
    """The days that a year of two digits may mean, the latest first; a leap day is none in 1900."""
    found: list[dt.date] = []
    for years in (100, 0, -100):
        try:
            found.append(day.replace(year=day.year + years))
        except ValueError:
            continue
    return found


def birth_date(*formats: str, as_of: dt.date | str, oldest: int = 120, ambiguous: Ambiguous = "reject") -> BirthDate:
    """The date of birth of a person who may be alive, out of a text. NULL stays NULL.

    Args:
        formats: How the text is written, as for ``date()``. Give both ``"%d/%m/%Y"`` and ``"%m/%d/%Y"`` where either may come: a day and
            a month that could change places are then refused, unless one of the two dates is not plausible.
        as_of: The day at which the person is alive: a date, or its ISO text. Never today's by itself, since a run that is repeated would
            then give another answer.
        oldest: How many years old a person may be at that day. A year of two digits is in the century that makes this plausible.
        ambiguous: A text that may be several plausible days is refused (``"reject"``), or read by the first format, in the latest
            century (``"first"``).

    Reasons: ``empty``, ``not_a_date``, ``ambiguous``, ``in_the_future``, ``too_long_ago``.

    Raises:
        ConfigError: a format that cannot be read, ``as_of`` that is no date, or ``oldest`` that is no number of years.

    Source: ISO 8601-1:2019 section 5.2.2.

    >>> born = birth_date("%d/%m/%Y", "%m/%d/%Y", as_of="2026-01-01")
    >>> born.scalar("31/12/1990").value.isoformat(), born.scalar("03/04/1990").reason, born.scalar("31/12/2026").reason
    ('1990-12-31', 'ambiguous', 'in_the_future')
    """
    place = "rules.birth_date(as_of=)"
    if isinstance(as_of, str):
        try:
            as_of = dt.date.fromisoformat(as_of)
        except ValueError:
            raise ConfigError(place, "expected a date", got=repr(as_of), hint='write "2026-01-31".') from None
    if not isinstance(as_of, dt.date) or isinstance(as_of, dt.datetime):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ConfigError(place, "expected a date", got=f"a value of type {type(as_of).__name__}", hint='write "2026-01-31".')
    if isinstance(oldest, bool) or not isinstance(oldest, int) or not 1 <= oldest <= 1000:  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ConfigError("rules.birth_date(oldest=)", "expected a number of years, 1 to 1000", got=repr(oldest))
    check_ambiguous("birth_date", ambiguous)
    formats, patterns = date_patterns("birth_date", formats)
    return BirthDate(formats, as_of, oldest, ambiguous, patterns)
