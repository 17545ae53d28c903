"""clean with each rule: what Python makes of the hard cases is what each engine makes of them, and no row is lost."""

from __future__ import annotations

import json
from typing import Any

import pytest

import lakekit as lk
from lakekit import rules
from lakekit.engines.protocol import table
from lakekit.errors import ConfigError, SchemaError
from tests.contract.helpers import frame, living, rows
from tests.rule_cases import Refusal, Table, contact, people, text, typed

TABLES = [*text.TABLES, *contact.TABLES, *people.TABLES, *typed.TABLES]


@pytest.mark.parametrize("cases", TABLES, ids=[cases.title for cases in TABLES])
def test_each_hard_case_gives_on_the_engine_what_it_gives_in_python(lake: Any, cases: Table) -> None:
    given = [{"id": number, "value": given} for number, (given, _) in enumerate(cases.cases)]
    batch = lk.clean(lk.from_frame(lake, given, run_id="a"), {"value": cases.rule})
    good = dict(rows(batch, "id", "value"))
    with lake.engine.session() as session:
        bad = {row["id"]: (row["_rule"], row["_reason"], row["value"]) for row in table(session, batch.rejects[0].node).to_pylist()}
    refused = {number: expected for number, (_, expected) in enumerate(cases.cases) if isinstance(expected, Refusal)}
    assert good == {number: expected for number, (_, expected) in enumerate(cases.cases) if number not in refused}
    assert bad == {number: (cases.rule.name, expected.reason, cases.cases[number][0]) for number, expected in refused.items()}


def test_a_copy_keeps_the_original_and_makes_keys_and_parts_beside_it(lake: Any) -> None:
    people = [{"id": 1, "email": "Ada.L+x@Gmail.com ", "phone": "030 901820"}, {"id": 2, "email": None, "phone": None}]
    wanted = {
        "email": [rules.trim(), rules.email()],
        "email_raw": rules.copy_of("email"),
        "email_key": [rules.copy_of("email"), rules.trim(), rules.email_key()],
        "phone": rules.phone("DE"),
        "phone_type": [rules.copy_of("phone"), rules.phone_type("DE")],
        "copied_id": rules.copy_of("id"),
    }
    commit = lk.merge(lk.clean(frame(lake, "a", *people), wanted), into="silver.people", key="id")
    assert commit.inserted == 2
    found = living(lake, "silver.people", "id", "email", "email_raw", "email_key", "phone", "phone_type", "copied_id")
    assert found == [
        (1, "ada.l+x@gmail.com", "Ada.L+x@Gmail.com ", "adal@gmail.com", "+4930901820", "fixed_line", 1),
        (2, None, None, None, None, None, 2),
    ]


def test_a_reject_of_a_copied_column_holds_the_row_as_it_came(lake: Any) -> None:
    people = [{"id": 1, "email": "no mail"}]
    lk.merge(
        lk.clean(frame(lake, "a", *people), {"email_key": [rules.copy_of("email"), rules.email_key()]}), into="silver.people", key="id"
    )
    [row] = lk.read(lake, "silver.people__rejects").to_arrow().to_pylist()
    assert (row["_rule"], row["_message"]) == ("email_key", "email is no e-mail address")
    assert json.loads(row["_row"]).keys() & {"email", "email_key"} == {"email"}


def test_the_region_of_a_phone_comes_from_another_column(lake: Any) -> None:
    numbers = [
        {"id": 1, "phone": " 030 901820", "country": "DE"},
        {"id": 2, "phone": "020 7946 0018", "country": " uk "},
        {"id": 3, "phone": "(212) 555-0123", "country": None},
        {"id": 4, "phone": "(212) 555-0123", "country": ""},
        {"id": 5, "phone": "(212) 555-0123", "country": "Narnia"},
        {"id": 6, "phone": "+49 30 901820", "country": "Narnia"},
        {"id": 7, "phone": None, "country": "DE"},
        {"id": 8, "phone": "212 555 0123", "country": "GB"},
        {"id": 9, "phone": "030 901820", "country": "D\x1fE"},
    ]
    batch = lk.clean(frame(lake, "a", *numbers), {"phone": [rules.trim(), rules.phone("US", region_from="country")]})
    assert rows(batch, "id", "phone") == [
        (1, "+4930901820"),
        (2, "+442079460018"),
        (3, "+12125550123"),
        (4, "+12125550123"),
        (6, "+4930901820"),
        (7, None),
        (9, "+4930901820"),
    ]
    with lake.engine.session() as session:
        bad = table(session, batch.rejects[0].node).to_pylist()
    assert sorted((row["id"], row["_rule"], row["_reason"]) for row in bad) == [
        (5, "phone", "unknown_region"),
        (8, "phone", "not_assigned"),
    ]


def test_a_column_that_a_rule_looks_at_has_to_be_there(lake: Any) -> None:
    batch = frame(lake, "a", {"id": 1, "phone": "x"})
    with pytest.raises(SchemaError, match="'country'"):
        lk.clean(batch, {"phone": rules.phone(region_from="country")})
    with pytest.raises(SchemaError, match="'phome'"):
        lk.clean(batch, {"phone_raw": rules.copy_of("phome")})
    with pytest.raises(SchemaError, match="'phone_raw'"):
        lk.clean(batch, {"phone_raw": rules.trim()})
    with pytest.raises(SchemaError, match="keeps for itself"):
        lk.clean(batch, {"_phone": rules.copy_of("phone")})


def test_a_copy_stands_first_and_a_chain_looks_at_one_other_column(lake: Any) -> None:
    batch = frame(lake, "a", {"id": 1, "phone": "x"})
    with pytest.raises(ConfigError, match="'copy_of' first"):
        lk.clean(batch, {"key": [rules.trim(), rules.copy_of("phone")]})
    with pytest.raises(ConfigError, match="'a', 'b'"):
        lk.clean(batch, {"phone": [rules.phone(region_from="a"), rules.phone(region_from="b")]})
