"""graph: one person as a graph of records and the links between them."""

from __future__ import annotations

import html
import itertools
import math
from typing import Any

import attrs

from lakekit.display import Shown
from lakekit.identity.kinds import SEPARATE, Record
from lakekit.identity.members import find_members, named
from lakekit.incremental.record_key import record_key_text
from lakekit.lake import Lake
from lakekit.names import TableName
from lakekit.operations import reading

_SIZE, _MARGIN = 420, 90


@attrs.frozen
class Edge:
    """A link between two records.

    Attributes:
        a: One record.
        b: The other.
        rules: By which they match, each with its score.
    """

    a: Record
    b: Record
    rules: tuple[tuple[str, float], ...]

    @property
    def text(self) -> str:
        """The rules in words."""
        return "; ".join(name if score == 1 else f"{name}: {score:.2f}" for name, score in self.rules)


@attrs.frozen(repr=False)
class Graph(Shown):
    """One person: its records, and which of them match. Printable; in a notebook a drawing. It holds no values of the records.

    Attributes:
        table: The identities.
        master: The person's ``master_user_id``.
        records: Its records.
        edges: The links between them.
    """

    table: str
    master: int
    records: tuple[Record, ...]
    edges: tuple[Edge, ...]

    @property
    def bridges(self) -> tuple[Edge, ...]:
        """The links without which it would be two persons: where to look when two were mixed up."""
        return tuple(edge for edge in self.edges if not self._connected(without=edge))

    def _connected(self, *, without: Edge) -> bool:
        near: dict[Record, set[Record]] = {}
        for edge in self.edges:
            if edge is not without:
                near.setdefault(edge.a, set()).add(edge.b)
                near.setdefault(edge.b, set()).add(edge.a)
        reached, waiting = {without.a}, [without.a]
        for at in waiting:
            new = near.get(at, set()) - reached
            reached |= new
            waiting += sorted(new)
        return without.b in reached

    def __str__(self) -> str:
        bridges = set(self.bridges) if len(self.records) > 2 else set[Edge]()
        head = f"{self.table}: person {self.master}: {len(self.records)} records, {len(self.edges)} links"
        lines = [f"{named(edge.a)} - {named(edge.b)}: {edge.text}{' (a bridge)' if edge in bridges else ''}" for edge in self.edges]
        linked = {record for edge in self.edges for record in (edge.a, edge.b)}
        return "\n".join([head, *lines, *(named(record) for record in self.records if record not in linked)])

    def _repr_html_(self) -> str:
        center = _SIZE / 2
        turn = 2 * math.pi / max(len(self.records), 1)
        places = {
            record: (center + (center - _MARGIN) * math.sin(turn * at), center - (center - _MARGIN) * math.cos(turn * at))
            for at, record in enumerate(self.records)
        }
        parts: list[str] = []
        for edge in self.edges:
            (x1, y1), (x2, y2) = places[edge.a], places[edge.b]
            line = f'<line x1="{x1:.0f}" y1="{y1:.0f}" x2="{x2:.0f}" y2="{y2:.0f}" stroke="#888" stroke-width="2">'
            parts.append(f"{line}<title>{html.escape(edge.text)}</title></line>")
        for record, (x, y) in places.items():
            parts.append(f'<circle cx="{x:.0f}" cy="{y:.0f}" r="7" fill="#47a"/>')
            parts.append(f'<text x="{x:.0f}" y="{y - 12:.0f}" text-anchor="middle" font-size="12">{html.escape(named(record))}</text>')
        drawing = f'<svg width="{_SIZE}" height="{_SIZE}" xmlns="http://www.w3.org/2000/svg">{"".join(parts)}</svg>'
        return f"{drawing}<pre>{html.escape(str(self))}</pre>"


@reading
def graph(lake: Lake, identities: TableName, record: tuple[str, Any]) -> Graph:
    """The person that a record belongs to, as a graph.

    Args:
        lake: Where the table is.
        identities: A table made by `resolve_identities`.
        record: One of its records: its source, and its key (a tuple where it has several columns).

    Raises:
        TableNotFoundError: There is no such table.
        ConfigError: It was not made by `resolve_identities`, or there is no such record.

    >>> import lakekit as lk, tempfile
    >>> from lakekit import identity
    >>> lake = lk.connect(tempfile.mkdtemp())
    >>> people = [{"id": 1, "email": "a", "phone": "1"}, {"id": 2, "email": "a", "phone": "2"}, {"id": 3, "email": "b", "phone": "2"}]
    >>> rules = identity.Rules(match=[identity.exact("email"), identity.exact("phone")])
    >>> batch = lk.from_frame(lake, people, run_id="a")
    >>> _ = lk.resolve_identities({"shop": batch}, record_key={"shop": "id"}, rules=rules, into="silver.identities")
    >>> print(identity.graph(lake, "silver.identities", ("shop", 1)))
    silver.identities: person ...: 3 records, 2 links
    shop 1 - shop 2: exact(email) (a bridge)
    shop 2 - shop 3: exact(phone) (a bridge)
    """
    found = find_members(lake, identities, [(record[0], record_key_text(record[1]))], place="identity.graph()")
    by_number = {number: (row["source"], row["record_key"]) for number, row in found.people.items()}
    edges: list[Edge] = []
    for left, right in itertools.combinations(sorted(by_number), 2):
        rules = tuple((name, score) for name, score in found.links.get((left, right), ()) if name != SEPARATE)
        if rules:
            a, b = sorted((by_number[left], by_number[right]))
            edges.append(Edge(a, b, rules))
    (master,) = found.masters
    return Graph(found.state.label, master, tuple(sorted(by_number.values())), tuple(sorted(edges, key=lambda edge: (edge.a, edge.b))))
