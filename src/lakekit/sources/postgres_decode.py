"""Batches of PostgreSQL as the columns that were planned, and what becomes of values that their column can't hold.

The driver moves PostgreSQL's epoch (2000) to Arrow's (1970) without looking: infinities, and years after 294246, come out far below any
real instant. It flattens arrays of more dimensions; ``postgres_types.select_list`` asks for what they were.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, cast

import attrs

from lakekit.errors import ContractError
from lakekit.sources import postgres_texts, rescued
from lakekit.sources.postgres_declared import Misfit
from lakekit.sources.postgres_types import DIMENSIONS, MISSHAPEN, Column

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

_EARLIEST_MICROSECONDS: Final = -210_866_803_200_000_000  # 4714-11-24 BC, PostgreSQL's earliest instant
_DAY: Final = 86_400_000_000
_EPOCH_DAYS: Final = 10_957  # from 1970 to 2000
_LEAST: Final = {"date": _EARLIEST_MICROSECONDS // _DAY, "timestamp": _EARLIEST_MICROSECONDS, "timestamptz": _EARLIEST_MICROSECONDS}
_SAYS: Final = {
    "date": "infinity",
    "timestamp": "infinity, or a year after 294246",
    "timestamptz": "infinity, or a year after 294246",
    "time": "24:00",
    "numeric": "NaN",
}


@attrs.frozen
class _Odd:
    """A value that its column can't hold: its row, its path behind the column's name, and its text."""

    row: int
    path: str
    text: str


class Decoder:
    """Makes columns of batches.

    Raises:
        ContractError: From its methods: a value that its column can't hold, where that is an error.
    """

    def __init__(self, columns: Sequence[Column], *, on_misfit: Misfit, place: str) -> None:
        """Take the columns as they were planned."""
        self._columns, self._on_misfit, self._place = columns, on_misfit, place

    def decode(self, batch: pa.RecordBatch) -> tuple[list[pa.Array[Any]], pa.Array[Any]]:
        """The batch's columns in the order asked for, and the text of ``_rescued_data``."""
        import pyarrow as pa

        arrays: list[pa.Array[Any]] = []
        kept: dict[int, dict[str, str]] = {}
        for index, column in enumerate(self._columns):
            array, odd = _lists(batch, index, column) if column.depth else _leaves(batch.column(index), column)
            if odd and (column.strict or self._on_misfit == "raise"):
                raise self._refusal(column, odd)
            for value in odd if self._on_misfit == "rescue" else ():
                kept.setdefault(value.row, {})[rescued.escaped(column.name) + value.path] = value.text
            arrays.append(array)
        if not kept:
            return arrays, pa.nulls(batch.num_rows, pa.string())
        return arrays, pa.array([rescued.text(kept[row]) if row in kept else None for row in range(batch.num_rows)], pa.string())

    def _refusal(self, column: Column, odd: Sequence[_Odd]) -> ContractError:
        count = f"{len(odd):,} value{'s' if len(odd) > 1 else ''}"
        if column.depth and not all(value.path for value in odd):
            dimensions = "one dimension" if column.depth == 1 else f"{column.depth} dimensions"
            problem = f"holds arrays of other than {dimensions}, {count} of the rows read at once"
            hint = f"types={{{column.name!r}: 'string'}} reads it as text, and 'array<array<…>>' as lists in lists."
        else:
            says = f", such as {_SAYS[column.kind.removesuffix('[]')]}" if column.kind.removesuffix("[]") in _SAYS else ""
            problem = f"holds what {_leaf(column.type)} can't hold{says}, {count} of the rows read at once"
            hint = f"types={{{column.name!r}: 'string'}} reads it as text; a view, or where=, leaves such values out."
        if not column.strict:
            hint = f"on_misfit='rescue' makes it NULL and keeps its text in _rescued_data, 'null' makes it NULL; {hint}"
        return ContractError(f"{self._place}, column {column.name!r}", problem, hint=hint)


def _leaf(kind: pa.DataType) -> pa.DataType:
    import pyarrow as pa

    return _leaf(kind.value_type) if pa.types.is_list(kind) else kind


def _leaves(array: pa.Array[Any], column: Column) -> tuple[pa.Array[Any], list[_Odd]]:
    array, odd = _fitting(array, column)
    return array, [_Odd(row, "", text) for row, text in odd.items()]


def _fitting(array: pa.Array[Any], column: Column) -> tuple[pa.Array[Any], Mapping[int, str]]:
    """Values without structure as their type, and the text of those that don't fit it."""
    import pyarrow as pa

    kind, wanted = column.kind.removesuffix("[]"), _leaf(column.type)
    if pa.types.is_temporal(array.type):
        return _instants(array, kind)
    if array.type == wanted:
        return array, {}
    if not column.declared:
        try:
            return cast("pa.Array[Any]", array.cast(wanted)), {}
        except pa.ArrowInvalid:
            pass  # looked at one by one
    made, odd = postgres_texts.read(array, wanted)
    return made, {index: array[index].as_py() for index in odd}


