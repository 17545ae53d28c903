"""Rules as SQL: one Spark SQL text per chain, for the rules whose meaning is the same on every engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from lakekit.rules.base import PlainRule

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lakekit.rules.base import Rule


@attrs.frozen
class NativeChain:
    """A chain of rules as three Spark SQL expressions over one text column.

    Attributes:
        value: The clean value; NULL where the row is refused.
        rule: The name of the first rule that refuses; NULL where the value passes. ``CAST(NULL AS STRING)``: no rule can refuse.
        reason: Its reason code, likewise.
    """

    value: str
    rule: str
    reason: str


_NOTHING = "CAST(NULL AS STRING)"


def native_chain(chain: Sequence[Rule], column: str) -> NativeChain | None:
    """The chain as SQL, or None where one of its rules has a meaning only in Python.

    Args:
        chain: The rules, applied from left to right.
        column: A Spark SQL expression of type string, such as a quoted column name.

    >>> from lakekit import rules
    >>> native_chain([rules.not_null()], "`user_id`").reason
    "CASE WHEN `user_id` IS NULL THEN 'null' END"
    >>> native_chain([rules.email()], "`email`") is None
    True
    """
    value = column
    failures: list[tuple[str, str]] = []
    for rule in chain:
        after = rule.sql(value)
        if after is None:
            return None
        reason = rule.reason_sql(value)
        if reason is not None:
            quoted = literal(rule.name)
            if quoted is None:
                return None
            failures.append((quoted, reason))
        value = after
    if not failures:
        return NativeChain(value, _NOTHING, _NOTHING)
    named = [f"WHEN {reason} IS NOT NULL THEN {name}" for name, reason in failures]
    reasons = ", ".join(reason for _, reason in failures)
    failed = f"COALESCE({reasons})" if len(failures) > 1 else reasons
    return NativeChain(f"CASE WHEN {failed} IS NULL THEN {value} END", f"CASE {' '.join(named)} END", failed)


def plain_chain(chain: Sequence[Rule], column: str) -> str | None:
    """A chain that refuses nothing as SQL for plain texts, or None where one of its rules has a meaning only in Python.

    >>> from lakekit import rules
    >>> plain_chain([rules.normalize("NFC"), rules.lower()], "`name`")
    'LOWER(`name`)'
    """
    value: str | None = column
    for rule in chain:
        value = rule.plain_sql(value) if isinstance(rule, PlainRule) else rule.sql(value)
        if value is None:
            return None
    return value


def replace_all(column: str, pattern: str, replacement: str) -> str:
    r"""Every match of a regular expression replaced, in Spark SQL, whose string literals double each backslash.

    >>> print(replace_all("name", r"[\x{0}-\x{20}]+", " "))
    REGEXP_REPLACE(name, '[\\x{0}-\\x{20}]+', ' ')
    """
    doubled = pattern.replace("\\", "\\\\")
    return f"REGEXP_REPLACE({column}, '{doubled}', '{replacement}')"


def literal(text: str) -> str | None:
    r"""A text as a Spark SQL literal, or None where dialects and settings could read it in two ways.

    >>> literal("N/A"), literal("it's"), literal("a\\b")
    ("'N/A'", None, None)
    """
    unsafe = any(character in "'\\" or not character.isprintable() for character in text)
    return None if unsafe else f"'{text}'"
