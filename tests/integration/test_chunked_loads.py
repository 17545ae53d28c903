"""A first load that is killed, cut off or refused at any moment, and begun again, gives what one gives that nobody disturbed."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path

import attrs
import psycopg
import pytest

import lakekit as lk
from lakekit.errors import LakekitError, SchemaError, SourceConfigError, SourceError
from tests.integration import chunked, faults, shop
from tests.integration.processes import DiedError, Running, context
from tests.integration.sources.reading import execute
from tests.integration.sources.test_postgres_chunks import Between
from tests.servers.postgres import PostgresServer, debian_binaries

SECRET = "s3cret-Pa55word"


@pytest.fixture
def lake(tmp_path: Path) -> lk.Lake:
    return lk.connect(tmp_path / "lake")


def ids(lake: lk.Lake) -> list[int]:
    return sorted(lk.read(lake, chunked.INTO).to_arrow().column("id").to_pylist())


@pytest.mark.parametrize(
    ("kills", "rows", "readers"),
    [(4, 8_000, 1), pytest.param(15, 40_000, 1, marks=pytest.mark.slow), pytest.param(15, 40_000, 3, marks=pytest.mark.slow)],
)
def test_killed_at_random_moments_a_load_goes_on_after_its_last_chunk(
    kills: int, rows: int, readers: int, database: str, tmp_path: Path
) -> None:
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")  # noqa: T201 -- shown when the test fails; how quick the machine is decides as well
    draw = random.Random(seed)
    chunked.fill(database, rows)
    calm, killed = tmp_path / "calm", tmp_path / "killed"
    began = time.perf_counter()
    assert Running(chunked.load, calm, database, readers).result() == rows
    seconds = time.perf_counter() - began
    for _ in range(kills):
        if not Running(chunked.load, killed, database, readers).kill(after=draw.uniform(0.2, 1.5) * seconds / kills + 0.3):
            break  # it was done already
    left = Running(chunked.load, killed, database, readers).result()
    whole = readers * -(-chunked.CHUNK // readers)  # each reader takes as many rows of a chunk
    assert left == 0 or (rows - left) % whole == 0
    assert shop.picture(killed) == shop.picture(calm)


@pytest.mark.slow
def test_killed_at_every_point_of_every_chunk_a_load_ends_the_same(database: str, tmp_path: Path) -> None:
    chunked.fill(database, 4 * chunked.CHUNK + 10)
    calm, killed = tmp_path / "calm", tmp_path / "killed"
    Running(chunked.load, calm, database, 1).result()
    points: list[str] = []
    while (point := death(killed, database, points)) is not None:
        points.append(point)
        print(point)  # noqa: T201 -- shown when the test fails, or hangs
    assert {point.partition(": ")[2] for point in points} == faults.POINTS
    assert len(points) >= 5 * 6  # chunks, and points of each of their commits
    assert shop.picture(killed) == shop.picture(calm)


def death(folder: Path, database: str, known: list[str]) -> str | None:
    """Where a load died that dies at the first point that is not known. None: it reached its end."""
    told, tell = context.Pipe(duplex=False)
    try:
        Running(chunked.load_and_die, folder, database, known, tell).result()
    except DiedError:
        return str(told.recv())
    return None


@pytest.mark.parametrize("readers", [1, 2])
def test_a_connection_that_is_reset_in_the_middle_costs_one_chunk(
    readers: int, database: str, lake: lk.Lake, caplog: pytest.LogCaptureFixture
) -> None:
    chunked.fill(database, 100_000)
    with chunked.cut_off(database, after=7_000_000) as address, pytest.raises(SourceError) as caught:
        lk.ingest(lake, chunked.table(address, readers=readers, chunk_rows=20_000), into=chunked.INTO)
    assert caught.value.retryable
    assert "md5" not in str(caught.value) + caplog.text
    there = len(ids(lake))
    assert there in {20_000, 40_000, 60_000}
    assert lk.ingest(lake, chunked.table(database, chunk_rows=20_000), into=chunked.INTO).read == 100_000 - there
    assert ids(lake) == list(range(1, 100_001))


def test_a_server_that_is_killed_in_the_middle_is_read_on_once_it_is_back(lake: lk.Lake) -> None:
    with PostgresServer(binaries=debian_binaries()) as server:
        chunked.fill(server.dsn, 5_000)
        with pytest.raises(SourceError):
            lk.ingest(lake, Between(chunked.table(server.dsn), [print, print, server.kill]), into=chunked.INTO)
        assert ids(lake) == list(range(1, 2_001))
        with pytest.raises(SourceError):
            lk.ingest(lake, chunked.table(server.dsn), into=chunked.INTO)
        server.start()
        assert lk.ingest(lake, chunked.table(server.dsn), into=chunked.INTO).read == 3_000
    assert ids(lake) == list(range(1, 5_001))


READER = f"""
DROP ROLE IF EXISTS reader;
CREATE ROLE reader LOGIN PASSWORD '{SECRET}' VALID UNTIL 'infinity';
GRANT pg_read_all_stats TO reader;
GRANT SELECT ON items TO reader;
"""
BROKEN: dict[str, tuple[type[LakekitError], str, str]] = {
    "an expired password": (
        SourceConfigError,
        "ALTER ROLE reader VALID UNTIL '2020-01-01'",
        "ALTER ROLE reader VALID UNTIL 'infinity'",
    ),
    "rights withdrawn": (SourceConfigError, "REVOKE SELECT ON items FROM reader", "GRANT SELECT ON items TO reader"),
    "a dropped column": (SchemaError, "ALTER TABLE items RENAME name TO title", "ALTER TABLE items RENAME title TO name"),
    "a table that is gone": (SourceConfigError, "ALTER TABLE items RENAME TO gone", "ALTER TABLE gone RENAME TO items"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_what_breaks_in_the_middle_of_a_load_is_named_and_the_next_run_goes_on(what: str, database: str, lake: lk.Lake) -> None:
    kind, breaks, mends = BROKEN[what]
    chunked.fill(database, 5_000)
    execute(database, *READER.strip().split("\n"))
    try:
        source = chunked.table(f"postgresql://reader:{SECRET}@{database.partition('@')[2]}")
        source = attrs.evolve(source, columns=("id", "name", "at"))
        acts: list[Callable[[], object]] = [print, print, lambda: execute(database, breaks)]
        with pytest.raises(kind) as caught:
            lk.ingest(lake, Between(source, acts), into=chunked.INTO)
        assert caught.value.hint
        assert SECRET not in str(caught.value)
        assert ids(lake) == list(range(1, 2_001))
        execute(database, mends)
        assert lk.ingest(lake, source, into=chunked.INTO).read == 3_000
        assert ids(lake) == list(range(1, 5_001))
    finally:
        with psycopg.connect(database, autocommit=True) as connection:
            connection.execute("DROP OWNED BY reader")
            connection.execute("DROP ROLE reader")


def test_a_column_that_is_dropped_in_the_middle_is_null_from_there_on(database: str, lake: lk.Lake) -> None:
    chunked.fill(database, 3_000)
    lk.ingest(
        lake, Between(chunked.table(database), [print, lambda: execute(database, "ALTER TABLE items DROP filler")]), into=chunked.INTO
    )
    filled = [row["id"] for row in lk.read(lake, chunked.INTO).to_arrow().to_pylist() if row["filler"] is not None]
    assert sorted(filled) == list(range(1, 1_001))
    assert ids(lake) == list(range(1, 3_001))
