"""Avro's types as Arrow's, and decoded values as arrays.

| Avro | column |
| --- | --- |
| boolean, int, long, float, double, string, bytes | BOOLEAN, INT, BIGINT, FLOAT, DOUBLE, STRING, BINARY |
| fixed; enum | BINARY; STRING |
| record, array, map | STRUCT, ARRAY, MAP<STRING, …> |
| decimal | DECIMAL; with more than 38 digits STRING |
| date; time-millis, time-micros; uuid | DATE; TIME; UUID |
| timestamp-millis, timestamp-micros; local-timestamp-… | TIMESTAMP; TIMESTAMP_NTZ |
| another logical type | as the type beneath it |
| a union of null and one type | that type |
| a union of int and long, of float and double, of string and enum, of bytes and fixed | BIGINT, DOUBLE, STRING, BINARY |
| another union | STRUCT of one field for each of its types, by the type's name, of which one is not NULL |
| null | STRING, always NULL |

A record that holds itself has no column and is refused.
"""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final, cast
from uuid import UUID

import attrs
import pyarrow as pa

from lakekit.errors import SchemaError

Schema = Any
"""As fastavro parses it: names of types in full."""
Array = Any

_PLAIN: Final[Mapping[str, tuple[pa.DataType, type]]] = {
    "boolean": (pa.bool_(), bool),
    "int": (pa.int32(), int),
    "long": (pa.int64(), int),
    "float": (pa.float32(), float),
    "double": (pa.float64(), float),
    "string": (pa.string(), str),
    "enum": (pa.string(), str),
    "bytes": (pa.binary(), bytes),
    "fixed": (pa.binary(), bytes),
    "null": (pa.string(), type(None)),
}
_LOGICAL: Final[Mapping[tuple[str, str], tuple[pa.DataType, type]]] = {
    ("int", "date"): (pa.date32(), dt.date),
    ("int", "time-millis"): (pa.time64("us"), dt.time),
    ("long", "time-micros"): (pa.time64("us"), dt.time),
    ("long", "timestamp-millis"): (pa.timestamp("us", tz="UTC"), dt.datetime),
    ("long", "timestamp-micros"): (pa.timestamp("us", tz="UTC"), dt.datetime),
    ("long", "local-timestamp-millis"): (pa.timestamp("us"), dt.datetime),
    ("long", "local-timestamp-micros"): (pa.timestamp("us"), dt.datetime),
    ("string", "uuid"): (pa.uuid(), UUID),
}


@attrs.frozen(eq=False)
class Node:
    """One type of a schema.

    Attributes:
        kind: The column's type.
        python: The Python type of its decoded values.
        array: Makes an array of decoded values, of the kind given: of ``kind``, or of one with more fields.
    """

    kind: pa.DataType
    python: type
    array: Callable[[Sequence[Any], pa.DataType], Array] = pa.array


def node(schema: Schema, named: Mapping[str, Schema], *, path: str, within: tuple[str, ...] = ()) -> Node:
    """The column for a type.

    Raises:
        SchemaError: A record holds itself.
    """
    if isinstance(schema, list):
        return _union(cast("list[Schema]", schema), named, path, within)
    if isinstance(schema, str) and schema in named:
        schema = named[schema]
    if isinstance(schema, str):
        return Node(*_PLAIN[schema])
    name: str = schema["type"]
    if name in {"record", "error"}:
        return _record(schema, named, path, within)
    if name == "array":
        return _list(node(schema["items"], named, path=f"{path}.[]", within=within))
    if name == "map":
        return _map(node(schema["values"], named, path=f"{path}.[]", within=within))
    logical: str = schema.get("logicalType", "")
    if logical == "decimal" and name in {"bytes", "fixed"}:
        precision, scale = schema["precision"], schema.get("scale", 0)
        fits = 0 <= scale <= precision <= 38
        return Node(pa.decimal128(precision, scale), Decimal) if fits else Node(pa.string(), Decimal, _as_text)
    found = _LOGICAL.get((name, logical))
    if found is None:
        return node(name, named, path=path, within=within)
    return Node(*found, _uuids) if found[1] is UUID else Node(*found)


def _record(schema: Schema, named: Mapping[str, Schema], path: str, within: tuple[str, ...]) -> Node:
    if schema["name"] in within:
        raise SchemaError(
            f"field {path.lstrip('.')!r}",
            f"the record {schema['name']} holds itself, and no column has such a type",
            hint="publish it without, or as text.",
        )
    inside = (*within, schema["name"])
    fields = {field["name"]: node(field["type"], named, path=f"{path}.{field['name']}", within=inside) for field in schema["fields"]}

    def array(values: Sequence[Any], kind: pa.DataType) -> Array:
        records = [value[1] if type(value) is tuple else value for value in values]
        return struct(kind, records, fields)

    return Node(pa.struct([pa.field(name, found.kind) for name, found in fields.items()]), dict, array)


