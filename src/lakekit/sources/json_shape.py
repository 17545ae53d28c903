"""What the fields of JSON objects hold, and the column for each, from all objects of a read.

| JSON | column |
| --- | --- |
| whole numbers | BIGINT |
| numbers, some with a fraction or an exponent | DOUBLE; where one of the whole numbers has more digits than that keeps, STRING |
| ``true``, ``false`` | BOOLEAN |
| text | STRING: what looks like a date stays text |
| an object | STRUCT of its fields |
| an array | ARRAY |
| any other mix | STRING: text as it is, all else as its JSON text |
| only ``null``, ``[]``, ``{}`` | none yet: ``[]`` and ``{}`` stand in ``_rescued_data`` |

An array wins over an object, and an object over everything else; a value of another kind stands in ``_rescued_data``. The outcome depends on the
set of values alone, not on their order, but for names that differ in case only: the first one met is the column.

A column of the table keeps its type, and a STRUCT gains fields at its end, at any depth. No column is made of a field whose name is empty, has a
dot, or at the top begins with ``_``: it is rescued.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final

from lakekit.columns import is_system
from lakekit.sources import shapes

if TYPE_CHECKING:
    import pyarrow as pa

_EXACT: Final = 2**53  # up to here, a double holds every whole number
_KINDS: Final[Mapping[type, str]] = {bool: "boolean", int: "whole", float: "number", str: "text"}


class Shape(shapes.Shape):
    """What was seen at one place of the objects.

    Kinds are ``boolean``, ``whole``, ``long`` (a whole number that a double may not hold), ``number``, ``text``.
    """

    __slots__ = ()
    OBJECTS: ClassVar[str] = "the messages"
    REMEDY: ClassVar[str] = "declare the columns in schema=, this one as 'map<string, …>', or as 'string' for its JSON text."

    def observe(self, values: Sequence[Any]) -> None:
        """Note what these values are, all levels down.

        Raises:
            SchemaError: There are too many fields: they are data, not names.
        """
        types: set[type] = set(map(type, values))
        self.kinds |= {name for kind, name in _KINDS.items() if kind in types}
        if int in types and "long" not in self.kinds and any(abs(value) > _EXACT for value in values if type(value) is int):
            self.kinds.add("long")
        self.look_into(values, types)

    def readable(self) -> Any:
        """The type by which msgspec reads those values, and none but those, of which nothing is to be noted."""
        import msgspec

        from lakekit.sources.kafka_values import record

        found: list[Any] = [kind for name, kind in {"boolean": bool, "text": str, "number": float}.items() if name in self.kinds]
        if "long" in self.kinds:
            found.append(int)
        elif self.kinds & {"whole", "number"}:
            found.append(Annotated[int, msgspec.Meta(ge=-_EXACT, le=_EXACT)])
        found.append(record([(name, field.readable()) for name, field in self.fields.items()], strict=True))
        found.append(list[None if self.element is None else self.element.readable()])
        return functools.reduce(operator.or_, found, None)

    def scalar(self) -> pa.DataType | None:
        """The type for the kinds seen. None: there were none."""
        import pyarrow as pa

        if not self.kinds:
            return None
        if self.kinds <= {"whole", "long"}:
            return pa.int64()
        if self.kinds <= {"whole", "number"}:
            return pa.float64()
        return pa.bool_() if self.kinds == {"boolean"} else pa.string()


def schema_of(shape: Shape, *, target: pa.Schema | None) -> pa.Schema:
    """The columns for all objects observed; those of the table that were not seen are left out.

    >>> shape = Shape()
    >>> shape.observe([{"id": 1, "price": 2}, {"id": 2, "price": 2.5, "device": {"os": "x"}, "note": None}])
    >>> schema_of(shape, target=None)
    id: int64
    price: double
    device: struct<os: string>
      child 0, os: string
    """
    import pyarrow as pa

    known: dict[str, pa.DataType] = {} if target is None else {field.name: field.type for field in target}
    taken = {name.lower(): name for name in known}
    fields: list[pa.Field[Any]] = []
    for name, seen in shape.fields.items():
        if not shape.is_name(name) or is_system(name) or taken.setdefault(name.lower(), name) != name:
            continue
        if (kind := seen.extended(known[name]) if name in known else seen.type()) is not None:
            fields.append(pa.field(name, kind))
    return pa.schema(fields)
