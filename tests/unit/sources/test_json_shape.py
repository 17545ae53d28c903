"""Columns for JSON objects: the same whatever order and batches the objects come in, and each value is in its column or rescued."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from lakekit.engines.types import sql_type
from lakekit.sources.json_shape import Shape, schema_of
from lakekit.sources.kafka_formats import Observer
from lakekit.sources.kafka_json import JsonDecoder
from lakekit.sources.kafka_values import Clock

SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=3)
)
NAMES = st.sampled_from(["a", "b", "c", "d", "_own", "x.y"])
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3), max_leaves=6)
OBJECTS = st.lists(st.dictionaries(NAMES, VALUES, max_size=4), max_size=6)


def shaped(*batches: list[dict[str, Any]]) -> Shape:
    shape = Shape()
    for batch in batches:
        shape.observe(batch)
    return shape


def types(schema: pa.Schema) -> dict[str, Any]:
    """The columns without their order."""

    def plain(kind: Any) -> Any:
        if pa.types.is_struct(kind):
            return {field.name: plain(field.type) for field in kind}
        return [plain(kind.value_type)] if pa.types.is_list(kind) else sql_type(kind)

    return {field.name: plain(field.type) for field in schema}


@given(OBJECTS, st.randoms())
def test_order_batches_and_processes_change_nothing(objects: list[dict[str, Any]], draw: Any) -> None:
    whole = types(schema_of(shaped(objects), target=None))
    shuffled = draw.sample(objects, len(objects))
    cut = draw.randint(0, len(objects))
    assert types(schema_of(shaped(shuffled[:cut], shuffled[cut:]), target=None)) == whole
    gathered = Shape()
    for part in (shuffled[:cut], shuffled[cut:]):
        gathered.add(json.loads(json.dumps(shaped(part).to_plain())))
    assert types(schema_of(gathered, target=None)) == whole


@given(OBJECTS, OBJECTS)
def test_each_value_is_in_its_column_or_rescued_and_the_table_s_types_stay(first: list[dict[str, Any]], more: list[dict[str, Any]]) -> None:
    known = schema_of(shaped(first), target=None)
    schema = schema_of(shaped(more), target=known)
    decoded = JsonDecoder(schema, Clock(), nulls=False).decode([json.dumps(found).encode() for found in more])
    assert decoded.reasons == {}
    columns = dict(zip(schema.names, (column.to_pylist() for column in decoded.columns), strict=True))
    for row, found in enumerate(more):
        rescued = json.loads(decoded.rescued.get(row, "{}"))
        assert {name: found[name] for name in rescued} == rescued
        for name, value in found.items():
            if value is not None and name not in rescued:
                assert columns[name][row] is not None or value == "null"
    for field in known:
        if field.name in schema.names and not (pa.types.is_struct(field.type) or pa.types.is_list(field.type)):
            assert schema.field(field.name).type == field.type


@given(st.lists(OBJECTS, max_size=4))
def test_messages_like_earlier_ones_hold_nothing_that_is_not_noted(batches: list[list[dict[str, Any]]]) -> None:
    seen = Observer()
    for objects in batches:
        seen.observe([b"[1]", None, b"{", *(json.dumps(found).encode() for found in objects)])
    assert types(schema_of(seen.shape, target=None)) == types(schema_of(shaped(*batches), target=None))


def test_a_message_like_an_earlier_one_is_told_by_one_read() -> None:
    seen = Observer()
    objects = [{"a": 1, "b": {"c": [{"d": "x"}]}, "e": {}, "f": [], "g": None, "h": 1.5}, {"a": True, "g": [[1]], "i": 2**60}]
    messages = [json.dumps(found).encode() for found in objects]
    seen.observe(messages)
    assert [seen._unlike(message) for message in messages] == [None, None]
    for unlike in ({"a": "x"}, {"b": {"c": [{"d": 1}]}}, {"h": 2**60}, {"new": 1}, {"e": {"new": 1}}, {"f": [1]}):
        assert seen._unlike(json.dumps(unlike).encode()) == unlike


def test_a_column_for_each_kind_of_value() -> None:
    kinds = {
        "1, 2": "BIGINT",
        "1, 2.0": "DOUBLE",
        "9007199254740993, 2.0": "STRING",
        "true, null": "BOOLEAN",
        '"a", "2026-01-01"': "STRING",
        '1, "a"': "STRING",
        "true, 1": "STRING",
        '{"a": 1}, {"b": "x"}, 5': "STRUCT<`a`: BIGINT, `b`: STRING>",
        '[1], [2.5], {"a": 1}': "ARRAY<DOUBLE>",
        "[[1], [null]], [], null": "ARRAY<ARRAY<BIGINT>>",
    }
    for values, words in kinds.items():
        schema = schema_of(shaped([{"v": value} for value in json.loads(f"[{values}]")]), target=None)
        assert sql_type(schema.field("v").type) == words
    assert schema_of(shaped([{"a": None, "b": [], "c": {}, "d": [{}], "e": [[]]}]), target=None).names == []


def test_fields_come_at_the_end_of_structs_that_the_table_has() -> None:
    inner = pa.struct([("y", pa.int32()), ("x", pa.struct([("p", pa.string())]))])
    target = pa.schema([("o", inner), ("list", pa.list_(inner)), ("m", pa.map_(pa.string(), pa.int64()))])
    seen = {"new": 1, "x": {"q": 1, "p": "s"}, "y": 2}
    schema = schema_of(shaped([{"o": seen, "list": [seen], "m": seen}]), target=target)
    words = "STRUCT<`y`: INT, `x`: STRUCT<`p`: STRING, `q`: BIGINT>, `new`: BIGINT>"
    assert [sql_type(kind) for kind in schema.types] == [words, f"ARRAY<{words}>", "MAP<STRING, BIGINT>"]
