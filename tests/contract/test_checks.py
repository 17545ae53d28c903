"""Checks: rows rejected, warned of or refused, in the batch and against other tables; counted in the commit."""

from __future__ import annotations

import logging
from typing import Any

import pytest

import lakekit as lk
from lakekit import checks, rules
from lakekit.errors import ConfigError, ContractError, QueryError, SchemaError, TableNotFoundError
from tests.contract.helpers import frame, living, stored

TABLE, REJECTS = "silver.people", "silver.people__rejects"
PEOPLE = [
    {"id": 1, "email": "a@example.com", "age": 30, "code": "DE1"},
    {"id": 2, "email": "b@example.com", "age": 17, "code": "x"},
    {"id": 3, "email": None, "age": None, "code": None},
    {"id": 4, "email": "d@example.com", "age": 200, "code": "FR22"},
]


def write(lake: Any, run: str, held: Any, *people: dict[str, Any], applied: Any = None, **options: Any) -> lk.Commit:
    batch = lk.clean(frame(lake, run, *(people or PEOPLE)), applied or {}, checks=held)
    return lk.merge(batch, into=TABLE, key="id", **options)


@pytest.mark.parametrize(
    ("check", "failing", "reason"),
    [
        ("age >= 18", [2], "check_failed"),
        (checks.expression("age >= 18 OR age IS NULL"), [2], "check_failed"),
        (checks.not_null("email"), [3], "null"),
        (checks.not_null("email", "age"), [3], "null"),
        (checks.one_of("code", "DE1", "x"), [4], "not_in_list"),
        (checks.one_of("age", 17, 30), [4], "not_in_list"),
        (checks.between("age", 18, 120), [2, 4], "out_of_range"),
        (checks.between("age", None, 120), [4], "out_of_range"),
        (checks.between("email", "b"), [1], "out_of_range"),
        (checks.matches("code", "[A-Z]{2}[0-9]+"), [2], "no_match"),
        (checks.unique("email"), [], None),
    ],
)
def test_a_row_that_fails_a_check_is_rejected_with_its_reason_and_counted(lake: Any, check: Any, failing: list[int], reason: str) -> None:
    commit = write(lake, "a", {"named": check})
    assert (commit.rejected, dict(commit.checks)) == (len(failing), {"named": len(failing)})
    assert living(lake, TABLE, "id") == [(one["id"],) for one in PEOPLE if one["id"] not in failing]
    if failing:
        assert {*stored(lake, REJECTS, "_rule", "_reason")} == {("named", reason)}


def test_checks_see_clean_values_and_copies(lake: Any) -> None:
    people = [{"id": 1, "email": " A@Example.com", "age": " 17"}, {"id": 2, "email": "a@example.COM ", "age": "20"}]
    applied = {"email": [rules.trim(), rules.email()], "age": rules.integer(), "raw": rules.copy_of("email")}
    held = {"one each": checks.unique("email"), "adult": "age >= 18", "raw": "raw <> email"}
    commit = write(lake, "a", held, *people, applied=applied)
    assert dict(commit.checks) == {"one each": 2, "adult": 1, "raw": 0}
    assert commit.rejected == 2


def test_rows_that_share_a_value_are_all_rejected_and_versions_of_one_row_are_not(lake: Any) -> None:
    people = [
        {"id": 1, "email": "a@example.com", "at": 1, "_operation": "upsert"},
        {"id": 1, "email": "a@example.com", "at": 2},
        {"id": 2, "email": "b@example.com", "at": 1},
        {"id": 3, "email": "b@example.com", "at": 1},
        {"id": 4, "email": None, "at": 1},
        {"id": 5, "email": None, "at": 1},
        {"id": 6, "email": "b@example.com", "at": 1, "_operation": "delete"},
        {"id": 7, "email": "c@example.com", "at": 1, "_operation": "delete"},
        {"id": 8, "email": "c@example.com", "at": 1},
    ]
    commit = write(lake, "a", {"one each": checks.unique("email", key="id")}, *people, order_by="at")
    assert dict(commit.checks) == {"one each": 2}
    assert living(lake, TABLE, "id") == [(1,), (4,), (5,), (8,)]
    assert {*stored(lake, REJECTS, "_rule", "_reason")} == {("one each", "not_unique")}


