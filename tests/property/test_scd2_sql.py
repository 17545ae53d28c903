"""SCD2 is a pure function of the set of events: any order, any batches, any repeats give the table that the oracle computes at once."""

from __future__ import annotations

import functools
import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import pairwise, permutations
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lakekit.engines.sql import render
from lakekit.engines.types import arrow_type
from lakekit.gold.keys import hash63, text_sql
from lakekit.gold.scd2_snapshot import for_snapshots, snapshot_events_sql
from lakekit.gold.scd2_spec import Scd2Spec, merge_on, state_columns, tombstone_columns
from lakekit.gold.scd2_sql import changes_sql, members_sql, tombstones_sql
from tests.oracles.scd2 import Row, history

COLUMNS = {"id": "INT", "name": "STRING", "city": "STRING", "visits": "INT", "born": "INT", "_ingestion_timestamp": "BIGINT"}


def spec(deletes: str = "close", **changes: Any) -> Scd2Spec:
    given = {
        "key": "id",
        "columns": COLUMNS,
        "effective_at": "at",
        "unstored": {"at": "BIGINT", "lsn": "INT"},
        "track": ("name", "city"),
        "type1": "born",
        "surrogate_key": "user_key",
        "deletes": deletes,
    }
    return Scd2Spec(**{**given, **changes})


SPECS = {
    f"{deletes}, {words}": spec(deletes, **changes)
    for deletes in ("close", "new_record", "hard", "ignore")
    for words, changes in {
        "by instant": {},
        "by instant and lsn": {"order_by": "lsn"},
        "with a stored lsn": {"order_by": "lsn", "columns": {**COLUMNS, "lsn": "INT"}},
        "NULL carries": {"ignore_null": ("city", "visits")},
        "NULL carries, by lsn, type 1 too": {"order_by": "lsn", "ignore_null": ("name", "visits", "born")},
    }.items()
}
SPECS["close, a column adopted after 2"] = spec(adopted={"city": "2"})
SPECS["new_record, a carried column adopted after 2"] = spec("new_record", adopted={"city": "2"}, ignore_null="city", order_by="lsn")


