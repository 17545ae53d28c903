"""Whatever is done to a table, however its changes are spread over partitions, and however they are cut into batches: what is made of them is right."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

import attrs
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import lakekit as lk
from lakekit import sources
from tests.contract.captures import Record, Replayed

FEW = settings(max_examples=max(4, settings.default.max_examples // 12), suppress_health_check=list(HealthCheck))
TOPIC = "shop.public.users"
LOG = "bronze.users"
UNAVAILABLE = "__debezium_unavailable_value"
START = 1_700_000_000_000_000
KEYS = st.integers(1, 5)
STEPS = st.one_of(
    st.tuples(st.just("insert"), KEYS, st.sampled_from(["long", "short", "null"])),
    st.tuples(st.just("update"), KEYS, st.booleans()),
    st.tuples(st.just("update"), KEYS, st.booleans()),
    st.tuples(st.just("move"), KEYS, KEYS),
    st.tuples(st.just("move"), KEYS, KEYS),
    st.tuples(st.just("delete"), KEYS, st.none()),
    st.tuples(st.just("truncate"), st.none(), st.none()),
    st.tuples(st.just("snapshot"), st.none(), st.none()),
    st.tuples(st.just("again"), st.integers(1, 4), st.none()),
)


@attrs.define
class Table:
    """A table of PostgreSQL, and what Debezium says of it: which of its messages, for which key, in the order of the log."""

    rows: dict[int, dict[str, Any]] = attrs.field(factory=dict)
    said: list[tuple[int | None, dict[str, Any]]] = attrs.field(factory=list)
    at: int = 0

    def do(self, step: tuple[str, Any, Any]) -> None:
        what, one, other = step
        self.at += 1
        if what == "insert" and one not in self.rows:
            self.rows[one] = {"id": one, "name": f"n{self.at}", "big": {"long": f"long {self.at}", "short": "s", "null": None}[other]}
            self.say(one, "c", self.rows[one])
        elif what == "update" and one in self.rows:
            row = self.rows[one]
            row["name"] = f"n{self.at}"
            if other:
                row["big"] = f"long {self.at}" if self.at % 3 else None
            self.say(one, "u", row if other else sent(row))
        elif what == "move" and one in self.rows and other not in self.rows:
            row = self.rows[other] = {**self.rows.pop(one), "id": other}
            self.say(one, "d", {"id": one, "name": "", "big": None}, header=("__debezium.newkey", other))
            self.say(other, "c", sent(row), header=("__debezium.oldkey", one))
        elif what == "delete" and one in self.rows:
            del self.rows[one]
            self.say(one, "d", {"id": one, "name": "", "big": None})
        elif what == "truncate":
            self.rows.clear()
            self.say(None, "t", None)
        elif what == "snapshot":
            for key, row in self.rows.items():
                self.say(key, "r", row)
        elif what == "again":  # a connector that was killed says once more what it said last
            self.said += self.said[-one:]

    def say(self, key: int | None, operation: str, row: Mapping[str, Any] | None, *, header: tuple[str, int] | None = None) -> None:
        source = {"connector": "postgresql", "lsn": self.at, "txId": self.at, "ts_us": START + self.at}
        image = {"before": row, "after": None} if operation == "d" else {"before": None, "after": row}
        headers = [] if header is None else [[header[0], json.dumps({"id": header[1]}, separators=(",", ":"))]]
        message = {"headers": headers, "value": json.dumps({**image, "source": source, "op": operation}, separators=(",", ":"))}
        self.said.append((key, message))
        if operation == "d":
            self.said.append((key, {"headers": headers, "value": None}))


def sent(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row as it is sent where its large value did not change."""
    return {**row, "big": UNAVAILABLE if (row["big"] or "").startswith("long") else row["big"]}


def delivered(said: Sequence[tuple[int | None, dict[str, Any]]], partition_of: Sequence[int], draws: Sequence[int]) -> list[Record]:
    """The messages as a consumer may get them: each partition in its order, any of them ahead."""
    queues: dict[int, list[Record]] = {}
    for key, message in said:
        partition = partition_of[key or 0]
        queue = queues.setdefault(partition, [])
        text = None if key is None else json.dumps({"id": key}, separators=(",", ":"))
        queue.append({**message, "key": text, "partition": partition, "offset": len(queue), "timestamp": START // 1_000})
    found: list[Record] = []
    while queues:
        partition = sorted(queues)[draws[len(found) % len(draws)] % len(queues)]
        found.append(queues[partition].pop(0))
        if not queues[partition]:
            del queues[partition]
    return found


@FEW
@given(
    steps=st.lists(STEPS, min_size=4, max_size=24),
    partition_of=st.lists(st.integers(0, 2), min_size=6, max_size=6),
    draws=st.lists(st.integers(0, 5), min_size=1, max_size=40),
    cuts=st.sets(st.integers(1, 60), max_size=4),
)
def test_tables_made_of_a_change_log_are_right_however_it_arrives(
    steps: list[tuple[str, Any, Any]], partition_of: list[int], draws: list[int], cuts: set[int]
) -> None:
    table = Table()
    for step in steps:
        table.do(step)
    records = delivered(table.said, partition_of, draws)
    lake = lk.connect(tempfile.mkdtemp())
    source = sources.Kafka("nowhere:9092").debezium(TOPIC, schema={"id": "bigint", "name": "string", "big": "string"})
    for upto in [*sorted(cut for cut in cuts if cut < len(records)), len(records)]:
        lk.ingest(lake, Replayed(source, records, upto), into=LOG)
        lk.merge(lk.read_new(lake, LOG, into="silver.users"), key="id")
        lk.merge_scd2(lk.read_new(lake, LOG, into="gold.users"), key="id")
    found = {row["id"]: (row["name"], row["big"]) for row in lk.read(lake, "silver.users").to_arrow().to_pylist()}
    assert found == {key: (row["name"], row["big"]) for key, row in table.rows.items()}
    lk.merge_scd2(lk.read_new(lake, LOG, into="gold.at_once"), key="id")
    assert versions(lake, "gold.users") == versions(lake, "gold.at_once")
    assert {row[0]: row[1:3] for row in versions(lake, "gold.at_once") if row[-1]} == found


def versions(lake: lk.Lake, table: str) -> list[tuple[Any, ...]]:
    names = ("id", "name", "big", "valid_from", "valid_to", "is_current")
    rows = lk.read(lake, table).to_arrow().select(list(names)).to_pylist()
    return sorted((tuple(row[name] for name in names) for row in rows), key=lambda row: (row[0], row[3]))
