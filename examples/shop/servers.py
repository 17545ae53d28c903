"""The shop's three systems, with an hour of the world let into them: PostgreSQL, the marketplace's MongoDB, and Kafka."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import attrs
import psycopg
import pyarrow as pa

from examples.shop import world
from examples.shop.kafka import KafkaBus, MockKafka
from examples.shop.pipeline import DOCUMENTS, EVENTS, TOPIC, Systems
from examples.shop.postgres import PostgresServer
from lakekit import sources
from lakekit.sources.protocol import Source


class Market(Protocol):
    """Where the marketplace keeps its orders."""

    name: str
    orders: Source

    def insert(self, documents: tuple[dict[str, Any], ...]) -> None:
        """Let it have these orders."""
        ...


class MongoMarket:
    """A MongoDB server, or what stands in for one."""

    def __init__(self, uri: str, name: str, *, database: str = "lakekit_shop") -> None:
        """Empty the database."""
        import pymongo

        self.name = name
        self._client: pymongo.MongoClient[dict[str, Any]] = pymongo.MongoClient(uri)
        self._database = database
        self._client.drop_database(database)
        source = sources.Mongo(uri, database=database, name="market")
        self.orders: Source = source.collection("orders", cursor="order_time", schema=DOCUMENTS)

    def insert(self, documents: tuple[dict[str, Any], ...]) -> None:
        """Insert them with MongoDB's own types."""
        from bson import Decimal128, ObjectId

        rows = [{**found, "_id": ObjectId(found["_id"]), "price": Decimal128(found["price"])} for found in documents]
        if rows:
            self._client[self._database]["orders"].insert_many(rows)

    def close(self) -> None:
        """Leave nothing behind."""
        self._client.drop_database(self._database)
        self._client.close()


class FileMarket:
    """The same documents as JSON lines, one file an hour, for machines without Java and MongoDB."""

    def __init__(self, folder: Path, why: str) -> None:
        """Make the folder."""
        self.name = f"an export of JSON lines (no MONGO_URI, and {why})"
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        buyer = pa.struct([(name, pa.string()) for name in ("id", "name", "email", "phone")])
        schema = {
            "_id": pa.string(),
            "order_time": pa.timestamp("us", tz="UTC"),
            "buyer": buyer,
            "price": pa.string(),
            "quantity": pa.int64(),
        }
        columns = pa.schema([*schema.items(), ("coupon", pa.string())])
        self.orders: Source = sources.Files(folder / "*.jsonl", format="json", schema=columns, primary_key="_id")

    def insert(self, documents: tuple[dict[str, Any], ...]) -> None:
        """Write one more file."""
        lines = [
            json.dumps({name: value for name, value in found.items() if name != "gift_wrap"}, default=lambda t: t.isoformat())
            for found in documents
        ]
        (self._folder / f"{len(list(self._folder.iterdir()))}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


@contextlib.contextmanager
def open_market(folder: Path) -> Iterator[Market]:
    """MongoDB where ``MONGO_URI`` names one, a stand-in that speaks its protocol where Java is there, otherwise files."""
    with contextlib.ExitStack() as stack:
        if uri := os.environ.get("MONGO_URI"):
            market = MongoMarket(uri, "MongoDB at MONGO_URI")
            stack.callback(market.close)
            yield market
        elif not (shutil.which("java") and shutil.which("mvn")):
            yield FileMarket(folder / "market", "no Java with Maven for the stand-in")
        else:
            from tests.servers.mongo import MongoServer

            try:
                server = stack.enter_context(MongoServer())
            except RuntimeError as error:
                yield FileMarket(folder / "market", f"the stand-in did not start: {str(error).splitlines()[0]}")
                return
            market = MongoMarket(server.uri, "a stand-in for MongoDB (mongo-java-server)")
            stack.callback(market.close)
            yield market


@attrs.frozen
class Shop:
    """The three systems, running."""

    dsn: str
    market: Market
    bus: KafkaBus

    @property
    def systems(self) -> Systems:
        """What the pipeline reads from."""
        events = sources.Kafka(self.bus.servers, name="web").topic(TOPIC, schema=EVENTS)
        return Systems(sources.Postgres(self.dsn, name="shop"), self.market.orders, events)

    def let_pass(self, hour: world.Hour) -> None:
        """Let one hour pass."""
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            connection.execute(hour.sql)
        self.market.insert(hour.documents)
        for event in hour.events:
            self.bus.send(TOPIC, event, key=event["visitor_id"] if isinstance(event, dict) else None)


@contextlib.contextmanager
def open_bus(*, for_java: bool) -> Iterator[KafkaBus]:
    """The mock, which needs nothing; for Kafka's Java client a real broker, which needs Java and Maven."""
    if not for_java:
        with MockKafka() as bus:
            yield bus
        return
    from tests.servers.kafka import KafkaServer

    with KafkaServer() as server, KafkaBus(server.servers) as bus:
        yield bus


@contextlib.contextmanager
def open_shop(folder: Path, *, for_java: bool = False) -> Iterator[Shop]:
    """Start everything, with empty tables."""
    with PostgresServer() as server, open_market(folder) as market, open_bus(for_java=for_java) as bus:
        with psycopg.connect(server.dsn, autocommit=True) as connection:
            connection.execute(world.SCHEMA)
        bus.create(TOPIC)
        yield Shop(server.dsn, market, bus)
