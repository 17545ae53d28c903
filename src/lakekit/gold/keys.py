"""Surrogate keys: a 63-bit hash of the key, and of the instant for later versions; the same number on every engine and in Python.

The first version of a key bears hash(key), so that an inferred member, made before the first real row came, keeps its number. Later versions
bear hash(key, valid_from). Both are functions of the history alone: when a late event becomes the new first version it takes hash(key) over,
and the former first one gets hash(key, valid_from). Facts follow as a side input of their dimension, see DESIGN, "Side inputs".

Numbers below zero are never hashes: -1 is the unknown member, -2 the one that doesn't apply.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Final
from uuid import UUID

from lakekit.engines.functions import family
from lakekit.errors import ConfigError

UNKNOWN: Final = -1
NOT_APPLICABLE: Final = -2
MEMBERS: Final[tuple[tuple[int, str], ...]] = ((UNKNOWN, "Unknown"), (NOT_APPLICABLE, "Not applicable"))

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MASK: Final = 2**63 - 1

HashValue = str | int | bool | Decimal | datetime | date | bytes | UUID | None


def text_sql(parts: Iterable[tuple[str, str]]) -> str:
    """SQL for the canonical text of several values.

    Args:
        parts: Pairs of an SQL expression and its Spark type.

    >>> text_sql([("`id`", "BIGINT"), ("`at`", "DATE")])
    "lk_text(`id`, 'BIGINT') || lk_text(`at`, 'DATE')"
    """
    return " || ".join(f"lk_text({expression}, '{type_}')" for expression, type_ in parts)


def key_sql(key: Sequence[tuple[str, str]], *, valid_from: tuple[str, str], first: str) -> str:
    """SQL for the surrogate key of a version.

    Args:
        key: Pairs of an SQL expression and its Spark type.
        valid_from: The same for the instant at which the version begins.
        first: An SQL condition: whether it is the first version of its key.
    """
    return f"lk_hash63({text_sql(key)} || CASE WHEN {first} THEN '' ELSE {text_sql([valid_from])} END)"


def canonical_text(value: HashValue, type_: str) -> str:
    """The text of a value that ``lk_text`` gives in SQL.

    >>> canonical_text(42, "BIGINT"), canonical_text(Decimal("1.50"), "DECIMAL(10,2)"), canonical_text(None, "DATE")
    ('i2:42', 'd3:1.5', '-')
    """
    if value is None:
        return "-"
    kind = family(type_)
    if isinstance(value, bool):
        text = str(value).lower()
    elif isinstance(value, Decimal):
        text = format(value, "f")
        text = text.rstrip("0").rstrip(".") if "." in text else text
    elif isinstance(value, datetime):
        text = str((value - _EPOCH) // timedelta(microseconds=1)) if value.tzinfo else _naive(value)
    elif isinstance(value, date):
        text = value.isoformat()
    elif isinstance(value, bytes):
        text = value.hex().upper()
    else:
        text = str(value)
    return f"{kind}{len(text)}:{text}"


def _naive(value: datetime) -> str:
    text = value.isoformat(sep=" ")
    return text.rstrip("0") if value.microsecond else text


def hash63(values: Sequence[HashValue], types: Sequence[str]) -> int:
    """The number that ``lk_hash63`` gives in SQL for the texts of these values.

    Source: RFC 1321 (MD5). The first 8 bytes, big-endian, without the sign bit.

    >>> hash63([42], ["BIGINT"]) == hash63([42], ["INT"])
    True
    >>> hash63(["a", "bc"], ["STRING", "STRING"]) == hash63(["ab", "c"], ["STRING", "STRING"])
    False
    """
    text = "".join(canonical_text(value, type_) for value, type_ in zip(values, types, strict=True))
    return int.from_bytes(hashlib.md5(text.encode(), usedforsecurity=False).digest()[:8], "big") & _MASK


def beginning_sql(type_: str) -> str:
    """SQL for the instant at which inferred and special members begin: before every fact, and readable by every tool.

    NULL would match no as-of join, and the year 1 overflows nanosecond clocks: 1900 for times, 0 for sequence numbers.

    >>> beginning_sql("DATE")
    "CAST('1900-01-01' AS DATE)"
    """
    match family(type_, place="beginning_sql()"):
        case "t":
            return f"CAST('1900-01-01 00:00:00+00:00' AS {type_})"
        case "n":
            return f"CAST('1900-01-01 00:00:00' AS {type_})"
        case "D":
            return f"CAST('1900-01-01' AS {type_})"
        case "i" | "d":
            return f"CAST(0 AS {type_})"
        case "s":
            return f"CAST('' AS {type_})"
        case _:
            raise ConfigError("merge_scd2(effective_at=)", "expected a time, a date, a number or a string", got=type_)
