"""Values as JSON may hold them, and back: SQL that means the same on each engine."""

from __future__ import annotations

from typing import Any, cast

import attrs
import pyarrow as pa

from lakekit.engines.sql import literal
from lakekit.engines.types import ident, sql_type


def printable(value: str, kind: pa.DataType, *, floating: str = "CAST({} AS STRING)") -> str:
    """SQL for a value as JSON may hold it. The same on each engine, as far as these print floats alike."""
    forms = _Forms(binary="base64({})", floating=floating, instant="lk_instant({})", local="CAST({} AS STRING)", listed="lk_in_json({})")
    return _converted(value, kind, forms)


def printed(kind: pa.DataType) -> pa.DataType:
    """The type under which `parsed` reads a value of this type out of JSON."""
    if pa.types.is_binary(kind) or pa.types.is_floating(kind):  # JSON has no NaN: it is text there, in other letters on each engine
        return pa.string()
    if pa.types.is_list(kind):
        return pa.list_(printed(kind.value_type))
    if pa.types.is_struct(kind):
        return pa.struct([pa.field(field.name, printed(field.type)) for field in cast("Any", kind)])
    return kind


def parsed(value: str, kind: pa.DataType) -> str:
    """SQL that turns a value read out of the JSON back into what it was."""
    return _converted(value, kind, _Forms(binary="unbase64({})", floating="try_cast({} AS {})"))


@attrs.frozen(kw_only=True)
class _Forms:
    """SQL for a value of a type; ``{}`` is the value."""

    binary: str
    floating: str = "{}"
    instant: str = "{}"
    local: str = "{}"
    listed: str = "{}"


def _converted(value: str, kind: pa.DataType, forms: _Forms, depth: int = 0) -> str:
    """SQL that converts bytes, floats, instants and structs in lists, at any depth of a value."""
    if pa.types.is_binary(kind):
        return forms.binary.format(value)
    if pa.types.is_floating(kind):
        return forms.floating.format(value, sql_type(kind))
    if pa.types.is_timestamp(kind):
        return (forms.local if kind.tz is None else forms.instant).format(value)
    if pa.types.is_list(kind):
        inside = _converted(f"x{depth}", kind.value_type, forms, depth + 1)
        if pa.types.is_struct(kind.value_type):
            inside = forms.listed.format(inside)
        return value if inside == f"x{depth}" else f"transform({value}, x{depth} -> {inside})"
    if pa.types.is_struct(kind):
        parts = {field.name: _converted(f"{value}.{ident(field.name)}", field.type, forms, depth) for field in cast("Any", kind)}
        if any(part != f"{value}.{ident(name)}" for name, part in parts.items()):
            made = ", ".join(f"{literal(name)}, {part}" for name, part in parts.items())
            return f"CASE WHEN {value} IS NULL THEN NULL ELSE named_struct({made}) END"
    return value
