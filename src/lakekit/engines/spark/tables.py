"""Tables of one of the session's catalogs, for the Spark engine."""

from __future__ import annotations

import gzip
import itertools
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Final, cast

import attrs
import pyarrow as pa
from pyiceberg.table.metadata import TableMetadata, TableMetadataUtil
from pyiceberg.transforms import BucketTransform, IdentityTransform, TruncateTransform

from lakekit.engines import layout
from lakekit.engines.absent import no_namespace, no_table
from lakekit.engines.arrow import to_arrow
from lakekit.engines.iceberg import state_of
from lakekit.engines.plan import Alteration, Frame, TableState
from lakekit.engines.spark import dialect, failures, upkeep
from lakekit.engines.spark.jars import CATALOG_CLASS, RELEASES, SQLITE
from lakekit.engines.spark.scan import current_schema
from lakekit.engines.spark.session import SparkWork, evaluated
from lakekit.engines.types import ident, sql_type, storable_schema
from lakekit.errors import CommitConflictError, ConfigError, TableError
from lakekit.names import Identifier, text

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from pyiceberg.partitioning import PartitionSpec
    from pyspark.sql import DataFrame, SparkSession
    from typing_extensions import TypeIs

    from lakekit.engines.protocol import BookmarkWriter, Landed

_OLDEST: Final = (3, 5)
_OLDEST_CONNECT: Final = (4, 0)
_SEVERAL_AT_ONCE: Final = (4, 1)
"""From here on, ALTER COLUMN takes several columns, as long as none is in another."""
_GZIP: Final = b"\x1f\x8b"


@attrs.frozen(eq=False)
class SparkTable:
    """A table as Spark names it, and its metadata.

    Attributes:
        catalog: The catalog's name.
        path: The name in statements: catalog, namespace and table, quoted.
        inner: The name inside its catalog, as procedures take it.
        metadata: Iceberg's, as it stood when the table was loaded.
    """

    spark: SparkSession
    catalog: str
    path: str
    inner: str
    metadata: TableMetadata

    def reload(self) -> SparkTable:
        """The table as it stands now."""
        return attrs.evolve(self, metadata=read_metadata(self.spark, self.path))


def read_metadata(spark: SparkSession, path: str) -> TableMetadata:
    """Iceberg's metadata of a table, as one file says it: never half of one commit and half of another."""
    spark.sql(f"REFRESH TABLE {path}").collect()  # the session keeps tables: another program's commit shows only now
    entries = spark.sql(f"SELECT file FROM {path}.metadata_log_entries").collect()
    found = spark.read.format("binaryFile").load(entries[-1][0]).select("content").collect()
    content = bytes(found[0][0])
    return TableMetadataUtil.parse_raw((gzip.decompress(content) if content.startswith(_GZIP) else content).decode())


