"""A dimension in a lake, whatever comes in whatever order: as from scratch, sound, its current state that of a merge, its facts at their versions."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import lakekit as lk

DAY = datetime(2026, 1, 1, tzinfo=UTC)
DIM = "gold.dim"
OPTIONS: dict[str, Any] = {"key": ("country", "id"), "effective_at": "at", "track": ("name", "city"), "type1": "born", "surrogate_key": "k"}
BUSINESS = ("country", "id", "name", "city", "visits", "born")
EVENTS = st.builds(
    lambda country, id_, day, name, city, visits, born, gone: {
        "country": country, "id": id_, "name": name, "city": city, "visits": visits, "born": born,
        "at": DAY + timedelta(days=day), "_operation": "delete" if gone else "upsert",
    },
    st.sampled_from(["DE", "FR"]), st.integers(1, 2), st.integers(0, 6), st.sampled_from([None, "a", "b"]),
    st.sampled_from([None, "x"]), st.sampled_from([None, 1, 2]), st.sampled_from([None, 1]), st.sampled_from([False, False, False, True]),
)  # fmt: skip
SCHEMA = pa.schema(
    {"country": pa.string(), "id": pa.int64(), "name": pa.string(), "city": pa.string(), "visits": pa.int64(), "born": pa.int64(),
     "at": pa.timestamp("us", "UTC"), "_operation": pa.string()}
)  # fmt: skip
FACT = pa.schema({"fact": pa.int64(), "land": pa.string(), "person": pa.int64(), "at": pa.timestamp("us", "UTC")})
FACTS = st.lists(st.tuples(st.sampled_from(["DE", "FR", None]), st.integers(1, 3), st.integers(-1, 7)), min_size=1, max_size=6)
FEW = settings(max_examples=max(2, settings.default.max_examples // 12), suppress_health_check=[HealthCheck.too_slow])


@st.composite
def deliveries(draw: st.DrawFn) -> tuple[list[dict[str, Any]], list[list[dict[str, Any]]]]:
    """Events, no two of one member and instant, and how they come: in any order, some of them again, in three batches."""
    events = draw(st.lists(EVENTS, min_size=1, max_size=10, unique_by=lambda event: (event["country"], event["id"], event["at"])))
    sent = draw(st.permutations(events)) + draw(st.lists(st.sampled_from(events), max_size=3))
    cuts = sorted(draw(st.lists(st.integers(0, len(sent)), min_size=2, max_size=2)))
    return events, [sent[low:high] for low, high in zip([0, *cuts], [*cuts, len(sent)], strict=True)]


@FEW
@given(delivery=deliveries(), facts=FACTS)
def test_however_events_come_the_dimension_is_that_of_all_of_them_and_facts_find_their_versions(
    delivery: tuple[list[dict[str, Any]], list[list[dict[str, Any]]]], facts: list[tuple[str | None, int, int]]
) -> None:
    events, batches = delivery
    with tempfile.TemporaryDirectory() as folder:
        lake = lk.connect(folder)
        orders = [{"fact": n, "land": c, "person": p, "at": DAY + timedelta(days=d)} for n, (c, p, d) in enumerate(facts)]
        lk.merge(batch(lake, "orders", orders, FACT), into="silver.orders", key="fact")
        for number, told in enumerate(filter(None, batches)):
            lk.merge_scd2(batch(lake, f"{number}", told), into=DIM, **OPTIONS)
            lk.verify_scd2(lake, DIM).require()
            look_up(lake)
        lk.merge_scd2(batch(lake, "all", events), into="gold.whole", **OPTIONS)
        maintained = versions(lake, DIM)
        assert maintained == versions(lake, "gold.whole")
        lk.append(batch(lake, "log", events), into="bronze.log")
        assert not lk.merge_scd2(lk.read(lake, "bronze.log"), into=DIM, **OPTIONS, rebuild=True).committed, "maintained is rebuilt"
        lk.merge(lk.read(lake, "bronze.log"), into="silver.current", key=OPTIONS["key"], order_by="at")
        assert shown(lk.gold.current(lake, DIM)) == shown(lk.read(lake, "silver.current"))
        require_members(lake)


def batch(lake: Any, run: str, rows: list[dict[str, Any]], schema: pa.Schema = SCHEMA) -> lk.Batch:
    return lk.from_frame(lake, pa.Table.from_pylist(rows, schema), run_id=run, now=DAY)


def look_up(lake: Any) -> None:
    facts = lk.read_new(lake, "silver.orders", into="gold.facts")
    on = {"land": "country", "person": "id"}
    lk.merge(lk.lookup(facts, DIM, on=on, at="at", take=("k", "name"), missing="infer"), key="fact")


def versions(lake: Any, table: str) -> list[str]:
    """The versions of a dimension that were heard of."""
    rows = lk.read(lake, table).to_arrow().to_pylist()
    names = (*BUSINESS, "valid_from", "valid_to", "is_current", "k")
    return sorted(str([row[name] for name in names]) for row in rows if row["k"] >= 0 and not row["_is_inferred"])


def shown(rows: lk.Batch) -> list[str]:
    return sorted(str([row[name] for name in BUSINESS]) for row in rows.to_arrow().to_pylist())


def require_members(lake: Any) -> None:
    """Each fact bears the key of the version valid at its time; otherwise that of its member's first version, or of an inferred one, or -1."""
    stored = lk.read(lake, DIM).to_arrow().to_pylist()
    for fact in lk.read(lake, "gold.facts").to_arrow().to_pylist():
        mine = [row for row in stored if (row["country"], row["id"]) == (fact["land"], fact["person"])]
        real = [row for row in mine if not row["_is_inferred"]]
        valid = [row for row in real if row["valid_from"] <= fact["at"] and (row["valid_to"] is None or fact["at"] < row["valid_to"])]
        first = min(real, key=lambda row: row["valid_from"], default=mine[0] if mine else None)
        expected = valid[0]["k"] if valid else first["k"] if first else None
        assert fact["k"] == expected or (expected is None and fact["k"] == -1 and fact["land"] is None), fact
