"""report: what stands in a lake and what happened there, as one page."""

from __future__ import annotations

import html
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from lakekit.clock import instant_of
from lakekit.commit import from_snapshot
from lakekit.engines.plan import Query, Scan
from lakekit.engines.protocol import table as fetched
from lakekit.evolution import versions
from lakekit.gold.timeline import timeline
from lakekit.incremental import contract
from lakekit.lake import Lake
from lakekit.names import TableName, text
from lakekit.observability import flow, page, status
from lakekit.observability.page import Html
from lakekit.operations import reading

if TYPE_CHECKING:
    from lakekit.commit import Commit
    from lakekit.engines.plan import TableState
    from lakekit.gold.timeline import Timeline
    from lakekit.observability.status import TableStatus, UpstreamStatus

RUNS: Final = 30
_BARS: Final = 120
_WRITTEN: Final = ("inserted", "updated", "deleted")
_OTHERS: Final = ("unchanged", "late", "duplicates", "rejected")


@reading
def report(lake: Lake, *, timelines: Mapping[TableName, Any] | None = None, now: datetime | None = None) -> str:
    """A page that shows a lake: how rows flow, how tables stand, what each run did, what waits for somebody.

    One HTML document that loads nothing else: write it to a file, attach it to a run, display it in a notebook. Light or dark as the reader
    has it, for the keyboard and for screen readers; on paper every part is open. From metadata, but for open rejects and what became of ids,
    which are counted. No value of a row stands in it, but for those of the members whose ``timelines`` are asked for.

    Args:
        lake: The lake.
        timelines: Dimensions, each with the key of a member whose history is to be shown, as `timeline` takes it: ``{"gold.dim_users": 17}``.
        now: The present, from which ages are counted. Default: the clock's.

    Returns:
        The HTML.

    Raises:
        TableNotFoundError: A table of ``timelines`` is missing.
        ConfigError: It is no dimension, or the key is not one of it; a naive ``now``.

    >>> import lakekit as lk, tempfile
    >>> lake = lk.connect(tempfile.mkdtemp())
    >>> _ = lk.merge(lk.from_frame(lake, [{"id": 1}], run_id="a"), into="silver.things", key="id")
    >>> "silver.things" in lk.report(lake)
    True
    """
    instant = instant_of(now, place="report(now=)")
    states, broken = status.load(lake)
    tables = sorted(status.of(lake, states), key=lambda table: table.table)
    by_name = {text(name): state for name, state in states.items()}
    asked = {table: timeline(lake, table, key) for table, key in (timelines or {}).items()}
    histories = {found.table: _history(found) for found in asked.values()}
    parts = [
        f"<h1>{html.escape(lake.where)}</h1>",
        f'<p class="soft">{len(tables) + len(broken)} tables, as they stood at {_when(instant)} (UTC)</p>',
        _attention(tables, {text(name): problem for name, problem in broken.items()}),
        _flow(tables, [text(name) for name in broken]),
        _tables(tables, by_name, instant),
        *(_details(lake, table, by_name[table.table], instant, histories.get(table.table, "")) for table in tables),
    ]
    return page.page(f"Lake report: {lake.where}", "".join(parts))


def _attention(tables: list[TableStatus], broken: Mapping[str, str]) -> str:
    found = [f'<li class="bad">{html.escape(name)} can\'t be read: {html.escape(problem)}</li>' for name, problem in broken.items()]
    for table in tables:
        link = f'<a href="#{flow.anchor(table.table)}">{html.escape(table.table)}</a>'
        found += [f"<li>{link}: {count:,} open rejects, {html.escape(reason)}</li>" for reason, count in table.open_rejects.items()]
        if table.upkeep:
            found.append(f"<li>{link}: {html.escape(table.upkeep)}. Run <code>{_maintain(table.table)}</code></li>")
    shown = f"<ul>{''.join(found)}</ul>" if found else "<p>Nothing.</p>"
    return f"<section><h2>Needs attention</h2>{shown}</section>"


def _maintain(table: str) -> str:
    return html.escape(f'lk.maintain(lake, "{table}", older_than=timedelta(days=7))')


def _flow(tables: list[TableStatus], broken: list[str]) -> str:
    nodes = dict.fromkeys(broken, "problem")
    edges: dict[tuple[str, str], str] = {}
    for table in tables:
        for upstream in table.upstreams:
            start = _source(upstream)
            if not upstream.table:
                nodes.setdefault(start, "source")
            how = "looks rows up in" if upstream.side else "consumes"
            edges[start, table.table] = f"{table.table} {how} {start}{_behind(upstream)}"
        nodes[table.table] = table.layer or "other"
    if not nodes:
        return ""
    drawn = flow.drawing(nodes, [(*ends, words) for ends, words in edges.items()], links={table.table for table in tables})
    return f'<section><h2>How rows flow</h2><div class="wide" tabindex="0" role="group" aria-label="Flow of rows">{drawn}</div></section>'


def _source(upstream: UpstreamStatus) -> str:
    return upstream.table or upstream.upstream.removeprefix("side:").removesuffix("#deletes")


def _how(upstream: UpstreamStatus) -> str:
    if upstream.side:
        return "rows are looked up in it"
    return "its keys are compared, for deletes" if upstream.upstream.endswith("#deletes") else "rows come from it"


def _behind(upstream: UpstreamStatus) -> str:
    return f", {upstream.behind} snapshots behind" if upstream.behind else ""


