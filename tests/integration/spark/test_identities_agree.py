"""A hundred thousand records of made-up people are the same persons, under the same ids, on both engines."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pyarrow as pa
import pytest

import lakekit as lk
from benchmarks.identity import MODEL
from benchmarks.people import KEY, SOURCES, people
from lakekit import identity
from tests.servers.spark import Server

INTO = "silver.identities"
SWAPPED = {"first": "last", "last": "first"}
(RULE,) = [rule for rule in MODEL.match if isinstance(rule, identity.Probabilistic)]
RULES = attrs.evolve(
    MODEL, match=[attrs.evolve(RULE, compare=[attrs.evolve(item, swapped=SWAPPED.get(item.column)) for item in RULE.compare])]
)
"""The benchmark's, which look for names in each other's place, too."""
LATER = 10_000


@pytest.fixture(scope="module")
def records() -> pa.Table:
    """The people, without who they are."""
    return people(100_000, seed=5).drop_columns(["who", "full_name"])


@pytest.fixture(scope="module")
def rules(records: pa.Table, tmp_path_factory: pytest.TempPathFactory) -> identity.Rules:
    """Trained once."""
    lake = lk.connect(tmp_path_factory.mktemp("training"))
    return identity.train(lk.from_frame(lake, records, run_id="all"), rules=RULES)


def found(lake: lk.Lake, records: pa.Table, rules: identity.Rules) -> Iterator[dict[tuple[str, str], int]]:
    """Record to id, after the most of them, and after the others."""
    for run, rows in {"most": records.slice(0, len(records) - LATER), "others": records.slice(len(records) - LATER)}.items():
        named = rows.column("source").to_numpy(zero_copy_only=False)
        batches: dict[str, Any] = {
            source: lk.from_frame(lake, rows.filter(pa.array(named == source)).drop_columns(["source"]), run_id=run) for source in SOURCES
        }
        lk.resolve_identities(batches, record_key=dict.fromkeys(batches, KEY), rules=rules, into=INTO)
        ids = lk.read(lake, INTO).sql("SELECT source, record_key, master_user_id FROM batch WHERE kind = 'record'").to_arrow().to_pylist()
        yield {(row["source"], row["record_key"]): row["master_user_id"] for row in ids}


@pytest.mark.slow
def test_they_are_the_same_persons_under_the_same_ids(
    server: Server, kind: str, records: pa.Table, rules: identity.Rules, tmp_path: Path
) -> None:
    spark, catalog = server.new_catalog(kind, tmp_path / "spark")
    on_spark = found(lk.connect(spark, catalog=catalog), records, rules)
    embedded = found(lk.connect(tmp_path / "embedded"), records, rules)
    for step, (one, other) in enumerate(zip(on_spark, embedded, strict=True)):
        assert len(one) == len(records) - (0 if step else LATER)
        assert one == other
        assert len(set(one.values())) < 0.6 * len(one)


def test_a_dry_run_promises_the_same_and_writes_nothing(server: Server, kind: str, tmp_path: Path) -> None:
    spark, catalog = server.new_catalog(kind, tmp_path / "spark")
    records = people(2_000, seed=5).drop_columns(["who", "full_name"])
    embedded = lk.connect(tmp_path / "embedded")
    rules = identity.train(lk.from_frame(embedded, records, run_id="all"), rules=RULES)
    few = records.slice(0, 400).drop_columns(["source"])
    promised: list[lk.Commit] = []
    for lake in (lk.connect(spark, catalog=catalog), embedded):
        batch = lk.from_frame(lake, few, run_id="few")
        promised.append(lk.resolve_identities({"shop": batch}, record_key={"shop": KEY}, rules=rules, into=INTO, dry_run=True))
        assert lake.tables() == []
    one, other = promised
    assert (one.read, one.inserted, one.rejected) == (other.read, other.inserted, other.rejected)
    assert one.inserted == len(few)
