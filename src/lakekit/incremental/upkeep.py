"""What keeps a table quick to read and small, beside whoever writes it: compaction, expiry, orphans."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

import attrs

from lakekit import logs
from lakekit.commit import Commit
from lakekit.engines.plan import OWN_BRANCH
from lakekit.errors import CommitConflictError, TableError
from lakekit.incremental import cas, changes, retention
from lakekit.names import Identifier, companion, text

if TYPE_CHECKING:
    from lakekit.engines.plan import TableState
    from lakekit.lake import Lake

log = logging.getLogger(__name__)

WRITERS_NEED: Final = timedelta(days=1, hours=1)
"""A file that nothing names may be one that a write under way is about to name: for so long it is left alone. The hour is for clocks that
differ: Spark refuses less than a day."""


@attrs.frozen
class Keeping:
    """What is kept.

    Attributes:
        since: Snapshots older than this expire, unless they are needed.
        least: So many of the newest ones don't.
        orphans: The present, if files that nothing names are looked for. None: they are not.
        level: How loudly a consumer that lags is told of.
    """

    since: datetime
    least: int = 0
    orphans: datetime | None = None
    level: int = logging.WARNING


def keep_up(lake: Lake, table: Identifier, *, now: datetime) -> Commit | None:
    """Compact a table and its rejects, and let their snapshots expire as the table's own properties say. None: it doesn't say."""
    state = lake.engine.load(table)
    if not retention.is_said(state):
        return None
    keeping = Keeping(retention.since(state, now), retention.least(state), level=logging.INFO)
    if (beside := lake.find(companion(table, "rejects"))) is not None:
        tidy(lake, beside, keeping)
    return tidy(lake, state, keeping)


def tidy(lake: Lake, state: TableState, keeping: Keeping) -> Commit:
    """Compact a table, let snapshots expire, and remove what nothing names any more."""
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
        state, snapshots, removed = _expire(lake, state, others, keeping)
        if keeping.orphans is not None:
            removed += lake.engine.sweep(state, min(keeping.since, keeping.orphans - WRITERS_NEED), others)
    return Commit(
        table=state.label,
        committed=bool(landed or snapshots or removed),
        snapshot_id=landed[-1].snapshot if landed else None,
        files=sum(found.files for found in landed),
        bytes=sum(found.size for found in landed),
        snapshots_expired=snapshots,
        files_removed=removed,
        committed_at=datetime.fromtimestamp(landed[-1].committed_at / 1000, UTC) if landed else None,
    )


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


def _expire(lake: Lake, state: TableState, others: Sequence[TableState], keeping: Keeping) -> tuple[TableState, int, int]:
    """Let go what may. Gives the table afterwards, the number of snapshots, and that of files."""
    for _ in range(cas.ATTEMPTS):
        snapshots = _expired(state, others, keeping)
        branches = [
            name
            for name, snapshot in state.references.items()
            if name.startswith(OWN_BRANCH) and _is_before(state, snapshot, keeping.since)
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


def _expired(state: TableState, others: Sequence[TableState], keeping: Keeping) -> list[int]:
    """The snapshots that may go."""
    kept = {snapshot for name, snapshot in state.references.items() if not name.startswith(OWN_BRANCH)}
    line = [found.id for found in state.ancestry()]
    kept |= set(line[: keeping.least])
    for consumer, snapshot in _consumed(state, others):
        if snapshot in line:  # what has changed since is told by all the snapshots after it
            kept |= set(line[: line.index(snapshot) + 1])
            if _is_before(state, snapshot, keeping.since) and snapshot != state.head:
                log.log(
                    keeping.level,
                    "%s: %s has consumed it up to an old snapshot only, which is kept for it, and all after it",
                    state.label,
                    consumer,
                    extra=logs.fields("consumer_lags", table=state.label, consumer=consumer),
                )
    return [snapshot for snapshot in state.snapshots if snapshot not in kept and _is_before(state, snapshot, keeping.since)]


def _consumed(state: TableState, others: Sequence[TableState]) -> Iterator[tuple[str, int]]:
    """The tables of the lake that consume this one, each with the snapshot up to which it did: itself too, by a side."""
    upstream = changes.upstream(state)
    for consumer in (state, *others):
        positions = cas.stored(consumer).positions
        for known in (upstream, f"side:{upstream}"):
            if known in positions and "snapshot" in positions[known].values:
                yield consumer.label, positions[known].values["snapshot"]
