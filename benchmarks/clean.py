"""Rules against what one would write without them: a loop over phonenumbers for each row, and the same SQL in DuckDB.

python -m benchmarks.clean                          1,000,000 rows
python -m benchmarks.clean --only text              the rules for text alone; or phones, memory
python -m benchmarks.clean --rows 100000 --repeat 1 smaller, and once

Each measurement is a process of its own; medians are shown. What is compared is processor time.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import attrs
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import lakekit as lk
from benchmarks import measure
from benchmarks.measure import MB, Measurement
from lakekit import rules
from lakekit.rules.characters import EDGES_CLASS, INVISIBLE_CLASS, SPACES_CLASS

SPACES, EDGES, INVISIBLE = (words.replace("\\", "\\\\") for words in (SPACES_CLASS, EDGES_CLASS, INVISIBLE_CLASS))
ENDS: Final = rf"\\A{EDGES}+|{EDGES}+\\z"
TEXT: Final[Mapping[str, tuple[list[rules.Rule], str]]] = {
    "trim": ([rules.trim()], f"regexp_replace(value, '{ENDS}', '')"),
    "squash_spaces": ([rules.squash_spaces()], f"regexp_replace(regexp_replace(value, '{SPACES}+', ' '), '{ENDS}', '')"),
    "empty_to_null": ([rules.empty_to_null()], f"CASE WHEN regexp_replace(value, '{INVISIBLE}+', '') = '' THEN NULL ELSE value END"),
    "one_of": ([rules.one_of("Ada Lovelace", "x")], "CASE WHEN value IN ('Ada Lovelace', 'x') THEN value END"),
    "lower": ([rules.lower()], "lower(value)"),
    "upper": ([rules.upper()], "upper(value)"),
    "normalize NFC": ([rules.normalize("NFC")], "nfc_normalize(value)"),
    "trim, lower": ([rules.trim(), rules.lower()], f"lower(regexp_replace(value, '{ENDS}', ''))"),
}
"""Chains of rules, and what one would write in SQL, rendered for DuckDB."""


# The data.


def phones(count: int, distinct: int) -> pa.Table:
    """Numbers of the United States as people type them, each as often as another."""
    random = np.random.default_rng(3)
    numbers = random.choice(8_000_000, distinct, replace=False) + 2_000_000
    forms = ("({0}) {1}-{2}", "{0}-{1}-{2}", "+1 {0} {1} {2}", "{0}.{1}.{2} x12", "1 {0} {1}{2}")
    texts = [
        forms[number % 5].format(212 + number % 5, f"{number // 10_000:03d}"[:3], f"{number % 10_000:04d}") for number in numbers.tolist()
    ]
    return pa.table({"id": np.arange(count), "value": pa.array(texts).take(pa.array(random.integers(0, distinct, count)))})


def names(count: int) -> pa.Table:
    """Names with white space of all kinds, each another one; a twentieth of them not in ASCII."""
    ends = np.array(["", " ", "  ", "\t", "\u00a0"])
    number = np.arange(count)
    given = np.where(number % 20 == 0, "Zoë\u00a0 ", "Ada  ")
    text = [f"{ends[n % 5]}{first}Lovelace-{n}{ends[n % 3]}" for n, first in zip(number.tolist(), given.tolist(), strict=True)]
    return pa.table({"id": number, "value": text})


# What is measured.


@attrs.frozen
class Subject:
    """A table, and what is to be done to its column."""

    lake: lk.Lake
    files: list[str]
    chain: list[rules.Rule]
    words: str


def prepare(folder: str, chain: list[rules.Rule], words: str) -> Subject:
    """Everything imported and loaded that the step needs, the tables of the numbering plans too."""
    lake = lk.connect(folder)
    files = [str(file) for file in sorted(Path(folder).rglob("*.parquet"))]
    few = pa.table({"id": [1], "value": ["+1 212 555 0123"]})
    lk.clean(lk.from_frame(lake, few, run_id="warm"), {"value": chain or [rules.phone("US")]}).count()
    lk.read(lake, "bench.rows").sql("SELECT count(*) AS n FROM batch").to_arrow()
    return Subject(lake, files, chain, words)


def clean(subject: Subject) -> int:
    """The chain as users apply it."""
    batch = lk.clean(lk.read(subject.lake, "bench.rows"), {"value": subject.chain})
    batch.sql("SELECT count(value) AS n, sum(length(value)) AS characters FROM batch").to_arrow()
    return sum(pq.ParquetFile(file).metadata.num_rows for file in subject.files)


def plain(subject: Subject) -> int:
    """The same as SQL, over the same table."""
    batch = lk.read(subject.lake, "bench.rows").then(f"SELECT {subject.words} AS value FROM batch")
    batch.sql("SELECT count(value) AS n, sum(length(value)) AS characters FROM batch").to_arrow()
    return sum(pq.ParquetFile(file).metadata.num_rows for file in subject.files)


def loop(subject: Subject) -> int:
    """A call of phonenumbers for each row."""
    import phonenumbers

    count = valid = 0
    for file in subject.files:
        for text in pq.read_table(file, columns=["value"])["value"].to_pylist():
            count += 1
            try:
                number = phonenumbers.parse(text, "US")
            except phonenumbers.NumberParseException:
                continue
            if phonenumbers.is_valid_number(number):
                phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
                valid += 1
    assert valid
    return count


# Running.


def made(rows: pa.Table) -> str:
    """The rows as a table in a folder of its own."""
    folder = tempfile.mkdtemp(prefix="clean-")
    lk.append(lk.from_frame(lk.connect(folder), rows, run_id="a"), into="bench.rows")
    return folder


def median(step: Callable[[Subject], int], folder: str, chain: list[rules.Rule], words: str, repeat: int) -> Measurement:
    """The median of some runs by processor time."""
    with measure.progress(step.__name__):
        return measure.median([measure.fresh(step, prepare, folder, chain, words) for _ in range(repeat)])


def phone_numbers(options: argparse.Namespace) -> None:
    """Phones by their distinct values, against a loop over the rows."""
    for name, distinct, target in (("10 % distinct", options.rows // 10, 5.0), ("100 % distinct", options.rows, 1.0)):
        folder = made(phones(options.rows, distinct))
        found = {"loop": median(loop, folder, [], "", 1), "phone": median(clean, folder, [rules.phone("US")], "", options.repeat)}
        print(measure.table(f"phones, {name}", found))
        print(f"loop / phone: {found['loop'].cpu / found['phone'].cpu:.2f} (at least {target})\n")


def text(options: argparse.Namespace) -> None:
    """The rules for text, against the same in DuckDB. Each text is another one: no rule gains by having seen it."""
    folder = made(names(options.rows))
    for name, (chain, words) in TEXT.items():
        found = {
            "rule": median(clean, folder, chain, words, options.repeat),
            "DuckDB": median(plain, folder, chain, words, options.repeat),
        }
        print(measure.table(name, found))
        print(f"rule / DuckDB: {found['rule'].cpu / found['DuckDB'].cpu:.2f} (at most 2)\n")


def memory(options: argparse.Namespace) -> None:
    """Five times as many rows, all of them different."""
    found = {}
    for count in (options.rows // 5, options.rows):
        found[f"{count:,}"] = {"clean": median(clean, made(names(count)), [rules.trim(), rules.name_key()], "", 1)}
    print(measure.ratios("name_key", found))
    peaks = [one["clean"].peak / MB for one in found.values()]
    print(f"peak of the larger / smaller: {peaks[1] / peaks[0]:.2f} (at most 1.5)\n")


PARTS: Final = {"text": text, "phones": phone_numbers, "memory": memory}


def main() -> None:
    """Run the parts that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    options = parser.parse_args()
    print(measure.machine(), "\n")
    for name in options.only:
        PARTS[name](options)


if __name__ == "__main__":
    main()
