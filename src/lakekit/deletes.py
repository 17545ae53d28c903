"""Deletes: what becomes of rows that are gone at their source."""

from __future__ import annotations

from typing import Literal

import attrs

from lakekit.errors import ConfigError

Mode = Literal["soft", "hard", "ignore", "close", "new_record"]
_MODES = ("soft", "hard", "ignore", "close", "new_record")


def _known(_: object, __: object, value: str) -> None:
    if value not in _MODES:
        raise ConfigError("Deletes(mode)", f"expected one of {', '.join(_MODES)}", got=repr(value))


def _fraction(_: object, __: object, value: float) -> None:
    if not 0 <= value <= 1:
        raise ConfigError("Deletes(max_fraction=)", "expected a fraction from 0 to 1", got=str(value), hint="write 0.1 for ten per cent.")


@attrs.frozen
class Deletes:
    """What becomes of rows that are gone at their source, and how far that may go.

    Attributes:
        mode: ``soft`` (marked) or ``hard`` (removed) in a merged table; ``close``, ``new_record`` or ``hard`` in an SCD2; ``ignore`` in both.
        scope: An SQL condition: only rows that meet it can be found missing.
        max_fraction: Refuse when more than this part of the live rows would be deleted by comparison.
        force: Delete all the same, even when the source came up empty.

    >>> Deletes("soft").max_fraction
    0.1
    """

    mode: Mode = attrs.field(default="soft", validator=_known)
    scope: str | None = attrs.field(default=None, kw_only=True)
    max_fraction: float = attrs.field(default=0.1, kw_only=True, validator=_fraction)
    force: bool = attrs.field(default=False, kw_only=True)
