"""A date dimension: one row for each day, with what people group by."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

from lakekit.batch import Batch
from lakekit.engines.types import ident
from lakekit.errors import ConfigError
from lakekit.gold.keys import MEMBERS, UNKNOWN

if TYPE_CHECKING:
    from lakekit.lake import Lake

_MONTHS: Final = ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"]
_DAYS: Final = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
_SEPARATE: Final = datetime(2000, 1, 1, tzinfo=UTC)


def date_key(column: str) -> str:
    """SQL for the key of a date dimension: the day as a number, ``20260131``; -1 (unknown) where the column is NULL.

    It needs no look-up: ``lk.select(facts, {"order_date_key": gold.date_key("ordered_at")}, rest="keep")``.

    Args:
        column: A column of dates or timestamps. Of a timestamp, the day in UTC.

    >>> date_key("ordered_at")
    'coalesce(year(`ordered_at`) * 10000 + month(`ordered_at`) * 100 + day(`ordered_at`), -1)'
    """
    name = ident(column)
    return f"coalesce(year({name}) * 10000 + month({name}) * 100 + day({name}), {UNKNOWN})"


def date_dimension(
    lake: Lake, first: date, last: date, *, fiscal_year_begins: int = 1, holidays: Mapping[date, str] | None = None
) -> Batch:
    """One row for each day from ``first`` to ``last``, both included, and the members -1 (unknown) and -2 (not applicable).

    Write it with ``lk.merge(…, into="gold.dim_date", key="date_key")``. More days, or other holidays, are merged later in the same way.

    Args:
        lake: Where it is to be written.
        first: The first day.
        last: The last day.
        fiscal_year_begins: The month in which the fiscal year begins, 1 to 12. A year is named by the calendar year in which it ends.
        holidays: Days to the names of their holidays.

    Writes:
        ``date_key`` INT (``20260131``; see `date_key`), ``date`` DATE (NULL of -1 and -2, as is all but the names), ``year``, ``quarter``,
        ``month``, ``month_name``, ``iso_year`` and ``iso_week``, ``day_of_month``, ``day_of_year``, ``day_of_week`` (1: Monday), ``day_name``,
        ``is_weekend``, ``is_last_of_month``, ``fiscal_year``, ``fiscal_quarter``, ``holiday`` (NULL: it is none).

    Raises:
        ConfigError: The last day is before the first, or there is no such month.

    Source:
        Kimball, Ross: The Data Warehouse Toolkit, 3rd edition, chapter 3. Weeks: ISO 8601.

    >>> import lakekit as lk, tempfile
    >>> from datetime import date
    >>> lake = lk.connect(tempfile.mkdtemp())
    >>> days = lk.gold.date_dimension(lake, date(2026, 1, 1), date(2026, 12, 31), fiscal_year_begins=4)
    >>> lk.merge(days, into="gold.dim_date", key="date_key").inserted
    367
    """
    import pyarrow as pa

    if last < first:
        raise ConfigError("date_dimension(last=)", f"expected a day from {first} on", got=str(last))
    if not 1 <= fiscal_year_begins <= len(_MONTHS):
        raise ConfigError("date_dimension(fiscal_year_begins=)", "expected a month from 1 to 12", got=str(fiscal_year_begins))
    named = dict(holidays or {})
    rows = [_day(first + timedelta(days=number), fiscal_year_begins, named) for number in range((last - first).days + 1)]
    rows += [{"date_key": number, "month_name": words, "day_name": words} for number, words in MEMBERS]
    frame = pa.Table.from_pylist(rows, _schema())
    told = repr((first, last, fiscal_year_begins, sorted(named.items())))
    from lakekit.incremental.read import from_frame

    return from_frame(lake, frame, run_id=f"dates {first} to {last} {sha256(told.encode()).hexdigest()[:16]}", now=_SEPARATE)


def _day(day: date, begins: int, holidays: Mapping[date, str]) -> dict[str, Any]:
    iso = day.isocalendar()
    month = (day.month - begins) % 12  # of the fiscal year, from 0
    return {
        "date_key": day.year * 10_000 + day.month * 100 + day.day,
        "date": day,
        "year": day.year,
        "quarter": (day.month + 2) // 3,
        "month": day.month,
        "month_name": _MONTHS[day.month - 1],
        "iso_year": iso.year,
        "iso_week": iso.week,
        "day_of_month": day.day,
        "day_of_year": day.timetuple().tm_yday,
        "day_of_week": iso.weekday,
        "day_name": _DAYS[iso.weekday - 1],
        "is_weekend": iso.weekday >= 6,
        "is_last_of_month": (day + timedelta(days=1)).day == 1,
        "fiscal_year": day.year + (begins > 1 and day.month >= begins),
        "fiscal_quarter": month // 3 + 1,
        "holiday": holidays.get(day),
    }


def _schema() -> Any:
    import pyarrow as pa

    texts, flags = {"month_name", "day_name", "holiday"}, {"is_weekend", "is_last_of_month"}
    names = list(_day(date(2000, 1, 1), 1, {}))
    kinds = {name: pa.string() if name in texts else pa.bool_() if name in flags else pa.int32() for name in names}
    return pa.schema(list({**kinds, "date": pa.date32()}.items()))
