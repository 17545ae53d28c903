"""What becomes of rows whose columns differ from the table's: nothing is lost, whatever the policy."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

import lakekit as lk
from lakekit import evolution
from lakekit.errors import CommitConflictError, ConfigError, SchemaError
from lakekit.evolution.fit import fit
from tests.contract.helpers import altered, foreign, frame, made_elsewhere, stored

TABLE = "silver.orders"
AT = datetime(2026, 3, 1, 8, 15, 0, 250000, tzinfo=UTC)


def append(lake: Any, run: str, rows: pa.Table | list[dict[str, Any]], **options: Any) -> lk.Commit:
    return lk.append(lk.from_frame(lake, rows, run_id=run), into=TABLE, **options)


def rescued(lake: Any, table: str = TABLE) -> list[Any]:
    """What was rescued, in the order of the rows' first column."""
    name = lk.read(lake, table).business_columns[0]
    return [text and json.loads(text) for _, text in sorted(stored(lake, table, name, "_rescued_data"), key=lambda row: str(row[0]))]


def typed(kind: pa.DataType, *values: Any) -> pa.Table:
    return pa.table({"id": range(len(values)), "value": pa.array(values, kind)})


@pytest.mark.parametrize(
    ("old", "new", "kept", "left"),
    [
        (pa.int32(), typed(pa.string(), "7", "-3", "007", "7.0", "seven", None), [7, -3, None, None, None, None], ["007", "7.0", "seven"]),
        (pa.int32(), typed(pa.int64(), 1, None), [1, None], []),
        (pa.int64(), typed(pa.float64(), 2.0, 2.5), [2, None], [{"$double": "2.5"}]),
        (pa.int64(), typed(pa.decimal128(12, 2), Decimal("2.00"), Decimal("2.50")), [2, None], [{"$decimal": "2.50"}]),
        (
            pa.decimal128(6, 2),
            typed(pa.string(), "1.5", "1.555", "12345.00", "1e3"),
            [Decimal("1.50"), None, None, None],
            ["1.555", "12345.00", "1e3"],
        ),
        (
            pa.decimal128(6, 2),
            typed(pa.decimal128(9, 3), Decimal("1.500"), Decimal("1.555")),
            [Decimal("1.50"), None],
            [{"$decimal": "1.555"}],
        ),
        (pa.float64(), typed(pa.string(), "0.25", "x"), [0.25, None], ["x"]),
        (pa.string(), typed(pa.int64(), 12), ["12"], []),
        (pa.string(), typed(pa.bool_(), True), ["true"], []),
        (pa.string(), typed(pa.timestamp("us", tz="UTC"), AT), [None], [{"$timestamp": "2026-03-01 08:15:00.25+00"}]),
        (pa.bool_(), typed(pa.date32(), date(2026, 3, 1)), [None], [{"$date": "2026-03-01"}]),
        (pa.date32(), typed(pa.binary(), b"\x00\xff"), [None], [{"$binary": "AP8="}]),
    ],
    ids=str,
)
def test_a_value_that_fits_is_kept_and_another_rescued(
    lake: Any, old: pa.DataType, new: pa.Table, kept: list[Any], left: list[Any]
) -> None:
    append(lake, "old", pa.table({"id": pa.array([-1]), "value": pa.array([None], old)}))
    commit = append(lake, "new", new)
    assert (commit.inserted, commit.rejected) == (len(new), 0)
    found = sorted(stored(lake, TABLE, "id", "value"))[1:]
    assert [value for _, value in found] == kept
    assert sorted(map(str, (one["value"] for one in rescued(lake) if one) if left else [])) == sorted(map(str, left))


def test_a_conflict_stops_no_other_column(lake: Any) -> None:
    append(lake, "old", [{"id": 1, "total": 5}])
    commit = append(lake, "new", [{"id": 2, "total": "five", "device_type": "phone"}])
    assert commit.columns_added == ("device_type",)
    assert sorted(stored(lake, TABLE, "id", "total", "device_type")) == [(1, 5, None), (2, None, "phone")]
    assert rescued(lake) == [None, {"total": "five"}]


