"""A source of rows with a key of two columns, for tests: it can be changed at will, and has a clock of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import attrs
import pyarrow as pa

from lakekit.sources.protocol import Details, Increment, KeyRead, Overlap, Target

DAY = datetime(2026, 1, 1, tzinfo=UTC)
Key = tuple[str | None, int]


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
        batch = self._batch(self.rows)
        yield Increment(self.schema, iter([batch]), lambda: {"at": self.now.isoformat()}, None if position is None else Overlap(None, None))

    def primary_key(self) -> tuple[str, ...]:
        return ("region", "id")

    @contextmanager
    def keys(self, *, scope: str | None) -> Iterator[KeyRead]:
        schema = pa.schema([("region", pa.string()), ("id", pa.int64())])
        batch = pa.RecordBatch.from_pylist([{"region": region, "id": number} for region, number in self.rows], schema)
        yield KeyRead(schema, iter([batch]), self.now - timedelta(microseconds=1), lambda keys: (self.schema, iter([self._among(keys)])))

    def _among(self, keys: pa.Table) -> pa.RecordBatch:
        wanted = {(row["region"], row["id"]) for row in keys.to_pylist()}
        return self._batch({key: row for key, row in self.rows.items() if key in wanted})

    def _batch(self, rows: dict[Key, tuple[str, datetime]]) -> pa.RecordBatch:
        found = [{"region": r, "id": i, "value": value, "_source_timestamp": at} for (r, i), (value, at) in rows.items()]
        return pa.RecordBatch.from_pylist([{name: row[name] for name in self.schema.names} for row in found], self.schema)
