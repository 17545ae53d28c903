"""Rules for dates and instants written as text."""

from datetime import UTC, date, datetime

import pytest

from lakekit import rules
from lakekit.errors import ConfigError

BERLIN = rules.timestamp(time_zone="Europe/Berlin")


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2024-01-31T12:30:00Z", "2024-01-31T12:30:00"),
        ("2024-01-31T12:30:00+01:00", "2024-01-31T11:30:00"),
        ("2024-01-31 12:30:00+01", "2024-01-31T11:30:00"),
        ("2024-01-31 12:30:00 +0100", "2024-01-31T11:30:00"),
        ("2024-01-31T12:30:00-00:00", "2024-01-31T12:30:00"),
        ("2024-01-31t12:30:00z", "2024-01-31T12:30:00"),
        ("2024-01-31 12:30:00 UTC", "2024-01-31T12:30:00"),
        ("2024-01-31T12:30Z", "2024-01-31T12:30:00"),
        ("20240131T123000Z", "2024-01-31T12:30:00"),
        ("2024-01-31T12:30:00.5Z", "2024-01-31T12:30:00.500000"),
        ("2024-01-31T12:30:00.123Z", "2024-01-31T12:30:00.123000"),
        ("2024-01-31T12:30:00,123456Z", "2024-01-31T12:30:00.123456"),
        ("2024-01-31T12:30:00.123456789Z", "2024-01-31T12:30:00.123456"),
        ("2024-02-29T23:59:59+14:00", "2024-02-29T09:59:59"),
        ("2024-12-31T23:59:59.999999-12:00", "2025-01-01T11:59:59.999999"),
        ("1969-12-31T23:59:59Z", "1969-12-31T23:59:59"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00"),
        ("9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59.999999"),
        ("２０２４-01-31Ｔ12:30:00Ｚ", "2024-01-31T12:30:00"),
        (" \u200f2024-01-31\u00a012:30:00Z\n", "2024-01-31T12:30:00"),
    ],
)
def test_iso_8601_is_read_into_utc(text: str, instant: str) -> None:
    assert rules.timestamp().scalar(text) == (utc(instant), None)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty"),
        ("\u3000\u200b", "empty"),
        (" " * 10_000, "empty"),
        ("2024-01-31T12:30:00", "no_time_zone"),
        ("2024-01-31", "no_time_zone"),
        ("2023-02-29T00:00:00Z", "not_a_timestamp"),
        ("1900-02-29 00:00:00Z", "not_a_timestamp"),
        ("2024-04-31T00:00:00Z", "not_a_timestamp"),
        ("2024-13-01T00:00:00Z", "not_a_timestamp"),
        ("0000-01-01T00:00:00Z", "not_a_timestamp"),
        ("2024-01-31T24:00:00Z", "not_a_timestamp"),
        ("2016-12-31T23:59:60Z", "not_a_timestamp"),
        ("2024-01-31T12:60:00Z", "not_a_timestamp"),
        ("2024-01-31T12:30:00+24:00", "not_a_timestamp"),
        ("2024-01-31T12:30:00+01:60", "not_a_timestamp"),
        ("2024-1-31T12:30:00Z", "not_a_timestamp"),
        ("2024-W05-3T12:30:00Z", "not_a_timestamp"),
        ("2024-01-31T12:30:00 CET", "not_a_timestamp"),
        ("31.01.2024 12:30", "not_a_timestamp"),
        ("12024-01-31T12:30:00Z", "not_a_timestamp"),
        ("1706704200", "not_a_timestamp"),
        ("now", "not_a_timestamp"),
        ("NaN", "not_a_timestamp"),
        ("2024-01-31T12:30:00Z\x00x", "not_a_timestamp"),
        ("2024-01-31T12:30:00Z; drop table", "not_a_timestamp"),
        ("2" * 10_000, "not_a_timestamp"),
        ("\ud800", "not_a_timestamp"),
        ("0001-01-01T00:00:00+14:00", "out_of_range"),
        ("9999-12-31T23:59:59-01:00", "out_of_range"),
    ],
)
def test_what_is_no_instant_is_refused_with_the_reason(text: str, reason: str) -> None:
    assert rules.timestamp().scalar(text) == (None, reason)


