"""DuckDB with its own iceberg extension, in a process of its own: the extension comes later than the DuckDB that lakekit runs on."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.servers.jars import cache_folder

VERSION = "1.5.5"
PACKAGES = tuple(f"{name}=={VERSION}" for name in ("duckdb", "duckdb-extension-avro", "duckdb-extension-iceberg"))
PROGRAM = """
import json, sys
from pathlib import Path
import duckdb

home, metadata, target = sys.argv[1:]
connection = duckdb.connect()
for name in ("avro", "iceberg"):
    (extension,) = Path(home).glob(f"duckdb_extension_{name}/extensions/*/*.duckdb_extension")
    connection.execute(f"LOAD '{extension}'")
connection.execute(f"COPY (SELECT * FROM iceberg_scan('{metadata}')) TO '{target}' (FORMAT parquet)")
"""


def folder() -> Path:
    """Where pip has put DuckDB and its extension, once, as Maven does with the jars.

    Raises:
        RuntimeError: pip failed.
    """
    found = cache_folder() / f"duckdb-iceberg-{VERSION}-py{sys.version_info.major}.{sys.version_info.minor}"
    found.parent.mkdir(parents=True, exist_ok=True)
    with found.with_name(f"{found.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not found.exists():
            with tempfile.TemporaryDirectory(dir=found.parent, prefix=f"{found.name}-") as scratch:
                target = Path(scratch) / "packages"
                run([sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(target), *PACKAGES])
                target.rename(found)
    return found


def copy(metadata: str, target: Path) -> None:
    """Write the rows of the table that a metadata file describes to a Parquet file."""
    home = str(folder())
    run([sys.executable, "-c", PROGRAM, home, metadata, str(target)], PYTHONPATH=home)


def run(command: list[str], **environment: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **environment})
    if done.returncode:
        message = f"{json.dumps(command[:4])} failed with exit code {done.returncode}.\n{(done.stdout + done.stderr)[-2000:]}\n"
        raise RuntimeError(message + "Hint: check that pip reaches its index, or copy the folder into LAKEKIT_TEST_CACHE.")
