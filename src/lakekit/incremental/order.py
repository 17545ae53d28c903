"""Which of two rows of one key is later: the one total order that latest, merge and ingest_deletes share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

from lakekit import columns as system
from lakekit.engines import json_forms
from lakekit.engines.functions import family
from lakekit.engines.types import dotted, ident, sql_type
from lakekit.errors import ConfigError
from lakekit.incremental.target import require_columns
from lakekit.names import Columns
from lakekit.names import columns as as_columns

if TYPE_CHECKING:
    import pyarrow as pa

DEFAULT_ORDER: Final = (system.SOURCE_LSN, system.SOURCE_TIMESTAMP, system.KAFKA_PARTITION, system.KAFKA_OFFSET, system.INGESTION_TIMESTAMP)

_ARRIVAL: Final = frozenset({system.KAFKA_PARTITION, system.KAFKA_OFFSET, system.INGESTION_TIMESTAMP})


def order_columns(names: Sequence[str], order_by: Columns | None, *, place: str) -> tuple[str, ...]:
    """The columns that say which row is later, most telling first."""
    if order_by is None:
        return tuple(name for name in DEFAULT_ORDER if name in names)
    given = as_columns(order_by, place=place)
    require_columns(names, given, place=place)
    return given


def nth(schema: pa.Schema, keys: Sequence[str], order: Sequence[str]) -> str:
    """SQL that numbers the rows of each key, the last one first, by a total order."""
    last = [f"{place} DESC NULLS LAST" for place in ranks(schema, order)]
    last.append(f"{digest(schema)} DESC")
    return f"row_number() OVER (PARTITION BY {', '.join(dotted(name, schema) for name in keys)} ORDER BY {', '.join(last)})"


def ranks(schema: pa.Schema, order: Sequence[str], *, prefix: str = "") -> list[str]:
    """SQL for what the rows of a key are ordered by, most telling first: the greatest is last, NULL first.

    Rows that are equal in all of it are told apart by their digest.
    """
    found = [_place(name, order, prefix) for name in order]
    if system.OPERATION in schema.names:
        found.append(f"CASE WHEN {prefix}{ident(system.OPERATION)} = '{system.DELETE}' THEN 1 ELSE 0 END")
    return found


def _place(name: str, order: Sequence[str], prefix: str = "") -> str:
    """SQL for what a row is ordered by. Where its place in the source's log is known, it doesn't matter when or by which way it came."""
    value = f"{prefix}{ident(name)}"
    if name in _ARRIVAL and system.SOURCE_LSN in order:
        return f"CASE WHEN {prefix}{ident(system.SOURCE_LSN)} IS NULL THEN {value} END"
    return value


def digest(fields: Iterable[pa.Field[Any]], *, prefix: str = "") -> str:
    """SQL for a digest of a row's business columns: NULL and '' differ, and so do ('a', 'bc') and ('ab', 'c').

    The same on each engine.
    """
    parts: list[str] = []
    for field in sorted((field for field in fields if not system.is_system(field.name)), key=lambda field: field.name):
        text = _text(f"{prefix}{ident(field.name)}", field.type)
        parts.append(f"coalesce(md5({text}), '-')")  # of each by itself: rows of large texts need not be held once more as one
    return f"md5(concat({', '.join(parts)}))" if parts else "''"


def _text(value: str, kind: pa.DataType) -> str:
    import pyarrow as pa

    if pa.types.is_floating(kind):
        return f"lk_double({value})"
    if pa.types.is_nested(kind):
        return f"lk_to_json(named_struct('v', {json_forms.printable(value, kind, floating='lk_double({})')}))"
    try:
        words = sql_type(kind)
        family(words)
    except ConfigError:
        return f"CAST({value} AS STRING)"
    return f"lk_plain({value}, '{words}')"


def newer(order: Sequence[str], one: str, other: str) -> str:
    """SQL that gives 1, 0 or -1: whether one row is later than the other. NULL is earliest.

    >>> newer([], "s", "t")
    '0'
    """
    text = "0"
    for name in reversed(order):
        a, b = _place(name, order, f"{one}."), _place(name, order, f"{other}.")
        text = f"CASE WHEN {a} <=> {b} THEN {text} WHEN {b} IS NULL OR {a} > {b} THEN 1 ELSE -1 END"
    return text
