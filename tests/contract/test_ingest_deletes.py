"""ingest_deletes: a key that is gone from its source becomes a delete, once, and no other does."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import lakekit as lk
from lakekit import sources
from lakekit.errors import ConfigError, GuardError, TableNotFoundError
from tests.contract.helpers import compact, expire_all_but_the_last, living, snapshots, stored
from tests.contract.made_rows import Rows

TABLE = "bronze.people"
Put = Callable[..., None]


@pytest.fixture
def people(tmp_path: Path) -> sources.Files:
    (tmp_path / "in").mkdir()
    return sources.Files(tmp_path / "in", format="json", primary_key="id")


@pytest.fixture
def put(people: sources.Files) -> Put:
    """Write a file of people, or take it away."""

    def write(name: str, *ids: int | None) -> None:
        file = Path(people.path) / f"{name}.jsonl"
        if ids:
            file.write_text("".join(json.dumps({"id": number, "name": f"{name} {number}"}) + "\n" for number in ids))
        else:
            file.unlink()

    return write


def run(lake: Any, people: sources.Files, **options: Any) -> lk.Commit:
    lk.ingest(lake, people, into=TABLE)
    return lk.ingest_deletes(lake, people, into=TABLE, **options)


def last(lake: Any) -> list[tuple[Any, ...]]:
    return stored(lake, TABLE, "id", "name", "_operation")


def test_a_key_that_is_gone_becomes_a_delete_with_its_last_row_once(lake: Any, people: sources.Files, put: Put) -> None:
    put("a", *range(20))
    put("b", 99)
    assert run(lake, people).deleted == 0
    put("b")
    assert run(lake, people).deleted == 1
    assert (99, "b 99", "delete") in last(lake)
    before = snapshots(lake, TABLE)
    assert run(lake, people).committed is False
    assert snapshots(lake, TABLE) == before


def test_a_key_that_comes_again_lives_again_and_may_go_again(lake: Any, people: sources.Files, put: Put) -> None:
    put("a", *range(20))
    for name in ("b", "c"):
        put(name, 99)
        assert run(lake, people).deleted == 0
        put(name)
        assert run(lake, people).deleted == 1
    assert [row for row in last(lake) if row[0] == 99] == [
        (99, "b 99", "delete"),
        (99, "b 99", "upsert"),
        (99, "c 99", "delete"),
        (99, "c 99", "upsert"),
    ]


def test_a_row_without_a_key_is_not_found_missing(lake: Any, people: sources.Files, put: Put) -> None:
    put("a", *range(20), None)
    assert run(lake, people).deleted == 0


def test_an_empty_source_and_a_mass_delete_are_refused_unless_forced(lake: Any, people: sources.Files, put: Put) -> None:
    put("a", *range(3))
    put("b", *range(3, 10))
    lk.ingest(lake, people, into=TABLE)
    put("a")
    with pytest.raises(GuardError, match=r"at most 10\.0%.*got 3 of 10"):
        lk.ingest_deletes(lake, people, into=TABLE)
    put("b")
    with pytest.raises(GuardError, match="came up empty"):
        lk.ingest_deletes(lake, people, into=TABLE, deletes=lk.Deletes(max_fraction=1.0))
    assert snapshots(lake, TABLE) == 1
    assert lk.ingest_deletes(lake, people, into=TABLE, deletes=lk.Deletes(force=True), dry_run=True).deleted == 10
    assert snapshots(lake, TABLE) == 1
    assert lk.ingest_deletes(lake, people, into=TABLE, deletes=lk.Deletes(force=True)).deleted == 10


def test_a_missing_table_and_a_source_without_a_key_are_refused(lake: Any, people: sources.Files, put: Put) -> None:
    put("a", 1)
    with pytest.raises(TableNotFoundError):
        lk.ingest_deletes(lake, people, into=TABLE)
    lk.ingest(lake, people, into=TABLE)
    with pytest.raises(ConfigError, match="primary_key="):
        lk.ingest_deletes(lake, sources.Files(people.path, format="json"), into=TABLE)


def test_bookmarks_outlive_another_tool_that_compacts_and_lets_everything_expire(lake: Any, people: sources.Files, put: Put) -> None:
    for name, ids in {"a": range(20), "b": range(20, 25)}.items():
        put(name, *ids)
        lk.ingest(lake, people, into=TABLE)
    put("b")
    assert run(lake, people, deletes=lk.Deletes(force=True)).deleted == 5
    lk.merge(lk.read_new(lake, TABLE, into="silver.people"), key="id")
    known = {
        name: [(found.upstream, dict(found.position)) for found in lk.status(lake)[name].upstreams] for name in (TABLE, "silver.people")
    }
    for name in known:
        compact(lake, name)
        expire_all_but_the_last(lake, name)
    assert {name: [(found.upstream, dict(found.position)) for found in lk.status(lake)[name].upstreams] for name in known} == known
    assert run(lake, people).committed is False
    put("c", 99)
    assert lk.ingest(lake, people, into=TABLE).inserted == 1
    assert lk.merge(lk.read_new(lake, TABLE, into="silver.people"), key="id").inserted == 1


def test_a_row_restored_as_it_was_lives_again_later_than_its_delete(lake: Any) -> None:
    source = Rows(dated=True)
    row = source.rows["north", 1] = ("one", source.now)
    source.rows["north", 2] = ("two", source.now)

    def turn() -> tuple[int, int, int]:
        source.now += timedelta(minutes=1)
        taken = lk.ingest(lake, source, into=TABLE, now=source.now)
        compared = lk.ingest_deletes(lake, source, into=TABLE, now=source.now, deletes=lk.Deletes(force=True))
        lk.merge(lk.read_new(lake, TABLE, into="silver.people"), key=("region", "id"))
        return taken.inserted, compared.deleted, compared.inserted

    assert turn() == (2, 0, 0)
    del source.rows["north", 1]
    assert turn() == (0, 1, 0)
    source.rows["north", 1] = row
    assert turn() == (0, 0, 1)
    assert turn() == (0, 0, 0)
    assert living(lake, "silver.people", "id", "value") == [(1, "one"), (2, "two")]
