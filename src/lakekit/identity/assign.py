"""Identities: parts of linked records get ids that stay. ``<into>``, committed last, together with the batches' bookmark."""

from __future__ import annotations

import attrs

from lakekit import columns as system
from lakekit.bookmark import Bookmark
from lakekit.commit import Commit
from lakekit.engines.plan import Frame, Node, Query
from lakekit.engines.protocol import count
from lakekit.errors import ContractError
from lakekit.identity import region
from lakekit.identity.tables import ALIAS, IDENTITIES, PLACE, RECORD, SPLIT, Run, Table, news, open_table, put


def update(run: Run, records: Table, links: Table, bookmark: Bookmark, read: Commit, incoming: Frame) -> Commit:
    """Give every record of the region its id, and commit: rows and bookmarks in one snapshot."""
    table = open_table(run, IDENTITIES)
    of_records, of_links = news(run, table, records), news(run, table, links)
    grown = region.grow(run, records, links, of_records, of_links)
    members = region.divide(run, records, links, grown)
    gone = Query(
        f"SELECT r.source, r.record_key FROM records r LEFT SEMI JOIN seen s ON s.record_id = r.record_id WHERE r.`{system.DELETED_AT}` IS NOT NULL",
        {"records": records.rows, "seen": of_records.keys},
    )

    def differ(now: Table) -> Node:
        return _changes(run, now, members, gone)

    def figures(rows: Frame) -> Commit:
        return _figures(run, read, rows, incoming)

    spans = {**bookmark.spans, **of_records.spans, **of_links.spans}
    return put(run, table, differ, attrs.evolve(bookmark, spans=spans), figures=figures)[1]


def _changes(run: Run, now: Table, members: Frame, gone: Node) -> Node:
    """The rows to write: records that get another id, records that are gone, and what became of ids."""
    assigned = Query(f"SELECT * FROM rows WHERE kind = '{RECORD}'", {"rows": now.rows})
    known = run.few(
        "SELECT r.* FROM assigned r LEFT SEMI JOIN members m ON m.source = r.source AND m.record_key = r.record_key",
        assigned=assigned,
        members=members,
    )
    stored = run.query(
        f"SELECT m.node, m.part, m.source, m.record_key, r.master_user_id, r.former_user_id, r.generation, r.source IS NOT NULL AS there, "
        f"r.source IS NOT NULL AND r.`{system.DELETED_AT}` IS NULL AS lives "
        "FROM members m LEFT JOIN known r ON r.source = m.source AND r.record_key = m.record_key",
        members=members,
        known=known,
    )
    lost = run.few(
        f"SELECT r.* FROM assigned r LEFT SEMI JOIN gone g ON g.source = r.source AND g.record_key = r.record_key WHERE r.`{system.DELETED_AT}` IS NULL",
        assigned=assigned,
        gone=gone,
    )
    held = run.query(
        "SELECT master_user_id, part, count(*) AS records, min(generation) AS generation FROM stored WHERE lives GROUP BY master_user_id, part",
        stored=stored,
    )
    # Each id goes to the part that holds most of its records; a part keeps one of the ids that come to it.
    claimed = run.query(
        "SELECT *, row_number() OVER (PARTITION BY part ORDER BY records DESC, generation, master_user_id) AS place FROM "
        "(SELECT *, row_number() OVER (PARTITION BY master_user_id ORDER BY records DESC, part) AS choice FROM held) c WHERE choice = 1",
        held=held,
    )
    generation = int(run.session.one(Query("SELECT coalesce(max(generation), 0) + 1 AS n FROM rows", {"rows": now.rows}))["n"])
    ids, generation = _ids(run, now, members, claimed, generation)
    records = Query(
        f"""SELECT '{RECORD}' AS kind, s.source, s.record_key, i.master_user_id,
            CASE WHEN s.there AND s.master_user_id <> i.master_user_id THEN s.master_user_id ELSE s.former_user_id END AS former_user_id,
            i.generation, {run.instant} AS assigned_at, CAST(NULL AS TIMESTAMP) AS `{system.DELETED_AT}`,
            CASE WHEN s.there THEN 'update' ELSE 'insert' END AS _change
        FROM stored s JOIN ids i ON i.part = s.part WHERE NOT s.lives OR s.master_user_id <> i.master_user_id""",
        {"stored": stored, "ids": ids},
    )
    columns = ", ".join(IDENTITIES.columns)
    buried = Query(f"SELECT {columns}, {run.instant} AS `{system.DELETED_AT}`, 'update' AS _change FROM lost", {"lost": lost})
    events = _events(run, now, held, claimed, ids, lost, generation)
    listed = f"SELECT {IDENTITIES.listed()}, _change FROM"
    return Query(
        f"{listed} records UNION ALL {listed} buried UNION ALL {listed} events", {"records": records, "buried": buried, "events": events}
    )


