"""Runs a step in a fresh process and says what it took. A process that has worked before would hide what memory the next step needs."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import platform
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TypeVar

import attrs

MB = 1_000_000
Subject = TypeVar("Subject")


@attrs.frozen
class Measurement:
    """What a step took.

    Attributes:
        rows: How many rows it worked on.
        wall: Seconds by the clock: noisy on a shared machine.
        cpu: Seconds of processor time, of all threads: what to compare.
        idle: Bytes of memory in use before the step, when everything was imported.
        peak: The most bytes of memory in use.
    """

    rows: int
    wall: float
    cpu: float
    idle: int
    peak: int


def fresh(step: Callable[[Subject], int], prepare: Callable[..., Subject], *arguments: object) -> Measurement:
    """Run ``step(prepare(*arguments))`` in a process of its own; only the step is timed. It says how many rows it worked on."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_measured, step, prepare, *arguments).result()


def median(found: Sequence[Measurement]) -> Measurement:
    """The one in the middle by processor time."""
    middle = statistics.median_low([one.cpu for one in found])
    return next(one for one in found if one.cpu == middle)


def alone(function: Callable[..., Measurement], *arguments: object) -> Measurement:
    """What a function that measures itself says, called in a process of its own."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def _measured(step: Callable[[Subject], int], prepare: Callable[..., Subject], *arguments: object) -> Measurement:
    subject = prepare(*arguments)
    idle, wall, cpu = peak_memory(), time.perf_counter(), time.process_time()
    rows = step(subject)
    return Measurement(rows, time.perf_counter() - wall, time.process_time() - cpu, idle, peak_memory())


def peak_memory(process: int | str = "self") -> int:
    """The most bytes of memory that a process ever had in use (resident set). Another one than this: on Linux only."""
    status = Path(f"/proc/{process}/status")
    if status.exists():
        # Not ru_maxrss: on Linux, it survives exec, so a child starts with the peak of its parent.
        line = next(line for line in status.read_text(encoding="ascii").splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def machine() -> str:
    """The machine in a line, for figures that are quoted."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return f"{os.cpu_count()} cores, {memory / 2**30:.0f} GiB, {platform.system()} {platform.machine()}, Python {platform.python_version()}"


def table(title: str, steps: Mapping[str, Measurement]) -> str:
    """The figures of one run, a line for each step.

    >>> print(table("run", {"sleep": Measurement(1000, 2.0, 0.5, 50 * MB, 80 * MB)}))
    run        rows  wall s  CPU s  rows/s  peak MB  above idle
    sleep     1,000    2.00   0.50     500       80          30
    """
    lines = [[title, "rows", "wall s", "CPU s", "rows/s", "peak MB", "above idle"]]
    lines += [
        [
            name,
            f"{found.rows:,}",
            f"{found.wall:.2f}",
            f"{found.cpu:.2f}",
            f"{found.rows / found.wall:,.0f}",
            f"{found.peak / MB:.0f}",
            f"{(found.peak - found.idle) / MB:.0f}",
        ]
        for name, found in steps.items()
    ]
    return aligned(lines)


def ratios(title: str, runs: Mapping[str, Mapping[str, Measurement]]) -> str:
    """Several runs side by side: peak memory and processor time for a million rows, and the last run's by the first one's.

    >>> small, large = Measurement(10 * MB, 1.0, 1.0, 0, 100 * MB), Measurement(50 * MB, 4.0, 6.0, 0, 110 * MB)
    >>> print(ratios("step", {"10M": {"sort": small}, "50M": {"sort": large}}))
    step  peak MB: 10M  50M  ratio  CPU s per M rows: 10M   50M  ratio
    sort           100  110   1.10                   0.10  0.12   1.20
    """
    names = list(runs)
    header = [title, f"peak MB: {names[0]}", *names[1:], "ratio", f"CPU s per M rows: {names[0]}", *names[1:], "ratio"]
    lines = [header]
    for step in runs[names[0]]:
        found = [runs[name][step] for name in names]
        per_million = [one.cpu / max(one.rows, 1) * 1_000_000 for one in found]
        lines.append(
            [
                step,
                *(f"{one.peak / MB:.0f}" for one in found),
                f"{found[-1].peak / found[0].peak:.2f}",
                *(f"{seconds:.2f}" for seconds in per_million),
                f"{per_million[-1] / per_million[0]:.2f}",
            ]
        )
    return aligned(lines)


def aligned(lines: Sequence[Sequence[str]]) -> str:
    """Lines of cells as columns."""
    widths = [max(len(line[index]) for line in lines) for index in range(len(lines[0]))]
    return "\n".join(
        "  ".join([line[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True))])
        for line in lines
    )


@contextlib.contextmanager
def progress(words: str) -> Iterator[None]:
    """Say on the terminal what is under way, with the seconds; elsewhere say nothing."""
    if not sys.stderr.isatty():
        yield
        return
    done, started = threading.Event(), time.perf_counter()

    def show() -> None:
        while not done.wait(0.5):
            print(f"\r\033[K{words} … {time.perf_counter() - started:.0f} s", end="", file=sys.stderr, flush=True)

    shower = threading.Thread(target=show, daemon=True)
    shower.start()
    try:
        yield
    finally:
        done.set()
        shower.join()
        print("\r\033[K", end="", file=sys.stderr, flush=True)
