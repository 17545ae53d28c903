"""The SQL of SCD2, written once: the history of each touched key is computed anew from its events, and compared with what is stored.

Relations in: ``events`` (the batch: key, attributes, ``effective_at`` and ``order_by`` columns, system columns, ``_is_delete``), ``versions`` (the
stored rows of at least the touched keys) and ``tombstones`` (the companion table's rows for them, see ``tombstone_columns``). NULL keys
and NULL instants must be gone. Relation out: the rows that change.

How: the events that ``versions`` and ``tombstones`` stand for, and the new ones, are brought into one total order per key (instant, ``order_by``,
delete after upsert, then the values themselves: the arrival never counts). At each instant the last event holds. A version begins
where the tracked values differ from those of the instant before, and ends at the next beginning or delete. As the stored form keeps every
event that could ever matter (see ``scd2_spec``), the result is a function of the set of events: order, batches and repeats don't show.

Two copies of one event count as one; the one that was ingested first stays, so that a repeated delivery changes nothing.

Windows: three over the touched events, seven with ``ignore_null``; one over the stored versions. Joins: the result with the stored rows, and
the few arrays with their versions.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from lakekit.columns import INGESTION_TIMESTAMP, IS_INFERRED
from lakekit.engines.types import ident
from lakekit.gold.keys import MEMBERS, beginning_sql, key_sql
from lakekit.gold.scd2_spec import (
    ABSORBED,
    AT,
    CHANGE,
    IS_CURRENT,
    IS_DELETE,
    IS_DELETED,
    SAYS,
    Scd2Spec,
    instant_literal,
    last_known_sql,
    merge_on,
    open_sql,
    state_columns,
    tombstone_columns,
)

_UP_TO_NOW: Final = "RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW"


def changes_sql(spec: Scd2Spec, *, foreign: bool = False, places: Sequence[str] = (), last: int = 0) -> str:
    """SQL for the rows to merge on ``merge_on(spec)``: full rows of the dimension, and ``_change``: 'insert', 'update' or 'delete'.

    A stored row that stays as it is isn't among them: running the same events again gives no row. ``foreign``: the stored rows are of
    another tool, and all there are. ``places``: columns of ``versions`` that say where a row is stored, and are given on.
    ``last``: the greatest surrogate key there is, where they are a sequence.
    """
    return _with([*_runs(spec), *_versions(spec)], _difference(spec, merge_on(spec, foreign=foreign), places, last))


def tombstones_sql(spec: Scd2Spec) -> str:
    """SQL for the rows to add to the companion table, before the changes are merged: deletes to remember that no version tells.

    After a crash between the two writes a repetition finds its deletes stored, adds none, and merges the rest.
    """
    if spec.deletes == "ignore":
        columns = ", ".join(f"CAST(NULL AS {column.type}) AS {ident(column.name)}" for column in tombstone_columns(spec))
        return f"SELECT {columns} FROM events WHERE FALSE"
    gap = "`__final` AND `__delete` AND COALESCE(`__was_delete`, TRUE)"
    if spec.deletes == "hard":
        source, gap = "ordered", "`__delete` AND `__deletes_ahead` = 1"
    else:
        source = "runs"
    system = [name for name in spec.system if name not in {*spec.order_by, spec.effective_at}]
    same = (
        [(ident(name), ident(name)) for name in spec.key]
        + [("`__at`", ident(AT))]
        + [(f"`__o{i}`", ident(name)) for i, name in enumerate(spec.order_by)]
    )
    if spec.deletes == "new_record":
        # There a delete's own system columns show once an upsert comes before it: an earlier copy of it is one more row.
        same += [(ident(name), ident(name)) for name in system]
    found = _list([*_keys(spec, "r"), f"r.`__at` AS {ident(AT)}", *(f"r.`__o{i}` AS {ident(name)}" for i, name in enumerate(spec.order_by)),
                   *(f"r.{ident(name)}" for name in system)])  # fmt: skip
    condition = " AND ".join(f"r.{ours} IS NOT DISTINCT FROM t.{theirs}" for ours, theirs in same)
    known = f"known AS (SELECT {_list(theirs for _, theirs in same)}, TRUE AS `__known` FROM tombstones)"
    steps = _ordered(spec) if spec.deletes == "hard" else _runs(spec)
    return _with(
        [*steps, known], f"SELECT {found} FROM {source} AS r LEFT JOIN known AS t ON {condition} WHERE {gap} AND t.`__known` IS NULL"
    )


def members_sql(spec: Scd2Spec) -> str:
    """SQL for the members -1 (unknown) and -2 (not applicable), as rows of the dimension. Strings say so, everything else is NULL."""
    rows: list[str] = []
    for number, words in MEMBERS:
        values = {name: f"'{words}'" if type_.upper() == "STRING" and name in {*spec.tracked, *spec.untracked, *spec.type1} else f"CAST(NULL AS {type_})"
                  for name, type_ in spec.columns}  # fmt: skip
        own = {column.name: f"CAST(NULL AS {column.type})" for column in state_columns(spec)}
        own |= {
            str(spec.surrogate_key): f"CAST({number} AS BIGINT)",
            spec.valid_from: beginning_sql(spec.instant_type),
            spec.valid_to: open_sql(spec),
        }
        own |= {IS_CURRENT: "TRUE", IS_INFERRED: "FALSE"} | ({IS_DELETED: "FALSE"} if IS_DELETED in own else {})
        rows.append("SELECT " + _list(f"{value} AS {ident(name)}" for name, value in {**values, **own}.items()))
    return " UNION ALL ".join(rows)


# The events that are known, in total order.


def _told(spec: Scd2Spec) -> list[str]:
    """One row per event: key, ``__at``, ``__o0``…, ``__delete``, and the attributes as the event gave them (none of business, for a delete)."""
    news = f"COALESCE({ident(IS_DELETE)}, FALSE)"
    stored_delete = f"COALESCE({ident(IS_DELETED)}, FALSE)" if spec.deletes == "new_record" else "FALSE"
    stored = f"SELECT *, LEAD({ident(spec.valid_from)}) OVER (PARTITION BY {_list(_keys(spec))} ORDER BY {ident(spec.valid_from)} ASC NULLS FIRST) AS `__next` "
    stored += f"FROM {_members(spec)} WHERE NOT COALESCE({ident(IS_INFERRED)}, FALSE)"
    vf, vt = ident(spec.valid_from), ident(spec.valid_to)
    attributes = set(spec.attributes)

    def event(source: str, at: str, orders: Iterable[str], delete: str, values: dict[str, str]) -> str:
        columns = [*_keys(spec), f"{at} AS `__at`", *(f"{value} AS `__o{i}`" for i, value in enumerate(orders)), f"{delete} AS `__delete`"]
        for name in spec.attributes:
            value = values.get(name, "NULL")
            business = name not in spec.system and value != "NULL" and delete not in {"FALSE", "TRUE"}
            columns.append(f"{f'CASE WHEN {delete} THEN NULL ELSE {value} END' if business else value} AS {ident(name)}")
        return f"SELECT {_list(columns)} FROM {source}"

    own = {name: ident(name) for name in spec.attributes}
    # An element's field is told apart from the row's column by the struct it is in.
    fields = [*spec.order_by, *(name for name, _ in spec.remembered)]
    element = {**own, **{name: f"`__e`.{ident(name)}" for name in fields if name in attributes}}
    element |= {spec.effective_at: f"`__e`.{ident(AT)}"} if spec.effective_at in attributes else {}
    from_row = [name for name in spec.attributes if not element[name].startswith("`__e`")]
    exploded = f"(SELECT {_list([*_keys(spec), *map(ident, from_row)])}, EXPLODE({ident(ABSORBED)}) AS `__e` FROM stored WHERE {ident(ABSORBED)} IS NOT NULL)"
    row_orders = [f"CASE WHEN {stored_delete} THEN NULL ELSE {ident(name)} END" if name in attributes else "NULL" for name in spec.order_by]
    branches = [
        event(
            "events" + (f" WHERE NOT {news}" if spec.deletes == "ignore" else ""),
            ident(spec.effective_at),
            map(ident, spec.order_by),
            news,
            own,
        ),
        event(f"stored WHERE {ident(ABSORBED)} IS NULL", vf, row_orders, stored_delete, own),
        event(exploded, f"`__e`.{ident(AT)}", [f"`__e`.{ident(name)}" for name in spec.order_by], f"`__e`.{ident(IS_DELETE)}", element),
    ]
    if spec.rebuild:
        return [f"told AS ({branches[0]})"]
    if spec.deletes != "hard":
        # Also where deletes are ignored now: a gap that is stored was decided before.
        ended = f"{vt} IS NOT NULL AND {vt} <> {open_sql(spec)}" if spec.open_until else f"{vt} IS NOT NULL"
        ended += f" AND (`__next` IS NULL OR `__next` <> {vt})" + (f" AND {ident(ABSORBED)} IS NULL" if spec.order_by else "")
        branches.append(event(f"stored WHERE {ended}", vt, ["NULL"] * len(spec.order_by), "TRUE", {}))
    if spec.deletes != "ignore":
        kept = {column.name: ident(column.name) for column in tombstone_columns(spec) if column.name in spec.system}
        kept |= {spec.effective_at: ident(AT)} if spec.effective_at in spec.system else {}
        branches.append(event("tombstones", ident(AT), map(ident, spec.order_by), "TRUE", kept))
    return [f"stored AS ({stored})", f"told AS ({' UNION ALL '.join(branches)})"]


def _sequence(spec: Scd2Spec) -> list[str]:
    return ["`__at`", *(f"`__o{i}`" for i in range(len(spec.order_by))), "`__delete`", *map(ident, sorted(spec.ignore_null))]


def _tie_break(spec: Scd2Spec, *, last_first: bool = False) -> str:
    """What decides between events of one place in the sequence: their values, then which copy was ingested first."""
    values = [name for name in (*spec.tracked, *spec.untracked, *sorted(spec.type1)) if name not in spec.ignore_null]
    rest = [name for name in spec.system if name != INGESTION_TIMESTAMP]
    up, down = ("DESC NULLS LAST", "ASC NULLS LAST") if last_first else ("ASC NULLS FIRST", "DESC NULLS FIRST")
    first_copy = [f"{ident(INGESTION_TIMESTAMP)} {down}"] if INGESTION_TIMESTAMP in spec.system else []
    return _list([*(f"{ident(name)} {up}" for name in values), *first_copy, *(f"{ident(name)} {up}" for name in rest)])


def _ordered(spec: Scd2Spec) -> list[str]:
    """``ordered``: events with ``__final``, whether one is the last of its instant; those that can't matter any more are gone."""
    key, place = _list(_keys(spec)), _list(f"{name} ASC NULLS FIRST" for name in _sequence(spec))
    tie = _tie_break(spec)
    ahead = "SUM(CASE WHEN `__delete` THEN 1 ELSE 0 END) OVER ({} ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING) AS `__deletes_ahead`"
    if not spec.ignore_null:
        window = f"PARTITION BY {key} ORDER BY {place}" + (f", {tie}" if tie else "")
        columns = f"*, LEAD(`__at`) OVER ({window}) AS `__later`" + (f", {ahead.format(window)}" if spec.deletes == "hard" else "")
        final = f"SELECT *, TRUE AS `__final` FROM (SELECT {columns} FROM told) WHERE `__later` IS NULL OR `__later` <> `__at`"
        if spec.deletes == "hard":
            final = f"SELECT *, `__later` IS NULL OR `__later` <> `__at` AS `__final` FROM (SELECT {columns} FROM told)"
        return [*_told(spec), f"ordered AS ({final})"]
    # NULL carries a value, so that every event of an instant counts, not just its last one. Copies go first.
    copies = f"ROW_NUMBER() OVER (PARTITION BY {_list([key, *_sequence(spec)])} ORDER BY {_tie_break(spec, last_first=True) or key})"
    window = f"PARTITION BY {key} ORDER BY {place}"
    within = key if spec.deletes == "hard" else f"{key}, `__at`"
    reset = f"MAX(CASE WHEN `__delete` THEN `__position` END) OVER (PARTITION BY {within})"
    by_position = f"PARTITION BY {key} ORDER BY `__position` ASC NULLS FIRST"
    epoch = f"SUM(CASE WHEN `__delete` THEN 1 ELSE 0 END) OVER ({by_position} ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)"
    in_epoch = f"PARTITION BY {key}, `__epoch` ORDER BY `__position` ASC NULLS FIRST ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW"
    columns = [*_keys(spec), "`__at`", *(f"`__o{i}`" for i in range(len(spec.order_by))), "`__delete`", "`__position`", "`__deletes_ahead`"]
    columns += [ident(name) for name in spec.attributes if name not in spec.ignore_null]
    for i, name in enumerate(spec.ignore_null):
        columns += [f"{ident(name)} AS `__raw{i}`", f"LAST_VALUE({ident(name)}) IGNORE NULLS OVER ({in_epoch}) AS {ident(name)}"]
    columns.append("`__later` IS NULL OR `__later` <> `__at` AS `__final`")
    columns.append("`__earlier` IS NULL OR `__earlier` <> `__at` AS `__first`")
    return [
        *_told(spec),
        f"placed AS (SELECT *, ROW_NUMBER() OVER ({window}) AS `__position` FROM (SELECT *, {copies} AS `__copy` FROM told) WHERE `__copy` = 1)",
        f"alive AS (SELECT * FROM (SELECT *, {reset} AS `__reset` FROM placed) WHERE `__reset` IS NULL OR `__position` >= `__reset`)",
        f"epochs AS (SELECT *, {epoch} AS `__epoch`, LEAD(`__at`) OVER ({by_position}) AS `__later`, LAG(`__at`) OVER ({by_position}) AS `__earlier`, {ahead.format(by_position)} FROM alive)",
        f"ordered AS (SELECT {_list(columns)} FROM epochs)",
    ]


