"""Rejects: what stands beside a table says what was left out of it and why, counts agree, and nothing is written where nothing can be."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

import lakekit as lk
from lakekit import rules
from lakekit.errors import TableError
from tests.contract.helpers import foreign, frame, local, snapshots, stored

UP, DOWN = "bronze.users", "silver.users"
Write = Callable[[Any], lk.Commit]
AT = datetime(2026, 1, 1, tzinfo=UTC)
GOOD, BAD = {"id": 1, "email": "ada@example.com", "at": AT}, {"id": 2, "email": "ada", "at": AT}


def users(lake: Any, into: str = DOWN) -> lk.Batch:
    return lk.clean(lk.read_new(lake, UP, into=into), {"email": rules.email()}, checks={"positive": "id > 0"})


def replace(lake: Any) -> lk.Commit:
    batch = lk.read_new_groups(lake, UP, into=DOWN, by="id")
    return lk.replace_groups(lk.clean(batch.sql("SELECT id, email FROM batch"), {"email": rules.email()}))


WRITERS: dict[str, Write] = {
    "append": lambda lake: lk.append(users(lake)),
    "merge": lambda lake: lk.merge(users(lake), key="id"),
    "merge_scd2": lambda lake: lk.merge_scd2(users(lake), key="id", effective_at="at"),
    "replace_groups": replace,
}


def test_a_reject_says_in_words_why_and_bears_the_write_it_was_left_out_of(lake: Any) -> None:
    lk.append(frame(lake, "a", GOOD, BAD, {**GOOD, "id": -3}, {**GOOD, "id": None}), into=UP)
    commit = lk.merge(users(lake), key="id")
    found = stored(lake, f"{DOWN}__rejects", "_rule", "_reason", "_message")
    assert found == [
        ("email", "not_an_email", "email is no e-mail address"),
        ("key", "null_key", "key is NULL"),
        ("positive", "check_failed", "the check positive does not hold"),
    ]
    assert stored(lake, f"{DOWN}__rejects", "_run") == [(commit.write_id,)] * 3


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_what_was_read_is_what_was_written_and_what_was_rejected_however_often_a_row_came(lake: Any, write: Write) -> None:
    lk.append(frame(lake, "a", GOOD, BAD, BAD, BAD), into=UP)
    commit = write(lake)
    assert (commit.read, commit.inserted, commit.rejected) == (4, 1, 3)
    assert len(stored(lake, f"{DOWN}__rejects", "_reject_id")) == 1, "one row: the same reject"


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_a_table_that_can_not_be_written_is_refused_before_its_rejects_are(lake: Any, write: Write) -> None:
    if lake.engine.name != "embedded":
        pytest.skip("Spark writes version 3")
    lk.append(frame(lake, "a", GOOD), into=UP)
    write(lake)
    lk.append(frame(lake, "b", BAD), into=UP)
    metadata = local(foreign(lake, DOWN).metadata_location)
    metadata.write_text(metadata.read_text().replace('"format-version":2', '"format-version":3,"next-row-id":1'))
    with pytest.raises(TableError, match="format version 3"):
        write(lake)
    assert f"{DOWN}__rejects" not in lake.tables()
    assert snapshots(lake, DOWN) == 1


def test_a_rejects_table_of_an_older_version_is_taken_as_it_is(lake: Any) -> None:
    lk.append(frame(lake, "a", GOOD, BAD), into=UP)
    lk.merge(users(lake), key="id")
    with foreign(lake, f"{DOWN}__rejects").update_schema() as update:
        update.delete_column("_message").delete_column("_run")
    lk.replay(lake, DOWN)
    assert stored(lake, f"{DOWN}__rejects", "_state") == [("closed",)]
    lk.merge(users(lake), key="id")
    assert stored(lake, f"{DOWN}__rejects", "_state", "_message") == [("open", "email is no e-mail address")]
