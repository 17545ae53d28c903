"""What lakekit notes about a table in its properties: its layer, its key, and the options its rows were made with. Public format."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, cast

import attrs

from lakekit.bookmark import canonical
from lakekit.engines.plan import TableState
from lakekit.engines.types import ident
from lakekit.errors import ConfigError

FORMAT: Final = "lakekit.format"
LAYER: Final = "lakekit.layer"
KEY: Final = "lakekit.key"
SCD2: Final = "lakekit.scd2"


def properties(*, layer: str, key: Sequence[str] = (), scd2: Mapping[str, Any] | None = None) -> dict[str, str]:
    """The properties of a table that lakekit makes.

    >>> properties(layer="merged", key=("user_id",))["lakekit.key"]
    '["user_id"]'
    """
    noted = {FORMAT: "1", LAYER: layer}
    if key:
        noted[KEY] = canonical(list(key))
    if scd2 is not None:
        noted[SCD2] = canonical(dict(scd2))
    return noted


def key(state: TableState) -> tuple[str, ...]:
    """The columns that tell a table's rows apart. Empty: it is not known to have any."""
    return tuple(cast("list[str]", json.loads(state.properties[KEY]))) if KEY in state.properties else ()


def scd2(state: TableState) -> dict[str, Any] | None:
    """How a dimension was made by ``merge_scd2``. None: it was not."""
    return cast("dict[str, Any]", json.loads(state.properties[SCD2])) if SCD2 in state.properties else None


@attrs.frozen
class Recorded:
    """The columns of a dimension that say from when until when its table held a row.

    Attributes:
        begins: Since when; that instant included.
        ends: Until when; that instant excluded.
        until: ISO text of what a row bears in ``ends`` as long as the table holds it. None: NULL.

    >>> Recorded("recorded_from", "recorded_to").now("d")
    'd.`recorded_to` IS NULL'
    """

    begins: str
    ends: str
    until: str | None = None

    @property
    def open(self) -> str:
        """SQL for what rows bear in ``ends`` that the table holds now."""
        return f"CAST({'NULL' if self.until is None else repr(self.until)} AS TIMESTAMP)"

    def now(self, row: str = "") -> str:
        """SQL for whether the table holds a row now."""
        ends = _of(row, self.ends)
        return f"{ends} IS NULL" if self.until is None else f"{ends} = {self.open}"

    def at(self, instant: datetime, row: str = "") -> str:
        """SQL for whether the table held a row at an instant."""
        then = instant_sql(instant)
        begins, ends = _of(row, self.begins), _of(row, self.ends)
        return f"{begins} <= {then} AND ({ends} IS NULL OR {then} < {ends})"


def instant_sql(instant: datetime) -> str:
    """An instant as SQL."""
    return f"CAST('{instant.astimezone(UTC).isoformat(sep=' ')}' AS TIMESTAMP)"


def _of(row: str, name: str) -> str:
    return f"{row}.{ident(name)}" if row else ident(name)


def recorded(state: TableState) -> Recorded | None:
    """The columns by which a dimension keeps what it held before. None: it keeps what it holds now only."""
    noted = scd2(state) or {}
    return Recorded(noted["recorded_from"], noted["recorded_to"], noted["recorded_until"]) if "recorded_from" in noted else None


def require_key(state: TableState, wanted: Sequence[str], *, place: str) -> None:
    """Raise where a table is written by another key than before.

    Raises:
        ConfigError: The keys differ.
    """
    noted = key(state)
    if noted and noted != tuple(wanted):
        raise ConfigError(
            f"{place}: {state.label}",
            f"the table's key is {', '.join(noted)}",
            got=", ".join(wanted),
            hint="use the same key, or another table: rows of both keys can't stand beside each other.",
        )
