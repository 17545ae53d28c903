"""Whatever is merged, in whatever mode, and whatever other tools do to the table meanwhile: it holds what a dictionary would."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

import pyarrow as pa
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule, run_state_machine_as_test
from pyiceberg.transforms import BucketTransform, DayTransform, IdentityTransform, Transform, TruncateTransform

import lakekit as lk
from tests.contract.helpers import foreign
from tests.oracles.merge import Oracle, Row

TABLE = "silver.things"
START = datetime(2026, 1, 1, tzinfo=UTC)
LATER = datetime.now(UTC) + timedelta(days=30)
"""A present in which everything that the machine does is long past."""
LONG = "sixteen letters "  # as many as file statistics keep of a text
NAMES = ["v", "n", "a", "b", "c", "e"]
ONE = st.integers(0, 99) | st.just(99)
COUNTS = ("read", "inserted", "updated", "deleted", "unchanged", "late", "duplicates", "rejected", "removed")
SHOWN = ("at", "_ingestion_timestamp", "_deleted_at")
MODES = st.sampled_from([None, "auto", "copy-on-write", "merge-on-read", "merge-on-read", "merge-on-read"])


class Column(NamedTuple):
    """A column's type and values, and the type to which it may be widened, with values that only this one holds."""

    kind: pa.DataType
    values: tuple[Any, ...]
    wide: pa.DataType | None = None
    more: tuple[Any, ...] = ()


NUMBER = Column(pa.int32(), (0, 1, -1, 7, -(2**31), 2**31 - 1), pa.int64(), (2**31, -(2**40)))
TEXT = Column(pa.string(), ("", "a", "A", "é", f"{LONG}x", f"{LONG}y", f"{LONG}{chr(0x10FFFF)}", "'\"`"))
DAY = Column(pa.date32(), (date(1969, 12, 31), date(1970, 1, 1), date(2026, 3, 29), date(9999, 12, 31)))
AMOUNT = Column(
    pa.decimal128(9, 2), tuple(map(Decimal, ("0.00", "-0.01", "1.10", "-9999999.99"))), pa.decimal128(20, 2), (Decimal("1e12"),)
)
IDENTIFIER = Column(pa.uuid(), tuple(UUID(int=number) for number in (0, 1, 1 << 100, 2**128 - 1, 1 << 127)))
PLACE = Column(pa.struct([("city", pa.string()), ("zip", pa.int32())]), ({"city": "Rome", "zip": 1}, {"city": None, "zip": 2}))
TAGS = Column(pa.list_(pa.string()), ([], ["a", None], ["b"]))
KEYS: list[dict[str, Column]] = [{"k": NUMBER}, {"k": TEXT}, {"k": TEXT, "d": DAY}, {"k": AMOUNT}, {"k": IDENTIFIER}]


def transforms(kind: pa.DataType) -> list[Transform[Any, Any]]:
    """The ways to partition by a column."""
    if pa.types.is_nested(kind):
        return []
    found: list[Transform[Any, Any]] = [IdentityTransform(), BucketTransform(num_buckets=3)]
    if pa.types.is_date(kind):
        found.append(DayTransform())
    elif kind != pa.uuid():
        found.append(TruncateTransform(width=3))
    return found


class Sent(NamedTuple):
    """A batch that was merged."""

    run: str
    names: tuple[str, ...]
    rows: list[Row]


