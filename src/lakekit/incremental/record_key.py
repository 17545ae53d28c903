"""Record keys: what names a record of a source in the identities, as text. Public format."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, cast

from lakekit.engines.functions import family
from lakekit.engines.types import ident, sql_type

if TYPE_CHECKING:
    import pyarrow as pa

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def record_key_sql(schema: pa.Schema, columns: Sequence[str], *, place: str, prefix: str = "") -> str:
    """SQL for the text of a record's key; NULL where a part of it is NULL.

    A lone column's text is the value itself: ``42``. Several are joined by ``|``; in their texts ``%`` is written ``%25`` and ``|`` ``%7C``,
    so that ``('a|b', 'c')`` and ``('a', 'b|c')`` differ.

    Args:
        schema: The columns' types.
        columns: The key, in order.
        place: The function and argument, for the error.
        prefix: What stands before a column's name: ``b.``.

    Raises:
        ConfigError: A type whose text is not the same on all engines (floats, nested types).

    >>> import pyarrow as pa
    >>> record_key_sql(pa.schema([("user_id", pa.int64())]), ["user_id"], place="resolve_identities(record_key=)")
    "lk_plain(`user_id`, 'BIGINT')"
    """
    parts: list[str] = []
    for name in columns:
        kind = sql_type(schema.field(name).type)
        family(kind, place=f"{place}: column {name!r}")
        parts.append(f"lk_plain({prefix}{ident(name)}, '{kind}')")
    if len(parts) == 1:
        return parts[0]
    return " || '|' || ".join(f"replace(replace({part}, '%', '%25'), '|', '%7C')" for part in parts)


def record_key_text(key: object) -> str:
    """The text that `record_key_sql` gives for a key in Python: a value, or a tuple of values.

    >>> record_key_text(42), record_key_text(("a|b", Decimal("1.50")))
    ('42', 'a%7Cb|1.5')
    """
    parts: list[object] = list(cast("tuple[object, ...]", key)) if isinstance(key, tuple) else [key]
    texts = [_text(part) for part in parts]
    return texts[0] if len(texts) == 1 else "|".join(text.replace("%", "%25").replace("|", "%7C") for text in texts)


def _text(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Decimal):
        text = format(value, "f")
        return text.rstrip("0").rstrip(".") if "." in text else text
    if isinstance(value, datetime):
        return str((value - _EPOCH) // timedelta(microseconds=1)) if value.tzinfo else value.isoformat(sep=" ")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.hex().upper()
    return str(value)
