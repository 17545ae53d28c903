"""PostgreSQL for tests: the server of the shop example, and databases that come and go."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
from psycopg import sql

from examples.shop.postgres import PostgresServer

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["PostgresServer", "debian_binaries", "fresh_database"]

_numbers = itertools.count(1)


def debian_binaries() -> Path | None:
    """The folder of the newest PostgreSQL that Debian's packages installed. None: there is none, and pip's has to do."""
    found = Path("/usr/lib/postgresql").glob("*/bin")
    return max((folder for folder in found if (folder / "initdb").exists()), key=lambda folder: float(folder.parent.name), default=None)


def fresh_database(server: PostgresServer) -> Iterator[str]:
    """Give the connection string of a new, empty database, which goes afterwards with its slots and its connections."""
    name = f"test_{next(_numbers)}"
    quoted = sql.Identifier(name)
    with psycopg.connect(server.dsn, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(quoted))
    yield server.dsn_of(name)
    with psycopg.connect(server.dsn, autocommit=True) as connection:
        connection.execute("SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE database = %s AND active", (name,))
        connection.execute("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = %s", (name,))
        for (transaction,) in connection.execute("SELECT gid FROM pg_prepared_xacts WHERE database = %s", (name,)).fetchall():
            with psycopg.connect(server.dsn_of(name), autocommit=True) as inside:
                inside.execute(sql.SQL("ROLLBACK PREPARED {}").format(sql.Literal(transaction)))
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(quoted))
