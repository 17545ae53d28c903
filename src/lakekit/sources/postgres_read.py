"""One read of a table of PostgreSQL: the columns chosen, the statement, and the batches with their system columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, cast

from lakekit.columns import RESCUED_DATA, SOURCE, SOURCE_TIMESTAMP
from lakekit.errors import ConfigError, ContractError, SchemaError
from lakekit.sources import postgres_decode, postgres_names, postgres_types, postgres_uuid, postgres_watermark
from lakekit.sources.postgres_names import quote

if TYPE_CHECKING:
    import pyarrow as pa

    from lakekit.sources.postgres import PostgresTable
    from lakekit.sources.postgres_chunks import Chunk
    from lakekit.sources.postgres_session import Relation, Session
    from lakekit.sources.postgres_types import CatalogColumn, Column
    from lakekit.sources.postgres_watermark import CursorType, Value

KEYS_AT_ONCE: Final = 1_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def choose(table: PostgresTable, found: Sequence[CatalogColumn]) -> list[Column]:
    """The columns to read, in the order asked for.

    Raises:
        SchemaError: One of them is not in the table.
    """
    by_name = {column.name: column for column in found}
    wanted = tuple(by_name) if table.columns is None else table.columns
    cursor = (table.cursor,) if table.cursor else ()
    declared = table.declared_types()
    for argument, asked in (("columns", wanted), ("cursor", cursor), ("primary_key", table.given_key), ("types", declared)):
        if absent := [name for name in asked if name not in by_name]:
            raise SchemaError(
                f"{table.place}, {argument}=",
                "names a column that the table does not have",
                got=", ".join(repr(name) for name in absent),
                hint=f"it has {', '.join(by_name) or 'none'}.",
            )
    postgres_names.refuse_alike(wanted, place=table.place)
    told_by = {table.cursor, *table.given_key}
    return [postgres_types.plan(by_name[name], declared.get(name), strict=name in told_by, place=table.place) for name in wanted]


def cursor_type(table: PostgresTable, columns: Sequence[Column]) -> CursorType | None:
    """What the cursor is; None without one.

    Raises:
        ConfigError: It can't be a cursor, or needs a time zone.
    """
    if table.cursor is None:
        return None
    column = next(column for column in columns if column.name == table.cursor)
    kind = postgres_watermark.CURSOR_TYPES.get(column.kind)
    place = f"{table.place}, cursor={table.cursor!r}"
    if kind is None:
        raise ConfigError(
            place,
            "expected a timestamptz, timestamp, date, integer or uuid (version 7) column",
            got=column.kind,
            hint="without cursor= the whole table is read each time.",
        )
    if kind == "timestamp" and table.time_zone is None:
        raise ConfigError(place, "is a timestamp without a zone", hint="say what it means: time_zone='UTC', or 'Europe/Berlin'.")
    if kind in {"timestamptz", "integer", "uuid7"} and table.time_zone is not None:
        raise ConfigError(f"{place}, time_zone=", f"says nothing about a {kind}", hint="leave it out.")
    if kind == "integer" and table.lookback is not None:
        raise ConfigError(f"{place}, lookback=", "is a time, and the cursor is an integer", hint="leave it out.")
    _require_comparable(table, kind)
    return kind


def _require_comparable(table: PostgresTable, kind: CursorType) -> None:
    """Raise where ``until=`` is no value of the cursor's type."""
    until = table.until
    if until is None:
        return
    wanted = {
        "integer": "an integer",
        "date": "a date",
        "timestamp": "a datetime without a zone",
        "timestamptz": "a datetime with a zone",
        "uuid7": "a datetime with a zone",
    }[kind]
    found = "an integer" if isinstance(until, int) else "a date"
    if isinstance(until, datetime):
        found = "a datetime without a zone" if until.tzinfo is None else "a datetime with a zone"
    if found != wanted:
        raise ConfigError(f"{table.place}, until=", f"expected {wanted}, as the cursor {table.cursor!r} is a {kind}", got=found)


