"""Messages that bear their schema in JSON, as Confluent's converter writes them in Avro: by what it documents, and not by lakekit's reading of it."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Mapping
from typing import Any

import fastavro
from fastavro.types import Schema

from tests.contract.captures import Record
from tests.servers.registry import RegistryServer

SIMPLE = {"int8": "int", "int16": "int", "int32": "int", "int64": "long", "float": "float", "double": "double", "boolean": "boolean"}
SIMPLE |= {"string": "string", "bytes": "bytes"}


class Converter:
    """Registers schemas, and writes messages by them."""

    def __init__(self, registry: RegistryServer, topic: str) -> None:
        self._registry, self._topic = registry, topic
        self._known: dict[str, tuple[int, Schema]] = {}

    def record(self, record: Record) -> Record:
        """The same message in Avro."""
        return {**record, "key": self._bytes(record["key"], "key"), "value": self._bytes(record["value"], "value")}

    def _bytes(self, text: str | None, part: str) -> bytes | None:
        if text is None:
            return None
        found = json.loads(text)
        told = json.dumps(found["schema"])
        if told not in self._known:
            schema = avro(found["schema"], set())
            number = self._registry.register(f"{self._topic}-{part}", schema)
            self._known[told] = number, fastavro.parse_schema(schema)
        number, parsed = self._known[told]
        body = io.BytesIO()
        fastavro.schemaless_writer(body, parsed, value(found["payload"], found["schema"]))
        return b"\x00" + number.to_bytes(4) + body.getvalue()


def avro(schema: Mapping[str, Any], met: set[str]) -> Any:
    """Avro's schema for one of Connect's."""
    made = _avro(schema, met)
    return ["null", made] if schema.get("optional") else made


def _avro(schema: Mapping[str, Any], met: set[str]) -> Any:
    kind, name = schema["type"], schema.get("name")
    if kind == "struct":
        if name in met:
            return name
        met.add(name)
        fields = [
            {"name": field["field"], "type": avro(field, met), **({"default": None} if field.get("optional") else {})}
            for field in schema["fields"]
        ]
        space, _, short = name.rpartition(".")
        return {"type": "record", "name": short, "namespace": space, "fields": fields, "connect.name": name}
    if kind == "array":
        return {"type": "array", "items": avro(schema["items"], met)}
    made: dict[str, Any] = {"type": SIMPLE[kind]}
    if kind in {"int8", "int16"}:
        made["connect.type"] = kind
    if name is not None:
        made |= {"connect.version": schema.get("version", 1), "connect.name": name}
        if schema.get("parameters"):
            made["connect.parameters"] = schema["parameters"]
    if name == "org.apache.kafka.connect.data.Decimal":
        parameters = schema["parameters"]
        made |= {
            "logicalType": "decimal",
            "scale": int(parameters["scale"]),
            "precision": int(parameters.get("connect.decimal.precision", 64)),
        }
    return made if len(made) > 1 else made["type"]


def value(found: Any, schema: Mapping[str, Any]) -> Any:
    """A value in JSON as the converter gets it."""
    if found is None:
        return None
    kind, name = schema["type"], schema.get("name")
    if kind == "struct":
        return {field["field"]: value(found.get(field["field"]), field) for field in schema["fields"]}
    if kind == "array":
        return [value(each, schema["items"]) for each in found]
    if kind == "bytes":
        raw = base64.b64decode(found)
        if name == "org.apache.kafka.connect.data.Decimal":  # fastavro takes the number
            from decimal import Decimal

            return Decimal(int.from_bytes(raw, signed=True)).scaleb(-int(schema["parameters"]["scale"]))
        return raw
    return float(found) if kind in {"float", "double"} else found