def _ids(run: Run, now: Table, members: Frame, claimed: Frame, generation: int) -> tuple[Frame, int]:
    """The id of each part, the one it keeps or a new one, and the generation of the new ones."""
    kept = Query("SELECT part, master_user_id, generation FROM claimed WHERE place = 1", {"claimed": claimed})
    fresh = Query(
        "SELECT m.* FROM members m LEFT ANTI JOIN kept k ON k.part = m.part WHERE m.node = m.part", {"members": members, "kept": kept}
    )
    for number in (generation, generation + 1, generation + 2):
        hashed = f"lk_hash63(lk_text(source, 'STRING') || lk_text(record_key, 'STRING') || lk_text(CAST({number} AS BIGINT), 'BIGINT')) AS master_user_id"
        minted = run.query(f"SELECT part, {hashed}, CAST({number} AS BIGINT) AS generation FROM fresh", fresh=fresh)
        clash = Query(
            "SELECT master_user_id FROM minted GROUP BY master_user_id HAVING count(*) > 1 "
            "UNION ALL SELECT m.master_user_id FROM minted m LEFT SEMI JOIN "
            "(SELECT master_user_id AS id FROM rows UNION ALL SELECT former_user_id FROM rows) r ON r.id = m.master_user_id",
            {"minted": minted, "rows": now.rows},
        )
        if not count(run.session, clash):
            return run.query("SELECT * FROM kept UNION ALL SELECT * FROM minted", kept=kept, minted=minted), number
    raise ContractError(PLACE, "three hashes in a row collide with ids in use", hint="this is a bug in lakekit.")


def _events(run: Run, now: Table, held: Frame, claimed: Frame, ids: Frame, lost: Frame, generation: int) -> Node:
    """Aliases of ids that are no longer used, and splits of ids from which records went to another one."""
    retired = run.query(
        "SELECT c.master_user_id AS former_user_id, i.master_user_id FROM claimed c JOIN ids i ON i.part = c.part WHERE c.place > 1 "
        "UNION ALL SELECT DISTINCT l.master_user_id, CAST(NULL AS BIGINT) FROM lost l LEFT ANTI JOIN held h ON h.master_user_id = l.master_user_id",
        claimed=claimed,
        ids=ids,
        lost=lost,
        held=held,
    )
    happened = run.query(
        f"""SELECT '{ALIAS}' AS kind, former_user_id, master_user_id FROM retired
        UNION ALL SELECT '{ALIAS}', a.former_user_id, r.master_user_id FROM rows a JOIN retired r ON r.former_user_id = a.master_user_id WHERE a.kind = '{ALIAS}'
        UNION ALL SELECT '{SPLIT}', h.master_user_id, i.master_user_id FROM held h JOIN ids i ON i.part = h.part
            LEFT ANTI JOIN claimed c ON c.master_user_id = h.master_user_id AND c.part = h.part""",
        retired=retired,
        held=held,
        claimed=claimed,
        ids=ids,
        rows=now.rows,
    )
    key = f"CASE WHEN kind = '{ALIAS}' THEN CAST(former_user_id AS STRING) ELSE concat(CAST(former_user_id AS STRING), '|', CAST(master_user_id AS STRING)) END"
    return Query(
        f"""SELECT h.kind, CAST(NULL AS STRING) AS source, h.record_key, h.master_user_id, h.former_user_id, CAST({generation} AS BIGINT) AS generation,
            {run.instant} AS assigned_at, CAST(NULL AS TIMESTAMP) AS `{system.DELETED_AT}`, CASE WHEN r.kind IS NULL THEN 'insert' ELSE 'update' END AS _change
        FROM (SELECT *, {key} AS record_key FROM happened) h LEFT JOIN rows r ON r.kind = h.kind AND r.record_key = h.record_key AND r.source IS NULL""",
        {"happened": happened, "rows": now.rows},
    )


def _figures(run: Run, read: Commit, rows: Frame, incoming: Frame) -> Commit:
    found = run.session.one(
        Query(
            f"""SELECT count(CASE WHEN _change = 'insert' THEN 1 END) AS inserted,
                count(CASE WHEN _change = 'update' AND `{system.DELETED_AT}` IS NULL THEN 1 END) AS updated, count(`{system.DELETED_AT}`) AS deleted,
                (SELECT count(*) FROM incoming i LEFT ANTI JOIN rows r ON r.kind = '{RECORD}' AND r.source = i.source AND r.record_key = i.record_key) AS unchanged
            FROM rows""",
            {"rows": rows, "incoming": incoming},
        )
    )
    return attrs.evolve(read, **found)
