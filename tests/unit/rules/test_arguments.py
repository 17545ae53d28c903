"""What a rule can't be made of is refused when it is made, with what to write; packages that are missing are named."""

import importlib.util
import pickle
from collections.abc import Callable
from datetime import datetime

import pytest

from lakekit import rules
from lakekit.errors import ConfigError, MissingExtraError


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: rules.normalize("nfc"), r"rules\.normalize\(form\): expected one of 'NFC'"),
        (lambda: rules.map_values({}), "an empty one"),
        (lambda: rules.map_values([("a", "b")]), "type list"),
        (lambda: rules.map_values({"a": 1}), "type int"),
        (lambda: rules.map_values({None: "a"}), "type NoneType"),
        (lambda: rules.map_values({"a": "b"}, otherwise="fail"), "'reject', 'keep', 'null'"),
        (lambda: rules.boolean(true="yes"), "expected a tuple of words, got one text"),
        (lambda: rules.boolean(false=()), "got none"),
        (lambda: rules.boolean(true=("ja", ""), false=("nein",)), "expected words"),
        (lambda: rules.boolean(true=("a", "b"), false=("B",)), "got 'b'"),
        (lambda: rules.json("list"), "'any', 'object', 'array'"),
        (lambda: rules.url("HTTP"), "schemes in lower case"),
        (lambda: rules.url("https://"), "schemes in lower case"),
        (lambda: rules.url(7), "type int"),
        (lambda: rules.copy_of(""), "expected the name of a column"),
        (lambda: rules.copy_of(None), "expected the name of a column"),
        (lambda: rules.phone(region_from=7), "expected the name of a column"),
        (lambda: rules.phone_type("UK"), "write 'GB'"),
        (lambda: rules.person_name("first"), "'given'"),
        (lambda: rules.birth_date(as_of="1.1.2026"), "expected a date"),
        (lambda: rules.birth_date(as_of=datetime(2026, 1, 1)), "type datetime"),  # noqa: DTZ001 -- whatever its zone
        (lambda: rules.birth_date(as_of=None), "type NoneType"),
        (lambda: rules.birth_date("%H", as_of="2026-01-01"), "use rules.timestamp"),
        (lambda: rules.birth_date(as_of="2026-01-01", oldest=0), "1 to 1000"),
        (lambda: rules.birth_date(as_of="2026-01-01", ambiguous="last"), "'reject', 'first'"),
        (lambda: rules.country("xx"), "languages of CLDR, got 'xx'"),
        (lambda: rules.country(7), "languages of CLDR"),
        (lambda: rules.currency("English"), "languages of CLDR"),
        (lambda: rules.decimal(10, 2, locale="xx_YY"), "expected a locale"),
        (lambda: rules.decimal(10, 2, locale="de_DE", point=","), "expected it alone"),
    ],
)
def test_a_rule_that_cannot_be_is_refused_when_it_is_made(make: Callable[[], object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        make()


@pytest.mark.parametrize(
    "make",
    [
        rules.fix_mojibake,
        rules.name_key,
        rules.country,
        rules.currency,
        lambda: rules.person_name("given"),
        lambda: rules.decimal(10, 2, locale="de_DE"),
    ],
)
def test_a_package_that_is_missing_is_named_with_the_extra(make: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(MissingExtraError, match=r"pip install 'lakekit\[clean\]'"):
        make()


@pytest.mark.parametrize(
    "rule",
    [
        rules.normalize("NFC"),
        rules.map_values({"b": "a", "a": None}),
        rules.boolean(),
        rules.url("ftp"),
        rules.birth_date("%d.%m.%y", as_of="2026-01-01"),
        rules.country("de"),
        rules.phone_type("US", region_from="country"),
        rules.copy_of("x"),
        rules.json("array"),
    ],
)
def test_a_rule_is_a_value(rule: rules.Rule) -> None:
    copy = pickle.loads(pickle.dumps(rule))
    assert copy == rule
    assert hash(copy) == hash(rule)
    assert repr(copy) == repr(rule)
    assert [copy.scalar(text) for text in ("a", "12", "US", None)] == [rule.scalar(text) for text in ("a", "12", "US", None)]
