"""Expired snapshots and files that no snapshot names: what may go, and its removal."""

from __future__ import annotations

import contextlib
import logging
import os
import re
from collections.abc import Collection, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pyarrow.fs as pafs
from pyiceberg.exceptions import CommitFailedException
from pyiceberg.table.update.snapshot import ExpireSnapshots

from lakekit import logs
from lakekit.engines.embedded import commit as commits
from lakekit.engines.embedded import scan as scans
from lakekit.engines.embedded.remote import is_local, local_path
from lakekit.engines.embedded.snapshot import OneCommit
from lakekit.engines.plan import TableState
from lakekit.errors import CommitConflictError

if TYPE_CHECKING:
    from pyiceberg.io import FileIO
    from pyiceberg.manifest import ManifestFile
    from pyiceberg.table import Table
    from pyiceberg.table.metadata import TableMetadata

log = logging.getLogger(__name__)


def expire(state: TableState, snapshots: Collection[int], branches: Collection[str]) -> int:
    """Let snapshots go, with the branches that name them, and remove the files that only they named. Gives the number of files.

    Raises:
        CommitConflictError: Somebody else committed first, or the catalog broke off.
    """
    table: Table = state.native
    before = table.metadata
    try:
        if branches:
            with table.manage_snapshots() as change:
                for branch in branches:
                    change.remove_branch(branch)
        if snapshots:
            with OneCommit(table) as transaction:  # pyiceberg's own copies the whole metadata twice for each snapshot
                ExpireSnapshots(transaction).by_ids(list(snapshots)).commit()
    except (CommitFailedException, ValueError, *commits.UNKNOWN) as error:  # the second, where somebody else let one of them go
        raise CommitConflictError(state.label, "somebody else committed first", got=type(error).__name__, hint="run it again.") from error
    after = table.refresh().metadata
    gone = {snapshot.snapshot_id for snapshot in before.snapshots} - {snapshot.snapshot_id for snapshot in after.snapshots}
    lists = {snapshot.manifest_list for snapshot in before.snapshots if snapshot.snapshot_id in gone}
    with scans.manifests_of(state):
        # What is kept is looked at after the commit: a snapshot that somebody else made meanwhile keeps its files too.
        kept = _manifests(table.io, after)
        doomed = {path: manifest for path, manifest in _manifests(table.io, before, only=gone).items() if path not in kept}
        files = _entries(table.io, doomed.values()) - _entries(table.io, kept.values()) if doomed else set[str]()
    return remove(table.io, [*files, *doomed, *lists])


def sweep(state: TableState, before: datetime, elsewhere: Collection[str]) -> int:
    """Remove the files in a table's folders that nothing names and that were written before an instant. Gives their number.

    ``elsewhere`` are the locations of other tables: what lies in them isn't looked at.
    """
    table: Table = state.native
    with scans.manifests_of(state):
        named = {_path(location) for location in _named(table)}
    homes = [_path(location) for location in elsewhere]
    orphans = [
        location
        for folder in _folders(table)
        for location in _written_before(table.io, folder, before)
        if _owner(_path(location)) not in named and not any(_path(location).startswith(f"{home}/") for home in homes)
    ]
    return remove(table.io, orphans)


def remove(io: FileIO, locations: Iterable[str]) -> int:
    """Remove files; one that can't be removed is left, for the next time."""
    count = 0
    for location in locations:
        try:
            io.delete(location)
        except FileNotFoundError:
            continue
        except OSError:
            log.warning("could not remove %s", location, exc_info=True, extra=logs.fields("file_left", file=location))
            continue
        count += 1
    return count


def _manifests(io: FileIO, metadata: TableMetadata, only: Collection[int] | None = None) -> dict[str, ManifestFile]:
    return {
        manifest.manifest_path: manifest
        for snapshot in metadata.snapshots
        if only is None or snapshot.snapshot_id in only
        for manifest in snapshot.manifests(io)
    }


def _entries(io: FileIO, manifests: Iterable[ManifestFile]) -> set[str]:
    """The data files and delete files that are live in some manifest."""
    return {entry.data_file.file_path for manifest in manifests for entry in manifest.fetch_manifest_entry(io, discard_deleted=True)}


def _named(table: Table) -> Iterator[str]:
    """Everything that a table's metadata leads to."""
    metadata = table.metadata
    yield table.metadata_location
    yield from (entry.metadata_file for entry in metadata.metadata_log)
    yield from (snapshot.manifest_list for snapshot in metadata.snapshots)
    yield from (file.statistics_path for file in [*metadata.statistics, *metadata.partition_statistics])
    manifests = _manifests(table.io, metadata)
    yield from manifests
    yield from _entries(table.io, manifests.values())


def _folders(table: Table) -> list[str]:
    """The folders that hold a table's files and nobody else's."""
    home, properties = table.location().rstrip("/"), table.properties
    return [properties.get("write.data.path", f"{home}/data"), properties.get("write.metadata.path", f"{home}/metadata")]


def _written_before(io: FileIO, folder: str, instant: datetime) -> Iterator[str]:
    """The files under a folder, at any depth, that were written before an instant."""
    if is_local(folder):
        for parent, _, names in os.walk(local_path(folder)):
            for name in names:
                path = Path(parent) / name
                with contextlib.suppress(FileNotFoundError):  # gone meanwhile
                    if datetime.fromtimestamp(path.stat().st_mtime, UTC) < instant:
                        yield str(path)
        return
    filesystem, path = _filesystem(io, folder)
    if filesystem is None:
        log.warning(
            "can't list %s through %s: orphans there are left",
            folder,
            type(io).__name__,
            extra=logs.fields("orphans_left", file=folder),
        )
        return
    scheme = urlsplit(folder).scheme
    for found in filesystem.get_file_info(pafs.FileSelector(path, allow_not_found=True, recursive=True)):
        if found.is_file and found.mtime is not None and found.mtime < instant:
            yield f"{scheme}://{found.path}"


def _filesystem(io: FileIO, folder: str) -> tuple[Any, str]:
    """What lists the files of a remote folder, and the folder's name there."""
    parts = urlsplit(folder)
    path = f"{parts.netloc}{parts.path}"
    known: Any = io
    if hasattr(io, "fs_by_scheme"):  # pyiceberg's PyArrowFileIO
        return known.fs_by_scheme(parts.scheme, parts.netloc), path
    if hasattr(io, "get_fs"):  # its FsspecFileIO
        handler: Any = pafs.FSSpecHandler
        return pafs.PyFileSystem(handler(known.get_fs(parts.scheme))), path
    return None, path


def _owner(path: str) -> str:
    """The file that a file belongs to: Hadoop hides a checksum beside each one in a local folder, which stays and goes with it."""
    return re.sub(r"/\.([^/]+)\.crc$", r"/\1", path)


def _path(location: str) -> str:
    """A location by which one file is one: Spark and pyiceberg write ``file:`` in several ways, and what is ``s3:`` to one is ``s3a:`` to another."""
    return (local_path(location) if is_local(location) else location.partition("://")[2]).rstrip("/")
