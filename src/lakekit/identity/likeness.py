"""How alike two values of one kind are, from 0 to 1: names, e-mails, phones, dates, addresses, numbers, lists. Texts in, all of them pure.

What counts as how much is part of the format: persons depend on it.
"""

from __future__ import annotations

import functools
import importlib.resources
import json
import math
import re
from collections.abc import Callable, Sequence
from datetime import date
from typing import Any, Final, cast

from rapidfuzz.distance import OSA, JaroWinkler

SWAPPED_NAME: Final = 0.98
NICKNAME: Final = 0.93
INITIAL: Final = 0.75
FEWER_PARTS: Final = 0.97
OTHER_DOMAIN: Final = 0.95
SAME_NATIONAL: Final = 0.98
OTHER_NUMBER: Final = 0.7
_NAME_PARTS = re.compile(r"[\s,.;/-]+")
_DATE = re.compile(r"(\d{4})[-./]?(\d{2})[-./]?(\d{2})(?:\D.*)?")
_LIST = re.compile(r"[,;|]")
_STREETS: Final[dict[str, str]] = {
    "street": "st", "road": "rd", "avenue": "ave", "lane": "ln", "drive": "dr", "court": "ct", "boulevard": "blvd", "place": "pl",
    "square": "sq", "apartment": "apt", "north": "n", "south": "s", "east": "e", "west": "w", "strasse": "str", "straße": "str",
}  # fmt: skip


def name(left: str, right: str) -> float:
    """Names: a nickname is nearly as good as the name itself, parts may be swapped, an initial stands for a name.

    >>> name("ada lovelace", "lovelace, ada"), name("bob", "robert"), name("r smith", "robert smith")
    (0.98, 0.93, 0.875)
    """
    one, other = _parts(left), _parts(right)
    if sorted(one) == sorted(other):
        return SWAPPED_NAME if one != other else 1.0
    whole = JaroWinkler.normalized_similarity(left, right)
    if len(one) == len(other) == 1:
        return max(whole, _part(one[0], other[0]))
    if not one or not other:
        return 0.0
    short, long = sorted((one, other), key=lambda parts: (len(parts), parts))
    free, found = list(long), 0.0
    for part in short:
        best = max(free, key=lambda known: _part(part, known))
        found += _part(part, best)
        free.remove(best)
    aligned = found / len(short) * (FEWER_PARTS if free else 1.0)
    return max(whole, aligned) if len(short) > 1 else whole


def _parts(text: str) -> tuple[str, ...]:
    return tuple(part for part in _NAME_PARTS.split(text.casefold()) if part)


def _part(left: str, right: str) -> float:
    if left == right:
        return 1.0
    if not nicknames().get(left, frozenset[str]()).isdisjoint(nicknames().get(right, frozenset[str]())):
        return NICKNAME
    alike = JaroWinkler.normalized_similarity(left, right)
    initial = min(len(left), len(right)) == 1 and left[0] == right[0]
    return max(alike, INITIAL) if initial else alike


@functools.cache
def nicknames() -> dict[str, frozenset[str]]:
    """Name or nickname to the names it may stand for."""
    lines = importlib.resources.files("lakekit.identity").joinpath("nicknames.csv").read_text(encoding="utf-8").splitlines()
    found: dict[str, set[str]] = {}
    for known in (line.split(",") for line in lines if not line.startswith("#")):
        for item in known:
            found.setdefault(item, set()).add(known[0])
    return {item: frozenset(stands_for) for item, stands_for in found.items()}


def email(left: str, right: str) -> float:
    """E-mails: the part before the @ tells the person, the domain is where they have moved.

    >>> email("ada@old.example", "ada@new.example"), round(email("ada.l@x.example", "ada_l@x.example"), 3)
    (0.95, 0.752)
    """
    (one, _, domain), (other, _, other_domain) = (text.casefold().rpartition("@") for text in (left, right))
    if not one or not other:
        return OSA.normalized_similarity(left, right)
    if one == other:
        return 1.0 if domain == other_domain else OTHER_DOMAIN
    return OSA.normalized_similarity(one, other) * (0.94 if domain == other_domain else 0.9)


