"""A small town: a pipeline that uses every writer, over two days in which its sources change."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import lakekit as lk
from lakekit import identity, rules, sources

DAY: Final = datetime(2026, 1, 1, tzinfo=UTC)
ANY: Final = lk.Deletes(force=True)
PEOPLE: Final = (
    {
        "first": [
            {"id": 1, "name": " Ada ", "city": "Bonn", "mail": "ada@example.com"},
            {"id": 2, "name": "Bo", "city": "Bonn", "mail": "bo@example.com"},
            {"id": 3, "name": "Cy", "city": "Kiel", "mail": "nothing"},
        ],
        "guests": [{"id": 4, "name": "Di", "city": "Ulm", "mail": "di@example.com"}],
    },
    {
        "second": [
            {"id": 1, "name": "Ada", "city": "Kiel", "mail": "ada@example.com", "phone": "1"},
            {"id": 5, "name": "Ed", "city": "Ulm", "mail": "ed@example.com", "phone": None},
            {"id": None, "name": "nobody", "city": "Ulm", "mail": "no@example.com", "phone": None},
        ],
    },
)
"""What comes on each day, by file. On the second day the file of the guests is gone."""
SALES: Final = (
    [{"sale": 10, "id": 1, "price": 5}, {"sale": 11, "id": 9, "price": 7}],
    [{"sale": 11, "id": 9, "price": 8}, {"sale": 12, "id": 1, "price": 2}, {"sale": 13, "id": None, "price": 3}],
)
Step = Callable[..., lk.Commit]


def let_pass(folder: Path, day: int) -> None:
    """Let a day pass in the folder that the people come from."""
    folder.mkdir(exist_ok=True)
    for name, people in PEOPLE[day].items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in people))
    if day == 1:
        (folder / "guests.jsonl").unlink()


def steps(lake: Any, folder: Path, day: int) -> dict[str, Step]:
    """All steps of a day, in order. Each takes the options of its writer."""
    people = sources.Files(folder, format="json", primary_key="id")
    now = DAY + timedelta(days=day)

    def new(up: str, into: str) -> lk.Batch:
        return lk.read_new(lake, up, into=into)

    def clean(batch: lk.Batch) -> lk.Batch:
        return lk.clean(batch, {"name": rules.squash_spaces(), "mail": rules.email()})

    def sales() -> lk.Batch:
        return lk.from_frame(lake, SALES[day], run_id=f"day {day}", now=now)

    def per_city() -> lk.Batch:
        groups = lk.read_new_groups(lake, "silver.people", into="gold.per_city", by="city")
        return groups.sql("SELECT city, count(*) AS people FROM batch GROUP BY city")

    def facts() -> lk.Batch:
        found = lk.lookup(new("silver.sales", "gold.facts"), "gold.dim_people", on="id", take="person_key", missing="infer")
        return lk.with_identity(lk.select(found, {"shop": "'town'"}, rest="keep"), "silver.who", source_column="shop", record_key="id")

    def full(**options: Any) -> lk.Commit:
        names = lk.select(lk.read(lake, "silver.people"), {"id": "id", "name": "name"})
        return lk.merge_scd2(names, into="gold.full", key="id", feed="full", observed_at=now, deletes=ANY, **options)

    exact = identity.Rules(match=[identity.exact("mail")])
    return {
        "ingest": lambda **o: lk.ingest(lake, people, into="bronze.people", now=now, **o),
        "ingest_deletes": lambda **o: lk.ingest_deletes(lake, people, into="bronze.people", deletes=ANY, now=now, **o),
        "append a frame": lambda **o: lk.append(sales(), into="bronze.sales", **o),
        "append an increment": lambda **o: lk.append(new("bronze.sales", "bronze.copy"), **o),
        "merge": lambda **o: lk.merge(clean(new("bronze.people", "silver.people")), key="id", **o),
        "merge, deletes are hard": lambda **o: lk.merge(new("bronze.people", "silver.hard"), key="id", deletes=lk.Deletes("hard"), **o),
        "merge, deletes are ignored": lambda **o: lk.merge(new("bronze.people", "silver.all"), key="id", deletes=lk.Deletes("ignore"), **o),
        "merge what was filtered": lambda **o: lk.merge(lk.where(new("bronze.people", "silver.in_bonn"), "city = 'Bonn'"), key="id", **o),
        "merge what was merged": lambda **o: lk.merge(new("silver.people", "silver.copy"), key="id", **o),
        "merge a frame": lambda **o: lk.merge(sales(), into="silver.sales", key="sale", **o),
        "merge a plain read": lambda **o: lk.merge(lk.read(lake, "silver.people"), into="silver.now", key="id", **o),
        "merge_scd2": lambda **o: lk.merge_scd2(
            new("bronze.people", "gold.dim_people"), key="id", effective_at="_ingestion_timestamp", surrogate_key="person_key", **o
        ),
        "merge_scd2 of a full feed": full,
        "replace_groups": lambda **o: lk.replace_groups(per_city(), **o),
        "resolve_identities": lambda **o: lk.resolve_identities(
            {"town": new("silver.people", "silver.who")}, record_key={"town": "id"}, rules=exact, now=now, **o
        ),
        "merge of what was looked up": lambda **o: lk.merge(facts(), key="sale", **o),
    }
