"""Processes that start in a moment: forked from one that has imported everything. For the tests of crashes and of races.

The function that a process runs stands in a module that is no test, since it is found by its name.
"""

from __future__ import annotations

import multiprocessing
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, Final

PATIENCE: Final = 120.0  # seconds; what takes longer hangs

context = multiprocessing.get_context("forkserver")
# A module that can't be imported there is imported by each process for itself: slower, and nothing else.
context.set_forkserver_preload(
    [
        "adbc_driver_postgresql.dbapi",
        "confluent_kafka.admin",
        "duckdb",
        "lakekit.bronze.deletes",
        "lakekit.bronze.ingest",
        "lakekit.engines.embedded",
        "lakekit.engines.functions",
        "lakekit.gold.lookup",
        "lakekit.gold.scd2",
        "lakekit.identity.attach",
        "lakekit.identity.golden",
        "lakekit.identity.resolve",
        "lakekit.silver.append",
        "lakekit.silver.merge",
        "psycopg",
        "pymongo",
        "pyiceberg.avro.decoder_fast",
        "pytest",  # the main module of whoever calls .venv/bin/pytest
        "sqlalchemy.dialects.sqlite",
        "sqlglot.dialects.databricks",
        "sqlglot.dialects.duckdb",
    ]
)


class DiedError(Exception):
    """A process was killed, or killed itself."""


class Running:
    """A function that runs in a process of its own, beside this one."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self._arguments = arguments  # a barrier is gone as soon as nobody holds it here
        self._answers, answer = context.Pipe(duplex=False)
        self._process = context.Process(target=_call, args=(answer, function, arguments), daemon=True)
        self._process.start()
        answer.close()

    def kill(self, *, after: float) -> bool:
        """End it by SIGKILL in so many seconds. False: it had ended before."""
        if self._answers.poll(after):
            return False
        self._process.kill()
        self._process.join()
        return True

    def result(self) -> Any:
        """What the function returned.

        Raises:
            DiedError: It was killed.
        """
        try:
            assert self._answers.poll(PATIENCE), "the process hangs"
            done, value = self._answers.recv()
        except EOFError:
            raise DiedError from None
        finally:
            self._process.kill()
            self._process.join()
        assert done, f"in another process:\n{value}"
        return value


def _call(answer: Connection, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    try:
        found = (True, function(*arguments))
    except BaseException:  # noqa: BLE001 -- handed over, and raised by result()
        found = (False, traceback.format_exc())
    answer.send(found)
