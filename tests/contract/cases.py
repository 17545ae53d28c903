"""Scenarios as data: JSON files, restated from the test suites of other projects. ``--cases`` names the folder that holds them, kind by kind.

Whatever a file says is either understood or an error: a word that nobody looks at would make a scenario pass that says something else.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyiceberg.io.pyarrow import schema_to_pyarrow
from pyiceberg.schema import Schema
from pyiceberg.types import NestedField

from lakekit.columns import DELETE, OPERATION, UPSERT, is_system
from lakekit.engines.types import storable

Row = Mapping[str, Any]

ABOUT = frozenset({"id", "source", "note", "needs"})
"""Fields that tell people about a scenario, and a test nothing."""
SYSTEMS = frozenset({"dbt", "dlt", "iceberg", "koheesio", "mack", "pyiceberg", "spark", "sqlmesh"})
"""``expected`` says under such a name, alone or before ``_``, what that system does where lakekit decides otherwise."""
PARTS = ("expected", "batch", "initial")
"""Whose columns ``types`` may speak of. What is expected has, unless it says otherwise, the types of the batches, then those of before."""
OPERATIONS = {"c": UPSERT, "i": UPSERT, "r": UPSERT, "u": UPSERT, "upsert": UPSERT, "d": DELETE, "delete": DELETE}
"""``_op``, mostly in Debezium's words."""
SEQUENCES = frozenset({"_seq", "_last_seq"})
"""What the sequence of the events is called in rows that are stored."""


@dataclass(frozen=True)
class Case:
    """One scenario: its fields, and its rows in lakekit's words."""

    fields: Mapping[str, Any]

    @property
    def key(self) -> tuple[str, ...] | None:
        return None if self.fields["key"] is None else tuple(self.fields["key"])

    @property
    def sequence(self) -> tuple[str, ...]:
        """The columns by which events are in order, the first one before the others."""
        given = self.fields.get("sequence_by") or ()
        return (given,) if isinstance(given, str) else tuple(given)

    @property
    def options(self) -> Mapping[str, Any]:
        return self.fields.get("options", {})

    @property
    def expected(self) -> Mapping[str, Any]:
        """What is expected of lakekit."""
        return {name: value for name, value in self.fields["expected"].items() if name.partition("_")[0] not in SYSTEMS}

    @property
    def ignored(self) -> frozenset[str]:
        """The columns that are not compared."""
        compare = {name: value for name, value in self.fields.get("compare", {}).items() if name.partition("_")[0] not in SYSTEMS}
        require_known(compare, {"order", "ignore"}, place="compare")
        if compare.get("order"):
            raise ValueError("compare: the rows of a table have no order")
        return frozenset(self._name(name) for name in compare.get("ignore", ()))

    @property
    def initial(self) -> list[Row]:
        """What the table holds before."""
        if "initial_generator" in self.fields:
            require_known(self.fields["initial_generator"], {"rows"}, place="initial_generator")
            return generated(self.fields["initial_generator"]["rows"])
        return self.told(self.fields.get("initial", ()))

    def batches(self, field: str, *, also: Collection[str] = ()) -> list[list[Row]]:
        """The rows of each batch. ``also``: what else a batch may say, for whoever asks to look at."""
        found: list[list[Row]] = []
        for batch in self.fields.get(field, ()):
            require_known(batch, {"rows", "generator", *also}, place=field)
            found.append(generated(batch["generator"]) if "generator" in batch else self.told(batch["rows"]))
        return found

    @property
    def rows(self) -> list[Row]:
        """The rows that the table is to hold at the end."""
        return self.told(self.expected.get("rows", ()))

    def table(self, rows: Sequence[Row], part: str) -> pa.Table:
        """Rows as Arrow. ``types`` says what JSON can't; a value that is always NULL has the type it has elsewhere."""
        everything = [*self.initial, *self.rows, *rows]
        for field in ("prior_batches", "batches"):
            everything += [row for batch in self.batches(field, also=("as_of",)) for row in batch]
        names = list(dict.fromkeys(name for row in rows or everything for name in row))
        return pa.table({name: self._column(name, [row.get(name) for row in rows], part, everything) for name in names})

    def _column(self, name: str, values: list[Any], part: str, everything: Sequence[Row]) -> pa.Array:
        types, column = self.fields.get("types", {}), pa.array(values)
        require_known({given.partition(".")[0] for given in types}, PARTS, place="types")
        parts = PARTS[PARTS.index(part) :] if part == "expected" else (part,)
        if words := next((types[given] for given in (f"{named}.{name}" for named in parts) if given in types), None):
            return column.cast(iceberg_type(words))
        if part != "expected" and settled(column.type) == column.type:
            return column
        return pa.array(values, settled(pa.array([row.get(name) for row in everything]).type))

    def told(self, rows: Iterable[Row]) -> list[Row]:
        """Rows in lakekit's words."""
        return [{self._name(name): OPERATIONS[value] if name == "_op" else value for name, value in row.items()} for row in rows]

    def _name(self, name: str) -> str:
        name = OPERATION if name == "_op" else self.sequence[0] if name in SEQUENCES and self.sequence else name
        if is_system(name) and name != OPERATION:
            raise ValueError(f"a column of unknown meaning: {name}")
        return name


