"""Changes of Debezium applied to a large table, scattered over its keys: decoding, the log, and the merge against that of the reduced rows alone.

python -m benchmarks.cdc                                       1,000,000 changes, 10,000,000 rows
python -m benchmarks.cdc --changes 100000 --rows 1000000       quicker
python -m benchmarks.cdc --unavailable 0.1                     a tenth of the updates lack their large value
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import lakekit as lk
from benchmarks import measure
from lakekit import sources
from lakekit.sources import kafka_formats, kafka_read
from lakekit.sources.debezium import Debezium
from lakekit.sources.kafka_read import Messages
from lakekit.sources.protocol import Increment, Target

TOPIC = "shop.public.users"
LOG, TABLE, PLAIN = "bronze.users", "silver.users", "silver.plain"
TYPES = {"id": "bigint", "balance": "decimal(12, 2)", "updated_at": "timestamp", "born": "date"}
BATCH = 10_000
MORE = 1_000
START = 1_767_225_600_000_000
UNAVAILABLE = "__debezium_unavailable_value"


def debezium() -> Debezium:
    """The source whose decoding is measured."""
    return sources.Kafka("nowhere:9092").debezium(TOPIC, schema=TYPES, decimal_handling="string")


def messages(rows: int, changes: int, lacking: float, done: int = 0) -> Iterator[Messages]:
    """Changes of rows chosen at random, after so many others: eight of ten are updates, one is a delete, one an insert."""
    random = np.random.default_rng(1 + done)
    for first in range(done, done + changes, BATCH):
        count = min(BATCH, done + changes - first)
        keys, draws, lacks = random.integers(0, rows, count), random.integers(0, 10, count), random.random(count) < lacking
        values, names = [], []
        for offset, (key, draw, lack) in enumerate(zip(keys.tolist(), draws.tolist(), lacks.tolist(), strict=True)):
            at = first + offset
            operation, own = ("d", key) if draw == 0 else ("c", rows + at) if draw == 1 else ("u", key)
            row = {
                "id": own,
                "name": f"name {at}",
                "bio": UNAVAILABLE if lack and operation == "u" else f"about {at} " * 5,
                "balance": f"{at % 100_000}.50",
                "born": at % 20_000,
                "updated_at": "2026-01-02T03:00:00.123456Z",
            }
            source = {
                "version": "3.6.0.Final",
                "connector": "postgresql",
                "name": "shop",
                "ts_ms": (START + at) // 1000,
                "snapshot": "false",
            }
            source |= {"db": "shop", "sequence": f'["{at}","{rows + at}"]', "ts_us": START + at, "schema": "public", "table": "users"}
            source |= {"txId": at, "lsn": rows + at, "xmin": None}
            before, after = ({"id": own, "name": ""}, None) if operation == "d" else (None, row)
            values.append(json.dumps({"before": before, "after": after, "source": source, "transaction": None, "op": operation}).encode())
            names.append(json.dumps({"id": own}, separators=(",", ":")).encode())
        yield Messages(values, [0] * count, range(rows + first, rows + first + count), [START // 1000] * count, names, [None] * count)


@attrs.frozen
class Changes:
    """The changes as a source, without a broker."""

    rows: int
    changes: int
    lacking: float
    done: int = 0
    upstream: str = "changes"

    def primary_key(self) -> tuple[str, ...]:
        """None."""
        return ()

    def keys(self, *, scope: str | None) -> Any:
        """Refused."""
        return debezium().keys(scope=scope)

    @contextmanager
    def open(self, position: Any, *, target: Target) -> Iterator[Increment]:
        """All of them."""
        topic = debezium().log
        with kafka_formats.reading(topic, messages(self.rows, self.changes, self.lacking, self.done), target) as (decoder, found):
            rows = (kafka_read.as_rows(each, decoder, topic=TOPIC, source="kafka") for each in found)
            yield Increment(kafka_read.schema_of(decoder), rows, lambda: {"all": True}, rejecting=True)


@attrs.frozen
class Snapshot:
    """The table as a snapshot gives it: rows of the log, made without messages."""

    rows: int
    upstream: str = "snapshot"

    def primary_key(self) -> tuple[str, ...]:
        """None."""
        return ()

    def keys(self, *, scope: str | None) -> Any:
        """Refused."""
        return debezium().keys(scope=scope)

    @contextmanager
    def open(self, position: Any, *, target: Target) -> Iterator[Increment]:
        """All rows."""
        with kafka_formats.reading(debezium().log, messages(1, 30, 0), Target()) as (decoder, found):
            list(found)
            schema = kafka_read.schema_of(decoder)
        yield Increment(
            schema, (self._batch(schema, first) for first in range(0, self.rows, 100_000)), lambda: {"all": True}, rejecting=True
        )

    def _batch(self, schema: pa.Schema, first: int) -> pa.RecordBatch:
        keys = pa.array(range(first, min(first + 100_000, self.rows)), pa.int64())
        count, texts = len(keys), pc.cast(keys, pa.string())
        given = {
            "id": keys,
            "_kafka_offset": keys,
            "name": pc.binary_join_element_wise("name", texts, " "),
            "bio": pc.binary_join_element_wise("a long text about", texts, "and more of it, and more", " "),
            "_source_key": pc.binary_join_element_wise('{"id":', texts, "}", ""),
        }
        fixed = {"_operation": "upsert", "_source_operation": "r", "_source_lsn": 1, "_kafka_topic": TOPIC, "_kafka_partition": 0}
        arrays = []
        for field in schema:
            if field.name in given:
                arrays.append(given[field.name].cast(field.type))
            elif field.name in fixed:
                arrays.append(pa.repeat(pa.scalar(fixed[field.name]).cast(field.type), count))
            else:
                arrays.append(pa.nulls(count, field.type))
        return pa.RecordBatch.from_arrays(arrays, schema=schema)


@attrs.frozen
class Subject:
    """What a step needs."""

    lake: lk.Lake
    changes: Changes
    reduced: pa.Table | None = None


def subject(folder: str, changes: Changes) -> Subject:
    """The lake; and all that is loaded on first use, by the same on a small one."""
    with tempfile.TemporaryDirectory() as small:
        warm = Subject(lk.connect(small, progress=False), Changes(10, 10, 0))
        ingest(warm)
        apply(warm)
    return Subject(lk.connect(folder, progress=False), changes)


def with_more(folder: str, changes: Changes) -> Subject:
    """The lake, with a few changes more in its log."""
    found = subject(folder, changes)
    lk.ingest(found.lake, Changes(changes.rows, MORE, 0, done=changes.changes, upstream="more"), into=LOG)
    return found


def with_reduced(folder: str, changes: Changes) -> Subject:
    """The lake, and the last change of each row, at hand as a user's frame."""
    found = subject(folder, changes)
    rows = lk.latest(lk.read_new(found.lake, LOG, into=PLAIN), key="id").to_arrow()
    kept = [name for name in rows.schema.names if not name.startswith("_") or name in {"_operation", "_source_timestamp"}]
    return attrs.evolve(found, reduced=rows.select(kept))


