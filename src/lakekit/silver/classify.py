"""What a batch does to a table kept by key: its rows reduced to one a key, and each compared with the stored one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, Literal

import attrs

from lakekit import columns as system
from lakekit.commit import Commit
from lakekit.deletes import Deletes
from lakekit.engines.plan import Frame, Node, Query, Scan, TableState, WriteMode
from lakekit.engines.types import dotted, ident
from lakekit.errors import ContractError
from lakekit.incremental import horizon, rejects
from lakekit.incremental.equal import same
from lakekit.incremental.order import digest, newer
from lakekit.incremental.tallies import count_checks
from lakekit.names import Identifier
from lakekit.silver.last import last_rows

if TYPE_CHECKING:
    import pyarrow as pa

    from lakekit.batch import Batch
    from lakekit.bookmark import Bookmark
    from lakekit.engines.protocol import Session
    from lakekit.lake import Lake

WhenMatched = Literal["update", "ignore"]
WhenNotMatched = Literal["insert", "ignore"]
Duplicates = Literal["last", "fail"]
NullKeys = Literal["reject", "match"]
# Not compared: they say when and by whom a row was written, not what it is.
_RUN: Final = frozenset({system.INGESTION_TIMESTAMP, system.WRITE_ID, system.DELETED_AT})
_SAYS_WHEN: Final = frozenset({system.SOURCE, system.SOURCE_TIMESTAMP, system.SOURCE_LSN})
_OF_CHANGES: Final = frozenset(
    {
        system.KAFKA_TOPIC,
        system.KAFKA_TIMESTAMP,
        system.KAFKA_KEY,
        system.KAFKA_HEADERS,
        system.SOURCE_TRANSACTION,
        system.SOURCE_KEY,
        system.MOVED_FROM,
        system.MOVED_TO,
        system.UNAVAILABLE,
    }
)


@attrs.frozen
class Spec:
    """How a table is kept: by which key, in which order, and what becomes of deletes.

    Attributes:
        current: Each incoming row is what its upstream, kept by the same key, holds now. So of equal instants it is the later one: a row that
            was looked up again keeps its own.
        again: The write ids since the bookmark was set back: a row of an earlier write yields to what is read again, as rules may be others
            now. None: it never was set back.
    """

    key: tuple[str, ...]
    order: tuple[str, ...]
    delete_when: str
    deletes: Deletes
    current: bool = False
    write_mode: WriteMode | None = None
    when_matched: WhenMatched = "update"
    when_not_matched: WhenNotMatched = "insert"
    duplicates: Duplicates = "last"
    null_keys: NullKeys = "reject"
    again: tuple[int, ...] | None = None


@attrs.frozen(eq=False)
class Work:
    """A batch reduced to one row a key, with what was counted and rejected on the way.

    Attributes:
        rows: The rows, to be read as often as needed.
        schema: Their columns.
        size: How many they are.
        deletes: Whether some may be deletes. Where none is, the comparison has less to ask.
        bounds: The least and the greatest value of each key column.
        bad: What was rejected.
    """

    rows: Node
    schema: pa.Schema
    size: int
    deletes: bool
    bounds: dict[str, tuple[Any, Any]]
    bad: tuple[Frame, ...]
    figures: Commit

    def write_rejects(self, lake: Lake, session: Session, into: Identifier, bookmark: Bookmark) -> None:
        """Write the rejects, if there are any."""
        if self.figures.rejected:
            for item in self.bad:
                rejects.write(lake, session, into, item, bookmark)


def reduce(session: Session, batch: Batch, into: Identifier, spec: Spec, *, late: bool = False) -> Work:
    """Reduce to the last row of each key; NULL keys are rejected. ``late``: rows may be rejected afterwards, too, and are needed in full."""
    keys = [dotted(name, batch.schema) for name in spec.key]
    missing = " OR ".join(f"{key} IS NULL" for key in keys) if spec.null_keys == "reject" else "false"
    for node in batch.shared:
        session.stage(node)
    needed = batch.node if late else _needed(batch, spec)
    rows = session.stage(needed)
    least = ", ".join(
        f"min(k{index}) AS `min_{index}`, max(k{index}) AS `max_{index}`, count(k{index}) AS `values_{index}`" for index in range(len(keys))
    )
    named = ", ".join(f"{key} AS k{index}" for index, key in enumerate(keys))
    deletes = f"max(CASE WHEN {spec.delete_when} THEN 1 ELSE 0 END) AS _deletes"
    counted = f"SELECT {named}, count(*) AS _of, {deletes} FROM batch WHERE NOT ({missing}) GROUP BY {', '.join(keys)}"
    by_key = session.stage(Query(counted, {"batch": rows}))
    figures = f"count(*) AS n, coalesce(sum(_of), 0) AS read, (SELECT count(*) FROM batch) AS total, max(_deletes) AS deletes, {least}"
    found = session.one(Query(f"SELECT {figures} FROM keys", {"batch": rows, "keys": by_key}))
    read, size = int(found["read"]), int(found["n"])
    if read > size and spec.duplicates == "fail":
        raise ContractError(
            ".".join(into),
            "the batch holds several rows of one key",
            got=f"{read - size} too many",
            hint='say which one counts: merge(duplicates="last", order_by=…).',
        )
    names = [name for name in session.schema(rows).names if name != system.WRITE_ID]
    given = f"{', '.join(map(ident, names))}, {_kind_of_delete(names, spec)}"
    reduced: Node = Query(f"SELECT {given} FROM batch WHERE NOT ({missing})", {"batch": rows})
    if read > size:
        reduced = last_rows(session, batch.schema, spec.key, spec.order, reduced, by_key)
    bad = [rejects.gather(session, into, item) for item in batch.rejects]
    if found["total"] > read:
        full = rows if needed is batch.node else batch.node
        nulls = Query(f"SELECT *, 'key' AS _rule, 'null_key' AS _reason FROM batch WHERE {missing}", {"batch": full})
        bad.append(rejects.gather(session, into, rejects.Rejects(nulls, nulls, batch.origin, batch.since)))
    rejected = rejects.total(session, bad)
    checked = count_checks(session, batch.tallies, into=into)
    commit = Commit(table=".".join(into), read=read + rejected, duplicates=read - size, rejected=rejected, checks=checked)
    # Files are not looked for by a column that is NULL in some row: their statistics speak of values.
    bounds = {
        name: (found[f"min_{index}"], found[f"max_{index}"]) for index, name in enumerate(spec.key) if found[f"values_{index}"] == size
    }
    return Work(reduced, session.schema(reduced), size, bool(found["deletes"]), bounds, tuple(bad), commit)


def _needed(batch: Batch, spec: Spec) -> Node:
    """The rows without what lakekit's own columns say of a change and no merge asks for: of a change log, that is most of them."""
    asked = {*spec.key, *spec.order, *(name for side in batch.sides for name in side.reads)}
    idle = [name for name in batch.columns if name in _OF_CHANGES and name not in asked and ident(name) not in spec.delete_when]
    if not idle:
        return batch.node
    return Query(f"SELECT {', '.join(ident(name) for name in batch.columns if name not in idle)} FROM batch", {"batch": batch.node})


