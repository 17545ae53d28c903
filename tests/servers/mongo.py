"""MongoDB for tests: a real server where ``MONGO_URI`` names one, otherwise a stand-in that speaks its protocol.

    with MongoServer() as server:
        pymongo.MongoClient(server.uri)

The stand-in is mongo-java-server with what ``MongoMain.java`` adds. It runs as a child of this process, on a free port of the loopback
address, and holds its data in memory. It has no users, no transactions and no change streams.
"""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Self

import pymongo

from examples.shop.postgres import _die_with_parent
from tests.servers.jars import jars

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pymongo.database import Database

START_TIMEOUT = 60.0
STOP_TIMEOUT = 30.0
MAIN = Path(__file__).with_name("MongoMain.java")
JAVA = ("java", "-Xms32m", "-Xmx1g", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dorg.slf4j.simpleLogger.defaultLogLevel=error")

_numbers = itertools.count(1)


class MongoServer:
    """One stand-in for MongoDB, gone at the end of the ``with`` block.

    Attributes:
        port: A free port, the same one after a restart.
    """

    def __init__(self) -> None:
        """Start the server."""
        self.port = 0
        self._log: IO[bytes] = tempfile.TemporaryFile(prefix="lakekit-mongo-")  # noqa: SIM115 - closed by close()  # noqa: SIM115 -- closed by close()
        self._process: subprocess.Popen[bytes] | None = None
        try:
            self.start()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @property
    def uri(self) -> str:
        """The connection string."""
        return f"mongodb://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        """What the server printed so far."""
        return os.pread(self._log.fileno(), 1 << 20, 0).decode(errors="replace")

    def start(self) -> None:
        """Start the server, again after ``stop`` or ``kill`` (then it is empty), and wait until it takes connections."""
        self._log.seek(0)
        self._log.truncate()
        self._process = subprocess.Popen(
            [*JAVA, "-cp", os.pathsep.join(str(jar) for jar in jars("mongo")), str(MAIN), str(self.port)],
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            start_new_session=True,  # Ctrl-C reaches this process only, which then ends the server
            preexec_fn=_die_with_parent,  # noqa: PLW1509 - it makes one system call and takes no lock
        )
        deadline = time.monotonic() + START_TIMEOUT
        while not (ready := [line for line in self.log.splitlines(keepends=True) if line.startswith("ready ") and line.endswith("\n")]):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                message = f"the stand-in for MongoDB did not start:\n{self.log}"
                raise RuntimeError(message)
            time.sleep(0.02)
        self.port = int(ready[0].split()[1])

    def stop(self) -> None:
        """Shut down in order. The data is gone."""
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(STOP_TIMEOUT)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None

    def kill(self) -> None:
        """End the server at once, as a crash would. The data is gone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def close(self) -> None:
        """End the server."""
        self.kill()
        self._log.close()


def fresh_database(uri: str) -> Iterator[Database[dict[str, Any]]]:
    """Give a new, empty database, which is dropped afterwards."""
    with pymongo.MongoClient[dict[str, Any]](uri, uuidRepresentation="standard") as client:
        name = f"lakekit_test_{os.getpid()}_{next(_numbers)}"
        client.drop_database(name)
        yield client[name]
        client.drop_database(name)
