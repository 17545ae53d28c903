"""A table under test as one session sees it: the statements that the tests have in common, and a way to order a race."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

if TYPE_CHECKING:
    from types import ModuleType

    from pyiceberg.catalog.sql import SqlCatalog
    from pyspark.sql import DataFrame, DataFrameWriterV2, Row, SparkSession

PATIENCE = 180.0
"""Seconds after which a held statement gives up, so that a failing test ends."""


def functions_for(spark: SparkSession) -> ModuleType:
    """The functions that make columns for this session: pyspark.sql.functions follows one switch of the process."""
    if type(spark).__module__.startswith("pyspark.sql.connect"):
        from pyspark.sql.connect import functions as connect_functions

        return connect_functions
    from pyspark.sql import functions as classic_functions

    return classic_functions


def quoted(text: str) -> str:
    """A Spark SQL string literal."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def refusals() -> tuple[type[Exception], ...]:
    """What a refused commit raises: Py4J's error or Spark's own, depending on session and statement."""
    from py4j.protocol import Py4JJavaError
    from pyspark.errors import PySparkException

    return (Py4JJavaError, PySparkException)


@dataclass(frozen=True)
class Table:
    """One table, by its full name, in one session; `branch` redirects reads and writes."""

    spark: SparkSession
    name: str
    branch: str | None = None

    @property
    def path(self) -> str:
        """The name that statements use."""
        return f"{self.name}.branch_{self.branch}" if self.branch else self.name

    @property
    def identifier(self) -> str:
        """The name inside its catalog, as procedures and pyiceberg take it."""
        return self.name.partition(".")[2]

    def seen_by(self, spark: SparkSession) -> Table:
        """The same table in another session."""
        return replace(self, spark=spark)

    def create(self, properties: Mapping[str, str]) -> None:
        """Makes the table."""
        pairs = {"format-version": "2", **properties}
        listed = ", ".join(f"{quoted(key)} = {quoted(value)}" for key, value in pairs.items())
        columns = "k bigint, v string, _write_id bigint"
        self.spark.sql(f"CREATE TABLE {self.name} ({columns}) USING iceberg TBLPROPERTIES ({listed})").collect()

    # What is there

    def refresh(self) -> None:
        """Forgets the state of the table that this session keeps."""
        self.spark.sql(f"REFRESH TABLE {self.name}").collect()

    def head(self) -> int | None:
        """The snapshot that main stands at, None in a table that never had one."""
        self.refresh()
        found = self.spark.sql(f"SELECT snapshot_id FROM {self.name}.refs WHERE name = 'main'").collect()
        return int(found[0][0]) if found else None

    def rows(self) -> list[tuple[Any, ...]]:
        """The rows, sorted."""
        self.refresh()
        return sorted(tuple(row) for row in self.spark.table(self.path).collect())

    def keys(self) -> list[int]:
        """The keys, sorted, repeats included."""
        return [row[0] for row in self.rows()]

    def snapshots(self) -> list[Row]:
        """All snapshots, oldest first, those of branches included."""
        self.refresh()
        return self.spark.sql(f"SELECT * FROM {self.name}.snapshots ORDER BY committed_at").collect()

    def summary(self) -> dict[str, str]:
        """The summary of the snapshot that main stands at."""
        head = self.head()
        return next(dict(row.summary) for row in self.snapshots() if row.snapshot_id == head)

    def properties(self) -> dict[str, str]:
        """The table's properties."""
        self.refresh()
        return {row.key: row.value for row in self.spark.sql(f"SHOW TBLPROPERTIES {self.name}").collect()}

    def holds(self, write_id: int) -> bool:
        """Whether any row carries this write id."""
        self.refresh()
        return not self.spark.table(self.path).where(f"_write_id = {write_id}").limit(1).isEmpty()

    # What is done to it

    def frame(self, write_id: int, *, keys: tuple[int, ...] = (0, 1), value: str | None = "new") -> DataFrame:
        """The rows of one increment: one row for each key, each carrying the write id."""
        size = len(keys)
        columns = {"k": pa.array(keys, pa.int64()), "v": pa.array([value] * size, pa.string())}
        return self.spark.createDataFrame(pa.table({**columns, "_write_id": pa.array([write_id] * size, pa.int64())}))

    def writer(self, frame: DataFrame, write_id: int) -> DataFrameWriterV2:
        """A write of a frame whose snapshot will say which increment it holds."""
        bookmark = json.dumps({"orders": write_id})
        writer = frame.writeTo(self.path).option("snapshot-property.lakekit.write_id", str(write_id))
        return writer.option("snapshot-property.lakekit.bookmark", bookmark)

    def plain_append(self, write_id: int, *, keys: tuple[int, ...] = (0, 1)) -> None:
        """An append that asks nothing of the table."""
        self.writer(self.frame(write_id, keys=keys), write_id).append()

    def guarded_append(self, write_id: int, base: int | None, *, frame: DataFrame | None = None, condition: str | None = None) -> None:
        """An overwrite of the rows that carry this write id, refused when such rows were added after the base."""
        writer = self.writer(frame or self.frame(write_id), write_id).option("isolation-level", "serializable")
        if base is not None:
            writer = writer.option("validate-from-snapshot-id", str(base))
        writer.overwrite(functions_for(self.spark).expr(condition or f"_write_id = {write_id}"))

    def merge(self, source: DataFrame, *clauses: str) -> None:
        """MERGE by key; without clauses, update what matches and insert the rest."""
        actions = " ".join(clauses or ("WHEN MATCHED THEN UPDATE SET *", "WHEN NOT MATCHED THEN INSERT *"))
        self.spark.sql(f"MERGE INTO {self.path} t USING {{source}} s ON t.k = s.k {actions}", source=source).collect()

    def set_properties(self, **properties: str) -> None:
        """Sets properties below `lakekit.` in one commit."""
        listed = ", ".join(f"{quoted('lakekit.' + key)} = {quoted(value)}" for key, value in properties.items())
        self.spark.sql(f"ALTER TABLE {self.name} SET TBLPROPERTIES ({listed})").collect()

    def unset_property(self, key: str) -> None:
        """Removes a property below `lakekit.`."""
        self.spark.sql(f"ALTER TABLE {self.name} UNSET TBLPROPERTIES ({quoted('lakekit.' + key)})").collect()

    def call(self, procedure: str, *arguments: str) -> None:
        """Runs one of Iceberg's procedures on the table."""
        listed = ", ".join((f"table => {quoted(self.identifier)}", *arguments))
        self.spark.sql(f"CALL lake.system.{procedure}({listed})").collect()

    def compact(self) -> None:
        """Rewrites all files into one."""
        self.call("rewrite_data_files", "options => map('rewrite-all', 'true')")

    # A write staged on a branch

    def stage(self, branch: str, base: int | None) -> Table:
        """A branch that starts at the base."""
        start = f" AS OF VERSION {base}" if base is not None else ""
        self.spark.sql(f"ALTER TABLE {self.name} CREATE BRANCH {branch}{start}").collect()
        return replace(self, branch=branch)

    def publish(self) -> None:
        """Moves main to the head of this branch, if main is still behind it."""
        self.call("fast_forward", "branch => 'main'", f"to => {quoted(str(self.branch))}")

    def drop_branch(self) -> None:
        """Removes this branch; what main reached stays."""
        self.spark.sql(f"ALTER TABLE {self.name} DROP BRANCH {self.branch}").collect()


