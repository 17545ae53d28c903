"""How far a collection was read: nothing is skipped whatever comes in which order, and a bookmark gives back what was put in."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from bson import ObjectId
from hypothesis import given
from hypothesis import strategies as st

from lakekit import sources
from lakekit.errors import ConfigError, SchemaError
from lakekit.sources import mongo_cursor
from lakekit.sources.mongo_cursor import Mark, advance, start

NOW = datetime(2026, 1, 1, tzinfo=UTC)
INSTANTS = st.datetimes(datetime(1970, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 -- bounds are given naive
IDS = st.binary(min_size=12, max_size=12).map(bytes.hex)
INTEGERS = st.integers(-(2**63), 2**63 - 1)
VALUES: dict[mongo_cursor.CursorType, st.SearchStrategy[Any]] = {"date": INSTANTS, "objectId": IDS, "integer": INTEGERS}


@pytest.mark.parametrize("kind", list(VALUES))
@given(data=st.data())
def test_a_mark_comes_back_from_its_bookmark(kind: mongo_cursor.CursorType, data: st.DataObject) -> None:
    values = VALUES[kind] | st.none()
    hollow = data.draw(st.dictionaries(st.text(max_size=3), values, max_size=2))
    mark = Mark("at", kind, "ab12", low=data.draw(values), seen=data.draw(values), hollow=hollow)
    assert Mark.from_details(json.loads(json.dumps(mark.to_details()))) == mark


@pytest.mark.parametrize("kind", list(VALUES))
@given(data=st.data())
def test_the_next_read_never_starts_behind_the_last_one_nor_after_the_servers_clock(
    kind: mongo_cursor.CursorType, data: st.DataObject
) -> None:
    mark = Mark("at", kind)
    for seen in data.draw(st.lists(VALUES[kind], min_size=1, max_size=4)):
        after = advance(mark, kind=kind, seen=seen, now=NOW, hollow=frozenset())
        assert after.low is not None
        assert after.seen == max(value for value in (mark.seen, seen) if value is not None)
        assert after.low <= after.seen
        assert mark.low is None or after.low >= mark.low
        if isinstance(after.low, datetime):
            assert after.low <= NOW
        mark = after


@given(IDS, st.integers(0, 10_000))
def test_object_ids_are_read_again_from_their_second_on(found: str, back: int) -> None:
    low = start(Mark("_id", "objectId", low=found), timedelta(seconds=back))
    assert isinstance(low, str)
    assert low <= found
    second = ObjectId(found).generation_time.timestamp()
    assert ObjectId(low).generation_time.timestamp() == max(second - back, 0)


def test_looking_back_past_the_beginning_of_time_reads_everything() -> None:
    assert start(Mark("at", "date", low=NOW), timedelta(days=10**6)) is None
    assert start(Mark("n", "integer", low=-(2**63) + 1), 5) == -(2**63)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"cursor": "a.b"}, "cursor="),
        ({"cursor": "$a"}, "cursor="),
        ({"cursor": "_source"}, "cursor="),
        ({"primary_key": ("a.b",)}, "primary_key="),
        ({"lookback": 5}, "lookback="),
        ({"cursor": "at", "lookback": -5}, "lookback="),
        ({"cursor": "at", "lookback": True}, "lookback="),
        ({"cursor": "at", "on_null_cursor": "skip"}, "on_null_cursor="),
        ({"schema": ["a"]}, "schema="),
        ({"schema": {"a.b": "int"}}, "schema="),
        ({"cursor": "at", "schema": {"at": "timestamp"}}, "is the cursor"),
    ],
)
def test_a_wrong_argument_is_refused_before_anything_is_asked(arguments: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        sources.Mongo("mongodb://db", database="market").collection("orders", **arguments)


@pytest.mark.parametrize("words", ["time", "map<int, string>", "no_such_type", "array<time>"])
def test_a_type_that_no_value_of_mongodb_fits_is_refused(words: str) -> None:
    with pytest.raises(SchemaError, match="field 'a'"):
        sources.Mongo("mongodb://db", database="market").collection("orders", schema={"a": words})


@pytest.mark.parametrize("uri", ["http://db", "", 5, None])
def test_what_is_no_connection_string_is_refused_and_not_shown(uri: Any) -> None:
    with pytest.raises(ConfigError, match="not shown here"):
        sources.Mongo(uri, database="market")
