"""read_new_groups and replace_groups: aggregates that follow their rows. All rows of a touched group are read, and the group is written anew."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import attrs

from lakekit import columns as system
from lakekit.batch import Batch, Groups
from lakekit.bookmark import Position
from lakekit.commit import Commit
from lakekit.engines import sql
from lakekit.engines.plan import Frame, Node, Query, Scan, TableState
from lakekit.engines.protocol import count
from lakekit.engines.types import dotted, ident
from lakekit.errors import ConfigError, ContractError
from lakekit.incremental import cas, changes, contract, rejects, target
from lakekit.incremental.read import consume
from lakekit.incremental.tallies import count_checks
from lakekit.lake import Lake
from lakekit.names import Columns, TableName, text
from lakekit.names import columns as as_columns
from lakekit.operations import operation

if TYPE_CHECKING:
    from lakekit.engines.protocol import Session
    from lakekit.evolution.policy import Policy


def read_new_groups(lake: Lake, table: TableName, *, into: TableName, by: Columns | Mapping[str, str]) -> Batch:
    """All living rows of the groups that changed since ``into`` last consumed the table: those rows are in now, and those they were in before.

    So a sum, a count or a top ten is computed from whole groups, and a group that lost its last row is known too. Write it with `replace_groups`.

    Args:
        lake: Where both tables are.
        table: The table to read, the upstream.
        into: The table that consumes it.
        by: The columns that make a group, or name to SQL expression: ``{"day": "date_trunc('day', ordered_at)"}``.

    Writes:
        The upstream's columns, and those of ``by`` that are expressions.

    Raises:
        TableNotFoundError: There is no such upstream.
        SchemaError: A column is missing.
        QueryError: An expression doesn't parse.
        BookmarkLostError: The upstream was rolled back behind what was consumed of it.

    >>> import lakekit as lk, tempfile
    >>> lake = lk.connect(tempfile.mkdtemp())
    >>> sold = [{"id": 1, "city": "Bonn", "price": 2}, {"id": 2, "city": "Bonn", "price": 3}, {"id": 3, "city": "Kiel", "price": 4}]
    >>> _ = lk.merge(lk.from_frame(lake, sold, run_id="a"), into="silver.orders", key="id")
    >>> def turnover():
    ...     cities = lk.read_new_groups(lake, "silver.orders", into="gold.turnover", by="city")
    ...     return lk.replace_groups(cities.sql("SELECT city, sum(price) AS turnover FROM batch GROUP BY city"))
    >>> turnover().inserted
    2
    >>> _ = lk.merge(lk.from_frame(lake, [{"id": 3, "city": "Bonn", "price": 4}], run_id="b"), into="silver.orders", key="id")
    >>> commit = turnover()
    >>> lk.read(lake, "gold.turnover").to_arrow().select(["city", "turnover"]).to_pylist()
    [{'city': 'Bonn', 'turnover': 9}]
    """
    place = "read_new_groups"
    reading = consume(lake, table, into, place=place)
    state, names = reading.state, reading.state.schema.names
    if isinstance(by, Mapping):
        groups = {name: sql.expression(words, names, place=f"{place}(by={name!r})") for name, words in by.items()}
        if taken := [name for name, words in groups.items() if name in names and words != ident(name)]:
            raise ConfigError(f"{place}(by=)", "there is a column of this name already", got=", ".join(taken), hint="choose another name.")
    else:
        groups = {name: ident(name) for name in as_columns(by, place=f"{place}(by=)")}
        target.require_columns(names, list(groups), place=f"{place}(by=)")
    living = Query(
        f"SELECT * FROM rows WHERE `{system.OPERATION}` <> '{system.DELETE}'" if system.DELETED_AT in names else "SELECT * FROM rows",
        {"rows": changes.as_changes(state, Scan(state, state.head))},
    )
    added = "".join(f", {words} AS {ident(name)}" for name, words in groups.items() if words != ident(name))
    rows: Node = Query(f"SELECT *{added} FROM living", {"living": living})
    touched = None if reading.bookmark.superset else _touched(state, reading.node, groups, reading.start)
    if touched is not None:
        rows = Query(f"SELECT r.* FROM rows r LEFT SEMI JOIN touched t ON {_same(groups, 'r', 't')}", {"rows": rows, "touched": touched})
    return Batch(lake, rows, bookmark=reading.bookmark, into=reading.into, groups=Groups(tuple(groups), touched))


def _touched(state: TableState, changed: Node, groups: Mapping[str, str], start: Position | None) -> Node:
    """The groups of changed rows: as the rows are now, and as they were."""
    select = ", ".join(f"{words} AS {ident(name)}" for name, words in groups.items())
    parts = [f"SELECT {select} FROM changed"]
    inputs: dict[str, Node] = {"changed": changed}
    if start is not None and start.values["snapshot"] != state.head:
        inputs["old"] = Scan(state, start.values["snapshot"], minus=state.head)
        same = " AND ".join(f"old.{dotted(name, state.schema)} <=> c.{dotted(name, state.schema)}" for name in contract.key(state))
        parts.append(f"SELECT {select} FROM old" + (f" LEFT SEMI JOIN changed c ON {same}" if same else ""))
    return Query(f"SELECT DISTINCT * FROM ({' UNION ALL '.join(parts)})", inputs)


def _same(names: Mapping[str, Any] | tuple[str, ...], one: str, other: str) -> str:
    return " AND ".join(f"{one}.{ident(name)} <=> {other}.{ident(name)}" for name in names)


@operation
def replace_groups(
    batch: Batch,
    *,
    into: TableName | None = None,
    on_change: Policy = "evolve",
    dry_run: bool = False,
    max_reject_fraction: float | None = None,
) -> Commit:
    """Write whole groups: the stored rows of each touched group are replaced by the batch's, in one commit with the bookmark.

    Groups that come out as they are stored are not written; a touched group without rows vanishes.

    Args:
        batch: From `read_new_groups`, aggregated as you like; the group's columns must still be there.
        into: The table. Default: the one ``read_new_groups(into=)`` named. Made if missing.
        on_change: What new columns do: ``"evolve"`` adds them, ``"fail"`` raises with the statements to run.
        dry_run: Count, and write nothing.
        max_reject_fraction: Refuse to write when more of the rows are rejected.

    Writes:
        The batch's columns and ``_write_id``. The commit counts rows: ``inserted`` those that stand there now and did not before, ``deleted`` the
        others way round, ``unchanged`` those of touched groups that stay.

    Raises:
        ConfigError: The batch is not one of `read_new_groups`.
        SchemaError: A column of the group is gone.
        ContractError: A row belongs to a group that was not read, or too many rejects.
        TableError: The table is of a format that the engine can't write.
        CommitConflictError: Another run consumed a part of the batch first.

    >>> import lakekit as lk, tempfile
    >>> lake = lk.connect(tempfile.mkdtemp())
    >>> _ = lk.append(lk.from_frame(lake, [{"city": "Bonn"}, {"city": "Bonn"}], run_id="a"), into="bronze.visits")
    >>> visits = lk.read_new_groups(lake, "bronze.visits", into="gold.visits", by="city")
    >>> print(lk.replace_groups(visits.sql("SELECT city, count(*) AS visits FROM batch GROUP BY city")))
    gold.visits: read 1, inserted 1
    """
    into_ = target.resolve(batch, into, place="replace_groups")
    place = f"replace_groups(): {text(into_)}"
    groups = batch.groups
    if groups is None:
        raise ConfigError(place, "expected a batch of whole groups", got=repr(batch), hint="read it with read_new_groups().")
    found = batch.lake.find(into_)
    if found is not None:
        batch.lake.engine.require_writable(found)
    batch = target.adapt(batch, into_, found, on_change=on_change, keys=groups.by, place="replace_groups")
    names = batch.columns
    target.require_columns(names, groups.by, place=place)
    schema = target.schema_for(batch.schema, [*({system.RESCUED_DATA} & {*names}), system.WRITE_ID])
    began = time.perf_counter()
    with batch.lake.engine.session() as session:
        for node in batch.shared:
            session.stage(node)
        bad = [rejects.gather(session, into_, item) for item in batch.rejects]
        rejected = rejects.total(session, bad)
        rows = session.stage(Query(f"SELECT {', '.join(map(ident, schema.names[:-1]))} FROM batch", {"batch": batch.node}))
        touched = None if groups.touched is None else session.stage(groups.touched)
        read = count(session, rows)
        rejects.refuse_too_many(rejected, read + rejected, max_reject_fraction, into=into_)
        _refuse_strangers(session, rows, touched, groups.by, place=place)
        checked = count_checks(session, batch.tallies, into=into_)
        figures = Commit(table=text(into_), read=read + rejected, rejected=rejected, checks=checked, columns_not_carried=batch.not_carried)
        if dry_run:
            found = found or TableState.not_there_yet(into_, schema)
        else:
            for item in bad if rejected else ():
                rejects.write(batch.lake, session, into_, item, batch.bookmark)
            found, added = target.ensure(
                batch.lake, into_, schema, layer="groups", key=groups.by, on_change=on_change, place="replace_groups"
            )
            figures = attrs.evolve(figures, columns_added=added)

        def plan(state: TableState, write_id: int) -> cas.Planned:
            return _plan(session, state, rows, touched, groups.by, write_id, figures)

        seconds = {"read": time.perf_counter() - began}
        return cas.write(batch.lake.engine, into_, found, batch.bookmark, plan, dry_run=dry_run, seconds=seconds, audits=batch.audits)


def _refuse_strangers(session: Session, rows: Frame, touched: Frame | None, by: tuple[str, ...], *, place: str) -> None:
    if touched is None:
        return
    strange = Query(f"SELECT r.* FROM rows r LEFT ANTI JOIN touched t ON {_same(by, 'r', 't')}", {"rows": rows, "touched": touched})
    if found := count(session, strange):
        raise ContractError(
            place,
            "rows belong to groups that were not read, so what these hold besides would be lost",
            got=f"{found:,} rows",
            hint="don't change the group's columns after read_new_groups(): give an expression in by=.",
        )


def _plan(
    session: Session, state: TableState, rows: Frame, touched: Frame | None, by: tuple[str, ...], write_id: int, figures: Commit
) -> cas.Planned:
    names = [name for name in state.schema.names if name != system.WRITE_ID]
    given = rows.schema.names
    items = ", ".join(ident(name) for name in names)
    fitted = ", ".join(ident(name) if name in given else f"NULL AS {ident(name)}" for name in names)
    where = "" if touched is None else f" LEFT SEMI JOIN touched t ON {_same(by, 'o', 't')}"
    inputs: dict[str, Node] = {"stored": Scan(state, state.head), **({} if touched is None else {"touched": touched})}
    old = session.stage(Query(f"SELECT {items} FROM stored o{where}", inputs))
    new = session.stage(Query(f"SELECT {fitted} FROM rows", {"rows": rows}))
    gone = session.stage(Query("SELECT * FROM old EXCEPT ALL SELECT * FROM new", {"old": old, "new": new}))
    come = session.stage(Query("SELECT * FROM new EXCEPT ALL SELECT * FROM old", {"old": old, "new": new}))
    inserted, deleted = count(session, come), count(session, gone)
    figures = attrs.evolve(figures, inserted=inserted, deleted=deleted, removed=deleted, unchanged=count(session, new) - inserted)
    if not inserted and not deleted:
        return cas.Planned(figures, None)
    group = ", ".join(map(ident, by))
    differ = session.stage(
        Query(f"SELECT DISTINCT {group} FROM (SELECT {group} FROM come UNION ALL SELECT {group} FROM gone)", {"come": come, "gone": gone})
    )
    blank = ", ".join(ident(name) if name in by else f"NULL AS {ident(name)}" for name in names)
    stamp = f"CAST({write_id} AS BIGINT) AS `{system.WRITE_ID}`"
    changed = Query(
        f"SELECT {items}, {stamp}, 'insert' AS _change FROM new n LEFT SEMI JOIN differ d ON {_same(by, 'n', 'd')} UNION ALL "
        f"SELECT {blank}, {stamp}, 'delete' AS _change FROM (SELECT DISTINCT {group} FROM old o LEFT SEMI JOIN differ d ON {_same(by, 'o', 'd')})",
        {"new": new, "old": old, "differ": differ},
    )
    return cas.Planned(figures, lambda: session.merge(state, changed, on=by))
