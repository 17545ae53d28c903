"""Who is one person, in the plainest way: every pair compared, groups joined one by one. For small tables."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from itertools import combinations
from typing import Any

from rapidfuzz.distance import JaroWinkler

Record = tuple[str, str]
"""Source and record key."""
Values = Mapping[str, str | None]
EMAILS, PHONES, ALIKE, OPPOSED, SURE = 4, 3, 0.85, 0.6, 20


def partition(
    records: Mapping[Record, Values], *, max_members: int, decisions: Mapping[tuple[Record, Record], str] | None = None
) -> set[frozenset[Record]]:
    """exact(email, max_shared=4), exact(phone, max_shared=3), fuzzy(name >= 0.85 within phone); veto(name < 0.6 unless email); decisions."""
    weight = {pair: _weight(records, *pair) for pair in combinations(sorted(records), 2)}
    decided = {pair: kind for pair, kind in (decisions or {}).items() if pair in weight}
    sure = [pair for pair, kind in decided.items() if kind == "confirm"]
    links = sorted((pair for pair, w in weight.items() if w), key=lambda pair: (-(weight[pair] or 0), pair))
    groups = {record: frozenset([record]) for record in records}
    for a, b in sure:
        groups |= dict.fromkeys(groups[a] | groups[b], groups[a] | groups[b])
    linked, firm = dict(groups), set(groups.values())
    for a, b in links:
        linked |= dict.fromkeys(linked[a] | linked[b], linked[a] | linked[b])
    for a, b in links:
        if groups[a] != groups[b] and (len(linked[a]) <= max_members or len(groups[a] | groups[b]) <= max_members):
            groups |= dict.fromkeys(groups[a] | groups[b], groups[a] | groups[b])
    weight |= {pair: None for pair, kind in decided.items() if kind == "separate"}
    return {part for group in set(groups.values()) for part in _average_linkage([one for one in firm if one <= group], weight)}


def _weight(records: Mapping[Record, Values], a: Record, b: Record) -> int | None:
    """How strongly two records are linked, in millionths; 0: not at all; None: a veto."""
    one, other = records[a], records[b]

    def shares(column: str, limit: int) -> bool:
        value = one.get(column)
        return value is not None and value == other.get(column) and sum(r.get(column) == value for r in records.values()) <= limit

    names = one.get("name"), other.get("name")
    likeness = None if names[0] is None or names[1] is None else JaroWinkler.normalized_similarity(*sorted(names))  # type: ignore[arg-type]
    same_email = one.get("email") is not None and one.get("email") == other.get("email")
    if likeness is not None and likeness < OPPOSED and not same_email:
        return None
    score = float(shares("email", EMAILS)) + shares("phone", PHONES)
    if shares("phone", PHONES) and likeness is not None and likeness >= ALIKE:
        score += likeness
    return round(score * SURE * 1_000_000)


def _average_linkage(parts: list[frozenset[Record]], weight: Mapping[tuple[Record, Record], int | None]) -> list[frozenset[Record]]:
    while True:
        best: tuple[Any, ...] | None = None
        for a, b in combinations(sorted(parts, key=min), 2):
            between = [weight[min(x, y), max(x, y)] for x in a for y in b]
            if None in between or not any(between):
                continue
            candidate = (-Fraction(sum(w or 0 for w in between), len(between)), min(a), min(b), a, b)
            best = candidate if best is None or candidate[:3] < best[:3] else best
        if best is None:
            return parts
        parts = [part for part in parts if part not in best[3:]] + [best[3] | best[4]]
