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
import itertools
import operator
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Final

from lakekit.columns import is_system
from lakekit.errors import SchemaError

if TYPE_CHECKING:
    import pyarrow as pa

MAX_FIELDS: Final = 5_000
_EXACT: Final = 2**53  # up to here, a double holds every whole number
_KINDS: Final[Mapping[type, str]] = {bool: "boolean", int: "whole", float: "number", str: "text"}


class Shape:
    """What was seen at one place of the objects.

    Attributes:
        kinds: ``boolean``, ``whole``, ``long`` (a whole number that a double may not hold), ``number``, ``text``.
        fields: What the objects here hold, in the order met.
        element: What the arrays here hold. None: no array was met.
    """

    __slots__ = ("_made", "_path", "element", "fields", "kinds")

    def __init__(self, path: str = "", *, made: Iterator[int] | None = None) -> None:
        """Begin with nothing seen."""
        self.kinds: set[str] = set()
        self.fields: dict[str, Shape] = {}
        self.element: Shape | None = None
        self._path = path
        self._made = itertools.count(1) if made is None else made

    def observe(self, values: Sequence[Any]) -> None:
        """Note what these values are, all levels down.

        Raises:
            SchemaError: There are too many fields: they are data, not names.
        """
        kinds: set[type] = set(map(type, values))
        self.kinds |= {name for kind, name in _KINDS.items() if kind in kinds}
        if int in kinds and "long" not in self.kinds and any(abs(value) > _EXACT for value in values if type(value) is int):
            self.kinds.add("long")
        if dict in kinds:
            objects = values if len(kinds) == 1 else [value for value in values if type(value) is dict]
            for name in dict.fromkeys(itertools.chain.from_iterable(objects)):
                self._field(name).observe([found[name] for found in objects if name in found])
        if list in kinds:
            self._elements().observe([element for value in values if type(value) is list for element in value])

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

    def to_plain(self) -> dict[str, Any]:
        """What was seen as plain data, for another process."""
        return {
            "kinds": sorted(self.kinds),
            "fields": {name: field.to_plain() for name, field in self.fields.items()},
            "element": None if self.element is None else self.element.to_plain(),
        }

    def add(self, seen: Mapping[str, Any]) -> None:
        """Note what another process saw.

        Raises:
            SchemaError: There are too many fields.
        """
        self.kinds |= set(seen["kinds"])
        for name, inner in seen["fields"].items():
            self._field(name).add(inner)
        if seen["element"] is not None:
            self._elements().add(seen["element"])

    def _field(self, name: str) -> Shape:
        if name not in self.fields:
            self.fields[name] = self._child(name)
        return self.fields[name]

    def _elements(self) -> Shape:
        if self.element is None:
            self.element = self._child("[]")
        return self.element

    def _child(self, name: str) -> Shape:
        if next(self._made) > MAX_FIELDS:
            raise SchemaError(
                f"field {self._path.partition('.')[0]!r}" if self._path else "the messages",
                f"expected at most {MAX_FIELDS:,} fields",
                got="more; the names of some seem to be data",
                hint="declare the columns in schema=, this one as 'map<string, …>', or as 'string' for its JSON text.",
            )
        return Shape(f"{self._path}.{name}" if self._path else name, made=self._made)


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
        if not _is_name(name) or is_system(name) or taken.setdefault(name.lower(), name) != name:
            continue
        if (kind := _extended(seen, known[name]) if name in known else _type_of(seen)) is not None:
            fields.append(pa.field(name, kind))
    return pa.schema(fields)


def _type_of(shape: Shape) -> pa.DataType | None:
    """The type for what was seen. None: only nulls, empty objects and empty arrays were."""
    import pyarrow as pa

    if shape.element is not None and (element := _type_of(shape.element)) is not None:
        return pa.list_(pa.field("element", element))
    if fields := _new_fields(shape, ()):
        return pa.struct(fields)
    if not shape.kinds:
        return None
    if shape.kinds <= {"whole", "long"}:
        return pa.int64()
    if shape.kinds <= {"whole", "number"}:
        return pa.float64()
    return pa.bool_() if shape.kinds == {"boolean"} else pa.string()


def _extended(shape: Shape, known: pa.DataType) -> pa.DataType:
    """The known type, with the fields that structs in it gained."""
    import pyarrow as pa

    if pa.types.is_list(known) and shape.element is not None:
        return pa.list_(pa.field("element", _extended(shape.element, known.value_type)))
    if pa.types.is_struct(known) and shape.fields:
        old = [field.with_type(_extended(shape.fields.get(field.name, Shape()), field.type)) for field in known]
        return pa.struct([*old, *_new_fields(shape, old)])
    return known


def _new_fields(shape: Shape, old: Iterable[pa.Field[Any]]) -> list[pa.Field[Any]]:
    import pyarrow as pa

    taken = {field.name.lower() for field in old}
    fields: list[pa.Field[Any]] = []
    for name, child in shape.fields.items():
        if _is_name(name) and name.lower() not in taken and (kind := _type_of(child)) is not None:
            taken.add(name.lower())
            fields.append(pa.field(name, kind))
    return fields


def _is_name(name: str) -> bool:
    return bool(name) and "." not in name


def merged(kind: pa.DataType, known: pa.DataType | None) -> pa.DataType:
    """A type as the table has it, as far as it goes: the fields of a struct in the table's order, with those it has more, and new ones at its end.

    >>> import pyarrow as pa
    >>> merged(pa.struct({"new": pa.int32(), "x": pa.int32()}), pa.struct({"x": pa.int64(), "gone": pa.string()}))
    StructType(struct<x: int64, gone: string, new: int32>)
    """
    import pyarrow as pa

    from lakekit.engines.types import widens

    if known is None:
        return kind
    if pa.types.is_list(kind) and pa.types.is_list(known):
        return pa.list_(pa.field("element", merged(kind.value_type, known.value_type)))
    if pa.types.is_map(kind) and pa.types.is_map(known):
        return pa.map_(kind.key_type, merged(kind.item_type, known.item_type))
    if pa.types.is_struct(kind) and pa.types.is_struct(known):
        new = {field.name: field.type for field in kind}
        old = [field.with_type(merged(new.pop(field.name, field.type), field.type)) for field in known]
        return pa.struct([*old, *(pa.field(name, inner) for name, inner in new.items())])
    return known if widens(kind, known) else kind
