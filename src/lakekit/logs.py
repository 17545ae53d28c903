"""What stands in a log record beside its text, and which operation it belongs to."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

PREFIX: Final = "lakekit."

_operation: ContextVar[str | None] = ContextVar("lakekit_operation", default=None)


def operation() -> str | None:
    """The public function that is under way. None: none that writes."""
    return _operation.get()


@contextmanager
def during(name: str) -> Generator[None]:
    """Let what is logged and written within belong to an operation. Within another one, it belongs to that."""
    if _operation.get() is not None:
        yield
        return
    token = _operation.set(name)
    try:
        yield
    finally:
        _operation.reset(token)


def fields(event: str, /, **values: object) -> dict[str, object]:
    """The fields of a log record, for ``extra=``. They are listed in ``docs/how-to/logging.md``; never a value of a row.

    Args:
        event: What has happened, as a name that does not change when the text does.
        values: What else is known. What is None is left out.

    >>> with during("merge"):
    ...     fields("conflict", table="silver.users", attempt=2, run_id=None)
    {'lakekit.event': 'conflict', 'lakekit.operation': 'merge', 'lakekit.table': 'silver.users', 'lakekit.attempt': 2}
    """
    known = {"event": event, "operation": operation(), **values}
    return {PREFIX + name: value for name, value in known.items() if value is not None}
