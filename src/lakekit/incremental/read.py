"""read, read_new and from_frame: where batches come from."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import attrs
import pyarrow as pa

from lakekit import columns as system
from lakekit.batch import Batch
from lakekit.bookmark import WAITING, Bookmark, Position, Span, Stored
from lakekit.clock import instant_of
from lakekit.commit import Commit, from_snapshot
from lakekit.engines.plan import Node, Query, Scan, TableState
from lakekit.engines.types import arrow_type
from lakekit.errors import ConfigError
from lakekit.incremental import cas, change_log, changes, contract
from lakekit.lake import Lake, require_lake
from lakekit.lineage import Lineage
from lakekit.names import Identifier, TableName


def read(lake: Lake, table: TableName, *, as_of: int | datetime | str | None = None, deleted: bool = False) -> Batch:
    """The rows of a table, as it stands or stood. Nothing is tracked: such a batch can be a side relation, or be merged by key.

    Args:
        lake: Where the table is.
        table: Its name.
        as_of: A snapshot id, an instant (the last snapshot at or before it), or the name of a tag or branch. Default: now.
        deleted: Whether soft-deleted rows are read too.

    Raises:
        TableNotFoundError: There is no such table.
        ConfigError: There is no such snapshot, tag or branch, or the table did not exist at that instant.

    >>> import lakekit as lk, tempfile
    >>> lake = lk.connect(tempfile.mkdtemp())
    >>> _ = lk.append(lk.from_frame(lake, [{"id": 1}], run_id="a"), into="bronze.things")
    >>> lk.read(lake, "bronze.things").to_arrow().column("id").to_pylist()
    [1]
    """
    require_lake(lake, place="read()")
    state = lake.load(table, place="read()")
    rows = Scan(state, state.head if as_of is None else snapshot_at(lake, state, as_of, place=f"read(as_of=): {state.label}"))
    if deleted or system.DELETED_AT not in state.schema.names:
        return Batch(lake, rows, key=contract.key(state))
    return Batch(lake, Query(f"SELECT * FROM stored WHERE `{system.DELETED_AT}` IS NULL", {"stored": rows}), key=contract.key(state))


def snapshot_at(lake: Lake, state: TableState, as_of: int | datetime | str, *, place: str) -> int:
    """The snapshot that an id, an instant, a tag or a branch means.

    Raises:
        ConfigError: There is none.
    """
    if isinstance(as_of, datetime):
        instant = as_of if as_of.tzinfo else as_of.replace(tzinfo=ZoneInfo(lake.time_zone))
        milliseconds = instant.astimezone(UTC).timestamp() * 1000
        found = next((snapshot.id for snapshot in state.ancestry() if snapshot.committed_at <= milliseconds), None)
        if found is None:
            raise ConfigError(
                place, "the table had no snapshot yet, or it has expired", got=instant.isoformat(), hint="history() lists them."
            )
        return found
    if isinstance(as_of, str):
        found = state.references.get(as_of)
        if found is None:
            raise ConfigError(place, "there is no such tag or branch", got=repr(as_of))
        return found
    if as_of not in state.snapshots:
        raise ConfigError(place, "there is no such snapshot, or it has expired", got=str(as_of), hint="history() lists them.")
    return as_of


def read_new(lake: Lake, table: TableName, *, into: TableName) -> Batch:
    """The rows of a table that another one has not consumed: appended rows, or changed rows of a merged table, deletes included.

    Both ends are fixed now, so computing the batch twice gives the same rows. The bookmark moves when, and only when, the batch is
    written to ``into``.

    The changes of a change log (`sources.Debezium`) come whole: a value that did not come with a change, since it had not changed, is
    the one that the row had before, and a truncate is a delete of each row.

    Args:
        lake: Where both tables are.
        table: The table to read, the upstream.
        into: The table that consumes it. It need not exist yet.

    Writes:
        The upstream's columns; ``_operation`` says ``upsert`` or ``delete``.

    Raises:
        TableNotFoundError: There is no such upstream.
        BookmarkLostError: The upstream was rolled back behind what was consumed of it.

    >>> import lakekit as lk, tempfile
    >>> lake = lk.connect(tempfile.mkdtemp())
    >>> _ = lk.append(lk.from_frame(lake, [{"id": 1}], run_id="a"), into="bronze.things")
    >>> _ = lk.merge(lk.read_new(lake, "bronze.things", into="silver.things"), key="id")
    >>> lk.read_new(lake, "bronze.things", into="silver.things").count()
    0
    """
    reading = consume(lake, table, into, place="read_new")
    lineage = {changes.upstream(reading.state): Lineage()}
    return Batch(lake, reading.node, bookmark=reading.bookmark, into=reading.into, key=contract.key(reading.state), lineage=lineage)


@attrs.frozen(eq=False)
class Reading:
    """What a table has not consumed of an upstream: the changed rows, from where on, and the bookmark that says so."""

    state: TableState
    into: Identifier
    node: Node
    start: Position | None
    bookmark: Bookmark


def consume(lake: Lake, table: TableName, into: TableName, *, place: str) -> Reading:
    """What ``into`` has not consumed of a table."""
    require_lake(lake, place=f"{place}()")
    target = lake.identifier(into, place=f"{place}(into=)")
    state = lake.load(table, place=f"{place}()")
    if state.name == target:
        raise ConfigError(f"{place}(into=)", "a table can't consume itself", got=repr(state.label))
    consumer = lake.find(target)
    stored = cas.stored(consumer) if consumer else Stored()
    name = changes.upstream(state)
    start = stored.positions.get(name)
    found = changes.since(state, start)
    end, node = found.end, changes.with_buried(lake, state, found.node) if found.superset else found.node
    if end is not None and change_log.is_change_log(state):
        changed = change_log.whole(lake, state, node, start)
        end, node = Position.of(end.at, {**end.values, WAITING: changed.waiting.to_dict()}), changed.node
    spans = {} if end is None else {name: Span(start, end)}
    return Reading(state, target, node, start, Bookmark(spans, epoch=stored.epoch, superset=found.superset))


def from_frame(lake: Lake, frame: object, *, run_id: str, now: datetime | None = None) -> Batch:
    """A batch of your own rows: an Arrow, pandas, Polars or DuckDB frame, or a list of dictionaries.

    The frame is evaluated once, now.

    Args:
        lake: Where it is to be written.
        frame: The rows.
        run_id: The name of this run. Writing the same run again is a no-op, whatever the rows: a retry after a crash can't double them.
        now: The instant written to ``_ingestion_timestamp``. Default: the clock.

    Raises:
        ConfigError: Something else than a frame, or no run id.
        SchemaError: A column bears a name that lakekit keeps for itself.

    >>> import lakekit as lk, tempfile
    >>> lake = lk.connect(tempfile.mkdtemp())
    >>> lk.from_frame(lake, [{"id": 1, "name": "Ada"}], run_id="2026-01-01").business_columns
    ['id', 'name']
    """
    require_lake(lake, place="from_frame()")
    if not isinstance(run_id, str) or not run_id:  # pyright: ignore[reportUnnecessaryIsInstance] -- users are not type-checked
        raise ConfigError(
            "from_frame(run_id=)",
            "expected the run's name",
            got=repr(run_id),
            hint='write run_id="2026-01-01T05:00" or the orchestrator\'s run id.',
        )
    rows = lake.engine.frame(frame)
    if not rows.schema.names:
        raise ConfigError("from_frame()", "expected a frame with columns", got="none", hint="give one of no rows its schema.")
    business = [
        name
        for name in rows.schema.names
        if name not in {system.OPERATION, system.SOURCE, system.SOURCE_TIMESTAMP, system.INGESTION_TIMESTAMP}
    ]
    system.refuse_reserved(business, place="from_frame()")
    instant = instant_of(now, place="from_frame(now=)")
    filled = {
        system.INGESTION_TIMESTAMP: f"CAST('{instant.isoformat()}' AS TIMESTAMP)",
        system.SOURCE: "CAST(NULL AS STRING)",
        system.OPERATION: f"'{system.UPSERT}'",
        system.SOURCE_TIMESTAMP: "CAST(NULL AS TIMESTAMP)",
    }
    added = [name for name in filled if name not in rows.schema.names]
    items = ", ".join(["*", *(f"{filled[name]} AS `{name}`" for name in added)])
    schema = pa.schema([*rows.schema, *(pa.field(name, arrow_type(system.BY_NAME[name].type)) for name in added)])
    node = Query(f"SELECT {items} FROM frame", {"frame": rows}, schema=schema)
    return Batch(lake, node, bookmark=Bookmark(run_id=run_id), untyped=rows.untyped)


def history(lake: Lake, table: TableName) -> list[Commit]:
    """What was written to a table, newest first: one `Commit` for each snapshot that has not expired.

    Raises:
        TableNotFoundError: There is no such table.

    >>> import lakekit as lk, tempfile
    >>> lake = lk.connect(tempfile.mkdtemp())
    >>> _ = lk.append(lk.from_frame(lake, [{"id": 1}], run_id="a"), into="bronze.things")
    >>> lk.history(lake, "bronze.things")[0].inserted
    1
    """
    state = lake.load(table, place="history()")
    return [from_snapshot(state.label, snapshot) for snapshot in state.ancestry()]
