"""Words for Spark: names, values and types."""

from __future__ import annotations

import datetime as dt
import decimal
from typing import TYPE_CHECKING, Any, cast

import pyarrow as pa

from lakekit.engines.types import arrow_type, ident, sql_type, storable
from lakekit.errors import SchemaError

if TYPE_CHECKING:
    from pyspark.sql.types import DataType, StructType


def text(value: str) -> str:
    r"""A string literal.

    >>> text("it's")
    "'it\\'s'"
    """
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def value(given: object) -> str | None:
    """A literal for a bound, or None where rows can't be told by it.

    >>> value(7), value("x"), value(dt.date(2026, 1, 2)), value(1.5)
    ('7', "'x'", "DATE '2026-01-02'", None)
    """
    if isinstance(given, bool):
        return None
    if isinstance(given, int):
        return str(given)
    if isinstance(given, str):
        return text(given)
    if isinstance(given, decimal.Decimal):
        return f"{given:f}BD"
    if isinstance(given, dt.datetime):
        words = "TIMESTAMP_NTZ" if given.tzinfo is None else "TIMESTAMP"
        return f"CAST({text(given.isoformat())} AS {words})"
    if isinstance(given, dt.date):
        return f"DATE {text(given.isoformat())}"
    return None


def refuse_time(schema: pa.Schema, *, place: str) -> None:
    """Raise where a column has a type that Iceberg has and Spark has not.

    Raises:
        SchemaError: It has.
    """
    for field in schema:
        if pa.types.is_time(field.type):
            raise SchemaError(
                f"{place}: column {field.name!r}",
                "Spark can't read or write Iceberg's time of day",
                got="TIME",
                hint="cast it to text at the source, or in a select().",
            )


def readable(kind: pa.DataType) -> pa.DataType:
    """An Arrow type as Spark gives it: a UUID is text there, and bytes have any length."""
    if isinstance(kind, pa.BaseExtensionType):
        return pa.string()
    if pa.types.is_fixed_size_binary(kind):
        return pa.binary()
    if pa.types.is_list(kind):
        return pa.list_(pa.field("element", readable(kind.value_type)))
    if pa.types.is_map(kind):
        return pa.map_(readable(kind.key_type), readable(kind.item_type))
    if pa.types.is_struct(kind):
        return pa.struct([pa.field(field.name, readable(field.type)) for field in cast("Any", kind)])
    return kind


def readable_schema(schema: pa.Schema) -> pa.Schema:
    """A schema as Spark gives it."""
    return pa.schema([pa.field(field.name, readable(field.type)) for field in schema])


def spark_type(kind: pa.DataType) -> DataType:
    """Spark's type for an Arrow one. Not parsed from words: that takes a session, which pyspark looks for in the wrong place on Connect."""
    from pyspark.sql import types

    kind = readable(storable(kind))
    if pa.types.is_timestamp(kind):
        return types.TimestampType() if kind.tz else types.TimestampNTZType()
    if pa.types.is_decimal(kind):
        return types.DecimalType(kind.precision, kind.scale)
    if pa.types.is_list(kind):
        return types.ArrayType(spark_type(kind.value_type))
    if pa.types.is_map(kind):
        return types.MapType(spark_type(kind.key_type), spark_type(kind.item_type))
    if pa.types.is_struct(kind):
        return types.StructType([types.StructField(field.name, spark_type(field.type)) for field in cast("Any", kind)])
    scalars: dict[pa.DataType, DataType] = {
        pa.bool_(): types.BooleanType(),
        pa.int32(): types.IntegerType(),
        pa.int64(): types.LongType(),
        pa.float32(): types.FloatType(),
        pa.float64(): types.DoubleType(),
        pa.string(): types.StringType(),
        pa.binary(): types.BinaryType(),
        pa.date32(): types.DateType(),
    }
    return scalars[kind]


def spark_schema(schema: pa.Schema) -> StructType:
    """Spark's schema for an Arrow one."""
    from pyspark.sql.types import StructField, StructType

    return StructType([StructField(field.name, spark_type(field.type)) for field in schema])


def columns(schema: pa.Schema) -> str:
    """Columns as a CREATE TABLE lists them.

    >>> columns(pa.schema([("id", pa.int64())]))
    '`id` BIGINT'
    """
    return ", ".join(f"{ident(field.name)} {sql_type(readable(field.type))}" for field in schema)


def arrow_schema(schema: StructType) -> pa.Schema:
    """The Arrow schema of what Spark gives."""
    return pa.schema([pa.field(field.name, readable(arrow_type(_words(field.dataType)))) for field in schema.fields])


def _words(kind: DataType) -> str:
    """The SQL words for a Spark type, without what only some sessions know: NOT NULL, comments, collations, VOID."""
    from pyspark.sql import types

    if isinstance(kind, types.ArrayType):
        return f"ARRAY<{_words(kind.elementType)}>"
    if isinstance(kind, types.MapType):
        return f"MAP<{_words(kind.keyType)}, {_words(kind.valueType)}>"
    if isinstance(kind, types.StructType):
        return "STRUCT<" + ", ".join(f"{ident(field.name)}: {_words(field.dataType)}" for field in kind.fields) + ">"
    if isinstance(kind, types.NullType | types.StringType | types.VarcharType | types.CharType):
        return "STRING"
    return kind.simpleString().upper()