def _instants(array: pa.Array[Any], kind: str) -> tuple[pa.Array[Any], Mapping[int, str]]:
    import pyarrow as pa
    import pyarrow.compute as pc

    compute = cast("Any", pc)
    least, greatest = bounds(array)
    if least is None or greatest is None or (greatest < _DAY if kind == "time" else least >= _LEAST[kind]):
        return array, {}
    numbers: Any = array.cast(_storage(array))
    limit = pa.scalar(_DAY if kind == "time" else _LEAST[kind], numbers.type)
    wrong = compute.greater_equal(numbers, limit) if kind == "time" else compute.less(numbers, limit)
    odd = {row: _text(numbers[row].as_py(), kind) for row in compute.indices_nonzero(wrong).to_pylist()}
    return compute.if_else(wrong, pa.scalar(None, array.type), array), odd


def _text(number: int, kind: str) -> str:
    """A time that Arrow can't hold, as PostgreSQL prints it."""
    import numpy as np

    if kind == "time":
        return "24:00:00"
    half = 1 << (31 if kind == "date" else 63)
    since = number - (_EPOCH_DAYS if kind == "date" else _EPOCH_DAYS * _DAY) + 2 * half  # as PostgreSQL counts, unwrapped
    if since in {half - 1, half}:
        return "infinity" if since < half else "-infinity"
    days, microseconds = divmod(since + _EPOCH_DAYS * _DAY, _DAY)
    clock = np.datetime64(microseconds, "us").item().time()
    return f"{np.datetime64(days, 'D')} {clock}{'+00' if kind == 'timestamptz' else ''}"


def bounds(array: pa.Array[Any]) -> tuple[int | None, int | None]:
    """The least and greatest of integers, or of dates and times as the integers they are stored as. None: there are no values."""
    import pyarrow.compute as pc

    found: dict[str, int | None] = cast("Any", pc).min_max(array.cast(_storage(array))).as_py()
    return found["min"], found["max"]


def _storage(array: pa.Array[Any]) -> pa.DataType:
    import pyarrow as pa

    return pa.int32() if array.type.bit_width == 32 else pa.int64()


def _lists(batch: pa.RecordBatch, index: int, column: Column) -> tuple[pa.Array[Any], list[_Odd]]:
    """Arrays as lists, in lists where more dimensions were asked for."""
    import pyarrow as pa
    import pyarrow.compute as pc

    compute, array = cast("Any", pc), cast("pa.ListArray[Any]", batch.column(index))
    texts: Any = batch.column(f"{MISSHAPEN}{index}")
    odd = [_Odd(row, "", texts[row].as_py()) for row in compute.indices_nonzero(texts.is_valid()).to_pylist()]
    if odd:
        array = compute.if_else(texts.is_valid(), pa.scalar(None, array.type), array)
    if column.depth == 1:
        sizes = compute.fill_null(compute.list_value_length(array), 0).to_numpy(zero_copy_only=False).reshape(-1, 1)
    else:
        sizes = _sizes(batch.column(f"{DIMENSIONS}{index}"), array, column.depth)
    values, misfits = _fitting(array.flatten(), column)
    odd += [_Odd(*_located(at, sizes), text) for at, text in misfits.items()]
    return _nested(values, column.type, sizes, array), odd


def _sizes(dimensions: pa.Array[Any], array: pa.ListArray[Any], depth: int) -> np.ndarray[Any, Any]:
    """How long each row's array is in each dimension. ``array_dims`` says ``[1:2][0:2]``; of an empty array, nothing."""
    import numpy as np

    sizes = np.zeros((len(array), depth), np.int32)
    found: list[str | None] = dimensions.to_pylist()
    for row, text in enumerate(found):
        if text is not None and array[row].is_valid:
            sizes[row] = [int(high) - int(low) + 1 for low, high in re.findall(r"(-?\d+):(-?\d+)", text)]
    return sizes


def _located(at: int, sizes: np.ndarray[Any, Any]) -> tuple[int, str]:
    """The row and the path of one of all elements."""
    import numpy as np

    ends = sizes.prod(axis=1).cumsum()
    row = int(np.searchsorted(ends, at, side="right"))
    position = np.unravel_index(at - int(ends[row] - sizes[row].prod()), tuple(sizes[row]))
    return row, "".join(f".{number}" for number in position)


def _nested(values: pa.Array[Any], kind: pa.DataType, sizes: np.ndarray[Any, Any], like: pa.Array[Any]) -> pa.Array[Any]:
    """Lists of so many elements each, NULL where the others are."""
    import numpy as np
    import pyarrow as pa

    kinds: list[Any] = [kind]
    while pa.types.is_list(inner := kinds[-1].value_type):
        kinds.append(inner)
    for level in reversed(range(len(kinds))):
        lengths = np.repeat(sizes[:, level], sizes[:, :level].prod(axis=1))
        offsets = pa.array(np.concatenate([[0], lengths.cumsum()]), pa.int32())
        mask = None if level else like.is_null()
        values = cast("Any", pa.ListArray).from_arrays(offsets, values, type=kinds[level], mask=mask)
    return values
