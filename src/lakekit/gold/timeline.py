"""timeline: the history of one member, as people read it."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import attrs

from lakekit import columns as system
from lakekit.display import Shown
from lakekit.engines.plan import Query
from lakekit.engines.protocol import table as arrow_table
from lakekit.engines.types import ident
from lakekit.errors import ConfigError
from lakekit.gold.scd2_recorded import versions_now
from lakekit.gold.scd2_spec import ABSORBED, IS_CURRENT, IS_DELETED
from lakekit.gold.views import load
from lakekit.names import TableName

if TYPE_CHECKING:
    from lakekit.lake import Lake

Value = Any
_STYLE = "border-left:3px solid {colour};margin:0 0 2px 0;padding:2px 8px"


@attrs.frozen(repr=False)
class Timeline(Shown):
    """The history of one member of a dimension. Printable; a notebook shows it.

    Attributes:
        table: The dimension.
        key: Key column to the member's value.
        versions: Each version, from the first on: column to value, without lakekit's own.
        valid: The names of the columns that say from when to when.
        open_until: What open versions bear as their end.
    """

    table: str
    key: Mapping[str, Value]
    versions: tuple[Mapping[str, Value], ...]
    valid: tuple[str, str]
    open_until: Value = None

    def changes(self) -> list[tuple[str, str, str]]:
        """From when, until when, and what is new then, for each version and each gap."""
        found: list[tuple[str, str, str]] = []
        before: Mapping[str, Value] | None = None
        for row in self.versions:
            begins, ends = (row[name] for name in self.valid)
            if before is not None and before[self.valid[1]] != begins:
                found.append((_instant(before[self.valid[1]]), _instant(begins), "deleted"))
            is_open = ends is None or ends == self.open_until
            found.append((_instant(begins), "now" if is_open else _instant(ends), self._words(before, row)))
            before = row
        if before is not None and before[self.valid[1]] not in (None, self.open_until):
            found.append((_instant(before[self.valid[1]]), "now", "deleted"))
        return found

    def _words(self, before: Mapping[str, Value] | None, row: Mapping[str, Value]) -> str:
        if row[system.IS_INFERRED]:
            return "inferred: a fact came first"
        if row.get(IS_DELETED):
            return "deleted"
        skipped = {*self.key, *self.valid, IS_CURRENT, IS_DELETED, system.IS_INFERRED}
        names = [name for name in row if name not in skipped]
        if before is None:
            return ", ".join(f"{name}: {_shown(row[name])}" for name in names)
        changed = [name for name in names if row[name] != before[name]]
        return ", ".join(f"{name}: {_shown(before[name])} → {_shown(row[name])}" for name in changed) or "the same again"

    def __str__(self) -> str:
        title = f"{self.table}, {', '.join(f'{name} {_shown(value)}' for name, value in self.key.items())}"
        parts = self.changes()
        if not parts:
            return f"{title}: never heard of"
        wide = [max(len(part[column]) for part in parts) for column in (0, 1)]
        return "\n  ".join([title, *(f"{begins:<{wide[0]}} – {ends:<{wide[1]}}  {words}" for begins, ends, words in parts)])

    def _repr_html_(self) -> str:
        title = html.escape(f"{self.table}, {', '.join(f'{name} {_shown(value)}' for name, value in self.key.items())}")
        lines = [
            f'<div style="{_STYLE.format(colour="#bbb" if words == "deleted" else "#2a7" if ends == "now" else "#48a")}">'
            f"<small>{html.escape(begins)} – {html.escape(ends)}</small><br>{html.escape(words)}</div>"
            for begins, ends, words in self.changes()
        ]
        return f"<div><b>{title}</b>{''.join(lines) or '<div>never heard of</div>'}</div>"


def timeline(lake: Lake, table: TableName, key: Value, *, known_at: datetime | None = None) -> Timeline:
    """The history of one member of a dimension: from when to when, and what changed then.

    Args:
        lake: Where the table is.
        table: A table made by `merge_scd2`.
        key: The member's key: a value; of a composite key a mapping, column to value.
        known_at: As a bitemporal dimension was known at this instant. Default: as it is known now.

    Raises:
        TableNotFoundError: There is no such table.
        ConfigError: It was not made by `merge_scd2`, the key is not one of it, or ``known_at`` is given and it is not bitemporal.

    >>> import lakekit as lk, tempfile
    >>> from datetime import date
    >>> lake = lk.connect(tempfile.mkdtemp())
    >>> rows = [{"id": 1, "city": city, "at": date(2026, month, 1)} for month, city in [(1, "Bonn"), (3, "Kiel")]]
    >>> rows.append({"id": 1, "city": None, "at": date(2026, 5, 1), "_operation": "delete"})
    >>> rows = [{"_operation": "upsert", **row} for row in rows]
    >>> _ = lk.merge_scd2(lk.from_frame(lake, rows, run_id="a"), into="gold.dim_people", key="id", effective_at="at", track="city")
    >>> print(lk.timeline(lake, "gold.dim_people", 1))
    gold.dim_people, id 1
      2026-01-01 – 2026-03-01  city: Bonn
      2026-03-01 – 2026-05-01  city: Bonn → Kiel
      2026-05-01 – now         deleted
    """
    import pyarrow as pa

    state, noted = load(lake, table, place="timeline()")
    names: Sequence[str] = noted["key"]
    given = key if isinstance(key, Mapping) else {names[0]: key} if len(names) == 1 else {}
    if set(given) != set(names):
        raise ConfigError(
            f"timeline(key=): {state.label}",
            f"the dimension's key is {', '.join(names)}",
            got=", ".join(map(str, given)) if isinstance(key, Mapping) else "one value",
            hint=f"write {{{', '.join(f'{name!r}: …' for name in names)}}}.",
        )
    try:
        wanted = pa.table({name: pa.array([given[name]], state.schema.field(name).type) for name in names})
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        kinds = ", ".join(f"{name}: {state.schema.field(name).type}" for name in names)
        raise ConfigError(
            f"timeline(key=): {state.label}", f"expected {kinds}", got=", ".join(type(v).__name__ for v in given.values())
        ) from None
    begins, ends = noted["valid_from"], noted["valid_to"]
    own = {noted["surrogate_key"], ABSORBED, noted.get("recorded_from"), noted.get("recorded_to")}
    told = [name for name in state.schema.names if not system.is_system(name) and name not in own]
    same = " AND ".join(f"v.{ident(name)} = w.{ident(name)}" for name in names)
    columns = ", ".join(f"v.{ident(name)}" for name in [*told, system.IS_INFERRED])
    query = f"SELECT {columns} FROM stored v JOIN wanted w ON {same} ORDER BY v.{ident(begins)} ASC NULLS FIRST"
    member = versions_now(state, known_at=known_at, bounds={name: (wanted[name][0].as_py(),) * 2 for name in names})
    with lake.engine.session() as session:
        rows = arrow_table(session, Query(query, {"stored": member, "wanted": lake.engine.frame(wanted)}, ordered=True)).to_pylist()
    hidden = {*names, begins, ends}
    shown = [{name: value for name, value in row.items() if name not in _instants(rows, hidden, begins)} for row in rows]
    until = noted["open_until"]
    literal = None if until is None else pa.array([until]).cast(state.schema.field(ends).type)[0].as_py()
    return Timeline(state.label, dict(given), tuple(shown), (begins, ends), literal)


def _instants(rows: Sequence[Mapping[str, Value]], hidden: set[str], begins: str) -> set[str]:
    """Columns that say no more than when a version begins: the one that ``effective_at`` named."""
    names = [name for name in (rows[0] if rows else ()) if name not in hidden]
    return {name for name in names if all(row[name] == row[begins] for row in rows)}


def _instant(value: Value) -> str:
    if isinstance(value, datetime):
        text = value.isoformat(sep=" ", timespec="auto").removesuffix("+00:00")
        return text.removesuffix(":00").removesuffix(" 00:00")
    return str(value)


def _shown(value: Value) -> str:
    return "NULL" if value is None else str(value)
