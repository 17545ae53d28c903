"""The rows of an increment as the table takes them, without those that stand there already."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

import attrs
import pyarrow as pa

from lakekit import columns as system
from lakekit.bronze.incoming import Incoming
from lakekit.engines.plan import Node, Query, Scan, TableState
from lakekit.engines.sql import literal
from lakekit.engines.types import ident
from lakekit.evolution import rows as fitting
from lakekit.incremental.equal import same
from lakekit.sources.protocol import Overlap

if TYPE_CHECKING:
    from lakekit.engines.plan import Frame
    from lakekit.engines.protocol import Session
    from lakekit.evolution.rows import Fitted


@attrs.frozen(eq=False)
class Arrived:
    """The good rows as the table takes them, and those whose values it does not take."""

    rows: Node
    schema: pa.Schema
    bad: tuple[Node, ...] = ()


def arriving(session: Session, state: TableState, incoming: Incoming, fitted: Fitted | None) -> Arrived:
    """The good rows of an increment, in the table's names and types."""
    if fitted is None:
        schema = pa.schema([field if field.name not in state.schema.names else state.schema.field(field.name) for field in incoming.schema])
        return Arrived(incoming.good(schema), schema)
    good, bad = fitting.split(incoming.good(incoming.schema), incoming.schema, fitted)
    if bad is not None:  # rows that come once are wanted twice
        session.stage(bad[1])
    return Arrived(good, fitted.schema, () if bad is None else bad[:1])


def fresh(session: Session, state: TableState, arrived: Arrived, overlap: Overlap | None) -> Node:
    """The rows without those that stand in the table already."""
    if overlap is None or state.head is None:
        return arrived.rows
    if overlap.filling:
        return _to_fill(session, state, session.stage(arrived.rows), overlap)
    there = {"rows": arrived.rows, "existing": _existing(state, overlap)}
    return Query(f"SELECT b.* FROM rows b LEFT ANTI JOIN existing e ON {_same(arrived.schema, 'e')}", there)


def _same(schema: Iterable[pa.Field[Any]], there: str) -> str:
    return " AND ".join(same(f"b.{ident(field.name)}", f"{there}.{ident(field.name)}", field.type) for field in schema)


def _to_fill(session: Session, state: TableState, rows: Frame, overlap: Overlap) -> Node:
    """The rows that equal one in the table but for the columns that are being filled."""
    first = ident(overlap.key[0])
    ends = session.one(Query(f"SELECT min({first}) AS least, max({first}) AS greatest FROM rows", {"rows": rows}))
    # A portion is a range of keys, and so are the files that a first load wrote: the others need not be read.
    bounds = {overlap.key[0]: (ends["least"], ends["greatest"])} if isinstance(ends["least"], int | str | date) else {}
    there = Scan(state, state.head, bounds=bounds)
    # When a source says it read a row, or that it changed, is no part of the row.
    own = [field for field in rows.schema if not system.is_system(field.name)]
    others = _same([field for field in own if field.name not in overlap.filling], "e")
    added = set(overlap.filling).issubset(rows.schema.names)  # in a dry run the table may lack them: then every row is one to fill
    known = f" LEFT ANTI JOIN existing f ON {_same(own, 'f')}" if added else ""
    return Query(f"SELECT b.* FROM rows b LEFT SEMI JOIN existing e ON {others}{known}", {"rows": rows, "existing": there})


def overlap_of(incoming: Incoming, fitted: Fitted | None) -> Overlap | None:
    """What may stand in the table already, in the table's names."""
    overlap = incoming.overlap
    if overlap is None or overlap.column is None or fitted is None:
        return overlap
    return attrs.evolve(overlap, column=fitted.names.get(overlap.column, overlap.column))


def _existing(state: TableState, overlap: Overlap) -> Node:
    if overlap.column is None or overlap.low is None:
        return Scan(state, state.head)
    # Files that hold only older cursors need not be read, unless rows without a cursor are looked for too.
    scan = Scan(state, state.head, bounds={} if overlap.nulls else {overlap.column: (overlap.low, None)})
    kind = state.schema.field(overlap.column).type
    low = literal(overlap.low.isoformat() if isinstance(overlap.low, datetime) else overlap.low)
    words = {True: "TIMESTAMP" if getattr(kind, "tz", None) else "TIMESTAMP_NTZ", False: "DATE" if pa.types.is_date(kind) else None}[
        pa.types.is_timestamp(kind)
    ]
    bound = f"CAST({low} AS {words})" if words else low
    nulls = f" OR {ident(overlap.column)} IS NULL" if overlap.nulls else ""
    return Query(f"SELECT * FROM existing WHERE {ident(overlap.column)} >= {bound}{nulls}", {"existing": scan})
