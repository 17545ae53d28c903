"""verify_scd2: what must hold of every dimension with history, looked up in the table as it is stored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import attrs

from lakekit import columns as system
from lakekit.display import Shown
from lakekit.engines.plan import Query, Scan, TableState
from lakekit.engines.types import ident, sql_type
from lakekit.errors import ContractError
from lakekit.gold.keys import MEMBERS, key_sql
from lakekit.gold.scd2_recorded import versions_now
from lakekit.gold.scd2_spec import ABSORBED, AT, IS_CURRENT, instant_literal
from lakekit.gold.views import load
from lakekit.incremental import contract
from lakekit.names import TableName
from lakekit.operations import reading

if TYPE_CHECKING:
    from lakekit.lake import Lake


@attrs.frozen(repr=False)
class Verification(Shown):
    """What `verify_scd2` found. Printable.

    Attributes:
        table: The dimension.
        members: How many members it has; inferred ones too, those that stand for none (-1, -2) not.
        versions: How many versions they have.
        broken: What doesn't hold, in words, to the number of versions (or members) it doesn't hold of. Empty: everything holds.
    """

    table: str
    members: int
    versions: int
    broken: Mapping[str, int]

    def require(self) -> None:
        """Raise unless everything holds.

        Raises:
            ContractError: Something doesn't.
        """
        if self.broken:
            raise ContractError(
                f"verify_scd2(): {self.table}",
                "the history is broken",
                got="; ".join(f"{words}: {count:,}" for words, count in self.broken.items()),
                hint="compute the members anew from their log: merge_scd2(rebuild=True).",
            )

    def __str__(self) -> str:
        found = [f"{words}: {count:,}" for words, count in self.broken.items()] or ["everything holds"]
        return "\n  ".join([f"{self.table}: {self.members:,} members, {self.versions:,} versions", *found])


@reading
def verify_scd2(lake: Lake, table: TableName) -> Verification:
    """Look whether the history of a dimension is sound, whoever wrote to it: intervals, flags, keys, and what it remembers.

    Of a bitemporal one, the versions that it holds now, and that at no instant it held two that overlap.

    Nothing is written, and nothing raised where something doesn't hold: ``verify_scd2(…).require()`` does.

    Args:
        lake: Where the table is.
        table: A table made by `merge_scd2`.

    Raises:
        TableNotFoundError: There is no such table.
        ConfigError: It was not made by `merge_scd2`.

    >>> import lakekit as lk, tempfile
    >>> lake = lk.connect(tempfile.mkdtemp())
    >>> rows = [{"id": 1, "city": "Bonn", "at": 1}, {"id": 1, "city": "Kiel", "at": 2}]
    >>> _ = lk.merge_scd2(lk.from_frame(lake, rows, run_id="a"), into="gold.dim_people", key="id", effective_at="at", surrogate_key="k")
    >>> print(lk.verify_scd2(lake, "gold.dim_people"))
    gold.dim_people: 1 members, 2 versions
      everything holds
    """
    state, noted = load(lake, table, place="verify_scd2()")
    checks = _checks(state, noted)
    counts = ", ".join(f"count(CASE WHEN {condition} THEN 1 END) AS `c{index}`" for index, condition in enumerate(checks.values()))
    keys, vf = ", ".join(map(ident, noted["key"])), ident(noted["valid_from"])
    # Of two that begin at once the longer one first, so that each pair that overlaps is counted once.
    window = f"OVER (PARTITION BY {keys} ORDER BY {vf} ASC NULLS FIRST, {ident(noted['valid_to'])} DESC NULLS FIRST)"
    surrogate = ident(noted["surrogate_key"]) if noted["surrogate_key"] else None
    numbered = (
        f"SELECT *, LEAD({vf}) {window} AS `__next`, ROW_NUMBER() {window} AS `__number`,"
        f" SUM(CASE WHEN {ident(IS_CURRENT)} THEN 1 ELSE 0 END) OVER (PARTITION BY {keys}) AS `__open`,"
        f" COUNT(*) OVER (PARTITION BY {keys}) AS `__versions`"
        f" FROM stored" + (f" WHERE coalesce({surrogate}, 0) >= 0" if surrogate else "")
    )
    inputs = {"stored": versions_now(state)}
    with lake.engine.session() as session:
        found: dict[str, Any] = session.one(
            Query(f"SELECT count(*) AS n, count(CASE WHEN `__number` = 1 THEN 1 END) AS m, {counts} FROM ({numbered})", inputs)
        )
        broken = {words: found[f"c{index}"] for index, words in enumerate(checks)}
        if surrogate:
            twice = f"SELECT coalesce(sum(n - 1), 0) AS n FROM (SELECT count(*) AS n FROM stored GROUP BY {surrogate} HAVING count(*) > 1)"
            broken["surrogate keys that stand twice"] = session.one(Query(twice, inputs))["n"]
            special = f"SELECT count(DISTINCT {surrogate}) AS n FROM stored WHERE {surrogate} < 0"
            broken["members -1 and -2 that are missing"] = len(MEMBERS) - session.one(Query(special, inputs))["n"]
        broken |= {words: session.one(query)["n"] for words, query in _recorded(state, noted).items()}
    return Verification(state.label, found["m"], found["n"], {words: int(count) for words, count in broken.items() if count})


def _checks(state: TableState, noted: Mapping[str, Any]) -> dict[str, str]:
    """What doesn't hold, in words, to the SQL that says so of a version."""
    vf, vt, now = ident(noted["valid_from"]), ident(noted["valid_to"]), ident(IS_CURRENT)
    kind = sql_type(state.schema.field(noted["valid_from"]).type)
    literal = instant_literal(noted["open_until"], kind, place="verify_scd2()") if noted["open_until"] else None
    is_open = f"({vt} IS NULL OR {vt} = {literal})" if literal else f"({vt} IS NULL)"
    found = {
        "versions without a key or a beginning": " OR ".join(f"{ident(name)} IS NULL" for name in [*noted["key"], noted["valid_from"]]),
        "versions that end before they begin, or at once": f"{vt} <= {vf}",
        "versions that overlap the next one": f"`__next` IS NOT NULL AND ({vt} IS NULL OR `__next` < {vt})",
        "members with several open versions": "`__number` = 1 AND `__open` > 1",
        "versions whose is_current is not what valid_to says": f"{now} IS DISTINCT FROM {is_open}",
        "inferred members beside real versions": f"coalesce({ident(system.IS_INFERRED)}, false) AND `__versions` > 1",
    }
    if ABSORBED in state.schema.names:
        outside = f"x.{ident(AT)} < {vf} OR (NOT {is_open} AND x.{ident(AT)} > {vt})"
        found["versions that remember events outside of them"] = (
            f"{_size(ABSORBED)} > 0 AND size(filter({ident(ABSORBED)}, x -> {outside})) > 0"
        )
    if noted["surrogate_key"] and noted.get("surrogate_keys", "hash") == "hash":
        parts = [(ident(name), sql_type(state.schema.field(name).type)) for name in noted["key"]]
        number = key_sql(parts, valid_from=(vf, kind), first="`__number` = 1")
        found["surrogate keys that are not what key and valid_from give"] = f"{ident(noted['surrogate_key'])} IS DISTINCT FROM {number}"
    return found


