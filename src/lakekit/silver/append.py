"""append: add a bookmarked batch to a table, once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
import pyarrow as pa

from lakekit import columns as system
from lakekit.batch import Batch
from lakekit.commit import Commit
from lakekit.engines.plan import Query, TableState
from lakekit.engines.protocol import count
from lakekit.engines.types import ident
from lakekit.errors import BookmarkLostError, ConfigError
from lakekit.incremental import cas, rejects, sides, target
from lakekit.incremental.tallies import count_checks
from lakekit.names import TableName
from lakekit.operations import operation

if TYPE_CHECKING:
    from lakekit.evolution.policy import Policy


@operation
def append(
    batch: Batch,
    *,
    into: TableName | None = None,
    on_change: Policy = "evolve",
    dry_run: bool = False,
    max_reject_fraction: float | None = None,
) -> Commit:
    """Add a batch's rows to a table, with its bookmark, in one commit. A retry, or the same run twice, adds nothing.

    Args:
        batch: The rows, from `read_new` or `from_frame`.
        into: The table. Default: the one ``read_new(into=)`` named. Made if missing.
        on_change: What new columns do: ``"evolve"`` adds them, ``"fail"`` raises with the statements to run.
        dry_run: Count, and write nothing.
        max_reject_fraction: Refuse to write when more of the rows are rejected.

    Writes:
        The batch's columns and ``_write_id``.

    Raises:
        ConfigError: The batch has no bookmark, so that a retry would double its rows; or another table was named before.
        TableError: The table is of a format that the engine can't write.
        BookmarkLostError: The table's bookmark is gone, or the upstream's history has expired, so that rows could double.
        CommitConflictError: Another run consumed a part of the batch first.

    >>> import lakekit as lk, tempfile
    >>> lake = lk.connect(tempfile.mkdtemp())
    >>> batch = lk.from_frame(lake, [{"id": 1}], run_id="monday")
    >>> lk.append(batch, into="bronze.things").inserted, lk.append(batch, into="bronze.things").inserted
    (1, 0)
    """
    into_ = target.resolve(batch, into, place="append")
    label = ".".join(into_)
    if not batch.bookmark:
        raise ConfigError(
            f"append(): {label}",
            "the batch has no bookmark, so a retry would double its rows",
            hint="read it with read_new(), give from_frame() a run_id, or write by key with merge().",
        )
    if batch.bookmark.superset:
        raise BookmarkLostError(
            f"append(): {label}",
            "the upstream's snapshot consumed last has expired, so rows already appended can't be told from new ones",
            hint="write by key with merge(), or rewind() to a position you know.",
        )
    sides.refuse_sides(batch, place="append()", hint="write by key with merge(): rows are looked up again when a side changes.")
    if (found := batch.lake.find(into_)) is not None:
        batch.lake.engine.require_writable(found)
    batch = target.adapt(batch, into_, found, on_change=on_change, place="append")
    schema = target.schema_for(
        batch.schema,
        [*(name for name in batch.columns if name in system.BY_NAME and name not in {system.DELETED_AT, system.WRITE_ID}), system.WRITE_ID],
    )
    with batch.lake.engine.session() as session:
        for node in batch.shared:
            session.stage(node)
        bad = [rejects.gather(session, into_, item) for item in batch.rejects]
        rejected = rejects.total(session, bad)
        rows = session.stage(batch.node)
        size = count(session, rows)
        rejects.refuse_too_many(rejected, size + rejected, max_reject_fraction, into=into_)
        checked = count_checks(session, batch.tallies, into=into_)
        figures = Commit(
            table=label,
            read=size + rejected,
            inserted=size,
            rejected=rejected,
            checks=checked,
            columns_not_carried=batch.not_carried,
        )
        if dry_run:
            return figures
        if rejected:
            for item in bad:
                rejects.write(batch.lake, session, into_, item, batch.bookmark)
        state, added = target.ensure(batch.lake, into_, schema, layer="bronze", on_change=on_change, place="append")
        cas.require_bookmark(state)
        figures = attrs.evolve(figures, columns_added=added)

        def plan(state: TableState, write_id: int) -> cas.Planned:
            kept = [field for field in rows.schema if field.name != system.WRITE_ID]
            words = ", ".join(ident(field.name) for field in kept)
            stamped = Query(
                f"SELECT {words}, CAST({write_id} AS BIGINT) AS `{system.WRITE_ID}` FROM rows",
                {"rows": rows},
                schema=pa.schema([*kept, pa.field(system.WRITE_ID, pa.int64())]),
            )
            return cas.Planned(figures, (lambda: session.append(state, stamped)) if size else None)

        return cas.write(batch.lake.engine, into_, target.with_lineage(state, batch), batch.bookmark, plan, audits=batch.audits)
