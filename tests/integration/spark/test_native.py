"""Rows as each engine has them: a DataFrame on Spark, which stays with the executors, and an Arrow table where there are none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lakekit as lk
from tests.contract.helpers import frame
from tests.servers.spark import Server


def native(lake: Any) -> Any:
    return lk.select(frame(lake, "a", {"id": 1, "v": "x"}), {"id": "id + 1", "v": "upper(v)"}).to_native()


def test_a_batch_can_be_had_as_the_engines_own_frame(server: Server, kind: str, tmp_path: Path) -> None:
    spark, catalog = server.new_catalog(kind, tmp_path / "lake")
    found = native(lk.connect(spark, catalog=catalog))
    assert found.sparkSession is spark
    assert [(row["id"], row["v"]) for row in found.filter("id = 2").collect()] == [(2, "X")]
    assert native(lk.connect(tmp_path / "embedded")).select(["id", "v"]).to_pylist() == [{"id": 2, "v": "X"}]
