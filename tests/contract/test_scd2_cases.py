"""merge_scd2 on scenarios from the test suites of other projects: tests/cases/scd2, or DIR/scd2 with ``--cases DIR``."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import attrs
import pyarrow as pa
import pytest

import lakekit as lk
from lakekit.columns import INGESTION_TIMESTAMP, OPERATION, is_system
from lakekit.errors import ConfigError, ContractError, GuardError, LakekitError, SchemaError
from tests.contract.cases import ABOUT, Case, Row, iceberg_type, load, parametrize, require_known
from tests.contract.deaths import Death, no_write_of
from tests.contract.helpers import foreign, made_elsewhere
from tests.contract.scd2_properties import require_property

TABLE = "gold.scenario"
AT = datetime(2026, 1, 1, tzinfo=UTC)
EPOCH = "1970-01-01"

# What a scenario may say, and what it is in lakekit's words.
FIELDS = ABOUT | {
    "api",
    "feed",
    "key",
    "sequence_by",
    "tracked",
    "options",
    "types",
    "compare",
    "expected",
    "crash",
    "generator",
    "property",
}
FIELDS |= {"initial", "prior_batches", "batches", "target_schema", "target_columns_extra"}
SNAPSHOT = {"feed": "full"}
FEEDS: dict[str, dict[str, Any]] = {
    "snapshot": SNAPSHOT,
    "full": SNAPSHOT,
    "partition_snapshot": SNAPSHOT,  # see delete_scope
    "incremental": {"effective_at": INGESTION_TIMESTAMP},
    "incremental_with_effective_time": {},  # that of sequence_by
    "cdc": {},
}
# Arguments of merge_scd2; those of Deletes; and three of this file: the columns to select, the columns of a scope, and from when on the
# rows of a first load are said to have been there.
OPTIONS: dict[str, dict[Any, dict[str, Any]]] = {
    "strategy": {"check": {}, "timestamp": {}},  # the second has updated_at, too
    "valid_from": {"updated_at": {}, **{word: {"effective_at": None} for word in ("as_of", "observed_at", "execution_time")}},
    "deletes": {
        **{mode: {"mode": mode} for mode in ("close", "ignore", "new_record", "hard")},
        **{word: {"mode": "close"} for word in ("soft", "invalidate")},
    },
    "untracked": {"overwrite": {}, "keep": {}},  # dbt keeps them as they are; lakekit overwrites the open version
    "type1_scope": {"all": {}, "current": {"type1": ()}},  # that is what lakekit's untracked columns do
    "first_version_valid_from": {"epoch": {"first_version_from": EPOCH}, "epoch_on_initial_load": {"there_since": EPOCH}, "event": {}},
    "new_column": {word: {"new_column": word} for word in ("adopt", "version_all", "refuse", "rebuild")},
    "schema_evolution": {True: {"on_change": "evolve"}, False: {"on_change": "fail"}},
    "force_deletes": {True: {"force": True}, False: {"force": False}},
}
VALUES: dict[str, str] = {  # of any value
    "updated_at": "effective_at",
    "effective_at": "effective_at",
    "order_by": "order_by",
    "active_record_timestamp": "open_until",
    "open_until": "open_until",
    "type1": "type1",
    "ignore_null": "ignore_null",
    "ignore_null_updates": "ignore_null",
    "row_version_column": "track",
    "surrogate_key": "surrogate_key",
    "valid_from_column": "valid_from",
    "valid_to_column": "valid_to",
    "delete_when": "delete_when",
    "delete_scope": "scope",
    "max_delete_fraction": "max_fraction",
    "select": "select",
}
COUNTS = frozenset({"inserted", "updated", "deleted", "unchanged", "late", "duplicates", "rejected"})
EXPECTED = COUNTS | {"rows", "any_of", "after_each", "counts", "open_ids", "closed_ids", "deleted_markers_open", "columns_contain"}
EXPECTED |= {"error", "replay_stable"}
REFUSALS: dict[str, tuple[type[LakekitError], dict[str, Any]]] = {  # what is raised, and what asks for that
    "invalid_literal": (ConfigError, {}),
    "as_of_before_last_batch": (ContractError, {}),
    "missing_column": (SchemaError, {}),
    "unknown_column": (SchemaError, {}),
    "null_key": (ContractError, {"max_reject_fraction": 0.0}),  # otherwise the rows are rejected, and the others merged
    "null_sequence": (ContractError, {"max_reject_fraction": 0.0}),
    "tracked_set_drift": (SchemaError, {"new_column": "refuse"}),  # otherwise a new column is adopted
    "too_many_deletes": (GuardError, {"max_fraction": 0.1, "force": False}),
    "empty_snapshot": (GuardError, {"force": False}),
}
CRASHES = {"side-state write, before target write": {"run batch {} again"}}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "path" in metafunc.fixturenames:
        parametrize(metafunc, "scd2")


def test_a_scenario_ends_as_it_says(lake: Any, path: Path) -> None:
    case = load(path)
    require_known(case.fields, FIELDS, place="fields")
    if case.fields["api"] == "property":
        require_property(lake, case.fields, path)
    else:
        require_known([case.fields["api"]], {"scd2_merge", "apply_changes (scd2)"}, place="api")
        Scenario(lake, case).require()


@attrs.frozen
class Scenario:
    """A scenario that is told in rows."""

    lake: Any
    case: Case

    def require(self) -> None:
        """Play it, and look at what the table holds after each batch."""
        case, expected = self.case, self.case.expected
        require_known(expected, EXPECTED, place="expected")
        if not expected:
            raise ValueError("a scenario of nothing: it expects nothing of lakekit")
        self.seed()
        commits: list[lk.Commit] = []
        states: list[list[Row]] = []
        for number in range(len(self.batches)):
            if number == len(self.batches) - 1 and "error" in expected:
                self.require_refusal(number)
            else:
                self.crash(number)
                commits.append(self.merge(number))
            states.append(self.stored())
        after = states[len(case.fields.get("prior_batches", ())) :]
        for name, check in CHECKS.items():
            if name in expected:
                check(self, expected[name], after)
        for name in COUNTS & expected.keys():
            assert sum(getattr(commit, name) for commit in commits) == expected[name], name

    @property
    def batches(self) -> list[Mapping[str, Any]]:
        """The batches as they are told."""
        found = [*self.case.fields.get("prior_batches", ()), *self.case.fields["batches"]]
        for batch in found:
            require_known(batch, {"rows", "as_of"}, place="batches")
        return found

    def seed(self) -> None:
        """What the table holds before: rows of another tool, so that merge_scd2 also takes over a table it didn't make."""
        told = {**self.case.fields.get("target_schema", {}), **self.case.fields.get("target_columns_extra", {})}
        rows = self.instants(self.case.table(self.case.initial, "initial")) if self.case.initial else pa.table({})
        for name, words in told.items():
            if name not in rows.column_names:
                rows = rows.append_column(name, pa.nulls(rows.num_rows, iceberg_type(words)))
        if rows.num_columns:
            made_elsewhere(self.lake, TABLE, rows)

    def crash(self, number: int) -> None:
        """Run a batch and have it die midway, where the scenario says so."""
        told = self.case.fields.get("crash", {})
        require_known(told, {"batch", "after", "then"}, place="crash")
        if told.get("batch") == number + 1:
            require_known([told["after"]], CRASHES, place="crash: after")
            require_known([told["then"].replace(str(number + 1), "{}")], CRASHES[told["after"]], place="crash: then")
            with no_write_of(self.lake, TABLE), suppress(Death):
                self.merge(number)

    def require_refusal(self, number: int) -> None:
        """The last batch must be refused, and leave the table as it was."""
        word = self.case.expected["error"].split(" ")[0]
        require_known([word], REFUSALS, place="expected: error")
        kind, asked = REFUSALS[word]
        before = self.stored(), self.snapshots()
        with pytest.raises(kind):
            self.merge(number, **asked)
        assert (self.stored(), self.snapshots()) == before

    def merge(self, number: int, run: str = "", **asked: Any) -> lk.Commit:
        """Merge a batch as the scenario asks for it."""
        rows = self.case.told(self.batches[number]["rows"])
        arguments = {**self.arguments(rows), **asked}
        select, there_since = arguments.pop("select", None), arguments.pop("there_since", None)
        observed = instant(self.batches[number].get("as_of")) or AT + timedelta(minutes=number)
        if there_since and number == 0 and not self.case.initial:
            observed, arguments["effective_at"] = instant(there_since), INGESTION_TIMESTAMP
        if arguments.get("feed") == "full":
            arguments["observed_at"] = observed
            if arguments.get("effective_at") == INGESTION_TIMESTAMP:
                del arguments["effective_at"]
        deletes = {name: arguments.pop(name) for name in ("mode", "scope", "max_fraction", "force") if name in arguments}
        valid = arguments.pop("valid_from", "valid_from"), arguments.pop("valid_to", "valid_to")
        batch = lk.from_frame(self.lake, self.events(rows), run_id=f"{run} batch {number}", now=observed)
        if select:
            batch = lk.select(batch, {name: f"`{name}`" for name in select})
        return lk.merge_scd2(batch, into=TABLE, deletes=lk.Deletes(**deletes), valid_columns=valid, **arguments)

    def arguments(self, rows: Sequence[Row]) -> dict[str, Any]:
        """What the scenario's fields are in lakekit's words."""
        case = self.case
        require_known([case.fields["feed"]], FEEDS, place="feed")
        require_known(case.options, OPTIONS.keys() | VALUES.keys(), place="options")
        found: dict[str, Any] = {"key": case.key, "mode": "close", "max_fraction": 1.0, "force": True, **FEEDS[case.fields["feed"]]}
        if case.sequence and "feed" not in found:
            found |= {"effective_at": case.sequence[0], "order_by": case.sequence[1:] or None}
        if (tracked := case.fields.get("tracked", "all")) != "all":
            found["track"] = tuple(tracked)
        elif case.options.get("strategy") == "timestamp":  # a row that was touched is another one, even if nothing else in it changed
            found["track"] = tuple(name for name in dict.fromkeys(name for row in rows for name in row) if name not in (case.key or ()))
        found |= {VALUES[name]: value for name, value in case.options.items() if name in VALUES}
        for name in case.options.keys() - VALUES.keys():
            require_known([case.options[name]], OPTIONS[name], place=f"options: {name}")
            found |= OPTIONS[name][case.options[name]]
        if "scope" in found:
            found["scope"] = scope(found["scope"], rows)
        return found

    def events(self, rows: Sequence[Row]) -> pa.Table:
        """The rows of a batch. Without any, it still has the columns by which it is merged."""
        if rows:
            return self.instants(self.case.table(rows, "batch"))
        given = [*(self.case.key or ()), *self.case.sequence]
        table = self.case.table([dict.fromkeys(given)], "batch").slice(0, 0)
        return self.instants(table).append_column(OPERATION, pa.array([], pa.string()))

    def instants(self, table: pa.Table) -> pa.Table:
        """The table with its instants, which JSON has as text, as timestamps; what is always NULL is an instant as ``valid_from`` is."""
        options = self.case.options
        names = {*self.case.sequence, *self.valid, options.get("updated_at"), options.get("effective_at")}
        for index, field in enumerate(table.schema):
            if field.name in names and pa.types.is_string(field.type):
                values = [instant(value) for value in table.column(index).to_pylist()]
                kind = (
                    table.schema.field(self.valid[0]).type if field.name == self.valid[1] and not any(values) else pa.timestamp("us", "UTC")
                )
                table = table.set_column(index, field.name, pa.array(values, kind))
        return table

    @property
    def valid(self) -> tuple[str, str]:
        """The names of the validity columns."""
        return self.case.options.get("valid_from_column", "valid_from"), self.case.options.get("valid_to_column", "valid_to")

    def stored(self) -> list[Row]:
        """The versions that the table holds, without members that nobody is."""
        rows = lk.read(self.lake, TABLE).to_arrow().to_pylist() if TABLE in self.lake.tables() else []
        return [row for row in rows if any(row[name] is not None for name in self.case.key or ())]

    def snapshots(self) -> int:
        """How many snapshots the table has."""
        return len(foreign(self.lake, TABLE).metadata.snapshots) if TABLE in self.lake.tables() else 0

    def require_rows(self, found: Sequence[Row], told: Sequence[Row]) -> None:
        """Raise unless these are the rows that a scenario tells, in all columns that it names, and there are no others."""
        rows = self.case.told(told)
        expected = self.instants(self.case.table(rows, "expected")).to_pylist() if rows else []
        named = {name for row in rows for name in row} - self.case.ignored
        own = {*self.case.sequence, *self.case.ignored, "is_current", "is_deleted", self.case.options.get("surrogate_key")}
        if rows:
            assert {name for row in found for name in row if not is_system(name)} - own == named - own
        assert shown(found, named) == shown(expected, named)

    def is_open(self, row: Row) -> bool:
        """Whether a version is open, by its ``valid_to`` and by ``is_current``, which must agree."""
        until = self.case.options.get("active_record_timestamp") or self.case.options.get("open_until")
        found = row[self.valid[1]]
        assert row["is_current"] == (found is None or found == instant(until))
        return row["is_current"]

    # What a scenario may expect, given what the table held after each batch.

    def require_last(self, told: Sequence[Row], states: Sequence[Sequence[Row]]) -> None:
        self.require_rows(states[-1], told)

    def require_any(self, told: Sequence[Sequence[Row]], states: Sequence[Sequence[Row]]) -> None:
        found: list[AssertionError] = []
        for one in told:
            with suppress_into(found):
                self.require_rows(states[-1], one)
        assert len(found) < len(told), found

    def require_each(self, told: Sequence[Sequence[Row]], states: Sequence[Sequence[Row]]) -> None:
        for rows, one in zip(states, told, strict=True):
            self.require_rows(rows, one)

    def require_counts(self, told: Mapping[str, Any], states: Sequence[Sequence[Row]]) -> None:
        for name, count in told.items():
            each, what = name.endswith("_after_each"), name.removesuffix("_after_each")
            assert ([self.count(what, rows) for rows in states] if each else self.count(what, states[-1])) == count, name

    def count(self, what: str, rows: Sequence[Row]) -> int:
        """How many rows there are of what is named: ``total``, ``open``, ``closed``, ``deleted``, or ``key_id_1``."""
        if what.startswith("key_"):
            name, _, value = what.removeprefix("key_").rpartition("_")
            return sum(str(row[name]) == value for row in rows)
        kinds: dict[str, Callable[[Row], bool]] = {
            "total": lambda _: True,
            "open": self.is_open,
            "closed": lambda row: not self.is_open(row),
            "deleted": lambda row: bool(row.get("is_deleted")),
        }
        return sum(kinds[what](row) for row in rows)

    def require_open(self, told: Sequence[Any], states: Sequence[Sequence[Row]]) -> None:
        assert sorted(self.key_of(row) for row in states[-1] if self.is_open(row)) == sorted(told)

    def require_closed(self, told: Sequence[Any], states: Sequence[Sequence[Row]]) -> None:
        assert sorted(self.key_of(row) for row in states[-1] if not self.is_open(row)) == sorted(told)

    def key_of(self, row: Row) -> Any:
        key = [row[name] for name in self.case.key or ()]
        return key[0] if len(key) == 1 else key

    def require_deleted(self, told: Sequence[Row], states: Sequence[Sequence[Row]]) -> None:
        found = [row for row in states[-1] if row["is_deleted"] and self.is_open(row)]
        names = {name for row in told for name in row}
        assert shown(found, names) == shown(told, names)

    def require_columns(self, told: Sequence[str], states: Sequence[Sequence[Row]]) -> None:
        assert set(told) <= {name for row in states[-1] for name in row}

    def require_stable(self, told: object, states: Sequence[Sequence[Row]]) -> None:
        assert told is True
        for number in range(len(self.batches)):
            assert not self.merge(number, run="again").committed
        assert self.stored() == states[-1]


