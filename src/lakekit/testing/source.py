"""A source made of rows, for tests: read like a table of PostgreSQL's, without one."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

import attrs

from lakekit.columns import OPERATION, SOURCE, SOURCE_TIMESTAMP, refuse_reserved
from lakekit.engines.types import arrow_type, storable
from lakekit.errors import ConfigError, ContractError
from lakekit.names import Columns
from lakekit.names import columns as as_columns
from lakekit.sources.protocol import Details, Increment, KeyRead, Overlap, Target

if TYPE_CHECKING:
    import pyarrow as pa

Cursor = int | str | date | datetime
_GIVEN = {OPERATION, SOURCE_TIMESTAMP}
"""What a source may say about its rows."""
_TIMES = {"datetime": datetime.fromisoformat, "date": date.fromisoformat}


def _clock() -> datetime:
    return datetime.now(UTC)


def _to_key(value: Columns | None) -> tuple[str, ...]:
    return () if value is None else as_columns(value, place="testing.Source(primary_key=)")


@attrs.define(eq=False)
class Source:
    """Rows as a source: what stands in ``rows`` when it is read is what the source holds then. Change them between two runs.

    With a ``cursor``, rows from the largest value seen on are read, those of that very value again; without one, all rows are, and those
    that stand in the target already are no news. Either way `ingest_deletes` finds the keys that are gone.

    Attributes:
        rows: The rows, as dictionaries. What is missing in one is NULL. ``_operation`` (``upsert`` or ``delete``) and ``_source_timestamp`` may be
            among their columns, as in a change feed.
        cursor: A column that grows when a row changes: numbers, texts, dates or instants. A row without one is an error.
        primary_key: The columns that identify a row.
        schema: The types of columns that the rows alone don't tell.
        name: Tells several such sources of one table apart.
        clock: The source's clock: when its keys are read.

    >>> people = Source([{"id": 1, "at": 1}], cursor="at", primary_key="id")
    >>> people.rows.append({"id": 2, "at": 2})
    >>> people.upstream, len(people.rows)
    ('rows:rows', 2)
    """

    rows: list[dict[str, Any]] = attrs.field(converter=list)
    cursor: str | None = attrs.field(default=None, kw_only=True)
    given_key: tuple[str, ...] = attrs.field(default=None, kw_only=True, alias="primary_key", converter=_to_key)
    schema: pa.Schema | None = attrs.field(default=None, kw_only=True)
    name: str = attrs.field(default="rows", kw_only=True)
    clock: Callable[[], datetime] = attrs.field(default=_clock, kw_only=True, repr=False)

    @property
    def upstream(self) -> str:
        """``rows:`` and the name."""
        return f"rows:{self.name}"

    def primary_key(self) -> tuple[str, ...]:
        """The key given. Empty where there is none."""
        return self.given_key

    @contextmanager
    def open(self, position: Details | None, *, target: Target) -> Generator[Increment]:
        """Read the rows from a position on.

        Raises:
            ContractError: A row lacks the cursor.
        """
        low = _value(position) if position else None
        rows = self.rows
        if self.cursor is not None:
            if any(row.get(self.cursor) is None for row in rows):
                raise ContractError(self.upstream, f"the cursor {self.cursor!r} is NULL in some row", hint="give it a value.")
            rows = [row for row in rows if low is None or row[self.cursor] >= low]
        table = self._table(rows)
        seen = max((row[self.cursor] for row in rows), default=low) if self.cursor is not None else None
        details: Details = {"rows": len(rows)} if seen is None else _noted(seen)
        overlap = None if position is None and not target.schema else Overlap(self.cursor, low)
        yield Increment(table.schema, iter(table.to_batches()), lambda: details, overlap=overlap)

    @contextmanager
    def keys(self, *, scope: str | None) -> Generator[KeyRead]:
        """Read the keys there are now.

        Raises:
            ConfigError: There is no key, or a scope is given: rows understand no SQL.
        """
        if not self.given_key:
            raise ConfigError(f"{self.upstream}.keys()", "the rows have no key", hint="give primary_key=.")
        if scope is not None:
            raise ConfigError(f"{self.upstream}.keys(scope=)", "rows understand no conditions", got=repr(scope), hint="leave scope= out.")
        table = self._table(self.rows).select(list(self.given_key))
        yield KeyRead(table.schema, iter(table.to_batches()), self.clock())

    def _table(self, rows: Sequence[Mapping[str, Any]]) -> pa.Table:
        """The rows in Arrow, with where they are from and, where the cursor is an instant, when they changed."""
        import pyarrow as pa

        names = dict.fromkeys(name for row in self.rows for name in row)
        refuse_reserved(names.keys() - _GIVEN, place=self.upstream)
        # By all rows, since an increment of few would know less; a column that is NULL everywhere waits until its type is known.
        known = {name: pa.array([row.get(name) for row in self.rows]).type for name in names}
        known |= {} if self.schema is None else {field.name: field.type for field in self.schema}
        types = {name: storable(kind) for name, kind in known.items() if not pa.types.is_null(kind)}
        columns: dict[str, Any] = {name: pa.array([row.get(name) for row in rows], kind) for name, kind in types.items()}
        instant = arrow_type("TIMESTAMP")
        instants: Any = pa.array([None] * len(rows), instant)
        if self.cursor is not None and pa.types.is_timestamp(types.get(self.cursor, pa.null())):
            instants = columns[self.cursor].cast(instant)
        return pa.table(
            {**columns, SOURCE: pa.array([self.name] * len(rows), pa.string()), SOURCE_TIMESTAMP: columns.get(SOURCE_TIMESTAMP, instants)}
        )


def _noted(value: Cursor) -> Details:
    kind = type(value).__name__
    return {"kind": kind, "cursor": value.isoformat() if isinstance(value, date) else value}


def _value(details: Details) -> Any:
    value, kind = details.get("cursor"), details.get("kind")
    return _TIMES[str(kind)](str(value)) if kind in _TIMES else value
