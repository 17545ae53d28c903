"""Death at a chosen point of a write: as soon as a file is begun, before the catalog learns of a commit, and right after."""

from __future__ import annotations

import os
import signal
import sqlite3
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, Final
from zlib import crc32

from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.io.pyarrow import PyArrowFile

POINTS: Final = frozenset(
    {
        "data file begun",
        "manifest begun",
        "manifest list begun",
        "metadata file begun",
        "metadata written",
        "created",
        "committed",
    }
)


def die_at_first_unknown(known: Collection[str], folder: Path, told: Callable[[str], None], *, every: int = 1) -> None:
    """From now on this process dies at the first point of a write that is not known, and tells the point's name before.

    The same point of the same commit has the same name in every process: it begins with the table and the number of its metadata file.
    ``every`` takes one point in so many, chosen by their names.
    """
    catalog = sqlite3.connect(folder / "catalog.db", check_same_thread=False)

    def reach(table: str, what: str) -> None:
        found = catalog.execute("SELECT metadata_location FROM iceberg_tables WHERE table_namespace || '.' || table_name = ?", (table,))
        number = next((location.rpartition("/")[2].partition("-")[0] for (location,) in found), "new")
        point = f"{table} after {number}: {what}"
        if point not in known and crc32(point.encode()) % every == 0:
            told(point)
            os.kill(os.getpid(), signal.SIGKILL)

    _after(PyArrowFile, "create", lambda call: reach(*_file(call[0].location)))
    _after(SqlCatalog, "_write_metadata", lambda call: reach(_file(call[-1])[0], "metadata written"), static=True)
    _after(SqlCatalog, "create_table", lambda call: reach(".".join(call[1]), "created"))
    _after(SqlCatalog, "commit_table", lambda call: reach(".".join(call[1].name()), "committed"))


def _after(owner: type, name: str, then: Callable[[tuple[Any, ...]], None], *, static: bool = False) -> None:
    """Have a method of pyiceberg followed by a function of its arguments."""
    method: Callable[..., Any] = getattr(owner, name)

    def followed(*arguments: Any, **named: Any) -> Any:
        result = method(*arguments, **named)
        then((*arguments, *named.values()))
        return result

    setattr(owner, name, staticmethod(followed) if static else followed)


def _file(location: str) -> tuple[str, str]:
    """The table a file belongs to, and what it is."""
    path = Path(location.removeprefix("file://"))
    above = path.parts[path.parts.index("warehouse") + 1 :]
    kinds = {".parquet": "data file", ".json": "metadata file", ".avro": "manifest list" if path.name.startswith("snap-") else "manifest"}
    return f"{above[0]}.{above[1]}", f"{kinds[path.suffix]} begun"