def require_known(given: Iterable[str], known: Collection[str], *, place: str) -> None:
    """Raise where a scenario says something that nobody here understands."""
    if unknown := sorted(set(given) - set(known)):
        raise ValueError(f"{place}: unknown {', '.join(unknown)}")


def generated(words: str) -> list[Row]:
    """Rows told in words: ``id in [1,1000], kind=A`` are a thousand rows of one kind.

    >>> generated("id in [1,2], kind=A")
    [{'id': 1, 'kind': 'A'}, {'id': 2, 'kind': 'A'}]
    """
    found = re.fullmatch(r"(\w+) in \[(\d+),\s*(\d+)\]((?:,\s*\w+=[^,=]+)*)", words)
    if found is None:
        raise ValueError(f"generator: not understood: {words}")
    name, first, last, rest = found.groups()
    constants = dict(re.findall(r"(\w+)=([^,]+)", rest))
    return [{name: number, **constants} for number in range(int(first), int(last) + 1)]


def iceberg_type(words: str) -> pa.DataType:
    """A type in Iceberg's words.

    >>> iceberg_type("long"), iceberg_type("map<string,list<int>>")
    (DataType(int64), MapType(map<string, list<element: int32>>))
    """
    name, _, inner = words.removesuffix(">").partition("<")
    if name == "list":
        return storable(pa.list_(iceberg_type(inner)))
    if name == "map":  # whose keys are no nested type
        key, _, value = inner.partition(",")
        return pa.map_(iceberg_type(key), iceberg_type(value))
    return storable(_scalar(words))


def _scalar(words: str) -> pa.DataType:
    return schema_to_pyarrow(Schema(NestedField(1, "value", words)), include_field_ids=False).field("value").type


def settled(kind: pa.DataType) -> pa.DataType:
    """The type with text for whatever is always NULL.

    >>> settled(pa.list_(pa.null()))
    ListType(list<item: string>)
    """
    if pa.types.is_struct(kind):
        return pa.struct([(field.name, settled(field.type)) for field in kind])
    if pa.types.is_list(kind):
        return pa.list_(settled(kind.value_type))
    return pa.string() if pa.types.is_null(kind) else kind


def load(path: Path) -> Case:
    return Case(json.loads(path.read_text()))


def parametrize(metafunc: pytest.Metafunc, kind: str) -> None:
    """Run a test that asks for ``path`` on each scenario of a kind."""
    folder: Path = metafunc.config.getoption("--cases")
    if not any(folder.glob("*/*.json")):
        raise pytest.UsageError(f"--cases: no scenarios like {folder / kind}/*.json")
    metafunc.parametrize("path", [pytest.param(path, id=path.stem) for path in sorted((folder / kind).glob("*.json"))])
