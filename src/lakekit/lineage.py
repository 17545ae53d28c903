"""Lineage: how the columns of a batch come from those of the tables it was read from, as far as lakekit's own functions made them."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any, Final

import attrs

from lakekit.bookmark import canonical

PROPERTY: Final = "lakekit.lineage"
"""The table property that holds it: upstream to what `Lineage.to_dict` gives."""


@attrs.frozen
class Lineage:
    """How columns come from those of one upstream.

    Attributes:
        columns: Column to the SQL expression over the upstream's columns that it is, where it is not one of these by its own name.
        rest: Whether all others go on by their names, new ones too.
    """

    columns: Mapping[str, str] = attrs.field(factory=dict)
    rest: bool = True

    def selected(self, words: Mapping[str, str], *, rest: bool) -> Lineage:
        """After a `select`: checked expressions over these columns, and whether the others are kept.

        >>> Lineage({"amount": "`price` * 2"}).selected({"total": "`amount` + `fee`"}, rest=False)
        Lineage(columns={'total': '(`price` * 2) + `fee`'}, rest=False)
        """
        from lakekit.engines import sql

        made = {name: sql.substituted(expression, self.columns) for name, expression in words.items() if self._knows(expression)}
        kept = {name: expression for name, expression in self.columns.items() if rest and name not in words}
        return Lineage({**made, **kept}, self.rest and rest)

    def _knows(self, expression: str) -> bool:
        from lakekit.engines import sql

        return self.rest or sql.columns_of(expression) <= self.columns.keys()

    def of(self, names: Collection[str], *, key: Collection[str] = ()) -> dict[str, str]:
        """The columns here in which some of the upstream's are, each with its expression, and with them the key. Empty: none is here."""
        from lakekit.engines import sql
        from lakekit.engines.types import ident

        made = {name: expression for name, expression in self.columns.items() if sql.columns_of(expression) & {*names}}
        used = {name for expression in made.values() for name in sql.columns_of(expression)}
        found = {**({name: ident(name) for name in names if name not in used} if self.rest else {}), **made}
        return found and {**{name: self.columns.get(name, ident(name)) for name in key}, **found}

    def to_dict(self) -> dict[str, Any]:
        """The form in which tables hold it."""
        return {"columns": dict(self.columns), "rest": self.rest}


def noted(properties: Mapping[str, str]) -> dict[str, Lineage]:
    """What a table's properties say: upstream to how its columns come here."""
    known = json.loads(properties.get(PROPERTY, "{}"))
    return {upstream: Lineage(one["columns"], one["rest"]) for upstream, one in known.items()}


def to_property(properties: Mapping[str, str], lineage: Mapping[str, Lineage]) -> str:
    """The property with what a batch says, beside what others said about other upstreams."""
    return canonical({upstream: one.to_dict() for upstream, one in {**noted(properties), **lineage}.items()})