def test_fields_inside_of_structs_lists_and_maps_come(lake: Any) -> None:
    old = pa.struct([("city", pa.string())])
    new = pa.struct([("city", pa.string()), ("zip", pa.string())])

    def table(kind: pa.DataType, value: dict[str, Any]) -> pa.Table:
        kinds = {"one": kind, "many": pa.list_(kind), "by_name": pa.map_(pa.string(), kind)}
        rows = {"one": [value], "many": [[value]], "by_name": [[("home", value)]]}
        return pa.table({name: pa.array(rows[name], kinds[name]) for name in kinds})

    append(lake, "old", table(old, {"city": "Bonn"}))
    append(lake, "new", table(new, {"city": "Kiel", "zip": "24103"}))
    append(lake, "old again", table(old, {"city": "Trier"}))
    found = sorted(stored(lake, TABLE, "one", "many", "by_name"), key=str)
    assert [one["zip"] for one, _, _ in found] == [None, "24103", None]
    assert [many[0]["zip"] for _, many, _ in found] == [None, "24103", None]
    assert [dict(by_name)["home"]["zip"] for _, _, by_name in found] == [None, "24103", None]


def test_a_conflict_inside_of_a_struct_is_rescued_by_its_path(lake: Any) -> None:
    append(lake, "old", [{"id": 1, "address": {"city": "Bonn", "zip": 53111}}])
    append(lake, "new", [{"id": 2, "address": {"city": "London", "zip": "N1"}}])
    assert sorted(stored(lake, TABLE, "id", "address")) == [(1, {"city": "Bonn", "zip": 53111}), (2, {"city": "London", "zip": None})]
    assert rescued(lake) == [None, {"address.zip": "N1"}]


def test_a_list_whose_elements_conflict_is_rescued_whole(lake: Any) -> None:
    append(lake, "old", [{"id": 1, "sizes": [1, 2]}])
    append(lake, "new", [{"id": 2, "sizes": ["s", "m"]}])
    assert sorted(stored(lake, TABLE, "id", "sizes"), key=str) == [(1, [1, 2]), (2, None)]
    assert rescued(lake) == [None, {"sizes": ["s", "m"]}]


def test_a_name_that_differs_in_case_only_is_the_same_column(lake: Any) -> None:
    append(lake, "old", [{"id": 1, "Total": 5}])
    assert append(lake, "new", [{"ID": 2, "total": 6}]).columns_added == ()
    assert sorted(stored(lake, TABLE, "id", "Total")) == [(1, 5), (2, 6)]


def test_new_columns_can_be_rescued_or_rejected_one_by_one(lake: Any) -> None:
    append(lake, "old", [{"id": 1}])
    policy = {"additive": "rescue", "device_type": "evolve", "secret": "reject"}
    rows = [{"id": 2, "device_type": "phone", "note": "n", "secret": None}, {"id": 3, "device_type": None, "note": None, "secret": "s"}]
    commit = append(lake, "new", rows, on_change=policy)
    assert (commit.read, commit.inserted, commit.rejected) == (2, 1, 1)
    assert sorted(stored(lake, TABLE, "id", "device_type")) == [(1, None), (2, "phone")]
    assert rescued(lake) == [None, {"note": "n"}]
    [(rule, reason, message, row)] = stored(lake, f"{TABLE}__rejects", "_rule", "_reason", "_message", "_row")
    assert (rule, reason, json.loads(row)["secret"]) == ("schema", "does_not_fit", "s")
    assert message == "secret does not fit the table's column, or has none there"


def test_fail_says_all_statements_and_writes_nothing(lake: Any) -> None:
    append(lake, "old", [{"id": 1, "n": 1}])
    before = foreign(lake, TABLE).metadata_location
    with pytest.raises(SchemaError) as caught:
        append(lake, "new", [{"id": 2, "n": 1, "device_type": "phone", "place": {"city": "Bonn"}}], on_change="fail")
    assert f"{altered(lake, TABLE)} ADD COLUMN device_type STRING;" in str(caught.value)
    assert f"{altered(lake, TABLE)} ADD COLUMN place STRUCT<`city`: STRING>;" in str(caught.value)
    assert foreign(lake, TABLE).metadata_location == before
    with pytest.raises(SchemaError, match="expected BIGINT, got STRING"):
        append(lake, "new", [{"id": 2, "n": "one"}], on_change={"conflict": "fail"})


def test_the_statements_do_by_hand_what_the_plan_does(lake: Any) -> None:
    """The manual flow: the job fails, an engineer applies what it says, the job goes through."""
    append(lake, "old", [{"id": 1}])
    lk.append(frame(lake, "new", {"id": 2, "device_type": "phone"}), into="bronze.orders")
    plan = evolution.plan(lake, "bronze.orders", into=TABLE, policy="fail")
    rows = [{"id": 2, "device_type": "phone"}]
    with pytest.raises(SchemaError):
        append(lake, "new", rows, on_change="fail")
    assert evolution.apply(lake, evolution.SchemaPlan.from_json(plan.to_json())) == ("device_type",)
    append(lake, "new", rows, on_change="fail")
    assert sorted(stored(lake, TABLE, "id", "device_type")) == [(1, None), (2, "phone")]
    with pytest.raises(CommitConflictError, match="not the one that the plan was made for"):
        evolution.apply(lake, plan)