class Machine(RuleBasedStateMachine):
    """A table and the dictionary that says what it must hold, now and at each snapshot that is still there."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.lake = lk.connect(self.folder.name)
        self.sent: list[Sent] = []
        self.runs = 0
        self.aged: set[tuple[Any, ...]] = set()
        self.history: dict[int, dict[Any, Row]] = {}
        self.fields = 0

    def teardown(self) -> None:
        self.folder.cleanup()

    @initialize(data=st.data(), key=st.sampled_from(KEYS), hard=st.booleans(), size=st.sampled_from([None, "1", "4000"]), mode=MODES)
    def create(self, data: st.DataObject, key: dict[str, Column], size: str | None, mode: str | None, *, hard: bool) -> None:
        self.columns: dict[str, Column] = {**key, "v": TEXT, "n": NUMBER}
        self.wide: set[str] = set()
        self.oracle = Oracle(tuple(key), hard)
        names = {"write.target-file-size-bytes": size, "write.merge.mode": mode}
        properties = {name: value for name, value in names.items() if value is not None}
        by = [name for name in (*self.columns, "at") if data.draw(st.booleans(), label=f"sorted by {name}")]
        lk.create_table(
            self.lake,
            TABLE,
            schema=self.schema((*self.columns, "at")),
            partition_by=data.draw(st.sampled_from([(), "bucket(2, k)"])),
            sort_by=by[:2],
            properties=properties,
        )

    # What lakekit does

    @rule(data=st.data(), mode=MODES, which=ONE, dry=st.booleans())
    def merge(self, data: st.DataObject, mode: Any, which: int, *, dry: bool) -> None:
        before = dict(self.columns), set(self.wide)
        names = self.draw_names(data)
        rows = self.doubled(data, self.draw_rows(data, names))
        if not rows:
            self.columns, self.wide = before
            return
        self.merge_rows(names, rows, mode, which, dry=dry)

    @precondition(lambda self: self.sent)
    @rule(data=st.data(), mode=MODES, which=ONE)
    def merge_with_rows_that_were_merged_before(self, data: st.DataObject, mode: Any, which: int) -> None:
        earlier = data.draw(st.sampled_from(self.sent))
        again = data.draw(st.lists(st.sampled_from(earlier.rows), min_size=1, max_size=6))
        self.merge_rows(earlier.names, self.doubled(data, [*again, *self.draw_rows(data, earlier.names)]), mode, which, dry=False)

    def doubled(self, data: st.DataObject, rows: list[Row]) -> list[Row]:
        return data.draw(st.permutations([*rows, *data.draw(st.lists(st.sampled_from(rows), max_size=3))])) if rows else []

    def merge_rows(self, names: tuple[str, ...], rows: list[Row], mode: Any, which: int, *, dry: bool) -> None:
        self.runs += 1
        sent = Sent(f"run {self.runs}", names, rows)
        if dry:
            self.write(sent, mode, dry_run=True)
        before = dict(self.oracle.rows)
        commit = self.write(sent, mode)
        expected = self.oracle.merge(rows, self.now())
        found = {name: getattr(commit, name) for name in COUNTS}
        assert found == {name: expected[name] for name in COUNTS}
        assert commit.committed == (self.oracle.rows != before)
        self.sent.append(sent)
        self.note_snapshots(expected_new=commit.committed)
        if self.history:
            earlier = self.snapshot(which)
            assert self.read(as_of=earlier) == self.expected(self.history[earlier])

    @precondition(lambda self: self.sent)
    @rule(data=st.data(), mode=MODES)
    def merge_the_run_again(self, data: st.DataObject, mode: Any) -> None:
        old = data.draw(st.sampled_from(self.sent))
        other = data.draw(st.sampled_from(self.sent))
        commit = self.write(Sent(old.run, other.names, other.rows), mode)
        assert not commit.committed
        assert not any(getattr(commit, name) for name in COUNTS)
        self.note_snapshots(expected_new=False)

    @precondition(lambda self: self.history)
    @rule(which=ONE)
    def maintain(self, which: int) -> None:
        snapshots = {found.snapshot_id: found.timestamp_ms for found in foreign(self.lake, TABLE).metadata.snapshots}
        since = snapshots[self.snapshot(which)]
        lk.maintain(self.lake, TABLE, older_than=datetime.fromtimestamp(since / 1000, UTC), now=LATER)
        table = foreign(self.lake, TABLE)
        left = {found.snapshot_id for found in table.metadata.snapshots}
        kept = {snapshot for snapshot, at in snapshots.items() if at >= since}
        assert kept <= left
        assert not left & (snapshots.keys() - kept - {table.metadata.current_snapshot_id})
        self.history = {snapshot: rows for snapshot, rows in self.history.items() if snapshot in left}
        self.note_snapshots()
        for snapshot, rows in self.history.items():
            assert self.read(as_of=snapshot) == self.expected(rows)
        assert not any(task.delete_files for task in table.scan().plan_files())

    # What other tools do

    @precondition(lambda self: self.history)
    @rule(data=st.data(), change=st.sampled_from(["rename", "partition", "partition", "sort", "set_mode"]))
    def change_by_another_tool(self, data: st.DataObject, change: str) -> None:
        getattr(self, change)(data)

    def rename(self, data: st.DataObject) -> None:
        old = data.draw(st.sampled_from([name for name in self.columns if name not in self.oracle.key]))
        new = data.draw(st.sampled_from([name for name in NAMES if name not in self.columns]))
        with foreign(self.lake, TABLE).update_schema() as update:
            update.rename_column(old, new)
        self.columns = {new if name == old else name: column for name, column in self.columns.items()}
        self.wide = {new if name == old else name for name in self.wide}
        self.oracle.rename(old, new)
        others = [row for rows in self.history.values() for row in rows.values()] + [row for sent in self.sent for row in sent.rows]
        for row in others:
            if old in row:
                row[new] = row.pop(old)
        self.sent = [sent._replace(names=tuple(new if name == old else name for name in sent.names)) for sent in self.sent]

    def partition(self, data: st.DataObject) -> None:
        spec = foreign(self.lake, TABLE).spec()
        with foreign(self.lake, TABLE).update_spec() as update:
            if len(spec.fields) == 2 or (spec.fields and data.draw(st.booleans(), label="remove")):
                update.remove_field(data.draw(st.sampled_from(spec.fields)).name)
                return
            schema = foreign(self.lake, TABLE).schema()
            there = {(field.source_id, str(field.transform)) for field in spec.fields}
            ways = [(name, way) for name in self.columns for way in transforms(self.columns[name].kind)]
            ways = [(name, way) for name, way in ways if (schema.find_field(name).field_id, str(way)) not in there]
            name, way = data.draw(st.sampled_from(ways))
            self.fields += 1
            update.add_field(name, way, f"part_{self.fields}")

    def sort(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from([name for name, column in self.columns.items() if not pa.types.is_nested(column.kind)]))
        with foreign(self.lake, TABLE).update_sort_order() as update:
            data.draw(st.sampled_from([update.asc, update.desc]))(name, IdentityTransform())

    def set_mode(self, data: st.DataObject) -> None:
        with foreign(self.lake, TABLE).transaction() as transaction:
            transaction.set_properties({"write.merge.mode": data.draw(MODES) or "auto"})

    # What they are told by

    def draw_names(self, data: st.DataObject) -> tuple[str, ...]:
        """The columns of a batch: some of those that there are, and now and then new ones or wider ones."""
        others = [name for name in self.columns if name not in self.oracle.key]
        names = data.draw(st.lists(st.sampled_from(others), unique=True), label="columns") if data.draw(st.booleans()) else others
        free = [name for name in NAMES if name not in self.columns]
        if len(free) > 1 and data.draw(st.integers(0, 3), label="new") == 3:
            name = data.draw(st.sampled_from(free))
            self.columns[name] = data.draw(st.sampled_from([TEXT, NUMBER, DAY, AMOUNT, PLACE, TAGS]))
            names = [*names, name]
        for name in (*self.oracle.key, *names):
            if self.columns[name].wide and name not in self.wide and data.draw(st.integers(0, 3), label="widen") == 3:
                self.wide.add(name)
        return tuple(names)

    def draw_rows(self, data: st.DataObject, names: tuple[str, ...]) -> list[Row]:
        """Rows of which none is as old as one of its key that came before, unless it is an upsert and a delete."""
        values = {name: st.sampled_from(self.values(name)) for name in self.oracle.key}
        if data.draw(st.integers(0, 9), label="NULL keys") == 9:
            values = {name: st.none() | value for name, value in values.items()}
        values |= {name: st.none() | st.sampled_from(self.values(name)) for name in names}
        values |= {
            "at": st.sampled_from([None, *range(60)]),
            "_operation": st.sampled_from(["upsert", "upsert", "upsert", "delete", "bare"]),
        }
        rows = data.draw(
            st.lists(
                st.fixed_dictionaries(values),
                min_size=1,
                max_size=8,
                unique_by=lambda row: (self.aged_key(row), row["_operation"] == "upsert"),
            )
        )
        rows = [row for row in rows if self.aged_key(row) not in self.aged]
        self.aged |= {self.aged_key(row) for row in rows}
        for row in rows:
            if row["_operation"] == "bare":
                row |= {**dict.fromkeys(names), "_operation": "delete"}
        return rows

    def aged_key(self, row: Row) -> tuple[Any, ...]:
        return (*(row[name] for name in self.oracle.key), row["at"])

    def values(self, name: str) -> tuple[Any, ...]:
        column = self.columns[name]
        return (*column.values, *column.more) if name in self.wide else column.values

    def schema(self, names: tuple[str, ...]) -> pa.Schema:
        own: Mapping[str, pa.DataType] = {"at": pa.int64(), "_operation": pa.string()}
        types = {name: column.wide if name in self.wide else column.kind for name, column in self.columns.items()} | own
        return pa.schema([(name, types[name]) for name in names])

    def now(self) -> datetime:
        return START + timedelta(hours=self.runs)

    def write(self, sent: Sent, mode: Any, **options: Any) -> lk.Commit:
        frame = pa.Table.from_pylist(sent.rows, schema=self.schema((*self.oracle.key, *sent.names, "at", "_operation")))
        batch = lk.from_frame(self.lake, frame, run_id=sent.run, now=self.now())
        deletes = lk.Deletes("hard" if self.oracle.hard else "soft")
        return lk.merge(batch, into=TABLE, key=self.oracle.key, order_by="at", deletes=deletes, write_mode=mode, **options)

    def note_snapshots(self, *, expected_new: bool | None = None) -> None:
        """All snapshots that are new hold what the table holds now."""
        snapshots = [found.snapshot_id for found in foreign(self.lake, TABLE).metadata.snapshots]
        new = [snapshot for snapshot in snapshots if snapshot not in self.history]
        assert expected_new is None or len(new) == expected_new
        self.history |= {snapshot: dict(self.oracle.rows) for snapshot in new}

    def snapshot(self, which: int) -> int:
        """One of the snapshots. Not drawn by its id, which is random, nor from a list, whose length hangs on the names of files."""
        return list(self.history)[which * len(self.history) // 100]

    # What must hold after each step

    def read(self, as_of: int) -> list[Row]:
        return in_order(self.shown(lk.read(self.lake, TABLE, deleted=True, as_of=as_of).to_arrow().to_pylist()))

    def expected(self, rows: Mapping[Any, Row]) -> list[Row]:
        return in_order(self.shown(rows.values()))

    def shown(self, rows: Iterable[Row]) -> list[Row]:
        return [{name: row.get(name) for name in (*self.columns, *SHOWN)} for row in rows]

    @invariant()
    def everybody_reads_what_the_dictionary_holds(self) -> None:
        stored = lk.read(self.lake, TABLE, deleted=True).to_arrow().to_pylist()
        assert in_order(self.shown(stored)) == self.expected(self.oracle.rows)
        assert in_order(foreign(self.lake, TABLE).scan().to_arrow().to_pylist()) == in_order(stored)
        living = [row for row in stored if row.get("_deleted_at") is None]
        assert in_order(lk.read(self.lake, TABLE).to_arrow().to_pylist()) == in_order(living)
        assert lk.status(self.lake)[TABLE].rows == len(stored)


def in_order(rows: list[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: repr(sorted(row.items())))


def test_a_table_holds_what_a_dictionary_does_whatever_is_merged_and_whoever_else_is_at_work() -> None:
    # A step takes some tenths of a second: four tables, and forty under the profile ``thorough``.
    examples = max(1, settings().max_examples // 25)
    run_state_machine_as_test(
        Machine, settings=settings(max_examples=examples, stateful_step_count=12, suppress_health_check=list(HealthCheck))
    )
