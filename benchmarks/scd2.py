"""lakekit's dimensions with history: changes, a late back-fill, and facts looked up, against merge and against DuckDB's own ASOF join.

python -m benchmarks.scd2                   a dimension of 10,000,000 versions (half as many members) in 20 files
python -m benchmarks.scd2 --only changes backfill     some of the parts
python -m benchmarks.scd2 --only changes --spark      and the MERGE that teams write by hand, on Spark (needs Java)
python -m benchmarks.scd2 --rows 1000000 --repeat 1   smaller, and once

Each measurement is a process of its own, on the table as it was before; medians are shown. What is compared is processor time.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, Literal

import attrs
import numpy as np
import pyarrow as pa

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import lakekit as lk
from benchmarks import measure
from benchmarks.measure import MB, Measurement

Layout = Literal["clustered", "scattered"]
FILES: Final = 20
DIM: Final = "bench.dim"
FLAT: Final = "bench.flat"
DAY: Final = 86_400_000_000
FIRST: Final = 1_700_000_000_000_000
OPTIONS: Final = {"key": "id", "effective_at": "at", "surrogate_key": "dim_key"}


# The data.


def events(ids: np.ndarray, day: int, version: int) -> pa.Table:
    """An event for each member on a day; another version differs in three columns."""
    mixed = ids * 2654435761 + version & 0xFFFFFFFF
    return pa.table(
        {
            "id": pa.array(ids),
            "name": pa.array(np.char.add("member ", (ids % 100_000).astype(str))),
            "city": pa.array(np.array(["Bonn", "Kiel", "Ulm", "Mainz", "Trier"])[(mixed + version) % 5]),
            "status": pa.array(np.array(["new", "active", "closed", "void"])[version % 4 + ids * 0]),
            "score": pa.array(mixed % 1000),
            "size": pa.array((ids % 97).astype(np.int32)),
            "at": pa.array(FIRST + day * DAY + ids % 1_000_000).cast(pa.timestamp("us", tz="UTC")),
        }
    )


def chosen(layout: Layout, members: int, size: int) -> np.ndarray:
    """Members to change: the last ones, whose rows stand together, or any."""
    random = np.random.default_rng(7)
    found = np.arange(members - size, members) if layout == "clustered" else random.choice(members, size, replace=False)
    return random.permutation(found)


def build(folder: str, count: int, files: int) -> None:
    """Make the dimension, two versions for each member, and a merged table of as many rows, file after file of members that stand together."""
    lake = lk.connect(folder)
    for number, part in enumerate(np.array_split(np.arange(count // 2), files)):
        told = pa.concat_tables([events(part, 0, 0), events(part, 10, 1)])
        lk.merge_scd2(lk.from_frame(lake, told, run_id=f"{number}"), into=DIM, **OPTIONS)
    for number, part in enumerate(np.array_split(np.arange(count), files)):
        lk.merge(lk.from_frame(lake, events(part, 0, 0), run_id=f"{number}"), into=FLAT, key="id")


def iceberg(folder: str, name: str) -> Any:
    """A table, by pyiceberg."""
    catalog: Any = lk.connect(folder).engine
    return catalog.catalog.load_table(name)


# What is measured: each prepares a subject, then takes a step and says how many rows it worked on.


@attrs.frozen
class Subject:
    """A lake, and what is to be done in it."""

    folder: str
    lake: lk.Lake
    batch: pa.Table


def prepare(folder: str, what: str, layout: Layout, count: int, size: int, limit: str) -> Subject:
    """Everything imported and loaded that the step needs."""
    lake = lk.connect(folder, memory_limit=limit)
    warm = lk.from_frame(lake, events(np.arange(10), 0, 0), run_id="warm")
    lk.merge_scd2(warm, into="bench.warm", **OPTIONS)
    members = count // 2
    batch = {
        "changes": lambda: events(chosen(layout, members, size), 20, 2),
        "backfill": lambda: events(chosen(layout, members, size), 5, 3),
        "merge": lambda: events(chosen(layout, count, size), 20, 2),
        "lookup": lambda: facts(members, size),
    }[what]()
    return Subject(folder, lake, batch)


def facts(members: int, size: int) -> pa.Table:
    """Facts of any members, at any time from before the first version to after the last one."""
    random = np.random.default_rng(11)
    at = FIRST + random.integers(-2, 20, size) * DAY + random.integers(0, DAY, size)
    columns = {"fact": np.arange(size), "member": random.integers(0, members, size), "amount": random.integers(0, 1000, size)}
    return pa.table({**columns, "at": pa.array(at).cast(pa.timestamp("us", tz="UTC"))})


def changes(subject: Subject) -> int:
    """New versions: one is closed, one opened, for each event."""
    commit = lk.merge_scd2(lk.from_frame(subject.lake, subject.batch, run_id=uuid.uuid4().hex), into=DIM, **OPTIONS)
    assert (commit.inserted, commit.updated) == (len(subject.batch), len(subject.batch)), commit
    return 2 * len(subject.batch)


def backfill(subject: Subject) -> int:
    """Late events: each splits a version."""
    commit = lk.merge_scd2(lk.from_frame(subject.lake, subject.batch, run_id=uuid.uuid4().hex), into=DIM, **OPTIONS)
    assert (commit.inserted, commit.late) == (len(subject.batch), len(subject.batch)), commit
    return 2 * len(subject.batch)


def merge(subject: Subject) -> int:
    """The yardstick: a merge that changes as many rows of a table of as many."""
    commit = lk.merge(lk.from_frame(subject.lake, subject.batch, run_id=uuid.uuid4().hex), into=FLAT, key="id")
    assert commit.updated == len(subject.batch), commit
    return len(subject.batch)


def lookup(subject: Subject) -> int:
    """Facts that find their versions, written to a table."""
    batch = lk.from_frame(subject.lake, subject.batch, run_id=uuid.uuid4().hex)
    found = lk.lookup(batch, DIM, on={"member": "id"}, at="at", take=("dim_key", "city"))
    with subject.lake.engine.session() as session:
        session.stage(found.node)
    return len(subject.batch)


def asof(subject: Subject) -> int:
    """The same by DuckDB's ASOF join alone, over the dimension's files."""
    import duckdb

    paths = [task.file.file_path.removeprefix("file://") for task in iceberg(subject.folder, DIM).scan().plan_files()]
    with duckdb.connect(config={"memory_limit": subject.lake.engine.settings.memory_limit, "temp_directory": subject.folder}) as connection:
        connection.register("facts", subject.batch)
        connection.execute(
            "CREATE TABLE found AS SELECT f.*, coalesce(CASE WHEN d.valid_to IS NULL OR f.at < d.valid_to THEN d.dim_key END, -1) AS dim_key, d.city"
            f" FROM facts f ASOF LEFT JOIN read_parquet({paths!r}) d ON f.member = d.id AND f.at >= d.valid_from"
        )
    return len(subject.batch)


# Running.


@attrs.frozen
class Bench:
    """One lake, and the measurements in it."""

    folder: str
    count: int
    limit: str
    repeat: int
    spark: bool = False

    def median(self, step: Callable[[Subject], int], what: str, layout: Layout, size: int) -> Measurement:
        """The median of some runs by processor time, each on the tables as they were."""
        found: list[Measurement] = []
        for _ in range(self.repeat):
            heads = {name: iceberg(self.folder, name).metadata.current_snapshot_id for name in (DIM, FLAT)}
            with measure.progress(f"{layout} {self.count:,}: {step.__name__}"):
                found.append(measure.fresh(step, prepare, self.folder, what, layout, self.count, size, self.limit))
            self._back_to(heads)
        middle = statistics.median_low([one.cpu for one in found])
        return next(one for one in found if one.cpu == middle)

    def _back_to(self, heads: Mapping[str, int]) -> None:
        for name, head in heads.items():
            if iceberg(self.folder, name).metadata.current_snapshot_id != head:
                iceberg(self.folder, name).manage_snapshots().rollback_to_snapshot(head).commit()

    def by_spark(self, layout: Layout, size: int) -> dict[str, Measurement]:
        """The changes by the MERGE that teams write by hand, in each of Spark's two modes: seconds by the clock."""
        from benchmarks.scd2_spark import MODES, union_merge

        batch, found = events(chosen(layout, self.count // 2, size), 20, 2), {}
        for mode in MODES:
            heads = {DIM: iceberg(self.folder, DIM).metadata.current_snapshot_id}
            with measure.progress(f"{layout} {self.count:,}: Spark, {mode}"):
                found[f"Spark, {mode}"] = measure.alone(union_merge, self.folder, DIM, batch, mode, "4g")
            self._back_to(heads)
        return found


def compare(*pairs: tuple[str, Measurement, Measurement, float]) -> None:
    """Say how many times the processor time of the other each took for a row, and the most that it should be."""
    for name, one, other, target in pairs:
        print(f"{name}: {one.cpu / one.rows / (other.cpu / other.rows):.2f} (target {target})")
    print()


def changed(bench: Bench) -> None:
    """A hundredth of the versions: members that stand together, and any; beside a merge that writes as many rows."""
    size = bench.count // 100
    for layout in ("clustered", "scattered"):
        found = {"changes": bench.median(changes, "changes", layout, size), "merge": bench.median(merge, "merge", layout, 2 * size)}
        spark = bench.by_spark(layout, size) if bench.spark else {}
        print(measure.table(f"{size:,} changes, {layout}, {bench.count:,} versions", found | spark))
        compare(("changes / merge, for a row written", found["changes"], found["merge"], 1.5))
        if spark:
            best = min(one.wall for one in spark.values())
            print(f"the better of Spark's modes by changes, seconds: {best / found['changes'].wall:.1f} (target 5)\n")


def filled(bench: Bench) -> None:
    """A late back-fill: a tenth as many events as there are versions, each between the two of its member."""
    size = bench.count // 10
    found = {
        "back-fill": bench.median(backfill, "backfill", "scattered", size),
        "merge": bench.median(merge, "merge", "scattered", 2 * size),
    }
    print(measure.table(f"{size:,} late events, {bench.count:,} versions", found))
    print(f"peak above what was in use before: {(found['back-fill'].peak - found['back-fill'].idle) / MB:.0f} MB; limit {bench.limit}")
    compare(("back-fill / merge, for a row written", found["back-fill"], found["merge"], 1.5))


def looked_up(bench: Bench) -> None:
    """As many facts as there are versions."""
    found = {
        "lookup": bench.median(lookup, "lookup", "scattered", bench.count),
        "ASOF join": bench.median(asof, "lookup", "scattered", bench.count),
    }
    print(measure.table(f"{bench.count:,} facts, {bench.count:,} versions", found))
    compare(("lookup / ASOF join", found["lookup"], found["ASOF join"], 2.0))


PARTS: Final = {"changes": changed, "backfill": filled, "lookup": looked_up}


def main() -> None:
    """Run the parts and print what they took."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scd2", description="Dimensions with history.")
    parser.add_argument("--rows", type=int, default=10_000_000, help="versions of the dimension (default: %(default)s)")
    parser.add_argument("--repeat", type=int, default=3, help="runs of each measurement (default: %(default)s)")
    parser.add_argument("--memory-limit", default="2GB", help="of each process (default: %(default)s)")
    parser.add_argument("--spark", action="store_true", help="the changes on Spark beside it, by the MERGE that teams write by hand")
    parser.add_argument("--only", nargs="+", choices=list(PARTS), default=list(PARTS), help="parts (default: all)")
    options = parser.parse_args()
    print(f"{measure.machine()}; load {os.getloadavg()[0]:.1f}\n", flush=True)
    with tempfile.TemporaryDirectory(prefix="lakekit-benchmark-", ignore_cleanup_errors=True) as folder:
        with measure.progress(f"{options.rows:,}: making the tables"):
            build(folder, options.rows, FILES)
        bench = Bench(folder, options.rows, options.memory_limit, options.repeat, options.spark)
        for name in options.only:
            PARTS[name](bench)


if __name__ == "__main__":
    main()
