"""maintain: keep a table quick to read and small on disk, beside whoever writes it."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo

from lakekit import logs
from lakekit.clock import instant_of
from lakekit.commit import Commit
from lakekit.engines.plan import OWN_BRANCH
from lakekit.errors import CommitConflictError, ConfigError, TableError
from lakekit.gold import scd2_memory
from lakekit.incremental import cas, changes, contract, horizon
from lakekit.names import TableName, text
from lakekit.operations import operation

if TYPE_CHECKING:
    from lakekit.engines.plan import TableState
    from lakekit.lake import Lake

log = logging.getLogger(__name__)

WRITERS_NEED: Final = timedelta(days=1, hours=1)
"""A file that nothing names may be one that a write under way is about to name: for so long it is left alone. The hour is for clocks that
differ: Spark refuses less than a day."""


@operation
def maintain(
    lake: Lake, table: TableName, *, older_than: datetime | timedelta, lateness: timedelta | None = None, now: datetime | None = None
) -> Commit:
    """Compact a table, let old snapshots expire, and remove the files that nothing names any more.

    1. Small files (five or more in a partition) and files of which position deletes name rows are written anew, as files of the table's
       ``write.target-file-size-bytes``, in its sort order; small manifests become one. No row changes, and no consumer sees a change.
    2. Snapshots older than ``older_than`` expire, and the files that only they named are removed. Kept are the current one, those that
       tags and branches name, and all since the oldest that a table of the lake has consumed: a consumer that lags is warned of.
    3. Files in the table's folders that nothing names are removed: what crashed writes left, once older than ``older_than`` and than a day.

    While a table of the lake can't be read, nobody can tell what it needs: then a warning names it, and only step 1 is done.

    Others may write meanwhile: what they change isn't compacted, and they lose nothing. Memory is bounded by the file, not by the table.

    Args:
        lake: Where the table is.
        table: The table.
        older_than: An instant, or how long ago: ``timedelta(days=7)``. Time travel reaches back as far.
        lateness: How late rows come at most. Keys of hard deletes in ``<table>__deleted`` are forgotten once they are older; from then on a row
            as old that isn't stored is rejected (``too_late``), since nobody can tell whether it was deleted. A dimension forgets old deletes that
            ended nothing and events that changed nothing; an event as old that says something else is rejected. Default: nothing is forgotten.
        now: The present, for tests. Default: the clock's.

    Returns:
        A Commit with ``files`` and ``bytes`` written, ``snapshots_expired``, ``files_removed``, and ``deleted``: the deletes and events forgotten.

    Raises:
        TableNotFoundError: There is no such table.
        TableError: It is of a format that the engine can't write.
        ConfigError: A naive ``now``, an ``older_than`` in the future, or ``lateness`` for a table whose rows aren't ordered by time.
        CommitConflictError: The table never stood still.

    >>> import lakekit as lk, tempfile
    >>> from datetime import timedelta
    >>> lake = lk.connect(tempfile.mkdtemp())
    >>> for run in "abcde":
    ...     commit = lk.append(lk.from_frame(lake, [{"id": 1}], run_id=run), into="bronze.things")
    >>> commit = lk.maintain(lake, "bronze.things", older_than=timedelta(0))
    >>> commit.files, commit.snapshots_expired, lk.read(lake, "bronze.things").count()
    (1, 5, 5)
    """
    instant = instant_of(now, place="maintain(now=)")
    since = _since(lake, older_than, instant)
    state = lake.load(table, place="maintain(table=)")
    forget = horizon.forget if contract.scd2(state) is None else scd2_memory.forget
    forgotten = 0 if lateness is None else forget(lake, state, instant - lateness)
    if lateness is not None:
        state = lake.engine.load(state.name)
    landed = lake.engine.compact(state, cas.unmoved)
    if landed:
        state = lake.engine.load(state.name)
    others, broken = _others(lake, state)
    snapshots = removed = 0
    if broken:
        log.warning(
            "%s: what nobody needs can't be told, so nothing is removed; can't be read: %s",
            state.label,
            ", ".join(broken),
            extra=logs.fields("nothing_removed", table=state.label, tables=broken),
        )
    else:
        state, snapshots, removed = _expire(lake, state, others, since)
        removed += lake.engine.sweep(state, min(since, instant - WRITERS_NEED), others)
    return Commit(
        table=state.label,
        committed=bool(landed or snapshots or removed or forgotten),
        deleted=forgotten,
        snapshot_id=landed[-1].snapshot if landed else None,
        files=sum(found.files for found in landed),
        bytes=sum(found.size for found in landed),
        snapshots_expired=snapshots,
        files_removed=removed,
        committed_at=datetime.fromtimestamp(landed[-1].committed_at / 1000, UTC) if landed else None,
    )


def _since(lake: Lake, older_than: datetime | timedelta, now: datetime) -> datetime:
    given = now - older_than if isinstance(older_than, timedelta) else older_than
    since = (given if given.tzinfo else given.replace(tzinfo=ZoneInfo(lake.time_zone))).astimezone(UTC)
    if since > now:
        raise ConfigError("maintain(older_than=)", "expected an instant in the past, or how long ago", got=str(older_than))
    return since


def _is_before(state: TableState, snapshot: int, since: datetime) -> bool:
    found = state.snapshots.get(snapshot)
    return found is not None and found.committed_at < since.timestamp() * 1000


def _others(lake: Lake, state: TableState) -> tuple[list[TableState], list[str]]:
    """The other tables of the lake as they stand now, and the names of those that can't be read."""
    found: list[TableState] = []
    broken: list[str] = []
    for name in lake.engine.tables():
        try:
            other = None if name == state.name else lake.find(name)
        except TableError:
            broken.append(text(name))
            continue
        found += [] if other is None else [other]
    return found, broken


