"""A read holds a few batches in memory, not the collection."""

from __future__ import annotations

import random
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest

from tests.integration.sources.mongo_reading import Market

PROGRAM = """
import resource, sys
from lakekit import sources
from lakekit.sources.protocol import Target

def read(name):
    rows = 0
    with sources.Mongo(sys.argv[1], database=sys.argv[2]).collection(name, cursor="order_time").open(None, target=Target()) as increment:
        for batch in increment.batches:
            rows += batch.num_rows
        assert increment.details()["seen"]
    return rows

def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024

assert read("few") == 20_000
start = peak()
assert read("many") == 400_000
print(peak() - start)
"""


@pytest.mark.slow
def test_reading_many_documents_holds_a_few_batches_in_memory(market: Market, mongo: str) -> None:
    noise = random.Random(1)
    for name, count in (("few", 20_000), ("many", 400_000)):
        for begin in range(0, count, 10_000):
            market[name].insert_many(
                {
                    "_id": number,
                    "order_time": datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=number),
                    "buyer": {"name": noise.randbytes(100).hex(), "tags": ["a", "b"]},
                    "filler": noise.randbytes(150).hex(),
                }
                for number in range(begin, begin + 10_000)
            )
    done = subprocess.run([sys.executable, "-c", PROGRAM, mongo, market.name], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 100, "the documents alone are 240 MB"
