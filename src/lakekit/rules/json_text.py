"""The rule for JSON: one spelling for one value, and nothing lost of its numbers."""

from __future__ import annotations

import json as standard
from typing import Any, ClassVar, Final, Literal, NoReturn, cast

import attrs

from lakekit.errors import ConfigError
from lakekit.rules.base import Result, TextRule
from lakekit.rules.characters import INVISIBLE

Kind = Literal["any", "object", "array"]

_DEEPEST: Final = 200


class _Number(str):
    """A number as it was written: through a float its digits would change."""

    __slots__ = ()


class _RepeatedNameError(ValueError):
    """An object names one of its members twice."""


@attrs.frozen
class Json(TextRule):
    """The rule that ``json()`` makes."""

    kind: Kind

    name: ClassVar[str] = "json"

    def scalar(self, value: str | None, /) -> Result:
        """The JSON in one spelling, or a refusal."""
        if value is None:
            return Result(None)
        text = value.strip(" \t\r\n\ufeff")
        if not text.strip(INVISIBLE):
            return Result(None, "empty")
        try:
            found = standard.loads(text, parse_float=_Number, parse_int=_Number, parse_constant=_refuse, object_pairs_hook=_members)
            clean = _written(found, 0)
            clean.encode()  # half of a surrogate pair is no text
        except _RepeatedNameError:
            return Result(None, "repeated_name")
        except RecursionError:
            return Result(None, "too_deep")
        except ValueError:  # JSONDecodeError and UnicodeError; their text holds parts of the value and is dropped
            return Result(None, "not_json_text")
        wanted = {"any": object, "object": dict, "array": list}[self.kind]
        return Result(clean) if isinstance(found, wanted) else Result(None, f"not_an_{self.kind}_in_json")


def _refuse(_name: str) -> NoReturn:
    raise ValueError


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise _RepeatedNameError
    return members


def _written(value: object, depth: int) -> str:
    if depth > _DEEPEST:
        raise RecursionError
    if isinstance(value, _Number):
        return str(value)
    if isinstance(value, dict):
        members = cast("dict[str, object]", value)
        return "{" + ",".join(f"{_text(name)}:{_written(members[name], depth + 1)}" for name in sorted(members)) + "}"
    if isinstance(value, list):
        return "[" + ",".join(_written(item, depth + 1) for item in cast("list[object]", value)) + "]"
    return _text(value)


def _text(value: object) -> str:
    return standard.dumps(value, ensure_ascii=False)


def json(kind: Kind = "any") -> Json:
    r"""JSON in one spelling: no white space, members in the order of their names, each text written one way. NULL stays NULL.

    Numbers stay as they are written: 1.50 is not made 1.5, nor 1e400 infinity. The text ``null`` is JSON's null, not SQL's.

    Args:
        kind: What it must be: ``"any"`` value, an ``"object"``, or an ``"array"``.

    Reasons: ``empty``, ``not_json_text`` (NaN and single quotes, too), ``repeated_name``, ``too_deep`` (more than 200 levels),
    ``not_an_object_in_json``, ``not_an_array_in_json``.

    Raises:
        ConfigError: another kind.

    Source: RFC 8259; the order of members as in RFC 8785 but for letters beyond the 16-bit ones.

    >>> json().scalar('{ "b": 1.50, "a": ["\u00e4"] }').value
    '{"a":["ä"],"b":1.50}'
    >>> json("object").scalar("[1]").reason
    'not_an_object_in_json'
    """
    if kind not in ("any", "object", "array"):
        raise ConfigError("rules.json(kind)", "expected one of 'any', 'object', 'array'", got=repr(kind))
    return Json(kind)
