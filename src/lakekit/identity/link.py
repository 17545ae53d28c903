"""Links: which pairs of records match, by which rule, and how well. ``<into>__links``, a row for each pair and rule."""

from __future__ import annotations

import logging

from lakekit import logs
from lakekit.engines.plan import Frame, Node, Query
from lakekit.engines.sql import double, literal
from lakekit.identity import block
from lakekit.identity.decide import DECIDED
from lakekit.identity.kinds import PROBABILISTIC
from lakekit.identity.score import needed, score
from lakekit.identity.tables import LINKS, Run, Table, derived_bookmark, difference, first, news, put
from lakekit.names import text

log = logging.getLogger(__name__)


def update(run: Run, records: Table, keys: Table, table: Table) -> tuple[Table, int]:
    """Bring the links of changed records up to date: all their pairs are looked at anew. Decisions stay as they are.

    Returns:
        The links, and how many of the values looked at are shared by too many records to be evidence.
    """
    of_records, of_keys = news(run, table, records), news(run, table, keys)
    pairs = block.pairs(run, keys, of_records, of_keys)
    for name, values, most in pairs.crowded:
        log.warning(
            "%s: %s values of %s are shared by more records than that, and are no evidence; one by %s records. See identity.shared_values()",
            text(run.into),
            values,
            name,
            most,
            extra=logs.fields("shared_too_often", table=text(run.into), values=int(values), records=int(most)),
        )
    everything = of_records.everything or of_keys.everything
    wanted = _matches(run, pairs.rows, records, of_all=everything)

    def differ(now: Table) -> Node:
        if everything and now.is_empty(run):
            return first(LINKS, wanted, held=True)
        stored: Node = Query(f"SELECT * FROM links WHERE NOT {DECIDED}", {"links": now.rows})
        if not everything:
            stored = run.few(
                "SELECT l.* FROM links l LEFT JOIN dirty a ON a.record_id = l.left_id LEFT JOIN dirty b ON b.record_id = l.right_id "
                "WHERE a.record_id IS NOT NULL OR b.record_id IS NOT NULL",
                links=stored,
                dirty=pairs.dirty,
            )
        return difference(LINKS, wanted, stored, run.instant)

    capped = sum(values for _, values, _ in pairs.crowded)
    return put(run, table, differ, derived_bookmark(table, of_records, of_keys))[0], capped


def _matches(run: Run, pairs: Frame, records: Table, *, of_all: bool) -> Frame:
    """The pairs that match: one row for each rule that says so. The pairs are not needed any more then."""
    rules = run.rules
    inputs = {"pairs": pairs}
    scored, agreed = "", ""
    if needed(rules):
        distinct = run.query("SELECT DISTINCT left_id, right_id FROM pairs", pairs=pairs) if rules.exact or rules.fuzzy else pairs
        inputs["scored"] = score(run, distinct, records.live, of_all=of_all).rows
        scored, agreed = "JOIN scored s ON s.left_id = p.left_id AND s.right_id = p.right_id", "AND NOT s.vetoed"
    selects = [
        f"SELECT p.left_id, p.right_id, {literal(rule.name)} AS rule, CAST(1 AS DOUBLE) AS score FROM pairs p {scored} "
        f"WHERE p.block = {literal(rule.block.name)} {agreed}"
        for rule in rules.exact
    ]
    selects += [
        f"SELECT p.left_id, p.right_id, {literal(rule.name)} AS rule, s.fuzzy_{number} AS score FROM pairs p {scored} "
        f"WHERE p.block = {literal(rule.block.name)} {agreed} AND s.fuzzy_{number} >= {double(rule.at_least)}"
        for number, rule in enumerate(rules.fuzzy)
    ]
    if rules.probabilistic:
        names = {item.name for item in rules.probabilistic.blocks}
        blocks = ", ".join(map(literal, sorted(names)))
        mine = f"SELECT DISTINCT left_id, right_id FROM pairs WHERE block IN ({blocks})"
        others = {item.name for item in rules.blocks} - names
        within = f"LEFT SEMI JOIN ({mine}) p ON p.left_id = s.left_id AND p.right_id = s.right_id" if others else ""
        selects.append(
            f"SELECT s.left_id, s.right_id, {literal(PROBABILISTIC)} AS rule, s.bits AS score FROM scored s {within} "
            f"WHERE NOT s.vetoed AND s.bits >= {double(rules.probabilistic.least_bits)}"
        )
    found = run.session.stage(Query(" UNION ALL ".join(selects), inputs))
    run.session.discard(*inputs.values())
    return found
