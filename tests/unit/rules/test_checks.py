"""Rules that only check: not_null, one_of, matches."""

import pytest

from lakekit import rules
from lakekit.errors import ConfigError


@pytest.mark.parametrize("value", ["", " ", "\x00", "null", "NULL", "NaN", "0", "None", "\u200b", "N/A"])
def test_only_null_is_refused_by_not_null(value: str) -> None:
    assert rules.not_null().scalar(value) == (value, None)
    assert rules.not_null().scalar(None) == (None, "null")


@pytest.mark.parametrize("value", ["Paid", " paid", "paid\n", "", "\x00paid", "раid", "ｐａｉｄ", "pa\u200bid", "open ", "paid,open"])
def test_one_of_refuses_what_is_not_exactly_in_the_list(value: str) -> None:
    assert rules.one_of("paid", "open").scalar(value) == (None, "not_in_list")


def test_one_of_lets_its_values_and_null_pass() -> None:
    rule = rules.one_of("paid", "it's", "")
    assert [rule.scalar(value).reason for value in ("paid", "it's", "", None)] == [None] * 4


@pytest.mark.parametrize("value", ["DE12x", "xDE12", "DE12\n", "de12", "DE", "", "DE１２", "\x00DE12", "DE12 ", "ＤＥ12"])
def test_matches_wants_the_whole_text(value: str) -> None:
    assert rules.matches("[A-Z]{2}[0-9]+").scalar(value) == (None, "no_match")


def test_matches_lets_matching_texts_and_null_pass() -> None:
    rule = rules.matches("(?i)[a-z]{2}[0-9]+|x")
    assert [rule.scalar(value).reason for value in ("DE12", "de1", "X", None)] == [None] * 4


@pytest.mark.parametrize("pattern", ["[", "(", "a**", "(?P<x>", "\\", "(?z)", "a{2,1}", "*"])
def test_a_bad_pattern_is_refused_when_it_is_given(pattern: str) -> None:
    with pytest.raises(ConfigError, match=r"rules.matches\(pattern\): expected a regular expression"):
        rules.matches(pattern)


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(ConfigError, match="at least one"):
        rules.one_of()
    with pytest.raises(ConfigError, match="type int"):
        rules.one_of("1", 2)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="type list"):
        rules.one_of(["a", "b"])  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="type bytes"):
        rules.matches(b"x")  # type: ignore[arg-type]


def test_equal_rules_are_equal_hash_alike_and_print_alike() -> None:
    pairs = [
        (rules.one_of("a", "b"), rules.one_of("b", "a")),
        (rules.matches("x"), rules.matches("x")),
        (rules.phone("US"), rules.phone("US", "US")),
    ]
    for left, right in pairs:
        assert left == right
        assert hash(left) == hash(right)
        assert repr(left) == repr(right)


def test_long_patterns_that_differ_at_the_end_print_differently() -> None:
    assert repr(rules.matches("a" * 300 + "b")) != repr(rules.matches("a" * 300 + "c"))
