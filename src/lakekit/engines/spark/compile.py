"""What is to be computed, as one SQL statement for Spark: every node is a common table expression."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import attrs

from lakekit.engines import sql
from lakekit.engines.plan import Frame, Function, Node, Query, Scan, Stream
from lakekit.engines.spark import older
from lakekit.engines.spark import scan as scans
from lakekit.engines.types import ident

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame


@attrs.define
class Compiler:
    """Turns nodes into SQL; frames stay frames, and are named in it.

    Attributes:
        take: Gives the frame of a node that Spark holds, or that has to be handed over.
        define: Makes a Python function known, and gives the name it has in SQL.
        read: Gives the frame of a scan that no SQL can say. None: SQL can.
        columns: Gives the columns of a node. None: Spark knows ``* EXCEPT``, so that no one has to ask.
        frames: Name to frame, as ``spark.sql`` takes them.
    """

    take: Callable[[Frame | Stream], DataFrame]
    define: Callable[[str, Function], str]
    read: Callable[[Scan], DataFrame | None]
    columns: Callable[[Node], Sequence[str]] | None = None
    frames: dict[str, DataFrame] = attrs.field(factory=dict)
    _parts: dict[str, str] = attrs.field(factory=dict)
    _known: dict[int, tuple[Node, str]] = attrs.field(factory=dict)
    _names: itertools.count[int] = attrs.field(factory=itertools.count)

    def statement(self, node: Node) -> str:
        """One SELECT with all it needs before it. Frames stand in it as ``{name}``."""
        name = self.relation(node)
        parts = ", ".join(f"{part} AS ({words})" for part, words in self._parts.items())
        text = f"WITH {parts} SELECT * FROM {name}"
        return text if self.frames else text.replace("{{", "{").replace("}}", "}")  # spark.sql formats nothing where no frame is given

    def relation(self, node: Node) -> str:
        """The name of a node's rows; each node is defined once."""
        if id(node) in self._known:
            return self._known[id(node)][1]
        words = self._words(node)
        name = f"lk_n{next(self._names)}"
        self._known[id(node)] = (node, name)
        self._parts[name] = words
        return name

    def _words(self, node: Node) -> str:
        if isinstance(node, Query):
            inputs = {key: self.relation(value) for key, value in node.inputs.items()}
            columns = self.columns
            words = node.sql if columns is None else older.listed(node.sql, lambda name: columns(node.inputs[name]))
            return _braced(self._named(sql.render(words, "spark", inputs), node.functions))
        if isinstance(node, Scan):
            frame = self.read(node)
            return _braced(scans.words(node)) if frame is None else self._framed(frame, node.state.schema)
        return self._framed(self.take(node), node.schema)

    def _framed(self, frame: DataFrame, schema: pa.Schema) -> str:
        name = f"lk_f{len(self.frames)}"
        self.frames[name] = frame
        return f"SELECT {', '.join(map(_braced, map(ident, schema.names)))} FROM {{{name}}}"

    def _named(self, text: str, functions: Mapping[str, Function]) -> str:
        for name, function in functions.items():
            text = re.sub(rf"\b{re.escape(name)}\s*\(", f"{self.define(name, function)}(", text, flags=re.IGNORECASE)
        return text


def _braced(text: str) -> str:
    """Braces as ``spark.sql`` takes them where they don't name a frame."""
    return text.replace("{", "{{").replace("}", "}}")
