"""What users say of types: other ones for columns, and what becomes of values that don't fit. Checked before anything is read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Literal, get_args

from lakekit.errors import ConfigError

if TYPE_CHECKING:
    import pyarrow as pa

Misfit = Literal["raise", "rescue", "null"]
"""What a value means that its column can't hold: an error, NULL and its text in ``_rescued_data``, or NULL."""


def check_misfit(_instance: object, _attribute: object, value: object) -> None:
    """Whether it is a policy for values that don't fit."""
    if value not in get_args(Misfit):
        raise ConfigError("Postgres.table(on_misfit=)", "expected 'raise', 'rescue' or 'null'", got=repr(value))


def pairs(value: Mapping[str, str] | tuple[tuple[str, str], ...] | None) -> tuple[tuple[str, str], ...]:
    """Columns and their types in a form that hashes."""
    if isinstance(value, tuple):
        return value
    if value is not None and not isinstance(value, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance] -- users are not type-checked
        problem = "expected columns and their types"
        raise ConfigError("Postgres.table(types=)", problem, got=type(value).__name__, hint="write {'amount': 'decimal(20, 4)'}.")
    return tuple((value or {}).items())


def types(declared: Iterable[tuple[str, str]], *, cursor: str | None) -> dict[str, pa.DataType]:
    """The Arrow types of declared columns.

    Raises:
        ConfigError: One is the cursor.
        SchemaError: A type is unknown.

    >>> types([("amount", "decimal(20, 4)")], cursor=None)
    {'amount': Decimal128Type(decimal128(20, 4))}
    """
    found: dict[str, pa.DataType] = {}
    for name, words in declared:
        from lakekit.engines.types import arrow_type

        place = f"Postgres.table(types=): column {name!r}"
        if name == cursor:
            raise ConfigError(place, "is the cursor, whose type is known", hint="leave it out.")
        if not isinstance(words, str):  # pyright: ignore[reportUnnecessaryIsInstance] -- users are not type-checked
            raise ConfigError(place, "expected a type in SQL words", got=type(words).__name__, hint="write 'decimal(20, 4)'.")
        found[name] = arrow_type(words, place=place)
    return found
