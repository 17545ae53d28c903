"""append: every increment once, whoever writes it, how often, and when."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

import lakekit as lk
from lakekit.bookmark import BOOKMARK, Stored
from lakekit.errors import BookmarkLostError, CommitConflictError, ConfigError, TableError
from tests.contract.helpers import catalog, expire_all_but_the_last, foreign, frame, local, rewrite, snapshots, stored

SOURCE, COPY = "bronze.source", "bronze.copy"


def fill(lake: Any, run: str, *ids: int) -> None:
    lk.append(frame(lake, run, *({"id": number} for number in ids)), into=SOURCE)


def copy(lake: Any) -> lk.Commit:
    return lk.append(lk.read_new(lake, SOURCE, into=COPY))


def test_a_frame_with_the_same_run_id_is_written_once(lake: Any) -> None:
    first = lk.append(frame(lake, "monday", {"id": 1}), into=SOURCE)
    second = lk.append(frame(lake, "monday", {"id": 1}, {"id": 2}), into=SOURCE)
    assert (first.inserted, first.committed) == (1, True)
    assert (second.inserted, second.committed, second.snapshot_id) == (0, False, None)
    assert stored(lake, SOURCE, "id") == [(1,)]
    assert snapshots(lake, SOURCE) == 1


def test_two_runs_with_equal_rows_are_both_written(lake: Any) -> None:
    fill(lake, "a", 1)
    fill(lake, "b", 1)
    assert stored(lake, SOURCE, "id") == [(1,), (1,)]


def test_a_run_without_new_rows_makes_no_snapshot(lake: Any) -> None:
    fill(lake, "a", 1, 2)
    assert copy(lake).inserted == 2
    again = copy(lake)
    assert (again.inserted, again.committed) == (0, False)
    assert snapshots(lake, COPY) == 1
    assert stored(lake, COPY, "id") == [(1,), (2,)]


def test_one_batch_written_twice_counts_once(lake: Any) -> None:
    fill(lake, "a", 1)
    batch = lk.read_new(lake, SOURCE, into=COPY)
    assert lk.append(batch).inserted == 1
    assert lk.append(batch).inserted == 0
    assert stored(lake, COPY, "id") == [(1,)]


def test_a_stale_batch_written_after_another_run_wrote_the_same_increment_adds_nothing(lake: Any) -> None:
    fill(lake, "a", 1, 2)
    stale = lk.read_new(lake, SOURCE, into=COPY)
    copy(lake)
    assert lk.append(stale).committed is False
    fill(lake, "b", 3)
    copy(lake)
    assert lk.append(stale).committed is False
    assert stored(lake, COPY, "id") == [(1,), (2,), (3,)]


def test_a_stale_batch_of_which_another_run_consumed_a_part_is_a_conflict_that_may_be_retried(lake: Any) -> None:
    fill(lake, "a", 1)
    copy_first = lk.read_new(lake, SOURCE, into=COPY)
    fill(lake, "b", 2)
    stale = lk.read_new(lake, SOURCE, into=COPY)
    lk.append(copy_first)
    with pytest.raises(CommitConflictError) as caught:
        lk.append(stale)
    assert caught.value.retryable
    assert copy(lake).inserted == 1
    assert stored(lake, COPY, "id") == [(1,), (2,)]


def test_a_batch_read_before_the_upstream_grew_holds_what_it_held(lake: Any) -> None:
    fill(lake, "a", 1)
    batch = lk.read_new(lake, SOURCE, into=COPY)
    fill(lake, "b", 2)
    assert lk.append(batch).inserted == 1
    assert copy(lake).inserted == 1
    assert stored(lake, COPY, "id") == [(1,), (2,)]


def test_a_lake_opened_anew_goes_on_where_the_last_run_stopped(tmp_path: Path) -> None:
    fill(lk.connect(tmp_path), "a", 1)
    copy(lk.connect(tmp_path))
    fill(lk.connect(tmp_path), "b", 2)
    assert copy(lk.connect(tmp_path)).inserted == 1
    assert stored(lk.connect(tmp_path), COPY, "id") == [(1,), (2,)]


def test_threads_that_append_one_increment_at_once_write_it_once(lake: Any) -> None:
    fill(lake, "a", *range(50))
    copy(lake)
    fill(lake, "b", *range(50, 100))
    batches = [lk.read_new(lake, SOURCE, into=COPY) for _ in range(4)]
    barrier = threading.Barrier(len(batches))
    commits: list[lk.Commit] = []

    def run(batch: lk.Batch) -> None:
        barrier.wait()
        commits.append(lk.append(batch))

    threads = [threading.Thread(target=run, args=(batch,)) for batch in batches]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(commit.inserted for commit in commits) == [0, 0, 0, 50]
    assert stored(lake, COPY, "id") == sorted(((number,) for number in range(100)), key=repr)


def test_threads_that_append_different_runs_at_once_all_get_in(lake: Any) -> None:
    fill(lake, "first", 0)
    failures: list[BaseException] = []

    def run(number: int) -> None:
        try:
            fill(lake, f"run {number}", number)
        except BaseException as error:  # noqa: BLE001 -- shown by the assertion
            failures.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert stored(lake, SOURCE, "id") == [(0,), (1,), (2,), (3,), (4,)]


ONE_APPEND = """
import sys
import lakekit as lk