@pytest.mark.parametrize("fraction", ["", ".1", ".123", ".123456", ".1234567", ".999999999"])
@pytest.mark.parametrize("offset", ["Z", "+05:45", "-0330", "+14"])
@pytest.mark.parametrize("between", ["T", " "])
def test_every_spelling_of_an_instant_gives_the_same(fraction: str, offset: str, between: str) -> None:
    """The usual spellings take a shorter way than the rare ones; both ways agree."""
    text = f"2024-01-31{between}12:30:00{fraction}{offset}"
    general = rules.timestamp("%Y-%m-%d %H:%M:%S.%f%z") if fraction else rules.timestamp("%Y-%m-%d %H:%M:%S%z")
    assert rules.timestamp().scalar(text) == general.scalar(text.replace("T", " "))


def test_a_naive_text_is_read_in_the_time_zone_given_in_winter_and_in_summer() -> None:
    assert BERLIN.scalar("2024-01-31 12:30:00").value == utc("2024-01-31T11:30:00")
    assert BERLIN.scalar("2024-07-31 12:30:00").value == utc("2024-07-31T10:30:00")
    assert BERLIN.scalar("2024-07-31").value == utc("2024-07-30T22:00:00")
    assert BERLIN.scalar("2024-07-31T12:30:00+09:00").value == utc("2024-07-31T03:30:00")


def test_an_hour_that_the_clock_skipped_is_refused() -> None:
    assert BERLIN.scalar("2024-03-31 02:30:00") == (None, "no_such_time")
    assert BERLIN.scalar("2024-03-31 03:00:00").value == utc("2024-03-31T01:00:00")


def test_an_hour_that_the_clock_showed_twice_is_ambiguous_and_first_takes_the_earlier() -> None:
    assert BERLIN.scalar("2024-10-27 02:30:00") == (None, "ambiguous")
    assert rules.timestamp(time_zone="Europe/Berlin", ambiguous="first").scalar("2024-10-27 02:30").value == utc("2024-10-27T00:30:00")
    assert BERLIN.scalar("2024-10-27 03:00:00").value == utc("2024-10-27T02:00:00")


@pytest.mark.parametrize("text", ["0001-01-01 00:00:00", "9999-12-31 23:59:59"])
@pytest.mark.parametrize("zone", ["Asia/Tokyo", "America/New_York"])
def test_the_ends_of_the_calendar_never_raise(text: str, zone: str) -> None:
    result = rules.timestamp(time_zone=zone).scalar(text)
    assert result.reason in (None, "out_of_range")


@pytest.mark.parametrize(
    ("form", "text", "instant"),
    [
        ("%d.%m.%Y %H:%M", "31.1.2024 9:05", "2024-01-31T09:05:00"),
        ("%m/%d/%Y %I:%M %p", "01/31/2024 12:00 am", "2024-01-31T00:00:00"),
        ("%m/%d/%Y %I:%M %p", "1/31/2024 12:00\u202fPM", "2024-01-31T12:00:00"),
        ("%d %b %Y %H:%M:%S %z", "31 JAN 2024 12:00:00 +0100", "2024-01-31T11:00:00"),
        ("%d %B %Y", "29   February 2024", "2024-02-29T00:00:00"),
        ("%d/%b/%Y:%H:%M:%S %z", "10/Oct/2000:13:55:36 -0700", "2000-10-10T20:55:36"),
        ("%y%m%d", "680131", "2068-01-31T00:00:00"),
        ("%y%m%d", "690131", "1969-01-31T00:00:00"),
        ("%Y年%m月%d日 %H時", "２０２４年１月３１日 ９時", "2024-01-31T09:00:00"),
        ("%Y-%m-%d %H:%M:%S.%f", "2024-01-31 00:00:00.000001", "2024-01-31T00:00:00.000001"),
        ("100%% %Y-%m-%d", "100% 2024-01-31", "2024-01-31T00:00:00"),
        ("iso", "2024-01-31T00:00:00Z", "2024-01-31T00:00:00"),
    ],
)
def test_a_format_says_how_the_text_is_written(form: str, text: str, instant: str) -> None:
    assert rules.timestamp(form, time_zone="UTC").scalar(text) == (utc(instant), None)


