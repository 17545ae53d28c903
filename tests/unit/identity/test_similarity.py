"""Likeness of texts: the same whichever comes first, 1 for equal ones, and the same in SQL as in Python."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakekit.identity.kinds import SCORERS, Scorer
from lakekit.identity.likeness import name
from lakekit.identity.similarity import similarities, similarity, similarity_function

TEXTS = st.one_of(
    st.text(alphabet="abc é'ßЖ", max_size=12),
    st.text(alphabet='ab @.-,|0123456789[]"', max_size=14),
    st.one_of(st.dates(), st.floats()).map(str),
    st.sampled_from(["a@b", "@", "[1, null]", "[{}]", "0000-00-00", "2023-02-30", "1e999", "+49 171 123"]),
)


@pytest.mark.parametrize("scorer", SCORERS)
@given(left=TEXTS, right=TEXTS)
def test_likeness_is_symmetric_between_0_and_1_and_1_for_equal_texts(scorer: Scorer, left: str, right: str) -> None:
    found = similarity(left, right, scorer)
    assert 0 <= found <= 1
    assert found == pytest.approx(similarity(right, left, scorer))
    if left.strip():
        assert similarity(left, left, scorer) == 1


@pytest.mark.parametrize("scorer", SCORERS)
def test_the_sql_function_gives_what_python_gives(scorer: Scorer) -> None:
    left, right = ["martha", "jon smith", "ж"], ["marhta", "smith, john", "a"]
    function = similarity_function(scorer)
    found = function.call(pa.array(left), pa.array(right)).to_pylist()
    assert found == pytest.approx([similarity(a, b, scorer) for a, b in zip(left, right, strict=True)])
    assert function.call(pa.array([], pa.string()), pa.array([], pa.string())).to_pylist() == []


@pytest.mark.parametrize("scorer", SCORERS)
@given(left=TEXTS, right=TEXTS, least=st.sampled_from([0.5, 0.7, 0.75, 0.8, 0.9, 1.0]))
def test_a_least_likeness_changes_only_what_is_less(scorer: Scorer, left: str, right: str, least: float) -> None:
    (found,) = similarities([left], [right], scorer, least)
    exact = similarity(left, right, scorer)
    assert found == exact if exact >= least else found < least


NAMES = st.one_of(TEXTS, st.sampled_from(["bob", "robert", "Bob", "rob", "r", "bill", "william", "liz", "roberta", "elizabeth ann", "ann"]))


@given(pairs=st.lists(st.tuples(NAMES, NAMES), max_size=20))
def test_names_are_as_alike_together_as_one_by_one(pairs: list[tuple[str, str]]) -> None:
    found = similarities([left for left, _ in pairs], [right for _, right in pairs], "name")
    assert found.tolist() == pytest.approx([name(left, right) for left, right in pairs], abs=1e-12)  # terms are summed in another order
