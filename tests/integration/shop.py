"""A shop from PostgreSQL to a star, to be killed and started again; and a picture of its tables that two runs can be compared by."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime, timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

import psycopg

import lakekit as lk
from lakekit import rules, sources
from tests.integration import faults

FIRST_HOUR: Final = datetime(2026, 1, 1, 9, tzinfo=UTC)
SERVER_CLOCK: Final = (datetime(2026, 1, 2, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC))
"""No instant of the data lies in between, so what does comes from the server's clock: when keys were read."""

TABLES: Final = """
CREATE TABLE IF NOT EXISTS users (
    user_id bigint PRIMARY KEY, full_name text, email text, phone text, city text, last_updated_at timestamptz NOT NULL);
CREATE TABLE IF NOT EXISTS orders (
    order_id bigint PRIMARY KEY, user_id bigint, total numeric(10,2), created_at timestamptz NOT NULL, last_updated_at timestamptz NOT NULL);
CREATE TABLE IF NOT EXISTS passed (hour int PRIMARY KEY);
"""
FEW: Final = (
    """
INSERT INTO users VALUES
    (1, '  Ada   Lovelace ', 'Ada@Example.com ', '(415) 555-2671', 'London', '2026-01-01 08:00Z'),
    (2, 'Grace Hopper', 'grace@example.com', '+1 212 555 0175', 'New York', '2026-01-01 08:05Z'),
    (3, 'Alan Turing', 'alan.turing@example.org', '', 'Wilmslow', '2026-01-01 08:10Z'),
    (4, 'Katherine Johnson', 'not an e-mail', '202-555-0143', 'Hampton', '2026-01-01 08:15Z');
INSERT INTO orders VALUES
    (100, 1, 19.90, '2026-01-01 08:30Z', '2026-01-01 08:30Z'),
    (101, 2, 250.00, '2026-01-01 08:40Z', '2026-01-01 08:40Z'),
    (102, 9, 5.00, '2026-01-01 08:50Z', '2026-01-01 08:50Z');
""",
    """
INSERT INTO users VALUES (9, 'Radia Perlman', 'radia@example.net', '617 555 0123', 'Boston', '2026-01-01 09:00Z');
UPDATE users SET city = 'Marylebone', last_updated_at = '2026-01-01 09:10Z' WHERE user_id = 1;
UPDATE users SET email = 'kj@example.com', last_updated_at = '2026-01-01 09:12Z' WHERE user_id = 4;
UPDATE users SET last_updated_at = '2026-01-01 09:15Z' WHERE user_id = 2;
DELETE FROM users WHERE user_id = 3;
DELETE FROM orders WHERE order_id = 101;
INSERT INTO orders VALUES
    (103, 1, 7.50, '2026-01-01 09:05Z', '2026-01-01 09:05Z'),
    (104, 1, 12.00, '2026-01-01 08:45Z', '2026-01-01 08:50Z');
""",
    """
ALTER TABLE orders ADD COLUMN device_type text;
INSERT INTO orders VALUES (105, 9, 64.00, '2026-01-01 10:00Z', '2026-01-01 10:00Z', 'phone');
UPDATE orders SET device_type = 'desktop', last_updated_at = '2026-01-01 10:05Z' WHERE order_id = 103;
UPDATE users SET full_name = 'Ada King', last_updated_at = '2026-01-01 10:10Z' WHERE user_id = 1;
""",
)
"""What happens in each hour: deletes, a late row, a repeated row, a user who orders before they are known, a new column."""

