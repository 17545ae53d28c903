"""A source followed by a long-running query of Spark: each of its micro-batches is taken as `ingest` takes an increment."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import attrs

from lakekit.commit import Commit
from lakekit.incremental import cas
from lakekit.lake import Lake
from lakekit.names import Identifier
from lakekit.sources.protocol import FollowedSource, Source

if TYPE_CHECKING:
    from lakekit.engines.spark.tables import SparkEngine

_LOOK: Final = 0.2  # seconds between looks at whether the stream was asked to stop


def can_follow(lake: Lake, source: Source) -> bool:
    """Whether the source can be followed.

    Not on Spark Connect: there the function that takes micro-batches runs in another process, at the server. Measured on 4.1: what it
    appends to a list of the user's program is not there afterwards, and its errors come back as text.
    """
    return lake.spark is not None and not lake.spark.connected and isinstance(source, FollowedSource)


def follow(
    lake: Lake,
    source: Source,
    into: Identifier,
    *,
    seconds: float,
    take: Callable[[Lake, Source], Commit | None],
    stop: threading.Event,
) -> None:
    """Run a query until the stream is to stop, or until it ended by itself: whoever called looks for the reason, and begins anew.

    Raises:
        BaseException: What ``take`` raised, but for a bookmark that moved.
    """
    assert lake.spark is not None  # noqa: S101 -- can_follow() was asked
    assert isinstance(source, FollowedSource)  # noqa: S101 -- likewise
    failed: list[BaseException] = []
    at_work = threading.Lock()

    def each(engine: SparkEngine, batch: Source) -> None:
        with at_work:
            if stop.is_set() or failed:
                return
            try:
                take(attrs.evolve(lake, engine=engine), batch)
            except BaseException as error:
                failed.append(error)
                raise

    start = cas.stored(lake.engine.load(into)).positions.get(source.upstream)
    query = source.follow(lake.spark, start.values if start else None, seconds=seconds, each=each)
    while not query.wait(_LOOK):
        if stop.is_set() or failed:
            with at_work:  # the micro-batch at hand is finished first; the next one sees that it need not begin
                pass
            query.stop()  # not inside: it waits for a micro-batch that has just begun, and that one for the lock
            break
    if failed:
        raise failed[0]
