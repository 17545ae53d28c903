"""Every column lakekit adds to a table: its name, its type and its meaning. Names and types are public format.

All of them begin with ``_``. A business column whose name does, too, is refused, but for ``_id`` and ``__v`` of MongoDB. Instants are UTC
microseconds.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal

import attrs

from lakekit.errors import SchemaError

Layer = Literal["bronze", "merged", "scd2", "rejects"]


@attrs.frozen
class SystemColumn:
    """One column that lakekit adds: name, SQL type (Spark's words), the layers that store it, and what it means."""

    name: str
    type: str
    stored_in: tuple[Layer, ...]
    meaning: str


INGESTION_TIMESTAMP: Final = "_ingestion_timestamp"
WRITE_ID: Final = "_write_id"
SOURCE: Final = "_source"
OPERATION: Final = "_operation"
SOURCE_TIMESTAMP: Final = "_source_timestamp"
DELETED_AT: Final = "_deleted_at"
KAFKA_TOPIC: Final = "_kafka_topic"
KAFKA_PARTITION: Final = "_kafka_partition"
KAFKA_OFFSET: Final = "_kafka_offset"
KAFKA_TIMESTAMP: Final = "_kafka_timestamp"
KAFKA_KEY: Final = "_kafka_key"
KAFKA_HEADERS: Final = "_kafka_headers"
SOURCE_LSN: Final = "_source_lsn"
SOURCE_TRANSACTION: Final = "_source_transaction"
SOURCE_OPERATION: Final = "_source_operation"
SOURCE_KEY: Final = "_source_key"
MOVED_FROM: Final = "_moved_from"
MOVED_TO: Final = "_moved_to"
UNAVAILABLE: Final = "_unavailable"
RESCUED_DATA: Final = "_rescued_data"
IS_INFERRED: Final = "_is_inferred"
# Of rows that are rejected:
RULE: Final = "_rule"
REASON: Final = "_reason"
ABOUT: Final = "_about"
PAYLOAD: Final = "_payload"

SKIPPED: Final = "skipped"
"""The ``_rule`` of a message that is no row, and no bad one either: it is counted, and goes nowhere."""

UPSERT: Final = "upsert"
DELETE: Final = "delete"
TRUNCATE: Final = "truncate"

SYSTEM_COLUMNS: Final[tuple[SystemColumn, ...]] = (
    SystemColumn(
        INGESTION_TIMESTAMP, "TIMESTAMP", ("bronze", "merged", "scd2"), "When lakekit read the row from its source. Never NULL in bronze."
    ),
    SystemColumn(
        WRITE_ID,
        "BIGINT",
        ("bronze", "merged", "scd2", "rejects"),
        "The write that last inserted or changed the row. NULL: another tool wrote it.",
    ),
    SystemColumn(SOURCE, "STRING", ("bronze", "merged", "scd2", "rejects"), "Which source the row came from: a table, a topic, a file."),
    SystemColumn(
        OPERATION,
        "STRING",
        ("bronze",),
        "'upsert' or 'delete'. Merged tables hold _deleted_at instead; reading changes gives it back. In a change log also 'truncate': all rows went.",
    ),
    SystemColumn(
        SOURCE_TIMESTAMP,
        "TIMESTAMP",
        ("bronze", "merged", "scd2"),
        "When the change was made, on the source's clock. NULL: the source does not say.",
    ),
    SystemColumn(KAFKA_TOPIC, "STRING", ("bronze",), "The Kafka topic. NULL: not from Kafka."),
    SystemColumn(KAFKA_PARTITION, "INT", ("bronze",), "The Kafka partition. NULL: not from Kafka."),
    SystemColumn(KAFKA_OFFSET, "BIGINT", ("bronze",), "The Kafka offset. NULL: not from Kafka."),
    SystemColumn(KAFKA_TIMESTAMP, "TIMESTAMP", ("bronze",), "The Kafka message's timestamp. NULL: not from Kafka."),
    SystemColumn(KAFKA_KEY, "BINARY", ("bronze",), "The Kafka message's key. NULL: no key, or not from Kafka."),
    SystemColumn(
        KAFKA_HEADERS,
        "ARRAY<STRUCT<key: STRING, value: BINARY>>",
        ("bronze",),
        "The Kafka message's headers, in their order. NULL: none, or not from Kafka.",
    ),
    SystemColumn(
        SOURCE_LSN,
        "BIGINT",
        ("bronze", "merged", "scd2"),
        "The change's place in PostgreSQL's log, from Debezium. NULL: the source has none.",
    ),
    SystemColumn(SOURCE_TRANSACTION, "STRING", ("bronze",), "The transaction that made the change. NULL: the source does not say."),
    SystemColumn(
        SOURCE_OPERATION,
        "STRING",
        ("bronze",),
        "Debezium's word: 'c' inserted, 'u' updated, 'd' deleted, 't' truncated, 'r' read by a snapshot. NULL: not from Debezium.",
    ),
    SystemColumn(SOURCE_KEY, "STRING", ("bronze",), "The row's key in its source, as JSON. NULL: it has none, or not from Debezium."),
    SystemColumn(MOVED_FROM, "STRING", ("bronze",), "The key that the row had before this change, as JSON. NULL: the same one."),
    SystemColumn(MOVED_TO, "STRING", ("bronze",), "The key that the deleted row goes on under, as JSON. NULL: it is gone."),
    SystemColumn(
        UNAVAILABLE,
        "ARRAY<STRING>",
        ("bronze",),
        "The columns whose value did not come with the change, since it stayed as it was. read_new() fills them. NULL: all came.",
    ),
    SystemColumn(DELETED_AT, "TIMESTAMP", ("merged",), "When the row was deleted at its source. NULL: it lives."),
    SystemColumn(RESCUED_DATA, "STRING", ("bronze", "merged", "scd2"), "Values that did not fit their column, as JSON. NULL: all fitted."),
    SystemColumn(IS_INFERRED, "BOOLEAN", ("scd2",), "True: a fact arrived before its member; the first real row takes its place."),
)

BY_NAME: Final = {column.name: column for column in SYSTEM_COLUMNS}
_NOT_OURS: Final = frozenset({"_id", "__v"})
"""Every document of MongoDB has an ``_id``, and those written by Mongoose have a ``__v``."""


def is_system(name: str) -> bool:
    """Whether a column name is one that lakekit keeps for itself: all that begin with ``_``, but for ``_id`` and ``__v`` of MongoDB.

    >>> is_system("_write_id"), is_system("user_id"), is_system("_id")
    (True, False, False)
    """
    return name.startswith("_") and name not in _NOT_OURS


def refuse_reserved(names: Iterable[str], *, place: str) -> None:
    """Raise where a business column bears a name that lakekit keeps for itself. It would clash, now or later, or not be carried.

    >>> refuse_reserved(["user_id", "_write_id"], place="ingest()")
    Traceback (most recent call last):
    lakekit.errors.SchemaError: ingest(): business columns must not bear a name lakekit keeps for itself, got '_write_id'.
    Hint: rename it at the source, or leave it out with columns=.
    """
    taken = sorted(name for name in names if is_system(name))
    if taken:
        raise SchemaError(
            place,
            "business columns must not bear a name lakekit keeps for itself",
            got=", ".join(repr(name) for name in taken),
            hint="rename it at the source, or leave it out with columns=.",
        )
