"""What lakekit sets in a session for its own statements, and sets back. Threads that share a session share its settings."""

from __future__ import annotations

import threading
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final
from weakref import WeakKeyDictionary

import attrs

from lakekit.engines.spark import failures

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_PINNED: Final = {"spark.sql.session.timeZone": "UTC", "spark.sql.ansi.enabled": "true"}
"""What lakekit's SQL means is independent of what the session is set to for other work."""
_LIGHT: Final = {"spark.sql.constraintPropagation.enabled": "false"}
"""Where it may be set. Spark derives at every join what must hold of all columns: over some dozens of computed ones it plans for minutes,
and fills the heap (3.5: one gigabyte, for a merge of twelve rows)."""
_SNAPSHOT_PROPERTY: Final = "spark.sql.iceberg.snapshot-property."


@attrs.define(eq=False)
class _Shared:
    """A session's settings while lakekit is at work in it.

    Attributes:
        users: How many statements need the pinned settings now: the first one sets them, the last one sets them back.
        before: What they were. None: not set.
        refuses: Whether the session takes none of ``_LIGHT``, as Databricks' serverless.
        counting: Held while these change.
        writing: Held while snapshot properties are set: they would reach whatever another thread writes meanwhile.
    """

    users: int = 0
    before: dict[str, str | None] = attrs.field(factory=dict)
    refuses: bool = False
    counting: threading.Lock = attrs.field(factory=threading.Lock)
    writing: threading.Lock = attrs.field(factory=threading.Lock)


_at_work: WeakKeyDictionary[SparkSession, _Shared] = WeakKeyDictionary()
_finding = threading.Lock()


def _shared(spark: SparkSession) -> _Shared:
    with _finding:
        return _at_work.setdefault(spark, _Shared())


@contextmanager
def pinned(spark: SparkSession) -> Generator[None]:
    """The session with the settings that lakekit's SQL means; once no statement needs them, they are what they were."""
    shared = _shared(spark)
    with shared.counting:
        if not shared.users:
            shared.before = _set(spark, _PINNED)
            _lighten(spark, shared)
        shared.users += 1
    try:
        yield
    finally:
        with shared.counting:
            shared.users -= 1
            if not shared.users:
                _set_back(spark, shared.before)


def _lighten(spark: SparkSession, shared: _Shared) -> None:
    if not shared.refuses:
        try:
            shared.before |= _set(spark, _LIGHT)
        except failures.kinds():
            shared.refuses = True


@contextmanager
def writing(spark: SparkSession, properties: Mapping[str, str]) -> Generator[None]:
    """The session with properties for the snapshot that the statement inside makes. Other threads' writes wait.

    The snapshot may lack them nonetheless: Databricks' serverless refuses settings that it doesn't know, and Iceberg for Spark 3.5 ignores these.
    """
    with _shared(spark).writing:
        before = dict[str, str | None]()
        with suppress(*failures.kinds()):
            before = _set(spark, {f"{_SNAPSHOT_PROPERTY}{name}": value for name, value in properties.items()})
        try:
            yield
        finally:
            _set_back(spark, before)


def _set(spark: SparkSession, wanted: Mapping[str, str]) -> dict[str, str | None]:
    """Set what is set otherwise, and give what that was."""
    before: dict[str, str | None] = {}
    try:
        with _alive():
            for name, value in wanted.items():
                known = spark.conf.get(name, None)
                if known != value:
                    before[name] = known
                    spark.conf.set(name, value)
    except BaseException:
        _set_back(spark, before)
        raise
    return before


def _set_back(spark: SparkSession, before: Mapping[str, str | None]) -> None:
    with _alive():
        for name, known in before.items():
            if known is None:
                spark.conf.unset(name)
            else:
                spark.conf.set(name, known)


@contextmanager
def _alive() -> Generator[None]:
    """Settings are the first and the last that a session is asked for: where its JVM has ended, they tell."""
    try:
        yield
    except Exception as error:
        if failures.is_ended(error):
            raise failures.ended() from None
        raise
