"""maintain: keep a table quick to read and small on disk, beside whoever writes it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import attrs

from lakekit.clock import instant_of
from lakekit.commit import Commit
from lakekit.errors import ConfigError
from lakekit.gold import scd2_memory
from lakekit.incremental import contract, horizon, retention
from lakekit.incremental.upkeep import Keeping, tidy
from lakekit.names import TableName
from lakekit.operations import operation

if TYPE_CHECKING:
    from lakekit.lake import Lake


@operation
def maintain(
    lake: Lake,
    table: TableName,
    *,
    older_than: datetime | timedelta | None = None,
    lateness: timedelta | None = None,
    now: datetime | None = None,
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
        older_than: An instant, or how long ago: ``timedelta(days=7)``. Time travel reaches back as far. Default: what the table's properties
            ``history.expire.max-snapshot-age-ms`` and ``history.expire.min-snapshots-to-keep`` say; Iceberg's default is five days.
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
    given = None if older_than is None else _since(lake, older_than, instant)
    state = lake.load(table, place="maintain(table=)")
    least = retention.least(state) if given is None else 0
    keeping = Keeping(given or retention.since(state, instant), least, orphans=instant)
    forget = horizon.forget if contract.scd2(state) is None else scd2_memory.forget
    forgotten = 0 if lateness is None else forget(lake, state, instant - lateness)
    if lateness is not None:
        state = lake.engine.load(state.name)
    done = tidy(lake, state, keeping)
    return attrs.evolve(done, committed=done.committed or bool(forgotten), deleted=forgotten)


def _since(lake: Lake, older_than: datetime | timedelta, now: datetime) -> datetime:
    given = now - older_than if isinstance(older_than, timedelta) else older_than
    since = (given if given.tzinfo else given.replace(tzinfo=ZoneInfo(lake.time_zone))).astimezone(UTC)
    if since > now:
        raise ConfigError("maintain(older_than=)", "expected an instant in the past, or how long ago", got=str(older_than))
    return since
