"""The documentation's pages and the Python code on them. A comment before a block says what it needs, or which file it is a part of:

<!-- needs: postgres -->            runs against a server: tests/integration/test_pages.py
<!-- from: examples/shop/shop.py -->    stands in that file, which other tests run
"""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import attrs

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"(?:^<!-- (?P<mark>needs|from): (?P<what>[^\n]+) -->\n)?^```python\n(?P<code>.*?)^```$", re.DOTALL | re.MULTILINE)


@attrs.frozen
class Block:
    """A block of Python code: ``needs`` a server, or stands in the file ``source``, or neither."""

    code: str
    needs: str | None = None
    source: str | None = None


def blocks(page: Path) -> list[Block]:
    """The blocks of a page, in order."""
    found = BLOCK.finditer(page.read_text(encoding="utf-8"))
    return [Block(match["code"], *((match["what"] if match["mark"] == mark else None) for mark in ("needs", "from"))) for match in found]


def needs(page: Path) -> set[str]:
    """What the blocks of a page need."""
    return {block.needs for block in blocks(page) if block.needs}


def replaced(code: str, addresses: Mapping[str, str]) -> str:
    """Code with other addresses."""
    for shown, there in addresses.items():
        code = code.replace(shown, there)
    return code


def name(page: Path) -> str:
    """The page's path in the repository."""
    return str(page.relative_to(ROOT))


def run(code: Iterable[str], page: Path, given: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Run blocks one after the other, in one namespace, which comes back."""
    namespace: dict[str, Any] = {"__name__": page.stem, **(given or {})}
    with contextlib.redirect_stdout(io.StringIO()):
        for part in code:
            exec(compile(part, str(page), "exec"), namespace)
    return namespace
