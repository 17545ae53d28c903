"""crash_anywhere: a pipeline killed at every step of its writes, and run again."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Callable, Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from lakekit.errors import ConfigError
from lakekit.incremental.read import read

if TYPE_CHECKING:
    from lakekit.lake import Lake

_STEPS = frozenset({"create", "alter", "set_properties", "append", "merge", "commit", "discard", "compact", "expire", "sweep"})
"""What an engine, a session or prepared files do that may leave something behind."""
_OF_ONE_RUN = frozenset(
    {"_write_id", "_ingestion_timestamp", "_deleted_at", "_reject_id", "_origin", "_since", "_run", "_row", "assigned_at"}
)
"""What differs between two runs that do the same: instants of a clock, and what hangs on the ids of tables."""


class Crash(BaseException):
    """The process is gone. No ``except Exception`` catches it, and whatever is tried afterwards raises it again."""


def crash_anywhere(f: Callable[[Lake], object], lake: Lake, *, ignore: tuple[str, ...] = ()) -> int:
    """Run a pipeline, have it die before and after each of its writes, run it again: every time the tables must end up the same.

    Args:
        f: The pipeline, a function of the lake: what it reads must stay as it is meanwhile.
        lake: A lake in a folder, on the embedded engine; what it holds is where each run begins. Afterwards it holds what the pipeline leaves.
        ignore: Columns that are not compared, besides lakekit's own instants and ids of writes.

    Returns:
        At how many points it died.

    Raises:
        AssertionError: After some crash, a second run ends otherwise. The message names the step and the tables.
        ConfigError: The lake is none in a folder.
    """
    if lake.engine.name != "embedded" or not Path(lake.where).is_dir():
        raise ConfigError("testing.crash_anywhere(lake=)", "expected a lake in a folder", got=repr(lake), hint="connect(tmp_path).")
    with tempfile.TemporaryDirectory(prefix="lakekit-") as kept:
        folder, copy = Path(lake.where), Path(kept, "lake")
        shutil.copytree(folder, copy)
        f(lake)
        expected = _contents(lake, ignore)
        point = 0
        while True:
            point += 1
            _restore(folder, copy)
            with _dying(lake, at=point) as (doomed, died), contextlib.suppress(Crash):
                f(doomed)
            if not died():
                return point - 1
            f(lake)
            found = _contents(lake, ignore)
            if wrong := sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name)):
                msg = f"after a crash {died()}, a second run leaves another {', '.join(wrong)}"
                raise AssertionError(msg)


def _restore(folder: Path, copy: Path) -> None:
    for path in folder.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    shutil.copytree(copy, folder, dirs_exist_ok=True)


def _contents(lake: Lake, ignore: tuple[str, ...]) -> dict[str, list[str]]:
    """The rows of every table, sorted, without what differs from run to run."""
    hidden = _OF_ONE_RUN.union(ignore)

    def shown(row: dict[str, Any]) -> str:
        return repr(
            {name: value for name, value in sorted(row.items()) if name not in hidden} | {"deleted": row.get("_deleted_at") is not None}
        )

    return {name: sorted(map(shown, read(lake, name, deleted=True).to_arrow().to_pylist())) for name in lake.tables()}


class _Watched:
    """An engine, and whatever its steps give, with each step guarded."""

    def __init__(self, watched: Any, guard: Callable[[str, Callable[..., Any]], Callable[..., Any]]) -> None:
        self._watched, self._guard = watched, guard

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._watched, name)
        if name == "session":
            return lambda: _Watched(found(), self._guard)
        return self._guard(name, found) if name in _STEPS else found

    def __enter__(self) -> _Watched:  # noqa: PYI034 -- a session is another object than what opens it
        return _Watched(self._watched.__enter__(), self._guard)

    def __exit__(self, *error: object) -> None:
        self._watched.__exit__(*error)


@contextlib.contextmanager
def _dying(lake: Lake, *, at: int) -> Generator[tuple[Lake, Callable[[], str]]]:
    """A lake whose engine dies at its n-th step, counted before and after each one; and a function that says where it did."""
    steps, where = 0, ""

    def guard(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def step(*args: Any, **options: Any) -> Any:
            nonlocal steps, where
            done = None
            for when in ("before", "after"):
                if where:
                    raise Crash(where)
                steps += 1
                if steps == at:
                    where = f"{when} {name}"
                    raise Crash(where)
                done = call(*args, **options) if when == "before" else done
            return _Watched(done, guard) if name in {"append", "merge"} else done

        return step

    yield attrs.evolve(lake, engine=_Watched(lake.engine, guard)), lambda: where
