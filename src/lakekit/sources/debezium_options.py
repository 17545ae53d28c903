"""How a topic of Debezium is read, as plain values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, TypedDict, get_args

import attrs

from lakekit.errors import ConfigError

DecimalHandling = Literal["precise", "string", "double"]
TimePrecision = Literal["adaptive", "adaptive_time_microseconds", "connect", "isostring", "microseconds", "nanoseconds"]
BinaryHandling = Literal["bytes", "base64", "base64-url-safe", "hex"]
Tombstones = Literal["skip", "delete"]


class DebeziumOptions(TypedDict, total=False):
    """The arguments of `sources.Debezium`."""

    schema: Mapping[str, str] | None
    primary_key: str | Sequence[str] | None
    decimal_handling: DecimalHandling
    time_precision: TimePrecision
    binary_handling: BinaryHandling
    tombstones: Tombstones
    unavailable_value: str


@attrs.frozen
class Modes:
    """How the connector writes what JSON has no word for, by its own properties."""

    decimals: DecimalHandling = "precise"
    times: TimePrecision = "adaptive"
    binary: BinaryHandling = "bytes"


@attrs.frozen
class Reading:
    """What messages are taken for.

    Attributes:
        primary_key: The columns of the key. Empty: those of the message's key.
        placeholder: What stands for a value that did not come.
    """

    primary_key: tuple[str, ...] = ()
    tombstones: Tombstones = "skip"
    placeholder: str = "__debezium_unavailable_value"


@attrs.frozen
class Changes:
    """How changes are read.

    Attributes:
        schema: Declared columns and their SQL types.
    """

    schema: tuple[tuple[str, str], ...] = ()
    modes: Modes = attrs.field(factory=Modes)
    reading: Reading = attrs.field(factory=Reading)


def check(options: Changes) -> None:
    """Raise where a mode is not one of the connector's.

    Raises:
        ConfigError: It is not.
    """
    modes, reading = options.modes, options.reading
    for argument, given, known, hint in (
        ("decimal_handling", modes.decimals, DecimalHandling, "write what the connector's decimal.handling.mode says."),
        ("time_precision", modes.times, TimePrecision, "write what the connector's time.precision.mode says."),
        ("binary_handling", modes.binary, BinaryHandling, "write what the connector's binary.handling.mode says."),
        ("tombstones", reading.tombstones, Tombstones, "'delete' is for topics whose deletes are nothing but tombstones."),
    ):
        if given not in get_args(known):
            expected = f"expected one of {', '.join(map(repr, get_args(known)))}"
            raise ConfigError(f"sources.Debezium({argument}=)", expected, got=repr(given), hint=hint)
    if not isinstance(reading.placeholder, str) or not reading.placeholder:  # pyright: ignore[reportUnnecessaryIsInstance] -- users are not type-checked
        raise ConfigError(
            "sources.Debezium(unavailable_value=)", "expected the connector's unavailable.value.placeholder", got=repr(reading.placeholder)
        )
