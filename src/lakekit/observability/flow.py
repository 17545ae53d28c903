"""The flow of rows between tables as a drawing: SVG, from left to right."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from html import escape
from typing import Final

WIDTH: Final = 180
HEIGHT: Final = 28
GAP_X: Final = 45
GAP_Y: Final = 12
_LETTERS: Final = 27


def columns(nodes: Collection[str], edges: Iterable[tuple[str, str]]) -> dict[str, int]:
    """How far to the right each node stands: one further than the furthest of those it consumes. A circle is cut where it was entered.

    >>> columns(["a", "b", "c"], [("a", "b"), ("b", "c"), ("a", "c")])
    {'a': 0, 'b': 1, 'c': 2}
    """
    consumes: dict[str, list[str]] = {node: [] for node in nodes}
    for start, end in edges:
        if start in consumes and end in consumes and start != end:
            consumes[end].append(start)
    found: dict[str, int] = {}
    for node in nodes:
        waiting, under_way = [node], set[str]()
        while waiting:
            at = waiting[-1]
            under_way.add(at)
            if missing := [name for name in consumes[at] if name not in found and name not in under_way]:
                waiting.append(missing[0])
                continue
            found.setdefault(at, max((found[name] + 1 for name in consumes[at] if name in found), default=0))
            waiting.pop()
    return found


def drawing(nodes: Mapping[str, str], edges: Collection[tuple[str, str, str]], *, links: Collection[str]) -> str:
    """The drawing.

    Args:
        nodes: Name to the kind, which is its class in the style sheet.
        edges: From, to, and what is said about it.
        links: The nodes that have a place on the page, ``#t-name``.
    """
    place = columns(nodes, [(start, end) for start, end, _ in edges])
    at: dict[str, tuple[int, int]] = {}
    filled: dict[int, int] = {}
    for node in sorted(nodes, key=lambda name: (place[name], name)):
        row = filled.get(place[node], 0)
        filled[place[node]] = row + 1
        at[node] = (10 + place[node] * (WIDTH + GAP_X), 10 + row * (HEIGHT + GAP_Y))
    width = 20 + max(filled, default=0) * (WIDTH + GAP_X) + WIDTH
    height = 20 + max(filled.values(), default=1) * (HEIGHT + GAP_Y)
    parts = [
        f'<svg role="img" aria-labelledby="flow-title" viewBox="0 0 {width} {height}" width="{width}" style="min-width:{width * 4 // 5}px;max-width:100%">'
    ]
    parts.append(f'<title id="flow-title">{len(nodes)} sources and tables, and {len(edges)} flows of rows between them</title>')
    parts += [_edge(at[start], at[end], words) for start, end, words in edges if start in at and end in at]
    parts += [_node(name, kind, *at[name], linked=name in links) for name, kind in nodes.items()]
    return "".join([*parts, "</svg>"])


def _edge(start: tuple[int, int], end: tuple[int, int], words: str) -> str:
    (x0, y0), (x1, y1) = (start[0] + WIDTH, start[1] + HEIGHT // 2), (end[0], end[1] + HEIGHT // 2)
    bend = max(20, abs(x1 - x0) // 2)
    return f'<path class="edge" d="M{x0} {y0}C{x0 + bend} {y0} {x1 - bend} {y1} {x1} {y1}"><title>{escape(words)}</title></path>'


def _node(name: str, kind: str, x: int, y: int, *, linked: bool) -> str:
    shown = name if len(name) <= _LETTERS else f"{name[: _LETTERS // 2 - 1]}…{name[-_LETTERS // 2 :]}"
    box = (
        f'<g class="node {escape(kind)}"><title>{escape(name)}</title><rect x="{x}" y="{y}" width="{WIDTH}" height="{HEIGHT}" rx="4"/>'
        f'<text x="{x + 8}" y="{y + 18}">{escape(shown)}</text></g>'
    )
    return f'<a href="#{anchor(name)}">{box}</a>' if linked else box


def anchor(table: str) -> str:
    """A table's place on the page.

    >>> anchor("silver.users")
    't-silver.users'
    """
    return "t-" + escape(table, quote=True).replace(" ", "-")
