"""Runs benchmarks, all or by name: ``python -m benchmarks``, ``python -m benchmarks pipeline --orders 100000``."""

from __future__ import annotations

import pkgutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
SHARED = {"__main__", "identity_splink", "measure", "people", "scd2_spark"}


def names() -> list[str]:
    """Every other module of this folder is a benchmark, and is run as ``python -m benchmarks.NAME``."""
    return sorted(module.name for module in pkgutil.iter_modules([str(HERE)]) if module.name not in SHARED)


def main(arguments: list[str]) -> int:
    """Run the benchmarks named first, with the options that follow them; without names, all. Gives the number of those that failed."""
    chosen = [word for word in arguments if not word.startswith("-")][: _leading(arguments)] or names()
    options = arguments[_leading(arguments) :]
    if unknown := sorted(set(chosen) - set(names())):
        print(f"No such benchmark: {', '.join(unknown)}. There are: {', '.join(names())}.", file=sys.stderr)
        return 1
    failed = 0
    for name in chosen:
        print(f"\n══ {name} " + "═" * max(0, 90 - len(name)), flush=True)
        failed += subprocess.run([sys.executable, "-m", f"benchmarks.{name}", *options], cwd=HERE.parent, check=False).returncode != 0
    return failed


def _leading(arguments: list[str]) -> int:
    """How many words stand before the first option."""
    return next((index for index, word in enumerate(arguments) if word.startswith("-")), len(arguments))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
