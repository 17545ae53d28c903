"""From where to where a topic is read, without a broker."""

from __future__ import annotations

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakekit.errors import ContractError
from lakekit.sources.kafka_offsets import Offsets, plan, resume, share


def found(
    end: dict[int, int], *, first: dict[int, int] | None = None, topic_id: str | None = "id", stable: dict[int, int] | None = None
) -> Offsets:
    return Offsets(topic_id, first or dict.fromkeys(end, 0), stable or end, end)


def stored(offsets: dict[int, int], topic_id: str | None = "id") -> dict[str, object]:
    return {"topic_id": topic_id, "offsets": {str(partition): at for partition, at in offsets.items()}}


def go(position: dict[str, object], offsets: Offsets, on_recreated: str = "raise", on_gap: str = "raise") -> dict[int, int]:
    return resume(position, offsets, on_recreated=on_recreated, on_gap=on_gap, place="topic")  # type: ignore[arg-type]


def test_partitions_are_read_on_and_new_ones_from_their_first_message() -> None:
    assert go(stored({0: 5}), found({0: 9, 1: 3})) == {0: 5, 1: 0}


def test_another_topic_id_is_another_topic_however_far_it_has_come() -> None:
    offsets = found({0: 100}, topic_id="new", first={0: 2})
    with pytest.raises(ContractError, match=r"topic id new, before id(?s:.*)restart"):
        go(stored({0: 5}), offsets)
    assert go(stored({0: 5}), offsets, "restart") == {0: 2}


@pytest.mark.parametrize(("before", "now"), [(None, None), ("id", None), (None, "id")])
def test_where_no_id_is_known_an_end_before_the_stored_offset_tells(before: str | None, now: str | None) -> None:
    with pytest.raises(ContractError, match="made anew"):
        go(stored({0: 5, 1: 5}, before), found({0: 9, 1: 4}, topic_id=now))
    assert go(stored({0: 5, 1: 5}, before), found({0: 9, 1: 4}, topic_id=now), "restart") == {0: 0, 1: 0}
    assert go(stored({0: 5}, before), found({0: 5}, topic_id=now)) == {0: 5}
    with pytest.raises(ContractError, match="made anew"):
        go(stored({0: 5, 1: 0}, before), found({0: 9}, topic_id=now))


def test_the_same_topic_cut_short_is_not_read_again_from_its_beginning(caplog: pytest.LogCaptureFixture) -> None:
    offsets = found({0: 4, 1: 9})
    with pytest.raises(ContractError, match=r"partition 0 ends at 4, read up to 5"):
        go(stored({0: 5, 1: 7}), offsets)
    with caplog.at_level(logging.WARNING):
        assert go(stored({0: 5, 1: 7}), offsets, "restart") == {0: 4, 1: 7}
    assert "lost messages" in caplog.text


def test_a_gap_is_an_error_or_a_warning_and_a_new_partition_may_have_one_too() -> None:
    offsets = found({0: 9, 1: 9}, first={0: 7, 1: 2})
    with pytest.raises(ContractError, match=r"partition 0: offsets 5 to 6, partition 1: offsets 0 to 1"):
        go(stored({0: 5}), offsets)
    assert go(stored({0: 5}), offsets, on_gap="continue") == {0: 7, 1: 2}


def test_an_open_transaction_before_the_stored_offset_is_no_new_topic() -> None:
    offsets = found({0: 9}, stable={0: 3})
    start = go(stored({0: 5}, None), offsets)
    assert start == {0: 5}
    assert plan("id", start, offsets, at_most=None).end == {0: 5}


@given(st.dictionaries(st.integers(0, 20), st.integers(0, 1000), min_size=1), st.integers(1, 2000))
def test_a_share_is_never_more_than_wanted_and_all_of_the_limit_is_given_where_it_is_wanted(wanted: dict[int, int], limit: int) -> None:
    given_ = share(limit, wanted)
    assert all(0 <= given_[partition] <= wanted[partition] for partition in wanted)
    assert sum(given_.values()) == min(limit, sum(wanted.values()))
    short = [given_[partition] for partition in wanted if given_[partition] < wanted[partition]]
    assert not short or max(given_.values()) - min(short) <= 1


@given(st.dictionaries(st.integers(0, 5), st.tuples(st.integers(0, 50), st.integers(0, 50)), min_size=1), st.integers(1, 30))
def test_portions_one_after_the_other_read_each_offset_once(topic: dict[int, tuple[int, int]], at_most: int) -> None:
    first = {partition: low for partition, (low, _) in topic.items()}
    offsets = found({partition: low + count for partition, (low, count) in topic.items()}, first=first)
    start, read, behind = first, list[tuple[int, int]](), True
    while behind:
        step = plan("id", start, offsets, at_most=at_most)
        read += [(partition, at) for partition in step.start for at in range(step.start[partition], step.end[partition])]
        behind, position = step.behind, dict(step.to_details())
        start = go(position, offsets)
    assert sorted(read) == [(partition, at) for partition in sorted(topic) for at in range(first[partition], offsets.end[partition])]
