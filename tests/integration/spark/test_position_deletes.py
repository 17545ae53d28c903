"""Position deletes mean the same to everybody: to lakekit, to pyiceberg, to Spark and to DuckDB, whoever wrote them.

DuckDB's iceberg extension, and a DuckDB that it fits, come by pip, once: see ``tests/servers/duckdb_iceberg.py``.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyiceberg.manifest import FileFormat

import lakekit as lk
from lakekit.errors import TableError
from tests.contract.helpers import local
from tests.servers import duckdb_iceberg
from tests.servers.spark import CATALOGS

if TYPE_CHECKING:
    from pyiceberg.catalog import Catalog
    from pyiceberg.table import Table
    from pyspark.sql import SparkSession

    from tests.servers.spark import Server

TABLE = "silver.orders"
EACH_KIND = pytest.mark.parametrize("kind", ["classic", pytest.param("connect", marks=pytest.mark.slow)], scope="session")
LATER = datetime.now(UTC) + timedelta(days=30)
SCHEMA = {"id": "bigint", "at": "bigint", "word": "string", "amount": "decimal(12, 2)", "on_day": "date", "seen": "timestamp"}


class Shared:
    """A catalog, opened by each engine and by pyiceberg."""

    def __init__(self, server: Server, kind: str, folder: Path) -> None:
        self.session: SparkSession
        self.session, self.name = server.new_catalog(kind, folder)
        self.catalog: Catalog = CATALOGS[self.name]
        self.embedded, self.spark = lk.connect(self.catalog), lk.connect(self.session, catalog=self.name)
        self.folder = folder

    @property
    def table(self) -> Table:
        return self.catalog.load_table(TABLE)

    def run(self, statement: str) -> None:
        """A statement of Spark's on the table as it stands now: the session keeps tables, and sees what others wrote only when told."""
        if self.catalog.table_exists(TABLE):
            self.session.sql(f"REFRESH TABLE {self.name}.{TABLE}").collect()
        self.session.sql(statement.replace(TABLE, f"{self.name}.{TABLE}")).collect()

    def make(self, **properties: str) -> None:
        """A table that Spark makes, writes to in two files for each partition, and changes in place."""
        self.run(f"CREATE NAMESPACE {self.name}.silver")
        settings = {"write.delete.mode": "merge-on-read", "write.update.mode": "merge-on-read", **properties}
        listed = ", ".join(f"'{name}' = '{value}'" for name, value in settings.items())
        self.run(
            f"CREATE TABLE {TABLE} (id BIGINT, at BIGINT, word STRING) USING iceberg PARTITIONED BY (bucket(2, id)) TBLPROPERTIES ({listed})"
        )
        for start in (0, 40):
            self.run(f"INSERT INTO {TABLE} SELECT id, 1, concat('word ', id) FROM range({start}, {start + 40})")
        self.run(f"DELETE FROM {TABLE} WHERE id % 10 = 3")
        self.run(f"UPDATE {TABLE} SET word = 'updated', at = 2 WHERE id % 10 = 4")

    def rows_by(self) -> dict[str, list[dict[str, Any]]]:
        """All rows, as each of those who can read the table gives them."""
        self.run(f"REFRESH TABLE {TABLE}")
        copy = self.folder / "duckdb.parquet"
        duckdb_iceberg.copy(self.table.metadata_location, copy)
        tables: dict[str, pa.Table] = {
            "lakekit": lk.read(self.embedded, TABLE, deleted=True).to_arrow(),
            "pyiceberg": self.table.scan().to_arrow(),
            "Spark": self.session.table(f"{self.name}.{TABLE}").toArrow(),
            "DuckDB": pq.read_table(copy),
        }
        return {name: sorted(found.to_pylist(), key=lambda row: row["id"]) for name, found in tables.items()}

    def agreed(self) -> list[dict[str, Any]]:
        """The rows, on which all agree."""
        found = self.rows_by()
        for name, rows in found.items():
            assert rows == found["lakekit"], name
        return found["lakekit"]


@pytest.fixture
def shared(server: Server, kind: str, tmp_path: Path) -> Shared:
    return Shared(server, kind, tmp_path / "lake")


def order(number: int, at: int, word: str | None) -> dict[str, Any]:
    amount, day = Decimal(number) / 4, date(2026, 1, 1) + timedelta(days=number % 3)
    return {"id": number, "at": at, "word": word, "amount": amount, "on_day": day, "seen": datetime(2026, 1, 1, number % 24, tzinfo=UTC)}


def merge(lake: Any, run: str, *rows: dict[str, Any], mode: Any = "merge-on-read", **options: Any) -> lk.Commit:
    return lk.merge(lk.from_frame(lake, list(rows), run_id=run), into=TABLE, key="id", order_by="at", write_mode=mode, **options)


