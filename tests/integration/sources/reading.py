"""What the tests of PostgreSQL share: a read taken to its end, and a target that de-duplicates as ``ingest`` does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs
import psycopg
import pyarrow as pa

from lakekit import sources
from lakekit.sources.protocol import Details, Overlap, Source, Target


@attrs.frozen
class Read:
    table: pa.Table
    details: Mapping[str, Any]
    overlap: Overlap | None

    @property
    def rows(self) -> list[dict[str, Any]]:
        return self.table.to_pylist()

    def column(self, name: str) -> list[Any]:
        return self.table.column(name).to_pylist()


def read(source: Source, position: Details | None = None) -> Read:
    with source.open(position, target=Target()) as increment:
        table = pa.Table.from_batches(increment.batches, schema=increment.schema)
        details = increment.details()
        assert details is not None
        return Read(table, details, increment.overlap)


class Bronze:
    """The rows of a bronze table and its bookmark: rows of the overlap that are there already are left out."""

    def __init__(self) -> None:
        self.rows: list[tuple[Any, ...]] = []
        self.position: Details | None = None

    def ingest(self, source: Source) -> int:
        found = read(source, self.position)
        rows = [tuple(row.items()) for row in found.rows]
        if found.overlap is not None:
            there = set(self.rows)
            rows = [row for row in rows if row not in there]
        self.rows += rows
        self.position = found.details
        return len(rows)

    def values(self, column: str) -> list[Any]:
        return sorted(dict(row)[column] for row in self.rows)


def execute(dsn: str, *statements: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement)


def shop(dsn: str) -> sources.Postgres:
    return sources.Postgres(dsn, name="shop")