def _kind_of_delete(names: Sequence[str], spec: Spec) -> str:
    """Whether a row is a delete, and whether a bare one, which says nothing but its key: change capture and hard deletes give such ones."""
    is_delete = f"coalesce({spec.delete_when}, false)"
    nothing = [f"{ident(name)} IS NULL" for name in _says(names, spec)]
    return f"{is_delete} AS _is_delete, {' AND '.join([is_delete, *nothing])} AS _is_bare"


def _says(names: Sequence[str], spec: Spec) -> list[str]:
    """The columns of a row that say what it is, other than which and when."""
    which = {*spec.key, *(name.partition(".")[0] for name in spec.key)}
    return [name for name in names if not system.is_system(name) and name not in which and name not in spec.order]


@attrs.frozen(eq=False)
class Classified:
    """What a batch does to a table: the figures, the rows that change something, and how many these are.

    Attributes:
        too_late: Rows of which nobody can tell any more whether they were deleted. None: there are none.
    """

    figures: Commit
    changes: Node
    size: int
    too_late: Node | None = None


def classify(session: Session, state: TableState, work: Work, spec: Spec, write_id: int, *, dead: Node | None) -> Classified:
    """Compare with the stored rows: which are new, changed, deleted, unchanged or late."""
    classified, counts = _compared(session, state, work, spec, write_id, dead=dead, ties=False)
    if "tie" in counts:
        classified, counts = _compared(session, state, work, spec, write_id, dead=dead, ties=True)
    if sum(counts.values()) > work.size:
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
        rejected=work.figures.rejected + counts.get("too_late", 0),
        removed=counts.get("delete", 0) if hard else 0,
    )
    written = ("insert", "update", "delete") if hard else ("insert", "update", "delete", "bury")
    actions = f"CASE WHEN _class IN ('insert', 'bury') THEN 'insert' WHEN _class = 'delete' THEN '{'delete' if hard else 'update'}' ELSE 'update' END"
    classes = ", ".join(f"'{name}'" for name in written)
    changes = Query(f"SELECT * EXCEPT (_class), {actions} AS _change FROM c WHERE _class IN ({classes})", {"c": classified})
    late = Query("SELECT * FROM c WHERE _class = 'too_late'", {"c": classified}) if "too_late" in counts else None
    return Classified(figures, changes, sum(counts.get(name, 0) for name in written), late)


