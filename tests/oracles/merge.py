"""merge in the plainest words: a dictionary of rows by key, and one of what hard deletes have buried."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import Any

import attrs

Row = dict[str, Any]
Key = tuple[Any, ...]


def age(row: Row) -> tuple[bool, Any]:
    """What makes a row later: NULL is the earliest."""
    return (row["at"] is not None, row["at"])


def is_delete(row: Row) -> bool:
    return row.get("_operation") == "delete"


@attrs.define
class Oracle:
    """A table kept by key and ordered by ``at``, with the rows that soft deletes have marked."""

    key: tuple[str, ...]
    hard: bool
    rows: dict[Key, Row] = attrs.field(factory=dict)
    buried: dict[Key, Row] = attrs.field(factory=dict)

    def merge(self, batch: list[Row], now: datetime) -> Counter[str]:
        """Merge a batch, and count what became of its rows."""
        counts, last = Counter[str](), dict[Key, Row]()
        good = [row for row in batch if None not in self.key_of(row)]
        counts["rejected"], counts["read"] = len(batch) - len(good), len(batch)
        for row in good:
            key = self.key_of(row)
            counts["duplicates"] += key in last
            if key not in last or (age(row), is_delete(row)) > (age(last[key]), is_delete(last[key])):
                last[key] = row
        for key, row in last.items():
            counts[self._merge_one(key, row, now)] += 1
        counts["removed"] = counts["deleted"] if self.hard else 0
        counts["deleted"] += counts.pop("buried", 0)
        return counts

    def key_of(self, row: Row) -> Key:
        return tuple(row[name] for name in self.key)

    def _merge_one(self, key: Key, row: Row, now: datetime) -> str:
        gone, grave = is_delete(row), self.buried.get(key)
        if self.hard and gone and (grave is None or age(row) > age(grave)):
            self.buried[key] = row
        if not gone and grave is not None and age(row) <= age(grave):
            return "late"
        old = self.rows.get(key)
        if old is None and gone and self.hard:
            return "buried" if grave is None or age(row) > age(grave) else "unchanged"
        told = {name: value for name, value in row.items() if name != "_operation"}
        if gone and all(value is None for name, value in told.items() if name not in (*self.key, "at")):
            told = {name: told[name] for name in (*self.key, "at")}  # a delete by the key alone: the rest stays as it was
        new = {**(old or {}), **told, "_ingestion_timestamp": now, "_deleted_at": now if gone else None}
        if old is None:
            self.rows[key] = new
            return "deleted" if gone else "inserted"
        was_gone = old["_deleted_at"] is not None
        if age(row) < age(old):
            return "late"
        if gone == was_gone and all(old.get(name) == value for name, value in told.items()):
            return "unchanged"
        if age(row) == age(old):
            assert gone != was_gone, "two rows of one age that differ: a digest decides, which this oracle doesn't know"
            if was_gone:
                return "late"
        if gone and self.hard:
            del self.rows[key]
            return "deleted"
        self.rows[key] = new
        return "deleted" if gone and not was_gone else "updated"

    def rename(self, old: str, new: str) -> None:
        """Give a column another name."""
        for row in (*self.rows.values(), *self.buried.values()):
            if old in row:
                row[new] = row.pop(old)