class SparkEngine:
    """A Spark session and one of its catalogs. Holds nothing else; what it sets in the session, it sets back."""

    name = "spark"

    def __init__(self, spark: SparkSession, catalog: str, *, create_namespaces: bool = True, progress: bool = False) -> None:
        self.spark = spark
        self.catalog = catalog
        self.create_namespaces = create_namespaces
        self.progress: bool | None = progress
        self.snapshot_properties: Mapping[str, str] = {}

    def beside(self, spark: SparkSession) -> SparkEngine:
        """The same in another session of the same application: a streaming query hands its micro-batches over in one of its own."""
        engine = SparkEngine(spark, self.catalog, create_namespaces=self.create_namespaces, progress=bool(self.progress))
        engine.snapshot_properties = self.snapshot_properties
        return engine

    @property
    def connected(self) -> bool:
        """Whether the session is one of Spark Connect: then Spark is another process."""
        return type(self.spark).__module__.startswith("pyspark.sql.connect")

    @staticmethod
    def takes(target: object) -> TypeIs[SparkSession]:
        """Whether the target is a session this engine can work in."""
        return type(target).__module__.startswith("pyspark.sql.") and type(target).__name__ == "SparkSession"

    @classmethod
    def of(cls, spark: SparkSession, catalog: str | None, *, create_namespaces: bool, progress: bool = False) -> SparkEngine:
        """The engine for a session, checked: Spark is new enough, and the catalog is one of Iceberg's.

        Raises:
            ConfigError: It is not; the hint says which line to add.
        """
        version = _version(spark)
        if version < _OLDEST:
            raise ConfigError("connect()", "expected Spark 3.5 or later", got=spark.version, hint="pip install 'lakekit[spark]'.")
        if version < _OLDEST_CONNECT and type(spark).__module__.startswith("pyspark.sql.connect"):
            raise ConfigError(
                "connect()",
                "expected Spark 4.0 or later for Spark Connect",
                got=spark.version,
                hint="use a classic session of 3.5, or pip install 'pyspark[connect]>=4.0' with a server as new.",
            )
        # Not catalog.currentCatalog(): on a second classic session, it opens the catalog by the settings of the first one.
        name = catalog or str(spark.sql("SELECT current_catalog()").collect()[0][0])
        if _is_plain(spark, name):
            hint = 'connect(spark, catalog="lake") names another; a session without one needs the line "spark.sql.catalog.lake" = '
            raise ConfigError(
                "connect(catalog=)", "expected a catalog of Iceberg's", got=repr(name), hint=f'{hint}"{CATALOG_CLASS}", with its type.'
            )
        try:
            spark.sql(f"SHOW NAMESPACES IN {ident(name)}").collect()
        except failures.kinds() as error:
            known = spark.conf.get(f"spark.sql.catalog.{name}", None) is not None
            raise _no_catalog(name, error, f"{version[0]}.{version[1]}", known=known) from None
        return cls(spark, name, create_namespaces=create_namespaces, progress=progress)

    def load(self, table: Identifier) -> TableState:
        """The table as it stands now."""
        path = self._path(table)
        try:
            if not self.spark.catalog.tableExists(path):  # asking for it would have pyspark print an error
                raise no_table(table, there=self._tables_in(table[:-1]))
            metadata = read_metadata(self.spark, path)
        except failures.kinds() as error:
            if failures.is_absent(error):  # the session kept it, although another program has dropped it
                raise no_table(table, there=self._tables_in(table[:-1])) from None
            raise TableError(
                text(table),
                "the catalog has it, but its metadata can't be read; it was left half created or half removed, or is no Iceberg table",
                got=failures.first_line(error),
                hint="drop it from the catalog and load it again, or restore its metadata file.",
            ) from None
        native = SparkTable(self.spark, self.catalog, path, ".".join(map(ident, table)), metadata)
        return attrs.evolve(state_of(table, metadata, native), schema=current_schema(metadata), catalog=self.catalog)

    def _path(self, table: Identifier) -> str:
        return ".".join(map(ident, (self.catalog, *table)))

    def _tables_in(self, namespace: Identifier) -> list[Identifier]:
        try:
            rows = self.spark.sql(f"SHOW TABLES IN {self._path(namespace)}").collect()
        except failures.kinds():
            return []
        return [(*namespace, row["tableName"]) for row in rows if not row["isTemporary"]]

    def tables(self) -> list[Identifier]:
        """All of the catalog's tables that are Iceberg's."""
        found: list[Identifier] = []
        waiting: list[Identifier] = [()]
        while waiting:
            namespace = waiting.pop()
            inside = self.spark.sql(f"SHOW NAMESPACES IN {self._path(namespace)}").collect()
            waiting += [child for row in inside if (child := tuple(row[0].replace("`", "").split("."))) != namespace]
            found += self._tables_in(namespace) if namespace else []
        mixed = self.spark.conf.get(f"spark.sql.catalog.{self.catalog}", None) != CATALOG_CLASS
        return sorted(name for name in set(found) if not mixed or self._is_icebergs(name))

    def _is_icebergs(self, table: Identifier) -> bool:
        """Whether a table isn't certainly another format's, or a view. Asked where a catalog holds both: Spark's own, Unity Catalog."""
        try:
            rows = self.spark.sql(f"DESCRIBE TABLE EXTENDED {self._path(table)}").collect()
        except failures.kinds():
            return True  # broken, and so to be reported
        said = {row["col_name"]: row["data_type"] for row in rows}
        return said.get("Type") != "VIEW" and str(said.get("Provider", "iceberg")).lower() == "iceberg"

    def create(
        self, table: Identifier, schema: pa.Schema, *, partition_by: Sequence[str], sort_by: Sequence[str], properties: Mapping[str, str]
    ) -> TableState:
        """Make a table in Iceberg's format version 2, or load it where somebody else was quicker."""
        dialect.refuse_time(schema, place=text(table))
        iceberg = layout.iceberg_schema(schema)
        spec, order = layout.partition_spec(iceberg, partition_by), layout.sort_order(iceberg, sort_by)
        noted = {"format-version": "2", "write.parquet.compression-codec": "zstd", **properties}
        path = self._path(table)
        statement = f"CREATE TABLE {path} ({dialect.columns(schema)}) USING iceberg"
        if partition_by:
            statement += f" PARTITIONED BY ({_partitions(spec, schema)})"
        statement += f" TBLPROPERTIES ({', '.join(f'{dialect.text(name)} = {dialect.text(value)}' for name, value in noted.items())})"
        if self.create_namespaces:
            for depth in range(1, len(table)):
                self._make_namespace(table[:depth])
        try:
            self.spark.sql(statement).collect()
        except failures.kinds() as error:
            if failures.is_there(error):
                return self.load(table)
            if failures.is_absent(error):
                raise no_namespace(table) from None
            raise failures.explain(error) from None
        if sort_by:
            words = ", ".join(
                f"{ident(schema.names[field.source_id - 1])} {field.direction.name} NULLS {field.null_order.name.removeprefix('NULLS_')}"
                for field in order.fields
            )
            self.spark.sql(f"ALTER TABLE {path} WRITE ORDERED BY {words}").collect()
        return self.load(table)

    def _make_namespace(self, namespace: Identifier) -> None:
        path = self._path(namespace)
        try:
            self.spark.sql(f"CREATE NAMESPACE IF NOT EXISTS {path}").collect()
        except failures.kinds() as error:  # Iceberg looks first, then makes it: somebody else may make it in between
            if not self.spark.catalog.databaseExists(path):
                raise failures.explain(error) from None

    def require_writable(self, state: TableState) -> None:
        """Nothing to raise: Spark writes every format that it reads."""

    def alter(self, state: TableState, alterations: Sequence[Alteration]) -> TableState:
        """Change a table's schema: what changes in one commit, what is added in a second one, since Spark's SQL can't do both at once.

        Before Spark 4.1 each change has a commit of its own. Every schema in between is one that the rows fit, those to come as well.
        """
        added = pa.schema([pa.field(change.path[-1], change.type) for change in alterations if change.kind == "add"])
        dialect.refuse_time(added, place=state.label)
        for words in _alterations(alterations, at_once=_version(self.spark) >= _SEVERAL_AT_ONCE):
            try:
                self.spark.sql(f"ALTER TABLE {self._path(state.name)} {words}").collect()
            except failures.kinds() as error:
                if failures.is_conflict(error) or self.load(state.name).schema_id != state.schema_id:  # there are many words for it
                    raise CommitConflictError(state.label, "somebody else changed the schema first", hint="run it again.") from None
                raise failures.explain(error) from None
        if state.head is not None and any(change.kind == "widen" and ".".join(change.path) in state.partitioned for change in alterations):
            # Iceberg 1.12 can't read such a column in a snapshot that was made before (a ClassCastException): let the head be a newer one.
            path = self._path(state.name)
            self.spark.sql(f"INSERT INTO {path} SELECT * FROM {path} WHERE false").collect()
        return self.load(state.name)

    def set_properties(self, state: TableState, updates: Mapping[str, str], *, expect: Mapping[str, str | None]) -> None:
        """Set table properties without a snapshot. Spark can't compare and swap: they are looked at just before."""
        now = self.load(state.name)
        if now.head != state.head or any(now.properties.get(name) != known for name, known in expect.items()):
            raise CommitConflictError(state.label, "has moved on", hint="run it again.")
        words = ", ".join(f"{dialect.text(name)} = {dialect.text(value)}" for name, value in updates.items())
        self.spark.sql(f"ALTER TABLE {self._path(state.name)} SET TBLPROPERTIES ({words})").collect()

    def compact(self, state: TableState, bookmark: Callable[[TableState], BookmarkWriter]) -> list[Landed]:
        """Write small files, and files of which position deletes name rows, anew. The bookmark stays in its table property."""
        return upkeep.compact(state)

    def expire(self, state: TableState, snapshots: Sequence[int], branches: Sequence[str]) -> int:
        """Let snapshots and branches go, and remove the files that only they named. Gives their number."""
        return upkeep.expire(state, snapshots, branches)

    def sweep(self, state: TableState, before: datetime, others: Sequence[TableState]) -> int:
        """Remove the files in a table's folder that nothing names and that were written before an instant. Gives their number."""
        return upkeep.sweep(state, before)

    def frame(self, data: object) -> Frame:
        """Take a user's own frame, evaluated once."""
        if type(data).__module__.startswith("pyspark.sql."):
            held = evaluated(cast("DataFrame", data))
            return Frame(dialect.arrow_schema(held.schema), held)
        table = to_arrow(data)
        schema = dialect.readable_schema(storable_schema(table.schema))
        untyped = tuple(field.name for field in table.schema if pa.types.is_null(field.type))
        return Frame(schema, table.cast(storable_schema(table.schema)), untyped)

    def session(self) -> AbstractContextManager[SparkWork]:
        """A place for one evaluation."""
        return SparkWork(self.spark)


