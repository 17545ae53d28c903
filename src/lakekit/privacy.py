"""forget: a person's rows leave every layer, and don't come back."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Final, Literal

import attrs

from lakekit import columns as system
from lakekit import logs
from lakekit.bookmark import Bookmark
from lakekit.clock import instant_of
from lakekit.commit import Commit
from lakekit.engines import sql
from lakekit.engines.plan import Node, Query, Scan, TableState
from lakekit.engines.protocol import count
from lakekit.engines.types import ident, sql_type
from lakekit.errors import ConfigError, QueryError
from lakekit.identity import erase
from lakekit.identity.erase import one_each
from lakekit.identity.tables import ERASED, MASTER, PROPERTY, RECORD
from lakekit.incremental import cas, changes, contract, forgotten
from lakekit.incremental.target import require_columns
from lakekit.names import TableName, companion
from lakekit.operations import operation

if TYPE_CHECKING:
    from lakekit.engines.protocol import Prepared
    from lakekit.lake import Lake

log = logging.getLogger(__name__)

Facts = Literal["detach", "delete"]
Condition = Mapping[str, object] | str
_PLACE: Final = "forget"
_COMPANIONS: Final = ("deleted", "tombstones")


@attrs.frozen(eq=False)
class Part:
    """What is to be forgotten in one table.

    Attributes:
        state: The table.
        condition: SQL, true of the rows.
        columns: The columns that the condition reads.
        named: The columns, where they were named one by one; otherwise empty.
        detach: Those of them that are taken out of rows that stay, because these are facts. Empty: the rows go.
    """

    state: TableState
    condition: str
    columns: tuple[str, ...]
    named: tuple[str, ...]
    detach: tuple[str, ...] = ()

    @property
    def is_identities(self) -> bool:
        """Whether it is a table made by `resolve_identities`."""
        return PROPERTY in self.state.properties

    @property
    def remembered_by(self) -> tuple[str, ...]:
        """The columns by which the rows are left out when they come again. Empty: there is no telling."""
        if self.is_identities:
            return ("source", "record_key")
        noted = contract.scd2(self.state)
        return (tuple(noted["key"]) if noted else contract.key(self.state)) or self.named


@operation
def forget(
    lake: Lake,
    where: Mapping[TableName, Condition],
    *,
    facts: Facts = "detach",
    suppress: bool = True,
    now: datetime | None = None,
    dry_run: bool = False,
) -> list[Commit]:
    """Erase a person from every layer. What is left is a hash of keys, so that the person doesn't come back with the next ingestion.

    1. Rows of the named tables go, older and deleted versions included, and so do their rejects and what is noted of their hard deletes.
       In a table of identities the record's values and key go; that there was one, and which id it had, stays.
    2. *Facts* stay: rows of a keyed table that name the person by ``master_user_id``, or by a column that is the key (or the surrogate
       key) of another table named here. That column becomes NULL. ``facts="delete"``: they go, too.
    3. Older snapshots hold everything until they expire. So run the pipeline once more, which lets the tables that consume these let go of
       them, and then `maintain` on all of them.

    Name every table that holds the person: nothing is guessed from one table to the next. A log entry warns of tables that consume a named
    one and are not named. Running it again does nothing more.

    Args:
        lake: Where the tables are.
        where: Table to the person's rows in it: ``{"user_id": 7}``, columns and values that are all equal, or an SQL condition.
        facts: What becomes of facts.
        suppress: Whether rows of the same key are left out when they come again, by the hash of the table's key, or, where it has none (in
            bronze), of the columns named in ``where``. False: a person who comes again is a new one.
        now: The instant noted. Default: the clock.
        dry_run: Count, and write nothing.

    Returns:
        A commit for each table, in order: ``deleted`` and ``removed`` rows, ``updated`` facts.

    Raises:
        TableNotFoundError: There is no such table.
        SchemaError: A named column is missing.
        QueryError: A condition doesn't parse, or names an unknown column.
        ConfigError: No table, a condition that holds for no one in particular, or nothing to suppress by.
        TableError: A table is of a format that the engine can't write.

    >>> import lakekit as lk, tempfile
    >>> lake = lk.connect(tempfile.mkdtemp())
    >>> people = [{"user_id": 7, "name": "Ada"}, {"user_id": 8, "name": "Bo"}]
    >>> _ = lk.merge(lk.from_frame(lake, people, run_id="a"), key="user_id", into="silver.users")
    >>> lk.forget(lake, {"silver.users": {"user_id": 7}})[0].removed
    1
    >>> lk.merge(lk.from_frame(lake, people, run_id="b"), key="user_id", into="silver.users").inserted
    0
    """
    instant = instant_of(now, place=f"{_PLACE}(now=)")
    if not isinstance(where, Mapping) or not where:  # pyright: ignore[reportUnnecessaryIsInstance] -- users are not type-checked
        raise ConfigError(f"{_PLACE}(where=)", "expected a mapping of table to rows", hint='write {"silver.users": {"user_id": 7}}.')
    if facts not in ("detach", "delete"):
        raise ConfigError(f"{_PLACE}(facts=)", "expected 'detach' or 'delete'", got=repr(facts))
    parts = [_part(lake, table, condition) for table, condition in where.items()]
    parts = [_living(part) if part.is_identities else part for part in parts]
    parts = [_as_facts(part, parts) if facts == "detach" else part for part in parts]
    for part in parts:
        lake.engine.require_writable(part.state)
        if suppress and not part.detach and not part.remembered_by:
            raise ConfigError(
                f"{_PLACE}(where=): {part.state.label}",
                "the table has no key by which rows could be left out when they come again",
                hint='name columns, {"user_id": 7}, instead of a condition; or suppress=False.',
            )
    _warn_of_consumers(lake, parts)
    if suppress and not dry_run:
        for part in parts:
            if not part.detach:
                found = Query(f"SELECT * FROM rows WHERE {part.condition}", {"rows": Scan(part.state, part.state.head)})
                forgotten.note(lake, part.state, part.remembered_by, found, instant, place=_PLACE)
    return [_forget(lake, part, instant, dry_run=dry_run) for part in parts]


def _part(lake: Lake, table: TableName, condition: Condition) -> Part:
    state = lake.load(table, place=f"{_PLACE}(where=)")
    place = f"{_PLACE}(where=): {state.label}"
    names = state.schema.names
    if isinstance(condition, str):
        try:
            checked = sql.expression(condition, names, place=place)
        except QueryError as error:  # its text holds the condition, and that a value
            raise QueryError(place, error.problem, hint=error.hint) from None
        columns = tuple(sorted(sql.columns_of(checked)))
        if not columns:
            raise ConfigError(place, "expected a condition about the row", hint='write "user_id = 7".')
        return Part(state, f"coalesce({checked}, false)", columns, ())
    given = dict(condition)
    require_columns(names, list(given), place=place)
    if not given or any(value is None for value in given.values()):
        raise ConfigError(place, "expected columns with values that name somebody", got="none" if not given else "NULL")
    equal = [f"{ident(name)} = CAST({_word(value)} AS {sql_type(state.schema.field(name).type)})" for name, value in given.items()]
    return Part(state, f"coalesce({' AND '.join(equal)}, false)", tuple(given), tuple(given))


def _living(part: Part) -> Part:
    """The part, without what an earlier call erased, and without aliases and splits."""
    records = f"kind = '{RECORD}' AND record_key NOT LIKE '{ERASED}%'"
    return attrs.evolve(part, condition=f"{records} AND {part.condition}")


def _word(value: object) -> str:
    return sql.literal(
        value.isoformat(sep=" ") if isinstance(value, datetime) else str(value) if not isinstance(value, int | float) else value
    )


def _as_facts(part: Part, parts: Sequence[Part]) -> Part:
    """The part, as facts where it names the person by another table's key only."""
    key = contract.key(part.state)
    known = {MASTER}
    for other in parts:
        if other.state.name != part.state.name and not other.is_identities:
            known |= {*contract.key(other.state)} | {str((contract.scd2(other.state) or {}).get("surrogate_key"))}
    if not key or part.is_identities or not part.named or set(part.named) & set(key) or not set(part.named) <= known:
        return part
    return attrs.evolve(part, detach=part.named)


