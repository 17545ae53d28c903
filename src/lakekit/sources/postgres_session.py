"""One connection to PostgreSQL through ADBC, and what lakekit asks the catalog. Rows arrive as Arrow, a few megabytes at a time."""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any, Final, cast

import attrs

from lakekit.errors import LakekitError, SourceConfigError
from lakekit.sources import postgres_errors, postgres_names
from lakekit.sources.postgres_types import CatalogColumn
from lakekit.sources.postgres_watermark import Activity

if TYPE_CHECKING:
    import pyarrow as pa

BATCH_BYTES: Final = 8 << 20
_LOCKABLE: Final = ("r", "p")
_RELATIONS: Final = "('r', 'p', 'v', 'm', 'f')"
# What the text of a value depends on: the same whoever reads.
TEXT_SETTINGS: Final = (
    "TimeZone = 'UTC'",
    "DateStyle = 'ISO, YMD'",
    "IntervalStyle = 'iso_8601'",
    "bytea_output = 'hex'",
    "extra_float_digits = 1",
)


@attrs.frozen
class Relation:
    """A table as it is found.

    Attributes:
        oid: Its number in the catalog.
        kind: ``r`` table, ``p`` partitioned table, ``v`` view, ``m`` materialized view, ``f`` foreign table.
        readable: Whether the user may read all of its columns.
        system: The server's identifier and the database's number. None: the server does not tell.
    """

    oid: int
    kind: str
    readable: bool
    system: str | None


