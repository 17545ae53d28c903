"""lakekit's merge against the physical floor (read the keys, rewrite the touched files) and against pyiceberg's upsert.

python -m benchmarks.merge                  10,000,000 rows of 8 columns in 20 files; 200,000 source rows: half changed, a tenth new, the rest the same
python -m benchmarks.merge --only clustered scattered     some of the parts
python -m benchmarks.merge --rows 1000000 --repeat 1      smaller, and once

Each measurement is a process of its own, on the table as it was before; medians are shown. What is compared is processor time.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import attrs
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import lakekit as lk
from benchmarks import measure
from benchmarks.measure import MB, Measurement

if TYPE_CHECKING:
    from pyiceberg.table import Table

Layout = Literal["clustered", "scattered"]
FILES: Final = 20
SOURCE: Final = 200_000
NAME: Final = "bench.orders"
UPSTREAM: Final = "bench.incoming"
KEYS: Final = {"integer": ("id",), "composite": ("region", "code")}


# The data.


def rows(ids: np.ndarray, version: int = 0) -> pa.Table:
    """Rows by their ids; another version differs in three columns."""
    mixed = ids * 2654435761 & 0xFFFFFFFF
    text, digits = pc.cast(pa.array(ids), pa.string()), pc.cast(pa.array(mixed), pa.string())
    cents = pa.array(mixed % 10_000_000 + version).cast(pa.decimal128(19, 0)).cast(pa.decimal128(21, 2))
    return pa.table(
        {
            "id": pa.array(ids),
            "region": pa.array(np.array(["north", "east", "south", "west"])[ids % 4]),
            "code": pc.binary_join_element_wise("C", pc.utf8_lpad(text, 12, "0"), ""),
            "email": pc.if_else(
                pa.array(ids % 10 == 0), pa.scalar(None, pa.string()), pc.binary_join_element_wise(digits, "@example.com", "")
            ),
            "amount": cents.cast(pa.decimal128(12, 2), safe=False),
            "at": pa.array(1_700_000_000_000_000 + ids * 1_000_000 + version).cast(pa.timestamp("us", tz="UTC")),
            "status": pa.array(np.array(["new", "active", "closed", "void"])[(mixed + version) % 4]),
            "quantity": pa.array((mixed % 97).astype(np.int32)),
        }
    )


def order_of(layout: Layout, count: int) -> np.ndarray:
    """The ids of a table, file after file."""
    ids = np.arange(count)
    if layout == "scattered":
        np.random.default_rng(1).shuffle(ids)
    return ids


def source(layout: Layout, count: int, size: int) -> pa.Table:
    """A batch: half of it changed, a tenth new, four tenths the same. Clustered: the latest rows of the table."""
    random = np.random.default_rng(7)
    changed, new = size // 2, size // 10
    same = size - changed - new
    known = np.arange(count - changed - same, count) if layout == "clustered" else random.choice(count, changed + same, replace=False)
    random.shuffle(known)
    parts = [rows(known[:changed], 1), rows(known[changed:]), rows(np.arange(count, count + new))]
    return pa.concat_tables(parts).take(pa.array(random.permutation(size)))


def build(folder: str, layout: Layout, count: int, files: int, key: str) -> None:
    """Make the table: the first file by lakekit, the others like it by pyiceberg, which need not look for their keys."""
    lake = lk.connect(folder)
    parts = np.array_split(order_of(layout, count), files)
    lk.merge(lk.from_frame(lake, rows(parts[0]), run_id="first"), key=KEYS[key], into=NAME)
    table = iceberg(folder)
    for part in parts[1:]:
        table.append(stamped(rows(part), table))


def stamped(batch: pa.Table, table: Table) -> pa.Table:
    """Rows with the columns that lakekit adds, as they are in the first rows of the table."""
    stamps = table.scan(limit=1, selected_fields=tuple(name for name in table.schema().column_names if name.startswith("_"))).to_arrow()
    for name in stamps.column_names:
        batch = batch.append_column(stamps.schema.field(name), pa.repeat(stamps[name][0], len(batch)))
    return batch


def iceberg(folder: str, name: str = NAME) -> Table:
    """The table, by pyiceberg."""
    catalog: Any = lk.connect(folder).engine
    return catalog.catalog.load_table(name)


# What is measured: each prepares a subject, then takes a step and says how many rows it worked on.


@attrs.frozen
class Subject:
    """A lake, its table as it is now, and what is to be merged into it."""

    folder: str
    lake: lk.Lake
    table: Table
    batch: pa.Table
    key: tuple[str, ...]
    mode: Any


def prepare(folder: str, layout: Layout, count: int, size: int, key: str, mode: str | None, limit: str) -> Subject:
    """Everything imported and loaded that the step needs."""
    lake = lk.connect(folder, memory_limit=limit)
    for version in range(2):  # into a new table, and into one that is there
        lk.merge(lk.from_frame(lake, rows(np.arange(10), version), run_id=f"warm {version}"), key=KEYS[key], into="bench.warm")
    return Subject(folder, lake, iceberg(folder), source(layout, count, size), KEYS[key], mode)


def merge(subject: Subject) -> int:
    """The merge."""
    batch = lk.from_frame(subject.lake, subject.batch, run_id=uuid.uuid4().hex)
    commit = lk.merge(batch, key=subject.key, into=NAME, write_mode=subject.mode)
    size = len(subject.batch)
    assert (commit.inserted, commit.updated) == (size // 10, size // 2), commit
    return size


def load(subject: Subject) -> int:
    """The batch into another table."""
    lk.append(lk.from_frame(subject.lake, subject.batch, run_id="load"), into=UPSTREAM)
    return len(subject.batch)


def increment(subject: Subject) -> int:
    """The merge of what another table has new."""
    return lk.merge(lk.read_new(subject.lake, UPSTREAM, into=NAME), key=subject.key).read


def upsert(subject: Subject) -> int:
    """Pyiceberg's own, of the business columns alone."""
    found = subject.table.upsert(stamped(subject.batch, subject.table), list(subject.key))
    return found.rows_inserted + found.rows_updated


