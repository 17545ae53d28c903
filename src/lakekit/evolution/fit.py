"""Makes a table fit incoming columns: new ones are added, wider types taken over, conflicts refused, all before a row is written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, Literal

import attrs

from lakekit import columns as system
from lakekit.engines.plan import TableState
from lakekit.engines.protocol import Engine
from lakekit.engines.types import sql_type, storable, widens
from lakekit.errors import CommitConflictError, ConfigError, SchemaError

if TYPE_CHECKING:
    import pyarrow as pa

Policy = Literal["evolve", "fail"]
_POLICIES: Final = ("evolve", "fail")
_ATTEMPTS: Final = 8


@attrs.frozen
class Difference:
    """How incoming columns differ from a table's.

    Attributes:
        add: Columns the table lacks.
        widen: Columns whose type Iceberg can promote to the incoming one.
        conflicts: Columns whose incoming values don't fit: (name, the table's type, the incoming one).
    """

    add: tuple[pa.Field[Any], ...]
    widen: Mapping[str, pa.DataType]
    conflicts: tuple[tuple[str, str, str], ...]


def compare(current: pa.Schema, incoming: pa.Schema) -> Difference:
    """Compare by name. A narrower incoming type fits; a column the source no longer has stays, and is NULL in new rows.

    >>> import pyarrow as pa
    >>> found = compare(pa.schema([("id", pa.int32())]), pa.schema([("id", pa.int64()), ("device_type", pa.string())]))
    >>> [field.name for field in found.add], dict(found.widen), found.conflicts
    (['device_type'], {'id': DataType(int64)}, ())
    """
    import pyarrow as pa

    known = {field.name: field.type for field in current}
    folded = {name.lower(): name for name in known}
    add: list[pa.Field[Any]] = []
    widen: dict[str, pa.DataType] = {}
    conflicts: list[tuple[str, str, str]] = []
    for field in incoming:
        kind = storable(field.type)
        if field.name not in known:
            if field.name.lower() in folded:
                conflicts.append((field.name, f"column {folded[field.name.lower()]!r}, which differs in case only", sql_type(kind)))
            else:
                add.append(pa.field(field.name, kind))
        elif known[field.name] != kind and not pa.types.is_null(field.type):
            if widens(known[field.name], kind) or _extends(known[field.name], kind):
                widen[field.name] = kind
            elif not _narrower(kind, known[field.name]):
                conflicts.append((field.name, sql_type(known[field.name]), sql_type(kind)))
    return Difference(tuple(add), widen, tuple(conflicts))


def _extends(current: pa.DataType, incoming: pa.DataType) -> bool:
    """Whether structs, at any depth, only gained fields at their ends."""
    import pyarrow as pa

    if pa.types.is_list(current) and pa.types.is_list(incoming):
        return _extends(current.value_type, incoming.value_type)
    if not (pa.types.is_struct(current) and pa.types.is_struct(incoming)):
        return False
    old, new = list(current), list(incoming)
    same = all(a.name == b.name and (a.type == b.type or _extends(a.type, b.type)) for a, b in zip(old, new, strict=False))
    return same and len(new) >= len(old)


def _narrower(incoming: pa.DataType, current: pa.DataType) -> bool:
    """Whether every incoming value fits the stored type without loss."""
    import pyarrow as pa

    if widens(incoming, current):
        return True
    if pa.types.is_integer(incoming) and pa.types.is_decimal(current):
        digits = 19 if pa.types.is_int64(incoming) else 10
        return current.precision - current.scale >= digits
    if pa.types.is_decimal(incoming) and pa.types.is_decimal(current):
        return current.scale >= incoming.scale and current.precision - current.scale >= incoming.precision - incoming.scale
    return pa.types.is_int32(incoming) and pa.types.is_float64(current)


def require_policy(on_change: str, *, place: str) -> None:
    """Raise where there is no such policy: before a table is made.

    Raises:
        ConfigError: An unknown policy.
    """
    if on_change not in _POLICIES:
        raise ConfigError(f"{place}(on_change=)", "expected 'evolve' or 'fail'", got=repr(on_change))


def fit(engine: Engine, state: TableState, incoming: pa.Schema, *, on_change: str, place: str) -> tuple[TableState, tuple[str, ...]]:
    """Make the table fit, in one schema commit. The columns that lakekit itself keeps are no change of the source, and always added.

    Returns:
        The table afterwards, and the names of the columns added to it.

    Raises:
        SchemaError: A type conflicts, or ``on_change="fail"`` and the source's columns differ; the text holds the statements that mend it.
        ConfigError: An unknown policy.
    """
    require_policy(on_change, place=place)
    for _ in range(_ATTEMPTS):
        found = compare(state.schema, incoming)
        if found.conflicts:
            name, expected, got = found.conflicts[0]
            raise SchemaError(
                f"{place}: {state.label}.{name}",
                f"expected {expected}",
                got=got,
                hint="cast it at the source or with select(), or change the table's column.",
            )
        if not found.add and not found.widen:
            return state, ()
        changed = attrs.evolve(found, add=tuple(field for field in found.add if not system.is_system(field.name)))
        if on_change == "fail" and (changed.add or changed.widen):
            raise SchemaError(
                f"{place}: {state.label}",
                "the source's schema has changed",
                got=_words(changed),
                hint="run:\n" + "\n".join(statements(state.label, changed)),
            )
        try:
            return engine.alter(state, add=found.add, widen=found.widen), tuple(field.name for field in found.add)
        except CommitConflictError:
            state = engine.load(state.name)
    raise CommitConflictError(state.label, "its schema never stood still", hint="run it again.")


def _words(found: Difference) -> str:
    parts = [f"new column {field.name}" for field in found.add] + [f"wider column {name}" for name in found.widen]
    return ", ".join(parts)


def statements(table: str, found: Difference) -> list[str]:
    """The statements that make the table fit, in Spark's and Trino's common words.

    >>> import pyarrow as pa
    >>> statements("bronze.orders", Difference((pa.field("device_type", pa.string()),), {}, ()))
    ['ALTER TABLE bronze.orders ADD COLUMN device_type STRING;']
    """
    added = [f"ALTER TABLE {table} ADD COLUMN {field.name} {sql_type(field.type)};" for field in found.add]
    return added + [f"ALTER TABLE {table} ALTER COLUMN {name} TYPE {sql_type(kind)};" for name, kind in found.widen.items()]
