"""Spark's errors, told apart by what they say: which of its classes comes depends on session and statement."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from lakekit import errors
from lakekit.engines.absent import half_there
from lakekit.errors import LakekitError, QueryError, SchemaError

if TYPE_CHECKING:
    from lakekit.engines.plan import TableState

_CONVERSIONS: Final = ("CAST_INVALID_INPUT", "CAST_OVERFLOW", "ARITHMETIC_OVERFLOW", "NUMERIC_VALUE_OUT_OF_RANGE", "INVALID_FRACTION")
_MOVED_ON: Final = (
    "is not an ancestor",  # of fast_forward
    "CommitFailedException",
    "ValidationException",
    "Found conflicting files",
)
_ABSENT: Final = ("TABLE_OR_VIEW_NOT_FOUND", "SCHEMA_NOT_FOUND", "NoSuchTableException", "NoSuchNamespaceException")
_THERE: Final = ("TABLE_OR_VIEW_ALREADY_EXISTS", "TABLE_ALREADY_EXISTS", "AlreadyExistsException", "already exists")
_LOST: Final = (
    "NotFoundException",
    "FileNotFoundException",
    "ChecksumException",
    "RuntimeIOException",
    "not a Parquet file",
    "AvroRuntimeException",
)
_CARRIED: Final = re.compile(r"lakekit error <([A-Za-z0-9+/=]+)>")
_UNPARSED: Final = ("PARSE_SYNTAX_ERROR",)


def kinds() -> tuple[type[Exception], ...]:
    """What Spark raises: Py4J's error, its own, or that of the connection."""
    from pyspark.errors import PySparkException

    found: list[type[Exception]] = [PySparkException]
    try:
        from py4j.protocol import Py4JError

        found.append(Py4JError)
    except ImportError:  # the client of Connect alone
        pass
    try:
        import grpc

        found.append(grpc.RpcError)
    except ImportError:
        pass
    return tuple(found)


def says(error: BaseException, words: tuple[str, ...]) -> bool:
    """Whether an error's text has one of these words."""
    shown = "" if is_ended(error) else str(error)
    return any(word in shown for word in words)


def is_ended(error: BaseException) -> bool:
    """Whether the JVM is gone: then Py4J's errors, whose texts are kept there, can't even be shown."""
    try:
        str(error)
    except Exception:  # noqa: BLE001 -- of the socket, or of Py4J, which may not be installed
        return True
    return isinstance(error, ConnectionError) or type(error).__name__ == "Py4JNetworkError"


def ended() -> QueryError:
    """The error where the JVM is gone."""
    hint = 'its log says why. Where that is java.lang.OutOfMemoryError, start it with more memory: "spark.driver.memory" = "8g".'
    return QueryError("query", "Spark has ended", hint=hint)


def is_absent(error: BaseException) -> bool:
    """Whether a table or namespace isn't there."""
    return says(error, _ABSENT)


def is_there(error: BaseException) -> bool:
    """Whether something is there already."""
    return says(error, _THERE)


def is_conflict(error: BaseException) -> bool:
    """Whether a commit was refused because the table has moved on."""
    return says(error, _MOVED_ON)


def is_unparsed(error: BaseException) -> bool:
    """Whether the session doesn't know a statement of Iceberg's."""
    return says(error, _UNPARSED)


@contextmanager
def explained() -> Generator[None]:
    """Turn Spark's errors into lakekit's, without the values that they quote."""
    try:
        yield
    except LakekitError:
        raise
    except kinds() as error:
        raise explain(error) from None


def explain(error: Exception, tables: Iterable[TableState] = ()) -> LakekitError:
    """Lakekit's error for one of Spark's while it computes; ``tables`` are those that it reads."""
    if is_ended(error):
        return ended()
    if (found := _CARRIED.search(str(error))) is not None:
        kind, *fields = json.loads(base64.b64decode(found[1]))
        return getattr(errors, kind)(*fields[:2], got=fields[2], hint=fields[3])
    if says(error, _LOST):
        names = [state.label for state in tables if f"{state.native.metadata.location.removeprefix('file://')}/" in str(error)]
        if names:
            return half_there(names[0], next(word for word in _LOST if word in str(error)))
    if says(error, _CONVERSIONS):
        found = next(word for word in _CONVERSIONS if word in str(error))
        return SchemaError("query", "a value can't be converted", got=found, hint="use clean(), or TRY_CAST.")
    return QueryError("query", "can't be evaluated", got=first_line(error))


def carried(error: LakekitError) -> RuntimeError:
    """An error raised on a worker, in a form that `explain` finds in the text of Spark's."""
    fields = [type(error).__name__, error.place, error.problem, error.got, error.hint]
    return RuntimeError(f"lakekit error <{base64.b64encode(json.dumps(fields).encode()).decode()}>")


def java_class(error: BaseException) -> str:
    """The class of the Java exception that an error tells of first, which shows no values."""
    found = re.findall(r"\b(?:[a-z_]\w*\.)+([A-Z]\w*(?:Exception|Error))\b", str(error))
    named = [name for name in found if name not in {"SparkException", "Py4JJavaError"}]
    return named[0] if named else type(error).__name__


def first_line(error: Exception) -> str:
    """What an error says, in one line: its class in Spark, or its first line, without quoted values."""
    shown = str(error).strip().splitlines() or [type(error).__name__]
    condition = re.search(r"\[([A-Z][A-Z0-9_.]+)\]", str(error))
    line = next((text for text in shown if not text.startswith(("An error occurred", "(org.apache.spark"))), shown[0])
    plain = re.sub(r"'[^']*'", "'…'", line)[:200]
    return f"{condition[1]}: {plain}" if condition and condition[1] not in plain else plain
