"""propagate: new columns brought down the layers, table by table, and filled in the rows that are there already."""

from __future__ import annotations

import functools
import itertools
import logging
from collections.abc import Callable, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING, cast

import attrs

from lakekit import columns as system
from lakekit.bookmark import Bookmark
from lakekit.commit import Commit
from lakekit.engines import sql
from lakekit.engines.plan import Alteration, Node, Query, Scan, TableState
from lakekit.engines.protocol import count
from lakekit.engines.types import ident, sql_type
from lakekit.errors import ConfigError, SchemaError
from lakekit.evolution.differences import Change
from lakekit.evolution.fit import alteration
from lakekit.evolution.schema_plan import SchemaPlan
from lakekit.incremental import cas, changes, contract
from lakekit.incremental.order import nth, order_columns
from lakekit.lineage import noted
from lakekit.names import Identifier, TableName

if TYPE_CHECKING:
    import pyarrow as pa

    from lakekit.engines.protocol import Session
    from lakekit.lake import Lake

log = logging.getLogger(__name__)

_Say = Callable[[list[str]], Mapping[str, str]]
"""Gives the columns of a table in which some of the table above it are, with their expressions."""
_Edge = tuple[Identifier, Identifier, _Say]
Hop = TableName | tuple[TableName, Mapping[str, str]]


def propagate(
    lake: Lake, plan: SchemaPlan, *, path: Sequence[Hop] | None = None, backfill: bool = True, dry_run: bool = False
) -> list[Commit]:
    """Bring the columns that a plan adds to a table down to the tables made of it, and fill them in where they are NULL.

    Each table is made to follow before it is filled, and filled before the next one: no reader sees a column that the layer above lacks. Rows
    are filled by the table's key from the layer above, only where they are NULL and it has a value, in one commit a table: run it again after
    a crash, and what was filled stays so. Filled rows are stamped, and so flow on to whoever reads changes (`read_new`).

    Args:
        lake: Where the tables are.
        plan: Which columns are new, as planned for one of these tables; what its policy left to a person (``fail``) is brought down too. Fields
            inside of columns come with the rows to come, and are not filled: the log says so.
        path: The tables from the upper one down: ``["bronze.orders", "silver.orders", "gold.fact_orders"]``. The first gets the columns too, where it
            lacks them. Where a column or the key is another one than above, with expressions over the table above:
            ``("gold.fact_orders", {"device": "upper(device_type)", "order_key": "order_id"})``; columns that are not named stay behind then.
            Default: the tables that were made of the plan's one by `read_new`, `select`, `clean` … and written by `merge`, `append`, `merge_scd2`:
            each notes how its columns come from those above; ``select(rest="drop")`` leaves new ones behind.
        backfill: Whether rows that are there are filled.
        dry_run: Count, and change nothing.

    Returns:
        A Commit for each table but the first: the columns added, and ``updated``, the rows filled. A dimension of `merge_scd2` is left to its next
        run, which takes the filled rows and the column as ``new_column=`` says. A table without a key on the way that the tables know gets the
        columns, NULL in the rows that are there; the log says so.

    Raises:
        TableNotFoundError: A table is missing.
        ConfigError: A table of ``path=`` has no key to be filled by, or there is but one table.
        SchemaError: A column has another type there already.

    >>> import lakekit as lk, tempfile
    >>> lake = lk.connect(tempfile.mkdtemp())
    >>> for name in ("bronze.orders", "silver.orders"):
    ...     _ = lk.merge(lk.from_frame(lake, [{"id": 1}], run_id="a"), key="id", into=name)
    >>> _ = lk.merge(lk.from_frame(lake, [{"id": 1, "device_type": "phone"}], run_id="b"), key="id", into="bronze.orders")
    >>> plan = lk.evolution.plan(lake, "bronze.orders", into="silver.orders")
    >>> (commit,) = lk.evolution.propagate(lake, plan, path=["bronze.orders", "silver.orders"])
    >>> commit.columns_added, commit.updated
    (('device_type',), 1)
    """
    import pyarrow as pa

    top, steps = _given(lake, path) if path is not None else _derived(lake, plan)
    added = [change for change in plan.of("evolve", "fail") if change.kind == "additive"]
    carried = [change for change in added if len(change.path) == 1]
    if inner := [change.name for change in added if len(change.path) > 1]:
        log.warning("%s: fields inside of columns come with rows to come, and are not filled: %s", plan.table, ", ".join(inner))
    if not dry_run:
        _ensure(lake, top, carried)
    names = {top: [change.column for change in carried]}
    state = lake.engine.load(top)
    above = {top: _Table(state, _with(state, [pa.field(change.column, change.after) for change in carried if change.after is not None]))}
    commits: list[Commit] = []
    with lake.engine.session() as session:
        for upper, lower, say in steps:
            words = say(names.get(upper, []))
            if not words:
                continue
            state = lake.engine.load(lower)
            if contract.scd2(state) is not None:  # it has not got the columns yet, and so has nobody below it
                log.info("%s: its next merge_scd2 takes the columns", state.label)
                commits.append(Commit(table=state.label))
                continue
            source = above.get(upper) or _now_is(lake.engine.load(upper))
            commit, above[lower] = _bring(lake, session, source, state, words, backfill=backfill, derived=path is None, dry_run=dry_run)
            commits.append(commit)
            key = contract.key(state)
            names.setdefault(lower, []).extend(name for name in words if name not in key and name not in names.get(lower, []))
    return commits


