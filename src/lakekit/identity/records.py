"""What each record says in the columns that the rules read: ``<into>__records``, one row a record, kept from batch to batch."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import pyarrow as pa

from lakekit import columns as system
from lakekit.batch import Batch, Rejects
from lakekit.bookmark import Bookmark, Span, Stored
from lakekit.commit import Commit
from lakekit.engines.functions import family
from lakekit.engines.plan import Frame, Node, Query
from lakekit.engines.protocol import count
from lakekit.engines.sql import literal
from lakekit.engines.types import ident, sql_type
from lakekit.errors import CommitConflictError, ContractError
from lakekit.identity.tables import ERASED, PLACE, RECORDS, Layout, Run, Table, first, open_table, put
from lakekit.incremental import cas, forgotten, rejects, target
from lakekit.incremental.order import nth, order_columns
from lakekit.incremental.record_key import record_key_sql
from lakekit.incremental.tallies import count_checks
from lakekit.names import text

RECORD_ID = "lk_hash63(lk_text(source, 'STRING') || lk_text(record_key, 'STRING'))"


@attrs.frozen(eq=False)
class Source:
    """One source's batch, and the columns that name a record in it."""

    name: str
    batch: Batch
    key: tuple[str, ...]

    def without_rows(self) -> Source:
        """The same of which nothing is read."""
        nothing = Query("SELECT * FROM batch WHERE false", {"batch": self.batch.node})
        return attrs.evolve(self, batch=attrs.evolve(self.batch, node=nothing, rejects=(), tallies=()))


@attrs.frozen(eq=False)
class Incoming:
    """The batches as records: one row each, the last one where a record comes several times.

    Attributes:
        rows: ``record_id``, ``source``, ``record_key``, the columns the rules read as text, ``_gone``, and ``_of``: out of how many rows.
        bad: The rejects.
        figures: Rows read, rejected and outrun by later ones.
    """

    rows: Frame
    bad: tuple[Frame, ...]
    figures: Commit


def layout(run: Run) -> Layout:
    """The table's columns: what the rules read, and what earlier rules read, which is kept up."""
    state = run.lake.find(RECORDS.name(run.into))
    known = [] if state is None else [name for name in state.schema.names if not system.is_system(name) and name not in RECORDS.columns]
    return RECORDS.with_columns([*known, *(name for name in run.rules.columns if name not in known)])


def gather(run: Run, sources: Sequence[Source]) -> Incoming:
    """Read the batches, once."""
    columns = [name for name in layout(run).columns if name not in RECORDS.columns]
    parts: dict[str, Node] = {}
    bad: list[Frame] = []
    for number, source in enumerate(sources):
        for node in source.batch.shared:
            run.session.stage(node)
        rows = run.session.stage(source.batch.node) if source.batch.shared else source.batch.node
        missing = " OR ".join(f"{ident(name)} IS NULL" for name in source.key)
        nulls = Query(f"SELECT *, 'record_key' AS _rule, 'null_record_key' AS _reason FROM batch WHERE {missing}", {"batch": rows})
        failed = [
            *source.batch.rejects,
            *([Rejects(nulls, nulls, source.batch.origin, source.batch.since)] if count(run.session, nulls) else []),
        ]
        bad += [rejects.gather(run.session, run.into, item) for item in failed]
        keys = ", ".join(map(ident, source.key))
        several = Query(f"SELECT {keys} FROM batch WHERE NOT ({missing}) GROUP BY {keys} HAVING count(*) > 1", {"batch": rows})
        parts[f"part_{number}"] = Query(_records_sql(source, columns, missing, once=not count(run.session, several)), {"batch": rows})
    union = " UNION ALL ".join(f"SELECT * FROM {name}" for name in parts)
    known = pa.schema([("source", pa.string()), ("record_key", pa.string())])
    living = forgotten.left_out(run.lake, run.lake.find(run.into), Query(union, parts), known, place=PLACE)
    staged = run.session.stage(Query(f"SELECT {RECORD_ID} AS record_id, * FROM living", {"living": living}))
    bad = [item for item in bad if count(run.session, item)]
    rejected = rejects.total(run.session, bad)
    found = run.session.one(Query("SELECT count(*) AS kept, coalesce(sum(_of), 0) AS read FROM records", {"records": staged}))
    figures = Commit(
        table=text(run.into),
        read=int(found["read"]) + rejected,
        rejected=rejected,
        duplicates=int(found["read"]) - found["kept"],
        checks=count_checks(run.session, [tally for source in sources for tally in source.batch.tallies], into=run.into),
    )
    return Incoming(staged, tuple(bad), figures)


def said_sql(value: str, kind: str, *, place: str) -> str:
    """SQL: what a record says in a column, as text; NULL where it is empty.

    Args:
        value: The column, quoted.
        kind: Its type. An array of text is its distinct items in order, with bars between.
        place: Whose it is, for the error.

    Raises:
        ConfigError: A type that has no such text.
    """
    if kind.upper() == "ARRAY<STRING>":
        return f"nullif(array_join(array_sort(array_distinct({value})), ' | '), '')"
    family(kind, place=place)
    return f"nullif(lk_plain({value}, '{kind}'), '')"


