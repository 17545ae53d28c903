"""Compare and swap: a write happens only from the position it was read at, so a crash, a race or a retry can't lose or double a row.

The stored bookmark lives in the snapshot's summary, and in a table property that survives snapshot expiry.
"""

from __future__ import annotations

import logging
import random
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Literal, Protocol, TypeVar

import attrs

from lakekit import logs, progress
from lakekit.bookmark import BOOKMARK, WRITE_ID, Bookmark, Stored
from lakekit.commit import Commit, upkeep
from lakekit.engines.plan import OWN_BRANCH, Scan, TableState
from lakekit.engines.protocol import Audit, BookmarkWriter, Engine, Prepared
from lakekit.errors import BookmarkLostError, CommitConflictError, TableError
from lakekit.names import Identifier

log = logging.getLogger(__name__)

ATTEMPTS = 12
T = TypeVar("T")
Verdict = Literal["go", "done"]


def stored(state: TableState) -> Stored:
    """The bookmark a table holds: the furthest of summary and property in the newest epoch.

    A table rolled back to an older snapshot goes back to that snapshot's bookmark, as its rows do.
    """
    mirror = Stored.from_json(state.properties[BOOKMARK]) if BOOKMARK in state.properties else None
    summary = next((Stored.from_json(found.summary[BOOKMARK]) for found in state.ancestry() if BOOKMARK in found.summary), None)
    if mirror is None:
        return summary or Stored()
    rolled_back = mirror.snapshot is not None and mirror.snapshot in state.snapshots and not state.is_ancestor(mirror.snapshot)
    if rolled_back and (summary is None or mirror.epoch == summary.epoch):
        return summary or Stored(epoch=mirror.epoch)
    return mirror if summary is None else summary.furthest(mirror)


def is_lost(state: TableState) -> bool:
    """Whether the table was written by lakekit and yet holds no bookmark any more: summaries expired, property removed."""
    if BOOKMARK in state.properties or "lakekit.format" not in state.properties:
        return False
    return (
        state.head is not None
        and not any(BOOKMARK in found.summary for found in state.ancestry())
        and any(found.count("total-records") for found in state.ancestry())
    )


def writes_since_rewind(state: TableState) -> tuple[int, ...] | None:
    """The ids of the writes since the bookmark was set back, as far as their snapshots are there. None: it never was."""
    epoch = stored(state).epoch
    if not epoch:
        return None
    found: list[int] = []
    for snapshot in state.ancestry():
        if BOOKMARK in snapshot.summary and Stored.from_json(snapshot.summary[BOOKMARK]).epoch < epoch:
            break
        if WRITE_ID in snapshot.summary:
            found.append(int(snapshot.summary[WRITE_ID]))
    return tuple(found)


def judge(state: TableState, bookmark: Bookmark, write_id: int) -> Verdict:
    """Whether a write may go on, or was done before.

    Raises:
        CommitConflictError: The stored position is neither where this batch starts nor at or past its end.
    """
    now = stored(state)
    if bookmark.run_id is not None and (write_id in now.runs or _in_summaries(state, write_id)):
        return "done"
    if not bookmark.spans:
        return "go"
    if bookmark.epoch != now.epoch:
        raise CommitConflictError(state.label, "the table was rewound after this batch was read", hint="read it again.")
    if all(now.positions.get(name) == span.start for name, span in bookmark.spans.items()):
        return "go"
    if all((there := now.positions.get(name)) is not None and there.at >= span.end.at for name, span in bookmark.spans.items()):
        return "done"
    raise CommitConflictError(state.label, "another run has consumed a part of this batch", hint="run it again: it reads on from there.")


def _in_summaries(state: TableState, write_id: int) -> bool:
    return any(found.summary.get(WRITE_ID) == str(write_id) for found in state.ancestry())


class Gate(Protocol):
    """An audit: looks at a table as a snapshot has it that waits on a branch, before it is published."""

    def __call__(self, state: TableState, snapshot: int, branch: str, /) -> Mapping[str, int]:
        """How many rows failed each check, by its name.

        Raises:
            ContractError: It is not to be published.
        """
        ...


class Plan(Protocol):
    """Computes what a write would do to a table in the given state."""

    def __call__(self, state: TableState, write_id: int) -> Planned:
        """The figures, and how to write the files."""
        ...


