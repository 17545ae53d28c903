"""What sources that Spark reads by itself have in common: the connector that has to be there, and rows made by Python on the workers.

The workers need lakekit and the packages of the source's extra, as they do for rules.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol

from lakekit import columns as system
from lakekit.engines.plan import Frame, Query
from lakekit.engines.spark import dialect, failures
from lakekit.engines.spark.jars import RELEASES, Connector
from lakekit.errors import ConfigError, LakekitError, QueryError, SourceError
from lakekit.sources.protocol import Held

if TYPE_CHECKING:
    import pyarrow as pa

    from lakekit.engines.spark.session import SparkWork
    from lakekit.engines.spark.tables import SparkEngine

OnWorker = Callable[[Iterator["pa.RecordBatch"]], Iterator["pa.RecordBatch"]]


class Explain(Protocol):
    """Says what Spark's error means."""

    def __call__(self, error: BaseException, *, place: str) -> LakekitError:
        """The error."""
        ...


_ABSENT: Final = ("Failed to find data source", "DATA_SOURCE_NOT_FOUND", "ClassNotFoundException", "CLASS_NOT_FOUND", "No suitable driver")
# Spark's name of a connector, and that of the jar.
_JARS: Final[Mapping[str, Connector]] = {"jdbc": "postgres", "mongodb": "mongo", "kafka": "kafka"}


def load(engine: SparkEngine, name: str, options: Mapping[str, str], *, place: str, schema: str | None = None) -> Any:
    """A frame of a connector's, not yet read.

    Raises:
        ConfigError: The session has no such connector.
    """
    try:
        reader = engine.spark.read.format(name).options(**options)
        frame = (reader if schema is None else reader.schema(schema)).load()
        _ = frame.schema  # on Connect, whether the connector is there shows only now
    except failures.kinds() as error:
        raise _refused(error, name, engine.spark.version, place) from None
    return frame


def load_jdbc(engine: SparkEngine, relation: str, conditions: Sequence[str], options: Mapping[str, str], *, place: str) -> Any:
    """A frame of a relation read through JDBC, one task for each condition.

    Raises:
        ConfigError: The session has no driver.
    """
    given = {name: value for name, value in options.items() if name != "url"}
    try:
        frame = engine.spark.read.jdbc(options["url"], relation, predicates=list(conditions), properties=given)
        _ = frame.schema
    except failures.kinds() as error:
        raise _refused(error, "jdbc", engine.spark.version, place) from None
    return frame


def _refused(error: Exception, name: str, version: str, place: str) -> LakekitError:
    if not failures.says(error, _ABSENT):
        return SourceError(place, "Spark can't read it", got=failures.java_class(error), hint="try again; the executors must reach it too.")
    known = RELEASES.get(".".join(version.split(".")[:2]), RELEASES[max(RELEASES)])
    return ConfigError(
        place,
        f"Spark reads this through its connector {name!r}, and the session has none",
        hint=f'add it when the session is made: "spark.jars.packages" = "{known.connector(_JARS[name])}".',
    )


def on_workers(frame: Any, function: OnWorker, schema: pa.Schema) -> Any:
    """A frame of what a function makes of another one's rows."""

    def run(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        try:
            yield from function(batches)
        except LakekitError as error:
            problem = failures.carried(error)
        else:
            return
        raise problem  # not in the handler: Spark shows what an error was raised from

    return frame.mapInArrow(run, dialect.columns(schema))


def broke_off(error: BaseException, *, place: str) -> LakekitError:
    """The error for a read that failed. Its text may show rows, so it is not quoted."""
    return SourceError(place, "Spark's read broke off", got=failures.java_class(error), hint="nothing was written: try again.")


def staged(session: SparkWork, frame: Any, schema: pa.Schema, *, place: str, explain: Explain = broke_off) -> Frame:
    """A frame's rows, read now and held.

    Raises:
        SourceError: The read broke off.
    """
    try:
        return session.stage(Query("SELECT * FROM rows", {"rows": Frame(dialect.readable_schema(schema), frame)}))
    except QueryError as error:
        problem = explain(error.__context__ or error, place=place)
    raise problem


def held(session: SparkWork, rows: Frame, *, rejecting: bool = False) -> Held:
    """The rows, counted."""
    left_out, skipped = "0", "0"
    if rejecting:
        left_out, skipped = f"count({system.REASON})", f"count(CASE WHEN {system.RULE} = '{system.SKIPPED}' THEN 1 END)"
    counts = session.one(Query(f"SELECT count(*) AS n, {left_out} AS bad, {skipped} AS skipped FROM rows", {"rows": rows}))
    return Held(rows, counts["n"], counts["bad"] - counts["skipped"], counts["skipped"])
