"""A server that is one child process on a free port of the loopback address, gone with the process that started it."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING

from examples.shop.postgres import _die_with_parent, _free_port

if TYPE_CHECKING:
    from typing import Self

START_TIMEOUT = 120.0


class ChildServer(ABC):
    """A server with a folder of its own, both gone at the end of the ``with`` block.

    Attributes:
        port: A free port, the same one after a restart.
        home: The folder.
    """

    def __init__(self) -> None:
        """Start the server."""
        self.port = _free_port()
        self.home = Path(tempfile.mkdtemp(prefix=f"lakekit-{type(self).__name__.lower()}-"))
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

    @abstractmethod
    def command(self) -> list[str]:
        """What starts the server."""

    def environment(self) -> dict[str, str]:
        """The environment variables it is set up by."""
        return {}

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        """What the server printed so far."""
        return (self.home / "log").read_text(encoding="utf-8", errors="replace")

    def start(self) -> None:
        """Start the server, again after ``kill``, and wait until it takes connections."""
        self._process = self.run(self.command())
        deadline = time.monotonic() + START_TIMEOUT
        while not _listens(self.address):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                message = f"{type(self).__name__} did not start:\n{self.log}"
                raise RuntimeError(message)
            time.sleep(0.05)

    def run(self, command: list[str]) -> subprocess.Popen[bytes]:
        """A child process in the server's folder, which writes to its log."""
        with (self.home / "log").open("ab") as log:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.home,
                env={**os.environ, **self.environment()},
                start_new_session=True,  # Ctrl-C reaches this process only, which then ends the server
                preexec_fn=_die_with_parent,  # noqa: PLW1509 - it makes one system call and takes no lock
            )

    def kill(self) -> None:
        """End the server at once, as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def close(self) -> None:
        """End the server and remove its folder."""
        self.kill()
        shutil.rmtree(self.home, ignore_errors=True)


def _listens(address: str) -> bool:
    host, _, port = address.partition(":")
    try:
        socket.create_connection((host, int(port)), timeout=1).close()
    except OSError:
        return False
    return True
