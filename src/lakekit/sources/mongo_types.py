"""What the fields of documents hold, and the Arrow type of each, from all documents of a read.

| MongoDB | Arrow |
| --- | --- |
| int, long | int64 |
| double | float64 |
| decimal | decimal128(38, 18); NaN, infinities, and what has more digits on either side of the point: rescued |
| bool | bool |
| date | timestamp[us, UTC]; it comes in milliseconds. Outside of the years 1 to 9999: rescued |
| string, ObjectId (24 hexadecimal digits), UUID (binary subtype 4) | string |
| binary of another subtype | binary: the bytes; the subtype is not kept |
| document, DBRef | struct |
| array | list |
| regex, JavaScript, timestamp (the internal one), MinKey, MaxKey | string: Extended JSON |
| null, undefined | NULL; with `keep_nulls=True` its path stands in `_rescued_data` too |
| a field that is absent | NULL |

Where documents differ, the type is the least that holds all values: int and double give double; either of them and decimal give decimal;
any other mix gives string, with numbers as their digits, dates in ISO 8601, binary in Base64, all else as Extended JSON in its relaxed form.
An array wins over a document, and a document over everything else. ``_rescued_data`` takes the values that their column can't hold:
``mongo_values`` says which. The outcome depends on the set of values alone, not on their order, but for names that differ in case only:
the first one met is the column.

A column of the table keeps its type, and what ``schema=`` declares counts. Fields are added to structs, at any depth.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import pyarrow as pa
from bson import Binary, DBRef, Decimal128, Int64, ObjectId, Regex
from bson.datetime_ms import DatetimeMS

from lakekit.columns import is_system
from lakekit.errors import SchemaError

INSTANT: Final = pa.timestamp("us", tz="UTC")
DECIMAL: Final = pa.decimal128(38, 18)
MAX_FIELDS: Final = 5_000
_NUMBERS: Final[Mapping[type, pa.DataType]] = {int: pa.int64(), Int64: pa.int64(), float: pa.float64(), Decimal128: DECIMAL}
_SCALARS: Final[Mapping[type, pa.DataType]] = {
    **_NUMBERS,
    bool: pa.bool_(),
    datetime: INSTANT,
    DatetimeMS: INSTANT,
    str: pa.string(),
    ObjectId: pa.string(),
    UUID: pa.string(),
    bytes: pa.binary(),
}
# What a column of another maker is widened to, where such a value is met.
_WIDER: Final[Mapping[pa.DataType, Mapping[type, pa.DataType]]] = {pa.int32(): {Int64: pa.int64()}, pa.float32(): {float: pa.float64()}}
_NAMES: Final[Mapping[type, str]] = {
    kind: kind.__name__
    for kind in (int, Int64, float, Decimal128, bool, datetime, DatetimeMS, str, ObjectId, UUID, bytes, type(None), dict, list)
}
_KINDS: Final[Mapping[str, type]] = {**{name: kind for kind, name in _NAMES.items()}, "binary": Binary, "other": Regex}
"""What other processes call the types; all that become text are alike."""
_NOTHING: Final = frozenset({type(None), dict, list})


class Shape:
    """What was seen at one place of the documents: types of values, fields of documents, elements of arrays.

    Attributes:
        path: Where this is, for errors.
        kinds: The Python types that BSON's are decoded to.
        fields: What the documents here hold, in the order met.
        element: What the arrays here hold. None: no array was met.
    """

    __slots__ = ("_declared", "_made", "element", "fields", "kinds", "path")

    def __init__(self, path: str = "", *, made: Iterator[int] | None = None, declared: Collection[str] = ()) -> None:
        """Begin with nothing seen; fields that are ``declared`` will not be looked into."""
        self.path = path
        self.kinds: set[type] = set()
        self.fields: dict[str, Shape] = {}
        self.element: Shape | None = None
        self._made = itertools.count(1) if made is None else made
        self._declared = declared

    def observe(self, values: Sequence[Any]) -> None:
        """Note what these values are, all levels down.

        Raises:
            SchemaError: There are too many fields: they are data, not names.
        """
        kinds: set[type] = set(map(type, values))
        if DBRef in kinds:
            values = [as_document(value) for value in values]
            kinds = set(map(type, values))
        self.kinds |= kinds
        if dict in kinds:
            documents = values if len(kinds) == 1 else [value for value in values if type(value) is dict]
            for name in dict.fromkeys(itertools.chain.from_iterable(documents)):
                if name not in self.fields:
                    self.fields[name] = self._child(name)
                if name not in self._declared:
                    self.fields[name].observe([document[name] for document in documents if name in document])
        if list in kinds:
            if self.element is None:
                self.element = self._child("[]")
            self.element.observe([element for value in values if type(value) is list for element in value])

    def to_plain(self) -> dict[str, Any]:
        """What was seen as plain data, for another process."""
        return {
            "kinds": sorted(_NAMES.get(kind, "binary" if issubclass(kind, bytes) else "other") for kind in self.kinds),
            "fields": {name: field.to_plain() for name, field in self.fields.items()},
            "element": None if self.element is None else self.element.to_plain(),
        }

    def add(self, seen: Mapping[str, Any]) -> None:
        """Note what another process saw.

        Raises:
            SchemaError: There are too many fields.
        """
        self.kinds |= {_KINDS[name] for name in seen["kinds"]}
        for name, inner in seen["fields"].items():
            if name not in self.fields:
                self.fields[name] = self._child(name)
            self.fields[name].add(inner)
        if seen["element"] is not None:
            if self.element is None:
                self.element = self._child("[]")
            self.element.add(seen["element"])

    def _child(self, name: str) -> Shape:
        if next(self._made) > MAX_FIELDS:
            raise SchemaError(
                f"field {self.path.partition('.')[0]!r}" if self.path else "the documents",
                f"expected at most {MAX_FIELDS:,} fields",
                got="more; the names of some seem to be data",
                hint="declare it in schema= as 'map<string, …>', or as 'string' for its JSON text.",
            )
        return Shape(f"{self.path}.{name}" if self.path else name, made=self._made)


def as_document(value: Any) -> Any:
    """A DBRef as the document it is stored as; anything else as it is."""
    return dict(value.as_doc()) if type(value) is DBRef else value


def is_name(name: str, *, top: bool) -> bool:
    """Whether a field's name can be a column's: valid text, not empty, without dots, and at the top not one that lakekit keeps for itself."""
    return bool(name) and "." not in name and is_text(name) and not (top and is_system(name))


def is_text(value: str) -> bool:
    """Whether a string was UTF-8 in its document: bytes that were not are decoded to lone surrogates."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def schema_of(shape: Shape, *, declared: Mapping[str, pa.DataType], target: pa.Schema | None) -> pa.Schema:
    """The columns for all documents observed: declared types, then the table's, then what was seen."""
    known: dict[str, pa.DataType] = {} if target is None else {field.name: field.type for field in target}
    names = {**dict.fromkeys(name for name in shape.fields if is_name(name, top=True)), **dict.fromkeys(declared)}
    taken = {name.lower(): name for name in (*known, *declared)}
    fields: list[pa.Field[Any]] = []
    for name in names:
        kind = declared.get(name) or type_of(shape.fields[name], known.get(name))
        if kind is not None and taken.setdefault(name.lower(), name) == name:
            fields.append(pa.field(name, kind))
    return pa.schema(fields)


