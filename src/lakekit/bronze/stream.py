"""stream: ingest again and again, in a thread of its own."""

from __future__ import annotations

import atexit
import logging
import random
import re
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from lakekit import logs
from lakekit.bronze.follow import can_follow, follow
from lakekit.bronze.ingest import Options, take
from lakekit.bronze.upkeep import Upkeep
from lakekit.commit import Commit
from lakekit.errors import ConfigError, RetryableError
from lakekit.incremental import retention
from lakekit.names import TableName, text
from lakekit.operations import tell
from lakekit.sources.protocol import Source

if TYPE_CHECKING:
    from lakekit.evolution.policy import Policy
    from lakekit.lake import Lake

logger = logging.getLogger(__name__)

REMEMBERED: Final = 100
ATTEMPTS: Final = 10
LONGEST_PAUSE: Final = 60.0
_BREATH: Final = 1.0  # seconds between a query that ended and the next one
_HEED: Final = 1.0  # seconds after which a signal is heeded at the latest
_EVERY: Final = re.compile(r"(?P<count>\d+(?:\.\d+)?) *(?P<unit>second|minute|hour)s?")
_SECONDS: Final = {"second": 1, "minute": 60, "hour": 3600}


def stream(
    lake: Lake,
    source: Source,
    *,
    into: TableName,
    every: str | None = "5 minutes",
    then: Callable[[Commit], None] | None = None,
    on_change: Policy = "evolve",
    max_reject_fraction: float | None = None,
    maintain: str | None = "1 hour",
) -> Stream:
    r"""Ingest what is new in a source again and again: each micro-batch is one commit of rows and bookmark, as with `ingest`.

    On a classic Spark session, a topic is read in portions until the stream has caught up, and from then on by a long-running query of
    Structured Streaming, which tells what is new every so often. Its checkpoint is thrown away: the table's own bookmark says where to begin.

    Each commit is logged, at level INFO, with the number of messages that the source holds beyond; `Stream.lag` has it, too.

    The stream runs in a thread of its own, at once. Wait for it: it ends with the program, and a program that ends is no error to it.
    A crash at any instant loses and doubles nothing; the next stream, or the next `ingest`, reads on.

    What may pass by itself (`RetryableError`) is tried again, ten times in a row with growing pauses of up to a minute. Any other error
    ends the stream.

    Args:
        lake: Where the table is.
        source: What to read: ``bus.topic("events", schema=…)``, or any other source.
        into: The bronze table.
        every: How often a micro-batch begins: ``"30 seconds"``, ``"5 minutes"``, ``"1 hour"``. One that is over late is followed at once, and
            so is one that took all it may while there is more (``Kafka.topic(max_messages=)``). None: read what there is, then end.
        then: Called with each commit, in the stream's thread, before the next micro-batch begins. An error of it ends the stream.
        on_change: As in `ingest`.
        max_reject_fraction: As in `ingest`, for each micro-batch.
        maintain: How often the table is compacted at most, and its old snapshots let go: between two micro-batches, once `Commit.upkeep` says that it
            is due. Only a table that says by its property ``history.expire.max-snapshot-age-ms`` how long to keep snapshots is; what consumers have
            yet to read stays. None: never.

    Writes:
        What `ingest` writes. A table that the stream makes keeps its last thousand micro-batches, three hours at least and five days at most (Iceberg's
        properties, see ``docs/how-to/maintain.md``). A table that is there keeps the properties it has.

    Raises:
        ConfigError: An argument is wrong. What goes wrong later is raised by `Stream.wait`.

    >>> import lakekit as lk, tempfile, pathlib
    >>> from lakekit import sources
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> _ = (folder / "a.csv").write_text("id\n1\n")
    >>> events = lk.stream(lk.connect(folder / "lake"), sources.Files(folder / "*.csv", format="csv"), into="bronze.events", every=None)
    >>> events.wait()
    >>> sum(commit.inserted for commit in events.commits)
    1
    """
    identifier = lake.identifier(into, place="stream(into=)")
    if not isinstance(source, Source):  # pyright: ignore[reportUnnecessaryIsInstance] -- users are not type-checked
        raise ConfigError("stream()", "expected a source", got=type(source).__name__, hint="write bus.topic('events', schema=…).")
    seconds = None if every is None else _seconds(every, "every")
    pause = None if maintain is None else _seconds(maintain, "maintain")
    options = Options(
        on_change=on_change,
        max_reject_fraction=max_reject_fraction,
        in_portions=True,
        place="stream",
        properties=retention.of_stream(seconds),
    )
    running = Stream(
        text(identifier),
        lambda: take(lake, source, into=into, options=options),
        every=seconds,
        then=then,
        upkeep=None if pause is None else Upkeep(lake, identifier, pause),
    )
    if seconds is not None and can_follow(lake, source):
        running.follow_by(
            lambda each, stop: follow(
                lake,
                source,
                into=identifier,
                seconds=seconds,
                take=lambda at, batch: each(lambda: take(at, batch, into=into, options=options)),
                stop=stop,
            )
        )
    running.start()
    return running


def _seconds(every: object, name: str) -> float:
    found = _EVERY.fullmatch(every) if isinstance(every, str) else None
    if found is None or not float(found["count"]):
        raise ConfigError(f"stream({name}=)", "expected a time in words", got=repr(every), hint="write '30 seconds', '5 minutes' or None.")
    return float(found["count"]) * _SECONDS[found["unit"]]


