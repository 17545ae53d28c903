"""Rules: which records are one person, and the functions that make them. See `kinds` for what they are."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal, cast

import attrs

from lakekit.bookmark import canonical, hash63
from lakekit.errors import ConfigError
from lakekit.identity.kinds import (
    CONFIRM,
    MAX_SHARED,
    SCORERS,
    SEPARATE,
    Block,
    Comparison,
    Decision,
    Exact,
    Fuzzy,
    Match,
    Probabilistic,
    Record,
    Scorer,
    Veto,
    at_least_two,
)
from lakekit.identity.model import Model
from lakekit.names import Columns
from lakekit.names import columns as as_columns


def _tuple(values: Sequence[Any]) -> tuple[Any, ...]:
    return tuple(values)


@attrs.frozen(kw_only=True)
class Rules:
    """Which records are one person: rules that match, rules that keep apart, and what people have decided.

    Two records are linked when one of ``match`` says so and none of ``never`` objects. Linked records form components; within one, groups are
    joined from the strongest link down, never across an objection, and never to more than ``max_members`` records. The outcome depends on
    the records, the rules and the decisions alone, not on the order in which they came.

    Attributes:
        match: `exact`, `fuzzy` and at most one `probabilistic` rule.
        never: What keeps two records apart, whatever else they share: `veto`.
        max_block: A value that more records share is no evidence: the ``max_shared`` of every rule that has none of its own.
        max_members: So many records a person can have. A larger component is cut at its weakest links.
        overrides: What people have decided about pairs of records, `confirm` and `separate`. It holds for ever, also in runs that don't name
            it again; of two decisions about one pair the later one counts. They are no part of the `fingerprint`: a new one changes the
            persons it is about, and nothing has to be rebuilt.

    Raises:
        ConfigError: Something that is no rule, a rule twice, or decisions that contradict each other.

    >>> rules = Rules(match=[exact("email"), fuzzy("full_name", at_least=0.92, within="phone")], never=[veto("birth_date", unless="email")])
    >>> rules.columns
    ('email', 'full_name', 'phone', 'birth_date')
    """

    match: tuple[Match, ...] = attrs.field(converter=_tuple)
    never: tuple[Veto, ...] = attrs.field(default=(), converter=_tuple)
    max_block: int = MAX_SHARED
    max_members: int = 200
    overrides: tuple[Decision, ...] = attrs.field(default=(), converter=_tuple)

    def __attrs_post_init__(self) -> None:
        if not self.match or not all(isinstance(rule, Exact | Fuzzy | Probabilistic) for rule in self.match):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConfigError(
                "identity.Rules(match=)",
                "expected rules made by exact(), fuzzy() or probabilistic()",
                hint='match=[identity.exact("email")].',
            )
        if not all(isinstance(rule, Veto) for rule in self.never):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConfigError("identity.Rules(never=)", "expected rules made by veto()", hint='never=[identity.veto("birth_date")].')
        if not all(isinstance(item, Decision) for item in self.overrides):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConfigError(
                "identity.Rules(overrides=)",
                "expected decisions made by confirm() or separate()",
                hint='overrides=[identity.separate(("shop", 1), ("shop", 2))].',
            )
        at_least_two(self.max_block, "identity.Rules(max_block=)")
        at_least_two(self.max_members, "identity.Rules(max_members=)")
        names = [rule.name for rule in self.match]
        if len(set(names)) < len(names):
            raise ConfigError("identity.Rules(match=)", "names a rule twice", got=next(name for name in names if names.count(name) > 1))
        refuse_contradictions({(item.a, item.b): item.kind for item in self.overrides}, place="identity.Rules(overrides=)")
        if len({(item.a, item.b) for item in self.overrides}) < len(set(self.overrides)):
            raise ConfigError("identity.Rules(overrides=)", "the same two records are both confirmed and separated")
        object.__setattr__(self, "match", tuple(rule.within(self.max_block) for rule in self.match))

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns the rules read, each once."""
        return tuple(dict.fromkeys(name for rule in (*self.match, *self.never) for name in rule.columns))

    @property
    def blocks(self) -> tuple[Block, ...]:
        """Which records are looked at together, each block once."""
        return tuple(dict.fromkeys(block for rule in self.match for block in rule.blocks))

    @property
    def exact(self) -> tuple[Exact, ...]:
        """The deterministic rules."""
        return tuple(rule for rule in self.match if isinstance(rule, Exact))

    @property
    def fuzzy(self) -> tuple[Fuzzy, ...]:
        """The rules about one column's likeness."""
        return tuple(rule for rule in self.match if isinstance(rule, Fuzzy))

    @property
    def probabilistic(self) -> Probabilistic | None:
        """The rule about all comparisons together, if there is one."""
        return next((rule for rule in self.match if isinstance(rule, Probabilistic)), None)

    @property
    def algorithm(self) -> int:
        """Grows when a release makes other parts of the same records and rules: tables are then rebuilt on purpose, not by accident."""
        return 2 if self.probabilistic else 1

    @functools.cached_property
    def fingerprint(self) -> str:
        """The rules in 16 hexadecimal digits: two tables of one fingerprint were resolved alike."""
        form = {name: value for name, value in self.to_dict().items() if name not in ("max_block", "overrides")}
        return f"{hash63(canonical([self.algorithm, form])):016x}"

    def to_dict(self) -> dict[str, Any]:
        """The rules in plain values. `from_dict` reads them again; the form is public.

        ``veto`` holds what ``never`` says. Every block has its own ``max_shared`` here. What is as it always was is left out, so that rules
        keep their fingerprint.
        """
        kinds = {Exact: "exact", Fuzzy: "fuzzy", Probabilistic: "probabilistic"}
        return {
            "match": [{"rule": kinds[type(rule)], **attrs.asdict(rule, filter=_said)} for rule in self.match],
            "veto": [attrs.asdict(rule, filter=_said) for rule in self.never],
            "max_members": self.max_members,
            **({} if self.max_block == MAX_SHARED else {"max_block": self.max_block}),
            **({"overrides": [[item.kind, list(item.a), list(item.b)] for item in self.overrides]} if self.overrides else {}),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Rules:
        """The rules that `to_dict` wrote.

        >>> rules = Rules(match=[exact("email")])
        >>> Rules.from_dict(json.loads(json.dumps(rules.to_dict()))) == rules
        True
        """
        return cls(
            match=[_match(item) for item in data["match"]],
            never=[
                Veto(item["column"], item["below"], tuple(item["unless"]), item["scorer"], item.get("swapped")) for item in data["veto"]
            ],
            max_block=data.get("max_block", MAX_SHARED),
            max_members=data["max_members"],
            overrides=[Decision(kind, (a[0], a[1]), (b[0], b[1])) for kind, a, b in data.get("overrides", ())],
        )


def _said(field: attrs.Attribute[Any], value: object) -> bool:
    """Whether a value stands in the plain form: fields that came later stand there where they say something."""
    return field.name not in ("term_frequency", "frequencies", "relatives", "swapped") or bool(value)


def _match(data: Mapping[str, Any]) -> Match:
    if data["rule"] == "exact":
        return Exact(_block(data["block"]))
    if data["rule"] == "fuzzy":
        return Fuzzy(data["column"], data["at_least"], _block(data["block"]), data["scorer"])
    compare = tuple(
        Comparison(item["column"], item["levels"], item["scorer"], item.get("term_frequency", False), item.get("swapped"))
        for item in data["compare"]
    )
    model = None if data["model"] is None else Model.from_dict(data["model"])
    return Probabilistic(compare, tuple(map(_block, data["blocks"])), data["at_least"], model)


def _block(data: Mapping[str, Any]) -> Block:
    return Block(tuple(data["columns"]), data["max_shared"])


def exact(*columns: str, max_shared: int | None = None) -> Exact:
    """A rule: records match when all of these columns are equal. NULL and empty text match nothing.

    Args:
        columns: One column, or several that must be equal together.
        max_shared: A value that more records share is no evidence: a placeholder e-mail, a switchboard. None: ``Rules(max_block=)``.

    Raises:
        ConfigError: No column, or one that is none.

    >>> exact("last_name", "birth_date").name
    'exact(last_name, birth_date)'
    """
    return Exact(Block(as_columns(columns, place="identity.exact()"), max_shared))


def fuzzy(column: str, *, at_least: float, within: Columns, scorer: Scorer = "jaro_winkler", max_shared: int | None = None) -> Fuzzy:
    """A rule: records match when a column is alike, among those that share another value.

    Args:
        column: The column compared.
        at_least: How alike, from 0 to 1.
        within: The columns whose equal values bring records together. Without such a value a record is compared with none.
        scorer: How likeness is measured.
        max_shared: A value of ``within`` that more records share brings nobody together. None: ``Rules(max_block=)``.

    Raises:
        ConfigError: An unknown scorer, or a number out of its range.

    >>> fuzzy("full_name", at_least=0.92, within="phone").name
    'fuzzy(full_name, jaro_winkler >= 0.92, within phone)'
    """
    return Fuzzy(column, at_least, Block(as_columns(within, place="identity.fuzzy(within=)"), max_shared), scorer)


def veto(column: str, *, below: float = 1.0, unless: Columns = (), scorer: Scorer = "jaro_winkler", swapped: str | None = None) -> Veto:
    """A rule that keeps apart: records that both have a value in a column, and disagree there, are never one person.

    Args:
        column: The column compared.
        below: They disagree when the likeness is less than this. Default: when they are not equal.
        unless: Columns of which one equal value takes the objection back.
        scorer: How likeness is measured.
        swapped: A column whose values stand in this one's place now and then, as last names do in that of first names: a value that is the
            other record's value there takes the objection back, too.

    Raises:
        ConfigError: An unknown scorer, or a number out of its range.

    >>> veto("full_name", below=0.7, unless="email").name
    'veto(full_name, jaro_winkler < 0.7, unless email is equal)'
    >>> veto("first", below=0.7, unless="email", swapped="last").name
    "veto(first, jaro_winkler < 0.7, unless email is equal or it is the other's last)"
    """
    return Veto(column, below, () if not unless else as_columns(unless, place="identity.veto(unless=)"), scorer, swapped)


def compare(
    column: str,
    *,
    levels: Sequence[float] | None = None,
    scorer: Scorer = "jaro_winkler",
    term_frequency: bool = False,
    swapped: str | None = None,
) -> Comparison:
    """How two values of a column are compared in a `probabilistic` rule.

    Args:
        column: The column.
        levels: Degrees of likeness between equal and different, from the most to the least alike. Empty: equal or not. None: those of the
            scorer.
        scorer: How likeness is measured; see `Scorer`.
        term_frequency: Whether an equal value says more where it is rare and less where it is frequent. How frequent values are is learned
            by `train` and frozen in the model.
        swapped: A column whose values stand in this one's place now and then, as last names do in that of first names. That they do, each in the
            place of the other, is an outcome of its own, after equal; where one is missing the other one tells. Say so of both columns.
            A frequent value says less then, too, and a rare one no more.

    Raises:
        ConfigError: An unknown scorer, or levels out of order.

    >>> compare("birth_date", scorer="date").levels
    (0.9, 0.8, 0.5)
    >>> compare("first", levels=(0.9,), swapped="last").outcomes
    ('equal', "the other's last", 'jaro_winkler >= 0.9', 'different')
    """
    return Comparison(column, tuple(SCORERS.get(scorer, (0.92, 0.8)) if levels is None else levels), scorer, term_frequency, swapped)


def probabilistic(
    *,
    compare: Sequence[Comparison],
    block: Sequence[Columns],
    at_least: float = 0.5,
    max_shared: int | None = None,
    model: Model | None = None,
) -> Probabilistic:
    """A rule: records match when all comparisons together make it likely enough that they are one person.

    Args:
        compare: What is compared. What one field says is taken to be independent of what another one says.
        block: Records that share one of these are compared at all: several blocks, so that no single typing error hides a pair.
        at_least: The probability from which they match. Default: more likely than not; all pairs of a person are looked at afterwards, so that a
            pair too many seldom joins two persons.
        max_shared: A value of a block that more records share brings nobody together. None: ``Rules(max_block=)``.
        model: What each outcome says. None: `train` learns it.

    Raises:
        ConfigError: No comparison or no block, a number out of its range, or a model of other comparisons.

    Source:
        Fellegi, Sunter: A Theory for Record Linkage, JASA 64 (1969).

    >>> rule = probabilistic(compare=[compare("name"), compare("birth_date")], block=["birth_date", ("name", "city")])
    >>> len(rule.blocks)
    2
    >>> by_hand = probabilistic(compare=[compare("name", levels=())], block=["name"], model=Model(prior=-12, bits=[(16, -6)]))
    """
    blocks = tuple(Block(as_columns(columns, place="identity.probabilistic(block=)"), max_shared) for columns in block)
    return Probabilistic(tuple(compare), blocks, at_least, model)


def confirm(a: tuple[str, object], b: tuple[str, object]) -> Decision:
    """A decision: two records are one person, whatever the rules say, for ever. It goes into ``Rules(overrides=)``.

    Neither vetoes nor the size caps are asked. Records that are not there yet may be named, too.

    Args:
        a: A record: its source, and its key (a tuple where it has several columns).
        b: Another one.

    Raises:
        ConfigError: Something else than two different records.

    >>> confirm(("shop", 1), ("market", "x")).a
    ('market', 'x')
    """
    return _decision(CONFIRM, a, b)


def separate(a: tuple[str, object], b: tuple[str, object]) -> Decision:
    """A decision: two records are two persons, whatever links them, for ever. It goes into ``Rules(overrides=)``.

    Args:
        a: A record: its source, and its key (a tuple where it has several columns).
        b: Another one.

    Raises:
        ConfigError: Something else than two different records.

    >>> separate(("shop", 1), ("shop", 2)).b
    ('shop', '2')
    """
    return _decision(SEPARATE, a, b)


def _decision(kind: Literal["confirm", "separate"], *records: object) -> Decision:
    from lakekit.incremental.record_key import record_key_text

    found: list[Record] = []
    for record in records:
        match record:
            case (str() as source, key) if source and key is not None:
                found.append((source, record_key_text(key)))
            case _:
                raise ConfigError(f"identity.{kind}()", "expected a record as (source, key)", hint='write ("shop", 1).')
    if found[0] == found[1]:
        raise ConfigError(f"identity.{kind}()", "expected two different records")
    return Decision(kind, min(found), max(found))


def refuse_contradictions(decisions: Mapping[tuple[Any, Any], str], *, place: str) -> None:
    """Raise where two records are separated that are confirmed to be one, if through others.

    Args:
        decisions: Pair of records to what was decided.
        place: Whose they are.
    """
    parent: dict[Any, Any] = {}

    def root(node: Any) -> Any:
        while parent.setdefault(node, node) != node:
            node = parent[node]
        return node

    for (a, b), kind in decisions.items():
        if kind == CONFIRM:
            parent[root(a)] = root(b)
    against = sum(kind == SEPARATE and root(a) == root(b) for (a, b), kind in decisions.items())
    if against:
        raise ConfigError(
            place,
            "the decisions contradict each other: records are separated that others confirm to be one person",
            got=f"{against} such pair{'s' if against > 1 else ''}",
            hint="a later decision about the same two records takes the earlier one back.",
        )


def require_trained(rules: Rules, *, place: str) -> None:
    """Raise where a probabilistic rule has learned nothing yet.

    Raises:
        ConfigError: It has no model.
    """
    rule = rules.probabilistic
    if rule is not None and rule.model is None:
        raise ConfigError(place, "the probabilistic rule has no model", hint="rules = identity.train(records, rules=rules), and keep them.")


def stored_rules(text: str) -> Rules:
    """The rules as a table's property holds them."""
    return Rules.from_dict(cast("dict[str, Any]", json.loads(text))["rules"])
