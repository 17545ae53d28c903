"""shared_values: values that many records share, such as placeholders, switchboards and households, and what the rules make of them."""

from __future__ import annotations

from typing import Any

import attrs

from lakekit import columns as system
from lakekit.display import Shown, View
from lakekit.engines.plan import Query, Scan
from lakekit.engines.types import ident
from lakekit.errors import ConfigError
from lakekit.identity.kinds import Block
from lakekit.identity.rules import Rules, stored_rules
from lakekit.identity.tables import KEYS, PROPERTY, RECORD, RECORDS
from lakekit.lake import Lake
from lakekit.names import TableName
from lakekit.operations import reading


@attrs.frozen
class SharedValue:
    """One value, or several together, that many records have.

    Attributes:
        columns: The columns of the block.
        records: How many records share it.
        persons: How many persons these are. As many as records: it says nothing about who somebody is.
        allowed: So many records may share a value of this block.
        value: What it is, where it was asked for.
    """

    columns: tuple[str, ...]
    records: int
    persons: int
    allowed: int
    value: tuple[str, ...] | None = None

    @property
    def kind(self) -> str:
        """``no evidence``: more records share it than may; ``shared``: by several persons; ``one person``."""
        return "no evidence" if self.records > self.allowed else "shared" if self.persons > 1 else "one person"


@attrs.frozen(repr=False)
class SharedValues(Shown):
    """Values that many records share. Printable; it holds no value unless they were asked for.

    Attributes:
        table: The identities.
        rows: The values, those that most records share first.
    """

    table: str
    rows: tuple[SharedValue, ...]

    def _cells(self) -> list[tuple[str, ...]]:
        head = ("columns", "records", "persons", "allowed", "", "value")
        cells = [
            (", ".join(row.columns), f"{row.records:,}", f"{row.persons:,}", f"{row.allowed:,}", row.kind, " | ".join(row.value or ()))
            for row in self.rows
        ]
        shown = len(head) if any(row.value for row in self.rows) else len(head) - 1
        return [line[:shown] for line in (head, *cells)]

    def __str__(self) -> str:
        cells = self._cells()
        wide = [max(len(line[at]) for line in cells) for at in range(len(cells[0]))]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(line, wide, strict=True)).rstrip() for line in cells]
        return "\n".join([f"{self.table}: values that most records share", *lines])

    def _view(self) -> View:
        head, *rows = self._cells()
        return View(f"{self.table}: values that most records share", head, tuple(rows))


@reading
def shared_values(lake: Lake, identities: TableName, *, limit: int = 20, show_values: bool = False) -> SharedValues:
    """The values that most records share, of the columns by which records are brought together: placeholders, switchboards, households.

    Args:
        lake: Where the table is.
        identities: A table made by `resolve_identities`.
        limit: So many values.
        show_values: Whether the values are shown. They may be personal data.

    Raises:
        TableNotFoundError: There is no such table.
        ConfigError: It was not made by `resolve_identities`.

    >>> import lakekit as lk, tempfile
    >>> from lakekit import identity
    >>> lake = lk.connect(tempfile.mkdtemp())
    >>> people = [{"id": n, "email": f"{n // 2}@example.com", "phone": "+10000000000"} for n in range(12)]
    >>> rules = identity.Rules(match=[identity.exact("email"), identity.exact("phone", max_shared=6)])
    >>> batch = lk.from_frame(lake, people, run_id="a")
    >>> lk.resolve_identities({"shop": batch}, record_key={"shop": "id"}, rules=rules, into="silver.identities").shared_too_often
    1
    >>> print(identity.shared_values(lake, "silver.identities", limit=2))
    silver.identities: values that most records share
    columns  records  persons  allowed
    phone    12       6        6        no evidence
    email    2        1        100      one person
    """
    state = lake.load(identities, place="identity.shared_values()")
    if PROPERTY not in state.properties:
        raise ConfigError(f"identity.shared_values(): {state.label}", "holds no identities", hint="make it with resolve_identities().")
    rules = stored_rules(state.properties[PROPERTY])
    keys, records = (lake.engine.load(layout.name(state.name)) for layout in (KEYS, RECORDS))
    with lake.engine.session() as session:
        often = session.stage(
            Query(
                f"SELECT key, min(block) AS block, count(*) AS records, min(record_id) AS one FROM keys WHERE `{system.DELETED_AT}` IS NULL "
                f"GROUP BY key HAVING count(*) > 1 ORDER BY records DESC, key LIMIT {int(limit)}",
                {"keys": Scan(keys, keys.head)},
            )
        )
        values = ", ".join(f"o.{ident(name)}" for name in rules.columns)
        people = Query(
            f"""SELECT f.key, f.block, f.records, count(DISTINCT i.master_user_id) AS persons, {values}
            FROM often f JOIN keys k ON k.key = f.key JOIN records r ON r.record_id = k.record_id JOIN records o ON o.record_id = f.one
            JOIN identities i ON i.source = r.source AND i.record_key = r.record_key
            WHERE i.kind = '{RECORD}' AND k.`{system.DELETED_AT}` IS NULL GROUP BY f.key, f.block, f.records, {values}
            ORDER BY f.records DESC, f.key""",
            {
                "often": often,
                "keys": Scan(keys, keys.head),
                "records": Scan(records, records.head),
                "identities": Scan(state, state.head),
            },
        )
        rows = [row for batch in session.rows(people) for row in batch.to_pylist()]
    blocks = {block.name: block for block in rules.blocks}
    return SharedValues(state.label, tuple(_shared(blocks, row, show_values=show_values) for row in rows if row["block"] in blocks))


def _shared(blocks: dict[str, Block], row: dict[str, Any], *, show_values: bool) -> SharedValue:
    block = blocks[row["block"]]
    value = tuple(row[name] for name in block.columns) if show_values else None
    return SharedValue(block.columns, row["records"], row["persons"], block.most, value)


def crowded(rules: Rules, counts: dict[str, int]) -> tuple[tuple[str, int], ...]:
    """Of some blocks with the number of records that share a value, those that are no evidence: columns and number."""
    found = ((block, counts.get(block.name, 0)) for block in rules.blocks)
    return tuple(dict.fromkeys((", ".join(block.columns), number) for block, number in found if number > block.most))
