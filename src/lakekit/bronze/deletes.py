"""ingest_deletes: deletes without change capture, by comparing keys."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING

import attrs
import pyarrow as pa

from lakekit import columns as system
from lakekit import progress
from lakekit.bookmark import Bookmark, Position, Span
from lakekit.clock import instant_of
from lakekit.commit import Commit
from lakekit.deletes import Deletes
from lakekit.engines import sql
from lakekit.engines.plan import Frame, Node, Query, Scan, Stream, TableState
from lakekit.engines.protocol import count, table
from lakekit.engines.sql import literal
from lakekit.engines.types import ident, sql_type
from lakekit.errors import ConfigError, GuardError
from lakekit.incremental import cas
from lakekit.incremental.order import nth, order_columns
from lakekit.incremental.target import require_columns
from lakekit.names import TableName
from lakekit.operations import operation
from lakekit.sources.protocol import KeyRead, Source

if TYPE_CHECKING:
    from lakekit.engines.protocol import Session
    from lakekit.lake import Lake


@operation
def ingest_deletes(
    lake: Lake,
    source: Source,
    *,
    into: TableName,
    deletes: Deletes = Deletes(),
    now: datetime | None = None,
    dry_run: bool = False,
) -> Commit:
    """Append a ``delete`` row for each key that lives in a bronze table and no longer in its source.

    Only keys are read from the source, and they are compared with those of the table in bounded memory. The delete carries the last seen row
    in full, and is ordered by the instant of the key read on the source's clock; a key that is seen again later lives again.

    Args:
        lake: Where the table is.
        source: The source that the table was ingested from.
        into: The bronze table.
        deletes: The guard: ``scope`` limits which rows can be found missing (an SQL condition that source and lake both understand; only
            PostgreSQL has one), ``max_fraction`` refuses a mass delete, ``force`` allows it.
        now: The instant written to ``_ingestion_timestamp``. Default: the clock.
        dry_run: Count, and write nothing.

    Writes:
        Rows with ``_operation = 'delete'`` and ``_source_timestamp`` = the instant of the key read. Where the source gives its rows no instant,
        the delete has none either, and both are ordered by when they were read. A deleted key that is found living gets its row again, as an
        ``upsert`` (``inserted``): one that came back as it was is no news to `ingest`.

    Raises:
        GuardError: The source came up empty, or more than ``max_fraction`` of the live rows would be deleted.
        ConfigError: The source has no primary key.
        TableNotFoundError: There is no such table.
        SourceError: The source can't be reached or broke off.

    >>> Deletes(max_fraction=0.2).max_fraction
    0.2
    """
    state = lake.load(into, place="ingest_deletes(into=)")
    keys = source.primary_key()
    if not keys:
        raise ConfigError(f"ingest_deletes(): {source.upstream}", "the source has no primary key", hint="give primary_key= to the source.")
    require_columns(state.schema.names, keys, place="ingest_deletes()")
    upstream = f"{source.upstream}#deletes"
    stored = cas.stored(state)
    start = stored.positions.get(upstream)
    instant = instant_of(now, place="ingest_deletes(now=)")
    # The table was loaded before: what is gone from the source now was there when the table's rows were read.
    with source.keys(scope=deletes.scope) as read, lake.engine.session() as session:
        compared = _Comparison(session, state, keys, deletes.scope, lake.engine.progress)
        present = session.stage(compared.fitted(read.schema, read.batches))
        size = count(session, present)
        dead = compared.dead()
        absent = compared.absent(present, dead, read)
        gone = session.stage(compared.deletes(absent, read.read_at, instant))
        deleted = count(session, gone)
        if deleted and not deletes.force:
            _guard(deletes, state.label, present=size, absent=deleted, live=compared.living(dead))
        again = session.stage(compared.revived(dead, present, read, instant))
        figures = Commit(table=state.label, read=size, deleted=deleted, inserted=count(session, again))
        end = Position.of((start.at if start else 0) + 1, {"read_at": read.read_at.isoformat()})
        bookmark = Bookmark({upstream: Span(start, end)}, epoch=stored.epoch)
        if dry_run or not (figures.deleted or figures.inserted):
            return figures

        def plan(state: TableState, write_id: int) -> cas.Planned:
            words = f"SELECT *, CAST({write_id} AS BIGINT) AS `{system.WRITE_ID}` FROM (SELECT * FROM gone UNION ALL SELECT * FROM again)"
            return cas.Planned(figures, lambda: session.append(state, Query(words, {"gone": gone, "again": again})))

        return cas.write(lake.engine, state.name, state, bookmark, plan)


@attrs.frozen(eq=False)
class _Comparison:
    """The keys of a table against those of its source. Whole rows are read of keys that differ only."""

    session: Session
    state: TableState
    keys: tuple[str, ...]
    scope: str | None
    show: bool | None

    @property
    def _rows(self) -> Scan:
        return Scan(self.state, self.state.head)

    @property
    def _names(self) -> str:
        return ", ".join(map(ident, self.keys))

    @property
    def _order(self) -> tuple[str, ...]:
        return order_columns(self.state.schema.names, None, place="ingest_deletes()")

    def _same(self, one: str, other: str) -> str:
        return " AND ".join(f"{one}.{ident(name)} = {other}.{ident(name)}" for name in self.keys)

    def _within(self) -> str:
        """SQL for the rows that may be found missing: what has no key can't be."""
        parts = [f"{ident(name)} IS NOT NULL" for name in self.keys]
        if self.scope is not None:
            parts.append(f"({sql.expression(self.scope, self.state.schema.names, place='ingest_deletes(deletes.scope)')})")
        return " AND ".join(parts)

    def fitted(self, given: pa.Schema, batches: Iterator[pa.RecordBatch]) -> Node:
        """The source's keys, in the table's types."""
        fields = [self.state.schema.field(name) for name in self.keys]
        schema = given if given.names else pa.schema(fields)  # files that are all gone have no columns either
        items = [
            name if schema.field(field.name).type == field.type else f"CAST({name} AS {sql_type(field.type)}) AS {name}"
            for field in fields
            for name in [ident(field.name)]
        ]
        return Query(
            f"SELECT {', '.join(items)} FROM present",
            {"present": Stream(schema, progress.rows(f"{self.state.label}: keys", batches, show=self.show))},
        )

    def dead(self) -> Frame:
        """The keys whose last row is a delete, with that row's columns. They are looked for among the keys that ever were deleted."""
        deletes = Query(f"SELECT DISTINCT {self._names} FROM rows WHERE `{system.OPERATION}` = '{system.DELETE}'", {"rows": self._rows})
        last = self._last(self.session.stage(deletes))
        return self.session.stage(Query(f"SELECT * FROM last WHERE `{system.OPERATION}` = '{system.DELETE}'", {"last": last}))

    def absent(self, present: Frame, dead: Frame, read: KeyRead) -> Frame:
        """The living keys of the table that the source no longer has."""
        words = (
            f"SELECT DISTINCT {self._names} FROM (SELECT * FROM rows WHERE {self._within()}) r "
            f"LEFT ANTI JOIN present p ON {self._same('r', 'p')} LEFT ANTI JOIN dead d ON {self._same('r', 'd')}"
        )
        found = self.session.stage(Query(words, {"rows": self._rows, "present": present, "dead": dead}, ordered=True))
        if self.scope is None or read.look_up is None or not count(self.session, found):
            return found
        # A row that has left the scope since it was read is not gone.
        there = self.session.stage(self.fitted(*read.look_up(table(self.session, found))))
        return self.session.stage(
            Query(f"SELECT * FROM found f LEFT ANTI JOIN there t ON {self._same('f', 't')}", {"found": found, "there": there})
        )

    def deletes(self, absent: Frame, read_at: datetime, instant: datetime) -> Node:
        """Deletes for these keys: their last rows, if these are in the scope."""
        # A row dated in the future by its application is deleted all the same.
        seen = f"l.`{system.SOURCE_TIMESTAMP}`"
        when = f"CASE WHEN {seen} IS NOT NULL THEN greatest(CAST({literal(read_at.isoformat())} AS TIMESTAMP), {seen}) END"
        return self._written(self._last(absent), system.DELETE, when, instant, where=self._within())

    def revived(self, dead: Frame, present: Frame, read: KeyRead, instant: datetime) -> Node:
        """Rows for deleted keys that the source has: `ingest` doesn't hear of one that came back as it was.

        Where the source gives no instants, the last row will do: what comes later outlasts it. Where it does, the row itself is asked for, and is
        later than the delete.
        """
        there = f"SELECT d.* FROM dead d LEFT SEMI JOIN present p ON {self._same('d', 'p')}"
        back = self.session.stage(Query(there, {"dead": dead, "present": present}))
        seen, no_instant = f"`{system.SOURCE_TIMESTAMP}`", "CAST(NULL AS TIMESTAMP)"
        undated = self._written(back, system.UPSERT, no_instant, instant, where=f"{seen} IS NULL")
        dated = self.session.stage(Query(f"SELECT {self._names}, {seen} AS _seen FROM back WHERE {seen} IS NOT NULL", {"back": back}))
        if read.look_up is None or not count(self.session, dated):
            return undated
        schema, batches = read.look_up(table(self.session, Query(f"SELECT {self._names} FROM dated", {"dated": dated})))
        given = [
            f"CAST({f'r.{ident(field.name)}' if field.name in schema.names else 'NULL'} AS {sql_type(field.type)}) AS {ident(field.name)}"
            for field in self.state.schema
        ]
        rows = Query(
            f"SELECT {', '.join(given)}, d._seen FROM rows r JOIN dated d ON {self._same('r', 'd')}",
            {"rows": Stream(schema, batches), "dated": dated},
        )
        later = f"greatest({seen}, _seen + INTERVAL '1' MICROSECOND)"
        again = self._written(rows, system.UPSERT, later, instant, where="true")
        return Query("SELECT * FROM undated UNION ALL SELECT * FROM again", {"undated": undated, "again": again})

    def living(self, dead: Frame) -> int:
        """How many keys live in the table, inside the scope."""
        words = f"SELECT DISTINCT {self._names} FROM rows WHERE {self._within()}"
        keys = count(self.session, Query(words, {"rows": self._rows}))
        return keys - count(self.session, Query(f"SELECT 1 AS one FROM dead WHERE {self._within()}", {"dead": dead}))

    def _last(self, keys: Node) -> Query:
        """The last row of each of these keys."""
        nth_ = nth(self.state.schema, self.keys, self._order)
        rows = Query(
            f"SELECT r.* FROM rows r LEFT SEMI JOIN wanted w ON {self._same('r', 'w')}", {"rows": self._rows, "wanted": keys}, ordered=True
        )
        numbered = f"SELECT *, {nth_} AS _nth FROM rows"
        return Query(f"SELECT * EXCEPT (_nth) FROM ({numbered}) WHERE _nth = 1", {"rows": self.session.stage(rows)})

    def _written(self, rows: Node, operation: str, when: str, instant: datetime, *, where: str) -> Query:
        own = {
            system.OPERATION: f"'{operation}'",
            system.SOURCE_TIMESTAMP: when,
            system.INGESTION_TIMESTAMP: f"CAST({literal(instant.isoformat())} AS TIMESTAMP)",
        }
        names = [name for name in self.state.schema.names if name != system.WRITE_ID]
        columns = ", ".join(f"{own.get(name, f'l.{ident(name)}')} AS {ident(name)}" for name in names)
        return Query(f"SELECT {columns} FROM (SELECT * FROM rows WHERE {where}) l", {"rows": rows})


def _guard(deletes: Deletes, label: str, *, present: int, absent: int, live: int) -> None:
    if not present:
        raise GuardError(
            label,
            "the source came up empty, which would delete every row",
            got=f"{live:,} live rows",
            hint="Deletes(force=True) if it really is.",
        )
    if absent > deletes.max_fraction * live:
        raise GuardError(
            label,
            f"expected at most {deletes.max_fraction:.1%} of the live rows to be gone",
            got=f"{absent:,} of {live:,}",
            hint="raise Deletes(max_fraction=), or Deletes(force=True).",
        )
