"""What holds for every rule and any text: no exception, no lost row, and cleaning the clean changes nothing."""

import json
from datetime import date, datetime

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakekit import rules
from lakekit.rules import ChainFunction
from lakekit.rules.characters import INVISIBLE

RULES = [
    rules.trim(),
    rules.squash_spaces(),
    rules.lower(),
    rules.upper(),
    rules.empty_to_null(also=("N/A", "-")),
    rules.email(),
    rules.phone(),
    rules.phone("US"),
    rules.phone("DE", "AT", "GB", ambiguous="first"),
    rules.phone("US", "IT", extension="drop"),
    rules.timestamp(),
    rules.timestamp(time_zone="America/New_York", ambiguous="first"),
    rules.timestamp("iso", "%d.%m.%Y %H:%M", time_zone="Europe/Berlin"),
    rules.timestamp("%d/%m/%Y", "%m/%d/%Y", "%d %B %y %I:%M %p %z"),
    rules.date(),
    rules.date("%d.%m.%Y", "iso"),
    rules.decimal(10, 2),
    rules.decimal(38, 38, round=True),
    rules.decimal(12, 3, point=",", thousands=" "),
    rules.integer(),
    rules.integer(thousands="."),
    rules.not_null(),
    rules.one_of("a", "b"),
    rules.matches("[a-z]+"),
    rules.normalize("NFC"),
    rules.normalize("NFKC"),
    rules.fix_mojibake(),
    rules.map_values({"a": "b", "b": "b", "": None}, otherwise="keep"),
    rules.map_values({"a": "a"}, otherwise="null"),
    rules.boolean(),
    rules.copy_of("x"),
    rules.email_key(),
    rules.phone_type("US"),
    rules.person_name("given"),
    rules.person_name("family"),
    rules.name_key(),
    rules.birth_date("iso", "%d/%m/%y", "%m/%d/%Y", as_of="2026-01-01"),
    rules.birth_date("iso", "%d.%m.%y", as_of="2024-02-29", ambiguous="first"),
    rules.country("en", "de"),
    rules.currency("en", historic=True),
    rules.address_key(),
    rules.url(),
    rules.url("ftp", "https", "x"),
    rules.uuid(),
    rules.json(),
    rules.json("object"),
    rules.decimal(12, 2, locale="fr_FR"),
]
NAMES = [repr(rule)[:60] for rule in RULES]

anything = st.text(st.characters(exclude_categories=[]))  # surrogates and NUL too
likely = st.one_of(
    st.from_regex(r"\s?[+(]?[0-9]{1,4}[) ./-]{0,2}[0-9]{2,5}[ -]?[0-9]{2,6}( ?(x|ext\.?) ?[0-9]{1,4})?\s?", fullmatch=True),
    st.from_regex(r"[A-Za-z.\"İßΣ]{1,9}@[A-Za-zßüΣ.-]{1,12}\.[a-zA-Z]{2,4}", fullmatch=True),
    st.from_regex(
        r"[0-9]{4}-[01][0-9]-[0-3][0-9]([T ][0-2][0-9]:[0-5][0-9](:[0-5][0-9](\.[0-9]{1,7})?)?)?(Z|[+-][01][0-9]:?[0-5][0-9])?",
        fullmatch=True,
    ),
    st.from_regex(r"[0-3]?[0-9][./][0-3]?[0-9][./][0-9]{4}", fullmatch=True),
    st.from_regex(r"[+-]?[0-9]{1,40}([.,][0-9]{0,40})?([eE][+-]?[0-9]{1,22})?", fullmatch=True),
    st.from_regex(r"(https?|ftp|x)://[a-zA-Z.ßü0-9:@\[\]-]{1,12}(/[a-z%2FéA./]{0,8})?(\?[a-z=%é]{0,5})?(#[é%4]{0,3})?", fullmatch=True),
    st.from_regex(r"(Dr\.? |Mr )?[A-Zßéa-z.'’-]{1,8},? (van |de la )?[A-Za-zéß.-]{0,8}( Jr\.?|, PhD)?", fullmatch=True),
    st.from_regex(r"[0-9]{0,3}[a-z]? ?[A-Z][a-zß]{0,5}(str(aße|\.)?| Street| St\.| Ave)?,? ?[0-9]{0,2}(st|th|[a-z])?", fullmatch=True),
    st.uuids().map(str),
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8
    ).map(json.dumps),
    st.text().map(lambda text: text.encode().decode("latin-1")),
    st.sampled_from(["USA", "Österreich", "euros", "DEM", "yes", "0", "a", "b", "$"]),
    st.emails(),
    st.datetimes().map(str),
    st.floats().map(str),
)
noise = st.text(st.sampled_from(INVISIBLE + "０１２３٤५²½éＡ"), max_size=3)
texts = anything | likely | st.tuples(noise, likely, noise).map("".join) | anything.map(lambda text: (text * 10_000)[:10_000])


def as_text(value: object) -> str | None:
    """A clean value as a text that stands for the same."""
    return value.isoformat() if isinstance(value, (date, datetime)) else None if value is None else str(value)


@pytest.mark.parametrize("rule", RULES, ids=NAMES)
@given(text=texts)
def test_no_text_makes_a_rule_raise(rule: rules.Rule, text: str) -> None:
    value, reason = rule.scalar(text)
    assert reason is None or value is None
    assert reason != ""


@pytest.mark.parametrize(
    "rule", [rule for rule in RULES if rule.idempotent], ids=[name for name, rule in zip(NAMES, RULES, strict=True) if rule.idempotent]
)
@given(text=texts)
def test_cleaning_the_clean_changes_nothing(rule: rules.Rule, text: str) -> None:
    value, reason = rule.scalar(text)
    if reason is None and value is not None:
        assert rule.scalar(as_text(value)) == (value, None)


@pytest.mark.parametrize("rule", RULES, ids=NAMES)
@given(values=st.lists(texts.map(lambda text: text.encode(errors="replace").decode()) | st.none(), max_size=8))
def test_arrow_and_scalar_agree_and_no_row_is_lost(rule: rules.Rule, values: list[str | None]) -> None:
    result = ChainFunction([rule], cache_size=6)(pa.array(values + values, pa.string()))
    assert len(result) == 2 * len(values)
    for row, text in zip(result.to_pylist(), values + values, strict=True):
        value, reason = rule.scalar(text)
        assert row == {"value": value, "rule": None if reason is None else rule.name, "reason": reason}
