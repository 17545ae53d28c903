"""SCD2 from the full list of events, in the plainest words: what the SQL must give in any order, batching and repetition."""

from __future__ import annotations

from itertools import groupby
from typing import Any

from lakekit.gold.keys import hash63
from lakekit.gold.scd2_spec import Scd2Spec

Row = dict[str, Any]


def history(events: list[Row], spec: Scd2Spec) -> list[Row]:
    """The versions of all keys, each a row of the dimension without ``_absorbed``."""

    def place(event: Row) -> tuple[Any, ...]:
        given = [*sorted(spec.ignore_null), *spec.tracked, *spec.untracked, *sorted(spec.type1)]
        values = [
            (event[name] is not None, event[name]) for name in [*spec.order_by, *given] if not event["_is_delete"] or name in spec.order_by
        ]
        values.insert(len(spec.order_by), (event["_is_delete"], 0))
        return (event[spec.effective_at], *values, -event["_ingestion_timestamp"])

    after = {name: int(text) for name, text in spec.adopted}
    rows: list[Row] = []
    of_key = lambda event: tuple(event[name] for name in spec.key)  # noqa: E731
    for key, group in groupby(sorted(events, key=of_key), of_key):
        ordered, carried, at_instant = sorted(group, key=place), {}, {}
        if spec.deletes == "ignore":
            ordered = [event for event in ordered if not event["_is_delete"]]
        if spec.deletes == "hard":
            ordered = ordered[max((i + 1 for i, event in enumerate(ordered) if event["_is_delete"]), default=0) :]
        for event in ordered:
            carried = {} if event["_is_delete"] else {n: carried.get(n) if event[n] is None else event[n] for n in spec.ignore_null}
            at_instant[event[spec.effective_at]] = {**event, **carried}
        versions: list[Row] = []
        for at, event in at_instant.items():
            last = versions[-1] if versions and versions[-1]["valid_to"] is None else None
            new = {**event, "valid_from": at, "valid_to": None, "is_deleted": event["_is_delete"], "told_at": at}
            if event["_is_delete"] and spec.deletes == "new_record":
                new |= {name: (last or event)[name] for name in spec.attributes if name not in spec.system}
            if (
                last
                and last["is_deleted"] == new["is_deleted"]
                and all(last[n] == new[n] or (n in after and last["told_at"] <= after[n]) for n in spec.tracked)
            ):
                versions[-1] = {**new, "valid_from": last["valid_from"]}
                continue
            if last:
                last["valid_to"] = at
            if not event["_is_delete"] or (last and spec.deletes == "new_record"):
                versions.append(new)
        for i, version in enumerate(versions):
            newest = {name: versions[-1][name] for name in spec.type1}
            number = hash63(
                [*key, *([version["valid_from"]] if i else [])],
                [spec.type_of(name) for name in [*spec.key, *([spec.effective_at] if i else [])]],
            )
            rows.append({**version, **newest, "user_key": number, "is_current": version["valid_to"] is None})
    return rows
