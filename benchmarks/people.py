"""Made-up people as three sources of a shop know them, with the traps of real ones: who they are is known."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from lakekit.identity.likeness import nicknames

KEY: Final = "rid"
SOURCES: Final = ("users", "buyers", "events")
SHARES: Final = (0.40, 0.35, 0.25)
NAMES: Final = Path(__file__).resolve().parents[1] / "tests" / "data" / "identity" / "historical_people.parquet"
"""Real names, as often as they are."""
GAPS: Final = {
    "first": (0.01, 0.02, 0.55),
    "last": (0.01, 0.02, 0.60),
    "email": (0.05, 0.20, 0.25),
    "phone": (0.20, 0.15, 0.60),
    "street": (0.50, 0.05, 0.95),
    "postcode": (0.40, 0.05, 0.85),
    "born": (0.25, 0.80, 0.90),
    "device": (0.90, 0.95, 0.05),
}
"""How often a source doesn't know a field."""
MISTYPED: Final = {"first": 0.05, "last": 0.05, "email": 0.02, "phone": 0.015, "street": 0.08, "postcode": 0.02, "born": 0.03}
Array = np.ndarray[Any, Any]


def people(records: int, seed: int) -> pa.Table:
    """Records with who they are (``who``), of people who share phones, devices and addresses, of twins and of fathers and sons of one name.

    They move, marry, and get new e-mails and phones; they are written with nicknames, initials, swapped names and typing errors; fields are
    missing, and some hold a placeholder.
    """
    rng = np.random.default_rng(seed)
    count = max(2, int(records / 2.5))
    persons, later = _persons(rng, count)
    who = np.repeat(np.arange(count), 1 + rng.poisson(1.5, count))
    who = who[rng.permutation(len(who))][:records]
    late = rng.random(len(who)) < 0.3

    def changed(share: float) -> Array:
        return late & (rng.random(count) < share)[who]

    moves, when = changed(0.35), {"email": changed(0.4), "phone": changed(0.25), "last": late}
    when |= {"street": moves, "postcode": moves}
    found = {name: np.where(when[name], later[name][who], values[who]) if name in when else values[who] for name, values in persons.items()}
    _write_badly(rng, found)
    source = rng.choice(3, len(who), p=SHARES)
    for name, chances in GAPS.items():
        found[name][rng.random(len(who)) < np.array(chances)[source]] = None
    found["phone"][rng.random(len(who)) < 0.002] = "+10000000000"
    found["email"][rng.random(len(who)) < 0.002] = "noreply@shop.example"
    full = [" ".join(filter(None, pair)) or None for pair in zip(found["first"], found["last"], strict=True)]
    columns = {
        KEY: np.arange(len(who)),
        "source": np.array(SOURCES)[source],
        "who": who,
        "full_name": np.array(full, dtype=object),
        **found,
    }
    return pa.table({name: pa.array(values) for name, values in columns.items()})


def _persons(rng: np.random.Generator, count: int) -> tuple[dict[str, Array], dict[str, Array]]:
    """What is true of each person, and what will be true of those who change."""
    firsts = _known("first_name", 1_800)
    lasts = np.concatenate([_known("surname", 6_000), np.unique(_words(rng, 40_000))])
    streets, cities = np.unique(_words(rng, 6_000)), 900
    home = np.sort(rng.integers(0, max(1, int(count / 2.1)), count))
    homes = int(home.max()) + 1

    def phones(number: int) -> Array:
        return np.array([f"+1{value}" for value in rng.integers(2_010_000_000, 9_899_999_999, number)], dtype=object)

    def devices(number: int) -> Array:
        return np.array([f"dev-{value:012x}" for value in rng.integers(0, 1 << 47, number)], dtype=object)

    def addresses(number: int) -> tuple[Array, Array]:
        kinds = np.array(["street", "road", "avenue", "lane", "court", "drive"], dtype=object)[rng.integers(0, 6, number)]
        houses = rng.integers(1, 250, number).astype(str).astype(object)
        city = rng.integers(0, cities, number)
        return houses + " " + _frequent(rng, streets, number, 0.6) + " " + kinds, (10_000 + city * 90 + rng.integers(0, 12, number)).astype(str).astype(object)  # fmt: skip

    def mails(first: Array, last: Array, born: Array) -> Array:
        year, number = np.array([text[2:4] for text in born], dtype=object), rng.integers(0, 1000, count).astype(str).astype(object)
        initial = np.array([text[:1] for text in first], dtype=object)
        forms = [first + "." + last, first + year + number, initial + last + number, first + "_" + last + year]
        hosts = np.array([f"{name}.example" for name in ("mail", "post", "box", "letter", "inbox", "work")], dtype=object)
        return np.choose(rng.integers(0, 4, count), forms) + "@" + hosts[rng.integers(0, 6, count)]

    first = _frequent(rng, firsts, count, 0.8)
    last = np.where(rng.random(count) < 0.75, _frequent(rng, lasts, homes)[home], _frequent(rng, lasts, count))
    born = (np.datetime64("1940-01-01") + rng.integers(0, 365 * 65, count)).astype(str).astype(object)
    near = np.flatnonzero(home[1:] == home[:-1]) + 1
    twins = near[rng.random(len(near)) < 0.02]
    namesakes = np.setdiff1d(near[rng.random(len(near)) < 0.02], twins)
    born[twins], last[twins] = born[twins - 1], last[twins - 1]
    first[namesakes], last[namesakes] = first[namesakes - 1], last[namesakes - 1]
    phone, device = phones(count), devices(count)
    shared_phone, shared_device = rng.random(count) < 0.25, rng.random(count) < 0.15
    phone[shared_phone], device[shared_device] = phones(homes)[home[shared_phone]], devices(homes)[home[shared_device]]
    street, postcode = (place[home] for place in addresses(homes))
    persons = {"first": first, "last": last, "email": mails(first, last, born), "phone": phone, "born": born}
    persons |= {"street": street, "postcode": postcode, "device": device}
    moved = addresses(count)
    married = np.where(rng.random(count) < 0.06, _frequent(rng, lasts, count), last)
    later = {"last": married, "email": mails(first, last, born), "phone": phones(count), "street": moved[0], "postcode": moved[1]}
    return persons, later


