"""Blocking: which records are looked at together. ``<into>__keys`` holds one row for each record and block it has a value for."""

from __future__ import annotations

import attrs

from lakekit import columns as system
from lakekit.engines.plan import Frame, Node, Query
from lakekit.engines.protocol import count
from lakekit.engines.sql import literal
from lakekit.engines.types import ident
from lakekit.identity.kinds import Block
from lakekit.identity.rules import Rules
from lakekit.identity.tables import KEYS, News, Run, Table, derived_bookmark, difference, first, news, open_table, put


def _digest(block: Block, number: int, *, kept: bool) -> str:
    """SQL for the digest of the block and of the values, whose number is what records meet under. Not ``kept``: a number, by the quickest hash."""
    if not kept:
        return f"lk_code({number}, {', '.join(map(ident, block.columns))})"
    values = " || ".join(f"lk_text({ident(name)}, 'STRING')" for name in block.columns)
    return f"lk_md5(lk_text({literal(block.name)}, 'STRING') || {values})"


def update(run: Run, records: Table) -> Table:
    """Bring the keys of changed records up to date."""
    table = open_table(run, KEYS)
    seen = news(run, table, records)
    # The first keys of a dry run meet each other only: the engine's own hash will do, which takes less than half as long.
    kept = not (run.dry_run and table.is_empty(run))
    selects = [
        f"SELECT {_digest(block, number, kept=kept)} AS digest, record_id, CAST({number} AS SMALLINT) AS number FROM changed "
        f"WHERE {' AND '.join(f'{ident(name)} IS NOT NULL' for name in block.columns)}"
        for number, block in enumerate(run.rules.blocks)
    ]
    key = "lk_first63(digest)" if kept else "digest"
    changed: Node = records.live
    if not seen.everything and seen.live is not None:
        changed = seen.live
    elif not seen.everything:
        changed = run.few("SELECT r.* FROM live r LEFT SEMI JOIN seen s ON s.record_id = r.record_id", live=records.live, seen=seen.keys)
    numbered = Query(f"SELECT {key} AS key, record_id, number FROM ({' UNION ALL '.join(selects)})", {"changed": changed})
    names = " ".join(f"WHEN {number} THEN {literal(block.name)}" for number, block in enumerate(run.rules.blocks))
    named = f"SELECT key, record_id, CASE number {names} END AS block FROM numbered"

    def differ(now: Table) -> Node:
        stored = now.rows
        if seen.everything and now.is_empty(run):
            return first(KEYS, Query(named, {"numbered": run.session.stage(numbered)}), held=True)
        if not seen.everything:
            stored = run.few("SELECT k.* FROM keys k LEFT SEMI JOIN seen s ON s.record_id = k.record_id", keys=stored, seen=seen.keys)
        return difference(KEYS, Query(named, {"numbered": numbered}), stored, run.instant)

    return put(run, table, differ, derived_bookmark(table, seen))[0]


@attrs.frozen(eq=False)
class Pairs:
    """Pairs of records to look at: ``left_id`` < ``right_id`` and the ``block`` that they share.

    Attributes:
        rows: The pairs, one row for each block; where nothing but a trained rule asks for them one row for all, without ``block``.
        dirty: The records whose links are looked at anew: all their pairs are here.
        crowded: Blocks with values that more records share than the block allows: its name, how many values, and how many records share
            the one that most do.
    """

    rows: Frame
    dirty: Node
    crowded: tuple[tuple[str, int, int], ...]


def _cap(rules: Rules) -> str:
    """SQL: how many records may share a value of a block."""
    most = {block.most for block in rules.blocks}
    if len(most) == 1:
        return str(most.pop())  # to look at the block of each row takes as long as to count them
    return "CASE block " + " ".join(f"WHEN {literal(block.name)} THEN {block.most}" for block in rules.blocks) + " ELSE 0 END"


