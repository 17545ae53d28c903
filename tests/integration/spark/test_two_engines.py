"""One table, written by Spark and by pyiceberg: each honours the other's increments and reads the other's bookmark."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from tests.integration.spark.table import Table, refusals

if TYPE_CHECKING:
    from pyiceberg.catalog.sql import SqlCatalog
    from pyiceberg.table import Table as PyIcebergTable

SCHEMA = pa.schema([("k", pa.int64()), ("v", pa.string()), ("_write_id", pa.int64())])


def append(table: PyIcebergTable, write_id: int, *, keys: tuple[int, ...] = (0, 1)) -> None:
    """Rows, summary and mirror in one commit, as the embedded engine writes them."""
    rows = [{"k": key, "v": "new", "_write_id": write_id} for key in keys]
    bookmark = json.dumps({"orders": write_id})
    summary = {"lakekit.write_id": str(write_id), "lakekit.bookmark": bookmark}
    with table.transaction() as transaction:
        transaction.append(pa.Table.from_pylist(rows, SCHEMA), snapshot_properties=summary)
        transaction.set_properties({"lakekit.bookmark": bookmark})


def summary_of(table: PyIcebergTable) -> dict[str, Any]:
    snapshot = table.current_snapshot()
    assert snapshot is not None
    assert snapshot.summary is not None
    return snapshot.summary.additional_properties


def test_spark_guards_an_append_to_a_table_that_pyiceberg_wrote(table: Table, pyiceberg_catalog: SqlCatalog) -> None:
    table.spark.sql(f"DROP TABLE {table.name}").collect()
    embedded = pyiceberg_catalog.create_table(table.identifier, schema=SCHEMA, properties={"format-version": "2"})
    append(embedded, 1, keys=(100,))
    base = table.head()
    append(embedded, 7)
    with pytest.raises(refusals(), match="Found conflicting files"):
        table.guarded_append(7, base)
    table.guarded_append(8, base, frame=table.frame(8, keys=(2, 3)))
    assert table.keys() == [0, 1, 2, 3, 100]


def test_pyiceberg_refuses_an_append_whose_parent_is_not_what_spark_left(
    new_table: Callable[..., Table], pyiceberg_catalog: SqlCatalog
) -> None:
    from pyiceberg.exceptions import CommitFailedException

    table = new_table(**{"commit.retry.num-retries": "0"})
    table.guarded_append(1, None)
    stale = pyiceberg_catalog.load_table(table.identifier)
    table.guarded_append(7, table.head())
    with pytest.raises(CommitFailedException, match="branch main has changed"):
        append(stale, 7)
    append(pyiceberg_catalog.load_table(table.identifier), 8, keys=(2,))
    assert [row[2] for row in table.rows()] == [1, 7, 1, 7, 8]


def test_each_engine_reads_the_bookmark_that_the_other_wrote(table: Table, pyiceberg_catalog: SqlCatalog) -> None:
    table.guarded_append(7, None)
    table.set_properties(bookmark=json.dumps({"orders": 7}))
    embedded = pyiceberg_catalog.load_table(table.identifier)
    assert summary_of(embedded)["lakekit.write_id"] == "7"
    assert json.loads(summary_of(embedded)["lakekit.bookmark"]) == {"orders": 7}
    assert json.loads(embedded.properties["lakekit.bookmark"]) == {"orders": 7}

    append(embedded, 8)
    assert table.summary()["lakekit.write_id"] == "8"
    assert json.loads(table.summary()["lakekit.bookmark"]) == {"orders": 8}
    assert json.loads(table.properties()["lakekit.bookmark"]) == {"orders": 8}


def test_pyiceberg_reads_what_spark_published_from_a_branch(table: Table, pyiceberg_catalog: SqlCatalog) -> None:
    staged = table.stage("staged", table.head())
    staged.plain_append(7)
    staged.publish()
    embedded = pyiceberg_catalog.load_table(table.identifier)
    assert sorted(embedded.scan().to_arrow()["k"].to_pylist()) == [0, 1]
    assert summary_of(embedded)["lakekit.write_id"] == "7"
