"""Tables whose source's schema drifted for thirty runs, written by the embedded engine, are what they are to Spark, too."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import lakekit as lk
from tests.integration.spark.both import Both, both, differences, rows
from tests.property.test_schema_drift import BRONZE, SILVER, Drift, drift

if TYPE_CHECKING:
    from tests.servers.spark import Server


@pytest.mark.slow
def test_spark_reads_what_drifted_for_thirty_runs_and_goes_on_with_it(server: Server, tmp_path: Path) -> None:
    machines: list[Both] = []

    class OnSpark(Drift):
        """The same, read by Spark in the end."""

        def connect(self, folder: Path) -> lk.Lake:
            machines.append(both(server, "classic", tmp_path / f"lake {len(machines)}"))
            return machines[-1].embedded

        def read_elsewhere(self) -> None:
            super().read_elsewhere()
            lakes = machines[-1]
            for table in (BRONZE, SILVER):
                assert differences(rows(lakes.spark, table, "id"), rows(lakes.embedded, table, "id")) == []
            lk.merge(lk.read_new(lakes.spark, BRONZE, into="silver.by_spark"), key="id")
            assert differences(rows(lakes.embedded, "silver.by_spark", "id"), rows(lakes.embedded, SILVER, "id")) == []

    drift(OnSpark, examples=3)