def test_formats_are_tried_in_turn_and_iso_only_when_named() -> None:
    rule = rules.timestamp("%d.%m.%Y", "iso", time_zone="UTC")
    assert rule.scalar("31.01.2024").value == rule.scalar("2024-01-31").value == utc("2024-01-31T00:00:00")
    assert rules.timestamp("%d.%m.%Y", time_zone="UTC").scalar("2024-01-31").reason == "not_a_timestamp"


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("2024-01-31", date(2024, 1, 31)),
        ("20240131", date(2024, 1, 31)),
        (" 2024-02-29\n", date(2024, 2, 29)),
        ("2000-02-29", date(2000, 2, 29)),
        ("0001-01-01", date(1, 1, 1)),
        ("9999-12-31", date(9999, 12, 31)),
        ("٢٠٢٤-٠١-٣١", date(2024, 1, 31)),
        ("２０２４－０１－３１", date(2024, 1, 31)),
        ("\u200f2024-01-31\u200f", date(2024, 1, 31)),
        ("\ufeff2024-01-31", date(2024, 1, 31)),
    ],
)
def test_a_day_is_read(text: str, day: date) -> None:
    assert rules.date().scalar(text) == (day, None)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty"),
        ("\u200b", "empty"),
        ("2023-02-29", "not_a_date"),
        ("1900-02-29", "not_a_date"),
        ("2024-06-31", "not_a_date"),
        ("0000-00-00", "not_a_date"),
        ("2024-1-3", "not_a_date"),
        ("2024-01-31T00:00:00Z", "not_a_date"),
        ("2024-01-31 00:00:00", "not_a_date"),
        ("31.01.2024", "not_a_date"),
        ("2024-0131", "not_a_date"),
        ("10000-01-01", "not_a_date"),
        ("-2024-01-31", "not_a_date"),
        ("2024-01-3²", "not_a_date"),
        ("\x002024\x00", "not_a_date"),
        ("1e400", "not_a_date"),
        ("\ud800", "not_a_date"),
    ],
)
def test_what_is_no_day_is_refused_with_the_reason(text: str, reason: str) -> None:
    assert rules.date().scalar(text) == (None, reason)


def test_a_day_that_two_formats_read_differently_is_ambiguous() -> None:
    both = rules.date("%d/%m/%Y", "%m/%d/%Y")
    assert both.scalar("03/04/2024") == (None, "ambiguous")
    assert both.scalar("03/03/2024") == (date(2024, 3, 3), None)
    assert both.scalar("31/01/2024") == both.scalar("01/31/2024") == (date(2024, 1, 31), None)
    assert rules.date("%d/%m/%Y", "%m/%d/%Y", ambiguous="first").scalar("03/04/2024") == (date(2024, 4, 3), None)


def test_null_passes() -> None:
    assert rules.date().scalar(None) == rules.timestamp().scalar(None) == (None, None)


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ("%d.%m", "year, month and day"),
        ("", "year, month and day"),
        ("iso8601", "year, month and day"),
        ("%Y-%m-%d %Q", "'%Q'"),
        ("%Y-%m-%d %", "'%'"),
        ("%Y-%m-%d %Z", "time_zone="),
        ("%Y-%Y-%m-%d", "once"),
        ("%Y %y-%m-%d", "once"),
        ("%Y-%m-%b-%d", "once"),
        ("%Y-%m-%d %I:%M", "%I together with %p"),
        ("%Y-%m-%d %H:%M %p", "%I together with %p"),
        ("%Y-%m-%d %M", "hours before minutes"),
        ("%Y-%m-%d %H:%M.%f", "hours before minutes"),
        ("%c", "'%c'"),
        (7, "type int"),
    ],
)
def test_a_format_that_cannot_be_read_is_refused_when_it_is_given(form: object, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        rules.timestamp(form)  # type: ignore[arg-type]


def test_a_date_format_with_a_time_of_day_points_to_timestamp() -> None:
    with pytest.raises(ConfigError, match=r"use rules.timestamp\(\)"):
        rules.date("%d.%m.%Y %H:%M")


@pytest.mark.parametrize(
    ("zone", "hint"), [("Europe/Berlim", "'Europe/Berlin'"), ("CEST", "IANA|write"), ("+02:00", "IANA"), ("", "IANA"), (1, "type int")]
)
def test_an_unknown_time_zone_is_refused(zone: object, hint: str) -> None:
    with pytest.raises(ConfigError, match=hint):
        rules.timestamp(time_zone=zone)  # type: ignore[arg-type]


def test_an_unknown_choice_is_refused() -> None:
    with pytest.raises(ConfigError, match="'reject', 'first'"):
        rules.date(ambiguous="last")  # type: ignore[arg-type]
