"""The errors for what a catalog does not have, the same from every engine."""

from __future__ import annotations

from collections.abc import Collection

from lakekit.errors import TableError, TableNotFoundError
from lakekit.names import Identifier, text


def no_table(table: Identifier, *, there: Collection[Identifier]) -> TableNotFoundError:
    """The error for a table that isn't there; ``there`` are those beside it."""
    shown = ", ".join(sorted(text(found) for found in there))
    hint = f"in {text(table[:-1])} there are: {shown}." if shown else f"write to it first, or create_table({text(table)!r}, …)."
    return TableNotFoundError(text(table), "there is no such table", hint=hint)


def no_namespace(table: Identifier) -> TableError:
    """The error for a table whose namespace isn't there."""
    namespace = text(table[:-1])
    return TableError(
        text(table), "its namespace doesn't exist", got=repr(namespace), hint="create it, or connect(create_namespaces=True)."
    )


def half_there(label: str, got: str) -> TableError:
    """The error for a table of which a file is missing or broken."""
    return TableError(
        label,
        "one of its files is missing or broken; it was left half created or half removed",
        got=got,
        hint="restore the file, or roll the table back to a snapshot that is whole.",
    )
