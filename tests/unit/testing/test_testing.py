"""What users test their pipelines with: it lets right ones pass, and finds the wrong ones."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings

import lakekit as lk
from lakekit import testing
from lakekit.errors import ConfigError, ContractError, SchemaError
from lakekit.testing import lake

__all__ = ["lake"]  # a fixture here

PEOPLE = [{"id": 1, "name": "Ada", "at": datetime(2026, 1, 1, tzinfo=UTC)}, {"id": 2, "name": "Bo", "at": datetime(2026, 1, 2, tzinfo=UTC)}]


def names(lake: lk.Lake, table: str) -> list[str]:
    return sorted(lk.read(lake, table).to_arrow()["name"].to_pylist())


@pytest.mark.parametrize("value", [lambda n: n, lambda n: f"v{n}", lambda n: date(2026, 1, n), lambda n: datetime(2026, 1, n, tzinfo=UTC)])
def test_a_cursor_of_any_kind_is_followed(lake: lk.Lake, value: Any) -> None:
    source = testing.Source([{"id": 1, "at": value(1)}, {"id": 2, "at": value(2)}], cursor="at", primary_key="id")
    assert lk.ingest(lake, source, into="bronze.things").inserted == 2
    assert not lk.ingest(lake, source, into="bronze.things").committed
    source.rows += [{"id": 3, "at": value(2)}, {"id": 4, "at": value(3)}, {"id": 5, "at": value(1)}]
    assert lk.ingest(lake, source, into="bronze.things").inserted == 2, "the third has the old cursor's value, the fifth is below it"


def test_without_a_cursor_what_stands_there_already_is_no_news(lake: lk.Lake) -> None:
    source = testing.Source([{"id": 1, "name": "Ada"}], primary_key="id")
    lk.ingest(lake, source, into="bronze.people")
    source.rows[0] = {"id": 1, "name": "Ada King", "title": None}
    source.rows.append({"id": 2, "name": "Bo"})
    assert lk.ingest(lake, source, into="bronze.people").inserted == 2
    assert names(lake, "bronze.people") == ["Ada", "Ada King", "Bo"]


def test_what_is_gone_from_the_rows_is_deleted(lake: lk.Lake) -> None:
    source = testing.Source(list(PEOPLE), cursor="at", primary_key="id", clock=lambda: datetime(2026, 2, 1, tzinfo=UTC))
    lk.ingest(lake, source, into="bronze.people")
    del source.rows[0]
    assert lk.ingest_deletes(lake, source, into="bronze.people", deletes=lk.Deletes(max_fraction=0.5)).deleted == 1
    lk.merge(lk.read_new(lake, "bronze.people", into="silver.people"), key="id")
    testing.assert_table(lake, "silver.people", [{"name": "Bo"}])
    testing.assert_table(lake, "silver.people", [{"id": 1}, {"id": 2}], deleted=True)


def test_a_row_may_say_that_it_is_a_delete(lake: lk.Lake) -> None:
    source = testing.Source([{"id": 1, "n": 1}, {"id": 1, "n": 2, "_operation": "delete"}], cursor="n")
    lk.ingest(lake, source, into="bronze.things")
    lk.merge(lk.read_new(lake, "bronze.things", into="silver.things"), key="id", order_by="n")
    testing.assert_table(lake, "silver.things", [])


def test_a_new_column_and_one_that_is_never_filled(lake: lk.Lake) -> None:
    source = testing.Source([{"id": 1, "empty": None}])
    lk.ingest(lake, source, into="bronze.things")
    source.rows.append({"id": 2, "device": "phone"})
    lk.ingest(lake, source, into="bronze.things")
    testing.assert_table(lake, "bronze.things", [{"id": 1}, {"id": 2, "device": "phone"}])


def test_what_a_source_can_not_be(lake: lk.Lake) -> None:
    with pytest.raises(ContractError, match="'at' is NULL"):
        lk.ingest(lake, testing.Source([{"id": 1}], cursor="at"), into="bronze.things")
    with pytest.raises(SchemaError, match="_write_id"):
        lk.ingest(lake, testing.Source([{"_write_id": 1}]), into="bronze.things")
    lk.ingest(lake, testing.Source([{"id": 1}]), into="bronze.things")
    with pytest.raises(ConfigError, match="no primary key"):
        lk.ingest_deletes(lake, testing.Source([{"id": 1}]), into="bronze.things")


def test_seeds_add_up(lake: lk.Lake) -> None:
    testing.seed(lake, "bronze.things", [{"id": 1}])
    testing.seed(lake, "bronze.things", [{"id": 1}])
    testing.assert_table(lake, "bronze.things", [{"id": 1}, {"id": 1}])
    testing.seed(lake, "silver.things", [{"id": 1, "n": 1}], key="id")
    testing.seed(lake, "silver.things", [{"id": 1, "n": 2}], key="id")
    testing.assert_table(lake, "silver.things", [{"id": 1, "n": 2}])


def test_rows_that_differ_are_shown_and_not_all_of_them(lake: lk.Lake) -> None:
    testing.seed(lake, "bronze.things", [{"id": n} for n in range(30)])
    with pytest.raises(AssertionError, match=r"there, and not expected: \{'id': 0\}(.|\n)*and 20 more"):
        testing.assert_table(lake, "bronze.things", [])
    with pytest.raises(AssertionError, match="no column 'nome'"):
        testing.assert_table(lake, "bronze.things", [{"nome": 1}])


def right(lake: lk.Lake) -> None:
    """A pipeline of lakekit's own."""
    lk.ingest(lake, testing.Source(PEOPLE, cursor="at", primary_key="id"), into="bronze.people")
    lk.merge(lk.read_new(lake, "bronze.people", into="silver.people"), key="id", deletes=lk.Deletes("hard"))


