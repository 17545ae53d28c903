"""What a rule is: one value in, one value or one reason out. And the checks that hold a chain of rules together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, NamedTuple, Protocol, cast, runtime_checkable

import attrs

from lakekit.errors import ConfigError

InputType = Literal["string", "any"]


class Result(NamedTuple):
    """What a rule makes of one value: the clean value, or the reason why there is none.

    Attributes:
        value: The clean value. None where the value was NULL, became NULL, or was refused.
        reason: A short code in snake_case such as ``not_an_email``. None: the value passed. Never holds the value itself.
    """

    value: object
    reason: str | None = None


@runtime_checkable
class Rule(Protocol):
    """What ``clean`` applies to a column: a frozen, hashable, picklable value that knows no engine.

    Any object of this form is a rule; there is nothing to inherit from and nowhere to register it.
    """

    @property
    def name(self) -> str:
        """The name that stands as ``rule`` beside a rejected row: ``email``."""
        ...

    @property
    def input_type(self) -> InputType:
        """``string``: text columns only. ``any``: other columns too; the engine casts their values to text first."""
        ...

    @property
    def output_type(self) -> str | None:
        """The type of the clean values, in Spark SQL's words: ``string``, ``decimal(10,2)``. None: a check, the column keeps its type."""
        ...

    @property
    def idempotent(self) -> bool:
        """Whether the rule, applied to the text of its own result, changes nothing."""
        ...

    def scalar(self, value: str | None, /) -> Result:
        """The meaning of the rule, for one value. Raises nothing, whatever the text."""
        ...

    def sql(self, column: str, /) -> str | None:
        """The clean value as a Spark SQL expression with exactly the meaning of ``scalar`` on every engine. None: Python only.

        Args:
            column: A Spark SQL expression of type string: a quoted column name, or what an earlier rule made of it.
        """
        ...

    def reason_sql(self, column: str, /) -> str | None:
        """The reason code as a Spark SQL expression, NULL where the value passes. None: the rule refuses nothing, or is Python only."""
        ...


@runtime_checkable
class BesideRule(Protocol):
    """A rule that also looks at another column of the row, as ``phone(region_from="country")`` does."""

    @property
    def beside(self) -> str | None:
        """The other column. None: the rule was made without one."""
        ...

    def given(self, other: str | None, /) -> Rule:
        """The rule for the rows in which the other column has this text."""
        ...


@runtime_checkable
class VectorRule(Protocol):
    """A rule that refuses nothing, and knows a way over Arrow arrays for plain texts, which is ten times as fast. Most texts are plain."""

    @property
    def plain(self) -> Literal["ascii", "latin"]:
        """Which texts it takes that way: those of ASCII, or also those of ``characters.LATIN``."""
        ...

    def over_plain(self, texts: Any, /) -> Any:
        """What ``scalar`` gives for each text of an Arrow array, all of them plain or NULL, as another one. It is as plain."""
        ...


@runtime_checkable
class PlainRule(VectorRule, Protocol):
    """A rule whose meaning is Python's, but for plain texts also SQL's: no engine disagrees about those."""

    def plain_sql(self, column: str, /) -> str:
        """What ``scalar`` gives for a plain text, or NULL, as a Spark SQL expression. It is as plain."""
        ...


class PythonRule:
    """What the rules have in common whose meaning is Python's: no SQL."""

    def sql(self, _column: str, /) -> str | None:
        """None: Python only."""
        return None

    def reason_sql(self, _column: str, /) -> str | None:
        """None: Python only, or a rule that refuses nothing."""
        return None


class TextRule(PythonRule):
    """What most rules are: text in, text out, and nothing is left to do the second time."""

    input_type: ClassVar[InputType] = "string"
    output_type: ClassVar[str | None] = "string"
    idempotent: ClassVar[bool] = True


@attrs.frozen
class CopyOf:
    """The rule that ``copy_of()`` makes."""

    column: str

    name: ClassVar[str] = "copy_of"
    input_type: ClassVar[InputType] = "any"
    output_type: ClassVar[str | None] = None
    idempotent: ClassVar[bool] = True

    def scalar(self, value: str | None, /) -> Result:
        """The value: which column it is read from is for ``clean`` to see to."""
        return Result(value)

    def sql(self, column: str, /) -> str | None:
        """The column itself."""
        return column

    def reason_sql(self, _column: str, /) -> str | None:
        """None: nothing is refused."""
        return None


def copy_of(column: str) -> CopyOf:
    """What begins a chain whose column is made of another one: the original beside the clean value, a key, a part.

    Every chain of one ``clean`` reads the columns as they came in. NULL stays NULL; the values keep their type until a rule changes it.

        {"phone": rules.phone("US"), "phone_raw": rules.copy_of("phone"), "email_key": [rules.copy_of("email"), rules.email_key()]}

    Raises:
        ConfigError: no name of a column.

    >>> copy_of("phone").scalar("(212) 555-0123").value
    '(212) 555-0123'
    """
    if not isinstance(column, str) or not column:  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ConfigError("rules.copy_of(column)", "expected the name of a column", got=repr(column) if column == "" else _kind(column))
    return CopyOf(column)


