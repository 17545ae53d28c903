"""Checks as SQL over a batch: which rows fail each, and how many."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, cast

import attrs
import pyarrow as pa

from lakekit import checks as kinds
from lakekit import columns as system
from lakekit.batch import Held, Tally
from lakekit.bookmark import hash63
from lakekit.engines import sql
from lakekit.engines.plan import Function, Node, Query, Scan
from lakekit.engines.types import ident
from lakekit.errors import ConfigError
from lakekit.incremental import target
from lakekit.incremental.record_key import record_key_sql
from lakekit.names import TableName
from lakekit.rules import ChainFunction, Rule

if TYPE_CHECKING:
    from lakekit.lake import Lake

FAILS = "_check_"
"""What the column begins with that says whether a row fails a check: `_check_0`."""


@attrs.frozen(eq=False)
class Rows:
    """Rows to be examined.

    Attributes:
        node: The rows.
        schema: The columns that a check may name.
        clean: Column to the SQL of its value, where that is not the column itself.
        live: SQL for the rows that are no deletes.
        written_by: The write that they are for, by the label of its table: its rows are no doubles of these. None: it isn't that table's.
    """

    lake: Lake
    node: Node
    schema: pa.Schema
    clean: Mapping[str, str]
    live: str
    written_by: Callable[[str], int | None]
    place: str


@attrs.define(eq=False)
class _Work:
    """What a query over the rows needs: a flag for each check, the tables it is joined with, and the functions it calls."""

    rows: Rows
    flags: list[str] = attrs.field(factory=list)
    joins: list[str] = attrs.field(factory=list)
    inputs: dict[str, Node] = attrs.field(factory=dict)
    functions: dict[str, Function] = attrs.field(factory=dict)


def named(given: Mapping[str, str | kinds.Check] | None, *, place: str) -> dict[str, kinds.Check]:
    """What a user wrote for ``checks=``, in one form.

    Raises:
        ConfigError: Anything else than names with SQL or checks.
    """
    if not isinstance(given or {}, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance] -- users are not type-checked
        raise ConfigError(f"{place}(checks=)", "expected a mapping of names to checks", got=f"a value of type {type(given).__name__}")
    found: dict[str, kinds.Check] = {}
    for name, check in (given or {}).items():
        if not isinstance(check, str | kinds.Check):  # pyright: ignore[reportUnnecessaryIsInstance]
            hint = "call it: checks.not_null(…)." if callable(check) else 'write SQL, or a check such as checks.unique("email").'
            got = f"a value of type {type(check).__name__}"
            raise ConfigError(f"{place}(checks={name!r})", "expected a check", got=got, hint=hint)
        found[name] = kinds.expression(check) if isinstance(check, str) else check
    return found


def examined(rows: Rows, checks: Mapping[str, kinds.Check]) -> Query:
    """The rows, each with a column that says whether it fails a check: `_check_0` for the first."""
    work = _Work(rows)
    for index, (name, check) in enumerate(checks.items()):
        fails = _fails(work, index, check, f"{rows.place}(checks={name!r})")
        work.flags.append(f"coalesce({fails}, false) AND {rows.live} AS `{FAILS}{index}`")
    words = f"SELECT rows.*, {', '.join(work.flags)} FROM rows{''.join(work.joins)}"
    return Query(words, {"rows": rows.node, **work.inputs}, work.functions)


def tally(node: Node, checks: Mapping[str, kinds.Check], live: str) -> Tally:
    """How many of the examined rows failed each check."""
    counts = "".join(f", count(CASE WHEN `{FAILS}{index}` THEN 1 END) AS c{index}" for index in range(len(checks)))
    words = f"SELECT count(CASE WHEN {live} THEN 1 END) AS n{counts} FROM rows"
    return Tally(Query(words, {"rows": node}), node, tuple(Held(name, check.severity, check.at_most) for name, check in checks.items()))


def _fails(work: _Work, index: int, check: kinds.Check, place: str) -> str:
    """SQL for a row that fails a check; NULL: it doesn't."""
    match check:
        case kinds.Condition():
            return _condition(work, check, place)
        case kinds.Pattern():
            return _pattern(work, check, place)
        case kinds.Unique():
            return _unique(work, index, check, place)
        case kinds.References():
            return _references(work, index, check, place)
        case _:
            raise ConfigError(place, "expected a check of lakekit.checks", got=f"a value of type {type(check).__name__}")


def _condition(work: _Work, check: kinds.Condition, place: str) -> str:
    words = sql.expression(check.words, work.rows.schema.names, place=place)
    return f"NOT ({sql.substituted(words, work.rows.clean)})"


