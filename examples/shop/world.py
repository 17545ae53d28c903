"""What happens at the shop, hour by hour: in its PostgreSQL database, at the marketplace, and on its web site."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import attrs


def at(hour: int, minute: int) -> datetime:
    """A time of the day on which it all happens."""
    return datetime(2026, 1, 1, hour, minute, tzinfo=UTC)


SCHEMA = """
CREATE TABLE users (
    user_id bigint PRIMARY KEY, full_name text, email text, phone text, city text,
    last_updated_at timestamptz NOT NULL DEFAULT now());
CREATE TABLE orders (
    order_id bigint PRIMARY KEY, user_id bigint, total numeric(10,2), created_at timestamptz NOT NULL,
    last_updated_at timestamptz NOT NULL DEFAULT now());
"""


@attrs.frozen
class Hour:
    """One hour: statements for PostgreSQL, documents of the marketplace's orders, and events of the web site (bytes: no JSON)."""

    title: str
    sql: str
    documents: tuple[dict[str, Any], ...] = ()
    events: tuple[dict[str, Any] | bytes, ...] = ()


def document(number: int, time: datetime, buyer: dict[str, Any], price: str, quantity: int, **more: Any) -> dict[str, Any]:
    """An order of the marketplace; ``price`` is decimal."""
    return {"_id": f"{number:024x}", "order_time": time, "buyer": buyer, "price": price, "quantity": quantity, **more}


def signup(number: int, time: datetime, visitor: str, **more: Any) -> dict[str, Any]:
    """A visitor of the web site says who they are."""
    return {"event_id": number, "event": "signup", "visitor_id": visitor, "happened_at": time.isoformat(), **more}


def view(number: int, time: datetime, visitor: str, page: str, **more: Any) -> dict[str, Any]:
    """A visitor looks at a page."""
    return {"event_id": number, "event": "view", "visitor_id": visitor, "happened_at": time.isoformat(), "page": page, **more}


HOURS = (
    Hour(
        "first load of all three sources",
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
        (
            document(1, at(8, 20), {"id": "m-1", "name": "LOVELACE, Ada", "email": "ada@example.com"}, "30.00", 1, gift_wrap=True),
            document(2, at(8, 25), {"id": "m-2", "name": "G. Hopper", "email": "hopper@navy.example"}, "12.50", 2, gift_wrap="yes"),
            document(3, at(8, 35), {"id": "m-3", "name": "Joan Clarke", "email": "joan@example.org", "phone": None}, "8.00", 1),
        ),
        (
            signup(1, at(8, 2), "v-1", full_name="ada lovelace", phone="+1 415 555 2671"),
            view(2, at(8, 3), "v-1", "/looms"),
            signup(6, at(8, 4), "v-2", full_name="grace  hopper", email="grace@example.com"),
            b"this message is no JSON",
            view(3, at(8, 45), "v-9", "/compilers"),
        ),
    ),
    Hour(
        "changed rows, deletes, a repeated and a late row; and two people turn out to be one",
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
        (
            document(4, at(9, 20), {"id": "m-2", "name": "G. Hopper", "email": "hopper@navy.example", "phone": "212-555-0175"}, "99.00", 1),
            document(5, at(9, 25), {"id": "m-3", "name": "Joan Clarke", "email": "joan@example.org"}, "8.00", 3),
        ),
        (
            signup(4, at(9, 2), "v-9", full_name="Radia P.", email="RADIA@example.net"),
            view(2, at(8, 3), "v-1", "/looms"),
        ),
    ),
    Hour(
        "the shop begins to note the device of an order, the marketplace coupons",
        """
ALTER TABLE orders ADD COLUMN device_type text;
INSERT INTO orders VALUES (105, 9, 64.00, '2026-01-01 10:00Z', '2026-01-01 10:00Z', 'phone');
UPDATE orders SET device_type = 'desktop', last_updated_at = '2026-01-01 10:05Z' WHERE order_id = 103;
UPDATE users SET full_name = 'Ada King', last_updated_at = '2026-01-01 10:10Z' WHERE user_id = 1;
""",
        (document(6, at(10, 15), {"id": "m-1", "name": "Ada King", "email": "ada@example.com"}, "5.25", 4, coupon="JANUARY"),),
        (view(5, at(10, 20), "v-9", "/bridges", referrer="newsletter"),),
    ),
)
