"""The merge that teams write by hand for dimensions with history, on Spark: one MERGE over each change twice, once to close and once to open."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import numpy as np
import pyspark

import lakekit as lk
from benchmarks import measure
from benchmarks.measure import Measurement
from tests.servers.jars import jars
from tests.servers.spark import jars_of

if TYPE_CHECKING:
    import pyarrow as pa

Mode = Literal["copy-on-write", "merge-on-read"]
MODES: Final[tuple[Mode, ...]] = ("copy-on-write", "merge-on-read")
VALUES: Final = ("name", "city", "status", "score", "size")
CORES: Final = 2


def union_merge(folder: str, dim: str, batch: pa.Table, mode: Mode, memory: str) -> Measurement:
    """The merge of a batch into a dimension of lakekit's layout; only the statement is timed, in a session that has merged before."""
    with tempfile.TemporaryDirectory(prefix="lakekit-benchmark-", ignore_cleanup_errors=True) as scratch:
        settings = {"spark.driver.memory": memory, "spark.local.dir": scratch, "spark.master": f"local[{CORES}]"}
        settings |= {"spark.sql.shuffle.partitions": str(CORES), "spark.sql.session.timeZone": "UTC"}
        spark = lk.spark.session(Path(folder), settings=settings, jars=jars(jars_of(pyspark.__version__)))
        catalog = spark.sql("SELECT current_catalog()").first()[0]  # type: ignore[index]
        spark.sql(f"CREATE TABLE {catalog}.bench.warm_{mode[0]} USING iceberg AS SELECT * FROM {catalog}.{dim} LIMIT 1000")
        for table, rows in ((f"bench.warm_{mode[0]}", batch.slice(0, 10)), (dim, batch)):
            spark.sql(f"ALTER TABLE {catalog}.{table} SET TBLPROPERTIES ('write.merge.mode' = '{mode}')")
            spark.createDataFrame(rows).createOrReplaceTempView("updates")
            spark.sql("SELECT count(*) FROM updates").collect()
            began = time.perf_counter()
            spark.sql(_merge(f"{catalog}.{table}"))
            wall = time.perf_counter() - began
        spark.sql(f"DROP TABLE {catalog}.bench.warm_{mode[0]} PURGE")
        closed = spark.sql(f"SELECT count(*) AS n FROM {catalog}.{dim} WHERE is_current AND `at` = `valid_from` AND status = 'closed'")
        assert closed.first()["n"] >= len(np.unique(batch["id"])), "the merge opened too few versions"  # type: ignore[index]
        spark.stop()
    return Measurement(2 * len(batch), wall, wall, 0, measure.peak_memory())


def _merge(table: str) -> str:
    differ = " OR ".join(f"NOT (t.{name} <=> u.{name})" for name in VALUES)
    names = ", ".join(("id", *VALUES, "`at`"))
    given = ", ".join(f"s.{name}" for name in ("id", *VALUES, "`at`"))
    return f"""
        MERGE INTO {table} t USING (
            SELECT id AS merge_key, * FROM updates
            UNION ALL
            SELECT NULL AS merge_key, u.* FROM updates u JOIN {table} t ON u.id = t.id AND t.is_current WHERE {differ}
        ) s ON t.id = s.merge_key
        WHEN MATCHED AND t.is_current AND ({differ.replace("u.", "s.")}) THEN UPDATE SET valid_to = s.`at`, is_current = false
        WHEN NOT MATCHED THEN INSERT ({names}, valid_from, is_current) VALUES ({given}, s.`at`, true)"""
