"""Checks: what `clean` and `audit` hold rows to, beyond what a rule says of one value.

A check is a frozen value with a name of your own, which the rejects, the log and the commit tell it by:

    checks={"adult": "age >= 18", "one account each": checks.unique("email", key="user_id"), "known shop": checks.references("shop", "silver.shops")}

They see the columns as the rules have left them. NULL meets every check but ``not_null``, as in SQL. What a failing row leads to:

- ``severity="reject"``: the row goes to the rejects, with the check as its rule. The default.
- ``"warn"``: it is written all the same, counted in ``Commit.checks`` and logged.
- ``"fail"``: nothing is written, and a `ContractError` says how many rows there are.

``at_most=`` is the fraction of the rows that may fail: above it, ``fail`` raises (default: one row is enough), ``warn`` logs, and ``reject``
raises too (default: it never does). In an audit, where the rows are written, ``reject`` is ``fail``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypedDict

import attrs

from lakekit.engines import sql
from lakekit.engines.types import ident
from lakekit.errors import ConfigError
from lakekit.names import TableName
from lakekit.rules import matches as matching
from lakekit.rules.checks import Matches

Severity = Literal["reject", "warn", "fail"]
Columns = str | Sequence[str]

__all__ = ["Check", "between", "expression", "matches", "not_null", "one_of", "references", "unique"]


@attrs.frozen(kw_only=True)
class Check:
    """What the functions of this module make: how severe a check is. What it examines is in the classes below."""

    severity: Severity
    at_most: float | None
    reason: str


@attrs.frozen(kw_only=True)
class Condition(Check):
    """SQL that holds for a good row."""

    words: str


@attrs.frozen(kw_only=True)
class Pattern(Check):
    """A column whose texts match a regular expression."""

    column: str
    rule: Matches


@attrs.frozen(kw_only=True)
class Unique(Check):
    """Columns whose values no two rows share, in the batch and, where it is named, in a table."""

    columns: tuple[str, ...]
    key: tuple[str, ...]
    table: TableName | None


@attrs.frozen(kw_only=True)
class References(Check):
    """Columns whose values stand in a row of a table."""

    columns: tuple[str, ...]
    table: TableName
    their: tuple[str, ...]


def not_null(*columns: str, severity: Severity = "reject", at_most: float | None = None) -> Condition:
    """None of these columns is NULL.

    Raises:
        ConfigError: no column, or an unknown choice.

    >>> not_null("email").words
    '`email` IS NOT NULL'
    """
    names = _columns("not_null", columns)
    words = " AND ".join(f"{ident(name)} IS NOT NULL" for name in names)
    return Condition(words=words, reason="null", **_severity("not_null", severity, at_most))


def one_of(column: str, *values: object, severity: Severity = "reject", at_most: float | None = None) -> Condition:
    """A column has one of these values, exactly.

    Raises:
        ConfigError: no value, or an unknown choice.

    >>> one_of("status", "open", "paid").words
    "`status` IN ('open', 'paid')"
    """
    [name] = _columns("one_of", (column,))
    if not values or None in values:
        raise ConfigError("checks.one_of(*values)", "expected values", got="NULL" if values else "none", hint="NULL passes anyway.")
    words = f"{ident(name)} IN ({', '.join(map(sql.literal, values))})"
    return Condition(words=words, reason="not_in_list", **_severity("one_of", severity, at_most))


def between(
    column: str, least: object = None, greatest: object = None, *, severity: Severity = "reject", at_most: float | None = None
) -> Condition:
    """A column is at least and at most so much; None: no bound at that side. Dates and decimals are compared as such.

    Raises:
        ConfigError: no bound, or an unknown choice.

    >>> between("age", 0, 120).words, between("price", 0).words
    ('`age` >= 0 AND `age` <= 120', '`price` >= 0')
    """
    [name] = _columns("between", (column,))
    bounds = [f"{ident(name)} {sign} {sql.literal(bound)}" for sign, bound in ((">=", least), ("<=", greatest)) if bound is not None]
    if not bounds:
        raise ConfigError("checks.between(least, greatest)", "expected a bound", got="none")
    return Condition(words=" AND ".join(bounds), reason="out_of_range", **_severity("between", severity, at_most))


def matches(column: str, pattern: str, *, severity: Severity = "reject", at_most: float | None = None) -> Pattern:
    """The whole text of a column matches a regular expression of Python's.

    Raises:
        ConfigError: the pattern is no regular expression, or an unknown choice.

    >>> matches("code", "[A-Z]{2}[0-9]+").rule.scalar("DE12").reason is None
    True
    """
    [name] = _columns("matches", (column,))
    return Pattern(column=name, rule=matching(pattern), reason="no_match", **_severity("matches", severity, at_most))


def unique(
    *columns: str, key: Columns = (), table: TableName | None = None, severity: Severity = "reject", at_most: float | None = None
) -> Unique:
    """No two rows share the values of these columns. All that do fail: which of them is the right one can't be told.

    Args:
        columns: What must be unique, taken together. A row with NULL in one of them passes.
        key: What tells rows apart, where the batch may hold several versions of one: versions of one row may share the values.
        table: The table that is written, whose living rows they are compared with too, as it stands when the batch is cleaned. With
            ``key``, rows that the batch has a newer version of are left out.
        severity: What a failing row leads to.
        at_most: The fraction of rows that may fail.

    Raises:
        ConfigError: no column, or an unknown choice.

    >>> unique("email", key="user_id", table="silver.users").key
    ('user_id',)
    """
    names = _columns("unique", columns)
    keys = (key,) if isinstance(key, str) else tuple(key)
    return Unique(columns=names, key=keys, table=table, reason="not_unique", **_severity("unique", severity, at_most))


def references(
    columns: Columns, table: TableName, *, their: Columns | None = None, severity: Severity = "reject", at_most: float | None = None
) -> References:
    """The values of these columns stand in a living row of a table, as it stands when the batch is cleaned.

    A row that comes before the one it refers to fails: where it should wait, use ``severity="warn"``, or `lookup`, which follows later.

    Args:
        columns: The columns of the batch. A row with NULL in one of them passes.
        table: The other table.
        their: Its columns. Default: those of the same names.
        severity: What a failing row leads to.
        at_most: The fraction of rows that may fail.

    Raises:
        ConfigError: not as many columns there as here, or an unknown choice. In `clean`, TableNotFoundError: there is no such table.

    >>> references("country", "silver.countries", their="code").their
    ('code',)
    """
    names = _columns("references", (columns,) if isinstance(columns, str) else tuple(columns))
    others = names if their is None else (their,) if isinstance(their, str) else tuple(their)
    if len(others) != len(names):
        raise ConfigError("checks.references(their=)", f"expected {len(names)} columns", got=str(len(others)))
    return References(columns=names, table=table, their=others, reason="not_found", **_severity("references", severity, at_most))


def expression(words: str, *, severity: Severity = "reject", at_most: float | None = None) -> Condition:
    """An SQL condition over the columns of a row holds. The same as the bare text, but for the severity.

    Raises:
        ConfigError: no text, or an unknown choice.

    >>> expression("price * quantity > 0", severity="warn").severity
    'warn'
    """
    if not isinstance(words, str) or not words.strip():  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ConfigError("checks.expression()", "expected SQL as text", got=f"a value of type {type(words).__name__}")
    return Condition(words=words, reason="check_failed", **_severity("expression", severity, at_most))


def _columns(check: str, names: tuple[str, ...]) -> tuple[str, ...]:
    place = f"checks.{check}(columns)"
    if not names:
        raise ConfigError(place, "expected at least one column", got="none")
    for name in names:
        if not isinstance(name, str) or not name:  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConfigError(
                place, "expected names of columns", got=repr(name) if name == "" else f"a value of type {type(name).__name__}"
            )
    return names


class _How(TypedDict):
    severity: Severity
    at_most: float | None


def _severity(check: str, severity: Severity, at_most: float | None) -> _How:
    if severity not in ("reject", "warn", "fail"):
        raise ConfigError(f"checks.{check}(severity=)", "expected one of 'reject', 'warn', 'fail'", got=repr(severity))
    if at_most is not None and not (isinstance(at_most, (int, float)) and 0 <= at_most < 1):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ConfigError(f"checks.{check}(at_most=)", "expected a fraction of the rows, such as 0.05", got=repr(at_most))
    return {"severity": severity, "at_most": at_most}
