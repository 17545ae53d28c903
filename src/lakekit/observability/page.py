"""HTML of a report: one page that loads nothing, light or dark as the reader has it, for the keyboard, for screen readers and for paper."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Final

STYLE: Final = """
:root{color-scheme:light dark;--line:#d0d7de;--soft:#59636e;--mark:#0b6bcb;--bad:#b42318;--box:#f3f5f7}
@media (prefers-color-scheme:dark){:root{--line:#3d444d;--soft:#9198a1;--mark:#58a6ff;--bad:#ff8b80;--box:#1c2128}}
body{font:15px/1.5 system-ui,sans-serif;max-width:1200px;margin:0 auto;padding:1rem}
h1{font-size:1.5rem}h2{font-size:1.2rem;margin-top:2rem}h3{font-size:1rem}
.soft{color:var(--soft)}.bad{color:var(--bad)}
a{color:var(--mark)}:focus-visible{outline:2px solid var(--mark);outline-offset:2px}
.skip{position:absolute;left:-999px}.skip:focus{left:1rem}
.wide{overflow-x:auto}
table{border-collapse:collapse;margin:.5rem 0}caption{text-align:left;font-weight:600;padding:.25rem 0}
th,td{padding:.25rem .75rem .25rem 0;text-align:left;vertical-align:top;border-bottom:1px solid var(--line);font-weight:400}
thead th{font-weight:600}td.n{text-align:right;font-variant-numeric:tabular-nums}
code{background:var(--box);padding:.1rem .3rem;border-radius:3px;overflow-wrap:anywhere}
details{border-bottom:1px solid var(--line);content-visibility:auto;contain-intrinsic-size:auto 2.5rem}
summary{padding:.5rem 0;cursor:pointer}
input{font:inherit;padding:.25rem .5rem;width:20rem;max-width:100%}
svg text{font:12px system-ui,sans-serif;fill:currentColor}svg rect{fill:var(--box);stroke:var(--line)}
svg .source rect{stroke-dasharray:4 3}svg .problem rect{stroke:var(--bad)}svg .edge{fill:none;stroke:var(--soft);stroke-opacity:.6}
svg .bars{fill:var(--mark)}
@media print{.skip,.filter{display:none}details::details-content{content-visibility:visible;height:auto}a{color:inherit}}
"""
SCRIPT: Final = """
document.getElementById("filter").addEventListener("input",e=>{const w=e.target.value.toLowerCase();let n=0;
for(const x of document.querySelectorAll("[data-table]")){x.hidden=!x.dataset.table.includes(w);n+=x.tagName=="DETAILS"&&!x.hidden}
document.getElementById("shown").textContent=n+" tables shown"});
"""


def table(
    caption: str, head: Sequence[str], rows: Sequence[Sequence[object]], *, numbers: Sequence[str] = (), names: Sequence[str] | None = None
) -> str:
    """A table; the first cell of a row is its heading. Text is escaped, `Html` stands as it is.

    Args:
        caption: What it shows.
        head: The columns.
        rows: Their cells.
        numbers: The columns of numbers.
        names: The table of the lake that each row is about, for the filter.

    >>> table("Runs", ["when", "rows"], [["<now>", 3]], numbers=["rows"]).partition("<tbody>")[2]
    '<tr><th scope="row">&lt;now&gt;</th><td class="n">3</td></tr></tbody></table></div>'
    """
    heads = "".join(f'<th scope="col">{escape(name)}</th>' for name in head)
    marks = [""] * len(rows) if names is None else [f' data-table="{escape(name.lower(), quote=True)}"' for name in names]
    kinds = [' class="n"' if name in numbers else "" for name in head]
    body = "".join(
        f'<tr{mark}><th scope="row">{shown(first)}</th>{"".join(f"<td{kind}>{shown(cell)}</td>" for cell, kind in zip(rest, kinds[1:], strict=True))}</tr>'
        for mark, (first, *rest) in zip(marks, rows, strict=True)
    )
    return (
        f'<div class="wide"><table><caption>{escape(caption)}</caption><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table></div>'
    )


class Html(str):
    """Text that is HTML already."""

    __slots__ = ()


def shown(value: object) -> str:
    """A cell."""
    if isinstance(value, Html):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return "–" if value is None else escape(str(value))


def bars(values: Sequence[int], *, words: str) -> str:
    """A row of bars, one for each value, the last one rightmost: one shape, however many they are.

    >>> bars([], words="nothing")
    ''
    """
    if not values:
        return ""
    most, wide, high = max(*values, 1), 6, 40
    heights = [max(1 if value else 0, round(value * high / most)) for value in values]
    path = "".join(f"M{index * wide} {high}v-{height}h{wide - 1}v{height}z" for index, height in enumerate(heights))
    return (
        f'<svg role="img" viewBox="0 0 {len(values) * wide} {high}" width="{len(values) * wide}" height="{high}">'
        f'<title>{escape(words)}</title><path class="bars" d="{path}"/></svg>'
    )


def details(name: str, summary: str, body: str, *, anchor: str) -> str:
    """A part that opens."""
    return f'<details id="{anchor}" data-table="{escape(name.lower(), quote=True)}"><summary>{summary}</summary>{body}</details>'


def page(title: str, body: str) -> str:
    """The whole page."""
    return (
        f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head>"
        f'<body><a class="skip" href="#tables">Skip to the tables</a><main>{body}</main><script>{SCRIPT}</script></body></html>'
    )