# The versions that follow from them.


def _runs(spec: Scd2Spec) -> list[str]:
    """``runs``: events with the number of the version they belong to (``__run``, 0: none) and where it begins and, on its last event, ends."""
    key = _list(_keys(spec))
    # Events that aren't the last of their instant don't take part in comparisons; they only inherit the number.
    held = f"PARTITION BY {key}{', `__final`' if spec.ignore_null else ''} ORDER BY `__at` ASC NULLS FIRST"
    upto = f"PARTITION BY {key} ORDER BY `__at` ASC NULLS FIRST {_UP_TO_NOW}"
    differs = {name: f"{ident(name)} IS DISTINCT FROM LAG({ident(name)}) OVER ({held})" for name in spec.tracked}
    for name, text in spec.adopted:
        last = instant_literal(text, spec.instant_type, place="merge_scd2(adopted=)")
        differs[name] += f" AND LAG(`__at`) OVER ({held}) > {last}"
    changed = " OR ".join(f"({condition})" for condition in differs.values()) or "FALSE"
    alive = {"hard": " WHERE `__deletes_ahead` = 0" + ("" if spec.ignore_null else " AND `__final`")}.get(spec.deletes, "")
    begins = "`__final` AND NOT `__delete` AND (`__was_delete` IS NULL OR `__was_delete` OR `__changed`)"
    if spec.deletes == "new_record":
        begins = f"({begins}) OR (`__final` AND `__delete` AND NOT COALESCE(`__was_delete`, TRUE))"
    newest = ""
    if spec.type1:
        whole = f"PARTITION BY {key} ORDER BY `__at` ASC NULLS FIRST ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING"
        values = _list(f"{ident(name)} AS {ident(name)}" for name in spec.type1)
        newest = f", LAST_VALUE(CASE WHEN `__final` AND NOT `__delete` THEN STRUCT({values}) END) IGNORE NULLS OVER ({whole}) AS `__newest`"
    breaks = "`__begins`" if spec.deletes == "new_record" else "`__begins` OR `__delete`"
    numbered = [
        f"SUM(CASE WHEN `__begins` THEN 1 ELSE 0 END) OVER ({upto}) AS `__run`",
        f"MAX(CASE WHEN `__begins` THEN `__at` END) OVER ({upto}) AS `__from`",
        f"LEAD(`__at`) OVER ({held}) AS `__until`",
        f"COALESCE(LEAD({breaks}) OVER ({held}), TRUE) AS `__last`",
        f"COALESCE(LEAD(`__delete`) OVER ({held}), FALSE) AS `__then_delete`",
    ]
    return [
        *_ordered(spec),
        f"compared AS (SELECT *, LAG(`__delete`) OVER ({held}) AS `__was_delete`, {changed} AS `__changed` FROM ordered{alive})",
        f"runs AS (SELECT *, {_list(numbered)}{newest} FROM (SELECT *, {begins} AS `__begins` FROM compared))",
    ]


