"""Whether two values are the same, on every engine: the question that merge, side inputs and overlapping increments ask of a row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from lakekit.engines.sql import literal
from lakekit.engines.types import ident

if TYPE_CHECKING:
    import pyarrow as pa


def same(one: str, other: str, kind: pa.DataType) -> str:
    """SQL that says whether two values are the same; NULL is the same as NULL. In maps the order of the entries says nothing.

    >>> import pyarrow as pa
    >>> same("s.a", "t.a", pa.int32())
    's.a <=> t.a'
    >>> same("s.a", "t.a", pa.map_(pa.string(), pa.int32()))
    'array_sort(map_entries(s.a)) <=> array_sort(map_entries(t.a))'
    """
    return f"{_comparable(one, kind)} <=> {_comparable(other, kind)}"


def _comparable(value: str, kind: pa.DataType, depth: int = 0) -> str:
    """SQL for a value that can be compared: Spark compares no maps, so they are lists of entries, at any depth."""
    import pyarrow as pa

    x = f"x{depth}"
    if pa.types.is_map(kind):
        inside = _comparable(f"{x}.value", kind.item_type, depth + 1)
        entries = f"map_entries({value})"
        if inside != f"{x}.value":
            entries = f"transform({entries}, {x} -> named_struct('key', {x}.key, 'value', {inside}))"
        return f"array_sort({entries})"
    if pa.types.is_list(kind):
        inside = _comparable(x, kind.value_type, depth + 1)
        return value if inside == x else f"transform({value}, {x} -> {inside})"
    if pa.types.is_struct(kind):
        parts = {field.name: _comparable(f"{value}.{ident(field.name)}", field.type, depth) for field in cast("Any", kind)}
        if any(part != f"{value}.{ident(name)}" for name, part in parts.items()):
            made = ", ".join(f"{literal(name)}, {part}" for name, part in parts.items())
            return f"CASE WHEN {value} IS NULL THEN NULL ELSE named_struct({made}) END"
    return value
