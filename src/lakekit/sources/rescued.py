"""What stands in ``_rescued_data``: a JSON object from the path of a value to the value that its column could not hold."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping


def escaped(name: str) -> str:
    r"""A name as a part of a path: dots and backslashes within it have a backslash before them.

    >>> escaped("a.b"), escaped("price")
    ('a\\.b', 'price')
    """
    return name.replace("\\", "\\\\").replace(".", "\\.")


def path(names: Iterable[str]) -> str:
    r"""The path that leads through fields of these names.

    >>> path(["home", "zip"]), path(["a.b"])
    ('home.zip', 'a\\.b')
    """
    return ".".join(map(escaped, names))


def text(values: Mapping[str, str]) -> str:
    """The object for values that are text.

    >>> text({"valid_to": "infinity", "limits.1": "NaN"})
    '{"limits.1":"NaN","valid_to":"infinity"}'
    """
    return json.dumps(dict(sorted(values.items())), ensure_ascii=False, separators=(",", ":"))
