"""Rows that fail a rule, kept in full beside their target: ``<table>__rejects``. Written before the good rows, each once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from lakekit import columns as system
from lakekit.batch import Rejects
from lakekit.bookmark import Bookmark
from lakekit.commit import Commit
from lakekit.engines import json_forms
from lakekit.engines.plan import Node, Query, Scan, TableState
from lakekit.engines.protocol import count
from lakekit.engines.sql import literal
from lakekit.engines.types import ident, sql_type
from lakekit.errors import ContractError
from lakekit.incremental import cas, target
from lakekit.incremental.reasons import in_words
from lakekit.names import Identifier, companion, text

if TYPE_CHECKING:
    from lakekit.engines.plan import Frame
    from lakekit.engines.protocol import Session
    from lakekit.lake import Lake

RULE: Final = system.RULE
REASON: Final = system.REASON
PAYLOAD: Final = system.PAYLOAD
SCHEMA: Final = pa.schema(
    [
        pa.field("_reject_id", pa.int64()),  # hash of target, origin, rule and row: the same reject is one row
        pa.field(RULE, pa.string()),  # the rule that failed: `email`
        pa.field(REASON, pa.string()),  # why, as a code: `not_an_email`
        pa.field("_message", pa.string()),  # why, in words: `email is no e-mail address`; no value of the row stands in it
        pa.field("_origin", pa.string()),  # the upstream the row was read from
        pa.field("_row", pa.string()),  # the row as JSON (bytes in base64, no NULLs); where there is a payload, lakekit's columns only
        pa.field(PAYLOAD, pa.binary()),  # the bytes that could not be read; NULL: the row is in _row
        pa.field(system.SOURCE, pa.string()),
        pa.field(system.SOURCE_TIMESTAMP, pa.timestamp("us", tz="UTC")),
        pa.field(system.INGESTION_TIMESTAMP, pa.timestamp("us", tz="UTC")),
        pa.field("_since", pa.string()),  # where the batch began that the row came in: upstream to position, as JSON
        pa.field("_run", pa.int64()),  # the write of the table that left it out: `_write_id` of what came with it; NULL: nobody tracks it
        pa.field("_state", pa.string()),  # 'open', or 'closed' by replay(); one that fails again is open again
        pa.field(system.WRITE_ID, pa.int64()),
    ]
)
OPEN: Final = "open"
CLOSED: Final = "closed"


def gather(session: Session, into: Identifier, rejects: Rejects) -> Frame:
    """The rejects as rows of the rejects table, one for each distinct row and rule. `total` tells how many rows they were."""
    schema = session.schema(rejects.node)
    names = schema.names
    fields = [
        field for field in schema if field.name not in {RULE, REASON, system.ABOUT, PAYLOAD, system.WRITE_ID, system.INGESTION_TIMESTAMP}
    ]
    row, identity = _json(fields), "_row"
    if PAYLOAD in names:
        row = f"CASE WHEN {PAYLOAD} IS NULL THEN {row} ELSE {_json([field for field in fields if system.is_system(field.name)])} END"
        identity = f"_row, '|', coalesce(hex({PAYLOAD}), '')"
    carried = [
        ident(field.name) if field.name in names else f"CAST(NULL AS {sql_type(field.type)}) AS {ident(field.name)}"
        for field in SCHEMA
        if field.name in {PAYLOAD, system.SOURCE, system.SOURCE_TIMESTAMP, system.INGESTION_TIMESTAMP}
    ]
    where = f"concat({literal(text(into))}, '|', {literal(rejects.origin)}, '|', {RULE}, '|', {identity})"
    message = in_words(REASON, system.ABOUT if system.ABOUT in names else None)
    inner = f"SELECT {RULE}, {REASON}, {message} AS _message, {row} AS _row, {', '.join(carried)} FROM rejected"
    given = f"{literal(rejects.origin)} AS _origin, {literal(rejects.since)} AS _since, '{OPEN}' AS _state"
    identified = f"SELECT lk_hash63({where}) AS _reject_id, *, {given} FROM ({inner})"
    times = "count(*) OVER (PARTITION BY _reject_id) AS _times"
    numbered = f"SELECT *, row_number() OVER (PARTITION BY _reject_id ORDER BY {REASON} NULLS LAST) AS _nth, {times} FROM ({identified})"
    once = f"SELECT * EXCEPT (_nth) FROM ({numbered}) WHERE _nth = 1"
    return session.stage(Query(once, {"rejected": rejects.node}))


def total(session: Session, gathered: Sequence[Frame]) -> int:
    """How many rows were rejected; a row that came twice counts twice, as a good one does."""
    return sum(int(session.one(Query("SELECT coalesce(sum(_times), 0) AS n FROM rows", {"rows": rows}))["n"]) for rows in gathered)


def _json(fields: Sequence[pa.Field[Any]]) -> str:
    """SQL for a row as JSON. Bytes are base64, floats text: the engines have no common form for the first, JSON none for NaN.

    Instants are printed before, since Spark's JSON drops their microseconds.

    NULLs are left out: a column that came later must not make another row of one that was rejected before.
    """
    return f"lk_to_json(named_struct({', '.join(f'{literal(field.name)}, {json_forms.printable(ident(field.name), field.type)}' for field in fields)}))"


def refuse_too_many(rejected: int, read: int, limit: float | None, *, into: Identifier) -> None:
    """Raise where more rows were rejected than the user lets pass. Nothing has been written yet.

    Raises:
        ContractError: Too many.
    """
    if limit is not None and read and rejected / read > limit:
        raise ContractError(
            text(into),
            f"expected at most {limit:.1%} of the rows to be rejected",
            got=f"{rejected:,} of {read:,}",
            hint="mend the rules or the source.",
        )


def write(lake: Lake, session: Session, into: Identifier, rows: Frame, bookmark: Bookmark) -> Commit:
    """Add those rejects that are not there yet, and open those again that were closed. ``bookmark`` is that of the write they are left out of."""
    table = companion(into, "rejects")
    run = bookmark.write_id(text(into)) if bookmark else "NULL"
    state, _ = target.ensure(lake, table, SCHEMA, layer="rejects", key=("_reject_id",), on_change="evolve", place="rejects")

    def plan(state: TableState, write_id: int) -> cas.Planned:
        own = {system.WRITE_ID: f"CAST({write_id} AS BIGINT)", "_run": f"CAST({run} AS BIGINT)"}
        columns = ", ".join(f"{own.get(name, f'r.{ident(name)}')} AS {ident(name)}" for name in SCHEMA.names)
        change = "CASE WHEN k._reject_id IS NULL THEN 'insert' ELSE 'update' END AS _change"
        fresh = session.stage(
            Query(
                f"SELECT {columns}, {change} FROM known k RIGHT JOIN rejected r ON k._reject_id = r._reject_id "
                f"WHERE k._reject_id IS NULL OR k._state = '{CLOSED}'",
                {"rejected": rows, "known": Scan(state, state.head)},
                ordered=True,
            )
        )
        size = count(session, fresh)
        figures = Commit(table=state.label, read=size, inserted=size)
        return cas.Planned(figures, (lambda: session.merge(state, fresh, on=("_reject_id",))) if size else None)

    return cas.write(lake.engine, table, state, Bookmark(), plan)


def close(lake: Lake, table: TableState, closed: Node, session: Session) -> None:
    """Close rejects by their ids."""

    def plan(state: TableState, write_id: int) -> cas.Planned:
        own = {"_state": f"'{CLOSED}'", system.WRITE_ID: f"{write_id}"}
        columns = ", ".join(f"{own.get(name, f'k.{ident(name)}')} AS {ident(name)}" for name in state.schema.names)
        mended = session.stage(
            Query(
                f"SELECT {columns}, 'update' AS _change FROM known k LEFT SEMI JOIN closed c ON c._reject_id = k._reject_id WHERE k._state = '{OPEN}'",
                {"known": Scan(state, state.head), "closed": closed},
                ordered=True,
            )
        )
        size = count(session, mended)
        figures = Commit(table=state.label, read=size, updated=size)
        return cas.Planned(figures, (lambda: session.merge(state, mended, on=("_reject_id",))) if size else None)

    cas.write(lake.engine, table.name, table, Bookmark(), plan)