def _versions(spec: Scd2Spec) -> list[str]:
    """``computed``: the rows that the dimension should have for the touched keys."""
    by_run = f"PARTITION BY {_list(_keys(spec))} ORDER BY `__run` ASC NULLS FIRST"
    ends = "`__final` AND `__last` AND `__run` > 0" + ("" if spec.deletes == "new_record" else " AND NOT `__delete`")
    steps = [_memory(spec)]
    columns = [*_keys(spec), *map(ident, spec.system), "`__run`", "`__from`", "`__until`", "`__delete`"]
    for name in spec.attributes:
        if name in spec.type1:
            columns.append(f"`__newest`.{ident(name)} AS {ident(name)}")
        elif name not in spec.system and spec.deletes == "new_record":
            # A delete knows nothing but its key: the last known values are those of the version before, which is never a deleted one.
            columns.append(f"CASE WHEN `__delete` THEN LAG({ident(name)}) OVER ({by_run}) ELSE {ident(name)} END AS {ident(name)}")
        elif name not in spec.system:
            columns.append(ident(name))
    steps.append(f"ended AS (SELECT {_list(columns)} FROM runs WHERE {ends})")
    begins = "v.`__from`"
    if spec.first_version_from is not None:
        first = instant_literal(spec.first_version_from, spec.instant_type, place="merge_scd2(first_version_from=)")
        begins = f"CASE WHEN v.`__run` = 1 THEN LEAST(v.`__from`, {first}) ELSE v.`__from` END"
    own = {
        spec.valid_from: begins,
        spec.valid_to: f"COALESCE(v.`__until`, {open_sql(spec)})" if spec.open_until else "v.`__until`",
        IS_CURRENT: "v.`__until` IS NULL",
        IS_INFERRED: "FALSE",
        ABSORBED: f"m.{ident(ABSORBED)}",
    }
    own |= {IS_DELETED: "v.`__delete`"} if spec.deletes == "new_record" else {}
    if spec.surrogate_key is not None:
        parts = [(f"v.{ident(name)}", spec.type_of(name)) for name in spec.key]
        number = key_sql(parts, valid_from=("v.`__from`", spec.instant_type), first="v.`__run` = 1")
        own[spec.surrogate_key] = number if spec.surrogate_keys == "hash" else "CAST(NULL AS BIGINT)"
    columns = [
        *(f"v.{ident(name)}" for name, _ in spec.columns),
        *(f"{own[column.name]} AS {ident(column.name)}" for column in state_columns(spec)),
        *(["CASE WHEN v.`__run` > 1 THEN v.`__from` END AS `__slot`"] if spec.surrogate_keys == "sequence" else []),
    ]
    join = " AND ".join(f"v.{name} = m.{name}" for name in [*_keys(spec), "`__run`"])
    return [*steps, f"computed AS (SELECT {_list(columns)} FROM ended AS v LEFT JOIN memory AS m ON {join})"]