def _pattern(work: _Work, check: kinds.Pattern, place: str) -> str:
    [value] = _values(work, (check.column,), place)
    chain = (check.rule,)
    name = f"lk_chain_{hash63(repr(chain))}"
    function = ChainFunction(cast("tuple[Rule, ...]", chain))
    work.functions[name] = Function(function, (pa.string(),), function.arrow_type())
    return f"{name}(CAST({value} AS STRING)).reason IS NOT NULL"


def _unique(work: _Work, index: int, check: kinds.Unique, place: str) -> str:
    rows = work.rows
    values = _values(work, check.columns, place)
    there = " AND ".join([rows.live, *(f"{value} IS NOT NULL" for value in values)])
    over = f"OVER (PARTITION BY {', '.join(values)})"
    if check.key:
        target.require_columns(rows.schema.names, check.key, place=place)
        key = f"CASE WHEN {there} THEN {sql.substituted(record_key_sql(rows.schema, check.key, place=place), rows.clean)} END"
        twice = f"min({key}) {over} <> max({key}) {over}"
    else:
        twice = f"count(CASE WHEN {there} THEN 1 END) {over} > 1"
    if check.table is None:
        return f"{there} AND {twice}"
    stored = _living(work, index, check.table, [*check.columns, *check.key], place, others=True)
    if check.key:
        work.inputs[f"batch_{index}"] = rows.node
        same = " AND ".join(f"s.{ident(name)} <=> b.{ident(name)}" for name in check.key)
        keys = ", ".join(f"{value} AS {ident(name)}" for name, value in zip(check.key, _values(work, check.key, place), strict=True))
        stored = f"SELECT s.* FROM ({stored}) s LEFT ANTI JOIN (SELECT {keys} FROM batch_{index} rows) b ON {same}"
    found = _joined(work, index, stored, check.columns, values)
    return f"{there} AND ({twice} OR {found})"


def _references(work: _Work, index: int, check: kinds.References, place: str) -> str:
    values = _values(work, check.columns, place)
    stored = _living(work, index, check.table, check.their, place)
    found = _joined(work, index, stored, check.their, values)
    return f"{' AND '.join(f'{value} IS NOT NULL' for value in values)} AND NOT {found}"


def _values(work: _Work, columns: Sequence[str], place: str) -> list[str]:
    """SQL for the values of columns, as the rules leave them."""
    target.require_columns(work.rows.schema.names, columns, place=place)
    return [work.rows.clean.get(name, f"rows.{ident(name)}") for name in columns]


def _living(work: _Work, index: int, table: TableName, columns: Sequence[str], place: str, *, others: bool = False) -> str:
    """SQL for the living rows of a table; ``others``: without those that the very write has put there which these rows are for."""
    rows = work.rows
    state = rows.lake.find(rows.lake.identifier(table, place=place)) if others else rows.lake.load(table, place=place)
    if state is None:  # its first write
        nothing = ", ".join(f"{value} AS {ident(name)}" for name, value in zip(columns, _values(work, columns, place), strict=True))
        work.inputs[f"table_{index}"] = Query(f"SELECT {nothing} FROM rows WHERE false", {"rows": rows.node})
        return f"SELECT * FROM table_{index}"
    target.require_columns(state.schema.names, columns, place=f"{place}: {state.label}")
    work.inputs[f"table_{index}"] = Scan(state, state.head)
    where = [f"`{system.DELETED_AT}` IS NULL"] if system.DELETED_AT in state.schema.names else []
    own = rows.written_by(state.label) if others and system.WRITE_ID in state.schema.names else None
    if own is not None:
        where.append(f"NOT (`{system.WRITE_ID}` <=> {own})")
    listed = ", ".join(map(ident, dict.fromkeys(columns)))
    return f"SELECT {listed} FROM table_{index}{' WHERE ' if where else ''}{' AND '.join(where)}"


def _joined(work: _Work, index: int, stored: str, columns: Sequence[str], values: Sequence[str]) -> str:
    """Join the rows with the distinct values of another table. Gives SQL for: there are such."""
    listed = ", ".join(f"{ident(name)} AS v{number}" for number, name in enumerate(columns))
    same = " AND ".join(f"r{index}.v{number} = {value}" for number, value in enumerate(values))
    work.joins.append(f" LEFT JOIN (SELECT DISTINCT {listed}, true AS hit FROM ({stored})) r{index} ON {same}")
    return f"coalesce(r{index}.hit, false)"
