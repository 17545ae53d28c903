"""What is to be computed, in words that no engine owns: scans of tables, SQL over named inputs, and frames an engine already holds."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, Literal

import attrs

from lakekit.names import Identifier, text

if TYPE_CHECKING:
    import pyarrow as pa

    ValueFunction = Callable[..., pa.Array[Any]]

OWN_BRANCH: Final = "lakekit_"
"""What the names of branches begin with on which writes wait to reach main; those of crashed writes are left."""

WriteMode = Literal["auto", "copy-on-write", "merge-on-read"]


@attrs.frozen
class Snapshot:
    """One commit of a table.

    Attributes:
        id: Iceberg's snapshot id.
        parent: The snapshot before it. None: the first one.
        sequence: Iceberg's sequence number; it grows with each commit.
        committed_at: Milliseconds since 1970, UTC.
        operation: ``append``, ``overwrite``, ``delete`` or ``replace``.
        summary: The summary's other entries.
    """

    id: int
    parent: int | None
    sequence: int
    committed_at: int
    operation: str
    summary: Mapping[str, str]

    def count(self, name: str) -> int:
        """A figure of the summary; 0 where it is not given."""
        return int(self.summary.get(name, "0"))


@attrs.frozen(eq=False)
class TableState:
    """A table as it stood when it was loaded.

    Attributes:
        name: Namespace and name.
        uuid: Iceberg's table UUID: upstreams are known by it.
        schema: The current schema in Arrow's types.
        properties: The table's properties.
        snapshots: All snapshots that have not expired.
        references: The tags and branches, each with its snapshot.
        head: The current snapshot's id. None: nothing was ever written.
        native: The engine's own handle. None: the table is not there yet.
        schema_id: Iceberg's id of the current schema.
        required: What can't be NULL, as paths from the column inwards, as in `Alteration`.
        identifiers: Iceberg's identifier fields, in the order of the columns. Empty: it has none, or one inside a struct.
        catalog: What the engine's session calls the catalog, in statements. None: it runs none.
        partitioned: What the current partitions are made of, as dotted paths.
        sorted: What files are sorted by, likewise.
    """

    name: Identifier
    uuid: str
    schema: pa.Schema
    properties: Mapping[str, str]
    snapshots: Mapping[int, Snapshot]
    references: Mapping[str, int]
    head: int | None
    native: Any
    identifiers: tuple[str, ...] = ()
    required: frozenset[tuple[str, ...]] = frozenset()
    schema_id: int = 0
    catalog: str | None = None
    partitioned: frozenset[str] = frozenset()
    sorted: frozenset[str] = frozenset()

    @classmethod
    def not_there_yet(cls, name: Identifier, schema: pa.Schema) -> TableState:
        """The table that a write would make, for a dry run: it can be scanned, and has no rows."""
        return cls(name, uuid="", schema=schema, properties={}, snapshots={}, references={}, head=None, native=None)

    @property
    def label(self) -> str:
        """The name as people read it."""
        return text(self.name)

    @property
    def current(self) -> Snapshot | None:
        """The current snapshot."""
        return None if self.head is None else self.snapshots[self.head]

    def ancestry(self) -> Iterator[Snapshot]:
        """The current snapshot, its parent and so on, as far as they have not expired."""
        at = self.head
        while at is not None and at in self.snapshots:
            yield self.snapshots[at]
            at = self.snapshots[at].parent

    def is_ancestor(self, snapshot: int) -> bool:
        """Whether the current snapshot descends from this one, as far as it is known."""
        return any(found.id == snapshot for found in self.ancestry())


@attrs.frozen
class Alteration:
    """One change of a table's schema that Iceberg allows.

    Attributes:
        kind: ``add`` an optional column or field; ``widen`` one to a type that holds all its values; ``relax``: it may be NULL.
        path: Names from the column inwards; ``element`` of a list, ``value`` of a map.
        type: What is added, or widened to.
    """

    kind: Literal["add", "widen", "relax"]
    path: tuple[str, ...]
    type: pa.DataType


@attrs.frozen(eq=False)
class Scan:
    """Rows of a table.

    Attributes:
        state: The table.
        snapshot: The snapshot read. None: an empty table.
        minus: Leave out the files that stand unchanged in this snapshot too.
        above: Only files whose data sequence number is greater.
        bounds: Column to (least, greatest), either may be None (open): files that hold no such value need not be read. A hint; other
            rows may come as well.
        or_null: Columns of which nobody asks whether they are empty or NULL: where a file's statistics know no value of one, it may come as
            NULL. Lists are slow to read, also where there are none.
        places: Also the session's ``places``: the columns that say where each row is stored.
    """

    state: TableState
    snapshot: int | None
    minus: int | None = None
    above: int | None = None
    bounds: Mapping[str, tuple[Any, Any]] = attrs.field(factory=dict)
    or_null: Collection[str] = ()
    places: bool = False


@attrs.frozen(eq=False)
class Query:
    """SQL over named inputs, in the one dialect lakekit writes (Databricks/Spark, ANSI).

    Attributes:
        sql: The text; its relations are the names of the inputs.
        inputs: Name to node.
        functions: Name to a function over Arrow arrays that the text calls: its types and itself.
        ordered: Whether its joins are carried out as written, each built on its right side, which is the smaller one. For the engine that
            can't tell: DuckDB takes Iceberg's files for a single row.
        schema: Its columns, where it only adds constants to rows that are held already: to read it again costs less than to hold its rows.
    """

    sql: str
    inputs: Mapping[str, Node]
    functions: Mapping[str, Function] = attrs.field(factory=dict)
    ordered: bool = False
    schema: pa.Schema | None = None


@attrs.frozen(eq=False)
class Function:
    """A Python function over Arrow arrays that SQL can call. Its parameters and its result are Arrow types."""

    call: ValueFunction
    parameters: tuple[pa.DataType, ...]
    returns: pa.DataType


@attrs.frozen(eq=False)
class Frame:
    """Rows the engine holds already, readable as often as needed.

    Attributes:
        schema: The columns.
        native: The engine's own form of the rows.
        untyped: Columns of a user's frame that hold no value, so that their type isn't known; here they are text.
    """

    schema: pa.Schema
    native: Any
    untyped: tuple[str, ...] = ()


@attrs.frozen(eq=False)
class Stream:
    """Rows that come once, in Arrow batches."""

    schema: pa.Schema
    batches: Iterator[pa.RecordBatch]


Node = Scan | Query | Frame | Stream


def known_schema(node: Node) -> pa.Schema | None:
    """The columns of a node that says them itself. None: the engine must be asked."""
    return None if isinstance(node, Scan) else node.schema
