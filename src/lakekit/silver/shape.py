"""where, select, union_by_name: which rows and columns go on. System columns always do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import attrs

from lakekit import columns as system
from lakekit.batch import Batch
from lakekit.engines import sql
from lakekit.engines.plan import Node, Query
from lakekit.engines.types import ident, sql_type
from lakekit.errors import ConfigError, QueryError, SchemaError
from lakekit.incremental import sides


def lit(value: object) -> str:
    """A Python value as an SQL literal, for `select` and `where`.

    >>> lit("postgres"), lit(3), lit(None)
    ("'postgres'", '3', 'NULL')
    """
    return sql.literal(value)


def where(batch: Batch, condition: str, *, otherwise: Literal["delete", "drop"] = "delete") -> Batch:
    """The rows for which a condition holds.

    A row that does not match (any more) is passed on as a delete, so that a stored version of it goes downstream too; ``"drop"`` leaves it
    out, and a stored version stays. NULL counts as not matching. Either way the row counts as consumed.

    Args:
        batch: The rows.
        condition: An SQL expression over the columns.
        otherwise: What becomes of the others.

    Raises:
        QueryError: The condition doesn't parse, or names an unknown column or function.

    >>> import lakekit as lk, tempfile
    >>> batch = lk.from_frame(lk.connect(tempfile.mkdtemp()), [{"id": 1, "price": 2}, {"id": 2, "price": 9}], run_id="a")
    >>> lk.where(batch, "price < 5", otherwise="drop").count()
    1
    """
    if otherwise not in ("delete", "drop"):
        raise ConfigError("where(otherwise=)", "expected 'delete' or 'drop'", got=repr(otherwise))
    checked = sql.expression(condition, batch.columns, place="where()")
    sides.refuse_derived(batch, sql.columns_of(checked), place="where()", hint="filter before lookup(), or when it is read.")
    if otherwise == "drop" or system.OPERATION not in batch.columns:
        return batch.then(f"SELECT * FROM batch WHERE {checked}")
    operation = f"CASE WHEN coalesce({checked}, false) THEN `{system.OPERATION}` ELSE '{system.DELETE}' END AS `{system.OPERATION}`"
    return batch.then(f"SELECT * EXCEPT (`{system.OPERATION}`), {operation} FROM batch")


def select(batch: Batch, columns: Mapping[str, str], *, rest: Literal["keep", "drop"] = "drop", drop: Sequence[str] = ()) -> Batch:
    """New columns by SQL expressions, in this order. System columns go on by themselves.

    Args:
        batch: The rows.
        columns: Name to SQL expression over the batch's columns. ``{"amount": "total"}`` renames.
        rest: Whether the columns that no expression uses are kept (``"keep"``) or left behind (``"drop"``, named in the commit's
            ``columns_not_carried``, so that a new source column is not lost in silence).
        drop: Columns to leave out on purpose.

    Raises:
        QueryError: An expression doesn't parse, or names an unknown column or function.
        SchemaError: A name is one that lakekit keeps for itself, or ``drop`` names an unknown column.
        ConfigError: ``columns`` is no mapping.

    >>> import lakekit as lk, tempfile
    >>> batch = lk.from_frame(lk.connect(tempfile.mkdtemp()), [{"id": 1, "price": 2, "quantity": 3}], run_id="a")
    >>> lk.select(batch, {"id": "id", "amount": "price * quantity"}).business_columns
    ['id', 'amount']
    """
    if rest not in ("keep", "drop"):
        raise ConfigError("select(rest=)", "expected 'keep' or 'drop'", got=repr(rest))
    if not isinstance(columns, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance] -- users are not type-checked
        raise ConfigError(
            "select(columns=)",
            "expected names and the expressions they are made of",
            got=type(columns).__name__,
            hint="write {'amount': 'price * quantity', 'order_id': 'order_id'}.",
        )
    system.refuse_reserved(columns, place="select()")
    unknown = [name for name in drop if name not in batch.columns]
    if unknown:
        raise sql.unknown_column(unknown[0], batch.business_columns, place="select(drop=)")
    checked = {name: sql.expression(words, batch.columns, place=f"select({name!r})") for name, words in columns.items()}
    used = {name for words in checked.values() for name in sql.columns_of(words)}
    renamed = {name for words in checked.items() for name in sql.columns_of(words[1]) if words != (name, ident(name))}
    sides.refuse_derived(batch, renamed, place="select()", hint="select() before lookup().")
    others = [name for name in batch.business_columns if name not in used and name not in checked and name not in drop]
    kept = others if rest == "keep" else []
    items = [f"{words} AS {ident(name)}" for name, words in checked.items()]
    items += [ident(name) for name in kept]
    items += [ident(name) for name in batch.columns if system.is_system(name)]
    left = tuple(name for name in others if name not in kept)
    key = tuple(_renamed(name, checked) for name in batch.key)
    carried = key if all(name in checked or name in kept for name in key) else ()
    unknown_types = {ident(name) for name in batch.untyped}
    untyped = (*(name for name, words in checked.items() if words in unknown_types), *(name for name in kept if name in batch.untyped))
    lineage = {upstream: one.selected(checked, rest=rest == "keep") for upstream, one in batch.lineage.items()}
    left_behind = (*batch.not_carried, *left)
    return batch.then(f"SELECT {', '.join(items)} FROM batch", not_carried=left_behind, key=carried, untyped=untyped, lineage=lineage)


def _renamed(name: str, columns: Mapping[str, str]) -> str:
    plain = {ident(name), *(f"CAST({ident(name)} AS {words})" for words in ("STRING", "BIGINT"))}
    return next((new for new, words in columns.items() if words in plain), name)


def union_by_name(*batches: Batch) -> Batch:
    """The rows of several batches, columns matched by name; one that a batch lacks is NULL there. Their bookmarks are united.

    Raises:
        ConfigError: Fewer than two batches.
        QueryError: One upstream was read over two different ranges, or the batches were read for different tables.
        SchemaError: A column has types that don't fit together.

    >>> import lakekit as lk, tempfile
    >>> lake = lk.connect(tempfile.mkdtemp())
    >>> both = lk.union_by_name(lk.from_frame(lake, [{"a": 1}], run_id="x"), lk.from_frame(lake, [{"b": "y"}], run_id="x"))
    >>> both.to_arrow().select(["a", "b"]).to_pylist()
    [{'a': 1, 'b': None}, {'a': None, 'b': 'y'}]
    """
    if len(batches) < 2:
        raise ConfigError("union_by_name()", "expected at least two batches", got=str(len(batches)))
    for batch in batches:
        sides.refuse_sides(batch, place="union_by_name()", hint="call lookup() and with_identity() on the union.")
    first = batches[0]
    into = {batch.into for batch in batches if batch.into is not None}
    if len(into) > 1:
        raise QueryError(
            "union_by_name()", "the batches were read for different tables", got=", ".join(sorted(".".join(name) for name in into))
        )
    types = _common_types(batches)
    parts: list[str] = []
    inputs: dict[str, Node] = {}
    for index, batch in enumerate(batches):
        names = set(batch.columns)
        items = [f"CAST({ident(name) if name in names else 'NULL'} AS {words}) AS {ident(name)}" for name, words in types.items()]
        parts.append(f"SELECT {', '.join(items)} FROM part_{index}")
        inputs[f"part_{index}"] = batch.node
    bookmark = first.bookmark
    for batch in batches[1:]:
        bookmark = bookmark.union(batch.bookmark)
    return attrs.evolve(
        first,
        node=Query(" UNION ALL ".join(parts), inputs),
        bookmark=bookmark,
        into=next(iter(into), None),
        key=first.key if all(batch.key == first.key for batch in batches) else (),
        rejects=tuple(item for batch in batches for item in batch.rejects),
        tallies=tuple(item for batch in batches for item in batch.tallies),
        audits=tuple(item for batch in batches for item in batch.audits),
        not_carried=tuple(dict.fromkeys(name for batch in batches for name in batch.not_carried)),
        lineage={upstream: one for batch in batches for upstream, one in batch.lineage.items()},
        untyped=tuple(name for name in types if all(name in batch.untyped for batch in batches if name in batch.columns)),
    )


def _common_types(batches: Sequence[Batch]) -> dict[str, str]:
    """Column to the SQL type that holds it in every batch: business columns first, in order of appearance."""
    import pyarrow as pa

    names = list(dict.fromkeys(name for batch in batches for name in batch.columns))
    ordered = [name for name in names if not system.is_system(name)] + [name for name in names if system.is_system(name)]
    types: dict[str, str] = {}
    for name in ordered:
        there = [batch for batch in batches if name in batch.columns]
        given = [batch.schema.field(name).type for batch in [b for b in there if name not in b.untyped] or there]
        try:
            common = pa.unify_schemas([pa.schema([pa.field(name, kind)]) for kind in given], promote_options="permissive").field(name).type
        except pa.ArrowTypeError:
            shown = " and ".join(dict.fromkeys(sql_type(kind) for kind in given))
            raise SchemaError(
                f"union_by_name(): column {name!r}", "types don't fit together", got=shown, hint="CAST it in a select() before."
            ) from None
        types[name] = sql_type(common)
    return types
