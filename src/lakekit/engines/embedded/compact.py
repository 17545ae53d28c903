"""Compaction: small files, and files of which position deletes name rows, are written anew as files of the target size. No row changes."""

from __future__ import annotations

import itertools
import random
import time
from collections import defaultdict
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import attrs
from pyiceberg.table import FileScanTask

from lakekit.engines.embedded import deletes, manifests
from lakekit.engines.embedded import scan as scans
from lakekit.engines.embedded.commit import PreparedFiles
from lakekit.engines.embedded.merge import order
from lakekit.engines.embedded.writer import FileWriter, require_writable, target_size
from lakekit.engines.plan import Scan, TableState
from lakekit.errors import CommitConflictError, TableError
from lakekit.progress import steps

if TYPE_CHECKING:
    from pyiceberg.table import Table

    from lakekit.engines.embedded.catalog import EmbeddedEngine
    from lakekit.engines.embedded.session import DuckSession
    from lakekit.engines.protocol import BookmarkWriter, Landed

_FULL: Final = 0.75
"""A file of this share of the target size is no small one."""
_FEWEST: Final = 5
"""So many small files of a partition are worth a rewrite; with fewer, a growing file would be written anew for each little one."""
_ATTEMPTS: Final = 8


@attrs.frozen(eq=False)
class Portion:
    """Files of one partition that together become about one.

    Attributes:
        sequence: The data sequence number that the new files keep, so that nobody takes their rows for new ones. None: a new one, so
            that deletes which name rows of other files too don't seem to be about these.
    """

    tasks: tuple[FileScanTask, ...]
    sequence: int | None


def compact(engine: EmbeddedEngine, state: TableState, bookmark: Callable[[TableState], BookmarkWriter]) -> list[Landed]:
    """Write portion after portion anew, each in a commit of its own, then small manifests as one.

    A portion whose files somebody else has changed meanwhile is left as it is.
    """
    found = portions(state)
    if found:
        require_writable(state)
    landed: list[Landed] = []
    for portion in steps(f"{state.label}: portions compacted", found, total=len(found), show=engine.settings.progress):
        with engine.session() as session:
            prepared = _rewritten(session, state, portion)
        done = _land(engine, state, portion, prepared, bookmark)
        landed += [done] if done is not None else []
    done = _merge_manifests(engine, engine.load(state.name) if landed else state, bookmark)
    return landed + ([done] if done is not None else [])


def portions(state: TableState) -> list[Portion]:
    """What is worth a rewrite."""
    if state.head is None:
        return []
    table: Table = state.native
    target, read = target_size(table), scans.select(Scan(state, state.head))
    sequences = scans.sequences(table, state.head)
    partitions: defaultdict[Any, list[FileScanTask]] = defaultdict(list)
    for task in read:
        partitions[task.file.spec_id, task.file.partition].append(task)
    found: list[Portion] = []
    for tasks in partitions.values():
        small = [task for task in tasks if task.file.file_size_in_bytes < _FULL * target and not task.delete_files]
        chosen = [task for task in tasks if task.delete_files] + (small if len(small) >= _FEWEST else [])
        chosen.sort(key=lambda task: (sequences[task.file.file_path], task.file.file_path))
        for tasks_ in manifests.packed(chosen, lambda task: task.file.file_size_in_bytes, target):
            if len(tasks_) > 1 or tasks_[0].delete_files:
                shared = any(not deletes.of_one_file(file, task) for task in tasks_ for file in task.delete_files)
                found.append(Portion(tuple(tasks_), None if shared else max(sequences[task.file.file_path] for task in tasks_)))
    return found


def _rewritten(session: DuckSession, state: TableState, portion: Portion) -> PreparedFiles:
    """The rows of a portion in new files, in the table's sort order; without one, as they stand."""
    sort = order(state)
    parts = [portion.tasks] if sort else [(task,) for task in portion.tasks]
    rows = itertools.chain.from_iterable(session.query_rows(f"SELECT * FROM ({session.files.query(state, part)}) {sort}") for part in parts)
    writer = FileWriter(state.native).write(rows)
    removed = [task.file for task in portion.tasks]
    removed += [file for task in portion.tasks for file in task.delete_files if deletes.of_one_file(file, task)]
    return PreparedFiles(
        added=tuple(writer.files),
        removed=tuple(removed),
        rows=writer.rows,
        size=writer.size,
        io=state.native.io,
        rebasable=False,
        replaces=True,
        sequence=portion.sequence,
    )


def _merge_manifests(engine: EmbeddedEngine, state: TableState, bookmark: Callable[[TableState], BookmarkWriter]) -> Landed | None:
    """Write small manifests as one, where there are some. No file changes."""
    table: Table = state.native
    head = table.current_snapshot()
    if head is None or not any(manifests.to_merge(head.manifests(table.io), table.properties, least=_FEWEST)):
        return None
    prepared = PreparedFiles(added=(), removed=(), rows=0, size=0, io=table.io, rebasable=True, replaces=True, fewest=_FEWEST)
    return _land(engine, state, Portion((), None), prepared, bookmark)


def _land(
    engine: EmbeddedEngine, state: TableState, portion: Portion, prepared: PreparedFiles, bookmark: Callable[[TableState], BookmarkWriter]
) -> Landed | None:
    try:
        for attempt in range(_ATTEMPTS):
            if attempt:
                time.sleep(random.uniform(0, min(0.05 * 2**attempt, 2.0)))  # noqa: S311 -- jitter, not a secret
            now = engine.load(state.name)
            if not _stands(now, portion):
                break
            try:
                return prepared.commit(now, bookmark=bookmark(now), summary=engine.snapshot_properties)
            except (CommitConflictError, TableError):  # the second, where the snapshot expired meanwhile
                continue
        return None
    finally:
        prepared.discard()


def _stands(now: TableState, portion: Portion) -> bool:
    """Whether a table still holds these files, with these deletes and no others."""
    known = {scans.identity(task) for task in scans.select(Scan(now, now.head))}
    return all(scans.identity(task) in known for task in portion.tasks)
