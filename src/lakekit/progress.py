"""Progress: in a terminal or a notebook, for what takes longer than two seconds, and nowhere else."""

from __future__ import annotations

import importlib.util
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final, TypeVar

if TYPE_CHECKING:
    import pyarrow as pa

T = TypeVar("T")
Batch = TypeVar("Batch", bound="pa.RecordBatch")
_MOMENT: Final = 2.0
"""Seconds after which something is shown."""


class _Screen:
    """The one display of the process. Lines come and go on it; it is there while there are any."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._progress: Any = None
        self._lines = 0

    def add(self, words: str, total: int | None, *, told: str = "") -> Any:
        with self._lock:
            if self._progress is None:
                self._progress = _started()
            self._lines += 1
            return self._progress.add_task(words, total=total, told=told)

    def update(self, line: Any, **changes: Any) -> None:
        with self._lock:
            if self._progress is not None:
                self._progress.update(line, **changes)

    def remove(self, line: Any) -> None:
        with self._lock:
            self._lines -= 1
            if self._lines:
                self._progress.remove_task(line)
            else:
                self._progress.stop()
                self._progress = None


_SCREEN: Final = _Screen()


class _Waiting:
    """A line for a call that tells nothing of itself: it appears by a timer, as the thread may be deep in a query."""

    def __init__(self, words: str) -> None:
        self._words = words
        self._told = ""
        self._line: Any = None
        self._over = False
        self._lock = threading.Lock()
        self._timer = threading.Timer(_MOMENT, self._show)
        self._timer.daemon = True
        self._timer.start()

    def _show(self) -> None:
        with self._lock:
            if not self._over:
                self._line = _SCREEN.add(self._words, None, told=self._told)

    def note(self, told: str) -> None:
        with self._lock:
            self._told = told
            if self._line is not None:
                _SCREEN.update(self._line, told=told)

    def end(self) -> None:
        self._timer.cancel()
        with self._lock:
            self._over = True
            if self._line is not None:
                _SCREEN.remove(self._line)


_waiting: ContextVar[_Waiting | None] = ContextVar("lakekit_waiting", default=None)


@contextmanager
def waiting(words: str, *, show: bool | None) -> Generator[None]:
    """A line with the seconds since it began, for as long as the block takes. Within another such block, that one's line is enough.

    Args:
        words: What is done.
        show: False: never. Otherwise in a terminal or a notebook.
    """
    if _waiting.get() is not None or not _wanted(show):
        yield
        return
    line = _Waiting(words)
    token = _waiting.set(line)
    try:
        yield
    finally:
        _waiting.reset(token)
        line.end()


def note(told: str) -> None:
    """Say on the line of `waiting`, if there is one, what is done now."""
    line = _waiting.get()
    if line is not None:
        line.note(told)


@contextmanager
def bar(words: str, total: int, *, show: bool | None) -> Generator[Callable[[], None]]:
    """A bar for so many steps, which appears once they take longer than a moment.

    Args:
        words: What is done.
        total: The number of steps.
        show: False: never. Otherwise in a terminal or a notebook.

    Gives a function to call after each step.
    """
    line: Any = None
    done, began = 0, time.monotonic()
    wanted = _wanted(show)

    def step() -> None:
        nonlocal line, done
        done += 1
        if line is None and wanted and time.monotonic() - began > _MOMENT:
            line = _SCREEN.add(words, total)
        if line is not None:
            _SCREEN.update(line, completed=done, told=f"{done:,}/{total:,}")

    try:
        yield step
    finally:
        if line is not None:
            _SCREEN.remove(line)


def steps(words: str, items: Iterable[T], *, total: int, show: bool | None) -> Iterator[T]:
    """The items, with a bar that moves on after each.

    >>> list(steps("counting", [1, 2], total=2, show=None))
    [1, 2]
    """
    with bar(words, total, show=show) as step:
        for item in items:
            yield item
            step()


def rows(words: str, batches: Iterable[Batch], *, show: bool | None) -> Iterator[Batch]:
    """The Arrow batches, with a line that tells rows, bytes and rows a second, and appears once they take longer than a moment.

    >>> import pyarrow as pa
    >>> sum(batch.num_rows for batch in rows("counting", [pa.record_batch({"n": [1, 2]})], show=None))
    2
    """
    line: Any = None
    count, size, began = 0, 0, time.monotonic()
    wanted = _wanted(show)
    try:
        for batch in batches:
            count, size = count + batch.num_rows, size + batch.nbytes
            seconds = time.monotonic() - began
            if line is None and wanted and seconds > _MOMENT:
                line = _SCREEN.add(words, None)
            if line is not None:
                _SCREEN.update(line, told=f"{count:,} rows, {size / 1e6:,.0f} MB, {count / max(seconds, 1e-3):,.0f} rows/s")
            yield batch
    finally:
        if line is not None:
            _SCREEN.remove(line)


def watched() -> bool:
    """Whether somebody sees it: in a terminal, or in a notebook."""
    seen = sys.stderr is not None and not sys.stderr.closed and sys.stderr.isatty()  # pyright: ignore[reportUnnecessaryComparison] -- a daemon may have none
    return seen or _in_notebook()


def _in_notebook() -> bool:
    """Whether there is a cell to show it below. Without ipywidgets rich can't, and would say so each time."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None and "ipykernel" in sys.modules else None
    return shell is not None and importlib.util.find_spec("ipywidgets") is not None


def _wanted(show: bool | None) -> bool:  # noqa: FBT001 -- None, too
    return show is not False and watched()


def _started() -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.fields[told]}", markup=False),
        TimeElapsedColumn(),
    )
    progress = Progress(*columns, console=Console(stderr=True), transient=True)
    progress.start()
    return progress
