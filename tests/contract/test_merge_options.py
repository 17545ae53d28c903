"""merge: what is a key, and what its options say."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

import lakekit as lk
from lakekit.errors import ConfigError, ContractError, SchemaError
from tests.contract.helpers import foreign, frame, living, made_elsewhere, stored

TABLE = "silver.people"


def put(lake: Any, run: str, *rows: dict[str, Any], **options: Any) -> lk.Commit:
    options = {"key": "id", "order_by": "at", **options}
    return lk.merge(frame(lake, run, *rows), into=TABLE, **options)


def person(number: int | None, name: str | None, at: int, **more: Any) -> dict[str, Any]:
    return {"id": number, "name": name, "at": at, **more}


def gone(number: int, at: int) -> dict[str, Any]:
    return {"id": number, "name": None, "at": at, "_operation": "delete"}


def test_rows_without_a_key_are_kept_as_rejects_once(lake: Any) -> None:
    for run in ("a", "b"):
        assert put(lake, run, person(None, "nobody", 1), person(1, "Ada", 1)).rejected == 1
    assert stored(lake, TABLE, "id") == [(1,)]
    rejects = lk.read(lake, "silver.people__rejects").to_arrow().to_pylist()
    assert {(row["_rule"], row["_reason"]) for row in rejects} == {("key", "null_key")}
    put(lake, "b", person(None, "nobody", 1), person(1, "Ada", 1))
    assert lk.read(lake, "silver.people__rejects").count() == len(rejects)


@pytest.mark.slow
def test_of_many_composite_keys_in_many_partitions_only_the_files_of_those_that_change_are_written(lake: Any) -> None:
    def numbered(numbers: range, value: int) -> pa.Table:
        return pa.table({"part": [n % 500 for n in numbers], "code": [f"k{n}" for n in numbers], "value": [value] * len(numbers)})

    def put(run: str, given: pa.Table) -> lk.Commit:
        return lk.merge(lk.from_frame(lake, given, run_id=run), key=("part", "code"), into=TABLE)

    def others() -> set[str]:
        return {task.file.file_path for task in foreign(lake, TABLE).scan("part <> 7").plan_files()}

    lk.create_table(lake, TABLE, schema={"part": "bigint", "code": "string", "value": "bigint"}, partition_by="part")
    assert put("a", numbered(range(100_000), 1)).inserted == 100_000
    files = others()
    commit = put("b", numbered(range(7, 150_000, 500), 2))
    assert (commit.updated, commit.inserted) == (200, 100)
    assert others() == files
    assert len(files) == 499
    assert put("c", numbered(range(7, 150_000, 500), 2)).unchanged == 300


def test_without_a_key_it_is_the_tables_identifier_fields(lake: Any) -> None:
    made_elsewhere(lake, TABLE, pa.table({"a": ["x"], "v": [1], "b": ["y"]}), identifiers=("b", "a"))
    again = {"a": "x", "v": 2, "b": "y"}
    commit = lk.merge(frame(lake, "a", again, {**again, "b": "z"}), into=TABLE)
    assert (commit.updated, commit.inserted) == (1, 1)
    assert lk.merge(frame(lake, "b", again), into=TABLE, key=("a", "b")).unchanged == 1, "the same key, in the order of the columns"


def test_without_a_key_the_identifier_fields_are_in_the_order_that_the_table_is_kept_by(lake: Any) -> None:
    row = {"a": "x", "b": "y", "v": 1}
    made_elsewhere(lake, TABLE, pa.Table.from_pylist([row]), identifiers=("a", "b"))
    lk.merge(frame(lake, "a", row), into=TABLE, key=("b", "a"))
    assert lk.merge(frame(lake, "b", row), into=TABLE).unchanged == 1


def test_without_a_key_a_table_without_identifier_fields_is_refused(lake: Any) -> None:
    with pytest.raises(ConfigError, match=r"merge\(key=\)"):
        lk.merge(frame(lake, "a", person(1, "Ada", 1)), into=TABLE)
    assert TABLE not in lake.tables()
    put(lake, "a", person(1, "Ada", 1))
    with pytest.raises(ConfigError, match=r"merge\(key=\)"):
        lk.merge(frame(lake, "b", person(1, "Ada L.", 2)), into=TABLE)
    assert living(lake, TABLE, "name") == [("Ada",)]


def test_columns_renamed_by_another_tool_are_the_same_columns_inside_of_structs_too(lake: Any) -> None:
    ada = person(1, "Ada", 1, home={"town": "York", "zip": "1"}, tags=[{"k": 1}])
    put(lake, "a", ada, person(2, "Bo", 1, home=None, tags=None))
    with foreign(lake, TABLE).update_schema() as change:
        change.rename_column("name", "called").rename_column("home.town", "city").rename_column("tags.element.k", "key")
    commit = put(lake, "b", {"id": 1, "called": "Ada", "at": 2, "home": {"city": "Bath", "zip": "1"}, "tags": [{"key": 1}]})
    assert (commit.inserted, commit.updated) == (0, 1)
    assert stored(lake, TABLE, "id", "called", "home") == [(1, "Ada", {"city": "Bath", "zip": "1"}), (2, "Bo", None)]
    assert stored(lake, TABLE, "id", "tags")[0] == (1, [{"key": 1}])


def test_stored_rows_or_new_ones_are_left_where_the_call_says_so(lake: Any) -> None:
    put(lake, "a", person(1, "Ada", 1), person(2, "Bo", 1))
    only_new = put(lake, "b", person(1, "Ada L.", 2), person(3, "Cy", 2), when_matched="ignore")
    only_known = put(lake, "c", person(2, "Bob", 3), person(4, "Di", 3), when_not_matched="ignore")
    assert (only_new.inserted, only_new.updated, only_new.unchanged) == (1, 0, 1)
    assert (only_known.inserted, only_known.updated, only_known.unchanged) == (0, 1, 1)
    assert living(lake, TABLE, "id", "name") == [(1, "Ada"), (2, "Bob"), (3, "Cy")]


def test_null_in_a_key_is_a_value_where_the_call_says_so(lake: Any) -> None:
    keys: dict[str, Any] = {"key": ("id", "name"), "null_keys": "match"}
    put(lake, "a", person(None, "Ada", 1), person(2, None, 1), **keys)
    commit = put(lake, "b", person(None, "Ada", 2), person(2, None, 2), person(None, None, 2), **keys)
    assert (commit.inserted, commit.updated, commit.rejected) == (1, 2, 0)
    assert living(lake, TABLE, "id", "name", "at") == [(2, None, 2), (None, "Ada", 2), (None, None, 2)]


def test_several_rows_of_a_key_are_an_error_where_the_call_says_so(lake: Any) -> None:
    put(lake, "a", person(1, "Ada", 1))
    with pytest.raises(ContractError, match="several rows of one key"):
        put(lake, "b", person(1, "Ada L.", 2), person(1, "Ada K.", 3), duplicates="fail")
    assert living(lake, TABLE, "id", "name") == [(1, "Ada")]


@pytest.mark.parametrize("option", ["when_matched", "when_not_matched", "duplicates", "null_keys", "write_mode"])
def test_a_word_that_merge_does_not_know_is_an_error(option: str, lake: Any) -> None:
    with pytest.raises(ConfigError, match=option):
        put(lake, "a", person(1, "Ada", 1), **{option: "sometimes"})


def test_snapshot_properties_stand_in_every_snapshot(tmp_path: Any) -> None:
    lake = lk.connect(tmp_path, snapshot_properties={"airflow.run_id": "r1"})
    put(lake, "a", person(1, "Ada", 1))
    assert foreign(lake, TABLE).current_snapshot().summary.additional_properties["airflow.run_id"] == "r1"
    with pytest.raises(ConfigError, match="snapshot_properties"):
        lk.connect(tmp_path, snapshot_properties={"lakekit.bookmark": "{}"})


def test_a_field_inside_of_a_struct_is_a_key(lake: Any) -> None:
    def customer(number: int | None, zip_code: str, at: int) -> dict[str, Any]:
        return {"customer": {"id": number, "zip": zip_code}, "at": at}

    put(lake, "a", customer(1, "a", 1), customer(2, "a", 1), key="customer.id")
    commit = put(
        lake,
        "b",
        customer(1, "b", 2),
        customer(2, "a", 1),
        customer(3, "a", 2),
        customer(3, "b", 3),
        customer(None, "a", 1),
        key="customer.id",
    )
    counted = (commit.inserted, commit.updated, commit.unchanged, commit.duplicates, commit.rejected)
    assert counted == (1, 1, 1, 1, 1)
    assert [row["zip"] for (row,) in living(lake, TABLE, "customer")] == ["b", "a", "b"]
    with pytest.raises(SchemaError, match="no such column"):
        put(lake, "c", customer(1, "c", 3), key="customer.number")
    with pytest.raises(ConfigError, match="whole columns"):
        put(lake, "d", customer(1, "c", 3), key="customer.id", deletes=lk.Deletes("hard"))
