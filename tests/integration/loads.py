"""All of ingestion, step after step, to be killed and started again: first load, messages with rejects, deletes, rejects mended and replayed."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

import psycopg
import pyarrow as pa
from pyiceberg.expressions import EqualTo

import lakekit as lk
from lakekit import rules, sources
from lakekit.sources.protocol import Details, Increment, KeyRead, Target
from tests.integration import faults

NOON: Final = datetime(2026, 1, 1, 12, tzinfo=UTC)
PEOPLE: Final = """
CREATE TABLE people (id bigint PRIMARY KEY, name text, phone text, at timestamptz NOT NULL);
INSERT INTO people SELECT n, 'person ' || n, CASE WHEN n % 50 = 0 THEN '030 1234567' ELSE '(415) 555-2671' END, '2026-01-01 08:00Z'
    FROM generate_series(1, 3000) n;
"""
LATER: Final = """
DELETE FROM people WHERE id % 97 = 0;
UPDATE people SET name = 'changed', at = '2026-01-01 09:00Z' WHERE id % 31 = 0;
INSERT INTO people VALUES (9001, 'new', '(415) 555-2671', '2026-01-01 09:00Z'), (9002, 'new', 'none', '2026-01-01 09:00Z')
    ON CONFLICT DO NOTHING;
"""


class Messages:
    """A source of messages, of which each third can't be read."""

    upstream = "messages:test"
    SCHEMA = pa.schema(
        [("id", pa.int64()), ("_source", pa.string()), ("_rule", pa.string()), ("_reason", pa.string()), ("_payload", pa.binary())]
    )

    @contextmanager
    def open(self, position: Details | None, *, target: Target) -> Iterator[Increment]:
        seen = 0 if position is None else int(str(position["seen"]))
        bad = {"_rule": "json", "_reason": "not_json"}
        rows = [{"_source": f"at {n}", **({"id": n} if n % 3 else {**bad, "_payload": b"{%d" % n})} for n in range(seen, 300)]
        yield Increment(self.SCHEMA, iter([pa.RecordBatch.from_pylist(rows, self.SCHEMA)]), lambda: {"seen": 300}, rejecting=True)

    def primary_key(self) -> tuple[str, ...]:
        return ()

    @contextmanager
    def keys(self, *, scope: str | None) -> Iterator[KeyRead]:
        raise AssertionError
        yield


def change(dsn: str) -> None:
    """What happens in the source between two runs, once however often it is called."""
    with psycopg.connect(dsn) as connection:
        connection.execute(LATER)


def merge(lake: lk.Lake, region: str) -> lk.Commit:
    people = lk.clean(lk.read_new(lake, "bronze.people", into="silver.people"), {"phone": rules.phone(region)})
    return lk.merge(people, key="id")


def mend(lake: Any) -> None:
    """What a person does with another tool: the messages are written as JSON, and their bytes taken away."""
    table = lake.engine.catalog.load_table("bronze.messages__rejects")
    rows = table.scan(row_filter=EqualTo("_state", "open")).to_arrow()
    mended = [
        {**row, "_row": json.dumps({"id": 1000 + int(row["_payload"][1:]), "_operation": "upsert"}), "_payload": None}
        for row in rows.to_pylist()
        if row["_payload"] is not None
    ]
    if mended:
        table.overwrite(pa.Table.from_pylist(mended, rows.schema), EqualTo("_state", "open"))


def steps(lake: lk.Lake, dsn: str) -> list[Callable[[], object]]:
    """What is to be done, each step by a task of its own that is started again when it dies."""
    people, later = sources.Postgres(dsn, name="shop").table("people", cursor="at"), NOON + timedelta(hours=1)
    return [
        lambda: lk.ingest(lake, people, into="bronze.people", now=NOON),
        lambda: lk.ingest(lake, Messages(), into="bronze.messages", now=NOON),
        lambda: merge(lake, "US"),
        lambda: change(dsn),
        lambda: lk.ingest(lake, people, into="bronze.people", now=later),
        lambda: lk.ingest_deletes(lake, people, into="bronze.people", now=later),
        lambda: merge(lake, "US"),
        lambda: mend(lake),
        lambda: lk.replay(lake, "bronze.messages"),
        lambda: lk.replay(lake, "silver.people"),
        lambda: merge(lake, "DE"),
    ]


def run(folder: Path, dsn: str, at: Any) -> None:
    """The steps from number ``at`` on, a number shared with other processes that is kept at the step that is being done."""
    spill = folder / "spill"
    spill.mkdir(parents=True, exist_ok=True)
    todo = steps(lk.connect(folder, spill_directory=spill), dsn)
    for number in range(at.value, len(todo)):
        at.value = number
        todo[number]()


def run_and_die(folder: Path, dsn: str, at: Any, known: Collection[str], tell: Connection, every: int) -> None:
    """The same, until the first point of a write that is not known."""
    lk.connect(folder)
    faults.die_at_first_unknown(known, folder, tell.send, every=every)
    run(folder, dsn, at)
