"""The rows of an increment on their way in."""

from __future__ import annotations

import pyarrow as pa
import pytest

from lakekit.bronze import incoming
from lakekit.bronze.incoming import Incoming
from lakekit.sources.protocol import Increment

SCHEMA = pa.schema([("id", pa.int64()), ("_rule", pa.string()), ("_reason", pa.string()), ("_payload", pa.binary())])


def increment(*batches: list[tuple[int, str | None]]) -> Increment:
    made = [
        pa.RecordBatch.from_pylist(
            [
                {"id": number, "_rule": reason and "json", "_reason": reason, "_payload": reason and reason.encode() * 50}
                for number, reason in rows
            ],
            SCHEMA,
        )
        for rows in batches
    ]
    return Increment(SCHEMA, iter(made), dict, rejecting=True)


@pytest.mark.parametrize("in_memory", [1, 1 << 20])
def test_bad_rows_are_set_aside_in_memory_or_on_disk(in_memory: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(incoming, "IN_MEMORY", in_memory)
    with Incoming(increment([(1, None), (2, "bad")], [(3, None)], [(4, "worse"), (5, "bad")], [])) as rows:
        assert [row for batch in rows.batches() for row in batch.to_pylist()] == [{"id": 1}, {"id": 3}]
        found = [(row["id"], row["_reason"], row["_payload"]) for batch in rows.bad() for row in batch.to_pylist()]
        assert found == [(2, "bad", b"bad" * 50), (4, "worse", b"worse" * 50), (5, "bad", b"bad" * 50)]
        commit = rows.figures("bronze.events", inserted=2)
    assert (commit.read, commit.inserted, commit.rejected, commit.unchanged) == (5, 2, 3, 0)


def test_where_nothing_is_bad_there_is_nothing_aside() -> None:
    with Incoming(increment([(1, None)])) as rows:
        assert rows.schema.names == ["id"]
        assert sum(batch.num_rows for batch in rows.batches()) == 1
        assert list(rows.bad()) == []
