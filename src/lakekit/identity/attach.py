"""with_identity: rows get the id of the person they are about, and keep up with it."""

from __future__ import annotations

from collections.abc import Sequence

from lakekit.batch import Batch, Side
from lakekit.engines.plan import Node, Query, Scan
from lakekit.engines.types import ident, sql_type
from lakekit.errors import ConfigError, SchemaError
from lakekit.identity.tables import MASTER, PROPERTY, RECORD
from lakekit.incremental import sides
from lakekit.incremental.record_key import record_key_sql
from lakekit.incremental.target import require_columns
from lakekit.names import Columns, TableName
from lakekit.names import columns as as_columns


def with_identity(batch: Batch, identities: TableName, *, source_column: str, record_key: Columns) -> Batch:
    """The batch with ``master_user_id``: the person whom a row's record belongs to.

    The identities become a side input of the write: when two people turn out to be one, or one to be two, rows already written get their new id
    in the next run, also when there are no new rows. So the source and the record key have to be stored, and the rows are written by `merge`.

    Args:
        batch: The rows.
        identities: A table made by `resolve_identities`.
        source_column: The column that names the record's source, as `resolve_identities` was given it.
        record_key: The column, or columns, that name the record in its source.

    Writes:
        ``master_user_id`` (BIGINT; NULL: no such record is known). A record that was deleted keeps the id it had.

    Raises:
        TableNotFoundError: There is no such table.
        ConfigError: It was not made by `resolve_identities`, or the key's type has no text that is the same on all engines.
        SchemaError: A named column is missing, or ``source_column`` is not text.

    >>> import lakekit as lk, tempfile
    >>> from lakekit import identity
    >>> lake = lk.connect(tempfile.mkdtemp())
    >>> people = {"shop": lk.from_frame(lake, [{"id": 1, "email": "ada@example.com"}], run_id="a"),
    ...           "market": lk.from_frame(lake, [{"id": "x", "email": "ada@example.com"}], run_id="a")}
    >>> _ = lk.resolve_identities(people, record_key={"shop": "id", "market": "id"},
    ...                           rules=identity.Rules(match=[identity.exact("email")]), into="silver.identities")
    >>> orders = lk.from_frame(lake, [{"order": 7, "channel": "shop", "person": "1"}, {"order": 8, "channel": "market", "person": "x"}], run_id="b")
    >>> orders = lk.with_identity(orders, "silver.identities", source_column="channel", record_key="person")
    >>> len(set(orders.to_arrow().column("master_user_id").to_pylist()))
    1
    """
    state = batch.lake.load(identities, place="with_identity()")
    if PROPERTY not in state.properties:
        raise ConfigError(f"with_identity(): {state.label}", "holds no identities", hint="make it with resolve_identities().")
    keys = as_columns(record_key, place="with_identity(record_key=)")
    require_columns(batch.columns, [source_column, *keys], place="with_identity()")
    if (kind := sql_type(batch.schema.field(source_column).type)) != "STRING":
        raise SchemaError(f"with_identity(source_column={source_column!r})", "expected the names of sources, as text", got=kind)
    text = record_key_sql(batch.schema, keys, place="with_identity(record_key=)", prefix="r.")
    match = f"d.kind = '{RECORD}' AND d.source = r.{ident(source_column)} AND d.record_key = {text}"
    known = Scan(state, state.head)

    def step(rows: Node, names: Sequence[str]) -> Node:
        wanted = names if MASTER in names else [*names, MASTER]
        columns = ", ".join(f"{'d' if name == MASTER else 'r'}.{ident(name)}" for name in wanted)
        return Query(f"SELECT {columns} FROM batch r LEFT JOIN known d ON {match}", {"batch": rows, "known": known})

    return sides.with_side(batch, Side(state, match, (source_column, *keys), (MASTER,), step))
