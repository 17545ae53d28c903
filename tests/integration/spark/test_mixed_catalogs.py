"""Catalogs that hold tables of other formats, and views, beside Iceberg's: Spark's own, Unity Catalog."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import lakekit as lk
from lakekit.engines.spark.tables import SparkEngine
from lakekit.errors import TableError

if TYPE_CHECKING:
    from tests.servers.spark import Server


def test_what_is_not_icebergs_is_passed_over(server: Server, kind: str, tmp_path: Path) -> None:
    spark = server.session(kind, "mixed")
    spark.sql("CREATE DATABASE IF NOT EXISTS mixed")
    spark.sql("CREATE OR REPLACE VIEW mixed.some AS SELECT 1 AS n")
    spark.sql(f"CREATE TABLE IF NOT EXISTS mixed.others (n BIGINT) USING parquet LOCATION 'file://{tmp_path}/others'")
    try:
        engine = SparkEngine(spark, "spark_catalog")
        assert engine.tables() == []
        with pytest.raises(TableError, match="no Iceberg table"):
            engine.load(("mixed", "others"))
    finally:
        spark.sql("DROP DATABASE mixed CASCADE")


def test_icebergs_own_are_found_in_a_catalog_of_another_kind(server: Server, kind: str, tmp_path: Path) -> None:
    spark, name = server.new_catalog(kind, tmp_path / "lake")
    lake = lk.connect(spark, catalog=name)
    lk.append(lk.from_frame(lake, [{"n": 1}], run_id="first"), into="bronze.things")
    spark.conf.set(f"spark.sql.catalog.{name}", "of.another.Kind")  # Spark keeps the one it has opened
    assert lake.tables() == ["bronze.things"]
