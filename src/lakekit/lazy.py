"""Names that load their module on first use, so that importing a package costs nothing. Source: PEP 562."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping


def loader(package: str, homes: Mapping[str, str]) -> Callable[[str], object]:
    """A package's ``__getattr__``.

    Args:
        package: Its name.
        homes: Name to the module of the package that has it. Empty: the name is that of a module.

    >>> loader("lakekit", {"connect": "lake"})("connecct")
    Traceback (most recent call last):
    AttributeError: module 'lakekit' has no attribute 'connecct'
    """

    def load(name: str) -> object:
        if name not in homes:
            msg = f"module {package!r} has no attribute {name!r}"
            raise AttributeError(msg)
        module = importlib.import_module(f"{package}.{homes[name] or name}")
        value = getattr(module, name) if homes[name] else module
        setattr(sys.modules[package], name, value)
        return value

    return load
