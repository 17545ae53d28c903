"""SQL written once, in the Databricks dialect (Spark, ANSI), and rendered for the engine at hand through SQLGlot."""

from __future__ import annotations

import difflib
import functools
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Final, Literal

import sqlglot
from sqlglot import exp
from sqlglot.errors import ParseError, SqlglotError

from lakekit.engines import functions
from lakekit.errors import QueryError

Dialect = Literal["duckdb", "spark"]
WRITTEN: Final = "databricks"

FUNCTIONS: Final[Mapping[str, str]] = {
    "text": "concat concat_ws length lower ltrim replace rtrim substring trim upper",
    "numbers": "abs ceil floor greatest least mod round sign",
    "nulls": "coalesce if ifnull nullif nvl",
    "time": "date_add date_trunc datediff day hour minute month second to_date unix_micros year",
    "tests": "contains endswith isnan startswith",
    "hashes": "md5 sha2",
    "aggregates": "count max min sum",
    "windows": "dense_rank lag lead rank row_number",
}
"""The functions that mean the same on every engine. Each is tested."""

_ALLOWED: Final = frozenset(" ".join(FUNCTIONS.values()).split())
_PLACE: Final = "lk_relation_{}_"
_ID: Final = re.compile(r"\b[0-9]{12,}\b")
_ID_PLACE: Final = "9{:011}"
# SQLGlot parses these out of operators and keywords; they are SQL itself, not functions by name.
_SYNTAX: Final = (exp.Cast, exp.Case, exp.And, exp.Or, exp.Xor, exp.TsOrDsToDate, exp.TsOrDsAdd, exp.TimestampTrunc, exp.DateTrunc)


def render(sql: str, dialect: Dialect, relations: Mapping[str, str]) -> str:
    """Render lakekit's own SQL for an engine.

    Args:
        sql: The text, in the one dialect.
        dialect: The engine's.
        relations: The names of relations in the text, and what they are called in the engine.

    >>> render("SELECT `a` FROM rows WHERE b <=> 1", "duckdb", {"rows": "n0"})
    'SELECT "a" FROM n0 AS rows WHERE b IS NOT DISTINCT FROM 1'
    >>> [render(f"SELECT {number} AS n, 9000000000 AS m FROM rows", "duckdb", {"rows": name})[7:] for number, name in ((10**12, "a"), (9 * 10**11, "b"))]
    ['1000000000000 AS n, 9000000000 AS m FROM a AS rows', '900000000000 AS n, 9000000000 AS m FROM b AS rows']
    """
    names = tuple(sorted(relations))
    ids = {number: _ID_PLACE.format(place) for place, number in enumerate(dict.fromkeys(_ID.findall(sql)))}
    text = _rendered(_ID.sub(lambda found: ids[found[0]], sql), dialect, names)
    for place, name in enumerate(names):
        text = text.replace(_PLACE.format(place), exp.to_identifier(relations[name]).sql(dialect=dialect))
    held = {place: number for number, place in ids.items()}
    return _ID.sub(lambda found: held.get(found[0], found[0]), text)


@functools.lru_cache(maxsize=1024)
def _rendered(sql: str, dialect: Dialect, names: Sequence[str]) -> str:
    """The text with places for relations and ids: the same steps come again and again, on other relations and in other runs."""
    places = {name: _PLACE.format(place) for place, name in enumerate(names)}
    tree = sqlglot.parse_one(sql, read=WRITTEN)
    shadowed = {cte.alias for cte in tree.find_all(exp.CTE)}
    for table in tree.find_all(exp.Table):
        if table.name in places and table.name not in shadowed and not table.db:
            if not table.alias:
                table.set("alias", exp.TableAlias(this=exp.to_identifier(table.name)))
            table.set("this", exp.to_identifier(places[table.name]))
    if dialect == "duckdb":
        for added in reversed(list(tree.find_all(exp.TsOrDsAdd))):  # a date plus days is a timestamp there; inner ones first
            added.replace(exp.cast(added.copy(), exp.DType.DATE))
    return (functions.expand(tree, dialect) if functions.PREFIX in sql.lower() else tree).sql(dialect=dialect, copy=False)