def floor(subject: Subject) -> int:
    """What no copy-on-write can do without: read the keys of the touched files, and write these files anew."""
    touched = files_of(subject)
    for path in touched:
        file = pq.ParquetFile(path)
        file.read(list(subject.key))
        with (
            tempfile.NamedTemporaryFile(suffix=".parquet", dir=subject.folder) as copy,
            pq.ParquetWriter(copy.name, file.schema_arrow, compression="zstd") as writer,
        ):
            for group in range(file.num_row_groups):
                writer.write_table(file.read_row_group(group))
    return len(subject.batch)


def files_of(subject: Subject) -> list[str]:
    """The files that hold keys of the batch, by their statistics."""
    from pyiceberg.expressions import And, GreaterThanOrEqual, LessThanOrEqual

    least, most = (pc.min_max(subject.batch["id"])[name].as_py() for name in ("min", "max"))
    found = subject.table.scan(row_filter=And(GreaterThanOrEqual("id", least), LessThanOrEqual("id", most))).plan_files()
    return [task.file.file_path.removeprefix("file://") for task in found]


def read(subject: Subject) -> int:
    """Read the whole table by lakekit, every column."""
    words = "SELECT " + ", ".join(
        f"count(`{name}`) AS c{index}, max(`{name}`) AS m{index}" for index, name in enumerate(subject.batch.column_names)
    )
    return next(iter(lk.read(subject.lake, NAME).sql(f"{words} FROM batch").to_arrow().to_pylist()))["c0"]


def maintain(subject: Subject) -> int:
    """Compact what the merges left."""
    lk.maintain(subject.lake, NAME, older_than=datetime.now(UTC))
    return len(subject.batch)


# Running.


