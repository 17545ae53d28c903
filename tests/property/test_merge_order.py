"""merge is a pure function of the set of events: any order, any batches, any repeats give the table that a dictionary gives at once."""

from __future__ import annotations

import random
import tempfile
from typing import Any, NamedTuple

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import lakekit as lk

TABLE = "silver.things"
SCHEMA = pa.schema([("id", pa.int64()), ("at", pa.int64()), ("v", pa.string()), ("_operation", pa.string())])

pytestmark = pytest.mark.slow  # minutes on a busy machine


class Event(NamedTuple):
    id: int
    at: int | None
    v: str | None
    gone: bool


def oracle(events: list[Event]) -> dict[int, Event]:
    """The last event of each key. NULL is earliest; at one instant a delete is after an upsert."""
    last: dict[int, Event] = {}
    for event in events:
        if event.id not in last or rank(event) > rank(last[event.id]):
            last[event.id] = event
    return last


def rank(event: Event) -> tuple[int, bool]:
    return (-1 if event.at is None else event.at, event.gone)


# Two different upserts of one key at one instant are ordered by a digest, which the dictionary doesn't know: see the second law.
EVENTS = st.lists(
    st.builds(Event, st.integers(1, 3), st.none() | st.integers(0, 4), st.sampled_from(["x", "y", "", None]), st.booleans()),
    min_size=1,
    max_size=10,
    unique_by=lambda event: (event.id, rank(event)),
)
TIES = st.lists(
    st.builds(Event, st.integers(1, 2), st.integers(0, 1), st.sampled_from(["x", "y", "", None]), st.booleans()), min_size=1, max_size=8
)


def merged(events: list[Event], seed: int, mode: Any) -> list[tuple[Any, ...]]:
    """The living rows after the events came in some order, in some batches, some of them twice."""
    chance = random.Random(seed)
    coming = [*events, *chance.sample(events, chance.randint(0, len(events)))]
    chance.shuffle(coming)
    with tempfile.TemporaryDirectory() as folder:
        lake = lk.connect(folder)
        run = 0
        while coming:
            run += 1
            size = chance.randint(1, 5)
            part, coming = coming[:size], coming[size:]
            rows = [{"id": event.id, "at": event.at, "v": event.v, "_operation": "delete" if event.gone else "upsert"} for event in part]
            batch = lk.from_frame(lake, pa.Table.from_pylist(rows, schema=SCHEMA), run_id=str(run))
            commit = lk.merge(batch, into=TABLE, key="id", order_by="at", deletes=lk.Deletes(mode))
            outcome = (
                commit.inserted + commit.updated + commit.deleted + commit.unchanged + commit.late + commit.duplicates + commit.rejected
            )
            assert outcome == commit.read == len(part)
        found = lk.read(lake, TABLE).to_arrow().to_pylist()
    return sorted((row["id"], row["at"], row["v"]) for row in found)


@pytest.mark.parametrize("mode", ["soft", "hard"])
@settings(max_examples=8, suppress_health_check=[HealthCheck.too_slow])
@given(EVENTS, st.integers(0, 2**32))
def test_any_order_any_batches_and_any_repeats_give_the_last_event_of_each_key(mode: str, events: list[Event], seed: int) -> None:
    expected = sorted((event.id, event.at, event.v) for event in oracle(events).values() if not event.gone)
    assert merged(events, seed, mode) == expected


@pytest.mark.parametrize("mode", ["soft", "hard"])
@settings(max_examples=5, suppress_health_check=[HealthCheck.too_slow])
@given(TIES, st.integers(0, 2**32), st.integers(0, 2**32))
def test_events_of_one_instant_give_the_same_table_in_any_order(mode: str, events: list[Event], one: int, other: int) -> None:
    assert merged(events, one, mode) == merged(events, other, mode)
