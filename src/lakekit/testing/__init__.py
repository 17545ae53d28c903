"""For the tests of whoever uses lakekit: a lake in a temporary folder, sources made of rows, and the checks a pipeline has to pass.

In a ``conftest.py``, ``from lakekit.testing import lake`` gives the tests a fixture; it needs pytest, the strategies need hypothesis, and
nothing else here needs either.

>>> import lakekit as lk, tempfile
>>> from lakekit import testing
>>> people = testing.Source([{"id": 1, "name": "Ada"}], primary_key="id")
>>> def pipeline(lake):
...     lk.ingest(lake, people, into="bronze.people")
...     lk.merge(lk.read_new(lake, "bronze.people", into="silver.people"), key="id")
>>> lake = lk.connect(tempfile.mkdtemp())
>>> testing.assert_rerun_is_noop(pipeline, lake)
>>> testing.assert_table(lake, "silver.people", [{"id": 1, "name": "Ada"}])
>>> testing.crash_anywhere(pipeline, lk.connect(tempfile.mkdtemp())) > 5
True
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lakekit import lazy
from lakekit.testing.checks import assert_rerun_is_noop, assert_table, seed
from lakekit.testing.crashes import Crash, crash_anywhere
from lakekit.testing.source import Source

if TYPE_CHECKING:
    from lakekit.testing.fixtures import lake
    from lakekit.testing.strategies import batchings

# These load pytest and hypothesis.
_HOMES = {"batchings": "strategies", "lake": "fixtures"}

__all__ = ["Crash", "Source", "assert_rerun_is_noop", "assert_table", "batchings", "crash_anywhere", "lake", "seed"]


__getattr__ = lazy.loader(__name__, _HOMES)


def __dir__() -> list[str]:
    return __all__
