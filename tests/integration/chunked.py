"""A first load in chunks, to be killed and begun again; and a way between reader and server that can be cut."""

from __future__ import annotations

import select
import socket
import struct
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final

import psycopg

import lakekit as lk
from lakekit import sources
from lakekit.sources.postgres import PostgresTable
from tests.integration import faults

INTO: Final = "bronze.items"
CHUNK: Final = 1_000
NOW: Final = datetime(2026, 1, 1, tzinfo=UTC)


def fill(dsn: str, rows: int) -> None:
    """A table to load: 100 bytes a row."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("CREATE TABLE items (id int PRIMARY KEY, name text, filler text, at timestamptz NOT NULL)")
        connection.execute(
            "INSERT INTO items SELECT n, 'item ' || n, repeat(md5(n::text), 3), '2026-01-01Z'::timestamptz - n * interval '1 s'"
            " FROM generate_series(1, %s) n",
            (rows,),
        )


def table(dsn: str, *, readers: int = 1, chunk_rows: int = CHUNK) -> PostgresTable:
    return sources.Postgres(dsn, name="shop").table("items", cursor="at", chunk_rows=chunk_rows, readers=readers)


def load(folder: Path, dsn: str, readers: int) -> int:
    """How many rows came in."""
    return lk.ingest(lk.connect(folder), table(dsn, readers=readers), into=INTO, now=NOW).inserted


def load_and_die(folder: Path, dsn: str, known: Collection[str], told: Connection) -> int:
    """The same, until the first point of a write that is not known."""
    lk.connect(folder)
    faults.die_at_first_unknown(known, folder, told.send)
    return load(folder, dsn, 1)


@contextmanager
def cut_off(dsn: str, *, after: int) -> Iterator[str]:
    """The same server, by a way that is reset once so many bytes have come from it: neither side is told more."""
    login, _, rest = dsn.rpartition("@")
    address, _, database = rest.partition("/")
    host, _, port = address.partition(":")
    left = [after]
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def take() -> None:
            with suppress(OSError):
                while True:
                    client, _ = listening.accept()
                    server = socket.create_connection((host, int(port)))
                    threading.Thread(target=_pass, args=(client, server, still), daemon=True).start()

        def still(count: int) -> bool:
            left[0] -= count
            return left[0] > 0

        threading.Thread(target=take, daemon=True).start()
        yield f"{login}@127.0.0.1:{listening.getsockname()[1]}/{database}"


def _pass(client: socket.socket, server: socket.socket, still: Callable[[int], bool]) -> None:
    other = {client: server, server: client}
    with suppress(OSError):
        going = True
        while going:
            for end in select.select([client, server], [], [])[0]:
                data = end.recv(65_536)
                going = bool(data) and (end is client or still(len(data)))
                if going:
                    other[end].sendall(data)
    for end in other:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # close() then resets
        end.close()
