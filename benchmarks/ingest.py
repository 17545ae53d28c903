"""PostgreSQL to Iceberg, 11 columns at full fidelity: what `ingest` takes, against dlt and against a COPY that nobody decodes.

    python -m venv /tmp/dlt && /tmp/dlt/bin/pip install 'dlt[pyiceberg,postgres,sql-database]' connectorx
    python -m benchmarks.ingest --dlt /tmp/dlt/bin/python

What counts is the *marginal* cost: the CPU seconds of the larger size less those of the smaller one, by a million rows. Imports, connections and
commits are in both. dlt runs in an interpreter of its own, since it wants other versions of the same packages.
"""

from __future__ import annotations

import argparse
import functools
import importlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import psycopg

import lakekit as lk
from benchmarks import measure
from benchmarks.measure import Measurement
from lakekit import sources
from tests.servers.postgres import PostgresServer, debian_binaries

ROWS = """
CREATE TABLE orders (id bigint PRIMARY KEY, customer_id int, name text, email text, amount numeric(12,2), created_at timestamptz,
                     updated_at timestamptz NOT NULL, attributes jsonb, external_id uuid, active boolean, score double precision);
INSERT INTO orders
SELECT n, n % 100000, 'Given' || n % 5000 || ' Family' || n % 70001, 'user' || n % 900000 || '@example.com', (n % 1000000) / 100.0,
       timestamptz '2024-01-01Z' + n * interval '1 second', timestamptz '2025-01-01Z' + n * interval '1 second',
       jsonb_build_object('channel', (ARRAY['web', 'app', 'shop'])[1 + n % 3], 'items', n % 7, 'note', 'order ' || n),
       md5(n::text)::uuid, n % 3 > 0, n / 7.0
FROM generate_series(1, {rows}) n;
CREATE INDEX ON orders (updated_at);
VACUUM ANALYZE orders;
"""
# Prints as JSON what lakekit's steps are measured by. Its imports are in both sizes, so they don't count.
DLT = """
import json, os, resource, sys, time
dsn, backend, folder = sys.argv[1:]
os.environ.update(RUNTIME__DLTHUB_TELEMETRY="false", RUNTIME__LOG_LEVEL="CRITICAL", HOME=folder, DLT_DATA_DIR=folder)
import dlt
from dlt.sources.sql_database import sql_table
idle, wall, cpu = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter(), time.process_time()
table = sql_table(dsn, table="orders", backend=backend, chunk_size=50_000, reflection_level="full_with_precision")
pipeline = dlt.pipeline("bench", destination=dlt.destinations.filesystem(bucket_url="file://" + folder + "/lake"), dataset_name="bench",
                        pipelines_dir=folder + "/pipelines")
pipeline.run(table, table_format="iceberg", write_disposition="append")
used, wall = time.process_time() - cpu, time.perf_counter() - wall
rows = pipeline.last_trace.last_normalize_info.row_counts["orders"]
peak = next((int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM:")), 0)
print(json.dumps([rows, wall, used, idle * 1024, peak * 1024]))
"""


def connect(dsn: str, folder: str, readers: int = 1) -> Callable[[], int]:
    """`ingest`, with everything imported that it imports on first use."""
    for name in ("adbc_driver_postgresql.dbapi", "lakekit.engines.embedded", "lakekit.bronze.ingest", "sqlglot.dialects.duckdb"):
        importlib.import_module(name)
    lake = lk.connect(Path(folder), memory_limit="256MB")
    orders = sources.Postgres(dsn, name="shop").table("orders", cursor="updated_at", readers=readers)
    return lambda: lk.ingest(lake, orders, into="bronze.orders").inserted


def copy(dsn: str, _: str) -> Callable[[], int]:
    """The rows as PostgreSQL sends them, thrown away: what no reader can do without."""

    def run() -> int:
        with psycopg.connect(dsn) as connection, connection.cursor() as cursor:
            with cursor.copy("COPY orders TO STDOUT (FORMAT binary)") as stream:
                for _data in stream:
                    pass
            return cursor.rowcount

    return run


def call(step: Callable[[], int]) -> int:
    """What is measured."""
    return step()


def dlt(dsn: str, folder: str, *, python: str, backend: str) -> Measurement:
    """A run of dlt, in its own interpreter."""
    address = dsn.replace("postgresql://", "postgresql+psycopg2://")
    done = subprocess.run([python, "-c", DLT, address, backend, folder], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"dlt with {backend} failed:\n{done.stderr[-2000:]}")
    return Measurement(*json.loads(done.stdout.splitlines()[-1]))


def run(rows: int, readers: list[int], python: str | None, backends: list[str]) -> dict[str, Measurement]:
    """All ways of one size."""
    steps: dict[str, Callable[[str, str], Measurement]] = {
        "COPY, not decoded": functools.partial(measure.fresh, call, copy),
        **{
            f"ingest{f', {count} readers' if count > 1 else ''}": lambda dsn, folder, count=count: measure.fresh(
                call, connect, dsn, folder, count
            )
            for count in readers
        },
        **({f"dlt, {backend}": functools.partial(dlt, python=python, backend=backend) for backend in backends} if python else {}),
    }
    found: dict[str, Measurement] = {}
    with PostgresServer(binaries=debian_binaries()) as server:
        with measure.progress(f"{rows:,} rows: the source"), psycopg.connect(server.dsn, autocommit=True) as connection:
            for statement in ROWS.format(rows=rows).split(";\n"):
                if statement.strip():
                    connection.execute(statement)
        for name, step in steps.items():
            with measure.progress(f"{rows:,} rows: {name}"), tempfile.TemporaryDirectory(prefix="lakekit-bench-") as folder:
                found[name] = step(server.dsn, folder)
                if found[name].rows != rows:
                    raise SystemExit(f"{name}: {found[name].rows:,} rows arrived")
    print(measure.table(f"{rows:,} rows", found), end="\n\n", flush=True)
    return found


def marginal(small: dict[str, Measurement], large: dict[str, Measurement]) -> str:
    """CPU seconds for another million rows, and how they compare with `ingest`."""
    costs = {name: (large[name].cpu - small[name].cpu) / (large[name].rows - small[name].rows) * 1e6 for name in large}
    lines = [["marginal", "CPU s per M rows", "by ingest", "peak MB: small", "large"]]
    lines += [
        [
            name,
            f"{cost:.2f}",
            f"{cost / costs['ingest']:.2f}",
            f"{small[name].peak / measure.MB:.0f}",
            f"{large[name].peak / measure.MB:.0f}",
        ]
        for name, cost in costs.items()
    ]
    return measure.aligned(lines)


def main() -> None:
    """Run both sizes and print the figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ingest", description="PostgreSQL to Iceberg, against dlt and a bare COPY.")
    parser.add_argument("--sizes", type=int, nargs=2, default=[1_000_000, 5_000_000], help="two numbers of rows (default: 1M and 5M)")
    parser.add_argument("--readers", type=int, nargs="+", default=[1], help="how many connections `ingest` uses; several to compare")
    parser.add_argument("--dlt", metavar="PYTHON", help="the interpreter of an environment that has dlt; without one dlt is left out")
    parser.add_argument("--backends", nargs="+", default=["connectorx", "pyarrow"], help="of dlt (default: %(default)s)")
    options = parser.parse_args()
    if options.dlt is None:
        print("dlt is left out: name the interpreter of an environment that has it with --dlt.", file=sys.stderr)
    print(f"{measure.machine()}\n", flush=True)
    small, large = (run(size, options.readers, options.dlt, options.backends) for size in options.sizes)
    print(marginal(small, large))


if __name__ == "__main__":
    main()
