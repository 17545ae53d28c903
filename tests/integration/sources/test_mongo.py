"""Collections of a server: each document once, late ones within the lookback, and nothing half-written when it fails."""

from __future__ import annotations

import logging
import pickle
import traceback
from datetime import UTC, datetime, timedelta
from typing import Any

import pymongo
import pytest
from bson import ObjectId

import lakekit as lk
from lakekit import sources
from lakekit.errors import ConfigError, ContractError, GuardError, LakekitError, SchemaError, SourceConfigError, SourceError
from tests.integration.sources.mongo_reading import INTO, Line, Market, ids, orders, rows
from tests.servers.mongo import MongoServer

SECRET = "s3cret-Pa55word"
DAY = datetime(2026, 1, 1, tzinfo=UTC)


def at(hours: float) -> datetime:
    return DAY + timedelta(hours=hours)


def test_a_first_load_takes_all_and_a_second_run_makes_no_snapshot(market: Market, mongo: str, lake: lk.Lake) -> None:
    market["orders"].insert_many({"_id": number, "price": number * 1.5, "order_time": at(number)} for number in range(5))
    first = lk.ingest(lake, orders(market, mongo, cursor="order_time"), into=INTO)
    assert (first.committed, first.read, first.inserted) == (True, 5, 5)
    assert not lk.ingest(lake, orders(market, mongo, cursor="order_time"), into=INTO).committed
    assert len(lk.history(lake, INTO)) == 1
    row = next(row for row in rows(lake) if row["_id"] == 2)
    assert {name: row[name] for name in row if name not in {"_ingestion_timestamp", "_write_id"}} == {
        "_id": 2,
        "price": 3.0,
        "order_time": at(2),
        "_rescued_data": None,
        "_source": "market.orders",
        "_source_timestamp": at(2),
        "_operation": "upsert",
    }


def test_an_increment_by_a_date_takes_what_is_new_and_what_was_changed(market: Market, mongo: str, lake: lk.Lake) -> None:
    source = orders(market, mongo, cursor="order_time")
    market["orders"].insert_many({"_id": number, "state": "new", "order_time": at(number)} for number in range(3))
    lk.ingest(lake, source, into=INTO)
    market["orders"].insert_many([{"_id": 3, "state": "new", "order_time": at(3)}, {"_id": 4, "state": "new", "order_time": at(2)}])
    market["orders"].update_one({"_id": 0}, {"$set": {"state": "paid", "order_time": at(4)}})
    commit = lk.ingest(lake, source, into=INTO)
    assert (commit.read, commit.inserted) == (4, 3)  # number 2 is read again, and known
    assert sorted((row["_id"], row["state"]) for row in rows(lake)) == [
        (0, "new"),
        (0, "paid"),
        (1, "new"),
        (2, "new"),
        (3, "new"),
        (4, "new"),
    ]


def test_an_increment_by_id_reads_the_last_second_again(market: Market, mongo: str, lake: lk.Lake) -> None:
    source = orders(market, mongo, cursor="_id")
    # Two machines in one second: the later document has the smaller ObjectId.
    first, second = ObjectId("65920080bbbbbbbbbb000001"), ObjectId("65920080aaaaaaaaaa000001")
    market["orders"].insert_many([{"_id": ObjectId("6592007faaaaaaaaaa000001")}, {"_id": first}])
    lk.ingest(lake, source, into=INTO)
    market["orders"].insert_many([{"_id": second}, {"_id": ObjectId("65920081aaaaaaaaaa000001")}])
    commit = lk.ingest(lake, source, into=INTO)
    assert (commit.inserted, len(rows(lake))) == (2, 4)
    found = next(row for row in rows(lake) if row["_id"] == str(second))
    assert found["_source_timestamp"] == second.generation_time
    assert not lk.ingest(lake, source, into=INTO).committed


