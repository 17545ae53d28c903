"""Threads that share a session: neither settings nor bookmarks of one reach the other."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import lakekit as lk
from lakekit.bookmark import BOOKMARK, WRITE_ID
from tests.contract.helpers import foreign, frame, living
from tests.servers.spark import Server

THREADS, WRITES = 3, 4
OTHER = {"spark.sql.session.timeZone": "Asia/Tokyo", "spark.sql.ansi.enabled": "false", "spark.sql.constraintPropagation.enabled": "true"}


def test_every_snapshot_bears_its_own_bookmark_and_the_settings_are_what_they_were(server: Server, kind: str, tmp_path: Path) -> None:
    server.session(kind, "other")  # pyspark takes the oldest session for the active one of every thread
    spark, catalog = server.new_catalog(kind, tmp_path / "lake")
    before = {name: spark.conf.get(name) for name in OTHER}
    for name, value in OTHER.items():
        spark.conf.set(name, value)
    lake: Any = lk.connect(spark, catalog=catalog)

    def write(thread: int) -> None:
        table = f"silver.t{thread}"
        for number in range(WRITES):
            rows = [{"id": key, "v": number, "hour": "2026-01-01T00:00:00Z"} for key in range(number + 2)]
            batch = lk.select(frame(lake, f"{thread}/{number}", *rows), {"id": "id", "v": "v", "hour": "hour(CAST(hour AS TIMESTAMP))"})
            lk.merge(batch, into=table, key="id")

    try:
        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(write, range(THREADS)))
        assert {name: spark.conf.get(name) for name in OTHER} == OTHER
    finally:
        for name, value in before.items():
            spark.conf.set(name, value)
    for thread in range(THREADS):
        name = f"silver.t{thread}"
        assert living(lake, name, "id", "v", "hour") == [(key, WRITES - 1, 0) for key in range(WRITES + 1)]
        found = [snapshot.summary.additional_properties for snapshot in foreign(lake, name).metadata.snapshots]
        own = [str(lk.Bookmark(run_id=f"{thread}/{number}").write_id(name)) for number in range(WRITES)]
        assert [summary[WRITE_ID] for summary in found] == own
        assert all(BOOKMARK in summary for summary in found)