def _compared(
    session: Session, state: TableState, work: Work, spec: Spec, write_id: int, *, dead: Node | None, ties: bool
) -> tuple[Frame, dict[str, int]]:
    """The rows as they would be written, each with its class, and how many there are of each."""
    incoming = work.schema.names
    stored = [name for name in state.schema.names if name != system.OPERATION]
    on = " AND ".join(f"s.{dotted(name, work.schema)} <=> t.{dotted(name, state.schema)}" for name in spec.key)
    inputs: dict[str, Node] = {"incoming": work.rows, "stored": Scan(state, state.head, bounds=work.bounds, places=True)}
    buried = ""
    if dead is not None:
        inputs["dead"] = dead
        buried = f"LEFT JOIN dead d ON {' AND '.join(f's.{ident(name)} <=> d.{ident(name)}' for name in spec.key)}"
    columns = [f"{_column(name, incoming, spec, write_id, deletes=work.deletes)} AS {ident(name)}" for name in stored]
    columns += [f"t.{name}" for name in session.places]
    late = horizon.too_late(state, work.schema, row="s")
    columns.append(f"{_class(work, state.schema, spec, buried=dead is not None, late=late, ties=ties)} AS _class")
    joined = f"(SELECT *, true AS _there FROM stored) t RIGHT JOIN incoming s ON {on} {buried}"
    classified = session.stage(Query(f"SELECT {', '.join(columns)} FROM {joined}", inputs, ordered=True))
    sizes = _rows(session, Query("SELECT _class, count(*) AS n FROM c GROUP BY _class", {"c": classified}))
    return classified, {row["_class"]: row["n"] for row in sizes}


def _rows(session: Session, node: Node) -> list[dict[str, Any]]:
    return [row for batch in session.rows(node) for row in batch.to_pylist()]


def _column(name: str, incoming: Sequence[str], spec: Spec, write_id: int, *, deletes: bool) -> str:
    """The value a written row has in one column. A row deleted by its key alone keeps what was stored."""
    if name == system.WRITE_ID:
        return f"CAST({write_id} AS BIGINT)"
    if name == system.DELETED_AT and not deletes:
        return "CAST(NULL AS TIMESTAMP)"
    if name == system.DELETED_AT:
        instants = [f"s.{ident(column)}" for column in (system.SOURCE_TIMESTAMP, system.INGESTION_TIMESTAMP) if column in incoming]
        instants.append("CAST('1970-01-01T00:00:00Z' AS TIMESTAMP)")
        return f"CASE WHEN s._is_delete THEN coalesce({', '.join(instants)}) END"
    if name not in incoming:
        return f"t.{ident(name)}"
    if deletes and _says([name], spec):
        return f"CASE WHEN s._is_bare THEN t.{ident(name)} ELSE s.{ident(name)} END"
    return f"s.{ident(name)}"


