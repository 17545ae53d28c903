"""The shop's star by plain dictionaries: what gold must hold after each batch of events."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

Record = tuple[str, str]
Row = dict[str, Any]
TRUST = ("postgres", "mongo", "kafka")
COLUMNS = ("full_name", "email", "phone", "city")


class Star:
    """Keeps what the sources have said so far, and each person's history."""

    def __init__(self) -> None:
        self.records: dict[Record, Row] = {}
        self.people: list[tuple[set[Record], list[tuple[datetime, Row]]]] = []

    def after(self, users: list[Row], orders: list[Row], documents: list[Row], events: list[Row]) -> list[tuple[Any, ...]]:
        """The living facts with their person's records, name and city, given all that the sources hold."""
        self._take(users, documents, events)
        before, self.people = self.people, []
        for part in parts(self.records):
            kin = sorted((person for person in before if person[0] & part), key=lambda person: -len(person[0]))
            assert len(kin) < 2 or len(kin[0][0]) > len(kin[1][0]), "no order of events may decide whose id is kept"
            best = {
                name: next(
                    (self.records[r][name] for r in sorted(part, key=lambda r: TRUST.index(r[0])) if self.records[r].get(name)), None
                )
                for name in COLUMNS
            }
            history = kin[0][1] if kin else []
            if not history or history[-1][1] != best:
                history.append((max(self.records[record]["at"] for record in part), best))
            self.people.append((part, history))
        facts = [("postgres", str(o["order_id"]), o["total"], o["created_at"], o.get("device_type"), str(o["user_id"])) for o in orders]
        facts += [("mongo", d["_id"], d["amount"], d["order_time"], None, d["buyer"]["id"]) for d in documents]
        return sorted(((*fact[:5], *self._member(fact[0], fact[5], fact[3])) for fact in facts), key=repr)

    def _member(self, channel: str, key: str, at: datetime) -> tuple[Any, ...]:
        for part, history in self.people:
            if (channel, key) in part:
                version = next((row for begin, row in reversed(history) if begin <= at), history[0][1])
                return tuple(sorted(part)), version["full_name"], version["city"]
        return None, "Unknown", "Unknown"

    def _take(self, users: list[Row], documents: list[Row], events: list[Row]) -> None:
        told = [("postgres", str(u["user_id"]), u, u["last_updated_at"]) for u in users]
        told += [("mongo", d["buyer"]["id"], {**d["buyer"], "full_name": d["buyer"]["name"]}, d["order_time"]) for d in documents]
        told += [("kafka", e["visitor_id"], e, datetime.fromisoformat(e["happened_at"])) for e in events if e["event"] == "signup"]
        gone = [
            record
            for record in self.records
            if record[0] == "postgres" and record[1] not in {key for source, key, _, _ in told if source == "postgres"}
        ]
        for record in gone:
            del self.records[record]
        for source, key, row, at in sorted(told, key=lambda one: one[3]):
            email = (row.get("email") or "").strip().lower() or None
            if email is None or "@" in email:  # others are rejected, and what was known before stays
                phone = "".join(filter(str.isdigit, row.get("phone") or ""))[-10:]
                name = " ".join((row.get("full_name") or "").split()) or None
                self.records[source, key] = {"full_name": name, "email": email, "phone": phone or None, "city": row.get("city"), "at": at}


def parts(records: dict[Record, Row]) -> Iterable[set[Record]]:
    """Records that share an e-mail or a phone, directly or by way of others."""
    left = set(records)
    while left:
        part, edge = set[Record](), {left.pop()}
        while edge:
            part |= edge
            said = {(kind, records[record][kind]) for record in part for kind in ("email", "phone") if records[record][kind]}
            edge = {record for record in left if any((kind, records[record][kind]) in said for kind in ("email", "phone"))}
            left -= edge
        yield part