def test_an_increment_by_an_integer_takes_doubles_for_integers(market: Market, mongo: str, lake: lk.Lake) -> None:
    source = orders(market, mongo, cursor="number")
    market["orders"].insert_many([{"_id": 1, "number": 1}, {"_id": 2, "number": 2.0}])
    lk.ingest(lake, source, into=INTO)
    market["orders"].insert_one({"_id": 3, "number": 3})
    assert lk.ingest(lake, source, into=INTO).inserted == 1
    assert sorted((row["number"], row["_source_timestamp"]) for row in rows(lake)) == [(1, None), (2, None), (3, None)]


def test_without_a_cursor_all_is_read_and_only_what_is_new_is_added(market: Market, mongo: str, lake: lk.Lake) -> None:
    market["orders"].insert_many([{"_id": 1, "state": "new"}, {"_id": 2, "state": "new"}])
    lk.ingest(lake, orders(market, mongo), into=INTO)
    market["orders"].update_one({"_id": 1}, {"$set": {"state": "paid"}})
    commit = lk.ingest(lake, orders(market, mongo), into=INTO)
    assert (commit.read, commit.inserted) == (2, 1)
    assert not lk.ingest(lake, orders(market, mongo), into=INTO).committed


def test_a_late_document_is_read_within_the_lookback_and_missed_beyond_it(market: Market, mongo: str, lake: lk.Lake) -> None:
    source = orders(market, mongo, cursor="order_time", lookback=timedelta(hours=2))
    market["orders"].insert_many({"_id": hour, "order_time": at(hour)} for hour in range(6))
    lk.ingest(lake, source, into=INTO)
    market["orders"].insert_many([{"_id": 10, "order_time": at(3)}, {"_id": 11, "order_time": at(2.9)}])
    commit = lk.ingest(lake, source, into=INTO)
    assert (commit.read, commit.inserted) == (4, 1)
    assert ids(lake) == [0, 1, 2, 3, 4, 5, 10]


def test_a_document_of_the_future_hides_nobody(market: Market, mongo: str, lake: lk.Lake) -> None:
    source = orders(market, mongo, cursor="order_time")
    market["orders"].insert_many([{"_id": 1, "order_time": at(0)}, {"_id": 2, "order_time": datetime(2999, 1, 1, tzinfo=UTC)}])
    lk.ingest(lake, source, into=INTO)
    market["orders"].insert_one({"_id": 3, "order_time": datetime(2998, 1, 1, tzinfo=UTC)})
    assert lk.ingest(lake, source, into=INTO).inserted == 1
    assert ids(lake) == [1, 2, 3]


HOLES: list[dict[str, Any]] = [{"_id": 2}, {"_id": 3, "order_time": None}, {"_id": 4, "order_time": "2026-01-01"}]


def test_a_document_without_a_cursor_is_an_error_by_default(market: Market, mongo: str, lake: lk.Lake) -> None:
    market["orders"].insert_many([{"_id": 1, "order_time": at(1)}, *HOLES])
    with pytest.raises(ContractError, match=r"cursor='order_time'.*type date.*got 3 documents(?s:.*)on_null_cursor='include'"):
        lk.ingest(lake, orders(market, mongo, cursor="order_time"), into=INTO)
    assert lake.tables() == []


def test_documents_without_a_cursor_may_be_left_out(market: Market, mongo: str, lake: lk.Lake) -> None:
    source = orders(market, mongo, cursor="order_time", on_null_cursor="exclude")
    market["orders"].insert_many([{"_id": 1, "order_time": at(1)}, *HOLES])
    assert lk.ingest(lake, source, into=INTO).inserted == 1
    market["orders"].insert_one({"_id": 5, "order_time": at(2)})
    assert lk.ingest(lake, source, into=INTO).inserted == 1
    assert ids(lake) == [1, 5]


def test_documents_without_a_cursor_may_be_read_every_time(market: Market, mongo: str, lake: lk.Lake) -> None:
    source = orders(market, mongo, cursor="order_time", on_null_cursor="include")
    market["orders"].insert_many([{"_id": 1, "order_time": at(1)}, *HOLES])
    assert lk.ingest(lake, source, into=INTO).inserted == 4
    assert not lk.ingest(lake, source, into=INTO).committed
    market["orders"].insert_many([{"_id": 5}, {"_id": 6, "order_time": at(2)}])
    assert lk.ingest(lake, source, into=INTO).inserted == 2
    assert ids(lake) == [1, 2, 3, 4, 5, 6]
    assert next(row for row in rows(lake) if row["_id"] == 4)["_rescued_data"] == '{"order_time":"2026-01-01"}'


