"""Who has been forgotten, by hashes of keys alone: ``<table>__forgotten``. Rows with such a key are left out when they come again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Final

import attrs
import pyarrow as pa

from lakekit import columns as system
from lakekit.bookmark import Bookmark, canonical
from lakekit.commit import Commit
from lakekit.engines.functions import family
from lakekit.engines.plan import Node, Query, Scan, TableState
from lakekit.engines.protocol import count
from lakekit.engines.sql import literal
from lakekit.engines.types import ident, sql_type
from lakekit.errors import CommitConflictError
from lakekit.incremental import cas, target
from lakekit.names import companion

if TYPE_CHECKING:
    from lakekit.batch import Batch
    from lakekit.lake import Lake

SUFFIX: Final = "forgotten"
PROPERTY: Final = "lakekit.forgotten"
"""Table property: the columns by which rows have been forgotten, as a list of lists."""
SCHEMA: Final = pa.schema(
    [
        pa.field("hash", pa.int64()),  # lk_hash63 of the texts of the columns' names and values
        pa.field("forgotten_at", pa.timestamp("us", tz="UTC")),
        pa.field(system.WRITE_ID, pa.int64()),
    ]
)


def hash_sql(schema: pa.Schema, columns: Sequence[str], *, place: str, prefix: str = "") -> str:
    """SQL for the hash of a row's key.

    Raises:
        ConfigError: A column's type has no text that is the same on all engines.
    """
    texts = [f"lk_text({literal(', '.join(columns))}, 'STRING')"]
    for name in columns:
        kind = sql_type(schema.field(name).type)
        family(kind, place=f"{place}: column {name!r}")
        texts.append(f"lk_text({prefix}{ident(name)}, '{kind}')")
    return f"lk_hash63({' || '.join(texts)})"


def note(lake: Lake, state: TableState, columns: Sequence[str], rows: Node, instant: datetime, *, place: str) -> None:
    """Remember the keys of some rows, which are about to go.

    Args:
        lake: Where the table is.
        state: The table.
        columns: The key.
        rows: Rows with these columns.
        instant: When.
        place: The function, for errors.
    """
    hashed = hash_sql(state.schema, columns, place=place)
    table, _ = target.ensure(lake, companion(state.name, SUFFIX), SCHEMA, layer=SUFFIX, key=("hash",), on_change="evolve", place=place)
    with lake.engine.session() as session:
        staged = session.stage(Query(f"SELECT DISTINCT {hashed} AS hash FROM rows", {"rows": rows}))

        def plan(state: TableState, write_id: int) -> cas.Planned:
            stamped = f"CAST('{instant.isoformat()}' AS TIMESTAMP) AS forgotten_at, CAST({write_id} AS BIGINT) AS `{system.WRITE_ID}`"
            new = session.stage(
                Query(
                    f"SELECT n.hash, {stamped}, 'insert' AS _change FROM new n LEFT ANTI JOIN known k ON k.hash = n.hash",
                    {"new": staged, "known": Scan(state, state.head)},
                )
            )
            size = count(session, new)
            figures = Commit(table=state.label, inserted=size)
            return cas.Planned(figures, (lambda: session.merge(state, new, on=("hash",))) if size else None)

        cas.write(lake.engine, table.name, table, Bookmark(), plan)
    _note_columns(lake, state, columns)


def _note_columns(lake: Lake, state: TableState, columns: Sequence[str]) -> None:
    for _ in range(cas.ATTEMPTS):
        known = keys(state)
        if tuple(columns) in known:
            return
        after = canonical([*map(list, known), list(columns)])
        try:
            lake.engine.set_properties(state, {PROPERTY: after}, expect={PROPERTY: state.properties.get(PROPERTY)})
        except CommitConflictError:
            state = lake.engine.load(state.name)
            continue
        return
    raise CommitConflictError(state.label, "its properties never stood still", hint="run it again.")


def keys(state: TableState) -> list[tuple[str, ...]]:
    """The columns by which rows of a table have been forgotten."""
    return [tuple(names) for names in json.loads(state.properties.get(PROPERTY, "[]"))]


def left_out(lake: Lake, state: TableState | None, rows: Node, schema: pa.Schema, *, place: str) -> Node:
    """The rows of which the key has not been forgotten. Costs nothing where nobody has."""
    for columns in [] if state is None else keys(state):
        if state is None or not set(columns) <= set(schema.names):
            continue
        known = lake.engine.load(companion(state.name, SUFFIX))
        hashed = hash_sql(schema, columns, place=place, prefix="r.")
        rows = Query(
            f"SELECT r.* FROM incoming r LEFT ANTI JOIN forgotten f ON f.hash = {hashed}",
            {"incoming": rows, "forgotten": Scan(known, known.head)},
        )
    return rows


def without(batch: Batch, state: TableState | None, *, place: str) -> Batch:
    """The batch without the rows of those who have been forgotten."""
    if state is None or PROPERTY not in state.properties:
        return batch
    return attrs.evolve(batch, node=left_out(batch.lake, state, batch.node, batch.schema, place=place))
