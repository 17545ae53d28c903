"""Hard cases of every rule, as data: `unit/rules` runs them in Python, `contract` on each engine.

A case is a text and what becomes of it: a value, or `no("reason")`.
"""

from __future__ import annotations

import attrs

from lakekit import rules


@attrs.frozen
class Refusal:
    """What is expected of a text that a rule refuses."""

    reason: str


no = Refusal
Cases = list[tuple["str | None", object]]


@attrs.frozen
class Table:
    """A rule, and texts with what becomes of each."""

    rule: rules.Rule
    cases: Cases

    @property
    def title(self) -> str:
        return repr(self.rule)[:60]