def test_a_dropped_collection_made_anew_is_read_from_its_beginning(
    market: Market, mongo: str, lake: lk.Lake, caplog: pytest.LogCaptureFixture
) -> None:
    source = orders(market, mongo, cursor="order_time")
    market["orders"].insert_many([{"_id": 1, "order_time": at(1)}, {"_id": 2, "order_time": at(9)}])
    lk.ingest(lake, source, into=INTO)
    market.drop_collection("orders")
    market["orders"].insert_many([{"_id": 1, "order_time": at(1)}, {"_id": 3, "order_time": at(2)}])
    with caplog.at_level(logging.WARNING):
        assert lk.ingest(lake, source, into=INTO).inserted == 1
    assert "another collection" in caplog.text
    assert ids(lake) == [1, 2, 3]


def test_another_cursor_reads_everything_again_and_says_so(
    market: Market, mongo: str, lake: lk.Lake, caplog: pytest.LogCaptureFixture
) -> None:
    market["orders"].insert_many({"_id": number, "number": number, "order_time": at(number)} for number in range(3))
    lk.ingest(lake, orders(market, mongo, cursor="number"), into=INTO)
    market["orders"].insert_one({"_id": 3, "number": 0, "order_time": at(0)})
    with caplog.at_level(logging.WARNING):
        assert lk.ingest(lake, orders(market, mongo, cursor="_id"), into=INTO).inserted == 1
    assert "the cursor was number" in caplog.text
    assert ids(lake) == [0, 1, 2, 3]
    assert lk.ingest(lake, orders(market, mongo, cursor="order_time"), into=INTO).inserted == 4  # they have a _source_timestamp now


def test_a_deleted_document_gets_a_delete_row(market: Market, mongo: str, lake: lk.Lake) -> None:
    source = orders(market, mongo, cursor="order_time")
    market["orders"].insert_many({"_id": ObjectId(f"{number:024x}"), "order_time": at(number)} for number in range(20))
    lk.ingest(lake, source, into=INTO)
    assert not lk.ingest_deletes(lake, source, into=INTO).committed
    market["orders"].delete_one({"_id": ObjectId(f"{7:024x}")})
    assert lk.ingest_deletes(lake, source, into=INTO).deleted == 1
    (gone,) = [row for row in rows(lake) if row["_operation"] == "delete"]
    assert (gone["_id"], gone["order_time"]) == (f"{7:024x}", at(7))
    assert not lk.ingest_deletes(lake, source, into=INTO).committed
    market["orders"].delete_many({})
    with pytest.raises(GuardError, match="came up empty"):
        lk.ingest_deletes(lake, source, into=INTO)
    assert lk.ingest_deletes(lake, source, into=INTO, deletes=lk.Deletes(force=True)).deleted == 19


def test_an_emptied_collection_of_numbered_documents_can_be_deleted_too(market: Market, mongo: str, lake: lk.Lake) -> None:
    market["orders"].insert_many([{"_id": 1, "at": at(1)}, {"_id": 2, "at": at(2)}])
    for key in ("_id", "at"):
        lk.ingest(lake, orders(market, mongo, primary_key=key), into=f"bronze.by{key}")
    market["orders"].delete_many({})
    for key in ("_id", "at"):
        source = orders(market, mongo, primary_key=key)
        assert lk.ingest_deletes(lake, source, into=f"bronze.by{key}", deletes=lk.Deletes(force=True)).deleted == 2


def test_keys_may_be_other_fields_but_no_scope_is_understood(market: Market, mongo: str, lake: lk.Lake) -> None:
    source = orders(market, mongo, primary_key=("shop", "number"))
    market["orders"].insert_many({"shop": "a", "number": number} for number in range(20))
    lk.ingest(lake, source, into=INTO)
    market["orders"].delete_one({"number": 3})
    assert lk.ingest_deletes(lake, source, into=INTO).deleted == 1
    with pytest.raises(ConfigError, match="understands no SQL"):
        lk.ingest_deletes(lake, source, into=INTO, deletes=lk.Deletes(scope="number < 5"))


