"""Spark on one machine, for local work and tests. On a cluster or on Databricks the session is there: `connect` takes it.

>>> import lakekit as lk
>>> spark = lk.spark.session("lake/")  # doctest: +SKIP
>>> lake = lk.connect(spark)  # doctest: +SKIP
"""

from __future__ import annotations

from lakekit.engines.spark.local import session

__all__ = ["session"]
