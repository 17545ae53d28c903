"""maintain: the files change, the rows don't, and nobody who reads or writes meanwhile notices."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow.parquet as pq
import pytest

import lakekit as lk
from lakekit.errors import ConfigError
from tests.contract.helpers import figures, foreign, frame, listed, living, local, rows, snapshots

TABLE = "silver.things"


def maintained(lake: Any, name: str = TABLE, **options: Any) -> lk.Commit:
    return lk.maintain(lake, name, **{"older_than": timedelta(0), **options})


def files(lake: Any, name: str = TABLE) -> int:
    return len(list(foreign(lake, name).scan().plan_files()))


def deletes(lake: Any, name: str = TABLE) -> int:
    return sum(len(task.delete_files) for task in foreign(lake, name).scan().plan_files())


def manifests(lake: Any, name: str = TABLE) -> list[Any]:
    table = foreign(lake, name)
    return table.current_snapshot().manifests(table.io)


def merged(lake: Any, run: str, ids: range, word: str) -> lk.Commit:
    return lk.merge(frame(lake, run, *({"id": number, "word": word} for number in ids)), key="id", into=TABLE)


def in_small_files(lake: Any, count: int = 6) -> list[tuple[Any, ...]]:
    """A merged table of small files."""
    for number in range(count):
        merged(lake, f"run {number}", range(number * 10, number * 10 + 10), "old")
    return living(lake, TABLE, "id", "word")


def with_deletes(lake: Any) -> list[tuple[Any, ...]]:
    """A merged table some of whose rows position deletes name."""
    lk.create_table(lake, TABLE, schema={"id": "bigint", "word": "string"}, properties={"write.merge.mode": "merge-on-read"})
    merged(lake, "first", range(100), "old")
    merged(lake, "second", range(0, 100, 10), "new")
    assert deletes(lake)
    return living(lake, TABLE, "id", "word")


def test_small_files_become_one_and_no_row_changes(lake: Any) -> None:
    before = in_small_files(lake)
    commit = maintained(lake)
    assert (files(lake), living(lake, TABLE, "id", "word")) == (1, before)
    assert (commit.committed, commit.files, commit.snapshot_id) == (True, 1, foreign(lake, TABLE).metadata.current_snapshot_id)
    assert commit.bytes > 0
    assert foreign(lake, TABLE).current_snapshot().summary.operation.value == "replace"


def test_few_small_files_are_left_as_they_are(lake: Any) -> None:
    in_small_files(lake, count=2)
    count = snapshots(lake, TABLE)
    commit = maintained(lake, older_than=timedelta(days=60))
    assert (commit.committed, commit.snapshot_id, files(lake), snapshots(lake, TABLE)) == (False, None, 2, count)


def test_rows_named_by_position_deletes_are_gone_for_good(lake: Any) -> None:
    before = with_deletes(lake)
    maintained(lake)
    assert (deletes(lake), living(lake, TABLE, "id", "word")) == (0, before)
    assert sum(task.file.record_count for task in foreign(lake, TABLE).scan().plan_files()) == 100
    summary = foreign(lake, TABLE).current_snapshot().summary.additional_properties
    assert int(summary.get("total-delete-files", 0)) == 0


def test_rows_named_by_position_deletes_are_not_counted(lake: Any) -> None:
    before = with_deletes(lake)
    assert lk.status(lake)[TABLE].rows == len(before)
    maintained(lake)
    assert lk.status(lake)[TABLE].rows == len(before)


def test_manifests_become_few(lake: Any) -> None:
    """Files of the target size stay, the manifests that name them become one: whoever plans a read opens each."""
    before = in_small_files(lake)
    size = max(task.file.file_size_in_bytes for task in foreign(lake, TABLE).scan().plan_files())
    with foreign(lake, TABLE).transaction() as transaction:
        transaction.set_properties({"write.target-file-size-bytes": str(size)})
    assert len(manifests(lake)) == 6
    maintained(lake)
    assert (files(lake), len(manifests(lake)), living(lake, TABLE, "id", "word")) == (6, 1, before)
    merged(lake, "after", range(1000, 1005), "new")
    assert maintained(lake).snapshot_id is None, "a few manifests are left as they are"


def test_a_second_time_changes_nothing(lake: Any) -> None:
    with_deletes(lake)
    maintained(lake)
    head = foreign(lake, TABLE).metadata.current_snapshot_id
    assert maintained(lake).files == 0
    assert foreign(lake, TABLE).metadata.current_snapshot_id == head


def test_consumers_and_writers_go_on_as_if_nothing_had_happened(lake: Any) -> None:
    in_small_files(lake)
    batch = lk.read_new(lake, TABLE, into="gold.things")
    lk.merge(batch, key="id")
    merged(lake, "changed", range(5), "new")
    maintained(lake)
    assert rows(lk.read_new(lake, TABLE, into="gold.things"), "id", "word") == [(number, "new") for number in range(5)]
    lk.merge(lk.read_new(lake, TABLE, into="gold.things"), key="id")
    assert lk.read_new(lake, TABLE, into="gold.things").count() == 0
    assert figures(merged(lake, "changed", range(5), "new")) == figures(lk.Commit(TABLE))  # that run was written before
    assert merged(lake, "changed again", range(5), "newest").updated == 5


def test_snapshots_expire_but_for_those_a_consumer_has_yet_to_read_on_from(lake: Any, caplog: pytest.LogCaptureFixture) -> None:
    in_small_files(lake)
    lk.merge(lk.read_new(lake, TABLE, into="gold.things"), key="id")
    consumed = foreign(lake, TABLE).metadata.current_snapshot_id
    for number in range(1, 3):
        merged(lake, f"later {number}", range(number), f"new {number}")
    line = [snapshot.snapshot_id for snapshot in foreign(lake, TABLE).metadata.snapshots]
    commit = maintained(lake)
    kept = {snapshot.snapshot_id for snapshot in foreign(lake, TABLE).metadata.snapshots}
    assert kept >= set(line[line.index(consumed) :])
    assert not kept & set(line[: line.index(consumed)])
    assert commit.snapshots_expired == line.index(consumed)
    assert "gold.things" in caplog.text
    assert rows(lk.read_new(lake, TABLE, into="gold.things"), "id") == [(0,), (1,)]


def test_tags_keep_their_snapshots(lake: Any) -> None:
    in_small_files(lake)
    table = foreign(lake, TABLE)
    tagged = table.metadata.snapshots[1].snapshot_id
    table.manage_snapshots().create_tag(tagged, "audit").commit()
    maintained(lake)
    assert lk.read(lake, TABLE, as_of="audit").count() == 20
    assert lk.read(lake, TABLE, as_of=tagged).count() == 20


def test_files_of_expired_snapshots_are_removed_and_only_those(lake: Any) -> None:
    before = with_deletes(lake)
    commit = maintained(lake)
    left = {location for location in listed(foreign(lake, TABLE)) if "metadata.json" not in location}
    table = foreign(lake, TABLE)
    named = {snapshot.manifest_list for snapshot in table.metadata.snapshots}
    for snapshot in table.metadata.snapshots:
        for manifest in snapshot.manifests(table.io):
            named |= {manifest.manifest_path}
            named |= {entry.data_file.file_path for entry in manifest.fetch_manifest_entry(table.io)}
    assert names(left) == names(named)
    assert commit.files_removed > 0
    assert living(lake, TABLE, "id", "word") == before


def names(locations: set[str]) -> set[str]:
    return {location.rpartition("/")[2] for location in locations}


def test_what_crashed_writes_left_is_removed_once_it_is_old(lake: Any) -> None:
    in_small_files(lake, count=2)
    table = foreign(lake, TABLE)
    left = f"{table.location()}/data/left-behind.parquet"
    with table.io.new_output(left).create() as file:
        file.write(b"rows of a write that never reached the table")
    for age, is_left in ((timedelta(hours=3), True), (timedelta(days=9), False)):
        now = datetime.now(UTC)
        if left.startswith("file:"):
            os.utime(local(left), ((now - age).timestamp(),) * 2)
        else:  # nobody can make an object older
            now += age
        maintained(lake, now=now)
        assert table.io.new_input(left).exists() is is_left
    assert len(living(lake, TABLE, "id")) == 20


def test_a_sorted_table_stays_sorted(lake: Any) -> None:
    lk.create_table(lake, TABLE, schema={"id": "bigint", "word": "string"}, sort_by="id")
    for number in (3, 1, 5, 0, 4, 2):
        merged(lake, f"run {number}", range(number, 60, 6), "a")
    maintained(lake)
    table = foreign(lake, TABLE)
    (task,) = table.scan().plan_files()
    with table.io.new_input(task.file.file_path).open() as file:
        assert pq.read_table(file, columns=["id"]).column("id").to_pylist() == list(range(60))


def test_partitions_are_compacted_each_for_itself(lake: Any) -> None:
    lk.create_table(lake, TABLE, schema={"id": "bigint", "word": "string"}, partition_by="word")
    for number in range(6):
        merged(lake, f"a {number}", range(number * 10, number * 10 + 10), "a")
        merged(lake, f"b {number}", range(1000 + number * 10, 1000 + number * 10 + 10), "b")
    maintained(lake)
    found = {task.file.partition[0]: task.file.record_count for task in foreign(lake, TABLE).scan().plan_files()}
    assert found == {"a": 60, "b": 60}


def test_a_table_that_was_never_written_is_nothing_to_do(lake: Any) -> None:
    lk.create_table(lake, TABLE, schema={"id": "bigint"})
    assert not maintained(lake).committed


def test_an_instant_in_the_future_is_refused(lake: Any) -> None:
    lk.create_table(lake, TABLE, schema={"id": "bigint"})
    with pytest.raises(ConfigError, match="in the past"):
        lk.maintain(lake, TABLE, older_than=datetime(2126, 1, 1, tzinfo=UTC))


def test_old_hard_deletes_are_forgotten_and_rows_as_old_rejected_from_then_on(lake: Any) -> None:
    def put(run: str, *rows_: dict[str, Any]) -> lk.Commit:
        return lk.merge(frame(lake, run, *rows_), key="id", into=TABLE, order_by="at", deletes=lk.Deletes("hard"))

    def at(day: int) -> datetime:
        return datetime(2026, 1, day, tzinfo=UTC)

    put("a", *({"id": number, "at": at(1), "_operation": "upsert"} for number in range(4)))
    put("b", {"id": 1, "at": at(2), "_operation": "delete"}, {"id": 2, "at": at(20), "_operation": "delete"})
    commit = maintained(lake, lateness=datetime.now(UTC) - at(10))
    assert (commit.deleted, living(lake, "silver.things__deleted", "id")) == (1, [(2,)])
    late = put(
        "c", *({"id": number, "at": at(3), "_operation": "upsert"} for number in (1, 2, 3)), {"id": 9, "at": at(11), "_operation": "upsert"}
    )
    assert (late.rejected, late.late, late.updated, late.inserted) == (1, 1, 1, 1)
    assert living(lake, TABLE, "id") == [(0,), (3,), (9,)]
    assert living(lake, "silver.things__rejects", "_rule", "_reason") == [("lateness", "too_late")]
    assert maintained(lake, lateness=datetime.now(UTC) - at(10)).deleted == 0


def test_forgetting_takes_rows_that_are_ordered_by_time(lake: Any) -> None:
    lk.merge(frame(lake, "a", {"id": 1, "v": 1, "_operation": "delete"}), key="id", into=TABLE, order_by="v", deletes=lk.Deletes("hard"))
    with pytest.raises(ConfigError, match="ordered by time"):
        maintained(lake, lateness=timedelta(days=1))
