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

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar, Final
from uuid import UUID

import pyarrow as pa
from bson import DBRef, Decimal128, Int64, ObjectId
from bson.datetime_ms import DatetimeMS

from lakekit.columns import is_system
from lakekit.sources import shapes

INSTANT: Final = pa.timestamp("us", tz="UTC")
DECIMAL: Final = pa.decimal128(38, 18)
_NUMBERS: Final[Mapping[str, pa.DataType]] = {"int": pa.int64(), "Int64": pa.int64(), "float": pa.float64(), "Decimal128": DECIMAL}
_SCALARS: Final[Mapping[str, pa.DataType]] = {
    **_NUMBERS,
    "bool": pa.bool_(),
    "datetime": INSTANT,
    "DatetimeMS": INSTANT,
    "str": pa.string(),
    "ObjectId": pa.string(),
    "UUID": pa.string(),
    "binary": pa.binary(),
    "other": pa.string(),
}
_NAMED: Final = frozenset({int, Int64, float, Decimal128, bool, datetime, DatetimeMS, str, ObjectId, UUID})
_NOTHING: Final = frozenset({type(None), dict, list})
# What a column of another maker is widened to, where such a value is met.
_WIDER: Final[Mapping[pa.DataType, Mapping[str, pa.DataType]]] = {pa.int32(): {"Int64": pa.int64()}, pa.float32(): {"float": pa.float64()}}


class Shape(shapes.Shape):
    """What was seen at one place of the documents.

    Kinds are the names of the Python types that BSON's are decoded to, ``binary``, and ``other`` for all that become text.
    """

    __slots__ = ()
    OBJECTS: ClassVar[str] = "the documents"
    REMEDY: ClassVar[str] = "declare it in schema= as 'map<string, …>', or as 'string' for its JSON text."

    def observe(self, values: Sequence[Any]) -> None:
        """Note what these values are, all levels down.

        Raises:
            SchemaError: There are too many fields: they are data, not names.
        """
        types: set[type] = set(map(type, values))
        if DBRef in types:
            values = [as_document(value) for value in values]
            types = set(map(type, values))
        self.kinds |= {_name(kind) for kind in types - _NOTHING}
        self.look_into(values, types)

    def scalar(self) -> pa.DataType | None:
        """The type for the kinds seen. None: there were none."""
        found = {_SCALARS[kind] for kind in self.kinds}
        if len(found) < 2:
            return next(iter(found), None)
        if found <= set(_NUMBERS.values()):
            return DECIMAL if DECIMAL in found else pa.float64()
        return pa.string()

    @staticmethod
    def is_name(name: str) -> bool:
        """Whether a field's name can be a column's: valid text, not empty, without dots."""
        return is_name(name, top=False)


def _name(kind: type) -> str:
    if kind in _NAMED:
        return kind.__name__
    return "binary" if issubclass(kind, bytes) else "other"


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
        kind = declared.get(name) or _type(shape.fields[name], known.get(name))
        if kind is not None and taken.setdefault(name.lower(), name) == name:
            fields.append(pa.field(name, kind))
    return pa.schema(fields)


def _type(shape: Shape, known: pa.DataType | None) -> pa.DataType | None:
    """The type for what is known and was seen."""
    if known is None:
        return shape.type()
    return next((wide for kind, wide in _WIDER.get(known, {}).items() if kind in shape.kinds), None) or shape.extended(known)
