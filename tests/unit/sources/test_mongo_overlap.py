"""Documents that are read again are recognised, whatever columns the table gained in between."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import attrs
import pyarrow as pa
from hypothesis import example, given

from lakekit import sources
from lakekit.sources import mongo_cursor
from lakekit.sources.mongo_cursor import Mark
from lakekit.sources.mongo_read import Read
from lakekit.sources.spool import Spool
from tests.unit.sources.mongo_documents import DOCUMENTS, OWN, Document, encoded

DAY = datetime(2026, 1, 1, tzinfo=UTC)


@attrs.define
class Bronze:
    """A table that reads a collection to its end at each run, and keeps the rows it did not know."""

    cursor: str | None
    mark: Mark = attrs.field(init=False)
    target: pa.Schema | None = None
    rows: list[str] = attrs.field(factory=list)

    def __attrs_post_init__(self) -> None:
        self.mark = Mark(self.cursor)

    def ingest(self, documents: list[Document]) -> None:
        collection = sources.Mongo("mongodb://db", database="market").collection("orders", cursor=self.cursor)
        kind: mongo_cursor.CursorType | None = None if self.cursor is None else "date"
        with Spool(place="here") as spool:
            read = Read(collection, spool, kind=kind, before=self.mark)
            read.gather(iter([encoded(documents)]), target=self.target)
            found = [_stored(row) for batch in read.batches() for row in batch.to_pylist()]
        self.rows += [row for row in found if row not in self.rows]
        self.mark = mongo_cursor.advance(self.mark, kind=kind, seen=read.seen, now=None, hollow=read.hollow)
        known = {} if self.target is None else {field.name: field for field in self.target}
        self.target = pa.schema(list({**known, **{field.name: field for field in read.schema if field.name not in OWN}}.values()))


def _stored(row: dict[str, Any]) -> str:
    return json.dumps(_without_nulls(row), default=repr, sort_keys=True)


def _without_nulls(value: Any) -> Any:
    """Columns that came later are NULL in older rows."""
    if isinstance(value, dict):
        return {name: _without_nulls(inner) for name, inner in value.items() if inner is not None}
    return [_without_nulls(inner) for inner in value] if isinstance(value, list) else value


@given(DOCUMENTS, DOCUMENTS, DOCUMENTS)
@example([{"a": []}], [{"a": [{"b": []}]}], [{"a": [{"b": [1]}]}])
@example([{"a": {"x.y": 5}}], [{"a": {"c": 1}}], [{"a": {"c": {}}}])
@example([{"a": {}}, {"b": {"c": {}}}], [{"a": 5}], [{"b": {"c": {"d": 1}}}])
@example([{"a": [None, {}]}], [{"a": [1]}], [{"a": "x"}])
def test_a_document_read_again_is_recognised(first: list[Document], second: list[Document], third: list[Document]) -> None:
    for cursor in (None, "at"):
        table, documents = Bronze(cursor), list[Document]()
        for new in (first, second, third):
            for document in new:
                number = len(documents)
                documents.append({"number": number, "at": DAY + timedelta(hours=number), **document})
            table.ingest(documents)
            assert len(table.rows) == len(documents)
