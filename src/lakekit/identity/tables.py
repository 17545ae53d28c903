"""The four tables that identities are kept in, and how each is derived from those before it. Their layout is public format.

    batches → <into>__records → <into>__keys → <into>__links → <into>
              what records say   who is looked  who matches     who is who
                                 at together    whom

Each is a function of the ones before, written in that order, the last one with the batches' bookmark. Each also has a bookmark of its
own, over the tables it is derived from, so that it takes up what it has not seen: after a crash, the next run goes on from there, whatever
run it is. Rows that no longer hold are marked with ``_deleted_at``, so that the next table sees them go.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Final

import attrs

from lakekit import columns as system
from lakekit.bookmark import Bookmark, Position, Span, Stored
from lakekit.commit import Commit
from lakekit.engines.plan import Frame, Node, Query, Scan, TableState
from lakekit.engines.protocol import count
from lakekit.engines.types import arrow_type, ident, sql_type
from lakekit.identity.rules import Rules
from lakekit.incremental import cas, changes, target
from lakekit.names import Identifier, companion

if TYPE_CHECKING:
    import pyarrow as pa

    from lakekit.engines.protocol import Session
    from lakekit.lake import Lake

PLACE: Final = "resolve_identities"
RECORD: Final = "record"
ALIAS: Final = "alias"
SPLIT: Final = "split"
MASTER: Final = "master_user_id"
ERASED: Final = "#"
"""What the key of a record that was forgotten begins with: its ``record_id`` follows."""
PROPERTY: Final = "lakekit.identity"
"""Table property of the identities: the rules and the record keys, as JSON."""


@attrs.frozen
class Layout:
    """A table's place among the others: its suffix, its key and its columns, the system columns aside."""

    suffix: str
    key: tuple[str, ...]
    columns: Mapping[str, str]

    def name(self, into: Identifier) -> Identifier:
        """The table's name."""
        return companion(into, self.suffix) if self.suffix else into

    def with_columns(self, names: Sequence[str]) -> Layout:
        """The same with more columns of text."""
        return attrs.evolve(self, columns={**self.columns, **dict.fromkeys(names, "STRING")})

    @property
    def schema(self) -> pa.Schema:
        """The columns as they are stored."""
        import pyarrow as pa

        own = [pa.field(name, arrow_type(words)) for name, words in self.columns.items()]
        stamps = [pa.field(name, arrow_type(system.BY_NAME[name].type)) for name in (system.WRITE_ID, system.DELETED_AT)]
        return pa.schema([*own, *stamps])

    def listed(self, *, prefix: str = "") -> str:
        """The columns and ``_deleted_at`` for a SELECT."""
        return ", ".join(prefix + ident(name) for name in (*self.columns, system.DELETED_AT))

    def same(self, one: str, other: str) -> str:
        """SQL: two rows have one key."""
        return " AND ".join(f"{one}.{ident(name)} <=> {other}.{ident(name)}" for name in self.key)


RECORDS: Final = Layout("records", ("record_id",), {"record_id": "BIGINT", "source": "STRING", "record_key": "STRING"})
KEYS: Final = Layout("keys", ("key", "record_id"), {"key": "BIGINT", "record_id": "BIGINT", "block": "STRING"})
LINKS: Final = Layout(
    "links", ("left_id", "right_id", "rule"), {"left_id": "BIGINT", "right_id": "BIGINT", "rule": "STRING", "score": "DOUBLE"}
)
IDENTITIES: Final = Layout(
    "",
    ("kind", "source", "record_key"),
    {
        "kind": "STRING",
        "source": "STRING",
        "record_key": "STRING",
        "master_user_id": "BIGINT",
        "former_user_id": "BIGINT",
        "generation": "BIGINT",
        "assigned_at": "TIMESTAMP",
    },
)


@attrs.frozen(eq=False)
class Run:
    """One call of ``resolve_identities``.

    Attributes:
        lake: Where the tables are.
        session: Where it is computed.
        into: The table of identities.
        rules: Who is who.
        now: The run's only instant.
        dry_run: Whether nothing is written.
        rebuild: Whether every table is derived anew from all of the ones before.
    """

    lake: Lake
    session: Session
    into: Identifier
    rules: Rules
    now: datetime
    dry_run: bool
    rebuild: bool

    @property
    def instant(self) -> str:
        """The instant in SQL."""
        return f"CAST('{self.now.isoformat()}' AS TIMESTAMP)"

    def query(self, sql: str, **inputs: Node) -> Frame:
        """The rows of a query, computed now."""
        return self.session.stage(Query(sql, inputs))

    def few(self, sql: str, **inputs: Node) -> Frame:
        """The same where few rows, on the right, are looked for in a large table: engines can't know that of its files."""
        return self.session.stage(Query(sql, inputs, ordered=True))


