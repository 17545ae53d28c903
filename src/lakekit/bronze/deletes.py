"""ingest_deletes: deletes without change capture, by comparing keys."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from lakekit import columns as system
from lakekit.bookmark import Bookmark, Position, Span
from lakekit.clock import instant_of
from lakekit.commit import Commit
from lakekit.deletes import Deletes
from lakekit.engines import sql
from lakekit.engines.plan import Frame, Node, Query, Scan, Stream, TableState
from lakekit.engines.sql import literal
from lakekit.engines.types import ident
from lakekit.errors import ConfigError, GuardError
from lakekit.incremental import cas
from lakekit.incremental.order import nth, order_columns
from lakekit.incremental.target import require_columns
from lakekit.names import TableName
from lakekit.sources.protocol import Source

if TYPE_CHECKING:
    from lakekit.engines.protocol import Session
    from lakekit.lake import Lake


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

    Only keys are read from the source. The delete carries the last seen row in full, and is ordered by the instant of the key read on the
    source's clock; a key that is seen again later lives again.

    Args:
        lake: Where the table is.
        source: The source that the table was ingested from.
        into: The bronze table.
        deletes: The guard: ``scope`` limits which rows can be found missing (an SQL condition that source and lake both understand),
            ``max_fraction`` refuses a mass delete, ``force`` allows it.
        now: The instant written to ``_ingestion_timestamp``. Default: the clock.
        dry_run: Count, and write nothing.

    Writes:
        Rows with ``_operation = 'delete'`` and ``_source_timestamp`` = the instant of the key read.

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
    with source.keys(scope=deletes.scope) as read, lake.engine.session() as session:
        # Files that are all gone have no columns either.
        schema = read.schema if read.schema.names else pa.schema([state.schema.field(name) for name in keys])
        present = session.stage(Stream(schema, read.batches))
        live = _live(session, state, keys, deletes.scope)
        absent = session.stage(_absent(live, present, keys, state, read.read_at, instant))
        counts = _count(session, present, live, absent)
        _guard(counts, deletes, state.label)
        end = Position.of((start.at if start else 0) + 1, {"read_at": read.read_at.isoformat()})
        bookmark = Bookmark({upstream: Span(start, end)}, epoch=stored.epoch)
        figures = Commit(table=state.label, read=counts["present"], deleted=counts["absent"])
        if not counts["absent"] or dry_run:
            return figures

        def plan(state: TableState, write_id: int) -> cas.Planned:
            stamped = Query(f"SELECT *, CAST({write_id} AS BIGINT) AS `{system.WRITE_ID}` FROM absent", {"absent": absent})
            return cas.Planned(figures, lambda: session.append(state, stamped))

        return cas.write(lake.engine, state.name, state, bookmark, plan)


def _live(session: Session, state: TableState, keys: tuple[str, ...], scope: str | None) -> Frame:
    """The last row of each key that is not deleted."""
    names = state.schema.names
    last = nth(state.schema, keys, order_columns(names, None, place="ingest_deletes()"))
    given = "".join(f" AND {ident(name)} IS NOT NULL" for name in keys)  # what has no key can't be found missing
    within = "" if scope is None else f" AND ({sql.expression(scope, names, place='ingest_deletes(deletes.scope)')})"
    query = (
        f"SELECT * EXCEPT (_nth) FROM (SELECT *, {last} AS _nth FROM bronze) "
        f"WHERE _nth = 1 AND `{system.OPERATION}` <> '{system.DELETE}'{given}{within}"
    )
    return session.stage(Query(query, {"bronze": Scan(state, state.head)}))


def _absent(live: Frame, present: Frame, keys: tuple[str, ...], state: TableState, read_at: datetime, instant: datetime) -> Node:
    same = " AND ".join(f"l.{ident(name)} = p.{ident(name)}" for name in keys)
    own = {
        system.OPERATION: f"'{system.DELETE}'",
        # A row dated in the future by its application is deleted all the same.
        system.SOURCE_TIMESTAMP: f"greatest(CAST({literal(read_at.isoformat())} AS TIMESTAMP), l.`{system.SOURCE_TIMESTAMP}`)",
        system.INGESTION_TIMESTAMP: f"CAST({literal(instant.isoformat())} AS TIMESTAMP)",
    }
    columns = ", ".join(f"{own.get(name, f'l.{ident(name)}')} AS {ident(name)}" for name in state.schema.names if name != system.WRITE_ID)
    return Query(f"SELECT {columns} FROM live l LEFT ANTI JOIN present p ON {same}", {"live": live, "present": present})


def _count(session: Session, present: Frame, live: Frame, absent: Frame) -> dict[str, Any]:
    return session.one(
        Query(
            "SELECT (SELECT count(*) FROM present) AS present, (SELECT count(*) FROM live) AS live, (SELECT count(*) FROM absent) AS absent",
            {"present": present, "live": live, "absent": absent},
        )
    )


def _guard(counts: dict[str, Any], deletes: Deletes, label: str) -> None:
    if deletes.force or not counts["absent"]:
        return
    if not counts["present"]:
        raise GuardError(
            label,
            "the source came up empty, which would delete every row",
            got=f"{counts['live']:,} live rows",
            hint="Deletes(force=True) if it really is.",
        )
    if counts["absent"] > deletes.max_fraction * counts["live"]:
        raise GuardError(
            label,
            f"expected at most {deletes.max_fraction:.1%} of the live rows to be gone",
            got=f"{counts['absent']:,} of {counts['live']:,}",
            hint="raise Deletes(max_fraction=), or Deletes(force=True).",
        )
