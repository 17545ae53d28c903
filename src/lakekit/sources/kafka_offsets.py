"""From where to where a topic is read: pure, from the offsets stored and the offsets found.

A position is ``{"topic_id": …, "offsets": {"0": next offset, …}}``. The id tells a topic from another one of the same name; NULL where
the brokers don't tell. A partition that is not named there is new, and is read from offset 0.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Literal, cast

import attrs

from lakekit import logs
from lakekit.errors import ContractError
from lakekit.sources.protocol import Details

logger = logging.getLogger(__name__)

OnRecreated = Literal["raise", "restart"]
OnGap = Literal["raise", "continue"]


@attrs.frozen
class Offsets:
    """What the brokers hold of a topic at one instant, by partition.

    Attributes:
        topic_id: The topic's id. None: the brokers don't tell.
        first: The first offset that is still there.
        end: The offset after the last message that may be read: what open transactions hold back is left out.
        log_end: The offset after the last message of all.
    """

    topic_id: str | None
    first: Mapping[int, int]
    end: Mapping[int, int]
    log_end: Mapping[int, int]


@attrs.frozen
class Plan:
    """What one increment reads.

    Attributes:
        topic_id: The topic's id, as far as it is known.
        start: The offset that is read first, by partition.
        end: The offset that is read next time.
        lag: How many offsets there are beyond, which may be read already.
    """

    topic_id: str | None
    start: Mapping[int, int]
    end: Mapping[int, int]
    lag: int

    @property
    def behind(self) -> bool:
        """Whether there is more in the topic already."""
        return self.lag > 0

    @property
    def open(self) -> dict[int, int]:
        """The partitions in which there is something to read, and from where."""
        return {partition: at for partition, at in self.start.items() if at < self.end[partition]}

    def to_details(self) -> Details:
        """The position after the increment."""
        return {"topic_id": self.topic_id, "offsets": {str(partition): at for partition, at in sorted(self.end.items())}}


def plan(topic_id: str | None, start: Mapping[int, int], found: Offsets, *, at_most: int | None) -> Plan:
    """Read from ``start`` to the end; or ``at_most`` so many offsets, shared between the partitions.

    >>> found = Offsets("id", first={0: 0, 1: 0}, end={0: 100, 1: 5}, log_end={0: 100, 1: 5})
    >>> plan("id", {0: 10, 1: 0}, found, at_most=25).end
    {0: 30, 1: 5}
    """
    backlog = {partition: max(0, found.end[partition] - at) for partition, at in start.items()}
    taken = backlog if at_most is None else share(at_most, backlog)
    end = {partition: at + taken[partition] for partition, at in start.items()}
    return Plan(topic_id, start, end, lag=sum(backlog.values()) - sum(taken.values()))


def share(limit: int, wanted: Mapping[int, int]) -> dict[int, int]:
    """Share a limit evenly: who wants less than an even share leaves the rest to the others.

    >>> share(10, {0: 100, 1: 2, 2: 100})
    {0: 4, 1: 2, 2: 4}
    """
    given = dict.fromkeys(wanted, 0)
    left = limit
    for position, partition in enumerate(sorted(wanted, key=lambda partition: (wanted[partition], partition))):
        given[partition] = min(wanted[partition], left // (len(wanted) - position))
        left -= given[partition]
    return given


def resume(position: Details, found: Offsets, *, on_recreated: OnRecreated, on_gap: OnGap, place: str) -> dict[int, int]:
    """The offset from which each partition is read on.

    Raises:
        ContractError: The topic was made anew, lost messages that were read before, or lost messages before they were read.
    """
    known = cast("str | None", position.get("topic_id"))
    stored = {int(partition): at for partition, at in cast("Mapping[str, int]", position["offsets"]).items()}
    behind = {partition: at for partition, at in stored.items() if at > found.log_end.get(partition, -1)}
    same = known == found.topic_id if known and found.topic_id else not behind
    if not same:
        _recreated(known, found, behind, on_recreated, place)
        return dict(found.first)
    if behind:
        _truncated(behind, found, on_recreated, place)
        stored |= {partition: found.log_end.get(partition, 0) for partition in behind}
    start = {partition: stored.get(partition, 0) for partition in found.first}
    lost = {partition: at for partition, at in start.items() if at < found.first[partition]}
    if lost:
        _gap(lost, found, on_gap, place)
    return {partition: max(at, found.first[partition]) for partition, at in start.items()}


def _recreated(known: str | None, found: Offsets, behind: Mapping[int, int], policy: OnRecreated, place: str) -> None:
    problem = "the topic was deleted and made anew since it was read last, or another cluster answers: its offsets begin again"
    ids = f"topic id {found.topic_id}, before {known}"
    got = ids if known and found.topic_id else f"offsets below those read before in {_partitions(behind)}"
    if policy == "raise":
        raise ContractError(
            place,
            problem,
            got=got,
            hint="topic(on_recreated='restart') reads it from its beginning, once; for another cluster, give Kafka(name=) another name.",
        )
    told = logs.fields("source_restarted", source=place)
    logger.warning("%s: %s (%s). It is read from its beginning.", place, problem, got, extra=told)


def _truncated(behind: Mapping[int, int], found: Offsets, policy: OnRecreated, place: str) -> None:
    problem = "the topic has lost messages that were read from it before (an unclean leader election does that)"
    got = ", ".join(
        f"partition {partition} ends at {found.log_end.get(partition, 0):,}, read up to {at:,}" for partition, at in behind.items()
    )
    if policy == "raise":
        raise ContractError(place, problem, got=got, hint="topic(on_recreated='restart') goes on from the topic's present end.")
    told = logs.fields("messages_lost", source=place)
    logger.warning("%s: %s (%s). It is read on from its present end.", place, problem, got, extra=told)


def _gap(lost: Mapping[int, int], found: Offsets, policy: OnGap, place: str) -> None:
    problem = "messages were deleted before they were read: by retention, or by hand"
    got = ", ".join(f"partition {partition}: offsets {at:,} to {found.first[partition] - 1:,}" for partition, at in sorted(lost.items()))
    if policy == "raise":
        raise ContractError(
            place, problem, got=got, hint="topic(on_gap='continue') goes on with what is left. Run oftener, or have the topic keep more."
        )
    told = logs.fields("messages_lost", source=place)
    logger.warning("%s: %s (%s). They are lost; it goes on with what is left.", place, problem, got, extra=told)


def _partitions(behind: Mapping[int, int]) -> str:
    return ", ".join(f"partition {partition}" for partition in sorted(behind)) or "no partition"