@attrs.frozen(eq=False)
class Table:
    """A table as this run sees it: after what it wrote, or, in a dry run, as if it had.

    Attributes:
        layout: Which of the tables it is.
        state: The table. None: a dry run, and there is none.
        rows: Every row, deleted ones too.
        planned: What a dry run would have written.
    """

    layout: Layout
    state: TableState | None
    rows: Node
    planned: Frame | None = None

    @property
    def live(self) -> Node:
        """The rows that hold."""
        return Query(f"SELECT * FROM rows WHERE `{system.DELETED_AT}` IS NULL", {"rows": self.rows})

    def is_empty(self, run: Run) -> bool:
        """Whether there are no rows, not even deleted ones."""
        return self.planned is None and (self.state is None or self.state.head is None or not count(run.session, self.rows))


def open_table(run: Run, layout: Layout) -> Table:
    """The table as it stands, made or fitted where this run may write."""
    name = layout.name(run.into)
    if run.dry_run:
        state = run.lake.find(name)
    else:
        layer = f"identity_{layout.suffix}" if layout.suffix else "identity"
        state, _ = target.ensure(run.lake, name, layout.schema, layer=layer, key=layout.key, on_change="evolve", place=PLACE)
    return Table(layout, state, _rows(layout, state))


def _rows(layout: Layout, state: TableState | None) -> Node:
    known = set() if state is None else set(state.schema.names)
    types = {**layout.columns, system.DELETED_AT: "TIMESTAMP"}
    items = ", ".join(ident(name) if name in known else f"CAST(NULL AS {words}) AS {ident(name)}" for name, words in types.items())
    if state is None:
        return Query(f"SELECT {items} WHERE false", {})
    return Query(f"SELECT {items} FROM stored", {"stored": Scan(state, state.head)})


@attrs.frozen(eq=False)
class News:
    """What a table has not seen of one it is derived from.

    Attributes:
        keys: The keys of the rows that changed.
        everything: Whether that is all rows: the first run, other rules, a rebuild.
        spans: What the bookmark says about it.
        live: Those of the rows that hold, read from the new files alone. None: a dry run has some that no file has.
    """

    keys: Frame
    everything: bool
    spans: Mapping[str, Span]
    live: Node | None = None


def news(run: Run, reader: Table, upstream: Table) -> News:
    """What a table has not seen of one it is derived from. Other rules than those it was derived by make everything new."""
    listed = ", ".join(map(ident, upstream.layout.key))
    if upstream.state is None:
        return News(run.query(f"SELECT {listed} FROM rows", rows=upstream.planned or upstream.rows), everything=True, spans={})
    name = changes.upstream(upstream.state)
    stored = cas.stored(reader.state) if reader.state else Stored()
    start = stored.positions.get(name)
    derived = start is not None and start.values.get("rules") == run.rules.fingerprint and not run.rebuild
    found = changes.since(upstream.state, start if derived else None)
    keys: Node = Query(f"SELECT {listed} FROM changed", {"changed": found.node})
    live = Query(f"SELECT * FROM changed WHERE `{system.OPERATION}` <> '{system.DELETE}'", {"changed": found.node})
    if upstream.planned is not None:
        keys = Query(f"SELECT {listed} FROM changed UNION SELECT {listed} FROM planned", {"changed": keys, "planned": upstream.planned})
    spans = {}
    if found.end is not None:
        spans[name] = Span(start, Position.of(found.end.at, {**found.end.values, "rules": run.rules.fingerprint}))
    return News(run.session.stage(keys), everything=not derived, spans=spans, live=None if upstream.planned is not None else live)