def expire_all_but_the_head(catalog: SqlCatalog, table: Table) -> None:
    """Forgets all snapshots but the one main stands at; done by pyiceberg, because Spark's procedure takes seconds."""
    snapshots = catalog.load_table(table.identifier)
    ids = [snapshot.snapshot_id for snapshot in snapshots.snapshots() if snapshot.snapshot_id != table.head()]
    snapshots.maintenance.expire_snapshots().by_ids(ids).commit()
    table.refresh()


@contextmanager
def snapshot_properties(spark: SparkSession, **properties: str) -> Generator[None]:
    """Session-wide settings that put properties into the snapshots of all statements inside."""
    keys = {f"spark.sql.iceberg.snapshot-property.lakekit.{key}": value for key, value in properties.items()}
    for key, value in keys.items():
        spark.conf.set(key, value)
    try:
        yield
    finally:
        for key in keys:
            spark.conf.unset(key)


class Gate:
    """Holds the rows of a frame back while its statement, already planned, is under way."""

    def __init__(self, folder: Path) -> None:
        """A gate is two files: one says that the statement has come, the other lets it on."""
        self._reached = folder / "reached"
        self._opened = folder / "opened"

    def hold(self, frame: DataFrame) -> DataFrame:
        """The same rows, behind the gate."""
        reached, opened, patience = self._reached, self._opened, PATIENCE

        def wait(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            import time  # this function runs in a worker of Spark, which can't import the tests

            reached.touch()
            end = time.monotonic() + patience
            while not opened.exists() and time.monotonic() < end:
                time.sleep(0.01)
            yield from batches

        return frame.coalesce(1).mapInArrow(wait, frame.schema)

    def race(self, late: Callable[[], None], quick: Callable[[], None]) -> Future[None]:
        """Runs the quick statement in full while the late one, planned before it, is held; gives the late one's outcome."""
        with ThreadPoolExecutor(1) as pool:
            outcome = pool.submit(late)
            end = time.monotonic() + PATIENCE
            while not self._reached.exists() and not outcome.done() and time.monotonic() < end:
                time.sleep(0.01)
            assert self._reached.exists(), f"the late statement did not reach the gate: {outcome}"
            try:
                quick()
            finally:
                self._opened.touch()
        return outcome