def _no_catalog(name: str, error: Exception, version: str, *, known: bool) -> ConfigError:
    """The error for a catalog that can't be used, with the line to add."""
    if failures.says(error, ("No suitable driver",)):
        hint = f'add the driver of the catalog\'s database to the session, for SQLite: "spark.jars.packages" = "{SQLITE}".'
        return ConfigError("connect(catalog=)", "the session has no driver for the catalog's database", got=f"catalog {name!r}", hint=hint)
    if failures.says(error, ("Cannot find catalog plugin class", "ClassNotFoundException", "PLUGIN_CLASS_NOT_FOUND")):
        runtime = RELEASES.get(version, RELEASES["4.1"]).runtime
        hint = f'add Iceberg\'s jar to the session: "spark.jars.packages" = "{runtime}".'
        return ConfigError("connect()", "the session has no Iceberg", got=f"catalog {name!r}", hint=hint)
    if known:
        problem, hint = f"the catalog {name!r} can't be opened", f'look at the session\'s settings "spark.sql.catalog.{name}.…".'
        return ConfigError("connect(catalog=)", problem, got=failures.first_line(error), hint=hint)
    hint = f'name one of the session\'s, or add it: "spark.sql.catalog.{name}" = "{CATALOG_CLASS}", with its type.'
    return ConfigError("connect(catalog=)", "expected a catalog of the session", got=repr(name), hint=hint)