def test_values_are_unique_against_the_table_but_for_rows_that_come_anew(lake: Any) -> None:
    held = {"one each": checks.unique("email", key="id", table=TABLE)}
    assert write(lake, "a", held, {"id": 1, "email": "a@example.com"}, {"id": 2, "email": "b@example.com"}).inserted == 2
    later = [
        {"id": 1, "email": "c@example.com"},  # gives its own up
        {"id": 3, "email": "a@example.com"},  # and another takes it
        {"id": 4, "email": "b@example.com"},  # taken
        {"id": 5, "email": "z@example.com"},
    ]
    commit = write(lake, "b", held, *later)
    assert dict(commit.checks) == {"one each": 1}
    assert living(lake, TABLE, "id", "email") == [
        (1, "c@example.com"),
        (2, "b@example.com"),
        (3, "a@example.com"),
        (5, "z@example.com"),
    ]


def test_what_a_rule_makes_is_unique_against_the_table_too(lake: Any) -> None:
    applied = {"key": [rules.copy_of("email"), rules.email_key()], "id": rules.integer()}
    held = {"one each": checks.unique("key", key="id", table=TABLE)}
    first = [{"id": "1", "email": "a.b@gmail.com"}, {"id": "2", "email": "c@gmail.com"}]
    assert write(lake, "a", held, *first, applied=applied).inserted == 2
    commit = write(lake, "b", held, {"id": "1", "email": "ab+x@gmail.com"}, {"id": "3", "email": "C@gmail.com"}, applied=applied)
    assert (commit.updated, dict(commit.checks)) == (1, {"one each": 1})


def test_a_run_that_is_repeated_finds_no_doubles_of_itself(lake: Any) -> None:
    held = {"one each": checks.unique("email", table="bronze.mails")}

    def run(name: str, *rows: dict[str, Any]) -> lk.Commit:
        return lk.append(lk.clean(frame(lake, name, *rows), {}, checks=held), into="bronze.mails")

    first = {"id": 1, "email": "a@example.com"}
    assert run("a", first).rejected == 0
    assert run("a", first).rejected == 0
    assert run("b", {"id": 2, "email": "a@example.com"}, {"id": 3, "email": "b@example.com"}).rejected == 1


def test_values_refer_to_living_rows_of_another_table(lake: Any) -> None:
    countries = [{"code": "DE", "no": 1}, {"code": "FR", "no": 2}, {"code": "XX", "no": 3}]
    lk.merge(frame(lake, "a", *countries), into="silver.countries", key="code")
    lk.merge(frame(lake, "b", {"code": "XX", "_operation": "delete"}), into="silver.countries", key="code")
    people = [
        {"id": number, "country": code, "no": no}
        for number, (code, no) in enumerate([("DE", 1), ("FR", 1), ("XX", 3), (None, 9), ("de", 1)])
    ]
    held = {
        "known": checks.references("country", "silver.countries", their="code"),
        "both": checks.references(("country", "no"), "silver.countries", their=("code", "no"), severity="warn"),
    }
    commit = write(lake, "a", held, *people)  # in a run of the same name as that which wrote the other table
    assert (commit.rejected, dict(commit.checks)) == (2, {"known": 2, "both": 3})
    assert living(lake, TABLE, "id") == [(0,), (1,), (3,)]
    assert {*stored(lake, REJECTS, "_rule", "_reason")} == {("known", "not_found")}


def test_a_warning_is_counted_and_logged_and_its_rows_are_written(lake: Any, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="lakekit"):
        commit = write(
            lake, "a", {"adult": checks.between("age", 18, severity="warn"), "young": checks.between("age", 0, 300, severity="warn")}
        )
    assert (commit.inserted, commit.rejected, dict(commit.checks)) == (4, 0, {"adult": 1, "young": 0})
    assert [record.getMessage() for record in caplog.records if "adult" in record.getMessage()] == [
        "silver.people: check 'adult' failed by 1 of 4"
    ]
    assert "check 'adult' failed by 1" in str(commit)
    assert not any("young" in record.getMessage() for record in caplog.records)


