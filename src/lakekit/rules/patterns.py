"""Patterns for dates and times: the words of ``strptime``, read the same in every locale and on every version of Python."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

import attrs

from lakekit.errors import ConfigError
from lakekit.rules.characters import plain

_PIVOT: Final = 69
_MONTHS: Final = ("january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november", "december")
_MONTH: Final = {**{name: number for number, name in enumerate(_MONTHS, 1)}, **{name[:3]: number for number, name in enumerate(_MONTHS, 1)}}

DATE_WORDS: Final[Mapping[str, str]] = {
    "Y": r"(?P<year>[0-9]{4})",
    "y": r"(?P<short_year>[0-9]{2})",
    "m": r"(?P<month>1[0-2]|0?[1-9])",
    "b": rf"(?P<month_name>{'|'.join(name[:3] for name in _MONTHS)})",
    "B": rf"(?P<month_name>{'|'.join(_MONTHS)})",
    "d": r"(?P<day>3[01]|[12][0-9]|0?[1-9])",
}
TIME_WORDS: Final[Mapping[str, str]] = {
    "H": r"(?P<hour>2[0-3]|[01]?[0-9])",
    "I": r"(?P<hour12>1[0-2]|0?[1-9])",
    "M": r"(?P<minute>[0-5]?[0-9])",
    "S": r"(?P<second>[0-5]?[0-9])",
    "f": r"(?P<fraction>[0-9]{1,9})",
    "p": r"(?P<half>[ap]m)",
    "z": r"(?P<offset>z|utc|gmt|[+-](?:[01][0-9]|2[0-3])(?::?[0-5][0-9])?)",
}

_DATE: Final = r"(?P<year>[0-9]{4})(?:-(?P<month>[0-9]{2})-(?P<day>[0-9]{2})|(?P<month2>[0-9]{2})(?P<day2>[0-9]{2}))"
_TIME: Final = (
    r"(?P<hour>[0-9]{2})(?::(?P<minute>[0-9]{2})(?::(?P<second>[0-9]{2})(?:[.,](?P<fraction>[0-9]{1,9}))?)?"
    r"|(?P<minute2>[0-9]{2})(?:(?P<second2>[0-9]{2})(?:[.,](?P<fraction2>[0-9]{1,9}))?)?)"
)
ISO_DATE: Final = re.compile(_DATE)
ISO_TIMESTAMP: Final = re.compile(rf"{_DATE}(?:[T ]{_TIME}(?: ?{TIME_WORDS['z']})?)?", re.IGNORECASE)

USUAL_TIMESTAMP: Final = re.compile(
    r"[0-9]{4}-[01][0-9]-[0-3][0-9][T ](?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.(?:[0-9]{3}|[0-9]{6}))?(?:Z|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])?"
)
"""The form in which ISO 8601 mostly comes: a subset of ``ISO_TIMESTAMP`` that every version of Python reads alike, ten times as fast."""


@attrs.frozen
class Moment:
    """What a text says: a date and a time of day, and how far its clock was from UTC. ``offset`` None: it does not say."""

    clock: datetime
    offset: timedelta | None


def compile_format(text: str, *, words: Mapping[str, str], place: str) -> re.Pattern[str]:
    """A format such as ``%d.%m.%Y`` as a regular expression with named groups.

    Raises:
        ConfigError: an unknown word, a word twice, or a format without year, month or day.
    """
    parts: list[str] = []
    seen: set[str] = set()
    for piece in re.findall(r"%.|%| |[^% ]+", plain(text), re.DOTALL):
        if not piece.startswith("%"):
            parts.append(re.escape(piece))
        elif piece == "%%":
            parts.append("%")
        elif piece[1:] in words:
            pattern = words[piece[1:]]
            group = pattern[4 : pattern.index(">")]
            if group in seen:
                raise ConfigError(place, f"expected {piece} once, and one word for the {group.replace('_', ' ')}", got=repr(text))
            seen.add(group)
            parts.append(pattern)
        else:
            known = " ".join(f"%{word}" for word in words)
            raise ConfigError(place, f"expected the words {known}", got=f"{piece!r} in {text!r}", hint=_hint(piece))
    _check_complete(seen, text=text, place=place)
    return re.compile("".join(parts), re.IGNORECASE)


def _hint(piece: str) -> str:
    if piece[1:] in TIME_WORDS:
        return "a date has no time of day: use rules.timestamp()."
    if piece == "%Z":
        return "names of time zones are ambiguous: leave them out and give time_zone=."
    return "write %% for a percent sign."


def _check_complete(seen: set[str], *, text: str, place: str) -> None:
    if not ({"year", "short_year"} & seen and {"month", "month_name"} & seen and "day" in seen):
        raise ConfigError(place, "expected a format with year, month and day", got=repr(text), hint="write '%d.%m.%Y'.")
    if {"year", "short_year"} <= seen or {"month", "month_name"} <= seen or {"hour", "hour12"} <= seen:
        raise ConfigError(place, "expected year, month and hour once each", got=repr(text))
    if ("hour12" in seen) != ("half" in seen):
        raise ConfigError(place, "expected %I together with %p", got=repr(text), hint="%H counts to 24, %I to 12 with AM or PM.")
    hour = bool({"hour", "hour12"} & seen)
    if ("minute" in seen and not hour) or ("second" in seen and "minute" not in seen) or ("fraction" in seen and "second" not in seen):
        raise ConfigError(place, "expected hours before minutes, seconds and fractions", got=repr(text))


def moment(match: re.Match[str]) -> Moment | None:
    """What the groups of a match say, or None where there is no such day or time. Digits beyond the microsecond are cut off."""
    said = {name: value for name, value in match.groupdict().items() if value is not None}
    said = {name.removesuffix("2") if name != "hour12" else name: value for name, value in said.items()}
    year = int(said["year"]) if "year" in said else _full_year(int(said["short_year"]))
    month = int(said["month"]) if "month" in said else _MONTH[said["month_name"].lower()]
    hour = int(said.get("hour", "0"))
    if "hour12" in said:
        hour = int(said["hour12"]) % 12 + (12 if said["half"].lower() == "pm" else 0)
    micros = int(said.get("fraction", "0").ljust(6, "0")[:6])
    try:
        clock = datetime(  # noqa: DTZ001 — a clock on the wall; its zone comes next
            year, month, int(said["day"]), hour, int(said.get("minute", "0")), int(said.get("second", "0")), micros
        )
    except ValueError:
        return None
    return Moment(clock, _offset(said.get("offset")))


def _full_year(year: int) -> int:
    """69 to 99 are of the last century, 00 to 68 of this one, as POSIX has it."""
    return year + (1900 if year >= _PIVOT else 2000)


def _offset(text: str | None) -> timedelta | None:
    if text is None:
        return None
    if text[0] not in "+-":  # Z, UTC, GMT
        return timedelta(0)
    digits = text[1:].replace(":", "").ljust(4, "0")
    distance = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    return -distance if text[0] == "-" else distance


def in_utc(clock: datetime, offset: timedelta) -> datetime:
    """The instant at which a clock so far from UTC shows this time. Raises OverflowError outside the years 1 to 9999."""
    return (clock - offset).replace(tzinfo=UTC)
