"""The public functions that write: each names itself in what it commits, and logs it once."""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Callable, Mapping
from typing import ParamSpec, TypeVar, cast

import attrs

from lakekit import logs, progress
from lakekit.batch import Batch
from lakekit.commit import Commit
from lakekit.lake import Lake

P = ParamSpec("P")
Done = TypeVar("Done", bound="Commit | list[Commit]")
Read = TypeVar("Read")


def operation(function: Callable[P, Done]) -> Callable[P, Done]:
    """Make a public function an operation: its commits have its name and the seconds it took, and are logged at level INFO.

    Called by another operation it is a part of that one.

    >>> @operation
    ... def rewind() -> Commit:
    ...     return Commit(table="silver.users", committed=True)
    >>> rewind().operation
    'rewind'
    """
    name, log = function.__name__, logging.getLogger(function.__module__)

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> Done:
        if logs.operation() is not None:
            return function(*args, **kwargs)
        with logs.during(name), progress.waiting(name, show=_shows(args, kwargs)):
            began = time.perf_counter()
            done = function(*args, **kwargs)
            if isinstance(done, Commit):
                named: Commit | list[Commit] = timed(attrs.evolve(done, operation=name), began)
            else:
                named = [attrs.evolve(commit, operation=name) for commit in done]
            for commit in [named] if isinstance(named, Commit) else named:
                tell(log, commit, depth=2)
            return cast("Done", named)

    return run


def reading(function: Callable[P, Read]) -> Callable[P, Read]:
    """Let a public function that may take its time show that it is under way.

    >>> @reading
    ... def status() -> int:
    ...     return 1
    >>> status()
    1
    """

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> Read:
        with progress.waiting(function.__name__, show=_shows(args, kwargs)):
            return function(*args, **kwargs)

    return run


def _shows(args: tuple[object, ...], kwargs: Mapping[str, object]) -> bool | None:
    """Whether the lake that a call is about shows progress: of its first argument, which is a lake, a batch or several batches by name."""
    about = next(iter((*args, *kwargs.values())), None)
    if isinstance(about, Mapping):
        about = next(iter(cast("Mapping[str, object]", about).values()), None)
    lake = about.lake if isinstance(about, Batch) else about
    return lake.engine.progress if isinstance(lake, Lake) else False


def timed(commit: Commit, began: float) -> Commit:
    """The commit, and how long the whole call took."""
    return attrs.evolve(commit, seconds={**commit.seconds, "total": time.perf_counter() - began})


def tell(log: logging.Logger, commit: Commit, *, depth: int = 1) -> None:
    """Log what was written.

    Args:
        log: By whom.
        commit: What.
        depth: So many calls further up stands the line that the record names.
    """
    figures = {name.replace("_", ".", 1).removeprefix(logs.PREFIX): number for name, number in commit.metrics().items()}
    about = {"table": commit.table, "run_id": commit.run_id, "snapshot_id": commit.snapshot_id, "write_id": commit.write_id}
    told = logs.fields("commit", **about, committed=commit.committed, columns=list(commit.columns_added) or None, **figures)
    log.info("%s", commit, extra={**told, f"{logs.PREFIX}operation": commit.operation}, stacklevel=depth + 1)
