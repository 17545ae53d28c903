"""Facts that are no events: what was so at the end of each period, and how far a process has come."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Final, Literal, get_args

from lakekit.batch import Batch, Groups
from lakekit.engines import sql
from lakekit.engines.plan import Query
from lakekit.engines.types import ident, sql_type
from lakekit.errors import ConfigError
from lakekit.gold.scd2_recorded import versions_now
from lakekit.gold.scd2_spec import ABSORBED, IS_CURRENT, IS_DELETED
from lakekit.gold.views import load
from lakekit.incremental import target
from lakekit.names import Columns, TableName
from lakekit.names import columns as as_columns

if TYPE_CHECKING:
    from lakekit.lake import Lake

Every = Literal["day", "week", "month", "quarter", "year"]
PERIOD: Final = "period"
_MONTHS: Final = {"month": 1, "quarter": 3, "year": 12}


def periodic_snapshot(
    lake: Lake, dimension: TableName, *, every: Every, first: date, last: date, known_at: datetime | None = None
) -> Batch:
    """A periodic snapshot: each member as it was at the end of each period. One row for each member and period.

    Out of a history, so any period can be told at any time, and late events reach periods long past: write it with
    ``lk.replace_groups(…, into=…)``, which replaces the periods that came out differently and leaves the others alone.

    (Sums of what happened in each period are aggregates of events: `read_new_groups`.)

    Args:
        lake: Where the dimension is.
        dimension: A table made by `merge_scd2`: of accounts with their balances, of articles with their stock.
        every: ``day``, ``week`` (from Monday), ``month``, ``quarter`` or ``year``, in UTC.
        first: A day of the first period.
        last: A day of the last period. A period that is not over shows what is known of its end.
        known_at: As a bitemporal dimension was known at this instant: the same figures whenever it is asked. Default: as it is known now.

    Writes:
        ``period`` DATE, its first day, and the dimension's columns: of the version that was valid right before the period ended. Members that
        were deleted by then, or not yet there, have no row.

    Raises:
        TableNotFoundError: There is no such dimension.
        ConfigError: It was not made by `merge_scd2`, its instants are no times, the last day is before the first, or ``known_at`` is given
            and it is not bitemporal.

    Source:
        Kimball, Ross: The Data Warehouse Toolkit, 3rd edition, chapter 4.

    >>> import lakekit as lk, tempfile
    >>> from datetime import date
    >>> lake = lk.connect(tempfile.mkdtemp())
    >>> rows = [{"account": 1, "balance": balance, "at": date(2026, month, 15)} for month, balance in [(1, 10), (3, 30)]]
    >>> _ = lk.merge_scd2(lk.from_frame(lake, rows, run_id="a"), into="gold.accounts", key="account", effective_at="at")
    >>> months = lk.gold.periodic_snapshot(lake, "gold.accounts", every="month", first=date(2026, 1, 1), last=date(2026, 3, 1))
    >>> _ = lk.replace_groups(months, into="gold.fact_balances")
    >>> lk.read(lake, "gold.fact_balances").to_arrow().sort_by("period").column("balance").to_pylist()
    [10, 10, 30]
    """
    import pyarrow as pa

    state, noted = load(lake, dimension, place="periodic_snapshot()")
    if every not in get_args(Every):
        raise ConfigError("periodic_snapshot(every=)", f"expected one of {', '.join(get_args(Every))}", got=repr(every))
    if last < first:
        raise ConfigError("periodic_snapshot(last=)", f"expected a day from {first} on", got=str(last))
    kind = state.schema.field(noted["valid_from"]).type
    if not (pa.types.is_timestamp(kind) or pa.types.is_date(kind)):
        raise ConfigError(f"periodic_snapshot(): {state.label}", "expected a dimension whose versions begin at times", got=str(kind))
    begins = [_begin(first, every)]
    while begins[-1] <= _begin(last, every):
        begins.append(_next(begins[-1], every))
    ends = [datetime(day.year, day.month, day.day, tzinfo=UTC) for day in begins[1:]]
    periods = lake.engine.frame(
        pa.table({PERIOD: pa.array(begins[:-1], pa.date32()), "_ends": pa.array(ends, pa.timestamp("us", tz="UTC"))})
    )
    vf, vt = (ident(noted[name]) for name in ("valid_from", "valid_to"))
    ends_at = f"CAST(p._ends AS {sql_type(kind)})"
    hidden = {ABSORBED, IS_CURRENT, IS_DELETED, *(noted.get(name) for name in ("valid_from", "valid_to", "recorded_from", "recorded_to"))}
    shown = [name for name in state.schema.names if name not in hidden and not name.startswith("_")]
    conditions = [f"v.{vf} < {ends_at}", f"(v.{vt} IS NULL OR v.{vt} >= {ends_at})"]
    conditions += [f"NOT coalesce(v.{ident(IS_DELETED)}, false)"] if IS_DELETED in state.schema.names else []
    conditions += [f"v.{ident(noted['surrogate_key'])} >= 0"] if noted["surrogate_key"] else []
    columns = ", ".join(f"v.{ident(name)}" for name in shown)
    rows = Query(
        f"SELECT p.{PERIOD}, {columns} FROM stored v JOIN periods p ON {' AND '.join(conditions)}",
        {"stored": versions_now(state, known_at=known_at), "periods": periods},
        ordered=True,
    )
    touched = Query(f"SELECT {PERIOD} FROM periods", {"periods": periods})
    return Batch(lake, rows, key=(*noted["key"], PERIOD), groups=Groups((PERIOD,), touched))


def _begin(day: date, every: Every) -> date:
    """The first day of the period that a day is in."""
    if every == "day":
        return day
    if every == "week":
        return day - timedelta(days=day.weekday())
    months = _MONTHS[every]
    return date(day.year, (day.month - 1) // months * months + 1, 1)


def _next(day: date, every: Every) -> date:
    if every in ("day", "week"):
        return day + timedelta(days=7 if every == "week" else 1)
    months = day.year * 12 + day.month - 1 + _MONTHS[every]
    return date(months // 12, months % 12 + 1, 1)


def accumulating_snapshot(batch: Batch, *, at: str, milestones: Mapping[str, str], take: Columns = ()) -> Batch:
    """An accumulating snapshot: one row for each process, which says when it reached which milestone, and grows with it.

    Args:
        batch: The events of whole processes: ``read_new_groups(…, by=<the process's key>)``. Write the result with `replace_groups`.
        at: The column that says when an event was.
        milestones: A milestone's column to the SQL condition by which an event reaches it, in their usual order:
            ``{"ordered_at": "kind = 'order'", "shipped_at": "kind = 'shipment'"}``. The first event that does counts.
        take: Columns that the process has by its last event: the customer, the state.

    Writes:
        The process's key, the columns of ``take``, for each milestone the instant (NULL: not reached), ``milestone`` STRING: the last one in
        their order that was reached (NULL: none), and ``seconds_<one>_to_<next>`` DOUBLE for each two in a row (NULL: not both reached).

    Raises:
        ConfigError: The batch is not one of `read_new_groups`, or there are no milestones.
        SchemaError: A column is missing.
        QueryError: A condition doesn't parse.

    Source:
        Kimball, Ross: The Data Warehouse Toolkit, 3rd edition, chapter 4.

    >>> import lakekit as lk, tempfile
    >>> from datetime import UTC, datetime
    >>> lake = lk.connect(tempfile.mkdtemp())
    >>> rows = [{"order": 7, "kind": kind, "at": datetime(2026, 1, day, tzinfo=UTC)} for kind, day in [("order", 1), ("shipment", 3)]]
    >>> _ = lk.append(lk.from_frame(lake, rows, run_id="a"), into="bronze.events")
    >>> events = lk.read_new_groups(lake, "bronze.events", into="gold.fact_orders", by="order")
    >>> steps = {"ordered_at": "kind = 'order'", "shipped_at": "kind = 'shipment'", "paid_at": "kind = 'payment'"}
    >>> print(lk.replace_groups(lk.gold.accumulating_snapshot(events, at="at", milestones=steps)))
    gold.fact_orders: read 1, inserted 1
    >>> lk.read(lake, "gold.fact_orders").to_arrow().column("milestone").to_pylist()
    ['shipped_at']
    """
    if batch.groups is None:
        raise ConfigError(
            "accumulating_snapshot()",
            "expected the events of whole processes",
            got=repr(batch),
            hint="read them with read_new_groups(…, by=<the process's key>).",
        )
    if not milestones:
        raise ConfigError("accumulating_snapshot(milestones=)", "expected at least one", got="none")
    by, taken = batch.groups.by, as_columns(take, place="accumulating_snapshot(take=)") if take else ()
    target.require_columns(batch.columns, [at, *taken], place="accumulating_snapshot(at=, take=)")
    place = "accumulating_snapshot(milestones={!r})"
    conditions = {name: sql.expression(words, batch.columns, place=place.format(name)) for name, words in milestones.items()}
    key = ", ".join(map(ident, by))
    last = f"ROW_NUMBER() OVER (PARTITION BY {key} ORDER BY {_descending([at, *taken])}) AS `__last`" if taken else "0 AS `__last`"
    items = [f"MAX(CASE WHEN `__last` = 1 THEN {ident(name)} END) AS {ident(name)}" for name in taken]
    items += [f"MIN(CASE WHEN {words} THEN {ident(at)} END) AS {ident(name)}" for name, words in conditions.items()]
    reached = " ".join(f"WHEN {ident(name)} IS NOT NULL THEN {sql.literal(name)}" for name in reversed(list(milestones)))
    lags = [
        f"(UNIX_MICROS(CAST({ident(later)} AS TIMESTAMP)) - UNIX_MICROS(CAST({ident(one)} AS TIMESTAMP))) / 1000000.0D"
        f" AS {ident(f'seconds_{one}_to_{later}')}"
        for one, later in pairwise(milestones)
    ]
    grouped = f"SELECT {key}, {', '.join(items)} FROM (SELECT *, {last} FROM batch) GROUP BY {key}"
    return batch.then(f"SELECT *, CASE {reached} END AS milestone{''.join(f', {lag}' for lag in lags)} FROM ({grouped})", lineage={})


def _descending(names: list[str]) -> str:
    return ", ".join(f"{ident(name)} DESC NULLS LAST" for name in names)