batch = lk.read_new(lk.connect(sys.argv[1]), "bronze.source", into="bronze.copy")
print("ready", flush=True)
sys.stdin.readline()
print(lk.append(batch).inserted)
"""


def test_processes_that_append_one_increment_at_once_write_it_once(tmp_path: Path) -> None:
    lake = lk.connect(tmp_path)
    fill(lake, "a", 1)
    copy(lake)
    fill(lake, "b", 2, 3)
    command = [sys.executable, "-c", ONE_APPEND, str(tmp_path)]
    processes = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    inserted = [process.communicate()[0].strip() for process in processes]
    assert sorted(inserted) == ["0", "2"]
    assert stored(lake, COPY, "id") == [(1,), (2,), (3,)]


def test_the_bookmark_survives_expired_snapshots_and_a_foreign_rewrite(lake: Any) -> None:
    fill(lake, "a", 1)
    copy(lake)
    rewrite(lake, COPY)
    expire_all_but_the_last(lake, COPY)
    assert not any("lakekit.bookmark" in found.summary.additional_properties for found in foreign(lake, COPY).metadata.snapshots)
    assert copy(lake).inserted == 0
    fill(lake, "b", 2)
    assert copy(lake).inserted == 1
    assert stored(lake, COPY, "id") == [(1,), (2,)]


def test_the_bookmark_survives_a_removed_property(lake: Any) -> None:
    fill(lake, "a", 1)
    copy(lake)
    with foreign(lake, COPY).transaction() as transaction:
        transaction.remove_properties("lakekit.bookmark")
    assert copy(lake).inserted == 0
    assert stored(lake, COPY, "id") == [(1,)]


def test_a_run_id_survives_expired_snapshots(lake: Any) -> None:
    fill(lake, "a", 1)
    fill(lake, "b", 2)
    rewrite(lake, SOURCE)
    expire_all_but_the_last(lake, SOURCE)
    fill(lake, "a", 1)
    assert stored(lake, SOURCE, "id") == [(1,), (2,)]


def test_a_bookmark_that_is_gone_altogether_refuses_an_append(lake: Any) -> None:
    fill(lake, "a", 1)
    copy(lake)
    rewrite(lake, COPY)
    expire_all_but_the_last(lake, COPY)
    with foreign(lake, COPY).transaction() as transaction:
        transaction.remove_properties("lakekit.bookmark")
    with pytest.raises(BookmarkLostError, match="rewind"):
        copy(lake)
    assert stored(lake, COPY, "id") == [(1,)]


def test_an_upstream_whose_consumed_snapshot_expired_refuses_an_append(lake: Any) -> None:
    fill(lake, "a", 1)
    copy(lake)
    fill(lake, "b", 2)
    expire_all_but_the_last(lake, SOURCE)
    with pytest.raises(BookmarkLostError, match="merge"):
        copy(lake)
    assert stored(lake, COPY, "id") == [(1,)]


def test_an_upstream_that_only_got_a_foreign_rewrite_has_nothing_new(lake: Any) -> None:
    fill(lake, "a", 1, 2)
    copy(lake)
    rewrite(lake, SOURCE)
    assert copy(lake).inserted == 0
    fill(lake, "b", 3)
    assert copy(lake).inserted == 1
    assert stored(lake, COPY, "id") == [(1,), (2,), (3,)]


def test_a_target_rolled_back_reads_the_rows_again(lake: Any) -> None:
    fill(lake, "a", 1)
    first = copy(lake)
    fill(lake, "b", 2)
    copy(lake)
    assert first.snapshot_id is not None
    foreign(lake, COPY).manage_snapshots().rollback_to_snapshot(first.snapshot_id).commit()
    assert stored(lake, COPY, "id") == [(1,)]
    assert copy(lake).inserted == 1
    assert stored(lake, COPY, "id") == [(1,), (2,)]


def test_a_batch_without_a_bookmark_is_refused(lake: Any) -> None:
    fill(lake, "a", 1)
    with pytest.raises(ConfigError, match="would double") as caught:
        lk.append(lk.read(lake, SOURCE), into=COPY)
    assert "read_new()" in caught.value.hint
    assert COPY not in lake.tables()


def test_a_dry_run_counts_and_writes_nothing(lake: Any) -> None:
    commit = lk.append(frame(lake, "a", {"id": 1}), into=SOURCE, dry_run=True)
    assert (commit.inserted, commit.committed) == (1, False)
    assert lake.tables() == []


def test_a_table_whose_metadata_file_is_gone_is_an_error_that_says_so(lake: Any) -> None:
    fill(lake, "a", 1)
    local(foreign(lake, SOURCE).metadata_location).unlink()
    with pytest.raises(TableError, match="half created") as caught:
        fill(lake, "b", 2)
    assert caught.value.hint


def test_a_table_that_was_made_but_never_filled_is_filled(lake: Any) -> None:
    lk.create_table(lake, COPY, schema={"id": "bigint"})
    fill(lake, "a", 1)
    assert copy(lake).inserted == 1
    assert copy(lake).inserted == 0


@pytest.mark.parametrize("behind", ["removed", "older"])
def test_a_bookmark_property_that_fell_behind_is_written_again_by_a_run_without_news(behind: str, lake: Any) -> None:
    fill(lake, "a", 1)
    copy(lake)
    older = foreign(lake, COPY).properties[BOOKMARK]
    fill(lake, "b", 2)
    copy(lake)
    newest = Stored.from_json(foreign(lake, COPY).properties[BOOKMARK])
    with foreign(lake, COPY).transaction() as other:
        if behind == "removed":
            other.remove_properties(BOOKMARK)
        else:
            other.set_properties({BOOKMARK: older})
    before = snapshots(lake, COPY)
    assert not copy(lake).committed
    assert Stored.from_json(foreign(lake, COPY).properties[BOOKMARK]).positions == newest.positions
    assert snapshots(lake, COPY) == before


def test_a_table_dropped_and_made_anew_is_another_upstream(lake: Any) -> None:
    fill(lake, "a", 1)
    copy(lake)
    catalog(lake).drop_table(("bronze", "source"))
    fill(lake, "b", 2)
    assert copy(lake).inserted == 1
    assert stored(lake, COPY, "id") == [(1,), (2,)]


def test_the_table_is_plain_iceberg_v2_that_pyiceberg_reads_alone(lake: Any) -> None:
    lk.append(frame(lake, "a", {"id": 1, "name": "Ada", "tags": ["x", "y"], "place": {"city": "Köln"}}), into=SOURCE)
    table = foreign(lake, SOURCE)
    assert table.format_version == 2
    own = lk.read(lake, SOURCE).to_arrow().to_pylist()
    assert table.scan().to_arrow().to_pylist() == own
    assert all(not task.delete_files for task in table.scan().plan_files())


def test_history_tells_what_each_run_did(lake: Any) -> None:
    fill(lake, "a", 1)
    fill(lake, "b", 2, 3)
    foreign(lake, SOURCE).append(foreign(lake, SOURCE).scan().to_arrow())
    assert [(commit.inserted, commit.write_id is None) for commit in lk.history(lake, SOURCE)] == [(3, True), (2, False), (1, False)]
