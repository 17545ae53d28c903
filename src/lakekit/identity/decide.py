"""Decisions about pairs of records: rows of ``<into>__links`` by the rules ``confirm`` and ``separate``, which no run takes back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lakekit import columns as system
from lakekit.bookmark import Bookmark
from lakekit.engines.plan import Frame, Node, Query, TableState
from lakekit.engines.protocol import count
from lakekit.identity.kinds import CONFIRM, SEPARATE, Decision
from lakekit.identity.records import RECORD_ID
from lakekit.identity.rules import refuse_contradictions
from lakekit.identity.tables import LINKS, Run, Table, difference, open_table, put
from lakekit.incremental import cas, changes
from lakekit.names import text

if TYPE_CHECKING:
    import pyarrow as pa

DECIDED = f"rule IN ('{CONFIRM}', '{SEPARATE}')"
"""SQL: a row of the links table is a decision, not a match."""


def update(run: Run) -> Table:
    """The links table with the decisions of these rules in it; of two about one pair, these count.

    Raises:
        ConfigError: They contradict each other, or what was decided before.
    """
    table = open_table(run, LINKS)
    if not run.rules.overrides:
        return table
    given = _given(run)

    def differ(now: Table) -> Node:
        return _changes(run, given, now)

    if not count(run.session, differ(table)):
        return table
    _refuse_contradictions(run, given, table)
    return put(run, table, differ, Bookmark())[0]


def pending(run: Run, identities: TableState) -> bool:
    """Whether there are decisions that the identities don't follow yet: these rules', or those of a run that broke off."""
    table = open_table(run, LINKS)
    if count(run.session, _changes(run, _given(run), table)):
        return True
    if table.state is None or table.state.current is None:
        return False
    seen = cas.stored(identities).positions.get(changes.upstream(table.state))
    return seen is None or seen.at < table.state.current.sequence


def _given(run: Run) -> Frame:
    """The decisions of the rules as rows of the links table."""
    rows = run.lake.engine.frame(_as_arrow(run.rules.overrides))
    ids = ", ".join(f"{RECORD_ID.replace('source', f'{side}_source').replace('record_key', f'{side}_key')} AS {side}" for side in "ab")
    return run.query(
        f"SELECT least(a, b) AS left_id, greatest(a, b) AS right_id, rule, CAST(1 AS DOUBLE) AS score FROM (SELECT rule, {ids} FROM given) g",
        given=rows,
    )


def _as_arrow(decisions: Sequence[Decision]) -> pa.Table:
    import pyarrow as pa

    rows = [(item.kind, *item.a, *item.b) for item in dict.fromkeys(decisions)]
    columns = zip(("rule", "a_source", "a_key", "b_source", "b_key"), zip(*rows, strict=True), strict=True)
    return pa.table({name: pa.array(values, pa.string()) for name, values in columns})


def _changes(run: Run, given: Frame, now: Table) -> Node:
    """The rows to write: what is new, and what it takes back."""
    about = Query(
        f"SELECT l.* FROM links l LEFT SEMI JOIN given g ON g.left_id = l.left_id AND g.right_id = l.right_id WHERE {DECIDED}",
        {"links": now.rows, "given": given},
    )
    return difference(LINKS, given, about, run.instant)


def _refuse_contradictions(run: Run, given: Frame, table: Table) -> None:
    kept = Query(
        f"SELECT l.* FROM links l LEFT ANTI JOIN given g ON g.left_id = l.left_id AND g.right_id = l.right_id "
        f"WHERE {DECIDED} AND l.`{system.DELETED_AT}` IS NULL",
        {"links": table.rows, "given": given},
    )
    both = Query(
        "SELECT left_id, right_id, rule FROM kept UNION ALL SELECT left_id, right_id, rule FROM given", {"kept": kept, "given": given}
    )
    rows = [row for batch in run.session.rows(both) for row in batch.to_pylist()]
    refuse_contradictions({(row["left_id"], row["right_id"]): row["rule"] for row in rows}, place=f"Rules(overrides=): {text(run.into)}")
