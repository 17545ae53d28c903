"""After the last ingest and the last comparison of keys the table says what the source holds, whatever happened in which order before."""

from __future__ import annotations

import tempfile
from datetime import timedelta
from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import lakekit as lk
from tests.contract.made_rows import Rows

KEY = st.tuples(st.sampled_from(["north", "north|1", "", None]), st.integers(1, 2))
STEP = st.one_of(
    st.tuples(st.just("put"), KEY, st.sampled_from("xy")),
    st.tuples(st.just("remove"), KEY),
    st.tuples(st.just("restore"), KEY),
    st.tuples(st.sampled_from(["ingest", "compare", "merge"])),
)
FEW = settings(max_examples=max(3, settings.default.max_examples // 12), suppress_health_check=[HealthCheck.too_slow])
GONE_AND_BACK = [("put", ("", 1), "x"), ("ingest",), ("remove", ("", 1)), ("ingest",), ("compare",), ("merge",), ("put", ("", 1), "x")]
RESTORED = [*GONE_AND_BACK[:-1], ("restore", ("", 1))]


@FEW
@given(dated=st.booleans(), steps=st.lists(STEP, min_size=1, max_size=12))
@example(dated=True, steps=GONE_AND_BACK)
@example(dated=False, steps=GONE_AND_BACK)
@example(dated=True, steps=RESTORED)
def test_the_living_rows_are_those_of_the_source(*, dated: bool, steps: list[tuple[Any, ...]]) -> None:
    source, removed = Rows(dated), {}
    with tempfile.TemporaryDirectory() as folder:
        lake = lk.connect(folder)

        def run(step: str) -> None:
            if step == "ingest":
                lk.ingest(lake, source, into="bronze.t", now=source.now)
            elif "bronze.t" in lake.tables() and step == "compare":
                lk.ingest_deletes(lake, source, into="bronze.t", deletes=lk.Deletes(force=True), now=source.now)
            elif "bronze.t" in lake.tables():
                lk.merge(lk.read_new(lake, "bronze.t", into="silver.t"), key=("region", "id"))

        for step, *said in [*steps, ("ingest",), ("compare",), ("merge",)]:
            source.now += timedelta(minutes=1)
            if step == "put":
                source.rows[said[0]] = said[1], source.now
            elif step == "remove" and said[0] in source.rows:
                removed[said[0]] = source.rows.pop(said[0])
            elif step == "restore" and said[0] in removed:  # as it was, its instant too
                source.rows.setdefault(said[0], removed[said[0]])
            else:
                run(step)
        found = lk.read(lake, "silver.t").to_arrow().to_pylist()
    assert {(row["region"], row["id"]): row["value"] for row in found} == {
        key: value for key, (value, _) in source.rows.items() if None not in key
    }
    assert len(found) == len({(row["region"], row["id"]) for row in found})
