"""status: how every table of a lake stands, and how far it is behind what it consumes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import attrs

from lakekit.commit import Commit, from_snapshot, upkeep
from lakekit.display import Shown, View
from lakekit.engines.plan import Query, Scan
from lakekit.engines.protocol import table as fetched
from lakekit.errors import TableError, TableNotFoundError
from lakekit.incremental import cas, changes, contract
from lakekit.incremental.change_log_moves import Open
from lakekit.lake import Lake
from lakekit.names import Identifier, companion, text
from lakekit.operations import reading

if TYPE_CHECKING:
    from lakekit.bookmark import Position
    from lakekit.engines.plan import TableState


@attrs.frozen
class UpstreamStatus:
    """How far a table has consumed one upstream.

    Attributes:
        upstream: The name under which the bookmark knows it; `rewind` takes it.
        table: The upstream's table. None: it is a source, or the table is gone.
        side: Whether rows are only looked up in it.
        position: The details of the stored position.
        behind: Snapshots of the table that are not consumed yet. None: it is a source, or nobody can tell because snapshots have expired.
        behind_since: When the oldest of these was made (UTC). None: there is none, or nobody can tell.
        waiting: Where it is a change log: rows that got another key, and of which the delete under the old one has not come, as far as the log
            was consumed. Their changes that lack values wait for it.
        waiting_since: When the first of these got its key, on the source's clock (UTC). None: there is none, or the source does not say.
    """

    upstream: str
    table: str | None
    side: bool
    position: Mapping[str, Any]
    behind: int | None
    behind_since: datetime | None = None
    waiting: int = 0
    waiting_since: datetime | None = None

    @property
    def note(self) -> str | None:
        """What somebody should look at."""
        if not self.waiting:
            return None
        since = "" if self.waiting_since is None else f", the first since {self.waiting_since:%Y-%m-%d %H:%M}Z"
        return f"{self.waiting:,} moved rows of {self.table or self.upstream} wait for the delete under their old key{since}"


@attrs.frozen(repr=False)
class TableStatus(Shown):
    """How one table stands.

    Attributes:
        table: Its name.
        layer: ``bronze``, ``merged``, ``scd2``, ``groups`` … None: lakekit didn't write it.
        rows: Rows stored, soft-deleted ones too; too few where another tool keeps position deletes of files that are gone. None: nobody can
            tell.
        rejects: Rows in ``<table>__rejects``, those that `replay` has closed too.
        open_rejects: Those that wait for somebody to mend them, by rule and reason: ``"email: not_an_email"``.
        snapshots: Snapshots that have not expired.
        committed_at: When the current snapshot was made (UTC). None: nothing was ever written.
        upstreams: What it consumes.
        last: What the last write did. None: nothing was ever written.
        upkeep: Why reads of it, or commits to it, suffer, until `maintain` mends it. Empty: they don't.
        problem: Why it can't be read; then nothing else is known of it. None: it can be.
    """

    table: str
    layer: str | None
    rows: int | None
    rejects: int
    snapshots: int
    committed_at: datetime | None
    upstreams: tuple[UpstreamStatus, ...]
    open_rejects: Mapping[str, int] = attrs.field(factory=dict)
    last: Commit | None = None
    upkeep: str = ""
    problem: str | None = None

    def __str__(self) -> str:
        return _text((self,))

    def _view(self) -> View:
        return _view((self,))

    def notes(self) -> list[str]:
        """What somebody should look at."""
        found = [f"{self.table} can't be read: {self.problem}"] if self.problem else []
        found += [f"{self.table}: {count:,} open rejects, {reason}" for reason, count in self.open_rejects.items()]
        found += [f"{self.table}: {upstream.note}" for upstream in self.upstreams if upstream.note]
        return found + ([f"{self.table}: {self.upkeep}; maintain() mends it"] if self.upkeep else [])


@attrs.frozen(repr=False)
class Status(Shown):
    """How the tables of a lake stand. Printable."""

    tables: tuple[TableStatus, ...]

    def __getitem__(self, table: str) -> TableStatus:
        """The table of that name.

        Raises:
            KeyError: There is none.
        """
        for found in self.tables:
            if found.table == table:
                return found
        raise KeyError(table)

    def __str__(self) -> str:
        return _text(self.tables)

    def _view(self) -> View:
        return _view(self.tables)


def _lines(tables: Sequence[TableStatus]) -> list[list[str]]:
    lines = [["table", "layer", "rows", "rejects", "last commit", "consumes", "behind"]]
    for table in tables:
        when = table.committed_at.isoformat(sep=" ", timespec="seconds").replace("+00:00", "Z") if table.committed_at else "never"
        own = [table.table, table.layer or "-", "?" if table.rows is None else f"{table.rows:,}", f"{table.rejects:,}", when]
        own = [table.table, "-", "?", "?", "?"] if table.problem else own
        for index, upstream in enumerate(table.upstreams or (None,)):
            consumes = (
                [] if upstream is None else [upstream.table or upstream.upstream, "-" if upstream.behind is None else str(upstream.behind)]
            )
            lines.append([*(own if index == 0 else [""] * len(own)), *(consumes or ["", ""])])
    return lines


def _text(tables: Sequence[TableStatus]) -> str:
    lines = _lines(tables)
    widths = [max(len(line[index]) for line in lines) for index in range(len(lines[0]))]
    rows = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    return "\n".join([*rows, *_notes(tables)])


def _view(tables: Sequence[TableStatus]) -> View:
    head, *rows = map(tuple, _lines(tables))
    return View("", head, tuple(rows), tuple(_notes(tables)))


def _notes(tables: Sequence[TableStatus]) -> list[str]:
    return [note for table in tables for note in table.notes()]


@reading
def status(lake: Lake) -> Status:
    """How every table of a lake stands: rows, rejects, the last commit, what it consumes, how far it is behind, and what wants somebody's care.

    From metadata alone, but for the open rejects, which are counted. Companion tables (``<table>__rejects`` and the like) are not listed. A
    table that can't be read is listed with its ``problem``, and keeps nobody from hearing of the others.

    >>> import lakekit as lk, tempfile
    >>> lake = lk.connect(tempfile.mkdtemp())
    >>> _ = lk.append(lk.from_frame(lake, [{"id": 1}], run_id="a"), into="bronze.things")
    >>> _ = lk.merge(lk.read_new(lake, "bronze.things", into="silver.things"), key="id")
    >>> lk.status(lake)["silver.things"].upstreams[0].behind
    0
    """
    states, broken = load(lake)
    found = [TableStatus(text(name), None, None, 0, 0, None, (), problem=problem) for name, problem in broken.items()]
    return Status(tuple(sorted([*found, *of(lake, states)], key=lambda status: status.table)))


def load(lake: Lake) -> tuple[dict[Identifier, TableState], dict[Identifier, str]]:
    """The tables of a lake as they stand now, and why the others can't be read."""
    states: dict[Identifier, TableState] = {}
    broken: dict[Identifier, str] = {}
    for name in lake.engine.tables():
        try:
            states[name] = lake.engine.load(name)
        except TableNotFoundError:  # dropped meanwhile
            continue
        except TableError as error:
            broken[name] = error.problem
    return states, broken


