"""Rules for dates and instants written as text."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from typing import TYPE_CHECKING, ClassVar, Final, Literal
from zoneinfo import ZoneInfo, available_timezones

import attrs

from lakekit.errors import ConfigError
from lakekit.rules.base import InputType, PythonRule, Result
from lakekit.rules.characters import INVISIBLE, plain
from lakekit.rules.patterns import DATE_WORDS, ISO_DATE, ISO_TIMESTAMP, TIME_WORDS, USUAL_TIMESTAMP, Moment, compile_format, in_utc, moment

if TYPE_CHECKING:
    import re
    from collections.abc import Mapping

Ambiguous = Literal["reject", "first"]

_ISO: Final = "iso"
_LONGEST: Final = 200  # characters; no date is as long


@attrs.frozen
class Timestamp(PythonRule):
    """The rule that ``timestamp()`` makes."""

    formats: tuple[str, ...]
    time_zone: str | None
    ambiguous: Ambiguous
    patterns: tuple[re.Pattern[str], ...] = attrs.field(repr=False, eq=False)

    name: ClassVar[str] = "timestamp"
    input_type: ClassVar[InputType] = "string"
    output_type: ClassVar[str | None] = "timestamp"

    @property
    def idempotent(self) -> bool:
        """Whether the rule reads the text of its own result as that result."""
        return _ISO in self.formats

    def scalar(self, value: str | None, /) -> Result:
        """The instant in UTC, or a refusal."""
        if value is None:
            return Result(None)
        try:
            if self.formats == (_ISO,) and USUAL_TIMESTAMP.fullmatch(value):
                return self._usual(value)
            said, reason = _read(value, self.patterns, "not_a_timestamp", self.ambiguous)
            if said is None:
                return Result(None, reason)
            if said.offset is not None:
                return Result(in_utc(said.clock, said.offset))
            return self._local(said.clock)
        except (OverflowError, ValueError):  # within a day of the first or the last instant of the calendar
            return Result(None, "out_of_range")

    def _usual(self, text: str) -> Result:
        """The same as the general way, for a text of the usual form."""
        try:
            clock = datetime.fromisoformat(text)
        except ValueError:  # there is no such day
            return Result(None, "not_a_timestamp")
        return self._local(clock) if clock.tzinfo is None else Result(clock.astimezone(UTC))

    def _local(self, clock: datetime) -> Result:
        """An instant from a clock on the wall, which skips an hour in spring and shows one twice in autumn."""
        if self.time_zone is None:
            return Result(None, "no_time_zone")
        zone = ZoneInfo(self.time_zone)
        earlier, later = (clock.replace(tzinfo=zone, fold=fold).utcoffset() or timedelta(0) for fold in (0, 1))
        if earlier < later:
            return Result(None, "no_such_time")
        if earlier > later and self.ambiguous == "reject":
            return Result(None, "ambiguous")
        return Result(in_utc(clock, earlier))


@attrs.frozen
class Date(PythonRule):
    """The rule that ``date()`` makes."""

    formats: tuple[str, ...]
    ambiguous: Ambiguous
    patterns: tuple[re.Pattern[str], ...] = attrs.field(repr=False, eq=False)

    name: ClassVar[str] = "date"
    input_type: ClassVar[InputType] = "string"
    output_type: ClassVar[str | None] = "date"

    @property
    def idempotent(self) -> bool:
        """Whether the rule reads the text of its own result as that result."""
        return _ISO in self.formats

    def scalar(self, value: str | None, /) -> Result:
        """The day, or a refusal."""
        if value is None:
            return Result(None)
        said, reason = _read(value, self.patterns, "not_a_date", self.ambiguous)
        return Result(None, reason) if said is None else Result(said.clock.date())


def _read(text: str, patterns: tuple[re.Pattern[str], ...], refused: str, ambiguous: Ambiguous) -> tuple[Moment | None, str]:
    """What a text says by the formats that fit it, or the reason why it says nothing."""
    said, reason = read_all(text, patterns, refused)
    found = list(dict.fromkeys(moment for moment, _ in said))
    if len(found) > 1 and ambiguous == "reject":
        return None, "ambiguous"
    return (found[0], "") if found else (None, reason)


def read_all(text: str, patterns: tuple[re.Pattern[str], ...], refused: str) -> tuple[list[tuple[Moment, bool]], str]:
    """All that a text says by the formats that fit it, and whether the year had two digits; or the reason why it says nothing."""
    if len(text) > _LONGEST:
        return [], refused if text.strip(INVISIBLE) else "empty"
    text = plain(text)
    if not text.strip(INVISIBLE):
        return [], "empty"
    found: list[tuple[Moment, bool]] = []
    for pattern in patterns:
        match = pattern.fullmatch(text)
        said = moment(match) if match else None
        if match is not None and said is not None:
            found.append((said, "short_year" in match.groupdict()))
    return found, "" if found else refused


def timestamp(*formats: str, time_zone: str | None = None, ambiguous: Ambiguous = "reject") -> Timestamp:
    """An instant out of a text, in UTC and to the microsecond; further digits are cut off. NULL stays NULL.

    Args:
        formats: How the text is written, in the words ``%Y %y %m %b %B %d %H %I %M %S %f %p %z`` of ``strptime``; month names are English;
            a space stands for any white space. ``"iso"``, the default, is ISO 8601: ``2024-01-31T12:30:00+01:00``, with a space for
            the T, down to the bare date, or all without separators.
        time_zone: What a text without an offset means: a name of the IANA time zone database such as ``"Europe/Berlin"``. Without it such
            a text is refused: nothing is guessed.
        ambiguous: A text that two formats read differently, and an hour that the clock showed twice, are refused (``"reject"``), or
            read by the first format, and as the earlier instant (``"first"``).

    Reasons: ``empty``, ``not_a_timestamp``, ``no_time_zone``, ``no_such_time`` (skipped when the clock was put forward), ``ambiguous``,
    ``out_of_range``.

    Raises:
        ConfigError: a format that cannot be read, or an unknown time zone.

    Source: ISO 8601-1:2019 sections 5.2 to 5.4, RFC 3339; the IANA time zone database.

    >>> timestamp().scalar("2024-01-31T12:30:00+01:00").value.isoformat()
    '2024-01-31T11:30:00+00:00'
    >>> timestamp("%d.%m.%Y %H:%M", time_zone="Europe/Berlin").scalar("31.01.2024 12:30").value.isoformat()
    '2024-01-31T11:30:00+00:00'
    >>> timestamp().scalar("2024-01-31 12:30").reason
    'no_time_zone'
    """
    if time_zone is not None:
        _check_zone(time_zone)
    check_ambiguous("timestamp", ambiguous)
    formats = formats or (_ISO,)
    place = "rules.timestamp(*formats)"
    words = {**DATE_WORDS, **TIME_WORDS}
    patterns = tuple(ISO_TIMESTAMP if text == _ISO else _compiled(text, words, place) for text in formats)
    return Timestamp(formats, time_zone, ambiguous, patterns)


def date(*formats: str, ambiguous: Ambiguous = "reject") -> Date:
    """A day of the calendar out of a text. NULL stays NULL.

    Args:
        formats: How the text is written, in the words ``%Y %y %m %b %B %d`` of ``strptime``; month names are English. ``"iso"``, the
            default, is ISO 8601: ``2024-01-31`` or ``20240131``.
        ambiguous: A text that two formats read as different days is refused (``"reject"``), or read by the first (``"first"``).

    Reasons: ``empty``, ``not_a_date`` (also a day that does not exist), ``ambiguous``.

    Raises:
        ConfigError: a format that cannot be read, or one with a time of day.

    Source: ISO 8601-1:2019 section 5.2.2.

    >>> date().scalar("2024-02-29").value.isoformat(), date().scalar("2023-02-29").reason
    ('2024-02-29', 'not_a_date')
    >>> date("%d/%m/%Y", "%m/%d/%Y").scalar("03/04/2024").reason
    'ambiguous'
    """
    check_ambiguous("date", ambiguous)
    formats, patterns = date_patterns("date", formats)
    return Date(formats, ambiguous, patterns)


def date_patterns(rule: str, formats: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[re.Pattern[str], ...]]:
    """The formats of a date, by default ISO's, and their regular expressions."""
    formats = formats or (_ISO,)
    place = f"rules.{rule}(*formats)"
    return formats, tuple(ISO_DATE if text == _ISO else _compiled(text, DATE_WORDS, place) for text in formats)


def _compiled(text: object, words: Mapping[str, str], place: str) -> re.Pattern[str]:
    if not isinstance(text, str):
        raise ConfigError(place, "expected formats as text", got=f"a value of type {type(text).__name__}", hint="write '%d.%m.%Y'.")
    return compile_format(text, words=words, place=place)


def check_ambiguous(rule: str, given: object) -> None:
    """Raise where ``ambiguous=`` is none of its two words."""
    if given not in ("reject", "first"):
        raise ConfigError(f"rules.{rule}(ambiguous=)", "expected one of 'reject', 'first'", got=repr(given))


def _check_zone(name: object) -> None:
    place = "rules.timestamp(time_zone=)"
    if not isinstance(name, str):
        raise ConfigError(place, "expected the name of a time zone", got=f"a value of type {type(name).__name__}")
    known = available_timezones()
    if name not in known:
        near = get_close_matches(name, sorted(known), n=1)
        hint = f"write {near[0]!r}." if near else "use a name of the IANA database, such as 'Europe/Berlin' or 'UTC'."
        raise ConfigError(place, "expected a name of the IANA time zone database", got=repr(name), hint=hint)
