"""Every rule over its hard cases: the tables that the contract tests run on each engine."""

from types import FunctionType

import pytest

from lakekit import rules
from tests.rule_cases import Refusal, Table, contact, people, text, typed

TABLES = [*text.TABLES, *contact.TABLES, *people.TABLES, *typed.TABLES]


@pytest.mark.parametrize("table", TABLES, ids=[table.title for table in TABLES])
def test_a_rule_gives_for_each_hard_case_what_is_expected(table: Table) -> None:
    wrong = {}
    for given, expected in table.cases:
        found = table.rule.scalar(given)
        if found != ((None, expected.reason) if isinstance(expected, Refusal) else (expected, None)):
            wrong[(given or "")[:80]] = (found, expected)
    assert not wrong


@pytest.mark.parametrize("table", TABLES, ids=[table.title for table in TABLES])
def test_null_passes_all_rules_but_one(table: Table) -> None:
    assert table.rule.scalar(None) == ((None, "null") if table.rule.name == "not_null" else (None, None))


def test_every_rule_has_thirty_hard_cases_or_more() -> None:
    counts: dict[str, int] = {}
    for table in TABLES:
        assert len({given for given, _ in table.cases}) == len(table.cases), table.title
        counts[table.rule.name] = max(len(table.cases), counts.get(table.rule.name, 0))
    assert {name: count for name, count in counts.items() if count < 30} == {}
    made = {name for name in rules.__all__ if isinstance(getattr(rules, name), FunctionType)}
    helpers = "apply_chain beside_column chain_input_type chain_output_type check_chain check_rules native_chain plain_chain source_column"
    assert made - counts.keys() == {*helpers.split()}