def test_a_right_pipeline_survives_every_crash(lake: lk.Lake) -> None:
    points = testing.crash_anywhere(right, lake)
    assert points > 10
    assert names(lake, "silver.people") == ["Ada", "Bo"]
    testing.assert_rerun_is_noop(right, lake)


def test_a_pipeline_that_looks_whether_it_has_run_is_found_out(lake: lk.Lake) -> None:
    def naive(lake: lk.Lake) -> None:
        if "silver.one" not in lake.tables():
            testing.seed(lake, "silver.one", [{"id": 1}], key="id")
            testing.seed(lake, "silver.two", [{"id": 1}], key="id")

    testing.assert_rerun_is_noop(naive, lake)
    with pytest.raises(AssertionError, match=r"after a crash after create, a second run leaves another silver.one, silver.two"):
        testing.crash_anywhere(naive, lk.connect(Path(lake.where).parent / "other"))


def test_a_pipeline_that_appends_again_is_found_out(lake: lk.Lake) -> None:
    with pytest.raises(AssertionError, match=r"run again, the pipeline wrote to bronze.things"):
        testing.assert_rerun_is_noop(lambda lake: testing.seed(lake, "bronze.things", [{"id": 1}]), lake)


def test_only_a_lake_in_a_folder_can_be_set_back(lake: lk.Lake) -> None:
    with pytest.raises(ConfigError, match="expected a lake in a folder"):
        testing.crash_anywhere(right, lk.connect(lake.engine.catalog))  # pyright: ignore[reportAttributeAccessIssue]


@settings(max_examples=50)
@given(testing.batchings(range(5), repeats=2))
def test_batches_hold_every_row_and_repeats(batches: list[list[int]]) -> None:
    rows = [row for batch in batches for row in batch]
    assert set(rows) == set(range(5))
    assert 5 <= len(rows) <= 7


def test_of_no_rows_there_are_only_empty_batches() -> None:
    @given(testing.batchings([]))
    def check(batches: list[list[int]]) -> None:
        assert not any(batches)

    check()
