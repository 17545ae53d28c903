"""Batch: rows plus a bookmark. Functions take one and give one; the bookmark travels along to the write."""

from __future__ import annotations

import functools
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, NoReturn, ParamSpec, TypeVar, cast

import attrs

from lakekit import columns as system
from lakekit import progress
from lakekit.bookmark import Bookmark, canonical
from lakekit.display import Shown, View
from lakekit.errors import ConfigError, QueryError, SchemaError

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa

    from lakekit.engines.plan import Function, Node, TableState
    from lakekit.engines.protocol import Session
    from lakekit.lake import Lake
    from lakekit.lineage import Lineage
    from lakekit.names import Identifier

P = ParamSpec("P")
R = TypeVar("R")


@attrs.frozen(eq=False)
class Rejects:
    """Rows that failed a rule.

    Attributes:
        node: The rows: their own columns, ``_rule`` and ``_reason``.
        shared: What good and bad rows are both made of; evaluated once.
        origin: Where they came from.
        since: Where the batch they came in began, for `replay`: upstream to position, as JSON.
    """

    node: Node
    shared: Node
    origin: str
    since: str = "{}"


@attrs.frozen
class Held:
    """A check that rows were held to: its name, and what it leads to that some fail."""

    name: str
    severity: Literal["reject", "warn", "fail"]
    at_most: float | None


@attrs.frozen(eq=False)
class Tally:
    """How many rows met the checks of one `clean`: counted when the batch is written.

    Attributes:
        node: One row: ``n``, the rows examined, and ``c0``, ``c1``, … those that failed each check.
        shared: What it and the rows are both made of; evaluated once.
        checks: The checks, in that order.
    """

    node: Node
    shared: Node
    checks: tuple[Held, ...]


@attrs.frozen(eq=False)
class Side:
    """A table that rows are looked up in. When it changes, rows already written are looked up again: see ``incremental.sides``.

    Attributes:
        state: The table as it stood when the batch was looked up.
        match: SQL that says whether a row ``r`` of the batch, or of the target, is looked up by a row ``d`` of this table.
        reads: The batch's columns that the look-up reads.
        takes: The batch's columns that it fills.
        step: Rows and their columns to the same rows, looked up.
        infer: Makes members for those rows that have none, before they are written.
    """

    state: TableState
    match: str
    reads: tuple[str, ...]
    takes: tuple[str, ...]
    step: Callable[[Node, Sequence[str]], Node]
    infer: Callable[[Session, Node], None] | None = None


@attrs.frozen(eq=False)
class Groups:
    """Which whole groups a batch holds.

    Attributes:
        by: The columns that make a group.
        touched: The groups that were read, those without rows too. None: all there are.
    """

    by: tuple[str, ...]
    touched: Node | None


