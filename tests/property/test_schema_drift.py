"""Whatever a source does to its schema: each value is in its column, in ``_rescued_data``, or in the rejects; and silver follows from bronze."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

import lakekit as lk
from lakekit.columns import is_system
from tests.contract.helpers import foreign

BRONZE, SILVER, AGAIN = "bronze.things", "silver.things", "silver.again"
KINDS: Mapping[str, tuple[pa.DataType, st.SearchStrategy[Any]]] = {
    "int": (pa.int32(), st.integers(-(2**31), 2**31 - 1)),
    "long": (pa.int64(), st.sampled_from([0, 7, -(2**63), 2**63 - 1])),
    "double": (pa.float64(), st.sampled_from([0.0, 0.5, -2.0, 1e300, 7.0])),
    "short decimal": (pa.decimal128(5, 2), st.sampled_from([Decimal("0.00"), Decimal("-1.25"), Decimal("7.00")])),
    "long decimal": (pa.decimal128(12, 4), st.sampled_from([Decimal("0.0000"), Decimal("1.2345"), Decimal("70000.2500")])),
    "text": (pa.string(), st.sampled_from(["", "7", "007", "1.25", "1.234567", "seven", "true", "-0"])),
    "boolean": (pa.bool_(), st.booleans()),
    "date": (pa.date32(), st.sampled_from([date(1, 1, 1), date(2026, 3, 1)])),
    "instant": (pa.timestamp("us", tz="UTC"), st.sampled_from([datetime(2026, 3, 1, 8, 15, 0, 250001, tzinfo=UTC)])),
    "list": (pa.list_(pa.int64()), st.lists(st.integers(0, 9), max_size=2)),
    "list of text": (pa.list_(pa.string()), st.lists(st.sampled_from(["a", "7"]), max_size=2)),
}
NAMES = st.sampled_from(["a", "b", "c", "d"])
RUNS = 30
POLICIES = st.sampled_from(["evolve", {"conflict": "reject"}, {"additive": "rescue"}, {"additive": "reject", "conflict": "rescue"}])


@st.composite
def kinds(draw: st.DrawFn) -> tuple[pa.DataType, st.SearchStrategy[Any]]:
    """A type, and its values; some are structs of two."""
    kind, values = KINDS[draw(st.sampled_from(sorted(KINDS)))]
    if draw(st.integers(0, 4)):
        return kind, values
    inner = draw(st.dictionaries(st.sampled_from(["x", "y"]), st.sampled_from(sorted(KINDS)), min_size=1))
    struct = pa.struct([(name, KINDS[word][0]) for name, word in sorted(inner.items())])
    return struct, st.fixed_dictionaries({name: st.none() | KINDS[word][1] for name, word in sorted(inner.items())})


class Drift(RuleBasedStateMachine):
    """A source whose columns change before each run, bronze, and silver."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        self.lake = self.connect(Path(self.folder.name))
        self.columns: dict[str, tuple[pa.DataType, st.SearchStrategy[Any]]] = {}
        self.rows: dict[int, dict[str, Any]] = {}

    def connect(self, folder: Path) -> lk.Lake:
        return lk.connect(folder)

    def read_elsewhere(self) -> None:
        """Have another tool read the tables: pyiceberg."""
        for name in (BRONZE, SILVER):
            found = foreign(self.lake, name).scan().to_arrow()
            assert sorted(found.column("id").to_pylist()) == sorted(lk.read(self.lake, name).to_arrow().column("id").to_pylist())

    @rule(data=st.data(), policy=POLICIES, count=st.integers(1, 3), changes=st.integers(0, 2))
    def run(self, data: st.DataObject, policy: Any, count: int, changes: int) -> None:
        """Something changes in the source, or nothing; rows come; bronze and silver take them."""
        for _ in range(changes if self.rows else 2):
            self.change(data)
        first = len(self.rows)
        rows = [{name: data.draw(st.none() | values) for name, (_, values) in sorted(self.columns.items())} for _ in range(count)]
        names = data.draw(st.permutations(sorted(self.columns)))
        table = pa.table(
            {"id": pa.array(range(first, first + count))}
            | {name: pa.array([row[name] for row in rows], self.columns[name][0]) for name in names}
        )
        commit = lk.append(lk.from_frame(self.lake, table, run_id=str(first)), into=BRONZE, on_change=policy)
        assert commit.read == commit.inserted + commit.rejected == count
        self.rows |= {first + index: row for index, row in enumerate(rows)}
        lk.merge(lk.read_new(self.lake, BRONZE, into=SILVER), key="id")

    def change(self, data: st.DataObject) -> None:
        """A column comes, goes, is of another type now, or is called otherwise: also so that only case tells."""
        what, name = data.draw(st.sampled_from(["type", "type", "drop", "rename", "case"])), data.draw(NAMES)
        there = next((known for known in self.columns if known.lower() == name), None)
        if there is None:
            self.columns[name] = data.draw(kinds())
            return
        kind = self.columns.pop(there)
        if what == "type":
            self.columns[there] = data.draw(kinds())
        elif what == "case":
            self.columns[there.swapcase()] = kind
        elif what == "rename":
            free = [other for other in "abcd" if other not in {known.lower() for known in self.columns}]
            self.columns[data.draw(st.sampled_from(free))] = kind

    def teardown(self) -> None:
        try:
            if self.rows:
                self.look()
        finally:
            self.folder.cleanup()

    def look(self) -> None:
        stored = {row["id"]: row for row in lk.read(self.lake, BRONZE).to_arrow().to_pylist()}
        refused: dict[int, dict[str, Any]] = {}
        if ("bronze", "things__rejects") in self.lake.engine.tables():
            found = lk.read(self.lake, f"{BRONZE}__rejects").to_arrow().to_pylist()
            refused = {row["id"]: row for row in (json.loads(one["_row"], parse_float=Decimal) for one in found)}
        assert stored.keys() | refused.keys() == self.rows.keys()
        assert not stored.keys() & refused.keys()
        for number, row in self.rows.items():
            for name, value in row.items():
                if number in stored:
                    rescued = json.loads(stored[number].get("_rescued_data") or "{}", parse_float=Decimal)
                    column = next((known for known in stored[number] if known.lower() == name.lower()), name)
                    # A column that came after the value was rescued may be written otherwise.
                    called = column if any(path.split(".")[0] == column for path in rescued) else name
                    require_kept((called,), value, stored[number].get(column), rescued)
                else:
                    assert is_same(value, refused[number].get(name))
        self.read_elsewhere()
        lk.merge(lk.read_new(self.lake, BRONZE, into=AGAIN), key="id")
        assert business(self.lake, AGAIN) == business(self.lake, SILVER)