# The user who returns does so later than the server's clock, by which the delete is dated. A cursor from the future moves the bookmark at each
# run, so he is not among the few.
MORE: Final = (
    """
INSERT INTO users SELECT n, 'Person ' || n, 'person' || n || '@example.com', NULL, 'Town ' || n % 7, '2026-01-01 08:20Z'
    FROM generate_series(1000, 1999) n;
INSERT INTO orders SELECT n, 900 + n % 1200, n % 90, '2026-01-01 08:50Z', '2026-01-01 08:55Z' FROM generate_series(10000, 15999) n;
""",
    """
UPDATE users SET city = 'Town 0', last_updated_at = '2026-01-01 09:20Z' WHERE user_id % 5 = 0;
UPDATE orders SET total = total + 1, last_updated_at = '2026-01-01 09:30Z' WHERE order_id % 11 = 0;
DELETE FROM users WHERE user_id BETWEEN 1100 AND 1149;
DELETE FROM orders WHERE order_id % 13 = 0;
INSERT INTO orders VALUES (20000, 77777, 1.00, '2026-01-01 09:40Z', '2026-01-01 09:40Z');
""",
    """
INSERT INTO users VALUES (77777, 'Late Comer', NULL, NULL, 'Town 1', '2026-01-01 10:20Z');
INSERT INTO users VALUES (3, 'Alan Turing', 'alan@example.org', NULL, 'Bletchley', '2100-06-01 12:00Z');
DELETE FROM users WHERE user_id = 1999;
DELETE FROM orders WHERE order_id = 15999;
""",
)
MANY: Final = tuple(few + more for few, more in zip(FEW, MORE, strict=True))


def let_pass(dsn: str, hour: int, hours: Sequence[str]) -> None:
    """Let an hour pass in the database, once however often it is called."""
    with psycopg.connect(dsn) as connection:
        connection.execute(TABLES)
        if connection.execute("INSERT INTO passed VALUES (%s) ON CONFLICT DO NOTHING", (hour,)).rowcount:
            connection.execute(hours[hour])


def current_hour(dsn: str) -> int:
    """The last hour that has passed in the database. Before the first one: 0."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(TABLES)
        return int(connection.execute("SELECT coalesce(max(hour), 0) FROM passed").fetchall()[0][0])


def bronze(lake: lk.Lake, dsn: str, hour: int) -> None:
    shop, now, half = sources.Postgres(dsn, name="shop"), FIRST_HOUR + timedelta(hours=hour), lk.Deletes(max_fraction=0.5)
    users, orders = (shop.table(name, cursor="last_updated_at") for name in ("users", "orders"))
    lk.ingest(lake, users, into="bronze.users", now=now)
    lk.ingest(lake, orders, into="bronze.orders", now=now)
    lk.ingest_deletes(lake, users, into="bronze.users", deletes=half, now=now)
    lk.ingest_deletes(lake, orders, into="bronze.orders", deletes=half, now=now)


def silver_users(lake: lk.Lake) -> None:
    users = lk.latest(lk.read_new(lake, "bronze.users", into="silver.users"), key="user_id")
    email = [rules.trim(), rules.empty_to_null(), rules.email()]
    phone = [rules.empty_to_null(), rules.phone("US")]
    lk.merge(lk.clean(users, {"full_name": rules.squash_spaces(), "email": email, "phone": phone}), key="user_id")


def silver_orders(lake: lk.Lake) -> None:
    orders = lk.read_new(lake, "bronze.orders", into="silver.orders")
    orders = lk.select(orders, {"order_id": "order_id", "user_id": "user_id", "amount": "total", "ordered_at": "created_at"}, rest="keep")
    lk.merge(orders, key="order_id")


def dim_users(lake: lk.Lake) -> None:
    users = lk.read_new(lake, "bronze.users", into="gold.dim_users")
    users = lk.select(users, {name: name for name in ("user_id", "full_name", "email", "city")} | {"at": "_source_timestamp"})
    lk.merge_scd2(users, key="user_id", effective_at="at", track=("full_name", "email", "city"), surrogate_key="user_key")


def fact_orders(lake: lk.Lake) -> None:
    facts = lk.read_new(lake, "silver.orders", into="gold.fact_orders")
    facts = lk.lookup(facts, "gold.dim_users", on="user_id", at="ordered_at", take="user_key", missing="infer")
    lk.merge(facts, key="order_id")


def run_hour(folder: Path, dsn: str, hour: int, at: Any = None) -> list[float]:
    """What is to be done in an hour. Returns how many seconds after the start each step was done.

    Args:
        folder: Where the lake is.
        dsn: Where the shop is.
        hour: Which hour.
        at: A number shared with other processes: the step to begin with. It is kept at the step that is being done.
    """
    began = time.perf_counter()
    lake = _connect(folder)
    steps: list[Callable[[], None]] = [lambda: bronze(lake, dsn, hour)]
    steps += [lambda step=step: step(lake) for step in (silver_users, silver_orders, dim_users, fact_orders)]
    done = []
    for number in range(at.value if at else 0, len(steps)):
        if at:
            at.value = number
        steps[number]()
        done.append(time.perf_counter() - began)
    return done


def _connect(folder: Path) -> lk.Lake:
    """The lake. What it spills is left behind by a process that is killed: in the test's own folder."""
    spill = folder / "spill"
    spill.mkdir(parents=True, exist_ok=True)
    return lk.connect(folder, spill_directory=spill)


