"""Tables of a pyiceberg catalog, for the embedded engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
from pyiceberg.catalog import Catalog
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.exceptions import (
    NamespaceAlreadyExistsError,
    NoSuchNamespaceError,
    NoSuchTableError,
    RESTError,
    TableAlreadyExistsError,
    ValidationError,
)
from pyiceberg.partitioning import UNPARTITIONED_PARTITION_SPEC
from sqlalchemy import NullPool, create_engine
from sqlalchemy.exc import IntegrityError, OperationalError

from lakekit.engines import layout
from lakekit.engines.absent import no_namespace, no_table
from lakekit.engines.arrow import to_arrow
from lakekit.engines.embedded import commit as commits
from lakekit.engines.embedded import expire
from lakekit.engines.embedded.compact import compact
from lakekit.engines.embedded.instances import Instances, Settings
from lakekit.engines.embedded.session import DuckSession
from lakekit.engines.embedded.writer import require_writable
from lakekit.engines.iceberg import state_of
from lakekit.engines.plan import Alteration, Frame, TableState
from lakekit.engines.types import storable_schema
from lakekit.errors import CommitConflictError, ConfigError, TableError
from lakekit.names import Identifier, text

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from typing_extensions import TypeIs

    from lakekit.engines.protocol import BookmarkWriter, Landed

CATALOG_NAME = "lake"


class EmbeddedEngine:
    """pyiceberg and DuckDB. Holds a catalog, settings, and the DuckDB instance of the last evaluation, which is empty; no cache."""

    name = "embedded"

    def __init__(self, catalog: Catalog, *, settings: Settings | None = None, create_namespaces: bool = True) -> None:
        self.catalog = catalog
        self.settings = settings or Settings()
        self.progress = self.settings.progress
        self._instances = Instances(self.settings)
        self.create_namespaces = create_namespaces
        self.snapshot_properties: Mapping[str, str] = {}

    @classmethod
    def at(cls, folder: Path, *, settings: Settings | None = None, create_namespaces: bool = True) -> EmbeddedEngine:
        """A lake in a folder: an SQLite catalog beside a warehouse of Parquet files."""
        folder = folder.resolve()
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError, PermissionError) as error:
            raise ConfigError(
                "connect()", "can't make the lake's folder", got=f"{folder} ({error.strerror})", hint="give a folder you may write to."
            ) from None
        return cls(_sqlite_catalog(folder), settings=settings, create_namespaces=create_namespaces)

    @staticmethod
    def takes(target: object) -> TypeIs[Catalog]:
        """Whether the target is a catalog this engine can work on."""
        return isinstance(target, Catalog)

    def load(self, table: Identifier) -> TableState:
        """The table as it stands now."""
        try:
            loaded = self.catalog.load_table(table)
        except (NoSuchTableError, NoSuchNamespaceError):
            raise no_table(table, there=self._tables_in(table[:-1])) from None
        except (OSError, ValueError, ValidationError) as error:
            raise TableError(
                text(table),
                "the catalog has it, but its metadata can't be read; it was left half created or half removed",
                got=type(error).__name__,
                hint="drop it from the catalog and load it again, or restore its metadata file.",
            ) from None  # pyiceberg quotes the file
        return state_of(table, loaded.metadata, loaded)

    def _tables_in(self, namespace: Identifier) -> list[Identifier]:
        try:
            return [tuple(found) for found in self.catalog.list_tables(namespace)]
        except NoSuchNamespaceError:
            return []

    def tables(self) -> list[Identifier]:
        """All tables of the catalog."""
        found: list[Identifier] = []
        waiting: list[Identifier] = [tuple(namespace) for namespace in self.catalog.list_namespaces()]
        while waiting:
            namespace = waiting.pop()
            found += [tuple(table) for table in self.catalog.list_tables(namespace)]
            waiting += [tuple(child) for child in self.catalog.list_namespaces(namespace) if tuple(child) != namespace]
        return sorted(set(found))

    def create(
        self, table: Identifier, schema: pa.Schema, *, partition_by: Sequence[str], sort_by: Sequence[str], properties: Mapping[str, str]
    ) -> TableState:
        """Make a table in Iceberg's format version 2, or load it where somebody else was quicker."""
        if self.create_namespaces:
            self._make_namespace(table[:-1])
        iceberg = layout.iceberg_schema(schema)
        try:
            made = self.catalog.create_table(
                table,
                iceberg,
                partition_spec=layout.partition_spec(iceberg, partition_by) if partition_by else UNPARTITIONED_PARTITION_SPEC,
                sort_order=layout.sort_order(iceberg, sort_by),
                properties={"format-version": "2", "write.parquet.compression-codec": "zstd", **properties},
            )
        except TableAlreadyExistsError:
            return self.load(table)
        except NoSuchNamespaceError:
            raise no_namespace(table) from None
        return state_of(table, made.metadata, made)

    def _make_namespace(self, namespace: Identifier) -> None:
        for depth in range(1, len(namespace) + 1):
            try:
                self.catalog.create_namespace(namespace[:depth])
            except NamespaceAlreadyExistsError:
                continue
            except (IntegrityError, RESTError):  # catalogs look first, then make it: another process may make it in between
                if not self.catalog.namespace_exists(namespace[:depth]):
                    raise

    def require_writable(self, state: TableState) -> None:
        """Raise where the table's format is one that pyiceberg can't write."""
        require_writable(state)

    def alter(self, state: TableState, alterations: Sequence[Alteration]) -> TableState:
        """Change a table's schema, if it is still the state's, in one commit."""
        require_writable(state)
        try:
            layout.alter(state.native, alterations)
        except commits.UNKNOWN as error:  # who asks again sees whether it landed
            raise CommitConflictError(state.label, "the outcome of a schema change is unknown", hint="run it again.") from error
        return self.load(state.name)

    def set_properties(self, state: TableState, updates: Mapping[str, str], *, expect: Mapping[str, str | None]) -> None:
        """Set table properties without a snapshot, by compare and swap."""
        require_writable(state)
        commits.set_properties(state, updates, expect=expect)

    def compact(self, state: TableState, bookmark: Callable[[TableState], BookmarkWriter]) -> list[Landed]:
        """Write small files, and files of which position deletes name rows, anew; no row changes."""
        return compact(self, state, bookmark)

    def expire(self, state: TableState, snapshots: Sequence[int], branches: Sequence[str]) -> int:
        """Let snapshots and branches go, and remove the files that only they named. Gives their number."""
        require_writable(state)
        return expire.expire(state, snapshots, branches)

    def sweep(self, state: TableState, before: datetime, others: Sequence[TableState]) -> int:
        """Remove the files in a table's folders that nothing names and that were written before an instant. Gives their number."""
        return expire.sweep(state, before, [other.native.location() for other in others])

    def frame(self, data: object) -> Frame:
        """Take a user's own frame, evaluated once."""
        table = to_arrow(data)
        schema = storable_schema(table.schema)
        untyped = tuple(field.name for field in table.schema if pa.types.is_null(field.type))
        return Frame(schema, table.cast(schema), untyped)

    def session(self) -> AbstractContextManager[DuckSession]:
        """DuckDB, for one evaluation."""
        return DuckSession(self._instances)


def _sqlite_catalog(folder: Path) -> SqlCatalog:
    """The catalog of a lake in a folder."""
    uri = f"sqlite:///{folder / 'catalog.db'}"
    for attempt in reversed(range(5)):
        try:
            catalog = SqlCatalog(CATALOG_NAME, uri=uri, warehouse=f"file://{folder / 'warehouse'}")
        except OperationalError:  # pyiceberg looks for its tables, then makes them: another process may make them in between
            if not attempt:
                raise
            continue
        # pyiceberg keeps connections open until the catalog is closed, and a lake is never closed.
        catalog.engine.dispose()
        catalog.engine = create_engine(uri, poolclass=NullPool)
        return catalog
    raise AssertionError
