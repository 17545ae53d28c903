"""Incoming rows as a table takes them: in its names and types, values that don't fit their column rescued, or their rows rejected. Pure SQL."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import attrs

from lakekit import columns as system
from lakekit.engines.json_forms import printable
from lakekit.engines.plan import Node, Query
from lakekit.engines.sql import literal
from lakekit.engines.types import ident, sql_type, storable
from lakekit.evolution.differences import Path
from lakekit.evolution.schema_plan import SchemaPlan, Step
from lakekit.sources import rescued

if TYPE_CHECKING:
    import pyarrow as pa

RULE: Final = "schema"
REASON: Final = "does_not_fit"
LEAVING: Final = ("rescue", "reject")
"""Actions by which values leave their column."""
_EXACT: Final = 15
"""So many digits stand in a floating-point number as they were written."""


@attrs.frozen
class Fitted:
    """SQL over incoming rows.

    Attributes:
        items: Target column to its value; lakekit's own columns as they come.
        schema: The columns that these make.
        names: Incoming column to the target's, where they differ in case only.
        unfit: The column whose value has its row rejected, NULL where none has. None: nothing is to be rejected.
    """

    items: Mapping[str, str]
    schema: pa.Schema
    names: Mapping[str, str] = attrs.field(factory=dict)
    unfit: str | None = None


def fitted(incoming: pa.Schema, held: pa.Schema, plan: SchemaPlan) -> Fitted:
    """How incoming rows become those of a table.

    Args:
        incoming: Their columns.
        held: The table's, after the plan.
        plan: What is done about the differences.
    """
    import pyarrow as pa

    maker = _Maker(plan)
    types = {field.name: field.type for field in held}
    items: dict[str, str] = {}
    fields: list[pa.Field[Any]] = []
    for field in incoming:
        if system.is_system(field.name):
            items[field.name] = ident(field.name)
            fields.append(field)
            continue
        name = plan.names.get(field.name, field.name)
        path, value = (name,), ident(field.name)
        if name not in types:
            maker.leave_out(path, value, field.type)
        else:
            items[name] = maker.value(path, value, field.type, types[name])
            fields.append(pa.field(name, types[name]))
    given = ident(system.RESCUED_DATA) if system.RESCUED_DATA in incoming.names else None
    rescued = maker.rescued(given)
    if rescued is not None and system.RESCUED_DATA not in items:
        fields.append(pa.field(system.RESCUED_DATA, pa.string()))
    return Fitted(items if rescued is None else {**items, system.RESCUED_DATA: rescued}, pa.schema(fields), plan.names, maker.unfit())


def split(node: Node, incoming: pa.Schema, fitted: Fitted) -> tuple[Node, tuple[Node, Node] | None]:
    """The rows as the table takes them; and those that are rejected, with what both are made of."""
    items = ", ".join(f"{value} AS {ident(name)}" for name, value in fitted.items.items())
    if fitted.unfit is None:
        return Query(f"SELECT {items} FROM batch", {"batch": node}), None
    shared = Query(f"SELECT *, {fitted.unfit} AS _unfit FROM batch", {"batch": node})
    good = Query(f"SELECT {items} FROM shared WHERE _unfit IS NULL", {"shared": shared})
    names = ", ".join(ident(field.name) for field in incoming)
    bad = Query(
        f"SELECT {names}, '{RULE}' AS _rule, '{REASON}' AS _reason, _unfit AS {system.ABOUT} FROM shared WHERE _unfit IS NOT NULL",
        {"shared": shared},
    )
    return good, (bad, shared)


@attrs.define
class _Maker:
    """Collects what doesn't fit, while values are made."""

    plan: SchemaPlan
    leaving: dict[Path, list[Step]] = attrs.field(init=False)
    """Path to the steps there or further in by which values leave, in the plan's order."""
    lost: list[tuple[Path, str, str]] = attrs.field(factory=list)
    """Path, condition, and the value as JSON may hold it, of what is rescued."""
    refused: list[tuple[Path, str]] = attrs.field(factory=list)

    def __attrs_post_init__(self) -> None:
        self.leaving = {}
        for step in self.plan.steps:
            if step.action in LEAVING:
                for length in range(1, len(step.change.path) + 1):
                    self.leaving.setdefault(step.change.path[:length], []).append(step)

    def value(self, path: Path, value: str, old: pa.DataType, new: pa.DataType) -> str:
        """SQL for a value in the table's type."""
        import pyarrow as pa

        nothing = f"CAST(NULL AS {sql_type(new)})"
        inside = self.leaving.get(path, [])
        step = next((step for step in inside if step.change.path == path), None)
        if step is not None:
            converted = conversion(value, storable(old), new)
            there = f"{value} IS NOT NULL" if converted is None else f"{value} IS NOT NULL AND {converted} IS NULL"
            self._note(path, step, there, value, old)
            return nothing if converted is None else converted
        if old == new:
            return value
        if pa.types.is_struct(new) and pa.types.is_struct(old):
            return self._struct(path, value, old, new)
        if inside:  # of a list or a map, there is no one value to take out: all of it goes
            self._note(path, inside[0], f"{value} IS NOT NULL", value, old)
            return nothing
        return (
            f"lk_refit({value}, '{sql_type(old)}', '{sql_type(new)}')" if pa.types.is_nested(new) else f"CAST({value} AS {sql_type(new)})"
        )

    def leave_out(self, path: Path, value: str, kind: pa.DataType) -> None:
        """A column or field that the table doesn't get."""
        if step := next((step for step in self.leaving.get(path, []) if step.change.path == path), None):
            self._note(path, step, f"{value} IS NOT NULL", value, kind)

    def _struct(self, path: Path, value: str, old: Any, new: Any) -> str:
        given = {field.name.casefold(): field for field in old} | {field.name: field for field in old}
        parts: list[str] = []
        for field in new:
            own = given.get(field.name) or given.get(field.name.casefold())
            made = (
                f"CAST(NULL AS {sql_type(field.type)})"
                if own is None
                else self.value((*path, field.name), f"{value}.{ident(own.name)}", own.type, field.type)
            )
            parts.append(f"{literal(field.name)}, {made}")
        known = {field.name.casefold() for field in new}
        for field in old:
            if field.name.casefold() not in known:
                self.leave_out((*path, field.name), f"{value}.{ident(field.name)}", field.type)
        return f"CASE WHEN {value} IS NOT NULL THEN named_struct({', '.join(parts)}) END"

    def _note(self, path: Path, step: Step, condition: str, value: str, kind: pa.DataType) -> None:
        if step.action == "reject":
            self.refused.append((path, condition))
        else:
            self.lost.append((path, condition, told(value, kind)))

    def rescued(self, given: str | None) -> str | None:
        """SQL for ``_rescued_data``."""
        if not self.lost:
            return given
        fields = ", ".join(f"{literal(rescued.path(path))}, CASE WHEN {condition} THEN {value} END" for path, condition, value in self.lost)
        some = " OR ".join(f"({condition})" for _, condition, _ in self.lost)
        mine = f"CASE WHEN {some} THEN lk_to_json(named_struct({fields})) END"
        if given is None:
            return mine
        both = f"concat(substring({given}, 1, length({given}) - 1), ',', substring({mine}, 2))"
        return f"CASE WHEN {given} IS NULL THEN {mine} WHEN {mine} IS NULL THEN {given} ELSE {both} END"

    def unfit(self) -> str | None:
        """SQL for the first column whose value doesn't fit."""
        if not self.refused:
            return None
        cases = " ".join(f"WHEN {condition} THEN {literal('.'.join(path))}" for path, condition in self.refused)
        return f"CASE {cases} END"


