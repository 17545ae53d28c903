"""Types of fields that users declare, checked before anything is read."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from lakekit.columns import is_system
from lakekit.engines.types import arrow_type
from lakekit.errors import ConfigError, SchemaError

if TYPE_CHECKING:
    import pyarrow as pa


def types(declared: Iterable[tuple[str, str]], *, cursor: str | None) -> dict[str, pa.DataType]:
    """The Arrow types of declared fields.

    Raises:
        ConfigError: A name can't be a column's, or it is the cursor's.
        SchemaError: A type is unknown, or no value of MongoDB fits it.

    >>> types([("price", "decimal(12,2)")], cursor=None)
    {'price': Decimal128Type(decimal128(12, 2))}
    """
    found: dict[str, pa.DataType] = {}
    for name, words in declared:
        place = f"Mongo.collection(schema=): field {name!r}"
        if not isinstance(name, str) or not name or "." in name or is_system(name):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConfigError(place, "can't be a column", hint="declare the column it is in, as 'struct<…>'.")
        if name == cursor:
            raise ConfigError(place, "is the cursor, whose type is known", hint="leave it out.")
        found[name] = arrow_type(words, place=place)
        _check(found[name], place=place)
    return found


def _check(kind: pa.DataType, *, place: str) -> None:
    import pyarrow as pa

    if pa.types.is_time(kind):
        raise SchemaError(place, "MongoDB has no time of day", hint="write 'string'.")
    if pa.types.is_map(kind):
        if not pa.types.is_string(kind.key_type):
            raise SchemaError(place, "names of fields are text", got=str(kind.key_type), hint="write 'map<string, …>'.")
        _check(kind.item_type, place=place)
    elif pa.types.is_list(kind):
        _check(kind.value_type, place=place)
    elif pa.types.is_struct(kind):
        for field in kind:
            _check(field.type, place=place)