def phone(left: str, right: str) -> float:
    """Phones by their digits: with and without the country's code they are one number.

    >>> phone("+49 171 1234567", "0171/1234567"), round(phone("+491711234567", "+491711234576"), 3)
    (0.98, 0.871)
    """
    one, other = ("".join(filter(str.isdigit, text)).lstrip("0") for text in (left, right))
    if not one or not other:
        return 0.0
    if one == other:
        return 1.0
    short, long = sorted((one, other), key=len)
    if len(short) >= 7 and long.endswith(short):
        return SAME_NATIONAL
    return 0.95 * OSA.normalized_similarity(short, long[-len(short) :] if len(short) >= 7 else long)


def day(left: str, right: str) -> float:
    """Dates, year first. 0.95: day and month are swapped; 0.9: one digit is wrong, or two are swapped; 0.85: at most 31 days apart; 0.8: another year; 0.5: the same year.

    >>> day("1990-03-12", "1990-12-03"), day("1990-03-12", "1990-03-13"), day("1990-03-12", "1990-04-02"), day("1990-03-12", "1971-03-12")
    (0.95, 0.9, 0.85, 0.8)
    """
    one, other = _DATE.fullmatch(left.strip()), _DATE.fullmatch(right.strip())
    if one is None or other is None:
        return 0.9 * OSA.normalized_similarity(left, right)
    (year, month, number), (other_year, other_month, other_number) = one.groups(), other.groups()
    if one.groups() == other.groups():
        return 1.0
    if (year, month, number) == (other_year, other_number, other_month):
        return 0.95
    if OSA.distance(year + month + number, other_year + other_month + other_number) == 1:
        return 0.9
    if _apart(one.groups(), other.groups()) <= 31:
        return 0.85
    if (month, number) == (other_month, other_number):
        return 0.8
    return 0.5 if year == other_year else 0.0


def _apart(one: Sequence[str | Any], other: Sequence[str | Any]) -> int:
    """Days between two dates; many where one is no date."""
    try:
        return abs((date(*map(int, one)) - date(*map(int, other))).days)
    except ValueError:
        return 1_000_000


def address(left: str, right: str) -> float:
    """Addresses: words in any order, the usual abbreviations; with another house number it is another house.

    >>> address("12 Main Street", "main st. 12"), round(address("Hauptstraße 5", "Hauptstr. 7"), 2)
    (1.0, 0.7)
    """
    one, other = _words(left), _words(right)
    alike = OSA.normalized_similarity(" ".join(sorted(one)), " ".join(sorted(other)))
    numbers, others = ({word for word in words if word[0].isdigit()} for words in (one, other))
    return min(alike, OTHER_NUMBER) if numbers and others and numbers.isdisjoint(others) else alike


def _words(text: str) -> list[str]:
    words: list[str] = re.findall(r"\w+", text.lower())
    return [re.sub(r"(?<=\w)(straße|strasse)$", "str", _STREETS.get(word, word)) for word in words]


def numeric(left: str, right: str) -> float:
    """Numbers, by their difference in relation to the greater one.

    >>> round(numeric("100", "99.0"), 2), numeric("7", "seven")
    (0.99, 0.0)
    """
    try:
        one, other = float(left), float(right)
    except ValueError:
        return 0.0
    if one == other:
        return 1.0
    greater = max(abs(one), abs(other))
    alike = 1 - abs(one - other) / greater if 0 < greater < math.inf else 0.0
    return alike if alike > 0 else 0.0


def overlap(left: str, right: str) -> float:
    """Lists: how many of all their items they share. An array column, a JSON array, or text with commas, semicolons or bars between.

    >>> overlap("red, green", '["green", "blue"]')
    0.3333333333333333
    """
    one, other = _items(left), _items(right)
    return len(one & other) / len(one | other) if one | other else 0.0


def _items(text: str) -> set[str]:
    if text.startswith("["):
        try:
            return {str(item).strip().casefold() for item in cast("list[object]", json.loads(text))}
        except ValueError:
            pass
    return {item.strip().casefold() for item in _LIST.split(text) if item.strip()}


KINDS: Final[dict[str, Callable[[str, str], float]]] = {
    "name": name,
    "email": email,
    "phone": phone,
    "date": day,
    "address": address,
    "numeric": numeric,
    "overlap": overlap,
}
