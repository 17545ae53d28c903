"""Functions that lakekit's own SQL uses and no engine has: written as ordinary calls, expanded for the engine just before rendering.

| call | what it is |
| --- | --- |
| ``lk_text(value, 'TYPE')`` | the canonical text of one value; never NULL; concatenated texts stay unambiguous |
| ``lk_plain(value, 'TYPE')`` | the same text without its tag, as people read it: ``42``; NULL where the value is NULL |
| ``lk_is_ascii(text)`` | whether a text is of ASCII only |
| ``lk_double(value)`` | the text of a floating-point number by which it is told from others; for digests, not for people |
| ``lk_hash63(text)`` | a number from 0 to 2**63 - 1: the first 8 bytes of the MD5 of the text, without the sign bit |
| ``lk_md5(text)`` | the MD5 of the text, as the engine has it quickest: only for ``lk_first63`` |
| ``lk_first63(digest)`` | what ``lk_hash63`` gives, from such a digest. DuckDB is told its argument eight times: give it a column |
| ``lk_code(value, …)`` | a number for values within one evaluation, by the engine's own hash of 63 bits: quicker, and another one on every engine |
| ``lk_collect(value, position)`` | the values of a group as an array, in order of position (unique within the group) |
| ``lk_to_json(struct)`` | a struct as a JSON object, without the fields that are NULL; NULLs stay in lists |
| ``lk_instant(timestamp)`` | an instant as JSON holds it, to the microsecond: ``2026-01-01 08:15:00.25+00`` |
| ``lk_in_json(struct)`` | the same for a struct in a list, inside what ``lk_to_json`` is given |
| ``lk_from_json(text, 'STRUCT<…>')`` | a JSON object as a struct; NULL for what doesn't fit |
| ``lk_refit(value, 'TYPE', 'TYPE')`` | a nested value of one type as another one: fields are found by name, and NULL where they weren't |
| ``lk_json_text(text, 'name', …)`` | one field of a JSON object as text, or of one inside of it; NULL where it is null or absent |

The text of a value is its family's tag, its length in code points, a colon, and its characters; NULL is ``-``. Families, not types, are
tagged: an INT key that is widened to BIGINT, or a DECIMAL that gets more digits, keeps its hash. UUIDs count as strings, because Spark reads
an Iceberg UUID as a string. The form is public format: surrogate keys depend on it.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from typing import Final, Literal, cast

from sqlglot import exp, parse_one

from lakekit.errors import ConfigError

Family = Literal["i", "s", "d", "t", "n", "D", "b", "x"]

_FAMILIES: Final[Mapping[str, Family]] = {
    "TINYINT": "i", "BYTE": "i", "SMALLINT": "i", "SHORT": "i", "INT": "i", "INTEGER": "i", "BIGINT": "i", "LONG": "i",
    "STRING": "s", "VARCHAR": "s", "CHAR": "s", "UUID": "s",
    "DECIMAL": "d", "DEC": "d", "NUMERIC": "d",
    "TIMESTAMP": "t", "TIMESTAMP_LTZ": "t", "TIMESTAMP_NTZ": "n", "DATE": "D",
    "BOOLEAN": "b", "BINARY": "x",
}  # fmt: skip

# Databricks dialect; {v} is the value. Each gives the same characters on DuckDB and Spark, and canonical_text in gold/keys.py is its twin.
_TEXTS: Final[Mapping[Family, str]] = {
    "i": "CAST({v} AS STRING)",
    "s": "CAST({v} AS STRING)",
    # 1.50 and 1.5000 are one value: the zeros behind the point say only how the column was declared.
    "d": "CASE WHEN CAST({v} AS STRING) LIKE '%.%' THEN REGEXP_REPLACE(CAST({v} AS STRING), '[.]?0+$', '') ELSE CAST({v} AS STRING) END",
    "t": "CAST(UNIX_MICROS({v}) AS STRING)",
    "n": "CAST({v} AS STRING)",
    "D": "CAST({v} AS STRING)",
    "b": "CAST({v} AS STRING)",
    "x": "HEX({v})",
}

PREFIX: Final = "lk_"
"""What the names of all internal functions begin with."""


def _reversed_bytes(value: str) -> str:
    """DuckDB: a UBIGINT with its eight bytes the other way round."""
    for bits, mask in ((8, 0x00FF00FF00FF00FF), (16, 0x0000FFFF0000FFFF), (32, 0x00000000FFFFFFFF)):
        value = f"((({value} & {mask}) << {bits}) | (({value} >> {bits}) & {mask}))"
    return value


# {v} is the first argument, {p} the last.
_TEMPLATES: Final[Mapping[str, Mapping[str, str]]] = {
    "duckdb": {
        "lk_hash63": "CAST(CAST('0x' || SUBSTR(MD5({v}), 1, 16) AS UBIGINT) & 9223372036854775807 AS BIGINT)",
        # To make digits and a number of them takes as long again as the digest. As a number it has its first byte last.
        "lk_md5": "CAST(MD5_NUMBER({v}) & 18446744073709551615 AS UBIGINT)",
        "lk_first63": f"CAST({_reversed_bytes('{v}')} & 9223372036854775807 AS BIGINT)",
        "lk_code": "CAST({v} >> 1 AS BIGINT)",
        "lk_is_ascii": "STRLEN({v}) = LENGTH({v})",
        "lk_collect": "LIST({v} ORDER BY {p} ASC NULLS FIRST)",
        # A merge patch drops what is NULL in objects, but does not look into lists.
        "lk_to_json": "JSON_MERGE_PATCH('{{}}', TO_JSON({v}))",
        "lk_in_json": "JSON_MERGE_PATCH('{{}}', TO_JSON({v}))",
        "lk_instant": "CAST({v} AS VARCHAR)",
    },
    "spark": {
        # To base -10: conv then wraps into the signed range, and the mask takes the sign bit away.
        "lk_hash63": "CAST(CONV(SUBSTRING(MD5({v}), 1, 16), 16, -10) AS BIGINT) & 9223372036854775807",
        "lk_md5": "MD5({v})",
        "lk_first63": "CAST(CONV(SUBSTRING({v}, 1, 16), 16, -10) AS BIGINT) & 9223372036854775807",
        "lk_code": "{v} & 9223372036854775807",
        "lk_is_ascii": "OCTET_LENGTH({v}) = CHAR_LENGTH({v})",
        # Spark's collect_list knows no order; sort pairs instead. Positions are unique, so the values are never compared.
        "lk_collect": "TRANSFORM(ARRAY_SORT(COLLECT_LIST(STRUCT({p} AS p, {v} AS v))), x -> x.v)",
        "lk_to_json": "TO_JSON({v})",
        "lk_in_json": "{v}",
        # The session's time zone is UTC, so the offset that Spark leaves out is known.
        "lk_instant": "CAST({v} AS STRING) || '+00'",
    },
}
# The engines print floats differently, but count alike: whole part, then 52 binary digits behind the point, then 52 more; each step is exact.
# Beyond 2**124 all are one.
_DOUBLE: Final = """CASE WHEN ISNAN({v}) THEN 'nan' WHEN ABS({v}) >= 21267647932558653966460912964485513216D THEN CASE WHEN {v} > 0 THEN 'inf' ELSE '-inf' END
WHEN ABS({v}) >= 4611686018427387904D THEN 'e' || CAST(CAST(FLOOR({v} / 4611686018427387904D) AS BIGINT) AS STRING)
|| '.' || CAST(CAST(FLOOR(({v} / 4611686018427387904D - FLOOR({v} / 4611686018427387904D)) * 4503599627370496D) AS BIGINT) AS STRING)
ELSE CAST(CAST(FLOOR({v}) AS BIGINT) AS STRING) || '.' || CAST(CAST(FLOOR(({v} - FLOOR({v})) * 4503599627370496D) AS BIGINT) AS STRING)
|| '.' || CAST(CAST(FLOOR((({v} - FLOOR({v})) * 4503599627370496D - FLOOR(({v} - FLOOR({v})) * 4503599627370496D)) * 4503599627370496D) AS BIGINT) AS STRING) END"""


def family(type_: str, *, place: str = "lk_text()") -> Family:
    """The family of a Spark type, by which hashes tag its values.

    Raises:
        ConfigError: The type has no text that is the same on all engines (floats, nested types).

    >>> family("INT"), family("bigint"), family("DECIMAL(10,2)")
    ('i', 'i', 'd')
    """
    found = _FAMILIES.get(type_.upper().partition("(")[0].strip())
    if found is None:
        raise ConfigError(
            place,
            "expected an integer, string, decimal, timestamp, date, boolean or binary",
            got=type_,
            hint="such a value can't be hashed alike on every engine: cast the key column to one of these types.",
        )
    return found


def expand(expression: exp.Expr, dialect: str) -> exp.Expr:
    """Replace lakekit's internal functions by what the engine has, and leave everything else as it is.

    Args:
        expression: Parsed with ``read="databricks"``.
        dialect: ``duckdb``, ``spark`` or ``databricks``.

    >>> expand(parse_one("SELECT lk_hash63(lk_text(a, 'DATE'))", read="databricks"), "spark").sql(dialect="spark")[:60]
    "SELECT CAST(CONV(SUBSTRING(MD5(COALESCE('D' || LENGTH(CAST(a"
    """
    engine = "duckdb" if dialect == "duckdb" else "spark"

    def one(node: exp.Expr) -> exp.Expr:
        if not isinstance(node, exp.Anonymous):
            return node
        name = node.name.lower()
        arguments = cast("list[exp.Expr]", node.expressions)
        if name == "lk_text":
            return _text(one_deep(arguments[0]), arguments[1].name, engine)
        if name == "lk_plain":
            return _fill(_TEXTS[family(arguments[1].name)], "databricks", v=one_deep(arguments[0]))
        if name == "lk_double":
            return _fill(_DOUBLE, "databricks", v=exp.cast(one_deep(arguments[0]), exp.DType.DOUBLE))
        if name in _TEMPLATES[engine]:
            arguments = _prepared(name, arguments, engine)
            return _fill(_TEMPLATES[engine][name], engine, v=one_deep(arguments[0]), p=one_deep(arguments[-1]))
        if name == "lk_from_json":
            return exp.Anonymous(this="FROM_JSON", expressions=[one_deep(arguments[0]), _json_schema(arguments[1].name, engine)])
        if name == "lk_refit":
            old, new = (exp.DataType.build(words.name, dialect="databricks") for words in arguments[1:])
            return exp.cast(one_deep(arguments[0]), new) if engine == "duckdb" else _refit(one_deep(arguments[0]), old, new)
        if name == "lk_json_text":
            names = [name.name for name in arguments[1:]]
            path = "$" + "".join(f'."{name}"' if engine == "duckdb" else f"['{name}']" for name in names)
            function = "JSON_EXTRACT_STRING" if engine == "duckdb" else "GET_JSON_OBJECT"
            return exp.Anonymous(this=function, expressions=[one_deep(arguments[0]), exp.Literal.string(path)])
        return node

    def one_deep(node: exp.Expr) -> exp.Expr:
        return node.transform(one)

    return one_deep(expression)


def _refit(value: exp.Expr, old: exp.Expr, new: exp.Expr, depth: int = 0) -> exp.Expr:
    """A cast by name: Spark's own goes by place, and takes no other number of fields."""
    if old == new:
        return value
    if old.is_type("array") and new.is_type("array"):
        item = f"x{depth}"
        inner = _refit(exp.column(item), old.expressions[0], new.expressions[0], depth + 1)
        return _fill(f"TRANSFORM({{v}}, {item} -> {{i}})", "spark", v=value, i=inner)
    if old.is_type("map") and new.is_type("map"):
        key, item = f"k{depth}", f"x{depth}"
        keys = _refit(exp.column(key), old.expressions[0], new.expressions[0], depth + 1)
        values = _refit(exp.column(item), old.expressions[1], new.expressions[1], depth + 1)
        entries = f"TRANSFORM_KEYS(TRANSFORM_VALUES({{v}}, ({key}, {item}) -> {{i}}), ({key}, {item}) -> {{k}})"
        return _fill(entries, "spark", v=value, i=values, k=keys)
    if old.is_type("struct") and new.is_type("struct"):
        known = {field.name: field.args["kind"] for field in old.expressions}
        parts = [
            _refit(exp.Dot(this=value.copy(), expression=exp.to_identifier(name, quoted=True)), known[name], kind, depth)
            if name in known
            else exp.cast(exp.null(), kind)
            for name, kind in ((field.name, field.args["kind"]) for field in new.expressions)
        ]
        named = [part for field, found in zip(new.expressions, parts, strict=True) for part in (exp.Literal.string(field.name), found)]
        return _fill(
            "CASE WHEN {v} IS NULL THEN NULL ELSE {s} END", "spark", v=value, s=exp.Anonymous(this="NAMED_STRUCT", expressions=named)
        )
    return exp.cast(value, cast("exp.DataType", new))


