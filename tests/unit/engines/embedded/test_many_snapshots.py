"""A table of many snapshots: a write looks at a few of them, and copies none by itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pyiceberg.table import Table, update

import lakekit as lk
from lakekit.engines import iceberg
from lakekit.engines.embedded.snapshot import OneCommit
from lakekit.testing import Source


def test_a_snapshot_is_made_when_it_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lake = lk.connect(tmp_path)
    source = Source([], primary_key="id")
    for number in range(6):
        source.rows.append({"id": number})
        lk.ingest(lake, source, into="bronze.things")
    state = lake.load("bronze.things", place="")
    assert len(state.snapshots) == 6
    assert [found.id for found in state.ancestry()] == sorted(state.snapshots, key=lambda one: -state.snapshots[one].sequence)
    assert state.head in state.snapshots
    assert 0 not in state.snapshots
    assert state.snapshots.get(0) is None

    made: list[Any] = []
    make = iceberg._snapshot
    monkeypatch.setattr(iceberg, "_snapshot", lambda found: made.append(found) or make(found))
    source.rows.append({"id": 6})
    assert lk.ingest(lake, source, into="bronze.things").inserted == 1
    assert 0 < len(made) < 6


def test_a_transaction_without_updates_has_the_tables_own_metadata(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lake = lk.connect(tmp_path)
    lk.append(lk.from_frame(lake, [{"id": 1}], run_id="a"), into="bronze.things")
    table: Table = lake.load("bronze.things", place="").native
    transaction = OneCommit(table)
    assert transaction.table_metadata is table.metadata
    before = table.metadata.model_dump_json()
    transaction._stage((update.SetPropertiesUpdate(updates={"a": "b"}),))
    assert transaction.table_metadata.properties["a"] == "b"
    assert table.metadata.model_dump_json() == before
