"""Events as MongoDB's documentation and servers show them, decoded without a server: rows, their order, and where a stream ends."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import bson
import pytest
from bson import ObjectId, Timestamp
from bson.datetime_ms import DatetimeMS

from lakekit import sources
from lakekit.errors import ConfigError, SourceConfigError
from lakekit.sources import mongo_changes
from lakekit.sources.mongo_changes import MongoChanges
from lakekit.sources.mongo_events import Changes
from lakekit.sources.mongo_read import decode
from lakekit.sources.spool import Spool

NAMESPACE = {"db": "market", "coll": "orders"}
ONE, TWO = ObjectId("65920080aaaaaaaaaaaaaaaa"), ObjectId("65920081aaaaaaaaaaaaaaaa")
SECOND = 1_767_225_600  # 2026-01-01


def event(number: int, operation: str, **more: Any) -> dict[str, Any]:
    """An event in the form of MongoDB 7."""
    head = {"_id": {"_data": f"8265{number:04d}"}, "operationType": operation, "clusterTime": Timestamp(SECOND, number)}
    return {**head, "wallTime": datetime(2026, 1, 1, tzinfo=UTC), "ns": NAMESPACE, **more}


RECORDED = [
    event(1, "insert", documentKey={"_id": ONE}, fullDocument={"_id": ONE, "price": 1.5, "tags": ["a"]}),
    event(
        2,
        "update",
        documentKey={"_id": ONE},
        updateDescription={"updatedFields": {"price": 2.5}, "removedFields": ["tags"], "truncatedArrays": []},
        fullDocument={"_id": ONE, "price": 2.5},
    ),
    event(3, "replace", documentKey={"_id": TWO}, fullDocument={"_id": TWO, "price": "free", "far": DatetimeMS(2**60)}),
    event(4, "update", documentKey={"_id": TWO}, updateDescription={"updatedFields": {"a": 1}, "removedFields": []}, fullDocument=None),
    event(5, "delete", documentKey={"_id": TWO}),
    event(6, "createIndexes", operationDescription={"indexes": []}),
]
INVALIDATE = event(7, "invalidate")


def changes(**options: Any) -> MongoChanges:
    return sources.Mongo("mongodb://db", database="market").collection("orders", **options).changes()


def rows(source: MongoChanges, *parts: bytes) -> list[dict[str, Any]]:
    with Spool(place="test") as spool:
        read = Changes(source.collection, spool)
        read.gather_events(parts, target=None)
        found = [row for batch in read.batches() for row in batch.to_pylist()]
        assert read.exhausted
        return found


def test_each_write_is_a_row_and_a_delete_has_the_key_alone() -> None:
    found = rows(changes(), b"".join(map(bson.encode, RECORDED)))
    assert [(row["_id"], row["price"], row["_operation"], row["_source_timestamp"].microsecond) for row in found] == [
        (str(ONE), "1.5", "upsert", 1),
        (str(ONE), "2.5", "upsert", 2),
        (str(TWO), "free", "upsert", 3),
        (str(TWO), None, "delete", 5),
    ]
    assert [row["tags"] for row in found] == [["a"], None, None, None]
    assert "$date" in found[2]["_rescued_data"]
    assert {row["_source"] for row in found} == {"market.orders"}


def test_how_events_are_cut_into_parts_changes_nothing() -> None:
    assert rows(changes(), *map(bson.encode, RECORDED)) == rows(changes(), b"".join(map(bson.encode, RECORDED)))


class Recorded:
    """Events as a session gives them: what it was asked for, and the token after each."""

    def __init__(self, *events: dict[str, Any], now: int = 100) -> None:
        self.events, self.now, self.pipeline = events, now, list[dict[str, Any]]()

    def operation_time(self) -> Timestamp:
        return Timestamp(SECOND, self.now)

    def changes(self, _name: str, token: str, pipeline: list[dict[str, Any]]) -> Iterator[tuple[bytes | None, str]]:
        self.pipeline = pipeline
        for found in self.events:
            if found["_id"]["_data"] > token:
                yield bson.encode(found), found["_id"]["_data"]
        yield None, "later"


def follow(session: Any, *, token: str = "", most: int | None = None, **options: Any) -> tuple[int, str, bool]:
    """How many events are taken, the token after them, and whether there are more."""
    events = mongo_changes._Events(changes(**options), session, token, most=most)
    count = sum(len(decode(part, place="test")) for part in events.parts())
    return count, events.token, events.behind


def test_events_are_taken_until_none_is_there() -> None:
    assert follow(Recorded(*RECORDED)) == (6, "later", False)
    assert follow(Recorded(*RECORDED), token="82650005") == (1, "later", False)
    assert follow(Recorded()) == (0, "later", False)


def test_a_busy_stream_is_read_up_to_where_it_was_when_the_read_began() -> None:
    assert follow(Recorded(*RECORDED, now=3)) == (4, "82650004", False)


def test_a_portion_ends_after_so_many_events_and_says_that_there_are_more() -> None:
    assert follow(Recorded(*RECORDED), most=2) == (2, "82650002", True)


def test_a_collection_that_was_dropped_is_an_error_after_what_came_before() -> None:
    session = Recorded(*RECORDED, INVALIDATE)
    assert follow(session) == (6, "82650006", False)
    with pytest.raises(SourceConfigError, match=r"invalidate(?s:.*)lk\.rewind.*mongo-changes:market/orders"):
        follow(session, token="82650006")


def test_only_the_fields_asked_for_are_sent() -> None:
    session = Recorded()
    follow(session, columns=["_id", "price"])
    wanted = ["operationType", "clusterTime", "documentKey", "fullDocument._id", "fullDocument.price"]
    assert session.pipeline == [{"$project": dict.fromkeys(wanted, 1)}]


def test_a_stream_needs_no_cursor() -> None:
    with pytest.raises(ConfigError, match=r"changes\(\)"):
        changes(cursor="at")