def source_column(chain: Sequence[Rule], column: str) -> str:
    """The column that a chain reads to make ``column``."""
    return chain[0].column if isinstance(chain[0], CopyOf) else column


def beside_column(chain: Sequence[Rule]) -> str | None:
    """The other column that the rules of a chain look at. None: they see one value only."""
    return next((rule.beside for rule in chain if isinstance(rule, BesideRule) and rule.beside is not None), None)


def check_chain(chain: Sequence[Rule], *, place: str) -> tuple[Rule, ...]:
    """Check that every rule of a chain can read what the one before it gives.

    Raises:
        ConfigError: the chain is empty, a rule that changes values follows one whose result is no text, ``copy_of`` is not the first, or
            the rules look at more than one other column.
    """
    if not chain:
        raise ConfigError(place, "expected at least one rule", got="an empty list", hint="leave the column out, or write rules.trim().")
    if any(isinstance(rule, CopyOf) for rule in chain[1:]):
        raise ConfigError(place, "expected 'copy_of' first", got="a rule before it", hint="begin the chain with rules.copy_of().")
    others = {rule.beside for rule in chain if isinstance(rule, BesideRule)} - {None}
    if len(others) > 1:
        raise ConfigError(place, "expected one other column to look at", got=", ".join(sorted(map(repr, others))))
    typed: Rule | None = None
    for rule in chain:
        if typed is not None and rule.output_type is not None:
            raise ConfigError(
                place,
                f"expected no rule for text after {typed.name!r}, whose result is a {typed.output_type}",
                got=repr(rule.name),
                hint=f"put {rule.name!r} before {typed.name!r}.",
            )
        if typed is not None and rule.input_type == "string":
            raise ConfigError(
                place,
                f"expected no check of text after {typed.name!r}, whose result is a {typed.output_type}",
                got=repr(rule.name),
                hint=f"put {rule.name!r} before {typed.name!r}.",
            )
        if rule.output_type not in (None, "string"):
            typed = rule
    return tuple(chain)


def chain_input_type(chain: Sequence[Rule]) -> InputType:
    """``any`` where each rule of the chain takes values of any type as text, else ``string``: a column of another type is an error."""
    return "any" if all(rule.input_type == "any" for rule in chain) else "string"


def chain_output_type(chain: Sequence[Rule]) -> str | None:
    """The type of what a chain gives, in Spark SQL's words. None: the chain only checks, and the column keeps its type and its values."""
    kinds = [rule.output_type for rule in chain if rule.output_type is not None]
    return kinds[-1] if kinds else None


def check_rules(given: object, *, place: str = "clean(rules=)") -> dict[str, tuple[Rule, ...]]:
    """Bring what a user wrote for ``clean(rules=)`` into one form: column name → chain of rules.

    Args:
        given: A mapping of column names to a rule or a sequence of rules.
        place: What the error messages name as the place.

    Raises:
        ConfigError: anything else: a string, a rule that was named but not called, a chain that does not fit together.

    >>> from lakekit import rules
    >>> {column: [rule.name for rule in chain] for column, chain in check_rules({"email": [rules.trim(), rules.email()]}).items()}
    {'email': ['trim', 'email']}
    >>> check_rules({"email": rules.trim})
    Traceback (most recent call last):
    lakekit.errors.ConfigError: clean(rules=)['email']: expected a rule, got the function 'trim'.
    Hint: call it: rules.trim().
    """
    if not isinstance(given, Mapping):
        raise ConfigError(place, "expected a mapping of column names to rules", got=_kind(given), hint='write {"email": rules.email()}.')
    chains: dict[str, tuple[Rule, ...]] = {}
    for column, value in cast("Mapping[object, object]", given).items():
        if not isinstance(column, str) or not column:
            raise ConfigError(place, "expected column names as keys", got="an empty name" if column == "" else _kind(column))
        here = f"{place}[{column!r}]"
        listed = isinstance(value, Sequence) and not isinstance(value, (str, bytes, Rule))
        entries = cast("Sequence[object]", value) if listed else (value,)
        chains[column] = check_chain([_check_rule(entry, place=here) for entry in entries], place=here)
    return chains


def _check_rule(given: object, *, place: str) -> Rule:
    if isinstance(given, Rule) and not isinstance(given, type):
        return given
    if isinstance(given, str):
        hint = "rules are values, not names: write rules.email(), or a condition in checks=."
    elif callable(given):
        name = getattr(given, "__name__", "")
        own = "for a function of your own use Batch.apply, or an object with the form of rules.Rule."
        hint = f"call it: rules.{name}()." if _is_factory(given) else own
        raise ConfigError(place, "expected a rule", got=f"the function {name!r}" if name else _kind(given), hint=hint)
    else:
        hint = "write a rule such as rules.trim(), or a list of rules."
    raise ConfigError(place, "expected a rule", got=_kind(given), hint=hint)


def _is_factory(given: object) -> bool:
    return str(getattr(given, "__module__", "")).startswith("lakekit.rules.")


def _kind(given: object) -> str:
    return "None" if given is None else f"a value of type {type(given).__name__}"
