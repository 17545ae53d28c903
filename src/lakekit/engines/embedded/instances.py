"""DuckDB instances. To make one takes longer than most evaluations, so a lake keeps the last one for the next evaluation."""

from __future__ import annotations

import functools
import os
import threading
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

import attrs
import duckdb

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


@attrs.frozen
class Settings:
    """What a user may set about the embedded engine.

    Attributes:
        memory_limit: What DuckDB may hold in memory before it spills, in its words: ``"2GB"``.
        spill_directory: Where it spills. None: the system's temporary folder.
        threads: How many threads it uses. None: one for each core.
        progress: False: nothing shows that it is under way. Otherwise what takes long does, in a terminal or a notebook.
    """

    memory_limit: str = "2GB"
    spill_directory: str | None = None
    threads: int | None = None
    progress: bool | None = None


class Instances:
    """The instances of one lake: each is one evaluation's at a time, and at most one waits."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._lock = threading.Lock()
        self._waiting: DuckDBPyConnection | None = None
        _of_this_process().add(self)

    def take(self) -> DuckDBPyConnection:
        """The waiting instance, or a new one."""
        with self._lock:
            found, self._waiting = self._waiting, None
        if found is not None:
            return found
        config: dict[str, Any] = {"memory_limit": self.settings.memory_limit}
        if self.settings.threads is not None:
            config["threads"] = self.settings.threads
        return duckdb.connect(":memory:", config=config)

    def give_back(self, instance: DuckDBPyConnection, *, clean: bool) -> None:
        """Let it wait for the next evaluation: if it is ``clean``, and none waits yet."""
        with self._lock:
            if clean and self._waiting is None:
                self._waiting = instance
                return
        instance.close()

    def close(self) -> None:
        """Close the one that waits."""
        with self._lock:
            found, self._waiting = self._waiting, None
        if found is not None:
            found.close()


@functools.cache
def _of_this_process() -> WeakSet[Instances]:
    """All there are. Before a fork, none may wait: its threads don't live on in the child, which would then die of it at its end."""
    every: WeakSet[Instances] = WeakSet()

    def close() -> None:
        for instances in list(every):
            instances.close()

    if hasattr(os, "register_at_fork"):
        os.register_at_fork(before=close)
    return every