def _expire(lake: Lake, state: TableState, others: Sequence[TableState], since: datetime) -> tuple[TableState, int, int]:
    """Let go what may. Gives the table afterwards, the number of snapshots, and that of files."""
    for _ in range(cas.ATTEMPTS):
        snapshots = _expired(state, others, since)
        branches = [
            name for name, snapshot in state.references.items() if name.startswith(OWN_BRANCH) and _is_before(state, snapshot, since)
        ]
        if not snapshots and not branches:
            return state, 0, 0
        try:
            removed = lake.engine.expire(state, snapshots, branches)
        except CommitConflictError:
            state = lake.engine.load(state.name)
            continue
        return lake.engine.load(state.name), len(snapshots), removed
    raise CommitConflictError(state.label, "the table never stood still", got=f"{cas.ATTEMPTS} attempts", hint="run it again.")


def _expired(state: TableState, others: Sequence[TableState], since: datetime) -> list[int]:
    """The snapshots that may go."""
    kept = {snapshot for name, snapshot in state.references.items() if not name.startswith(OWN_BRANCH)}
    line = [found.id for found in state.ancestry()]
    for consumer, snapshot in _consumed(state, others):
        if snapshot in line:  # what has changed since is told by all the snapshots after it
            kept |= set(line[: line.index(snapshot) + 1])
            if _is_before(state, snapshot, since) and snapshot != state.head:
                log.warning(
                    "%s: %s has consumed it up to an old snapshot only, which is kept for it, and all after it",
                    state.label,
                    consumer,
                    extra=logs.fields("consumer_lags", table=state.label, consumer=consumer),
                )
    return [snapshot for snapshot in state.snapshots if snapshot not in kept and _is_before(state, snapshot, since)]


def _consumed(state: TableState, others: Sequence[TableState]) -> Iterator[tuple[str, int]]:
    """The tables of the lake that consume this one, each with the snapshot up to which it did: itself too, by a side."""
    upstream = changes.upstream(state)
    for consumer in (state, *others):
        positions = cas.stored(consumer).positions
        for known in (upstream, f"side:{upstream}"):
            if known in positions and "snapshot" in positions[known].values:
                yield consumer.label, positions[known].values["snapshot"]