def test_a_required_column_may_be_null_once_the_source_says_so(lake: Any) -> None:
    required = pa.schema([pa.field("id", pa.int64(), nullable=False), pa.field("name", pa.string(), nullable=False)])
    made_elsewhere(lake, TABLE, pa.table({"id": [1], "name": ["Ada"]}, schema=required))
    append(lake, "new", [{"id": 2, "name": None}])
    assert sorted(stored(lake, TABLE, "id", "name")) == [(1, "Ada"), (2, None)]


def test_a_merge_rescues_too_and_forgets_it_once_the_value_fits(lake: Any) -> None:
    def merge(run: str, **row: Any) -> lk.Commit:
        return lk.merge(frame(lake, run, row), key="id", into=TABLE)

    merge("a", id=1, total=5)
    merge("b", id=1, total="five")
    assert (stored(lake, TABLE, "total"), rescued(lake)) == ([(None,)], [{"total": "five"}])
    merge("c", id=1, total=6)
    assert (stored(lake, TABLE, "total"), rescued(lake)) == ([(6,)], [None])


def test_a_merge_without_a_key_column_is_refused(lake: Any) -> None:
    lk.merge(frame(lake, "a", {"id": 1, "total": 5}), key="id", into=TABLE)
    with pytest.raises(SchemaError):
        lk.merge(frame(lake, "b", {"total": 5}), key="id", into=TABLE)


def test_scd2_takes_new_columns_and_rescues_conflicts(lake: Any) -> None:
    def merge(run: str, **row: Any) -> lk.Commit:
        return lk.merge_scd2(frame(lake, run, {"id": 1, **row}), key="id", effective_at="at", into="gold.dim")

    merge("a", at=AT, size=1)
    merge("b", at=AT.replace(day=2), size="large")
    assert sorted(stored(lake, "gold.dim", "size", "is_current"), key=str) == [(1, False), (None, True)]
    assert [one for one in rescued(lake, "gold.dim") if one] == [{"size": "large"}]


@pytest.mark.parametrize("policy", ["everything", {"conflict": "evolve"}, {"additive": "perhaps"}])
def test_an_unknown_policy_is_refused(lake: Any, policy: Any) -> None:
    with pytest.raises(ConfigError):
        append(lake, "a", [{"id": 1}], on_change=policy)


def test_history_tells_renames_from_drops(lake: Any) -> None:
    append(lake, "a", [{"id": 1, "n": 1, "old": "x"}])
    with foreign(lake, TABLE).update_schema() as update:
        update.rename_column("old", "new")
    with foreign(lake, TABLE).update_schema(allow_incompatible_changes=True) as update:
        update.delete_column("n")
    words = [change for version in evolution.history(lake, TABLE)[1:] for change in version.changes]
    assert words == ["rename old to new", "drop n"]


def test_rescued_values_come_back_once_their_column_can_hold_them(lake: Any) -> None:
    def merge(run: str, *rows: dict[str, Any]) -> lk.Commit:
        return lk.merge(frame(lake, run, *rows), key="id", into=TABLE)

    row = {"id": 1, "size": 1, "at": True, "home": {"zip": 1}, "tags": [1]}
    merge("a", row)
    merge("b", {"id": 2, "size": "large", "at": AT, "home": {"zip": "N1"}, "tags": ["x", "y"]})
    merge("c", {**row, "id": 3, "size": "7 kg"})
    lk.read_new(lake, TABLE, into="gold.things").pipe(lambda batch: lk.merge(batch, key="id"))
    assert evolution.unrescue(lake, TABLE).committed is False
    with foreign(lake, TABLE).update_schema(
        allow_incompatible_changes=True
    ) as update:  # what an engineer does: other columns in their place
        for name in ("size", "at", "tags"):
            update.delete_column(name)
        update.delete_column(("home", "zip"))
    with foreign(lake, TABLE).update_schema() as update:
        update.union_by_name(
            pa.schema(
                [
                    ("size", pa.string()),
                    ("at", pa.timestamp("us", tz="UTC")),
                    ("tags", pa.list_(pa.string())),
                    ("home", pa.struct([("zip", pa.string())])),
                ]
            )
        )
    assert evolution.unrescue(lake, TABLE, dry_run=True).updated == 2
    assert evolution.unrescue(lake, TABLE).updated == 2
    found = sorted(stored(lake, TABLE, "id", "size", "at", "home", "tags"))
    assert found[1:] == [(2, "large", AT, {"zip": "N1"}, ["x", "y"]), (3, "7 kg", None, {"zip": None}, None)]
    assert rescued(lake) == [None, None, None]
    assert evolution.unrescue(lake, TABLE).updated == 0
    assert lk.read_new(lake, TABLE, into="gold.things").count() == 2


