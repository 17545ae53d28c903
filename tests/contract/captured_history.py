"""What was done to the database whose changes `tests/fixtures/debezium` holds, done again: each row as PostgreSQL had it when it last changed.

A change log tells of rows, not of tables: a column that is renamed, or added with a default, shows in a row once that row changes. So what a
table made of the log must hold is each row's last image, not the table's last row.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import psycopg

ROW = {
    "email": "'{mail}@example.com'",
    "bio": "'hi'",
    "balance": "1234567890.12",
    "score": "3.14159265358979323846",
    "small": "7",
    "price": "0.1",
    "flag": "true",
    "uid": "'6f1b2c3d-0000-4000-8000-{id:012d}'",
    "props": """'{{"a": 1, "b": [true, null]}}'""",
    "tags": "ARRAY['x','y z']",
    "payload": "'\\x00ff10'",
    "feeling": "'happy'",
    "span": "interval '1 year 2 days 03:04:05.678901'",
    "birth": "'1990-02-28'",
    "wake": "'07:30:00.123456'",
    "local_ts": "'2026-01-02 03:04:05.678901'",
    "local_ts3": "'2026-01-02 03:04:05.678'",
    "last_updated_at": "'2026-01-02 10:00:00.123456+07'",
}
LONG = "(SELECT string_agg(md5(g::text),'') FROM generate_series(1,100) g)"
NULLS = {name: "NULL" for name in ROW if name != "last_updated_at"}


def user(id: int, name: str, *, without: str = "", **values: str) -> str:
    row = {column: words.format(id=id, mail=name.lower()) for column, words in {**ROW, **values}.items() if column != without}
    return f"INSERT INTO users (id, name, {', '.join(row)}) VALUES ({id}, '{name}', {', '.join(row.values())})"


TABLES = """
CREATE TYPE mood AS ENUM ('sad','ok','happy');
CREATE TABLE users (id bigint PRIMARY KEY, name text NOT NULL, email varchar(200), bio text, balance numeric(12,2), score numeric, small smallint,
  price double precision, flag boolean, uid uuid, props jsonb, tags text[], payload bytea, feeling mood, span interval, birth date, wake time,
  local_ts timestamp, local_ts3 timestamp(3), last_updated_at timestamptz NOT NULL);