def _class(work: Work, held: pa.Schema, spec: Spec, *, buried: bool, late: str | None, ties: bool) -> str:
    """SQL that says what becomes of each incoming row.

    Rows of equal age that differ are told apart by digests, which take long to compute and longer to plan: only with ``ties``, otherwise
    they are a class of their own.
    """
    given, gone, bare = work.schema, *(("s._is_delete", "s._is_bare") if work.deletes else ("false", "false"))
    incoming, stored = given.names, [name for name in held.names if name != system.OPERATION]
    compared = [name for name in incoming if name in stored and name not in _RUN and name not in spec.key]
    says = _says(compared, spec)
    equal = {name: same(f"s.{ident(name)}", f"t.{ident(name)}", held.field(name).type) for name in compared}
    if system.SOURCE_OPERATION in incoming:  # a row that a snapshot read again is no change of its own
        equal |= {name: f"s.`{system.SOURCE_OPERATION}` <=> 'r' OR {equal[name]}" for name in _SAYS_WHEN & equal.keys()}
    unchanged = " AND ".join([f"({f'{bare} OR ' if name in says else ''}{words})" for name, words in equal.items()] or ["true"])
    alive = f"(t.`{system.DELETED_AT}` IS NULL)" if system.DELETED_AT in stored else "true"
    order = [name for name in spec.order if name in incoming and name in stored]
    age = newer(order, "s", "t")
    cases = [f"WHEN {gone} THEN 'unchanged'"] if spec.deletes.mode == "ignore" else []
    if buried:
        known = f"d._write_id IS NOT NULL AND {newer(spec.order, 's', 'd')} <= 0"
        cases.append(f"WHEN NOT {gone} AND {known} THEN 'late'")
        cases.append(f"WHEN {gone} AND t._there IS NULL AND {known} THEN 'unchanged'")
    if late is not None:
        cases.append(f"WHEN NOT {gone} AND t._there IS NULL AND {late} THEN 'too_late'")
    cases += ["WHEN t._there IS NOT NULL THEN 'unchanged'"] if spec.when_matched == "ignore" else []
    cases += ["WHEN t._there IS NULL THEN 'unchanged'"] if spec.when_not_matched == "ignore" else []
    cases += [
        f"WHEN t._there IS NULL THEN CASE WHEN {gone} THEN 'bury' ELSE 'insert' END",
        f"WHEN {age} < 0 THEN 'late'",
        f"WHEN {gone} = (NOT {alive}) AND {unchanged} THEN 'unchanged'",
    ]
    if order and not spec.current:  # otherwise what comes now is later
        business = [name for name in incoming if name in stored and not system.is_system(name)]
        one, other = (digest([schema.field(name) for name in business], prefix=side) for schema, side in ((given, "s."), (held, "t.")))
        tied = f"{age} = 0" + (f" AND {_written_in(spec.again)}" if spec.again is not None and system.WRITE_ID in stored else "")
        cases += [
            f"WHEN {tied} AND {gone} <> (NOT {alive}) AND NOT {gone} THEN 'late'",
            f"WHEN {tied} AND {gone} = (NOT {alive}) {f'AND NOT {one} > {other} THEN' if ties else 'THEN'} '{'late' if ties else 'tie'}'",
        ]
    return f"CASE {' '.join(cases)} WHEN {gone} AND {alive} THEN 'delete' ELSE 'update' END"


def _written_in(writes: Sequence[int]) -> str:
    return f"coalesce(t.`{system.WRITE_ID}` IN ({', '.join(map(str, writes))}), false)" if writes else "false"