def _warn_of_consumers(lake: Lake, parts: Sequence[Part]) -> None:
    named = {part.state.name for part in parts}
    own = {
        companion(part.state.name, suffix)
        for part in parts
        for suffix in ("rejects", "records", "keys", "links", forgotten.SUFFIX, *_COMPANIONS)
    }
    upstreams = {changes.upstream(part.state) for part in parts}
    others = [state for name in lake.engine.tables() if name not in named | own and (state := lake.find(name)) is not None]
    missing = [state.label for state in others if upstreams & {name.removeprefix("side:") for name in cas.stored(state).positions}]
    if missing:
        log.warning(
            "forget: these tables consume a named one, are not named, and may hold the person: %s",
            ", ".join(sorted(missing)),
            extra=logs.fields("consumers_not_named", tables=sorted(missing)),
        )


def _forget(lake: Lake, part: Part, instant: datetime, *, dry_run: bool) -> Commit:
    if part.is_identities:
        return erase.forget(lake, part.state, part.condition, instant, dry_run=dry_run)
    if not dry_run:
        _rejects(lake, part)
        for suffix in _COMPANIONS:
            noted = lake.find(companion(part.state.name, suffix))
            if noted is not None and set(part.columns) <= set(noted.schema.names):
                _write(lake, noted, lambda state, _: _gone(state, part.condition, part.columns))
    if not part.detach:
        return _write(lake, part.state, lambda state, _: _gone(state, part.condition, part.columns), dry_run=dry_run)

    def detached(state: TableState, write_id: int) -> tuple[Node, tuple[str, ...], str]:
        own = {name: f"CAST(NULL AS {sql_type(state.schema.field(name).type)})" for name in part.detach}
        own[system.WRITE_ID] = f"CAST({write_id} AS BIGINT)"
        columns = ", ".join(f"{own.get(name, ident(name))} AS {ident(name)}" for name in state.schema.names)
        rows = Query(f"SELECT {columns}, 'update' AS _change FROM rows WHERE {part.condition}", {"rows": Scan(state, state.head)})
        return rows, contract.key(state), "updated"

    return _write(lake, part.state, detached, dry_run=dry_run)


