"""Progress bars: in a terminal or a notebook, for what takes longer than a moment, and nowhere else."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeVar

T = TypeVar("T")
_MOMENT: Final = 1.0


@contextmanager
def bar(words: str, total: int, *, show: bool | None) -> Generator[Callable[[], None]]:
    """A bar for so many steps, which appears once they take longer than a second.

    Args:
        words: What is done.
        total: The number of steps.
        show: Whether to show it. None: in a terminal or a notebook.

    Gives a function to call after each step.
    """
    progress: Any = None
    task: Any = None
    done, began = 0, time.monotonic()
    wanted = watched() if show is None else show

    def step() -> None:
        nonlocal progress, task, done
        done += 1
        if progress is None and wanted and time.monotonic() - began > _MOMENT:
            progress = _started()
            task = progress.add_task(words, total=total, completed=done - 1)
        if progress is not None:
            progress.advance(task)

    try:
        yield step
    finally:
        if progress is not None:
            progress.stop()


def steps(words: str, items: Iterable[T], *, total: int, show: bool | None) -> Iterator[T]:
    """The items, with a bar that moves on after each.

    >>> list(steps("counting", [1, 2], total=2, show=None))
    [1, 2]
    """
    with bar(words, total, show=show) as step:
        for item in items:
            yield item
            step()


def watched() -> bool:
    """Whether somebody sees a bar: in a terminal, or in a notebook."""
    return sys.stderr.isatty() or "ipykernel" in sys.modules


def _started() -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    progress = Progress(*columns, console=Console(stderr=True), transient=True)
    progress.start()
    return progress