def type_of(shape: Shape, known: pa.DataType | None = None) -> pa.DataType | None:
    """The type for what was seen, or for what is known and was seen. None: only nulls, empty documents and empty arrays were seen."""
    if known is not None:
        wider = next((wide for kind, wide in _WIDER.get(known, {}).items() if kind in shape.kinds), None)
        return wider or _extended(shape, known)
    if shape.element is not None and (element := type_of(shape.element)) is not None:
        return pa.list_(pa.field("element", element))
    if fields := _new_fields(shape, ()):
        return pa.struct(fields)
    return _scalar(shape.kinds - _NOTHING)


def _scalar(kinds: set[type]) -> pa.DataType | None:
    found = {_SCALARS.get(kind, pa.binary() if issubclass(kind, bytes) else pa.string()) for kind in kinds}
    if len(found) < 2:
        return next(iter(found), None)
    if found <= set(_NUMBERS.values()):
        return DECIMAL if DECIMAL in found else pa.float64()
    return pa.string()


def _extended(shape: Shape, known: pa.DataType) -> pa.DataType:
    """The known type, with the fields that structs in it gained."""
    if pa.types.is_list(known) and shape.element is not None:
        return pa.list_(pa.field("element", _extended(shape.element, known.value_type)))
    if pa.types.is_struct(known) and shape.fields:
        unseen = Shape()
        old = [field.with_type(_extended(shape.fields.get(field.name, unseen), field.type)) for field in known]
        return pa.struct([*old, *_new_fields(shape, old)])
    return known


def _new_fields(shape: Shape, old: Iterable[pa.Field[Any]]) -> list[pa.Field[Any]]:
    taken = {field.name.lower() for field in old}
    fields: list[pa.Field[Any]] = []
    for name, child in shape.fields.items():
        if is_name(name, top=False) and name.lower() not in taken and (kind := type_of(child)) is not None:
            taken.add(name.lower())
            fields.append(pa.field(name, kind))
    return fields
