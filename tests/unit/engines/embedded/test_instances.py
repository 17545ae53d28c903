"""A lake keeps one DuckDB instance for its next evaluation, with nothing left in it of the last one."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import pyarrow as pa
import pytest

import lakekit as lk
from lakekit.engines.plan import Function, Query


def twice() -> Function:
    return Function(lambda values: pa.array([2 * value for value in values.to_pylist()]), (pa.int64(),), pa.int64())


def doubled(lake: lk.Lake) -> list[int]:
    with lake.engine.session() as session:
        rows = session.stage(
            Query("SELECT twice(n) AS n FROM numbers", {"numbers": lake.engine.frame([{"n": 1}, {"n": 4}])}, {"twice": twice()})
        )
        return [row["n"] for batch in session.rows(rows) for row in batch.to_pylist()]


def instance(lake: lk.Lake) -> Any:
    return lake.engine._instances._waiting


def test_the_next_evaluation_takes_the_instance_of_the_last_one_and_finds_it_empty(tmp_path: Path) -> None:
    lake = lk.connect(tmp_path / "lake", spill_directory=tmp_path)
    assert doubled(lake) == [2, 8]
    first = instance(lake)
    assert doubled(lake) == [2, 8]
    assert instance(lake) is first
    left = "SELECT table_name FROM duckdb_tables() UNION ALL SELECT view_name FROM duckdb_views() WHERE NOT internal"
    functions = "SELECT function_name FROM duckdb_functions() WHERE function_name = 'twice'"
    assert first.execute(f"{left} UNION ALL {functions}").fetchall() == []
    assert [path.name for path in tmp_path.iterdir()] == ["lake"], "what evaluations spill is gone"


def test_after_an_error_the_instance_is_closed(tmp_path: Path) -> None:
    lake = lk.connect(tmp_path)
    assert doubled(lake) == [2, 8]
    with pytest.raises(lk.errors.QueryError), lake.engine.session() as session:
        session.stage(Query("SELECT nothing FROM numbers", {"numbers": lake.engine.frame([{"n": 1}])}))
    assert instance(lake) is None
    assert doubled(lake) == [2, 8]


def test_evaluations_at_once_have_instances_of_their_own_and_one_is_kept(tmp_path: Path) -> None:
    lake, both = lk.connect(tmp_path), Barrier(2)

    def work() -> list[int]:
        with lake.engine.session():
            both.wait(timeout=60)
            return doubled(lake)

    with ThreadPoolExecutor(2) as pool:
        assert [task.result() for task in [pool.submit(work), pool.submit(work)]] == [[2, 8], [2, 8]]
    assert instance(lake) is not None


def test_a_forked_process_makes_its_own_and_ends_as_it_should(tmp_path: Path) -> None:
    program = f"""
import os, sys
import lakekit as lk
lake = lk.connect({str(tmp_path)!r})
with lake.engine.session():
    pass
if (child := os.fork()) == 0:
    with lake.engine.session():
        pass
    sys.exit(0)
assert os.waitpid(child, 0)[1] == 0
if (child := os.fork()) == 0:
    sys.exit(0)
assert os.waitpid(child, 0)[1] == 0
with lake.engine.session():
    pass
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