@attrs.frozen
class _Table:
    """A table, and its rows; in a dry run, those that it would have."""

    state: TableState
    rows: Node


def _now_is(state: TableState) -> _Table:
    return _Table(state, Scan(state, state.head))


def _given(lake: Lake, path: Sequence[Hop]) -> tuple[Identifier, list[_Edge]]:
    """The first table of a path, and its steps."""
    if len(path) < 2:
        raise ConfigError("evolution.propagate(path=)", "expected the tables from the upper one down", got=f"{len(path)} of them")
    hops = [_hop(lake, hop) for hop in path]
    return hops[0][0], [(upper, lower, _said(given)) for (upper, _), (lower, given) in itertools.pairwise(hops)]


def _said(given: Mapping[str, str] | None) -> _Say:
    return lambda names: given if given is not None else {name: ident(name) for name in names}


def _derived(lake: Lake, plan: SchemaPlan) -> tuple[Identifier, list[_Edge]]:
    """The tables that lakekit's functions made of the plan's one, upper ones first, by what they noted of their columns."""
    top = lake.identifier(plan.table, place="evolution.propagate()")
    states = [state for name in lake.engine.tables() if (state := lake.find(name)) is not None]
    by_upstream = {changes.upstream(state): state.name for state in states}
    made = {
        state.name: {by_upstream[name]: one for name, one in noted(state.properties).items() if name in by_upstream} for state in states
    }
    keys = {state.name: contract.key(state) for state in states}
    graph = {name: sorted(uppers) for name, uppers in made.items()}
    below = {top}
    edges: list[_Edge] = []
    try:
        order = list(TopologicalSorter(graph).static_order())
    except CycleError:
        raise ConfigError("evolution.propagate()", "tables are made of each other in a circle", hint="name the way with path=.") from None
    for name in order:
        for upper in graph.get(name, []):
            if upper in below and name != top:
                below.add(name)
                edges.append((upper, name, functools.partial(made[name][upper].of, key=keys[name])))
    return top, edges


def _hop(lake: Lake, hop: Hop) -> tuple[Identifier, Mapping[str, str] | None]:
    place = "evolution.propagate(path=)"
    if isinstance(hop, tuple) and len(hop) == 2 and not isinstance(hop[1], str):
        return lake.identifier(hop[0], place=place), hop[1]
    return lake.identifier(cast("TableName", hop), place=place), None


def _ensure(lake: Lake, table: Identifier, carried: Sequence[Change]) -> None:
    """The first table with the columns, which may not have come there yet."""
    state = lake.engine.load(table)
    missing = [alteration(change) for change in carried if change.column not in state.schema.names]
    if missing:
        lake.engine.alter(state, missing)


def _bring(
    lake: Lake,
    session: Session,
    above: _Table,
    state: TableState,
    given: Mapping[str, str],
    *,
    backfill: bool,
    derived: bool,
    dry_run: bool,
) -> tuple[Commit, _Table]:
    """One table after the one above it; and how it is then."""
    place = f"evolution.propagate(): {state.label}"
    there = session.schema(above.rows).names
    words = {name: sql.expression(expression, there, place=place) for name, expression in given.items()}
    key = contract.key(state) or state.identifiers
    new = [name for name in words if name not in key]
    made = session.schema(Query(f"SELECT {_items(words, new)} FROM upper", {"upper": above.rows}))
    added = _added(state, made, place=place)
    if added and not dry_run:
        state = lake.engine.alter(state, [Alteration("add", (field.name,), field.type) for field in added])
    figures = Commit(table=state.label, columns_added=tuple(field.name for field in added), committed=bool(added) and not dry_run)
    if backfill and not key:
        if not derived:
            raise ConfigError(place, "has no key to be filled by", hint="write it with merge(), or give backfill=False.")
        log.warning("%s has no key to be filled by: it gets the columns, which stay NULL in the rows that are there", state.label)
    if not backfill or not key:
        return figures, _Table(state, _with(state, added))
    values = _values(session, above, {**{name: ident(name) for name in key}, **words}, key, place=place)

    def planned(state: TableState, write_id: int) -> cas.Planned:
        rows = session.stage(_filled(session, state, values, key, new, write_id))
        size = count(session, rows)
        found = attrs.evolve(figures, read=size, updated=size)
        return cas.Planned(found, (lambda: session.merge(state, rows, on=key)) if size else None)

    commit = cas.write(lake.engine, state.name, state, Bookmark(), planned, dry_run=dry_run)
    commit = attrs.evolve(commit, committed=commit.committed or figures.committed)
    if dry_run:
        return commit, _Table(state, _overlaid(state, values, key, new))
    return commit, _now_is(lake.engine.load(state.name))


