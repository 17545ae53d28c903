"""The tree of errors is the retry policy, and an error survives the way from a worker to whoever started it."""

import copy
import inspect
import pickle

import pytest

from lakekit import errors

ALL = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, errors.LakekitError)]
BRANCHES = {errors.LakekitError, errors.RetryableError, errors.FixError}
LEAVES = [kind for kind in ALL if kind not in BRANCHES]


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize("details", [{}, {"got": "'orders'"}, {"got": "'orders'", "hint": "write 'bronze.orders'."}])
def test_an_error_survives_pickling_with_all_its_fields(kind: type[errors.LakekitError], details: dict[str, str]) -> None:
    error = kind("ingest(into=)", "expected 'namespace.table'", **details)
    for copied in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert type(copied) is kind
        assert (copied.place, copied.problem, copied.got, copied.hint) == (error.place, error.problem, error.got, error.hint)
        assert (str(copied), copied.retryable) == (str(error), error.retryable)


@pytest.mark.parametrize("kind", LEAVES)
def test_every_error_is_either_to_retry_or_to_fix(kind: type[errors.LakekitError]) -> None:
    assert issubclass(kind, errors.RetryableError) is not issubclass(kind, errors.FixError)


@pytest.mark.parametrize("kind", ALL)
def test_retryable_says_what_the_tree_says(kind: type[errors.LakekitError]) -> None:
    assert kind.retryable is issubclass(kind, errors.RetryableError)


@pytest.mark.parametrize("kind", ALL)
def test_every_error_is_drawn_in_the_tree(kind: type[errors.LakekitError]) -> None:
    assert kind.__name__ in (errors.__doc__ or "")


@pytest.mark.parametrize(
    ("details", "text"),
    [
        ({}, "merge(key=): expected a column."),
        ({"got": "'id'"}, "merge(key=): expected a column, got 'id'."),
        ({"hint": "name one."}, "merge(key=): expected a column.\nHint: name one."),
        ({"got": "'id'", "hint": "name one."}, "merge(key=): expected a column, got 'id'.\nHint: name one."),
    ],
)
def test_the_text_is_place_problem_got_and_hint(details: dict[str, str], text: str) -> None:
    assert str(errors.ConfigError("merge(key=)", "expected a column", **details)) == text
