"""The page about a large lake, and writes to a table with a long past.

python -m benchmarks.report                                      500 tables, one of them with 10,000 snapshots
python -m benchmarks.report --tables 50 --snapshots 1000         fewer
"""

from __future__ import annotations

import argparse
import base64
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import lakekit as lk
from benchmarks import measure

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
LONG = "bronze.table_0"


def build(folder: Path, tables: int, snapshots: int) -> lk.Lake:
    """A lake whose metadata tells of many writes: those of one table, told again under other names."""
    lake = lk.connect(folder / "lake")
    lk.append(lk.from_frame(lake, [{"id": 1}], run_id="a"), into="bronze.first")
    catalog: Any = lake.engine.catalog  # pyright: ignore[reportAttributeAccessIssue] -- the embedded engine's
    table = catalog.load_table(("bronze", "first"))
    with table.io.new_input(table.metadata_location).open() as file:
        metadata = json.loads(file.read())
    for number in range(tables):
        count = snapshots if number == 0 else 20
        line = [{**metadata["snapshots"][0], "snapshot-id": at, "sequence-number": at} for at in range(1, count + 1)]
        for snapshot in line[1:]:
            snapshot["parent-snapshot-id"] = snapshot["snapshot-id"] - 1
        own = {**metadata, "table-uuid": str(uuid.uuid4()), "snapshots": line, "current-snapshot-id": count, "last-sequence-number": count}
        own |= {"snapshot-log": [], "refs": {"main": {"snapshot-id": count, "type": "branch"}}}
        path = folder / f"{number:05}-{uuid.uuid4()}.metadata.json"
        path.write_text(json.dumps(own), encoding="utf-8")
        catalog.register_table(("bronze", f"table_{number}"), path.as_uri())
    return lake


def shown(page: str, folder: Path) -> float | None:
    """The milliseconds until a browser has read the page and laid it out. None: there is no browser."""
    browser = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if browser is None:
        return None
    probe = "<script>document.body.offsetHeight;document.title=btoa(performance.now())</script></body>"
    path = folder / "report.html"
    path.write_text(page.replace("</body>", probe), encoding="utf-8")
    options = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder / 'browser'}", "--dump-dom"]
    done = subprocess.run([browser, *options, path.as_uri()], capture_output=True, text=True, check=True)
    return float(base64.b64decode(done.stdout.partition("<title>")[2].partition("</title>")[0]))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.report", description="The page about a large lake.")
    parser.add_argument("--tables", type=int, default=500, help="how many tables (default: %(default)s)")
    parser.add_argument("--snapshots", type=int, default=10_000, help="how many snapshots one of them has (default: %(default)s)")
    options = parser.parse_args()
    print(f"{measure.machine()}\n", flush=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        lake = build(folder, options.tables, options.snapshots)
        began = time.process_time()
        page = lk.report(lake)
        made = time.process_time() - began
        loads = [shown(page, folder) for _ in range(3)]
        print(f"report of {options.tables:,} tables: {made:.1f} CPU s, {len(page) / 1e6:.1f} MB")
        found = [value for value in loads if value is not None]
        print(f"read and laid out by a browser: {statistics.median(found):,.0f} ms" if found else "no browser found")
        for table in ("bronze.first", LONG):
            seconds: list[float] = []
            for run in range(5):
                began = time.process_time()
                lk.append(lk.from_frame(lake, [{"id": run}], run_id=f"run {run}"), into=table)
                seconds.append(time.process_time() - began)
            count = len(lake.load(table, place="benchmark").snapshots)
            print(f"append of a row to a table of {count:,} snapshots: {statistics.median(seconds):.2f} CPU s")


if __name__ == "__main__":
    main()
