"""How alike two texts are, as an SQL function over Arrow arrays."""

from __future__ import annotations

import functools
import importlib
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, cast

from lakekit.engines.plan import Function
from lakekit.errors import ConfigError
from lakekit.identity.kinds import Scorer
from lakekit.identity.likeness import INITIAL, KINDS, NICKNAME, name, nicknames

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    Array = np.ndarray[Any, Any]


_ROUNDED = 1e-6  # a likeness of exactly the least one must not fall to rounding


def similarity_name(scorer: Scorer, least: float = 0.0) -> str:
    """The SQL function's name."""
    return f"lk_similarity_{re.sub('[^a-z0-9_]', '_', f'{scorer}_{least!r}'.lower())}"


def similarity_function(scorer: Scorer, least: float = 0.0) -> Function:
    """The SQL function: two texts in, a number from 0 (nothing alike) to 1 (equal) out. Neither may be NULL. What is less than ``least`` may be 0."""
    import pyarrow as pa

    def call(left: pa.Array[Any], right: pa.Array[Any]) -> pa.Array[Any]:
        return pa.array(similarities(cast("list[str]", left.to_pylist()), cast("list[str]", right.to_pylist()), scorer, least))

    return Function(call, (pa.string(), pa.string()), pa.float64())


def similarities(left: Sequence[str], right: Sequence[str], scorer: Scorer, least: float = 0.0) -> Array:
    """How alike texts are, pair by pair. What is less than ``least`` may be 0: it need not be counted to the end.

    Raises:
        ConfigError: A function of the user's own can't be imported, raises, or gives something else than a number from 0 to 1.
    """
    import numpy as np
    from rapidfuzz import process

    measures = _rapidfuzz()
    if scorer in measures:
        measure, greatest = measures[scorer]
        cutoff = max(least - _ROUNDED, 0.0) * greatest
        return process.cpdist(left, right, scorer=measure, score_cutoff=cutoff, dtype=np.float64) / greatest
    if scorer == "name":
        return _names(left, right)
    measure = _custom(scorer) if ":" in scorer else KINDS[scorer]
    return np.fromiter(
        (1.0 if one == other else measure(one, other) for one, other in zip(left, right, strict=True)), np.float64, len(left)
    )


def _names(left: Sequence[str], right: Sequence[str]) -> Array:
    """The likeness of names: that of their letters for most pairs, found at once, and `likeness.name` where there is more to see in one."""
    import numpy as np
    from rapidfuzz import process
    from rapidfuzz.distance import JaroWinkler

    kinds = {text: _kind_of_name(text) for text in {*left, *right}}
    one, other = (np.fromiter((kinds[text] for text in texts), np.int8, len(texts)) for texts in (left, right))
    found = process.cpdist(left, right, scorer=JaroWinkler.normalized_similarity, dtype=np.float64)
    for at in np.flatnonzero((one == _OTHER) | (other == _OTHER)).tolist():
        found[at] = name(left[at], right[at])
    for at in np.flatnonzero((one == _NICKNAME) & (other == _NICKNAME)).tolist():
        if not nicknames()[left[at]].isdisjoint(nicknames()[right[at]]):
            found[at] = max(found[at], NICKNAME)
    for at in np.flatnonzero(((one == _INITIAL) & (other != _OTHER)) | ((other == _INITIAL) & (one != _OTHER))).tolist():
        if left[at][0] == right[at][0]:
            found[at] = max(found[at], INITIAL)
    return found


_PLAIN, _NICKNAME, _INITIAL, _OTHER = range(4)


def _kind_of_name(text: str) -> int:
    """Whether a name is a single part of small letters, whether that has nicknames or is one, or is an initial, or whether it is something else."""
    if not text.isalpha() or text != text.casefold():
        return _OTHER
    return _INITIAL if len(text) == 1 else _NICKNAME if text in nicknames() else _PLAIN


def similarity(left: str, right: str, scorer: Scorer) -> float:
    """How alike two texts are.

    >>> round(similarity("martha", "marhta", "jaro_winkler"), 3), similarity("smith john", "john smith", "token_sort")
    (0.961, 1.0)
    """
    return float(similarities([left], [right], scorer)[0])


@functools.cache
def _rapidfuzz() -> dict[Scorer, tuple[Callable[..., float], float]]:
    """The scorers of rapidfuzz, and what each gives for equal texts."""
    from rapidfuzz import distance, fuzz

    return {
        "jaro_winkler": (distance.JaroWinkler.normalized_similarity, 1.0),
        "jaro": (distance.Jaro.normalized_similarity, 1.0),
        "levenshtein": (distance.Levenshtein.normalized_similarity, 1.0),
        "osa": (distance.OSA.normalized_similarity, 1.0),
        "damerau_levenshtein": (distance.DamerauLevenshtein.normalized_similarity, 1.0),
        "token_sort": (fuzz.token_sort_ratio, 100.0),
        "token_set": (fuzz.token_set_ratio, 100.0),
    }


@functools.cache
def _custom(scorer: str) -> Callable[[str, str], float]:
    """The user's own function behind 'package.module:function', with its results checked."""
    place = f"identity: scorer {scorer!r}"
    module, _, called = scorer.partition(":")
    try:
        function = getattr(importlib.import_module(module), called)
    except (ImportError, AttributeError) as error:
        hint = "it has to be importable wherever it runs: on Spark, on the workers too."
        raise ConfigError(place, "expected a function that can be imported", got=type(error).__name__, hint=hint) from None

    def measure(left: str, right: str) -> float:
        try:
            found = float(function(left, right))
        except Exception as error:  # noqa: BLE001 -- whatever it is, its text may hold a value
            problem = type(error).__name__
        else:
            if 0 <= found <= 1:
                return found
            problem = "a number outside of that"
        raise ConfigError(place, "expected a number from 0 to 1", got=problem)

    return measure
