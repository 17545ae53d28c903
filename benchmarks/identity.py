"""Identities at size: made-up people of three sources, with the traps of real ones; seconds, memory, and how many pairs are found.

python -m benchmarks.identity                         1,000,000 records at once, then 10,000 more, then those again
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
from lakekit import identity
from lakekit.identity import compare, veto

INTO, KEY = "silver.identities", "rid"
SOURCES = ("users", "buyers", "events")
Array = np.ndarray[Any, Any]

SHOP = identity.Rules(
    match=[identity.exact("email"), identity.exact("phone", max_shared=6), identity.fuzzy("full_name", at_least=0.92, within="phone")],
    never=[veto("full_name", below=0.75, unless="email")],
)
MODEL = identity.Rules(
    match=[
        identity.probabilistic(
            compare=[
                compare("first", levels=(0.92, 0.88, 0.7)),
                compare("last", levels=(0.92, 0.88, 0.7)),
                compare("email", levels=(0.9, 0.8), scorer="osa"),
                compare("phone", levels=(0.9, 0.8), scorer="osa"),
                compare("born", levels=(0.9, 0.8), scorer="osa"),
                compare("street", levels=(0.9, 0.8)),
                compare("postcode", levels=()),
                compare("device", levels=()),
            ],
            block=["email", "phone", "device", ("last", "born"), ("first", "born"), ("first", "last", "postcode"), ("last", "street")],
        )
    ],
    never=[veto("first", below=0.7, unless="email"), veto("born", below=0.6, unless="email", scorer="osa")],
)


SURE, TRAIN = [["email", "last"], ["email", "first"], ["first", "last", "born"]], [["email"], ["phone"], ["last", "born"]]
"""What Splink wants to know besides."""
AT_LEAST = 0.99


def words(rng: np.random.Generator, count: int, syllables: int) -> Array:
    """Made-up words."""
    heads, tails = (
        np.array(["b", "c", "d", "f", "g", "h", "j", "k", "l", "m", "n", "p", "r", "s", "t", "v", "w", "ch", "sh", "th", "br", "st"]),
        np.array(["a", "e", "i", "o", "u", "ai", "ee", "ou"]),
    )
    made = np.full(count, "", dtype=object)
    for _ in range(syllables):
        made = made + heads[rng.integers(0, len(heads), count)] + tails[rng.integers(0, len(tails), count)]
    return made + np.array(["", "n", "s", "r", "ton", "son", "ley"], dtype=object)[rng.integers(0, 7, count)]


def frequent(rng: np.random.Generator, pool: Array, count: int) -> Array:
    """Some of the words, the first ones more often, as names are."""
    weight = 1 / (np.arange(len(pool)) + 30)
    return pool[rng.choice(len(pool), count, p=weight / weight.sum())]


def mistyped(rng: np.random.Generator, values: Array, share: float) -> None:
    """A letter wrong, missing, doubled or swapped in some of the values."""
    for index in np.flatnonzero(rng.random(len(values)) < share):
        text = values[index]
        if len(text) > 2:
            at, kind = int(rng.integers(0, len(text) - 1)), int(rng.integers(0, 4))
            letter = chr(int(rng.integers(48, 58) if text[at].isdigit() else rng.integers(97, 123)))
            middle = [letter, "", letter + text[at], text[at + 1] + text[at]][kind]
            values[index] = text[:at] + middle + text[at + (2 if kind == 3 else 1) :]


def people(records: int, seed: int) -> pa.Table:
    """Records of three sources with who they are: shared phones and addresses, twins, namesakes, placeholders, moves, new e-mails, gaps."""
    rng = np.random.default_rng(seed)
    count = max(2, int(records / 2.5))
    home = np.sort(rng.integers(0, max(1, int(count / 2.1)), count))
    homes = int(home.max()) + 1
    firsts, lasts = np.unique(words(rng, 1_800, 2)), np.unique(words(rng, 40_000, 3))
    streets = np.unique(words(rng, 6_000, 2))

    def phones(number: int) -> Array:
        return np.array([f"+1{value}" for value in rng.integers(2_010_000_000, 9_899_999_999, number)], dtype=object)

    def addresses(number: int) -> tuple[Array, Array]:
        houses = rng.integers(1, 250, number).astype(str).astype(object)
        return houses + " " + frequent(rng, streets, number), rng.integers(10_000, 99_000, number).astype(str).astype(object)

    def mails(first: Array, last: Array) -> Array:
        domain = np.array(["mail.example", "post.example", "box.example"], dtype=object)[rng.integers(0, 3, count)]
        return first + "." + last + rng.integers(0, 1_000, count).astype(str).astype(object) + "@" + domain

    rng.shuffle(firsts)
    rng.shuffle(lasts)
    first, last = (
        frequent(rng, firsts, count),
        np.where(rng.random(count) < 0.75, frequent(rng, lasts, homes)[home], frequent(rng, lasts, count)),
    )
    born = (np.datetime64("1940-01-01") + rng.integers(0, 365 * 65, count)).astype(str).astype(object)
    near = np.flatnonzero(home[1:] == home[:-1]) + 1
    twins, namesakes = near[rng.random(len(near)) < 0.02], near[rng.random(len(near)) < 0.02]
    born[twins], last[twins] = born[twins - 1], last[twins - 1]
    first[namesakes], last[namesakes] = first[namesakes - 1], last[namesakes - 1]
    shares = rng.random(count) < 0.25
    phone, device = phones(count), np.array([f"dev-{value:x}" for value in rng.integers(0, 1 << 47, count)], dtype=object)
    phone[shares] = phones(homes)[home[shares]]
    street, postcode = (place[home] for place in addresses(homes))
    moved, married = addresses(count), frequent(rng, lasts, count)
    old, new = mails(first, last), mails(first, last)

    who = np.repeat(np.arange(count), 1 + rng.poisson(1.5, count))
    who = who[rng.permutation(len(who))][:records]
    late = rng.random(len(who)) < 0.3

    def changed(share: float) -> Array:
        return late & (rng.random(count) < share)[who]

    moves, marries, mail, number = changed(0.35), changed(0.06), changed(0.4), changed(0.25)
    found: dict[str, Array] = {
        "first": first[who],
        "last": np.where(marries, married[who], last[who]),
        "email": np.where(mail, new[who], old[who]),
        "phone": np.where(number, phones(count)[who], phone[who]),
        "born": born[who],
        "street": np.where(moves, moved[0][who], street[who]),
        "postcode": np.where(moves, moved[1][who], postcode[who]),
        "device": device[who],
    }
    for name, share in {"first": 0.05, "last": 0.05, "email": 0.02, "phone": 0.015, "street": 0.08, "postcode": 0.02, "born": 0.03}.items():
        mistyped(rng, found[name], share)
    short = rng.random(len(who)) < 0.08
    found["first"][short] = [text[:3] for text in found["first"][short]]
    source = rng.choice(3, len(who), p=[0.4, 0.35, 0.25])
    gaps = {
        "first": (0.01, 0.02, 0.55),
        "last": (0.01, 0.02, 0.6),
        "email": (0.05, 0.2, 0.25),
        "phone": (0.2, 0.15, 0.6),
        "street": (0.5, 0.05, 0.95),
    }
    gaps |= {"postcode": (0.4, 0.05, 0.85), "born": (0.25, 0.8, 0.9), "device": (0.9, 0.95, 0.05)}
    for name, chances in gaps.items():
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


def quality(folder: str, found: Mapping[str, Any]) -> str:
    """How well persons were found."""
    truth = pq.read_table(f"{folder}/people.parquet", columns=[KEY, "who"])
    who = dict(zip(map(str, truth.column(KEY).to_pylist()), truth.column("who").to_pylist(), strict=True))
    seen = scores(who, found)
    return f"pairs: precision {seen['precision']:.3f}, recall {seen['recall']:.3f}, F1 {seen['f1']:.3f}; B3 F1 {seen['b3']:.3f}"


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
    parser.add_argument("--rules", choices=("model", "shop"), default="model", help="what they are resolved by (default: %(default)s)")
    parser.add_argument("--splink", metavar="PYTHON", help="the Python of an environment that has Splink")
    parser.add_argument("--memory-limit", default="2GB", help="connect(memory_limit=) (default: %(default)s)")
    options = parser.parse_args()
    print(f"{measure.machine()}; memory_limit {options.memory_limit}\n", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        table = people(options.records, seed=7)
        pq.write_table(table, f"{folder}/people.parquet")
        first, total = table.num_rows - options.increment, table.num_rows
        rules = json.dumps((MODEL if options.rules == "model" else SHOP).to_dict())
        steps: dict[str, measure.Measurement] = {}

        def run(title: str, step: Callable[..., int], start: int, end: int, name: str) -> None:
            with measure.progress(title):
                steps[title] = measure.fresh(step, prepare, Work(folder, options.memory_limit, rules, start, end, name))

        if options.rules == "model":
            run("train", learn, 0, first, "train")
            rules = Path(f"{folder}/rules.json").read_text(encoding="utf-8")
        run(f"resolve {first:,}", resolve, 0, first, "first")
        run(f"{options.increment:,} more", resolve, first, total, "second")
        run("the same again", resolve, first, total, "third")
        print(measure.table("identities", steps), quality(folder, found_by(folder)), sep="\n\n", flush=True)
        if options.splink and options.rules == "model":
            found, figures = splink(options.splink, table.drop_columns(["source", "who", "full_name"]), MODEL, [AT_LEAST], SURE, TRAIN)
            size = f"{figures['seconds']:.1f} s with training ({figures['train']:.1f} s), {figures['peak'] / 1e6:,.0f} MB"
            print(f"\nSplink at {AT_LEAST}: {size}, {figures['pairs']:,} pairs; {quality(folder, found[AT_LEAST])}")


if __name__ == "__main__":
    main()