@attrs.frozen
class Bench:
    """One table, and the measurements on it."""

    folder: str
    layout: Layout
    count: int
    size: int
    key: str = "integer"
    limit: str = "2GB"
    repeat: int = 3
    prepared: int | None = None
    """How many rows a step is given. None: as many as are merged."""

    def median(self, step: Callable[[Subject], int], mode: str | None = None, *, keep: bool = False) -> Measurement:
        """The median of some runs by processor time, each on the table as it was. ``keep``: once, and the table stays changed."""
        found: list[Measurement] = []
        for _ in range(1 if keep else self.repeat):
            head = iceberg(self.folder).metadata.current_snapshot_id
            assert head is not None
            with measure.progress(f"{self.layout} {self.count:,}: {step.__name__} {mode or ''}"):
                found.append(
                    measure.fresh(
                        step, prepare, self.folder, self.layout, self.count, self.prepared or self.size, self.key, mode, self.limit
                    )
                )
            if not keep and iceberg(self.folder).metadata.current_snapshot_id != head:
                iceberg(self.folder).manage_snapshots().rollback_to_snapshot(head).commit()
        middle = statistics.median_low([one.cpu for one in found])
        return next(one for one in found if one.cpu == middle)


def made(
    layout: Layout,
    count: int,
    options: argparse.Namespace,
    *,
    size: int = SOURCE,
    files: int = FILES,
    key: str = "integer",
    limit: str = "2GB",
) -> Bench:
    """A table in a folder of its own."""
    folder = tempfile.mkdtemp(prefix=f"{layout}-{count}-{key}-", dir=options.folder)
    with measure.progress(f"{layout} {count:,}: making the table"):
        build(folder, layout, count, files, key)
    return Bench(folder, layout, count, size, key, limit, options.repeat)


def compare(*pairs: tuple[str, Measurement, Measurement, float | None]) -> None:
    """Say how many times the processor time of the other each took, and the most that it should be."""
    for name, one, other, target in pairs:
        print(f"{name}: {one.cpu / other.cpu:.2f}" + ("" if target is None else f" (target {target})"))
    print()


def clustered(options: argparse.Namespace) -> None:
    """All keys in one file: the floor, both ways to write, composite keys of text, and pyiceberg."""
    bench = made("clustered", options.rows, options)
    found = {"floor": bench.median(floor), "merge": bench.median(merge)}
    found |= {mode: bench.median(merge, mode) for mode in ("copy-on-write", "merge-on-read")}
    text = made("clustered", options.rows, options, key="composite")
    found["merge, composite key of text"] = text.median(merge)
    found["pyiceberg upsert"] = attrs.evolve(bench, repeat=1).median(upsert)
    print(measure.table(f"clustered keys, {options.rows:,} rows", found))
    compare(
        ("merge / floor", found["merge"], found["floor"], 1.25),
        ("composite / integer", found["merge, composite key of text"], found["merge"], 1.5),
        ("upsert / merge", found["pyiceberg upsert"], found["merge"], None),
    )


def scattered(options: argparse.Namespace) -> None:
    """Keys in all files: the floor, the merge, what reads cost after it, and after maintenance."""
    bench = made("scattered", options.rows, options)
    found = {"floor": bench.median(floor), "merge": bench.median(merge)}
    text = made("scattered", options.rows, options, key="composite")
    found["merge, composite key of text"] = text.median(merge)
    found["read before"] = bench.median(read)
    bench.median(merge, keep=True)
    check(bench)
    found["read after"] = bench.median(read)
    found["maintain"] = bench.median(maintain, keep=True)
    found["read after maintain"] = bench.median(read)
    check(bench)
    print(measure.table(f"scattered keys, {options.rows:,} rows", found))
    compare(
        ("merge / floor", found["merge"], found["floor"], 0.4),
        ("composite / integer", found["merge, composite key of text"], found["merge"], 1.5),
        ("read after / before", found["read after"], found["read before"], None),
        ("read after maintain / before", found["read after maintain"], found["read before"], 1.0),
    )