def _json_schema(struct: str, engine: str) -> exp.Expr:
    """What FROM_JSON is told about the object: Spark takes the type's words, DuckDB JSON with its own words."""
    if engine == "spark":
        return exp.Literal.string(struct)
    fields = cast("list[exp.ColumnDef]", exp.DataType.build(struct, dialect="databricks").expressions)
    return exp.Literal.string(json.dumps({field.name: field.args["kind"].sql(dialect="duckdb") for field in fields}))


def _prepared(name: str, arguments: list[exp.Expr], engine: str) -> list[exp.Expr]:
    """The arguments as a template takes them."""
    if name == "lk_code":  # any number of them
        return [exp.Anonymous(this="HASH" if engine == "duckdb" else "XXHASH64", expressions=arguments)]
    if name in {"lk_hash63", "lk_md5"} and engine == "duckdb":
        return [_in_one(arguments[0])]
    return arguments


def _in_one(text: exp.Expr) -> exp.Expr:
    """DuckDB: texts that are never NULL, put together at once. With each ``||`` there would be a copy of what comes before it."""
    parts = list(text.flatten()) if isinstance(text, exp.DPipe) else []
    never_null = all(part.is_string or (isinstance(part, exp.Anonymous) and part.name.lower() == "lk_text") for part in parts)
    return exp.Anonymous(this="CONCAT", expressions=parts) if parts and never_null else text


