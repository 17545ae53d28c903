"""ingest: append what is new in a source to a bronze table, each row version once."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING

import attrs
import pyarrow as pa

from lakekit import columns as system
from lakekit import logs
from lakekit.batch import Rejects
from lakekit.bookmark import Bookmark, Position, Span, Stored
from lakekit.bronze.arriving import arriving, fresh, overlap_of
from lakekit.bronze.incoming import Incoming, opened
from lakekit.clock import instant_of
from lakekit.commit import Commit, together
from lakekit.engines.arrow import with_constants
from lakekit.engines.plan import Frame, Node, Query, Scan, Stream, TableState
from lakekit.engines.protocol import count
from lakekit.engines.sql import literal
from lakekit.engines.types import arrow_type, ident
from lakekit.errors import ConfigError
from lakekit.incremental import cas, forgotten, rejects, target
from lakekit.lake import require_lake
from lakekit.names import Identifier, TableName
from lakekit.operations import operation, timed
from lakekit.sources.protocol import Overlap, Source, Target

if TYPE_CHECKING:
    from lakekit.engines.protocol import Session
    from lakekit.evolution.policy import Policy
    from lakekit.evolution.rows import Fitted
    from lakekit.lake import Lake

_FILLED = (system.INGESTION_TIMESTAMP, system.WRITE_ID, system.SOURCE, system.OPERATION, system.SOURCE_TIMESTAMP)


@operation
def ingest(
    lake: Lake,
    source: Source,
    *,
    into: TableName,
    on_change: Policy = "evolve",
    now: datetime | None = None,
    dry_run: bool = False,
    max_reject_fraction: float | None = None,
) -> Commit:
    r"""Append what is new in a source to a bronze table: rows and bookmark in one commit.

    Very much is taken in portions, each of them one commit (``Postgres.table(chunk_rows=)``, ``Kafka.topic(max_messages=)``): a first load
    that broke off goes on after the last of them. What comes back are the sums.

    Rows that were read before (the overlap that catches late commits) are recognised by all their columns and left out. The table is
    made at the first run. Running it again without new rows makes no snapshot. What can't be read at all (a message that is no JSON)
    goes to ``<table>__rejects`` first, with its bytes and its position.

    Args:
        lake: Where the table is.
        source: What to read: ``sources.Postgres(…).table(…)``, ``sources.Kafka(…).topic(…)``, ``sources.Files(…)`` …
        into: The bronze table.
        on_change: What a changed source schema does: ``"evolve"`` adds and widens columns, ``"fail"`` raises with the statements to run.
        now: The instant written to ``_ingestion_timestamp``. Default: the clock.
        dry_run: Count, and write nothing.
        max_reject_fraction: Refuse to write when more of the rows can't be read.

    Writes:
        One row per row version of the source: its columns with its types, and ``_ingestion_timestamp``, ``_write_id``, ``_source``,
        ``_operation`` (``upsert``; ``delete`` for a tombstone of Kafka), ``_source_timestamp`` (NULL: the source does not say).

    Raises:
        SourceError: The source can't be reached or broke off; the table is as it was, or as the last whole portion left it.
        SourceConfigError: The source refuses.
        ContractError: A NULL cursor, a topic made anew, too many rejects.
        SchemaError: A column's type conflicts with the table's.
        CommitConflictError: Another run consumed a part of it first.

    >>> import lakekit as lk, tempfile, pathlib
    >>> from lakekit import sources
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> _ = (folder / "a.csv").write_text("id,price\n1,2.5\n")
    >>> lake = lk.connect(folder / "lake")
    >>> lk.ingest(lake, sources.Files(folder / "*.csv", format="csv"), into="bronze.prices").inserted
    1
    """
    return take_all(lake, source, into=into, options=Options(on_change, max_reject_fraction, dry_run=dry_run), now=now)


@attrs.frozen
class Options:
    """How what is new is taken.

    Attributes:
        in_portions: Whether a part of it will do.
        place: The public function that takes it.
        properties: Those of the table, where there is none yet.
    """

    on_change: Policy = "evolve"
    max_reject_fraction: float | None = None
    dry_run: bool = False
    in_portions: bool = False
    place: str = "ingest"
    properties: Mapping[str, str] = attrs.field(factory=dict)

    def __attrs_post_init__(self) -> None:
        limit = self.max_reject_fraction
        if limit is not None and not 0 <= limit <= 1:
            raise ConfigError(f"{self.place}(max_reject_fraction=)", "expected a fraction from 0 to 1", got=str(limit))


def take_all(lake: Lake, source: Source, *, into: TableName, options: Options, now: datetime | None) -> Commit:
    """All that a source holds, in portions."""
    options = attrs.evolve(options, in_portions=not options.dry_run)
    instant = instant_of(now, place=f"{options.place}(now=)")
    commits: list[Commit] = []
    behind = True
    while behind:
        commit, behind = take(lake, source, into=into, options=options, now=instant)
        commits.append(commit)
    return together(commits)


def take(lake: Lake, source: Source, *, into: TableName, options: Options, now: datetime | None = None) -> tuple[Commit, bool]:
    """One increment of a source, and whether the source holds more."""
    began = time.perf_counter()
    with logs.during(options.place):
        commit, behind = _take(lake, source, into=into, options=options, now=now)
    return timed(attrs.evolve(commit, operation=options.place), began), behind


def _take(lake: Lake, source: Source, *, into: TableName, options: Options, now: datetime | None) -> tuple[Commit, bool]:
    place = options.place
    require_lake(lake, place=f"{place}()")
    if not isinstance(source, Source):  # pyright: ignore[reportUnnecessaryIsInstance] -- users are not type-checked
        raise ConfigError(
            f"{place}()", "expected a source", got=type(source).__name__, hint="write shop.table('public.users', cursor='last_updated_at')."
        )
    identifier = lake.identifier(into, place=f"{place}(into=)")
    instant = instant_of(now, place=f"{place}(now=)")
    state = lake.find(identifier)
    stored = cas.stored(state) if state else Stored()
    if state:
        cas.require_bookmark(state)
    start = stored.positions.get(source.upstream)
    there = Target(state.schema if state else None, lambda: _ingested(lake, state), in_portions=options.in_portions)
    with opened(lake, source, start.values if start else None, target=there) as increment, Incoming(increment) as incoming:
        fitted = target.fitted_to(state, incoming.schema, options.on_change, place=place) if state else None
        schema = _bronze_schema(fitted.schema if fitted else incoming.schema)
        if options.dry_run:
            return attrs.evolve(_count(lake, identifier, state, incoming, fitted), lag=increment.lag), increment.behind
        if state is None:
            target.refuse_new_table(lake, identifier, schema, options.on_change, place=place)
        state, added = target.ensure(
            lake, identifier, schema, layer="bronze", on_change=options.on_change, place=place, properties=options.properties
        )
        done = _append(lake, identifier, state, source.upstream, incoming, fitted, stored, instant, options.max_reject_fraction)
        increment.acknowledge()
    return attrs.evolve(done, columns_added=added, lag=increment.lag), increment.behind


def _append(
    lake: Lake,
    into: Identifier,
    state: TableState,
    upstream: str,
    incoming: Incoming,
    fitted: Fitted | None,
    stored: Stored,
    instant: datetime,
    limit: float | None,
) -> Commit:
    start = stored.positions.get(upstream)
    at = (start.at if start else 0) + 1
    reading = Bookmark({upstream: Span(start, Position(at))}, epoch=stored.epoch)
    write_id = reading.write_id(state.label)
    with lake.engine.session() as session:
        began = time.perf_counter()
        # Once a bookmark was set back, anything that comes may be there.
        known = overlap_of(incoming, fitted)
        overlap = known if known and known.filling else Overlap(None, None) if stored.epoch else known
        arrived = arriving(session, state, incoming, fitted)
        rows = forgotten.left_out(lake, state, fresh(session, state, arrived, overlap), arrived.schema, place="ingest")
        prepared = session.append(state, _stamped(rows, arrived.schema, write_id, instant))
        seconds = {"read": time.perf_counter() - began}
        landed = False
        try:
            details = incoming.details() or {}
            bad = [incoming.bad_rows()] if incoming.rejected else []
            gathered = [_gathered(session, into, upstream, one, instant) for one in (*bad, *arrived.bad)]
            figures = incoming.figures(state.label, inserted=prepared.rows, unfit=rejects.total(session, gathered[len(bad) :]))
            rejects.refuse_too_many(figures.rejected, figures.read, limit, into=into)
            for one in gathered:
                rejects.write(lake, session, into, one, reading)
            if prepared.rows == 0 and start is not None and details == start.values:
                cas.heal(lake.engine, state)
                return attrs.evolve(figures, seconds=seconds)
            bookmark = Bookmark({upstream: Span(start, Position.of(at, details))}, epoch=stored.epoch)
            planned = cas.Planned(figures, (lambda: prepared) if prepared.rows else None)
            commit = cas.write(lake.engine, into, state, bookmark, _as_planned(planned), seconds=seconds)
            landed = commit.committed
            return commit
        finally:
            if not landed:
                prepared.discard()


def _gathered(session: Session, into: Identifier, upstream: str, rows: Node, instant: datetime) -> Frame:
    """Bad rows, as rows of the rejects table."""
    stamp = f"CAST({literal(instant.isoformat())} AS TIMESTAMP) AS {system.INGESTION_TIMESTAMP}"
    return rejects.gather(session, into, Rejects(Query(f"SELECT *, {stamp} FROM rows", {"rows": rows}), rows, upstream))


def _as_planned(planned: cas.Planned) -> cas.Plan:
    """The rows came once and are written already, so there is nothing to plan anew."""

    def plan(state: TableState, write_id: int) -> cas.Planned:  # noqa: ARG001 -- named by the protocol
        return planned

    return plan


def _ingested(lake: Lake, state: TableState | None) -> set[str]:
    """The distinct ``_source`` values that stand in the table."""
    if state is None or state.head is None:
        return set()
    with lake.engine.session() as session:
        found = Query(f"SELECT DISTINCT `{system.SOURCE}` AS s FROM rows", {"rows": Scan(state, state.head)})
        return {row["s"] for batch in session.rows(found) for row in batch.to_pylist()}


def _bronze_schema(schema: pa.Schema) -> pa.Schema:
    system.refuse_reserved([name for name in schema.names if name not in _provided(schema)], place="ingest()")
    given = [name for name in schema.names if system.is_system(name) and name in system.BY_NAME and name not in _FILLED]
    return target.schema_for(pa.schema([field for field in schema if field.name not in _provided(schema)]), [*_FILLED, *given])


def _provided(schema: pa.Schema) -> set[str]:
    """System columns that the source gives itself."""
    allowed = {column.name for column in system.SYSTEM_COLUMNS if "bronze" in column.stored_in} - {
        system.WRITE_ID,
        system.INGESTION_TIMESTAMP,
    }
    return {name for name in schema.names if name in allowed}


def _stamped(rows: Node, schema: pa.Schema, write_id: int, instant: datetime) -> Node:
    """The rows with the system columns that the source does not give."""
    values = {
        system.INGESTION_TIMESTAMP: instant,
        system.WRITE_ID: write_id,
        system.SOURCE: None,
        system.OPERATION: system.UPSERT,
        system.SOURCE_TIMESTAMP: None,
    }
    added = {name: (value, system.BY_NAME[name].type) for name, value in values.items() if name not in schema.names}
    fields = [pa.field(name, arrow_type(kind)) for name, (_, kind) in added.items()]
    if isinstance(rows, Stream):  # nothing is left to compute, so they need not pass through the engine
        scalars = {field.name: pa.scalar(added[field.name][0], field.type) for field in fields}
        return Stream(pa.schema([*rows.schema, *fields]), (with_constants(batch, scalars) for batch in rows.batches))
    words = {name: literal(value.isoformat() if isinstance(value, datetime) else value) for name, (value, _) in added.items()}
    columns = ", ".join(f"CAST({words[name]} AS {kind}) AS {ident(name)}" for name, (_, kind) in added.items())
    held = pa.schema([*rows.schema, *fields]) if isinstance(rows, Frame) else None
    return Query(f"SELECT *, {columns} FROM rows", {"rows": rows}, schema=held)


def _count(lake: Lake, into: Identifier, state: TableState | None, incoming: Incoming, fitted: Fitted | None) -> Commit:
    """What the run would do."""
    label = ".".join(into)
    if state is None:
        incoming.drain()
        return incoming.figures(label, inserted=incoming.rows - incoming.rejected - incoming.skipped)
    with lake.engine.session() as session:
        arrived = arriving(session, state, incoming, fitted)
        known = pa.schema([field for field in arrived.schema if field.name in state.schema.names])
        rows = Query(f"SELECT {', '.join(map(ident, known.names))} FROM rows", {"rows": arrived.rows})
        new = fresh(session, state, attrs.evolve(arrived, rows=rows, schema=known), overlap_of(incoming, fitted))
        return incoming.figures(label, inserted=count(session, new), unfit=sum(count(session, bad) for bad in arrived.bad))
