"""Identities at size: made-up people of three sources, with the traps of real ones; seconds, memory, and how many pairs are found.

python -m benchmarks.identity                         1,000,000 records at once, then three times 10,000 more, then those again
python -m benchmarks.identity --records 200000        fewer
python -m benchmarks.identity --rules shop            exact and fuzzy rules with a veto, instead of a trained model
python -m benchmarks.identity --splink PYTHON         and Splink beside it, in the Python of an environment that has it
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import lakekit as lk
from benchmarks import measure
from benchmarks.people import KEY, SOURCES, people
from lakekit import identity
from lakekit.identity import compare, veto
from lakekit.identity.linkage import components

INTO = "silver.identities"

SHOP = identity.Rules(
    match=[identity.exact("email"), identity.exact("phone", max_shared=6), identity.fuzzy("full_name", at_least=0.92, within="phone")],
    never=[veto("full_name", below=0.75, unless="email")],
)
MODEL = identity.Rules(
    match=[
        identity.probabilistic(
            compare=[
                compare("first", levels=(0.92, 0.88, 0.7), scorer="name", term_frequency=True),
                compare("last", levels=(0.92, 0.88, 0.7), term_frequency=True),
                compare("email", levels=(0.94, 0.9), scorer="osa"),
                compare("phone", levels=(0.9, 0.8), scorer="osa"),
                compare("born", levels=(0.9, 0.8), scorer="osa"),
                compare("street", levels=(0.9, 0.8)),
                compare("postcode", levels=()),
                compare("device", levels=()),
            ],
            block=[
                "email",
                "phone",
                "device",
                ("first", "last"),
                ("first", "born"),
                ("last", "born"),
                ("first", "postcode"),
                ("last", "postcode"),
                ("last", "street"),
            ],
            at_least=0.5,
        )
    ],
    never=[veto("first", below=0.75, unless="email", scorer="name", swapped="last"), veto("born", below=0.8, unless="email", scorer="osa")],
)


SURE, TRAIN = [["email", "last"], ["email", "first"], ["first", "last", "born"]], [["email"], ["phone"], ["last", "born"]]
"""What Splink wants to know besides."""
AT_LEAST = 0.98
"""Both thresholds are those of the best F1 over pairs among 200,000 other people, ``people(200_000, seed=8)``."""


@attrs.frozen
class Work:
    """A run of ``resolve_identities`` that can be sent to another process."""

    folder: str
    memory_limit: str
    rules: str
    start: int
    end: int
    run: str


def prepare(work: Work) -> tuple[lk.Lake, dict[str, lk.Batch], identity.Rules, int]:
    """The batches of a run."""
    lake = lk.connect(f"{work.folder}/lake", memory_limit=work.memory_limit)
    rows = pq.read_table(f"{work.folder}/people.parquet").slice(work.start, work.end - work.start)
    named = rows.column("source").to_numpy(zero_copy_only=False)
    batches: dict[str, lk.Batch] = {}
    for source in SOURCES:
        mine = rows.filter(pa.array(named == source)).drop_columns(["source", "who"])
        batches[source] = lk.from_frame(lake, mine, run_id=work.run)
    return lake, batches, identity.Rules.from_dict(json.loads(work.rules)), rows.num_rows


def resolve(subject: tuple[lk.Lake, dict[str, lk.Batch], identity.Rules, int]) -> int:
    """Resolve them."""
    _, batches, rules, rows = subject
    lk.resolve_identities(batches, record_key=dict.fromkeys(batches, KEY), rules=rules, into=INTO)
    return rows


def alone(subject: tuple[lk.Lake, dict[str, lk.Batch], identity.Rules, int]) -> int:
    """Resolve them, and write nothing: who is who, without keeping it."""
    _, batches, rules, rows = subject
    lk.resolve_identities(batches, record_key=dict.fromkeys(batches, KEY), rules=rules, into=INTO, dry_run=True)
    return rows


def learn(subject: tuple[lk.Lake, dict[str, lk.Batch], identity.Rules, int]) -> int:
    """Train the rules, and leave them beside the people."""
    lake, batches, rules, rows = subject
    trained = identity.train(lk.union_by_name(*batches.values()), rules=rules)
    (Path(lake.where).parent / "rules.json").write_text(json.dumps(trained.to_dict()), encoding="utf-8")
    return min(rows, 200_000)


def scores(truth: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, float]:
    """Precision, recall and F1 over pairs, and F1 of B cubed: over records."""
    both = [np.unique([str(names[key]) for key in truth], return_inverse=True)[1] for names in (truth, found)]
    sizes = [np.bincount(one) for one in both]
    _, place, common = np.unique(both[0] * (both[1].max() + 1) + both[1], return_inverse=True, return_counts=True)

    def pairs(counts: Any) -> float:
        return float((counts * (counts - 1) / 2).sum())

    precision, recall = pairs(common) / max(pairs(sizes[1]), 1), pairs(common) / max(pairs(sizes[0]), 1)
    of_records = [float((common[place] / size[one]).mean()) for size, one in zip(sizes, both, strict=True)]
    return {"precision": precision, "recall": recall, "f1": _f1(precision, recall), "b3": _f1(*of_records)}


def _f1(precision: float, recall: float) -> float:
    return 2 * precision * recall / max(precision + recall, 1e-9)


def found_by(folder: str) -> dict[str, Any]:
    """Record to person, as the lake has it."""
    rows = lk.read(lk.connect(f"{folder}/lake"), INTO).sql("SELECT record_key, master_user_id FROM batch WHERE kind = 'record'").to_arrow()
    return dict(zip(rows.column("record_key").to_pylist(), rows.column("master_user_id").to_pylist(), strict=True))


def per_record(folder: str, records: int) -> str:
    """How many pairs were looked at, and how many match: what the time depends on."""
    lake = lk.connect(f"{folder}/lake")
    shared = "SELECT count(*) AS n FROM batch WHERE _deleted_at IS NULL GROUP BY key HAVING count(*) BETWEEN 2 AND 100"
    keys = lk.read(lake, f"{INTO}__keys").sql(f"SELECT sum(n * (n - 1) / 2) AS pairs FROM ({shared})").to_arrow()["pairs"][0].as_py()
    links = lk.read(lake, f"{INTO}__links").count()
    return f"pairs per record: {keys / records:.2f} in the blocks, one counted in each that it shares; {links / records:.2f} match"


def best(folder: str) -> dict[str, Any]:
    """Record to person for whoever knew of each pair in the blocks whether it is one person: no weights and no clustering do better."""
    lake, who = lk.connect(f"{folder}/lake"), truth(folder)
    known = lk.read(lake, f"{INTO}__records").sql("SELECT record_id, record_key FROM batch").to_arrow()
    names, ids = known["record_key"].to_pylist(), known["record_id"].to_numpy()
    order = np.argsort(ids)
    rows = lk.read(lake, f"{INTO}__keys").sql("SELECT key, record_id FROM batch").to_arrow()
    node = order[np.searchsorted(ids, rows["record_id"].to_numpy(), sorter=order)]
    _, key, sharing = np.unique(rows["key"].to_numpy(), return_inverse=True, return_counts=True)
    person = np.unique([str(who[name]) for name in names], return_inverse=True)[1][node]
    sorted_ = np.lexsort((person, key))
    key, person, node = key[sorted_], person[sorted_], node[sorted_]
    together = (key[1:] == key[:-1]) & (person[1:] == person[:-1]) & (sharing[key[1:]] <= 100)
    return dict(zip(names, components(len(names), node[:-1][together], node[1:][together]).tolist(), strict=True))


def truth(folder: str) -> dict[str, Any]:
    """Record to person, as it is."""
    rows = pq.read_table(f"{folder}/people.parquet", columns=[KEY, "who"])
    return dict(zip(map(str, rows.column(KEY).to_pylist()), rows.column("who").to_pylist(), strict=True))


def quality(folder: str, found: Mapping[str, Any]) -> str:
    """How well persons were found."""
    seen = scores(truth(folder), found)
    return f"pairs: precision {seen['precision']:.4f}, recall {seen['recall']:.4f}, F1 {seen['f1']:.4f}; B3 F1 {seen['b3']:.4f}"


def splink(
    python: str, records: pa.Table, rules: identity.Rules, thresholds: Sequence[float], sure: Any, train: Any
) -> tuple[dict[float, dict[str, Any]], dict[str, float]]:
    """Splink over the same records, by the same rules: record to person for each threshold, and its figures."""
    with tempfile.TemporaryDirectory() as folder:
        pq.write_table(records, f"{folder}/records.parquet")
        work = {"records": f"{folder}/records.parquet", "clusters": f"{folder}/clusters", "rules": rules.to_dict()}
        work |= {"thresholds": list(thresholds), "sure": sure, "train": train}
        Path(f"{folder}/work.json").write_text(json.dumps(work), encoding="utf-8")
        script = str(Path(__file__).with_name("identity_splink.py"))
        run = subprocess.run([python, script, f"{folder}/work.json"], check=True, capture_output=True, text=True)
        found: dict[float, dict[str, Any]] = {}
        for threshold in thresholds:
            rows = pq.read_table(f"{folder}/clusters.{threshold}.parquet")
            found[threshold] = dict(zip(map(str, rows.column("rid").to_pylist()), rows.column("cluster_id").to_pylist(), strict=True))
    return found, json.loads(run.stdout.splitlines()[-1])


def main() -> None:
    """Run and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.identity", description="Who is who, at size.")
    parser.add_argument("--records", type=int, default=1_000_000, help="how many records there are (default: %(default)s)")
    parser.add_argument("--increment", type=int, default=10_000, help="so many of them come later (default: %(default)s)")
    parser.add_argument("--repeat", type=int, default=3, help="so many runs, of which the median counts (default: %(default)s)")
    parser.add_argument("--rules", choices=("model", "shop"), default="model", help="what they are resolved by (default: %(default)s)")
    parser.add_argument("--splink", metavar="PYTHON", help="the Python of an environment that has Splink")
    parser.add_argument("--memory-limit", default="640MB", help="connect(memory_limit=) (default: %(default)s)")
    options = parser.parse_args()
    print(f"{measure.machine()}; memory_limit {options.memory_limit}\n", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        table = people(options.records, seed=7)
        pq.write_table(table, f"{folder}/people.parquet")
        first, more = table.num_rows - options.repeat * options.increment, options.increment
        rules = json.dumps((MODEL if options.rules == "model" else SHOP).to_dict())
        steps: dict[str, measure.Measurement] = {}

        def run(title: str, step: Callable[..., int], *runs: tuple[int, int, str]) -> None:
            with measure.progress(title):
                found = [measure.fresh(step, prepare, Work(folder, options.memory_limit, rules, *one)) for one in runs]
            steps[title] = measure.median(found)

        if options.rules == "model":
            run("train", learn, (0, first, "train"))
            rules = Path(f"{folder}/rules.json").read_text(encoding="utf-8")
        run(f"resolve {first:,}, nothing written", alone, *[(0, first, "alone")] * options.repeat)
        run(f"resolve {first:,}", resolve, (0, first, "first"))
        later = [(first + number * more, first + (number + 1) * more, f"later {number}") for number in range(options.repeat)]
        run(f"{more:,} more", resolve, *later)
        run("the same again", resolve, *((start, end, f"{name} again") for start, end, name in later))
        print(measure.table("identities", steps), quality(folder, found_by(folder)), sep="\n\n", flush=True)
        if options.rules == "model":
            print("at best, in these blocks, " + quality(folder, best(folder)), flush=True)
        print("\n" + per_record(folder, table.num_rows), flush=True)
        ratio = steps[f"resolve {first:,}"].cpu / steps[f"{more:,} more"].cpu
        print(f"\nall of them by the increment, in CPU seconds: {ratio:.1f}", flush=True)
        if options.splink and options.rules == "model":
            found, figures = splink(options.splink, table.drop_columns(["source", "who", "full_name"]), MODEL, [AT_LEAST], SURE, TRAIN)
            size = f"{figures['seconds']:.1f} s with training ({figures['train']:.1f} s), {figures['peak'] / 1e6:,.0f} MB"
            print(f"\nSplink at {AT_LEAST}: {size}, {figures['pairs']:,} pairs; {quality(folder, found[AT_LEAST])}")
            dry, full = steps[f"resolve {first:,}, nothing written"].wall, steps[f"resolve {first:,}"].wall + steps["train"].wall
            theirs = figures["seconds"] * first / table.num_rows  # it resolves the later ones, too
            print(f"Splink by ours, seconds a record: {theirs / dry:.1f} resolving alone (target 7), ", end="")
            print(f"{theirs / full:.1f} with training and everything written (target 4)")


if __name__ == "__main__":
    main()
