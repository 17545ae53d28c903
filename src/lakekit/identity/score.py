"""Scoring pairs of records: values as numbers, each distinct pair of unequal values compared once, the rest is SQL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import attrs

from lakekit.engines.plan import Frame, Node, Query
from lakekit.engines.sql import double
from lakekit.engines.types import ident
from lakekit.identity.kinds import Comparison, Probabilistic, Scorer, Veto
from lakekit.identity.model import Frequencies
from lakekit.identity.rules import Rules
from lakekit.identity.similarity import similarity_function, similarity_name
from lakekit.identity.tables import Run

Measure = tuple[str, Scorer]
"""A column and how its values are compared."""
SURE: Final = 20.0
"""What an exact or a fuzzy match adds to the bits of a probabilistic rule: odds of a million to one."""


@attrs.frozen(eq=False)
class Scored:
    """Scored pairs.

    Attributes:
        rows: What was kept of the pairs, ``vetoed``, ``bits`` (0 without a probabilistic rule), and a likeness for each fuzzy rule, by its
            place among the rules: ``fuzzy_0``; NULL where a value is missing, 0 where it is less than any rule asks for.
    """

    rows: Frame


def needed(rules: Rules) -> bool:
    """Whether pairs have to be scored at all: exact rules alone need no values."""
    return bool(rules.fuzzy or rules.never or rules.probabilistic)


def score(run: Run, pairs: Node, records: Node, *, kept: Sequence[str] = ("left_id", "right_id"), of_all: bool = False) -> Scored:
    """Score pairs of records.

    Args:
        run: The run.
        pairs: ``left_id`` and ``right_id``; each pair once.
        records: Records with their values.
        kept: The columns of the pairs by which they are known afterwards.
        of_all: Whether the pairs are of most records there are: then it isn't worth while to ask which.
    """
    rules = run.rules
    codes = {name: f"c{number}" for number, name in enumerate(_columns(rules))}
    coded = _coded(run, records if of_all else _of_pairs(run, pairs, records), codes)
    sides = ", ".join(f"l.{code} AS l_{code}, r.{code} AS r_{code}" for code in codes.values())
    wide = run.query(
        f"SELECT {', '.join(f'p.{name}' for name in kept)}, {sides} FROM pairs p "
        "JOIN coded l ON l.record_id = p.left_id JOIN coded r ON r.record_id = p.right_id",
        pairs=pairs,
        coded=coded,
    )
    measured, held = _measured(run, wide, coded, codes)
    likeness = {measure: f"w.likeness_{number}" for number, measure in enumerate(_measures(rules))}
    vetoes = [_vetoed(rule, codes, likeness) for rule in rules.never]
    told = [*(f"w.{name}" for name in kept), f"coalesce({' OR '.join(vetoes) or 'false'}, false) AS vetoed"]
    told += [f"{likeness[rule.column, rule.scorer]} AS fuzzy_{number}" for number, rule in enumerate(rules.fuzzy)]
    bits = double(0)
    if rules.probabilistic:
        told += _levels(rules.probabilistic, codes, likeness)
        bits = _bits(rules.probabilistic)
    found = Query(f"SELECT {', '.join(told)} FROM measured w", {"measured": measured})
    wanted = [*kept, "vetoed", *(f"fuzzy_{number}" for number, _ in enumerate(rules.fuzzy))]
    scored = run.session.stage(Query(f"SELECT {', '.join(f'w.{name}' for name in wanted)}, {bits} AS bits FROM found w", {"found": found}))
    run.session.discard(coded, wide, *held)
    return Scored(scored)


def _of_pairs(run: Run, pairs: Node, records: Node) -> Node:
    """The records that the pairs are of."""
    asked = run.query("SELECT left_id AS id FROM pairs UNION SELECT right_id FROM pairs", pairs=pairs)
    return Query("SELECT r.* FROM records r LEFT SEMI JOIN asked i ON i.id = r.record_id", {"records": records, "asked": asked})


def _coded(run: Run, records: Node, codes: dict[str, str]) -> Frame:
    """Records with their values as numbers, and with those as text that more is measured of than whether they are equal."""
    as_text, named = {column for column, _ in _measures(run.rules)}, _named(run.rules)
    inner, outer = ["record_id"], ["record_id"]
    for name, code in codes.items():
        inner.append(f"CASE WHEN {ident(name)} IS NOT NULL THEN {'lk_md5' if name in named else 'lk_code'}({ident(name)}) END AS {code}")
        outer.append(f"lk_first63({code}) AS {code}" if name in named else code)
        if name in as_text:
            inner.append(f"{ident(name)} AS {code}_text")
            outer.append(f"{code}_text")
    return run.few(f"SELECT {', '.join(outer)} FROM (SELECT {', '.join(inner)} FROM records r)", records=records)


def _measured(run: Run, wide: Frame, coded: Frame, codes: dict[str, str]) -> tuple[Query, list[Frame]]:
    """The pairs with the likeness by each measure, and what frequent values add; and what is to be discarded.

    ``likeness_0`` … is NULL where a value is missing, and 0 where it is too small to matter. ``often_0`` … is in bits.
    """
    inputs: dict[str, Node] = {"wide": wide}
    told, joins, held = ["w.*"], list[str](), list[Frame]()
    for number, ((column, scorer), least) in enumerate(_measures(run.rules).items()):
        left, right, alike = f"w.l_{codes[column]}", f"w.r_{codes[column]}", f"alike_{number}"
        held.append(_alike(run, wide, coded, codes[column], scorer, least))
        # Filtered afterwards: DuckDB would measure once more what passes.
        inputs[alike] = Query(f"SELECT * FROM alike WHERE score >= {double(least)}", {"alike": held[-1]})
        low = f"CASE WHEN {left} <> {right} THEN least({left}, {right}) END"  # of equal values nothing is looked for
        joins.append(f"LEFT JOIN {alike} ON {alike}.low = {low} AND {alike}.high = greatest({left}, {right})")
        unequal = f"WHEN {left} <> {right} THEN coalesce({alike}.score, {double(0)})"
        told.append(f"CASE WHEN {left} = {right} THEN {double(1)} {unequal} END AS likeness_{number}")
    for number, (item, frequencies) in _frequencies(run.rules.probabilistic).items():
        inputs[f"frequent_{number}"] = _frequent(run, frequencies)
        more, adds = _often(number, item, double(frequencies.rest), codes[item.column])
        joins += more
        told.append(f"{adds} AS often_{number}")
    return Query(f"SELECT {', '.join(told)} FROM wide w {' '.join(joins)}", inputs), held


def _columns(rules: Rules) -> tuple[str, ...]:
    """The columns whose values are compared: those that only bring records together are not."""
    found = [rule.column for rule in rules.fuzzy]
    found += [name for rule in rules.never for name in rule.columns]
    found += [name for item in rules.probabilistic.compare for name in item.columns] if rules.probabilistic else []
    return tuple(dict.fromkeys(found))


def _named(rules: Rules) -> set[str]:
    """The columns whose values' numbers are those of the model: it names frequent values of them, or of one they are compared with."""
    rule = rules.probabilistic
    if rule is None or rule.model is None:
        return set()
    found = {item.column for number, item in enumerate(rule.compare) if rule.model.of(number) is not None}
    together = [{one.column, one.swapped} for one in (*rules.never, *rule.compare) if one.swapped]
    while more := {name for names in together if names & found for name in names if name} - found:
        found |= more
    return found


