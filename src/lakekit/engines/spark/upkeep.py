"""Compaction, expiry and orphans on Spark: Iceberg's own procedures."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from lakekit.engines.protocol import Landed
from lakekit.engines.spark import dialect, failures, settings
from lakekit.engines.types import ident

if TYPE_CHECKING:
    from lakekit.engines.plan import TableState
    from lakekit.engines.spark.tables import SparkTable

_EVERY_DELETE: Final = {"delete-file-threshold": "1", "remove-dangling-deletes": "true"}
_MANIFEST: Final = 8 << 20
"""Iceberg's target size of a manifest."""
_FEWEST: Final = 5
"""So many small manifests are worth a rewrite."""
_NONE: Final = datetime(1970, 1, 1, tzinfo=UTC)


def compact(state: TableState) -> list[Landed]:
    """Write small files, and files of which position deletes name rows, anew. Files that somebody else changes meanwhile are left."""
    table: SparkTable = state.native
    if state.head is None:
        return []
    strategy = "sort" if table.metadata.sort_order().fields else "binpack"
    options = ", ".join(f"{dialect.text(name)}, {dialect.text(value)}" for pair in _EVERY_DELETE.items() for name, value in [pair])
    found = _call(table, "rewrite_data_files", f"strategy => '{strategy}', options => map({options})")
    if len(_small_manifests(table)) >= _FEWEST:
        _call(table, "rewrite_manifests")
    after = table.reload().metadata
    if after.current_snapshot_id == state.head:
        return []
    new = [snapshot for snapshot in after.snapshots if snapshot.snapshot_id not in state.snapshots]
    last = max(new, key=lambda snapshot: snapshot.sequence_number or 0)
    size = sum(int((snapshot.summary or {}).get("added-files-size", 0) or 0) for snapshot in new if snapshot.summary)
    return [Landed(last.snapshot_id, last.sequence_number or 0, last.timestamp_ms, files=int(found["added_data_files_count"]), size=size)]


def expire(state: TableState, snapshots: Sequence[int], branches: Sequence[str]) -> int:
    """Let snapshots and branches go, and remove the files that only they named. Gives their number."""
    table: SparkTable = state.native
    with failures.explained():
        for branch in branches:
            table.spark.sql(f"ALTER TABLE {table.path} DROP BRANCH IF EXISTS {ident(branch)}").collect()
    if not snapshots:
        return 0
    # Without an instant, the procedure would choose one by itself, and let more go.
    ids = ", ".join(map(str, snapshots))
    found = _call(table, "expire_snapshots", f"older_than => {_timestamp(_NONE)}, snapshot_ids => ARRAY({ids})")
    return sum(int(count) for name, count in found.items() if name.startswith("deleted_") and count is not None)


def sweep(state: TableState, before: datetime) -> int:
    """Remove the files in a table's folder that nothing names and that were written before an instant. Gives their number."""
    table: SparkTable = state.native
    with settings.pinned(table.spark), failures.explained():
        rows = table.spark.sql(
            f"CALL {ident(table.catalog)}.system.remove_orphan_files(table => {dialect.text(table.inner)}, older_than => {_timestamp(before)})"
        ).collect()
    return len(rows)


def _small_manifests(table: SparkTable) -> list[Any]:
    target = table.metadata.properties.get("commit.manifest.target-size-bytes", _MANIFEST)
    with failures.explained():
        return table.spark.sql(f"SELECT path FROM {table.path}.manifests WHERE length < {int(target)}").collect()


def _call(table: SparkTable, procedure: str, *arguments: str) -> dict[str, Any]:
    given = ", ".join((f"table => {dialect.text(table.inner)}", *arguments))
    statement = f"CALL {ident(table.catalog)}.system.{procedure}({given})"
    with settings.pinned(table.spark), failures.explained():
        return table.spark.sql(statement).collect()[0].asDict()


def _timestamp(instant: datetime) -> str:
    return f"TIMESTAMP '{instant.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}'"