def _tables(tables: list[TableStatus], states: Mapping[str, TableState], now: datetime) -> str:
    head = ["table", "layer", "rows", "last commit", "age", "behind", "open rejects", "data files", "size"]
    rows: list[list[object]] = []
    for table in tables:
        link = Html(f'<a href="#{flow.anchor(table.table)}">{html.escape(table.table)}</a>')
        current = states[table.table].current
        behind = [upstream.behind for upstream in table.upstreams if upstream.behind is not None]
        files = current.count("total-data-files") if current else 0
        size = _size(current.count("total-files-size")) if current else "–"
        when, age = (_when(table.committed_at), _age(now - table.committed_at)) if table.committed_at else ("never", "–")
        late = max(behind) if behind else None
        rows.append([link, table.layer or "–", table.rows, when, age, late, sum(table.open_rejects.values()), files, size])
    shown = page.table(
        "Tables, and how many snapshots each is behind what it consumes",
        head,
        rows,
        numbers=("rows", "age", "behind", "open rejects", "data files", "size"),
        names=[table.table for table in tables],
    )
    field = (
        '<p class="filter"><label>Show only tables whose name has <input id="filter" type="search"></label> '
        '<span id="shown" class="soft" role="status"></span></p>'
    )
    return f'<section id="tables"><h2>Tables</h2>{field}{shown}</section><h2>Table by table</h2>'


def _details(lake: Lake, table: TableStatus, state: TableState, now: datetime, history: str) -> str:
    line = list(state.ancestry())
    commits = [from_snapshot(state.label, snapshot) for snapshot in line[:_BARS]]
    last = f"{_age(now - table.committed_at)} ago" if table.committed_at else "never written"
    summary = (
        f"<strong>{html.escape(table.table)}</strong> <span class='soft'>{html.escape(table.layer or 'written by others')}, {last}</span>"
    )
    parts = [
        _runs(commits, len(line)),
        _upstreams(table),
        _rejects(table),
        _schemas(state),
        _storage(table, state),
        _identities(lake, state),
    ]
    return page.details(table.table, summary, "".join([*parts, history]), anchor=flow.anchor(table.table))


def _runs(commits: list[Commit], snapshots: int) -> str:
    if not commits:
        return ""
    written = [sum(getattr(commit, name) for name in _WRITTEN) for commit in reversed(commits)]
    drawn = page.bars(written, words=f"Rows written by each of the last {len(written)} runs, at most {max(written):,}")
    head = ["snapshot made", "operation", *_WRITTEN, *_OTHERS, "seconds"]
    rows = [
        [
            _when(commit.committed_at),
            commit.operation or "–",
            *(getattr(commit, name) for name in (*_WRITTEN, *_OTHERS)),
            f"{commit.seconds['total']:.2f}" if "total" in commit.seconds else "–",
        ]
        for commit in commits[:RUNS]
    ]
    kept = f"The last {len(rows)} of {snapshots:,} runs whose snapshots are kept" if snapshots > len(rows) else "Runs"
    return f"<h3>Rows written, run by run</h3>{drawn}{page.table(kept, head, rows, numbers=head[2:])}"


def _upstreams(table: TableStatus) -> str:
    head = ["consumes", "how", "snapshots behind", "behind since"]
    rows = [
        [
            _source(upstream),
            _how(upstream),
            upstream.behind,
            _when(upstream.behind_since) if upstream.behind_since else "–",
        ]
        for upstream in table.upstreams
    ]
    return page.table("What it consumes", head, rows, numbers=("snapshots behind",)) if rows else ""


def _rejects(table: TableStatus) -> str:
    rows = [[reason, count] for reason, count in table.open_rejects.items()]
    return page.table("Open rejects, by rule and reason", ["why", "rows"], rows, numbers=("rows",)) if rows else ""


def _schemas(state: TableState) -> str:
    changed = [version for version in versions.of(state)[1:] if version.changes]
    rows = [[_when(version.since) if version.since else "–", "; ".join(version.changes)] for version in reversed(changed)]
    return page.table("Changes of the schema", ["first snapshot with it", "what changed"], rows) if rows else ""


def _storage(table: TableStatus, state: TableState) -> str:
    current = state.current
    if current is None:
        return ""
    files, size = current.count("total-data-files"), current.count("total-files-size")
    deletes = current.count("total-position-deletes")
    words = f"{files:,} data files, {_size(size)}, {table.snapshots:,} snapshots"
    words += f", {deletes:,} rows named by position deletes" if deletes else ""
    verdict = f"{table.upkeep}. Run" if table.upkeep else "To compact it, and let old snapshots expire:"
    return f"<h3>Storage</h3><p>{words}. {html.escape(verdict)} <code>{_maintain(table.table)}</code></p>"


def _identities(lake: Lake, state: TableState) -> str:
    if state.properties.get(contract.LAYER) != "identity" or state.head is None:
        return ""
    words = (
        "SELECT kind, count(*) AS n, count(DISTINCT master_user_id) AS people FROM rows "
        "WHERE `_deleted_at` IS NULL GROUP BY kind ORDER BY kind"
    )
    with lake.engine.session() as session:
        found = {row["kind"]: row for row in fetched(session, Query(words, {"rows": Scan(state, state.head)})).to_pylist()}
    if "record" not in found:
        return ""
    merged, divided = (found.get(kind, {"n": 0})["n"] for kind in ("alias", "split"))
    return (
        f"<h3>People</h3><p>{found['record']['n']:,} records of {found['record']['people']:,} people; {merged:,} ids went over into others, "
        f"{divided:,} were divided.</p>"
    )


def _history(found: Timeline) -> str:
    key = ", ".join(f"{name} {value}" for name, value in found.key.items())
    return page.table(f"The history of {key}", ["from", "until", "what"], found.changes())


def _when(instant: datetime | None) -> str:
    return "–" if instant is None else f"{instant:%Y-%m-%d %H:%M:%S}"


def _age(length: timedelta) -> str:
    seconds = max(0, int(length.total_seconds()))
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def _size(count: int) -> str:
    amount = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} TB"
