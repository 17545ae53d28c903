"""What changed in a table since it was last consumed: read at its head, each changed row once.

Three cases, told apart by the snapshots between the bookmark and the head:

1. Only appends: every row of the files that are new since the bookmark.
2. lakekit's own writes and compactions: of the files with a greater data sequence number, the rows whose ``_write_id`` belongs to a write
   in between. Copy-on-write and compaction copy rows with the stamp they had.
3. Somebody else overwrote or deleted: the rows of new files that did not stand in the files they replaced, and the keys that vanished.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, cast

import attrs

from lakekit import columns as system
from lakekit import logs
from lakekit.bookmark import OF_PARENT, WRITE_ID, Position
from lakekit.engines.plan import Node, Query, Scan, Snapshot, TableState
from lakekit.engines.types import dotted, ident, sql_type
from lakekit.errors import BookmarkLostError
from lakekit.incremental import contract
from lakekit.names import companion

if TYPE_CHECKING:
    from lakekit.lake import Lake

log = logging.getLogger(__name__)


@attrs.frozen
class Changes:
    """Changed rows of a table, and how far they go.

    Attributes:
        node: The rows, with ``_operation``.
        end: The position after them. None: nothing was ever written to the table.
        superset: There may be rows that did not change: the bookmarked snapshot has expired.
    """

    node: Node
    end: Position | None
    superset: bool = False


def upstream(state: TableState) -> str:
    """The name under which bookmarks know a table: its UUID, which outlives renames.

    Bookmarks of other tables name it so; a table dropped and made anew is another upstream.
    """
    return f"iceberg:{state.uuid}"


def since(state: TableState, position: Position | None) -> Changes:
    """The rows that changed after a position (None: all rows), up to the table's current snapshot.

    Raises:
        BookmarkLostError: The table was rolled back behind the position.
    """
    head = state.current
    if head is None:
        return Changes(as_changes(state, Scan(state, None)), None)
    end = Position.of(head.sequence, {"snapshot": head.id})
    if position is None:
        return Changes(as_changes(state, Scan(state, head.id)), end)
    base = cast("int", position.values["snapshot"])
    if base == head.id:
        return Changes(as_changes(state, Scan(state, None)), end)
    if head.sequence < position.at or (base in state.snapshots and not state.is_ancestor(base)):
        raise BookmarkLostError(
            state.label,
            "was rolled back behind what has been consumed of it",
            got=f"snapshot {base} is no ancestor of the current one",
            hint="rewind() the consuming table to an older position, then read again.",
        )
    if base not in state.snapshots:
        log.warning(
            "%s: the snapshot consumed last has expired; reading all rows of newer files, a superset",
            state.label,
            extra=logs.fields("snapshot_expired", table=state.label),
        )
        return Changes(as_changes(state, Scan(state, head.id, above=position.at)), end, superset=True)
    between = _between(state, base)
    if all(_only_adds(found) for found in between):
        return Changes(as_changes(state, Scan(state, head.id, minus=base)), end)
    if all(found.operation == "replace" or _stamps(found) for found in between):
        return Changes(as_changes(state, _stamped(state, head.id, base, between)), end)
    return Changes(_difference(state, head.id, base, between), end)


def _between(state: TableState, base: int) -> list[Snapshot]:
    found: list[Snapshot] = []
    told: Mapping[str, str] = {}
    for snapshot in state.ancestry():
        if snapshot.id == base:
            break
        if OF_PARENT in snapshot.summary:
            told = snapshot.summary
        else:
            found.append(attrs.evolve(snapshot, summary={**told, **snapshot.summary}))
            told = {}
    return found


def _only_adds(snapshot: Snapshot) -> bool:
    return (
        not any(snapshot.count(name) for name in ("deleted-data-files", "added-delete-files", "removed-delete-files"))
        and snapshot.operation != "replace"
    )


def _stamps(snapshot: Snapshot) -> bool:
    """Whether lakekit wrote it and every row it changed is still there, stamped."""
    return WRITE_ID in snapshot.summary and "lakekit.removed" not in snapshot.summary


def _stamped(state: TableState, head: int, base: int, between: Sequence[Snapshot]) -> Node:
    ids = ", ".join(sorted({found.summary[WRITE_ID] for found in between if WRITE_ID in found.summary}))
    # By sequence number, and not by what else is new: a file of which rows were deleted since is the same file, and holds no new row.
    files = Scan(state, head, above=state.snapshots[base].sequence)
    return Query(f"SELECT * FROM files WHERE `{system.WRITE_ID}` IN ({ids})", {"files": files}) if ids else Scan(state, None)


def _difference(state: TableState, head: int, base: int, between: Sequence[Snapshot]) -> Node:
    """Rows of the new files that did not stand in the files they replaced, and keys that vanished, as deletes."""
    foreign = [found for found in between if WRITE_ID not in found.summary and not _only_adds(found) and found.operation != "replace"]
    if foreign:
        log.warning(
            "%s: %s commits by other tools rewrote or removed rows; comparing files to find what changed",
            state.label,
            len(foreign),
            extra=logs.fields("foreign_commits", table=state.label, commits=len(foreign)),
        )
    fresh, gone = Scan(state, head, minus=base), Scan(state, base, minus=head)
    changed = Query("SELECT * FROM fresh EXCEPT ALL SELECT * FROM gone", {"fresh": fresh, "gone": gone})
    key = contract.key(state)
    if not key:
        log.warning(
            "%s: has no key that lakekit knows, so rows that others removed can't be passed on as deletes",
            state.label,
            extra=logs.fields("no_key", table=state.label),
        )
        return as_changes(state, changed)
    same = " AND ".join(f"n.{dotted(column, state.schema)} <=> g.{dotted(column, state.schema)}" for column in key)
    kept = [name for name in changes_columns(state) if name != system.OPERATION]
    vanished = Query(
        f"SELECT {', '.join(f'g.{ident(name)}' for name in kept)}, '{system.DELETE}' AS `{system.OPERATION}` "
        f"FROM gone g LEFT ANTI JOIN now n ON {same}",
        {"gone": gone, "now": Scan(state, head)},
    )
    ordered = ", ".join(ident(name) for name in [*kept, system.OPERATION])
    return Query(
        f"SELECT {ordered} FROM changed UNION ALL SELECT {ordered} FROM vanished",
        {"changed": as_changes(state, changed), "vanished": vanished},
    )


def with_buried(lake: Lake, state: TableState, living: Node) -> Node:
    """Changed rows, and the keys of hard deletes as deletes: with old snapshots go the files that would show what has vanished."""
    buried = lake.find(companion(state.name, "deleted"))
    key = contract.key(state)
    if buried is None or not key:
        return living
    known = {*buried.schema.names}
    columns = {
        field.name: f"CAST({f'd.{ident(field.name)}' if field.name in known else 'NULL'} AS {sql_type(field.type)})"
        for field in state.schema
    }
    columns[system.OPERATION] = f"'{system.DELETE}'"
    names = changes_columns(state)
    same = " AND ".join(f"n.{ident(name)} <=> d.{ident(name)}" for name in key)
    return Query(
        f"SELECT {', '.join(map(ident, names))} FROM living UNION ALL "
        f"SELECT {', '.join(f'{columns[name]} AS {ident(name)}' for name in names)} FROM buried d LEFT ANTI JOIN now n ON {same}",
        {"living": living, "buried": Scan(buried, buried.head), "now": Scan(state, state.head)},
    )


def changes_columns(state: TableState) -> list[str]:
    """The columns of a table as changes: with ``_operation``, without ``_deleted_at``."""
    return [name for name in state.schema.names if name not in {system.DELETED_AT, system.OPERATION}] + [system.OPERATION]


def as_changes(state: TableState, rows: Node) -> Node:
    """Stored rows as changes: a soft-deleted row is a delete."""
    names = state.schema.names
    kept = ", ".join(ident(name) for name in names if name not in {system.DELETED_AT, system.OPERATION})
    if system.OPERATION in names:
        operation = f"coalesce(`{system.OPERATION}`, '{system.UPSERT}')"
    elif system.DELETED_AT in names:
        operation = f"CASE WHEN `{system.DELETED_AT}` IS NULL THEN '{system.UPSERT}' ELSE '{system.DELETE}' END"
    else:
        operation = f"'{system.UPSERT}'"
    return Query(f"SELECT {kept}, {operation} AS `{system.OPERATION}` FROM rows", {"rows": rows})
