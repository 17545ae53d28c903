"""After the last ingest and the last comparison of keys the table says what the source holds, whatever happened in which order before."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import attrs
import pyarrow as pa
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import lakekit as lk
from lakekit.sources.protocol import Details, Increment, KeyRead, Overlap, Target

DAY = datetime(2026, 1, 1, tzinfo=UTC)
Key = tuple[str | None, int]
KEY = st.tuples(st.sampled_from(["north", "north|1", "", None]), st.integers(1, 2))
STEP = st.one_of(
    st.tuples(st.just("put"), KEY, st.sampled_from("xy")),
    st.tuples(st.just("remove"), KEY),
    st.tuples(st.sampled_from(["ingest", "compare", "merge"])),
)
FEW = settings(max_examples=max(3, settings.default.max_examples // 12), suppress_health_check=[HealthCheck.too_slow])
GONE_AND_BACK = [("put", ("", 1), "x"), ("ingest",), ("remove", ("", 1)), ("ingest",), ("compare",), ("merge",), ("put", ("", 1), "x")]


@attrs.define(eq=False)
class Rows:
    """A source of rows with a key of two columns, read whole each time; it dates its rows, or doesn't."""

    dated: bool
    now: datetime = DAY
    rows: dict[Key, tuple[str, datetime]] = attrs.field(factory=dict)
    upstream = "rows:test"

    @property
    def schema(self) -> pa.Schema:
        schema = pa.schema([("region", pa.string()), ("id", pa.int64()), ("value", pa.string())])
        return schema.append(pa.field("_source_timestamp", pa.timestamp("us", tz="UTC"))) if self.dated else schema

    @contextmanager
    def open(self, position: Details | None, *, target: Target) -> Iterator[Increment]:
        rows = [{"region": r, "id": i, "value": value, "_source_timestamp": at} for (r, i), (value, at) in self.rows.items()]
        batch = pa.RecordBatch.from_pylist([{name: row[name] for name in self.schema.names} for row in rows], self.schema)
        yield Increment(self.schema, iter([batch]), lambda: {"at": self.now.isoformat()}, None if position is None else Overlap(None, None))

    def primary_key(self) -> tuple[str, ...]:
        return ("region", "id")

    @contextmanager
    def keys(self, *, scope: str | None) -> Iterator[KeyRead]:
        schema = pa.schema([("region", pa.string()), ("id", pa.int64())])
        batch = pa.RecordBatch.from_pylist([{"region": region, "id": number} for region, number in self.rows], schema)
        yield KeyRead(schema, iter([batch]), self.now - timedelta(microseconds=1))


@FEW
@given(dated=st.booleans(), steps=st.lists(STEP, min_size=1, max_size=12))
@example(dated=True, steps=GONE_AND_BACK)
@example(dated=False, steps=GONE_AND_BACK)
def test_the_living_rows_are_those_of_the_source(*, dated: bool, steps: list[tuple[Any, ...]]) -> None:
    source = Rows(dated)
    with tempfile.TemporaryDirectory() as folder:
        lake = lk.connect(folder)

        def run(step: str) -> None:
            if step == "ingest":
                lk.ingest(lake, source, into="bronze.t", now=source.now)
            elif "bronze.t" in lake.tables() and step == "compare":
                lk.ingest_deletes(lake, source, into="bronze.t", deletes=lk.Deletes(force=True), now=source.now)
            elif "bronze.t" in lake.tables():
                lk.merge(lk.read_new(lake, "bronze.t", into="silver.t"), key=("region", "id"))

        for step, *said in [*steps, ("ingest",), ("compare",), ("merge",)]:
            source.now += timedelta(minutes=1)
            if step == "put":
                source.rows[said[0]] = said[1], source.now
            elif step == "remove":
                source.rows.pop(said[0], None)
            else:
                run(step)
        found = lk.read(lake, "silver.t").to_arrow().to_pylist()
    assert {(row["region"], row["id"]): row["value"] for row in found} == {
        key: value for key, (value, _) in source.rows.items() if None not in key
    }
    assert len(found) == len({(row["region"], row["id"]) for row in found})
