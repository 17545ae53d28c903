"""Where a read of a table starts, which rows of it are read now, and the position after them."""

from __future__ import annotations

import logging
from datetime import datetime
from typing import TYPE_CHECKING

import attrs

from lakekit import logs
from lakekit.errors import ConfigError
from lakekit.sources import postgres_chunks, postgres_read, postgres_watermark
from lakekit.sources.postgres_chunks import Chunk
from lakekit.sources.postgres_watermark import Load, Mark
from lakekit.sources.protocol import Details, Overlap

if TYPE_CHECKING:
    from lakekit.sources.postgres import PostgresTable
    from lakekit.sources.postgres_session import Relation, Session
    from lakekit.sources.postgres_watermark import Activity, CursorType, Value

logger = logging.getLogger(__name__)


@attrs.frozen
class Start:
    """Where a read of a table starts, and what was known just before its snapshot.

    Attributes:
        table: What is read.
        relation: The table as it was found.
        before: How far it was read.
        kind: What its cursor is.
        low: The rows from this cursor on are read. None: all.
        first: Whether nothing was read before, or only the first chunks.
        top: For integers: the largest cursor before the activity was looked at.
        activity: What the server was doing.
    """

    table: PostgresTable
    relation: Relation
    before: Mark
    kind: CursorType | None
    low: Value | None
    first: bool
    top: int | None
    activity: Activity

    @property
    def overlap(self) -> Overlap | None:
        """What of a read may stand in the target already. None: nothing was read before."""
        if self.first:
            return None
        cursor = self.table.cursor
        low = postgres_watermark.least_uuid(self.low) if self.kind == "uuid7" and isinstance(self.low, datetime) else self.low
        return Overlap(cursor, low, nulls=cursor is not None and self.table.on_null_cursor == "include")

    def chunks(self, session: Session, *, in_portions: bool) -> list[Chunk]:
        """The ranges to read now, in the snapshot of the session: one for each reader."""
        rest = self._rest(session, in_portions=in_portions)
        if rest.upto is None or not in_portions:
            return [rest]
        return postgres_chunks.cut(session, self, rest, rows=self.table.chunk_rows, parts=self.table.readers)

    def _rest(self, session: Session, *, in_portions: bool) -> Chunk:
        """What is left of the first load. A range without an end: it is no load in chunks, everything is read."""
        load = self.before.load
        by = load.by if load else ()
        if load is None and self.first and in_portions:
            by = postgres_chunks.order(session, self.table, self.relation)
        if not by:
            return Chunk()
        whole = Chunk(by, nulls=by[0] == self.table.cursor and self.table.on_null_cursor == "include")
        if load is None:
            end = postgres_chunks.end(session, self, whole)
            return Chunk() if end is None else attrs.evolve(whole, upto=end, end=end)
        return attrs.evolve(whole, after=load.after, upto=load.end, end=load.end)

    def rows(self, chunk: Chunk) -> str:
        """FROM and WHERE of the rows of a range."""
        return postgres_read.rows_from(self.table, kind=self.kind, low=self.low, chunk=chunk)

    def after(self, seen: Value | None, chunk: Chunk) -> Details:
        """The position after the rows up to the end of a range, from the largest cursor among them."""
        load = self.before.load
        top, activity = (load.top, load.activity) if load else (self.top, self.activity)
        if chunk.upto is not None and chunk.end is not None and chunk.more:
            return self.before.loading(seen, Load(chunk.by, chunk.upto, chunk.end, activity, top)).to_details()
        table = self.table
        return postgres_watermark.advance(
            attrs.evolve(self.before, load=None),
            seen=seen,
            top=top,
            activity=activity,
            time_zone=table.time_zone,
            until=table.until,
            lookback=table.lookback,
        ).to_details()


def find(table: PostgresTable, session: Session, position: Details | None) -> Start:
    """Where a read starts; asked outside of a transaction, before its snapshot is taken."""
    relation = session.relation(table.name)
    found = session.columns(relation)
    kind = postgres_read.cursor_type(table, postgres_read.choose(table, found))
    top = postgres_read.top(session, table) if kind == "integer" else None
    activity = session.activity()  # before the snapshot
    if kind is not None and activity.doubt:
        logger.warning("%s: %s.", table.place, activity.doubt, extra=logs.fields("transactions_hidden", source=table.place))
    required = {column.name for column in found if column.required}
    if optional := [name for name in table.order[1:] if name not in required]:
        raise ConfigError(
            f"{table.place}, cursor=", "expected the further columns to be NOT NULL", got=repr(optional[0]), hint="leave it out."
        )
    before = _mark(table, position, relation, kind, {column.name for column in found})
    low = postgres_watermark.start(before.low, table.lookback, until=table.until)
    first = position is None or before.load is not None
    return Start(table, relation, before, kind, low=low, first=first, top=top, activity=activity)


def _mark(table: PostgresTable, position: Details | None, relation: Relation, kind: CursorType | None, columns: set[str]) -> Mark:
    """Where this read starts: the position, or the beginning where the position is that of something else."""
    fresh = Mark(cursor=table.cursor, type=kind, system=relation.system)
    if position is None:
        return fresh
    known = Mark.from_details(position)
    problem = ""
    if known.system is not None and relation.system is not None and known.system != relation.system:
        problem = "this is another server or database than the one read before; if both are meant, tell them apart with Postgres(name=)"
    elif (known.cursor, known.type) != (table.cursor, kind):
        problem = f"the cursor was {known.cursor} ({known.type})"
    elif known.load is not None and not columns.issuperset(known.load.by):
        problem = f"it was read in the order of {', '.join(known.load.by)}, which it no longer has"
    if problem:
        logger.warning(
            "%s: %s. Everything is read again; a merge leaves alone what it holds already.",
            table.place,
            problem,
            extra=logs.fields("source_restarted", source=table.place),
        )
        return fresh
    return known if known.system is not None else attrs.evolve(known, system=relation.system)
