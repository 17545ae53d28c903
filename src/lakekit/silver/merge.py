"""merge: keep a table by key. Rows are classified first; only those that change something are written, in one snapshot."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any, Final, get_args

import attrs

from lakekit import columns as system
from lakekit import logs
from lakekit.batch import Batch
from lakekit.bookmark import Bookmark, Stored
from lakekit.commit import Commit
from lakekit.deletes import Deletes
from lakekit.engines.plan import Node, Query, Scan, TableState, WriteMode
from lakekit.engines.protocol import count
from lakekit.engines.types import dotted, ident
from lakekit.errors import ConfigError
from lakekit.incremental import cas, contract, horizon, rejects, sides, target
from lakekit.incremental.order import order_columns
from lakekit.names import Columns, Identifier, TableName, companion, text
from lakekit.names import columns as as_columns
from lakekit.operations import operation
from lakekit.silver.classify import Classified, Duplicates, NullKeys, Spec, WhenMatched, WhenNotMatched, Work, classify, reduce

if TYPE_CHECKING:
    from lakekit.engines.protocol import Prepared, Session
    from lakekit.evolution.policy import Policy
    from lakekit.lake import Lake

log = logging.getLogger(__name__)

_STORED: Final = (system.INGESTION_TIMESTAMP, system.WRITE_ID, system.SOURCE, system.SOURCE_TIMESTAMP, system.DELETED_AT)
_STORED_IF_GIVEN: Final = (system.RESCUED_DATA, system.SOURCE_LSN)


@operation
def merge(
    batch: Batch,
    *,
    key: Columns | None = None,
    into: TableName | None = None,
    order_by: Columns | None = None,
    delete_when: str | None = None,
    deletes: Deletes = Deletes("soft"),
    when_matched: WhenMatched = "update",
    when_not_matched: WhenNotMatched = "insert",
    duplicates: Duplicates = "last",
    null_keys: NullKeys = "reject",
    on_change: Policy = "evolve",
    write_mode: WriteMode | None = None,
    dry_run: bool = False,
    max_reject_fraction: float | None = None,
) -> Commit:
    """Keep a table by key: insert, update, delete, or leave alone, in one commit with the batch's bookmark.

    Several rows of one key reduce to the last. A row older than the stored one never wins, so batches may come in any order. Of two rows
    as old as each other the same one wins in any order; but what is read again after a `rewind` wins over what was written before it. Rows are
    compared null-safe and by structure; those that change nothing are not written, and a batch that changes nothing makes no snapshot.
    A column that the batch lacks keeps its stored value, and is NULL in new rows; so do all columns of a row deleted by its key alone.

    Args:
        batch: The rows.
        key: One row of the *table*: columns, or fields of struct columns (``"customer.id"``). Default: the identifier fields of the Iceberg table.
        into: The table. Default: the one ``read_new(into=)`` named. Made if missing.
        order_by: What makes a row later. Default: ``_source_lsn``, ``_source_timestamp``, the position in the source, ``_ingestion_timestamp``.
        delete_when: An SQL condition for deletes. Default: ``_operation = 'delete'``.
        deletes: ``Deletes("soft")`` sets ``_deleted_at``; ``Deletes("hard")`` removes the row, and keeps its key in ``<table>__deleted`` so
            that a late upsert stays dead; ``Deletes("ignore")`` leaves it.
        when_matched: ``"ignore"`` leaves the stored rows as they are; rows of the batch that find one count as unchanged.
        when_not_matched: ``"ignore"`` adds no rows; those that find none count as unchanged.
        duplicates: Several rows of one key: ``"last"`` takes the last one, ``"fail"`` raises.
        null_keys: NULL in a key: ``"reject"`` rejects the row, ``"match"`` takes it for a value like any other.
        on_change: What new columns do: ``"evolve"`` adds them, ``"fail"`` raises with the statements to run.
        write_mode: How files with changed rows are written: ``"copy-on-write"``, anew, which keeps reads fast; ``"merge-on-read"``, as positions
            of rows that are gone, which is fast where few rows of many files change, and wants ``maintain()`` now and then; ``"auto"``,
            file by file as is cheaper. Default: the table's property ``write.merge.mode``, else ``"auto"``. Spark goes by the property.
        dry_run: Count, and write nothing.
        max_reject_fraction: Refuse to write when more of the rows are rejected.

    Writes:
        One row for each key: the batch's columns, ``_ingestion_timestamp``, ``_write_id``, ``_source``, ``_source_timestamp`` and
        ``_source_lsn`` (where there are some) of the row that won, and ``_deleted_at`` (UTC microseconds; NULL: the row lives).

    Raises:
        SchemaError: A named column is missing, or types conflict.
        ConfigError: The table is kept by another key, or was named otherwise in ``read_new``; or no key is given, and it has no identifier fields.
        ContractError: Too many rejects; the table already holds several rows of one key; or the batch does, and ``duplicates="fail"``.
        TableError: The table is of a format that the engine can't write.
        CommitConflictError: Another run consumed a part of the batch first.

    >>> import lakekit as lk, tempfile
    >>> lake = lk.connect(tempfile.mkdtemp())
    >>> commit = lk.merge(lk.from_frame(lake, [{"id": 1, "name": "Ada"}], run_id="a"), key="id", into="silver.people")
    >>> commit = lk.merge(lk.from_frame(lake, [{"id": 1, "name": "Ada L."}, {"id": 2, "name": "Bo"}], run_id="b"), key="id", into="silver.people")
    >>> commit.inserted, commit.updated
    (1, 1)
    """
    into_ = target.resolve(batch, into, place="merge")
    found = batch.lake.find(into_)
    keys = as_columns(key, place="merge(key=)") if key is not None else _own_key(found, into_)
    batch = target.adapt(batch, into_, found, on_change=on_change, keys=keys, place="merge")
    names = batch.columns
    target.require_fields(batch.schema, keys, place="merge(key=)")
    _require_one_of("when_matched", when_matched, WhenMatched)
    _require_one_of("when_not_matched", when_not_matched, WhenNotMatched)
    _require_one_of("duplicates", duplicates, Duplicates)
    _require_one_of("null_keys", null_keys, NullKeys)
    if write_mode is not None:
        _require_one_of("write_mode", write_mode, WriteMode)
    if deletes.mode not in ("soft", "hard", "ignore"):
        raise ConfigError("merge(deletes=)", "expected 'soft', 'hard' or 'ignore'", got=repr(deletes.mode))
    if deletes.mode == "hard" and not set(keys) <= set(names):
        raise ConfigError("merge(deletes=)", "hard deletes need a key of whole columns", got=", ".join(keys), hint="use soft deletes.")
    if batch.key and not set(batch.key) <= set(keys):
        log.warning(
            "merge into %s: the key lacks %s of the upstream's key; rows of the upstream fold into one",
            ".".join(into_),
            set(batch.key) - set(keys),
            extra=logs.fields("key_too_short", table=text(into_)),
        )
    condition = target.delete_condition(batch, delete_when, place="merge")
    current = bool(batch.key) and set(batch.key) <= set(keys)
    order = order_columns(names, order_by, place="merge(order_by=)")
    spec = Spec(keys, order, condition, deletes, current, write_mode, when_matched, when_not_matched, duplicates, null_keys)
    schema = target.schema_for(batch.schema, [*_STORED, *(name for name in _STORED_IF_GIVEN if name in names)])
    sides.require_storable(batch, names, keys, place=f"merge(): {'.'.join(into_)}")
    if found is not None:
        batch.lake.engine.require_writable(found)
    bookmark = sides.follow(batch, cas.stored(found) if found else Stored(), into=into_)
    began = time.perf_counter()
    with batch.lake.engine.session() as session:
        work = reduce(session, batch, into_, spec, late=found is not None and horizon.HORIZON in found.properties)
        rejects.refuse_too_many(work.figures.rejected, work.figures.read, max_reject_fraction, into=into_)
        if not dry_run:
            work.write_rejects(batch.lake, session, into_, bookmark)
            for side in batch.sides:
                if side.infer is not None:
                    side.infer(session, work.rows)
        state, added = (
            (found or TableState.not_there_yet(into_, schema), ())
            if dry_run
            else target.ensure(batch.lake, into_, schema, layer="merged", key=keys, on_change=on_change, place="merge")
        )
        figures = attrs.evolve(work.figures, columns_added=added, columns_not_carried=batch.not_carried)

        def plan(state: TableState, write_id: int) -> cas.Planned:
            # At each attempt: others may have buried more.
            dead = _note_deleted(batch.lake, session, into_, work, spec, dry_run=dry_run) if deletes.mode == "hard" else None
            now = attrs.evolve(spec, again=cas.writes_since_rewind(state)) if batch.bookmark.spans else spec
            planned = classify(session, state, attrs.evolve(work, figures=figures), now, write_id, dead=dead)
            if planned.too_late is not None:
                rejects.refuse_too_many(planned.figures.rejected, planned.figures.read, max_reject_fraction, into=into_)
                late = rejects.gather(session, into_, _too_late(batch, work, planned.too_late, spec))
                if not dry_run:
                    rejects.write(batch.lake, session, into_, late, bookmark)
            return _plan(session, state, batch, bookmark, planned, spec, write_id)

        state = state if dry_run else target.with_lineage(state, batch)
        seconds = {"read": time.perf_counter() - began}
        return cas.write(batch.lake.engine, into_, state, bookmark, plan, dry_run=dry_run, seconds=seconds, audits=batch.audits)


def _too_late(batch: Batch, work: Work, late: Node, spec: Spec) -> rejects.Rejects:
    """The rows of the batch that came too late, as rejects."""
    names = ", ".join(f"b.{ident(name)}" for name in batch.columns if name != system.WRITE_ID)
    same = " AND ".join(f"b.{dotted(name, work.schema)} <=> l.{dotted(name, work.schema)}" for name in spec.key)
    words = f"SELECT {names}, '{horizon.RULE}' AS _rule, '{horizon.REASON}' AS _reason FROM batch b LEFT SEMI JOIN late l ON {same}"
    return rejects.Rejects(Query(words, {"batch": work.rows, "late": late}), work.rows, batch.origin, batch.since)


def _require_one_of(name: str, value: str, choices: Any) -> None:
    if value not in get_args(choices):
        raise ConfigError(f"merge({name}=)", f"expected one of {', '.join(map(repr, get_args(choices)))}", got=repr(value))


def _own_key(found: TableState | None, into: Identifier) -> tuple[str, ...]:
    """The key that a table has by itself: its identifier fields, in the order it has been kept by.

    Raises:
        ConfigError: There is none.
    """
    own = () if found is None else found.identifiers
    if found is None or not own:
        raise ConfigError(
            "merge(key=)",
            "expected the columns that tell rows apart",
            got="none" if found else f"none, and no table {text(into)} yet",
            hint="name them; only a table with Iceberg identifier fields needs no key=.",
        )
    noted = contract.key(found)
    return noted if set(noted) == set(own) else own


def _plan(
    session: Session, state: TableState, batch: Batch, bookmark: Bookmark, classified: Classified, spec: Spec, write_id: int
) -> cas.Planned:
    """The rows of the batch that change something, and stored rows that look different when looked up again."""
    figures, parts = classified.figures, [classified.changes] if classified.size else []
    again = sides.recompute(session, state, batch, bookmark, key=spec.key, busy=classified.changes) if batch.sides else None
    size = 0 if again is None else count(session, again)
    if again is not None and size:
        figures = attrs.evolve(figures, updated=figures.updated + size, recomputed=size)
        parts.append(sides.stamped(again, state, write_id))
    if not parts:
        return cas.Planned(figures, None)
    places = session.places if len(parts) == 1 and not size else ()
    names = ", ".join([*(ident(name) for name in state.schema.names if name != system.OPERATION), *places, "_change"])
    union = " UNION ALL ".join(f"SELECT {names} FROM part_{index}" for index in range(len(parts)))
    changes = Query(union, {f"part_{index}": part for index, part in enumerate(parts)})

    def prepare() -> Prepared:
        for side in batch.sides:
            if side.infer is not None and again is not None and size:
                side.infer(session, again)
        return session.merge(state, changes, on=spec.key, mode=spec.write_mode)

    return cas.Planned(figures, prepare)


def _note_deleted(lake: Lake, session: Session, into: Identifier, work: Work, spec: Spec, *, dry_run: bool) -> Node | None:
    """Note the keys of hard deletes in ``<table>__deleted``, before the rows go, so that a late upsert stays dead. Gives what stood there before."""
    import pyarrow as pa

    table = companion(into, "deleted")
    noted = [*spec.key, *(name for name in spec.order if name not in spec.key)]
    deleted = session.stage(
        Query(
            f"SELECT {', '.join(map(ident, noted))}, false AS _is_delete, false AS _is_bare FROM staged "
            f"WHERE _is_delete AND {'true' if spec.when_matched == 'update' else 'false'}",
            {"staged": work.rows},
        )
    )
    size = count(session, deleted)
    known = lake.find(table)
    before = None if known is None else Scan(known, known.head)
    if dry_run or not size:
        return before
    schema = pa.schema([work.schema.field(name) for name in noted])
    full = pa.schema([*schema, pa.field(system.WRITE_ID, pa.int64())])
    state, _ = target.ensure(lake, table, full, layer="deleted", key=spec.key, on_change="evolve", place="merge")
    inner = attrs.evolve(work, rows=deleted, schema=deleted.schema, size=size, figures=Commit(table=state.label, read=size))
    alone = attrs.evolve(spec, deletes=Deletes("soft"), when_not_matched="insert")

    def plan(state: TableState, write_id: int) -> cas.Planned:
        found = classify(session, state, inner, alone, write_id, dead=None)
        return cas.Planned(found.figures, (lambda: session.merge(state, found.changes, on=spec.key)) if found.size else None)

    cas.write(lake.engine, table, state, Bookmark(), plan)
    return before
