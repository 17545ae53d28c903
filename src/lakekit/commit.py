"""Commit: what a write did."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Literal

import attrs

from lakekit.bookmark import canonical
from lakekit.display import Shown, View

if TYPE_CHECKING:
    from lakekit.engines.plan import Snapshot

_FIGURES: Final = (
    "read",
    "inserted",
    "updated",
    "deleted",
    "unchanged",
    "late",
    "duplicates",
    "rejected",
    "skipped",
    "removed",
    "recomputed",
)
_WAITING: Final = "waiting"
_SHOWN: Final = (*_FIGURES, "snapshots_expired", "files_removed", "files")
_ALWAYS: Final = ("read", "inserted", "updated", "deleted")
_PREFIX: Final = "lakekit."
_SECONDS: Final = "lakekit.seconds"
_CHECKS: Final = "lakekit.checks"
RECORDED_AT: Final = "lakekit.recorded_at"
OPERATION: Final = "lakekit.operation"
_TOTAL: Final = "total"
_GAUGES: Final = frozenset(
    {"lakekit_rows_waiting", "lakekit_source_lag_messages", "lakekit_upkeep_due", "lakekit_last_commit_timestamp_seconds"}
)
_MOST_DELETES: Final = 0.05
_MANY_FILES: Final = 100
_SMALL_FILE: Final = 16_000_000
_MANY_SNAPSHOTS: Final = 2_000


@attrs.frozen(repr=False)
class Commit(Shown):
    """What a write did. Printable; its figures stand in the snapshot's summary too.

    Attributes:
        table: The table written.
        committed: Whether anything changed: False for a dry run, and where there was nothing to do.
        snapshot_id: Iceberg's snapshot. None: there is none, because nothing or only the bookmark changed.
        read: Rows that came in.
        inserted: Rows that are new in the table.
        updated: Rows whose stored version was replaced.
        deleted: Rows that were marked deleted, closed or removed.
        unchanged: Rows that stood there already, equal in every column, or that the call said to leave.
        late: Rows older than what is stored; they changed nothing.
        duplicates: Rows of one key that another row of the same batch outran.
        rejected: Rows that failed a rule; they stand in ``<table>__rejects``.
        skipped: Messages that are no rows: of a change log its tombstones, heartbeats and the like.
        waiting: Rows of a change log that got another key, and of which the delete under the old one has not come: their changes that lack
            values wait for it. So many as there are now, and not only in this batch.
        removed: Those of the deleted rows that are no longer stored at all.
        recomputed: Those of the updated rows that were written before, and looked up again because a side changed.
        checks: Rows that failed each check of `clean` or `audit`, by its name, rejected or not.
        columns_not_carried: Columns of the upstream that a ``select`` left behind.
        columns_added: Columns that the write added to the table.
        shared_too_often: Values that `resolve_identities` took for no evidence, because more records share them than their rule allows.
        lag: Messages that the source held beyond those read, when the read began. None: the source doesn't tell.
        snapshots_expired: Snapshots that `maintain` let go.
        files_removed: Files that `maintain` removed.
        upkeep: Why reads of the table, or commits to it, suffer, until `maintain` mends it. Empty: they don't.
        files: Data files written.
        bytes: Their size.
        seconds: Seconds by phase, and of the whole call, ``total``. A commit read from its snapshot has ``total`` only: the phases' sum until the
            commit itself.
        committed_at: When the snapshot was made (UTC). None: there is none.
        write_id: What stands in ``_write_id`` of the rows this write changed. None: nothing is tracked.
        recorded_at: What stands in ``recorded_from`` of the rows that the write added to a bitemporal dimension, and in ``recorded_to`` of those
            it closed (UTC). None: there are none, or the table keeps no recorded time.
        operation: The function that wrote: ``merge``, ``ingest``, ``stream`` … None: another tool.
        run_id: What `from_frame` was told. None: the rows came from elsewhere, or the commit was read from its snapshot.

    >>> print(Commit(table="silver.users", committed=True, snapshot_id=1, read=3, inserted=2, unchanged=1))
    silver.users: read 3, inserted 2, unchanged 1
    """

    table: str
    committed: bool = False
    snapshot_id: int | None = None
    read: int = 0
    inserted: int = 0
    updated: int = 0
    deleted: int = 0
    unchanged: int = 0
    late: int = 0
    duplicates: int = 0
    rejected: int = 0
    skipped: int = 0
    removed: int = 0
    recomputed: int = 0
    waiting: int = 0
    checks: Mapping[str, int] = attrs.field(factory=dict)
    columns_not_carried: tuple[str, ...] = ()
    columns_added: tuple[str, ...] = ()
    upkeep: str = ""
    shared_too_often: int = 0
    lag: int | None = None
    snapshots_expired: int = 0
    files_removed: int = 0
    files: int = 0
    bytes: int = 0
    seconds: Mapping[str, float] = attrs.field(factory=dict)
    committed_at: datetime | None = None
    write_id: int | None = None
    recorded_at: datetime | None = None
    operation: str | None = None
    run_id: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """All fields in plain values, for logs and metrics.

        >>> Commit(table="silver.users").to_dict()["committed"]
        False
        """
        data = attrs.asdict(self)
        data["seconds"] = dict(self.seconds)
        data["checks"] = dict(self.checks)
        data["committed_at"] = self.committed_at.isoformat() if self.committed_at else None
        data["recorded_at"] = self.recorded_at.isoformat() if self.recorded_at else None
        return data

    def metrics(self, kind: Literal["counter", "gauge"] | None = None) -> dict[str, float]:
        """The figures under the names that monitoring systems expect, always the same ones. No value of a row is among them.

        Names are Prometheus's, without the ``_total`` that its clients add to counters. Beside them belong `labels`.

        Args:
            kind: ``"counter"``: what adds up over commits, among it seconds. ``"gauge"``: what is true until the next commit tells something else:
                the lag, whether upkeep is due, and the time of the last commit; where one is unknown it is left out. None: both.

        >>> commit = Commit(table="silver.users", committed=True, read=3, inserted=2, seconds={"commit": 0.25, "total": 0.5}, operation="merge")
        >>> figures = commit.metrics()
        >>> figures["lakekit_rows_inserted"], figures["lakekit_duration_seconds"], commit.labels()
        (2, 0.5, {'table': 'silver.users', 'operation': 'merge'})
        """
        phases = {phase: length for phase, length in self.seconds.items() if phase != _TOTAL}
        found: dict[str, float | None] = {
            "lakekit_commits": int(self.committed),
            **{f"lakekit_rows_{name}": getattr(self, name) for name in _FIGURES},
            "lakekit_check_failures": sum(self.checks.values()),
            "lakekit_columns_added": len(self.columns_added),
            "lakekit_columns_not_carried": len(self.columns_not_carried),
            "lakekit_values_shared_too_often": self.shared_too_often,
            "lakekit_snapshots_expired": self.snapshots_expired,
            "lakekit_files_written": self.files,
            "lakekit_files_removed": self.files_removed,
            "lakekit_written_bytes": self.bytes,
            "lakekit_duration_seconds": self.seconds.get(_TOTAL, sum(phases.values())),
            **{f"lakekit_{phase}_seconds": length for phase, length in phases.items()},
            "lakekit_source_lag_messages": self.lag,
            "lakekit_rows_waiting": self.waiting,
            "lakekit_upkeep_due": int(bool(self.upkeep)),
            "lakekit_last_commit_timestamp_seconds": self.committed_at.timestamp() if self.committed_at else None,
        }
        return {
            name: number
            for name, number in found.items()
            if number is not None and (kind is None or (name in _GAUGES) == (kind == "gauge"))
        }

    def labels(self) -> dict[str, str]:
        """What tells the figures of one commit from those of another: few values each, as time series want it.

        >>> Commit(table="silver.users", operation="merge").labels()
        {'table': 'silver.users', 'operation': 'merge'}
        """
        return {"table": self.table, "operation": self.operation or "other"}

    def __str__(self) -> str:
        figures = [f"{name} {getattr(self, name):,}" for name in _FIGURES if getattr(self, name)]
        figures += [f"{self.snapshots_expired:,} snapshots expired"] if self.snapshots_expired else []
        figures += [f"{self.files_removed:,} files removed"] if self.files_removed else []
        figures += [f"check {name!r} failed by {failed:,}" for name, failed in self.checks.items() if failed]
        figures += [f"columns added: {', '.join(self.columns_added)}"] if self.columns_added else []
        figures += [f"not carried: {', '.join(self.columns_not_carried)}"] if self.columns_not_carried else []
        figures += [f"{self.shared_too_often:,} values shared too often to be evidence"] if self.shared_too_often else []
        figures += [f"{self.waiting:,} moved rows wait for the delete under their old key"] if self.waiting else []
        figures += [f"{self.lag:,} messages behind"] if self.lag else []
        figures += [] if self.committed else ["nothing committed"]
        figures += [f"upkeep is due: {self.upkeep}; maintain() mends it"] if self.upkeep else []
        return f"{self.table}: {', '.join(figures or ['no rows'])}"

    def __repr__(self) -> str:
        return f"<Commit {self}>"

    def _view(self) -> View:
        figures = {name: f"{getattr(self, name):,}" for name in _SHOWN if name in _ALWAYS or getattr(self, name)}
        checks = {f"failed {name}": f"{failed:,}" for name, failed in self.checks.items()}
        size = {"size": f"{self.bytes / 1e6:,.2f} MB"} if self.files else {}
        lengths = {f"{phase} (s)": f"{length:.2f}" for phase, length in self.seconds.items()}
        return View(str(self), ("figure", self.operation or ""), tuple({**figures, **checks, **size, **lengths}.items()))

    def to_summary(self) -> dict[str, str]:
        """The figures as they stand in the snapshot's summary, what checks counted, and how long it took to come so far."""
        figures = {_PREFIX + name: str(getattr(self, name)) for name in (*_FIGURES, _WAITING) if getattr(self, name)}
        checks = {_CHECKS: canonical(dict(self.checks))} if self.checks else {}
        seconds = {_SECONDS: f"{sum(self.seconds.values()):.3f}"} if self.seconds else {}
        recorded = {RECORDED_AT: self.recorded_at.isoformat()} if self.recorded_at else {}
        operation = {OPERATION: self.operation} if self.operation else {}
        return {**figures, **checks, **seconds, **recorded, **operation}


