"""Pairs of records and how they score: the distribution of weights, pairs to be labelled, and what labels say about the threshold."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import attrs

from lakekit import columns as system
from lakekit.display import Shown
from lakekit.engines.plan import Query, Scan
from lakekit.engines.types import ident
from lakekit.errors import ConfigError
from lakekit.identity.kinds import Decision, Record
from lakekit.identity.rules import Rules, confirm, require_trained, separate, stored_rules
from lakekit.identity.tables import PROPERTY, RECORDS
from lakekit.identity.training import Encoded, block_pairs, encode, levels_of
from lakekit.incremental.target import require_columns
from lakekit.lake import Lake
from lakekit.names import TableName
from lakekit.operations import reading

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    Array = np.ndarray[Any, Any]

_BAR = 40
_IDS = ("a_source", "a_key", "b_source", "b_key")


@attrs.frozen(eq=False, repr=False)
class Pairs(Shown):
    """Pairs of records that share a block, with the bits of the probabilistic rule. Prints as the distribution of these; it shows no values.

    Attributes:
        table: The identities.
        least_bits: From so many bits on they match.
        bits: The log2 odds of each pair that it is one person.
        left: The place of one record among the records.
        right: The place of the other.
        records: Source and key of each record.
        values: What the records say, by column.
    """

    table: str
    least_bits: float
    bits: Array
    left: Array
    right: Array
    records: tuple[Record, ...] = attrs.field(repr=False)
    values: Mapping[str, Encoded] = attrs.field(repr=False)

    def distribution(self) -> list[tuple[int, int]]:
        """How many pairs there are at each whole number of bits: (bits, pairs), from the least on."""
        import numpy as np

        at, counts = np.unique(np.floor(self.bits).astype(np.int64), return_counts=True)
        return list(zip(at.tolist(), counts.tolist(), strict=True))

    def __str__(self) -> str:
        found = self.distribution()
        most = math.log1p(max((pairs for _, pairs in found), default=1))
        head = f"{self.table}: {len(self.bits):,} pairs; * from {self.least_bits:+.1f} bits on they match. Bars are logarithmic"
        lines = [
            f"{at:+4d} bits{'*' if at + 1 > self.least_bits else ' '} {pairs:>10,}  {'#' * round(_BAR * math.log1p(pairs) / most)}"
            for at, pairs in found
        ]
        return "\n".join([head, *lines])


@reading
def pairs(lake: Lake, identities: TableName, *, rules: Rules | None = None, sample: int = 200_000, seed: int = 0) -> Pairs:
    """The pairs that a probabilistic rule compares, and what it says to each.

    Args:
        lake: Where the table is.
        identities: A table made by `resolve_identities`: its records are compared.
        rules: Other rules than the table's, to see what they would say.
        sample: So many records are taken at most; they are held in memory.
        seed: Another seed takes other records.

    Raises:
        TableNotFoundError: There is no such table.
        ConfigError: It was not made by `resolve_identities`, or the rules have no trained probabilistic rule.
        SchemaError: The table's records lack a column that the rules read.
    """
    import numpy as np
    import pyarrow as pa

    place = "identity.pairs()"
    state = lake.load(identities, place=place)
    if PROPERTY not in state.properties:
        raise ConfigError(f"{place}: {state.label}", "holds no identities", hint="make it with resolve_identities().")
    rules = rules or stored_rules(state.properties[PROPERTY])
    require_trained(rules, place=place)
    rule = rules.probabilistic
    if rule is None or rule.model is None:
        raise ConfigError(place, "expected rules with a probabilistic rule", hint="match=[identity.probabilistic(…)].")
    stored = lake.engine.load(RECORDS.name(state.name))
    columns = tuple(dict.fromkeys(rule.columns))
    require_columns(stored.schema.names, columns, place=place)
    with lake.engine.session() as session:
        query = (
            f"SELECT source, record_key, {', '.join(map(ident, columns))} FROM records WHERE `{system.DELETED_AT}` IS NULL "
            f"ORDER BY lk_hash63(CAST(record_id AS STRING) || '{int(seed)}') LIMIT {int(sample)}"
        )
        some = session.stage(Query(query, {"records": Scan(stored, stored.head)}))
        rows = pa.Table.from_batches(list(session.rows(some)), some.schema)
    values = {name: encode(rows.column(name)) for name in columns}
    size = rows.num_rows
    code = np.unique(np.concatenate([left * size + right for left, right in (block_pairs(block, values) for block in rule.blocks)]))
    left, right = (code // size, code % size) if size else (code, code)
    levels = [levels_of(item, values, left, right) for item in rule.compare]
    odds = [
        sum((np.r_[row, 0.0][level] for row, level in zip(bits, levels, strict=True)), start=np.full(len(code), prior))
        for prior, bits in rule.model.contrasts
    ]
    for number, (item, level) in enumerate(zip(rule.compare, levels, strict=True)):
        if (frequencies := rule.model.of(number)) is not None:
            column = values[item.column]
            adds = np.array([frequencies.adds(text) for text in column.texts] or [0.0])
            both = np.minimum(adds[np.maximum(column.codes[left], 0)], adds[np.maximum(column.codes[right], 0)])
            odds[0] += np.where(level == 0, both, np.where((level == 1) & (item.swapped is not None), np.minimum(both, 0.0), 0.0))
    bits = np.minimum.reduce(odds)
    records = tuple((row["source"], row["record_key"]) for row in rows.select(["source", "record_key"]).to_pylist())
    return Pairs(state.label, rule.least_bits, bits, left, right, records, values)


def uncertain(found: Pairs, *, limit: int = 50) -> pa.Table:
    """The pairs that are nearest to the threshold, to be labelled: what both records say, side by side. It is personal data.

    Fill in the column ``same`` (BOOLEAN; NULL: nobody knows), and give the rows to `tradeoff`, or to `decisions`, which makes them hold.

    Args:
        found: What `pairs` gave.
        limit: So many pairs.
    """
    import numpy as np
    import pyarrow as pa

    chosen = np.lexsort((found.right, found.left, np.abs(found.bits - found.least_bits)))[:limit]
    left, right = found.left[chosen], found.right[chosen]
    table: dict[str, Any] = {}
    for side, at in (("a", left.tolist()), ("b", right.tolist())):
        table[f"{side}_source"] = pa.array([found.records[number][0] for number in at], pa.string())
        table[f"{side}_key"] = pa.array([found.records[number][1] for number in at], pa.string())
    table["bits"] = pa.array(np.round(found.bits[chosen], 2))
    table["same"] = pa.nulls(len(chosen), pa.bool_())
    for name, column in found.values.items():
        for side, at in (("a", left), ("b", right)):
            texts = [None if code < 0 else column.texts[code] for code in column.codes[at].tolist()]
            table[f"{side}_{name}"] = pa.array(texts, pa.string())
    return pa.table(table)


def _labels(labels: Any, place: str) -> list[tuple[Record, Record, bool]]:
    """The labelled rows, from whatever frame they come in."""
    import pyarrow as pa

    if isinstance(labels, pa.Table):
        rows: Iterable[Any] = labels.to_pylist()
    elif hasattr(labels, "to_dict") and hasattr(labels, "columns"):  # pandas
        rows = labels.astype(object).where(labels.notna(), None).to_dict("records")
    else:
        rows = labels
    found: list[tuple[Record, Record, bool]] = []
    for number, row in enumerate(rows):
        if not isinstance(row, Mapping) or not {*_IDS, "same"} <= set(row):
            raise ConfigError(place, f"expected rows with {', '.join(_IDS)} and same", got=f"row {number} without one of them")
        same = row["same"]
        if same is not None:
            if same not in (True, False):
                raise ConfigError(place, "expected true, false or NULL in same", got=f"row {number}: {type(same).__name__}")
            a, b = ((row[f"{side}_source"], str(row[f"{side}_key"])) for side in "ab")
            found.append((min(a, b), max(a, b), bool(same)))
    return found


def decisions(labels: Any) -> list[Decision]:
    """Labelled pairs as decisions for ``Rules(overrides=)``: `confirm` where ``same`` is true, `separate` where it is false.

    Args:
        labels: Rows as `uncertain` gives them, with ``same`` filled in: Arrow, pandas or dictionaries.

    Raises:
        ConfigError: A column is missing, or ``same`` is something else.

    >>> decisions([{"a_source": "shop", "a_key": "1", "b_source": "market", "b_key": "x", "same": True}])[0].kind
    'confirm'
    """
    return [(confirm if same else separate)(a, b) for a, b, same in _labels(labels, "identity.decisions()")]


@attrs.frozen
class Threshold:
    """What a threshold makes of labelled pairs.

    Attributes:
        at_least: The probability from which pairs match.
        bits: The same as log2 odds.
        precision: How many of the pairs that match are one person. None: none matches.
        recall: How many of the pairs that are one person match. None: none is.
    """

    at_least: float
    bits: float
    precision: float | None
    recall: float | None


@attrs.frozen(repr=False)
class Tradeoff(Shown):
    """What each threshold makes of labelled pairs. Printable.

    Attributes:
        labelled: How many of the labelled pairs were compared at all.
        missed: How many pairs of one person no block brings together: no threshold finds them.
        rows: The thresholds.
    """

    labelled: int
    missed: int
    rows: tuple[Threshold, ...]

    def __str__(self) -> str:
        head = f"{self.labelled:,} labelled pairs; {self.missed:,} of one person are not compared by any block"
        lines = [f"{row.at_least:<8.4g} {row.bits:+6.1f} bits  {_share(row.precision)}  {_share(row.recall)}" for row in self.rows]
        return "\n".join([head, f"{'at_least':<8} {'':11}  {'precision':>9}  {'recall':>9}", *lines])


def _share(value: float | None) -> str:
    return f"{'-' if value is None else f'{value:.3f}':>9}"


def tradeoff(found: Pairs, labels: Any, *, at_least: Sequence[float] = (0.1, 0.5, 0.8, 0.9, 0.95, 0.99, 0.999, 0.9999)) -> Tradeoff:
    """What each threshold would make of labelled pairs: the higher, the surer and the fewer.

    Args:
        found: What `pairs` gave; a label counts if its records are among those taken.
        labels: Rows as `uncertain` gives them, with ``same`` filled in: Arrow, pandas or dictionaries.
        at_least: The thresholds.

    Raises:
        ConfigError: A column is missing, or ``same`` is something else.
    """
    place = {record: number for number, record in enumerate(found.records)}
    scored = {(left, right): bits for left, right, bits in zip(found.left.tolist(), found.right.tolist(), found.bits.tolist(), strict=True)}
    known: list[tuple[float, bool]] = []
    missed = 0
    for a, b, same in _labels(labels, "identity.tradeoff()"):
        if a not in place or b not in place:
            continue
        bits = scored.get((min(place[a], place[b]), max(place[a], place[b])))
        missed += same and bits is None
        known.append((-math.inf if bits is None else bits, same))
    true = sum(same for _, same in known)
    rows: list[Threshold] = []
    for probability in at_least:
        least = math.log2(probability / (1 - probability))
        matched = [same for bits, same in known if bits >= least]
        right = sum(matched)
        rows.append(Threshold(probability, least, right / len(matched) if matched else None, right / true if true else None))
    return Tradeoff(len(known), missed, tuple(rows))
