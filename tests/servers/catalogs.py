"""pyiceberg's catalogs over the servers: what `lakekit.connect` takes beside a folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyiceberg.catalog.sql import SqlCatalog

if TYPE_CHECKING:
    from pyiceberg.table import Table

    from tests.servers.s3 import S3Server


def on_postgres(dsn: str, folder: Path) -> SqlCatalog:
    """A catalog in a database of PostgreSQL; its tables are in a folder."""
    return SqlCatalog("lake", uri=dsn.replace("postgresql:", "postgresql+psycopg:", 1), warehouse=f"file://{folder / 'warehouse'}")


def on_s3(server: S3Server, folder: Path) -> SqlCatalog:
    """A catalog in a file of SQLite in a folder; its tables are on S3."""
    return SqlCatalog("lake", uri=f"sqlite:///{folder / 'catalog.db'}", warehouse=server.new_warehouse(), **server.properties)


def of_merge_on_read(folder: Path) -> SqlCatalog:
    """A catalog in a folder all of whose tables note the positions of rows that are gone, and write no file anew."""
    return _MergeOnRead("lake", uri=f"sqlite:///{folder / 'catalog.db'}", warehouse=f"file://{folder / 'warehouse'}")


class _MergeOnRead(SqlCatalog):
    def create_table(self, *arguments: Any, properties: dict[str, str] | None = None, **named: Any) -> Table:
        return super().create_table(*arguments, properties={"write.merge.mode": "merge-on-read", **(properties or {})}, **named)
