"""Progress bars: in a terminal or a notebook, for what takes longer than a moment, and nowhere else."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, TypeVar

if TYPE_CHECKING:
    import pyarrow as pa

T = TypeVar("T")
Batch = TypeVar("Batch", bound="pa.RecordBatch")
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


def rows(words: str, batches: Iterable[Batch], *, show: bool | None) -> Iterator[Batch]:
    """The Arrow batches, with a line that tells rows, bytes and rows a second, and appears once they take longer than a second.

    >>> import pyarrow as pa
    >>> sum(batch.num_rows for batch in rows("counting", [pa.record_batch({"n": [1, 2]})], show=None))
    2
    """
    progress: Any = None
    task: Any = None
    count, size, began = 0, 0, time.monotonic()
    wanted = watched() if show is None else show
    try:
        for batch in batches:
            count, size = count + batch.num_rows, size + batch.nbytes
            seconds = time.monotonic() - began
            if progress is None and wanted and seconds > _MOMENT:
                progress = _started(total=False)
                task = progress.add_task(words, total=None, told="")
            if progress is not None:
                progress.update(task, told=f"{count:,} rows, {size / 1e6:,.0f} MB, {count / max(seconds, 1e-3):,.0f} rows/s")
            yield batch
    finally:
        if progress is not None:
            progress.stop()


def watched() -> bool:
    """Whether somebody sees a bar: in a terminal, or in a notebook."""
    return sys.stderr.isatty() or "ipykernel" in sys.modules


def _started(*, total: bool = True) -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    told = (
        (MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
        if total
        else (TextColumn("{task.fields[told]}"), TimeElapsedColumn())
    )
    progress = Progress(TextColumn("{task.description}"), BarColumn(), *told, console=Console(stderr=True), transient=True)
    progress.start()
    return progress