def _recorded(state: TableState, noted: Mapping[str, Any]) -> dict[str, Query]:
    """What doesn't hold of recorded time, in words, to the query that counts it."""
    recorded = contract.recorded(state)
    if recorded is None:
        return {}
    begins, ends = ident(recorded.begins), ident(recorded.ends)
    vf, vt = ident(noted["valid_from"]), ident(noted["valid_to"])
    rows = f"(SELECT * FROM stored WHERE coalesce({ident(noted['surrogate_key'])}, 0) >= 0)" if noted["surrogate_key"] else "stored"
    keys = ", ".join(map(ident, noted["key"]))
    same = " AND ".join(f"a.{ident(name)} = b.{ident(name)}" for name in noted["key"])
    other = f"(a.{vf} < b.{vf} OR (a.{vf} = b.{vf} AND a.{begins} < b.{begins}))"

    def meet(begins: str, ends: str) -> str:
        return f"(a.{ends} IS NULL OR b.{begins} < a.{ends}) AND (b.{ends} IS NULL OR a.{begins} < b.{ends})"

    found = {
        "rows that were held never, or no longer than an instant": f"SELECT count(*) AS n FROM stored WHERE {begins} IS NULL OR {ends} <= {begins}",
        "rows that stand twice": "SELECT coalesce(sum(n - 1), 0) AS n FROM"
        f" (SELECT count(*) AS n FROM {rows} GROUP BY {keys}, {vf}, {begins} HAVING count(*) > 1)",
        "rows held beside others that overlap them": "SELECT count(*) AS n FROM"
        f" {rows} a LEFT SEMI JOIN {rows} b ON {same} AND {other} AND {meet(begins, ends)} AND {meet(vf, vt)}",
    }
    return {words: Query(query, {"stored": Scan(state, state.head)}) for words, query in found.items()}


def _size(name: str) -> str:
    return f"coalesce(size({ident(name)}), 0)"
