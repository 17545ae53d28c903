"""A platform that refuses settings it doesn't know, as Databricks' serverless does: merges carry their bookmarks all the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pyspark.errors import AnalysisException

import lakekit as lk
from lakekit.bookmark import BOOKMARK, WRITE_ID
from tests.contract.helpers import foreign, frame, living, rows, snapshots
from tests.servers.spark import Server


def refuse(monkeypatch: pytest.MonkeyPatch, spark: Any) -> None:
    """From now on the session takes no setting of Iceberg's, and none of how it plans."""
    conf = type(spark.conf)
    known = conf.set

    def set_known(self: Any, key: str, value: Any) -> None:
        if key.startswith(("spark.sql.iceberg.", "spark.sql.constraintPropagation.")):
            raise AnalysisException(f"[CONFIG_NOT_AVAILABLE] Configuration {key} is not available.")
        known(self, key, value)

    monkeypatch.setattr(conf, "set", set_known)


def test_a_merge_carries_its_bookmark_without_the_setting(
    server: Server, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    spark, catalog = server.new_catalog(kind, tmp_path / "lake")
    lake: Any = lk.connect(spark, catalog=catalog)
    lk.append(frame(lake, "b1", {"id": 1, "v": 1}, {"id": 2, "v": 1}), into="bronze.t")
    lk.merge(lk.read_new(lake, "bronze.t", into="silver.t"), key="id")
    lk.append(lk.read_new(lake, "silver.t", into="gold.seen"))
    refuse(monkeypatch, spark)
    lk.append(frame(lake, "b2", {"id": 2, "v": 2}, {"id": 3, "v": 2}), into="bronze.t")

    increment = lk.read_new(lake, "bronze.t", into="silver.t")
    done = lk.merge(increment, key="id")
    assert (done.inserted, done.updated, done.files > 0) == (1, 1, True)
    assert living(lake, "silver.t", "id", "v") == [(1, 1), (2, 2), (3, 2)]
    head = foreign(lake, "silver.t").current_snapshot()
    assert head is not None
    assert head.summary is not None
    assert head.snapshot_id == done.snapshot_id
    assert head.summary.additional_properties[WRITE_ID] == str(increment.bookmark.write_id("silver.t"))
    assert BOOKMARK in head.summary.additional_properties
    assert not [name for name in foreign(lake, "silver.t").metadata.refs if name != "main"]

    assert rows(lk.read_new(lake, "silver.t", into="gold.seen"), "id", "v") == [(2, 2), (3, 2)]
    assert "other tools" not in caplog.text

    before = snapshots(lake, "silver.t")
    assert lk.merge(lk.read_new(lake, "bronze.t", into="silver.t"), key="id").snapshot_id is None
    assert lk.merge(increment, key="id").snapshot_id is None
    assert snapshots(lake, "silver.t") == before
    assert rows(lk.read_new(lake, "silver.t", into="gold.t"), "id", "v") == [(1, 1), (2, 2), (3, 2)]
