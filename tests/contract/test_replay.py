"""replay: rejects go through again once rule or row is mended, and nothing is lost or doubled on the way."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

import lakekit as lk
from lakekit import identity, rules
from lakekit.errors import ConfigError, TableNotFoundError
from lakekit.incremental import replay as module
from lakekit.sources.protocol import Details, Increment, KeyRead, Target
from tests.contract.helpers import foreign, frame, living, snapshots, stored

UP, DOWN = "bronze.users", "silver.users"
PHONES = ({"id": 1, "phone": "030 1234567"}, {"id": 2, "phone": "(415) 555-2671"})


def users(lake: Any, region: str) -> lk.Commit:
    batch = lk.read_new(lake, UP, into=DOWN)
    batch = lk.select(batch, {"user_id": "id", "number": "phone"})
    return lk.merge(lk.clean(batch, {"number": rules.phone(region)}), key="user_id")


@pytest.fixture
def filled(lake: Any) -> Any:
    lk.append(frame(lake, "a", *PHONES), into=UP)
    users(lake, "US")
    return lake


def states(lake: Any, table: str = DOWN) -> list[str]:
    return [state for (state,) in stored(lake, f"{table}__rejects", "_state")]


def test_a_mended_rule_lets_rejected_rows_through_whatever_the_pipeline_did_before(filled: Any) -> None:
    assert living(filled, DOWN, "user_id") == [(2,)]
    commit = lk.replay(filled, DOWN)
    assert (commit.read, commit.rejected, states(filled)) == (1, 0, ["closed"])
    users(filled, "DE")
    assert living(filled, DOWN, "user_id") == [(1,), (2,)]


AT = datetime(2026, 1, 1, tzinfo=UTC)


def cities(lake: Any, into: str, region: str) -> lk.Batch:
    return lk.clean(lk.read_new(lake, UP, into=into), {"phone": rules.phone(region)})


def groups(lake: Any, into: str, region: str) -> lk.Commit:
    batch = lk.read_new_groups(lake, UP, into=into, by="city").sql(
        "SELECT city, max(phone) AS phone, count(*) AS n FROM batch GROUP BY city"
    )
    return lk.replace_groups(lk.clean(batch, {"phone": rules.phone(region)}))


WHO = identity.Rules(match=[identity.exact("phone")])
TARGETS: dict[str, Callable[[Any, str, str], lk.Commit]] = {
    "merge": lambda lake, into, region: lk.merge(cities(lake, into, region), key="id"),
    "merge_scd2": lambda lake, into, region: lk.merge_scd2(cities(lake, into, region), key="id", effective_at="at"),
    "replace_groups": groups,
    "resolve_identities": lambda lake, into, region: lk.resolve_identities(
        {"shop": cities(lake, into, region)}, record_key={"shop": "id"}, rules=WHO, into=into
    ),
}


@pytest.mark.parametrize("write", TARGETS.values(), ids=TARGETS)
def test_whatever_writes_the_table_it_ends_as_if_the_rule_had_been_right_from_the_start(
    lake: Any, write: Callable[[Any, str, str], lk.Commit]
) -> None:
    phones = ("030 1234567", "+1 415 555 2671", "089 1234567")
    for day in (0, 1):
        rows = [{"id": n, "city": f"c{n}", "phone": phone, "at": AT + timedelta(days=day)} for n, phone in enumerate(phones[: 2 + day])]
        lk.append(frame(lake, f"day {day}", *rows), into=UP)
        write(lake, "gold.t", "US")
    opened = states(lake, "gold.t")
    assert set(opened) == {"open"}
    commit = lk.replay(lake, "gold.t")
    assert (commit.read, commit.rejected, set(states(lake, "gold.t"))) == (len(opened), 0, {"closed"})
    assert not lk.replay(lake, "gold.t").committed
    write(lake, "gold.t", "DE")
    right = write(lake, "gold.right", "DE")
    own = {"assigned_at", "master_user_id", "generation"}  # of identities: when, and by which history
    assert right.rejected < right.read
    names = [name for name in lk.read(lake, "gold.right").columns if not name.startswith("_") and name not in own]
    assert living(lake, "gold.t", *names) == living(lake, "gold.right", *names)
    assert set(states(lake, "gold.t")) <= {"open", "closed"}


def test_a_row_that_fails_again_is_open_again_and_the_rest_is_unchanged(filled: Any) -> None:
    lk.replay(filled, DOWN)
    commit = users(filled, "US")
    assert (commit.rejected, commit.unchanged, states(filled)) == (1, 1, ["open"])


def test_replaying_without_open_rejects_does_nothing(filled: Any) -> None:
    lk.replay(filled, DOWN)
    before = snapshots(filled, DOWN)
    assert not lk.replay(filled, DOWN).committed
    assert not lk.replay(filled, UP).committed
    assert snapshots(filled, DOWN) == before
    with pytest.raises(TableNotFoundError):
        lk.replay(filled, "silver.nothing")


def test_rows_of_a_frame_brought_by_hand_stay_open(lake: Any) -> None:
    lk.merge(frame(lake, "a", {"id": None}, {"id": 1}), into=DOWN, key="id")
    commit = lk.replay(lake, DOWN)
    assert (commit.read, commit.rejected, commit.committed) == (1, 1, False)


@pytest.mark.parametrize("day", [0, 1])
def test_a_crash_between_setting_back_and_closing_leaves_nothing_open(filled: Any, day: int, monkeypatch: pytest.MonkeyPatch) -> None:
    if day:  # set back to the beginning of the second day, not to that of all days
        lk.replay(filled, DOWN)
        users(filled, "DE")
        lk.append(frame(filled, "b", {"id": 3, "phone": "none"}), into=UP)
        users(filled, "US")
    else:
        users(filled, "US")

    def crash(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(module, "close", crash)
        with pytest.raises(KeyboardInterrupt):
            lk.replay(filled, DOWN)
    opened = states(filled).count("open")
    before = snapshots(filled, DOWN)
    assert (lk.replay(filled, DOWN).read, set(states(filled))) == (opened, {"closed"})
    assert snapshots(filled, DOWN) == before, "it is set back already"
    assert not lk.replay(filled, DOWN).committed
    users(filled, "US" if day else "DE")
    assert living(filled, DOWN, "user_id") == [(1,), (2,)]


def test_a_table_that_is_appended_to_from_another_table_is_refused(filled: Any) -> None:
    lk.append(lk.clean(lk.read_new(filled, UP, into="silver.log"), {"phone": rules.phone("US")}))
    with pytest.raises(ConfigError, match="doubled"):
        lk.replay(filled, "silver.log")
    assert states(filled, "silver.log") == ["open"]


class Messages:
    """A source of messages, some of which can't be read."""

    upstream = "messages:test"
    SCHEMA = pa.schema(
        [("id", pa.int64()), ("price", pa.decimal128(38, 9)), ("ratio", pa.float64()), ("raw", pa.binary()), ("tags", pa.list_(pa.binary())), ("at", pa.timestamp("us", tz="UTC")),
         ("_source", pa.string()), ("_rule", pa.string()), ("_reason", pa.string()), ("_payload", pa.binary())]
    )  # fmt: skip

    def __init__(self, *rows: dict[str, Any]) -> None:
        self.rows = rows

    @contextmanager
    def open(self, position: Details | None, *, target: Target) -> Iterator[Increment]:
        seen = 0 if position is None else int(str(position["seen"]))
        batch = pa.RecordBatch.from_pylist(list(self.rows[seen:]), self.SCHEMA)
        yield Increment(self.SCHEMA, iter([batch]), lambda: {"seen": len(self.rows)}, rejecting=True)

    def primary_key(self) -> tuple[str, ...]:
        return ()

    @contextmanager
    def keys(self, *, scope: str | None) -> Iterator[KeyRead]:
        raise AssertionError
        yield


