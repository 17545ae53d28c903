"""merge_scd2: a dimension with history, kept by key and instant, in one snapshot."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, get_args

import attrs

from lakekit import columns as system
from lakekit.batch import Batch
from lakekit.bookmark import Bookmark, Stored
from lakekit.clock import instant_of
from lakekit.commit import Commit
from lakekit.deletes import Deletes
from lakekit.engines.plan import Node, Query, Scan, TableState
from lakekit.engines.protocol import count
from lakekit.engines.types import ident
from lakekit.errors import ConfigError
from lakekit.gold import scd2_appended as appended
from lakekit.gold import scd2_dimension as dimension
from lakekit.gold import scd2_feed as feeds
from lakekit.gold import scd2_memory as memory
from lakekit.gold import scd2_recorded as recorded
from lakekit.gold.scd2_dimension import NewColumn
from lakekit.gold.scd2_snapshot import EFFECTIVE_AT, for_snapshots
from lakekit.gold.scd2_spec import CHANGE, IS_CURRENT, SAYS, Scd2Spec, instant_literal, merge_on, state_columns
from lakekit.gold.scd2_sql import changes_sql, counts_sql, members_sql
from lakekit.incremental import cas, rejects, sides, target
from lakekit.names import Columns, TableName, text
from lakekit.names import columns as as_columns
from lakekit.operations import operation

if TYPE_CHECKING:
    from lakekit.engines.protocol import Session
    from lakekit.evolution.policy import Policy


@operation
def merge_scd2(
    batch: Batch,
    *,
    key: Columns,
    into: TableName | None = None,
    effective_at: str | None = None,
    order_by: Columns | None = None,
    track: Columns | None = None,
    type1: Columns = (),
    ignore_null: Columns = (),
    feed: Literal["changes", "full"] = "changes",
    observed_at: datetime | None = None,
    delete_when: str | None = None,
    deletes: Deletes = Deletes("close"),
    new_column: NewColumn = "adopt",
    surrogate_key: str | None = None,
    surrogate_keys: Literal["hash", "sequence"] = "hash",
    valid_columns: tuple[str, str] = ("valid_from", "valid_to"),
    open_until: str | None = None,
    first_version_from: str | None = None,
    bitemporal: bool = False,
    recorded_columns: tuple[str, str] = recorded.COLUMNS,
    now: datetime | None = None,
    rebuild: bool = False,
    on_change: Policy = "evolve",
    dry_run: bool = False,
    max_reject_fraction: float | None = None,
) -> Commit:
    """Keep a dimension as a slowly changing dimension of type 2. Its history is a function of the set of events received.

    Order, batching and repeats of events don't show; late events split versions. A column that a batch doesn't have says nothing: each event
    takes the value that was valid at its instant.

    Args:
        batch: The events: one row each, the whole row.
        key: What names a member of the dimension.
        into: The table. Default: the one ``read_new(into=)`` named. Made if missing, with members -1 (unknown) and -2 (not applicable) where
            there is a ``surrogate_key``.
        effective_at: The column that says when a change was true. Default: ``_source_timestamp``, or ``observed_at`` in a full feed.
        order_by: Columns that break order within one instant. Default: ``_source_lsn``, where there is one.
        track: Columns whose change opens a version. Default: all but ``type1``.
        type1: Columns that overwrite all versions. The rest overwrites the open version.
        ignore_null: Columns whose NULL carries the last value.
        feed: ``"changes"``, or ``"full"``: the batch is all of the source, observed at ``observed_at``; absent members are deleted.
        observed_at: When a full feed was observed. A feed is taken once, and later ones after earlier ones.
        delete_when: An SQL condition for deletes. Default: ``_operation = 'delete'``.
        deletes: ``close`` | ``ignore`` | ``new_record`` | ``hard``; scope and guard of a full feed.
        new_column: What a tracked column that is new does to the versions made without it. ``adopt``: the open version takes its value, and from
            then on it is tracked. ``version_all``: the first event of each member that has a value opens a version. ``refuse``: an error, before
            anything is written. ``rebuild``: the members' histories are computed anew; the batch must hold all their events.
        surrogate_key: The name of the surrogate key column. None: none.
        surrogate_keys: ``"hash"``: of the key, of later versions of key and ``valid_from``. ``"sequence"``: 1, 2, 3, in the order in which versions
            came; the one thing that hangs on it. Members can't be inferred then, since nobody knows their number before they are written.
        valid_columns: The names of the validity columns.
        open_until: ISO text that open versions bear in ``valid_to``. Default: NULL.
        first_version_from: ISO text of the instant at which first versions begin.
        bitemporal: Whether the table also says when it knew what. What a merge would change or remove stays, closed by ``recorded_to``, and what takes
            its place is a new row. The rows with ``recorded_to`` NULL are those that the table would hold otherwise. `gold.known_at` reads it as
            it was known at an instant.
        recorded_columns: The names of the columns for that. ``open_until`` stands in the second one too, where it is a time.
        now: The instant at which a bitemporal table records the changes. It never goes back: otherwise it is a microsecond after the last one.
            Default: the clock.
        rebuild: The histories of the batch's members are computed anew, from it alone: a partial restatement. It must hold all their events, as
            ``lk.read(lake, <the change log>)`` does, narrowed down to some members or not. Members it doesn't speak of stay as they are.
        on_change: What new columns do: ``"evolve"`` or ``"fail"``.
        dry_run: Count, and write nothing.
        max_reject_fraction: Refuse to write when more of the rows are rejected.

    Writes:
        One row for each version: the columns, the surrogate key,
        ``valid_from`` and ``valid_to`` (half-open; NULL while open), ``is_current``, ``_is_inferred``, ``_absorbed``, ``_write_id``.
        Bitemporal: one for each version and each time it was recorded anew, with ``recorded_from`` and ``recorded_to`` (timestamptz, half-open;
        NULL as long as the table holds the row). A version keeps its surrogate key however often it is recorded anew. ``_absorbed`` is no part of
        what the table says: it is changed in place, and NULL in closed rows.
        The commit counts as ``late`` the events before one that was known of their member, and as ``unchanged`` those that said nothing new.

    Raises:
        SchemaError: A named column is missing, or types conflict.
        ConfigError: Arguments that don't fit together, or the table; or a ``rebuild`` by a batch that begins in the middle.
        TableError: The table is of a format that the engine can't write.
        ContractError: A full feed that is older than the last one, or too many rejects.
        GuardError: A full feed came up empty, or lacks more than ``max_fraction`` of the open members.
        CommitConflictError: Another run consumed a part of the batch first.

    Source:
        Kimball, Ross: The Data Warehouse Toolkit, 3rd edition, chapter 5.

    >>> import lakekit as lk, tempfile
    >>> from datetime import UTC, datetime
    >>> lake = lk.connect(tempfile.mkdtemp())
    >>> rows = [{"id": 1, "city": city, "at": datetime(2026, month, 1, tzinfo=UTC)} for month, city in [(1, "Bonn"), (3, "Kiel")]]
    >>> _ = lk.merge_scd2(lk.from_frame(lake, rows, run_id="a"), into="gold.dim_people", key="id", effective_at="at")
    >>> lk.read(lake, "gold.dim_people").to_arrow().column("is_current").to_pylist()
    [False, True]
    """
    into_ = target.resolve(batch, into, place="merge_scd2")
    keys = as_columns(key, place="merge_scd2(key=)")
    sides.refuse_sides(batch, place="merge_scd2()", hint="merge() what was looked up into a table, and read_new() that one.")
    lake, state = batch.lake, batch.lake.find(into_)
    batch = target.adapt(batch, into_, state, on_change=on_change, keys=keys, place="merge_scd2")
    target.require_columns(batch.columns, keys, place="merge_scd2(key=)")
    _require_sense(feed, new_column, rebuild=rebuild, whole=_is_whole(batch.bookmark))
    if effective_at is not None:
        target.require_columns(batch.columns, [effective_at], place="merge_scd2(effective_at=)")
    condition = target.delete_condition(batch, delete_when, place="merge_scd2")
    observed = None
    if feed == "full":
        before = cas.stored(state) if state else Stored()
        batch, observed = feeds.observe(batch, before, observed_at, into=into_)
        if before.positions.get(feeds.OBSERVED) == batch.bookmark.spans[feeds.OBSERVED].end:
            return Commit(table=text(into_))
    instant = effective_at or (EFFECTIVE_AT if observed else system.SOURCE_TIMESTAMP)
    given = Scd2Spec(
        key=keys,
        columns=dimension.event_columns(batch, state, (surrogate_key, *valid_columns, *(recorded_columns if bitemporal else ()))),
        effective_at=instant,
        unstored={instant: "TIMESTAMP"} if instant == EFFECTIVE_AT else {},
        order_by=_order(batch) if order_by is None else as_columns(order_by, place="merge_scd2(order_by=)"),
        track=None if track is None else as_columns(track, place="merge_scd2(track=)"),
        type1=type1,
        ignore_null=ignore_null,
        deletes="close" if deletes.mode == "soft" else deletes.mode,
        surrogate_key=surrogate_key,
        surrogate_keys=surrogate_keys,
        valid_from=valid_columns[0],
        valid_to=valid_columns[1],
        open_until=open_until,
        first_version_from=first_version_from,
        recorded_columns=recorded.require_columns(recorded_columns, now, bitemporal=bitemporal),
        rebuild=rebuild,
    )
    spec = for_snapshots(given) if observed else given
    spec = attrs.evolve(spec, adopted={name: last for name, last in dimension.adopted(state).items() if name in spec.tracked})
    if state is not None:
        dimension.require_same(state, spec)
        lake.engine.require_writable(state)
    absent = [name for name in spec.attributes if name not in batch.columns and name not in spec.system]
    began, present = time.perf_counter(), instant_of(now, place="merge_scd2(now=)") if bitemporal else None
    with lake.engine.session() as session:
        required = keys if observed and effective_at is None else (*keys, given.effective_at)
        staged = feeds.stage(session, batch, into_, given, condition, required=required, state=None if observed else state)
        figures = staged.figures
        rejects.refuse_too_many(figures.rejected, figures.read, max_reject_fraction, into=into_)
        if not dry_run:
            for item in staged.bad:
                rejects.write(lake, session, into_, item, batch.bookmark)
        if state is not None:
            whole = feed == "changes" and _is_whole(batch.bookmark)
            state, spec = dimension.take_new_columns(lake, session, state, spec, new_column, complete=whole, dry_run=dry_run)
        if dry_run:
            state = state or TableState.not_there_yet(into_, dimension.table_schema(spec))
        else:
            state, added = dimension.ensure(lake, into_, spec, on_change=on_change)
            figures = attrs.evolve(figures, columns_added=added)
        events = staged.rows
        if observed:
            seen = feeds.snapshot_events(session, state, events, given, deletes, observed, absent, timed=effective_at is not None)
            events, figures = seen.events, attrs.evolve(figures, duplicates=seen.doubles, unchanged=seen.unchanged)

        def plan(state: TableState, write_id: int) -> cas.Planned:
            # At each attempt: which deletes no version tells depends on the versions, and others may have remembered more.
            versions = dimension.touched_versions(session, state, events, spec)
            told = dimension.with_stored_values(session, versions, events, spec, () if observed else absent)
            tombstones = memory.remember(lake, session, into_, versions, told, spec, dry_run=dry_run)
            return _plan(session, state, {"events": told, "versions": versions, "tombstones": tombstones}, spec, write_id, figures, present)

        seconds = {"read": time.perf_counter() - began}
        state = state if dry_run else target.with_lineage(state, batch)
        return cas.write(lake.engine, into_, state, batch.bookmark, plan, dry_run=dry_run, seconds=seconds, audits=batch.audits)


def _require_sense(feed: str, new_column: str, *, rebuild: bool, whole: bool) -> None:
    for argument, word, known in (("feed", feed, ("changes", "full")), ("new_column", new_column, get_args(NewColumn))):
        if word not in known:
            raise ConfigError(f"merge_scd2({argument}=)", f"expected one of {', '.join(known)}", got=repr(word))
    if rebuild and (feed == "full" or not whole):
        raise ConfigError(
            "merge_scd2(rebuild=)",
            "a rebuild needs every event of the members",
            got="a full feed" if feed == "full" else "a batch that begins in the middle",
            hint="give lk.read(lake, <the change log>).",
        )


def _order(batch: Batch) -> tuple[str, ...]:
    return (system.SOURCE_LSN,) if system.SOURCE_LSN in batch.columns else ()


def _is_whole(bookmark: Bookmark) -> bool:
    """Whether a batch holds all there is of its upstreams."""
    return bookmark.run_id is None and all(span.start is None for span in bookmark.spans.values())


def _plan(
    session: Session, state: TableState, inputs: Mapping[str, Node], spec: Scd2Spec, write_id: int, figures: Commit, now: datetime | None
) -> cas.Planned:
    foreign = dimension.is_foreign(state)
    changes, rest = _changes(session, state, inputs, spec, foreign=foreign)
    if spec.surrogate_key is not None and not _has_members(session, state, spec.surrogate_key):
        names = ", ".join(ident(name) for name, _ in [*spec.columns, *((column.name, column.type) for column in state_columns(spec))])
        nowhere = "".join(f", NULL AS {name}" for name in session.places)
        members = Query(members_sql(spec), {})
        changes = Query(
            f"SELECT {', '.join([names, CHANGE, SAYS, *session.places])} FROM changes"
            f" UNION ALL SELECT {names}, 'insert' AS {CHANGE}, NULL AS {SAYS}{nowhere} FROM members",
            {"changes": changes, "members": members},
        )
    staged: Node = Query(f"SELECT *, CAST({write_id} AS BIGINT) AS `{system.WRITE_ID}` FROM changes", {"changes": changes})
    if (
        rest is not None or now is not None
    ):  # otherwise they follow from rows that are held: to read these again costs less than to hold them, too
        staged = session.stage(staged)
    ended = "0" if rest is None else f"({_ended_sql(spec, foreign=foreign)})"
    found: dict[str, Any] = session.one(
        Query(
            "SELECT count(CASE WHEN _change = 'insert' THEN 1 END) AS inserted, count(CASE WHEN _change = 'update' THEN 1 END) AS updated, count(CASE WHEN _change = 'delete' THEN 1 END) AS removed, "
            f"{ended} AS ended FROM c",
            {"c": staged, "versions": inputs["versions"]},
        )
    )
    told = session.one(Query(counts_sql(spec), {**rest, "changes": staged})) if rest else {"late": 0, "unchanged": 0}
    figures = attrs.evolve(
        figures,
        inserted=found["inserted"],
        updated=found["updated"],
        deleted=found["ended"],
        removed=found["removed"],
        late=told["late"],
        unchanged=figures.unchanged + told["unchanged"],
    )
    touched = found["inserted"] + found["updated"] + found["removed"]
    if touched and now is not None:
        return recorded.planned(session, state, staged, inputs["versions"], spec, figures, now)
    rows = Query(f"SELECT * EXCEPT ({SAYS}) FROM staged", {"staged": staged})
    return cas.Planned(figures, (lambda: session.merge(state, rows, on=merge_on(spec, foreign=foreign))) if touched else None)


def _changes(
    session: Session, state: TableState, inputs: Mapping[str, Node], spec: Scd2Spec, *, foreign: bool
) -> tuple[Node, Mapping[str, Node] | None]:
    """The rows that change, and the relations whose events don't merely append. None: all do."""

    def anew(rest: Mapping[str, Node]) -> Node:
        words = changes_sql(spec, foreign=foreign, places=session.places, last=_last_number(session, state, spec))
        return Query(words, rest)

    if foreign or not session.plans_joins or not appended.applies(spec):
        return anew(inputs), inputs
    found = session.stage(Query(appended.appended_sql(spec, session.places), inputs))
    sizes = session.one(
        Query("SELECT (SELECT count(*) FROM a) AS appends, (SELECT count(*) FROM e) AS events", {"a": found, "e": inputs["events"]})
    )
    if not sizes["appends"]:
        return anew(inputs), inputs
    changes = Query(appended.changes_sql(spec, session.places), {"appended": found})
    if sizes["appends"] == sizes["events"]:
        return changes, None
    rest = {
        name: session.stage(Query(appended.rest_sql(spec, name), {name: inputs[name], "appended": found}))
        for name in ("events", "versions")
    }
    return Query("SELECT * FROM appended UNION ALL SELECT * FROM others", {"appended": changes, "others": anew({**inputs, **rest})}), rest


