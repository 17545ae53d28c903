"""train: what agreement and disagreement in each column are worth, learned from the records themselves, without labels."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import attrs

from lakekit.batch import Batch
from lakekit.engines.plan import Query
from lakekit.engines.types import ident, sql_type
from lakekit.errors import ConfigError, ContractError
from lakekit.identity.cluster import all_pairs as all_pairs_within
from lakekit.identity.kinds import Block, Comparison, Probabilistic, Veto
from lakekit.identity.mixture import Part, separate
from lakekit.identity.model import Frequencies, Model, Relatives, code
from lakekit.identity.records import said_sql
from lakekit.identity.rules import Rules
from lakekit.identity.similarity import similarities
from lakekit.incremental.target import require_columns
from lakekit.operations import reading

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    Array = np.ndarray[Any, Any]

_PAIRS_LEARNED_FROM = 200_000
_SMOOTH = 0.5
_FREQUENT_VALUES = 2_000  # they stand in the model, and in a property of the table
_MOST_OF_A_RARE_VALUE = 6.0
_LEAST_BITS = -10.0  # what was never seen in a sample may happen all the same


@reading
def train(records: Batch, *, rules: Rules, sample: int = 200_000, seed: int = 0) -> Rules:
    """The rules with a trained `probabilistic` rule: frozen, to be kept beside the pipeline (`Rules.to_dict`) and used from now on.

    How often two records agree is counted on random pairs. How often two of one person do, and how many pairs that are, is estimated by
    expectation maximization on the pairs that the blocks bring together, against what chance alone would have brought. No labels are needed.
    How often a column agrees is told by pairs that blocks of other columns bring together, where there are any. Pairs that a veto keeps apart show
    how two relatives compare (`Relatives`), and are not learned from otherwise. Nor are values that more records share than a block of that
    column alone allows: they say what their frequency lets them.

    Args:
        records: Records of all sources: a plain `read`, or several united.
        rules: Rules with a probabilistic rule.
        sample: So many records are learned from at most; they are held in memory.
        seed: Another seed takes other records and pairs.

    Raises:
        ConfigError: There is no probabilistic rule.
        SchemaError: A column is missing.
        ContractError: The records are too few, or too different, to learn from.

    Source:
        Winkler: Using the EM algorithm for weight computation in the Fellegi-Sunter model of record linkage (2000).

    >>> import lakekit as lk, tempfile
    >>> from lakekit import identity
    >>> people = [{"name": f"name {n}", "city": f"city {n % 7}", "born": f"19{n:02}-01-01"} for n in range(99)]
    >>> records = lk.from_frame(lk.connect(tempfile.mkdtemp()), people + people[:50], run_id="a")
    >>> fields = [identity.compare(column, levels=()) for column in ("name", "city", "born")]
    >>> rules = identity.Rules(match=[identity.probabilistic(compare=fields, block=["name", "born"])])
    >>> trained = identity.train(records, rules=rules)
    >>> same, different = trained.probabilistic.model.bits[0]
    >>> same > 5, different < -5
    (True, True)
    """
    rule = rules.probabilistic
    if rule is None:
        raise ConfigError("identity.train(rules=)", "expected rules with a probabilistic rule", hint="match=[identity.probabilistic(…)].")
    values = _read(records, (*rule.columns, *(name for veto in rules.never for name in veto.columns)), sample, seed)
    model = _learn(rule, rules.never, values, seed)
    trained = attrs.evolve(rule, model=model)
    return attrs.evolve(rules, match=tuple(trained if item is rule else item for item in rules.match))


@attrs.frozen(eq=False)
class Encoded:
    """A column as numbers: a code for each record, -1 for NULL, and the text of each code."""

    codes: Array
    texts: list[str]

    def distinct_share(self) -> float:
        """How likely two random records agree."""
        import numpy as np

        counts = np.bincount(self.codes[self.codes >= 0])
        known = counts.sum()
        return float((counts * (counts - 1)).sum() / (known * (known - 1))) if known > 1 else 0.0


def _read(records: Batch, named: Sequence[str], sample: int, seed: int) -> dict[str, Encoded]:
    columns = tuple(dict.fromkeys(named))
    require_columns(records.columns, columns, place="identity.train()")
    texts: list[str] = []
    for name in columns:
        kind = sql_type(records.schema.field(name).type)
        texts.append(f"{said_sql(ident(name), kind, place=f'identity.train(): column {name!r}')} AS {ident(name)}")
    drawn = "lk_hash63(" + " || ".join(f"lk_text({ident(name)}, 'STRING')" for name in columns) + f" || '{int(seed)}')"
    with records.lake.engine.session() as session:
        rows = Query(f"SELECT {', '.join(texts)} FROM batch", {"batch": records.node})
        some = session.stage(Query(f"SELECT * FROM rows ORDER BY {drawn} LIMIT {int(sample)}", {"rows": rows}))
        batches = list(session.rows(some))
    import pyarrow as pa

    table = pa.Table.from_batches(batches, some.schema)
    return {name: encode(table.column(name)) for name in columns}


def encode(column: pa.ChunkedArray[Any]) -> Encoded:
    """A column of texts as numbers."""
    import numpy as np

    encoded = cast("Any", column.combine_chunks().dictionary_encode())
    codes = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
    return Encoded(codes, encoded.dictionary.to_pylist())


def _learn(rule: Probabilistic, never: Sequence[Veto], values: dict[str, Encoded], seed: int) -> Model:
    import numpy as np

    rng = np.random.default_rng(seed)
    size = len(next(iter(values.values())).codes)
    if size < 2:
        raise ContractError("identity.train()", "expected at least two records", got=str(size))
    values, crowded = _without_crowded(rule, values)
    of_blocks = [left * size + right for left, right in (block_pairs(block, values) for block in rule.blocks)]
    code = np.unique(np.concatenate(of_blocks))
    if not len(code):
        raise ContractError("identity.train()", "no two records share a block, so there is nothing to learn from", hint="add wider blocks.")
    chosen = np.sort(rng.permutation(code)[:_PAIRS_LEARNED_FROM])
    left, right = chosen // size, chosen % size
    apart = np.zeros(len(chosen), dtype=np.int64)
    for number, veto in enumerate(never, start=1):
        apart[(apart == 0) & _vetoed(veto, values, left, right)] = number
    found = separate(
        [levels_of(item, values, left, right) for item in rule.compare],
        [_brought_by_others(item, rule.blocks, of_blocks, chosen) for item in rule.compare],
        apart,
        [_chance(item, values, rng, size) for item in rule.compare],
        whole=[any(block.columns == (item.column,) for block in rule.blocks) for item in rule.compare],
        stands_for=len(code) / len(chosen),
        everything=size * (size - 1) / 2,
    )
    alike = [np.array([0, *item.alike, len(item.outcomes) - 1]) for item in rule.compare]
    bits = [_falling(row, places) for row, places in zip(_against(found.same, found.strangers), alike, strict=True)]
    frequencies = [
        _frequencies(item, values[item.column], crowded.get(item.column, {}), row[0], float(one[0]))
        for item, row, one in zip(rule.compare, bits, found.same.chances, strict=True)
    ]
    share = found.same.share
    relatives = [Relatives(round(math.log2(share / part.share), 6), _against(found.same, part)) for part in found.relatives]
    prior = round(math.log2(share / (1 - share)), 6)
    return Model(prior, bits, frequencies if any(frequencies) else (), relatives)


def _against(same: Part, other: Part) -> list[list[float]]:
    """What each outcome says for one person, in bits."""
    import numpy as np

    pairs = zip(same.chances, other.chances, strict=True)
    return [[round(float(value), 6) for value in np.maximum(np.log2(found / chance), _LEAST_BITS)] for found, chance in pairs]


def _falling(bits: Sequence[float], alike: Array) -> list[float]:
    """The same where less alike values never say more; ``alike``: the places of these outcomes in order."""
    import numpy as np

    row = np.array(bits)
    row[alike] = np.minimum.accumulate(row[alike])
    return row.tolist()


def _without_crowded(rule: Probabilistic, values: dict[str, Encoded]) -> tuple[dict[str, Encoded], dict[str, dict[str, float]]]:
    """The columns without values that more records share than a block of this column allows, and these values with their shares.

    They say what their frequency lets them. Counted among the others, a placeholder would make all equal e-mails say little.
    """
    import numpy as np

    kept, crowded = dict(values), dict[str, dict[str, float]]()
    for block in (block for block in rule.blocks if len(block.columns) == 1):
        name = block.columns[0]
        column = values[name]
        counts = np.bincount(column.codes[column.codes >= 0], minlength=len(column.texts))
        often = counts > block.most
        if often.any():
            kept[name] = Encoded(np.where((column.codes >= 0) & often[column.codes], -1, column.codes), column.texts)
            crowded[name] = {column.texts[at]: float(counts[at] / counts.sum()) for at in np.flatnonzero(often).tolist()}
    return kept, crowded


def _frequencies(item: Comparison, column: Encoded, crowded: Mapping[str, float], bits: float, same: float) -> Frequencies | None:
    """What equal values say, each for itself, beyond the bits of an equal value. None: all say the same.

    With term frequencies: how much likelier two strangers share any value than this one. Crowded values are told by their shares in any case.
    """
    known = [(code(text), round(min(math.log2(same / share) - bits, 0.0), 4)) for text, share in crowded.items()]
    if not item.term_frequency:
        return Frequencies(sorted(known), 0.0) if known else None
    shares, rest = _shares(column)
    equal = max(column.distinct_share(), 1e-9)

    def more(share: float) -> float:
        return round(min(math.log2(equal / share), _MOST_OF_A_RARE_VALUE), 4)

    return Frequencies(sorted([*known, *((code(column.texts[at]), more(share)) for at, share in shares.items())]), more(rest))


def _shares(column: Encoded) -> tuple[dict[int, float], float]:
    """How frequent the frequent values are, by code, and the others on average."""
    import numpy as np

    counts = np.bincount(column.codes[column.codes >= 0], minlength=len(column.texts))
    share = counts / max(counts.sum(), 1)
    order = np.lexsort((np.array([code(text) for text in column.texts]), -counts))
    order = order[counts[order] > 0]
    often, rest = order[:_FREQUENT_VALUES], order[_FREQUENT_VALUES:]
    seldom = float((share[rest] ** 2).sum() / share[rest].sum()) if len(rest) else 1 / max(int(counts.sum()), 1)
    return dict(zip(often.tolist(), share[often].tolist(), strict=True)), seldom


def _chance(item: Comparison, values: dict[str, Encoded], rng: np.random.Generator, size: int) -> Array:
    """How likely each level is for two strangers."""
    import numpy as np

    column = values[item.column]
    left, right = rng.integers(0, size, _PAIRS_LEARNED_FROM), rng.integers(0, size, _PAIRS_LEARNED_FROM)
    apart = left != right
    levels = levels_of(item, values, left[apart], right[apart])
    counts = np.bincount(levels[levels >= 0], minlength=len(item.outcomes)) + _SMOOTH
    chance = counts / counts.sum()
    equal = max(column.distinct_share(), 1e-9)  # exact, where the sample sees only the frequent values
    chance[1:] *= (1 - equal) / chance[1:].sum()
    chance[0] = equal
    return chance


def block_pairs(block: Block, values: dict[str, Encoded]) -> tuple[Array, Array]:
    """All pairs of records of a block."""
    import numpy as np

    columns = np.stack([values[name].codes for name in block.columns])
    known = np.flatnonzero((columns >= 0).all(axis=0))
    if not len(known):
        return known, known
    _, group = np.unique(columns[:, known], axis=1, return_inverse=True)
    counts = np.bincount(group.ravel())
    found = list(all_pairs_within(group.ravel(), (counts > 1) & (counts <= block.most)))
    if not found:
        return known[:0], known[:0]
    return known[np.concatenate([pairs.left for pairs in found])], known[np.concatenate([pairs.right for pairs in found])]


def levels_of(item: Comparison, values: dict[str, Encoded], left: Array, right: Array) -> Array:
    """The level of each pair, the number of its outcome; -1 where a value is missing."""
    import numpy as np

    column = values[item.column]
    a, b = column.codes[left], column.codes[right]
    different = len(item.outcomes) - 1
    levels = np.full(len(a), different)
    if item.levels:
        unequal = (a >= 0) & (b >= 0) & (a != b)
        low, high = np.minimum(a[unequal], b[unequal]), np.maximum(a[unequal], b[unequal])
        width = len(column.texts)
        distinct, place = np.unique(low * width + high, return_inverse=True)
        alike = similarities(
            [column.texts[code] for code in distinct // width],
            [column.texts[code] for code in distinct % width],
            item.scorer,
            item.levels[-1],
        )
        level = np.full(len(distinct), different)
        for number, least in reversed(item.alike.items()):
            level[alike >= least] = number
        levels[unequal] = level[place]
    if item.swapped:
        one, other = _meetings(column, values[item.swapped], left, right)
        levels[((one == 1) | (other == 1)) & (one != 0) & (other != 0)] = 1
    levels[a == b] = 0
    levels[(a < 0) | (b < 0)] = -1
    return levels


def _vetoed(veto: Veto, values: dict[str, Encoded], left: Array, right: Array) -> Array:
    """Which of the pairs a veto keeps apart."""
    import numpy as np

    compared = Comparison(veto.column, () if veto.below == 1 else (veto.below,), veto.scorer)
    levels = levels_of(compared, values, left, right)
    excused = np.zeros(len(left), dtype=bool)
    for name in veto.unless:
        codes = values[name].codes
        excused |= (codes[left] >= 0) & (codes[left] == codes[right])
    if veto.swapped:
        one, other = _meetings(values[veto.column], values[veto.swapped], left, right)
        excused |= (one == 1) | (other == 1)
    return (levels == len(compared.outcomes) - 1) & ~excused


def _meetings(column: Encoded, other: Encoded, left: Array, right: Array) -> tuple[Array, Array]:
    """Whether each record's value of a column is the other record's value of another column: 1 or 0, -1 where one is missing."""
    import numpy as np

    known = {text: code for code, text in enumerate(column.texts)}
    as_of = np.array([*(known.get(text, -2) for text in other.texts), -2])[other.codes]  # -2: no value of the column

    def meet(of_column: Array, of_other: Array) -> Array:
        missing = (column.codes[of_column] < 0) | (other.codes[of_other] < 0)
        return np.where(missing, -1, column.codes[of_column] == as_of[of_other])

    return meet(left, right), meet(right, left)


def _brought_by_others(item: Comparison, blocks: Sequence[Block], of_blocks: Sequence[Array], chosen: Array) -> Array:
    """Which pairs a block brings together that the column is no part of, since of the others it is known that they agree. None such: all of them."""
    import numpy as np

    others = [pairs for block, pairs in zip(blocks, of_blocks, strict=True) if not {*item.columns} & {*block.columns}]
    found = np.isin(chosen, np.concatenate(others)) if others else np.zeros(len(chosen), dtype=bool)
    return found if found.any() else ~found