def expression(sql: str, columns: Collection[str], *, place: str) -> str:
    """A user's SQL expression over one row, checked: it parses, its columns exist, its functions mean the same on every engine.

    Returns:
        The expression, with every column quoted.

    Raises:
        QueryError: It doesn't parse, names an unknown column, or calls a function that isn't on the list.

    >>> expression("price * quantity", ["price", "quantity"], place="select()")
    '`price` * `quantity`'
    >>> expression("prize", ["price"], place="select()")
    Traceback (most recent call last):
    lakekit.errors.QueryError: select(): unknown column, got 'prize'.
    Hint: did you mean 'price'?
    """
    try:
        tree = sqlglot.parse_one(sql, read=WRITTEN)
    except SqlglotError as error:
        detail = error.errors[0] if isinstance(error, ParseError) and error.errors else {}
        where = f"character {detail['col']}" if detail.get("col") else "its end"
        raise QueryError(place, f"expected an SQL expression; it stops making sense at {where}", got=repr(sql)) from None
    if isinstance(tree, exp.Query) or tree.find(exp.Query):
        raise QueryError(place, "expected an expression over one row, not a query", got=repr(sql), hint="use Batch.sql() for a query.")
    if tree.find(exp.AggFunc, exp.Window):
        raise QueryError(
            place, "an expression over one row can't aggregate", got=repr(sql), hint="use read_new_groups() and replace_groups()."
        )
    check_functions(tree, place=place)
    known = {name.lower(): name for name in columns}
    for column in tree.find_all(exp.Column):
        first = column.parts[0]
        if first.name.lower() not in known:
            raise unknown_column(first.name, columns, place=place)
        first.replace(exp.to_identifier(known[first.name.lower()], quoted=True))
    return tree.sql(dialect=WRITTEN)


def check_functions(tree: exp.Expr, *, place: str) -> None:
    """Raise where SQL calls a function whose meaning differs between the engines."""
    for call in tree.find_all(exp.Func):
        if isinstance(call, _SYNTAX):
            continue
        names = {call.name.lower()} if isinstance(call, exp.Anonymous) else {name.lower() for name in call.sql_names()}
        if not names & _ALLOWED:
            raise QueryError(
                place,
                "this function is not known to mean the same on every engine",
                got=repr(min(names)),
                hint="sql_functions() lists those that do; use Batch.apply() for anything else.",
            )


def unknown_column(name: str, columns: Collection[str], *, place: str) -> QueryError:
    """The error for a column that isn't there, with the nearest one that is."""
    shown = ", ".join(list(columns)[:12])
    hint = f"there are: {shown}."
    if close := difflib.get_close_matches(name, columns, n=1):
        hint = f"did you mean {close[0]!r}?" if close[0].isidentifier() else f"did you mean {close[0]!r}? Quote it in SQL: `{close[0]}`."
    return QueryError(place, "unknown column", got=repr(name), hint=hint)


def literal(value: object) -> str:
    r"""A Python value as an SQL literal in lakekit's SQL.

    >>> literal("it's"), literal(None), literal(3)
    ("'it\\'s'", 'NULL', '3')
    """
    return exp.convert(value).sql(dialect=WRITTEN)


def double(value: float) -> str:
    """A number as a DOUBLE in lakekit's SQL: without an exponent it would be a DECIMAL.

    >>> double(0.5), double(-3), double(1e-9)
    ('0.5E0', '-3.0E0', '1e-09')
    """
    text = repr(float(value))
    return text if "e" in text else f"{text}E0"


def substituted(checked: str, columns: Mapping[str, str]) -> str:
    """An expression (already checked) with other expressions in place of some of its columns.

    >>> substituted("`a` * `b`", {"a": "`c` + 1"})
    '(`c` + 1) * `b`'
    """
    tree = sqlglot.parse_one(checked, read=WRITTEN)

    def one(node: exp.Expr) -> exp.Expr:
        if not isinstance(node, exp.Column) or len(node.parts) > 1 or node.name not in columns:
            return node
        made = sqlglot.parse_one(columns[node.name], read=WRITTEN)
        return exp.paren(made, copy=False) if isinstance(made, exp.Binary) and isinstance(node.parent, exp.Binary | exp.Unary) else made

    return tree.transform(one).sql(dialect=WRITTEN)


def columns_of(checked: str) -> set[str]:
    """The columns an expression (already checked) reads.

    >>> sorted(columns_of("`price` * `quantity`"))
    ['price', 'quantity']
    """
    return {column.parts[0].name for column in sqlglot.parse_one(checked, read=WRITTEN).find_all(exp.Column)}
