"""Runs that die at a point of the test's choosing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest


class Death(BaseException):
    """The end of a run, which nothing catches."""


@contextmanager
def no_write_of(lake: Any, table: str) -> Iterator[None]:
    """Until the end of the block, whoever begins to write changed rows of the table dies of it."""
    with lake.engine.session() as session:
        kind = type(session)
    merge = kind.merge

    def dying(self: Any, state: Any, *given: Any, **named: Any) -> Any:
        if state.label == table:
            raise Death
        return merge(self, state, *given, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kind, "merge", dying)
        yield