def _gone(state: TableState, condition: str, columns: tuple[str, ...]) -> tuple[Node, tuple[str, ...], str]:
    """The rows that go. They are found by what the condition reads: it is true of all rows with the same."""
    rows = Query(f"SELECT *, 'delete' AS _change FROM rows WHERE {condition}", {"rows": Scan(state, state.head)})
    return rows, columns, "deleted"


Plan = Callable[[TableState, int], tuple[Node, tuple[str, ...], str]]


def _write(lake: Lake, state: TableState, plan: Plan, *, dry_run: bool = False) -> Commit:
    """Write what a plan says: rows with ``_change``, by which columns they are found, and what they count as."""
    with lake.engine.session() as session:

        def planned(state: TableState, write_id: int) -> cas.Planned:
            rows, on, figure = plan(state, write_id)
            found = session.stage(rows)
            size = count(session, found)
            staged = session.stage(one_each(found, on))
            figures = Commit(table=state.label, read=size, updated=size if figure == "updated" else 0)
            if figure == "deleted":
                # Consumers of a table with a key are told of what vanished; without one, nobody could tell them.
                figures = attrs.evolve(figures, deleted=size, removed=size if contract.key(state) else 0)
            prepare: Callable[[], Prepared] = lambda: session.merge(state, staged, on=on, mode="copy-on-write")  # noqa: E731
            return cas.Planned(figures, prepare if size else None)

        commit = cas.write(lake.engine, state.name, state, Bookmark(), planned, dry_run=dry_run)
        return attrs.evolve(commit, removed=commit.deleted)


def _rejects(lake: Lake, part: Part) -> None:
    """Remove the rejects of the person's rows: the condition is asked of what is kept of them as JSON."""
    rejected = lake.find(companion(part.state.name, "rejects"))
    if rejected is None or rejected.head is None:
        return
    fields = ", ".join(f"{ident(name)}: {sql_type(part.state.schema.field(name).type)}" for name in part.columns)
    read = f"SELECT *, lk_from_json(_row, {sql.literal(f'STRUCT<{fields}>')}) AS _read FROM rejected"
    condition = sql.substituted(part.condition, {name: f"_read.{ident(name)}" for name in part.columns})

    def gone(state: TableState, _: int) -> tuple[Node, tuple[str, ...], str]:
        rows = f"SELECT * EXCEPT (_read), 'delete' AS _change FROM ({read}) r WHERE {condition}"
        return Query(rows, {"rejected": Scan(state, state.head)}), ("_reject_id",), "deleted"

    _write(lake, rejected, gone)