def put(
    run: Run, table: Table, differ: Callable[[Table], Node], bookmark: Bookmark, *, figures: Callable[[Frame], Commit] | None = None
) -> tuple[Table, Commit]:
    """Write what a table lacks.

    Args:
        run: The run.
        table: The table as it was opened.
        differ: Gives the rows to write, with ``_change``, for the table as it stands.
        bookmark: How far the tables it is derived from were read.
        figures: The commit's figures, from the rows to write.

    Returns:
        The table afterwards, and what the write did.
    """
    session, layout = run.session, table.layout

    def describe(rows: Frame) -> Commit:
        return figures(rows) if figures else Commit(table=".".join(layout.name(run.into)), read=count(session, rows))

    if run.dry_run:
        planned = session.stage(differ(table))
        if table.planned is not None:
            earlier = f"SELECT p.* FROM earlier p LEFT ANTI JOIN planned n ON {layout.same('p', 'n')}"
            planned = run.query(f"SELECT * FROM planned UNION ALL {earlier}", planned=planned, earlier=table.planned)
        overlaid = Query(
            f"SELECT {layout.listed()} FROM rows r LEFT ANTI JOIN planned p ON {layout.same('r', 'p')} UNION ALL SELECT {layout.listed()} FROM planned",
            {"rows": table.rows, "planned": planned},
        )
        return attrs.evolve(table, rows=overlaid, planned=planned), describe(planned)
    assert table.state is not None  # noqa: S101 -- opened for writing
    import pyarrow as pa

    def plan(state: TableState, write_id: int) -> cas.Planned:
        found = differ(attrs.evolve(table, state=state, rows=_rows(layout, state)))
        foreign = [field for field in state.schema if field.name not in {*layout.columns, system.WRITE_ID, system.DELETED_AT}]
        empty = "".join(f", CAST(NULL AS {sql_type(field.type)}) AS {ident(field.name)}" for field in foreign)
        held = found.schema if isinstance(found, Query) and not foreign else None
        if held is not None:
            held = held.append(pa.field(system.WRITE_ID, pa.int64()))
        stamped = f"SELECT *{empty}, CAST({write_id} AS BIGINT) AS `{system.WRITE_ID}` FROM found"
        rows = session.stage(Query(stamped, {"found": found}, schema=held))
        return cas.Planned(describe(rows), (lambda: session.merge(state, rows, on=layout.key)) if count(session, rows) else None)

    commit = cas.write(run.lake.engine, table.state.name, table.state, bookmark, plan)
    state = run.lake.engine.load(table.state.name)
    return Table(layout, state, _rows(layout, state)), commit


def first(layout: Layout, wanted: Node, *, held: bool = False) -> Query:
    """The rows to write into a table that has none; ``held``: the wanted rows are staged already, so that they need no copy."""
    import pyarrow as pa

    listed = ", ".join(map(ident, layout.columns))
    rows = f"SELECT {listed}, CAST(NULL AS TIMESTAMP) AS `{system.DELETED_AT}`, 'insert' AS _change FROM wanted"
    fields = [field for field in layout.schema if field.name != system.WRITE_ID]
    return Query(rows, {"wanted": wanted}, schema=pa.schema([*fields, pa.field("_change", pa.string())]) if held else None)


def difference(layout: Layout, wanted: Node, stored: Node, instant: str) -> Node:
    """The rows to write so that the stored rows become the wanted ones: new, changed or revived, and marked where they no longer hold.

    Args:
        layout: The table's.
        wanted: The live rows that should stand there.
        stored: The rows, deleted ones too, that the wanted ones replace.
        instant: When, in SQL.
    """
    compared = [name for name in layout.columns if name not in layout.key]
    same = " AND ".join([f"w.{ident(name)} <=> s.{ident(name)}" for name in compared] or ["true"])
    first = ident(layout.key[0])
    columns = ", ".join(
        f"CASE WHEN w.{first} IS NULL THEN s.{ident(name)} ELSE w.{ident(name)} END AS {ident(name)}" for name in layout.columns
    )
    on = " AND ".join(f"w.{ident(name)} = s.{ident(name)}" for name in layout.key)
    return Query(
        f"""SELECT {columns}, CASE WHEN w.{first} IS NULL THEN {instant} END AS `{system.DELETED_AT}`,
            CASE WHEN s.{first} IS NULL THEN 'insert' ELSE 'update' END AS _change
        FROM wanted w FULL OUTER JOIN stored s ON {on}
        WHERE s.{first} IS NULL OR (w.{first} IS NULL AND s.`{system.DELETED_AT}` IS NULL)
            OR (w.{first} IS NOT NULL AND (s.`{system.DELETED_AT}` IS NOT NULL OR NOT ({same})))""",
        {"wanted": wanted, "stored": stored},
    )


def derived_bookmark(table: Table, *seen: News) -> Bookmark:
    """How far a derived table has seen the tables before it."""
    spans = {name: span for part in seen for name, span in part.spans.items()}
    return Bookmark(spans, epoch=cas.stored(table.state).epoch if table.state else 0)


def noted_keys(state: TableState) -> dict[str, list[str]]:
    """Source to the columns that name its records, as a table of identities notes them."""
    noted = state.properties.get(PROPERTY)
    return {} if noted is None else json.loads(noted)["record_key"]
