"""A schema plan: what a table's schema is to follow by, what is done about the rest, and why. Printable, and JSON both ways."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal, cast

import attrs
from sqlglot import exp

from lakekit.display import Shown, View
from lakekit.engines.types import arrow_type, ident, sql_type
from lakekit.errors import ConfigError, SchemaError
from lakekit.evolution.differences import Change, Difference, Path
from lakekit.evolution.policy import Action, Policy, action, require_policy

if TYPE_CHECKING:
    import pyarrow as pa

Dialect = Literal["spark", "trino"]
_WHY: Final[dict[Action, str]] = {
    "evolve": "the table follows",
    "fail": "the write stops before a row is written",
    "rescue": "values go to _rescued_data",
    "reject": "rows with such values go to the rejects",
    "keep": "the table stays as it is",
}
_PLAIN: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
"""Names that need no quotes in Spark, which takes its own words as names."""
_TRINO: Final = {"STRING": "VARCHAR", "FLOAT": "REAL", "BINARY": "VARBINARY", "INT": "INTEGER", "TIME": "TIME(6)"}


@attrs.frozen
class Step:
    """One change, and what is done about it."""

    change: Change
    action: Action

    def __str__(self) -> str:
        return f"{self.change}: {self.action}, {_WHY[self.action]}"


@attrs.frozen(repr=False)
class SchemaPlan(Shown):
    """What is to be done so that a table takes what a source gives.

    Attributes:
        table: The table's name.
        steps: Each change with its action.
        schema_id: Iceberg's id of the schema that it was made for. None: the table is not there yet.
        names: Source column to the table's, where they differ in case only.
        catalog: What the engine's session calls the table's catalog. None: statements leave it to whoever runs them.
    """

    table: str
    steps: tuple[Step, ...]
    schema_id: int | None = None
    names: dict[str, str] = attrs.field(factory=dict)
    catalog: str | None = None

    def of(self, *actions: Action) -> tuple[Change, ...]:
        """The changes about which this is done."""
        return tuple(step.change for step in self.steps if step.action in actions)

    @property
    def added(self) -> tuple[Change, ...]:
        """The columns and fields that the table gets."""
        return tuple(change for change in self.of("evolve") if change.kind == "additive")

    def __bool__(self) -> bool:
        """Whether the table's schema changes, or rows are rescued, rejected or refused."""
        return any(step.action != "keep" for step in self.steps)

    def statements(self, dialect: Dialect = "spark") -> list[str]:
        """The statements that do by hand what the plan does to the schema, and what a ``fail`` waits for.

        >>> import pyarrow as pa
        >>> from lakekit.evolution.differences import diff
        >>> found = diff(pa.schema([("id", pa.int32())]), pa.schema([("id", pa.int64()), ("device_type", pa.string())]))
        >>> for statement in make("bronze.orders", found, "fail").statements():
        ...     print(statement)
        ALTER TABLE bronze.orders ALTER COLUMN id TYPE BIGINT;
        ALTER TABLE bronze.orders ADD COLUMN device_type STRING;
        """
        where = quoted((*([self.catalog] if self.catalog else []), *self.table.split(".")), dialect)
        return [
            f"ALTER TABLE {where} {words};"
            for step in self.steps
            if step.action in ("evolve", "fail") and (words := _alteration(step.change, dialect))
        ]

    def require_allowed(self, *, place: str) -> None:
        """Raise where the policy says that a person decides.

        Raises:
            SchemaError: It does; the text holds the statements to run.
        """
        refused = self.of("fail")
        if not refused:
            return
        conflict = next((change for change in refused if change.kind == "conflict"), None)
        if conflict is not None and conflict.before is not None:
            raise SchemaError(
                f"{place}: {self.table}.{conflict.name}",
                f"expected {sql_type(conflict.before)}",
                got=sql_type(conflict.after) if conflict.after is not None else "none",
                hint="cast it at the source or with select(), change the table's column, or let on_change= rescue such values.",
            )
        statements = self.statements()
        raise SchemaError(
            f"{place}: {self.table}",
            "the source's schema has changed",
            got="; ".join(map(str, refused)),
            hint="run:\n" + "\n".join(statements) if statements else "give the column, or write to another table.",
        )

    def to_dict(self) -> dict[str, Any]:
        """The plan in plain values."""
        return {
            "table": self.table,
            "catalog": self.catalog,
            "schema_id": self.schema_id,
            "names": dict(self.names),
            "steps": [_plain(step) for step in self.steps],
        }

    def to_json(self) -> str:
        """The plan as JSON, for a person or another task to look at and to apply."""
        return json.dumps(self.to_dict())

    @classmethod
    def from_json(cls, words: str) -> SchemaPlan:
        """The plan that `to_json` gave.

        Raises:
            ConfigError: It is none.
        """
        try:
            known = json.loads(words)
            steps = tuple(_step(one) for one in known["steps"])
            return cls(known["table"], steps, known["schema_id"], dict(known["names"]), known.get("catalog"))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ConfigError("SchemaPlan.from_json()", "expected a plan's own JSON", got=type(error).__name__) from None

    def __str__(self) -> str:
        """One line for each change."""
        if not self.steps:
            return f"{self.table}: nothing to do"
        return "\n".join([f"{self.table}:", *(f"  {step}" for step in self.steps)])

    def _view(self) -> View:
        if not self.steps:
            return View(str(self))
        rows = (
            (step.change.name, step.change.kind, _kinds(step.change), step.action, step.change.note or _WHY[step.action])
            for step in self.steps
        )
        return View(self.table, ("column", "change", "type", "action", "why"), tuple(rows))


