"""A table of PostgreSQL, followed change by change: Debezium writes them to Kafka, lakekit makes a log, the current state and a history of them."""

from __future__ import annotations

from collections.abc import Mapping

import lakekit as lk
from lakekit import sources
from lakekit.sources.protocol import Source

TOPIC = "shop.public.users"
LOG, USERS, HISTORY = "bronze.users", "silver.users", "gold.dim_users"
# What JSON has no word for. All other columns, new ones too, have the type of what the messages hold.
TYPES = {"id": "bigint", "balance": "decimal(12, 2)", "photo": "binary", "born": "date", "updated_at": "timestamp"}


def connector(*, host: str, port: int, user: str, password: str, database: str) -> Mapping[str, str]:
    """The connector's configuration: what there is to say, and decimals as text, which needs no schema to be read."""
    return {
        "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
        "plugin.name": "pgoutput",
        "database.hostname": host,
        "database.port": str(port),
        "database.user": user,
        "database.password": password,
        "database.dbname": database,
        "topic.prefix": "shop",
        "table.include.list": "public.users",
        "publication.autocreate.mode": "filtered",
        "decimal.handling.mode": "string",
        "skipped.operations": "none",  # truncates, too
        "key.converter": "org.apache.kafka.connect.json.JsonConverter",
        "key.converter.schemas.enable": "false",
        "value.converter": "org.apache.kafka.connect.json.JsonConverter",
        "value.converter.schemas.enable": "false",
    }


def changes(bus: sources.Kafka) -> Source:
    """The changes of the table."""
    return bus.debezium(TOPIC, schema=TYPES, decimal_handling="string")


def run(lake: lk.Lake, bus: sources.Kafka) -> list[lk.Commit]:
    """Take what is new. It may break off anywhere, and be run again at any time."""
    return [
        lk.ingest(lake, changes(bus), into=LOG),
        lk.merge(lk.read_new(lake, LOG, into=USERS), key="id"),
        # A column that is new opens versions, as it would where all is built anew from the log.
        lk.merge_scd2(lk.read_new(lake, LOG, into=HISTORY), key="id", new_column="version_all"),
    ]
