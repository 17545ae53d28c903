"""SQL for what most events do: each is its member's only one, comes after all that is known of it, and opens a version.

Such an event closes the open version and adds one, or adds the first version of a new member, and nothing else of the member's history can
change. Its rows follow from a join, where the history of other members is computed anew (`scd2_sql`). The rows are the same.

Relations in: ``events``, ``versions`` and ``tombstones``, as there.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from lakekit.columns import IS_INFERRED
from lakekit.engines.types import ident
from lakekit.gold.keys import key_sql
from lakekit.gold.scd2_spec import ABSORBED, CHANGE, IS_CURRENT, IS_DELETE, SAYS, Scd2Spec, last_known_sql, open_sql, state_columns


def applies(spec: Scd2Spec) -> bool:
    """Whether there are such events at all: with these options, an event may change older versions, or one version may not tell it."""
    everywhere = spec.type1 or spec.ignore_null or spec.adopted or spec.rebuild or spec.deletes == "new_record"
    numbered = spec.surrogate_key is not None and spec.surrogate_keys == "sequence"
    told = set(spec.order_by) <= set(spec.attributes) and spec.first_version_from is None
    return told and not everywhere and not numbered


def appended_sql(spec: Scd2Spec, places: Sequence[str] = ()) -> str:
    """SQL for the events that only append, with the version that each closes: ``e_`` and ``v_`` before the names; ``v_there``: there is one.

    ``places``: the columns of ``versions`` that say where a row is stored.
    """
    keys = [ident(name) for name in spec.key]
    key = ", ".join(keys)
    inferred = f"COALESCE({ident(IS_INFERRED)}, FALSE)"
    mine = "TRUE" if spec.surrogate_key is None else f"COALESCE({ident(spec.surrogate_key)}, 0) >= 0"
    opened = f"{ident(IS_CURRENT)} AND NOT {inferred}"
    known = (
        f"SELECT {key}, MAX({last_known_sql(spec)}) AS `__last`, SUM(CASE WHEN {opened} THEN 1 ELSE 0 END) AS `__open`,"
        f" MAX(CASE WHEN {inferred} THEN 1 ELSE 0 END) AS `__inferred` FROM versions WHERE {mine} GROUP BY {key}"
    )
    event = dict.fromkeys(name for name, _ in (*spec.columns, *spec.unstored))
    version = [*(name for name, _ in spec.columns), *(column.name for column in state_columns(spec)), *places]
    columns = [f"e.{ident(name)} AS {ident('e_' + name)}" for name in event]
    columns += [f"v.{ident(name)} AS {ident('v_' + name)}" for name in version]
    columns.append("v.`__there` IS NOT NULL AS `v_there`")
    differs = " OR ".join(f"e.{ident(name)} IS DISTINCT FROM v.{ident(name)}" for name in spec.tracked) or "FALSE"
    return (
        f"SELECT {', '.join(columns)} FROM events AS e"
        f" LEFT SEMI JOIN (SELECT {key} FROM events GROUP BY {key} HAVING COUNT(*) = 1) AS o ON {_same(keys, 'e', 'o')}"
        f" LEFT ANTI JOIN tombstones AS t ON {_same(keys, 'e', 't')}"
        f" LEFT JOIN ({known}) AS k ON {_same(keys, 'e', 'k')}"
        f" LEFT JOIN (SELECT *, TRUE AS `__there` FROM versions WHERE {mine} AND {opened}) AS v ON {_same(keys, 'e', 'v')}"
        f" WHERE NOT COALESCE(e.{ident(IS_DELETE)}, FALSE) AND (k.`__open` IS NULL"
        f" OR (k.`__open` = 1 AND k.`__inferred` = 0 AND e.{ident(spec.effective_at)} > k.`__last` AND ({differs})))"
    )


def changes_sql(spec: Scd2Spec, places: Sequence[str] = ()) -> str:
    """SQL for the rows to merge, as `scd2_sql.changes_sql` gives them, from the events that only append: ``appended``."""
    at = ident("e_" + spec.effective_at)
    own = {
        spec.valid_from: at,
        spec.valid_to: open_sql(spec),
        IS_CURRENT: "TRUE",
        IS_INFERRED: "FALSE",
        ABSORBED: f"CASE WHEN FALSE THEN {ident('v_' + ABSORBED)} END",
    }
    if spec.surrogate_key is not None:
        parts = [(ident("e_" + name), spec.type_of(name)) for name in spec.key]
        own[spec.surrogate_key] = key_sql(parts, valid_from=(at, spec.instant_type), first="NOT `v_there`")
    begun = {name: ident("e_" + name) for name, _ in spec.columns}
    begun |= {column.name: own[column.name] for column in state_columns(spec)} | {CHANGE: "'insert'"} | dict.fromkeys(places, "NULL")
    closed = {name: ident("v_" + name) for name, _ in spec.columns}
    closed |= {column.name: ident("v_" + column.name) for column in state_columns(spec)}
    closed |= {spec.valid_to: at, IS_CURRENT: "FALSE", IS_INFERRED: "FALSE", CHANGE: "'update'"}
    closed |= {place: ident("v_" + place) for place in places}
    names = [*(name for name, _ in spec.columns), *(column.name for column in state_columns(spec)), CHANGE, SAYS, *places]

    def listed(values: dict[str, str]) -> str:
        return ", ".join(f"{values[name]} AS {ident(name)}" for name in names)

    said = {SAYS: "'period'"}
    return f"SELECT {listed(begun | said)} FROM appended UNION ALL SELECT {listed(closed | said)} FROM appended WHERE `v_there`"


def rest_sql(spec: Scd2Spec, relation: str) -> str:
    """SQL for the rows of a relation that are of other members."""
    same = " AND ".join(f"r.{ident(name)} = a.{ident('e_' + name)}" for name in spec.key)
    return f"SELECT * FROM {relation} AS r LEFT ANTI JOIN appended AS a ON {same}"


def _same(keys: Iterable[str], one: str, other: str) -> str:
    return " AND ".join(f"{one}.{name} = {other}.{name}" for name in keys)