def struct(kind: pa.DataType, records: Sequence[dict[str, Any] | None], fields: Mapping[str, Node]) -> Array:
    """Records as a STRUCT, whose kind may have more fields than the records."""
    parts: list[Array] = []
    for field in cast("list[pa.Field[Any]]", list(cast("Any", kind))):
        values = [None if record is None else record.get(field.name) for record in records]
        found = fields.get(field.name)
        parts.append(pa.nulls(len(values), field.type) if found is None else found.array(values, field.type))
    absent = pa.array([record is None for record in records], pa.bool_())
    return pa.StructArray.from_arrays(parts, fields=list(cast("Any", kind)), mask=absent)


def _list(element: Node) -> Node:
    def array(values: Sequence[list[Any] | None], kind: Any) -> Array:
        offsets, inside = _flat(values)
        return pa.ListArray.from_arrays(offsets, element.array(inside, kind.value_type), type=kind)

    return Node(pa.list_(pa.field("element", element.kind)), list, array)


def _map(item: Node) -> Node:
    def array(values: Sequence[dict[str, Any] | None], kind: Any) -> Array:
        offsets, pairs = _flat([None if value is None else list(value.items()) for value in values])
        names, items = [name for name, _ in pairs], [found for _, found in pairs]
        from_arrays = cast("Callable[..., Array]", pa.MapArray.from_arrays)
        return from_arrays(offsets, pa.array(names, pa.string()), item.array(items, kind.item_type), type=kind)

    return Node(pa.map_(pa.string(), item.kind), dict, array)


def _flat(values: Sequence[Sequence[Any] | None]) -> tuple[Array, list[Any]]:
    ends = list(itertools.accumulate((0 if value is None else len(value) for value in values), initial=0))
    offsets = [*(None if value is None else end for value, end in zip(values, ends, strict=False)), ends[-1]]
    return pa.array(offsets, pa.int32()), [item for value in values if value is not None for item in value]


def _union(branches: list[Schema], named: Mapping[str, Schema], path: str, within: tuple[str, ...]) -> Node:
    found: dict[str, Node] = {}
    for branch in branches:
        if branch == "null":
            continue
        name, made = _branch_name(branch, named), node(branch, named, path=path, within=within)
        # int and long, float and double, text and enum, bytes and fixed: one column holds both.
        like = next((known for known, other in found.items() if other.python is made.python and pa.types.is_primitive(made.kind)), None)
        like = like or next((known for known, other in found.items() if other.kind == made.kind and other.python is made.python), None)
        if like is None:
            found[name] = made
        elif made.kind in {pa.int64(), pa.float64()}:
            found[like] = made
    if len(found) < 2:
        return next(iter(found.values()), Node(*_PLAIN["null"]))

    def array(values: Sequence[Any], kind: pa.DataType) -> Array:
        chosen = [None if value is None else {_branch_of(value, found): value} for value in values]
        return struct(kind, chosen, found)

    return Node(pa.struct([pa.field(name, made.kind) for name, made in found.items()]), object, array)


def _branch_name(branch: Schema, named: Mapping[str, Schema]) -> str:
    if isinstance(branch, str):
        branch = named.get(branch, branch)
    if isinstance(branch, str):
        return branch
    return str(branch.get("name", "")).rpartition(".")[2] or branch.get("logicalType") or branch["type"]


def _branch_of(value: Any, branches: Mapping[str, Node]) -> str:
    """The branch that a value is of. A record of a union comes with its name."""
    if type(value) is tuple:
        return str(value[0]).rpartition(".")[2]
    if type(value) is dt.datetime:
        kind = pa.timestamp("us") if value.tzinfo is None else pa.timestamp("us", tz="UTC")
        return next(name for name, made in branches.items() if made.kind == kind)
    maps = type(value) is dict
    return next(name for name, made in branches.items() if made.python is type(value) and pa.types.is_map(made.kind) == maps)


def _as_text(values: Sequence[Decimal | None], kind: pa.DataType) -> Array:
    return pa.array([None if value is None else format(value, "f") for value in values], kind)


def _uuids(values: Sequence[UUID | None], kind: Any) -> Array:
    return pa.ExtensionArray.from_storage(kind, pa.array([None if value is None else value.bytes for value in values], pa.binary(16)))
