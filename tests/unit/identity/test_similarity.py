"""Likeness of texts: the same whichever comes first, 1 for equal ones, and the same in SQL as in Python."""

from __future__ import annotations

from typing import Any, get_args

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakekit.identity.kinds import Scorer
from lakekit.identity.similarity import similarity, similarity_function

SCORERS: list[Any] = list(get_args(Scorer))
TEXTS = st.text(alphabet="abc é'ßЖ", max_size=12)


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