def _from(table: PostgresTable, conditions: Sequence[str | None]) -> str:
    # A line of its own for each condition: one that ends in a comment does not swallow what follows.
    given = [f"(\n{condition}\n)" for condition in conditions if condition]
    return f" FROM {postgres_names.quoted(table.name)}" + (f" WHERE {' AND '.join(given)}" if given else "")


def query(columns: Sequence[Column], rows: str) -> str:
    """The statement that reads these columns of some rows."""
    return f"SELECT {postgres_types.select_list(columns)}{rows}"


def rows_from(table: PostgresTable, *, kind: CursorType | None, low: Value | None, chunk: Chunk) -> str:
    """FROM and WHERE of the rows from ``low`` on, in a range of keys."""
    bound = before = None
    if kind is not None and table.cursor is not None:
        cursor = quote(table.cursor)
        bound = None if low is None else f"{cursor} >= {postgres_watermark.literal(low, kind)}"
        if bound is not None and table.on_null_cursor == "include":
            bound = f"{bound} OR {cursor} IS NULL"
        elif bound is None and table.on_null_cursor == "exclude":
            bound = f"{cursor} IS NOT NULL"
        if table.until is not None:
            before = "false" if low == table.until else f"{cursor} < {postgres_watermark.literal(table.until, kind)}"
    return _from(table, [bound, before, chunk.condition, table.where])


def key_query(table: PostgresTable, columns: Sequence[Column], *, scope: str | None) -> str:
    """The statement that reads the keys."""
    return f"SELECT {postgres_types.select_list(columns)}{_from(table, [table.where, scope])}"


def look_up(table: PostgresTable, session: Session, relation: Relation, keys: pa.Table) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
    """The rows of these keys that live in the snapshot of a key read: their schema, and the batches."""
    columns = choose(table, session.columns(relation))
    kind = cursor_type(table, columns)

    def batches() -> Iterator[pa.RecordBatch]:
        for part in keys.to_batches(max_chunksize=KEYS_AT_ONCE):
            with session.stream(key_query(table, columns, scope=one_of(part))) as (_, found):
                yield from Read(table, columns, kind, found).batches()

    return Read(table, columns, kind, iter(())).schema, batches()


def one_of(keys: pa.RecordBatch) -> str:
    """A condition that holds for these keys. A literal without a type takes that of the column it is compared with."""
    names = ", ".join(map(quote, keys.schema.names))
    rows = (", ".join(_literal(value) for value in row.values()) for row in keys.to_pylist())
    return f"({names}) IN ({', '.join(f'({row})' for row in rows)})"


def _literal(value: object) -> str:
    text = f"\\x{value.hex()}" if isinstance(value, bytes) else value.isoformat() if isinstance(value, date) else str(value)
    return "'" + text.replace("'", "''") + "'"


def top(session: Session, table: PostgresTable) -> int | None:
    """The largest value of an integer cursor now. Without ``where=``: an index gives it at once, and a larger one is as safe."""
    ((value,),) = session.rows(f"SELECT max({quote(table.cursor or '')})::int8{_from(table, [])}")
    return cast("int | None", value)


def refuse_null_cursors(session: Session, table: PostgresTable, columns: Sequence[Column]) -> None:
    """Count the rows without a cursor, unless the column can't be NULL.

    Raises:
        ContractError: There are some.
    """
    column = next(column for column in columns if column.name == table.cursor)
    if column.required:
        return
    ((count,),) = session.rows(f"SELECT count(*){_from(table, [f'{quote(column.name)} IS NULL', table.where])}")
    if count:
        raise ContractError(
            f"{table.place}, cursor={table.cursor!r}",
            "expected every row to have a cursor",
            got=f"{count} row{'s' if count > 1 else ''} where it is NULL",
            hint="choose on_null_cursor='include' (such rows are read every time) or 'exclude' (they are left out).",
        )