def _memory(spec: Scd2Spec) -> str:
    """``memory``: ``_absorbed`` of the versions that need it, which are few: one event that the row itself tells is left out."""
    raw = {name: f"`__raw{i}`" for i, name in enumerate(spec.ignore_null)}
    no_order = " AND ".join(f"`__o{i}` IS NULL" for i in range(len(spec.order_by))) or "TRUE"
    told_order = " AND ".join(f"`__o{i}` IS NULL" for i, name in enumerate(spec.order_by) if name not in spec.attributes) or "TRUE"
    # The row bears carried values, and the newest type-1 values: it tells the event only where these are its own.
    same = [f"{raw[name]} IS NOT DISTINCT FROM {ident(name)}" for name in spec.ignore_null if name not in spec.type1]
    same += [f"{raw.get(name, ident(name))} IS NOT DISTINCT FROM `__newest`.{ident(name)}" for name in spec.type1]
    told = f"`__final` AND CASE WHEN `__delete` THEN {no_order} ELSE {' AND '.join([told_order, *same])} END"
    if spec.first_version_from is not None:
        first = instant_literal(spec.first_version_from, spec.instant_type, place="merge_scd2(first_version_from=)")
        told += f" AND NOT (`__run` = 1 AND `__begins` AND {first} < `__from`)"
    ending = "(`__delete` AND `__final`)"
    members = "`__run` > 0"
    if spec.deletes != "new_record":
        members += f" AND NOT ({ending} AND COALESCE(`__was_delete`, TRUE))" if spec.order_by else f" AND NOT {ending}"
    # A version of one event, which is nearly every one, need not even be grouped.
    alone = (
        "`__begins` AND `__last`" + (" AND `__first`" if spec.ignore_null else "") + (" AND NOT `__then_delete`" if spec.order_by else "")
    )
    members += f" AND NOT ({alone} AND {told})"
    held = {name: raw.get(name, ident(name)) for name, _ in spec.remembered}
    # Of an event that isn't the last of its instant nothing but values to carry can ever matter.
    matters = "`__final`" + ("" if spec.deletes == "new_record" else " AND NOT `__delete`")
    held = {name: value if name in raw else f"CASE WHEN {matters} THEN {value} END" for name, value in held.items()}
    fields = {AT: "`__at`", IS_DELETE: "`__delete`", **{name: f"`__o{i}`" for i, name in enumerate(spec.order_by)}, **held}
    element = f"STRUCT({_list(f'{value} AS {ident(name)}' for name, value in fields.items())})"
    position = "`__position`" if spec.ignore_null else "`__at`"
    count = "COUNT(*)" if spec.deletes == "new_record" else f"SUM(CASE WHEN {ending} THEN 0 ELSE 1 END)"
    having = f"{count} > 1 OR SUM(CASE WHEN {told} THEN 0 ELSE 1 END) > 0"
    group = _list([*_keys(spec), "`__run`"])
    return f"memory AS (SELECT {group}, lk_collect({element}, {position}) AS {ident(ABSORBED)} FROM runs WHERE {members} GROUP BY {group} HAVING {having})"


