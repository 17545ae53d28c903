"""A real chain: PostgreSQL, Debezium on Kafka Connect, Kafka, lakekit. Everything but PostgreSQL is killed now and then."""

from __future__ import annotations

import random
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from zlib import crc32

import pytest

import lakekit as lk
from examples.cdc import pipeline
from lakekit import sources
from tests.integration.cdc import transactions
from tests.integration.cdc.follower import follow
from tests.integration.processes import Running
from tests.integration.sources.kafka_topics import Topic
from tests.servers.connect import ConnectServer
from tests.servers.kafka import KafkaServer
from tests.servers.postgres import PostgresServer, debian_binaries

PATIENCE = 120.0


@pytest.mark.parametrize("seconds", [60, pytest.param(600, marks=pytest.mark.slow)])
def test_the_lake_follows_a_table_whatever_is_killed(seconds: int, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    seed = int(time.time())
    sys.stdout.write(f"seed {seed}\n")  # shown where it fails
    draw = random.Random(seed)
    binaries = request.config.getoption("--postgres-bin") or debian_binaries()
    with (
        PostgresServer(binaries=binaries, settings={"wal_level": "logical"}) as postgres,
        KafkaServer() as kafka,
        ConnectServer(kafka.servers) as connect,
    ):
        Topic(kafka.servers, pipeline.TOPIC, partitions=3)
        address = urlsplit(postgres.dsn)
        config = pipeline.connector(
            host="127.0.0.1", port=postgres.port, user=address.username or "", password=postgres.password, database="postgres"
        )
        writer = transactions.Writer(postgres.dsn, seed)
        connect.connect("users", config)
        lake, bus = lk.connect(tmp_path / "lake", progress=False), sources.Kafka(kafka.servers)
        began = time.monotonic()
        writer.start()
        follower = Running(follow, tmp_path / "lake", kafka.servers)
        killed = dict.fromkeys(("lakekit", "connect", "connector", "broker"), 0)
        while time.monotonic() < began + seconds:
            what = draw.choice([*killed, "lakekit"])
            follower.kill(after=draw.uniform(2, 8)) if what == "lakekit" else time.sleep(draw.uniform(2, 8))
            if what == "lakekit":
                follower = Running(follow, tmp_path / "lake", kafka.servers)
            elif what == "connect":
                connect.kill()
                connect.start()
                connect.connect("users", config)
            elif what == "connector":
                connect.restart("users")
            else:
                kafka.kill()
                time.sleep(draw.uniform(0, 2))
                kafka.start()
            killed[what] += 1
        writer.stop()
        connect.connect("users", config)  # its task may have given up while the broker was away
        assert follower.kill(after=0), follower.result()
        sys.stdout.write(f"{writer.transactions} transactions, killed: {killed}\n")
        wanted = transactions.rows(postgres.dsn)
        deadline = time.monotonic() + PATIENCE
        while (found := current(lake, bus, wanted)) != wanted and time.monotonic() < deadline:
            time.sleep(1)
        assert sorted(found) == sorted(wanted)
        assert {key: row for key, row in found.items() if row != wanted[key]} == {}
        commits = lk.history(lake, pipeline.LOG)
        assert sum(commit.rejected for commit in commits) == 0
        lk.merge_scd2(lk.read_new(lake, pipeline.LOG, into="gold.rebuilt"), key="id", new_column="version_all")
        kept, rebuilt = versions(lake, pipeline.HISTORY), versions(lake, "gold.rebuilt")
        assert (kept - rebuilt, rebuilt - kept) == (set(), set())
        assert {row[0] for row in rebuilt if row[-1]} == set(wanted)


def current(lake: lk.Lake, bus: sources.Kafka, wanted: dict[int, dict[str, Any]]) -> dict[int, dict[str, Any]]:
    """What silver holds now, in the columns that PostgreSQL has."""
    pipeline.run(lake, bus)
    names = next(iter(wanted.values()), {})
    return {row["id"]: {name: row.get(name) for name in names} for row in lk.read(lake, pipeline.USERS).to_arrow().to_pylist()}


def versions(lake: lk.Lake, table: str) -> set[tuple[Any, ...]]:
    """Each version: large values by their digest."""
    rows = lk.read(lake, table).to_arrow().to_pylist()
    names = sorted(name for name in rows[0] if not name.startswith("_") and name not in {"id", "is_current"})
    return {(row["id"], *(_short(row[name]) for name in names), row["is_current"]) for row in rows}


def _short(value: Any) -> Any:
    text = str(value)
    return text if len(text) < 40 else crc32(text.encode())
