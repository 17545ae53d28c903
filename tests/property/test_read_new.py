"""read_new gives the difference between two states of a table, however it came about: merges, other tools, compaction, new columns."""

from __future__ import annotations

import tempfile
from typing import Any

import pyarrow as pa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import lakekit as lk
from tests.contract.helpers import compact, rewrite

UP, DOWN = "silver.people", "gold.people"
KEYS = st.integers(1, 4)
PEOPLE = st.dictionaries(KEYS, st.tuples(st.integers(0, 2), st.booleans()), min_size=1, max_size=3)
OPERATIONS = st.one_of(
    st.tuples(st.just("merge"), PEOPLE),
    st.tuples(st.just("hard"), PEOPLE),
    st.tuples(st.just("widen"), PEOPLE),
    st.tuples(st.just("append"), st.dictionaries(KEYS, st.integers(0, 2), min_size=1, max_size=2)),
    st.tuples(st.just("update"), st.dictionaries(KEYS, st.integers(0, 2), min_size=1, max_size=2)),
    st.tuples(st.just("delete"), KEYS),
    st.tuples(st.just("rewrite"), st.none()),
    st.tuples(st.just("compact"), st.none()),
    st.tuples(st.just("consume"), st.none()),
)
State = dict[int, dict[str, Any]]
FEW = settings(max_examples=max(2, settings.default.max_examples // 20), suppress_health_check=[HealthCheck.too_slow])


class World:
    """A merged table, what was done to it, and the state that was consumed last."""

    def __init__(self, folder: str) -> None:
        self.lake = lk.connect(folder)
        self.step = 0
        self.width = 0
        self.consumed: State = {}
        self.merge({1: (0, False), 2: (0, False)}, "soft")

    def table(self) -> Any:
        return self.lake.engine.catalog.load_table(("silver", "people"))

    def state(self) -> State:
        return {row["id"]: row for row in self.table().scan().to_arrow().to_pylist()}

    def merge(self, people: dict[int, tuple[int, bool]], mode: Any) -> None:
        self.step += 1
        more = {f"extra_{number}": None if number % 2 else "x" for number in range(self.width)}
        rows = [
            {"id": key, "v": value, "at": self.step, "_operation": "delete" if gone else "upsert", **more}
            for key, (value, gone) in people.items()
        ]
        frame = pa.Table.from_pylist(rows)
        for name in more:
            index = frame.schema.get_field_index(name)
            frame = frame.set_column(index, name, frame.column(name).cast(pa.string()))
        batch = lk.from_frame(self.lake, frame, run_id=f"step {self.step}")
        lk.merge(batch, into=UP, key="id", order_by="at", deletes=lk.Deletes(mode))

    def do(self, operation: str, argument: Any) -> None:
        table = self.table()
        if operation == "merge":
            self.merge(argument, "soft")
        elif operation == "hard":
            self.merge(argument, "hard")
        elif operation == "widen":
            self.width += 1
            self.merge(argument, "soft")
        elif operation == "append":
            self.step += 1
            there = self.state()
            rows = [{"id": key, "v": value, "at": self.step} for key, value in argument.items() if key not in there]
            if rows:
                table.append(pa.Table.from_pylist(rows))
        elif operation == "update":
            self.step += 1
            rows = [{**row, "v": argument.get(key, row["v"])} for key, row in self.state().items()]
            if rows:
                table.overwrite(pa.Table.from_pylist(rows, schema=table.scan().to_arrow().schema))
        elif operation == "delete":
            if argument in self.state():
                table.delete(f"id = {argument}")
        elif operation in ("rewrite", "compact"):
            if self.state():
                {"rewrite": rewrite, "compact": compact}[operation](self.lake, UP)
        else:
            self.consume()

    def consume(self) -> None:
        """Read what is new, compare it with the difference of the two states, and write it downstream."""
        now, before = self.state(), self.consumed
        expected = []
        for key in now.keys() | before.keys():
            new, old = now.get(key), before.get(key)
            if new is None:
                assert old is not None
                expected.append((key, old["v"], "delete"))
            elif old is None or _filled(new) != _filled(old):
                expected.append((key, new["v"], "upsert" if new["_deleted_at"] is None else "delete"))
        batch = lk.read_new(self.lake, UP, into=DOWN)
        rows = batch.to_arrow().to_pylist()
        assert sorted((row["id"], row["v"], row["_operation"]) for row in rows) == sorted(expected)
        assert not batch.bookmark.superset
        lk.append(lk.select(batch, {"id": "id", "v": "v"}))
        self.consumed = now
        assert lk.read_new(self.lake, UP, into=DOWN).count() == 0


def _filled(row: dict[str, Any]) -> dict[str, Any]:
    """The row without NULLs: a column that was added since says nothing new about it."""
    return {name: value for name, value in row.items() if value is not None}


@FEW
@given(st.lists(OPERATIONS, min_size=1, max_size=7))
def test_what_is_new_is_the_difference_between_now_and_what_was_consumed(operations: list[tuple[str, Any]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        world = World(folder)
        for operation, argument in operations:
            world.do(operation, argument)
        world.consume()
