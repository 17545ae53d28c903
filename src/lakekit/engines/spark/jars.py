"""Which jars go with which release of Spark. All tests run on 4.1, those of the contract on 3.5 and 4.0 too."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final, Literal

import attrs

from lakekit.errors import ConfigError

Connector = Literal["kafka", "mongo", "postgres"]


@attrs.frozen
class Release:
    """What goes with one release of Spark.

    Attributes:
        spark: The release: ``4.1``.
        scala: The Scala that pyspark of this release comes with.
        iceberg: The newest Iceberg that there is for it.
        kafka: The newest Kafka connector that is to be had for it.
    """

    spark: str
    scala: str
    iceberg: str
    kafka: str

    @property
    def runtime(self) -> str:
        """Iceberg's jar."""
        return f"org.apache.iceberg:iceberg-spark-runtime-{self.spark}_{self.scala}:{self.iceberg}"

    def connector(self, name: Connector) -> str:
        """The jar of a source."""
        return {
            "kafka": f"org.apache.spark:spark-sql-kafka-0-10_{self.scala}:{self.kafka}",
            "mongo": f"org.mongodb.spark:mongo-spark-connector_{self.scala}:10.5.0",
            "postgres": "org.postgresql:postgresql:42.7.10",
        }[name]


RELEASES: Final = {
    "3.5": Release("3.5", "2.12", "1.12.0", "3.5.7"),
    "4.0": Release("4.0", "2.13", "1.11.0", "4.0.1"),
    "4.1": Release("4.1", "2.13", "1.12.0", "4.1.1"),
}
CATALOG_CLASS: Final = "org.apache.iceberg.spark.SparkCatalog"
EXTENSIONS: Final = "org.apache.iceberg.spark.extensions.IcebergSparkSessionExtensions"
SQLITE: Final = "org.xerial:sqlite-jdbc:3.50.3.0"
CONNECTORS: Final = ("kafka", "mongo", "postgres")


def release(version: str) -> Release:
    """The release that a version of Spark belongs to.

    Raises:
        ConfigError: There is no Iceberg for it.

    >>> release("4.1.4").runtime
    'org.apache.iceberg:iceberg-spark-runtime-4.1_2.13:1.12.0'
    """
    found = RELEASES.get(".".join(version.split(".")[:2]))
    if found is None:
        known = ", ".join(RELEASES)
        raise ConfigError(
            "spark.session()", f"expected a Spark that there is an Iceberg for ({known})", got=version, hint="pip install 'pyspark==4.1.*'."
        )
    return found


def packages(version: str, connectors: Collection[Connector]) -> list[str]:
    """What a local session needs, as Maven names it: Iceberg, SQLite for its catalog, and the sources.

    Raises:
        ConfigError: The version or a connector is unknown.

    >>> packages("3.5.8", ["postgres"])[0]
    'org.apache.iceberg:iceberg-spark-runtime-3.5_2.12:1.12.0'
    """
    if unknown := sorted(set(connectors) - set(CONNECTORS)):
        raise ConfigError("spark.session(connectors=)", f"expected some of {', '.join(CONNECTORS)}", got=", ".join(map(repr, unknown)))
    known = release(version)
    return [known.runtime, SQLITE, *(known.connector(name) for name in connectors)]
