"""replay: send rejected rows through again, after rule or row was mended."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, cast

import attrs
import pyarrow as pa

from lakekit import columns as system
from lakekit.bookmark import Bookmark, Position, Span, Stored
from lakekit.commit import Commit
from lakekit.engines import json_forms
from lakekit.engines.plan import Frame, Node, Query, Scan, TableState
from lakekit.engines.protocol import count
from lakekit.engines.sql import literal
from lakekit.engines.types import ident, sql_type
from lakekit.errors import ConfigError
from lakekit.incremental import cas, changes, contract
from lakekit.incremental.rejects import OPEN, close
from lakekit.lake import Lake
from lakekit.names import TableName, companion
from lakekit.operations import operation

if TYPE_CHECKING:
    from lakekit.engines.protocol import Session


@operation
def replay(lake: Lake, table: TableName) -> Commit:
    """Send the open rejects of a table through again.

    - Rows that came from another table: the bookmark is set back to where the first of them came in, so that the next run reads them again
      through the pipeline as it is now, with the rules mended. What is stored already counts as unchanged there.
    - Messages of a source that could not be read, in a bronze table: those that somebody has mended (the row as JSON in ``_row``, ``_payload``
      set to NULL) are appended now, in one commit with the position in the rejects. The others stay open.

    What is sent again is closed, and is open again if it fails again. Rows of a frame brought by hand can't be read again, and stay open.

    Args:
        lake: Where the table is.
        table: The table whose rejects they are.

    Writes:
        ``_state`` of the rejects; the mended rows, as `ingest` would have. The commit counts them as ``inserted``, all open ones as ``read``, and
        those that stay open as ``rejected``.

    Raises:
        TableNotFoundError: There is no such table.
        ConfigError: Rows would be appended twice, since the table is appended to from another table.

    >>> import lakekit as lk, tempfile
    >>> from lakekit import rules
    >>> lake = lk.connect(tempfile.mkdtemp())
    >>> _ = lk.append(lk.from_frame(lake, [{"id": 1, "phone": "030 1234567"}], run_id="a"), into="bronze.users")
    >>> def users(region):
    ...     batch = lk.read_new(lake, "bronze.users", into="silver.users")
    ...     return lk.merge(lk.clean(batch, {"phone": rules.phone(region)}), key="id")
    >>> users("US").rejected
    1
    >>> lk.replay(lake, "silver.users").read
    1
    >>> users("DE").inserted
    1
    """
    state = lake.load(table, place="replay()")
    rejected = lake.find(companion(state.name, "rejects"))
    if rejected is None or rejected.head is None:
        return Commit(table=state.label)
    with lake.engine.session() as session:
        opened = session.stage(Query(f"SELECT * FROM rejected WHERE _state = '{OPEN}'", {"rejected": Scan(rejected, rejected.head)}))
        read = count(session, opened)
        again = _set_back(lake, session, state, rejected, opened)
        mended = _append_mended(lake, session, state, rejected)
        inserted = mended.inserted
        left = count(session, Query(f"SELECT * FROM rejected WHERE _state = '{OPEN}'", {"rejected": _now(lake, rejected)}))
    return attrs.evolve(mended, committed=again or inserted > 0, read=read, inserted=inserted, rejected=left)


def _now(lake: Lake, table: TableState) -> Scan:
    state = lake.engine.load(table.name)
    return Scan(state, state.head)


def _set_back(lake: Lake, session: Session, state: TableState, rejected: TableState, opened: Frame) -> bool:
    """Set the bookmark back to where rejected rows of other tables came in, and close these."""
    rows = [
        row for batch in session.rows(Query("SELECT DISTINCT _origin, _since FROM opened", {"opened": opened})) for row in batch.to_pylist()
    ]
    known = cas.stored(state).positions
    starts: dict[str, Position | None] = {}
    origins: list[str] = []
    for row in rows:
        since = cast("dict[str, Any]", json.loads(row["_since"] or "{}"))
        tables = {name: position for name, position in since.items() if name.startswith("iceberg:")}
        if not tables:
            continue
        origins.append(row["_origin"])
        for name, position in tables.items():
            start = None if position is None else Position.from_dict(position)
            before = starts.get(name, start)
            starts[name] = None if before is None or start is None else min(before, start, key=lambda found: found.at)
    if not origins:
        return False
    if state.properties.get(contract.LAYER) == "bronze":
        raise ConfigError(
            f"replay(): {state.label}",
            "the table is appended to, so what is read again would be doubled",
            got=", ".join(sorted(starts)),
            hint="write it by key with merge().",
        )

    def move(stored: Stored) -> Stored:
        positions = {name: there for name, there in stored.positions.items() if name not in starts}
        for name, start in starts.items():
            there = stored.positions.get(name)
            if start is not None and there is not None:  # never forward
                positions[name] = min(start, there, key=lambda found: found.at)
        return attrs.evolve(stored, positions=positions, epoch=stored.epoch + 1)

    # What has no position is read from the beginning anyway: it was set back by a run that could not close the rejects, or never consumed.
    if any(name in known and (start is None or start.at < known[name].at) for name, start in starts.items()):
        cas.move(lake.engine, state, move)
    sent = pa.table({"origin": pa.array(sorted(set(origins)), pa.string())})
    closed = Query(
        "SELECT o._reject_id FROM opened o LEFT SEMI JOIN sent s ON s.origin = o._origin",
        {"opened": opened, "sent": Frame(sent.schema, sent)},
    )
    close(lake, rejected, session.stage(closed), session)
    return True


def _append_mended(lake: Lake, session: Session, state: TableState, rejected: TableState) -> Commit:
    """Append rows of a source that were mended by hand: each once, since the position in the rejects is part of the bookmark."""
    state, rejected = lake.engine.load(state.name), lake.engine.load(rejected.name)
    if state.properties.get(contract.LAYER) != "bronze" or rejected.current is None:
        return Commit(table=state.label)
    stored = cas.stored(state)
    name = f"replay:{changes.upstream(rejected)}"
    start, end = stored.positions.get(name), Position.of(rejected.current.sequence, {"snapshot": rejected.current.id})
    mended = f"_state = '{OPEN}' AND _payload IS NULL AND _origin NOT LIKE 'run:%'"
    mine = f"SELECT * FROM rejected WHERE {mended}"
    consumed = session.stage(_fitting(state, Query(mine, {"rejected": Scan(rejected, rejected.head)})))
    if not count(session, consumed):
        return Commit(table=state.label)
    fresh = session.stage(_fitting(state, Query(mine, {"rejected": changes.since(rejected, start).node})))
    figures = Commit(table=state.label, inserted=count(session, fresh))

    def plan(state: TableState, write_id: int) -> cas.Planned:
        stamped = Query(f"SELECT * EXCEPT (_reject_id), CAST({write_id} AS BIGINT) AS `{system.WRITE_ID}` FROM rows", {"rows": fresh})
        return cas.Planned(figures, (lambda: session.append(state, stamped)) if figures.inserted else None)

    commit = cas.write(lake.engine, state.name, state, Bookmark({name: Span(start, end)}, epoch=stored.epoch), plan)
    # Also those that an earlier run appended and could not close.
    close(lake, rejected, Query("SELECT _reject_id FROM rows", {"rows": consumed}), session)
    return commit


def _fitting(state: TableState, rows: Node) -> Query:
    """Mended rows in the table's columns; a row with a value that doesn't fit its column is left out, and stays open."""
    fields = [field for field in state.schema if field.name not in {system.WRITE_ID, system.INGESTION_TIMESTAMP}]
    kind = "STRUCT<" + ", ".join(f"{ident(field.name)}: {sql_type(json_forms.printed(field.type))}" for field in fields) + ">"
    read = Query(
        f"SELECT _reject_id, _row, `{system.INGESTION_TIMESTAMP}`, lk_from_json(_row, {literal(kind)}) AS j FROM rows", {"rows": rows}
    )
    values = {field.name: json_forms.parsed(f"j.{ident(field.name)}", field.type) for field in fields}
    fits = " AND ".join(f"({value} IS NOT NULL OR lk_json_text(_row, {literal(name)}) IS NULL)" for name, value in values.items())
    columns = ", ".join(f"{value} AS {ident(name)}" for name, value in values.items())
    return Query(f"SELECT _reject_id, {columns}, `{system.INGESTION_TIMESTAMP}` FROM read WHERE {fits}", {"read": read})
