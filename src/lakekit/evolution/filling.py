"""What fills a column: the values of the table above by the key, and the rows that are NULL where it has one. Pure SQL."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lakekit import columns as system
from lakekit.engines.plan import Node, Query, Scan, TableState
from lakekit.engines.sql import literal
from lakekit.engines.types import ident, sql_type
from lakekit.errors import ConfigError, SchemaError
from lakekit.evolution.differences import Change, Path
from lakekit.incremental import contract
from lakekit.incremental.order import nth, order_columns

if TYPE_CHECKING:
    import pyarrow as pa

    from lakekit.engines.protocol import Session

Fills = Mapping[str, tuple[Path, ...]]
"""Columns, and the fields inside of each that are filled; ``()`` is the column itself."""


def values_of(session: Session, source: TableState, upper: Node, words: Mapping[str, str], key: Sequence[str], *, place: str) -> Node:
    """What the table above says now for each key: of several rows of one key, the last one's."""
    there = session.schema(upper).names
    if missing := [name for name in key if words[name] == ident(name) and name not in there]:
        raise ConfigError(
            place,
            f"{source.label} lacks columns of the key",
            got=", ".join(map(repr, missing)),
            hint="say in path= what they are there.",
        )
    made = ", ".join(f"{expression} AS {ident(f'_new_{name}')}" for name, expression in words.items())
    rows = Query(f"SELECT *, {made} FROM upper", {"upper": upper})
    if {ident(name) for name in contract.key(source)} == {words[name] for name in key}:  # there is one row of each
        once = "SELECT * FROM rows"
    else:
        order = order_columns(there, None, place=place)
        numbered = nth(session.schema(rows), [f"_new_{name}" for name in key], order)
        once = f"SELECT * FROM (SELECT *, {numbered} AS _nth FROM rows) WHERE _nth = 1"
    alive = "" if system.OPERATION not in there else f" AND {ident(system.OPERATION)} <> '{system.DELETE}'"
    picked = ", ".join(ident(f"_new_{name}") for name in words)
    return session.stage(Query(f"SELECT {picked} FROM ({once}) WHERE true{alive}", {"rows": rows}))


def filled(
    session: Session, state: TableState, values: Node, key: Sequence[str], new: Fills, write_id: int, *, after: pa.Schema | None = None
) -> Query:
    """The rows that are NULL in a new column for which there is a value now. ``after``: the table's columns as they would be, in a dry run."""
    own = {name: _now(name, state.schema, after or state.schema, inner) for name, inner in new.items() if name in state.schema.names}
    own |= {system.WRITE_ID: f"CAST({write_id} AS BIGINT)"}
    columns = [f"{own.get(name, f'd.{ident(name)}')} AS {ident(name)}" for name in state.schema.names]
    columns += [f"d.{name}" for name in session.places]
    wanted = " OR ".join(f"({_empty(name, state.schema, path)})" for name, inner in new.items() for path in inner) or "false"
    return Query(
        f"SELECT {', '.join(columns)}, 'update' AS _change FROM stored d JOIN found v ON {_same(key)} WHERE {wanted}",
        {"stored": Scan(state, state.head, places=True), "found": values},
        ordered=True,
    )


def overlaid(state: TableState, values: Node, key: Sequence[str], new: Fills, after: pa.Schema) -> Node:
    """A table's rows, filled."""
    columns = [f"d.{ident(name)}" for name in state.schema.names if name not in new]
    columns += [f"{_now(name, state.schema, after, new[name])} AS {ident(name)}" for name in new]
    return Query(
        f"SELECT {', '.join(columns)} FROM stored d LEFT JOIN found v ON {_same(key)}",
        {"stored": Scan(state, state.head), "found": values},
    )


def with_columns(state: TableState, added: Sequence[Change]) -> Node:
    """A table's rows, with columns that it lacks still."""
    missing = [
        f"CAST(NULL AS {sql_type(change.after)}) AS {ident(change.name)}"
        for change in added
        if len(change.path) == 1 and change.after is not None and change.name not in state.schema.names
    ]
    return Query(f"SELECT {', '.join(['*', *missing])} FROM stored", {"stored": Scan(state, state.head)})


def lacking(state: TableState, made: pa.Schema, new: Fills, *, place: str) -> list[Change]:
    """The columns and fields that the table lacks.

    Raises:
        SchemaError: One is there as another type.
    """
    import pyarrow as pa

    changes: list[Change] = []
    for field in made:
        if field.name not in state.schema.names:
            changes.append(Change("additive", (field.name,), None, field.type))
            continue
        own = state.schema.field(field.name).type
        for path in new[field.name]:
            there, wanted = at(own, path), at(field.type, path)
            if there is None and path and isinstance(at(own, path[:-1]), pa.StructType):
                changes.append(Change("additive", (field.name, *path), None, wanted))
            elif there != wanted:
                inside = (field.name,) if there is None else (field.name, *path)
                raise SchemaError(
                    f"{place}, column {'.'.join(inside)!r}",
                    f"expected {sql_type(own if there is None else there)}",
                    got=sql_type(field.type if there is None or wanted is None else wanted),
                    hint="give an expression that casts it.",
                )
    return changes


def _now(name: str, schema: pa.Schema, after: pa.Schema, inner: Collection[Path]) -> str:
    """SQL for a column that is filled: what it has, else what it gets."""
    got = f"v.{ident(f'_new_{name}')}"
    return _value(f"d.{ident(name)}", got, schema.field(name).type, after.field(name).type, inner) if name in schema.names else got


def _value(has: str, got: str, old: Any, kind: Any, inner: Collection[Path]) -> str:
    """The same for a value, of which only some fields may be filled: a struct that is NULL stays so."""
    if () in inner or not inner:
        return f"coalesce({has}, {got})" if inner else has
    known = {field.name: field.type for field in old}
    parts: list[str] = []
    for field in kind:
        own, theirs = (f"{side}.{ident(field.name)}" for side in (has, got))
        deeper = [path[1:] for path in inner if path[0] == field.name]
        value = _value(own, theirs, known[field.name], field.type, deeper) if field.name in known else theirs
        parts.append(f"{literal(field.name)}, {value}")
    return f"CASE WHEN {has} IS NOT NULL THEN named_struct({', '.join(parts)}) END"


def _empty(name: str, schema: pa.Schema, path: Path) -> str:
    """SQL for where a value is NULL, in a struct that is not, and another one is there to fill it."""
    there = name in schema.names and at(schema.field(name).type, path) is not None  # in a dry run, it may not be
    has, got = (".".join(map(ident, (first, *path))) for first in (name, f"_new_{name}"))
    around = [f"d.{'.'.join(map(ident, (name, *path[:-1])))} IS NOT NULL"] if path else []
    return " AND ".join([*around, *([f"d.{has} IS NULL"] if there else []), f"v.{got} IS NOT NULL"])


def at(kind: Any, path: Path) -> pa.DataType | None:
    """The type inside of structs. None: there is nothing."""
    import pyarrow as pa

    for name in path:
        if not pa.types.is_struct(kind) or kind.get_field_index(name) < 0:
            return None
        kind = kind.field(name).type
    return kind


def _same(key: Sequence[str]) -> str:
    return " AND ".join(f"d.{ident(name)} <=> v.{ident(f'_new_{name}')}" for name in key)
