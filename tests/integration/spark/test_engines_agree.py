"""Random histories give the same tables on both engines: row for row, value for value.

One table holds the histories of many cases, its keys prefixed by the case: a write on Spark costs a second, whatever it writes.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import lakekit as lk
from tests.servers.spark import Server

CASES, BATCHES = 40, 3
AT = datetime(2026, 3, 29, 0, 30, tzinfo=UTC)  # the hour that summer time takes away in Berlin
SCHEMA = pa.schema(
    [
        ("k", pa.string()),
        ("at", pa.timestamp("us", tz="UTC")),
        ("text", pa.string()),
        ("number", pa.int64()),
        ("amount", pa.decimal128(20, 4)),
        ("ratio", pa.float64()),
        ("on_day", pa.date32()),
        ("naive", pa.timestamp("us")),
        ("flag", pa.bool_()),
        ("raw", pa.binary()),
        ("place", pa.struct([("city", pa.string()), ("tags", pa.list_(pa.string()))])),
        ("_operation", pa.string()),
    ]
)
VALUES: dict[str, tuple[Any, ...]] = {
    "text": (None, "", "a", "A", "ß", "İ", "ǆ", "é", "e\u0301", "\U0001f600", " x ", "{brace}", "it's", "back\\slash"),
    "number": (None, 0, -1, 2**63 - 1, -(2**63)),
    "amount": (None, Decimal("0.0000"), Decimal("1.5000"), Decimal("-9999999999999999.9999")),
    "ratio": (None, 0.0, -0.0, float("nan"), float("inf"), 0.1),
    "on_day": (None, date(1, 1, 1), date(1582, 10, 4), date(2026, 3, 29), date(9999, 12, 31)),
    "naive": (None, datetime(2026, 3, 29, 2, 30), datetime(1900, 1, 1, 0, 0, 0, 1)),  # noqa: DTZ001 -- naive on purpose
    "flag": (None, True, False),
    "raw": (None, b"", b"\x00\xff"),
    "place": (None, {"city": None, "tags": None}, {"city": "Bonn", "tags": []}, {"city": "Bonn", "tags": ["x", None]}),
}


def history(draw: random.Random) -> list[pa.Table]:
    """Batches of events for all cases: repeats, ties, late ones, deletes."""
    batches: list[list[dict[str, Any]]] = [[] for _ in range(BATCHES)]
    for case in range(CASES):
        for _ in range(draw.randint(1, 8)):
            row = {name: draw.choice(values) for name, values in VALUES.items()}
            row |= {"k": f"{case}/{draw.randint(1, 2)}", "at": AT + timedelta(minutes=30 * draw.randint(0, 3))}
            row["_operation"] = "delete" if draw.random() < 0.2 else "upsert"
            for _ in range(draw.choice((1, 1, 2))):
                batches[draw.randrange(BATCHES)].append(row)
    return [pa.Table.from_pylist(rows, schema=SCHEMA) for rows in batches]


def shown(lake: Any, table: str) -> list[str]:
    """All rows, each as text, so that NaN is NaN and -0.0 isn't 0.0."""
    rows = lk.read(lake, table, deleted=True).to_arrow().to_pylist()
    return sorted(repr({name: row[name] for name in sorted(row) if name != "_ingestion_timestamp"}) for row in rows)


@pytest.fixture(scope="module")
def two_lakes(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Any, Any]]:
    """A new lake on each engine; the session is set to other things than lakekit means."""

    def make(kind: str) -> tuple[Any, Any]:
        folder: Path = tmp_path_factory.mktemp("agree")
        spark, catalog = server.new_catalog(kind, folder / "spark")
        return lk.connect(folder / "embedded"), lk.connect(spark, catalog=catalog)

    return make


@pytest.mark.parametrize("kind", ["classic", pytest.param("connect", marks=pytest.mark.slow)], scope="session")
@settings(
    max_examples=max(1, settings.default.max_examples // 100),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(seed=st.integers(0, 2**32))
def test_merged_tables_and_dimensions_are_the_same_on_both_engines(
    two_lakes: Callable[[str], tuple[Any, Any]], kind: str, seed: int
) -> None:
    batches = history(random.Random(seed))
    embedded, spark = two_lakes(kind)
    spark.engine.spark.conf.set("spark.sql.session.timeZone", "Europe/Berlin")
    spark.engine.spark.conf.set("spark.sql.ansi.enabled", "false")
    found: dict[str, list[dict[str, Any]]] = {}
    for name, lake in {"embedded": embedded, "spark": spark}.items():
        commits = []
        for number, rows in enumerate(batches):
            batch = lk.from_frame(lake, rows, run_id=str(number), now=AT)
            commits.append(lk.merge(batch, into="silver.things", key="k", order_by="at"))
            commits.append(lk.merge(batch, into="silver.gone", key="k", order_by="at", deletes=lk.Deletes("hard")))
            commits.append(lk.merge_scd2(batch, into="gold.dim_things", key="k", effective_at="at", surrogate_key="thing_key"))
        found[name] = [
            {
                word: value
                for word, value in commit.to_dict().items()
                if type(value) is int and word not in ("snapshot_id", "files", "bytes")
            }
            for commit in commits
        ]
    assert found["spark"] == found["embedded"]
    for table in ("silver.things", "silver.gone", "gold.dim_things"):
        assert shown(spark, table) == shown(embedded, table), table
    assert spark.engine.spark.conf.get("spark.sql.session.timeZone") == "Europe/Berlin"
    assert spark.engine.spark.conf.get("spark.sql.ansi.enabled") == "false"
