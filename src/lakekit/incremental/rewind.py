"""rewind: set back how far a table has consumed an upstream, so that the next run reads from there again."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import attrs

from lakekit.bookmark import Position, Stored
from lakekit.commit import Commit
from lakekit.engines.plan import TableState
from lakekit.errors import ConfigError, TableNotFoundError
from lakekit.incremental import cas, changes
from lakekit.incremental.read import snapshot_at
from lakekit.lake import Lake
from lakekit.names import TableName
from lakekit.operations import operation
from lakekit.sources.protocol import Source


@operation
def rewind(lake: Lake, *, into: TableName, upstream: TableName | Source, to: int | datetime | str | Mapping[str, object] | None) -> Commit:
    """Set back (or forth) how far a table has consumed one of its upstreams. The rows stay; the next run reads from there again.

    A keyed write takes what it has seen before as unchanged. Where the same row means something else now, since the pipeline's rules are
    others, the new meaning counts. A batch that was read before the rewind is not written any more.

    Args:
        lake: Where the table is.
        into: The table whose bookmark is moved.
        upstream: A table of the lake, a source, or the upstream's name as `status` shows it.
        to: None: to the beginning. For a table: a snapshot id, an instant, a tag or a branch. For a source: the details of a position.

    Writes:
        An empty snapshot with the new bookmark, of the next epoch.

    Raises:
        TableNotFoundError: There is no such table.
        ConfigError: The table never consumed such an upstream, or there is no such snapshot.

    >>> import lakekit as lk, tempfile
    >>> lake = lk.connect(tempfile.mkdtemp())
    >>> _ = lk.append(lk.from_frame(lake, [{"id": 1}], run_id="a"), into="bronze.things")
    >>> _ = lk.merge(lk.read_new(lake, "bronze.things", into="silver.things"), key="id")
    >>> _ = lk.rewind(lake, into="silver.things", upstream="bronze.things", to=None)
    >>> lk.read_new(lake, "bronze.things", into="silver.things").count()
    1
    """
    state = lake.load(into, place="rewind(into=)")
    known = cas.stored(state).positions
    names, table = _upstreams(lake, upstream, known)
    if not names:
        raise ConfigError(
            f"rewind(upstream=): {state.label}",
            "the table has consumed no such upstream",
            got=repr(upstream),
            hint=f"it has consumed: {', '.join(sorted(known)) or 'nothing'}.",
        )

    def move(stored: Stored) -> Stored:
        positions = dict(stored.positions)
        for name in names:
            position = _position(lake, table, to, at=positions[name].at)
            if position is None:
                del positions[name]
            else:
                positions[name] = position
        return attrs.evolve(stored, positions=positions, epoch=stored.epoch + 1)

    return cas.move(lake.engine, state, move)


def _upstreams(lake: Lake, upstream: TableName | Source, known: Mapping[str, Position]) -> tuple[list[str], TableState | None]:
    """The names under which the bookmark knows an upstream, and its table where it is one."""
    if isinstance(upstream, Source):
        return [name for name in (upstream.upstream,) if name in known], None
    if isinstance(upstream, str) and upstream in known:
        return [upstream], None
    try:
        table = lake.load(upstream, place="rewind(upstream=)")
    except (TableNotFoundError, ConfigError):
        return [], None
    name = changes.upstream(table)
    return [found for found in (name, f"side:{name}") if found in known], table


def _position(lake: Lake, table: TableState | None, to: int | datetime | str | Mapping[str, object] | None, *, at: int) -> Position | None:
    if to is None:
        return None
    if isinstance(to, Mapping):
        return Position.of(at, to)
    if table is None:
        raise ConfigError(
            "rewind(to=)",
            "expected None or the details of a position",
            got=type(to).__name__,
            hint="status() shows the details stored now.",
        )
    snapshot = snapshot_at(lake, table, to, place=f"rewind(to=): {table.label}")
    return Position.of(table.snapshots[snapshot].sequence, {"snapshot": snapshot})