def make(
    table: str,
    found: Difference,
    policy: Policy,
    *,
    schema_id: int | None = None,
    catalog: str | None = None,
    place: str = "evolution.plan",
) -> SchemaPlan:
    """The plan for differences under a policy."""
    require_policy(policy, place=place)
    return SchemaPlan(table, tuple(Step(change, action(change, policy)) for change in found.changes), schema_id, found.names, catalog)


def _kinds(change: Change) -> str:
    before, after = (None if kind is None else sql_type(kind) for kind in (change.before, change.after))
    return " -> ".join(dict.fromkeys(words for words in (before, after) if words is not None))


def _alteration(change: Change, dialect: Dialect) -> str | None:
    """What follows ALTER TABLE."""
    path = quoted(change.path, dialect)
    if change.kind == "additive" and change.after is not None:
        return f"ADD COLUMN {path} {_words(change.after, dialect)}"
    if change.kind == "widening" and change.after is not None:
        return f"ALTER COLUMN {path} {'SET DATA TYPE' if dialect == 'trino' else 'TYPE'} {_words(change.after, dialect)}"
    if change.kind == "relaxing":
        return f"ALTER COLUMN {path} DROP NOT NULL"
    return None


def quoted(path: Path, dialect: Dialect = "spark") -> str:
    """A path in a statement: its names in quotes where they need them.

    >>> quoted(("bronze", "orders")), quoted(("lake", "my orders"), "trino")
    ('bronze.orders', 'lake."my orders"')
    """
    return ".".join(_name(name, dialect) for name in path)


def _name(name: str, dialect: Dialect) -> str:
    if dialect == "trino":
        return exp.to_identifier(name).sql("trino")
    return name if _PLAIN.fullmatch(name) else ident(name)


def _words(kind: pa.DataType, dialect: Dialect) -> str:
    import pyarrow as pa

    if dialect == "spark":
        return sql_type(kind)
    if pa.types.is_timestamp(kind):
        return "TIMESTAMP(6) WITH TIME ZONE" if kind.tz else "TIMESTAMP(6)"
    if pa.types.is_list(kind):
        return f"ARRAY({_words(kind.value_type, dialect)})"
    if pa.types.is_map(kind):
        return f"MAP({_words(kind.key_type, dialect)}, {_words(kind.item_type, dialect)})"
    if pa.types.is_struct(kind):
        return "ROW(" + ", ".join(f"{quoted((field.name,), dialect)} {_words(field.type, dialect)}" for field in cast("Any", kind)) + ")"
    return _TRINO.get(sql_type(kind), sql_type(kind))


def _plain(step: Step) -> dict[str, Any]:
    change = step.change
    kinds = {name: None if kind is None else sql_type(kind) for name, kind in (("before", change.before), ("after", change.after))}
    return {"action": step.action, "kind": change.kind, "path": list(change.path), **kinds, "note": change.note}


def _step(known: dict[str, Any]) -> Step:
    before, after = (
        None if known[name] is None else arrow_type(known[name], place="SchemaPlan.from_json()") for name in ("before", "after")
    )
    return Step(Change(known["kind"], tuple(known["path"]), before, after, known["note"]), known["action"])


def grown(schema: pa.Schema, changes: Sequence[Change]) -> pa.Schema:
    """The schema after these changes: what the table will hold."""
    import pyarrow as pa

    return pa.schema(list(_Growth.of(changes).fields((), list(schema))))


@attrs.frozen
class _Growth:
    """Changes by where they are, so that each field asks for its own."""

    added: Mapping[Path, list[Change]]
    changed: Mapping[Path, list[Change]]
    touched: frozenset[Path]
    """The paths that lead to any of them."""

    @classmethod
    def of(cls, changes: Sequence[Change]) -> _Growth:
        added: dict[Path, list[Change]] = {}
        changed: dict[Path, list[Change]] = {}
        for change in changes:
            new = change.kind == "additive"
            (added if new else changed).setdefault(change.path[:-1] if new else change.path, []).append(change)
        touched = {change.path[:length] for change in changes for length in range(1, len(change.path) + 1)}
        return cls(added, changed, frozenset(touched))

    def fields(self, path: Path, fields: Sequence[pa.Field[Any]]) -> Iterator[pa.Field[Any]]:
        import pyarrow as pa

        for field in fields:
            yield self.field((*path, field.name), field)
        for change in self.added.get(path, []):
            if change.after is not None:
                yield pa.field(change.path[-1], change.after)

    def field(self, path: Path, field: pa.Field[Any]) -> pa.Field[Any]:
        import pyarrow as pa

        if path not in self.touched:
            return field
        for change in self.changed.get(path, []):
            if change.kind == "relaxing":
                field = field.with_nullable(True)
            elif change.after is not None:
                field = field.with_type(change.after)
        kind: Any = field.type
        if pa.types.is_struct(kind):
            return field.with_type(pa.struct(list(self.fields(path, list(kind)))))
        if pa.types.is_list(kind):
            return field.with_type(pa.list_(self.field((*path, "element"), kind.value_field)))
        if pa.types.is_map(kind):
            return field.with_type(pa.map_(kind.key_type, cast("Any", self.field((*path, "value"), kind.item_field))))
        return field
