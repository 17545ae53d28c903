"""How well persons are found, on labelled records: lakekit, and Splink beside it. Thresholds are chosen on one half, figures are of the other.

python -m benchmarks.identity_accuracy                          lakekit alone
python -m benchmarks.identity_accuracy --splink PYTHON          and Splink, in the Python of an environment that has it
python -m benchmarks.identity_accuracy --only historical        one data set
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import pyarrow as pa
import pyarrow.parquet as pq

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import lakekit as lk
from benchmarks.identity import MODEL, SURE, TRAIN, scores, splink
from benchmarks.people import people
from lakekit import identity
from lakekit.identity import compare
from tests.contract import labelled

Row = dict[str, Any]
THRESHOLDS = (0.1, 0.5, 0.9, 0.95, 0.99, 0.999)
DEFAULT = 0.5
HISTORICAL = Path(__file__).resolve().parents[1] / "tests" / "data" / "identity" / "historical_people.parquet"


@attrs.frozen
class Set:
    """Labelled records, and how they are compared. ``sure`` and ``train`` are what Splink wants to know besides."""

    rows: Sequence[Row]
    rules: identity.Rules
    sure: Sequence[Sequence[str]]
    train: Sequence[Sequence[str]]


def probabilistic(compare: Sequence[identity.Comparison], block: Sequence[Any]) -> identity.Rules:
    """Rules with nothing but the trained rule."""
    return identity.Rules(match=[identity.probabilistic(compare=compare, block=block)])


NAMES = [compare("first", scorer="name", term_frequency=True), compare("last", scorer="name", term_frequency=True)]


def febrl(*names: str) -> Set:
    """People with typing errors."""
    fields = [
        *NAMES,
        compare("born", levels=(0.85, 0.7), scorer="osa"),
        compare("ssn", levels=(0.85, 0.7), scorer="osa"),
        compare("number", levels=()),
        compare("street", levels=(0.9, 0.8)),
        compare("city", levels=(0.9, 0.8)),
        compare("postcode", levels=(0.75, 0.5), scorer="osa"),
    ]
    blocks = ["ssn", ("born", "last_1"), "names", ("first", "postcode"), ("last", "postcode"), ("street", "number"), ("born", "number")]
    blocks += [("postcode", "number"), ("postcode", "street"), ("postcode", "city"), ("born", "city")]
    rows: list[Row] = []
    for source, found in labelled.febrl(*names).items():
        for row in found:
            swapped = " ".join(sorted((row["first"], row["last"]))) if row["first"] and row["last"] else None
            rows.append({**row, "rid": f"{source}:{row['rid']}", "names": swapped})
    return Set(rows, probabilistic(fields, blocks), [["ssn"], ["first", "last", "born"]], [["born"], ["postcode"]])


def germans() -> Set:
    """Names and birth dates, nothing else."""
    blocks = [("first", "last"), ("first_2", "born"), ("last", "year"), ("first", "year"), ("last_3", "day"), ("first_3", "last_3")]
    rules = probabilistic([*NAMES, compare("born", scorer="date")], blocks)
    return Set(labelled.germans()["germans"], rules, [["first", "last", "born"]], [["first", "last"], ["born"]])


def historical() -> Set:
    """People of Wikidata with errors."""
    rows: list[Row] = []
    for row in pq.read_table(HISTORICAL).to_pylist():
        names = {"first": row["first_name"], "last": row["surname"], "born": row["dob"], "postcode": row["postcode_fake"]}
        starts = {
            f"{name}_{length}": (names[name] or "")[:length] or None
            for name, length in (("first", 3), ("first", 2), ("last", 4), ("last", 2))
        }
        starts |= {"area": (names["postcode"] or "")[:3] or None, "year": (names["born"] or "")[:4] or None}
        own = {"rid": row["unique_id"], "truth": row["cluster"], "city": row["birth_place"], "occupation": row["occupation"]}
        rows.append({**own, **names, **starts})
    fields = [
        *NAMES,
        compare("born", scorer="date"),
        compare("postcode", levels=(0.85, 0.7), scorer="osa", term_frequency=True),
        compare("city", levels=(), term_frequency=True),
        compare("occupation", levels=(), term_frequency=True),
    ]
    blocks = [("first_3", "last_4"), ("last", "born"), ("first", "born"), ("postcode", "first"), ("postcode", "last"), ("born", "city")]
    blocks += [("area", "born"), ("area", "first"), ("area", "last"), ("first_2", "last_2", "year")]
    return Set(rows, probabilistic(fields, blocks), [["first", "last", "born"], ["postcode", "born"]], [["first", "last"], ["born"]])


def synthetic(records: int = 50_000) -> Set:
    """Made-up people with the traps of real ones."""
    rows = [{**row, "truth": row["who"]} for row in people(records, seed=7).drop_columns(["source", "full_name"]).to_pylist()]
    return Set(rows, MODEL, SURE, TRAIN)


SETS = {
    "febrl 1": lambda: febrl("1"),
    "febrl 2": lambda: febrl("2"),
    "febrl 3": lambda: febrl("3"),
    "febrl 4": lambda: febrl("4a", "4b"),
    "RLdata10000": germans,
    "historical": historical,
    "synthetic": synthetic,
}


def halves(rows: Sequence[Row]) -> list[list[Row]]:
    """The records in two halves, each person in one of them."""
    found: list[list[Row]] = [[], []]
    for row in rows:
        found[hashlib.md5(str(row["truth"]).encode(), usedforsecurity=False).digest()[0] % 2].append(row)
    return found


def ours(data: Set, rows: Sequence[Row]) -> tuple[dict[float, dict[str, float]], float]:
    """Scores by threshold, and the seconds that one of them took."""
    truth = {str(row["rid"]): row["truth"] for row in rows}
    given = [{name: value for name, value in row.items() if name not in ("truth", "who")} for row in rows]
    found: dict[float, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        lake = lk.connect(folder)
        began = time.perf_counter()
        batch = lk.from_frame(lake, given, run_id="a")
        trained = identity.train(batch, rules=data.rules)
        learned = time.perf_counter() - began
        for threshold in THRESHOLDS:
            began = time.perf_counter()
            rule = attrs.evolve(trained.match[0], at_least=threshold)
            into = f"silver.at_{str(threshold).replace('.', '_')}"
            lk.resolve_identities({"all": batch}, record_key={"all": "rid"}, rules=attrs.evolve(trained, match=[rule]), into=into)
            seconds = learned + time.perf_counter() - began
            rows_ = lk.read(lake, into).sql("SELECT record_key, master_user_id FROM batch WHERE kind = 'record'").to_arrow().to_pylist()
            found[threshold] = scores(truth, {row["record_key"]: row["master_user_id"] for row in rows_})
    return found, seconds


def theirs(data: Set, rows: Sequence[Row], python: str) -> tuple[dict[float, dict[str, float]], float]:
    """The same by Splink."""
    truth = {str(row["rid"]): row["truth"] for row in rows}
    given = [{name: value for name, value in row.items() if name not in ("truth", "who")} for row in rows]
    clusters, figures = splink(python, pa.Table.from_pylist(given), data.rules, THRESHOLDS, data.sure, data.train)
    return {threshold: scores(truth, found) for threshold, found in clusters.items()}, figures["seconds"]


def best(found: Mapping[float, Mapping[str, float]], figure: str) -> float:
    """The threshold by which a figure is greatest; of several the one next to the default."""
    return max(found, key=lambda threshold: (round(found[threshold][figure], 4), -abs(threshold - DEFAULT)))


def main() -> None:
    """Run and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.identity_accuracy", description="Who is who, how well.")
    parser.add_argument("--splink", metavar="PYTHON", help="the Python of an environment that has Splink")
    parser.add_argument("--only", choices=list(SETS), help="one data set")
    parser.add_argument("--records", type=int, default=50_000, help="how many records the synthetic set has (default: %(default)s)")
    options = parser.parse_args()
    engines = {"lakekit": ours} | ({"Splink": lambda data, rows: theirs(data, rows, options.splink)} if options.splink else {})
    print("| data | engine | threshold | pair P | pair R | pair F1 | threshold | B3 F1 | at 0.5: pair R | pair F1 | B3 F1 | s |")
    print("| --- | --- | --- | ---: | ---: | ---: | --- | ---: | ---: | ---: | ---: | ---: |")
    for name in [options.only] if options.only else SETS:
        data = synthetic(options.records) if name == "synthetic" else SETS[name]()
        chosen_on, reported_on = halves(data.rows)
        for engine, run in engines.items():
            before, _ = run(data, chosen_on)
            after, seconds = run(data, reported_on)
            by_pairs, by_records = best(before, "f1"), best(before, "b3")
            pairs = " | ".join(f"{after[by_pairs][figure]:.4f}" for figure in ("precision", "recall", "f1"))
            plain = " | ".join(f"{after[DEFAULT][figure]:.4f}" for figure in ("recall", "f1", "b3"))
            print(
                f"| {name} | {engine} | {by_pairs} | {pairs} | {by_records} | {after[by_records]['b3']:.4f} | {plain} | {seconds:.1f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
