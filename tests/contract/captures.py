"""Captured messages of Debezium (``--fixtures DIR``, by default ``tests/fixtures``) as sources: as they are, cut and interleaved anyhow."""

from __future__ import annotations

import json
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
import pyarrow as pa
import pytest

from lakekit import sources
from lakekit.sources import kafka_formats, kafka_read
from lakekit.sources.debezium import Debezium
from lakekit.sources.protocol import Details, Increment, Target

Record = Mapping[str, Any]


def parametrize(metafunc: pytest.Metafunc, *, schemas: bool) -> None:
    """Run a test that asks for ``capture`` on each captured connector; with ``schemas``, on those whose messages bear them."""
    found = [capture for capture in captured(metafunc.config.getoption("--fixtures")) if capture.has_schemas or not schemas]
    metafunc.parametrize("capture", found, ids=[capture.name for capture in found])


def captured(fixtures: Path) -> list[Capture]:
    """The connectors of which there are messages."""
    folder = fixtures / "debezium"
    if not (folder / "connectors.json").exists():
        raise pytest.UsageError(f"--fixtures: no {folder}/connectors.json")
    connectors = {each["name"]: each["config"] for each in json.loads((folder / "connectors.json").read_text())}
    return [Capture(name, config, path) for name, config in connectors.items() if (path := folder / f"{name}.jsonl").exists()]


@attrs.frozen
class Capture:
    """The messages of one connector, and its configuration, which alone says in which mode it wrote them."""

    name: str
    config: Mapping[str, str]
    path: Path

    @property
    def has_schemas(self) -> bool:
        return self.config.get("value.converter.schemas.enable", "true") == "true"

    @property
    def is_flat(self) -> bool:
        return any(value.endswith("ExtractNewRecordState") for value in self.config.values())

    @property
    def decimals(self) -> str:
        return self.config.get("decimal.handling.mode", "precise")

    @property
    def times(self) -> str:
        return self.config.get("time.precision.mode", "adaptive")

    @property
    def modes(self) -> dict[str, Any]:
        """The arguments of `Debezium` that say the same."""
        return {
            "decimal_handling": self.decimals,
            "time_precision": self.times,
            "binary_handling": self.config.get("binary.handling.mode", "bytes"),
            "unavailable_value": self.config.get("unavailable.value.placeholder", "__debezium_unavailable_value"),
        }

    def records(self) -> dict[str, list[Record]]:
        """The messages by topic, in the order of each partition."""
        found: dict[str, list[Record]] = {}
        for line in self.path.read_text().splitlines():
            record = json.loads(line)
            found.setdefault(record["topic"], []).append(record)
        return found

    def topic(self, table: str) -> str:
        return f"{self.config['topic.prefix']}.public.{table}"

    def debezium(self, topic: str, **more: Any) -> Debezium:
        return sources.Kafka("nowhere:9092").debezium(topic, **{**self.modes, **more})


def messages(records: Sequence[Record]) -> kafka_read.Messages:
    def raw(text: str | bytes | None) -> bytes | None:
        return text.encode() if isinstance(text, str) else text

    return kafka_read.Messages(
        values=[raw(record["value"]) for record in records],
        partitions=[record["partition"] for record in records],
        offsets=[record["offset"] for record in records],
        millis=[record["timestamp"] for record in records],
        keys=[raw(record["key"]) for record in records],
        headers=[[{"key": name, "value": raw(value)} for name, value in record["headers"]] or None for record in records],
    )


@attrs.frozen
class Replayed:
    """A source of so many of these messages, decoded as those of a broker are."""

    debezium: Debezium
    records: Sequence[Record]
    upto: int

    @property
    def upstream(self) -> str:
        return self.debezium.upstream

    def primary_key(self) -> tuple[str, ...]:
        return self.debezium.primary_key()

    def keys(self, *, scope: str | None) -> Any:
        return self.debezium.keys(scope=scope)

    @contextmanager
    def open(self, position: Details | None, *, target: Target) -> Generator[Increment]:
        since = 0 if position is None else int(position["read"])  # type: ignore[call-overload]
        new, topic = self.records[since : self.upto], self.debezium.log
        with kafka_formats.reading(topic, iter([messages(new)] if new else []), target) as (decoder, found):
            rows = (kafka_read.as_rows(each, decoder, topic=topic.name, source=topic.origin) for each in found)
            yield Increment(kafka_read.schema_of(decoder), rows, lambda: {"read": self.upto}, rejecting=True)


def column(rows: pa.Table, name: str) -> list[Any]:
    """A column's values; times as numbers, since Python has no years before the first."""
    found = rows.column(name)
    if pa.types.is_timestamp(found.type):
        found = found.cast(pa.int64())
    elif pa.types.is_date(found.type):
        found = found.cast(pa.int32())
    return found.to_pylist()
