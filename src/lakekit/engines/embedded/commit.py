"""One commit attempt on an Iceberg table: data files, bookmark and its mirror together, on top of exactly one snapshot."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, cast

import attrs
from pydantic import Field
from pyiceberg.catalog import MetastoreCatalog
from pyiceberg.exceptions import (
    CommitFailedException,
    CommitStateUnknownException,
    ServerError,
    ServiceUnavailableError,
    ValidationException,
)
from pyiceberg.manifest import DataFile, DataFileContent
from pyiceberg.table.refs import MAIN_BRANCH, SnapshotRefType
from pyiceberg.table.snapshots import Operation
from pyiceberg.table.update import (
    AssertRefSnapshotId,
    AssertTableUUID,
    RemoveSnapshotRefUpdate,
    SetPropertiesUpdate,
    SetSnapshotRefUpdate,
    TableUpdate,
    ValidatableTableRequirement,
)
from sqlalchemy.exc import SQLAlchemyError

from lakekit import bookmark as marks
from lakekit import logs
from lakekit.engines.absent import half_there
from lakekit.engines.embedded.snapshot import OneCommit, RowDelta
from lakekit.engines.plan import TableState
from lakekit.engines.protocol import Audit, BookmarkWriter, Landed
from lakekit.errors import CommitConflictError, RetryableError

if TYPE_CHECKING:
    from pyiceberg.io import FileIO
    from pyiceberg.table import Table
    from pyiceberg.table.metadata import TableMetadata

log = logging.getLogger(__name__)


UNKNOWN = (CommitStateUnknownException, ServerError, ServiceUnavailableError, SQLAlchemyError, OSError)
"""What a catalog raises that broke off: whether a commit landed is unknown."""


class AssertProperties(ValidatableTableRequirement):
    """Table properties must still have these values. Checked by catalogs that validate on the client; a REST server doesn't know it."""

    type: Literal["lakekit-assert-properties"] = Field(  # pyright: ignore[reportIncompatibleVariableOverride] -- as pyiceberg's own do
        default="lakekit-assert-properties"
    )
    expect: dict[str, str | None]

    def validate(self, base_metadata: TableMetadata | None) -> None:
        """Compare with the metadata the commit goes on top of."""
        for name, value in self.expect.items():
            if base_metadata is None or base_metadata.properties.get(name) != value:
                raise CommitFailedException(f"Requirement failed: property {name} has changed")


@attrs.define(eq=False)
class PreparedFiles:
    """Data files that are written but not yet part of the table.

    Attributes:
        added: New data files and position deletes.
        removed: Files of either kind that they replace.
        rebasable: Whether the same files are still right on top of a newer snapshot: true for plain appends only.
        replaces: Whether no row changes but in its place: a compaction.
        sequence: The data sequence number of the new data files. None: that of the snapshot.
        fewest: How many small manifests become one. None: as the table's properties say.
    """

    added: tuple[DataFile, ...]
    removed: tuple[DataFile, ...]
    rows: int
    size: int
    io: FileIO
    rebasable: bool
    replaces: bool = False
    sequence: int | None = None
    fewest: int | None = None
    _may_be_named: bool = attrs.field(default=False, init=False)

    def commit(self, state: TableState, *, bookmark: BookmarkWriter, summary: Mapping[str, str], audit: Audit | None = None) -> Landed:
        """One snapshot with rows, bookmark and mirror, if ``state`` is still the table's head; with an ``audit``, by way of its branch.

        Raises:
            CommitConflictError: The table has moved on. Nothing was committed.
            TableError: The table lacks one of its own files: its snapshot expired meanwhile, or it is broken.
            RetryableError: The catalog broke off and can't be asked whether the commit landed. A run that is repeated finds out.
        """
        table: Table = state.native
        transaction = OneCommit(table)
        producer = RowDelta(
            transaction, self._operation, added=self.added, removed=self.removed, sequence=self.sequence, fewest=self.fewest
        )
        sequence = table.metadata.next_sequence_number()
        mirror = bookmark(snapshot=producer.snapshot_id, sequence=sequence)
        producer.snapshot_properties = {**summary, marks.BOOKMARK: mirror}
        try:
            producer.commit()
        except FileNotFoundError as error:  # a manifest of the table; what was written of the new ones goes
            producer._clean_all_uncommitted()  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] -- as below
            raise half_there(state.label, type(error).__name__) from error
        if audit is None:
            transaction.set_properties({marks.BOOKMARK: mirror})
        self._may_be_named = True
        updates = transaction._updates  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] -- pyiceberg commits only with requirements of its own
        # Also the bookmark alone: another run may have moved it without a snapshot.
        expect = {marks.BOOKMARK: state.properties.get(marks.BOOKMARK)}
        try:
            _commit(updates if audit is None else _onto(audit.branch, updates), state, expect=expect)
        except CommitConflictError:
            self._may_be_named = False
            producer._clean_all_uncommitted()  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] -- pyiceberg cleans up only in its own retry loop
            raise
        except UNKNOWN:
            # Whether it landed is unknown; the snapshot's id, chosen before, tells.
            if _refreshed(state).metadata.snapshot_by_id(producer.snapshot_id) is None:
                self._may_be_named = False
                raise _not_landed(state) from None
        if audit is not None:
            audit.examine(producer.snapshot_id)
            _publish(state, producer.snapshot_id, audit.branch, {marks.BOOKMARK: mirror}, expect)
        landed = table.metadata.snapshot_by_id(producer.snapshot_id)
        return Landed(
            producer.snapshot_id,
            sequence,
            landed.timestamp_ms if landed else 0,
            files=sum(file.content == DataFileContent.DATA for file in self.added),
            size=self.size,
            summary=landed.summary.additional_properties if landed and landed.summary else {},
        )

    @property
    def _operation(self) -> Operation:
        if self.replaces:
            return Operation.REPLACE
        adds_only = not self.removed and all(file.content == DataFileContent.DATA for file in self.added)
        return Operation.APPEND if adds_only else Operation.OVERWRITE

    def discard(self) -> None:
        """Remove the new files, unless they may be the table's: `maintain` removes them once it is plain that they aren't."""
        if self._may_be_named:
            return
        for file in self.added:
            try:
                self.io.delete(file.file_path)
            except OSError:
                log.warning("could not remove %s", file.file_path, exc_info=True, extra=logs.fields("file_left", file=file.file_path))


