"""What users install: a wheel and a source distribution that pass the index's checks, in a clean environment, without Spark."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
UV = Path(sys.executable).with_name("uv")
PROGRAM = """
import importlib.metadata, importlib.util, tempfile
import lakekit as lk
lake = lk.connect(tempfile.mkdtemp())
lk.append(lk.from_frame(lake, [{"id": 1}], run_id="a"), into="bronze.things")
lk.merge(lk.read_new(lake, "bronze.things", into="silver.things"), key="id")
assert lk.read(lake, "silver.things").count() == 1
assert importlib.metadata.version("lakekit") == lk.__version__
assert importlib.util.find_spec("pyspark") is None and importlib.util.find_spec("pandas") is None
"""


@pytest.fixture(scope="session")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel and the source distribution."""
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run([UV, "build", "--quiet", "--out-dir", folder, ROOT], check=True)
    return folder


@pytest.mark.slow
def test_both_pass_the_checks_of_the_index_and_hold_what_they_should(packages: Path) -> None:
    (wheel,), (source,) = packages.glob("*.whl"), packages.glob("*.tar.gz")
    done = subprocess.run([sys.executable, "-m", "twine", "check", "--strict", wheel, source], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    with zipfile.ZipFile(wheel) as found:
        names = found.namelist()
    assert "lakekit/py.typed" in names
    assert not [name for name in names if not name.startswith(("lakekit/", "lakekit-"))]
    written = {
        str(path.relative_to(ROOT / "src")) for path in (ROOT / "src" / "lakekit").rglob("*") if path.suffix in {".py", ".csv", ".typed"}
    }
    assert written <= set(names)
    with tarfile.open(source) as archive:
        inside = {name.partition("/")[2] for name in archive.getnames()}
    assert {"pyproject.toml", "README.md", "CHANGELOG.md", "LICENSE"} <= inside


@pytest.mark.slow
@pytest.mark.parametrize("resolution", ["highest", "lowest-direct"])
def test_the_wheel_works_in_a_clean_environment_with_the_newest_and_the_oldest_packages(
    resolution: str, packages: Path, tmp_path: Path
) -> None:
    work_with(sys.executable, packages, tmp_path, "--resolution", resolution)


@pytest.mark.slow
@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13"])
def test_the_wheel_works_on_each_python_it_names(version: str, packages: Path, tmp_path: Path) -> None:
    if (interpreter := python_of(version)) is None:
        pytest.skip(f"there is no Python {version} on this machine")
    work_with(str(interpreter), packages, tmp_path)


def python_of(version: str) -> Path | None:
    """An interpreter of a version: on the path, or one that pyenv has, whose names on the path do nothing by themselves."""
    named = shutil.which(f"python{version}")
    found = [*([Path(named)] if named else []), *(Path.home() / ".pyenv" / "versions").glob(f"{version}.*/bin/python")]
    works = (path for path in found if subprocess.run([path, "--version"], capture_output=True, check=False).returncode == 0)
    return next(works, None)


def work_with(interpreter: str, packages: Path, folder: Path, *options: str) -> None:
    """Install the wheel in an environment of its own, and use it."""
    python = folder / "venv" / "bin" / "python"
    subprocess.run([UV, "venv", "--quiet", "--python", interpreter, folder / "venv"], check=True)
    (wheel,) = packages.glob("*.whl")
    subprocess.run([UV, "pip", "install", "--quiet", "--python", python, *options, wheel], check=True)
    subprocess.run([python, "-c", PROGRAM], check=True, cwd=folder)
