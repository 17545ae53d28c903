"""DuckDB instances. To make one takes longer than most evaluations, so a lake keeps the last one for the next evaluation."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any, Final

import attrs
import duckdb

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_OF_PARENTS: Final[list[DuckDBPyConnection]] = []
"""Instances that a process was forked with. Their threads are the parent's, so they are neither used nor closed."""


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
        self._process = os.getpid()

    def take(self) -> DuckDBPyConnection:
        """The waiting instance, or a new one."""
        with self._lock:
            found, self._waiting = self._waiting, None
            if found is not None and self._process != os.getpid():
                _OF_PARENTS.append(found)
                found = None
            self._process = os.getpid()
        if found is not None:
            return found
        config: dict[str, Any] = {"memory_limit": self.settings.memory_limit}
        if self.settings.threads is not None:
            config["threads"] = self.settings.threads
        return duckdb.connect(":memory:", config=config)

    def give_back(self, instance: DuckDBPyConnection, *, clean: bool) -> None:
        """Let it wait for the next evaluation: if it is ``clean``, and none waits yet."""
        with self._lock:
            if clean and self._waiting is None and self._process == os.getpid():
                self._waiting = instance
                return
        instance.close()
