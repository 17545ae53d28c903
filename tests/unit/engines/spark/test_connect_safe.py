"""Nothing that Spark Connect lacks is called anywhere: no JVM by the back door, no RDD, no context, no cache."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

SOURCE = Path(__file__).parents[4] / "src" / "lakekit"
LACKING = frozenset({
    "_jvm", "_jsc", "_jdf", "_jsparkSession", "_sc", "rdd", "sparkContext", "sc", "newSession", "cache", "persist", "unpersist",
    "checkpoint", "foreachPartition",
})  # fmt: skip
# A session for one machine is classic by what it is: it starts the JVM.
ALLOWED = {("engines/spark/local.py", "newSession")}


def attributes(tree: ast.AST) -> Iterator[str]:
    """What is reached by a dot."""
    return (node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute))


def unsafe(text: str) -> set[str]:
    return set(attributes(ast.parse(text))) & LACKING


def test_the_check_sees_what_it_looks_for() -> None:
    assert unsafe("frame.cache(); spark.sparkContext.parallelize([]); spark._jvm.x()") == {"cache", "sparkContext", "_jvm"}


def test_nothing_that_connect_lacks_is_called() -> None:
    touching_spark = [path for path in SOURCE.rglob("*.py") if "spark" in path.read_text()]
    assert len(touching_spark) > 10
    found = {(str(path.relative_to(SOURCE)), name) for path in touching_spark for name in unsafe(path.read_text())}
    assert found == ALLOWED