def _difference(spec: Scd2Spec, identity: Sequence[str], places: Sequence[str], last: int) -> str:
    names = [name for name, _ in spec.columns] + [column.name for column in state_columns(spec)]
    values = {name: f"CASE WHEN c.`__there` THEN c.{ident(name)} ELSE s.{ident(name)} END" for name in names}
    change = "CASE WHEN s.`__there` IS NULL THEN 'insert' WHEN c.`__there` IS NULL THEN 'delete' ELSE 'update' END"
    on = " AND ".join(f"c.{ident(name)} = s.{ident(name)}" for name in identity)
    differs = " OR ".join(f"c.{ident(name)} IS DISTINCT FROM s.{ident(name)}" for name in names if name not in identity)
    # An inferred member goes only where a real version takes its place: facts point to it.
    where = f"s.`__there` IS NULL OR (c.`__there` IS NULL AND NOT COALESCE(s.{ident(IS_INFERRED)}, FALSE)) OR (c.`__there` AND ({differs}))"
    stored = f"SELECT *, TRUE AS `__there` FROM {_members(spec)}"
    if spec.surrogate_keys == "sequence" and spec.surrogate_key is not None:
        # A member's first version is the same one, whenever it begins, and a later one is known by when it begins: as with hashes.
        vf, key, number = ident(spec.valid_from), _list(_keys(spec)), ident(spec.surrogate_key)
        first = f"ROW_NUMBER() OVER (PARTITION BY {key} ORDER BY {vf} ASC NULLS FIRST) = 1"
        stored = f"SELECT *, TRUE AS `__there`, CASE WHEN NOT ({first}) THEN {vf} END AS `__slot` FROM {_members(spec)}"
        on = " AND ".join([*(f"c.{name} = s.{name}" for name in _keys(spec)), "c.`__slot` IS NOT DISTINCT FROM s.`__slot`"])
        order = f"PARTITION BY s.{number} IS NULL ORDER BY {_list([*_keys(spec, 'c'), f'c.{vf}'])}"
        values[spec.surrogate_key] = f"COALESCE(s.{number}, {last} + ROW_NUMBER() OVER ({order}))"
    columns = [f"{value} AS {ident(name)}" for name, value in values.items()]
    source = f"(SELECT *, TRUE AS `__there` FROM computed) AS c FULL OUTER JOIN ({stored}) AS s"

    def differ(some: Iterable[str]) -> str:
        return " OR ".join(f"c.{ident(name)} IS DISTINCT FROM s.{ident(name)}" for name in some) or "FALSE"

    period = {spec.valid_from, spec.valid_to, IS_CURRENT}
    seen = [name for name in names if name not in {*identity, *period, *spec.system, spec.effective_at, *spec.order_by, ABSORBED}]
    kept = "c.`__there` AND s.`__there`"
    whole = "'values'" if spec.first_version_from is not None else "'period'"  # such a version doesn't begin at its event
    says = f"CASE WHEN {kept} AND ({differ(seen)}) THEN 'values' WHEN {kept} AND NOT ({differ(sorted(period))}) THEN NULL ELSE {whole} END"
    columns += [f"{change} AS {ident(CHANGE)}", f"{says} AS {ident(SAYS)}", *(f"s.{name}" for name in places)]
    return f"SELECT {_list(columns)} FROM {source} ON {on} WHERE {where}"


