"""Tables of PostgreSQL, read from a watermark on, straight into Arrow. See ``postgres_watermark`` for why no late commit is skipped."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import attrs

from lakekit import columns as system_columns
from lakekit import logs, names
from lakekit.errors import ConfigError, SourceError
from lakekit.sources import (
    postgres_declared,
    postgres_names,
    postgres_read,
    postgres_readers,
    postgres_session,
    postgres_start,
    postgres_watermark,
)
from lakekit.sources.cursors import NullCursor, to_text
from lakekit.sources.postgres_declared import Misfit
from lakekit.sources.postgres_watermark import Value
from lakekit.sources.protocol import Details, Increment, KeyRead, Target

if TYPE_CHECKING:
    import pyarrow as pa

    from lakekit.engines.spark.tables import SparkEngine
    from lakekit.sources.postgres_session import Session
    from lakekit.sources.postgres_start import Start
    from lakekit.sources.postgres_types import Column
    from lakekit.sources.postgres_watermark import Activity

logger = logging.getLogger(__name__)

CHUNK_ROWS: Final = 2_000_000


def _check_dsn(_instance: object, _attribute: object, value: object) -> None:
    if isinstance(value, str):
        postgres_names.settings(value)
    elif not callable(value):
        raise ConfigError(
            "sources.Postgres(dsn=)",
            "expected a connection string, or a function that returns one",
            got=type(value).__name__,
            hint="write 'postgresql://user:password@host:5432/database'.",
        )


def _check_name(_instance: object, _attribute: object, value: object) -> None:
    if value is not None and (not isinstance(value, str) or not value):
        raise ConfigError("sources.Postgres(name=)", "expected a short name for the database", got=repr(value), hint="write name='shop'.")


@attrs.frozen(repr=False)
class Postgres:
    """A database of PostgreSQL. Connects when one of its tables is read; until then nothing happens.

    Pickles with its connection string: give a function (an importable one, no lambda) to keep a secret out of pickles.

    Attributes:
        dsn: A connection string (a URI or ``key=value`` pairs), or a function that returns one when it is needed. Never shown.
        name: What the database is called in bookmarks and in ``_source``. Default: the database that the connection string names.
            Give one where two servers have databases of one name, or where the database may be renamed.

    >>> Postgres("postgresql://reader:secret@db:5432/shop")
    Postgres(name='shop')
    """

    dsn: str | Callable[[], str] = attrs.field(validator=_check_dsn)
    name: str | None = attrs.field(default=None, kw_only=True, validator=_check_name)

    def __repr__(self) -> str:
        name = self.name
        if name is None and isinstance(self.dsn, str):
            found = postgres_names.settings(self.dsn)
            name = found.get("dbname") or found.get("user")
        return f"Postgres(name={name!r})"

    @property
    def database(self) -> str:
        """The name given, or the database that the connection string names.

        Raises:
            ConfigError: Neither is there.
        """
        return self.name or postgres_names.database(self.connection_string())

    def connection_string(self) -> str:
        """The connection string, from the function where one was given. Do not log it."""
        if isinstance(self.dsn, str):
            return self.dsn
        found = self.dsn()
        if not isinstance(found, str):  # pyright: ignore[reportUnnecessaryIsInstance] -- users are not type-checked
            raise ConfigError("sources.Postgres(dsn=)", "the function must return a connection string", got=type(found).__name__)
        postgres_names.settings(found)
        return found

    def table(
        self,
        name: str | tuple[str, ...],
        *,
        cursor: names.Columns | None = None,
        primary_key: names.Columns | None = None,
        columns: names.Columns | None = None,
        where: str | None = None,
        lookback: timedelta | None = None,
        on_null_cursor: NullCursor = "raise",
        time_zone: str | None = None,
        types: Mapping[str, str] | None = None,
        on_misfit: Misfit = "raise",
        until: Value | None = None,
        chunk_rows: int = CHUNK_ROWS,
        readers: int = 1,
    ) -> PostgresTable:
        """A table or view of this database.

        Args:
            name: ``'users'`` (of the schema public), ``'sales.orders'``, ``'"Upper".table'`` or a tuple. As in SQL, parts without quotes
                are folded to lower case.
            cursor: The column that grows with every change: a timestamptz, timestamp, date, integer or uuid of version 7. None: the whole
                table is read each time. Further columns, ``("updated_at", "id")``, break ties: where an index has them all, a first load in
                chunks goes by it rather than by the primary key.
            primary_key: The columns that identify a row. Default: the table's own primary key.
            columns: Read only these. Default: all.
            where: Read only the rows that meet this condition of PostgreSQL. Dates and times in it are UTC.
            lookback: Read this much further back, for cursors set by clocks of applications, and for tables filled by logical replication.
            on_null_cursor: What rows without a cursor mean: an error, rows to read every time, or rows to leave out.
            time_zone: What a cursor without a zone means: ``"UTC"``, ``"Europe/Berlin"``. Required for timestamp; a date without one may
                be that of any zone.
            types: Other types for columns, in SQL words: ``{"amount": "decimal(20, 4)", "code": "int", "grid": "array<array<int>>"}``.
                The column's text must be of that type to the last digit.
            on_misfit: What a value means that its column can't hold, such as infinity in a timestamp, NaN in a decimal, a text that is
                not of the type declared: an error, NULL and its text in ``_rescued_data`` (``"rescue"``), or NULL (``"null"``). In the
                cursor and in keys it is an error always.
            until: Read only rows whose cursor is below this; those without a cursor are left out. For a back-fill beside the table's
                regular ingestion, which then starts there by ``where=``: its position is its own, and once no row can come any more, there
                is nothing to do.
            chunk_rows: A first load takes so many rows at once: each such chunk is one commit, and a load that broke off goes on after the
                last one. For tables with a primary key, or with an index on the cursor; views, and tables with neither, are read at once.
            readers: Read a chunk through so many connections, which see one snapshot.

        Raises:
            ConfigError: An argument is wrong. Nothing is asked of the server yet.
            SchemaError: A type in ``types=`` is unknown.

        >>> Postgres("postgresql://db/shop").table("orders", types={"amount": "decimal(20, 4)"}, on_misfit="rescue").types
        (('amount', 'decimal(20, 4)'),)
        """
        order = () if cursor is None else names.columns(cursor, place="Postgres.table(cursor=)")
        return PostgresTable(
            self,
            postgres_names.parse_table(name, place="Postgres.table(name=)"),
            cursor=order[0] if order else None,
            order=order,
            given_key=() if primary_key is None else names.columns(primary_key, place="Postgres.table(primary_key=)"),
            columns=None if columns is None else names.columns(columns, place="Postgres.table(columns=)"),
            where=where,
            lookback=lookback,
            on_null_cursor=on_null_cursor,
            time_zone=time_zone,
            types=types,
            on_misfit=on_misfit,
            until=until,
            chunk_rows=chunk_rows,
            readers=readers,
        )


def _check_text(_instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
    if value is not None and (not isinstance(value, str) or not value.strip()):
        raise ConfigError(f"Postgres.table({attribute.name}=)", "expected text", got=repr(value), hint="leave it out where there is none.")


def _check_null_cursor(_instance: object, _attribute: object, value: object) -> None:
    if value not in get_args(NullCursor):
        raise ConfigError("Postgres.table(on_null_cursor=)", "expected 'raise', 'include' or 'exclude'", got=repr(value))


def _check_lookback(_instance: object, _attribute: object, value: object) -> None:
    if value is not None and (not isinstance(value, timedelta) or value < timedelta()):
        raise ConfigError("Postgres.table(lookback=)", "expected a timedelta of zero or more", got=repr(value))


def _check_time_zone(_instance: object, _attribute: object, value: object) -> None:
    if value is None:
        return
    try:
        ZoneInfo(value if isinstance(value, str) else "")
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ConfigError(
            "Postgres.table(time_zone=)", "expected the name of a time zone", got=repr(value), hint="write 'UTC' or 'Europe/Berlin'."
        ) from error


def _check_until(_instance: object, _attribute: object, value: object) -> None:
    if value is not None and (not isinstance(value, datetime | date | int) or isinstance(value, bool)):
        raise ConfigError("Postgres.table(until=)", "expected a datetime, a date or an integer, as the cursor is", got=type(value).__name__)


def _check_count(_instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ConfigError(f"Postgres.table({attribute.name}=)", "expected a whole number above zero", got=repr(value))


@attrs.frozen
class PostgresTable:
    """A table of PostgreSQL as a source of ``ingest``. Made by ``Postgres.table``.

    Every column is delivered as ``postgres_types`` says, plus ``_source`` (``shop.public.users``) and ``_source_timestamp`` (the cursor,
    where it is a time; NULL otherwise). A ``timestamp`` cursor is read in ``time_zone``, where the hour that repeats in autumn counts as
    its first pass; a ``date`` is its midnight there, or in UTC.
    """

    server: Postgres
    name: postgres_names.Table
    cursor: str | None = attrs.field(default=None, kw_only=True, validator=_check_text)
    order: tuple[str, ...] = attrs.field(default=(), kw_only=True)
    given_key: tuple[str, ...] = attrs.field(default=(), kw_only=True)
    columns: tuple[str, ...] | None = attrs.field(default=None, kw_only=True)
    where: str | None = attrs.field(default=None, kw_only=True, validator=_check_text)
    lookback: timedelta | None = attrs.field(default=None, kw_only=True, validator=_check_lookback)
    on_null_cursor: NullCursor = attrs.field(default="raise", kw_only=True, validator=_check_null_cursor)
    time_zone: str | None = attrs.field(default=None, kw_only=True, validator=_check_time_zone)
    types: tuple[tuple[str, str], ...] = attrs.field(default=None, kw_only=True, converter=postgres_declared.pairs)
    on_misfit: Misfit = attrs.field(default="raise", kw_only=True, validator=postgres_declared.check_misfit)
    until: Value | None = attrs.field(default=None, kw_only=True, validator=_check_until)
    chunk_rows: int = attrs.field(default=CHUNK_ROWS, kw_only=True, validator=_check_count)
    readers: int = attrs.field(default=1, kw_only=True, validator=_check_count)

    def __attrs_post_init__(self) -> None:
        self.declared_types()
        if self.cursor is None and self.lookback is not None:
            raise ConfigError("Postgres.table(lookback=)", "looks back from a cursor, and there is none", hint="give cursor= too.")
        if self.cursor is None and self.until is not None:
            raise ConfigError("Postgres.table(until=)", "is a value of the cursor, and there is none", hint="give cursor= too.")
        needed = [name for name in (self.cursor, *self.order, *self.given_key) if name is not None]
        if self.columns is not None:
            system_columns.refuse_reserved(self.columns, place="Postgres.table(columns=)")
            if absent := [name for name in needed if name not in self.columns]:
                raise ConfigError("Postgres.table(columns=)", "leaves out a column that is needed", got=repr(absent[0]), hint="add it.")

    @property
    def place(self) -> str:
        """Where this is, for errors and the log."""
        return f"{self.server!r}.table({postgres_names.text(self.name)!r})"

    @property
    def origin(self) -> str:
        """What ``_source`` holds: ``shop.public.users``."""
        return f"{self.server.database}.{postgres_names.text(self.name)}"

    @property
    def upstream(self) -> str:
        """``postgres:shop/public.users``; with ``until=``, another one for each."""
        end = "" if self.until is None else f"#until={to_text(self.until)}"
        return f"postgres:{self.server.database}/{postgres_names.text(self.name)}{end}"

    def primary_key(self) -> tuple[str, ...]:
        """The key given, or the table's own. Empty where it has none."""
        if self.given_key:
            return self.given_key
        with postgres_session.connect(self.server.connection_string, place=self.place) as session:
            return session.primary_key(session.relation(self.name))

    def declared_types(self) -> dict[str, pa.DataType]:
        """The types in ``types=``.

        Raises:
            ConfigError: One is the cursor's.
            SchemaError: A type is unknown.
        """
        return postgres_declared.types(self.types, cursor=self.cursor)

    @contextmanager
    def open(self, position: Details | None, *, target: Target) -> Generator[Increment]:
        """Read the rows from the position's low on; without a position, all of them.

        The details hold ``low`` and ``seen`` as text, the cursor and its type, and which server and database was read. Where that is
        another one than before, or the cursor is another column or type, everything is read again, and the overlap says that all of it
        may be there already.

        Raises:
            SourceConfigError: The server refuses: password, missing table, rights.
            SourceError: The server can't be reached, or the connection broke.
            SchemaError: ``columns=`` or ``cursor=`` names a column that is not there.
            ConfigError: The cursor's type can't be one, or needs ``time_zone=``.
            ContractError: A NULL cursor under ``on_null_cursor="raise"``, or a value that no Arrow type can hold.
        """
        with postgres_session.connect(self.server.connection_string, place=self.place) as session:
            start = postgres_start.find(self, session, position)
            columns = self.begin(session, start)
            chunks = start.chunks(session, in_portions=target.in_portions)
            with postgres_readers.rows(session, start, columns, chunks) as read:

                def details() -> Details:
                    if not read.exhausted:
                        raise RuntimeError("details() was asked before the batches were read to their end")
                    return start.after(read.seen, chunks[-1])

                yield Increment(read.schema, read.batches(), details, start.overlap, behind=chunks[-1].more)

    @contextmanager
    def open_on_spark(self, engine: SparkEngine, position: Details | None, *, target: Target) -> Generator[Increment]:
        """Read the same rows as `open`, through JDBC, in as many tasks as their size is worth, all in one snapshot.

        Raises:
            ConfigError: The session has no JDBC driver, or the connection string says what JDBC can't do.
            SourceError, SourceConfigError, SchemaError, ContractError: As from `open`.
        """
        from lakekit.sources import postgres_spark

        with postgres_spark.read(self, engine, position, in_portions=target.in_portions) as increment:
            yield increment

    def begin(self, session: Session, start: Start) -> list[Column]:
        """Take the snapshot, and look in it at the columns to read."""
        session.begin(self.name, start.relation)
        columns = postgres_read.choose(self, session.columns(start.relation))
        system_columns.refuse_reserved((column.name for column in columns), place=self.place)
        if start.kind is not None and self.on_null_cursor == "raise":
            postgres_read.refuse_null_cursors(session, self, columns)
        return columns

    @contextmanager
    def keys(self, *, scope: str | None) -> Generator[KeyRead]:
        """Read the keys that live in the table now, in one snapshot.

        Args:
            scope: A condition of PostgreSQL that limits them. It is added to ``where=``. A row that has left the scope is not gone.

        Raises:
            ConfigError: There is no primary key.
            SourceError: A prepared transaction is open, or a replica has replayed nothing: no instant is known that orders deletes rightly.
        """
        with postgres_session.connect(self.server.connection_string, place=self.place) as session:
            relation = session.relation(self.name)
            key = self.given_key or session.primary_key(relation)
            if not key:
                raise ConfigError(f"{self.place}.keys()", "the table has no primary key", hint="give primary_key= to table().")
            activity = session.activity()  # before the snapshot
            read_at = self._read_at(activity)
            session.begin(self.name, relation)
            columns = postgres_read.choose(
                attrs.evolve(self, columns=key, cursor=None, order=(), lookback=None, until=None), session.columns(relation)
            )
            with session.stream(postgres_read.key_query(self, columns, scope=scope)) as (_, batches):
                read = postgres_read.Read(self, columns, None, batches, bare=True)
                yield KeyRead(read.schema, read.batches(), read_at, partial(postgres_read.look_up, self, session, relation))

    def _read_at(self, activity: Activity) -> datetime:
        if activity.horizon is None:
            raise SourceError(
                f"{self.place}.keys()",
                "deletes can't be ordered now",
                got=activity.doubt,
                hint="try again later; SELECT * FROM pg_prepared_xacts shows transactions that were forgotten.",
            )
        if activity.hidden or activity.replica:
            logger.warning("%s: %s.", self.place, activity.doubt, extra=logs.fields("transactions_hidden", source=self.place))
        return postgres_watermark.read_at(activity.horizon)
