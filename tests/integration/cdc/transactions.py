"""Random transactions on a table: large values that stay, keys that change, rows that come again, columns that come and go, and all that is rolled back."""

from __future__ import annotations

import random
import threading
from typing import Any

import psycopg
from psycopg import sql

TABLE = """
CREATE TABLE users (id bigint PRIMARY KEY, name text NOT NULL, bio text, about jsonb, photo bytea, tags text[], numbers int[], codes uuid[],
  balance numeric(12, 2), born date, small int, updated_at timestamptz NOT NULL DEFAULT now());
"""
LARGE = ("bio", "about", "photo", "tags", "numbers", "codes")
MOST = 40  # rows


class Writer:
    """Changes the table in a thread of its own, until it is asked to stop."""

    def __init__(self, dsn: str, seed: int) -> None:
        self._dsn, self._random = dsn, random.Random(seed)
        self._stop, self._thread = threading.Event(), threading.Thread(target=self._run, daemon=True)
        self._error: BaseException | None = None
        self._columns: list[str] = []
        self.transactions = 0
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute(TABLE)
            for name in LARGE:
                connection.execute(sql.SQL("ALTER TABLE users ALTER COLUMN {} SET STORAGE EXTERNAL").format(sql.Identifier(name)))

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            with psycopg.connect(self._dsn) as connection:
                while not self._stop.wait(self._random.uniform(0, 0.05)):
                    self._transaction(connection)
                    self.transactions += 1
        except BaseException as error:  # noqa: BLE001 -- stop() raises it
            self._error = error

    def _transaction(self, connection: psycopg.Connection[Any]) -> None:
        chance = self._random.random()
        if chance < 0.01:
            self._alter(connection)
        elif chance < 0.015:
            connection.execute("TRUNCATE users")
        for _ in range(self._random.randint(1, 4)):
            if self._random.random() < 0.2:
                connection.execute("SAVEPOINT here")
                self._change(connection)
                connection.execute("ROLLBACK TO here" if self._random.random() < 0.5 else "RELEASE here")
            else:
                self._change(connection)
        connection.rollback() if self._random.random() < 0.1 else connection.commit()

    def _alter(self, connection: psycopg.Connection[Any]) -> None:
        if len(self._columns) > 3:
            connection.execute(sql.SQL("ALTER TABLE users DROP COLUMN {}").format(sql.Identifier(self._columns.pop(0))))
        elif self._random.random() < 0.2:
            connection.execute("ALTER TABLE users ALTER COLUMN small TYPE bigint")
        else:
            self._columns.append(f"more_{self.transactions}")
            connection.execute(sql.SQL("ALTER TABLE users ADD COLUMN {} text").format(sql.Identifier(self._columns[-1])))
        connection.commit()

    def _change(self, connection: psycopg.Connection[Any]) -> None:
        draw, one, other = self._random.random(), self._random.randint(1, MOST), self._random.randint(1, MOST)
        if draw < 0.3:
            names = ["id", *LARGE, "name", "balance", "born", "small"]
            values = [one, *(self._large(name) for name in LARGE), f"n{draw}", round(draw * 100, 2), "1990-02-28", one]
            connection.execute(
                f"INSERT INTO users ({', '.join(names)}) VALUES ({', '.join(['%s'] * len(names))}) ON CONFLICT DO NOTHING", values
            )
        elif draw < 0.6:
            connection.execute("UPDATE users SET name = %s, updated_at = now() WHERE id = %s", (f"n{draw}", one))
        elif draw < 0.75:
            column = self._random.choice([*LARGE, *self._columns])
            value = self._large(column) if column in LARGE else f"v{draw}"
            connection.execute(sql.SQL("UPDATE users SET {} = %s WHERE id = %s").format(sql.Identifier(column)), (value, one))
        elif draw < 0.9:
            connection.execute(
                "UPDATE users SET id = %s WHERE id = %s AND NOT EXISTS (SELECT 1 FROM users WHERE id = %s)", (other, one, other)
            )
        else:
            connection.execute("DELETE FROM users WHERE id = %s", (one,))

    def _large(self, name: str) -> Any:
        """A value that PostgreSQL stores apart, or a small one, or none."""
        draw, size = self._random.random(), self._random.randint(3_000, 9_000)
        if draw < 0.15:
            return None
        text = "".join(self._random.choices("abcdefgh", k=3 if draw < 0.3 else size))
        if name == "about":
            return f'{{"text": "{text}"}}'
        if name == "photo":
            return text.encode()
        if name == "tags":
            return [text[start : start + 100] for start in range(0, len(text), 100)]
        if name == "numbers":
            return [ord(letter) for letter in text]
        if name == "codes":
            return [f"00000000-0000-4000-8000-{ord(letter):012d}" for letter in text[:700]]
        return text


def rows(dsn: str) -> dict[int, dict[str, Any]]:
    """The table, by key, as plain values."""
    with psycopg.connect(dsn) as connection:
        cursor = connection.execute("SELECT *, about::text AS about, codes::text[] AS codes FROM users")
        names = [column.name for column in cursor.description or ()]
        return {row[0]: dict(zip(names, row, strict=True)) for row in cursor}
