"""One lake on both engines: a folder whose catalog Spark and the embedded engine open, and what they must agree on."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import pytest
from pyiceberg.catalog.sql import SqlCatalog

import lakekit as lk
from lakekit.sources.protocol import Source
from tests.servers.spark import catalog_settings, open_with_pyiceberg

if TYPE_CHECKING:
    from tests.servers.spark import Server

_numbers = itertools.count(1)
# Both kinds of session run everything in `make test-all`, and `make test` enough of it on each.
classic_first = pytest.mark.parametrize("kind", ["classic", pytest.param("connect", marks=pytest.mark.slow)])
connect_first = pytest.mark.parametrize("kind", [pytest.param("classic", marks=pytest.mark.slow), "connect"])
VARYING = {"_ingestion_timestamp", "_write_id"}


@attrs.frozen
class Both:
    """The same catalog, opened by both engines."""

    spark: lk.Lake
    embedded: lk.Lake
    catalog: SqlCatalog

    def position(self, table: str, source: Source) -> dict[str, Any]:
        """How far a table has read a source, as its bookmark says."""
        properties = self.catalog.load_table(table).properties
        return json.loads(properties["lakekit.bookmark"])["positions"][source.upstream]


def both(server: Server, kind: str, folder: Path) -> Both:
    """A new lake in a folder."""
    name = f"both{next(_numbers)}"
    spark = server.session(kind, "this")
    for key, value in catalog_settings(name, folder).items():
        spark.conf.set(key, value)
    folder.mkdir(parents=True)
    catalog = open_with_pyiceberg(name, folder)
    return Both(lk.connect(spark, catalog=name), lk.connect(catalog), catalog)


def rows(lake: lk.Lake, table: str, *by: str) -> list[dict[str, Any]]:
    """A table's rows in one order, without what differs from run to run."""
    if table not in lake.tables():
        return []
    found = [{name: row[name] for name in sorted(row) if name not in VARYING} for row in lk.read(lake, table).to_arrow().to_pylist()]
    return sorted(found, key=lambda row: tuple(str(row.get(name)) for name in by) if by else repr(row))


def differences(found: list[dict[str, Any]], wanted: list[dict[str, Any]]) -> list[tuple[object, ...]]:
    """Where two lists of rows differ. NaN is the same as NaN."""
    if len(found) != len(wanted):
        return [("rows", len(found), len(wanted))]
    return [
        (number, name, repr(one.get(name, "absent")), repr(other.get(name, "absent")))
        for number, (one, other) in enumerate(zip(found, wanted, strict=True))
        for name in {**one, **other}
        if repr(one.get(name, "absent")) != repr(other.get(name, "absent"))
    ]
