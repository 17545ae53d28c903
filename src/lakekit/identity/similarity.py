"""How alike two texts are, as an SQL function over Arrow arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, cast

from lakekit.engines.plan import Function
from lakekit.identity.kinds import Scorer

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    Array = np.ndarray[Any, Any]


def similarity_name(scorer: Scorer) -> str:
    """The SQL function's name."""
    return f"lk_similarity_{scorer}"


def similarity_function(scorer: Scorer) -> Function:
    """The SQL function: two texts in, a number from 0 (nothing alike) to 1 (equal) out. Neither may be NULL."""
    import pyarrow as pa

    def call(left: pa.Array[Any], right: pa.Array[Any]) -> pa.Array[Any]:
        return pa.array(similarities(cast("list[str]", left.to_pylist()), cast("list[str]", right.to_pylist()), scorer))

    return Function(call, (pa.string(), pa.string()), pa.float64())


def similarities(left: Sequence[str], right: Sequence[str], scorer: Scorer) -> Array:
    """How alike texts are, pair by pair."""
    import numpy as np
    from rapidfuzz import process

    measure, greatest = _measure(scorer)
    return process.cpdist(left, right, scorer=measure, dtype=np.float64) / greatest


def similarity(left: str, right: str, scorer: Scorer) -> float:
    """How alike two texts are.

    >>> round(similarity("martha", "marhta", "jaro_winkler"), 3), similarity("smith john", "john smith", "token_sort")
    (0.961, 1.0)
    """
    measure, greatest = _measure(scorer)
    return float(measure(left, right)) / greatest


def _measure(scorer: Scorer) -> tuple[Callable[..., float], float]:
    """A scorer of rapidfuzz, and what it gives for equal texts."""
    from rapidfuzz import distance, fuzz

    measures: dict[Scorer, tuple[Callable[..., float], float]] = {
        "jaro_winkler": (distance.JaroWinkler.normalized_similarity, 1.0),
        "jaro": (distance.Jaro.normalized_similarity, 1.0),
        "levenshtein": (distance.Levenshtein.normalized_similarity, 1.0),
        "osa": (distance.OSA.normalized_similarity, 1.0),
        "damerau_levenshtein": (distance.DamerauLevenshtein.normalized_similarity, 1.0),
        "token_sort": (fuzz.token_sort_ratio, 100.0),
        "token_set": (fuzz.token_set_ratio, 100.0),
    }
    return measures[scorer]