def _ended_sql(spec: Scd2Spec, *, foreign: bool) -> str:
    """SQL for how many members had an open version, of those in ``versions``, and have none after the changes ``c``."""
    vt = f"v.{ident(spec.valid_to)}"
    was_open = f"{vt} IS NULL"
    if spec.open_until is not None:
        was_open = f"({was_open} OR {vt} = {instant_literal(spec.open_until, spec.instant_type, place='merge_scd2(open_until=)')})"
    same = " AND ".join(f"v.{ident(name)} = c.{ident(name)}" for name in merge_on(spec, foreign=foreign))
    keys = [ident(name) for name in spec.key]
    gone = f"c._change = 'delete' OR (c._change = 'update' AND NOT c.`{IS_CURRENT}`)"
    ended = f"SELECT {', '.join(f'v.{name}' for name in keys)} FROM versions v JOIN c ON {same} WHERE {was_open} AND ({gone})"
    still = f"SELECT {', '.join(keys)} FROM c WHERE `{IS_CURRENT}` AND _change <> 'delete'"
    return f"SELECT count(*) FROM ({ended}) e LEFT ANTI JOIN ({still}) o ON {' AND '.join(f'e.{name} = o.{name}' for name in keys)}"


def _last_number(session: Session, state: TableState, spec: Scd2Spec) -> int:
    """The greatest surrogate key of a sequence; 0: there is none yet."""
    if spec.surrogate_keys == "hash" or spec.surrogate_key not in state.schema.names:
        return 0
    words = f"SELECT coalesce(greatest(max({ident(spec.surrogate_key)}), 0), 0) AS n FROM stored"
    return int(session.one(Query(words, {"stored": Scan(state, state.head)}))["n"])


def _has_members(session: Session, state: TableState, surrogate_key: str) -> bool:
    if state.head is None:
        return False
    # In a table of another tool, the column may be newer than the files.
    stored = Scan(state, state.head, bounds={} if dimension.is_foreign(state) else {surrogate_key: (-2, -1)})
    return count(session, Query(f"SELECT 1 AS there FROM stored WHERE {ident(surrogate_key)} < 0", {"stored": stored})) > 0
