"""The few verbs an engine has. Everything above is written once, in terms of these; an engine fills them without defaults."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

import attrs

from lakekit.engines.plan import Alteration, Frame, Node, Query, TableState, WriteMode
from lakekit.names import Identifier

if TYPE_CHECKING:
    import pyarrow as pa


@attrs.frozen
class Landed:
    """What a commit left behind: the snapshot, when it was made (milliseconds since 1970), what was written for it, and its summary."""

    snapshot: int
    sequence: int
    committed_at: int
    files: int = 0
    size: int = 0
    summary: Mapping[str, str] = attrs.field(factory=dict)


@attrs.frozen(eq=False)
class Audit:
    """What stands between a write and its table: rows wait on a branch until they were looked at.

    Attributes:
        branch: The branch. One of that name, which an earlier run left, is replaced.
        examine: Looks at the table as the branch's snapshot has it. What it raises leaves the branch where it is.
    """

    branch: str
    examine: Callable[[int], None]


class Prepared(Protocol):
    """Files that are written but not yet part of the table."""

    @property
    def rows(self) -> int:
        """How many rows were written."""
        ...

    @property
    def rebasable(self) -> bool:
        """Whether the same files are still right on top of a newer snapshot."""
        ...

    def commit(self, state: TableState, *, bookmark: BookmarkWriter, summary: Mapping[str, str], audit: Audit | None = None) -> Landed:
        """Make the files part of the table, on top of exactly the snapshot in ``state``; with an ``audit``, by way of its branch.

        Raises:
            CommitConflictError: The table has moved on. Nothing was committed.
        """
        ...

    def discard(self) -> None:
        """Remove the files."""
        ...


class BookmarkWriter(Protocol):
    """Gives the bookmark's text once the snapshot's id and sequence number are known."""

    def __call__(self, *, snapshot: int | None, sequence: int) -> str:
        """The text to store."""
        ...


class Session(Protocol):
    """One evaluation: what it stages lives until it is closed, or discarded.

    Attributes:
        places: The columns that a scan with ``places`` has more: where a row is stored. None: this engine finds rows by itself.
        plans_joins: Whether joins of many columns are planned in no time. Spark's optimizer infers constraints from columns that are computed,
            at every join anew: of dozens of columns that takes minutes, wherever lakekit may not switch it off.
    """

    places: Sequence[str]
    plans_joins: bool

    def schema(self, node: Node) -> pa.Schema:
        """The columns a node gives, without reading rows."""
        ...

    def stage(self, node: Node) -> Frame:
        """Evaluate once, read often; spills to disk where it is large."""
        ...

    def discard(self, *frames: Frame) -> None:
        """Staged rows that nobody will read again: the memory they take is free before the session ends."""
        ...

    def rows(self, node: Node) -> Iterator[pa.RecordBatch]:
        """The rows in Arrow batches, as they are computed."""
        ...

    def native(self, node: Node) -> Any:
        """All rows as a frame of the engine's own, which outlives the session."""
        ...

    def one(self, node: Node) -> dict[str, Any]:
        """The single row of a small result."""
        ...

    def append(self, state: TableState, node: Node) -> Prepared:
        """Write rows to new files."""
        ...

    def merge(self, state: TableState, changes: Node, *, on: Sequence[str], mode: WriteMode | None = None) -> Prepared:
        """Write the files that replace touched ones, or that name the rows which are gone.

        ``changes`` has the table's columns and ``_change``: ``insert``, ``update`` (the stored row with these ``on`` values is replaced)
        or ``delete`` (it goes). It may have ``places``, NULL in inserts: then rows are found by those.

        ``mode`` says how touched files are written. None: as the table's ``write.merge.mode`` says, otherwise as is cheaper.
        """
        ...


def count(session: Session, rows: Node) -> int:
    """How many rows a node gives."""
    return int(session.one(Query("SELECT count(*) AS n FROM rows", {"rows": rows}))["n"])


def table(session: Session, rows: Node) -> pa.Table:
    """All rows of a node as an Arrow table."""
    import pyarrow as pa

    return pa.Table.from_batches(list(session.rows(rows)), session.schema(rows))


class Engine(Protocol):
    """Tables, and sessions to compute in.

    Attributes:
        name: The engine's.
        progress: False: nothing shows that it is under way. Otherwise what takes long does, in a terminal or a notebook.
        snapshot_properties: What the user wants in the summary of each snapshot.
    """

    name: str
    progress: bool | None
    snapshot_properties: Mapping[str, str]

    def load(self, table: Identifier) -> TableState:
        """The table as it stands now.

        Raises:
            TableNotFoundError: There is none.
            TableError: The catalog has it, but it cannot be read.
        """
        ...

    def tables(self) -> list[Identifier]:
        """All tables of the catalog."""
        ...

    def create(
        self, table: Identifier, schema: pa.Schema, *, partition_by: Sequence[str], sort_by: Sequence[str], properties: Mapping[str, str]
    ) -> TableState:
        """Make a table, or load it where somebody else was quicker."""
        ...

    def require_writable(self, state: TableState) -> None:
        """Raise where the table is of a format that the engine reads, but can't write.

        Raises:
            TableError: It is.
        """
        ...

    def alter(self, state: TableState, alterations: Sequence[Alteration]) -> TableState:
        """Change a table's schema, if it is still the state's; in one commit where the engine can.

        Raises:
            CommitConflictError: Somebody else changed it first.
        """
        ...

    def set_properties(self, state: TableState, updates: Mapping[str, str], *, expect: Mapping[str, str | None]) -> None:
        """Set table properties, without a snapshot, if those in ``expect`` still have these values (None: not set).

        Raises:
            CommitConflictError: One of them has changed, or the table has a newer snapshot.
        """
        ...

    def compact(self, state: TableState, bookmark: Callable[[TableState], BookmarkWriter]) -> list[Landed]:
        """Write small files, and files of which position deletes name rows, anew; no row changes. ``bookmark`` gives what the table holds."""
        ...

    def expire(self, state: TableState, snapshots: Sequence[int], branches: Sequence[str]) -> int:
        """Let snapshots and branches go, and remove the files that only they named. Gives their number."""
        ...

    def sweep(self, state: TableState, before: datetime, others: Sequence[TableState]) -> int:
        """Remove the files in a table's folders that nothing names and that were written before an instant. Gives their number.

        ``others`` are the other tables of the lake, whose folders may lie in these.
        """
        ...

    def frame(self, data: object) -> Frame:
        """Take a user's own frame (Arrow, pandas, Polars, DuckDB, Spark), evaluated once."""
        ...

    def session(self) -> AbstractContextManager[Session]:
        """Open a place to compute in."""
        ...