def sizes(options: argparse.Namespace) -> None:
    """A small batch into tables of several sizes: what it costs follows what it touches."""
    counts = [options.rows // 10, options.rows, options.rows * 5]
    found = {}
    for count in counts:
        bench = made("clustered", count, options, size=10_000, files=max(2, count // 500_000))
        # As a table is that is looked after: not a manifest for each of its files, which are of the size wanted.
        with iceberg(bench.folder).transaction() as transaction:
            transaction.set_properties({"write.target-file-size-bytes": "10000000"})
        bench.median(maintain, keep=True)
        found[f"{count:,}"] = bench.median(merge)
    print(measure.table("10,000 rows into", found))
    costs = [one.cpu for one in found.values()]
    print(f"most / least {max(costs) / min(costs):.2f} (target 1.5)\n")


def memory(options: argparse.Namespace) -> None:
    """An increment of another table that is larger than the memory it may use."""
    bench = made("scattered", options.rows * 2, options, size=options.rows // 2, files=2 * FILES, limit="1GB")
    with measure.progress("making the increment"):
        measure.fresh(load, prepare, bench.folder, bench.layout, bench.count, bench.size, bench.key, None, bench.limit)
    found = {"merge": attrs.evolve(bench, prepared=10).median(increment, keep=True)}
    check(bench)
    print(measure.table(f"{bench.size:,} rows into {bench.count:,}, limit 1 GB", found))
    print(
        f"peak {found['merge'].peak / MB:.0f} MB, {(found['merge'].peak - found['merge'].idle) / MB:.0f} of it above what was in use before (target 2147)\n"
    )


def check(bench: Bench) -> None:
    """Raise where the table isn't what a full join says, every value: by another way, pyiceberg's reader and a query over two frames."""
    import duckdb

    batch = source(bench.layout, bench.count, bench.size)
    names = ", ".join(f'"{name}"' for name in batch.column_names)
    columns = tuple(batch.column_names)
    with duckdb.connect(config={"memory_limit": "8GB", "temp_directory": bench.folder}) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.register("read", iceberg(bench.folder).scan(selected_fields=columns).to_arrow_batch_reader())
        connection.execute(f"CREATE TABLE stored AS SELECT {names} FROM read")
        connection.register("batch", batch)
        connection.execute(f"CREATE TABLE expected AS SELECT {names} FROM stored LIMIT 0")
        for part in np.array_split(np.arange(bench.count), 20):
            connection.register("part", rows(part))
            connection.execute(f"INSERT INTO expected SELECT {names} FROM part WHERE id NOT IN (SELECT id FROM batch)")
            connection.unregister("part")
        connection.execute(f"INSERT INTO expected SELECT {names} FROM batch")
        differ = " OR ".join(f's."{name}" IS DISTINCT FROM e."{name}"' for name in columns)
        wrong = connection.sql(f"SELECT count(*) FROM stored s FULL JOIN expected e ON s.id = e.id WHERE {differ}").fetchall()[0][0]
        twice = connection.sql("SELECT count(*) - count(DISTINCT id) FROM stored").fetchall()[0][0]
    assert (wrong, twice) == (0, 0), f"{wrong} rows differ, {twice} are there twice"


PARTS: Final = {"clustered": clustered, "scattered": scattered, "sizes": sizes, "memory": memory}


def main() -> None:
    """Run the parts and print what they took."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.merge", description="Merges against the physical floor and pyiceberg.")
    parser.add_argument("--rows", type=int, default=10_000_000, help="rows of the table (default: %(default)s)")
    parser.add_argument("--repeat", type=int, default=3, help="runs of each measurement (default: %(default)s)")
    parser.add_argument("--only", nargs="+", choices=list(PARTS), default=list(PARTS), help="parts (default: all)")
    options = parser.parse_args()
    print(f"{measure.machine()}; load {os.getloadavg()[0]:.1f}\n", flush=True)
    for name in options.only:
        with tempfile.TemporaryDirectory(prefix="lakekit-benchmark-", ignore_cleanup_errors=True) as folder:
            options.folder = folder
            PARTS[name](options)


if __name__ == "__main__":
    main()
