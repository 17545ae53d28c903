"""clean: good rows go on, bad rows are kept beside the table, and nothing is lost on the way."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pytest

import lakekit as lk
from lakekit import rules
from lakekit.errors import ContractError, QueryError, SchemaError
from tests.contract.helpers import frame, living, rows, snapshots, stored

TABLE, REJECTS = "silver.people", "silver.people__rejects"


def write(lake: Any, run: str, *people: dict[str, Any], checks: dict[str, str] | None = None, **options: Any) -> lk.Commit:
    batch = lk.clean(frame(lake, run, *people), {"email": [rules.trim(), rules.email()]}, checks=checks)
    return lk.merge(batch, into=TABLE, key="id", order_by="at", **options)


def person(number: int, email: str | None, at: int = 1) -> dict[str, Any]:
    return {"id": number, "email": email, "at": at}


def test_a_clean_value_is_stored_and_a_bad_row_is_kept_as_it_was(lake: Any) -> None:
    commit = write(lake, "a", person(1, " Ada@Example.com"), person(2, "no mail"))
    assert (commit.read, commit.inserted, commit.rejected) == (2, 1, 1)
    assert living(lake, TABLE, "id", "email") == [(1, "ada@example.com")]
    [row] = lk.read(lake, REJECTS).to_arrow().to_pylist()
    assert row["_rule"]
    assert row["_reason"]
    assert json.loads(row["_row"])["email"] == "no mail"


def test_instants_of_a_rejected_row_are_kept_to_the_microsecond_and_alike_on_each_engine(lake: Any) -> None:
    at = datetime(2026, 1, 2, 3, 4, 5, 120_456, tzinfo=UTC)
    given = person(1, "no mail") | {"seen": at, "local": at.replace(tzinfo=None, microsecond=500_000), "visits": [{"at": at}]}
    write(lake, "a", given)
    [row] = lk.read(lake, REJECTS).to_arrow().to_pylist()
    found = json.loads(row["_row"])
    assert [found["seen"], found["local"], found["visits"]] == [
        "2026-01-02 03:04:05.120456+00",
        "2026-01-02 03:04:05.5",
        [{"at": "2026-01-02 03:04:05.120456+00"}],
    ]


def test_null_is_clean(lake: Any) -> None:
    assert write(lake, "a", person(1, None), person(2, "a@example.com")).rejected == 0
    assert living(lake, TABLE, "id", "email") == [(1, None), (2, "a@example.com")]


def test_good_rows_and_bad_rows_are_all_the_rows(lake: Any) -> None:
    people = [person(number, f"p{number}@example.com" if number % 3 else "bad") for number in range(30)]
    commit = write(lake, "a", *people)
    assert commit.inserted + commit.rejected == commit.read == len(people)
    assert lk.read(lake, REJECTS).count() == commit.rejected == 10


def test_the_same_rejects_are_kept_once(lake: Any) -> None:
    write(lake, "a", person(1, "a@example.com"), person(2, "bad"))
    write(lake, "a", person(1, "a@example.com"), person(2, "bad"))
    assert lk.read(lake, REJECTS).count() == 1
    assert snapshots(lake, REJECTS) == 1


def test_a_row_that_breaks_a_check_is_rejected_under_its_name_and_null_is_met(lake: Any) -> None:
    checks = {"adult": "age >= 18"}
    people = [
        {**person(1, "a@example.com"), "age": 17},
        {**person(2, "b@example.com"), "age": None},
        {**person(3, "c@example.com"), "age": 40},
    ]
    assert write(lake, "a", *people, checks=checks).rejected == 1
    assert stored(lake, REJECTS, "_rule", "_reason") == [("adult", "check_failed")]
    assert living(lake, TABLE, "id") == [(2,), (3,)]


def test_a_delete_is_never_rejected(lake: Any) -> None:
    write(lake, "a", person(1, "a@example.com"))
    commit = write(lake, "b", {**person(1, "bad", 2), "_operation": "delete"})
    assert (commit.deleted, commit.rejected) == (1, 0)
    assert living(lake, TABLE, "id") == []


def test_rejected_rows_count_as_consumed(lake: Any) -> None:
    lk.append(frame(lake, "a", person(1, "bad"), person(2, "b@example.com")), into="bronze.people")

    def run() -> lk.Commit:
        batch = lk.clean(lk.read_new(lake, "bronze.people", into=TABLE), {"email": rules.email()})
        return lk.merge(batch, key="id", order_by="at")

    assert run().rejected == 1
    again = run()
    assert (again.read, again.rejected, again.committed) == (0, 0, False)
    assert lk.read(lake, REJECTS).count() == 1


def test_an_append_keeps_rejects_too(lake: Any) -> None:
    batch = lk.clean(frame(lake, "a", person(1, "bad"), person(2, "b@example.com")), {"email": rules.email()})
    commit = lk.append(batch, into=TABLE)
    assert (commit.inserted, commit.rejected) == (1, 1)
    assert lk.append(batch, into=TABLE).inserted == 0
    assert lk.read(lake, REJECTS).count() == 1


def test_too_many_rejects_write_nothing(lake: Any) -> None:
    with pytest.raises(ContractError, match=r"at most 20\.0%") as caught:
        write(lake, "a", person(1, "bad-value"), person(2, "b@example.com"), max_reject_fraction=0.2)
    assert "bad-value" not in str(caught.value)
    assert lake.tables() == []


def test_a_dry_run_counts_rejects_and_keeps_none(lake: Any) -> None:
    assert write(lake, "a", person(1, "bad"), person(2, "b@example.com"), dry_run=True).rejected == 1
    assert lake.tables() == []


def test_rejects_hold_the_original_row_after_a_select(lake: Any) -> None:
    batch = lk.clean(frame(lake, "a", person(1, "bad"), person(2, "B@Example.com")), {"email": rules.email()})
    chosen = lk.select(batch, {"id": "id", "mail": "email"})
    lk.merge(chosen, into=TABLE, key="id")
    assert living(lake, TABLE, "id", "mail") == [(2, "b@example.com")]
    assert lk.read(lake, REJECTS).count() == 1


def test_rules_chained_over_two_calls_reject_by_both(lake: Any) -> None:
    batch = frame(
        lake, "a", {**person(1, "bad"), "age": 1}, {**person(2, "b@example.com"), "age": 1}, {**person(3, "c@example.com"), "age": 30}
    )
    twice = lk.clean(lk.clean(batch, {"email": rules.email()}), {}, checks={"adult": "age >= 18"})
    assert rows(twice, "id") == [(3,)]
    assert lk.merge(twice, into=TABLE, key="id", order_by="at").rejected == 2


def test_a_text_rule_on_a_number_is_refused(lake: Any) -> None:
    with pytest.raises(SchemaError, match="expects text"):
        lk.clean(frame(lake, "a", {"id": 1}), {"id": rules.email()})


def test_an_unknown_column_is_refused_with_those_there_are(lake: Any) -> None:
    with pytest.raises(SchemaError, match="id, email, at"):
        lk.clean(frame(lake, "a", person(1, "x")), {"e_mail": rules.email()})


def test_a_check_over_an_unknown_column_is_refused(lake: Any) -> None:
    with pytest.raises(QueryError, match="unknown column"):
        lk.clean(frame(lake, "a", person(1, "x")), {}, checks={"adult": "age >= 18"})


def test_case_and_normal_form_are_pythons_for_every_letter_of_latin_scripts_and_beyond(lake: Any) -> None:
    texts = [*map(chr, range(0x20, 0x250)), "Zoë", "ΟΔΟΣ", "Straße", "e\u0301", "İstanbul", "ﬁ", "", None]
    batch = frame(lake, "a", *({"id": number, "text": text} for number, text in enumerate(texts)))
    chains = {"low": [rules.lower()], "up": [rules.upper()], "nfc": [rules.normalize("NFC")], "trimmed": [rules.trim(), rules.lower()]}
    clean = lk.clean(batch, {name: [rules.copy_of("text"), *chain] for name, chain in chains.items()})
    for row in clean.to_arrow().to_pylist():
        assert {name: row[name] for name in chains} == {
            name: rules.apply_chain(chain, pa.array([row["text"]]))[0]["value"].as_py() for name, chain in chains.items()
        }
