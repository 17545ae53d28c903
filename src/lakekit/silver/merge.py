"""merge: keep a table by key. Rows are classified first; only those that change something are written, in one snapshot."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, get_args

import attrs

from lakekit import columns as system
from lakekit.batch import Batch
from lakekit.bookmark import Bookmark, Stored
from lakekit.commit import Commit
from lakekit.deletes import Deletes
from lakekit.engines.plan import Frame, Node, Query, Scan, TableState, WriteMode
from lakekit.engines.protocol import count
from lakekit.engines.types import ident
from lakekit.errors import ConfigError, ContractError
from lakekit.incremental import cas, rejects, sides, target
from lakekit.incremental.equal import same
from lakekit.incremental.order import digest, newer, nth, order_columns
from lakekit.names import Columns, Identifier, TableName, companion
from lakekit.names import columns as as_columns

if TYPE_CHECKING:
    import pyarrow as pa

    from lakekit.engines.protocol import Prepared, Session
    from lakekit.lake import Lake

log = logging.getLogger(__name__)

_STORED: Final = (system.INGESTION_TIMESTAMP, system.WRITE_ID, system.SOURCE, system.SOURCE_TIMESTAMP, system.DELETED_AT)
# Not compared: they say when and by whom a row was written, not what it is.
_RUN: Final = frozenset({system.INGESTION_TIMESTAMP, system.WRITE_ID, system.DELETED_AT})


def merge(
    batch: Batch,
    *,
    key: Columns,
    into: TableName | None = None,
    order_by: Columns | None = None,
    delete_when: str | None = None,
    deletes: Deletes = Deletes("soft"),
    on_change: str = "evolve",
    write_mode: WriteMode | None = None,
    dry_run: bool = False,
    max_reject_fraction: float | None = None,
) -> Commit:
    """Keep a table by key: insert, update, delete, or leave alone, in one commit with the batch's bookmark.

    Several rows of one key reduce to the last. A row older than the stored one never wins, so batches may come in any order. Rows are
    compared null-safe and by structure; those that change nothing are not written, and a batch that changes nothing makes no snapshot.
    A column that the batch lacks keeps its stored value, and is NULL in new rows; so do all columns of a row deleted by its key alone.

    Args:
        batch: The rows.
        key: One row of the *table*. NULL in a key is rejected.
        into: The table. Default: the one ``read_new(into=)`` named. Made if missing.
        order_by: What makes a row later. Default: ``_source_timestamp``, the position in the source, ``_ingestion_timestamp``.
        delete_when: An SQL condition for deletes. Default: ``_operation = 'delete'``.
        deletes: ``Deletes("soft")`` sets ``_deleted_at``; ``Deletes("hard")`` removes the row, and keeps its key in ``<table>__deleted`` so
            that a late upsert stays dead; ``Deletes("ignore")`` leaves it.
        on_change: What new columns do: ``"evolve"`` adds them, ``"fail"`` raises with the statements to run.
        write_mode: How files with changed rows are written: ``"copy-on-write"``, anew, which keeps reads fast; ``"merge-on-read"``, as positions
            of rows that are gone, which is fast where few rows of many files change, and wants ``maintain()`` now and then; ``"auto"``,
            file by file as is cheaper. Default: the table's property ``write.merge.mode``, else ``"auto"``. Spark goes by the property.
        dry_run: Count, and write nothing.
        max_reject_fraction: Refuse to write when more of the rows are rejected.

    Writes:
        One row for each key: the batch's columns, ``_ingestion_timestamp``, ``_write_id``, ``_source``, ``_source_timestamp`` of the row that
        won, and ``_deleted_at`` (UTC microseconds; NULL: the row lives).

    Raises:
        SchemaError: A named column is missing, or types conflict.
        ConfigError: The table is kept by another key, or was named otherwise in ``read_new``.
        ContractError: Too many rejects, or the table already holds several rows of one key.
        CommitConflictError: Another run consumed a part of the batch first.

    >>> import lakekit as lk, tempfile
    >>> lake = lk.connect(tempfile.mkdtemp())
    >>> commit = lk.merge(lk.from_frame(lake, [{"id": 1, "name": "Ada"}], run_id="a"), key="id", into="silver.people")
    >>> commit = lk.merge(lk.from_frame(lake, [{"id": 1, "name": "Ada L."}, {"id": 2, "name": "Bo"}], run_id="b"), key="id", into="silver.people")
    >>> commit.inserted, commit.updated
    (1, 1)
    """
    into_ = target.resolve(batch, into, place="merge")
    keys = as_columns(key, place="merge(key=)")
    batch = target.settle(batch, into_)
    names = batch.columns
    target.require_columns(names, keys, place="merge(key=)")
    if write_mode not in (None, *get_args(WriteMode)):
        raise ConfigError("merge(write_mode=)", f"expected one of {', '.join(map(repr, get_args(WriteMode)))}", got=repr(write_mode))
    if deletes.mode not in ("soft", "hard", "ignore"):
        raise ConfigError("merge(deletes=)", "expected 'soft', 'hard' or 'ignore'", got=repr(deletes.mode))
    if batch.key and not set(batch.key) <= set(keys):
        log.warning(
            "merge into %s: the key lacks %s of the upstream's key; rows of the upstream fold into one",
            ".".join(into_),
            set(batch.key) - set(keys),
        )
    condition = target.delete_condition(batch, delete_when, place="merge")
    current = bool(batch.key) and set(batch.key) <= set(keys)
    spec = Spec(keys, order_columns(names, order_by, place="merge(order_by=)"), condition, deletes, current, write_mode)
    schema = target.schema_for(batch.schema, _STORED)
    sides.require_storable(batch, names, keys, place=f"merge(): {'.'.join(into_)}")
    found = batch.lake.find(into_)
    bookmark = sides.follow(batch, cas.stored(found) if found else Stored(), into=into_)
    began = time.perf_counter()
    with batch.lake.engine.session() as session:
        work = reduce(session, batch, into_, spec)
        rejects.refuse_too_many(work.figures.rejected, work.figures.read, max_reject_fraction, into=into_)
        if not dry_run:
            work.write_rejects(batch.lake, session, into_)
            for side in batch.sides:
                if side.infer is not None:
                    side.infer(session, work.staged)
        state, added = (
            (found or TableState.not_there_yet(into_, schema), ())
            if dry_run
            else target.ensure(batch.lake, into_, schema, layer="merged", key=keys, on_change=on_change, place="merge")
        )
        figures = attrs.evolve(work.figures, columns_added=added, columns_not_carried=batch.not_carried)

        def plan(state: TableState, write_id: int) -> cas.Planned:
            # At each attempt: others may have buried more.
            dead = _note_deleted(batch.lake, session, into_, work, spec, dry_run=dry_run) if deletes.mode == "hard" else None
            planned = classify(session, state, attrs.evolve(work, figures=figures), spec, write_id, dead=dead)
            return _plan(session, state, batch, bookmark, planned, spec, write_id)

        seconds = {"read": time.perf_counter() - began}
        return cas.write(batch.lake.engine, into_, state, bookmark, plan, dry_run=dry_run, seconds=seconds)


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


@attrs.frozen
class Spec:
    """How a table is kept: by which key, in which order, and what becomes of deletes.

    Attributes:
        current: Each incoming row is what its upstream, kept by the same key, holds now. So of equal instants it is the later one: a row that
            was looked up again keeps its own.
    """

    key: tuple[str, ...]
    order: tuple[str, ...]
    delete_when: str
    deletes: Deletes
    current: bool = False
    write_mode: WriteMode | None = None


@attrs.frozen(eq=False)
class Work:
    """A batch reduced to one row a key, staged, with what was counted and rejected on the way."""

    staged: Frame
    rows: int
    bounds: dict[str, tuple[Any, Any]]
    bad: tuple[Frame, ...]
    figures: Commit

    def write_rejects(self, lake: Lake, session: Session, into: Identifier) -> None:
        """Write the rejects, if there are any."""
        if self.figures.rejected:
            for item in self.bad:
                rejects.write(lake, session, into, item)


def reduce(session: Session, batch: Batch, into: Identifier, spec: Spec) -> Work:
    """Reduce to the last row of each key; NULL keys are rejected."""
    missing = " OR ".join(f"{ident(name)} IS NULL" for name in spec.key)
    for item in batch.rejects:
        session.stage(item.shared)
    rows = session.stage(batch.node) if batch.rejects else batch.node
    nulls = Query(f"SELECT *, 'key' AS _rule, 'null_key' AS _reason FROM batch WHERE {missing}", {"batch": rows})
    names = [name for name in batch.columns if name != system.WRITE_ID]
    inner = (
        f"SELECT {', '.join(ident(name) for name in names)}, {_kind_of_delete(names, spec)}, "
        f"{nth(batch.schema, spec.key, spec.order)} AS _nth, count(*) OVER (PARTITION BY {', '.join(map(ident, spec.key))}) AS _of FROM batch WHERE NOT ({missing})"
    )
    staged = session.stage(Query(f"SELECT * EXCEPT (_nth) FROM ({inner}) WHERE _nth = 1", {"batch": rows}))
    least = ", ".join(f"min({ident(name)}) AS `min_{index}`, max({ident(name)}) AS `max_{index}`" for index, name in enumerate(spec.key))
    found = session.one(Query(f"SELECT count(*) AS n, coalesce(sum(_of), 0) AS read, {least} FROM staged", {"staged": staged}))
    bad = [rejects.gather(session, into, item) for item in batch.rejects]
    if count(session, nulls):
        bad.append(rejects.gather(session, into, rejects.Rejects(nulls, nulls, batch.origin, batch.since)))
    rejected = sum(count(session, item) for item in bad)
    read = int(found["read"])
    figures = Commit(table=".".join(into), read=read + rejected, duplicates=read - found["n"], rejected=rejected)
    bounds = {name: (found[f"min_{index}"], found[f"max_{index}"]) for index, name in enumerate(spec.key)}
    return Work(staged, found["n"], bounds, tuple(bad), figures)


def _kind_of_delete(names: Sequence[str], spec: Spec) -> str:
    """Whether a row is a delete, and whether a bare one, which says nothing but its key: change capture and hard deletes give such ones."""
    is_delete = f"coalesce({spec.delete_when}, false)"
    nothing = [f"{ident(name)} IS NULL" for name in _says(names, spec)]
    return f"{is_delete} AS _is_delete, {' AND '.join([is_delete, *nothing])} AS _is_bare"


def _says(names: Sequence[str], spec: Spec) -> list[str]:
    """The columns of a row that say what it is, other than which and when."""
    return [name for name in names if not system.is_system(name) and name not in spec.key and name not in spec.order]


@attrs.frozen(eq=False)
class Classified:
    """What a batch does to a table: the figures, the rows that change something, and how many these are."""

    figures: Commit
    changes: Node
    size: int


def classify(session: Session, state: TableState, work: Work, spec: Spec, write_id: int, *, dead: Node | None) -> Classified:
    """Compare with the stored rows: which are new, changed, deleted, unchanged or late."""
    incoming = work.staged.schema.names
    stored = [name for name in state.schema.names if name != system.OPERATION]
    on = " AND ".join(f"s.{ident(name)} <=> t.{ident(name)}" for name in spec.key)
    inputs: dict[str, Node] = {"incoming": work.staged, "stored": Scan(state, state.head, bounds=work.bounds, places=True)}
    buried = ""
    if dead is not None:
        inputs["dead"] = dead
        buried = f"LEFT JOIN dead d ON {' AND '.join(f's.{ident(name)} <=> d.{ident(name)}' for name in spec.key)}"
    columns = ", ".join(
        [*(f"{_column(name, incoming, spec, write_id)} AS {ident(name)}" for name in stored), *(f"t.{name}" for name in session.places)]
    )
    text = f"SELECT {columns}, {_class(work.staged.schema, state.schema, spec, buried=dead is not None)} AS _class FROM incoming s LEFT JOIN (SELECT *, true AS _there FROM stored) t ON {on} {buried}"
    classified = session.stage(Query(text, inputs))
    counts = {
        row["_class"]: row["n"] for row in _rows(session, Query("SELECT _class, count(*) AS n FROM c GROUP BY _class", {"c": classified}))
    }
    if sum(counts.values()) > work.rows:
        raise ContractError(
            state.label,
            "holds several rows of one key, which a merge by that key can't tell apart",
            got=", ".join(spec.key),
            hint="remove the doubles first.",
        )
    hard = spec.deletes.mode == "hard"
    figures = attrs.evolve(
        work.figures,
        inserted=counts.get("insert", 0),
        updated=counts.get("update", 0),
        deleted=counts.get("delete", 0) + counts.get("bury", 0),
        unchanged=counts.get("unchanged", 0),
        late=counts.get("late", 0),
        removed=counts.get("delete", 0) if hard else 0,
    )
    written = ("insert", "update", "delete") if hard else ("insert", "update", "delete", "bury")
    actions = f"CASE WHEN _class IN ('insert', 'bury') THEN 'insert' WHEN _class = 'delete' THEN '{'delete' if hard else 'update'}' ELSE 'update' END"
    classes = ", ".join(f"'{name}'" for name in written)
    changes = Query(f"SELECT * EXCEPT (_class), {actions} AS _change FROM c WHERE _class IN ({classes})", {"c": classified})
    return Classified(figures, changes, sum(counts.get(name, 0) for name in written))


def _rows(session: Session, node: Node) -> list[dict[str, Any]]:
    return [row for batch in session.rows(node) for row in batch.to_pylist()]


def _column(name: str, incoming: Sequence[str], spec: Spec, write_id: int) -> str:
    """The value a written row has in one column. A row deleted by its key alone keeps what was stored."""
    if name == system.WRITE_ID:
        return f"CAST({write_id} AS BIGINT)"
    if name == system.DELETED_AT:
        instants = [f"s.{ident(column)}" for column in (system.SOURCE_TIMESTAMP, system.INGESTION_TIMESTAMP) if column in incoming]
        instants.append("CAST('1970-01-01T00:00:00Z' AS TIMESTAMP)")
        return f"CASE WHEN s._is_delete THEN coalesce({', '.join(instants)}) END"
    if name not in incoming:
        return f"t.{ident(name)}"
    if _says([name], spec):
        return f"CASE WHEN s._is_bare THEN t.{ident(name)} ELSE s.{ident(name)} END"
    return f"s.{ident(name)}"


def _class(given: pa.Schema, held: pa.Schema, spec: Spec, *, buried: bool) -> str:
    """SQL that says what becomes of each incoming row."""
    incoming, stored = given.names, [name for name in held.names if name != system.OPERATION]
    compared = [name for name in incoming if name in stored and name not in _RUN and name not in spec.key]
    says = _says(compared, spec)
    equal = {name: same(f"s.{ident(name)}", f"t.{ident(name)}", held.field(name).type) for name in compared}
    unchanged = " AND ".join([f"({'s._is_bare OR ' if name in says else ''}{words})" for name, words in equal.items()] or ["true"])
    alive = f"(t.`{system.DELETED_AT}` IS NULL)" if system.DELETED_AT in stored else "true"
    order = [name for name in spec.order if name in incoming and name in stored]
    age = newer(order, "s", "t")
    business = [name for name in incoming if name in stored and not system.is_system(name)]
    one, other = (digest([schema.field(name) for name in business], prefix=side) for schema, side in ((given, "s."), (held, "t.")))
    wins_tie = f"CASE WHEN s._is_delete <> (NOT {alive}) THEN s._is_delete ELSE {one} > {other} END"
    if spec.current or not order:  # nothing says which row is later: what comes now is
        wins_tie = "true"
    cases = []
    if spec.deletes.mode == "ignore":
        cases.append("WHEN s._is_delete THEN 'unchanged'")
    if buried:
        cases.append(f"WHEN NOT s._is_delete AND d._write_id IS NOT NULL AND {newer(spec.order, 's', 'd')} <= 0 THEN 'late'")
    return f"""CASE {" ".join(cases)}
        WHEN t._there IS NULL THEN CASE WHEN s._is_delete THEN 'bury' ELSE 'insert' END
        WHEN {age} < 0 THEN 'late'
        WHEN s._is_delete = (NOT {alive}) AND {unchanged} THEN 'unchanged'
        WHEN {age} = 0 AND NOT ({wins_tie}) THEN 'late'
        WHEN s._is_delete AND {alive} THEN 'delete'
        ELSE 'update' END"""


def _note_deleted(lake: Lake, session: Session, into: Identifier, work: Work, spec: Spec, *, dry_run: bool) -> Node | None:
    """Note the keys of hard deletes in ``<table>__deleted``, before the rows go, so that a late upsert stays dead."""
    import pyarrow as pa

    table = companion(into, "deleted")
    noted = [*spec.key, *(name for name in spec.order if name not in spec.key)]
    deleted = session.stage(
        Query(
            f"SELECT {', '.join(map(ident, noted))}, false AS _is_delete, false AS _is_bare, 1 AS _of FROM staged WHERE _is_delete",
            {"staged": work.staged},
        )
    )
    size = count(session, deleted)
    known = lake.find(table)
    if dry_run or (known is None and not size):
        return None if known is None else Scan(known, known.head)
    schema = pa.schema([work.staged.schema.field(name) for name in noted])
    full = pa.schema([*schema, pa.field(system.WRITE_ID, pa.int64())])
    state, _ = target.ensure(lake, table, full, layer="deleted", key=spec.key, on_change="evolve", place="merge")
    if size:
        inner = attrs.evolve(work, staged=deleted, rows=size, figures=Commit(table=state.label, read=size))
        alone = attrs.evolve(spec, deletes=Deletes("soft"))

        def plan(state: TableState, write_id: int) -> cas.Planned:
            found = classify(session, state, inner, alone, write_id, dead=None)
            return cas.Planned(found.figures, (lambda: session.merge(state, found.changes, on=spec.key)) if found.size else None)

        cas.write(lake.engine, table, state, Bookmark(), plan)
        state = lake.engine.load(table)
    return Scan(state, state.head)
