"""Schemas of files: made of types that Iceberg holds, united over files, and batches brought into them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, cast

from lakekit.errors import SchemaError

if TYPE_CHECKING:
    import pyarrow as pa


def plain(kind: pa.DataType) -> pa.DataType:
    """The type that holds the same values, and that Iceberg has: 32 or 64 signed bits, microseconds, no dictionaries.

    >>> import pyarrow as pa
    >>> plain(pa.uint16()), plain(pa.timestamp("ms")), plain(pa.dictionary(pa.int8(), pa.string()))
    (DataType(int32), TimestampType(timestamp[us]), DataType(string))
    """
    import pyarrow as pa

    types: Any = pa.types
    arrow: Any = kind
    simple: dict[pa.DataType, pa.DataType] = {
        pa.int8(): pa.int32(),
        pa.int16(): pa.int32(),
        pa.uint8(): pa.int32(),
        pa.uint16(): pa.int32(),
        pa.uint32(): pa.int64(),
        pa.uint64(): pa.decimal128(20, 0),
        pa.float16(): pa.float32(),
        pa.date64(): pa.date32(),
        pa.large_string(): pa.string(),
        pa.string_view(): pa.string(),
        pa.large_binary(): pa.binary(),
        pa.binary_view(): pa.binary(),
    }
    if kind in simple:
        return simple[kind]
    if isinstance(kind, pa.BaseExtensionType):
        return pa.string() if kind.extension_name == "arrow.uuid" else plain(arrow.storage_type)
    if types.is_dictionary(kind):
        return plain(arrow.value_type)
    if types.is_timestamp(kind):
        return pa.timestamp("us", tz="UTC") if arrow.tz else pa.timestamp("us")
    if types.is_time(kind):
        return pa.time64("us")
    if types.is_decimal(kind) and arrow.precision <= 38:
        return pa.decimal128(arrow.precision, arrow.scale)
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        return pa.list_(plain(arrow.value_type))
    if types.is_struct(kind):
        return pa.struct([pa.field(arrow.field(i).name, plain(arrow.field(i).type)) for i in range(arrow.num_fields)])
    if types.is_map(kind):
        return pa.map_(plain(arrow.key_type), plain(arrow.item_type))
    return kind


def unite(schemas: Mapping[str, pa.Schema], *, given: pa.Schema | None, place: str) -> pa.Schema:
    """One schema for all files: columns by name in the order they are met, ``given`` types first.

    Raises:
        SchemaError: Two files have types for one column that no type holds both of.
    """
    import pyarrow as pa

    kinds: dict[str, pa.DataType] = {} if given is None else {field.name: field.type for field in given}
    fixed, origin = frozenset(kinds), dict.fromkeys(kinds, "schema=")
    for name, schema in schemas.items():
        if len(set(schema.names)) < len(schema.names):
            twice = next(column for column in schema.names if schema.names.count(column) > 1)
            raise SchemaError(f"{place}, file {name!r}", "has two columns of one name", got=repr(twice))
        for field in schema:
            if field.name in fixed:
                continue
            known = kinds.get(field.name, pa.null())
            kind = wider(known, plain(field.type))
            if kind is None:
                raise SchemaError(
                    f"{place}, column {field.name!r}",
                    "has types that do not go together",
                    got=f"{known} in {origin[field.name]!r}, {field.type} in {name!r}",
                    hint="give schema= the type it should have.",
                )
            if kind != known or field.name not in origin:
                origin[field.name] = name
            kinds[field.name] = kind
    fields: list[Any] = [pa.field(name, kind) for name, kind in kinds.items() if not pa.types.is_null(kind)]
    return pa.schema(fields)


def wider(one: pa.DataType, other: pa.DataType) -> pa.DataType | None:
    """The type that holds the values of both, or None.

    >>> import pyarrow as pa
    >>> wider(pa.int32(), pa.int64()), wider(pa.int64(), pa.decimal128(10, 2)), wider(pa.int64(), pa.string())
    (DataType(int64), Decimal128Type(decimal128(21, 2)), None)
    """
    import pyarrow as pa

    types: Any = pa.types
    if one == other:
        return one
    for integer, decimal in ((one, other), (other, one)):
        if types.is_integer(integer) and types.is_decimal(decimal):  # pyarrow gives one digit too few
            kind = cast("Any", decimal)
            digits = max(kind.precision - kind.scale, 10 if integer == pa.int32() else 19)
            return pa.decimal128(digits + kind.scale, kind.scale) if digits + kind.scale <= 38 else None
    pair = {cast("Any", kind).id for kind in (one, other)}
    if pair == {pa.string().id, pa.binary().id}:  # bytes are no text
        return None
    try:
        united = pa.unify_schemas([pa.schema({"x": one}), pa.schema({"x": other})], promote_options="permissive")
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        return None
    return united.field(0).type


def with_columns(schema: pa.Schema, more: Mapping[str, Literal["string", "instant"]]) -> pa.Schema:
    """The schema with columns added: texts and UTC instants."""
    import pyarrow as pa

    types: dict[str, pa.DataType] = {"string": pa.string(), "instant": pa.timestamp("us", tz="UTC")}
    fields: list[Any] = [*schema, *(pa.field(name, types[kind]) for name, kind in more.items())]
    return pa.schema(fields)


def take(schema: pa.Schema, indices: Sequence[int]) -> pa.Schema:
    """Some of the columns."""
    import pyarrow as pa

    return pa.schema([schema.field(index) for index in indices])


def conform(batch: pa.RecordBatch, schema: pa.Schema, *, place: str) -> list[pa.Array[Any]]:
    """The batch's columns as the schema has them; NULL where it lacks one.

    Raises:
        SchemaError: A value does not fit its type.
    """
    import pyarrow as pa

    arrays: list[pa.Array[Any]] = []
    for field in schema:
        index = batch.schema.get_field_index(field.name)
        array: Any = pa.nulls(batch.num_rows, field.type) if index < 0 else batch.column(index)
        problem = ""
        try:
            array = array if array.type == field.type else cast_array(array, field.type)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            problem = f"holds a value of {array.type} that {field.type} cannot hold"
        if problem:  # outside of the handler: Arrow's own text holds the value
            raise SchemaError(f"{place}, column {field.name!r}", problem, hint="give schema= a type that holds it.")
        arrays.append(array)
    return arrays


def cast_array(array: Any, kind: pa.DataType) -> Any:
    """The array as another type, losing nothing."""
    import pyarrow as pa

    if array.type == pa.uuid():
        values = [None if value is None else str(value) for value in array.to_pylist()]
        array = pa.array(values, pa.string())
    elif isinstance(array.type, pa.BaseExtensionType):
        array = array.storage
    return array.cast(kind)