@attrs.frozen(eq=False, repr=False)
class Batch(Shown):
    """Rows, not yet computed, and how far every upstream was read to make them. It has no length and no truth value.

    Made by `read`, `read_new` and `from_frame`; the functions of lakekit give new ones. Nothing is computed before a write, or before
    `count`, `show` or a ``to_…`` is called.

    Attributes:
        lake: The lake it was read from.
        node: What is to be computed.
        bookmark: How far each upstream was read. Empty for a plain `read`.
        into: The table that ``read_new(into=)`` named.
        key: The upstream's own key, where it is known.
        rejects: Rows that failed a rule on the way here.
        tallies: The checks that rows were held to on the way here.
        audits: What looks at the table before the write is published.
        sides: The tables that its rows were looked up in.
        groups: The whole groups that it holds: from `read_new_groups`.
        not_carried: Columns that a `select` left behind.
        lineage: How its columns come from those of each upstream, where lakekit's own functions made them.
        untyped: Columns of a user's frame without any value: a write gives them the table's type, or leaves them out where it has none.
    """

    lake: Lake
    node: Node
    bookmark: Bookmark = attrs.field(factory=Bookmark)
    into: Identifier | None = None
    key: tuple[str, ...] = ()
    rejects: tuple[Rejects, ...] = ()
    tallies: tuple[Tally, ...] = ()
    audits: tuple[Callable[[TableState, int, str], Mapping[str, int]], ...] = ()
    sides: tuple[Side, ...] = ()
    groups: Groups | None = None
    not_carried: tuple[str, ...] = ()
    untyped: tuple[str, ...] = ()
    lineage: Mapping[str, Lineage] = attrs.field(factory=dict)

    @functools.cached_property
    def schema(self) -> pa.Schema:
        """The columns and their Arrow types, system columns included. No row is read."""
        from lakekit.engines.plan import known_schema

        if (known := known_schema(self.node)) is not None:
            return known
        with self.lake.engine.session() as session:
            return session.schema(self.node)

    @property
    def columns(self) -> list[str]:
        """The names of all columns, system columns included."""
        return list(self.schema.names)

    @property
    def business_columns(self) -> list[str]:
        """The names of the columns that are not lakekit's own."""
        return [name for name in self.columns if not system.is_system(name)]

    @property
    def shared(self) -> tuple[Node, ...]:
        """What several of its parts are made of: to be staged before these are evaluated."""
        return (*(item.shared for item in self.rejects), *(item.shared for item in self.tallies))

    @property
    def origin(self) -> str:
        """Where the rows come from, as rejects tell it."""
        return ", ".join(sorted(self.bookmark.spans)) or (f"run:{self.bookmark.run_id}" if self.bookmark.run_id else "read")

    @property
    def since(self) -> str:
        """Where the batch begins: upstream to position, as JSON."""
        return canonical({name: None if span.start is None else span.start.to_dict() for name, span in self.bookmark.spans.items()})

    def then(
        self, sql: str, *, functions: Mapping[str, Function] | None = None, side: Mapping[str, Node] | None = None, **changes: Any
    ) -> Batch:
        """The batch after lakekit's own SQL over the relation ``batch``."""
        from lakekit.engines.plan import Query

        return attrs.evolve(self, node=Query(sql, {"batch": self.node, **(side or {})}, dict(functions or {})), **changes)

    def sql(self, query: str, **side: Batch) -> Batch:
        """The batch after a query of your own over the relation ``batch``, and over plain reads given by name.

        System columns that the query leaves out are added again.

        Args:
            query: Databricks SQL (Spark, ANSI), rendered for the engine.
            side: More relations, made with `read`.

        Raises:
            QueryError: The query limits, samples or groups a bookmarked batch, joins two increments, or can't be used on every engine.

        >>> import lakekit as lk, tempfile
        >>> batch = lk.from_frame(lk.connect(tempfile.mkdtemp()), [{"id": 1, "price": 2}], run_id="a")
        >>> batch.sql("SELECT *, price * 2 AS twice FROM batch").to_arrow().column("twice").to_pylist()
        [4]
        """
        from lakekit.engines import query as queries

        self._refuse_sides("Batch.sql()")
        increments = [name for name, other in side.items() if other.bookmark]
        if increments:
            raise QueryError(
                "Batch.sql()",
                "two increments can't be joined: a row of one may wait for a row of the other in a later run",
                got=", ".join(increments),
                hint="give the side as lk.read(lake, table).",
            )
        relations = {"batch": self.columns, **{name: other.columns for name, other in side.items()}}
        text = queries.prepare(query, relations, tracked=bool(self.bookmark) and self.groups is None)
        return self.then(text, side={name: other.node for name, other in side.items()}, lineage={})

    def pipe(self, function: Callable[..., R], *args: Any, **kwargs: Any) -> R:
        """Call a function of your own with the batch as its first argument."""
        return function(self, *args, **kwargs)

    def apply(
        self,
        function: Callable[[Any], Any],
        *,
        frame: Literal["arrow", "pandas", "polars"] = "arrow",
        returns: Mapping[str, str] | None = None,
    ) -> Batch:
        """The batch after a Python function over the whole frame; it is computed now, and held in memory.

        Args:
            function: Takes a frame and gives one. System columns have to be handed through.
            frame: What kind of frame it takes.
            returns: Column to SQL type (``"bigint"``) of what it must give.

        Raises:
            SchemaError: The result lacks a system column, or has another type than ``returns`` says.
        """
        self._refuse_sides("Batch.apply()")
        make = {"arrow": self.to_arrow, "pandas": self.to_pandas, "polars": self.to_polars}
        if frame not in make:
            raise ConfigError("Batch.apply(frame=)", "expected 'arrow', 'pandas' or 'polars'", got=repr(frame))
        result = self.lake.engine.frame(function(make[frame]()))
        lost = [name for name in self.columns if system.is_system(name) and name not in result.schema.names]
        if lost:
            raise SchemaError(
                "Batch.apply()",
                "the result lacks system columns",
                got=", ".join(lost),
                hint="hand through every column that begins with '_'.",
            )
        if returns is not None:
            from lakekit.engines.types import arrow_type, storable

            for name, words in returns.items():
                given = result.schema.field(name).type if name in result.schema.names else None
                if given is None or storable(given) != arrow_type(words):
                    raise SchemaError(f"Batch.apply(returns=): column {name!r}", f"expected {words}", got=str(given or "no such column"))
        return attrs.evolve(self, node=result, lineage={})

    def _refuse_sides(self, place: str) -> None:
        if self.sides:
            raise QueryError(
                place,
                "a batch that was looked up can only be written: what is derived of it would go stale when a side changes",
                got=", ".join(side.state.label for side in self.sides),
                hint="call lookup() and with_identity() last.",
            )

    @contextmanager
    def _computing(self, words: str) -> Generator[Session]:
        """A session to compute the rows in, which shows that they are on their way."""
        with progress.waiting(words, show=self.lake.engine.progress), self.lake.engine.session() as session:
            yield session

    def count(self) -> int:
        """How many rows there are."""
        from lakekit.engines.protocol import count

        with self._computing("count") as session:
            return count(session, self.node)

    def to_arrow(self) -> pa.Table:
        """All rows as an Arrow table."""
        from lakekit.engines.protocol import table

        with self._computing("rows of the batch") as session:
            return table(session, self.node)

    def to_pandas(self) -> pd.DataFrame:
        """All rows as a pandas frame."""
        return self.to_arrow().to_pandas()

    def to_polars(self) -> pl.DataFrame:
        """All rows as a Polars frame."""
        import polars as pl

        return cast("pl.DataFrame", pl.from_arrow(self.to_arrow()))

    def to_native(self) -> Any:
        """The rows in the engine's own frame: an Arrow table on the embedded engine, a DataFrame on Spark (they stay with the executors)."""
        with self._computing("rows of the batch") as session:
            return session.native(self.node)

    def show(self, rows: int = 20) -> None:
        """Print the first rows."""
        from lakekit.engines.plan import Query

        with self._computing("first rows of the batch") as session:
            first = [
                row
                for part in session.rows(Query(f"SELECT * FROM batch LIMIT {int(rows)}", {"batch": self.node}))
                for row in part.to_pylist()
            ]
        print(_table(self.columns, first))  # noqa: T201 -- that is what it is for

    def __repr__(self) -> str:
        upstreams = ", ".join(sorted(self.bookmark.spans)) or (
            f"run {self.bookmark.run_id!r}" if self.bookmark.run_id else "nothing tracked"
        )
        into = f" into {'.'.join(self.into)}" if self.into else ""
        return f"<Batch of {upstreams}{into}>"

    def __str__(self) -> str:
        return repr(self)

    def _view(self) -> View:
        """The columns, and where the rows come from. No row is read for it."""
        from lakekit.engines.types import sql_type

        return View(repr(self), ("column", "type"), tuple((field.name, sql_type(field.type)) for field in self.schema))

    def __bool__(self) -> NoReturn:
        raise QueryError(
            "Batch",
            "has no truth value, since its rows are not computed yet",
            hint="ask batch.count() > 0, or write it: an empty batch is a no-op.",
        )

    def __getstate__(self) -> NoReturn:
        raise ConfigError(
            "Batch",
            "never crosses a task: it holds what to compute, not rows",
            hint="write it to a table, and read_new() it in the next task.",
        )


def _table(names: list[str], rows: list[dict[str, Any]]) -> str:
    cells = [[("NULL" if row[name] is None else str(row[name]))[:40] for name in names] for row in rows]
    widths = [max([len(name), *(len(line[index]) for line in cells)]) for index, name in enumerate(names)]
    lines = [" | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in [names, *cells]]
    return "\n".join([lines[0], "-+-".join("-" * width for width in widths), *lines[1:]])