class Read:
    """The batches of one read, and the largest cursor among them."""

    def __init__(
        self,
        table: PostgresTable,
        columns: Sequence[Column],
        kind: CursorType | None,
        batches: Iterator[pa.RecordBatch],
        *,
        bare: bool = False,
    ) -> None:
        """Wrap the driver's batches; ``bare`` leaves the system columns out."""
        import pyarrow as pa

        self._table, self._columns, self._kind, self._batches, self._bare = table, columns, kind, batches, bare
        fields: list[pa.Field[Any]] = [pa.field(column.name, column.type) for column in columns]
        if table.on_misfit == "rescue" and not bare:
            fields.append(pa.field(RESCUED_DATA, pa.string()))
        if not bare:
            fields += [pa.field(SOURCE, pa.string()), pa.field(SOURCE_TIMESTAMP, pa.timestamp("us", tz="UTC"))]
        self.schema = pa.schema(fields)
        self.seen: Value | None = None
        self.exhausted = False
        self._origins: pa.Array[Any] = pa.array([], pa.string())

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The rows, once."""
        import pyarrow as pa

        table = self._table
        decoder = postgres_decode.Decoder(self._columns, on_misfit=table.on_misfit, place=table.place)
        for batch in self._batches:
            arrays, rescued = decoder.decode(batch)
            if self._kind is not None:
                index = next(i for i, column in enumerate(self._columns) if column.name == self._table.cursor)
                self._note(arrays[index])
            if not self._bare:
                arrays += [rescued] if table.on_misfit == "rescue" else []
                arrays += [self._origin(batch.num_rows), self._instants(arrays, batch.num_rows)]
            yield pa.RecordBatch.from_arrays(arrays, schema=self.schema)
        self.exhausted = True

    def _origin(self, rows: int) -> pa.Array[Any]:
        """The constant ``_source``: made once, for the longest batch so far."""
        import pyarrow as pa

        if len(self._origins) < rows:
            self._origins = pa.repeat(pa.scalar(self._table.origin, pa.string()), rows)
        return self._origins.slice(0, rows)

    def _instants(self, arrays: Sequence[pa.Array[Any]], rows: int) -> pa.Array[Any]:
        import pyarrow as pa
        import pyarrow.compute as pc

        instant = pa.timestamp("us", tz="UTC")
        if self._kind is None or self._kind == "integer":
            return pa.nulls(rows, instant)
        cursor = next(array for array, column in zip(arrays, self._columns, strict=True) if column.name == self._table.cursor)
        if self._kind == "uuid7":
            return postgres_uuid.instants(cursor)
        if self._kind == "timestamptz":
            return cursor
        zone = self._table.time_zone or "UTC"
        local = cursor.cast(pa.timestamp("us"))
        moved: Any = cast("Any", pc).assume_timezone(local, zone, ambiguous="earliest", nonexistent="latest")
        return moved.cast(instant)

    def _note(self, array: pa.Array[Any]) -> None:
        if self._kind == "uuid7":
            made = postgres_uuid.newest(array, place=f"{self._table.place}, cursor={self._table.cursor!r}")
            self.seen = postgres_watermark.greatest(self.seen, made)
            return
        number = postgres_decode.bounds(array)[1]  # as a number: Python's dates end with the year 9999, PostgreSQL's don't
        if number is None:
            return
        try:
            value = self._value(number)
        except OverflowError:
            value = None
        if value is None:
            raise ContractError(
                f"{self._table.place}, cursor={self._table.cursor!r}",
                "holds a time outside of the years 1 to 9999, which nothing can follow",
                hint="leave such rows out with where=.",
            )
        self.seen = value if self.seen is None else max(cast("Any", self.seen), value)

    def _value(self, number: int) -> Value:
        if self._kind == "integer":
            return number
        if self._kind == "date":
            return date(1970, 1, 1) + timedelta(days=number)
        instant = _EPOCH + timedelta(microseconds=number)
        return instant if self._kind == "timestamptz" else instant.replace(tzinfo=None)