def _with(state: TableState, fields: Sequence[pa.Field]) -> Node:
    """A table's rows, with columns that it lacks still."""
    missing = [f"CAST(NULL AS {sql_type(field.type)}) AS {ident(field.name)}" for field in fields if field.name not in state.schema.names]
    return Query(f"SELECT {', '.join(['*', *missing])} FROM stored", {"stored": Scan(state, state.head)})


def _overlaid(state: TableState, values: Node, key: Sequence[str], new: Sequence[str]) -> Node:
    """A table's rows, filled."""
    columns = [f"d.{ident(name)}" for name in state.schema.names if name not in new]
    columns += [f"{_now(name, state)} AS {ident(name)}" for name in new]
    return Query(
        f"SELECT {', '.join(columns)} FROM stored d LEFT JOIN found v ON {_same(key)}",
        {"stored": Scan(state, state.head), "found": values},
    )


def _now(name: str, state: TableState) -> str:
    """SQL for a column that is filled: what it has, else what it gets."""
    got = f"v.{ident(f'_new_{name}')}"
    return f"coalesce(d.{ident(name)}, {got})" if name in state.schema.names else got


def _same(key: Sequence[str]) -> str:
    return " AND ".join(f"d.{ident(name)} <=> v.{ident(f'_new_{name}')}" for name in key)


def _items(words: Mapping[str, str], names: Sequence[str]) -> str:
    return ", ".join(f"{words[name]} AS {ident(name)}" for name in names)


def _added(state: TableState, made: pa.Schema, *, place: str) -> list[pa.Field]:
    """The columns that the table lacks."""
    for field in made:
        if field.name in state.schema.names and state.schema.field(field.name).type != field.type:
            raise SchemaError(
                f"{place}, column {field.name!r}",
                f"expected {state.schema.field(field.name).type}",
                got=str(field.type),
                hint="give an expression that casts it.",
            )
    return [field for field in made if field.name not in state.schema.names]


def _values(session: Session, above: _Table, words: Mapping[str, str], key: Sequence[str], *, place: str) -> Node:
    """What the table above says now for each key: of several rows of one key, the last one's."""
    there = session.schema(above.rows).names
    if missing := [name for name in key if words[name] == ident(name) and name not in there]:
        raise ConfigError(
            place,
            f"{above.state.label} lacks columns of the key",
            got=", ".join(map(repr, missing)),
            hint="say in path= what they are there.",
        )
    made = ", ".join(f"{expression} AS {ident(f'_new_{name}')}" for name, expression in words.items())
    rows = Query(f"SELECT *, {made} FROM upper", {"upper": above.rows})
    if {ident(name) for name in contract.key(above.state)} == {words[name] for name in key}:  # there is one row of each
        once = "SELECT * FROM rows"
    else:
        order = order_columns(there, None, place=place)
        numbered = nth(session.schema(rows), [f"_new_{name}" for name in key], order)
        once = f"SELECT * FROM (SELECT *, {numbered} AS _nth FROM rows) WHERE _nth = 1"
    alive = "" if system.OPERATION not in there else f" AND {ident(system.OPERATION)} <> '{system.DELETE}'"
    picked = ", ".join(ident(f"_new_{name}") for name in words)
    return session.stage(Query(f"SELECT {picked} FROM ({once}) WHERE true{alive}", {"rows": rows}))


def _filled(session: Session, state: TableState, values: Node, key: Sequence[str], new: Sequence[str], write_id: int) -> Query:
    """The rows that are NULL in a new column for which there is a value now."""
    own = {name: _now(name, state) for name in new} | {system.WRITE_ID: f"CAST({write_id} AS BIGINT)"}
    columns = [f"{own.get(name, f'd.{ident(name)}')} AS {ident(name)}" for name in state.schema.names]
    columns += [f"d.{name}" for name in session.places]
    # In a dry run, the column may not be there.
    there = {name: f"d.{ident(name)} IS NULL AND " if name in state.schema.names else "" for name in new}
    wanted = " OR ".join(f"({empty}v.{ident(f'_new_{name}')} IS NOT NULL)" for name, empty in there.items())
    return Query(
        f"SELECT {', '.join(columns)}, 'update' AS _change FROM stored d JOIN found v ON {_same(key)} WHERE {wanted}",
        {"stored": Scan(state, state.head, places=True), "found": values},
        ordered=True,
    )
