"""One commit attempt on Spark: rows and bookmark on a branch of its own, then main moves to it, if main is where it was.

Spark has no commit that asserts the parent snapshot. A branch made at the snapshot whose bookmark was read, and a fast-forward of main,
are one: the move is refused unless main is an ancestor of the branch. See ``docs/explanation/spark-carriers.md``.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

import attrs

from lakekit import bookmark as marks
from lakekit import logs
from lakekit.engines.plan import OWN_BRANCH, Frame, TableState
from lakekit.engines.protocol import Audit, BookmarkWriter, Landed
from lakekit.engines.spark import dialect, failures, settings
from lakekit.engines.spark.jars import EXTENSIONS
from lakekit.engines.types import dotted, ident, sql_type
from lakekit.errors import CommitConflictError, ConfigError

if TYPE_CHECKING:
    from pyiceberg.table.metadata import TableMetadata
    from pyiceberg.table.snapshots import Snapshot
    from pyspark.sql import DataFrame, DataFrameWriterV2

    from lakekit.engines.spark.session import SparkWork
    from lakekit.engines.spark.tables import SparkTable

log = logging.getLogger(__name__)

_BRANCH_ATTEMPTS: Final = 5


@attrs.frozen(eq=False)
class PreparedRows:
    """Rows that are computed, and held by the executors; the commit writes them.

    Attributes:
        inserts: How many of them are new.
        changes: How many replace or remove a stored row.
        on: What stored rows are found by. Empty: all rows are new.
    """

    work: SparkWork
    state: TableState
    frame: Frame
    inserts: int
    changes: int
    on: tuple[str, ...] = ()

    @property
    def rows(self) -> int:
        """How many rows are written."""
        return self.inserts + self.changes

    @property
    def rebasable(self) -> bool:
        """Whether they are still right on top of a newer snapshot."""
        return not self.on

    def discard(self) -> None:
        """Nothing was written yet."""

    def commit(self, state: TableState, *, bookmark: BookmarkWriter, summary: Mapping[str, str], audit: Audit | None = None) -> Landed:
        """Make the rows part of the table, on top of exactly the snapshot in ``state``; with an ``audit``, by way of its branch.

        Raises:
            CommitConflictError: The table has moved on. Nothing was committed.
        """
        table: SparkTable = state.native
        sequence = max((found.sequence for found in state.snapshots.values()), default=0) + 1
        carried = {**summary, marks.BOOKMARK: bookmark(snapshot=None, sequence=sequence)}
        with settings.pinned(self.work.spark):
            if state.head is None:
                self._first(table, carried)
            else:
                self._on_branch(table, state.head, carried, audit)
        metadata = table.reload().metadata
        landed = _landed(metadata, carried)
        if landed is None or landed.summary is None:
            raise CommitConflictError(state.label, "the commit's outcome was unknown, and it did not land", hint="run it again.")
        mirror = bookmark(snapshot=landed.snapshot_id, sequence=landed.sequence_number or sequence)
        self._mirror(table, mirror)
        return Landed(
            landed.snapshot_id,
            landed.sequence_number or sequence,
            landed.timestamp_ms,
            files=_figure("added-data-files", landed, metadata, state.head),
            size=_figure("added-files-size", landed, metadata, state.head),
            summary=landed.summary.additional_properties,
        )

    def _first(self, table: SparkTable, carried: Mapping[str, str]) -> None:
        """The first snapshot. There is none to name as the parent, so the write asserts that no file was ever added."""
        spark = self.work.spark
        writer = self._new_rows(table.path, carried, self.frame.native).option("isolation-level", "serializable")
        with settings.writing(spark, {}):
            self._told_if_refused(lambda: writer.overwrite(functions(spark).lit(True)))

    def _on_branch(self, table: SparkTable, base: int, carried: Mapping[str, str], audit: Audit | None) -> None:
        branch = f"{OWN_BRANCH}{secrets.token_hex(8)}" if audit is None else audit.branch
        create = "CREATE" if audit is None else "CREATE OR REPLACE"
        self._statement(f"ALTER TABLE {table.path} {create} BRANCH {branch} AS OF VERSION {base}")
        left = False
        try:
            self._write(table, branch, carried)
            if audit is not None:
                left = True
                audit.examine(table.reload().metadata.refs[branch].snapshot_id)
                left = False
            call = f"CALL {ident(table.catalog)}.system.fast_forward({dialect.text(table.inner)}, 'main', {dialect.text(branch)})"
            try:
                self._statement(call)
            except CommitConflictError:
                raise
            except Exception:
                if not _reached_main(table.reload(), branch):  # whether it landed is unknown otherwise
                    raise
        finally:
            if not left:
                self._drop(table, branch)

    def _drop(self, table: SparkTable, branch: str) -> None:
        try:
            self._statement(f"ALTER TABLE {table.path} DROP BRANCH {branch}")
        except Exception:
            log.warning(
                "%s: could not drop branch %s",
                self.state.label,
                branch,
                exc_info=True,
                extra=logs.fields("branch_left", table=self.state.label, branch=branch),
            )

    def _write(self, table: SparkTable, branch: str, carried: Mapping[str, str]) -> None:
        spark, path = self.work.spark, f"{table.path}.branch_{branch}"
        if not self.changes:
            with settings.writing(spark, {}):
                self._told_if_refused(self._new_rows(path, carried, self.frame.native).append)
            return
        statement = self._merge(path)
        with settings.writing(spark, carried):  # MERGE takes no options
            self._told_if_refused(lambda: spark.sql(statement, changes=self.frame.native).collect())
        metadata = table.reload().metadata
        if not _carries(metadata.snapshot_by_id(metadata.refs[branch].snapshot_id), carried):
            # A platform refused the settings, or an Iceberg for Spark 3.5 doesn't know them. An empty snapshot on top carries the
            # properties; both reach main in one move.
            nothing = self._new_rows(path, {**carried, marks.OF_PARENT: "true"}, self.frame.native.limit(0))
            with settings.writing(spark, {}):
                self._told_if_refused(nothing.append)

    def _merge(self, path: str) -> str:
        names = [name for name in self.state.schema.names if name in self.frame.schema.names]
        same = " AND ".join(f"t.{dotted(name, self.state.schema)} <=> s.{dotted(name, self.state.schema)}" for name in self.on)
        changed = ", ".join(f"t.{ident(name)} = s.{ident(name)}" for name in names)
        listed, values = ", ".join(map(ident, names)), ", ".join(f"s.{ident(name)}" for name in names)
        # A new row never replaces a stored one, whatever their keys: groups are written by removing all rows and adding all.
        statement = (
            f"MERGE INTO {path} t USING LK_CHANGES s ON s._change <> 'insert' AND {same} "
            f"WHEN MATCHED AND s._change = 'delete' THEN DELETE WHEN MATCHED THEN UPDATE SET {changed} "
            f"WHEN NOT MATCHED AND s._change = 'insert' THEN INSERT ({listed}) VALUES ({values})"
        )
        return statement.replace("{", "{{").replace("}", "}}").replace("LK_CHANGES", "{changes}", 1)

    def _new_rows(self, path: str, carried: Mapping[str, str], rows: DataFrame) -> DataFrameWriterV2:
        given = {*self.frame.schema.names}
        items = [  # Spark 3.5 doesn't write NULL by itself into a column that the rows lack
            ident(field.name) if field.name in given else f"CAST(NULL AS {sql_type(dialect.readable(field.type))}) AS {ident(field.name)}"
            for field in self.state.schema
        ]
        writer = rows.selectExpr(*items).writeTo(path)
        for name, value in carried.items():
            writer = writer.option(f"snapshot-property.{name}", value)
        return writer

    def _mirror(self, table: SparkTable, text: str) -> None:
        """Note the bookmark where it outlives its snapshot. Where this can't, the next run does."""
        try:
            self._statement(f"ALTER TABLE {table.path} SET TBLPROPERTIES ({dialect.text(marks.BOOKMARK)} = {dialect.text(text)})")
        except Exception:
            log.warning(
                "%s: could not mirror the bookmark; the next run does",
                self.state.label,
                exc_info=True,
                extra=logs.fields("bookmark_not_mirrored", table=self.state.label),
            )

    def _statement(self, words: str) -> None:
        """A statement on the table, again where another one came between: Iceberg does not retry those on branches."""
        for attempt in range(_BRANCH_ATTEMPTS):
            try:
                self.work.spark.sql(words).collect()
            except failures.kinds() as error:
                if attempt + 1 < _BRANCH_ATTEMPTS and failures.says(error, ("CommitFailedException",)):
                    continue
                raise self._told(error, "has moved on") from None
            return

    def _told_if_refused(self, write: Callable[[], object]) -> None:
        try:
            write()
        except failures.kinds() as error:
            raise self._told(error, "has moved on") from None

    def _told(self, error: Exception, problem: str) -> Exception:
        if failures.is_conflict(error):
            return CommitConflictError(self.state.label, problem, hint="run it again.")
        if failures.is_unparsed(error):
            return ConfigError(
                self.state.label,
                "the session doesn't know Iceberg's statements",
                hint=f'add to its configuration: "spark.sql.extensions" = "{EXTENSIONS}".',
            )
        return failures.explain(error)