def _is_plain(spark: SparkSession, name: str) -> bool:
    """Whether a catalog is the one that every session has, with no Iceberg in it."""
    return name == "spark_catalog" and "iceberg" not in (spark.conf.get("spark.sql.catalog.spark_catalog", None) or "")


def _partitions(spec: PartitionSpec, schema: pa.Schema) -> str:
    words: list[str] = []
    for field in spec.fields:
        column = ident(schema.names[field.source_id - 1])
        if isinstance(field.transform, IdentityTransform):
            words.append(column)
        elif isinstance(field.transform, BucketTransform):
            words.append(f"bucket({field.transform.num_buckets}, {column})")
        elif isinstance(field.transform, TruncateTransform):
            words.append(f"truncate({field.transform.width}, {column})")
        else:
            words.append(f"{field.transform}s({column})")
    return ", ".join(words)


def _version(spark: SparkSession) -> tuple[int, ...]:
    return tuple(int(part) for part in spark.version.split(".")[:2])


def _alterations(alterations: Sequence[Alteration], *, at_once: bool) -> list[str]:
    """What follows ALTER TABLE."""
    paths = [".".join(map(ident, change.path)) for change in alterations]
    words = {"widen": "TYPE {}", "relax": "DROP NOT NULL"}
    others = [
        f"{path} {words[change.kind].format(sql_type(change.type))}"
        for path, change in zip(paths, alterations, strict=True)
        if change.kind != "add"
    ]
    inwards = sorted(change.path for change in alterations if change.kind != "add")
    apart = all(inner[: len(outer)] != outer for outer, inner in itertools.pairwise(inwards))
    others = [f"ALTER COLUMN {words}" for words in ([", ".join(others)] if others and at_once and apart else others)]
    added = [f"{path} {sql_type(change.type)}" for path, change in zip(paths, alterations, strict=True) if change.kind == "add"]
    return others + ([f"ADD COLUMNS ({', '.join(added)})"] if added else [])
