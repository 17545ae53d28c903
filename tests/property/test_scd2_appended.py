"""Events that only append are merged by a join. The dimension is the one that computing every touched history anew gives, figures and all."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import patch

import pyarrow as pa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import lakekit as lk
from lakekit.gold import scd2_appended

DAY = datetime(2026, 1, 1, tzinfo=UTC)
SCHEMA = pa.schema(
    {
        "id": pa.int64(),
        "name": pa.string(),
        "visits": pa.int64(),
        "n": pa.int64(),
        "at": pa.timestamp("us", "UTC"),
        "_operation": pa.string(),
    }
)
EVENTS = st.builds(
    lambda id_, name, visits, n, day, gone: {
        "id": id_, "name": name, "visits": visits, "n": n, "at": DAY + timedelta(days=day), "_operation": "delete" if gone else "upsert"
    },
    st.integers(1, 4), st.sampled_from([None, "a", "b"]), st.sampled_from([None, 1]), st.sampled_from([None, 1, 2]), st.integers(0, 9),
    st.sampled_from([False] * 7 + [True]),
)  # fmt: skip
BATCHES = st.lists(st.lists(EVENTS, min_size=1, max_size=5), min_size=2, max_size=4)
OPTIONS: list[dict[str, Any]] = [
    {},
    {"surrogate_key": "k"},
    {"surrogate_key": "k", "order_by": "n", "track": "name"},
    {"surrogate_key": "k", "deletes": lk.Deletes("ignore"), "open_until": "9999-12-31"},
    {"surrogate_key": "k", "deletes": lk.Deletes("hard"), "track": ("name", "visits")},
    {"surrogate_key": "k", "bitemporal": True, "now": DAY},
    {"surrogate_key": "k", "type1": "visits"},
]
FIGURES = ("read", "inserted", "updated", "deleted", "removed", "late", "unchanged")


@settings(max_examples=max(6, settings.default.max_examples // 2), suppress_health_check=[HealthCheck.too_slow])
@given(batches=BATCHES, options=st.sampled_from(OPTIONS))
def test_what_is_appended_by_a_join_is_what_computing_the_histories_anew_gives(
    batches: list[list[dict[str, Any]]], options: dict[str, Any]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        lake = lk.connect(folder)
        for number, told in enumerate(batches):
            by_join = merged(lake, "gold.by_join", f"{number}", told, options)
            with patch.object(scd2_appended, "applies", return_value=False):
                anew = merged(lake, "gold.anew", f"{number}", told, options)
            assert by_join == anew
            assert rows(lake, "gold.by_join") == rows(lake, "gold.anew")


def merged(lake: Any, table: str, run: str, told: list[dict[str, Any]], options: dict[str, Any]) -> dict[str, int]:
    batch = lk.from_frame(lake, pa.Table.from_pylist(told, SCHEMA), run_id=run, now=DAY)
    commit = lk.merge_scd2(batch, into=table, key="id", effective_at="at", **options)
    return {name: getattr(commit, name) for name in FIGURES}


def rows(lake: Any, table: str) -> list[str]:
    found = lk.read(lake, table).to_arrow().drop_columns(["_write_id"]).to_pylist()
    return sorted(map(str, found))
