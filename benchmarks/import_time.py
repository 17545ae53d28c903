"""What ``import lakekit`` costs beyond Python's own start: medians of fresh processes, in turn. ``python -m benchmarks.import_time``."""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time

PROGRAMS = {"python": "pass", "import lakekit": "import lakekit", "and name connect": "import lakekit; lakekit.connect"}


def seconds(program: str) -> float:
    """How long a fresh process takes to run a program."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", program], check=True)
    return time.perf_counter() - began


def main() -> None:
    """Run each program so many times, in turn, and print the medians."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.import_time", description=__doc__)
    parser.add_argument("--runs", type=int, default=21, help="how many processes for each (default: %(default)s)")
    runs = parser.parse_args().runs
    found: dict[str, list[float]] = {name: [] for name in PROGRAMS}
    for _ in range(runs + 1):  # the first fills the disk's cache
        for name, program in PROGRAMS.items():
            found[name].append(seconds(program))
    medians = {name: statistics.median(times[1:]) for name, times in found.items()}
    for name, median in medians.items():
        print(f"{name:<20} {median * 1000:7.1f} ms   {(median - medians['python']) * 1000:+7.1f} ms")


if __name__ == "__main__":
    main()
