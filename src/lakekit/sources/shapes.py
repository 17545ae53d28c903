"""What objects without a schema hold, place by place, and the columns that hold it: what JSON and BSON have in common."""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final

from lakekit.errors import SchemaError

if TYPE_CHECKING:
    from typing import Self

    import pyarrow as pa

MAX_FIELDS: Final = 5_000


class Shape(ABC):
    """What was seen at one place of the objects: kinds of values, fields of objects, elements of arrays.

    Attributes:
        path: Where this is, for errors.
        kinds: What the format calls the values here that are neither objects nor arrays.
        fields: What the objects here hold, in the order met.
        element: What the arrays here hold. None: no array was met.
    """

    __slots__ = ("_declared", "_made", "element", "fields", "kinds", "path")
    OBJECTS: ClassVar[str]
    """What the outermost objects are called, for errors."""
    REMEDY: ClassVar[str]
    """What to do where names are data."""

    def __init__(self, path: str = "", *, made: Iterator[int] | None = None, declared: Collection[str] = ()) -> None:
        """Begin with nothing seen; fields that are ``declared`` will not be looked into."""
        self.path = path
        self.kinds: set[str] = set()
        self.fields: dict[str, Self] = {}
        self.element: Self | None = None
        self._made = itertools.count(1) if made is None else made
        self._declared = declared

    @abstractmethod
    def observe(self, values: Sequence[Any]) -> None:
        """Note what these values are, all levels down.

        Raises:
            SchemaError: There are too many fields: they are data, not names.
        """

    @abstractmethod
    def scalar(self) -> pa.DataType | None:
        """The type for the kinds seen. None: there were none."""

    @staticmethod
    def is_name(name: str) -> bool:
        """Whether a field's name can be a column's."""
        return bool(name) and "." not in name

    def look_into(self, values: Sequence[Any], types: Collection[type]) -> None:
        """Note what the objects and arrays among these values hold; ``types`` are the types that there are."""
        if dict in types:
            objects = values if len(types) == 1 else [value for value in values if type(value) is dict]
            for name in dict.fromkeys(itertools.chain.from_iterable(objects)):
                field = self._field(name)
                if name not in self._declared:
                    field.observe([found[name] for found in objects if name in found])
        if list in types:
            self._elements().observe([element for value in values if type(value) is list for element in value])

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

    def type(self) -> pa.DataType | None:
        """The type for what was seen. None: only nulls, empty objects and empty arrays were."""
        import pyarrow as pa

        if self.element is not None and (element := self.element.type()) is not None:
            return pa.list_(pa.field("element", element))
        if fields := self._new_fields(()):
            return pa.struct(fields)
        return self.scalar()

    def extended(self, known: pa.DataType) -> pa.DataType:
        """A known type, with the fields that structs in it gained."""
        import pyarrow as pa

        if pa.types.is_list(known) and self.element is not None:
            return pa.list_(pa.field("element", self.element.extended(known.value_type)))
        if pa.types.is_struct(known) and self.fields:
            old = [field.with_type(self.fields[field.name].extended(field.type)) if field.name in self.fields else field for field in known]
            return pa.struct([*old, *self._new_fields(old)])
        return known

    def _new_fields(self, old: Iterable[pa.Field[Any]]) -> list[pa.Field[Any]]:
        import pyarrow as pa

        taken = {field.name.lower() for field in old}
        fields: list[pa.Field[Any]] = []
        for name, child in self.fields.items():
            if self.is_name(name) and name.lower() not in taken and (kind := child.type()) is not None:
                taken.add(name.lower())
                fields.append(pa.field(name, kind))
        return fields

    def _field(self, name: str) -> Self:
        if name not in self.fields:
            self.fields[name] = self._child(name)
        return self.fields[name]

    def _elements(self) -> Self:
        if self.element is None:
            self.element = self._child("[]")
        return self.element

    def _child(self, name: str) -> Self:
        if next(self._made) > MAX_FIELDS:
            raise SchemaError(
                f"field {self.path.partition('.')[0]!r}" if self.path else self.OBJECTS,
                f"expected at most {MAX_FIELDS:,} fields",
                got="more; the names of some seem to be data",
                hint=self.REMEDY,
            )
        return type(self)(f"{self.path}.{name}" if self.path else name, made=self._made)


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
