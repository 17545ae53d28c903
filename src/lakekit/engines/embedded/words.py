"""DuckDB's own words: names, literals and types."""

from __future__ import annotations

from pyiceberg.types import DecimalType, IcebergType, ListType, MapType, PrimitiveType, StructType

from lakekit.errors import TableError

_DUCKDB = {
    "boolean": "BOOLEAN",
    "int": "INTEGER",
    "long": "BIGINT",
    "float": "FLOAT",
    "double": "DOUBLE",
    "date": "DATE",
    "time": "TIME",
    "timestamp": "TIMESTAMP",
    "timestamptz": "TIMESTAMP WITH TIME ZONE",
    "string": "VARCHAR",
    "uuid": "UUID",
    "binary": "BLOB",
}


def duckdb_type(kind: IcebergType) -> str:
    """DuckDB's words for an Iceberg type."""
    if isinstance(kind, DecimalType):
        return f"DECIMAL({kind.precision}, {kind.scale})"
    if isinstance(kind, ListType):
        return f"{duckdb_type(kind.element_type)}[]"
    if isinstance(kind, MapType):
        return f"MAP({duckdb_type(kind.key_type)}, {duckdb_type(kind.value_type)})"
    if isinstance(kind, StructType):
        return "STRUCT(" + ", ".join(f"{quote(field.name)} {duckdb_type(field.field_type)}" for field in kind.fields) + ")"
    if isinstance(kind, PrimitiveType) and str(kind) in _DUCKDB:
        return _DUCKDB[str(kind)]
    if str(kind).startswith("fixed"):
        return "BLOB"
    raise TableError("schema", "the embedded engine can't read this type", got=str(kind))


def quote(name: str) -> str:
    """An identifier in DuckDB's quotes."""
    escaped = name.replace('"', '""')
    return f'"{escaped}"'


def text(value: str) -> str:
    """A string literal in DuckDB's quotes."""
    escaped = value.replace("'", "''")
    return f"'{escaped}'"