def business(lake: lk.Lake, table: str) -> list[str]:
    rows = lk.read(lake, table).to_arrow().to_pylist()
    return sorted(
        repr(sorted((name, value) for name, value in row.items() if (not is_system(name) or name == "_rescued_data") and value is not None))
        for row in rows
    )


def require_kept(path: tuple[str, ...], value: Any, stored: Any, rescued: Mapping[str, Any]) -> None:
    """A value is in its column, or what is not is rescued, by its path or by that of what it is in."""
    if value is None or is_same(value, stored):
        return
    known = rescued.get(".".join(path))
    if known is not None or ".".join(path) in rescued:
        assert is_same(value, plain(known)), (path, "rescued otherwise")
        return
    assert isinstance(value, dict), (path, "lost")
    for name, inner in value.items():
        require_kept((*path, name), inner, stored.get(name) if isinstance(stored, dict) else None, rescued)


def plain(value: Any) -> Any:
    """A rescued value without the tag of its type."""
    return next(iter(value.values())) if isinstance(value, dict) and next(iter(value), "").startswith("$") else value


def is_same(value: Any, other: Any) -> bool:
    """Whether nothing of a value is lost in another."""
    if other is None:
        return value is None or value == {} or (isinstance(value, dict) and all(inner is None for inner in value.values()))
    if isinstance(value, bool):
        return other in (value, str(value).lower())
    if isinstance(value, dict) and isinstance(other, dict):
        return all(inner is None or is_same(inner, plain(other.get(name))) for name, inner in value.items())
    if isinstance(value, list) and isinstance(other, list):
        return len(value) == len(other) and all(map(is_same, value, other))
    if isinstance(value, datetime):
        return value == other or str(other).replace(" ", "T").startswith(f"{value:%Y-%m-%dT%H:%M:%S.%f}".rstrip("0"))
    if isinstance(value, int | float | Decimal):
        return value == other or (isinstance(other, str) and Decimal(other) == Decimal(str(value)))
    if isinstance(value, str) and isinstance(other, int | float | Decimal) and not isinstance(other, bool):
        return Decimal(value) == Decimal(str(other)) and value.strip() == value
    return str(value) == str(other)


def drift(machine: type[Drift], *, examples: int) -> None:
    """Run a machine: so many sources, each with thirty runs."""
    checks = list(HealthCheck)
    chosen = settings(max_examples=examples, stateful_step_count=RUNS, deadline=None, suppress_health_check=checks)
    run_state_machine_as_test(machine, settings=chosen)


def test_no_value_is_lost_whatever_a_source_does_in_thirty_runs() -> None:
    default = settings.default
    assert default is not None
    drift(Drift, examples=max(2, default.max_examples // 15))
