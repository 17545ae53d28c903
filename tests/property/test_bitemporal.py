"""A bitemporal dimension, whatever comes in whatever order: what it holds is the plain dimension, and what it held is the plain one of that time."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import lakekit as lk
from tests.property.test_dimension import OPTIONS, batch, deliveries

DIM, PLAIN = "gold.bitemporal", "gold.plain"
NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)
HOURS = st.lists(st.integers(-2, 2), min_size=4, max_size=4)
CHOICES = st.fixed_dictionaries(
    {
        "deletes": st.sampled_from(["close", "new_record", "hard", "ignore"]).map(lk.Deletes),
        "surrogate_key": st.sampled_from(["k", None]),
        "ignore_null": st.sampled_from([(), ("city",)]),
        "open_until": st.sampled_from([None, "9999-12-31"]),
        "first_version_from": st.sampled_from([None, "2020-01-01"]),
    }
)
FEW = settings(max_examples=max(3, settings.default.max_examples // 8), suppress_health_check=[HealthCheck.too_slow])
TICK = timedelta(microseconds=1)
Rows = list[str]
Event = dict[str, Any]


@FEW
@given(delivery=deliveries(), rebuilt=st.sampled_from([(), (3,), (1, 3)]), hours=HOURS, chosen=CHOICES)
def test_what_it_holds_is_the_plain_dimension_and_what_it_held_is_the_plain_one_of_that_time(
    delivery: tuple[list[Event], list[list[Event]]], rebuilt: tuple[int, ...], hours: list[int], chosen: dict[str, Any]
) -> None:
    events, batches = delivery
    options = {**OPTIONS, **chosen}
    with tempfile.TemporaryDirectory() as folder:
        lake = lk.connect(folder)
        lk.append(batch(lake, "log", events[: len(events) // 2 + 1]), into="bronze.log")
        given = [(batch(lake, f"{number}", told), {}) for number, told in enumerate(batches) if told]
        for at in rebuilt:
            given.insert(at, (lk.read(lake, "bronze.log"), {"rebuild": True}))
        was: list[tuple[datetime, Rows]] = []
        present = NOON
        for (rows, more), passed in zip(given, [*hours, 0], strict=False):
            present += timedelta(hours=passed)
            plain = lk.merge_scd2(rows, into=PLAIN, **options, **more)
            both = lk.merge_scd2(rows, into=DIM, **options, **more, bitemporal=True, now=present)
            assert both.committed == plain.committed
            assert (both.inserted, both.updated, both.deleted) == (plain.inserted, plain.updated + plain.removed, plain.deleted)
            now = visible(lk.read(lake, PLAIN))
            assert both.recorded_at == (expected(present, was) if now != (was[-1][1] if was else []) else None)
            if both.recorded_at is not None:
                was.append((both.recorded_at, now))
            assert held(lake) == whole(lk.read(lake, PLAIN))
            lk.verify_scd2(lake, DIM).require()
        before: Rows = []
        for instant, shown_then in was:
            assert visible(lk.gold.known_at(lake, DIM, instant - TICK)) == before
            assert visible(lk.gold.known_at(lake, DIM, instant)) == shown_then
            before = shown_then
        if not rebuilt:
            again = lk.merge_scd2(batch(lake, "again", events), into=DIM, **options, bitemporal=True)
            assert not again.committed, "a replay records nothing"


def expected(present: datetime, was: list[tuple[datetime, Rows]]) -> datetime:
    """When a change is recorded: now, and yet after the last one."""
    return max(present, was[-1][0] + TICK) if was else present


def shown(row: dict[str, Any], *hidden: str) -> str:
    return str({name: value for name, value in row.items() if name not in {"_write_id", "recorded_from", "recorded_to", *hidden}})


def visible(rows: lk.Batch) -> Rows:
    """What people read of the rows."""
    return sorted(shown(row, "_absorbed") for row in rows.to_arrow().to_pylist())


def whole(rows: lk.Batch) -> Rows:
    """The rows, with what they remember."""
    return sorted(shown(row) for row in rows.to_arrow().to_pylist())


def held(lake: Any) -> Rows:
    """The rows that the table holds now, with what they remember."""
    end = datetime(9999, 12, 31, tzinfo=UTC)
    return sorted(shown(row) for row in lk.read(lake, DIM).to_arrow().to_pylist() if row["recorded_to"] in (None, end))
