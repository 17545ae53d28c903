"""merge on scenarios from the test suites of other projects: tests/cases/upsert, or DIR/upsert with ``--cases DIR``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import lakekit as lk
from lakekit.bookmark import OF_PARENT
from lakekit.columns import is_system
from lakekit.errors import ConfigError, ContractError, SchemaError
from tests.contract.cases import ABOUT, Case, Row, load, parametrize, require_known
from tests.contract.helpers import foreign, made_elsewhere

TABLE = "silver.scenario"
AT = datetime(2026, 1, 1, tzinfo=UTC)

# What a scenario may say, and what it is in lakekit's words.
FIELDS = ABOUT | {"api", "feed", "key", "sequence_by", "options", "table", "types", "compare", "expected"}
FIELDS |= {"initial", "initial_generator", "prior_batches", "batches"}
APIS: dict[str, dict[str, Any]] = {
    "merge_into": {"duplicates": "fail"},  # SQL's MERGE: it doesn't say which of two rows counts
    "apply_changes (scd1)": {},
}
FEEDS = frozenset({None, "cdc", "incremental"})
OPTIONS: dict[str, dict[Any, dict[str, Any]]] = {
    "deletes": {mode: {"deletes": lk.Deletes(mode)} for mode in ("soft", "hard", "ignore")},
    "schema_evolution": {True: {"on_change": "evolve"}, False: {"on_change": "fail"}},
    "update": {True: {"when_matched": "update"}, False: {"when_matched": "ignore"}},
    "insert": {True: {"when_not_matched": "insert"}, False: {"when_not_matched": "ignore"}},
    "null_keys": {mode: {"null_keys": mode} for mode in ("reject", "match")},
}
FREE_OPTIONS = frozenset({"snapshot_properties"})  # of any value; given to lk.connect
COUNTS = frozenset({"inserted", "updated", "deleted", "unchanged", "late", "duplicates", "rejected"})
EXPECTED = COUNTS | {"rows", "error", "schema", "per_batch", "second_batch_commits_nothing", "every_new_snapshot_has", "property"}
ERRORS: dict[str, type[lk.LakekitError]] = {"no_key_given": ConfigError, "duplicate_keys_in_source": ContractError}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "path" in metafunc.fixturenames:
        parametrize(metafunc, "upsert")


def test_a_scenario_ends_as_it_says(lake: Any, path: Path) -> None:
    case = load(path)
    require_understood(case)
    expected = case.expected
    if "property" in expected:
        pytest.skip(f"told in words, not in rows: {expected['property']}")
    lake.engine.snapshot_properties = case.options.get("snapshot_properties", {})
    seed(lake, case)
    commits, made = play(lake, case)
    if "rows" in expected:
        assert shown(lake, case) == in_order(case, case.table(case.rows, "expected").to_pylist())
    for name in COUNTS & expected.keys():
        assert sum(getattr(commit, name) for commit in commits) == expected[name], name
    if "per_batch" in expected:
        asked = expected["per_batch"]
        assert [{name: getattr(commit, name) for name in counts} for commit, counts in zip(commits, asked, strict=True)] == asked
    for name, kind in expected.get("schema", {}).items():
        assert str(foreign(lake, TABLE).schema().find_field(name).field_type) == kind, name
    if expected.get("second_batch_commits_nothing"):
        assert (commits[1].committed, made[1]) == (False, [])
    if properties := {**case.options.get("snapshot_properties", {}), **expected.get("every_new_snapshot_has", {})}:
        assert any(made)
        assert all(properties.items() <= summary.items() for summaries in made for summary in summaries)


def seed(lake: Any, case: Case) -> None:
    """What the table holds before: rows of another tool, so that merge also takes over a table it didn't make."""
    if case.initial or "table" in case.fields:
        made_elsewhere(lake, TABLE, case.table(case.initial, "initial"), identifiers=identifiers(case))


