"""What `read_new` gives of a change log, and what merges make of it, in the cases that other sinks get wrong."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

import lakekit as lk
from lakekit import sources
from tests.contract.captures import Record, Replayed

LOG, TABLE = "bronze.changes", "silver.rows"
SOURCE = sources.Kafka("nowhere:9092").debezium("shop.public.users", schema={"id": "bigint", "name": "string", "big": "string"})
GONE = "__debezium_unavailable_value"


class Log:
    """Messages, ingested as they are said."""

    def __init__(self, lake: lk.Lake) -> None:
        self.lake = lake
        self._records: list[Record] = []

    def say(
        self, operation: str, lsn: int, key: int | None = None, *, partition: int = 0, moved: Mapping[str, int] | None = None, **row: Any
    ) -> None:
        image = None if operation == "t" else {"id": key, "name": "", **row}
        source = {"connector": "postgresql", "lsn": lsn, "ts_us": lsn * 1_000_000}
        before, after = (image, None) if operation == "d" else (None, image)
        value = json.dumps({"before": before, "after": after, "source": source, "op": operation}, separators=(",", ":"))
        headers = [[f"__debezium.{name}", f'{{"id":{other}}}'] for name, other in (moved or {}).items()]
        text = None if key is None else f'{{"id":{key}}}'
        offset = sum(record["partition"] == partition for record in self._records)
        self._records.append({"value": value, "key": text, "partition": partition, "offset": offset, "timestamp": 1, "headers": headers})

    def source(self) -> Replayed:
        """What was said, as a source."""
        return Replayed(SOURCE, self._records, len(self._records))

    def take(self, **options: Any) -> lk.Commit:
        """Ingest what was said, and merge it."""
        lk.ingest(self.lake, self.source(), into=LOG)
        return lk.merge(lk.read_new(self.lake, LOG, into=TABLE), key="id", **options)

    def rows(self) -> dict[int, tuple[Any, Any]]:
        found = lk.read(self.lake, TABLE).to_arrow().to_pylist()
        return {row["id"]: (row["name"], row["big"]) for row in found}


def test_a_snapshot_taken_again_writes_nothing(lake: Any) -> None:
    log = Log(lake)
    log.say("c", 1, 1, name="a", big="x")
    log.say("c", 2, 2, name="b", big="y")
    log.take()
    log.say("r", 10, 1, name="a", big="x")
    log.say("r", 10, 2, name="b2", big="y")
    commit = log.take()
    assert (commit.updated, commit.unchanged) == (1, 1)  # the one that had been missed
    log.say("r", 20, 1, name="a", big="x")
    log.say("r", 20, 2, name="b2", big="y")
    commit = log.take()
    assert (commit.updated, commit.unchanged, commit.snapshot_id) == (0, 2, None)


def test_an_older_change_in_a_later_batch_is_not_applied(lake: Any) -> None:
    log = Log(lake)
    log.say("c", 1, 1, name="a", big="x")
    log.say("u", 5, 1, name="new", big="x")
    log.take()
    log.say("u", 4, 1, name="old", big="x")
    commit = log.take()
    assert (commit.late, log.rows()) == (1, {1: ("new", "x")})


def test_of_a_delete_and_an_update_at_one_place_the_delete_wins(lake: Any) -> None:
    for number, order in enumerate((("u", "d"), ("d", "u"))):
        log = Log(lake)
        log.say("c", 1, number, name="a", big="x")
        for operation in order:
            log.say(operation, 2, number, name="b")
        lk.ingest(lake, Replayed(SOURCE, log._records, 3), into=f"bronze.log{number}")
        lk.merge(lk.read_new(lake, f"bronze.log{number}", into=f"silver.rows{number}"), key="id")
        assert lk.read(lake, f"silver.rows{number}").count() == 0


def test_a_deleted_row_stays_dead_where_deletes_are_hard(lake: Any) -> None:
    log = Log(lake)
    log.say("c", 1, 1, name="a", big="x")
    log.say("u", 3, 1, name="b", big=GONE)
    log.take(deletes=lk.Deletes("hard"))
    log.say("d", 5, 1)
    log.take(deletes=lk.Deletes("hard"))
    log.say("u", 4, 1, name="late", big=GONE)
    log.take(deletes=lk.Deletes("hard"))
    assert lk.read(lake, TABLE, deleted=True).count() == 0
    log.say("c", 6, 1, name="again", big="y")
    log.take(deletes=lk.Deletes("hard"))
    assert log.rows() == {1: ("again", "y")}


def test_a_value_that_did_not_come_is_there_before_anything_is_made_of_it(lake: Any) -> None:
    log = Log(lake)
    log.say("c", 1, 1, name="a", big="long")
    lk.ingest(lake, Replayed(SOURCE, log._records, 1), into=LOG)
    shaped = {"id": "id", "text": "upper(coalesce(big, 'nothing'))"}
    lk.merge(lk.select(lk.read_new(lake, LOG, into=TABLE), shaped), key="id")
    log.say("u", 2, 1, name="b", big=GONE)
    lk.ingest(lake, Replayed(SOURCE, log._records, 2), into=LOG)
    lk.merge(lk.select(lk.read_new(lake, LOG, into=TABLE), shaped), key="id")
    assert lk.read(lake, TABLE).to_arrow().column("text").to_pylist() == ["LONG"]


def test_a_value_that_never_came_is_null_and_named(lake: Any) -> None:
    log = Log(lake)
    log.say("u", 2, 1, name="b", big=GONE)
    lk.ingest(lake, Replayed(SOURCE, log._records, 1), into=LOG)
    [row] = lk.read_new(lake, LOG, into=TABLE).to_arrow().to_pylist()
    assert (row["name"], row["big"], row["_unavailable"]) == ("b", None, ["big"])


def test_a_value_set_to_null_is_not_given_again(lake: Any) -> None:
    log = Log(lake)
    log.say("c", 1, 1, name="a", big="long")
    log.say("u", 2, 1, name="b", big=None)
    log.say("u", 3, 1, name="c", big=GONE)
    log.take()
    assert log.rows() == {1: ("c", None)}


def test_a_row_that_moved_waits_for_what_it_was_under_its_old_key(lake: Any) -> None:
    log = Log(lake)
    log.say("c", 1, 5, name="a", big="long")
    log.say("c", 9, 50, partition=1, moved={"oldkey": 5}, name="b", big=GONE)
    log.take()
    assert log.rows() == {5: ("a", "long")}
    log.say("u", 4, 5, name="b", big="longer")
    log.take()
    assert log.rows() == {5: ("b", "longer")}
    log.say("d", 9, 5, moved={"newkey": 50})
    log.take()
    assert log.rows() == {50: ("b", "longer")}
    log.say("u", 12, 50, partition=1, name="c", big=GONE)
    log.take()
    assert log.rows() == {50: ("c", "longer")}


def test_a_move_that_came_by_half_is_counted_and_ends_when_its_delete_cant_come_any_more(
    lake: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "lakekit")
    log, hour = Log(lake), 3600
    log.say("c", 1, 5, name="a", big="long")
    log.say("c", 9, 50, partition=1, moved={"oldkey": 5}, name="b", big=GONE)
    assert log.take().waiting == 1
    assert not caplog.records
    log.say("c", 9 + hour, 60, partition=1, name="c", big="x")  # in another partition than that of the old key
    commit = log.take()
    assert (commit.waiting, log.rows()) == (1, {5: ("a", "long"), 60: ("c", "x")})
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert lk.history(lake, TABLE)[0].waiting == 1
    [upstream] = lk.status(lake)[TABLE].upstreams
    assert (upstream.waiting, upstream.waiting_since) == (1, datetime(1970, 1, 1, 0, 0, 9, tzinfo=UTC))
    assert "1 moved rows of bronze.changes wait" in str(lk.status(lake))
    log.say("c", 9 + hour - 1, 70, name="d", big="x")  # in that, and not late enough
    assert log.take().waiting == 1
    log.say("u", 9 + hour, 70, name="e", big=GONE)
    commit = log.take()
    assert (commit.waiting, commit.deleted) == (0, 1)
    assert log.rows() == {50: ("b", "long"), 60: ("c", "x"), 70: ("e", "x")}
    log.say("u", 10 + hour, 50, partition=1, name="f", big=GONE)
    assert log.take().waiting == 0
    assert log.rows()[50] == ("f", "long")
    assert lk.status(lake)[TABLE].upstreams[0].waiting == 0


def test_where_the_old_key_is_unknown_every_partition_must_have_gone_on(lake: Any) -> None:
    log, hour = Log(lake), 3600
    log.say("c", 1, 1, name="a", big="x")
    log.say("c", 9, 50, partition=1, moved={"oldkey": 5}, name="b", big=GONE)
    log.say("c", 9 + hour, 60, partition=1, name="c", big="x")
    assert log.take().waiting == 1
    log.say("c", 9 + hour, 2, name="d", big="x")
    assert log.take().waiting == 0
    assert log.rows()[50] == ("b", None)
    [row] = [row for row in lk.read_new(lake, LOG, into="silver.again").to_arrow().to_pylist() if row["id"] == 50]
    assert row["_unavailable"] == ["big"]


def test_moves_that_waited_are_found_again_after_a_rewind(lake: Any) -> None:
    log = Log(lake)
    log.say("c", 1, 5, name="a", big="long")
    log.say("c", 9, 50, partition=1, moved={"oldkey": 5}, name="b", big=GONE)
    log.take()
    lk.rewind(lake, into=TABLE, upstream=LOG, to=lk.history(lake, LOG)[0].snapshot_id)
    assert lk.read_new(lake, LOG, into=TABLE).count() == 0
    log.say("d", 9, 5, moved={"newkey": 50})
    commit = log.take()
    assert (commit.waiting, log.rows()) == (0, {50: ("b", "long")})


def test_a_table_emptied_twice_is_read_from_the_first_time_on(lake: Any) -> None:
    log = Log(lake)
    log.say("c", 1, 1, name="a", big="x")
    log.say("t", 2)
    log.say("c", 3, 2, name="b", big="y")
    log.take()
    log.say("t", 4)
    commit = log.take()
    assert (commit.read, commit.deleted, log.rows()) == (1, 1, {})
    deleted = {row["id"]: row["_source_lsn"] for row in lk.read(lake, TABLE, deleted=True).to_arrow().to_pylist()}
    assert deleted == {1: 2, 2: 4}


def test_rows_that_exchange_keys_by_way_of_a_third_keep_their_own_values(lake: Any) -> None:
    log = Log(lake)
    log.say("c", 1, 1, name="a", big="long a")
    log.say("c", 2, 2, partition=1, name="b", big="long b")
    for lsn, (origin, target) in enumerate(((1, 3), (2, 1), (3, 2)), start=3):
        log.say("d", lsn, origin, partition=origin - 1, moved={"newkey": target})
        log.say("c", lsn, target, partition=target - 1, moved={"oldkey": origin}, name="a" if lsn != 4 else "b", big=GONE)
    log.take()
    assert log.rows() == {1: ("b", "long b"), 2: ("a", "long a")}


def test_a_truncate_deletes_every_row_whichever_partition_was_ahead(lake: Any) -> None:
    log = Log(lake)
    log.say("c", 1, 1, name="a", big="x")
    log.take()
    log.say("t", 5, partition=1)
    log.say("c", 7, 3, name="after", big="z")
    assert log.take().deleted == 1
    log.say("c", 3, 2, partition=2, name="before", big="y")  # made before, and read after
    log.take()
    assert log.rows() == {3: ("after", "z")}


def test_a_log_is_read_as_it_came_and_its_changes_whole(lake: Any) -> None:
    log = Log(lake)
    log.say("c", 1, 1, name="a", big="long")
    log.say("u", 2, 1, name="b", big=GONE)
    log.say("t", 3)
    lk.ingest(lake, Replayed(SOURCE, log._records, 3), into=LOG)
    assert [row["_operation"] for row in lk.read(lake, LOG).to_arrow().sort_by("_source_lsn").to_pylist()] == [
        "upsert",
        "upsert",
        "truncate",
    ]
    whole = lk.read_new(lake, LOG, into=TABLE).to_arrow().sort_by("_source_lsn").to_pylist()
    assert [(row["_operation"], row["big"]) for row in whole] == [("upsert", "long"), ("upsert", "long"), ("delete", None)]
    assert [row["_unavailable"] for row in whole] == [None, None, None]
