"""Types: Arrow's as they can be stored in Iceberg v2, and the SQL words for them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.types as pt
from sqlglot import exp
from sqlglot.errors import SqlglotError

from lakekit.errors import SchemaError

_SCALARS: tuple[tuple[Callable[[pa.DataType], bool], pa.DataType, str], ...] = (
    (pt.is_boolean, pa.bool_(), "BOOLEAN"),
    (lambda t: pt.is_int8(t) or pt.is_int16(t) or pt.is_int32(t) or pt.is_uint8(t) or pt.is_uint16(t), pa.int32(), "INT"),
    (lambda t: pt.is_int64(t) or pt.is_uint32(t), pa.int64(), "BIGINT"),
    (pt.is_uint64, pa.decimal128(20, 0), "DECIMAL(20, 0)"),
    (lambda t: pt.is_float16(t) or pt.is_float32(t), pa.float32(), "FLOAT"),
    (pt.is_float64, pa.float64(), "DOUBLE"),
    (lambda t: pt.is_string(t) or pt.is_large_string(t) or pt.is_string_view(t) or pt.is_null(t), pa.string(), "STRING"),
    (lambda t: pt.is_binary(t) or pt.is_large_binary(t) or pt.is_binary_view(t), pa.binary(), "BINARY"),
    (pt.is_date, pa.date32(), "DATE"),
    (pt.is_time, pa.time64("us"), "TIME"),
)


def storable(kind: pa.DataType) -> pa.DataType:
    """The Arrow type under which lakekit stores a value: Iceberg v2 has fewer, and nothing is lost on the way.

    >>> storable(pa.int16()), storable(pa.timestamp("ms", tz="Europe/Berlin"))
    (DataType(int32), TimestampType(timestamp[us, tz=UTC]))

    Raises:
        SchemaError: Iceberg v2 has no type for it.
    """
    for matches, target, _ in _SCALARS:
        if matches(kind):
            return target
    if pt.is_timestamp(kind):
        return pa.timestamp("us", tz="UTC") if kind.tz else pa.timestamp("us")
    if pt.is_decimal(kind) and kind.precision <= 38 and kind.scale >= 0:
        return pa.decimal128(kind.precision, kind.scale)
    if pt.is_dictionary(kind):
        return storable(kind.value_type)
    if pt.is_fixed_size_binary(kind):
        return kind
    if pt.is_list(kind) or pt.is_large_list(kind) or pt.is_fixed_size_list(kind):
        return pa.list_(pa.field("element", storable(kind.value_type)))
    if pt.is_map(kind):
        return pa.map_(storable(kind.key_type), storable(kind.item_type))
    if pt.is_struct(kind):
        return pa.struct([pa.field(field.name, storable(field.type)) for field in kind])
    if isinstance(kind, pa.BaseExtensionType):
        return kind if kind.extension_name == "arrow.uuid" else storable(kind.storage_type)
    raise SchemaError("schema", "Iceberg has no such type", got=str(kind), hint="cast it to text in the query or at the source.")


def storable_schema(schema: pa.Schema) -> pa.Schema:
    """The schema as it is stored: every column optional, no metadata.

    >>> storable_schema(pa.schema([pa.field("id", pa.int8(), nullable=False)]))
    id: int32
    """
    fields: list[pa.Field[Any]] = []
    for field in schema:
        try:
            fields.append(pa.field(field.name, storable(field.type)))
        except SchemaError as error:
            raise SchemaError(f"column {field.name!r}", error.problem, got=error.got, hint=error.hint) from None
    return pa.schema(fields)


def sql_type(kind: pa.DataType) -> str:
    """The SQL words (Spark's) for an Arrow type.

    >>> sql_type(pa.timestamp("us", tz="UTC")), sql_type(pa.list_(pa.int32()))
    ('TIMESTAMP', 'ARRAY<INT>')
    """
    kind = storable(kind)
    for matches, _, words in _SCALARS:
        if matches(kind):
            return words
    if pt.is_timestamp(kind):
        return "TIMESTAMP" if kind.tz else "TIMESTAMP_NTZ"
    if pt.is_decimal(kind):
        return f"DECIMAL({kind.precision}, {kind.scale})"
    if pt.is_list(kind):
        return f"ARRAY<{sql_type(kind.value_type)}>"
    if pt.is_map(kind):
        return f"MAP<{sql_type(kind.key_type)}, {sql_type(kind.item_type)}>"
    if pt.is_struct(kind):
        return "STRUCT<" + ", ".join(f"`{field.name}`: {sql_type(field.type)}" for field in kind) + ">"
    return "UUID" if isinstance(kind, pa.BaseExtensionType) else "BINARY"


def common_type(kinds: Sequence[pa.DataType], *, place: str) -> str:
    """The SQL words for the type that holds the values of all these.

    >>> common_type([pa.int32(), pa.int64()], place="golden()")
    'BIGINT'

    Raises:
        SchemaError: There is none.
    """
    try:
        return sql_type(pa.unify_schemas([pa.schema([("v", kind)]) for kind in kinds], promote_options="permissive").field("v").type)
    except pa.ArrowTypeError:
        shown = " and ".join(dict.fromkeys(sql_type(kind) for kind in kinds))
        raise SchemaError(place, "types don't fit together", got=shown, hint="CAST it in a select() before.") from None


_ARROW: Mapping[exp.DType, pa.DataType] = {
    exp.DType.BOOLEAN: pa.bool_(),
    exp.DType.TINYINT: pa.int32(),
    exp.DType.SMALLINT: pa.int32(),
    exp.DType.INT: pa.int32(),
    exp.DType.BIGINT: pa.int64(),
    exp.DType.FLOAT: pa.float32(),
    exp.DType.DOUBLE: pa.float64(),
    exp.DType.TEXT: pa.string(),
    exp.DType.VARCHAR: pa.string(),
    exp.DType.BINARY: pa.binary(),
    exp.DType.DATE: pa.date32(),
    exp.DType.TIME: pa.time64("us"),
    exp.DType.TIMESTAMP: pa.timestamp("us", tz="UTC"),
    exp.DType.TIMESTAMPTZ: pa.timestamp("us", tz="UTC"),
    exp.DType.TIMESTAMPLTZ: pa.timestamp("us", tz="UTC"),
    exp.DType.TIMESTAMPNTZ: pa.timestamp("us"),
    exp.DType.UUID: pa.uuid(),
}


@functools.lru_cache(maxsize=512)
def arrow_type(words: str, *, place: str = "schema") -> pa.DataType:
    """The Arrow type for SQL words (Spark's).

    >>> arrow_type("decimal(10, 2)"), arrow_type("array<struct<sku: string, quantity: int>>")
    (Decimal128Type(decimal128(10, 2)), ListType(list<element: struct<sku: string, quantity: int32>>))
    """
    try:
        parsed = exp.DataType.build(words, dialect="databricks")
    except SqlglotError:
        raise _unknown(words, place) from None
    return _from_sqlglot(parsed, words, place)


def _from_sqlglot(parsed: exp.DataType, words: str, place: str) -> pa.DataType:
    kind, inner = parsed.this, parsed.expressions
    if kind == exp.DType.DECIMAL:
        precision, scale = [int(part.name) for part in inner] if len(inner) == 2 else [int(inner[0].name) if inner else 10, 0]
        return pa.decimal128(precision, scale)
    if kind == exp.DType.ARRAY:
        return pa.list_(pa.field("element", _from_sqlglot(inner[0], words, place)))
    if kind == exp.DType.MAP:
        return pa.map_(_from_sqlglot(inner[0], words, place), _from_sqlglot(inner[1], words, place))
    if kind == exp.DType.STRUCT:
        return pa.struct([pa.field(part.name, _from_sqlglot(part.args["kind"], words, place)) for part in inner])
    if kind in _ARROW:
        return _ARROW[kind]
    raise _unknown(words, place)


def _unknown(words: str, place: str) -> SchemaError:
    return SchemaError(
        place, "unknown type", got=repr(words), hint="write 'bigint', 'string', 'decimal(10,2)', 'timestamp', 'array<string>' …"
    )


def widens(old: pa.DataType, new: pa.DataType, *, version: int = 2) -> bool:
    """Whether Iceberg lets a column go from the old type to the new one, in a table of this format version.

    >>> widens(pa.int32(), pa.int64()), widens(pa.int64(), pa.int32()), widens(pa.date32(), pa.timestamp("us"), version=3)
    (True, False, True)
    """
    if version >= 3 and pt.is_date(old) and pt.is_timestamp(new) and new.tz is None:
        return True
    if pt.is_int32(old) and pt.is_int64(new):
        return True
    if pt.is_float32(old) and pt.is_float64(new):
        return True
    return pt.is_decimal(old) and pt.is_decimal(new) and old.scale == new.scale and old.precision < new.precision


def ident(name: str) -> str:
    """A column's name, quoted for lakekit's SQL.

    >>> ident("order"), ident("a`b")
    ('`order`', '`a``b`')
    """
    escaped = name.replace("`", "``")
    return f"`{escaped}`"


def dotted(name: str, schema: pa.Schema) -> str:
    """A column in lakekit's SQL, or a field inside of a struct column, which dots lead to. A column of that very name comes first.

    >>> import pyarrow as pa
    >>> schema = pa.schema([("id", pa.int64()), ("home", pa.struct([("zip", pa.string())]))])
    >>> dotted("id", schema), dotted("home.zip", schema), dotted("nowhere", schema)
    ('`id`', '`home`.`zip`', '`nowhere`')
    """
    return ".".join(map(ident, dotted_parts(name, schema)))


def dotted_parts(name: str, schema: pa.Schema) -> tuple[str, ...]:
    """The names that lead to a column, or to a field inside of one; the name itself where there is neither."""
    import pyarrow as pa

    if name not in schema.names:
        first, *rest = name.split(".")
        kind = schema.field(first).type if first in schema.names else None
        for part in rest:
            kind = kind.field(part).type if kind is not None and pa.types.is_struct(kind) and kind.get_field_index(part) >= 0 else None
        if rest and kind is not None:
            return (first, *rest)
    return (name,)
