"""Deletes without change capture: the keys of a source against those of a table, of which one in a thousand is gone.

python -m benchmarks.deletes                                       1, 5 and 20 million keys, of integers, of text, and of two columns
python -m benchmarks.deletes --sizes 1000000 --kinds integer       smaller
python -m benchmarks.deletes --memory-limit 512MB                  what DuckDB may hold before it spills

The source makes its keys up as it is read, so that what is measured is the comparison.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import attrs
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import lakekit as lk
from benchmarks import measure
from lakekit.sources.protocol import Details, Increment, KeyRead, Target

TABLE: Final = "bronze.rows"
KINDS: Final = {"integer": ("id",), "text": ("code",), "two columns": ("region", "id")}
AT_ONCE: Final = 65_536
GONE: Final = 1_000
READ_AT: Final = datetime(2026, 6, 1, tzinfo=UTC)


@attrs.frozen
class MadeUp:
    """So many rows of eight columns, in no order; those whose number a thousand divides are gone when the keys are read."""

    kind: str
    size: int
    upstream = "made-up"

    def rows(self, *, living: bool) -> Iterator[pa.RecordBatch]:
        """All rows, or those that are left."""
        for start in range(0, self.size, AT_ONCE):
            places = np.arange(start, min(start + AT_ONCE, self.size))
            ids = places * 48_271 % self.size  # each number once, since the factor is a prime that no size holds
            yield made(ids[ids % GONE != 0] if living else ids)

    @contextmanager
    def open(self, position: Details | None, *, target: Target) -> Iterator[Increment]:
        """All rows."""
        yield Increment(made(np.arange(0)).schema, self.rows(living=False), lambda: {"size": self.size})

    def primary_key(self) -> tuple[str, ...]:
        """The columns that are compared."""
        return KINDS[self.kind]

    @contextmanager
    def keys(self, *, scope: str | None) -> Iterator[KeyRead]:
        """The keys of the rows that are left."""
        names = list(self.primary_key())
        schema = made(np.arange(0)).select(names).schema
        yield KeyRead(schema, (batch.select(names) for batch in self.rows(living=True)), READ_AT)


def made(ids: np.ndarray) -> pa.RecordBatch:
    """Rows by their ids."""
    text = pc.cast(pa.array(ids * 2654435761 & 0xFFFFFFFFFFFF), pa.string())
    columns: dict[str, Any] = {
        "id": pa.array(ids),
        "region": pa.array(np.array(["north", "east", "south", "west"])[ids % 4]),
        "code": pc.binary_join_element_wise("customer", text, pc.cast(pa.array(ids), pa.string()), "-"),
        "email": pc.binary_join_element_wise(text, "example.com", "@"),
        "amount": pa.array(ids % 10_000 / 7),
        "status": pa.array(np.array(["new", "active", "closed", "void"])[ids // 4 % 4]),
        "quantity": pa.array((ids % 97).astype(np.int32)),
        "_source_timestamp": pa.array(1_700_000_000_000_000 + ids).cast(pa.timestamp("us", tz="UTC")),
    }
    return pa.RecordBatch.from_pydict(columns)


def build(folder: str, kind: str, size: int) -> None:
    """Make the table."""
    lk.ingest(lk.connect(folder), MadeUp(kind, size), into=TABLE)


@attrs.frozen
class Subject:
    """A table, and the source it came from."""

    folder: str
    kind: str
    size: int
    memory_limit: str


def compare(subject: Subject) -> int:
    """Find the deletes."""
    lake = lk.connect(subject.folder, memory_limit=subject.memory_limit, spill_directory=subject.folder)
    commit = lk.ingest_deletes(lake, MadeUp(subject.kind, subject.size), into=TABLE)
    assert commit.deleted == -(-subject.size // GONE), commit
    return subject.size


def warmed(*arguments: Any) -> Subject:
    """A subject, once everything is imported."""
    with tempfile.TemporaryDirectory() as folder:
        build(folder, "integer", 2_000)
        compare(Subject(folder, "integer", 2_000, "100MB"))
    return Subject(*arguments)


def main() -> None:
    """Build the tables, compare, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000_000, 5_000_000, 20_000_000])
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--memory-limit", default="1GB")
    chosen = parser.parse_args()
    print(f"{measure.machine()}; DuckDB may hold {chosen.memory_limit}\n")
    runs: dict[str, dict[str, measure.Measurement]] = {}
    for size in chosen.sizes:
        found = runs.setdefault(f"{size / 1e6:g}M", {})
        for kind in chosen.kinds:
            with tempfile.TemporaryDirectory() as folder, measure.progress(f"{size:,} keys, {kind}"):
                measure.fresh(_built, _given, folder, kind, size)
                found[kind] = measure.fresh(compare, warmed, folder, kind, size, chosen.memory_limit)
        print(measure.table(f"{size:,} keys", found), end="\n\n", flush=True)
    if len(runs) > 1:
        print(measure.ratios("deletes", runs))


def _given(folder: str, kind: str, size: int) -> tuple[str, str, int]:
    return folder, kind, size


def _built(subject: tuple[str, str, int]) -> int:
    build(*subject)
    return subject[2]


if __name__ == "__main__":
    main()
