"""UUIDs of version 7 as a cursor: the first 48 bits are the milliseconds since 1970 at which they were made."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, cast

from lakekit.errors import ContractError

if TYPE_CHECKING:
    import pyarrow as pa

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECONDS: Final = (*range(8), *range(9, 13))  # where their digits stand in the text
_VERSION: Final = 14


def instants(array: pa.Array[Any]) -> pa.Array[Any]:
    """When each was made. NULL: there is none.

    >>> import pyarrow as pa
    >>> instants(pa.array(["019b7c01-0400-7000-8000-000000000000", None])).to_pylist()[0].isoformat()
    '2026-01-02T00:00:00+00:00'
    """
    import numpy as np
    import pyarrow as pa

    digits = _digits(array)[:, _MILLISECONDS].astype(np.int64)
    values = np.where(digits > ord("9"), digits - ord("a") + 10, digits - ord("0"))
    milliseconds = values @ (16 ** np.arange(len(_MILLISECONDS) - 1, -1, -1))
    made = pa.array(milliseconds * 1000, pa.int64(), mask=np.asarray(array.is_null()))
    return cast("pa.Array[Any]", made.cast(pa.timestamp("us", tz="UTC")))


def newest(array: pa.Array[Any], *, place: str) -> datetime | None:
    """When the newest was made. None: there are none.

    Raises:
        ContractError: One is of another version: its order says nothing.
    """
    import numpy as np
    import pyarrow.compute as pc

    there = array.drop_null()
    if not len(there):
        return None
    if np.any(_digits(there)[:, _VERSION] != ord("7")):
        raise ContractError(
            place,
            "expected UUIDs of version 7, which begin with the time they were made at",
            got="one of another version",
            hint="name a column that grows with every change, or none: then the whole table is read each time.",
        )
    last: str = cast("Any", pc).max(there).as_py()
    return _EPOCH + timedelta(milliseconds=int(last[:8] + last[9:13], 16))


def _digits(array: pa.Array[Any]) -> Any:
    """The characters of each, as numbers: all have 36. Those of NULL are zeros."""
    import numpy as np

    return np.frombuffer("".join(cast("list[str]", array.fill_null("0" * 36).to_pylist())).encode(), np.uint8).reshape(-1, 36)
