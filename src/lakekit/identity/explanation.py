"""explain: why two records are one person, or why they are not."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from lakekit import columns as system
from lakekit.display import Shown, View
from lakekit.engines.plan import Query, Scan, TableState
from lakekit.engines.protocol import Session
from lakekit.identity.kinds import CONFIRM, SEPARATE, Comparison, Record, Scorer, Veto
from lakekit.identity.members import Links, find_members, named, rows_of
from lakekit.identity.rules import Rules
from lakekit.identity.shared import crowded
from lakekit.identity.similarity import similarity
from lakekit.identity.tables import KEYS
from lakekit.incremental.record_key import record_key_text
from lakekit.lake import Lake
from lakekit.names import TableName
from lakekit.operations import reading


@attrs.frozen
class Field:
    """How two records compare in one column.

    Attributes:
        column: The column.
        agreement: ``equal``, ``alike`` or ``different``; ``swapped`` where it stands in the place of the other's value of the column that
            ``compare(swapped=)`` names; ``missing`` where one of them has no value.
        likeness: From 0 to 1. None: not measured, or missing.
        bits: What it says to a probabilistic rule; above 0 for one person, below for two: strangers or relatives, whichever says less in all
            columns together. None: no such rule compares it.
        values: Both values, where they were asked for.
    """

    column: str
    agreement: str
    likeness: float | None = None
    bits: float | None = None
    values: tuple[str | None, str | None] | None = None

    def __str__(self) -> str:
        parts = [f"{self.column} {self.agreement}"]
        parts += [f"{self.likeness:.2f}"] if self.agreement == "alike" and self.likeness is not None else []
        parts += [f"({self.bits:+.1f} bits)"] if self.bits is not None else []
        parts += ["/".join("NULL" if value is None else repr(value) for value in self.values)] if self.values else []
        return " ".join(parts)


@attrs.frozen
class Step:
    """Two records beside each other.

    Attributes:
        a: One record.
        b: The other.
        rules: The rules by which they match, each with its score; ``confirm`` where somebody decided so.
        vetoes: The rules that keep them apart; ``separate`` where somebody decided so.
        fields: How they compare in each column that a rule reads.
        crowded: Columns in which they are equal, but so many records are that it is no evidence; each with the number of records.
    """

    a: Record
    b: Record
    rules: tuple[tuple[str, float], ...]
    vetoes: tuple[str, ...]
    fields: tuple[Field, ...]
    crowded: tuple[tuple[str, int], ...] = ()

    @property
    def reasons(self) -> str:
        """The rules in words."""
        matched = [f"{name}: {score:.2f}" if score != 1 else name for name, score in self.rules]
        apart = [f"kept apart by {name}" for name in self.vetoes]
        often = [f"{columns} is no evidence: {records:,} records share it" for columns, records in self.crowded]
        return "; ".join([*(matched or ([] if apart else ["no rule matches"])), *apart, *often])

    def __str__(self) -> str:
        return f"{named(self.a)} - {named(self.b)}: {self.reasons}\n   {', '.join(map(str, self.fields))}"


@attrs.frozen(repr=False)
class Explanation(Shown):
    """Why two records are one person, or not. Printable; it holds no values of the records unless they were asked for.

    Attributes:
        table: The identities.
        a: One record.
        b: The other.
        masters: Their ``master_user_id``; the last one they had where they are deleted.
        summary: The answer in one sentence.
        steps: The chain of matching records from one to the other; where there is none, the two beside each other.
    """

    table: str
    a: Record
    b: Record
    masters: tuple[int, int]
    summary: str
    steps: tuple[Step, ...]

    @property
    def same(self) -> bool:
        """Whether they are one person."""
        return self.masters[0] == self.masters[1]

    def __str__(self) -> str:
        lines = [f"{number}. {step}" for number, step in enumerate(self.steps, start=1)]
        return "\n".join([f"{self.table}: {named(self.a)} and {named(self.b)}: {self.summary}", *lines])

    def _view(self) -> View:
        rows = ((named(step.a), named(step.b), step.reasons, ", ".join(map(str, step.fields))) for step in self.steps)
        title = f"{self.table}: {named(self.a)} and {named(self.b)}: {self.summary}"
        return View(title, ("record", "record", "rules", "fields"), tuple(rows))


@reading
def explain(lake: Lake, identities: TableName, *, a: tuple[str, object], b: tuple[str, object], show_values: bool = False) -> Explanation:
    """Why two records are one person: the chain of records that match, with the rules and how each column compares. Or why they are not.

    Args:
        lake: Where the table is.
        identities: A table made by `resolve_identities`.
        a: A record: its source, and its key (a tuple where it has several columns).
        b: Another one.
        show_values: Whether the explanation shows what the records say. It is personal data.

    Raises:
        TableNotFoundError: There is no such table.
        ConfigError: It was not made by `resolve_identities`, or there is no such record.

    >>> import lakekit as lk, tempfile
    >>> from lakekit import identity
    >>> lake = lk.connect(tempfile.mkdtemp())
    >>> people = {"shop": lk.from_frame(lake, [{"id": 1, "email": "ada@example.com"}], run_id="a"),
    ...           "market": lk.from_frame(lake, [{"id": "x", "email": "ada@example.com"}], run_id="a")}
    >>> rules = identity.Rules(match=[identity.exact("email")])
    >>> _ = lk.resolve_identities(people, record_key={"shop": "id", "market": "id"}, rules=rules, into="silver.identities")
    >>> print(identity.explain(lake, "silver.identities", a=("shop", 1), b=("market", "x")))
    silver.identities: shop 1 and market x: one person
    1. shop 1 - market x: exact(email)
       email equal
    """
    one, other = ((source, record_key_text(key)) for source, key in (a, b))
    found = find_members(lake, identities, [one, other], place="identity.explain()")
    state, rules, people, links, assigned = found.state, found.rules, found.people, found.links, found.assigned
    masters = assigned[one]["master_user_id"], assigned[other]["master_user_id"]
    with lake.engine.session() as session:
        both = [number for number, row in people.items() if (row["source"], row["record_key"]) in assigned]
        shared = _shared(session, lake.engine.load(KEYS.name(state.name)), both)
    by_name = {(row["source"], row["record_key"]): number for number, row in people.items()}
    gone = [named(record) for record in (one, other) if assigned[record][system.DELETED_AT] is not None]
    if gone or one == other:
        summary = f"{' and '.join(gone)} deleted" if gone else "the same record"
        return Explanation(state.label, one, other, masters, summary, ())
    path = _path(by_name[one], by_name[other], links)
    beside = functools.partial(_step, people, links, rules, show_values=show_values)
    often = crowded(rules, shared)
    steps = tuple(beside(left, right, often if len(path) == 2 else ()) for left, right in itertools.pairwise(path))
    if masters[0] == masters[1]:
        return Explanation(state.label, one, other, masters, "one person", steps)
    direct = beside(by_name[one], by_name[other], often)
    if direct.vetoes or not steps:
        why = ": a decision keeps them apart" if SEPARATE in direct.vetoes else ": a veto keeps them apart" if direct.vetoes else ""
        summary = f"two persons{why}"
        return Explanation(state.label, one, other, masters, summary, (direct,))
    return Explanation(state.label, one, other, masters, "two persons: they are connected, but other pairs speak against it", steps)


def _shared(session: Session, keys: TableState, people: Sequence[int]) -> dict[str, int]:
    """Of the blocks in which two records are equal, how many records share their value."""
    both = Query(
        f"SELECT key FROM keys WHERE `{system.DELETED_AT}` IS NULL AND record_id IN ({', '.join(map(str, people)) or 'NULL'}) "
        "GROUP BY key HAVING count(*) = 2",
        {"keys": Scan(keys, keys.head)},
    )
    sql = f"SELECT block, count(*) AS n FROM keys k LEFT SEMI JOIN both b ON b.key = k.key WHERE k.`{system.DELETED_AT}` IS NULL GROUP BY block"
    return {row["block"]: row["n"] for row in rows_of(session, sql, keys=Scan(keys, keys.head), both=both)}


def _path(start: int, end: int, links: Links) -> list[int]:
    """The shortest chain of links between two records. Empty: there is none."""
    near: dict[int, list[int]] = {}
    for left, right in sorted(pair for pair, rules in links.items() if rules[0][0] != SEPARATE or len(rules) > 1):
        near.setdefault(left, []).append(right)
        near.setdefault(right, []).append(left)
    came_from, waiting = {start: start}, [start]
    for at in waiting:
        for reached in near.get(at, ()):
            if reached not in came_from:
                came_from[reached] = at
                waiting.append(reached)
    if end not in came_from:
        return []
    path = [end]
    while path[-1] != start:
        path.append(came_from[path[-1]])
    return path[::-1]


def _step(
    people: Mapping[int, Mapping[str, Any]],
    links: Links,
    rules: Rules,
    left: int,
    right: int,
    crowded: tuple[tuple[str, int], ...],
    *,
    show_values: bool,
) -> Step:
    a, b = people[left], people[right]
    scorers: dict[str, Scorer] = {rule.column: rule.scorer for rule in (*rules.never, *rules.fuzzy)}
    compared = rules.probabilistic.compare if rules.probabilistic else ()
    scorers |= {item.column: item.scorer for item in compared}
    fields: list[Field] = []
    bits = _bits(rules, a, b)
    for column in rules.columns:
        one, other = a[column], b[column]
        values = (one, other) if show_values else None
        if one is None or other is None:
            fields.append(Field(column, "missing", values=values))
            continue
        likeness = 1.0 if one == other else similarity(one, other, scorers[column]) if column in scorers else None
        swapped = any(_swapped(item, a, b) for item in compared if item.column == column)
        agreement = "equal" if one == other else "swapped" if swapped else "alike" if likeness else "different"
        fields.append(Field(column, agreement, likeness, bits.get(column), values))
    said = links.get((min(left, right), max(left, right)), ())
    matched = tuple((rule, score) for rule, score in said if rule != SEPARATE)
    vetoes = [rule.name for rule in rules.never if _objects(rule, a, b)] if CONFIRM not in dict(said) else []
    vetoes += [SEPARATE] if len(matched) < len(said) else []
    return Step((a["source"], a["record_key"]), (b["source"], b["record_key"]), matched, tuple(vetoes), tuple(fields), crowded)


def _bits(rules: Rules, a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, float]:
    """What the comparisons of each column say to the probabilistic rule: against strangers or relatives, whichever says less on the whole."""
    rule = rules.probabilistic
    if rule is None or rule.model is None:
        return {}
    found: list[tuple[float, dict[str, float]]] = []
    for number, (prior, bits) in enumerate(rule.model.contrasts):
        said = dict[str, float]()
        for place, (item, row) in enumerate(zip(rule.compare, bits, strict=True)):
            one, other = a[item.column], b[item.column]
            if one is None or other is None:
                continue
            likeness = similarity(one, other, item.scorer) if item.levels and one != other else None
            swapped = one != other and _swapped(item, a, b)
            frequencies = rule.model.of(place) if number == 0 and (one == other or swapped) else None
            more = min(frequencies.adds(one), frequencies.adds(other)) if frequencies else 0.0
            outcome = item.outcome(likeness, equal=one == other, swapped=swapped)
            said[item.column] = said.get(item.column, 0.0) + row[outcome] + (min(more, 0.0) if swapped else more)
        found.append((prior + sum(said.values()), said))
    return min(found, key=lambda one: one[0])[1]


def _objects(rule: Veto, a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    """Whether a veto keeps two records apart."""
    one, other = a[rule.column], b[rule.column]
    if one is None or other is None or one == other:
        return False
    if any(a[name] is not None and a[name] == b[name] for name in rule.unless):
        return False
    if rule.swapped and True in _meetings(rule.column, rule.swapped, a, b):
        return False
    return rule.below == 1 or similarity(one, other, rule.scorer) < rule.below


def _swapped(item: Comparison, a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    """Whether the values stand in each other's place."""
    meetings = _meetings(item.column, item.swapped, a, b) if item.swapped else ()
    return True in meetings and False not in meetings


def _meetings(column: str, other: str, a: Mapping[str, Any], b: Mapping[str, Any]) -> list[bool]:
    """Whether each record's value of a column is the other record's value of another column, where neither is missing."""
    return [one[column] == two[other] for one, two in ((a, b), (b, a)) if one[column] is not None and two[other] is not None]