def test_a_server_killed_in_mid_read_leaves_the_table_as_it_was(lake: lk.Lake) -> None:
    documents = [{"_id": number, "order_time": at(number), "text": "x" * 50} for number in range(11_000)]
    with MongoServer() as server, pymongo.MongoClient[dict[str, Any]](server.uri) as client:
        market = client["shop"]
        market["orders"].insert_many(documents[:100])
        lk.ingest(lake, orders(market, server.uri, cursor="order_time"), into=INTO)
        before = lk.history(lake, INTO)
        market["orders"].insert_many(documents[100:])
        line = Line(server.uri, breaks_after=1_050_000, then=server.kill)  # the second of two batches is on its way
        with line.open() as uri, pytest.raises(SourceError, match="cannot be reached"):
            lk.ingest(lake, orders(market, uri, cursor="order_time"), into=INTO)
        assert line.broken
        assert (lk.history(lake, INTO), len(rows(lake))) == (before, 100)
        server.start()  # empty: it held all in memory
        market["orders"].insert_many(documents)
        assert lk.ingest(lake, orders(market, server.uri, cursor="order_time"), into=INTO).inserted == 10_900
        assert ids(lake) == list(range(11_000))


def test_a_line_that_breaks_in_mid_read_is_tried_again_from_where_the_table_is(market: Market, mongo: str, lake: lk.Lake) -> None:
    documents = [{"_id": number, "order_time": at(number), "text": "x" * 50} for number in range(12_000)]
    market["orders"].insert_many(documents[:100])
    lk.ingest(lake, orders(market, mongo, cursor="order_time"), into=INTO)
    market["orders"].insert_many(documents[100:])
    with Line(mongo, breaks_after=500_000).open() as uri, pytest.raises(SourceError) as caught:
        lk.ingest(lake, orders(market, uri, cursor="order_time"), into=INTO)
    assert caught.value.retryable
    assert len(rows(lake)) == 100
    commit = lk.ingest(lake, orders(market, mongo, cursor="order_time"), into=INTO)
    assert (commit.read, commit.inserted) == (11_901, 11_900)


def test_a_missing_collection_names_those_that_look_alike(market: Market, mongo: str, lake: lk.Lake) -> None:
    market["order"].insert_one({"_id": 1})
    with pytest.raises(SourceConfigError, match=r"no such collection.*'orders'(?s:.*)did you mean order\?"):
        lk.ingest(lake, orders(market, mongo), into=INTO)
    assert lake.tables() == []


def test_a_missing_database_names_those_there_are(market: Market, mongo: str, lake: lk.Lake) -> None:
    market["orders"].insert_one({"_id": 1})
    wrong = sources.Mongo(mongo, database=f"{market.name}x").collection("orders")
    with pytest.raises(SourceConfigError, match=rf"no such database(?s:.*){market.name}"):
        lk.ingest(lake, wrong, into=INTO)


def test_a_name_that_mongodb_does_not_allow_is_a_mistake(mongo: str, lake: lk.Lake) -> None:
    with pytest.raises(ConfigError, match="does not allow this name"):
        lk.ingest(lake, sources.Mongo(mongo, database="my shop").collection("orders"), into=INTO)


@pytest.mark.parametrize(
    ("cursor", "says"), [("ordered", r"no document has such a field(?s:.*)_id, order_time, state"), ("state", "got str")]
)
def test_a_cursor_that_can_be_none_is_an_error(cursor: str, says: str, market: Market, mongo: str, lake: lk.Lake) -> None:
    market["orders"].insert_one({"_id": 1, "order_time": at(1), "state": "new"})
    with pytest.raises(SchemaError, match=says):
        lk.ingest(lake, orders(market, mongo, cursor=cursor), into=INTO)


def test_a_lookback_that_does_not_go_with_the_cursor_is_an_error(market: Market, mongo: str, lake: lk.Lake) -> None:
    market["orders"].insert_one({"_id": 1, "order_time": at(1)})
    with pytest.raises(ConfigError, match="expected a timedelta"):
        lk.ingest(lake, orders(market, mongo, cursor="order_time", lookback=5), into=INTO)


