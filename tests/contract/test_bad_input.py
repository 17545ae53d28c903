"""Whatever is wrong is said at once: the place, what was expected, what came, a hint; and never a value of a row."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import pytest

import lakekit as lk
from lakekit.errors import ConfigError, LakekitError, QueryError, SchemaError, TableNotFoundError
from tests.contract.helpers import frame

SECRET = "s3cret-value"  # stands in a row; must not stand in an error


@pytest.fixture(scope="module")
def filled(shared_lake: Any) -> Any:
    lk.append(frame(shared_lake, "a", {"id": 1, "name": SECRET}, {"id": None, "name": SECRET}), into="bronze.things")
    return shared_lake


def new(lake: Any) -> lk.Batch:
    return lk.read_new(lake, "bronze.things", into="silver.things")


MISTAKES: dict[str, tuple[type[LakekitError], Callable[[Any], object]]] = {
    "a table name without a namespace": (ConfigError, lambda lake: lk.append(frame(lake, "b", {"id": 1}), into="things")),
    "a table name with an empty part": (ConfigError, lambda lake: lk.read(lake, "bronze..things")),
    "a table name with a path in it": (ConfigError, lambda lake: lk.read(lake, "bronze.../things")),
    "a table name with a quote": (ConfigError, lambda lake: lk.read(lake, 'bronze.thi"ngs')),
    "a table name that is a number": (ConfigError, lambda lake: lk.read(lake, 7)),  # type: ignore[arg-type]
    "an unknown catalog": (ConfigError, lambda lake: lk.read(lake, "prod.bronze.things")),
    "a folder for a lake": (ConfigError, lambda lake: lk.read(lake.where, "bronze.things")),  # type: ignore[arg-type]
    "a folder to ingest into": (ConfigError, lambda lake: lk.ingest(lake.where, lk.testing.Source([]), into="bronze.things")),  # type: ignore[arg-type]
    "a missing table": (TableNotFoundError, lambda lake: lk.read(lake, "bronze.thinks")),
    "no table to write to": (ConfigError, lambda lake: lk.append(frame(lake, "b", {"id": 1}))),
    "another table than the batch was read for": (ConfigError, lambda lake: lk.append(new(lake), into="silver.others")),
    "another table to merge into": (ConfigError, lambda lake: lk.merge(new(lake), into="silver.others", key="id")),
    "an append without a bookmark": (ConfigError, lambda lake: lk.append(lk.read(lake, "bronze.things"), into="silver.things")),
    "an unknown key": (SchemaError, lambda lake: lk.merge(new(lake), key="idd")),
    "an empty key": (ConfigError, lambda lake: lk.merge(new(lake), key=())),
    "a key named twice": (ConfigError, lambda lake: lk.merge(new(lake), key=("id", "id"))),
    "an unknown order": (SchemaError, lambda lake: lk.merge(new(lake), key="id", order_by="at")),
    "an unknown way to delete": (ConfigError, lambda lake: lk.merge(new(lake), key="id", deletes=lk.Deletes("gently"))),  # type: ignore[arg-type]
    "an unknown policy": (ConfigError, lambda lake: lk.append(new(lake), on_change="explode")),
    "an unknown column in where": (QueryError, lambda lake: lk.where(new(lake), "nmae = 'x'")),
    "an unknown column in select": (QueryError, lambda lake: lk.select(new(lake), {"a": "nmae"})),
    "a list of columns to select": (ConfigError, lambda lake: lk.select(new(lake), ["id"])),  # type: ignore[arg-type]
    "an unknown column to drop": (QueryError, lambda lake: lk.select(new(lake), {"a": "id"}, drop=["nmae"])),
    "an unknown column in a delete condition": (QueryError, lambda lake: lk.merge(new(lake), key="id", delete_when="nmae = 1")),
    "an expression that does not parse": (QueryError, lambda lake: lk.where(new(lake), "id = = 1")),
    "an expression that is a query": (QueryError, lambda lake: lk.where(new(lake), "id IN (SELECT 1)")),
    "an aggregate in an expression": (QueryError, lambda lake: lk.select(new(lake), {"n": "sum(id)"})),
    "a function that differs between engines": (QueryError, lambda lake: lk.select(new(lake), {"n": "rand()"})),
    "a system column's name": (SchemaError, lambda lake: lk.select(new(lake), {"_write_id": "id"})),
    "a system column in a frame": (SchemaError, lambda lake: frame(lake, "b", {"_write_id": 1})),
    "LIMIT": (QueryError, lambda lake: new(lake).sql("SELECT * FROM batch LIMIT 1")),
    "GROUP BY": (QueryError, lambda lake: new(lake).sql("SELECT id FROM batch GROUP BY id")),
    "DISTINCT": (QueryError, lambda lake: new(lake).sql("SELECT DISTINCT id FROM batch")),
    "an aggregate": (QueryError, lambda lake: new(lake).sql("SELECT max(id) AS m FROM batch")),
    "sampling": (QueryError, lambda lake: new(lake).sql("SELECT * FROM batch TABLESAMPLE (10 PERCENT)")),
    "a join of two increments": (QueryError, lambda lake: new(lake).sql("SELECT * FROM batch JOIN other USING (id)", other=new(lake))),
    "an unknown relation": (QueryError, lambda lake: new(lake).sql("SELECT * FROM butch")),
    "something else than a query": (QueryError, lambda lake: new(lake).sql("DROP TABLE batch")),
    "a run without a name": (ConfigError, lambda lake: frame(lake, "", {"id": 1})),
    "a frame that is none": (ConfigError, lambda lake: lk.from_frame(lake, 7, run_id="b")),
    "a union of one": (ConfigError, lambda lake: lk.union_by_name(new(lake))),
    "an unknown snapshot": (ConfigError, lambda lake: lk.read(lake, "bronze.things", as_of=1)),
    "an unknown tag": (ConfigError, lambda lake: lk.read(lake, "bronze.things", as_of="friday")),
    "the truth of a batch": (QueryError, lambda lake: bool(new(lake))),
    "a pickled batch": (ConfigError, lambda lake: pickle.dumps(new(lake))),
    "a value of another type": (
        SchemaError,
        lambda lake: lk.append(frame(lake, "b", {"id": SECRET}), into="bronze.things", on_change="fail"),
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_named_with_its_place_and_a_way_out_and_writes_nothing(mistake: str, filled: Any) -> None:
    kind, make = MISTAKES[mistake]
    before = filled.tables()
    with pytest.raises(kind) as caught:
        make(filled)
    error = caught.value
    text = str(error)
    assert error.place
    assert text.startswith(error.place)
    assert error.problem in text
    assert error.got in text
    assert SECRET not in text
    assert filled.tables() == before
    assert lk.read(filled, "bronze.things").count() == 2


@pytest.mark.parametrize("mistake", ["LIMIT", "GROUP BY", "DISTINCT", "an aggregate"])
def test_folding_an_increment_names_the_way_out(mistake: str, filled: Any) -> None:
    with pytest.raises(QueryError) as caught:
        MISTAKES[mistake][1](filled)
    assert "replace_groups" in caught.value.hint


@pytest.mark.parametrize("mistake", ["an unknown column in where", "an unknown column in select", "an unknown column to drop"])
def test_an_unknown_column_names_the_nearest_one(mistake: str, filled: Any) -> None:
    with pytest.raises(QueryError, match="did you mean 'name'"):
        MISTAKES[mistake][1](filled)


def test_a_column_with_a_space_in_its_name_is_shown_as_sql_wants_it(lake: Any) -> None:
    with pytest.raises(QueryError, match="Quote it in SQL: `Order ID`"):
        lk.select(frame(lake, "a", {"Order ID": 1}), {"order_id": "Order ID"})


def test_a_plain_read_may_be_limited_and_grouped(filled: Any) -> None:
    batch = lk.read(filled, "bronze.things")
    assert batch.sql("SELECT name, count(*) AS n FROM batch GROUP BY name").count() == 1
    assert batch.sql("SELECT * FROM batch LIMIT 1").count() == 1


def test_a_refused_write_leaves_the_bookmark_where_it_was(filled: Any) -> None:
    with pytest.raises(SchemaError):
        lk.merge(new(filled), key="idd")
    assert new(filled).count() == 2


def test_a_column_that_only_later_rows_of_a_frame_have_is_not_lost(lake: Any) -> None:
    batch = lk.from_frame(lake, [{"id": 1}, {"id": 2, "name": "Bo"}], run_id="a")
    assert [(row["id"], row["name"]) for row in batch.to_arrow().to_pylist()] == [(1, None), (2, "Bo")]
