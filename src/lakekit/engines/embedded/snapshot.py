"""One snapshot that adds and removes data files and position deletes at once, which pyiceberg's own producers don't."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import TYPE_CHECKING

from pyiceberg.exceptions import ValidationException
from pyiceberg.manifest import (
    DataFile,
    DataFileContent,
    ManifestContent,
    ManifestEntry,
    ManifestEntryStatus,
    ManifestFile,
    ManifestWriter,
    ManifestWriterV2,
)
from pyiceberg.table import Table, Transaction
from pyiceberg.table.snapshots import Operation, Summary, UpdateMetrics, update_snapshot_summaries
from pyiceberg.table.update.snapshot import (
    _SnapshotProducer,  # pyright: ignore[reportPrivateUsage] -- pyiceberg has no public way to write delete files
)
from pyiceberg.typedef import EMPTY_DICT

from lakekit.engines.embedded import manifests

if TYPE_CHECKING:
    from pyiceberg.table.metadata import TableMetadata


class DeleteManifestWriter(ManifestWriterV2):
    """A manifest of delete files."""

    def content(self) -> ManifestContent:
        """What its entries are."""
        return ManifestContent.DELETES

    @property
    def _meta(self) -> dict[str, str]:
        return {**super()._meta, "content": "deletes"}


class OneCommit(Transaction):
    """A transaction whose metadata is computed once for each update that it stages: pyiceberg copies all of it whenever it is looked at.

    That takes a second of CPU at 10,000 snapshots, also where nothing is staged yet.
    """

    def __init__(self, table: Table) -> None:
        super().__init__(table)
        self._computed: tuple[int, TableMetadata] | None = None

    @property
    def table_metadata(self) -> TableMetadata:
        """The metadata as it will be."""
        if not self._updates:
            return self._table.metadata
        if self._computed is None or self._computed[0] != len(self._updates):
            self._computed = (len(self._updates), super().table_metadata)
        return self._computed[1]


class RowDelta(_SnapshotProducer["RowDelta"]):
    """Adds and removes files of both kinds.

    Attributes:
        added: Data files and delete files that come. The data files are of the table's current partition spec.
        removed: Files that go.
        sequence: The data sequence number of the added data files. None: that of the snapshot. Rows that are only moved keep that of the
            files they come from, so that nobody takes them for new ones.
        fewest: How many small manifests become one. None: as the table's properties say.
    """

    def __init__(
        self,
        transaction: Transaction,
        operation: Operation,
        *,
        added: Iterable[DataFile],
        removed: Iterable[DataFile],
        sequence: int | None = None,
        fewest: int | None = None,
    ) -> None:
        super().__init__(operation, transaction, transaction._table.io)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
        files = list(added)
        self._added_data_files = [file for file in files if file.content == DataFileContent.DATA]
        self._added_deletes = [file for file in files if file.content != DataFileContent.DATA]
        self._deleted_data_files = set(removed)
        self._sequence = sequence
        self._fewest = fewest or manifests.many(transaction.table_metadata.properties)

    def _manifests(self) -> list[ManifestFile]:
        self._build_delete_files_partition_predicate()
        return [*self._new_manifests(), *self._merged(self._existing_manifests())]

    def _new_manifests(self) -> list[ManifestFile]:
        found: list[ManifestFile] = []
        for content, files, sequence in (
            (ManifestContent.DATA, self._added_data_files, self._sequence),
            (ManifestContent.DELETES, self._added_deletes, None),
        ):
            by_spec: defaultdict[int, list[DataFile]] = defaultdict(list)
            for file in files:
                by_spec[file.spec_id].append(file)
            for spec_id, group in by_spec.items():
                entries = [
                    ManifestEntry.from_args(
                        status=ManifestEntryStatus.ADDED,
                        snapshot_id=self._snapshot_id,
                        sequence_number=sequence,
                        file_sequence_number=None,
                        data_file=file,
                    )
                    for file in group
                ]
                found.append(self._written(spec_id, content, entries))
        return found

    def _existing_manifests(self) -> list[ManifestFile]:
        """The parent's manifests that name live files; those that hold a removed one are written anew, and say that it goes."""
        parent = self._transaction.table_metadata.snapshot_by_name(self._target_branch or "main")
        kept: list[ManifestFile] = []
        missing = {file.file_path for file in self._deleted_data_files}
        for manifest in parent.manifests(self._io) if parent is not None else []:
            if not (manifest.has_added_files() or manifest.has_existing_files()):
                continue
            entries = self._entries(manifest) if missing and self._may_hold(manifest) else []
            gone = {entry.data_file.file_path for entry in entries} & missing
            if not gone:
                kept.append(manifest)
                continue
            missing -= gone
            kept.append(
                self._written(manifest.partition_spec_id, manifest.content, [self._again(entry, gone) for entry in entries]),
            )
        if missing:
            raise ValidationException(f"{len(missing)} files to be removed are not in the table any more")
        return kept

    def _merged(self, existing: list[ManifestFile]) -> list[ManifestFile]:
        """The manifests, those of earlier snapshots merged where they have become many."""
        if self._fewest is None:
            return existing
        earlier = [manifest for manifest in existing if manifest.added_snapshot_id != self._snapshot_id]
        for group in manifests.to_merge(earlier, self._transaction.table_metadata.properties, least=self._fewest):
            entries = [self._again(entry, set()) for manifest in group for entry in self._entries(manifest)]
            gone = {manifest.manifest_path for manifest in group}
            existing = [manifest for manifest in existing if manifest.manifest_path not in gone]
            existing += [self._written(group[0].partition_spec_id, group[0].content, entries)] if entries else []
        return existing

    def _entries(self, manifest: ManifestFile) -> list[ManifestEntry]:
        return manifest.fetch_manifest_entry(self._io, discard_deleted=True)

    def _may_hold(self, manifest: ManifestFile) -> bool:
        return self._build_manifest_evaluator(manifest.partition_spec_id)(manifest)

    def _again(self, entry: ManifestEntry, gone: set[str]) -> ManifestEntry:
        leaves = entry.data_file.file_path in gone
        return ManifestEntry.from_args(
            status=ManifestEntryStatus.DELETED if leaves else ManifestEntryStatus.EXISTING,
            snapshot_id=self._snapshot_id if leaves else entry.snapshot_id,
            sequence_number=entry.sequence_number,
            file_sequence_number=entry.file_sequence_number,
            data_file=entry.data_file,
        )

    def _written(self, spec_id: int, content: ManifestContent, entries: list[ManifestEntry]) -> ManifestFile:
        writer = self.new_manifest_writer(self.spec(spec_id)) if content == ManifestContent.DATA else self._delete_writer(spec_id)
        with writer:
            for entry in entries:
                writer.add_entry(entry)
        return writer.to_manifest_file()

    def _delete_writer(self, spec_id: int) -> ManifestWriter:
        return DeleteManifestWriter(self.spec(spec_id), self.schema(), self.new_manifest_output(), self._snapshot_id, self._compression)

    def _deleted_entries(self) -> list[ManifestEntry]:
        return []  # they stand in the manifests written anew

    def _summary(self, snapshot_properties: dict[str, str] = EMPTY_DICT) -> Summary:
        figures = UpdateMetrics()
        for file in (*self._added_data_files, *self._added_deletes):
            figures.add_file(file)
        for file in self._deleted_data_files:
            figures.remove_file(file)
        metadata = self._transaction.table_metadata
        parent = None if self._parent_snapshot_id is None else metadata.snapshot_by_id(self._parent_snapshot_id)
        # pyiceberg counts for no operation that it doesn't write itself.
        counted = Summary(Operation.OVERWRITE, **figures.to_dict(), **snapshot_properties)
        total = update_snapshot_summaries(counted, parent.summary if parent is not None else None)
        return Summary(self._operation, **total.additional_properties)
