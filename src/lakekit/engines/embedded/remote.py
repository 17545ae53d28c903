"""Files that are not on this machine, for DuckDB: read through the table's own FileIO, with the credentials its catalog gave."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import attrs
from fsspec import AbstractFileSystem

if TYPE_CHECKING:
    import duckdb
    from pyiceberg.io import FileIO


Failed = Callable[[str, BaseException], None]
"""Told of an error, with the path that DuckDB knows the file by: DuckDB would make text of it."""


@attrs.define(eq=False)
class Remotes:
    """The FileIOs that a session's DuckDB reads through. Two tables may reach one bucket with two keys, so each has its own."""

    connection: duckdb.DuckDBPyConnection
    failed: Failed
    _known: dict[int, tuple[FileIO, str]] = attrs.field(factory=dict)

    def path(self, io: FileIO, location: str) -> str:
        """A location as DuckDB opens it."""
        if is_local(location):
            return local_path(location)
        if id(io) not in self._known:
            protocol = f"lakekit{len(self._known)}"
            self.connection.register_filesystem(TableFiles(io, protocol, self.failed))
            self._known[id(io)] = (io, protocol)  # with the io itself, so that no other one gets its id
        return f"{self._known[id(io)][1]}://{location}"

    def close(self) -> None:
        """Let the instance forget them."""
        for _, protocol in self._known.values():
            self.connection.unregister_filesystem(protocol)
        self._known.clear()


class TableFiles(AbstractFileSystem):
    """A table's FileIO as the filesystem of fsspec's that DuckDB takes. Only reading, and only of files named in full."""

    cachable = False

    def __init__(self, io: FileIO, protocol: str, failed: Failed) -> None:
        super().__init__()
        self.io, self.protocol, self.failed = io, protocol, failed

    def open(
        self, path: str, mode: str = "rb", block_size: int | None = None, cache_options: object = None, compression: object = None, **_: Any
    ) -> Any:
        """Open a file to read."""
        with self._watched(path):
            return OpenFile(self.io.new_input(self._location(path)).open(), path, self._watched)

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        """A file's size."""
        with self._watched(path):
            return {"name": path, "size": len(self.io.new_input(self._location(path))), "type": "file"}

    def modified(self, path: str) -> datetime:
        """When a file was changed: none ever is."""
        return datetime.fromtimestamp(0, UTC)

    def glob(self, path: str, maxdepth: int | None = None, **_: Any) -> list[str]:
        """The file itself: nothing in its name stands for other files."""
        return [path]

    def _location(self, path: str) -> str:
        return path.removeprefix(f"{self.protocol}://")

    @contextmanager
    def _watched(self, path: str) -> Generator[None]:
        try:
            yield
        except BaseException as error:
            self.failed(path, error)
            raise


@attrs.frozen(eq=False)
class OpenFile:
    """A file as DuckDB reads it."""

    stream: Any
    path: str
    watched: Callable[[str], AbstractContextManager[None]]

    def read(self, size: int = -1) -> bytes:
        """Read from where the file stands."""
        with self.watched(self.path):
            return self.stream.read(size)

    def seek(self, offset: int, whence: int = 0) -> int:
        """Go somewhere else in it."""
        return self.stream.seek(offset, whence)

    def tell(self) -> int:
        """Where it stands."""
        return self.stream.tell()

    def seekable(self) -> bool:
        """That it can go elsewhere."""
        return True

    def close(self) -> None:
        """Close it."""
        self.stream.close()


def is_local(location: str) -> bool:
    """Whether a location is a file of this machine."""
    return urlsplit(location).scheme in {"", "file"}


def local_path(location: str) -> str:
    """The path of a local file: Iceberg writes ``file:/a``, ``file:///a`` or ``/a``."""
    return location[len("file:") :].removeprefix("//") if location.startswith("file:") else location
