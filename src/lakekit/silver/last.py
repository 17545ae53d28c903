"""The last row of each key of a batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from lakekit.engines.plan import Frame, Node, Query
from lakekit.engines.protocol import count
from lakekit.engines.types import dotted
from lakekit.incremental.order import nth, ranks

if TYPE_CHECKING:
    import pyarrow as pa

    from lakekit.engines.protocol import Session


def last_rows(session: Session, schema: pa.Schema, key: Sequence[str], order: Sequence[str], rows: Node, by_key: Node) -> Query:
    """The last row of each key.

    Rows of keys that come once are not copied: to leave out again those that come twice costs less.

    Args:
        session: Where it is computed.
        schema: The rows' columns.
        key: The columns that identify a row.
        order: The columns that say which row is later, most telling first.
        rows: The rows; none lacks a key.
        by_key: ``k0``, ``k1``, …: the keys, and ``_of``: how many rows there are of each.
    """
    if not session.plans_joins:
        rows = session.stage(rows)
    twice = _same_key(schema, key)
    several = session.stage(Query("SELECT * FROM keys WHERE _of > 1", {"keys": by_key}))
    told = ranks(schema, order, prefix="r.") if session.plans_joins else []
    if told:
        last = _by_ranks(session, schema, key, order, told, rows, several)
    else:
        last = _totally(session, schema, key, order, f"rows r LEFT SEMI JOIN several k ON {twice}", {"rows": rows, "several": several})
    return Query(
        f"SELECT r.* FROM rows r LEFT ANTI JOIN several k ON {twice} UNION ALL SELECT * FROM last",
        {"rows": rows, "several": several, "last": last},
    )


def _same_key(schema: pa.Schema, key: Sequence[str]) -> str:
    return " AND ".join(f"r.{dotted(name, schema)} <=> k.k{index}" for index, name in enumerate(key))


def _totally(session: Session, schema: pa.Schema, key: Sequence[str], order: Sequence[str], some: str, inputs: Mapping[str, Node]) -> Frame:
    """The last row of each key of ``some`` rows ``r``, by the total order, which takes a digest of each and holds them all in a window.

    In one SELECT with the join: of one around it Spark's optimizer makes a plan that needs more than the heap.
    """
    numbered = f"SELECT r.*, {nth(schema, key, order)} AS _nth FROM {some}"
    return session.stage(Query(f"SELECT * EXCEPT (_nth) FROM ({numbered}) WHERE _nth = 1", inputs, ordered=True))


def _by_ranks(
    session: Session, schema: pa.Schema, key: Sequence[str], order: Sequence[str], told: Sequence[str], rows: Node, several: Node
) -> Frame:
    """The same, where rows may be large: what they are ordered by is looked at without them, and digests are for what that doesn't tell apart."""
    keys, places = [f"k{index}" for index in range(len(key))], [f"p{index}" for index in range(len(told))]
    of_key, listed = _same_key(schema, key), ", ".join((*keys, *places))
    items = ", ".join(
        f"{sql} AS {name}" for sql, name in zip((*(f"r.{dotted(name, schema)}" for name in key), *told), (*keys, *places), strict=True)
    )
    few = session.stage(
        Query(f"SELECT {items} FROM rows r LEFT SEMI JOIN several k ON {of_key}", {"rows": rows, "several": several}, ordered=True)
    )
    latest = ", ".join(f"{name} DESC NULLS LAST" for name in places)
    ranked = f"SELECT {listed}, rank() OVER (PARTITION BY {', '.join(keys)} ORDER BY {latest}) AS _nth FROM few"
    last = session.stage(Query(f"SELECT {listed}, count(*) AS _of FROM ({ranked}) WHERE _nth = 1 GROUP BY {listed}", {"few": few}))
    there = " AND ".join([of_key, *(f"{sql} <=> k.{name}" for sql, name in zip(told, places, strict=True))])
    some, inputs = f"rows r LEFT SEMI JOIN (SELECT * FROM last WHERE _of {{}} 1) k ON {there}", {"rows": rows, "last": last}
    one = Query(f"SELECT r.* FROM {some.format('=')}", inputs, ordered=True)
    if not count(session, Query("SELECT 1 AS there FROM last WHERE _of > 1", {"last": last})):
        return session.stage(one)
    tied = _totally(session, schema, key, order, some.format(">"), inputs)
    return session.stage(Query("SELECT * FROM one UNION ALL SELECT * FROM tied", {"one": one, "tied": tied}))
