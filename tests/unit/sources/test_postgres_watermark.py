"""The laws of the watermark, without a server: whatever commits when, no row is skipped."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakekit.sources.postgres_watermark import LAG, SLACK, Activity, Load, Mark, advance, from_text, literal, on_clock, start, to_text

T = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
TIME = Mark(cursor="at", type="timestamptz", system="1/1")
NUMBER = Mark(cursor="id", type="integer", system="1/1")


def after(mark: Mark, activity: Activity, *, seen: object = None, top: int | None = None) -> Mark:
    return advance(mark, seen=seen, top=top, activity=activity, time_zone=None)  # type: ignore[arg-type]


def test_on_a_quiet_server_the_next_read_starts_at_the_largest_cursor_seen() -> None:
    assert after(TIME, Activity(now=T), seen=T - MINUTE).low == T - MINUTE


def test_an_open_transaction_holds_the_low_at_its_start() -> None:
    assert after(TIME, Activity(now=T, oldest=T - 5 * MINUTE), seen=T - MINUTE).low == T - 5 * MINUTE


def test_a_cursor_in_the_future_does_not_carry_the_low_away() -> None:
    mark = after(TIME, Activity(now=T), seen=datetime(9999, 12, 31, tzinfo=UTC))
    assert mark.low == T - SLACK


@pytest.mark.parametrize("activity", [Activity(now=T, hidden=True), Activity(now=T, replica=True, replayed=T)])
def test_where_others_cannot_be_seen_the_low_lags(activity: Activity) -> None:
    assert after(TIME, activity, seen=T).low == T - LAG
    assert activity.doubt


def test_a_replica_counts_from_what_it_has_replayed() -> None:
    assert after(TIME, Activity(now=T, replica=True, replayed=T - 7 * LAG), seen=T).low == T - 8 * LAG
    assert after(TIME, Activity(now=T, replica=True), seen=T).low is None


def test_the_low_never_moves_back() -> None:
    mark = attrs.evolve(TIME, low=T - MINUTE, seen=T)
    for activity in (Activity(now=T, hidden=True), Activity(now=T, prepared=1), Activity(now=T, oldest=T - 5 * MINUTE)):
        assert after(mark, activity, seen=None) == mark


@pytest.mark.parametrize(("minutes", "low"), [(-2, T - 2 * MINUTE), (2, T - SLACK)])
def test_an_end_is_the_low_once_no_row_below_it_can_come_any_more(minutes: int, low: datetime) -> None:
    until, late = T + minutes * MINUTE, T - timedelta(microseconds=1)
    mark = advance(TIME, seen=late, top=None, activity=Activity(now=T), time_zone=None, until=until)
    assert mark.low == low
    patient = advance(TIME, seen=late, top=None, activity=Activity(now=T), time_zone=None, until=until, lookback=5 * MINUTE)
    assert patient.low == T - SLACK


@pytest.mark.parametrize(("until", "low", "pending"), [(5, 5, ()), (9, None, ((T, 8),))])
def test_an_end_among_integers_is_reached_once_all_below_it_is_safe(until: int, low: int | None, pending: object) -> None:
    oldest = None if until == 5 else T - MINUTE
    mark = advance(NUMBER, seen=4, top=8, activity=Activity(now=T, oldest=oldest), time_zone=None, until=until)
    assert (mark.low, mark.pending) == (low, pending)


def test_an_empty_table_has_no_low() -> None:
    assert after(TIME, Activity(now=T)) == TIME


@given(
    st.builds(
        Mark,
        cursor=st.just("x"),
        type=st.just("timestamptz"),
        system=st.none() | st.just("7/8"),
        low=st.none() | st.datetimes(timezones=st.just(UTC)),
        seen=st.none() | st.datetimes(timezones=st.just(UTC)),
    )
    | st.builds(
        Mark,
        cursor=st.just("x"),
        type=st.just("integer"),
        system=st.none(),
        low=st.none() | st.integers(),
        seen=st.integers(),
        pending=st.lists(st.tuples(st.datetimes(timezones=st.just(UTC)), st.integers())).map(tuple),
    )
    | st.builds(Mark, cursor=st.just("x"), type=st.just("date"), system=st.none(), low=st.dates(), seen=st.dates())
    | st.builds(Mark, cursor=st.just("x"), type=st.just("timestamp"), system=st.none(), low=st.datetimes(), seen=st.datetimes())
    | st.just(Mark(cursor=None, type=None, system=None))
    | st.builds(
        Mark,
        cursor=st.just("x"),
        type=st.just("timestamptz"),
        system=st.none(),
        load=st.builds(
            Load,
            by=st.just(("a", "b")),
            after=st.tuples(st.text(), st.text()),
            end=st.tuples(st.text(), st.text()),
            activity=st.builds(
                Activity,
                now=st.datetimes(timezones=st.just(UTC)),
                oldest=st.none() | st.datetimes(timezones=st.just(UTC)),
                hidden=st.booleans(),
                prepared=st.integers(0),
                replica=st.booleans(),
                replayed=st.none() | st.datetimes(timezones=st.just(UTC)),
            ),
            top=st.none() | st.integers(),
        ),
    )
)
def test_a_mark_comes_back_from_its_details(mark: Mark) -> None:
    import json

    assert Mark.from_details(json.loads(json.dumps(mark.to_details()))) == mark


def test_a_literal_is_exact() -> None:
    assert literal(T, "timestamptz") == "'2026-01-02T03:04:05.678901Z'::timestamptz"
    assert from_text(to_text(T), "timestamptz") == T


def test_lookback_of_hours_takes_a_whole_day_from_a_date() -> None:
    assert start(date(2026, 1, 2), timedelta(hours=1)) == date(2026, 1, 1)
    assert start(T, MINUTE) == T - MINUTE
    assert start(datetime(1, 1, 1, tzinfo=UTC), MINUTE) is None


@given(st.datetimes(datetime(2026, 1, 1), datetime(2027, 1, 1), timezones=st.just(UTC)), st.integers(0, 2 * 86400))  # noqa: DTZ001
def test_no_clock_of_a_zone_shows_less_than_its_bound_later_on(instant: datetime, seconds: int) -> None:
    for zone in ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "UTC"):
        later = (instant + timedelta(seconds=seconds)).astimezone(ZoneInfo(zone))
        assert later.replace(tzinfo=None) >= on_clock(instant, "timestamp", zone)  # type: ignore[operator]
        assert later.date() >= on_clock(instant, "date", zone)  # type: ignore[operator]
        assert later.date() >= on_clock(instant, "date", None)  # type: ignore[operator]


@attrs.frozen
class Transaction:
    """Begins, draws a number some time later, commits some time later."""

    begin: int
    draw: int
    commit: int


transactions = st.lists(
    st.builds(
        lambda begin, wait, last: Transaction(begin, begin + wait, begin + wait + last),
        st.integers(0, 60),
        st.integers(0, 20),
        st.integers(1, 40),
    ),
    min_size=1,
    max_size=8,
)


@given(
    transactions,
    st.lists(st.integers(0, 130), min_size=1, max_size=8, unique=True).map(sorted),
    st.sampled_from(["timestamptz", "integer"]),
)
def test_every_row_is_read_sooner_or_later(commits: list[Transaction], reads: list[int], kind: str) -> None:
    ordered = sorted(commits, key=lambda transaction: transaction.draw)
    value = {id(t): (T + timedelta(seconds=t.begin) if kind == "timestamptz" else number) for number, t in enumerate(ordered, 1)}
    mark, got = (TIME if kind == "timestamptz" else NUMBER), set[int]()
    for read in [*reads, 200]:
        visible = [t for t in commits if t.commit <= read]
        rows = [t for t in visible if mark.low is None or value[id(t)] >= mark.low]  # type: ignore[operator]
        got |= {id(t) for t in rows}
        began = [T + timedelta(seconds=t.begin) for t in commits if t.begin < read < t.commit]
        activity = Activity(now=T + timedelta(seconds=read), oldest=min(began, default=None))
        top = max((value[id(t)] for t in visible), default=None)
        seen = max((value[id(t)] for t in rows), default=None)
        mark = after(mark, activity, seen=seen, top=top if kind == "integer" else None)  # type: ignore[arg-type]
    assert got == {id(t) for t in commits}
