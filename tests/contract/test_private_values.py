"""Values of rows never show in a log, an exception, a commit or a repr: they are marked, sent through everything, and looked for."""

from __future__ import annotations

import logging
import pickle
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import attrs
import pytest

import lakekit as lk
from lakekit import checks, rules
from lakekit.errors import LakekitError
from lakekit.rules import Result
from lakekit.rules.base import PythonRule
from tests.contract.helpers import frame
from tests.rule_cases import contact, people, text, typed

MARK, NUMBER = "zq7secret", 731_907_319
VALUES = [
    f"{MARK}@example.com",
    f" {MARK.upper()} @ {MARK}",
    f"https://{MARK}.example/{MARK}",
    f'{{"{MARK}": "{MARK}", "{MARK}": 1}}',
    f"+49 30 {NUMBER} {MARK}",
    f"{MARK} {MARK}, Dr.",
    f"{NUMBER}e{NUMBER}",
    f"{NUMBER}",
    f"1990-01-01 {MARK}",
    f"schÃ¶n {MARK}",
    f"{MARK}\x00\ufffd",
    f"[{MARK}",
    f"'{MARK}' \\ {MARK}",
]
RULES = [table.rule for table in (*text.TABLES, *contact.TABLES, *people.TABLES, *typed.TABLES)]


@attrs.frozen
class Broken(PythonRule):
    """A rule of somebody's own that goes wrong, and says with what."""

    how: Callable[[Any], Any]
    output_type: str | None = "string"
    name: str = "broken"
    input_type: Any = "string"
    idempotent: bool = False

    def scalar(self, value: str | None, /) -> Result:
        return self.how(value)


def raises(value: Any) -> Any:
    raise ValueError(value)


def wrong_type(value: Any) -> Any:
    return Result(value)


@pytest.fixture(autouse=True)
def nothing_shows(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    caplog.set_level(logging.DEBUG, logger="lakekit")
    yield
    records = [record for record in caplog.records if record.name.startswith("lakekit")]
    hidden([record.getMessage() + str(vars(record)) for record in records])


def hidden(shown: object) -> None:
    words = str(shown).lower()
    assert MARK not in words
    assert str(NUMBER) not in words


def hidden_error(error: BaseException) -> None:
    """Neither in its text, nor in its causes', nor after pickling, as an orchestrator shows it."""
    at: BaseException | None = error
    while at is not None:
        hidden(at)
        at = at.__cause__ or (None if at.__suppress_context__ else at.__context__)
    hidden("".join(traceback.format_exception_only(error)))
    hidden(pickle.loads(pickle.dumps(error)))


def marked(lake: Any) -> lk.Batch:
    return frame(lake, "a", *({"id": number, "value": value} for number, value in enumerate(VALUES)))


@pytest.mark.parametrize("rule", RULES, ids=[repr(rule)[:60] for rule in RULES])
def test_no_rule_shows_a_value_in_what_stands_beside_a_reject_or_in_a_commit(lake: Any, rule: Any) -> None:
    batch = lk.clean(marked(lake), {"value": rule})
    hidden((batch, repr(batch), batch.schema))
    commit = lk.append(batch, into="silver.values")
    hidden((commit, commit.to_dict(), commit._repr_html_(), lk.history(lake, "silver.values")))
    if commit.rejected:
        beside = ["_rule", "_reason", "_message", "_origin"]
        hidden(lk.read(lake, "silver.values__rejects").to_arrow().select(beside).to_pylist())
    hidden(lk.status(lake))


@pytest.mark.parametrize(
    "rule",
    [Broken(raises), Broken(wrong_type, output_type="bigint"), Broken(wrong_type, output_type="date")],
    ids=["raises", "long", "date"],
)
def test_a_rule_that_goes_wrong_shows_no_value(lake: Any, rule: Any) -> None:
    with pytest.raises(LakekitError) as caught:
        lk.append(lk.clean(marked(lake), {"value": rule}), into="silver.values")
    hidden_error(caught.value)


@pytest.mark.parametrize("severity", ["reject", "warn", "fail"])
@pytest.mark.parametrize("how", ["clean", "audit"])
def test_no_check_shows_a_value(lake: Any, severity: Any, how: str) -> None:
    lk.append(frame(lake, "x", {"value": "other"}), into="silver.others")
    twice = lk.union_by_name(marked(lake), marked(lake))
    held = {
        "null": checks.not_null("value", severity=severity),
        "list": checks.one_of("value", "a", severity=severity),
        "between": checks.between("value", "a", "b", severity=severity),
        "matches": checks.matches("value", "[a-z]+", severity=severity),
        "unique": checks.unique("value", severity=severity),
        "known": checks.references("value", "silver.others", severity=severity),
        "sql": checks.expression("length(value) < 3", severity=severity),
    }
    batch = lk.clean(twice, {}, checks=held) if how == "clean" else lk.audit(twice, held)
    try:
        hidden(lk.append(batch, into="silver.values"))
    except LakekitError as error:
        hidden_error(error)
        assert severity == "fail" or how == "audit"
    if severity == "reject" and how == "clean":
        hidden(lk.read(lake, "silver.values__rejects").to_arrow().select(["_rule", "_reason", "_message", "_origin"]).to_pylist())


def test_a_check_that_breaks_at_a_value_shows_none(lake: Any) -> None:
    for words in ("CAST(value AS BIGINT) > 0", "CAST(value AS TIMESTAMP) IS NOT NULL", "CAST(value AS DECIMAL(3, 1)) > 0"):
        with pytest.raises(LakekitError) as caught:
            lk.append(lk.clean(marked(lake), {}, checks={"cast": words}), into="silver.values")
        hidden_error(caught.value)


def test_too_many_rejects_show_no_value(lake: Any) -> None:
    with pytest.raises(LakekitError) as caught:
        lk.append(lk.clean(marked(lake), {"value": rules.integer()}), into="silver.values", max_reject_fraction=0.1)
    hidden_error(caught.value)
