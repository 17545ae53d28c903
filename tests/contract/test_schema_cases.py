"""Schema evolution on scenarios from the test suites of other projects: tests/cases/schema, or DIR/schema with ``--cases DIR``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import permutations
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import lakekit as lk
from lakekit import evolution
from lakekit.engines.types import widens
from lakekit.errors import SchemaError
from lakekit.evolution.differences import CHANGING
from lakekit.evolution.schema_plan import grown, make
from tests.contract.cases import ABOUT, Case, iceberg_type, load, parametrize, require_known
from tests.contract.helpers import frame, stored

TABLE = "bronze.scenario"

# What a scenario may say, and what it is in lakekit's words.
FIELDS = ABOUT | {"api", "current", "incoming", "expected", "contract", "initial_rows", "batch", "cases"}
FIELDS |= {"allowed_v2", "allowed_v3_extra", "read_only_promotions_not_schema_updates", "disallowed"}
COLUMN = frozenset({"name", "type", "required", "identifier", "doc", "initial_default", "write_default"})
CLASSES = {
    "additive": "additive",
    "widening": "widening",
    "relaxing": "relaxing",
    "conflict": "conflict",
    "missing_column": "missing",
    "compatible_narrower_source": "narrower",
    "same_column": "case",
}
OPERATIONS = {"add": "additive", "update_type": "widening", "make_optional": "relaxing"}
POLICIES = {"evolve": "evolve", "freeze": "fail", "discard_row": "reject", "discard_value": "rescue"}
STORED = frozenset({"date", "timestamp"})
"""Types of the third format's promotions that lakekit stores: none of nanoseconds, none that is unknown."""
SUBJECTS = {"columns": "additive", "data_type": "conflict", "tables": "table"}
ERRORS = frozenset({"type_conflict", "key_column_missing", "contract_violation"})
"""What is refused: with ``on_change="fail"`` every one of these is a SchemaError."""
ELSEWHERE = frozenset({"variant_column_added", "lakekit_also"})
"""What another system does instead, or words for people."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "path" in metafunc.fixturenames:
        parametrize(metafunc, "schema")


def test_a_scenario_ends_as_it_says(lake: Any, path: Path) -> None:
    case = load(path)
    require_known(case.fields, FIELDS, place=path.name)
    APIS[case.fields["api"].partition("(")[0]](lake, case)


def planned(lake: Any, case: Case) -> None:
    """``schema_plan``: two schemas, and what differs."""
    current, incoming = columns(case.fields["current"]), columns(case.fields["incoming"])
    keys = [column["name"] for column in case.fields["current"] if column.get("identifier")]
    found = evolution.diff(current, incoming, keys=keys)
    expected = case.expected
    require_known(expected, {"changes", "class", "schema", "error", "path", "report", "write", "case_sensitive"}, place="expected")
    if "changes" in expected:
        assert [(change.kind, change.name) for change in found.of(*CHANGING)] == [
            (OPERATIONS[change["op"]], change["path"]) for change in expected["changes"]
        ]
        for change, said in zip(found.of(*CHANGING), expected["changes"], strict=True):
            require_change(change, said)
    if "class" in expected:
        assert CLASSES[expected["class"]] in {change.kind for change in found.changes}
    if "path" in expected:
        assert expected["path"] in {change.name for change in found.of(CLASSES[expected["class"]])}
    if "report" in expected:
        assert [change.name for change in found.of("missing")] == expected["report"]
    if "schema" in expected:
        assert grown(current, found.of(*CHANGING)).equals(columns(expected["schema"]))
    if "error" in expected:
        assert expected["error"] in ERRORS
        with pytest.raises(SchemaError):
            make(TABLE, found, "fail").require_allowed(place="test")


def require_change(change: evolution.Change, said: Mapping[str, Any]) -> None:
    require_known(said, {"op", "path", "type", "from", "to", "class", "required", "initial_default", "write_default"}, place="changes")
    for name, kind in (("type", change.after), ("to", change.after), ("from", change.before)):
        assert name not in said or kind == iceberg_type(said[name])
    assert CLASSES[said.get("class", "additive")] == change.kind or "class" not in said
    assert not said.get("required", False), "lakekit adds optional columns only"


def promoted(lake: Any, case: Case) -> None:
    """``is_widening``: which types become which."""
    allowed = {tuple(pair) for pair in case.fields["allowed_v2"]}
    for old, new in allowed:
        assert widens(iceberg_type(old), iceberg_type(new)), (old, new)
    for old, new in case.fields["allowed_v3_extra"]:
        if {old, new} <= STORED:
            assert widens(iceberg_type(old), iceberg_type(new), version=3) > widens(iceberg_type(old), iceberg_type(new)), (old, new)
    for old, new in case.fields["read_only_promotions_not_schema_updates"]:
        assert not widens(iceberg_type(old), iceberg_type(new), version=3), (old, new)
    words = case.fields["disallowed"].partition("of: ")[2]
    kinds = [word.strip() for word in words.replace("(10,2)", "(10;2)").split(",")]
    for old, new in permutations([kind.replace(";", ",") for kind in kinds], 2):
        assert widens(iceberg_type(old), iceberg_type(new)) == ((old, new) in allowed), (old, new)


def contracted(lake: Any, case: Case) -> None:
    """``contract``: what becomes of rows that differ."""
    if "cases" in case.fields:
        for index, one in enumerate(case.fields["cases"]):
            required(lake, case, one, f"{TABLE}_{index}")
        return
    contract = case.fields["contract"]
    require_known(contract, SUBJECTS, place="contract")
    policy = {SUBJECTS[name]: POLICIES[word] for name, word in contract.items()}
    expected = case.expected
    require_known(expected, ELSEWHERE | {"rows", "column_added", "table_created", "rows_in_new_table", "error"}, place="expected")
    first = [{"id": number, "value": number} for number in range(case.fields.get("initial_rows", 0))]
    if first:
        lk.append(frame(lake, "first", *first), into=TABLE)
    batch = frame(lake, "second", *incoming(case))
    if policy.get("conflict") == "evolve":
        policy["conflict"] = "rescue"  # dlt adds another column for such values; lakekit keeps them beside
    if "error" in expected or policy == {"table": "reject"}:  # there is no table to keep the rejects for: the write stops
        with pytest.raises(SchemaError):
            lk.append(batch, into=TABLE, on_change=policy)
    else:
        commit = lk.append(batch, into=TABLE, on_change=policy)
        assert commit.read == commit.inserted + commit.rejected, "no row is dropped silently"
    there = lake.find(("bronze", "scenario"))
    rows = 0 if there is None else lk.read(lake, TABLE).count()
    assert rows == expected.get("rows", expected.get("rows_in_new_table"))
    if "table_created" in expected:
        assert (there is not None) == expected["table_created"]
    if "column_added" in expected:
        assert ("extra" in there.schema.names) == expected["column_added"]
    if policy in ({"additive": "rescue"}, {"conflict": "rescue"}):
        rescued = lk.read(lake, TABLE).sql("SELECT _rescued_data FROM batch WHERE _rescued_data IS NOT NULL").count()
        assert rescued == len(incoming(case))
    if "reject" in policy.values() and there is not None:
        assert len(stored(lake, f"{TABLE}__rejects", "_rule")) == len(incoming(case))


def incoming(case: Case) -> list[dict[str, Any]]:
    """The batch, which a scenario tells in words."""
    number, _, words = case.fields["batch"].partition(" rows")
    given = {
        ", each with one unknown column": lambda n: {"id": 100 + n, "value": n, "extra": f"e{n}"},
        " for an unknown table": lambda n: {"id": n, "value": n},
        " whose value of an existing bigint column is text that cannot be coerced": lambda n: {"id": 100 + n, "value": f"text {n}"},
    }
    make: Callable[[int], dict[str, Any]] = given[words]
    return [make(n) for n in range(int(number))]


def required(lake: Any, case: Case, one: Mapping[str, Any], name: str) -> None:
    """Columns that must come, columns that may, and no others."""
    require_known(one, {"incoming", "ok", "result_columns"}, place="cases")
    contract = case.fields["contract"]
    require_known(contract, {"required", "optional", "other"}, place="contract")
    policy = {"additive": POLICIES[contract["other"]]}
    policy |= dict.fromkeys(contract["required"], "fail") | dict.fromkeys(contract["optional"], "evolve")
    lk.append(frame(lake, "first", dict.fromkeys(case.fields["current"], 1)), into=name)
    batch = frame(lake, "second", dict.fromkeys(one["incoming"], 2))
    if not one["ok"]:
        with pytest.raises(SchemaError):
            lk.append(batch, into=name, on_change=policy)
        return
    lk.append(batch, into=name, on_change=policy)
    assert lk.read(lake, name).business_columns == one["result_columns"]


def columns(given: Sequence[Mapping[str, Any]]) -> pa.Schema:
    fields = []
    for column in given:
        require_known(column, COLUMN, place="column")
        fields.append(pa.field(column["name"], iceberg_type(column["type"]), nullable=not column.get("required", False)))
    return pa.schema(fields)


APIS: dict[str, Callable[[Any, Case], None]] = {"schema_plan": planned, "is_widening": promoted, "contract": contracted}
