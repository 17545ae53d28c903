"""Queries that users write over a batch: what is refused, and the system columns put back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from lakekit.columns import is_system
from lakekit.engines.sql import WRITTEN, check_functions
from lakekit.errors import QueryError

_PLACE = "Batch.sql()"
_WAY_OUT = "use read_new_groups() with replace_groups() for aggregates, or lk.read() for a plain read."


def prepare(query: str, relations: Mapping[str, Sequence[str]], *, tracked: bool) -> str:
    """A user's query, checked, in lakekit's dialect.

    Args:
        query: The text.
        relations: Relation to its columns; the first is the batch itself.
        tracked: Whether the batch has a bookmark, so that rows must not be dropped or folded.

    Raises:
        QueryError: It can't be used.

    >>> prepare("SELECT a FROM batch", {"batch": ["a", "_write_id"]}, tracked=True)
    'SELECT a, batch.`_write_id` FROM batch'
    """
    try:
        tree = sqlglot.parse_one(query, read=WRITTEN)
    except SqlglotError:
        raise QueryError(_PLACE, "expected a query over the relation 'batch'", got=repr(query)) from None
    if not isinstance(tree, exp.Query):
        raise QueryError(_PLACE, "expected a SELECT", got=repr(query), hint="SELECT …  FROM batch")
    known = {*relations, *(cte.alias for cte in tree.find_all(exp.CTE))}
    if strange := sorted({table.name for table in tree.find_all(exp.Table)} - known):
        raise QueryError(
            _PLACE, "unknown relation", got=", ".join(strange), hint=f"there are: {', '.join(relations)}; give others by name."
        )
    if tracked:
        _refuse_folding(tree)
    check_functions(tree, place=_PLACE)
    _put_back(tree, relations["batch"])
    return tree.sql(dialect=WRITTEN)


def _refuse_folding(tree: exp.Query) -> None:
    refused = {
        "LIMIT": tree.find(exp.Limit, exp.Fetch, exp.Offset),
        "GROUP BY": tree.find(exp.Group),
        "DISTINCT": tree.find(exp.Distinct),
        "sampling": tree.find(exp.TableSample),
    }
    for words, found in refused.items():
        if found is not None:
            raise QueryError(_PLACE, f"{words} on a bookmarked batch would lose rows for ever", got=words, hint=_WAY_OUT)
    for aggregate in tree.find_all(exp.AggFunc):
        if aggregate.find_ancestor(exp.Window) is None:
            raise QueryError(
                _PLACE, "an aggregate over a bookmarked batch sees only this increment", got=aggregate.sql_names()[0].lower(), hint=_WAY_OUT
            )


def _put_back(tree: exp.Query, columns: Sequence[str]) -> None:
    if not isinstance(tree, exp.Select) or tree.find(exp.Group) is not None:
        return
    if any(aggregate.find_ancestor(exp.Window) is None for aggregate in tree.find_all(exp.AggFunc)):
        return
    source = next((table for table in tree.find_all(exp.Table) if table.name == "batch" and table.find_ancestor(exp.Select) is tree), None)
    if source is None or any(isinstance(item, exp.Star) for item in tree.expressions):
        return
    if any(
        isinstance(item, exp.Column) and isinstance(item.this, exp.Star) and item.table in {"", source.alias_or_name}
        for item in tree.expressions
    ):
        return
    given = {item.alias_or_name for item in tree.expressions}
    for name in columns:
        if is_system(name) and name not in given:
            tree.append("expressions", exp.column(exp.to_identifier(name, quoted=True), table=source.alias_or_name))