def of(lake: Lake, states: Mapping[Identifier, TableState]) -> list[TableStatus]:
    """How each of these tables stands, companions left out."""
    found: list[TableStatus] = []
    by_upstream = {changes.upstream(state): state for state in states.values()}
    for name, state in states.items():
        if "__" in name[-1] and (*name[:-1], name[-1].rpartition("__")[0]) in states:
            continue
        rejects = states.get(companion(name, "rejects"))
        positions = cas.stored(state).positions
        found.append(
            TableStatus(
                table=text(name),
                layer=state.properties.get(contract.LAYER),
                rows=_rows(state),
                rejects=(_rows(rejects) or 0) if rejects else 0,
                snapshots=len(state.snapshots),
                committed_at=datetime.fromtimestamp(state.current.committed_at / 1000, UTC) if state.current else None,
                upstreams=tuple(_upstream(key, position, by_upstream) for key, position in sorted(positions.items())),
                open_rejects=_open(lake, rejects) if rejects else {},
                last=from_snapshot(state.label, state.current) if state.current else None,
                upkeep=upkeep(state.current.summary, snapshots=len(state.snapshots)) if state.current else "",
            )
        )
    return found


def _open(lake: Lake, rejects: TableState) -> dict[str, int]:
    """The rejects that wait to be mended, by rule and reason."""
    words = "SELECT concat(_rule, ': ', _reason) AS why, count(*) AS n FROM rejects WHERE _state = 'open' GROUP BY _rule, _reason"
    with lake.engine.session() as session:
        rows = fetched(session, Query(words, {"rejects": Scan(rejects, rejects.head)})).to_pylist()
    return {row["why"]: row["n"] for row in sorted(rows, key=lambda row: (-row["n"], row["why"]))}


def _rows(state: TableState) -> int | None:
    if state.current is None:
        return 0
    if "total-records" not in state.current.summary or state.current.count("total-equality-deletes"):
        return None
    return state.current.count("total-records") - state.current.count("total-position-deletes")


def _upstream(key: str, position: Position, tables: Mapping[str, TableState]) -> UpstreamStatus:
    side = key.startswith("side:")
    table = tables.get(key.removeprefix("side:"))
    behind = since = None
    if table is not None:
        line = list(table.ancestry())
        consumed = position.values.get("snapshot")
        behind = next((newer for newer, snapshot in enumerate(line) if snapshot.id == consumed), None)
        since = datetime.fromtimestamp(line[behind - 1].committed_at / 1000, UTC) if behind else None
    waiting = Open.of(position.values) or Open()
    first = datetime.fromisoformat(waiting.since) if waiting.since else None
    return UpstreamStatus(key, text(table.name) if table else None, side, position.values, behind, since, waiting.moves, first)