def test_a_check_that_fails_writes_nothing(lake: Any) -> None:
    with pytest.raises(ContractError, match=r"silver.people: expected the rows to pass the checks, got 'adult' failed by 1 of 4") as caught:
        write(lake, "a", {"adult": checks.between("age", 18, severity="fail"), "mail": checks.not_null("email")})
    assert "example.com" not in str(caught.value)
    assert lake.tables() == []


@pytest.mark.parametrize(("severity", "at_most"), [("fail", 0.25), ("fail", 0.2), ("reject", 0.25), ("reject", 0.2)])
def test_a_threshold_lets_a_fraction_of_the_rows_fail(lake: Any, severity: Any, at_most: float) -> None:
    held = {"adult": checks.between("age", 18, severity=severity, at_most=at_most)}
    if at_most < 0.25:
        with pytest.raises(ContractError, match=r"at most 20\.0%"):
            write(lake, "a", held)
        assert lake.tables() == []
    else:
        assert write(lake, "a", held).checks == {"adult": 1}


def test_the_counts_stand_in_the_history_of_the_table(lake: Any) -> None:
    write(lake, "a", {"adult": checks.between("age", 18, severity="warn")})
    assert [dict(commit.checks) for commit in lk.history(lake, TABLE) if commit.read] == [{"adult": 1}]


def test_deletes_pass_all_checks(lake: Any) -> None:
    write(lake, "a", None)
    commit = write(lake, "b", {"mail": checks.not_null("email", severity="fail")}, {"id": 1, "email": None, "_operation": "delete"})
    assert (commit.deleted, dict(commit.checks)) == (1, {"mail": 0})


def test_appends_groups_and_histories_count_checks_too(lake: Any) -> None:
    held = {"adult": checks.between("age", 18, severity="warn")}
    assert lk.append(lk.clean(frame(lake, "a", *PEOPLE), {}, checks=held), into="bronze.people").checks == {"adult": 1}
    groups = lk.read_new_groups(lake, "bronze.people", into="gold.ages", by="age")
    assert lk.replace_groups(lk.clean(groups, {}, checks=held)).checks == {"adult": 1}
    dated = [{**one, "since": "2026-01-01"} for one in PEOPLE]
    events = lk.select(frame(lake, "a", *dated), {"since": "CAST(since AS TIMESTAMP)"}, rest="keep")
    assert lk.merge_scd2(lk.clean(events, {}, checks=held), into="gold.people", key="id", effective_at="since").checks == {"adult": 1}


def test_what_is_no_check_is_refused_with_what_to_write(lake: Any) -> None:
    batch = frame(lake, "a", *PEOPLE)
    with pytest.raises(ConfigError, match=r"checks='x'.*type function"):
        lk.clean(batch, {}, checks={"x": checks.not_null})  # type: ignore[dict-item]
    with pytest.raises(ConfigError, match="a mapping of names"):
        lk.clean(batch, {}, checks=["age > 1"])  # type: ignore[arg-type]
    with pytest.raises(SchemaError, match="'mail'"):
        lk.clean(batch, {}, checks={"x": checks.unique("mail")})
    with pytest.raises(QueryError, match="did you mean 'age'"):
        lk.clean(batch, {}, checks={"x": checks.between("aga", 1)})
    with pytest.raises(TableNotFoundError, match=r"silver\.countris"):
        lk.clean(batch, {}, checks={"x": checks.references("email", "silver.countris")})
    lk.merge(frame(lake, "x", {"code": 1}), into="silver.codes", key="code")
    with pytest.raises(SchemaError, match="'mail'"):
        lk.clean(batch, {}, checks={"x": checks.references("email", "silver.codes", their="mail")})