def _records_sql(source: Source, columns: Sequence[str], missing: str, *, once: bool) -> str:
    """SQL: a batch's rows as records, the last row of each; ``once``: each has one only, and they need not be sorted."""
    schema, names = source.batch.schema, source.batch.columns
    key = record_key_sql(schema, source.key, place=f"{PLACE}(record_key=): source {source.name!r}", prefix="batch.")
    gone = f"coalesce({target.delete_condition(source.batch, None, place=PLACE)}, false)"
    items = [f"{literal(source.name)} AS source", f"{key} AS record_key"]
    for name in columns:
        if name not in names:
            items.append(f"CAST(NULL AS STRING) AS {ident(name)}")
            continue
        kind = sql_type(schema.field(name).type)
        said = said_sql(f"batch.{ident(name)}", kind, place=f"{PLACE}(rules=): column {name!r} of source {source.name!r}")
        # A deleted record says nothing any more, and keeps nothing.
        items.append(f"CASE WHEN NOT {gone} THEN {said} END AS {ident(name)}")
    items.append(f"{gone} AS _gone")
    if once:
        return f"SELECT {', '.join(items)}, 1 AS _of FROM batch WHERE NOT ({missing})"
    order = order_columns(names, None, place=PLACE)
    compared = pa.schema([field for field in schema if field.name in columns or field.name in source.key or system.is_system(field.name)])
    keys = ", ".join(ident(name) for name in source.key)
    items += [f"{nth(compared, source.key, order)} AS _nth", f"count(*) OVER (PARTITION BY {keys}) AS _of"]
    return f"SELECT * EXCEPT (_nth) FROM (SELECT {', '.join(items)} FROM batch WHERE NOT ({missing})) WHERE _nth = 1"


def update(run: Run, incoming: Incoming, bookmark: Bookmark) -> Table:
    """Write what the records say now. The last batch is right: bookmarks keep batches in order.

    Raises:
        CommitConflictError: Another run has read further already; these rows are older.
        ContractError: Two records share a hash.
    """
    table = open_table(run, layout(run))
    values = [name for name in table.layout.columns if name not in RECORDS.columns]
    same = " AND ".join([f"i.{ident(name)} <=> t.{ident(name)}" for name in values] or ["true"])

    def differ(now: Table) -> Node:
        if now.is_empty(run):
            _refuse_collisions(run, incoming, None)
            return first(now.layout, Query("SELECT * FROM incoming WHERE NOT _gone", {"incoming": incoming.rows}), held=True)
        known = run.few(
            "SELECT t.record_id, t.source, t.record_key FROM stored t LEFT SEMI JOIN incoming i ON i.record_id = t.record_id",
            stored=now.rows,
            incoming=incoming.rows,
        )
        _refuse_collisions(run, incoming, known)
        # What the records say is wide, and read only where some of them are known.
        stored = now.rows if count(run.session, known) else Query("SELECT * FROM stored WHERE false", {"stored": now.rows})
        own = ", ".join(f"i.{ident(name)}" for name in now.layout.columns)
        return Query(
            f"""SELECT {own}, CASE WHEN i._gone THEN {run.instant} END AS `{system.DELETED_AT}`,
                CASE WHEN t.record_id IS NULL THEN 'insert' ELSE 'update' END AS _change
            FROM incoming i LEFT JOIN stored t ON t.record_id = i.record_id
            WHERE CASE WHEN t.record_id IS NULL THEN NOT i._gone
                WHEN i._gone THEN t.`{system.DELETED_AT}` IS NULL
                ELSE t.`{system.DELETED_AT}` IS NOT NULL OR NOT ({same}) END""",
            {"incoming": incoming.rows, "stored": stored},
        )

    return put(run, table, differ, _bookmark(table, bookmark))[0]


def _bookmark(table: Table, bookmark: Bookmark) -> Bookmark:
    """The batches' bookmark as the records keep it: they may have been read further than the identities, by a run that crashed."""
    stored = cas.stored(table.state) if table.state else Stored()
    spans: dict[str, Span] = {}
    for upstream, span in bookmark.spans.items():
        # After a rewind positions may go back: each epoch is read anew.
        name = upstream if not bookmark.epoch else f"{upstream}@{bookmark.epoch}"
        start = stored.positions.get(name)
        if start is not None and start.at > span.end.at:
            raise CommitConflictError(
                text(RECORDS.name(table.state.name)) if table.state else PLACE,
                "another run has read further than this batch",
                hint="run it again: it reads on from there.",
            )
        spans[name] = Span(start, span.end)
    return Bookmark(spans, epoch=stored.epoch, run_id=bookmark.run_id)


def _refuse_collisions(run: Run, incoming: Incoming, known: Frame | None) -> None:
    clash, inputs = "SELECT record_id FROM incoming GROUP BY record_id HAVING count(*) > 1", {"incoming": incoming.rows}
    if known is not None:
        inputs["known"] = known
        clash += (
            " UNION ALL SELECT i.record_id FROM incoming i JOIN known t ON t.record_id = i.record_id "
            f"WHERE t.source <> i.source OR (t.record_key <> i.record_key AND t.record_key NOT LIKE '{ERASED}%')"
        )
    if count(run.session, Query(clash, inputs)):
        raise ContractError(
            PLACE, "two records share a 63-bit hash, so they can't be told apart", hint="give one of the sources another name."
        )