CREATE TABLE orders (id bigint PRIMARY KEY, user_id bigint, amount numeric(12,2), status text, last_updated_at timestamptz NOT NULL);
CREATE TABLE users_full (id bigint PRIMARY KEY, name text, bio text, last_updated_at timestamptz);
CREATE TABLE events_nopk (name text, n int);
CREATE TABLE specials (id int PRIMARY KEY, ts timestamp, tstz timestamptz, d date, f double precision, num numeric);
"""
KEYED = ("users", "orders", "users_full", "specials")
TRANSACTIONS: tuple[tuple[str, ...], ...] = (
    (user(1, "Ann"),),
    (user(2, "Bob", **NULLS),),
    (user(3, "Chi", balance="-0.01", score="1e3", local_ts="'1969-12-31 23:59:59.999999'"),),
    ("INSERT INTO orders VALUES (100,1,10.50,'new','2026-01-02T00:00:00Z'),(101,2,0,'new','2026-01-02T00:00:00.5Z')",),
    ("INSERT INTO users_full VALUES (1,'Ann',repeat('abcdefgh',1000),'2026-01-02T00:00:00Z')",),
    ("INSERT INTO events_nopk VALUES ('snap',1)",),
    (user(4, "Dan"),),
    ("INSERT INTO orders VALUES (102,4,99.99,'new','2026-01-03T00:00:00Z')",),
    ("UPDATE users SET name='Dan2', balance=5, last_updated_at='2026-01-03 00:00:00+00' WHERE id=4",),
    ("UPDATE orders SET status='paid' WHERE id=102",),
    (user(5, "Eve", bio=LONG),),
    ("UPDATE users SET name='Eve2' WHERE id=5",),
    ("UPDATE users_full SET name='Ann2' WHERE id=1",),
    ("UPDATE users SET bio='short now' WHERE id=5",),
    (f"UPDATE users SET bio={LONG} WHERE id=5",),
    ("DELETE FROM users WHERE id=4",),
    ("DELETE FROM users_full WHERE id=1",),
    ("UPDATE users SET id=50 WHERE id=5",),
    (user(6, "Fay"),),
    ("DELETE FROM users WHERE id=6",),
    (user(6, "Fay-again"),),
    tuple(f"UPDATE users SET name='Ann-{letter}' WHERE id=1" for letter in "abc"),
    (user(7, "Gus"), "INSERT INTO orders VALUES (103,7,1.00,'new','2026-01-04T00:00:00Z')", "UPDATE orders SET status='paid' WHERE id=103"),
    (user(8, "Rollback"), "ROLLBACK"),
    ("ALTER TABLE users ADD COLUMN phone text",),
    ("UPDATE users SET phone='+62' WHERE id=1",),
    (user(9, "Hal", phone="'+1'"),),
    ("ALTER TABLE users ADD COLUMN country text NOT NULL DEFAULT 'ID'",),
    (user(10, "Ivy"),),
    ("UPDATE users SET name='Bob2' WHERE id=2",),
    ("ALTER TABLE users DROP COLUMN email",),
    (user(11, "Jon", without="email"),),
    ("ALTER TABLE users ALTER COLUMN small TYPE integer",),
    (user(12, "Kim", without="email", small="100000"),),
    ("ALTER TABLE users RENAME COLUMN phone TO phone_number",),
    ("UPDATE users SET phone_number='+65' WHERE id=1",),
    ("INSERT INTO events_nopk VALUES ('a',1),('a',1)",),
    ("UPDATE users SET name='' WHERE id=2",),
    ("UPDATE users SET name=E'Žofia 🦉 \"q\" \\\\ \\t' WHERE id=2",),
    (
        "INSERT INTO specials VALUES (1,'infinity','-infinity','infinity','NaN',1)",
        "INSERT INTO specials VALUES (2,'0044-03-15 00:00:00 BC','0044-03-15 00:00:00+00 BC','0044-03-15 BC','Infinity',2)",
        "INSERT INTO specials VALUES (3,'9999-12-31 23:59:59.999999','9999-12-31 23:59:59.999999+00','9999-12-31','-Infinity',1e-10)",
    ),
    ("TRUNCATE orders",),
    ("INSERT INTO specials (id,num) VALUES (4,'NaN')",),
)

Image = Mapping[str, str | None]


Images = dict[str, dict[int, Image]]


def images(dsn: str, *, truncates: bool = True) -> Images:
    """By table and key, each row that lives at the end as it was when it last changed, its values as PostgreSQL's text.

    ``truncates``: whether the change log tells of these; where not, their rows live on.
    """
    found: Images = {table: {} for table in KEYED}
    versions: dict[tuple[str, int], str] = {}
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(TABLES)
        for statements in TRANSACTIONS:
            if statements[0].startswith("TRUNCATE") and not truncates:
                continue
            connection.execute("BEGIN")
            for statement in statements:
                connection.execute(statement)
            connection.execute("COMMIT" if statements[-1] != "ROLLBACK" else "SELECT 1")
            for table in KEYED:
                rows = list(_rows(connection, table))
                for key, version, image in rows:
                    if versions.get((table, key)) != version and not statements[0].startswith("ALTER"):
                        found[table][key] = image
                    versions[table, key] = version
                there = {key for key, _, _ in rows}
                found[table] = {key: image for key, image in found[table].items() if key in there}
    return found


def _rows(connection: psycopg.Connection[Any], table: str) -> Iterator[tuple[int, str, Image]]:
    """Key, version and image of each row."""
    columns = [
        name
        for (name,) in connection.execute(
            f"SELECT column_name FROM information_schema.columns WHERE table_name = '{table}' ORDER BY ordinal_position"
        )
    ]
    texts = {"tags": "to_json(tags)::text", "span": "(extract(epoch FROM span) * 1000000)::bigint::text"}
    listed = ", ".join(texts.get(name, f"{name}::text") for name in columns)
    for row in connection.execute(f"SELECT id, xmin::text || ctid::text, {listed} FROM {table}"):
        yield row[0], row[1], dict(zip(columns, row[2:], strict=True))
