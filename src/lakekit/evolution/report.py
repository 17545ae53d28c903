"""drift: which tables their sources have moved away from."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import attrs

from lakekit.display import Shown
from lakekit.errors import ConfigError, LakekitError
from lakekit.evolution.detect import plan
from lakekit.names import TableName, text
from lakekit.operations import reading
from lakekit.sources.protocol import Source

if TYPE_CHECKING:
    from lakekit.evolution.schema_plan import Dialect, SchemaPlan
    from lakekit.lake import Lake


@attrs.frozen(repr=False)
class Drift(Shown):
    """What a look at tables and their sources found. True: some differ, or could not be looked at. Iterating gives the plans.

    Attributes:
        plans: A plan for each table that differs, under the policy ``"fail"``.
        failed: Table to why it could not be compared: its source can't be reached, or refuses.
        same: The tables that their sources fit.
    """

    plans: tuple[SchemaPlan, ...] = ()
    failed: Mapping[str, str] = attrs.field(factory=dict)
    same: tuple[str, ...] = ()

    def statements(self, dialect: Dialect = "spark") -> list[str]:
        """All statements that make the tables follow."""
        return [statement for one in self.plans for statement in one.statements(dialect)]

    def to_dict(self) -> dict[str, Any]:
        """All of it in plain values, for logs and metrics; `SchemaPlan.from_json` reads a plan from its text."""
        return {"plans": [one.to_dict() for one in self.plans], "failed": dict(self.failed), "same": list(self.same)}

    def to_json(self) -> str:
        """The same as JSON."""
        return json.dumps(self.to_dict())

    def __iter__(self) -> Iterator[SchemaPlan]:
        return iter(self.plans)

    def __len__(self) -> int:
        return len(self.plans)

    def __bool__(self) -> bool:
        """Whether somebody should look."""
        return bool(self.plans or self.failed)

    def __str__(self) -> str:
        """The plans, then what failed, then how many are the same."""
        words = [*map(str, self.plans), *(f"{table}: not compared: {why}" for table, why in self.failed.items())]
        return "\n".join([*words, f"as their sources: {len(self.same)} of {len(self.plans) + len(self.failed) + len(self.same)} tables"])


@reading
def drift(lake: Lake, source: Source | TableName | Mapping[TableName, Source | TableName], table: TableName | None = None) -> Drift:
    """Which tables their sources have moved away from: for an orchestrator to poll, and a person to decide on. Nothing is changed.

    Args:
        lake: Where the tables are.
        source: A source, or a table's name, as for `plan`; or table to source for several: then one that fails is noted, and does not
            keep the others from being looked at.
        table: The table of the one source.

    Returns:
        A plan for each table that differs, under the policy ``"fail"``, so that it holds the statements to run. It is false where none does.

    Raises:
        ConfigError: One source without a table.
        SourceError: The one source can't be reached.

    >>> import lakekit as lk, tempfile
    >>> lake = lk.connect(tempfile.mkdtemp())
    >>> for name, row in {"raw.orders": {"id": 1, "device_type": "phone"}, "bronze.orders": {"id": 1}, "bronze.users": {"id": 1}}.items():
    ...     _ = lk.append(lk.from_frame(lake, [row], run_id="a"), into=name)
    >>> found = drift(lake, {"bronze.orders": "raw.orders", "bronze.users": "bronze.orders"})
    >>> print(found)
    bronze.orders:
      additive device_type: STRING: fail, the write stops before a row is written
    as their sources: 1 of 2 tables
    >>> found.statements("trino")
    ['ALTER TABLE bronze.orders ADD COLUMN device_type VARCHAR;']
    """
    if not isinstance(source, Mapping):
        if table is None:
            raise ConfigError(
                "evolution.drift(table=)", "expected the table of the source", hint="name it, or give a mapping of table to source."
            )
        found = plan(lake, source, into=table, policy="fail")
        return Drift((found,)) if found else Drift(same=(found.table,))
    plans: list[SchemaPlan] = []
    failed: dict[str, str] = {}
    same: list[str] = []
    for name, one in source.items():
        label = text(lake.identifier(name, place="evolution.drift()"))
        try:
            found = plan(lake, one, into=name, policy="fail")
        except LakekitError as error:
            failed[label] = str(error)
            continue
        if found:
            plans.append(found)
        else:
            same.append(label)
    return Drift(tuple(plans), failed, tuple(same))