def test_a_rescued_value_comes_back_to_a_column_that_is_written_otherwise(lake: Any) -> None:
    def merge(run: str, row: dict[str, Any], policy: Any) -> None:
        lk.merge(frame(lake, run, row), key="id", into=TABLE, on_change=policy)

    merge("a", {"id": 1}, "evolve")
    merge("b", {"id": 2, "size": "large", "home": {"zip": "N1"}}, {"additive": "rescue"})
    merge("c", {"id": 3, "SIZE": "small", "Home": {"zip": "N2"}}, "evolve")
    assert rescued(lake)[1] == {"size": "large", "home": {"zip": "N1"}}
    assert evolution.unrescue(lake, TABLE).updated == 1
    assert sorted(stored(lake, TABLE, "id", "SIZE", "Home"), key=lambda row: row[0])[1:] == [
        (2, "large", {"zip": "N1"}),
        (3, "small", {"zip": "N2"}),
    ]
    assert rescued(lake) == [None, None, None]


def test_what_does_not_fit_yet_stays_rescued(lake: Any) -> None:
    append(lake, "old", [{"id": 1, "a": 1, "b": 1}])
    append(lake, "new", [{"id": 2, "a": "x", "b": "y"}])
    with foreign(lake, TABLE).update_schema(allow_incompatible_changes=True) as update:
        update.delete_column("b")
    with foreign(lake, TABLE).update_schema() as update:
        update.union_by_name(pa.schema([("b", pa.string())]))
    if lake.engine.name != "embedded":
        with pytest.raises(ConfigError, match="no key"):
            evolution.unrescue(lake, TABLE)
        return
    assert evolution.unrescue(lake, TABLE).updated == 1
    assert sorted(stored(lake, TABLE, "id", "a", "b")) == [(1, 1, None), (2, None, "y")]
    assert rescued(lake) == [None, {"a": "x"}]


def test_a_dot_in_a_name_is_no_way_into_a_struct(lake: Any) -> None:
    append(lake, "old", [{"id": 1, "a.b": 1}])
    append(lake, "new", [{"id": 2, "a.b": "x"}])
    assert rescued(lake) == [None, {"a\\.b": "x"}]


def test_a_column_that_partitions_and_order_are_made_of_is_widened_and_may_go(lake: Any) -> None:
    lk.create_table(
        lake, TABLE, schema={"id": "bigint", "day": "int", "n": "int"}, partition_by=("day", "bucket(4, day)"), sort_by="n", properties={}
    )

    def merge(run: str, **columns: pa.Array) -> lk.Commit:
        return lk.merge(lk.from_frame(lake, pa.table(columns), run_id=run), key="id", into=TABLE)

    small, large = pa.int32(), pa.int64()
    merge("a", id=pa.array([1, 2], large), day=pa.array([1, 2], small), n=pa.array([2, 1], small))
    merge("b", id=pa.array([2, 3], large), day=pa.array([2, 2**40], large), n=pa.array([2**40, 5], large))
    assert sorted(stored(lake, TABLE, "id", "day", "n")) == [(1, 1, 2), (2, 2, 2**40), (3, 2**40, 5)]
    gone = pa.table({"id": pa.array([4], large)})
    plan = evolution.plan(lake, _appended(lake, gone), into=TABLE)
    assert {step.change.name: step.change.note for step in plan.steps} == {
        "day": "the table is partitioned by it",
        "n": "its files are sorted by it",
    }
    assert not plan
    merge("c", id=pa.array([4], large))
    found = foreign(lake, TABLE)
    assert found.scan(row_filter="day == 1").to_arrow().column("id").to_pylist() == [1]
    assert sorted(found.scan().to_arrow().column("id").to_pylist()) == [1, 2, 3, 4]
    merge("d", id=pa.array([1], large), day=pa.array([2**40], large), n=pa.array([7], large))
    assert sorted(stored(lake, TABLE, "id", "day"), key=str) == [(1, 2**40), (2, 2), (3, 2**40), (4, None)]