def run_hour_and_die(folder: Path, dsn: str, hour: int, at: Any, known: Collection[str], told: Connection) -> None:
    """The same, until the first point of a write that is not known."""
    _connect(folder)
    faults.die_at_first_unknown(known, folder, told.send)
    run_hour(folder, dsn, hour, at)


def run_all(folder: Path, dsn: str) -> None:
    """The whole demo, from the hour on that the database is in."""
    for hour in range(current_hour(dsn), len(MANY)):
        let_pass(dsn, hour, MANY)
        run_hour(folder, dsn, hour)


def picture(folder: Path) -> dict[str, Any]:
    """Every table of the lake: its columns, its rows, and what each of its snapshots did.

    What differs from run to run is told by its place instead: an instant of the server's clock by its place among all of them, snapshots and
    writes by their place in the table's history, a table by its name. So rows written together, or at one instant, must be so in both runs.
    """
    lake = lk.connect(folder)
    tables = {name: lk.read(lake, name, deleted=True).to_arrow() for name in lake.tables()}
    instants = sorted({instant for rows in tables.values() for instant in _walk(rows.to_pylist()) if _is_servers(instant)})
    places: dict[Any, str] = {instant: f"instant {number}" for number, instant in enumerate(instants)}
    for name in tables:
        places[lake.load(name, place="picture").uuid] = name
        for number, commit in enumerate(lk.history(lake, name)[::-1]):
            places[commit.write_id] = f"write {number}"
            places[str(commit.snapshot_id)] = f"snapshot {number}"
    names = re.compile("|".join(place for place in places if isinstance(place, str)))
    found: dict[str, Any] = {}
    for name, rows in tables.items():
        kept = rows.drop_columns([column for column in rows.column_names if column == "_reject_id"])  # a hash of what is replaced
        found[name] = {
            "columns": [(field.name, str(field.type)) for field in rows.schema],
            "rows": sorted((_placed(row, places, names) for row in kept.to_pylist()), key=repr),
            "snapshots": [
                (c.read, c.inserted, c.updated, c.deleted, c.unchanged, c.late, c.rejected, c.removed) for c in lk.history(lake, name)[::-1]
            ],
        }
    return found


def upserts(folder: Path) -> list[tuple[str, int]]:
    """Which write each upsert of bronze bears. A function of the source alone: the same in every lake."""
    lake = lk.connect(folder)
    tables = [lk.read(lake, f"bronze.{name}").to_arrow() for name in ("users", "orders")]
    return sorted((str(row), row["_write_id"]) for rows in tables for row in rows.to_pylist() if row["_operation"] == "upsert")


def _is_servers(value: object) -> bool:
    return isinstance(value, datetime) and value.tzinfo is not None and SERVER_CLOCK[0] < value < SERVER_CLOCK[1]


def _walk(value: object) -> list[Any]:
    if isinstance(value, dict):
        return [leaf for item in value.values() for leaf in _walk(item)]
    return [leaf for item in value for leaf in _walk(item)] if isinstance(value, list) else [value]


def _placed(value: Any, places: dict[Any, str], names: re.Pattern[str]) -> Any:
    if isinstance(value, dict):
        return {
            name: places[item] if name in {"_write_id", "_run"} and item is not None else _placed(item, places, names)
            for name, item in value.items()
        }
    if isinstance(value, list):
        return [_placed(item, places, names) for item in value]
    if isinstance(value, str):
        return names.sub(lambda found: places[found[0]], value)
    return places.get(value, value) if isinstance(value, datetime) else value
