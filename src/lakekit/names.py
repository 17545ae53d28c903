"""Names of tables: how users write them, and how lakekit keeps them."""

from __future__ import annotations

import re
from collections.abc import Sequence

from lakekit.errors import ConfigError

TableName = str | tuple[str, ...]
"""``"silver.users"`` in the default catalog, ``"main.silver.users"`` with one named, or a tuple of parts for names with dots."""

Identifier = tuple[str, ...]
"""A table's namespace and name, without the catalog."""

Columns = str | Sequence[str]
"""One column, or several in order."""

_PART = re.compile(r"[^\s./\\'\"`;]+")


def parse(name: TableName, *, place: str, catalogs: frozenset[str] = frozenset()) -> Identifier:
    """Turn a table's name into its identifier.

    Args:
        name: The name as a user writes it.
        place: The function and argument, for the error.
        catalogs: Names under which the catalog itself is known; a leading part that is one of them is taken off.

    Raises:
        ConfigError: The name has no namespace, names an unknown catalog, or has an empty or unsafe part.

    >>> parse("silver.users", place="read()")
    ('silver', 'users')
    >>> parse("main.silver.users", place="read()", catalogs=frozenset({"main"}))
    ('silver', 'users')
    >>> parse("orders", place="ingest(into=)")
    Traceback (most recent call last):
    lakekit.errors.ConfigError: ingest(into=): expected 'namespace.table', got 'orders'.
    Hint: write 'bronze.orders'.
    """
    if not isinstance(name, (str, tuple)):  # pyright: ignore[reportUnnecessaryIsInstance] -- users are not type-checked
        raise ConfigError(place, "expected a table name as text or a tuple", got=type(name).__name__, hint="write 'silver.users'.")
    parts = tuple(name.split(".")) if isinstance(name, str) else name
    if len(parts) > 2 and parts[0] in catalogs:
        parts = parts[1:]
    if len(parts) < 2:
        bare = parts[0] if parts and parts[0] else "orders"
        raise ConfigError(place, "expected 'namespace.table'", got=repr(name), hint=f"write 'bronze.{bare}'.")
    if isinstance(name, str) and len(parts) > 2:
        known = ", ".join(sorted(catalogs)) or "none"
        raise ConfigError(
            place,
            "names an unknown catalog",
            got=repr(name),
            hint=f"known catalogs: {known}; give aliases= to connect(), or a tuple for a name with dots.",
        )
    if bad := [part for part in parts if not _PART.fullmatch(part)] if isinstance(name, str) else [part for part in parts if not part]:
        raise ConfigError(place, "has an empty or unsafe part", got=repr(bad[0]), hint="use letters, digits and underscores.")
    return parts


def text(identifier: Identifier) -> str:
    """The identifier as people read it.

    >>> text(("silver", "users"))
    'silver.users'
    """
    return ".".join(identifier)


def companion(identifier: Identifier, suffix: str) -> Identifier:
    """The table that goes with another one: ``silver.users`` and its ``silver.users__rejects``.

    >>> companion(("silver", "users"), "rejects")
    ('silver', 'users__rejects')
    """
    return (*identifier[:-1], f"{identifier[-1]}__{suffix}")


def columns(value: Columns, *, place: str) -> tuple[str, ...]:
    """One column, or several, as a tuple.

    Raises:
        ConfigError: There is none, one twice, or something that is not a name.

    >>> columns("user_id", place="merge(key=)"), columns(["channel", "order_id"], place="merge(key=)")
    (('user_id',), ('channel', 'order_id'))
    """
    found = (value,) if isinstance(value, str) else tuple(value)
    if not found or not all(isinstance(name, str) and name for name in found):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ConfigError(place, "expected a column name or several", got=repr(value), hint="write 'user_id' or ('channel', 'order_id').")
    if len(set(found)) < len(found):
        raise ConfigError(place, "names a column twice", got=repr(value))
    return found