def decode(given: Subject) -> int:
    """Make rows of messages, and drop them."""
    with given.changes.open(None, target=Target()) as increment:
        return sum(batch.num_rows for batch in increment.batches)


def make(given: Subject) -> int:
    """Make the messages, which is no part of decoding them."""
    return sum(len(found.values) for found in messages(given.changes.rows, given.changes.changes, given.changes.lacking))


def ingest(given: Subject) -> int:
    """Make the log."""
    return lk.ingest(given.lake, given.changes, into=LOG).read


def apply(given: Subject) -> int:
    """Merge what is new in the log."""
    return lk.merge(lk.read_new(given.lake, LOG, into=TABLE), key="id").read


def look(given: Subject) -> int:
    """Read what is new in the log, which takes what that is and not what the log is."""
    return lk.read_new(given.lake, LOG, into=TABLE).count()


def merge_reduced(given: Subject) -> int:
    """Merge the same rows, reduced already."""
    assert given.reduced is not None
    return lk.merge(lk.from_frame(given.lake, given.reduced, run_id="reduced"), key="id", into=PLAIN).read


def main() -> None:
    """Print what each step took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--changes", type=int, default=1_000_000)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--unavailable", type=float, default=0.0, help="the share of updates that lack their large value")
    options = parser.parse_args()
    print(measure.machine())
    folder = tempfile.mkdtemp(prefix="lakekit-cdc-")
    try:
        lake = lk.connect(folder, progress=False)
        lk.ingest(lake, Snapshot(options.rows), into=LOG)
        for table in (TABLE, PLAIN):
            lk.merge(lk.read_new(lake, LOG, into=table), key="id")
        changes = Changes(options.rows, options.changes, options.unavailable)
        taken = {
            "making the messages": measure.fresh(make, subject, folder, changes),
            "and decoding them": measure.fresh(decode, subject, folder, changes),
            "and writing the log": measure.fresh(ingest, subject, folder, changes),
            "merging from the log": measure.fresh(apply, subject, folder, changes),
            "merging reduced rows": measure.fresh(merge_reduced, with_reduced, folder, changes),
            "reading a few more": measure.fresh(look, with_more, folder, changes),
        }
        print(measure.table(f"{options.changes:,} changes, {options.rows:,} rows", taken))
        decoding = taken["and decoding them"].wall - taken["making the messages"].wall
        print(f"decoding: {options.changes / decoding:,.0f} changes a second")
        print(f"applying: {options.changes / taken['merging from the log'].wall:,.0f} changes a second")
        log, reduced = taken["merging from the log"], taken["merging reduced rows"]
        print(
            f"merging from the log by merging reduced rows: {log.wall / reduced.wall:.2f} of the time, {log.cpu / reduced.cpu:.2f} of the CPU"
        )
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
