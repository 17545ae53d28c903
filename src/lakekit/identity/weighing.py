"""weights: what a trained rule has learned, to be looked at."""

from __future__ import annotations

import html

import attrs

from lakekit.display import Shown
from lakekit.errors import ConfigError
from lakekit.identity.rules import Rules, require_trained

_BAR = 24


@attrs.frozen
class Weight:
    """What one outcome of a comparison says.

    Attributes:
        column: The column compared.
        outcome: ``equal``, ``the other's last``, a level such as ``jaro_winkler >= 0.92``, or ``different``.
        bits: Above 0 for one person, below for two.
        varies: From which to which value term frequencies change it. None: they don't.
        relatives: What it says against each kind of relatives.
    """

    column: str
    outcome: str
    bits: float
    varies: tuple[float, float] | None = None
    relatives: tuple[float, ...] = ()

    @property
    def notes(self) -> str:
        """What stands behind the bits."""
        varies = f" ({self.varies[0]:+.1f} … {self.varies[1]:+.1f} by how frequent the value is)" if self.varies else ""
        return varies + _against(self.relatives, " ({} against relatives)")


@attrs.frozen(repr=False)
class Weights(Shown):
    """What a probabilistic rule knows. Printable, with bars.

    Attributes:
        prior: The log2 odds before anything is compared.
        least_bits: The log2 odds from which records match.
        rows: What each outcome says.
        relatives: The log2 odds before anything is compared against each kind of relatives.
    """

    prior: float
    least_bits: float
    rows: tuple[Weight, ...]
    relatives: tuple[float, ...] = ()

    @property
    def _caption(self) -> str:
        relatives = _against(self.relatives, ", {} against relatives")
        return f"prior {self.prior:+.1f} bits{relatives}; records match from {self.least_bits:+.1f} bits"

    def __str__(self) -> str:
        wide = max(len(row.column) for row in self.rows), max(len(row.outcome) for row in self.rows)
        most = max(1.0, *(abs(row.bits) for row in self.rows))
        lines = [self._caption]
        for row in self.rows:
            bar = ("+" if row.bits > 0 else "-") * round(_BAR * abs(row.bits) / most)
            lines.append(f"{row.column:<{wide[0]}}  {row.outcome:<{wide[1]}}  {row.bits:+6.1f}  {bar} {row.notes}".rstrip())
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        most = max(1.0, *(abs(row.bits) for row in self.rows))
        rows = ""
        for row in self.rows:
            color, width = ("#4a7" if row.bits > 0 else "#c55"), round(120 * abs(row.bits) / most)
            bar = f'<div style="background:{color};width:{width}px;height:10px"></div>'
            cells = (html.escape(row.column), html.escape(row.outcome), f"{row.bits:+.1f}{row.notes}", bar)
            rows += f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"
        return f"<table><caption>{self._caption}</caption><tr><th>column</th><th>outcome</th><th>bits</th><th></th></tr>{rows}</table>"


def _against(relatives: tuple[float, ...], form: str) -> str:
    """What is said against relatives, if anything."""
    return form.format(" and ".join(f"{bits:+.1f}" for bits in relatives)) if relatives else ""


def weights(rules: Rules) -> Weights:
    """What a probabilistic rule has learned, or was told: what each outcome of each comparison says, in bits.

    Args:
        rules: Rules with a trained probabilistic rule.

    Raises:
        ConfigError: There is none, or it has no model.

    >>> from lakekit import identity
    >>> fields = [identity.compare("name", levels=(0.9,)), identity.compare("city", levels=())]
    >>> rule = identity.probabilistic(compare=fields, block=["city"], model=identity.Model(prior=-10, bits=[(12, 6, -4), (5, -2)]))
    >>> print(weights(identity.Rules(match=[rule])))
    prior -10.0 bits; records match from +0.0 bits
    name  equal                +12.0  ++++++++++++++++++++++++
    name  jaro_winkler >= 0.9   +6.0  ++++++++++++
    name  different             -4.0  --------
    city  equal                 +5.0  ++++++++++
    city  different             -2.0  ----
    """
    place = "identity.weights()"
    require_trained(rules, place=place)
    rule = rules.probabilistic
    if rule is None or rule.model is None:
        raise ConfigError(place, "expected rules with a probabilistic rule", hint="match=[identity.probabilistic(…)].")
    rows: list[Weight] = []
    relatives = rule.model.relatives
    for number, (item, bits) in enumerate(zip(rule.compare, rule.model.bits, strict=True)):
        known = rule.model.of(number)
        added = [known.rest, *(more for _, more in known.bits)] if known else []
        for level, (outcome, said) in enumerate(zip(item.outcomes, bits, strict=True)):
            varies = (said + min(added), said + max(added)) if added and level == 0 else None
            rows.append(Weight(item.column, outcome, said, varies, tuple(kind.bits[number][level] for kind in relatives)))
    return Weights(rule.model.prior, rule.least_bits, tuple(rows), tuple(kind.prior for kind in relatives))
