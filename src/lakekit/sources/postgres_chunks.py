"""A first load in chunks: ranges of the primary key, each of them one commit, so that a load that fails goes on where it was.

A chunk is a range of keys, fixed before it is read: ``after < key <= upto``. Each one may be read in a snapshot of its own, minutes or days
after the one before, and still no row is missed: a row has one key, so it stands in one range, and whatever was invisible or changed when
its range was read bears a cursor at or after the horizon of the load's *start* (see ``postgres_watermark``). That is where the
reading of increments goes on. A row that changed in between comes twice, in its old version and in its new one, or only in its new one.

Keys, not places on disk (``ctid``): those are read in order too, and without an index, but a row that is updated moves. Where its cursor
does not change with it, it would move from a range still to be read to one that was, and be missed.

The load ends with the greatest key there was when it began, so that it does not run after those who insert: what they insert is invisible
to its first snapshot, so it comes with the increments.

Where a composite cursor is given, the chunks are ranges of its columns. Where a table has no primary key, they are ranges of the cursor, if an
index leads with it: rows of one cursor are all in one range. Otherwise, and for views, there is no order that is cheap to walk: all is read
at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from lakekit.sources.postgres_names import literal, quote

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lakekit.sources.postgres import PostgresTable
    from lakekit.sources.postgres_session import Relation, Session
    from lakekit.sources.postgres_start import Start

Key = tuple[str, ...]
"""The values of the columns that the chunks go by, in PostgreSQL's own text."""


@attrs.frozen
class Chunk:
    """A range of keys.

    Attributes:
        by: The columns that the chunks go by.
        after: The range begins after this key. None: at the beginning.
        upto: It ends with this key. None: at the end.
        end: The load ends with this key.
        nulls: Whether rows may have no key: they come at the end.
    """

    by: tuple[str, ...] = ()
    after: Key | None = None
    upto: Key | None = None
    end: Key | None = None
    nulls: bool = False

    @property
    def more(self) -> bool:
        """Whether the load goes on after it."""
        return self.upto != self.end

    @property
    def condition(self) -> str | None:
        """The range in SQL. None: it is the whole table."""
        key = _row([quote(name) for name in self.by])
        bounds = [f"{key} {sign} {_row([literal(value) for value in end])}" for sign, end in ((">", self.after), ("<=", self.upto)) if end]
        if not bounds:
            return None
        null = f" OR {quote(self.by[0])} IS NULL" if self.nulls and not self.more else ""
        return " AND ".join(bounds) + null


def order(session: Session, table: PostgresTable, relation: Relation) -> tuple[str, ...]:
    """The columns that chunks of a table go by. Empty: it is read at once."""
    if key := (table.order if len(table.order) > 1 else ()) or session.primary_key(relation):
        return key
    return (table.cursor,) if table.cursor and session.leads_an_index(relation, table.cursor) else ()


def cut(session: Session, start: Start, rest: Chunk, *, rows: int, parts: int) -> list[Chunk]:
    """The first so many rows of a range, in several parts of equally many rows; fewer where the range holds no more."""
    found: list[Chunk] = []
    while len(found) < parts:
        part = _first(session, start, rest, -(-rows // parts))
        found.append(part)
        if not part.more:
            break
        rest = attrs.evolve(rest, after=part.upto)
    return found


def _first(session: Session, start: Start, rest: Chunk, rows: int) -> Chunk:
    found = _keys(session, start, rest, f"ORDER BY {', '.join(map(quote, rest.by))} OFFSET {rows - 1} LIMIT 1")
    upto = _whole(found)
    return rest if upto is None else attrs.evolve(rest, upto=upto)


def end(session: Session, start: Start, whole: Chunk) -> Key | None:
    """The greatest key. None: there is none."""
    last = ", ".join(f"{quote(name)} DESC" for name in whole.by)
    found = _keys(session, start, whole, f"WHERE {quote(whole.by[0])} IS NOT NULL ORDER BY {last} LIMIT 1")
    return _whole(found)


def _whole(found: Sequence[tuple[str | None, ...]]) -> Key | None:
    """The key that was found, unless a part of it is NULL."""
    key = tuple(value for value in found[0] if value is not None) if found else ()
    return key if found and len(key) == len(found[0]) else None


def _keys(session: Session, start: Start, chunk: Chunk, some: str) -> list[tuple[str | None, ...]]:
    """Some of the keys of a range, as text."""
    columns, texts = (", ".join(f"{quote(name)}{cast}" for name in chunk.by) for cast in ("", "::text"))
    # The order is that of the columns, not of their texts.
    rows = f"SELECT {columns} FROM (SELECT {columns}{start.rows(chunk)}) AS rows {some}"
    return [tuple(row) for row in session.rows(f"SELECT {texts} FROM ({rows}) AS keys")]


def _row(values: Sequence[str]) -> str:
    return values[0] if len(values) == 1 else f"({', '.join(values)})"
