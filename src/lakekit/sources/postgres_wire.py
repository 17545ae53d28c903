"""Values of PostgreSQL in the form that its own clients get them in, for JDBC: it changes dates and times on the way, and lakekit's types must not.

Dates, times and arrays are fetched as the bytes of their binary form (``date_send`` and its kin), which say all that PostgreSQL knows:
infinities, years before Christ, the dimensions of an array. Everything else JDBC leaves alone.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from lakekit.sources.postgres_names import quote
from lakekit.sources.postgres_types import Column, shapes

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

_SENT: Final = ("date", "time", "timestamp", "timestamptz")
_DAYS: Final = 10_957  # from 1970 to 2000, where PostgreSQL's time begins
_MICROSECONDS: Final = _DAYS * 86_400_000_000


def select(column: Column) -> str:
    """The SQL expression for a column."""
    if column.depth:
        return f"array_send({column.select})"
    return f"{column.kind}_send({quote(column.name)})" if column.kind in _SENT else column.select


def unpacked(batch: pa.RecordBatch, columns: Sequence[Column]) -> pa.RecordBatch:
    """A batch as the driver of the embedded engine gives it: the columns, then what has to be known of arrays."""
    import pyarrow as pa

    made = [_as_sent(batch.column(index), column) for index, column in enumerate(columns)]
    names = [f"c{index}" for index in range(len(columns))]
    return pa.RecordBatch.from_arrays([*made, *batch.columns[len(columns) :]], names=[*names, *shapes(columns)])


def _as_sent(array: pa.Array[Any], column: Column) -> pa.Array[Any]:
    if column.depth:
        return _lists(array)
    return _instants(array, column.kind) if column.kind in _SENT else array


def _instants(array: pa.Array[Any], kind: str) -> pa.Array[Any]:
    """Numbers in PostgreSQL's binary form as dates or times. Infinities wrap around, as the other driver has it: decode() finds them."""
    import numpy as np
    import pyarrow as pa

    width = 4 if kind == "date" else 8
    raw = b"".join(value if value is not None else bytes(width) for value in array.to_pylist())
    numbers = np.frombuffer(raw, f">i{width}").astype(f"<i{width}")
    with np.errstate(over="ignore"):
        moved = numbers + _moved(kind, numbers)
    return pa.array(moved, mask=np.asarray(array.is_null())).cast(_storage(kind)).cast(_type(kind))


def _moved(kind: str, numbers: np.ndarray[Any, Any]) -> Any:
    by = {"date": _DAYS, "time": 0}.get(kind, _MICROSECONDS)
    return numbers.dtype.type(by)


def _storage(kind: str) -> pa.DataType:
    import pyarrow as pa

    return pa.int32() if kind == "date" else pa.int64()


def _type(kind: str) -> pa.DataType:
    import pyarrow as pa

    return {
        "date": pa.date32(),
        "time": pa.time64("us"),
        "timestamp": pa.timestamp("us"),
        "timestamptz": pa.timestamp("us", tz="UTC"),
    }[kind]


# The elements of an array, by the number of their type: how they are read, and what they are in Arrow.
_ELEMENTS: Final[dict[int, tuple[str, Callable[[bytes], Any]]]] = {
    16: ("bool", lambda raw: raw != b"\0"),
    17: ("binary", bytes),
    20: ("int64", lambda raw: struct.unpack(">q", raw)[0]),
    23: ("int32", lambda raw: struct.unpack(">i", raw)[0]),
    700: ("float32", lambda raw: struct.unpack(">f", raw)[0]),
    701: ("float64", lambda raw: struct.unpack(">d", raw)[0]),
}
_TIMES: Final = {1082: "date", 1083: "time", 1114: "timestamp", 1184: "timestamptz"}


def _lists(array: pa.Array[Any]) -> pa.Array[Any]:
    """Arrays as lists of all their elements."""
    import pyarrow as pa

    offsets: list[int | None] = []
    elements: list[bytes | None] = []
    element = 25
    for raw in array.to_pylist():
        if raw is None:
            offsets.append(None)
            continue
        offsets.append(len(elements))
        count, _, element = struct.unpack_from(">iiI", raw)
        at = 12 + 8 * count
        while at < len(raw):
            (size,) = struct.unpack_from(">i", raw, at)
            at += 4
            elements.append(None if size < 0 else raw[at : at + size])
            at += max(size, 0)
    return pa.ListArray.from_arrays(pa.array([*offsets, len(elements)], pa.int32()), _elements(elements, element))


def _elements(raw: Sequence[bytes | None], kind: int) -> pa.Array[Any]:
    import pyarrow as pa

    if kind in _TIMES:
        return _instants(pa.array(raw, pa.binary()), _TIMES[kind])
    if kind not in _ELEMENTS:
        return pa.array(raw, pa.binary()).cast(pa.string())
    name, read = _ELEMENTS[kind]
    types = {"bool": pa.bool_(), "binary": pa.binary(), "int64": pa.int64(), "int32": pa.int32()}
    types |= {"float32": pa.float32(), "float64": pa.float64()}
    return pa.array([None if value is None else read(value) for value in raw], types[name])
