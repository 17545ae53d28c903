"""Values that many records share: no run explodes because of them, nobody becomes somebody else, and people are told."""

from __future__ import annotations

from typing import Any

import pytest

import lakekit as lk
from lakekit import identity
from lakekit.identity import compare
from tests.contract.identities import INTO, resolve

PLACEHOLDER, HOME = "+10000000000", "1 main street"
RULES = identity.Rules(
    match=[
        identity.exact("email"),
        identity.exact("phone", max_shared=6),
        identity.fuzzy("name", at_least=0.9, within="address", max_shared=400),
        identity.probabilistic(
            compare=[compare("name", scorer="name"), compare("phone", levels=()), compare("address", levels=())],
            block=["phone", "address"],
            model=identity.Model(-10, [(8, 5, 2, 0, -4), (9, -2), (7, -1)]),
        ),
    ],
    never=[identity.veto("name", below=0.75)],
    max_members=100,
)


def people(count: int) -> list[dict[str, Any]]:
    """Everybody twice; 5 % with a placeholder for a phone, and a household of 300."""
    found: list[dict[str, Any]] = []
    for n in range(count):
        who = n // 2
        name = "".join(chr(97 + who // 26**digit % 26) * 3 for digit in range(3))
        phone = PLACEHOLDER if n % 20 == 0 else f"+49{who}"
        found.append(
            {"user_id": n, "email": f"{who}@example.com", "phone": phone, "name": name, "address": HOME if n < 300 else f"{who} side"}
        )
    return found


@pytest.fixture
def crowded(lake: Any, caplog: pytest.LogCaptureFixture) -> tuple[Any, lk.Commit, str]:
    commit = resolve(lake, "a", shop=people(4_000), rules=RULES)
    return lake, commit, caplog.text


def test_a_placeholder_and_a_large_household_stay_what_they_are_and_are_reported(crowded: tuple[Any, lk.Commit, str]) -> None:
    lake, commit, log = crowded
    masters = lk.read(lake, INTO).sql("SELECT DISTINCT master_user_id FROM batch WHERE kind = 'record'").count()
    assert masters == 2_000
    assert lk.read(lake, f"{INTO}__links").count() < 4 * 4_000, "only pairs that may be one person are linked"
    assert commit.shared_too_often == 3  # the phone for two rules, the address for one
    assert "values shared too often to be evidence" in str(commit)
    assert "values of phone (max 6) are shared by more records than that" in log
    assert PLACEHOLDER not in log

    found = identity.shared_values(lake, INTO, limit=4)
    shown = [(row.columns, row.records, row.kind) for row in found.rows]
    assert shown.count((("address",), 300, "no evidence")) == 1
    assert shown.count((("address",), 300, "shared")) == 1
    assert shown.count((("phone",), 200, "no evidence")) == 2
    assert {row.persons for row in found.rows} == {150, 200}
    for text in (str(found), repr(found), found._repr_html_()):
        assert HOME not in text
        assert PLACEHOLDER not in text
    shown_values = identity.shared_values(lake, INTO, limit=4, show_values=True)
    assert PLACEHOLDER in str(shown_values)
    assert HOME in shown_values._repr_html_()


def test_explain_tells_which_equal_value_is_no_evidence(crowded: tuple[Any, lk.Commit, str]) -> None:
    lake, _, _ = crowded
    step = identity.explain(lake, INTO, a=("shop", 400), b=("shop", 420)).steps[0]
    assert step.crowded == (("phone", 200),)
    assert "phone is no evidence: 200 records share it" in step.reasons


def test_only_identities_have_shared_values(lake: Any) -> None:
    resolve(lake, "a", shop=people(4), rules=RULES)
    with pytest.raises(lk.errors.ConfigError, match="holds no identities"):
        identity.shared_values(lake, f"{INTO}__records")
