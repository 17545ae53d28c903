"""Captured changes of Debezium, in each mode, become the tables that PostgreSQL ended with: ``tests/fixtures``, or DIR with ``--fixtures DIR``."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

import lakekit as lk
from lakekit import sources
from tests.contract import captured_history, captures
from tests.contract.as_avro import Converter
from tests.contract.captures import Capture, Replayed
from tests.servers.registry import RegistryServer

BRONZE, SILVER = "bronze.changes", "silver.rows"
INSTANTS = frozenset({"last_updated_at", "tstz"})
LOCALS = frozenset({"local_ts", "local_ts3", "ts"})
DAYS = frozenset({"birth", "d"})
DECIMALS = frozenset({"balance", "score", "amount", "num"})


STEPS = pytest.mark.parametrize("step", [pytest.param(1_000, id="at_once"), pytest.param(7, id="bit_by_bit", marks=pytest.mark.slow)])
"""How many messages come at once. The test of the history takes both ways in every run."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "capture" in metafunc.fixturenames:
        captures.parametrize(metafunc, schemas="registry" in metafunc.fixturenames)


def declared(capture: Capture, table: str, *, spark: bool) -> dict[str, str]:
    """What JSON alone doesn't tell."""
    decimal = {"double": "double"}.get(capture.decimals)
    users = {
        "id": "bigint",
        "balance": decimal or "decimal(12, 2)",
        "score": decimal or "decimal(38, 20)",
        "small": "int",
        "payload": "binary",
        "birth": "date",
        "wake": "string" if spark else "time",  # Spark has no such type
        "local_ts": "timestamp_ntz",
        "local_ts3": "timestamp_ntz(3)",
        "last_updated_at": "timestamp",
    }
    return {
        "users": users,
        "orders": {"id": "bigint", "user_id": "bigint", "amount": decimal or "decimal(12, 2)", "last_updated_at": "timestamp"},
        "users_full": {"id": "bigint", "last_updated_at": "timestamp"},
        "specials": {
            "id": "int",
            "ts": "timestamp_ntz",
            "tstz": "timestamp",
            "d": "date",
            "f": "double",
            "num": decimal or "decimal(38, 10)",
        },
    }.get(table, {})


def moment(text: str) -> int | None:
    """Microseconds since 1970. None: no column holds it."""
    if "infinity" in text:
        return None
    plain = text.removesuffix(" BC").removesuffix("+00").replace(" ", "T")
    if text.endswith(" BC"):
        year, _, rest = plain.partition("-")
        plain = f"-{int(year) - 1:04d}-{rest}"
    return int(np.datetime64(plain, "us").astype(np.int64))


def expected(name: str, text: str | None, capture: Capture) -> Any:
    """A value of PostgreSQL, as text, as the column should hold it."""
    if text is None:
        return None
    if name in INSTANTS | LOCALS:
        return moment(text)
    if name in DAYS:
        found = moment(text)
        return None if found is None else found // 86_400_000_000
    if name in DECIMALS and capture.decimals == "double":
        return float(text)
    if name in DECIMALS:
        return None if text == "NaN" else Decimal(text)
    if name in {"price", "f"}:
        return float(text)
    if name in {"small", "id", "user_id"}:
        return int(text)
    if name == "payload":
        return bytes.fromhex(text.removeprefix("\\x"))
    return {"tags": json.loads, "flag": lambda given: given == "true"}.get(name, str)(text)


def same(name: str, value: Any, wanted: Any, capture: Capture) -> bool:
    if isinstance(wanted, float) and isinstance(value, float):
        return value == wanted or (math.isnan(value) and math.isnan(wanted))
    if name in LOCALS and capture.times == "connect" and wanted is not None and value is not None:
        return abs(value - wanted) < 1_000  # that mode has milliseconds only
    if name == "wake" and value is not None:
        digits = 12 if capture.times == "connect" else 15
        return str(value)[:digits] == str(wanted)[:digits]
    if name == "span" and isinstance(value, str):
        return micros_of(value) == int(wanted)
    if name == "span":
        return (None if value is None else str(value)) == wanted
    return value == wanted


def micros_of(duration: str) -> int:
    """An ISO 8601 duration in microseconds, a year of 365.25 days, as PostgreSQL has it."""
    found = re.fullmatch(r"P(-?\d+)Y(-?\d+)M(-?\d+)DT(-?\d+)H(-?\d+)M(-?[\d.]+)S", duration)
    assert found is not None, duration
    years, months, days, hours, minutes = (int(number) for number in found.groups()[:5])
    seconds = Decimal(found[6]) + 60 * minutes + 3_600 * hours + 86_400 * days + Decimal(31_557_600) * years + 2_592_000 * months
    return int(seconds * 1_000_000)


def replay(
    lake: Any, capture: Capture, table: str, *, step: int, schema: Mapping[str, str] | None, registry: RegistryServer | None = None
) -> list[lk.Commit]:
    records = capture.records().get(capture.topic(table), [])
    source = capture.debezium(capture.topic(table), schema=schema)
    if registry is not None:
        written = Converter(registry, capture.topic(table))
        records = [written.record(record) for record in records]
        bus = sources.Kafka("nowhere:9092", registry=registry.url)
        source = bus.debezium(capture.topic(table), schema=schema, format="avro", **capture.modes)
    commits: list[lk.Commit] = []
    for upto in [*range(step, len(records), step), len(records)]:
        commits.append(lk.ingest(lake, Replayed(source, records, upto), into=BRONZE))
        lk.merge(lk.read_new(lake, BRONZE, into=SILVER), key="id")
    assert sum(commit.read for commit in commits) == len(records)
    return commits


