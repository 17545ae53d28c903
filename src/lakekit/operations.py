"""The public functions that write: each names itself in what it commits, and logs it once."""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Callable
from typing import ParamSpec, TypeVar, cast

import attrs

from lakekit import logs
from lakekit.commit import Commit

P = ParamSpec("P")
Done = TypeVar("Done", bound="Commit | list[Commit]")


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
        with logs.during(name):
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