class Dimension:
    """A dimension in DuckDB, merged as an engine would: the companion table first, then the changes in one go."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, spec: Scd2Spec) -> None:
        self.connection, self.spec = connection, spec
        own = [(column.name, column.type) for column in state_columns(spec)]
        self.names = [name for name, _ in [*spec.columns, *own]]
        events = [*spec.columns, *spec.unstored, ("_is_delete", "BOOLEAN")]
        self.schema = pa.schema({name: arrow_type(type_) for name, type_ in events})
        self.tables = {
            "versions": [*spec.columns, *own],
            "tombstones": [(column.name, column.type) for column in tombstone_columns(spec)],
        }
        self.changes, self.tombstones = (render(sql(spec), "duckdb", {}) for sql in (changes_sql, tombstones_sql))
        self.clear()

    def clear(self) -> None:
        for table, columns in self.tables.items():
            text = ", ".join(f"`{name}` {type_}" for name, type_ in columns)
            self.connection.execute(render(f"CREATE OR REPLACE TABLE {table} ({text})", "duckdb", {}))

    def merge(self, batch: list[Row]) -> list[Any]:
        """Merge a batch; the rows that changed, as identity and kind of change."""
        run = self.connection.execute
        self.connection.register("events", pa.Table.from_pylist(batch, self.schema))
        run(f"INSERT INTO tombstones {self.tombstones}")
        run(f"CREATE OR REPLACE TEMP TABLE changes AS {self.changes}")
        on = ", ".join(merge_on(self.spec))
        changed = run(f"SELECT {on}, _change FROM changes").fetchall()
        if changed:
            stored = {row[:-1] for row in run(f"SELECT {on}, 0 FROM versions").fetchall()}
            assert all((row[:-1] in stored) == (row[-1] != "insert") for row in changed), "an insert of a stored row, or an update of none"
            assert len({row[:-1] for row in changed}) == len(changed), "a row that changes twice"
            run(f"DELETE FROM versions WHERE ({on}) IN (SELECT ({on}) FROM changes)")
            run(f"INSERT INTO versions SELECT {', '.join(self.names)} FROM changes WHERE _change <> 'delete'")
        return changed

    def rows(self) -> list[Row]:
        result = self.connection.execute(f"SELECT {', '.join(self.names)} FROM versions ORDER BY id, valid_from")
        return [dict(zip(self.names, row, strict=True)) for row in result.fetchall()]


Dimensions = Callable[[str], Dimension]


@pytest.fixture(scope="module")
def dimensions() -> Iterator[Dimensions]:
    """A dimension per spec, all on one connection."""
    with duckdb.connect(config={"threads": 1}) as connection:
        yield functools.cache(lambda name: Dimension(connection, SPECS[name]))


BLANK: Row = {**dict.fromkeys((*COLUMNS, "lsn")), "id": 1, "_ingestion_timestamp": 0, "at": 0, "_is_delete": False}


def event(**changes: Any) -> Row:
    return {**BLANK, **changes}


VALUES = st.sampled_from([None, "a", "b", "c"])
EVENTS = st.builds(
    event,
    id=st.integers(1, 2),
    at=st.integers(0, 5),
    lsn=st.sampled_from([None, 1, 2]),
    name=VALUES,
    city=st.sampled_from([None, "x"]),
    visits=st.sampled_from([None, 1, 2]),
    born=st.sampled_from([None, 1, 2]),
    _ingestion_timestamp=st.integers(0, 2),
    _is_delete=st.sampled_from([False, False, False, True]),
)


@st.composite
def deliveries(draw: st.DrawFn) -> list[list[Row]]:
    """A set of events, shuffled, some of them repeated, in batches."""
    events = draw(st.lists(EVENTS, min_size=1, max_size=12))
    sent = draw(st.permutations(events)) + draw(st.lists(st.sampled_from(events), max_size=3))
    cuts = sorted(draw(st.sets(st.integers(0, len(sent)), max_size=2)))
    return [sent[low:high] for low, high in zip([0, *cuts], [*cuts, len(sent)], strict=True)]


def expected(batches: list[list[Row]], spec: Scd2Spec, names: list[str]) -> list[Row]:
    rows = history([row for batch in batches for row in batch], spec)
    return [{name: row.get(name, False) for name in names if name != "_absorbed"} for row in rows]


def check(dimension: Dimension, batches: list[list[Row]]) -> None:
    dimension.clear()
    for batch in batches:
        dimension.merge(batch)
    found = dimension.rows()
    table = [{name: value for name, value in row.items() if name != "_absorbed"} for row in found]
    assert table == expected(batches, dimension.spec, dimension.names)
    for first, second in pairwise(found):
        same = first["id"] == second["id"]
        assert not same or (first["valid_to"] is not None and first["valid_to"] <= second["valid_from"]), "an overlap, or two open versions"
    for batch in batches:
        assert dimension.merge(batch) == [], "a repetition changed something"
    # Not only the rows: the memory, too, is a function of the set of events.
    dimension.clear()
    dimension.merge([row for batch in batches for row in batch])
    assert dimension.rows() == found


# A third of the profile's examples: each takes half a dozen merges, and the test below adds 6,000 histories.
@settings(max_examples=settings.default.max_examples // 3)
@given(name=st.sampled_from(sorted(SPECS)), batches=deliveries())
def test_any_delivery_of_the_same_events_gives_the_same_table(name: str, batches: list[list[Row]], dimensions: Dimensions) -> None:
    check(dimensions(name), batches)


@pytest.mark.parametrize("name", SPECS)
def test_hundreds_of_random_histories_at_once_give_the_same_table(name: str, dimensions: Dimensions) -> None:
    chance = random.Random(name)
    pick = chance.choice
    batches: list[list[Row]] = [[] for _ in range(3)]
    for key in range(300):
        events = [
            event(id=key, at=pick(range(6)), lsn=pick([None, 1, 2]), name=pick([None, "a", "b"]), city=pick([None, "x"]), visits=pick([None, 1, 2]),
                  born=pick([None, 1, 2]), _ingestion_timestamp=pick(range(3)), _is_delete=chance.random() < 0.25)
            for _ in range(pick(range(1, 9)))
        ]  # fmt: skip
        for row in events + chance.sample(events, len(events) // 3):
            pick(batches).append(row)
    check(dimensions(name), batches)


# Single situations, in the words of the design. An event is "name@instant", a delete "-@instant".


def told(words: str) -> list[Row]:
    parts = (word.split("@") for word in words.split())
    return [event(at=int(at), name=None if name == "NULL" else name, _is_delete=name == "-") for name, at in parts]


def shown(dimension: Dimension) -> str:
    return " ".join(f"{row['name']}[{row['valid_from']},{'' if row['valid_to'] is None else row['valid_to']})" for row in dimension.rows())


@pytest.mark.parametrize(
    ("batches", "table"),
    {
        "a late event splits a version": (["a@10 c@20", "b@15"], "a[10,15) b[15,20) c[20,)"),
        "a late event splits between no-op events": (["a@10", "a@20", "a@30", "b@25"], "a[10,25) b[25,30) a[30,)"),
        "a late event comes before the first version": (["b@20", "a@10"], "a[10,20) b[20,)"),
        "a late event like the first version makes it begin earlier": (["a@20", "a@10"], "a[10,)"),
        "a late no-op in a closed version": (["a@5 a@10", "b@20", "a@15"], "a[5,20) b[20,)"),
        "a late event at a boundary decides by value": (["a@10 b@20", "c@20"], "a[10,20) c[20,)"),
        "a late event that undoes a change joins versions": (["a@10 b@20 a@30", "a@20", "c@20"], "a[10,20) c[20,30) a[30,)"),
        "a value that returns is a new version": (["a@10", "b@20", "a@30"], "a[10,20) b[20,30) a[30,)"),
        "to NULL and back": (["a@10 NULL@20", "a@30"], "a[10,20) None[20,30) a[30,)"),
        "a delete leaves a gap, a revival ends it": (["a@10", "-@20", "a@30"], "a[10,20) a[30,)"),
        "a late delete in an absorbed run": (["a@10 a@20 a@30", "-@25"], "a[10,25) a[30,)"),
        "a late delete at an absorbed event wins": (["a@10 a@20 a@30", "-@20"], "a[10,20) a[30,)"),
        "a delete at the start of a version takes it away": (["a@10 b@20", "-@20"], "a[10,20)"),
        "an earlier delete shortens, the later one is remembered": (["a@10 -@30", "-@20", "b@25"], "a[10,20) b[25,30)"),
        "an orphan delete closes what comes late": (["-@20", "a@10"], "a[10,20)"),
        "a delete wins a tie, in any order": (["-@10", "a@10"], ""),
        "an orphan delete, a revival, and the past": (["-@20", "b@30", "a@10"], "a[10,20) b[30,)"),
    }.values(),
)
def test_a_situation_ends_as_the_design_says(batches: list[str], table: str, dimensions: Dimensions) -> None:
    dimension = dimensions("close, by instant")
    for order in permutations(batches):
        dimension.clear()
        for batch in order:
            dimension.merge(told(batch))
        assert shown(dimension) == table


def test_untracked_columns_follow_the_last_event_of_each_part_of_a_split(dimensions: Dimensions) -> None:
    dimension = dimensions("close, by instant")
    dimension.clear()
    dimension.merge([event(at=at, name="a", visits=at) for at in (10, 20, 30)])
    dimension.merge([event(at=25, name="b", visits=99)])
    assert [(row["name"], row["visits"]) for row in dimension.rows()] == [("a", 20), ("b", 99), ("a", 30)]


def test_a_table_of_another_tool_is_adopted_as_it_is(dimensions: Dimensions) -> None:
    dimension = dimensions("close, by instant and lsn")
    dimension.clear()
    dimension.merge(told("a@10 -@20 b@30"))
    dimension.connection.execute("UPDATE versions SET _absorbed = NULL")
    assert dimension.merge(told("b@30")) == []
    dimension.merge(told("c@15"))
    assert shown(dimension) == "a[10,15) c[15,20) b[30,)"


def test_literals_stand_for_the_open_end_and_the_first_beginning(dimensions: Dimensions) -> None:
    with duckdb.connect() as connection:
        dimension = Dimension(connection, spec(open_until="999", first_version_from="1"))
        for batch in ("b@20", "a@10", "-@30", "c@40"):
            dimension.merge(told(batch))
            assert dimension.merge(told(batch)) == []
        assert shown(dimension) == "a[1,20) b[20,30) c[40,999)"
        assert [row["is_current"] for row in dimension.rows()] == [False, False, True]


def test_an_inferred_member_is_overwritten_in_place(dimensions: Dimensions) -> None:
    dimension = dimensions("close, by instant")
    dimension.clear()
    number = hash63([1], ["INT"])
    dimension.connection.execute(
        f"INSERT INTO versions (id, user_key, valid_from, is_current, _is_inferred) VALUES (1, {number}, 0, TRUE, TRUE)"
    )
    assert dimension.merge(told("-@5")) == []
    assert dimension.merge(told("a@3")) == [(1, number, "update")]
    assert shown(dimension) == "a[3,5)"
    assert not any(row["_is_inferred"] for row in dimension.rows())


def test_the_special_members_are_rows_of_the_dimension(dimensions: Dimensions) -> None:
    dimension = dimensions("new_record, by instant")
    dimension.clear()
    dimension.connection.execute(f"INSERT INTO versions BY NAME {render(members_sql(dimension.spec), 'duckdb', {})}")
    rows = dimension.rows()
    assert {(row["user_key"], row["name"], row["visits"]) for row in rows} == {(-1, "Unknown", None), (-2, "Not applicable", None)}
    assert dimension.merge(told("a@3")) == [(1, hash63([1], ["INT"]), "insert")]


# Full feeds.

SNAPSHOTS = st.lists(
    st.dictionaries(
        st.integers(1, 3),
        st.fixed_dictionaries({"name": st.sampled_from([None, "a", "b"]), "visits": st.integers(0, 1), "at": st.integers(0, 30)}),
        max_size=3,
    ),
    min_size=1,
    max_size=4,
)


@settings(max_examples=settings.default.max_examples // 4)
@given(snapshots=SNAPSHOTS, timed=st.booleans(), deletes=st.sampled_from(["close", "new_record"]))
def test_after_each_snapshot_the_open_versions_are_what_it_shows(
    snapshots: list[dict[int, Row]], *, timed: bool, deletes: str, dimensions: Dimensions
) -> None:
    given_spec = spec(deletes, type1=(), unstored={"at": "BIGINT"})
    dimension = Dimension(dimensions("close, by instant").connection, for_snapshots(given_spec))
    run = dimension.connection.execute
    for day, members in enumerate(snapshots):
        seen = pa.Table.from_pylist(
            [event(id=key, **row) for key, row in members.items()], pa.schema([*SNAPSHOT_SCHEMA, ("at", pa.int64())])
        )
        dimension.connection.register("snapshot", seen if timed else seen.drop(["at"]))
        run("CREATE OR REPLACE TEMP TABLE scope AS SELECT id FROM versions")
        sql = render(snapshot_events_sql(given_spec, observed_at=str(10 * day), timed=timed), "duckdb", {})
        dimension.merge(dimension.connection.sql(sql).to_arrow_table().to_pylist())
        rows = dimension.rows()
        open_rows = {row["id"]: row for row in rows if row["is_current"] and not row.get("is_deleted")}
        assert {key: (row["name"], row["visits"]) for key, row in open_rows.items()} == {
            k: (r["name"], r["visits"]) for k, r in members.items()
        }
        assert all(a["id"] != b["id"] or (a["valid_to"] or 999) <= b["valid_from"] for a, b in pairwise(rows))
        assert run(sql).fetchall() == [], "the same snapshot said something new"


SNAPSHOT_SCHEMA = [(name, arrow_type(type_)) for name, type_ in COLUMNS.items()]

# Keys.

KEYS = {
    "BIGINT": st.integers(-(2**63), 2**63 - 1),
    "STRING": st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])),
    "DECIMAL(12, 4)": st.decimals(-99_999_999, 99_999_999, places=4),
    "TIMESTAMP": st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.just(UTC)),  # noqa: DTZ001
    "TIMESTAMP_NTZ": st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30)),  # noqa: DTZ001
    "DATE": st.dates(),
    "BOOLEAN": st.booleans(),
    "BINARY": st.binary(),
}


@given(rows=st.lists(st.tuples(*(st.none() | values for values in KEYS.values())), min_size=1, max_size=20))
def test_a_hash_is_the_same_in_sql_and_in_python(rows: list[tuple[Any, ...]], dimensions: Dimensions) -> None:
    names = [f"c{i}" for i in range(len(KEYS))]
    table = pa.table([pa.array(values, arrow_type(type_)) for values, type_ in zip(zip(*rows, strict=True), KEYS, strict=True)], names)
    connection = dimensions("close, by instant").connection
    connection.register("rows_to_hash", table)
    text = text_sql(zip(names, KEYS, strict=True))
    both = f"SELECT number, lk_first63(digest) FROM (SELECT lk_hash63({text}) AS number, lk_md5({text}) AS digest FROM rows_to_hash)"
    found = connection.execute(render(both, "duckdb", {})).fetchall()
    assert found == [(number, number) for number in (hash63(row, list(KEYS)) for row in rows)]


def test_hashes_keep_their_published_values() -> None:
    assert hash63([42], ["BIGINT"]) == 6742304744514443810
    assert hash63(["a", None], ["STRING", "STRING"]) == 7592870885952478364