@attrs.frozen
class Planned:
    """What a write would do: its figures, and, where rows change, how to write the files."""

    figures: Commit
    prepare: Callable[[], Prepared] | None


def write(
    engine: Engine,
    into: Identifier,
    state: TableState,
    bookmark: Bookmark,
    plan: Plan,
    *,
    dry_run: bool = False,
    seconds: Mapping[str, float] | None = None,
    audits: Sequence[Gate] = (),
) -> Commit:
    """Carry a planned write out, once; with ``audits``, by way of a branch that reaches the table only if they let it.

    The parent snapshot is asserted. When somebody else was quicker, the bookmark is looked at again: the write is rebased (only new
    files), computed anew, or found done.

    Raises:
        CommitConflictError: Another run consumed a part of the batch, or the table never stood still.
        BookmarkLostError: The table's bookmark is gone and the rows can't be told from those already there.
        ContractError: An audit refused.
    """
    label = state.label
    write_id = bookmark.write_id(label) if bookmark else secrets.randbits(63)
    run = _Run(engine, bookmark, write_id, plan, dry_run, dict(seconds or {}), tuple(audits))
    if audits and state.head is None and not dry_run:  # a branch needs a snapshot to start from
        move(engine, state, lambda stored: stored)
        state = engine.load(into)
    try:
        for attempt in range(ATTEMPTS):
            if attempt:
                time.sleep(random.uniform(0, min(0.05 * 2**attempt, 2.0)))  # noqa: S311 -- jitter, not a secret
                state = engine.load(into)
            if judge(state, bookmark, run.write_id) == "done":
                return Commit(table=label, write_id=run.noted, run_id=bookmark.run_id)
            try:
                return run.attempt(state)
            except CommitConflictError:
                log.info(
                    "%s moved on while it was written; attempt %s",
                    label,
                    attempt + 1,
                    extra=logs.fields("conflict", table=label, attempt=attempt + 1),
                )
            except TableError:
                if engine.load(into).head == state.head:
                    raise
                log.info(
                    "%s: the snapshot that was read has expired meanwhile; attempt %s",
                    label,
                    attempt + 1,
                    extra=logs.fields("snapshot_expired", table=label, attempt=attempt + 1),
                )
        raise CommitConflictError(label, "the table never stood still", got=f"{ATTEMPTS} attempts", hint="run it again.")
    finally:
        run.discard()


@attrs.define(eq=False)
class _Run:
    """One write: what was planned for a state of the table, and the files written for it, until they are the table's."""

    engine: Engine
    bookmark: Bookmark
    write_id: int
    plan: Plan
    dry_run: bool
    seconds: dict[str, float]
    audits: tuple[Gate, ...] = ()
    _planned: Planned | None = None
    _prepared: Prepared | None = None

    @property
    def noted(self) -> int | None:
        """The write's id where something is tracked by it."""
        return self.write_id if self.bookmark else None

    def attempt(self, state: TableState) -> Commit:
        """Write on top of a state: with the files there are where they are right there too, otherwise anew."""
        if self._planned is None or self._prepared is None or not self._prepared.rebasable:
            self.discard()
            self._planned = self._timed("plan", lambda: self.plan(state, self.write_id))
        planned = self._planned
        figures = attrs.evolve(
            planned.figures,
            write_id=self.noted,
            waiting=self.bookmark.waiting,
            seconds=self.seconds,
            operation=logs.operation(),
            run_id=self.bookmark.run_id,
        )
        if self.dry_run:
            return figures
        if planned.prepare is None:
            return _move_only(self.engine, state, self.bookmark, self.write_id, figures)
        if self._prepared is None:
            self._prepared = self._timed("write", planned.prepare)
        prepared = self._prepared
        done = self._timed("commit", lambda: _land(self, state, prepared, figures))
        self._prepared = None
        return attrs.evolve(done, seconds=self.seconds)

    def discard(self) -> None:
        """Remove the files that did not reach the table."""
        if self._prepared is not None:
            self._prepared.discard()
            self._prepared = None

    def _timed(self, phase: str, work: Callable[[], T]) -> T:
        started = time.perf_counter()
        progress.note(phase)
        result = work()
        self.seconds[phase] = self.seconds.get(phase, 0.0) + time.perf_counter() - started
        return result