def play(lake: Any, case: Case) -> tuple[list[lk.Commit], list[list[dict[str, str]]]]:
    """Merge the batches. If an error is expected, the last one must be refused and leave the table as it was.

    Returns the commits of ``batches``, and the summaries of the snapshots that each made.
    """
    prior, batches = case.batches("prior_batches"), case.batches("batches")
    for number, rows in enumerate(prior):
        merge(lake, case, number, rows)
    commits: list[lk.Commit] = []
    made: list[list[dict[str, str]]] = []
    for number, rows in enumerate(batches, start=len(prior)):
        before = snapshots(lake)
        if rows is batches[-1] and "error" in case.expected:
            with pytest.raises(ERRORS[case.expected["error"]]):
                merge(lake, case, number, rows)
            assert snapshots(lake) == before
        else:
            commits.append(merge(lake, case, number, rows))
            made.append([summary for snapshot, summary in snapshots(lake).items() if snapshot not in before])
    return commits, made


def require_understood(case: Case) -> None:
    require_known(case.fields, FIELDS, place="fields")
    require_known([case.fields["api"]], APIS, place="api")
    require_known([case.fields.get("feed")], FEEDS, place="feed")
    require_known(case.options, OPTIONS.keys() | FREE_OPTIONS, place="options")
    for name in case.options.keys() - FREE_OPTIONS:
        require_known([case.options[name]], OPTIONS[name], place=f"options: {name}")
    require_known(case.fields.get("table", {}), {"identifier_fields"}, place="table")
    require_known(case.expected, EXPECTED, place="expected")
    for counts in case.expected.get("per_batch", ()):
        require_known(counts, COUNTS, place="expected: per_batch")
    if not case.expected or not (case.batches("batches") or "property" in case.expected):
        raise ValueError("a scenario of nothing: it expects nothing of lakekit, or has no batch")
    require_known([case.expected["error"]] if "error" in case.expected else [], ERRORS, place="expected: error")


def identifiers(case: Case) -> tuple[str, ...]:
    return tuple(case.fields.get("table", {}).get("identifier_fields", ()))


def merge(lake: Any, case: Case, number: int, rows: Sequence[Row]) -> lk.Commit:
    """Merge a batch as the scenario asks for it, a minute after the one before."""
    frame = case.table(rows, "batch")
    arguments: dict[str, Any] = {"into": TABLE, "key": case.key, "order_by": case.fields.get("sequence_by")}
    arguments |= APIS[case.fields["api"]]
    for name in case.options.keys() - FREE_OPTIONS:
        arguments |= OPTIONS[name][case.options[name]]
    batch = lk.from_frame(lake, frame, run_id=f"batch {number}", now=AT + timedelta(minutes=number))
    unknown = [name for name in frame.column_names if not is_system(name) and name not in columns(lake)]
    if unknown and arguments.get("on_change") == "fail" and columns(lake) and "error" not in case.expected:
        # No column is left out in silence: merge refuses, and somebody has to say so.
        with pytest.raises(SchemaError, match=unknown[0]):
            lk.merge(batch, **arguments)
        batch = lk.select(batch, {}, rest="keep", drop=unknown)
    return lk.merge(batch, **arguments)


def columns(lake: Any) -> list[str]:
    return foreign(lake, TABLE).schema().column_names if TABLE in lake.tables() else []


def snapshots(lake: Any) -> dict[int, dict[str, str]]:
    """The snapshots of the table, each with its summary; not those that the next one speaks for."""
    found = foreign(lake, TABLE).metadata.snapshots if TABLE in lake.tables() else []
    summaries = {snapshot.snapshot_id: snapshot.summary.additional_properties for snapshot in found}
    spoken_for = {snapshot.parent_snapshot_id for snapshot in found if OF_PARENT in summaries[snapshot.snapshot_id]}
    return {number: summary for number, summary in summaries.items() if number not in spoken_for}


def shown(lake: Any, case: Case) -> list[str]:
    """The rows of the table that live."""
    return in_order(case, lk.read(lake, TABLE).to_arrow().to_pylist() if TABLE in lake.tables() else [])


def in_order(case: Case, rows: Sequence[Row]) -> list[str]:
    """Rows as text, sorted, without lakekit's own columns and those that are not compared."""
    kept = ({name: value for name, value in row.items() if not is_system(name) and name not in case.ignored} for row in rows)
    return sorted(json.dumps(row, sort_keys=True, default=str) for row in kept)