class _AgainError(Exception):
    """A micro-batch of a query failed in a way that may pass."""


TakeOne = Callable[[], tuple[Commit, bool]]
Follow = Callable[[Callable[[TakeOne], "Commit | None"], threading.Event], None]


class Stream:
    """A running stream. Made by `stream`."""

    def __init__(
        self,
        into: str,
        take_one: TakeOne,
        *,
        every: float | None,
        then: Callable[[Commit], None] | None,
        upkeep: Upkeep | None = None,
    ) -> None:
        self._upkeep = upkeep
        self._into = into
        self._take = take_one
        self._every = every
        self._then = then
        self._commits: deque[Commit] = deque(maxlen=REMEMBERED)
        self._count = 0
        self._lag: int | None = None
        self._follow: Follow | None = None
        self._stop = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="lakekit-stream", daemon=True)

    def __repr__(self) -> str:
        state = "running" if self.running else "failed" if self._error else "ended"
        lag = "" if self._lag is None else f", {self._lag:,} messages behind"
        return f"<Stream into {self._into}: {state}, {self._count:,} commits{lag}>"

    def follow_by(self, follow: Follow) -> None:
        """Once it has caught up, let a query of Spark tell what is new. `stream` has done so."""
        self._follow = follow

    def start(self) -> None:
        """Begin. `stream` has done so."""
        atexit.register(self._leave)
        self._thread.start()

    def _leave(self) -> None:
        """The program ends: so does the stream, after the micro-batch at hand. A thread cut off inside DuckDB would abort the program."""
        self.stop()
        self._thread.join()

    @property
    def commits(self) -> list[Commit]:
        """The last hundred commits, oldest first. Micro-batches without new rows make none."""
        return list(self._commits)

    @property
    def lag(self) -> int | None:
        """How many messages the source held, at the last look, that no commit had taken. None: no look yet, or the source doesn't tell."""
        return self._lag

    @property
    def running(self) -> bool:
        """Whether micro-batches are still being taken."""
        return self._thread.is_alive()

    def stop(self) -> None:
        """Ask the stream to end after the micro-batch at hand. `wait` then returns."""
        self._stop.set()

    def wait(self) -> None:
        """Wait until the stream ends: it was stopped, has drained its source (``every=None``), or has failed.

        In the main thread, SIGTERM meanwhile ends the stream after the micro-batch at hand; so does Ctrl-C, which is then raised.

        Raises:
            LakekitError: What ended the stream. The table holds what was committed before.
        """
        with self._stopped_by_sigterm():
            try:
                # Not one long join: a signal that the kernel gives to another thread would not interrupt it, and its handler wait for ever.
                while self._thread.is_alive():
                    self._thread.join(_HEED)
            except BaseException:
                self.stop()
                self._thread.join()
                raise
        if self._error is not None:
            raise self._error

    @contextmanager
    def _stopped_by_sigterm(self) -> Generator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def asked(_signal: int, _frame: object) -> None:
            self.stop()

        before = signal.signal(signal.SIGTERM, asked)
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, signal.SIG_DFL if before is None else before)

    def _run(self) -> None:
        with logs.during("stream"):
            self._until_stopped()

    def _until_stopped(self) -> None:
        try:
            while not self._stop.is_set():
                began = time.monotonic()
                commit, behind = self._patiently()
                self._note(commit)
                if behind:
                    continue
                if self._every is None:
                    return
                if self._follow is not None:
                    self._following(self._follow)
                else:
                    self._stop.wait(max(0.0, began + self._every - time.monotonic()))
        except BaseException as error:  # noqa: BLE001 -- wait() raises it, in the thread that asks
            self._error = error
            kind = type(error).__name__
            logger.warning("The stream has ended: %s", kind, extra=logs.fields("stream_failed", table=self._into, error=kind))
        finally:
            atexit.unregister(self._leave)

    def _following(self, follow: Follow) -> None:
        """Follow the source. What may pass by itself ends the query only: the next micro-batch tells whether it has."""

        def take(take_one: TakeOne) -> Commit | None:
            try:
                commit, _ = take_one()
            except RetryableError as error:
                raise _AgainError from error
            self._note(commit)
            return commit

        try:
            follow(take, self._stop)
        except _AgainError as again:
            told = logs.fields("query_restarted", table=self._into, error=type(again.__cause__).__name__)
            logger.warning("The query begins anew: %s", again.__cause__, extra=told)
        self._stop.wait(_BREATH)

    def _note(self, commit: Commit | None) -> None:
        if commit is None:
            return
        self._lag = commit.lag
        if commit.committed:
            tell(logger, commit)
            self._commits.append(commit)
            self._count += 1
            if self._then is not None:
                self._then(commit)
            if self._upkeep is not None:
                self._upkeep.after(commit)

    def _patiently(self) -> tuple[Commit | None, bool]:
        """One micro-batch, tried again while that may help. No commit: stopped meanwhile."""
        failed = 0
        while True:
            try:
                return self._take()
            except RetryableError as error:
                failed += 1
                if failed == ATTEMPTS:
                    raise
                pause = random.uniform(0.5, 1) * min(2.0**failed, LONGEST_PAUSE)  # noqa: S311 -- jitter, not a secret
                logger.warning(
                    "Attempt %s failed, the next one is in %.0f s: %s",
                    failed,
                    pause,
                    error,
                    extra=logs.fields("retry", table=self._into, attempt=failed, pause_seconds=pause, error=type(error).__name__),
                )
                if self._stop.wait(pause):
                    return None, False
