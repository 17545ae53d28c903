"""An Iceberg REST catalog for tests: the server of Iceberg's own test fixtures, with tables in a local folder."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

from pyiceberg.catalog.rest import RestCatalog

from tests.servers.child import ChildServer
from tests.servers.jars import jars

if TYPE_CHECKING:
    from collections.abc import Iterator

JAVA = ("java", "-Xms32m", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn")


class RestServer(ChildServer):
    """One server. It remembers its tables until it ends."""

    @property
    def uri(self) -> str:
        """Its address."""
        return f"http://{self.address}"

    def command(self) -> list[str]:
        return [*JAVA, "-cp", os.pathsep.join(str(jar) for jar in jars("rest")), "org.apache.iceberg.rest.RESTCatalogServer"]

    def environment(self) -> dict[str, str]:
        return {
            "CATALOG_REST_PORT": str(self.port),
            "CATALOG_WAREHOUSE": f"file://{self.home / 'warehouse'}",
            "CATALOG_URI": "jdbc:sqlite::memory:",
            "CATALOG_CLIENTS": "1",  # each connection to such a database has one of its own
            "CATALOG_IO__IMPL": "org.apache.iceberg.hadoop.HadoopFileIO",
        }


def fresh_catalog(server: RestServer) -> Iterator[RestCatalog]:
    """Give the server's catalog, empty; its tables and their files go afterwards."""
    with RestCatalog("lake", uri=server.uri) as catalog:
        yield catalog
        for namespace in catalog.list_namespaces():
            for table in catalog.list_tables(namespace):
                catalog.drop_table(table)
            catalog.drop_namespace(namespace)
    shutil.rmtree(server.home / "warehouse", ignore_errors=True)