def _write_badly(rng: np.random.Generator, found: dict[str, Array]) -> None:
    """Nicknames, typing errors, initials, and first and last names that are swapped."""
    size = len(found["first"])
    for index in np.flatnonzero(rng.random(size) < 0.12):
        short = _SHORT.get(found["first"][index])
        if short:
            found["first"][index] = short[int(rng.integers(0, len(short)))]
    for name, share in MISTYPED.items():
        for index in np.flatnonzero(rng.random(size) < share):
            found[name][index] = _mistyped(rng, found[name][index])
    initials, swapped = rng.random(size) < 0.04, rng.random(size) < 0.01
    found["first"][initials] = [text[:1] for text in found["first"][initials]]
    found["first"][swapped], found["last"][swapped] = found["last"][swapped], found["first"][swapped].copy()


def _mistyped(rng: np.random.Generator, text: str) -> str:
    """A letter wrong, missing, doubled by another or swapped."""
    if len(text) < 3:
        return text
    at, kind = int(rng.integers(0, len(text) - 1)), int(rng.integers(0, 4))
    letter = chr(int(rng.integers(48, 58) if text[at].isdigit() else rng.integers(97, 123)))
    middle = [letter, "", letter + text[at], text[at + 1] + text[at]][kind]
    return text[:at] + middle + text[at + (2 if kind == 3 else 1) :]


def _nicknames() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for short, names in nicknames().items():
        for name in names - {short}:
            found.setdefault(name, []).append(short)
    return {name: sorted(shorts) for name, shorts in found.items()}


_SHORT: Final = _nicknames()


def _known(column: str, count: int) -> Array:
    """The most frequent real names, the most frequent one first."""
    names = pc.drop_null(pq.read_table(NAMES, columns=[column])[column])
    counted = sorted((-row["counts"], row["values"]) for row in names.value_counts().to_pylist())
    return np.array([name for _, name in counted if name.isalpha()][:count], dtype=object)


def _words(rng: np.random.Generator, count: int) -> Array:
    """Made-up words of two or three syllables."""
    heads = np.array(
        ["b", "c", "d", "f", "g", "h", "j", "k", "l", "m", "n", "p", "r", "s", "t", "v", "w", "z", "ch", "sh", "th", "br", "st"]
    )
    tails, ends = (
        np.array(["a", "e", "i", "o", "u", "ai", "ee", "ou"]),
        np.array(["", "n", "s", "r", "ton", "son", "ley", "er"], dtype=object),
    )
    made, syllables = np.full(count, "", dtype=object), rng.integers(2, 4, count)
    for number in range(3):
        more = heads[rng.integers(0, len(heads), count)].astype(object) + tails[rng.integers(0, len(tails), count)].astype(object)
        made = made + np.where(syllables > number, more, "")
    return made + ends[rng.integers(0, len(ends), count)]


def _frequent(rng: np.random.Generator, pool: Array, count: int, slope: float = 1.0) -> Array:
    """Some of the words, the first ones more often, as names are."""
    weight = 1 / (np.arange(len(pool)) + 30) ** slope
    return pool[rng.choice(len(pool), count, p=weight / weight.sum())].copy()
