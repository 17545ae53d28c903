"""The region of a run: every record whose part may have changed, and the parts they form now."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

from lakekit import logs
from lakekit.engines.plan import Frame, Node, Query
from lakekit.engines.protocol import count
from lakekit.identity.cluster import Decided, Inside, Links, parts
from lakekit.identity.decide import DECIDED
from lakekit.identity.kinds import CONFIRM, PROBABILISTIC, SEPARATE
from lakekit.identity.score import SURE, score
from lakekit.identity.tables import News, Run, Table
from lakekit.names import text

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

log = logging.getLogger(__name__)

GUARD: Final = 0.75
"""Groups are joined while their mean weight exceeds this part of a probabilistic rule's prior. All of it would join whatever is not
contradicted, none of it hardly anything that is not linked pair by pair."""


def grow(run: Run, records: Table, links: Table, of_records: News, of_links: News) -> Node:
    """The live records that are connected with a record, or a link, that has changed: ``record_id``, ``source`` and ``record_key``."""
    if of_records.everything or of_links.everything:
        return records.live
    begun = "SELECT record_id FROM records UNION SELECT left_id FROM links UNION SELECT right_id FROM links"
    frontier = run.query(begun, records=of_records.keys, links=of_links.keys)
    region = frontier
    live = (
        run.query(f"SELECT left_id, right_id FROM live WHERE rule <> '{SEPARATE}'", live=links.live)
        if count(run.session, frontier)
        else None
    )
    while live is not None and count(run.session, frontier):
        frontier = run.few(
            "SELECT record_id FROM (SELECT l.right_id AS record_id FROM links l LEFT SEMI JOIN frontier f ON f.record_id = l.left_id "
            "UNION SELECT l.left_id FROM links l LEFT SEMI JOIN frontier f ON f.record_id = l.right_id) n "
            "LEFT ANTI JOIN region r ON r.record_id = n.record_id",
            links=live,
            frontier=frontier,
            region=region,
        )
        region = run.query("SELECT record_id FROM region UNION ALL SELECT record_id FROM frontier", region=region, frontier=frontier)
    return run.few(
        "SELECT l.record_id, l.source, l.record_key FROM live l LEFT SEMI JOIN region r ON r.record_id = l.record_id",
        live=records.live,
        region=region,
    )


def divide(run: Run, records: Table, links: Table, region: Node) -> Frame:
    """The region's records with their parts: ``node``, ``part`` (its least node), ``record_id``, ``source``, ``record_key``."""
    import numpy as np
    import pyarrow as pa

    # Numbered in the order of source and key, so that ties break alike whatever else is in the region.
    nodes = run.query(
        "SELECT row_number() OVER (ORDER BY source, record_key) - 1 AS node, record_id, source, record_key FROM region", region=region
    )
    rows = Query(
        f"""SELECT least(a.node, b.node) AS low, greatest(a.node, b.node) AS high,
            sum(CASE WHEN rule = '{PROBABILISTIC}' OR {DECIDED} THEN CAST(0 AS DOUBLE) ELSE score END) AS sure,
            sum(CASE WHEN rule = '{PROBABILISTIC}' THEN score ELSE CAST(0 AS DOUBLE) END) AS bits,
            count(CASE WHEN NOT {DECIDED} THEN 1 END) AS matches, count(CASE WHEN rule = '{PROBABILISTIC}' THEN 1 END) AS weighed,
            count(CASE WHEN rule = '{CONFIRM}' THEN 1 END) AS confirmed, count(CASE WHEN rule = '{SEPARATE}' THEN 1 END) AS separated
        FROM links l JOIN nodes a ON a.record_id = l.left_id JOIN nodes b ON b.record_id = l.right_id GROUP BY 1, 2""",
        {"links": links.live, "nodes": nodes},
    )
    low, high, sure, bits, matches, weighed, confirmed, separated = _arrays(
        run, rows, "low", "high", "sure", "bits", "matches", "weighed", "confirmed", "separated"
    )
    node, record_id = _arrays(run, Query("SELECT node, record_id FROM nodes", {"nodes": nodes}), "node", "record_id")
    ids, size = np.empty_like(record_id), len(node)
    ids[node] = record_id
    model = run.rules.probabilistic.model if run.rules.probabilistic else None

    # Pairs that match were scored for it, by these rules, and no veto stands between them.
    known, certain = (matches if model is None else weighed) > 0, sure > 0

    def scorer(pairs: Inside) -> tuple[Array, Array]:
        weight, vetoed = pairs.spread(low[known], high[known], bits[known]), np.zeros(len(pairs.left), dtype=bool)
        open_ = ~pairs.marks(low[known], high[known])
        weight[open_], vetoed[open_] = _score(run, records, ids[pairs.left[open_]], ids[pairs.right[open_]])
        matched = pairs.spread(low[certain], high[certain], sure[certain] * SURE)
        # Where a rule is sure, what the other fields say can only add to it.
        return np.where(matched > 0, np.maximum(weight, 0.0) + matched, weight), vetoed

    part, cut = parts(
        size,
        Links(low, high, sure * SURE + bits).where(matches > 0),
        max_members=run.rules.max_members,
        limit=GUARD * min(model.prior, 0.0) if model else 0.0,
        scorer=scorer if run.rules.never or model else None,
        decided=Decided(*((low[chosen > 0], high[chosen > 0]) for chosen in (confirmed, separated))),
    )
    if cut:
        log.warning(
            "%s: %s groups of linked records were larger than %s, and were cut",
            text(run.into),
            cut,
            run.rules.max_members,
            extra=logs.fields("groups_cut", table=text(run.into), groups=int(cut)),
        )
    numbered = run.lake.engine.frame(pa.table({"node": pa.array(np.arange(size)), "part": pa.array(part)}))
    return run.query("SELECT n.*, p.part FROM nodes n JOIN parts p ON p.node = n.node", nodes=nodes, parts=numbered)


def _score(run: Run, records: Table, left: Array, right: Array) -> tuple[Array, Array]:
    """The bits of pairs of records, and whether a veto keeps them apart."""
    import numpy as np
    import pyarrow as pa

    pairs = run.lake.engine.frame(
        pa.table({"position": pa.array(np.arange(len(left))), "left_id": pa.array(left), "right_id": pa.array(right)})
    )
    scored = score(run, pairs, records.live, kept=("position",))
    told = Query("SELECT position, bits, vetoed FROM scored", {"scored": scored.rows})
    position, bits, vetoed = _arrays(run, told, "position", "bits", "vetoed")
    order = np.argsort(position)
    return bits[order], vetoed[order].astype(bool)


def _arrays(run: Run, rows: Query, *names: str) -> list[Array]:
    """Columns as arrays."""
    import numpy as np

    batches = list(run.session.rows(rows))
    return [
        np.concatenate([batch.column(name).to_numpy(zero_copy_only=False) for batch in batches])
        if batches
        else np.array([], dtype=np.int64)
        for name in names
    ]
