"""What the tests of MongoDB share: a source for a database, the rows that came of it, and a connection that breaks where it is told to."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import attrs
import pymongo
from pymongo.database import Database

import lakekit as lk
from lakekit import sources
from lakekit.sources.mongo import MongoCollection

INTO = "bronze.mongo_orders"
Market = Database[dict[str, Any]]


def orders(market: Market, uri: str, **options: Any) -> MongoCollection:
    """The collection ``orders`` of a database, as a source."""
    return sources.Mongo(uri, database=market.name, name="market").collection("orders", **options)


def rows(lake: lk.Lake, table: str = INTO) -> list[dict[str, Any]]:
    return lk.read(lake, table).to_arrow().to_pylist() if table in lake.tables() else []


def ids(lake: lk.Lake) -> list[Any]:
    return sorted(row["_id"] for row in rows(lake))


@attrs.define(eq=False)
class Line:
    """A way to a server that breaks for good, once, when so many bytes of answers came through."""

    uri: str
    breaks_after: int
    then: Callable[[], None] = lambda: None
    broken: bool = attrs.field(default=False, init=False)
    _passed: int = attrs.field(default=0, init=False)
    _lock: threading.Lock = attrs.field(factory=threading.Lock, init=False)

    @contextlib.contextmanager
    def open(self) -> Iterator[str]:
        """The URI of this way to the server."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            threading.Thread(target=self._accept, args=(listener,), daemon=True).start()
            login = "".join(self.uri.partition("//")[2].rpartition("@")[:2])
            yield f"mongodb://{login}127.0.0.1:{listener.getsockname()[1]}/?directConnection=true&serverSelectionTimeoutMS=300"
            listener.shutdown(socket.SHUT_RDWR)

    def _accept(self, listener: socket.socket) -> None:
        host, port = pymongo.uri_parser.parse_uri(self.uri)["nodelist"][0]
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                if self.broken:
                    client.close()
                    continue
                server = socket.create_connection((host, port))
                for source, sink, counts in ((client, server, False), (server, client, True)):
                    threading.Thread(target=self._pass, args=(source, sink), kwargs={"counts": counts}, daemon=True).start()

    def _pass(self, source: socket.socket, sink: socket.socket, *, counts: bool) -> None:
        with contextlib.suppress(OSError):
            while sent := source.recv(4096):
                if counts and self._breaks(len(sent)):
                    break
                sink.sendall(sent)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)  # close() alone would wait for the other thread's recv()
            end.close()

    def _breaks(self, size: int) -> bool:
        with self._lock:
            self._passed += size
            if self._passed > self.breaks_after and not self.broken:
                self.broken = True
                self.then()
            return self.broken