def _landed(metadata: TableMetadata, carried: Mapping[str, str]) -> Snapshot | None:
    """The snapshot that carries these properties: somebody else's may be the current one by now."""
    own = [found for found in metadata.snapshots if _carries(found, carried)]
    return max(own, key=lambda found: found.sequence_number or 0, default=None)


def _carries(snapshot: Snapshot | None, carried: Mapping[str, str]) -> bool:
    return snapshot is not None and snapshot.summary is not None and carried.items() <= snapshot.summary.additional_properties.items()


def _figure(name: str, landed: Snapshot, metadata: TableMetadata, base: int | None) -> int:
    """A count of what was written: by the snapshot that landed, and by those that came to main with it."""
    found, total = landed, 0
    while found is not None and found.snapshot_id != base:
        total += int(found.summary.additional_properties.get(name, 0)) if found.summary else 0
        parent = found.parent_snapshot_id
        found = None if base is None or parent is None else metadata.snapshot_by_id(parent)
    return total


def _reached_main(table: SparkTable, branch: str) -> bool:
    found = table.metadata.refs.get(branch)
    return found is not None and table.metadata.current_snapshot_id == found.snapshot_id


def functions(spark: object) -> Any:
    """The functions that make columns for this session: ``pyspark.sql.functions`` follows one switch of the process."""
    if type(spark).__module__.startswith("pyspark.sql.connect"):
        from pyspark.sql.connect import functions as connect_functions

        return connect_functions
    from pyspark.sql import functions as classic_functions

    return classic_functions
