"""The kinds of rules there are: frozen values, checked when they are made, that know no engine and no table."""

from __future__ import annotations

import math
import re
from typing import Any, Final, Literal

import attrs

from lakekit.columns import is_system
from lakekit.errors import ConfigError
from lakekit.identity.model import Model

Scorer = str
"""How alike two texts are, from 0 to 1.

| scorer | |
| --- | --- |
| ``jaro_winkler``, ``jaro`` | letters in common, near each other; the first ones count more |
| ``levenshtein``, ``osa``, ``damerau_levenshtein`` | letters to change, divided by the longer text's length; for the last two a swap of neighbours is one |
| ``token_sort``, ``token_set`` | words in any order; words in common |
| ``name`` | names: nicknames, swapped parts, initials |
| ``email`` | the part before the @, then the domain |
| ``phone`` | digits, with and without the country's code |
| ``date`` | a wrong digit, day and month swapped, days apart |
| ``address`` | words in any order, abbreviations, house numbers |
| ``numeric`` | the difference in relation to the greater number |
| ``overlap`` | lists: items in common |
| ``package.module:function`` | your own: two texts in, a number from 0 to 1 out. On Spark, the workers import it too |
"""
SCORERS: Final[dict[str, tuple[float, ...]]] = {
    "jaro_winkler": (0.92, 0.8),
    "jaro": (0.92, 0.8),
    "levenshtein": (0.92, 0.8),
    "osa": (0.92, 0.8),
    "damerau_levenshtein": (0.92, 0.8),
    "token_sort": (0.92, 0.8),
    "token_set": (0.92, 0.8),
    "name": (0.92, 0.88, 0.7),
    "email": (0.95, 0.85, 0.75),
    "phone": (0.98, 0.85),
    "date": (0.9, 0.8, 0.5),
    "address": (0.95, 0.85),
    "numeric": (0.99, 0.9),
    "overlap": (0.5, 0.01),
}
"""Scorer to the levels of a comparison that names none."""
_CUSTOM = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")

RESERVED: Final = frozenset({"record_id", "source", "record_key"})
PROBABILISTIC: Final = "probabilistic"
MAX_SHARED: Final = 100
"""A value that more records share is no evidence, where nothing else is said."""
CONFIRM: Final = "confirm"
SEPARATE: Final = "separate"
Record = tuple[str, str]
"""A source, and the text of a record's key."""


def _column(name: object, place: str) -> None:
    if not isinstance(name, str) or not name:
        raise ConfigError(place, "expected a column name", got=repr(name))
    if is_system(name) or name.lower() in RESERVED:
        raise ConfigError(
            place, "a rule can't compare a column that lakekit keeps for itself", got=repr(name), hint="rename it with select()."
        )


def _other_column(name: object, column: str, place: str) -> None:
    _column(name, place)
    if name == column:
        raise ConfigError(place, "expected another column than the one that is compared", got=repr(name))