def counts_sql(spec: Scd2Spec) -> str:
    """SQL for how many events came ``late``, before one that was known of their member, and how many left everything ``unchanged``.

    Relations in: ``events``, ``versions`` as they were, and ``changes``.
    """
    key, at = _list(_keys(spec)), f"e.{ident(spec.effective_at)}"
    vf, vt = ident(spec.valid_from), ident(spec.valid_to)
    last = f"SELECT {key}, MAX({last_known_sql(spec)}) AS `__last` FROM {_members(spec)} WHERE NOT COALESCE({ident(IS_INFERRED)}, FALSE) GROUP BY {key}"
    same = " AND ".join(f"e.{name} = x.{name}" for name in _keys(spec))
    touches = (
        f"x.{ident(SAYS)} IS NOT NULL AND (x.{vf} = {at} OR (x.{vt} = {at} AND e.{ident(IS_DELETE)})"
        f" OR (x.{ident(SAYS)} = 'values' AND x.{vf} <= {at} AND ({at} < x.{vt} OR x.{vt} IS NULL)))"
    )
    late = f"SELECT COUNT(*) FROM events AS e JOIN ({last}) AS x ON {same} AND {at} < x.`__last`"
    return f"SELECT ({late}) AS `late`, COUNT(*) AS `unchanged` FROM events AS e LEFT ANTI JOIN changes AS x ON {same} AND {touches}"


def _members(spec: Scd2Spec) -> str:
    """The stored versions without the special members, which no event is about."""
    if spec.surrogate_key is None:
        return "versions"
    return f"(SELECT * FROM versions WHERE COALESCE({ident(spec.surrogate_key)}, 0) >= 0)"


def _keys(spec: Scd2Spec, relation: str = "") -> list[str]:
    return [f"{relation}.{ident(name)}" if relation else ident(name) for name in spec.key]


def _list(parts: Iterable[str]) -> str:
    return ", ".join(parts)


def _with(steps: Sequence[str], query: str) -> str:
    return f"WITH {', '.join(steps)} {query}"