def _measures(rules: Rules) -> dict[Measure, float]:
    """What is measured, and from which likeness on anything depends on how great it is."""
    found = [((rule.column, rule.scorer), rule.at_least) for rule in rules.fuzzy]
    found += [((rule.column, rule.scorer), rule.below) for rule in rules.never if rule.below < 1]
    compared = rules.probabilistic.compare if rules.probabilistic else ()
    found += [((item.column, item.scorer), item.levels[-1]) for item in compared if item.levels]
    return {measure: min(least for known, least in found if known == measure) for measure, _ in found}


def _alike(run: Run, wide: Frame, coded: Frame, code: str, scorer: Scorer, least: float) -> Frame:
    """The likeness of each distinct pair of unequal values."""
    distinct = run.query(
        f"SELECT DISTINCT least(l_{code}, r_{code}) AS low, greatest(l_{code}, r_{code}) AS high FROM wide WHERE l_{code} <> r_{code}",
        wide=wide,
    )
    asked = "SELECT low AS code FROM pairs UNION ALL SELECT high FROM pairs"
    texts = Query(
        f"SELECT DISTINCT c.{code} AS code, c.{code}_text AS text FROM coded c LEFT SEMI JOIN ({asked}) p ON p.code = c.{code}",
        {"coded": coded, "pairs": distinct},
    )
    name = similarity_name(scorer, least)
    measured = Query(
        f"SELECT d.low, d.high, {name}(a.text, b.text) AS score FROM pairs d JOIN texts a ON a.code = d.low JOIN texts b ON b.code = d.high",
        {"pairs": distinct, "texts": texts},
        {name: similarity_function(scorer, least)},
    )
    alike = run.session.stage(measured)
    run.session.discard(distinct)
    return alike


def _frequencies(rule: Probabilistic | None) -> dict[int, tuple[Comparison, Frequencies]]:
    """The comparisons of which frequent values are known, by their places."""
    known = {number: (item, rule.model.of(number)) for number, item in enumerate(rule.compare)} if rule and rule.model else {}
    return {number: (item, frequencies) for number, (item, frequencies) in known.items() if frequencies is not None}


