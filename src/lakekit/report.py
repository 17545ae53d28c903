"""status: how every table of a lake stands, and how far it is behind what it consumes."""

from __future__ import annotations

import html
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import attrs

from lakekit.incremental import cas, changes, contract
from lakekit.lake import Lake
from lakekit.names import companion, text

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
    """

    upstream: str
    table: str | None
    side: bool
    position: Mapping[str, Any]
    behind: int | None


@attrs.frozen
class TableStatus:
    """How one table stands.

    Attributes:
        table: Its name.
        layer: ``bronze``, ``merged``, ``scd2``, ``groups`` … None: lakekit didn't write it.
        rows: Rows stored, soft-deleted ones too; too few where another tool keeps position deletes of files that are gone. None: nobody can
            tell.
        rejects: Rows in ``<table>__rejects``.
        snapshots: Snapshots that have not expired.
        committed_at: When the current snapshot was made (UTC). None: nothing was ever written.
        upstreams: What it consumes.
    """

    table: str
    layer: str | None
    rows: int | None
    rejects: int
    snapshots: int
    committed_at: datetime | None
    upstreams: tuple[UpstreamStatus, ...]


@attrs.frozen
class Status:
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

    def _lines(self) -> list[list[str]]:
        lines = [["table", "layer", "rows", "rejects", "last commit", "consumes", "behind"]]
        for table in self.tables:
            when = table.committed_at.isoformat(sep=" ", timespec="seconds").replace("+00:00", "Z") if table.committed_at else "never"
            own = [table.table, table.layer or "-", "?" if table.rows is None else f"{table.rows:,}", f"{table.rejects:,}", when]
            for index, upstream in enumerate(table.upstreams or (None,)):
                consumes = (
                    []
                    if upstream is None
                    else [upstream.table or upstream.upstream, "-" if upstream.behind is None else str(upstream.behind)]
                )
                lines.append([*(own if index == 0 else [""] * len(own)), *(consumes or ["", ""])])
        return lines

    def __str__(self) -> str:
        lines = self._lines()
        widths = [max(len(line[index]) for line in lines) for index in range(len(lines[0]))]
        return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines)

    def _repr_html_(self) -> str:
        head, *rows = self._lines()
        cells = "".join(f"<th>{html.escape(cell)}</th>" for cell in head)
        body = "".join(f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
        return f"<table><tr>{cells}</tr>{body}</table>"


def status(lake: Lake) -> Status:
    """How every table of a lake stands, from metadata alone: rows, rejects, the last commit, what it consumes and how far it is behind.

    Companion tables (``<table>__rejects`` and the like) are not listed.

    >>> import lakekit as lk, tempfile
    >>> lake = lk.connect(tempfile.mkdtemp())
    >>> _ = lk.append(lk.from_frame(lake, [{"id": 1}], run_id="a"), into="bronze.things")
    >>> _ = lk.merge(lk.read_new(lake, "bronze.things", into="silver.things"), key="id")
    >>> lk.status(lake)["silver.things"].upstreams[0].behind
    0
    """
    states = {name: lake.engine.load(name) for name in lake.engine.tables()}
    by_upstream = {changes.upstream(state): state for state in states.values()}
    found: list[TableStatus] = []
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
            )
        )
    return Status(tuple(found))


def _rows(state: TableState) -> int | None:
    if state.current is None:
        return 0
    if "total-records" not in state.current.summary or state.current.count("total-equality-deletes"):
        return None
    return state.current.count("total-records") - state.current.count("total-position-deletes")


def _upstream(key: str, position: Position, tables: Mapping[str, TableState]) -> UpstreamStatus:
    side = key.startswith("side:")
    table = tables.get(key.removeprefix("side:"))
    behind = None
    if table is not None:
        consumed = position.values.get("snapshot")
        behind = next((newer for newer, snapshot in enumerate(table.ancestry()) if snapshot.id == consumed), None)
    return UpstreamStatus(key, text(table.name) if table else None, side, position.values, behind)