BAD = {"_source": "test", "_rule": "json", "_reason": "not_json", "_payload": b"\xff{"}
MENDED = {
    "id": 7,
    "price": "12345678901234567890.123456789",
    "ratio": "nan",
    "raw": "AP8=",
    "tags": ["AQ=="],
    "at": "2026-01-02 03:04:05.120456+00",
    "_source": "test",
    "_operation": "upsert",
}


def mend(lake: Any, row: dict[str, Any]) -> None:
    """What a person does with any tool: the row is written as JSON, and the payload is gone."""
    table = foreign(lake, "bronze.messages__rejects")
    rows = table.scan().to_arrow().to_pylist()
    for found in rows:
        found |= {"_row": json.dumps(row), "_payload": None}
    table.overwrite(pa.Table.from_pylist(rows, schema=table.scan().to_arrow().schema))


def messages(lake: Any) -> list[dict[str, Any]]:
    return sorted(lk.read(lake, "bronze.messages").to_arrow().to_pylist(), key=lambda row: row["id"])


def test_a_message_that_was_mended_by_hand_is_appended_once_with_every_value(lake: Any) -> None:
    lk.ingest(lake, Messages({"id": 1, "_source": "test"}, BAD), into="bronze.messages")
    assert lk.replay(lake, "bronze.messages").rejected == 1, "nobody has mended it"
    mend(lake, MENDED)
    assert lk.replay(lake, "bronze.messages").inserted == 1
    assert lk.replay(lake, "bronze.messages").inserted == 0
    _, row = messages(lake)
    assert (row["id"], row["price"], row["raw"], row["tags"], str(row["ratio"])) == (
        7,
        Decimal(MENDED["price"]),
        b"\x00\xff",
        [b"\x01"],
        "nan",
    )
    assert (row["_operation"], row["_source"]) == ("upsert", "test")
    assert row["at"] == datetime(2026, 1, 2, 3, 4, 5, 120_456, tzinfo=UTC)
    assert states(lake, "bronze.messages") == ["closed"]
    assert lk.ingest(lake, Messages({"id": 1}, BAD, {"id": 9}), into="bronze.messages").inserted == 1


def test_a_mended_message_with_a_value_that_does_not_fit_stays_open(lake: Any) -> None:
    lk.ingest(lake, Messages({"id": 1}, BAD), into="bronze.messages")
    mend(lake, {**MENDED, "id": "seven"})
    commit = lk.replay(lake, "bronze.messages")
    assert (commit.inserted, commit.rejected) == (0, 1)
    mend(lake, MENDED)
    assert lk.replay(lake, "bronze.messages").inserted == 1


def test_a_crash_between_appending_and_closing_doubles_nothing(lake: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    lk.ingest(lake, Messages({"id": 1}, BAD), into="bronze.messages")
    mend(lake, MENDED)

    def crash(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(module, "close", crash)
        with pytest.raises(KeyboardInterrupt):
            lk.replay(lake, "bronze.messages")
    assert len(messages(lake)) == 2
    assert lk.replay(lake, "bronze.messages").inserted == 0
    assert len(messages(lake)) == 2
    assert states(lake, "bronze.messages") == ["closed"]
