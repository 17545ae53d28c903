"""Hypothesis strategies: the ways in which the same events may come."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from hypothesis import strategies as st

T = TypeVar("T")


def batchings(rows: Sequence[T], *, repeats: int = 3) -> st.SearchStrategy[list[list[T]]]:
    """The same rows in any order, cut into any batches, up to ``repeats`` of them given twice. A right pipeline ends with the same tables.

    >>> from hypothesis import given, settings
    >>> @settings(max_examples=10, database=None)
    ... @given(batchings("abc"))
    ... def check(batches):
    ...     assert {row for batch in batches for row in batch} == set("abc")
    >>> check()
    """

    @st.composite
    def drawn(draw: st.DrawFn) -> list[list[T]]:
        again = draw(st.lists(st.sampled_from(range(len(rows))), max_size=repeats)) if rows else []
        order = draw(st.permutations([*range(len(rows)), *again]))
        cuts = sorted(draw(st.lists(st.integers(0, len(order)), max_size=len(order))))
        return [[rows[place] for place in order[start:end]] for start, end in zip([0, *cuts], [*cuts, len(order)], strict=True)]

    return drawn()