def _land(run: _Run, state: TableState, prepared: Prepared, figures: Commit) -> Commit:
    before = stored(state)
    checks = dict(figures.checks)

    def text(*, snapshot: int | None, sequence: int) -> str:
        return before.advance(run.bookmark, write_id=run.write_id, sequence=sequence, snapshot=snapshot).to_json()

    def examine(snapshot: int) -> None:
        there = run.engine.load(state.name)
        for gate in run.audits:
            checks.update(gate(there, snapshot, branch))

    branch = f"{OWN_BRANCH}audit_{run.write_id:016x}"
    audit = Audit(branch, examine) if run.audits else None
    summary = {**run.engine.snapshot_properties, WRITE_ID: str(run.write_id), **figures.to_summary()}
    landed = prepared.commit(state, bookmark=text, summary=summary, audit=audit)
    when = datetime.fromtimestamp(landed.committed_at / 1000, UTC)
    return attrs.evolve(
        figures,
        committed=True,
        checks=checks,
        snapshot_id=landed.snapshot,
        upkeep=upkeep(landed.summary, snapshots=len(state.snapshots) + 1),
        files=landed.files,
        bytes=landed.size,
        committed_at=when,
    )


def _move_only(engine: Engine, state: TableState, bookmark: Bookmark, write_id: int, figures: Commit) -> Commit:
    """Move the bookmark without rows: a property, no snapshot."""
    before = stored(state)
    current = state.current
    after = before.advance(bookmark, write_id=write_id, sequence=current.sequence if current else 0, snapshot=state.head)
    if after.positions == before.positions and after.runs == before.runs:
        heal(engine, state)
        return figures
    engine.set_properties(state, {BOOKMARK: after.to_json()}, expect={BOOKMARK: state.properties.get(BOOKMARK)})
    return figures


def heal(engine: Engine, state: TableState) -> None:
    """Note the bookmark in the table property again where it has fallen behind.

    Spark writes it after the snapshot: a run that died between leaves it as it was, and another tool may have removed it.
    """
    now = stored(state)
    mirror = Stored.from_json(state.properties[BOOKMARK]) if BOOKMARK in state.properties else Stored()
    if (mirror.epoch, mirror.positions, {*mirror.runs}) != (now.epoch, now.positions, {*now.runs}):
        with suppress(CommitConflictError):  # whoever was quicker has written it
            engine.set_properties(state, {BOOKMARK: now.to_json()}, expect={BOOKMARK: state.properties.get(BOOKMARK)})


def move(engine: Engine, state: TableState, change: Callable[[Stored], Stored]) -> Commit:
    """Set the stored bookmark to something else.

    It makes an empty snapshot, so that no write planned before it can land: a table property alone would not stop one on every catalog.

    Raises:
        CommitConflictError: The table never stood still.
    """
    by = Commit(table=state.label, operation=logs.operation())
    for attempt in range(ATTEMPTS):
        if attempt:
            state = engine.load(state.name)
        before = stored(state)
        after = change(before)

        def text(*, snapshot: int | None, sequence: int, after: Stored = after) -> str:
            return attrs.evolve(after, snapshot=snapshot, sequence=sequence).to_json()

        with engine.session() as session:
            prepared = session.append(state, Scan(state, None))
            try:
                landed = prepared.commit(state, bookmark=text, summary={**engine.snapshot_properties, **by.to_summary()})
            except CommitConflictError:
                continue
        return attrs.evolve(
            by,
            committed=True,
            snapshot_id=landed.snapshot,
            committed_at=datetime.fromtimestamp(landed.committed_at / 1000, UTC),
        )
    raise CommitConflictError(state.label, "the table never stood still", got=f"{ATTEMPTS} attempts", hint="run it again.")


def unmoved(state: TableState) -> BookmarkWriter:
    """The bookmark a table holds, for a commit that moves nothing."""
    before = stored(state)

    def text(*, snapshot: int | None, sequence: int) -> str:
        return attrs.evolve(before, snapshot=snapshot, sequence=sequence).to_json()

    return text


def require_bookmark(state: TableState) -> None:
    """Raise where an append can't know what it has consumed."""
    if is_lost(state):
        raise BookmarkLostError(
            state.label,
            "the bookmark is gone from both the snapshots and the table property, so appending could double rows",
            hint="set it with rewind(), or write by key with merge().",
        )