def _frequent(run: Run, frequencies: Frequencies) -> Frame:
    """Frequent values: the ``code`` of each, and the ``bits`` that it adds."""
    import pyarrow as pa

    codes, bits = zip(*frequencies.bits, strict=True) if frequencies.bits else ((), ())
    return run.lake.engine.frame(pa.table({"code": pa.array(codes, pa.int64()), "bits": pa.array(bits, pa.float64())}))


def _often(number: int, item: Comparison, rest: str, code: str) -> tuple[list[str], str]:
    """SQL: what the value of a comparison adds, and the joins it takes. Where two values are swapped it is the less of what they add."""
    left, right = f"w.l_{code}", f"w.r_{code}"
    joins = [f"LEFT JOIN frequent_{number} l_{number} ON l_{number}.code = {left}"]
    adds = f"coalesce(l_{number}.bits, {rest})"
    if not item.swapped:
        return [f"{joins[0]} AND {left} = {right}"], adds
    return [
        *joins,
        f"LEFT JOIN frequent_{number} r_{number} ON r_{number}.code = {right}",
    ], f"least({adds}, coalesce(r_{number}.bits, {rest}))"


def _vetoed(rule: Veto, codes: dict[str, str], likeness: dict[Measure, str]) -> str:
    """SQL: the rule keeps the pair apart."""
    code = codes[rule.column]
    differ = f"w.l_{code} <> w.r_{code}"
    if rule.below < 1:
        differ += f" AND {likeness[rule.column, rule.scorer]} < {double(rule.below)}"
    excuses = [f"w.l_{codes[name]} = w.r_{codes[name]}" for name in rule.unless]
    if rule.swapped:
        excuses.append(" OR ".join(_meetings(code, codes[rule.swapped])))
    excused = "".join(f" AND NOT coalesce(({excuse}), false)" for excuse in excuses)
    return f"({differ}{excused})"


def _levels(rule: Probabilistic, codes: dict[str, str], likeness: dict[Measure, str]) -> list[str]:
    """SQL: the level of each comparison, and what a frequent value adds."""
    assert rule.model is not None  # noqa: S101 -- required at the start of the run
    found: list[str] = []
    for number, item in enumerate(rule.compare):
        found.append(f"{_level(item, codes, likeness.get((item.column, item.scorer), '0'))} AS level_{number}")
    return found + [f"w.often_{number}" for number in _frequencies(rule)]


def _bits(rule: Probabilistic) -> str:
    """SQL: the log2 odds that a pair, of which the levels are known, is one person, and not two strangers or relatives."""
    assert rule.model is not None  # noqa: S101 -- required at the start of the run
    odds: list[str] = []
    for prior, bits in rule.model.contrasts:
        terms = [double(prior)]
        for number, row in enumerate(bits):
            outcomes = " ".join(f"WHEN {level} THEN {double(value)}" for level, value in enumerate(row))
            terms.append(f"CASE w.level_{number} {outcomes} ELSE {double(0)} END")
        odds.append(" + ".join(terms))
    for number, (item, _) in _frequencies(rule).items():  # how frequent a value is among all, which says nothing of a family
        swapped = f"WHEN 1 THEN least(w.often_{number}, {double(0)}) " if item.swapped else ""
        odds[0] += f" + CASE w.level_{number} WHEN 0 THEN w.often_{number} {swapped}ELSE {double(0)} END"
    return f"least({', '.join(odds)})" if len(odds) > 1 else odds[0]


def _level(item: Comparison, codes: dict[str, str], likeness: str) -> str:
    """SQL: the number of a comparison's outcome, 0 for equal; NULL where a value is missing."""
    code = codes[item.column]
    left, right = f"w.l_{code}", f"w.r_{code}"
    one, other = _meetings(code, codes[item.swapped]) if item.swapped else ("", "")
    swapped = f"WHEN coalesce({one}, {other}) AND coalesce({other}, {one}) THEN 1 " if item.swapped else ""  # one does, and none does not
    alike = " ".join(f"WHEN {likeness} >= {double(least)} THEN {number}" for number, least in item.alike.items())
    return f"(CASE WHEN {left} IS NULL OR {right} IS NULL THEN NULL WHEN {left} = {right} THEN 0 {swapped}{alike} ELSE {len(item.outcomes) - 1} END)"


def _meetings(code: str, other: str) -> tuple[str, str]:
    """SQL: whether each record's value of a column is the other record's value of another column; NULL where one is missing."""
    return f"w.l_{code} = w.r_{other}", f"w.l_{other} = w.r_{code}"
