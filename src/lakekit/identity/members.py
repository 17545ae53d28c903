"""The persons that some records belong to: their records, and the links between them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from lakekit import columns as system
from lakekit.engines.plan import Node, Query, Scan, TableState
from lakekit.engines.protocol import Session
from lakekit.engines.sql import literal
from lakekit.errors import ConfigError
from lakekit.identity.kinds import Record
from lakekit.identity.rules import Rules, stored_rules
from lakekit.identity.tables import LINKS, PROPERTY, RECORD, RECORDS
from lakekit.lake import Lake
from lakekit.names import TableName

Links = Mapping[tuple[int, int], Sequence[tuple[str, float]]]
"""Pair of records to the rules by which they match, each with its score."""


def named(record: Record) -> str:
    """A record as people read it."""
    return f"{record[0]} {record[1]}"


@attrs.frozen(eq=False)
class Members:
    """The persons that some records belong to.

    Attributes:
        state: The identities.
        rules: The rules they were resolved by.
        assigned: The records' rows in the identities.
        people: All records of these persons, by their number.
        links: The living links among those: pair to rules and scores.
    """

    state: TableState
    rules: Rules
    assigned: Mapping[Record, Mapping[str, Any]]
    people: Mapping[int, Mapping[str, Any]]
    links: Links

    @property
    def masters(self) -> list[int]:
        """The persons' ids."""
        return sorted({row["master_user_id"] for row in self.assigned.values()})


def find_members(lake: Lake, identities: TableName, records: Sequence[Record], *, place: str) -> Members:
    """The persons that some records belong to.

    Raises:
        TableNotFoundError: There is no such table.
        ConfigError: It was not made by `resolve_identities`, or there is no such record.
    """
    state = lake.load(identities, place=place)
    if PROPERTY not in state.properties:
        raise ConfigError(f"{place}: {state.label}", "holds no identities", hint="make it with resolve_identities().")
    rules = stored_rules(state.properties[PROPERTY])
    stored, linked = (lake.engine.load(layout.name(state.name)) for layout in (RECORDS, LINKS))
    with lake.engine.session() as session:
        assigned = {record: _assigned(session, state, record, place) for record in records}
        found = Members(state, rules, assigned, {}, {})
        people = _members(session, state, stored, found.masters, rules)
        return attrs.evolve(found, people=people, links=_links(session, linked, people))


def rows_of(session: Session, sql: str, **inputs: Node) -> list[dict[str, Any]]:
    """The rows of a small query."""
    return [row for batch in session.rows(Query(sql, inputs)) for row in batch.to_pylist()]


def _assigned(session: Session, state: TableState, record: Record, place: str) -> dict[str, Any]:
    source, key = record
    found = rows_of(
        session,
        f"SELECT master_user_id, `{system.DELETED_AT}` FROM identities "
        f"WHERE kind = '{RECORD}' AND source = {literal(source)} AND record_key = {literal(key)}",
        identities=Scan(state, state.head),
    )
    if not found:
        raise ConfigError(
            f"{place}: {state.label}", f"there is no record of source {source!r} with this key", hint="give it as (source, key)."
        )
    return found[0]


def _members(session: Session, state: TableState, records: TableState, masters: Sequence[int], rules: Rules) -> dict[int, dict[str, Any]]:
    """The living records of some persons, by their number."""
    columns = ", ".join(f"r.`{name}`" for name in rules.columns)
    found = rows_of(
        session,
        f"SELECT r.record_id, r.source, r.record_key, {columns} FROM records r JOIN identities i ON i.source = r.source AND i.record_key = r.record_key "
        f"WHERE i.kind = '{RECORD}' AND i.`{system.DELETED_AT}` IS NULL AND i.master_user_id IN ({', '.join(map(str, masters))})",
        records=Scan(records, records.head),
        identities=Scan(state, state.head),
    )
    return {row["record_id"]: row for row in found}


def _links(session: Session, links: TableState, people: Mapping[int, Any]) -> Links:
    """The living links among some records: pair to rules and scores."""
    ids = ", ".join(map(str, people)) or "NULL"
    found = rows_of(
        session,
        f"SELECT left_id, right_id, rule, score FROM links WHERE `{system.DELETED_AT}` IS NULL AND left_id IN ({ids}) AND right_id IN ({ids}) ORDER BY rule",
        links=Scan(links, links.head),
    )
    pairs: dict[tuple[int, int], list[tuple[str, float]]] = {}
    for row in found:
        pairs.setdefault((row["left_id"], row["right_id"]), []).append((row["rule"], row["score"]))
    return pairs
