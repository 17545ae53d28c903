"""What was read, put aside as it came until all is there and its types are known: in memory at first, then in a temporary file.

The file has no name, is readable by nobody else, and is gone with the process.
"""

from __future__ import annotations

import struct
import tempfile
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final, Self

import pyarrow as pa

from lakekit.errors import ConfigError

if TYPE_CHECKING:
    from types import TracebackType

IN_MEMORY: Final = 32 << 20
_CODEC: Final = "lz4"
_HEADER: Final = struct.Struct("<II")  # the lengths of a part: as it is written, as it was


class Spool:
    """Parts, each some bytes: written once, then read as often as needed."""

    def __init__(self, *, place: str) -> None:
        """Open an empty one; ``place`` is for errors."""
        self._place = place
        self._file = tempfile.SpooledTemporaryFile[bytes](IN_MEMORY, prefix="lakekit-")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._file.close()

    def write(self, part: bytes) -> None:
        """Add a part.

        Raises:
            ConfigError: The temporary folder is full.
        """
        packed = pa.compress(part, codec=_CODEC, asbytes=True)
        try:
            self._file.write(_HEADER.pack(len(packed), len(part)))
            self._file.write(packed)
        except OSError as error:
            raise ConfigError(
                self._place,
                "what is read does not fit into the temporary folder",
                got=error.strerror or type(error).__name__,
                hint="let TMPDIR name a folder with more room.",
            ) from None

    def parts(self) -> Iterator[bytes]:
        """All parts, in the order they were written."""
        self._file.seek(0)
        while header := self._file.read(_HEADER.size):
            packed, size = _HEADER.unpack(header)
            yield pa.decompress(self._file.read(packed), size, codec=_CODEC, asbytes=True)