def delete_files(table: Table) -> int:
    return sum(len(task.delete_files) for task in table.scan().plan_files())


@EACH_KIND
@pytest.mark.parametrize("partition_by", [(), ("day(on_day)", "bucket(2, id)")])
def test_what_lakekit_deletes_by_position_is_gone_for_everybody(shared: Shared, partition_by: tuple[str, ...]) -> None:
    lake = shared.embedded
    lk.create_table(lake, TABLE, schema=SCHEMA, partition_by=partition_by)
    merge(lake, "first", *(order(number, 1, f"word {number}") for number in range(60)))
    merge(lake, "second", *(order(number, 2, None) for number in range(0, 60, 7)))
    gone = [{**order(number, 3, None), "_operation": "delete"} for number in range(0, 60, 14)]
    merge(lake, "third", *gone, deletes=lk.Deletes("hard"))
    with shared.table.update_spec() as update:
        update.add_identity("word")
    merge(lake, "fourth", *(order(number, 4, "fourth") for number in range(50, 70)))
    assert delete_files(shared.table)
    words = {**{n: f"word {n}" for n in range(60)}, **dict.fromkeys(range(7, 60, 14)), **dict.fromkeys(range(50, 70), "fourth")}
    expected = [(number, word) for number, word in sorted(words.items()) if number % 14 or number >= 50]
    assert [(row["id"], row["word"]) for row in shared.agreed()] == expected
    assert lk.maintain(lake, TABLE, older_than=timedelta(0), now=LATER).committed
    assert delete_files(shared.table) == 0
    assert [(row["id"], row["word"]) for row in shared.agreed()] == expected


@EACH_KIND
@pytest.mark.parametrize("mode", ["merge-on-read", "copy-on-write"])
@pytest.mark.parametrize("granularity", ["partition", "file"])
def test_what_spark_deleted_by_position_stays_gone_when_lakekit_merges_and_compacts(shared: Shared, granularity: str, mode: str) -> None:
    shared.make(**{"format-version": "2", "write.delete.granularity": granularity})
    shared.run(f"DELETE FROM {TABLE} WHERE id = 41")  # a second file of deletes for one that has deletes
    words = {number: "updated" if number % 10 == 4 else f"word {number}" for number in range(80) if number % 10 != 3 and number != 41}
    assert {row["id"]: row["word"] for row in shared.agreed()} == words
    rows = [{"id": number, "at": 5, "word": "merged"} for number in (1, 2, 3, 4, 41, 70, 99)]
    commit = merge(shared.embedded, "first", *rows, mode=mode)
    assert (commit.updated, commit.inserted) == (4, 3)
    words |= dict.fromkeys((1, 2, 3, 4, 41, 70, 99), "merged")
    assert {row["id"]: row["word"] for row in shared.agreed()} == words
    assert lk.maintain(shared.embedded, TABLE, older_than=timedelta(0), now=LATER).committed
    assert {row["id"]: row["word"] for row in shared.agreed()} == words
    assert merge(shared.embedded, "second", {"id": 1, "at": 6, "word": "again"}, mode=mode).updated == 1
    shared.run(f"DELETE FROM {TABLE} WHERE id = 2")
    words |= {1: "again"}
    del words[2]
    assert {row["id"]: row["word"] for row in shared.agreed()} == words


@EACH_KIND
def test_deletion_vectors_are_read_and_their_table_is_not_written(shared: Shared) -> None:
    shared.make(**{"format-version": "3"})
    kinds = {file.file_format for task in shared.table.scan().plan_files() for file in task.delete_files}
    assert kinds == {FileFormat.PUFFIN}
    words = {number: "updated" if number % 10 == 4 else f"word {number}" for number in range(80) if number % 10 != 3}
    assert {row["id"]: row["word"] for row in shared.agreed()} == words
    home, metadata, tables = local(shared.table.location()), shared.table.metadata_location, shared.embedded.tables()
    files = {path for path in home.rglob("*") if path.is_file()}
    changed = {"id": 1, "at": 5, "word": "merged"}
    refused = [
        lambda: merge(shared.embedded, "a", changed),
        lambda: merge(shared.embedded, "b", {**changed, "new_column": 1}),
        lambda: merge(shared.embedded, "c", changed, {**changed, "id": None}),
        lambda: merge(shared.embedded, "d", {"id": 1, "at": 6, "word": None, "_operation": "delete"}, deletes=lk.Deletes("hard")),
        lambda: lk.append(lk.from_frame(shared.embedded, [changed], run_id="e"), into=TABLE),
        lambda: lk.maintain(shared.embedded, TABLE, older_than=timedelta(0), now=LATER),
    ]
    for write in refused:
        with pytest.raises(TableError, match="up to version 2"):
            write()
    assert (shared.table.metadata_location, shared.embedded.tables()) == (metadata, tables)
    assert {path for path in home.rglob("*") if path.is_file()} == files
