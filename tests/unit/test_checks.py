"""Checks as values: what can't be one is refused when it is made."""

import pickle
from collections.abc import Callable

import pytest

from lakekit import checks
from lakekit.errors import ConfigError


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (checks.not_null, "at least one column"),
        (lambda: checks.not_null(""), "names of columns"),
        (lambda: checks.unique(7), "type int"),
        (lambda: checks.one_of("a"), "expected values"),
        (lambda: checks.one_of("a", None), "NULL passes anyway"),
        (lambda: checks.between("a"), "expected a bound"),
        (lambda: checks.matches("a", "["), "regular expression"),
        (lambda: checks.references(("a", "b"), "silver.t", their="c"), "expected 2 columns, got 1"),
        (lambda: checks.expression(" "), "expected SQL"),
        (lambda: checks.expression(7), "type int"),
        (lambda: checks.not_null("a", severity="error"), "'reject', 'warn', 'fail'"),
        (lambda: checks.not_null("a", at_most=5), "a fraction"),
        (lambda: checks.not_null("a", at_most="5%"), "a fraction"),
        (lambda: checks.not_null("a", at_most=-0.1), "a fraction"),
    ],
)
def test_a_check_that_cannot_be_is_refused_when_it_is_made(make: Callable[[], object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        make()


def test_a_check_is_a_value() -> None:
    made = [
        *(checks.not_null("a"), checks.unique("a", key="b"), checks.references("a", "silver.t"), checks.matches("a", "x")),
        *(checks.between("a", 1), checks.one_of("a", "it's", 2), checks.expression("a > 1", severity="warn", at_most=0.5)),
    ]
    assert [pickle.loads(pickle.dumps(check)) for check in made] == made
    assert len({hash(check) for check in made}) == len(made)
