"""Bronze to silver to a star on both engines, over the same bronze tables: seconds, memory, temporary files, and how they grow.

python -m benchmarks.engines                                      1,000,000 and 10,000,000 orders, a tenth as many users
python -m benchmarks.engines --sizes 1000000 10000000 30000000    more of them

Both engines open one folder, and each writes tables of its own beside the bronze ones. Needs Java.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, Literal, Self

import attrs
import numpy as np
import psutil
import pyarrow as pa

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import lakekit as lk
from benchmarks import measure
from benchmarks.measure import MB
from lakekit import rules

Engine = Literal["embedded", "spark"]
ENGINES: Final[tuple[Engine, ...]] = ("embedded", "spark")
LOADS: Final = ("first load", "increment")
CHUNK: Final = 1_000_000
DAY: Final = datetime(2026, 3, 1, tzinfo=UTC)
CLEAN: Final = {"full_name": rules.squash_spaces(), "email": [rules.trim(), rules.email()]}


@attrs.frozen
class Run:
    """What a step took on one engine.

    Attributes:
        rows: How many rows it read.
        wall: Seconds by the clock.
        cpu: Seconds of processor time: of this process, and of Spark's with its workers.
        python: The most bytes of memory in use by this process.
        jvm: The same of Spark's process. 0: there is none.
        disk: The most bytes of temporary files: what DuckDB spilled; what Spark shuffled, kept and spilled.
    """

    rows: int
    wall: float
    cpu: float
    python: int
    jvm: int
    disk: int


# The pipeline: one function for each table, as in examples/shop. Each engine writes into namespaces of its own.


def users(lake: lk.Lake, engine: Engine) -> lk.Commit:
    """Names and addresses cleaned: the one by SQL, the other by a function of Python's for each distinct value."""
    batch = lk.read_new(lake, "bronze.users", into=f"{engine}_silver.users")
    return lk.merge(lk.clean(batch, CLEAN), key="user_id", order_by="last_updated_at")


def orders(lake: lk.Lake, engine: Engine) -> lk.Commit:
    """The orders in other words."""
    batch = lk.read_new(lake, "bronze.orders", into=f"{engine}_silver.orders")
    words = {"order_id": "order_id", "user_id": "user_id", "amount": "total", "ordered_at": "created_at", "changed_at": "last_updated_at"}
    return lk.merge(lk.select(batch, words), key="order_id", order_by="changed_at")


def dim_users(lake: lk.Lake, engine: Engine) -> lk.Commit:
    """The history of every user."""
    batch = lk.read_new(lake, f"{engine}_silver.users", into=f"{engine}_gold.dim_users")
    return lk.merge_scd2(
        batch, key="user_id", effective_at="last_updated_at", track=("full_name", "email", "city"), surrogate_key="user_key"
    )


def fact_orders(lake: lk.Lake, engine: Engine) -> lk.Commit:
    """Each order with its user as they were."""
    facts = lk.read_new(lake, f"{engine}_silver.orders", into=f"{engine}_gold.fact_orders")
    facts = lk.lookup(facts, f"{engine}_gold.dim_users", on="user_id", at="ordered_at", take="user_key", missing="infer")
    return lk.merge(facts, key="order_id", order_by="changed_at")


STEPS: Final[Mapping[str, Callable[[lk.Lake, Engine], lk.Commit]]] = {
    "silver.users": users,
    "silver.orders": orders,
    "gold.dim_users (SCD2)": dim_users,
    "gold.fact_orders (lookup)": fact_orders,
}


# Bronze, made directly.


def user_rows(numbers: np.ndarray, at: datetime, town: str) -> pa.Table:
    """Users by their numbers."""
    return pa.table(
        {
            "user_id": pa.array(numbers),
            "full_name": [f"  Given{n % 5000}   Family{n % 70001} " for n in numbers.tolist()],
            "email": [f"User{n}@Example.com " for n in numbers.tolist()],
            "city": [f"{town} {n % 997}" for n in numbers.tolist()],
            "last_updated_at": times(numbers, at),
        }
    )


def order_rows(numbers: np.ndarray, at: datetime, users: int, cents: int) -> pa.Table:
    """Orders by their numbers."""
    totals = pa.array((numbers * 31 + cents) % 100_000).cast(pa.decimal128(19, 0)).cast(pa.decimal128(12, 2))
    created = times(numbers, DAY + timedelta(days=1))
    columns = {"order_id": pa.array(numbers), "user_id": pa.array(numbers * 7919 % users), "total": totals}
    return pa.table({**columns, "created_at": created, "last_updated_at": times(numbers, at)})


