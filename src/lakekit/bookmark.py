"""How far a table has consumed each of its upstreams: positions, the batch's bookmark, and the stored one. The JSON here is public format.

A position is an order number ``at`` and the upstream's own details. ``at`` grows with each step and is what positions are compared by:
for an Iceberg table the snapshot's sequence number, for a source the count of its increments.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final, cast

import attrs

from lakekit.errors import QueryError

FORMAT: Final = 1
BOOKMARK: Final = "lakekit.bookmark"
"""Snapshot summary key and table property that hold the stored bookmark."""
WRITE_ID: Final = "lakekit.write_id"
"""Snapshot summary key of the write that made the snapshot."""
OF_PARENT: Final = "lakekit.of_parent"
"""Snapshot summary key: this snapshot is empty, and its summary is also that of its parent, which could not be given one."""
WAITING: Final = "waiting"
"""Among the details of a position in a change log: the moves of which only one half had come."""
REMEMBERED_RUNS: Final = 64
"""So many run ids of a user's own frames are kept, newest last."""


def canonical(value: object) -> str:
    """JSON in one form only: keys sorted, no spaces.

    >>> canonical({"b": 1, "a": [None, "x"]})
    '{"a":[null,"x"],"b":1}'
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def hash63(value: str) -> int:
    """A positive 63-bit number made of a text: the first half of its SHA-256, without the sign bit.

    >>> hash63("lakekit")
    3729415234399551885
    """
    return int.from_bytes(hashlib.sha256(value.encode()).digest()[:8]) & 0x7FFF_FFFF_FFFF_FFFF


@attrs.frozen
class Position:
    """How far one upstream was read.

    Attributes:
        at: The order number. Of two positions of one upstream, the greater is further.
        details: The upstream's own words, as canonical JSON.
    """

    at: int
    details: str = "{}"

    @classmethod
    def of(cls, at: int, details: Mapping[str, object]) -> Position:
        """A position with these details."""
        return cls(at, canonical(dict(details)))

    @property
    def values(self) -> dict[str, Any]:
        """The details, as a new dictionary."""
        return cast("dict[str, Any]", json.loads(self.details))

    def to_dict(self) -> dict[str, object]:
        """The position as it stands in the stored bookmark."""
        return {**self.values, "at": self.at}

    @classmethod
    def from_dict(cls, data: Mapping[str, object]) -> Position:
        """The position that a stored bookmark holds."""
        return cls.of(cast("int", data["at"]), {name: value for name, value in data.items() if name != "at"})


@attrs.frozen
class Span:
    """What a batch holds of one upstream: everything after ``start`` (None: from the beginning) up to ``end``."""

    start: Position | None
    end: Position


@attrs.frozen
class Bookmark:
    """How far every upstream was read to make a batch, both ends fixed when the batch was made.

    Attributes:
        spans: Upstream to span. Empty: nothing is tracked (a plain read).
        epoch: The rewind epoch of the target when the batch was made.
        run_id: The name of a user's own run, for a frame brought by hand.
        superset: The rows may hold more than what changed (the snapshot read last has expired): for keyed writes only.
    """

    spans: Mapping[str, Span] = attrs.field(factory=dict)
    epoch: int = 0
    run_id: str | None = None
    superset: bool = False

    def __bool__(self) -> bool:
        return bool(self.spans) or self.run_id is not None

    @property
    def waiting(self) -> int:
        """How many moves of change logs have come by half, so far."""
        return sum(span.end.values.get(WAITING, {}).get("moves", 0) for span in self.spans.values())

    def union(self, other: Bookmark) -> Bookmark:
        """Both bookmarks in one.

        Raises:
            QueryError: One upstream with two ranges, or two runs.
        """
        for name, span in other.spans.items():
            if self.spans.get(name, span) != span:
                raise QueryError(
                    "union_by_name()",
                    "one upstream was read over two different ranges",
                    got=name,
                    hint="read it once with read_new() and use the batch twice.",
                )
        if self.run_id and other.run_id and self.run_id != other.run_id:
            raise QueryError(
                "union_by_name()", "frames of two different runs", got=f"{self.run_id!r} and {other.run_id!r}", hint="give both one run_id."
            )
        return Bookmark(
            {**self.spans, **other.spans},
            max(self.epoch, other.epoch),
            self.run_id or other.run_id,
            superset=self.superset or other.superset,
        )

    def write_id(self, into: str) -> int:
        """The 63-bit number that stands in every row this batch changes: the same for the same increment, whoever writes it.

        >>> a = Bookmark({"files:x": Span(None, Position(1))})
        >>> a.write_id("bronze.x") == Bookmark({"files:x": Span(None, Position(9))}).write_id("bronze.x")
        True
        """
        if self.run_id is not None:
            return hash63(canonical(["run", into, self.run_id]))
        starts = {name: None if span.start is None else span.start.to_dict() for name, span in self.spans.items()}
        return hash63(canonical(["increment", into, starts, self.epoch]))


@attrs.frozen
class Stored:
    """The bookmark a table holds.

    Attributes:
        positions: Upstream to the position consumed so far.
        epoch: How often the bookmark was set back by ``rewind``.
        sequence: The sequence number of the snapshot it was written with.
        snapshot: That snapshot's id. None: written without a snapshot, before there was one.
        runs: Write ids of the last frames brought by hand.
    """

    positions: Mapping[str, Position] = attrs.field(factory=dict)
    epoch: int = 0
    sequence: int = 0
    snapshot: int | None = None
    runs: tuple[int, ...] = ()

    def to_json(self) -> str:
        """The stored form: snapshot summary and table property hold this text."""
        return canonical(
            {
                "format": FORMAT,
                "epoch": self.epoch,
                "sequence": self.sequence,
                "snapshot": self.snapshot,
                "positions": {name: position.to_dict() for name, position in self.positions.items()},
                "runs": list(self.runs),
            }
        )

    @classmethod
    def from_json(cls, text: str) -> Stored:
        """Read the stored form."""
        data = cast("dict[str, Any]", json.loads(text))
        return cls(
            {name: Position.from_dict(value) for name, value in data["positions"].items()},
            epoch=data["epoch"],
            sequence=data["sequence"],
            snapshot=data["snapshot"],
            runs=tuple(data["runs"]),
        )

    def furthest(self, other: Stored) -> Stored:
        """The newest epoch's positions; within one epoch, the further of both for each upstream.

        >>> a, b = Stored({"x": Position(3)}), Stored({"x": Position(2), "y": Position(1)})
        >>> sorted((name, p.at) for name, p in a.furthest(b).positions.items())
        [('x', 3), ('y', 1)]
        """
        if self.epoch != other.epoch:
            return self if self.epoch > other.epoch else other
        newer, older = (self, other) if self.sequence >= other.sequence else (other, self)
        positions = dict(older.positions)
        for name, position in newer.positions.items():
            known = positions.get(name)
            positions[name] = position if known is None or position.at >= known.at else known
        runs = (*(run for run in older.runs if run not in newer.runs), *newer.runs)
        return attrs.evolve(newer, positions=positions, runs=runs[-REMEMBERED_RUNS:])

    def advance(self, bookmark: Bookmark, *, write_id: int, sequence: int, snapshot: int | None) -> Stored:
        """The bookmark after a batch was written."""
        runs = self.runs
        if bookmark.run_id is not None:
            runs = (*(run for run in runs if run != write_id), write_id)[-REMEMBERED_RUNS:]
        positions = {**self.positions, **{name: span.end for name, span in bookmark.spans.items()}}
        return attrs.evolve(self, positions=positions, sequence=sequence, snapshot=snapshot, runs=runs)
