"""The jars a test server needs: copied once by Maven into a cache folder, from a pom in `maven/`."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

POMS = Path(__file__).parent / "maven"


def cache_folder() -> Path:
    """Where downloads are kept between test runs: `LAKEKIT_TEST_CACHE`, or a folder in the user's cache."""
    return Path(os.environ.get("LAKEKIT_TEST_CACHE") or Path.home() / ".cache" / "lakekit-tests")


def jars(pom_name: str) -> list[Path]:
    """The jars that `maven/<pom_name>.xml` lists, or that its archives hold, copied at the first call and whenever the pom changes.

    Workers that ask at once wait for the one that copies. A copy that broke off leaves no folder behind.

    Raises:
        RuntimeError: Java or Maven is absent, or Maven failed.

    Example:
        >>> [jar.suffix for jar in jars("spark")]  # doctest: +SKIP
        ['.jar', '.jar']
    """
    pom = POMS / f"{pom_name}.xml"
    digest = hashlib.sha256(pom.read_bytes()).hexdigest()[:16]
    folder = cache_folder() / f"{pom_name}-{digest}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name(f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            _copy(pom, folder)
    return sorted(folder.rglob("*.jar"))


def _copy(pom: Path, folder: Path) -> None:
    absent = [tool for tool in ("java", "mvn") if shutil.which(tool) is None]
    if absent:
        message = (
            f"jars({pom.stem!r}): {' and '.join(absent)} not found on PATH.\n"
            "Hint: install a JDK 17 and Maven, or point LAKEKIT_TEST_CACHE at a folder that already holds "
            f"{folder.name!r}, copied from a machine that has them."
        )
        raise RuntimeError(message)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f"{folder.name}-") as scratch:
        copied = Path(scratch) / "jars"
        command = ["mvn", "-q", "-B", "dependency:copy-dependencies", "-f", str(pom), f"-DoutputDirectory={copied}"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            message = (
                f"jars({pom.stem!r}): Maven failed with exit code {done.returncode}.\n{(done.stdout + done.stderr)[-2000:]}\n"
                "Hint: check that Maven reaches its repository (a proxy or a mirror goes into its settings.xml)."
            )
            raise RuntimeError(message)
        for archive in copied.glob("*.tar.gz"):
            shutil.unpack_archive(archive, copied, filter="data")
            archive.unlink()
        copied.rename(folder)
