"""New columns brought down the layers: filled where rows are there already, once, and on to whoever reads changes."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pytest

import lakekit as lk
from lakekit import evolution
from lakekit.errors import ConfigError, QueryError, SchemaError
from tests.contract.helpers import frame, stored

TABLE = "silver.orders"
AT = datetime(2026, 3, 1, 8, 15, 0, 250000, tzinfo=UTC)


def append(lake: Any, run: str, rows: pa.Table | list[dict[str, Any]], **options: Any) -> lk.Commit:
    return lk.append(lk.from_frame(lake, rows, run_id=run), into=TABLE, **options)


def test_a_new_column_is_brought_down_the_layers_and_filled(lake: Any) -> None:
    rows = [{"order_id": number, "user_id": number % 2} for number in range(4)]
    lk.merge(frame(lake, "old", *rows), key="order_id", into="silver.orders")
    lk.merge(frame(lake, "old", *({"key": row["order_id"], "user_id": row["user_id"]} for row in rows)), key="key", into="gold.facts")
    news = [{**row, "device": "Phone" if row["order_id"] else None} for row in rows]
    lk.append(frame(lake, "new", *news), into="bronze.orders")
    plan = evolution.plan(lake, "bronze.orders", into="silver.orders")
    path = ["bronze.orders", "silver.orders", ("gold.facts", {"key": "order_id", "kind": "upper(device)"})]
    counted = evolution.propagate(lake, plan, path=path, dry_run=True)
    assert [(commit.columns_added, commit.updated, commit.committed) for commit in counted] == [
        (("device",), 3, False),
        (("kind",), 3, False),
    ]
    assert "device" not in lk.read(lake, "silver.orders").columns
    done = evolution.propagate(lake, plan, path=path)
    assert [(commit.columns_added, commit.updated) for commit in done] == [(("device",), 3), (("kind",), 3)]
    assert sorted(stored(lake, "silver.orders", "order_id", "device"), key=str) == [(0, None), (1, "Phone"), (2, "Phone"), (3, "Phone")]
    assert sorted(stored(lake, "gold.facts", "key", "kind", "user_id"), key=str) == [
        (0, None, 0),
        (1, "PHONE", 1),
        (2, "PHONE", 0),
        (3, "PHONE", 1),
    ]
    assert [commit.updated for commit in evolution.propagate(lake, plan, path=path)] == [0, 0], "a second time changes nothing"


def test_the_path_is_known_where_lakekits_functions_made_it(lake: Any) -> None:
    def run() -> None:
        silver = lk.select(lk.read_new(lake, "bronze.orders", into="silver.orders"), {"order_id": "id"}, rest="keep")
        lk.merge(silver, key="order_id")
        narrow = lk.select(lk.read_new(lake, "silver.orders", into="silver.narrow"), {"order_id": "order_id"})
        lk.merge(narrow, key="order_id")
        facts = lk.read_new(lake, "silver.orders", into="gold.facts")
        lk.merge(lk.select(facts, {"key": "order_id", "net": "total * 2"}, rest="keep"), key="key")
        lk.merge_scd2(lk.read_new(lake, "silver.orders", into="gold.dim"), key="order_id", effective_at="at", surrogate_key="sk")
        lk.merge(lk.read_new(lake, "gold.dim", into="gold.below"), key="sk")

    lk.merge(frame(lake, "a", {"id": 1, "total": 5, "at": AT}, {"id": 2, "total": 6, "at": AT}), key="id", into="bronze.orders")
    run()
    plan = evolution.SchemaPlan("bronze.orders", (evolution.Step(evolution.Change("additive", ("device",), None, pa.string()), "evolve"),))
    added = {commit.table: commit.columns_added for commit in evolution.propagate(lake, plan)}
    assert added == {"silver.orders": ("device",), "gold.facts": ("device",), "gold.dim": ()}, "a dimension takes it at its next run"
    assert ("device" in lake.find(("gold", "facts")).schema.names, "device" in lake.find(("silver", "narrow")).schema.names) == (
        True,
        False,
    )
    lk.merge(frame(lake, "b", {"id": 1, "total": 5, "at": AT, "device": "phone"}), key="id", into="bronze.orders")
    found = {commit.table: commit.updated for commit in evolution.propagate(lake, plan)}
    assert found == {"silver.orders": 1, "gold.facts": 1, "gold.dim": 0}
    run()
    assert sorted(stored(lake, "gold.facts", "key", "net", "device"), key=str) == [(1, 10, "phone"), (2, 12, None)]


def test_a_table_without_a_key_gets_the_column_and_no_more(lake: Any, caplog: pytest.LogCaptureFixture) -> None:
    lk.append(frame(lake, "a", {"id": 1, "at": AT, "tags": [{"n": 1}]}), into="bronze.clicks")
    lk.append(lk.read_new(lake, "bronze.clicks", into="silver.clicks"))
    lk.append(lk.select(lk.read_new(lake, "silver.clicks", into="gold.clicks"), {"click": "id"}, rest="keep"))
    lk.append(frame(lake, "b", {"id": 2, "at": AT, "device": "phone", "tags": [{"n": 1, "m": 1}]}), into="raw.clicks")
    plan = evolution.plan(lake, "raw.clicks", into="bronze.clicks", policy="fail")
    assert len(evolution.propagate(lake, plan, dry_run=True)) == 2
    done = evolution.propagate(lake, plan)
    assert [str(commit) for commit in done] == ["silver.clicks: columns added: device", "gold.clicks: columns added: device"]
    assert "silver.clicks has no key to be filled by" in caplog.text
    assert "tags.element.m, inside of a list or a map, comes with rows to come" in caplog.text
    assert stored(lake, "gold.clicks", "click", "device") == [(1, None)]


def test_fields_of_structs_are_brought_down_and_filled_too(lake: Any) -> None:
    old: list[dict[str, Any]] = [{"id": n, "home": {"city": "Bonn", "geo": {"lat": n}} if n < 3 else None} for n in (1, 2, 3)]
    lk.merge(frame(lake, "old", *old), key="id", into="bronze.users")
    lk.merge(lk.read_new(lake, "bronze.users", into="silver.users"), key="id")
    facts = lk.select(lk.read_new(lake, "silver.users", into="gold.facts"), {"user": "id", "place": "home"}, rest="keep")
    lk.merge(facts, key="user")
    told = [{**row, "home": row["home"] and {**row["home"], "zip": 53111, "geo": {"lat": 9, "lon": 7}}, "born": 1900} for row in old]
    lk.append(frame(lake, "told", *told), into="raw.users")
    plan = evolution.plan(lake, "raw.users", into="bronze.users", policy="fail")
    lk.merge(frame(lake, "new", *told), key="id", into="bronze.users")
    counted = evolution.propagate(lake, plan, dry_run=True)
    done = evolution.propagate(lake, plan)
    assert [(commit.table, {*commit.columns_added}, commit.updated) for commit in done] == [
        ("silver.users", {"home.zip", "home.geo.lon", "born"}, 3),
        ("gold.facts", {"place.zip", "place.geo.lon", "born"}, 3),
    ]
    assert [(one.columns_added, one.updated) for one in counted] == [(one.columns_added, one.updated) for one in done]
    homes = [{"city": "Bonn", "geo": {"lat": n, "lon": 7}, "zip": 53111} for n in (1, 2)]
    assert sorted(stored(lake, "gold.facts", "user", "born")) == [(1, 1900), (2, 1900), (3, 1900)]
    assert [place for _, place in sorted(stored(lake, "gold.facts", "user", "place"), key=lambda row: row[0])] == [*homes, None]
    assert [commit.updated for commit in evolution.propagate(lake, plan)] == [0, 0]
    lk.merge(frame(lake, "a", {"id": 1}, {"id": 3}), key="id", into="gold.new")
    path = ["bronze.users", ("gold.new", {"home": "home"})]
    assert [commit.updated for commit in evolution.propagate(lake, plan, path=path, dry_run=True)] == [1]
    assert [commit.columns_added for commit in evolution.propagate(lake, plan, path=path)] == [("home",)]
    assert sorted(stored(lake, "gold.new", "id", "home"), key=str) == [(1, {**homes[0], "geo": {"lat": 9, "lon": 7}}), (3, None)]
    lk.merge(frame(lake, "a", {"id": 1, "home": "Bonn"}), key="id", into="gold.text")
    with pytest.raises(SchemaError, match="expected STRING, got STRUCT"):
        evolution.propagate(lake, plan, path=["bronze.users", ("gold.text", {"home": "home"})])


def test_filled_rows_flow_on_to_whoever_reads_changes(lake: Any) -> None:
    lk.merge(frame(lake, "old", {"id": 1, "at": AT}, {"id": 2, "at": AT}), key="id", into="silver.users")
    lk.merge_scd2(lk.read_new(lake, "silver.users", into="gold.dim"), key="id", effective_at="at")
    lk.append(frame(lake, "new", {"id": 1, "at": AT, "city": "Bonn"}), into="bronze.users")
    plan = evolution.plan(lake, "bronze.users", into="silver.users")
    silver, gold = evolution.propagate(lake, plan, path=["bronze.users", "silver.users", "gold.dim"])
    assert (silver.updated, gold.committed) == (1, False)
    assert lk.read_new(lake, "silver.users", into="gold.dim").count() == 1
    lk.merge_scd2(lk.read_new(lake, "silver.users", into="gold.dim"), key="id", effective_at="at")
    assert sorted(stored(lake, "gold.dim", "id", "city", "is_current"), key=str) == [(1, "Bonn", True), (2, None, True)]


def test_a_path_needs_two_tables_and_keys(lake: Any) -> None:
    lk.append(frame(lake, "a", {"id": 1}), into="silver.orders")
    lk.append(frame(lake, "a", {"id": 1, "device": "phone"}), into="bronze.orders")
    plan = evolution.plan(lake, "bronze.orders", into="silver.orders")
    with pytest.raises(ConfigError, match="from the upper one down"):
        evolution.propagate(lake, plan, path=["silver.orders"])
    with pytest.raises(ConfigError, match="no key"):
        evolution.propagate(lake, plan, path=["bronze.orders", "silver.orders"])
    lk.merge_scd2(frame(lake, "a", {"id": 1, "at": AT}), key="id", effective_at="at", into="gold.dim")
    below = ("gold.below", {"id": "id", "device": "device"})
    lk.merge(frame(lake, "a", {"id": 1}), key="id", into="gold.below")
    with pytest.raises(QueryError, match="unknown column, got 'device'"):  # a dimension gets it at its next run
        evolution.propagate(lake, plan, path=["bronze.orders", "gold.dim", below])