def pairs(run: Run, keys: Table, of_records: News, of_keys: News) -> Pairs:
    """The pairs of records that share a value, of which at least one record has changed.

    A record counts as changed, too, when one of its values has become shared by too many records, or no longer is.
    """
    everything = of_records.everything or of_keys.everything
    if everything:
        dirty, touched = Query("SELECT DISTINCT record_id FROM live", {"live": keys.live}), keys.live
    else:
        around = run.few("SELECT k.* FROM rows k LEFT SEMI JOIN seen s ON s.key = k.key", rows=keys.rows, seen=of_keys.keys)
        dirty = run.query(
            "SELECT record_id FROM records UNION SELECT record_id FROM keys UNION SELECT record_id FROM crossed",
            records=of_records.keys,
            keys=of_keys.keys,
            crossed=_crossed(run, around, of_keys),
        )
        touched = _touched(run, keys, around, dirty)
    # A key is one block's, since the hash is of its name, too: by numbers alone the grouping takes half the time.
    shared = run.query(
        f"SELECT key, max(cap) AS cap, count(*) AS n FROM (SELECT key, {_cap(run.rules)} AS cap FROM touched) GROUP BY key HAVING count(*) > 1",
        touched=touched,
    )
    members, distinct = "k.key, k.record_id, k.block", ""
    listed = "a.record_id AS left_id, b.record_id AS right_id, a.block"
    if not run.rules.exact and not run.rules.fuzzy:  # a trained rule doesn't ask by which of its blocks they met
        members, distinct, listed = members.removesuffix(", k.block"), "DISTINCT ", listed.removesuffix(", a.block")
    some = "touched k JOIN shared s ON s.key = k.key"
    if everything:
        held = run.query(f"SELECT {members}, true AS dirty FROM {some} WHERE s.n <= s.cap", touched=touched, shared=shared)
    else:
        joined = f"{some} LEFT JOIN dirty d ON d.record_id = k.record_id"
        among = f"SELECT {members}, d.record_id IS NOT NULL AS dirty FROM {joined} WHERE s.n <= s.cap"
        held = run.query(among, touched=touched, shared=shared, dirty=dirty)
    rows = run.query(
        f"SELECT {distinct}{listed} FROM members a JOIN members b ON a.key = b.key WHERE a.record_id < b.record_id AND (a.dirty OR b.dirty)",
        members=held,
    )
    many = run.query("SELECT * FROM shared WHERE n > cap", shared=shared)
    often = Query(
        "SELECT k.block, count(DISTINCT k.key) AS capped, max(m.n) AS most FROM touched k JOIN many m ON m.key = k.key GROUP BY k.block "
        "ORDER BY k.block",
        {"touched": touched, "many": many},
    )
    found = [row for batch in run.session.rows(often) for row in batch.to_pylist()] if count(run.session, many) else []
    crowded = [(row["block"], row["capped"], row["most"]) for row in found]
    run.session.discard(held, shared, many)
    return Pairs(rows, dirty, tuple(crowded))


def _touched(run: Run, keys: Table, around: Frame, dirty: Node) -> Node:
    """The live keys that a dirty record has, of whichever record: found among those ``around`` the changed ones, where all are."""
    mine = run.few("SELECT DISTINCT k.key FROM live k LEFT SEMI JOIN dirty d ON d.record_id = k.record_id", live=keys.live, dirty=dirty)
    elsewhere = Query("SELECT m.key FROM mine m LEFT ANTI JOIN around a ON a.key = m.key", {"mine": mine, "around": around})
    rows: Node = around if not count(run.session, elsewhere) else keys.rows
    return run.few(
        f"SELECT k.key, k.record_id, k.block FROM rows k LEFT SEMI JOIN mine m ON m.key = k.key WHERE k.`{system.DELETED_AT}` IS NULL",
        rows=rows,
        mine=mine,
    )


def _crossed(run: Run, around: Frame, of_keys: News) -> Node:
    """The live records of values that may have come to be shared by too many, or by few enough, since they were last looked at.

    ``around``: every row, deleted ones too, of the keys that have changed.
    """
    changed = Query(
        f"SELECT k.key, k.block, k.`{system.DELETED_AT}` FROM around k LEFT SEMI JOIN seen s ON s.key = k.key AND s.record_id = k.record_id",
        {"around": around, "seen": of_keys.keys},
    )
    touched = run.query(
        f"SELECT key, block, count(CASE WHEN `{system.DELETED_AT}` IS NULL THEN 1 END) AS added, count(`{system.DELETED_AT}`) AS removed "
        "FROM changed GROUP BY key, block",
        changed=changed,
    )
    live = Query(f"SELECT key, record_id FROM around WHERE `{system.DELETED_AT}` IS NULL", {"around": around})
    crossed = Query(
        f"""SELECT t.key FROM (SELECT *, {_cap(run.rules)} AS cap FROM touched) t
        LEFT JOIN (SELECT key, count(*) AS n FROM live GROUP BY key) s ON s.key = t.key
        WHERE CASE WHEN coalesce(s.n, 0) <= cap THEN coalesce(s.n, 0) + removed > cap ELSE s.n - added <= cap END""",
        {"touched": touched, "live": live},
    )
    return Query("SELECT l.record_id FROM live l LEFT SEMI JOIN crossed c ON c.key = l.key", {"live": live, "crossed": crossed})
