"""connect and Lake: where the tables are, and which engine works on them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

import attrs

from lakekit import names
from lakekit.display import Shown, View
from lakekit.errors import ConfigError, TableNotFoundError

if TYPE_CHECKING:
    from lakekit.engines.plan import TableState
    from lakekit.engines.protocol import Engine
    from lakekit.engines.spark.tables import SparkEngine


_LISTED: Final = 100
"""A notebook shows so many tables."""


@attrs.frozen(eq=False, repr=False)
class Lake(Shown):
    """The tables of one catalog, and the engine that works on them. Made by `connect`; holds no connection to a server.

    Attributes:
        engine: The engine.
        catalogs: The names under which the catalog is known in three-part table names.
        time_zone: What naive datetimes given by the user mean.
        where: The lake as it was given, for people.
    """

    engine: Engine
    catalogs: frozenset[str]
    time_zone: str
    where: str

    def __str__(self) -> str:
        return repr(self)

    def __repr__(self) -> str:
        return f"<Lake {self.where} ({self.engine.name})>"

    def _view(self) -> View:
        names = self.tables()
        notes = (f"and {len(names) - _LISTED:,} more",) if len(names) > _LISTED else ()
        return View(repr(self), ("table",), tuple((name,) for name in names[:_LISTED]), notes)

    @property
    def spark(self) -> SparkEngine | None:
        """The engine where it is Spark. None: it is another one."""
        from lakekit.engines.spark.tables import SparkEngine

        return self.engine if isinstance(self.engine, SparkEngine) else None

    def identifier(self, table: names.TableName, *, place: str) -> names.Identifier:
        """The table's namespace and name."""
        return names.parse(table, place=place, catalogs=self.catalogs)

    def load(self, table: names.TableName, *, place: str) -> TableState:
        """The table as it stands now."""
        return self.engine.load(self.identifier(table, place=place))

    def find(self, table: names.Identifier) -> TableState | None:
        """The table as it stands now, or None where there is none."""
        try:
            return self.engine.load(table)
        except TableNotFoundError:
            return None

    def tables(self) -> list[str]:
        """The names of all tables."""
        return [names.text(found) for found in self.engine.tables()]


def require_lake(lake: object, *, place: str) -> None:
    """Raise where something else than a lake is given: a folder's name, mostly.

    Raises:
        ConfigError: It is none.
    """
    if not isinstance(lake, Lake):
        raise ConfigError(place, "expected a lake first", got=type(lake).__name__, hint='write lake = lk.connect("lake/"), and give that.')


def _engine(target: object, catalog: str | None, *, create_namespaces: bool, **settings: Any) -> tuple[Engine, str]:
    """The engine that works on a target, and the name of its catalog."""
    if type(target).__module__.startswith("pyspark."):
        from lakekit.engines.spark.tables import SparkEngine

        if SparkEngine.takes(target):
            shown = bool(settings["progress"])  # Spark has bars of its own
            spark = SparkEngine.of(target, catalog, create_namespaces=create_namespaces, progress=shown)
            return spark, spark.catalog
    from lakekit.engines.embedded.catalog import EmbeddedEngine
    from lakekit.engines.embedded.instances import Settings

    chosen = Settings(**settings)
    if isinstance(target, str | Path):
        embedded = EmbeddedEngine.at(Path(target), settings=chosen, create_namespaces=create_namespaces)
    elif EmbeddedEngine.takes(target):
        embedded = EmbeddedEngine(target, settings=chosen, create_namespaces=create_namespaces)
    else:
        raise ConfigError(
            "connect()",
            "expected a folder, a pyiceberg catalog or a SparkSession",
            got=type(target).__name__,
            hint='connect("lake/"), connect(load_catalog("prod")), or connect(spark, catalog="lake").',
        )
    return embedded, catalog or embedded.catalog.name


def _properties(given: Mapping[str, str]) -> dict[str, str]:
    """Snapshot properties of the user's own."""
    for name, value in given.items():
        if not isinstance(name, str) or not isinstance(value, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConfigError("connect(snapshot_properties=)", "expected texts", got=f"{name!r}: {type(value).__name__}")
        if name.startswith("lakekit.") or name == "operation":
            raise ConfigError(
                "connect(snapshot_properties=)", "expected names that neither Iceberg nor lakekit gives a meaning", got=repr(name)
            )
    return dict(given)


def connect(
    target: object,
    *,
    catalog: str | None = None,
    aliases: Mapping[str, str] | None = None,
    time_zone: str = "UTC",
    create_namespaces: bool = True,
    memory_limit: str = "2GB",
    spill_directory: str | Path | None = None,
    snapshot_properties: Mapping[str, str] | None = None,
    progress: bool | None = None,
) -> Lake:
    """Open a lake: a folder, any pyiceberg catalog, or a catalog of a Spark session.

    Args:
        target: A folder (an SQLite catalog beside a warehouse of Parquet files; made if missing), a pyiceberg ``Catalog``, or a
            ``SparkSession``: classic, Connect or Databricks, with Iceberg.
        catalog: The name under which three-part table names know the catalog. Default: its own. On Spark, which catalog of the session;
            default: the current one.
        aliases: More such names: ``{"main": "lake"}`` lets ``main.silver.users`` mean ``silver.users``.
        time_zone: What naive datetimes given as arguments mean (an IANA name).
        create_namespaces: Whether a write makes a missing namespace.
        memory_limit: What DuckDB may hold in memory before it spills to disk. Not for Spark.
        spill_directory: Where it spills. Not for Spark. Default: the system's temporary folder.
        progress: Whether what takes longer than two seconds shows that it is under way, in a terminal (on stderr) or a notebook: the one switch,
            for all functions. Elsewhere nothing is ever shown. Default: yes; on Spark, which has bars of its own, no.
        snapshot_properties: What else stands in the summary of each snapshot that is written: ``{"airflow.run_id": "…"}``.

    Raises:
        ConfigError: The target is something else, the folder can't be made, the time zone is unknown, or the session lacks Iceberg or the
            catalog: the hint says which line to add.

    >>> import tempfile
    >>> lake = connect(tempfile.mkdtemp())
    >>> lake.tables()
    []
    """
    try:
        ZoneInfo(time_zone)
    except (KeyError, ValueError):
        raise ConfigError(
            "connect(time_zone=)", "unknown time zone", got=repr(time_zone), hint="write an IANA name like 'Europe/Berlin'."
        ) from None
    spill = None if spill_directory is None else str(spill_directory)
    engine, own = _engine(
        target, catalog, create_namespaces=create_namespaces, memory_limit=memory_limit, spill_directory=spill, progress=progress
    )
    engine.snapshot_properties = _properties(snapshot_properties or {})
    known = {own, *(alias for alias, name in (aliases or {}).items() if name == own)}
    if unknown := sorted(alias for alias, name in (aliases or {}).items() if name != own):
        raise ConfigError("connect(aliases=)", f"expected aliases of the catalog {own!r}", got=", ".join(map(repr, unknown)))
    return Lake(engine, frozenset(known), time_zone, str(target) if isinstance(target, str | Path) else f"catalog {own!r}")
