"""No late commit is skipped, and nothing is doubled once the overlap is de-duplicated."""

from __future__ import annotations

import logging
import threading
from datetime import UTC, date, datetime, timedelta
from typing import Any

import psycopg
import pytest

from lakekit.errors import ConfigError, ContractError, SourceError
from lakekit.sources import postgres_watermark
from lakekit.sources.protocol import Overlap, Target
from tests.integration.sources.reading import Bronze, execute, read, shop

USERS = "CREATE TABLE users (id bigserial PRIMARY KEY, name text, at timestamptz NOT NULL DEFAULT now())"
INSERT = "INSERT INTO users (name) VALUES ('{}')"


@pytest.fixture
def users(database: str) -> str:
    execute(database, USERS, INSERT.format("first"))
    return database


@pytest.fixture
def no_slack(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second of slack would hide a transaction that the watermark forgot: these tests take less."""
    monkeypatch.setattr(postgres_watermark, "SLACK", timedelta())


def test_the_first_read_gives_everything_and_overlaps_nothing(users: str) -> None:
    found = read(shop(users).table("users", cursor="at"))
    assert found.column("name") == ["first"]
    assert found.overlap is None
    assert found.column("_source") == ["shop.public.users"]
    assert found.column("_source_timestamp") == found.column("at")


@pytest.mark.usefixtures("no_slack")
def test_a_row_committed_late_is_seen_and_nothing_is_doubled(users: str) -> None:
    table, target = shop(users).table("users", cursor="at"), Bronze()
    with psycopg.connect(users) as late:
        late.execute(INSERT.format("late"))
        execute(users, INSERT.format("second"))
        assert target.ingest(table) == 2
        execute(users, INSERT.format("third"))
        assert target.ingest(table) == 1
        late.commit()
    assert target.ingest(table) == 1
    assert target.ingest(table) == 0
    assert target.values("name") == ["first", "late", "second", "third"]


@pytest.mark.usefixtures("no_slack")
def test_a_transaction_that_begins_between_the_clock_and_the_rows_is_not_lost(users: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from lakekit.sources.postgres_session import Session

    activity = Session.activity
    with psycopg.connect(users) as late:

        def and_then_somebody_begins(session: Session) -> Any:
            found = activity(session)
            late.execute(INSERT.format("late"))
            execute(users, INSERT.format("second"))
            return found

        table, target = shop(users).table("users", cursor="at"), Bronze()
        monkeypatch.setattr(Session, "activity", and_then_somebody_begins)
        target.ingest(table)
        monkeypatch.undo()
        late.commit()
    target.ingest(table)
    assert target.values("name") == ["first", "late", "second"]


def test_a_session_idle_in_transaction_delays_no_row(users: str) -> None:
    table, target = shop(users).table("users", cursor="at"), Bronze()
    with psycopg.connect(users) as idle:
        idle.execute("SELECT 1")
        for number in range(3):
            execute(users, INSERT.format(number))
            assert target.ingest(table) == (2 if number == 0 else 1)


@pytest.mark.usefixtures("no_slack")
def test_a_prepared_transaction_holds_the_low_where_it_was(users: str, caplog: pytest.LogCaptureFixture) -> None:
    table, target = shop(users).table("users", cursor="at"), Bronze()
    target.ingest(table)
    low = dict(target.position or {})["low"]
    execute(users, "BEGIN; INSERT INTO users (name) VALUES ('prepared'); PREPARE TRANSACTION 'two-phase'")
    execute(users, INSERT.format("second"))
    with caplog.at_level(logging.WARNING):
        target.ingest(table)
    assert "prepared transaction" in caplog.text
    assert dict(target.position or {})["low"] == low
    execute(users, "COMMIT PREPARED 'two-phase'")
    target.ingest(table)
    target.ingest(table)
    assert target.values("name") == ["first", "prepared", "second"]
    assert dict(target.position or {})["low"] > low


def test_a_first_read_beside_a_prepared_transaction_reads_everything_again(users: str) -> None:
    table, target = shop(users).table("users", cursor="at"), Bronze()
    execute(users, "BEGIN; INSERT INTO users (name) VALUES ('prepared'); PREPARE TRANSACTION 'two-phase'")
    target.ingest(table)
    execute(users, "COMMIT PREPARED 'two-phase'")
    target.ingest(table)
    assert target.values("name") == ["first", "prepared"]


def test_where_nothing_moved_the_details_are_the_same(users: str) -> None:
    table = shop(users).table("users", cursor="at")
    execute(users, "UPDATE users SET at = now() - interval '1 minute'")
    first = read(table)
    assert first.details["low"] == first.details["seen"]
    second = read(table, first.details)
    assert second.details == first.details
    assert second.overlap == Overlap("at", datetime.fromisoformat(str(first.details["low"])))


def test_a_user_who_may_not_see_others_reads_an_hour_again(users: str, caplog: pytest.LogCaptureFixture) -> None:
    execute(users, "DROP ROLE IF EXISTS reader", "CREATE ROLE reader LOGIN PASSWORD 'reader'", "GRANT SELECT ON users TO reader")
    dsn = f"postgresql://reader:reader@{users.partition('@')[2]}"
    try:
        with psycopg.connect(users, autocommit=True), caplog.at_level(logging.WARNING):
            found = read(shop(dsn).table("users", cursor="at"))
        assert "pg_read_all_stats" in caplog.text
        low, seen = (datetime.fromisoformat(str(found.details[end])) for end in ("low", "seen"))
        assert seen - low > postgres_watermark.LAG - timedelta(minutes=5)
    finally:
        execute(users, "DROP OWNED BY reader", "DROP ROLE reader")


def test_lookback_reads_further_back_and_leaves_the_mark_alone(users: str) -> None:
    table = shop(users).table("users", cursor="at")
    details = read(table).details
    execute(users, "INSERT INTO users (name, at) VALUES ('by a slow clock', now() - interval '5 minutes')")
    assert "by a slow clock" not in read(table, details).column("name")
    patient = shop(users).table("users", cursor="at", lookback=timedelta(minutes=10))
    assert "by a slow clock" in read(patient, details).column("name")


def test_an_integer_cursor_waits_for_the_transactions_that_may_hold_smaller_values(users: str) -> None:
    table, target = shop(users).table("users", cursor="id"), Bronze()
    with psycopg.connect(users) as late:
        late.execute(INSERT.format("late"))
        for number in range(3):
            execute(users, INSERT.format(number))
            target.ingest(table)
        late.commit()
    assert target.ingest(table) == 1
    assert target.values("name") == ["0", "1", "2", "first", "late"]
    assert target.position == read(table, target.position).details
    assert dict(target.position or {})["low"] == "5"


def test_an_integer_cursor_moves_on_although_some_transaction_is_always_open(users: str) -> None:
    table, target = shop(users).table("users", cursor="id"), Bronze()
    connection, lows = psycopg.connect(users), list[Any]()
    for number in range(4):
        execute(users, INSERT.format(number))
        following = psycopg.connect(users)
        following.execute("SELECT 1")
        connection.close()
        connection = following
        target.ingest(table)
        lows.append(dict(target.position or {})["low"])
    connection.close()
    assert lows == [None, "2", "3", "4"]


@pytest.mark.usefixtures("no_slack")
def test_a_naive_cursor_needs_a_time_zone_and_is_compared_in_it(database: str) -> None:
    execute(
        database, "CREATE TABLE visits (id int PRIMARY KEY, at timestamp)", "INSERT INTO visits VALUES (1, now() AT TIME ZONE 'Asia/Tokyo')"
    )
    with pytest.raises(ConfigError, match="time_zone"):
        read(shop(database).table("visits", cursor="at"))
    table, target = shop(database).table("visits", cursor="at", time_zone="Asia/Tokyo"), Bronze()
    with psycopg.connect(database) as late:
        late.execute("INSERT INTO visits VALUES (2, now() AT TIME ZONE 'Asia/Tokyo')")
        execute(database, "INSERT INTO visits VALUES (3, now() AT TIME ZONE 'Asia/Tokyo')")
        target.ingest(table)
        late.commit()
    target.ingest(table)
    assert target.values("id") == [1, 2, 3]
    (stamp, *_) = target.values("_source_timestamp")
    assert abs(stamp - datetime.now(UTC)) < timedelta(minutes=5)


def test_a_date_cursor_reads_its_last_days_again(database: str) -> None:
    execute(database, "CREATE TABLE days (id int PRIMARY KEY, on_day date)", "INSERT INTO days VALUES (1, '2020-01-01'), (2, current_date)")
    details = read(shop(database).table("days", cursor="on_day")).details
    assert date.fromisoformat(str(details["low"])) < datetime.now(UTC).date()
    assert read(shop(database).table("days", cursor="on_day"), details).column("id") == [2]


@pytest.mark.parametrize("kind", ["text", "numeric(10,2)"])
def test_a_cursor_that_has_no_order_in_time_is_refused(database: str, kind: str) -> None:
    execute(database, f"CREATE TABLE things (id {kind})")
    with pytest.raises(ConfigError, match="expected a timestamptz, timestamp, date, integer or uuid"):
        read(shop(database).table("things", cursor="id"))


@pytest.fixture
def orders(database: str) -> str:
    execute(
        database, "CREATE TABLE orders (id int PRIMARY KEY, at timestamptz)", "INSERT INTO orders VALUES (1, now()), (2, NULL), (3, NULL)"
    )
    return database


def test_rows_without_a_cursor_are_an_error_that_counts_them(orders: str) -> None:
    with pytest.raises(ContractError, match=r"cursor='at'.*got 2 rows(?s:.*)'include'.*'exclude'"):
        read(shop(orders).table("orders", cursor="at"))
    assert read(shop(orders).table("orders", cursor="at", where="id = 1")).column("id") == [1]


def test_rows_without_a_cursor_are_read_every_time_where_they_are_included(orders: str) -> None:
    table = shop(orders).table("orders", cursor="at", on_null_cursor="include")
    first = read(table)
    assert sorted(first.column("id")) == [1, 2, 3]
    second = read(table, first.details)
    assert {2, 3} <= set(second.column("id"))
    assert second.overlap is not None
    assert second.overlap.nulls


def test_rows_without_a_cursor_are_left_out_where_they_are_excluded(orders: str) -> None:
    table = shop(orders).table("orders", cursor="at", on_null_cursor="exclude")
    first = read(table)
    assert first.column("id") == [1]
    assert set(read(table, first.details).column("id")) <= {1}


def test_without_a_cursor_the_whole_table_is_read_and_all_of_it_may_be_there(users: str) -> None:
    table = shop(users).table("users")
    first = read(table)
    assert first.overlap is None
    assert first.column("_source_timestamp") == [None]
    assert read(table, first.details).overlap == Overlap(None, None)


def test_another_server_of_the_same_name_is_read_from_the_beginning(users: str, caplog: pytest.LogCaptureFixture) -> None:
    table = shop(users).table("users", cursor="at")
    details = read(table).details
    execute(users, "INSERT INTO users (name, at) VALUES ('old', '2020-01-01')")
    assert "old" not in read(table, details).column("name")
    with caplog.at_level(logging.WARNING):
        again = read(table, {**details, "system": "1/1"})
    assert "another server or database" in caplog.text
    assert "old" in again.column("name")
    assert again.overlap == Overlap("at", None)
    assert again.details["system"] == details["system"]


def test_another_cursor_starts_from_the_beginning(users: str, caplog: pytest.LogCaptureFixture) -> None:
    details = read(shop(users).table("users", cursor="at")).details
    with caplog.at_level(logging.WARNING):
        again = read(shop(users).table("users", cursor="id"), details)
    assert "the cursor was at" in caplog.text
    assert again.overlap == Overlap("id", None)


def test_details_are_refused_before_the_end(users: str) -> None:
    with (
        shop(users).table("users", cursor="at").open(None, target=Target()) as increment,
        pytest.raises(RuntimeError, match="read to their end"),
    ):
        increment.details()


def test_writers_that_race_with_the_reader_lose_no_row(users: str) -> None:
    stop, written = threading.Event(), list[str]()

    def write(writer: int) -> None:
        with psycopg.connect(users) as connection:
            for number in range(300):
                if stop.is_set():
                    return
                name = f"{writer}-{number}"
                connection.execute(INSERT.format(name))
                stop.wait(0.002 * (writer + 1))  # the transaction stays open for a while
                connection.commit()
                written.append(name)

    writers = [threading.Thread(target=write, args=(number,)) for number in range(6)]
    by_time, by_number = Bronze(), Bronze()
    for writer in writers:
        writer.start()
    try:
        for _ in range(10):
            by_time.ingest(shop(users).table("users", cursor="at"))
            by_number.ingest(shop(users).table("users", cursor="id"))
    finally:
        stop.set()
        for writer in writers:
            writer.join()
    for target, cursor in ((by_time, "at"), (by_number, "id")):
        target.ingest(shop(users).table("users", cursor=cursor))
        assert target.values("name") == sorted([*written, "first"])


def test_keys_are_those_of_one_instant(users: str) -> None:
    execute(users, INSERT.format("second"), INSERT.format("third"))
    table = shop(users).table("users", cursor="at")
    before = datetime.now(UTC)
    with table.keys(scope="id > 1") as keys:
        assert [row for batch in keys.batches for row in batch.to_pylist()] == [{"id": 2}, {"id": 3}]
        assert keys.schema.names == ["id"]
        assert before - timedelta(minutes=1) < keys.read_at < datetime.now(UTC)


def test_a_key_inserted_again_by_an_open_transaction_is_later_than_the_key_read(users: str) -> None:
    with psycopg.connect(users) as late:
        late.execute("DELETE FROM users WHERE id = 1")
        late.commit()
        late.execute("INSERT INTO users (id, name) VALUES (1, 'again')")
        with shop(users).table("users", cursor="at").keys(scope=None) as keys:
            assert not list(keys.batches) or all(not batch.num_rows for batch in keys.batches)
            read_at = keys.read_at
        late.commit()
    (again,) = read(shop(users).table("users", cursor="at")).column("_source_timestamp")
    assert again > read_at


def test_keys_beside_a_prepared_transaction_are_to_be_read_later(users: str) -> None:
    execute(users, "BEGIN; INSERT INTO users (name) VALUES ('prepared'); PREPARE TRANSACTION 'two-phase'")
    with pytest.raises(SourceError, match="prepared transaction"), shop(users).table("users").keys(scope=None):
        pass


def test_keys_need_a_primary_key(database: str) -> None:
    execute(database, "CREATE TABLE log (line text)")
    with pytest.raises(ConfigError, match="primary key"), shop(database).table("log").keys(scope=None):
        pass
    with shop(database).table("log", primary_key="line").keys(scope=None) as keys:
        assert keys.schema.names == ["line"]


UUID7 = (
    "CREATE FUNCTION uuid7(at timestamptz DEFAULT clock_timestamp()) RETURNS uuid LANGUAGE sql VOLATILE AS $$ SELECT"
    " overlay(overlay(md5(random()::text) PLACING lpad(to_hex(floor(extract(epoch FROM at) * 1000)::int8), 12, '0') FROM 1) PLACING '7' FROM 13)"
    "::uuid $$"
)


@pytest.mark.usefixtures("no_slack")
def test_uuids_of_version_7_are_followed_by_the_time_they_were_made_at(database: str) -> None:
    execute(
        database,
        UUID7,
        "CREATE TABLE events (id uuid PRIMARY KEY DEFAULT uuid7(), name text)",
        "INSERT INTO events SELECT uuid7('2026-01-02 00:00:00.123Z'), 'old'",
    )
    table, target = shop(database).table("events", cursor="id"), Bronze()
    assert read(table).column("_source_timestamp") == [datetime(2026, 1, 2, 0, 0, 0, 123_000, tzinfo=UTC)]
    with psycopg.connect(database) as late:
        late.execute("INSERT INTO events (name) VALUES ('late')")
        execute(database, "INSERT INTO events (name) VALUES ('second')")
        assert target.ingest(table) == 2
        execute(database, "INSERT INTO events (name) VALUES ('third')")
        assert target.ingest(table) == 1
        late.commit()
    assert target.ingest(table) == 1
    assert target.ingest(table) == 0
    assert target.values("name") == ["late", "old", "second", "third"]
    found = read(table, target.position)
    assert "old" not in found.column("name")
    assert found.overlap is not None
    assert all(str(found.overlap.low) <= key for key in found.column("id"))


def test_uuids_of_another_version_are_no_cursor(database: str) -> None:
    execute(database, "CREATE TABLE things (id uuid)", "INSERT INTO things SELECT gen_random_uuid() FROM generate_series(1, 9)")
    with pytest.raises(ContractError, match="version 7"):
        read(shop(database).table("things", cursor="id"))
