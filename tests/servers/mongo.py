"""MongoDB for tests: a real server where ``MONGO_URI`` names one, otherwise a stand-in that speaks its protocol.

    with MongoServer() as server:
        pymongo.MongoClient(server.uri)

The stand-in is mongo-java-server with what ``MongoMain.java`` adds. It runs as a child of this process, on a free port of the loopback
address, and holds its data in memory. It has no users, no transactions and no change streams.
"""

from __future__ import annotations

import itertools
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pymongo

from tests.servers.child import ChildServer
from tests.servers.jars import jars

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pymongo.database import Database

MAIN = Path(__file__).with_name("MongoMain.java")
JAVA = ("java", "-Xms32m", "-Xmx1g", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dorg.slf4j.simpleLogger.defaultLogLevel=error")

_numbers = itertools.count(1)


class MongoServer(ChildServer):
    """One stand-in for MongoDB, gone at the end of the ``with`` block. With the server goes its data."""

    @property
    def uri(self) -> str:
        """The connection string."""
        return f"mongodb://{self.address}"

    def command(self) -> list[str]:
        return [*JAVA, "-cp", os.pathsep.join(str(jar) for jar in jars("mongo")), str(MAIN), str(self.port)]


def fresh_database(uri: str) -> Iterator[Database[dict[str, Any]]]:
    """Give a new, empty database, which is dropped afterwards."""
    with pymongo.MongoClient[dict[str, Any]](uri, uuidRepresentation="standard") as client:
        name = f"lakekit_test_{os.getpid()}_{next(_numbers)}"
        client.drop_database(name)
        yield client[name]
        client.drop_database(name)