CHECKS: dict[str, Callable[[Scenario, Any, Sequence[Sequence[Row]]], None]] = {
    "rows": Scenario.require_last,
    "any_of": Scenario.require_any,
    "after_each": Scenario.require_each,
    "counts": Scenario.require_counts,
    "open_ids": Scenario.require_open,
    "closed_ids": Scenario.require_closed,
    "deleted_markers_open": Scenario.require_deleted,
    "columns_contain": Scenario.require_columns,
    "replay_stable": Scenario.require_stable,
}


def instant(text: str | None) -> Any:
    """An instant, which JSON has as text; what is none stays as it is.

    >>> instant("2024-01-01"), instant("i_am_not_a_timestamp"), instant(None)
    (datetime.datetime(2024, 1, 1, 0, 0, tzinfo=datetime.timezone.utc), 'i_am_not_a_timestamp', None)
    """
    try:
        found = datetime.fromisoformat(text or "")
    except ValueError:
        return text
    return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)


def scope(names: Sequence[str], rows: Sequence[Row]) -> str:
    """The SQL condition that holds inside of the partitions that a batch carries.

    >>> scope(["day"], [{"day": "a"}, {"day": "a"}, {"day": 2}])
    "(`day` = 'a') OR (`day` = 2)"
    """
    parts = {" AND ".join(f"`{name}` = {row[name]!r}" for name in names): None for row in rows}
    return " OR ".join(f"({part})" for part in parts) or "false"


def shown(rows: Sequence[Row], names: Any) -> list[str]:
    """These columns of rows as text, sorted."""
    return sorted(json.dumps({name: row.get(name) for name in names}, sort_keys=True, default=str) for row in rows)


@contextmanager
def suppress_into(found: list[AssertionError]) -> Iterator[None]:
    """Keep what is asserted in vain for later."""
    try:
        yield
    except AssertionError as error:
        found.append(error)