def _appended(lake: Any, rows: pa.Table) -> str:
    lk.append(lk.from_frame(lake, rows, run_id="a"), into="bronze.incoming")
    return "bronze.incoming"


def test_a_plan_is_carried_out_in_one_schema_or_two_where_spark_needs_them(lake: Any) -> None:
    made_elsewhere(lake, TABLE, pa.table({"id": [1], "n": pa.array([1], pa.int32()), "f": pa.array([1.5], pa.float32())}))
    wide = pa.table({"id": pa.array([2]), "n": pa.array([2**40]), "f": pa.array([2.5]), "a": pa.array(["x"]), "b": pa.array(["y"])})
    append(lake, "new", wide)
    assert sorted(stored(lake, TABLE, "id", "n", "f", "a", "b")) == [(1, 1, 1.5, None, None), (2, 2**40, 2.5, "x", "y")]
    changed = [version.changes for version in evolution.history(lake, TABLE)[1:]]
    assert len(changed) == (1 if lake.engine.name == "embedded" else 2 if _alters_several_at_once() else 3)
    assert {word for words in changed for word in words} >= {
        "widen n: INT -> BIGINT",
        "widen f: FLOAT -> DOUBLE",
        "add a: STRING",
        "add b: STRING",
    }


def _alters_several_at_once() -> bool:
    """Spark before 4.1 takes one ALTER COLUMN a statement."""
    import pyspark

    return tuple(map(int, pyspark.__version__.split(".")[:2])) >= (4, 1)


def test_a_schema_that_somebody_else_changed_first_is_looked_at_again(lake: Any) -> None:
    append(lake, "old", [{"id": 1}])
    state, place = lake.load(TABLE, place="test"), "test"
    with foreign(lake, TABLE).update_schema() as update:
        update.union_by_name(pa.schema([("device_type", pa.string())]))
    incoming = pa.schema([("id", pa.int64()), ("device_type", pa.string()), ("channel", pa.string())])
    now, added = fit(lake.engine, state, incoming, on_change="evolve", place=place)
    assert added == ("channel",)
    assert {"device_type", "channel"} <= {*now.schema.names}
    with foreign(lake, TABLE).update_schema() as update:
        update.union_by_name(pa.schema([("size", pa.string())]))
    with pytest.raises(CommitConflictError, match="changed while the rows were read"):  # they were made for a table that had none
        fit(lake.engine, now, incoming.append(pa.field("size", pa.int64())), on_change="evolve", place=place)
    assert sorted(stored(lake, TABLE, "id", "device_type", "size")) == [(1, None, None)]


def test_a_table_that_is_not_to_be_made_is_refused_with_the_statement_that_makes_it(lake: Any) -> None:
    with pytest.raises(SchemaError) as caught:
        append(lake, "a", [{"id": 1, "order date": "x"}], on_change={"table": "fail"})
    made = altered(lake, TABLE).replace("ALTER", "CREATE")
    assert caught.value.hint == f"run:\n{made} (id BIGINT, `order date` STRING) USING iceberg;"
    assert TABLE not in lake.tables()


def test_statements_of_all_kinds_leave_nothing_to_do(lake: Any) -> None:
    line, more = pa.struct([("n", pa.int32())]), pa.struct([("n", pa.int64()), ("sku", pa.string())])

    def rows(kinds: dict[str, pa.DataType]) -> pa.Table:
        return pa.table({"id": pa.array([1])} | {name: pa.array([None], kind) for name, kind in kinds.items()})

    before = {
        "price": pa.decimal128(9, 2),
        "size": pa.float32(),
        "line": line,
        "lines": pa.list_(line),
        "by_name": pa.map_(pa.string(), line),
    }
    after = {
        "price": pa.decimal128(12, 2),
        "size": pa.float64(),
        "line": more,
        "lines": pa.list_(more),
        "by_name": pa.map_(pa.string(), more),
    }
    new = {"order": pa.string(), "a b": pa.list_(pa.binary()), "`": pa.timestamp("us", tz="UTC"), "day": pa.date32(), "home": more}
    append(lake, "old", rows(before))
    incoming = _appended(lake, rows({**after, **new}))
    plan = evolution.plan(lake, incoming, into=TABLE, policy="fail")
    assert len(plan.statements()) == len(plan.statements("trino")) == 2 + 3 * 2 + len(new)
    if lake.engine.name == "spark":
        for statement in plan.statements():
            lake.engine.spark.sql(statement).collect()
    else:
        assert len(evolution.apply(lake, plan)) == 3 + len(new)
    assert not evolution.plan(lake, incoming, into=TABLE, policy="fail").steps
