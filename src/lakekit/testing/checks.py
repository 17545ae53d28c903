"""What tests put into tables, and what they ask of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lakekit.columns import is_system
from lakekit.incremental.read import from_frame, read
from lakekit.silver.append import append
from lakekit.silver.merge import merge

if TYPE_CHECKING:
    from lakekit.commit import Commit
    from lakekit.lake import Lake
    from lakekit.names import Columns, TableName

_SHOWN = 10


def seed(lake: Lake, table: TableName, rows: object, *, key: Columns | None = None) -> Commit:
    """Put rows into a table, as a test's beginning: appended, or merged where there is a ``key``. Each call adds to what is there.

    Args:
        lake: Where.
        table: The table. Made if missing.
        rows: Dictionaries, or any frame that `from_frame` takes.
        key: The columns that tell rows apart.

    >>> import lakekit as lk, tempfile
    >>> lake = lk.connect(tempfile.mkdtemp())
    >>> seed(lake, "silver.users", [{"id": 1}, {"id": 2}], key="id").inserted
    2
    """
    there = lake.find(lake.identifier(table, place="testing.seed(table=)"))
    batch = from_frame(lake, rows, run_id=f"seed {len(there.snapshots) if there else 0}")
    return append(batch, into=table) if key is None else merge(batch, key=key, into=table)


def assert_table(lake: Lake, table: TableName, rows: Sequence[Mapping[str, Any]], *, deleted: bool = False) -> None:
    """Assert that a table holds these rows, each as often, in whatever order.

    Compared are the columns that the expected rows name; where they name none, the table must be empty. What a row lacks is NULL.

    Args:
        lake: Where.
        table: The table.
        rows: What is expected.
        deleted: Whether soft-deleted rows count.

    Raises:
        AssertionError: It doesn't. The message shows rows: this is for tests.

    >>> import lakekit as lk, tempfile
    >>> lake = lk.connect(tempfile.mkdtemp())
    >>> _ = seed(lake, "silver.users", [{"id": 1, "name": "Ada"}], key="id")
    >>> assert_table(lake, "silver.users", [{"id": 2}])
    Traceback (most recent call last):
    AssertionError: silver.users
      expected, and not there: {'id': 2}
      there, and not expected: {'id': 1}
    """
    found = read(lake, table, deleted=deleted).to_arrow().to_pylist()
    names = list(dict.fromkeys(name for row in rows for name in row))
    names = names or [name for name in (found[0] if found else {}) if not is_system(name)]
    if unknown := [name for name in names if found and name not in found[0]]:
        msg = f"{table} has no column {', '.join(map(repr, unknown))}"
        raise AssertionError(msg)
    there, expected = ([{name: row.get(name) for name in names} for row in given] for given in (found, rows))
    lacking, surplus = _without(expected, there), _without(there, expected)
    if lacking or surplus:
        lines = [f"expected, and not there: {row}" for row in lacking] + [f"there, and not expected: {row}" for row in surplus]
        shown = [*lines[:_SHOWN], *([f"and {len(lines) - _SHOWN} more"] if len(lines) > _SHOWN else [])]
        raise AssertionError("\n  ".join([str(table), *shown]))


def _without(rows: Sequence[Any], others: Sequence[Any]) -> list[Any]:
    """The rows that are not among the others, each counted."""
    spare = Counter(map(repr, others))
    found: list[Any] = []
    for row in rows:
        if spare[repr(row)]:
            spare[repr(row)] -= 1
        else:
            found.append(row)
    return found


def assert_rerun_is_noop(f: Callable[[Lake], object], lake: Lake) -> None:
    """Assert that a pipeline run twice does what it does once: the second run makes no snapshot in any table.

    Args:
        f: The pipeline, a function of the lake.
        lake: The lake it works on. Afterwards it holds what one run leaves.

    Raises:
        AssertionError: It does more. The message names the tables.
    """
    f(lake)
    before = heads(lake)
    f(lake)
    after = heads(lake)
    if changed := sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name)):
        msg = f"run again, the pipeline wrote to {', '.join(changed)}"
        raise AssertionError(msg)


def heads(lake: Lake) -> dict[str, int | None]:
    """The current snapshot of every table."""
    states = ((name, lake.find(name)) for name in lake.engine.tables())
    return {".".join(name): state.head for name, state in states if state is not None}
