"""What a dimension shows besides its versions: the current state, the value before (type 3), today's value beside each version (type 6)."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from lakekit import columns as system
from lakekit.batch import Batch
from lakekit.engines.plan import Node, Query, TableState
from lakekit.engines.types import ident
from lakekit.errors import ConfigError
from lakekit.gold.scd2_recorded import versions_now
from lakekit.gold.scd2_spec import ABSORBED, IS_CURRENT, IS_DELETED
from lakekit.incremental import contract, target
from lakekit.names import Columns, TableName
from lakekit.names import columns as as_columns

if TYPE_CHECKING:
    from lakekit.lake import Lake


def load(lake: Lake, table: TableName, *, place: str) -> tuple[TableState, dict[str, Any]]:
    """A dimension and what it notes about itself.

    Raises:
        TableNotFoundError: There is no such table.
        ConfigError: It was not made by `merge_scd2`.
    """
    state = lake.load(table, place=place)
    noted = contract.scd2(state)
    if noted is None:
        raise ConfigError(f"{place}: {state.label}", "is not a dimension with history", hint="make it with merge_scd2().")
    return state, noted


def known_at(lake: Lake, table: TableName, instant: datetime) -> Batch:
    """A bitemporal dimension as it was known at an instant: the versions that its table held then. One row for each version.

    What came later, late events, corrections and deletes, doesn't show. It needs no snapshot of that time, so it also reaches back further
    than ``lk.read(lake, table, as_of=…)`` once snapshots have expired.

    Args:
        lake: Where the table is.
        table: A table made by ``merge_scd2(bitemporal=True)``.
        instant: When. At exactly a row's ``recorded_from`` it is known.

    Writes:
        The dimension's columns without lakekit's own memory; ``recorded_to`` says until when a row was held, after that instant too.

    Raises:
        TableNotFoundError: There is no such table.
        ConfigError: It was not made by `merge_scd2`, it is not bitemporal, or the instant is a naive datetime.

    >>> import lakekit as lk, tempfile
    >>> from datetime import UTC, datetime
    >>> lake = lk.connect(tempfile.mkdtemp())
    >>> for day, row in [(1, {"id": 1, "city": "Bonn", "at": 1}), (2, {"id": 1, "city": "Kiel", "at": 1})]:
    ...     batch, now = lk.from_frame(lake, [row], run_id=f"{day}"), datetime(2026, 1, day, tzinfo=UTC)
    ...     _ = lk.merge_scd2(batch, into="gold.dim_people", key="id", effective_at="at", bitemporal=True, now=now)
    >>> then = lk.gold.known_at(lake, "gold.dim_people", datetime(2026, 1, 1, 12, tzinfo=UTC))
    >>> print(then.to_arrow().column("city")[0])
    Bonn
    """
    state, noted = load(lake, table, place="gold.known_at()")
    return Batch(lake, Query(f"SELECT {_shown(state)} FROM stored", _stored(state, instant)), key=_version(state, noted))


def current(lake: Lake, table: TableName, *, known_at: datetime | None = None) -> Batch:
    """The current state of a dimension: the open version of each member that is there. One row for each key, as a merged table has.

    Without inferred members and those that stand for none (-1, -2).

    Args:
        lake: Where the table is.
        table: A table made by `merge_scd2`.
        known_at: As a bitemporal dimension was known at this instant. Default: as it is known now.

    Raises:
        TableNotFoundError: There is no such table.
        ConfigError: It was not made by `merge_scd2`, or ``known_at`` is given and it is not bitemporal.

    >>> import lakekit as lk, tempfile
    >>> lake = lk.connect(tempfile.mkdtemp())
    >>> rows = [{"id": 1, "city": "Bonn", "at": 1}, {"id": 1, "city": "Kiel", "at": 2}]
    >>> _ = lk.merge_scd2(lk.from_frame(lake, rows, run_id="a"), into="gold.dim_people", key="id", effective_at="at")
    >>> lk.gold.current(lake, "gold.dim_people").to_arrow().column("city").to_pylist()
    ['Kiel']
    """
    state, noted = load(lake, table, place="gold.current()")
    return Batch(
        lake, Query(f"SELECT {_shown(state)} FROM stored WHERE {_there(state, noted)}", _stored(state, known_at)), key=tuple(noted["key"])
    )


def with_previous(lake: Lake, table: TableName, columns: Columns, *, known_at: datetime | None = None) -> Batch:
    """A dimension of type 3: its current state, and the value that each column had before it last changed.

    Args:
        lake: Where the table is.
        table: A table made by `merge_scd2`.
        columns: The columns whose earlier value is wanted.
        known_at: As a bitemporal dimension was known at this instant. Default: as it is known now.

    Writes:
        ``previous_<column>``, of the column's type. NULL: it never changed, or was NULL before.

    Raises:
        TableNotFoundError: There is no such table.
        ConfigError: It was not made by `merge_scd2`, or ``known_at`` is given and it is not bitemporal.
        SchemaError: A column is missing.

    >>> import lakekit as lk, tempfile
    >>> lake = lk.connect(tempfile.mkdtemp())
    >>> rows = [{"id": 1, "city": "Bonn", "at": 1}, {"id": 1, "city": "Kiel", "at": 2}]
    >>> _ = lk.merge_scd2(lk.from_frame(lake, rows, run_id="a"), into="gold.dim_people", key="id", effective_at="at")
    >>> lk.gold.with_previous(lake, "gold.dim_people", "city").to_arrow().select(["city", "previous_city"]).to_pylist()
    [{'city': 'Kiel', 'previous_city': 'Bonn'}]
    """
    state, noted = load(lake, table, place="gold.with_previous()")
    names = as_columns(columns, place="gold.with_previous(columns=)")
    target.require_columns(state.schema.names, names, place="gold.with_previous(columns=)")
    order = f"PARTITION BY {', '.join(map(ident, noted['key']))} ORDER BY {ident(noted['valid_from'])} ASC NULLS FIRST"
    before = "ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW"
    lagged = [f"LAG(STRUCT({ident(name)} AS v)) OVER ({order}) AS `__l{i}`" for i, name in enumerate(names)]
    last = [
        f"LAST_VALUE(CASE WHEN `__l{i}`.v IS DISTINCT FROM {ident(name)} THEN `__l{i}` END) IGNORE NULLS OVER ({order} {before})"
        f".v AS {ident(f'previous_{name}')}"
        for i, name in enumerate(names)
    ]
    real = _real(state, noted)
    rows = f"SELECT *, {', '.join(lagged)} FROM stored WHERE {real}"
    shown = f"{_shown(state)}, {', '.join(ident(f'previous_{name}') for name in names)}"
    query = f"SELECT {shown} FROM (SELECT *, {', '.join(last)} FROM ({rows})) WHERE {_there(state, noted)}"
    return Batch(lake, Query(query, _stored(state, known_at)), key=tuple(noted["key"]))


def with_current(lake: Lake, table: TableName, columns: Columns, *, known_at: datetime | None = None) -> Batch:
    """A dimension of type 6: all versions, each with the value that its member has in the newest one.

    Facts joined by the version's key can then be grouped by what was true at their time, and by what is true today.

    Args:
        lake: Where the table is.
        table: A table made by `merge_scd2`.
        columns: The columns whose current value is wanted.
        known_at: As a bitemporal dimension was known at this instant. Default: as it is known now.

    Writes:
        ``current_<column>``, of the column's type: the last known value where the member is deleted.

    Raises:
        TableNotFoundError: There is no such table.
        ConfigError: It was not made by `merge_scd2`, or ``known_at`` is given and it is not bitemporal.
        SchemaError: A column is missing.

    >>> import lakekit as lk, tempfile
    >>> lake = lk.connect(tempfile.mkdtemp())
    >>> rows = [{"id": 1, "city": "Bonn", "at": 1}, {"id": 1, "city": "Kiel", "at": 2}]
    >>> _ = lk.merge_scd2(lk.from_frame(lake, rows, run_id="a"), into="gold.dim_people", key="id", effective_at="at")
    >>> lk.gold.with_current(lake, "gold.dim_people", "city").to_arrow().select(["city", "current_city"]).to_pylist()
    [{'city': 'Bonn', 'current_city': 'Kiel'}, {'city': 'Kiel', 'current_city': 'Kiel'}]
    """
    state, noted = load(lake, table, place="gold.with_current()")
    names = as_columns(columns, place="gold.with_current(columns=)")
    target.require_columns(state.schema.names, names, place="gold.with_current(columns=)")
    surrogate = noted["surrogate_key"]
    apart = f", CASE WHEN {ident(surrogate)} < 0 THEN {ident(surrogate)} END" if surrogate else ""  # members that stand for none
    window = (
        f"PARTITION BY {', '.join(map(ident, noted['key']))}{apart} ORDER BY {ident(noted['valid_from'])} ASC NULLS FIRST"
        " ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING"
    )
    newest = ", ".join(f"LAST_VALUE({ident(name)}) OVER ({window}) AS {ident(f'current_{name}')}" for name in names)
    query = f"SELECT {_shown(state)}, {newest} FROM stored ORDER BY {', '.join(map(ident, [*noted['key'], noted['valid_from']]))}"
    return Batch(lake, Query(query, _stored(state, known_at)), key=_version(state, noted))


def _stored(state: TableState, known_at: datetime | None) -> dict[str, Node]:
    return {"stored": versions_now(state, known_at=known_at)}


def _version(state: TableState, noted: dict[str, Any]) -> tuple[str, ...]:
    """The columns that tell versions apart, where each stands once."""
    begins = noted.get("recorded_from")
    return tuple(name for name in contract.key(state) if name != begins)


def _shown(state: TableState) -> str:
    """The columns that people read."""
    hidden = {ABSORBED, system.WRITE_ID}
    return ", ".join(ident(name) for name in state.schema.names if name not in hidden)


def _real(state: TableState, noted: dict[str, Any]) -> str:
    """SQL for the versions that were heard of, which inferred members and those that stand for none were not."""
    surrogate = f" AND {ident(noted['surrogate_key'])} >= 0" if noted["surrogate_key"] else ""
    inferred = f"NOT coalesce({ident(system.IS_INFERRED)}, false)" if system.IS_INFERRED in state.schema.names else "true"
    return inferred + surrogate


def _there(state: TableState, noted: dict[str, Any]) -> str:
    """SQL for the open versions of members that are there."""
    deleted = f" AND NOT coalesce({ident(IS_DELETED)}, false)" if IS_DELETED in state.schema.names else ""
    return f"{ident(IS_CURRENT)} AND {_real(state, noted)}{deleted}"
