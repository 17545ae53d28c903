"""Events out of a full feed: what a snapshot of the source says against the newest versions of a dimension.

A snapshot is an observation, not a log: it says what is there, and since when only where the source keeps such a column. So:

- A row like the open version of its key says nothing, and makes no event: an unchanged day costs no write.
- A new, changed or revived row becomes an upsert at the source's own time, where that is after everything known of the key; else at the
  instant of the observation. (A revived row with its old time came back when it was seen; the time before is the gap it was absent for.)
- An open member that is absent becomes a delete at the instant of the observation.
- Where even that instant is not after what is known (the source's clock is ahead), the event happens one tick after it: else it would be woven
  into the past, and the next snapshot would say it again for ever.

Snapshots must be given in their order: whoever calls refuses one that was observed before the last.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

import attrs

from lakekit.columns import IS_INFERRED
from lakekit.engines.functions import family
from lakekit.engines.types import ident
from lakekit.errors import ConfigError
from lakekit.gold.scd2_spec import ABSORBED, AT, IS_CURRENT, IS_DELETE, IS_DELETED, Scd2Spec, instant_literal

EFFECTIVE_AT: Final = "_effective_at"
"""The event column with the instant. Its own, since a stored ``updated_at`` keeps what the source said."""

_TICKS: Final = {
    "t": "{} + INTERVAL '1' MICROSECOND",
    "n": "{} + INTERVAL '1' MICROSECOND",
    "D": "CAST({} + INTERVAL '1' DAY AS DATE)",
    "i": "{} + 1",
    "d": "{} + 1",
}


def for_snapshots(spec: Scd2Spec) -> Scd2Spec:
    """The spec by which the events of ``snapshot_events_sql`` are merged: the same, with the instant in a column of its own.

    >>> spec = Scd2Spec(key="id", columns={"id": "INT", "name": "STRING", "updated_at": "DATE"}, effective_at="updated_at")
    >>> for_snapshots(spec).effective_at, for_snapshots(spec).tracked
    ('_effective_at', ('name',))
    """
    instant = (EFFECTIVE_AT, spec.instant_type)
    return attrs.evolve(spec, effective_at=EFFECTIVE_AT, unstored=(*spec.unstored, instant), track=spec.tracked, order_by=())


def snapshot_events_sql(spec: Scd2Spec, *, observed_at: str, timed: bool, absent: Collection[str] = ()) -> str:
    """SQL for the events that a snapshot gives, to be merged by ``for_snapshots(spec)``.

    Relations in: ``snapshot`` (key, attributes and system columns of every row of the source, within the scope of deletes or not),
    ``versions`` (the stored rows of every key; all versions or just each key's newest) and ``scope`` (the keys of those members that may be
    deleted by their absence).

    Args:
        spec: As the user gave it.
        observed_at: ISO text of the instant of the observation.
        timed: Whether ``snapshot`` has the column ``spec.effective_at``.
        absent: Columns that the source doesn't have: they keep their values.

    Raises:
        ConfigError: Instants of this type have no next one (strings).
    """
    kind = family(spec.instant_type)
    if kind not in _TICKS:
        raise ConfigError("merge_scd2(effective_at=)", "a full feed needs a time, a date or a number", got=spec.instant_type)
    keys = [ident(name) for name in spec.key]
    key = ", ".join(keys)
    vf, vt = ident(spec.valid_from), ident(spec.valid_to)
    observed = instant_literal(observed_at, spec.instant_type, place="merge_scd2(observed_at=)")
    deleted = f" AND NOT COALESCE({ident(IS_DELETED)}, FALSE)" if spec.deletes == "new_record" else ""
    numbered = f"SELECT *, ROW_NUMBER() OVER (PARTITION BY {key} ORDER BY {vf} DESC NULLS LAST) AS `__number` FROM versions"
    newest = f"SELECT *, {ident(IS_CURRENT)}{deleted} AS `__open`, TRUE AS `__known` FROM ({numbered} WHERE NOT COALESCE({ident(IS_INFERRED)}, FALSE))"
    absorbed = f"SELECT {key}, EXPLODE({ident(ABSORBED)}) AS `__e` FROM newest WHERE {ident(ABSORBED)} IS NOT NULL"
    ended = f"CASE WHEN n.{ident(IS_CURRENT)} THEN n.{vf} ELSE n.{vt} END"
    same_key = " AND ".join(f"{{0}}.{name} = {{1}}.{name}" for name in keys)
    business = [name for name in spec.attributes if name not in spec.system and name not in absent]
    differs = " OR ".join(
        (f"(s.{ident(name)} IS NOT NULL AND s.{ident(name)} IS DISTINCT FROM n.{ident(name)})")
        if name in spec.ignore_null
        else f"(s.{ident(name)} IS DISTINCT FROM n.{ident(name)})"
        for name in business
    )
    names = [name for name, _ in spec.columns]
    joined = [
        *(f"COALESCE(s.{name}, n.{name}) AS {name}" for name in keys),
        *(f"{'n' if name in absent else 's'}.{ident(name)} AS {ident(name)}" for name in spec.attributes),
        "s.`__seen`",
        "n.`__known`",
        "n.`__open`",
        f"{f's.{ident(spec.effective_at)}' if timed else observed} AS `__given`",
        f"GREATEST(COALESCE(i.`__at`, n.{vf}), {ended}) AS `__latest`",
        f"{differs or 'FALSE'} AS `__differs`",
    ]
    said = "(`__seen` AND (`__known` IS NULL OR NOT `__open` OR `__differs`))"
    gone = f"(`__seen` IS NULL AND `__open` AND EXISTS (SELECT 1 FROM scope AS d WHERE {same_key.format('d', 'j')}))"
    instant = (
        f"CASE WHEN `__seen` AND (`__known` IS NULL OR `__given` > `__latest`) THEN COALESCE(`__given`, {observed})"
        f" WHEN {observed} > `__latest` THEN {observed} ELSE {_TICKS[kind].format('`__latest`')} END"
    )
    return (
        f"WITH newest AS (SELECT * FROM ({newest}) WHERE `__number` = 1),"
        f" instants AS (SELECT {key}, MAX(`__e`.{ident(AT)}) AS `__at` FROM ({absorbed}) GROUP BY {key}),"
        f" joined AS (SELECT {', '.join(joined)} FROM (SELECT *, TRUE AS `__seen` FROM snapshot) AS s"
        f" FULL OUTER JOIN newest AS n ON {same_key.format('s', 'n')}"
        f" LEFT JOIN instants AS i ON {same_key.format('n', 'i')})"
        f" SELECT {', '.join(map(ident, names))}, {instant} AS {ident(EFFECTIVE_AT)}, `__seen` IS NULL AS {ident(IS_DELETE)}"
        f" FROM joined AS j WHERE {said} OR {gone}"
    )