class Session:
    """A connection that reads: outside of a transaction at first, then in one snapshot."""

    def __init__(self, connection: Any, *, place: str) -> None:
        self._connection = connection
        self._place = place

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """All rows of a small result."""
        with closing(self._connection.cursor()) as cursor:
            self._ask(lambda: cursor.execute(sql))
            return cast("list[tuple[Any, ...]]", self._ask(cursor.fetchall))

    def estimate(self, sql: str) -> tuple[int, int]:
        """How many rows the server expects a query to give, and how many bytes each has, by its statistics."""
        with closing(self._connection.cursor()) as cursor:
            cursor.adbc_statement.set_options(**{"adbc.postgresql.use_copy": "false"})  # COPY takes no EXPLAIN
            self._ask(lambda: cursor.execute(f"EXPLAIN (FORMAT JSON) {sql}"))
            ((text,),) = self._ask(cursor.fetchall)
        plan = json.loads(text)[0]["Plan"]
        return int(plan["Plan Rows"]), int(plan["Plan Width"])

    def snapshot(self) -> str:
        """The name under which other connections take this transaction's snapshot, for as long as it is open."""
        self.command("SET LOCAL idle_in_transaction_session_timeout = 0")
        ((name,),) = self.rows("SELECT pg_catalog.pg_export_snapshot()")
        return str(name)

    def command(self, sql: str) -> None:
        """Run a statement without a result."""
        with closing(self._connection.cursor()) as cursor:
            self._ask(lambda: cursor.execute(sql))

    @contextmanager
    def stream(self, sql: str) -> Generator[tuple[pa.Schema, Iterator[pa.RecordBatch]]]:
        """The rows of a query as they come: their schema, and the batches."""
        with closing(self._connection.cursor()) as cursor:
            cursor.adbc_statement.set_options(**{"adbc.postgresql.batch_size_hint_bytes": str(BATCH_BYTES)})
            self._ask(lambda: cursor.execute(sql))
            with closing(self._ask(cursor.fetch_record_batch)) as reader:
                yield reader.schema, self._batches(reader)

    def _batches(self, reader: Any) -> Iterator[pa.RecordBatch]:
        while (batch := self._ask(lambda: next(reader, None))) is not None:
            yield batch

    def _ask(self, call: Callable[[], Any]) -> Any:
        import adbc_driver_manager as adbc
        import pyarrow as pa

        try:
            return call()
        except (adbc.Error, pa.ArrowException, OSError) as error:
            failure = postgres_errors.reading(str(error), getattr(error, "sqlstate", None), place=self._place)
        raise failure  # not in the handler: the driver's text holds the statement and row values, and must not hang on the new error

    def begin(self, table: postgres_names.Table, relation: Relation) -> None:
        """Take one snapshot for everything that follows.

        The table is locked against changes of its columns before the snapshot is taken: a table that is rewritten in between would look
        empty. Views, foreign tables, and tables of which only some columns may be read, can't be locked.
        """
        self.command("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        for setting in TEXT_SETTINGS:  # none of these takes the snapshot yet
            self.command(f"SET LOCAL {setting}")
        if relation.kind in _LOCKABLE and relation.readable:
            self.command(f"LOCK TABLE {postgres_names.quoted(table)} IN ACCESS SHARE MODE")

    def join(self, snapshot: str) -> None:
        """Read in the snapshot of another connection's transaction."""
        self.command("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        self.command(f"SET TRANSACTION SNAPSHOT {postgres_names.literal(snapshot)}")
        for setting in TEXT_SETTINGS:
            self.command(f"SET LOCAL {setting}")

    def relation(self, table: postgres_names.Table) -> Relation:
        """The table itself.

        Raises:
            SourceConfigError: There is none; names that look alike are shown.
        """
        found = self.rows(
            "SELECT c.oid::int8, c.relkind::text, has_table_privilege(c.oid, 'SELECT'), d.oid::int8,"
            " has_function_privilege('pg_catalog.pg_control_system()', 'EXECUTE')"
            " FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
            " JOIN pg_catalog.pg_database d ON d.datname = current_database()"
            f" WHERE n.nspname = {postgres_names.literal(table[0])} AND c.relname = {postgres_names.literal(table[1])} AND c.relkind IN {_RELATIONS}"
        )
        if not found:
            raise self._no_such_table(table)
        oid, kind, readable, database, may_ask = found[0]
        return Relation(oid, kind, readable, self._system(database) if may_ask else None)

    def _system(self, database: int) -> str | None:
        try:
            ((identifier,),) = self.rows("SELECT system_identifier::text FROM pg_catalog.pg_control_system()")
        except LakekitError:  # some hosted servers refuse it whatever the privileges say
            return None
        return f"{identifier}/{database}"

    def _no_such_table(self, table: postgres_names.Table) -> SourceConfigError:
        names = self.rows(
            "SELECT n.nspname::text, c.relname::text FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
            f" WHERE c.relkind IN {_RELATIONS} AND n.nspname NOT IN ('pg_catalog', 'information_schema') ORDER BY 1, 2 LIMIT 10000"
        )
        known = {postgres_names.text((schema, name)): name for schema, name in names}
        wanted = postgres_names.text(table)
        alike = [full for full, name in known.items() if name.lower() == table[1].lower()] or difflib.get_close_matches(wanted, known, n=3)
        hint = f"did you mean {' or '.join(alike[:3])}?" if alike else "check the database, the schema, and the user's rights to see it."
        return SourceConfigError(self._place, "there is no such table or view", got=wanted, hint=hint)

    def columns(self, relation: Relation) -> list[CatalogColumn]:
        """The table's columns, in order: domains resolved to what they are based on, arrays to their elements."""
        further = "t.typtype = 'd' OR (t.typcategory = 'A' AND NOT r.is_array AND t.typname NOT IN ('int2vector', 'oidvector'))"
        rows = self.rows(
            "WITH RECURSIVE resolved AS ("
            " SELECT attnum, attname, atttypid AS type, atttypmod AS modifier, attndims::int AS dimensions, attnotnull AS required,"
            " false AS is_array"
            f" FROM pg_catalog.pg_attribute WHERE attrelid = {relation.oid} AND attnum > 0 AND NOT attisdropped"
            " UNION ALL"
            " SELECT r.attnum, r.attname, CASE t.typtype WHEN 'd' THEN t.typbasetype ELSE t.typelem END,"
            " CASE t.typtype WHEN 'd' THEN t.typtypmod ELSE r.modifier END, greatest(r.dimensions, t.typndims),"
            " r.required OR (t.typnotnull AND NOT r.is_array), r.is_array OR t.typtype <> 'd'"
            f" FROM resolved r JOIN pg_catalog.pg_type t ON t.oid = r.type WHERE {further})"
            " SELECT r.attname::text, t.typname::text, r.modifier::int4, t.typnamespace = 'pg_catalog'::regnamespace,"
            " r.is_array, r.dimensions::int4, r.required,"
            f" EXISTS (SELECT FROM pg_catalog.pg_index i WHERE i.indrelid = {relation.oid} AND i.indisprimary AND r.attnum = ANY (i.indkey))"
            f" FROM resolved r JOIN pg_catalog.pg_type t ON t.oid = r.type WHERE NOT ({further}) ORDER BY r.attnum"
        )
        return [CatalogColumn(*row) for row in rows]

    def primary_key(self, relation: Relation) -> tuple[str, ...]:
        """The primary key's columns, in the key's order."""
        rows = self.rows(
            "SELECT a.attname::text FROM pg_catalog.pg_index i, unnest(i.indkey::int2[]) WITH ORDINALITY AS k(number, place),"
            " pg_catalog.pg_attribute a"
            f" WHERE i.indrelid = {relation.oid} AND i.indisprimary AND a.attrelid = i.indrelid AND a.attnum = k.number ORDER BY k.place"
        )
        return tuple(name for (name,) in rows)

    def leads_an_index(self, relation: Relation, column: str) -> bool:
        """Whether an index of the whole table begins with a column, so that its order is cheap to walk."""
        ((found,),) = self.rows(
            "SELECT count(*) > 0 FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid"
            " JOIN pg_catalog.pg_am m ON m.oid = c.relam AND m.amname = 'btree'"
            " JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]"
            f" WHERE i.indrelid = {relation.oid} AND i.indisvalid AND i.indpred IS NULL AND a.attname = {postgres_names.literal(column)}"
        )
        return bool(found)

    def activity(self) -> Activity:
        """What the server is doing now. To be asked outside of a transaction, before the snapshot: see ``postgres_watermark``.

        A transaction on its way from open to prepared is in the first list or in the second one, since they are asked in this order.
        Autovacuum's transactions are left out: they change no rows, and may take hours.
        """
        ((now, oldest, hidden, replica, replayed),) = self.rows(
            "SELECT statement_timestamp(), min(xact_start) FILTER (WHERE backend_type IS DISTINCT FROM 'autovacuum worker'),"
            " coalesce(bool_or(query = '<insufficient privilege>' OR state = 'disabled'), false),"
            " pg_catalog.pg_is_in_recovery(), CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_xact_replay_timestamp() END"
            " FROM pg_catalog.pg_stat_activity WHERE pid <> pg_catalog.pg_backend_pid()"
            " AND (datname = current_database() OR datname IS NULL AND xact_start IS NOT NULL)"
        )
        ((prepared,),) = self.rows("SELECT count(*) FROM pg_catalog.pg_prepared_xacts WHERE database = current_database()")
        return Activity(now=now, oldest=oldest, hidden=hidden, prepared=prepared, replica=replica, replayed=replayed)


@contextmanager
def connect(dsn: Callable[[], str], *, place: str) -> Generator[Session]:
    """Connect, and close at the end.

    Raises:
        SourceConfigError: The server refuses the user, the password or the database.
        SourceError: The server can't be reached now.
        MissingExtraError: The driver is not installed.
    """
    connection = _connection(dsn(), place=place)
    if isinstance(connection, LakekitError):
        # Raised where no variable holds the connection string, or the driver's text, which may hold it too: some tools show variables.
        raise connection
    try:
        yield Session(connection, place=place)
    finally:
        connection.close()


def _connection(dsn: str, *, place: str) -> Any:
    """A connection, or the error that says why there is none."""
    try:
        import adbc_driver_manager as adbc
        from adbc_driver_postgresql import dbapi
    except ImportError:
        return postgres_errors.missing_extra()
    try:
        return dbapi.connect(postgres_names.in_utf8(dsn), autocommit=True)
    except adbc.Error as error:
        return postgres_errors.connecting(str(error), dsn=dsn, place=place)
