"""propagate: new columns brought down the layers, table by table, and filled in the rows that are there already."""

from __future__ import annotations

import functools
import itertools
import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING, Any, cast

import attrs

from lakekit import logs
from lakekit.bookmark import Bookmark
from lakekit.commit import Commit
from lakekit.engines import sql
from lakekit.engines.plan import Node, Query, Scan, TableState
from lakekit.engines.protocol import count
from lakekit.engines.types import ident
from lakekit.errors import ConfigError
from lakekit.evolution.differences import Change, Path
from lakekit.evolution.filling import Fills, at, filled, lacking, overlaid, values_of, with_columns
from lakekit.evolution.fit import alteration
from lakekit.evolution.schema_plan import SchemaPlan, grown
from lakekit.incremental import cas, changes, contract
from lakekit.lineage import noted
from lakekit.names import Identifier, TableName
from lakekit.operations import operation

if TYPE_CHECKING:
    import pyarrow as pa

    from lakekit.engines.protocol import Session
    from lakekit.lake import Lake

log = logging.getLogger(__name__)

_Say = Callable[[Collection[str]], Mapping[str, str]]
"""Gives the columns of a table in which some of the table above it are, with their expressions."""
_Edge = tuple[Identifier, Identifier, _Say]
Hop = TableName | tuple[TableName, Mapping[str, str]]


@operation
def propagate(
    lake: Lake, plan: SchemaPlan, *, path: Sequence[Hop] | None = None, backfill: bool = True, dry_run: bool = False
) -> list[Commit]:
    """Bring the columns that a plan adds to a table down to the tables made of it, and fill them in where they are NULL.

    Each table is made to follow before it is filled, and filled before the next one: no reader sees a column that the layer above lacks. Rows
    are filled by the table's key from the layer above, only where they are NULL and it has a value, in one commit a table: run it again after
    a crash, and what was filled stays so. Filled rows are stamped, and so flow on to whoever reads changes (`read_new`).

    Args:
        lake: Where the tables are.
        plan: Which columns are new, and fields inside of them, as planned for one of these tables; what its policy left to a person (``fail``) is
            brought down too. Fields inside of lists and maps come with the rows to come, and are not filled: the log says so.
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
    top, steps = _given(lake, path) if path is not None else _derived(lake, plan)
    carried = _carried(plan, lake.engine.load(top))
    if not dry_run:
        _ensure(lake, top, carried)
    state = lake.engine.load(top)
    above = {top: _Table(state, with_columns(state, [change for change in carried if len(change.path) == 1]))}
    fills: dict[Identifier, Fills] = {top: {}}
    for change in carried:
        fills[top] = {**fills[top], change.column: (*fills[top].get(change.column, ()), change.path[1:])}
    commits: list[Commit] = []
    with lake.engine.session() as session:
        for upper, lower, say in steps:
            words = say(fills.get(upper, {}))
            if not words:
                continue
            state = lake.engine.load(lower)
            if contract.scd2(state) is not None:  # it has not got the columns yet, and so has nobody below it
                log.info("%s: its next merge_scd2 takes the columns", state.label, extra=logs.fields("columns_later", table=state.label))
                commits.append(Commit(table=state.label))
                continue
            source = above.get(upper) or _now_is(lake.engine.load(upper))
            key = contract.key(state) or state.identifiers
            new = {name: _passed(words[name], fills.get(upper, {})) for name in words if name not in key}
            commit, above[lower] = _bring(
                lake, session, source, state, words, new, backfill=backfill, derived=path is None, dry_run=dry_run
            )
            commits.append(commit)
            fills[lower] = {**fills.get(lower, {}), **new}
    return commits


def _carried(plan: SchemaPlan, top: TableState) -> list[Change]:
    """What is brought down."""
    found: list[Change] = []
    for change in plan.of("evolve", "fail"):
        if change.kind == "additive" and change.after is not None:
            if _is_repeated(top.schema, change.path):
                log.warning(
                    "%s, inside of a list or a map, comes with rows to come and is not filled",
                    change.name,
                    extra=logs.fields("not_filled", table=top.label, column=change.name),
                )
            else:
                found.append(change)
    return found


def _is_repeated(schema: pa.Schema, path: Path) -> bool:
    """Whether a path leads into a list or a map."""
    import pyarrow as pa

    kind: Any = pa.struct(list(schema))
    for name in path:
        if not pa.types.is_struct(kind):
            return True
        if kind.get_field_index(name) < 0:
            return False
        kind = kind.field(name).type
    return False


def _passed(expression: str, fills: Fills) -> tuple[Path, ...]:
    """What is filled of a column that an expression makes: of one that goes on as it is, what was filled above; otherwise all."""
    return next((inner for name, inner in fills.items() if expression in (name, ident(name))), ((),))


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
    import pyarrow as pa

    state = lake.engine.load(table)
    missing = [alteration(change) for change in carried if at(pa.struct(list(state.schema)), change.path) is None]
    if missing:
        lake.engine.alter(state, missing)


def _bring(
    lake: Lake,
    session: Session,
    above: _Table,
    state: TableState,
    given: Mapping[str, str],
    new: Fills,
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
    made = session.schema(Query(f"SELECT {_items(words, new)} FROM upper", {"upper": above.rows}))
    new = {
        field.name: tuple(path for path in new[field.name] if at(field.type, path) is not None)
        if field.name in state.schema.names
        else ((),)
        for field in made
    }
    added = lacking(state, made, new, place=place)
    after = grown(state.schema, added)
    if added and not dry_run:
        state = lake.engine.alter(state, [alteration(change) for change in added])
    figures = Commit(table=state.label, columns_added=tuple(change.name for change in added), committed=bool(added) and not dry_run)
    if backfill and not key:
        if not derived:
            raise ConfigError(place, "has no key to be filled by", hint="write it with merge(), or give backfill=False.")
        log.warning(
            "%s has no key to be filled by: it gets the columns, which stay NULL in the rows that are there",
            state.label,
            extra=logs.fields("not_filled", table=state.label),
        )
    if not backfill or not key:
        return figures, _Table(state, with_columns(state, added))
    values = values_of(session, above.state, above.rows, {**{name: ident(name) for name in key}, **words}, key, place=place)

    def planned(state: TableState, write_id: int) -> cas.Planned:
        rows = session.stage(filled(session, state, values, key, new, write_id, after=after if dry_run else None))
        size = count(session, rows)
        found = attrs.evolve(figures, read=size, updated=size)
        return cas.Planned(found, (lambda: session.merge(state, rows, on=key)) if size else None)

    commit = cas.write(lake.engine, state.name, state, Bookmark(), planned, dry_run=dry_run)
    commit = attrs.evolve(commit, committed=commit.committed or figures.committed)
    if dry_run:
        return commit, _Table(state, overlaid(state, values, key, new, after))
    return commit, _now_is(lake.engine.load(state.name))


def _items(words: Mapping[str, str], names: Iterable[str]) -> str:
    return ", ".join(f"{words[name]} AS {ident(name)}" for name in names)
