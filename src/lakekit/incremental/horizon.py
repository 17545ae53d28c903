"""How late a row may come: what hard deletes noted is forgotten after a while, and from then on nobody can tell whether a row was deleted."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from lakekit import columns as system
from lakekit.bookmark import Bookmark, canonical
from lakekit.commit import Commit
from lakekit.engines.plan import Query, Scan, TableState
from lakekit.engines.protocol import count
from lakekit.engines.types import ident
from lakekit.errors import ConfigError
from lakekit.incremental import cas, contract
from lakekit.names import companion

if TYPE_CHECKING:
    import pyarrow as pa

    from lakekit.lake import Lake

HORIZON: Final = "lakekit.horizon"
"""Table property: the column that orders rows, and the instant before which deletes are forgotten."""
RULE, REASON = "lateness", "too_late"


def of(state: TableState) -> datetime | None:
    """The instant before which a table has forgotten what it needs to place a row. None: it remembers everything."""
    return datetime.fromisoformat(json.loads(state.properties[HORIZON])["at"]) if HORIZON in state.properties else None


def too_late(state: TableState, given: pa.Schema, *, row: str) -> str | None:
    """SQL that says whether a row is older than what the table remembers. None: it remembers everything, or the row's age isn't known."""
    if HORIZON not in state.properties:
        return None
    noted = json.loads(state.properties[HORIZON])
    if noted["column"] not in given.names:
        return None
    return f"{row}.{ident(noted['column'])} < {instant_sql(given.field(noted['column']).type, datetime.fromisoformat(noted['at']))}"


def forget(lake: Lake, state: TableState, before: datetime) -> int:
    """Forget the hard deletes of a table that are older than an instant, once it is noted that they are. Gives their number.

    Raises:
        ConfigError: The table's rows are not ordered by time.
    """
    buried = lake.find(companion(state.name, "deleted"))
    if buried is None:
        return 0
    key = contract.key(buried)
    order = next((field for field in buried.schema if field.name not in {*key, system.WRITE_ID}), None)
    if order is None or not is_time(order.type):
        raise ConfigError(
            f"maintain(lateness=): {state.label}",
            "expected a table whose rows are ordered by time",
            got="none" if order is None else f"{order.name}: {order.type}",
            hint="name a timestamp first in merge(order_by=).",
        )
    note(lake, state, order.name, before)

    def plan(state: TableState, write_id: int) -> cas.Planned:  # noqa: ARG001 -- rows that go bear no stamp
        old = f"SELECT *, 'delete' AS _change FROM noted WHERE {ident(order.name)} < {instant_sql(order.type, before)}"
        rows = session.stage(Query(old, {"noted": Scan(state, state.head)}))
        size = count(session, rows)
        figures = Commit(table=state.label, read=size, deleted=size)
        return cas.Planned(figures, (lambda: session.merge(state, rows, on=key)) if size else None)

    with lake.engine.session() as session:
        return cas.write(lake.engine, buried.name, buried, Bookmark(), plan).deleted


def note(lake: Lake, state: TableState, column: str, before: datetime) -> None:
    """Note the horizon before anything is forgotten; it never goes back."""
    known = state.properties.get(HORIZON)
    if known is not None and datetime.fromisoformat(json.loads(known)["at"]) >= before:
        return
    words = canonical({"column": column, "at": before.astimezone(UTC).isoformat()})
    lake.engine.set_properties(state, {HORIZON: words}, expect={HORIZON: known})


def is_time(kind: pa.DataType) -> bool:
    """Whether values of a type are times."""
    import pyarrow as pa

    return pa.types.is_timestamp(kind) or pa.types.is_date(kind)


def instant_sql(kind: Any, instant: datetime) -> str:
    """An instant as a value of a column's type."""
    import pyarrow as pa

    utc = instant.astimezone(UTC)
    if pa.types.is_date(kind):
        return f"CAST('{utc:%Y-%m-%d}' AS DATE)"
    if kind.tz is None:
        return f"CAST('{utc:%Y-%m-%d %H:%M:%S.%f}' AS TIMESTAMP_NTZ)"
    return f"CAST('{utc.isoformat()}' AS TIMESTAMP)"
