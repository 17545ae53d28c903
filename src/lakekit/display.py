"""How results show themselves: as a table in a notebook and where rich prints, as text everywhere else."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from rich.console import RenderableType


@attrs.frozen
class View:
    """What is shown.

    Attributes:
        title: What stands above; without a table, all there is, line by line.
        head: The names of the columns. Empty: there is no table.
        rows: Their cells.
        notes: Lines that stand below.
    """

    title: str
    head: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    notes: tuple[str, ...] = ()

    def html(self) -> str:
        """As HTML, with every text escaped.

        >>> View("a & b", ("column",), (("<id>",),)).html()
        '<table><caption>a &amp; b</caption><thead><tr><th>column</th></tr></thead><tbody><tr><td>&lt;id&gt;</td></tr></tbody></table>'
        """
        if not self.head:
            return f"<pre>{html.escape(self.title)}</pre>"
        head = "".join(f"<th>{html.escape(name)}</th>" for name in self.head)
        body = "".join(f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in row)}</tr>" for row in self.rows)
        notes = "".join(f"<p>{html.escape(note)}</p>" for note in self.notes)
        caption = f"<caption>{html.escape(self.title)}</caption>" if self.title else ""
        return f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{notes}"

    def rich(self) -> RenderableType:
        """As rich prints it. Texts are taken as they are: brackets in them are no markup."""
        from rich import box
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        if not self.head:
            return Text(self.title)
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for name in self.head:
            table.add_column(Text(name))
        for row in self.rows:
            table.add_row(*map(Text, row))
        return Group(*([Text(self.title)] if self.title else []), table, *map(Text, self.notes))


class Shown:
    """A result that shows itself. What it says as text is its ``__str__``; what it shows as a table, `_view`. Default: the text."""

    __slots__ = ()

    def _view(self) -> View:
        return View(str(self))

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        return self._view().html()

    def __rich__(self) -> RenderableType:
        """What rich prints."""
        return self._view().rich()