def conversion(value: str, old: pa.DataType, new: pa.DataType) -> str | None:
    """SQL for a value of one type in another one, where nothing of it is lost; NULL where something would be. None: there is no such way.

    Numbers are compared with what they become. Text becomes a number where it is written as one, with no digit too many.
    """
    import pyarrow as pa

    words = sql_type(new)
    numeric = pa.types.is_integer(new) or pa.types.is_decimal(new) or pa.types.is_floating(new)
    if numeric and (pa.types.is_integer(old) or pa.types.is_decimal(old) or pa.types.is_floating(old)):
        made = f"TRY_CAST({value} AS {words})"
        return f"CASE WHEN TRY_CAST({made} AS {sql_type(old)}) = {value} THEN {made} END"
    if numeric and pa.types.is_string(old):
        whole = "-?(0|[1-9][0-9]*)"
        fraction = "" if pa.types.is_integer(new) else f"([.][0-9]{{1,{new.scale if pa.types.is_decimal(new) else _EXACT}}})?"
        short = "" if not pa.types.is_floating(new) else f" AND length({value}) <= {_EXACT}"
        pattern = whole if pa.types.is_decimal(new) and new.scale == 0 else whole + fraction
        return f"CASE WHEN {value} RLIKE '^{pattern}$'{short} THEN TRY_CAST({value} AS {words}) END"
    if pa.types.is_string(new) and (pa.types.is_integer(old) or pa.types.is_boolean(old)):
        return f"CAST({value} AS STRING)"
    return None


def told(value: str, kind: pa.DataType) -> str:
    """SQL for a value as JSON may hold it, so that its type can be told: what JSON has no word for is ``{"$decimal": "1.50"}``."""
    import pyarrow as pa

    if pa.types.is_decimal(kind):
        return f"named_struct('$decimal', CAST({value} AS STRING))"
    if pa.types.is_floating(kind):
        return f"named_struct('$double', CAST({value} AS STRING))"
    if pa.types.is_timestamp(kind):
        return f"named_struct('$timestamp', {f'lk_instant({value})' if kind.tz else f'CAST({value} AS STRING)'})"
    if pa.types.is_date(kind):
        return f"named_struct('$date', CAST({value} AS STRING))"
    if pa.types.is_binary(kind) or pa.types.is_fixed_size_binary(kind):
        return f"named_struct('$binary', base64({value}))"
    return printable(value, kind)
