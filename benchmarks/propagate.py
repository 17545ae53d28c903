"""A back-fill by `evolution.propagate` beside one `merge` of the same rows, which writes the same values: what the way by the key costs.

python -m benchmarks.propagate                            10,000,000 rows of 9 columns in 20 files, each of which gets a value
python -m benchmarks.propagate --rows 1000000 --part 0.1  smaller; a tenth of the rows get one

Each measurement is a process of its own, on tables of its own. What is compared is processor time; wall time differs on a busy machine.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

import attrs
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import lakekit as lk
from benchmarks import measure
from benchmarks.measure import Measurement
from benchmarks.merge import FILES, iceberg, rows, stamped
from lakekit import evolution

UPPER: Final = "bronze.orders"
TARGET: Final = 1.5
"""What a back-fill may cost, as a multiple of the merge."""


@attrs.frozen
class Subject:
    """A lake, and the table that is to get the column."""

    lake: lk.Lake
    lower: str


def build(folder: str, count: int, part: float) -> None:
    """Bronze with the column, and two tables made of it without: one is filled, one merged into."""
    lake = lk.connect(folder)
    for name in (*(lower for lower, _ in STEPS.values()), UPPER):  # bronze last: older rows would change nothing
        parts = np.array_split(np.arange(count), FILES)
        given = [_with_device(rows(ids), ids, count * part) if name == UPPER else rows(ids) for ids in parts]
        first = lk.from_frame(lake, given[0], run_id="first")
        lk.append(first, into=name) if name == UPPER else lk.merge(first, key="id", into=name)
        table = iceberg(folder, name)
        for more in given[1:]:
            table.append(stamped(more, table))


def _with_device(batch: pa.Table, ids: np.ndarray, upto: float) -> pa.Table:
    """The new column: text of forty values, NULL from an id on."""
    words = np.array([f"device {number}" for number in range(40)])[ids % 40]
    return batch.append_column("device_type", pc.if_else(pa.array(ids < upto), pa.array(words), pa.scalar(None, pa.string())))


def prepare(folder: str, lower: str) -> Subject:
    """Imports everything, too."""
    lake = lk.connect(folder)
    lk.read(lake, lower).count()
    return Subject(lake, lower)


def filled(subject: Subject) -> int:
    """By propagate."""
    plan = evolution.plan(subject.lake, UPPER, into=subject.lower)
    (commit,) = evolution.propagate(subject.lake, plan, path=[UPPER, subject.lower])
    return commit.updated


def merged(subject: Subject) -> int:
    """By a merge of all rows that have the column."""
    batch = lk.read(subject.lake, UPPER).sql("SELECT * FROM batch WHERE device_type IS NOT NULL")
    return lk.merge(batch, key="id", into=subject.lower).updated


STEPS: Final[dict[str, tuple[str, Callable[[Subject], int]]]] = {"merge": ("silver.merged", merged), "propagate": ("silver.filled", filled)}


def main() -> int:
    """Print the figures. 1: the back-fill costs too much."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--part", type=float, default=1.0, help="how many of the rows have a value; default: all")
    given = parser.parse_args()
    found: dict[str, Measurement] = {}
    with tempfile.TemporaryDirectory() as folder:
        with measure.progress("making tables"):
            build(folder, given.rows, given.part)
        for name, (lower, step) in STEPS.items():
            with measure.progress(name):
                found[name] = measure.fresh(step, prepare, folder, lower)
    print(measure.machine())
    print(measure.table(f"{given.rows:,} rows", found))
    cpu, wall = (getattr(found["propagate"], name) / getattr(found["merge"], name) for name in ("cpu", "wall"))
    print(f"propagate / merge: {cpu:.2f} of the processor time, {wall:.2f} of the time by the clock (at most {TARGET})")
    return int(cpu > TARGET)


if __name__ == "__main__":
    sys.exit(main())
