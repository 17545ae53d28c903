"""The packages of the extra ``clean``, which only some rules need."""

from __future__ import annotations

import importlib.util

from lakekit.errors import MissingExtraError


def needs(package: str, *, place: str) -> None:
    """Raise where a package is not installed; it is not loaded yet.

    Raises:
        MissingExtraError: It isn't; the text says what to install.
    """
    if importlib.util.find_spec(package) is None:
        raise MissingExtraError(place, f"needs the package {package}", hint="pip install 'lakekit[clean]'.")
