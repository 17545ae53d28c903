"""What lakekit notes about a table in its properties: its layer, its key, and the options its rows were made with. Public format."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

from lakekit.bookmark import canonical
from lakekit.engines.plan import TableState
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
