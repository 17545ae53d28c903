"""history: how a table's schema came to be, from Iceberg's own metadata."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import attrs

from lakekit.engines.iceberg import SchemaVersion, schema_versions
from lakekit.engines.types import sql_type
from lakekit.names import TableName

if TYPE_CHECKING:
    from lakekit.engines.plan import TableState
    from lakekit.lake import Lake


@attrs.frozen
class Version:
    """One schema of a table, and what it changed.

    Attributes:
        schema_id: Iceberg's id.
        changes: What is other than before, in words; the columns for the first.
        since: When the first snapshot was made with it (UTC), as far as snapshots have not expired. None: none is known.
        snapshot_id: That snapshot.
    """

    schema_id: int
    changes: tuple[str, ...]
    since: datetime | None
    snapshot_id: int | None

    def __str__(self) -> str:
        when = f"{self.since:%Y-%m-%d %H:%M}" if self.since else "no snapshot"
        return f"{self.schema_id} ({when}): {'; '.join(self.changes) or 'nothing changed'}"


def history(lake: Lake, table: TableName) -> list[Version]:
    """How a table's schema came to be, oldest first: columns that came, went, were renamed, widened or made optional.

    Iceberg knows columns by number, so a renamed one is told from one that went and another that came. Whoever made the change.

    Raises:
        TableNotFoundError: There is no such table.

    >>> import lakekit as lk, tempfile
    >>> lake = lk.connect(tempfile.mkdtemp())
    >>> for run, row in {"a": {"id": 1}, "b": {"id": 2, "device_type": "phone"}}.items():
    ...     _ = lk.append(lk.from_frame(lake, [row], run_id=run), into="bronze.orders")
    >>> lk.evolution.history(lake, "bronze.orders")[-1].changes
    ('add device_type: STRING',)
    """
    return of(lake.load(table, place="evolution.history()"))


def of(state: TableState) -> list[Version]:
    """The schemas of a table that is loaded already."""
    found: list[Version] = []
    before: SchemaVersion | None = None
    for version in schema_versions(state):
        changes = _first(version) if before is None else _changes(before, version)
        first = min((one for one in state.snapshots.values() if one.id in version.snapshots), key=lambda one: one.sequence, default=None)
        when = datetime.fromtimestamp(first.committed_at / 1000, UTC) if first else None
        found.append(Version(version.id, changes, when, first.id if first else None))
        before = version
    return found


def _first(version: SchemaVersion) -> tuple[str, ...]:
    return tuple(f"{field.name}: {sql_type(field.type)}" for field in version.fields.values() if field.parent is None)


def _changes(before: SchemaVersion, after: SchemaVersion) -> tuple[str, ...]:
    """In words, by field id; what is inside of a column that came or went says nothing more."""
    words: list[str] = []
    for number, field in after.fields.items():
        old = before.fields.get(number)
        if old is None:
            words += [f"add {field.name}: {sql_type(field.type)}"] if field.parent is None or field.parent in before.fields else []
            continue
        if old.own != field.own:
            words.append(f"rename {old.name} to {field.own}")
        if not field.nested and old.type != field.type:
            words.append(f"widen {field.name}: {sql_type(old.type)} -> {sql_type(field.type)}")
        if old.required != field.required:
            words.append(f"{field.name} {'must not' if field.required else 'may'} be NULL")
    for number, field in before.fields.items():
        if number not in after.fields and (field.parent is None or field.parent in after.fields):
            words.append(f"drop {field.name}")
    return tuple(words)