def set_properties(state: TableState, updates: Mapping[str, str], *, expect: Mapping[str, str | None]) -> None:
    """Set table properties without a snapshot, by compare and swap."""
    transaction = OneCommit(state.native)
    transaction.set_properties(dict(updates))
    try:
        updates_ = transaction._updates  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] -- see above
        _commit(updates_, state, expect=dict(expect))
    except UNKNOWN:
        if not updates.items() <= _refreshed(state).properties.items():
            raise _not_landed(state) from None


def _onto(branch: str, updates: tuple[TableUpdate, ...]) -> tuple[TableUpdate, ...]:
    """The updates that make a snapshot, with a branch in the place of main."""
    return tuple(
        update.model_copy(update={"ref_name": branch}) if isinstance(update, SetSnapshotRefUpdate) else update for update in updates
    )


def _publish(state: TableState, snapshot: int, branch: str, properties: Mapping[str, str], expect: dict[str, str | None]) -> None:
    """Move main to a snapshot, if it is where it was, note the properties and let the branch go: all in one commit.

    Raises:
        CommitConflictError: The table has moved on. The branch stays.
        RetryableError: The catalog broke off and can't be asked whether the commit landed.
    """
    updates = (
        SetSnapshotRefUpdate(type=SnapshotRefType.BRANCH, **cast("Any", {"ref-name": MAIN_BRANCH, "snapshot-id": snapshot})),
        RemoveSnapshotRefUpdate(**cast("Any", {"ref-name": branch})),
        SetPropertiesUpdate(updates=dict(properties)),
    )
    try:
        _commit(updates, state, expect=expect)
    except UNKNOWN:
        now = _refreshed(state).metadata
        at = now.current_snapshot_id
        while at is not None and at != snapshot:
            found = now.snapshot_by_id(at)
            at = found.parent_snapshot_id if found else None
        if at is None:
            raise _not_landed(state) from None


def _refreshed(state: TableState) -> Table:
    """The table as it stands now, after a commit of unknown outcome."""
    try:
        return state.native.refresh()
    except UNKNOWN as error:
        raise RetryableError(
            state.label,
            "whether the commit landed is unknown: the catalog can't be reached",
            got=type(error).__name__,
            hint="run it again.",
        ) from error


def _not_landed(state: TableState) -> CommitConflictError:
    return CommitConflictError(state.label, "the commit's outcome was unknown, and it did not land", hint="run it again.")


def _commit(updates: tuple[TableUpdate, ...], state: TableState, *, expect: dict[str, str | None]) -> None:
    """Commit once. pyiceberg's own retries would rebase without looking at the bookmark."""
    table: Table = state.native
    requirements: tuple[Any, ...] = (
        AssertRefSnapshotId(ref=MAIN_BRANCH, **cast("Any", {"snapshot-id": state.head})),
        AssertTableUUID(uuid=table.metadata.table_uuid),
    )
    if expect and isinstance(table.catalog, MetastoreCatalog):
        requirements = (*requirements, AssertProperties(expect=expect))
    try:
        table._do_commit(updates=updates, requirements=requirements)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] -- as above
    except (CommitFailedException, ValidationException, ValueError) as error:
        # A ref rolled back between read and commit surfaces as a plain ValueError.
        raise CommitConflictError(state.label, "somebody else committed first", got=type(error).__name__, hint="run it again.") from error
