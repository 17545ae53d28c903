"""The documentation's pages whose code needs a server, run against one: all blocks of a page, in order, in a folder of its own."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pyiceberg.catalog
import pytest
from pyiceberg.utils.config import Config

import lakekit as lk
from examples.shop import world
from lakekit.errors import SourceConfigError
from tests import pages
from tests.integration.sources.kafka_topics import Topic

if TYPE_CHECKING:
    from pymongo.database import Database

    from tests.servers.kafka import KafkaServer
    from tests.servers.rest import RestServer
    from tests.servers.s3 import S3Server

MORE_TYPES = """
ALTER TABLE orders ADD amount numeric, ADD legacy_code text, ADD order_uuid text, ADD grid int[], ADD opened timestamptz;
UPDATE orders SET amount = 1.50, legacy_code = '7', order_uuid = '12345678-1234-5678-1234-567812345678', grid = '{{1,2},{3,4}}', opened = 'infinity';
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def needing(server: str) -> pytest.MarkDecorator:
    """All pages with a block that needs this server."""
    return pytest.mark.parametrize("page", [page for page in pages.PAGES if server in pages.needs(page)], ids=pages.name)


def run(page: Path, addresses: Mapping[str, str], *, but: str | None = None) -> dict[str, Any]:
    """Run a page's code, with the addresses of servers that are there in the place of those it shows, and without the blocks that need ``but``."""
    code = [block.code for block in pages.blocks(page) if but is None or block.needs != but]
    text = "\n\n".join(code)
    assert all(address in text for address in addresses), "the page shows other addresses than this test replaces"
    return pages.run([pages.replaced(part, addresses) for part in code], page)


@needing("postgres")
def test_the_pages_on_postgres_run(page: Path, database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(world.SCHEMA)
        connection.execute(world.HOURS[0].sql)
        if page.stem == "postgres-types":
            connection.execute(MORE_TYPES)
    run(page, {"postgresql://reader@db/shop": database})
    lake = lk.connect("lake")
    assert {lk.read(lake, table).count() for table in lake.tables() if "orders" in table} == {3}


@needing("mongo")
def test_the_pages_on_mongo_run(page: Path, mongo: str, market: Database[dict[str, Any]]) -> None:
    document = {"order_time": datetime(2026, 1, 1, tzinfo=UTC), "price": "1.50", "payload": {"any": 1}, "by_day": {"2026-01-01": 3}}
    market["orders"].insert_many([{"_id": number, **document} for number in range(3)])
    given = run(page, {"mongodb://reader@db": mongo, 'database="market"': f'database="{market.name}"'}, but="replica set")
    assert lk.read(given["lake"], "bronze.mongo_orders").count() == 3
    for block in pages.blocks(page):
        if block.needs == "replica set" and "MONGO_URI" in os.environ:
            pages.run([block.code], page, given)
        elif block.needs == "replica set":
            with pytest.raises(SourceConfigError, match="no change streams"):
                pages.run([block.code], page, given)


@needing("kafka")
def test_the_pages_on_kafka_run(page: Path, kafka: KafkaServer) -> None:
    topic = Topic(kafka.servers)
    if page.stem == "cdc":
        name = '"shop.public.users"'
        for number, operation in enumerate("cu"):
            after = {"id": 1, "name": "Ada", "balance": "BOI=", "updated_at": f"2026-01-01T0{number}:00:00Z"}
            source = {
                "connector": "postgresql",
                "schema": "public",
                "table": "users",
                "lsn": number,
                "ts_us": 1_767_225_600_000_000 + number,
            }
            topic.send({"before": None, "after": after, "source": source, "op": operation}, key=b'{"id":1}')
    else:
        name = '"events"'
        topic.send(*({"event_id": number, "price": "1.50", "at": "2026-01-01T10:00:00Z"} for number in range(3)))
    lake = run(page, {"broker:9092": kafka.servers, name: f'"{topic.name}"'})["lake"]
    if page.stem == "cdc":
        assert {table: lk.read(lake, table).count() for table in lake.tables()} == {
            "bronze.users": 2,
            "gold.dim_users": 2,
            "silver.users": 1,
        }
    else:
        assert lk.read(lake, "bronze.kafka_events").count() == 3


def configured(page: Path, settings: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """What a page shows of .pyiceberg.yaml, with other values for some of its settings, as pyiceberg finds it."""
    (shown,) = re.findall(r"^```yaml\n(.*?)^```$", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    kept = [line for line in shown.splitlines() if line.strip().partition(":")[0] not in settings]
    Path(".pyiceberg.yaml").write_text("\n".join([*kept, *(f"    {name}: {value}" for name, value in settings.items())]))
    monkeypatch.setenv("PYICEBERG_HOME", str(Path.cwd()))
    monkeypatch.setattr(pyiceberg.catalog, "_ENV_CONFIG", Config())


@needing("s3")
def test_the_pages_on_s3_run(page: Path, s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    configured(page, {"uri": f"sqlite:///{Path.cwd()}/catalog.db", "warehouse": s3.new_warehouse(), **s3.properties}, monkeypatch)
    run(page, {})


@needing("rest")
def test_the_pages_on_a_rest_catalog_run(page: Path, rest: RestServer, rest_catalog: object, monkeypatch: pytest.MonkeyPatch) -> None:
    configured(page, {"uri": rest.uri}, monkeypatch)
    given = run(page, {})
    given["catalog"].close()