def _text(value: exp.Expr, type_: str, engine: str) -> exp.Expr:
    kind = family(type_)
    text = _fill(_TEXTS[kind], "databricks", v=value)
    if engine == "duckdb":
        parts = exp.Anonymous(this="CONCAT", expressions=[exp.Literal.string(kind), exp.Length(this=text), exp.Literal.string(":"), text])
        return _fill("CASE WHEN {v} IS NULL THEN '-' ELSE {t} END", "duckdb", v=text, t=parts)
    return _fill(f"COALESCE('{kind}' || LENGTH({{v}}) || ':' || {{v}}, '-')", "databricks", v=text)


def _fill(template: str, read: str, **values: exp.Expr) -> exp.Expr:
    """Parse a template and put expressions in the place of its names."""
    tree = _parsed(template.format(**{name: f"lk_hole_{name}" for name in values}), read)

    def fill(node: exp.Expr) -> exp.Expr:
        if isinstance(node, exp.Column) and node.name.startswith("lk_hole_"):
            return values[node.name.removeprefix("lk_hole_")].copy()
        return node

    return tree.transform(fill)


@functools.lru_cache(maxsize=1024)
def _parsed(text: str, read: str) -> exp.Expr:
    """A template as a tree, which nobody changes: parsing costs more than all else that is done with one."""
    return parse_one(text, read=read)