def times(numbers: np.ndarray, at: datetime) -> pa.Array:
    """An instant for each number, a millisecond after the one before."""
    return pa.array(int(at.timestamp() * 1e6) + numbers * 1000).cast(pa.timestamp("us", tz="UTC"))


def fill(folder: str, count: int, load: str) -> None:
    """Let bronze have the rows of a load. The increment: half a percent changed, anywhere in the tables, and half a percent new."""
    lake, people = lk.connect(Path(folder) / "lake"), count // 10
    append = lambda rows, table, run: lk.append(lk.from_frame(lake, rows, run_id=run), into=table)  # noqa: E731
    if load == "first load":
        for start in range(0, count, CHUNK):
            append(order_rows(np.arange(start, min(start + CHUNK, count)), DAY, people, 0), "bronze.orders", f"orders {start}")
        for start in range(0, people, CHUNK):
            append(user_rows(np.arange(start, min(start + CHUNK, people)), DAY, "City"), "bronze.users", f"users {start}")
        return
    later = DAY + timedelta(days=60)
    changed, new = np.arange(7, count, 200), np.arange(count, count + count // 200)
    append(order_rows(np.concatenate([changed, new]), later, people, 100), "bronze.orders", "more orders")
    changed, new = np.arange(7, people, 200), np.arange(people, people + people // 200)
    append(user_rows(np.concatenate([changed, new]), later, "Town"), "bronze.users", "more users")


# Measuring.


def fresh(function: Callable[..., object], *arguments: object) -> object:
    """A call in a process of its own: one that has worked before hides what the next needs."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def measured(name: str, engine: Engine, folder: str, gigabytes: int, jars: list[str]) -> Run:
    """One step on one engine; only the step is timed, not the start of Python and Java."""
    scratch = Path(folder) / "scratch"
    scratch.mkdir(exist_ok=True)
    lake, process = opened(engine, folder, scratch, gigabytes, jars)
    with Watch(scratch) as watch:
        wall, cpu = time.perf_counter(), cpu_of(process)
        rows = STEPS[name](lake, engine).read
        wall, cpu = time.perf_counter() - wall, cpu_of(process) - cpu
    jvm = measure.peak_memory(process.pid) if process else 0
    return Run(rows, wall, cpu, measure.peak_memory(), jvm, watch.peak)


def opened(engine: Engine, folder: str, scratch: Path, gigabytes: int, jars: list[str]) -> tuple[lk.Lake, psutil.Process | None]:
    """The lake on an engine, and the process of Spark's that works for it."""
    home = Path(folder) / "lake"
    if engine == "embedded":
        lake = lk.connect(home, memory_limit=f"{gigabytes}GB", spill_directory=scratch)
        lk.read(lake, "bronze.users").count()  # what is loaded on first use
        return lake, None
    settings = {"spark.driver.memory": f"{gigabytes}g", "spark.local.dir": str(scratch)}
    spark = lk.spark.session(home, settings=settings, jars=jars or None)
    lake = lk.connect(spark)
    lk.read(lake, "bronze.users").count()
    return lake, psutil.Process(spark.sparkContext._gateway.proc.pid)  # noqa: SLF001


def cpu_of(spark: psutil.Process | None) -> float:
    """Seconds of processor time so far: this process, and Spark's with its workers, those that ended included."""
    total = time.process_time()
    for process in [] if spark is None else [spark, *spark.children(recursive=True)]:
        found = process.cpu_times()
        total += found.user + found.system + found.children_user + found.children_system
    return total


class Watch:
    """The most bytes that the files of a folder took, while the block ran."""

    def __init__(self, folder: Path) -> None:
        """Begin with nothing."""
        self.peak = 0
        self._folder, self._done = folder, threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._done.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._done.wait(0.2):
            self.peak = max(self.peak, sum(map(_size, self._folder.rglob("*"))))


def _size(path: Path) -> int:
    try:
        return path.stat().st_blocks * 512 if path.is_file() else 0
    except OSError:
        return 0  # gone meanwhile


def run(count: int, gigabytes: int, jars: list[str]) -> dict[str, dict[str, dict[Engine, Run]]]:
    """All steps on both engines, for a first load and for an increment after it."""
    found: dict[str, dict[str, dict[Engine, Run]]] = {}
    with tempfile.TemporaryDirectory(prefix="lakekit-benchmark-", ignore_cleanup_errors=True) as folder:
        for load in LOADS:
            with measure.progress(f"{count:,} orders, {load}: bronze"):
                fresh(fill, folder, count, load)
            found[load] = {}
            for name in STEPS:
                found[load][name] = {}
                for engine in ENGINES:
                    with measure.progress(f"{count:,} orders, {load}: {name} on {engine}"):
                        found[load][name][engine] = fresh(measured, name, engine, folder, gigabytes, jars)  # type: ignore[assignment]
            print(table(f"{count:,} orders, {load}", found[load]), end="\n\n", flush=True)
            same(folder)
    return found


def same(folder: str) -> None:
    """Raise where the engines wrote different facts."""
    lake = lk.connect(Path(folder) / "lake")
    words = "SELECT count(*) AS n, sum(amount) AS amount, sum(CAST(user_key AS DECIMAL(38,0))) AS keys FROM batch"
    facts = [lk.read(lake, f"{engine}_gold.fact_orders").sql(words).to_arrow().to_pylist() for engine in ENGINES]
    assert facts[0] == facts[1], f"the engines differ: {facts}"


def table(title: str, steps: Mapping[str, Mapping[Engine, Run]]) -> str:
    """Both engines side by side, a line for each step, and a sum."""
    header = [title, "rows", "embedded s", "spark s", "ratio", "embedded CPU s", "spark CPU s", "embedded MB", "spark MB: Python", "JVM"]
    lines = [[*header, "temporary files MB: embedded", "spark"]]
    for name, found in {**steps, "all": _sum(steps)}.items():
        one, other = found["embedded"], found["spark"]
        seconds = [f"{one.wall:.1f}", f"{other.wall:.1f}", f"{other.wall / one.wall:.1f}", f"{one.cpu:.1f}", f"{other.cpu:.1f}"]
        memory = [f"{size / MB:.0f}" for size in (one.python, other.python, other.jvm, one.disk, other.disk)]
        lines.append([name, f"{one.rows:,}", *seconds, *memory])
    return measure.aligned(lines)


def _sum(steps: Mapping[str, Mapping[Engine, Run]]) -> dict[Engine, Run]:
    found: dict[Engine, Run] = {}
    for engine in ENGINES:
        runs = [step[engine] for step in steps.values()]
        most = [max(getattr(one, name) for one in runs) for name in ("python", "jvm", "disk")]
        found[engine] = Run(sum(one.rows for one in runs), sum(one.wall for one in runs), sum(one.cpu for one in runs), *most)
    return found


def slopes(load: str, runs: Mapping[int, Mapping[str, Mapping[Engine, Run]]]) -> str:
    """Seconds of all steps at each size, and how many more each next million orders takes."""
    lines = [[f"{load}: orders", "embedded s", "spark s", "ratio", "embedded s per further M", "spark"]]
    before: tuple[int, dict[Engine, Run]] | None = None
    for count, steps in runs.items():
        total = _sum(steps)
        slope = ["", ""]
        if before is not None:
            slope = [f"{(total[name].wall - before[1][name].wall) / (count - before[0]) * 1e6:.2f}" for name in ENGINES]
        one, other = total["embedded"].wall, total["spark"].wall
        lines.append([f"{count:,}", f"{one:.1f}", f"{other:.1f}", f"{other / one:.1f}", *slope])
        before = (count, total)
    return measure.aligned(lines)


def main() -> None:
    """Run for each size and print the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.engines", description="Bronze to a star on both engines, side by side.")
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000_000, 10_000_000], help="numbers of orders (default: %(default)s)")
    parser.add_argument("--memory", type=int, default=2, help="gigabytes for DuckDB, and for the JVM's heap (default: %(default)s)")
    parser.add_argument("--jars", nargs="*", default=[], help="jar files of Iceberg and SQLite, where Spark should not fetch them")
    options = parser.parse_args()
    print(f"{measure.machine()}; {options.memory} GB; load {os.getloadavg()[0]:.1f}\n", flush=True)
    runs = {count: run(count, options.memory, options.jars) for count in options.sizes}
    for load in LOADS:
        print(slopes(load, {count: found[load] for count, found in runs.items()}), end="\n\n")


if __name__ == "__main__":
    main()