@STEPS
@pytest.mark.parametrize("table", captured_history.KEYED)
def test_a_table_ends_as_it_ended_in_postgresql(lake: Any, capture: Capture, table: str, step: int, database: str) -> None:
    commits = replay(lake, capture, table, step=step, schema=declared(capture, table, spark=lake.engine.name == "spark"))
    assert not any(commit.rejected for commit in commits)
    assert_ended_as_in_postgresql(lake, capture, table, database)


@STEPS
@pytest.mark.parametrize("table", captured_history.KEYED)
def test_so_it_does_where_the_messages_are_in_avro(
    lake: Any, capture: Capture, table: str, step: int, database: str, registry: RegistryServer
) -> None:
    schema = declared(capture, table, spark=lake.engine.name == "spark")
    commits = replay(lake, capture, table, step=step, schema=schema, registry=registry)
    assert not any(commit.rejected for commit in commits)
    assert_ended_as_in_postgresql(lake, capture, table, database)


def assert_ended_as_in_postgresql(lake: Any, capture: Capture, table: str, database: str) -> None:
    spark = lake.engine.name == "spark"
    # ExtractNewRecordState swallows truncates.
    images = captured_history.images(database, truncates=not capture.is_flat)[table]
    rows = lk.read(lake, SILVER).to_arrow().sort_by("id")
    assert captures.column(rows, "id") == sorted(images)
    wrong: list[str] = []
    for name in dict.fromkeys(each for image in images.values() for each in image):
        if name == "wake" and spark and not capture.has_schemas:
            continue  # JSON's number, declared as text
        for key, value in zip(sorted(images), captures.column(rows, name), strict=True):
            if name in images[key] and not same(name, value, expected(name, images[key][name], capture), capture):
                wrong.append(f"{name} of {key}: {value!r} is not {images[key][name]!r}")
    assert not wrong


def test_what_no_column_holds_is_rescued(lake: Any, capture: Capture) -> None:
    replay(lake, capture, "specials", step=1_000, schema=declared(capture, "specials", spark=False))
    rows = lk.read(lake, SILVER).to_arrow().sort_by("id")
    rescued = [json.loads(text or "{}") for text in rows.column("_rescued_data").to_pylist()]
    assert set(rescued[0]) == {"ts", "tstz", "d"}  # infinite
    assert not rescued[1]
    assert not rescued[2]


def test_rows_without_a_key_are_in_the_log(lake: Any, capture: Capture) -> None:
    topic = capture.topic("events_nopk")
    records = capture.records()[topic]
    lk.ingest(lake, Replayed(capture.debezium(topic), records, len(records)), into=BRONZE)
    rows = lk.read(lake, BRONZE).to_arrow().to_pylist()
    assert sorted((row["name"], row["n"]) for row in rows) == [("a", 1), ("a", 1), ("snap", 1)]
    assert {row["_source_key"] for row in rows} == {None}


def test_every_message_is_a_row_or_skipped(lake: Any, capture: Capture) -> None:
    spark_has_no_time = {"wake": "string"} if lake.engine.name == "spark" else None
    for number, (topic, records) in enumerate(capture.records().items()):
        source = capture.debezium(topic, schema=spark_has_no_time if topic == capture.topic("users") else None)
        commit = lk.ingest(lake, Replayed(source, records, len(records)), into=f"bronze.t{number}")
        tombstones = sum(record["value"] is None for record in records)
        is_table = ".public." in topic
        assert (commit.read, commit.rejected) == (len(records), 0), topic
        assert commit.skipped == (tombstones if is_table else len(records)), topic
        assert commit.inserted == (len(records) - tombstones if is_table else 0), topic


def test_a_delete_bears_no_value_that_debezium_made_up(lake: Any, capture: Capture) -> None:
    replay(lake, capture, "users", step=7, schema=declared(capture, "users", spark=lake.engine.name == "spark"))
    deletes = lk.read(lake, BRONZE).to_arrow().select(["id", "name", "last_updated_at", "_operation"]).to_pylist()
    deletes = [row for row in deletes if row["_operation"] == "delete"]
    assert len(deletes) == 3
    assert {row["name"] for row in deletes} == {row["last_updated_at"] for row in deletes} == {None}
    gone = {row["id"]: row for row in lk.read(lake, SILVER, deleted=True).to_arrow().to_pylist() if row["_deleted_at"] is not None}
    assert gone[4]["name"] == "Dan2"  # what was known of it, and not ''


def test_the_history_is_the_same_at_once_and_bit_by_bit(lake: Any, capture: Capture) -> None:
    schema = declared(capture, "users", spark=lake.engine.name == "spark")
    records = capture.records()[capture.topic("users")]
    source = capture.debezium(capture.topic("users"), schema=schema)
    for upto in [*range(5, len(records), 10), len(records)]:
        lk.ingest(lake, Replayed(source, records, upto), into=BRONZE)
        lk.merge_scd2(lk.read_new(lake, BRONZE, into="gold.step_by_step"), key="id", new_column="version_all")
    lk.merge_scd2(lk.read_new(lake, BRONZE, into="gold.at_once"), key="id", new_column="version_all")
    found = [
        lk.read(lake, table).to_arrow().sort_by([("id", "ascending"), ("valid_from", "ascending")])
        for table in ("gold.step_by_step", "gold.at_once")
    ]
    names = [name for name in found[1].schema.names if not name.startswith("_")]
    assert found[0].select(names).to_pylist() == found[1].select(names).to_pylist()
    texts = [row["bio"] for row in found[0].to_pylist() if row["id"] in {5, 50}]
    assert [len(text) for text in texts] == [3200, 3200, 9, 3200, 3200]