def test_an_emptied_collection_adds_nothing(market: Market, mongo: str, lake: lk.Lake) -> None:
    source = orders(market, mongo, cursor="order_time")
    market["orders"].insert_one({"_id": 1, "order_time": at(1)})
    lk.ingest(lake, source, into=INTO)
    market["orders"].delete_many({})
    assert not lk.ingest(lake, source, into=INTO).committed


# Secrets


def failure(lake: lk.Lake, uri: Any, caplog: pytest.LogCaptureFixture) -> tuple[LakekitError, str]:
    """The error of a read, and every text that a person or a log might see of it."""
    server = sources.Mongo(uri, database="shop")
    source = server.collection("orders")
    with caplog.at_level(logging.DEBUG), pytest.raises(LakekitError) as caught:
        lk.ingest(lake, source, into=INTO)
    chain: BaseException | None = caught.value
    texts = traceback.format_exception(caught.value, chain=True)
    while chain is not None:
        texts += [str(chain), repr(chain), repr(chain.args)]
        chain = chain.__context__
    texts += [caplog.text, *(repr(record.__dict__) for record in caplog.records)]
    texts += [repr(server), repr(source), str(source), source.place, source.upstream, str(pickle.loads(pickle.dumps(caught.value)))]
    return caught.value, "\n".join(texts)


@pytest.mark.parametrize(
    "address", ["127.0.0.1:1", "nosuch.invalid:27017", "127.0.0.1:1,127.0.0.1:2"], ids=["closed port", "unknown host", "replica set"]
)
def test_a_server_that_is_not_there_may_be_tried_again(address: str, lake: lk.Lake, caplog: pytest.LogCaptureFixture) -> None:
    error, texts = failure(lake, f"mongodb://reader:{SECRET}@{address}/?serverSelectionTimeoutMS=200", caplog)
    assert isinstance(error, SourceError)
    assert error.retryable
    assert SECRET not in texts


def test_a_refused_log_in_is_a_mistake_and_never_shown(mongo: str, lake: lk.Lake, caplog: pytest.LogCaptureFixture) -> None:
    uri = f"mongodb://nobody:{SECRET}@{mongo.partition('//')[2].rpartition('@')[2]}"
    for given in (uri, lambda: uri):
        error, texts = failure(lake, given, caplog)
        assert isinstance(error, SourceConfigError)
        assert "log-in" in str(error)
        assert SECRET not in texts


@pytest.mark.parametrize(
    "uri",
    [
        f"mongodb://reader:{SECRET}@@db:27017",
        f"mongodb://reader:x@db:{SECRET}",
        f"mongodb://reader:x@db/?{SECRET}=1",
        f"mongodb://reader:x@db/?tls=true&tlsCAFile=/{SECRET}",
        f"mongodb://reader:x@db/?readPreference={SECRET}",
    ],
)
def test_what_the_driver_quotes_of_a_broken_connection_string_is_not_passed_on(
    uri: str, lake: lk.Lake, caplog: pytest.LogCaptureFixture
) -> None:
    error, texts = failure(lake, uri, caplog)
    assert isinstance(error, ConfigError)
    assert not error.retryable
    assert SECRET not in texts


def secret_uri() -> str:
    return f"mongodb://reader:{SECRET}@127.0.0.1:1"


def test_a_function_keeps_the_secret_out_of_a_pickle() -> None:
    source = sources.Mongo(secret_uri, database="shop").collection("orders", cursor="at")
    pickled = pickle.dumps(source)
    assert SECRET.encode() not in pickled
    assert pickle.loads(pickled) == source


def test_what_is_stored_holds_no_secret(market: Market, mongo: str, lake: lk.Lake, tmp_path: Any) -> None:
    market["orders"].insert_one({"_id": 1, "order_time": at(1)})
    uri = f"{mongo}{'&' if '?' in mongo else '/?'}appName={SECRET}"
    lk.ingest(lake, orders(market, uri, cursor="order_time"), into=INTO)
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()]
