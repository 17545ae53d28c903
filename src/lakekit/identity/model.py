"""Model: what a probabilistic rule knows about its comparisons; learned by `train`, or set by hand."""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import attrs

from lakekit.errors import ConfigError

MODEL_VERSION: Final = 1


def code(text: str) -> int:
    """A value's number: ``lk_hash63`` in Python."""
    return int.from_bytes(hashlib.md5(text.encode(), usedforsecurity=False).digest()[:8]) & 0x7FFF_FFFF_FFFF_FFFF


def _rows(rows: Any) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(map(float, row)) for row in rows)


@attrs.frozen
class Frequencies:
    """What a column's values say when they are equal, beyond what equal values say on average: a rare one more, a frequent one less.

    Attributes:
        bits: ``lk_hash63`` of a frequent value to the bits that it adds, sorted.
        rest: What every other value adds.
    """

    bits: tuple[tuple[int, float], ...] = attrs.field(converter=lambda rows: tuple((int(code), float(bits)) for code, bits in rows))
    rest: float = attrs.field(converter=float)

    def adds(self, text: str) -> float:
        """What an equal value adds.

        >>> Frequencies([(code("smith"), -3.0)], rest=1.0).adds("smith")
        -3.0
        """
        return dict(self.bits).get(code(text), self.rest)


def _per_comparison(values: Any) -> tuple[Frequencies | None, ...]:
    return tuple(None if item is None else item if isinstance(item, Frequencies) else Frequencies(**item) for item in values)


@attrs.frozen
class Relatives:
    """What sets two records of one person apart from those of two relatives: of a household, of one name, twins; each veto shows a kind of them.

    These share a surname, a phone, an address. Among strangers that says a lot; here it says next to nothing.

    Attributes:
        prior: The log2 of how many pairs of one person there are for one of relatives.
        bits: As in `Model`, for one person against two relatives.
    """

    prior: float = attrs.field(converter=float)
    bits: tuple[tuple[float, ...], ...] = attrs.field(converter=_rows)


def _kinds(values: Any) -> tuple[Relatives, ...]:
    return tuple(value if isinstance(value, Relatives) else Relatives(**value) for value in values)


@attrs.frozen
class Model:
    """What a `probabilistic` rule knows, frozen: how much each outcome of each comparison says, in bits. Learned by `train`, or set by hand.

    Attributes:
        prior: The log2 odds that two records of one block, taken at random from all, are one person before anything is compared.
        bits: For each comparison and outcome (equal first, different last) the log2 of how much likelier it is for one person than for two.
        frequencies: For each comparison, what its values add: with ``term_frequency`` each of them, otherwise those that too many records
            share, which take some of the bits back. None: no value adds anything. Empty: for all of them.
        relatives: The same against each kind of relatives. What speaks least for one person counts. Empty: two persons are always strangers.

    Raises:
        ConfigError: Something else than numbers, or the relatives' are not as many.

    >>> model = Model(prior=-10, bits=[(8, 3, -4), (5, -2)])
    >>> Model.from_dict(model.to_dict()) == model
    True
    """

    prior: float = attrs.field(converter=float)
    bits: tuple[tuple[float, ...], ...] = attrs.field(converter=_rows)
    frequencies: tuple[Frequencies | None, ...] = attrs.field(default=(), converter=_per_comparison)
    relatives: tuple[Relatives, ...] = attrs.field(default=(), converter=_kinds)

    def __attrs_post_init__(self) -> None:
        numbers = [value for prior, bits in self.contrasts for value in (prior, *itertools.chain(*bits))]
        if not all(map(math.isfinite, numbers)):
            raise ConfigError("identity.Model()", "expected finite numbers")
        if any([len(row) for row in kind.bits] != [len(row) for row in self.bits] for kind in self.relatives):
            raise ConfigError("identity.Model(relatives=)", "expected as many comparisons and outcomes as against strangers")
        if self.frequencies and len(self.frequencies) != len(self.bits):
            raise ConfigError(
                "identity.Model(frequencies=)", f"expected one for each of {len(self.bits)} comparisons", got=str(len(self.frequencies))
            )

    @property
    def contrasts(self) -> tuple[tuple[float, tuple[tuple[float, ...], ...]], ...]:
        """Prior and bits of one person against two strangers, and against each kind of relatives."""
        return ((self.prior, self.bits), *((kind.prior, kind.bits) for kind in self.relatives))

    def of(self, number: int) -> Frequencies | None:
        """The frequencies of a comparison."""
        return self.frequencies[number] if self.frequencies else None

    @classmethod
    def of_probabilities(cls, *, prior: float, same: Sequence[Sequence[float]], different: Sequence[Sequence[float]]) -> Model:
        """A model from probabilities.

        Args:
            prior: How likely two records taken at random are one person.
            same: For each comparison, how likely each outcome is for two records of one person.
            different: The same for records of two persons.

        Raises:
            ConfigError: No probabilities, or another number of them for one person than for two.

        >>> Model.of_probabilities(prior=0.5, same=[(0.9, 0.1)], different=[(0.1, 0.9)]).bits
        ((3.169925001442312, -3.169925001442312),)
        """
        if [len(row) for row in same] != [len(row) for row in different]:
            raise ConfigError("identity.Model.of_probabilities()", "expected as many outcomes for one person as for two")
        if not all(0 < value < 1 for value in (prior, *(value for rows in (same, different) for row in rows for value in row))):
            raise ConfigError("identity.Model.of_probabilities()", "expected probabilities between 0 and 1")
        pairs = (zip(one, two, strict=True) for one, two in zip(same, different, strict=True))
        return cls(math.log2(prior / (1 - prior)), [[math.log2(m / u) for m, u in row] for row in pairs])

    def to_dict(self) -> dict[str, Any]:
        """The model in plain values, with the version of their form."""
        return {"version": MODEL_VERSION, **attrs.asdict(self)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Model:
        """The model that `to_dict` wrote.

        Raises:
            ConfigError: A newer lakekit wrote it.
        """
        if (version := data.get("version", MODEL_VERSION)) > MODEL_VERSION:
            raise ConfigError(
                "identity.Model.from_dict()", f"expected version {MODEL_VERSION}", got=str(version), hint="it needs a newer lakekit."
            )
        return cls(data["prior"], data["bits"], data.get("frequencies", ()), data.get("relatives", ()))