def together(commits: Sequence[Commit]) -> Commit:
    """The commits of one call as one: their sums, and the last one's snapshot.

    >>> print(together([Commit("bronze.users", committed=True, snapshot_id=number, read=2, inserted=2) for number in (1, 2)]))
    bronze.users: read 4, inserted 4
    """
    last = next((commit for commit in reversed(commits) if commit.committed), commits[-1])
    seconds: dict[str, float] = {}
    for commit in commits:
        for phase, length in commit.seconds.items():
            seconds[phase] = seconds.get(phase, 0.0) + length
    return attrs.evolve(
        last,
        checks=counted(commit.checks for commit in commits),
        columns_added=tuple(dict.fromkeys(name for commit in commits for name in commit.columns_added)),
        seconds=seconds,
        lag=commits[-1].lag,
        waiting=commits[-1].waiting,
        **{name: sum(getattr(commit, name) for commit in commits) for name in (*_FIGURES, "files", "bytes")},
    )


def counted(parts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """The sums by name.

    >>> counted([{"adult": 1}, {"adult": 2, "known": 0}])
    {'adult': 3, 'known': 0}
    """
    total: dict[str, int] = {}
    for part in parts:
        for name, number in part.items():
            total[name] = total.get(name, 0) + number
    return total


def upkeep(totals: Mapping[str, str], *, snapshots: int = 0) -> str:
    """Why a table suffers, by the totals in its snapshot's summary and the number of its snapshots.

    >>> upkeep({"total-records": "1000000", "total-position-deletes": "90000", "total-data-files": "20", "total-files-size": "300000000"})
    '9 % of the stored rows are named by position deletes'
    >>> upkeep({"total-records": "1000000", "total-data-files": "400", "total-files-size": "300000000"})
    '400 data files of 0.8 MB on average'
    >>> upkeep({"total-records": "1000000", "total-data-files": "3", "total-files-size": "300000000"})
    ''
    >>> upkeep({}, snapshots=10_000)
    '10,000 snapshots, of which each commit writes a list'
    """
    records, deletes, files, size = (
        int(totals.get(f"total-{name}", 0)) for name in ("records", "position-deletes", "data-files", "files-size")
    )
    if deletes > _MOST_DELETES * records:
        return f"{deletes / records:.0%} of the stored rows are named by position deletes".replace("%", " %")
    if files >= _MANY_FILES and size < files * _SMALL_FILE:
        return f"{files} data files of {size / files / 1e6:.1f} MB on average"
    if snapshots > _MANY_SNAPSHOTS:
        return f"{snapshots:,} snapshots, of which each commit writes a list"
    return ""


def from_snapshot(table: str, snapshot: Snapshot) -> Commit:
    """The commit as its snapshot tells it. A foreign snapshot tells what Iceberg counts."""
    figures: dict[str, Any] = {name: snapshot.count(_PREFIX + name) for name in (*_FIGURES, _WAITING)}
    write_id = snapshot.summary.get(_PREFIX + "write_id")
    seconds = {"total": float(snapshot.summary[_SECONDS])} if _SECONDS in snapshot.summary else {}
    if write_id is None:
        figures["inserted"], figures["deleted"] = snapshot.count("added-records"), snapshot.count("deleted-records")
    return Commit(
        table=table,
        committed=True,
        snapshot_id=snapshot.id,
        upkeep=upkeep(snapshot.summary),
        checks=json.loads(snapshot.summary.get(_CHECKS, "{}")),
        files=snapshot.count("added-data-files"),
        bytes=snapshot.count("added-files-size"),
        committed_at=datetime.fromtimestamp(snapshot.committed_at / 1000, UTC),
        write_id=None if write_id is None else int(write_id),
        operation=snapshot.summary.get(OPERATION),
        seconds=seconds,
        recorded_at=datetime.fromisoformat(snapshot.summary[RECORDED_AT]) if RECORDED_AT in snapshot.summary else None,
        **figures,
    )