def _fraction(value: object, place: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 1:
        raise ConfigError(place, "expected a number above 0 and at most 1", got=repr(value))


def _number(value: Any) -> Any:
    """Whole numbers as floats, so that equal rules are written alike."""
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _scorer(value: object, place: str) -> None:
    if not isinstance(value, str) or (value not in SCORERS and not _CUSTOM.fullmatch(value)):
        raise ConfigError(place, f"expected one of {', '.join(SCORERS)}, or your own as 'package.module:function'", got=repr(value))


def at_least_two(value: object, place: str) -> None:
    """Raise where a limit is no number of records."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 2:
        raise ConfigError(place, "expected a whole number of at least 2", got=repr(value))


@attrs.frozen
class Block:
    """Records that share these columns' values are looked at together, unless more than ``max_shared`` records share them.

    Without a number of its own (None) a block takes ``Rules(max_block=)``, as soon as it is a part of rules.
    """

    columns: tuple[str, ...]
    max_shared: int | None

    def __attrs_post_init__(self) -> None:
        for name in self.columns:
            _column(name, "identity.Rules()")
        if self.max_shared is not None:
            at_least_two(self.max_shared, "identity.Rules(): max_shared")

    @property
    def most(self) -> int:
        """How many records may share a value."""
        return MAX_SHARED if self.max_shared is None else self.max_shared

    def within(self, max_block: int) -> Block:
        """The same with a number."""
        return self if self.max_shared is not None else attrs.evolve(self, max_shared=max_block)

    @property
    def name(self) -> str:
        """What stands in the keys table."""
        return f"{', '.join(self.columns)} (max {self.most})"


@attrs.frozen
class Exact:
    """Records whose values are equal in all of these columns match. Made by `exact`."""

    block: Block

    @property
    def name(self) -> str:
        """What stands in the links table."""
        return f"exact({', '.join(self.block.columns)})"

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns it reads."""
        return self.block.columns

    @property
    def blocks(self) -> tuple[Block, ...]:
        """Which records it looks at together."""
        return (self.block,)

    def within(self, max_block: int) -> Exact:
        """The same with a number for every block."""
        return attrs.evolve(self, block=self.block.within(max_block))


@attrs.frozen
class Fuzzy:
    """Records that share a value and are alike in a column match. Made by `fuzzy`."""

    column: str
    at_least: float = attrs.field(converter=_number)
    block: Block
    scorer: Scorer

    def __attrs_post_init__(self) -> None:
        _column(self.column, "identity.fuzzy()")
        _fraction(self.at_least, "identity.fuzzy(at_least=)")
        _scorer(self.scorer, "identity.fuzzy(scorer=)")

    @property
    def name(self) -> str:
        """What stands in the links table."""
        return f"fuzzy({self.column}, {self.scorer} >= {self.at_least:g}, within {', '.join(self.block.columns)})"

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns it reads."""
        return (self.column, *self.block.columns)

    @property
    def blocks(self) -> tuple[Block, ...]:
        """Which records it looks at together."""
        return (self.block,)

    def within(self, max_block: int) -> Fuzzy:
        """The same with a number for every block."""
        return attrs.evolve(self, block=self.block.within(max_block))


@attrs.frozen
class Veto:
    """Records that disagree in a column are never one person. Made by `veto`."""

    column: str
    below: float = attrs.field(converter=_number)
    unless: tuple[str, ...]
    scorer: Scorer
    swapped: str | None = None

    def __attrs_post_init__(self) -> None:
        _column(self.column, "identity.veto()")
        for name in self.unless:
            _column(name, "identity.veto(unless=)")
        if self.swapped is not None:
            _other_column(self.swapped, self.column, "identity.veto(swapped=)")
        _fraction(self.below, "identity.veto(below=)")
        _scorer(self.scorer, "identity.veto(scorer=)")

    @property
    def name(self) -> str:
        """How an explanation calls it."""
        excuses = [f"{' or '.join(self.unless)} is equal"] if self.unless else []
        excuses += [f"it is the other's {self.swapped}"] if self.swapped else []
        unless = f", unless {' or '.join(excuses)}" if excuses else ""
        return f"veto({self.column}, {self.scorer} < {self.below:g}{unless})"

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns it reads."""
        return (self.column, *self.unless, *([self.swapped] if self.swapped else []))


@attrs.frozen
class Comparison:
    """How two values of a column are compared: equal, in the place of another column's, alike to one of some levels, or different. Made by `compare`."""

    column: str
    levels: tuple[float, ...] = attrs.field(converter=lambda levels: tuple(_number(level) for level in levels))
    scorer: Scorer
    term_frequency: bool = False
    swapped: str | None = None

    def __attrs_post_init__(self) -> None:
        _column(self.column, "identity.compare()")
        if self.swapped is not None:
            _other_column(self.swapped, self.column, "identity.compare(swapped=)")
        _scorer(self.scorer, "identity.compare(scorer=)")
        for level in self.levels:
            _fraction(level, "identity.compare(levels=)")
        if list(self.levels) != sorted(set(self.levels), reverse=True):
            raise ConfigError("identity.compare(levels=)", "expected levels from the most to the least alike", got=repr(self.levels))

    @property
    def outcomes(self) -> tuple[str, ...]:
        """What a comparison can say, by number: equal, swapped where that is looked for, the levels from the most to the least alike, different."""
        swapped = (f"the other's {self.swapped}",) if self.swapped else ()
        return ("equal", *swapped, *(f"{self.scorer} >= {level:g}" for level in self.levels), "different")

    @property
    def alike(self) -> dict[int, float]:
        """The numbers of the outcomes between equal and different, and how alike values have to be."""
        return dict(enumerate(self.levels, start=2 if self.swapped else 1))

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns it reads."""
        return (self.column, *([self.swapped] if self.swapped else []))

    def outcome(self, likeness: float | None, *, equal: bool, swapped: bool = False) -> int:
        """The number of what two values' likeness says."""
        if equal or swapped:
            return 0 if equal else 1
        alike = (number for number, least in self.alike.items() if likeness is not None and likeness >= least)
        return next(alike, len(self.outcomes) - 1)


@attrs.frozen
class Probabilistic:
    """Records that share a block match when all their comparisons together make it likely enough. Made by `probabilistic`."""

    compare: tuple[Comparison, ...]
    blocks: tuple[Block, ...]
    at_least: float = attrs.field(converter=_number)
    model: Model | None = None

    def __attrs_post_init__(self) -> None:
        place = "identity.probabilistic()"
        if not self.compare or not self.blocks:
            raise ConfigError(place, "expected comparisons and blocks", hint="probabilistic(compare=[compare(…)], block=[(…)]).")
        if not isinstance(self.at_least, float) or not 0 < self.at_least < 1:  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConfigError(f"{place[:-1]}at_least=)", "expected a probability between 0 and 1", got=repr(self.at_least))
        if self.model is not None and [len(row) for row in self.model.bits] != [len(item.outcomes) for item in self.compare]:
            raise ConfigError(place, "the model was trained for other comparisons", hint="train() again.")

    @property
    def name(self) -> str:
        """What stands in the links table."""
        return PROBABILISTIC

    @property
    def least_bits(self) -> float:
        """The log2 odds from which records match."""
        return math.log2(self.at_least / (1 - self.at_least))

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns it reads."""
        return (*(name for item in self.compare for name in item.columns), *(name for block in self.blocks for name in block.columns))

    def within(self, max_block: int) -> Probabilistic:
        """The same with a number for every block."""
        return attrs.evolve(self, blocks=tuple(block.within(max_block) for block in self.blocks))


@attrs.frozen
class Decision:
    """What somebody has decided about two records, whatever the rules say. Made by `confirm` and `separate`."""

    kind: Literal["confirm", "separate"]
    a: Record
    b: Record

    def __attrs_post_init__(self) -> None:
        if self.a >= self.b:
            raise ConfigError(f"identity.{self.kind}()", "expected two different records, the lesser one first")


Match = Exact | Fuzzy | Probabilistic
