"""A chain of rules as a function over Arrow arrays: what the engines register and call."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, cast

import attrs

from lakekit.errors import ConfigError
from lakekit.rules.base import BesideRule, InputType, Rule, VectorRule, beside_column, chain_input_type, chain_output_type, check_chain
from lakekit.rules.characters import ALL_LATIN

if TYPE_CHECKING:
    import pyarrow as pa

    Array = pa.Array[Any]
    Values = pa.Array[Any] | pa.ChunkedArray[Any]

DEFAULT_CACHE_SIZE: Final = 200_000
_LONGEST_CACHED: Final = 256  # characters: long texts seldom come twice, and would make the cache's memory unbounded
_PLACE: Final = "clean(rules=)"
_BETWEEN: Final = "\x1f"  # between the text of another column and the column's own: the unit separator of ASCII


@attrs.frozen
class Refused:
    """Why a value did not pass: the first rule that refused it, and that rule's reason."""

    rule: str
    reason: str


class _Unknown:
    """The type of the mark for a text that the memory does not hold."""


_UNKNOWN: Final = _Unknown()


class Memory:
    """The results for the texts seen last, in two generations.

    When the young generation is full it becomes the old one, and the older one is forgotten. So a text seen within the last ``size / 2``
    distinct ones is always there, a hit costs a look into one or two dicts, and threads that race lose entries, never results.
    """

    __slots__ = ("_half", "old", "young")

    def __init__(self, size: int) -> None:
        self._half = size // 2
        self.young: dict[str, object] = {}
        self.old: dict[str, object] = {}

    def __len__(self) -> int:
        return len(self.young) + len(self.old)

    def put(self, text: str, result: object) -> None:
        """Remember a result."""
        if len(text) > _LONGEST_CACHED:
            return
        if len(self.young) >= self._half:
            self.old, self.young = self.young, {}
        if self._half:
            self.young[text] = result


def _tuple(chain: Sequence[Rule]) -> tuple[Rule, ...]:
    return check_chain(chain, place=_PLACE)


@attrs.frozen
class ChainFunction:
    """A chain of rules as a function: an Arrow array of text in, an Arrow array of structs (value, rule, reason) out.

    Where a rule looks at another column, that one's texts are the second argument, and pairs are what is worked out once each.

    Equal, hashed and pickled by its chain; the memory stays behind. One function may be called from several threads.

    Attributes:
        chain: The rules, applied from left to right. NULL passes, the first rule that refuses ends the chain.
        cache_size: How many distinct texts it remembers at most; at least half as many of the last ones. 0: none.

    Raises:
        ConfigError: the chain is empty or does not fit together.

    >>> import pyarrow as pa
    >>> from lakekit import rules
    >>> clean = ChainFunction([rules.trim(), rules.email()])
    >>> for row in clean(pa.array([" Ada@Example.com", "ada at home", None])):
    ...     print(*row.as_py().values())
    ada@example.com None None
    None email not_an_email
    None None None
    """

    chain: tuple[Rule, ...] = attrs.field(converter=_tuple)
    cache_size: int = attrs.field(default=DEFAULT_CACHE_SIZE, kw_only=True)
    beside: str | None = attrs.field(init=False, repr=False, eq=False)
    """The other column that the rules look at. None: none."""
    _vectors: tuple[VectorRule, ...] | None = attrs.field(init=False, repr=False, eq=False)
    _memory: Memory = attrs.field(init=False, repr=False, eq=False)

    def __attrs_post_init__(self) -> None:
        object.__setattr__(self, "beside", beside_column(self.chain))
        vectors = tuple(rule for rule in self.chain if isinstance(rule, VectorRule))
        object.__setattr__(self, "_vectors", vectors if len(vectors) == len(self.chain) else None)
        object.__setattr__(self, "_memory", Memory(self.cache_size))

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (self.chain, self.cache_size)

    @property
    def input_type(self) -> InputType:
        """``any``: columns of every type, cast to text first. ``string``: another column than one of text is an error."""
        return chain_input_type(self.chain)

    @property
    def output_type(self) -> str | None:
        """The type of ``value`` in Spark SQL's words. None: the chain only checks; take the column's own value where ``reason`` is NULL."""
        return chain_output_type(self.chain)

    @property
    def struct_type(self) -> str:
        """The type of the result in Spark SQL's words."""
        return f"struct<value: {self.output_type or 'string'}, rule: string, reason: string>"

    def arrow_type(self) -> pa.StructType:
        """The type of the result in Arrow: ``value`` in the output type, ``rule`` and ``reason`` as strings."""
        import pyarrow as pa

        return pa.struct([("value", _value_type(self.output_type)), ("rule", pa.string()), ("reason", pa.string())])

    def scalar(self, value: str | None, other: str | None = None, /) -> object:
        """The clean value, or a ``Refused``, for one text, and for the text of the other column where the rules look at one.

        Raises:
            ConfigError: a rule of the user's own raised an error.
        """
        current: object = value
        for rule in self.chain if other is None else _given(self.chain, other):
            try:
                current, reason = rule.scalar(cast("Any", current))
            except Exception as error:  # noqa: BLE001 — whatever it is, its text may hold the value
                kind = type(error).__name__
            else:
                if reason is not None:
                    return Refused(rule.name, reason)
                continue
            raise ConfigError(_PLACE, f"expected the rule {rule.name!r} to give a reason", got=kind, hint="a rule never raises.")
        return current

    def __call__(self, values: Values, others: Values | None = None) -> pa.StructArray:
        """Apply the chain to each distinct text once. As many rows come out as went in, in the same order."""
        text = _strings(values) if others is None else _pairs(_strings(others), _strings(values))
        return self._worked_out(text) if self._vectors is None else self._by_vectors(text, self._vectors)

    @property
    def refuses_nothing(self) -> bool:
        """Whether all texts pass, so that `values` says all. Bytes that are no text never do."""
        return self._vectors is not None

    @property
    def takes_latin(self) -> bool:
        """Whether texts of ``characters.LATIN`` are plain for every rule; those of ASCII always are."""
        return self._vectors is not None and all(rule.plain == "latin" for rule in self._vectors)

    def values(self, texts: Values) -> Array:
        """The clean values alone."""
        return cast("Array", self(texts).field("value"))

    def _by_vectors(self, text: Array, rules: Sequence[VectorRule]) -> pa.StructArray:
        """Plain texts all at once, and the others each by itself."""
        import pyarrow as pa
        import pyarrow.compute

        compute: Any = pyarrow.compute
        other = compute.invert(compute.string_is_ascii(text)).fill_null(fill_value=False)
        if other.true_count and self.takes_latin:
            other = compute.replace_with_mask(other, other, compute.invert(compute.match_substring_regex(text.filter(other), ALL_LATIN)))
        clean = compute.if_else(other, pa.scalar(None, pa.string()), text) if other.true_count else text
        for rule in rules:
            clean = rule.over_plain(clean)
        nothing = pa.nulls(len(text), pa.string())
        fields = [clean, nothing, nothing]
        if other.true_count:
            found = self._worked_out(text.filter(other)).flatten()
            fields = [compute.replace_with_mask(field, other, one) for field, one in zip(fields, found, strict=True)]
        return pa.StructArray.from_arrays(fields, type=self.arrow_type())

    def _worked_out(self, text: Array) -> pa.StructArray:
        """Each distinct text once, in Python."""
        encoded: Any = text.dictionary_encode()
        texts = _texts(encoded.dictionary)
        results = self._results(texts)
        if not encoded.null_count:
            indices = None if len(texts) == len(text) else encoded.indices
        else:  # NULL is one more distinct value, the last one
            indices = encoded.indices.fill_null(len(texts))
            results.append(self.scalar(None))
        return self._struct(results, indices)

    def _results(self, texts: Sequence[str | bytes]) -> list[object]:
        """The clean value or the refusal for each distinct text, from memory where it is known."""
        memory = self._memory
        results: list[object] = []
        for text in texts:
            if isinstance(text, bytes):
                results.append(Refused(self.chain[0].name, "not_utf8"))
                continue
            result = memory.young.get(text, _UNKNOWN)
            if result is _UNKNOWN:
                result = memory.old.get(text, _UNKNOWN)
                if result is _UNKNOWN:
                    result = self._work_out(text)
                memory.put(text, result)
            results.append(result)
        return results

    def _work_out(self, text: str) -> object:
        if self.beside is None:
            return self.scalar(text)
        other, _, value = text.partition(_BETWEEN)
        return self.scalar(value, other or None)

    def _struct(self, results: list[object], indices: Array | None) -> pa.StructArray:
        """The results as Arrow structs, one for each row that ``indices`` names. None: they are the rows."""
        import pyarrow as pa

        refused = [result if isinstance(result, Refused) else None for result in results]
        failed = any(refused)
        clean = [None if isinstance(result, Refused) else result for result in results] if failed else results
        try:
            value = cast("Array", pa.array(clean, _value_type(self.output_type)))
        except (pa.ArrowException, ValueError, TypeError, OverflowError) as error:  # their text holds the value
            got = type(error).__name__
        else:
            rows = len(results) if indices is None else len(indices)
            value = value if indices is None else value.take(indices)
            rule = reason = cast("Array", pa.nulls(rows, pa.string()))
            if failed:
                rule = cast("Array", pa.array([None if one is None else one.rule for one in refused], pa.string()))
                reason = cast("Array", pa.array([None if one is None else one.reason for one in refused], pa.string()))
                rule, reason = (rule, reason) if indices is None else (rule.take(indices), reason.take(indices))
            return pa.StructArray.from_arrays([value, rule, reason], type=self.arrow_type())
        names = " → ".join(rule.name for rule in self.chain)
        raise ConfigError(_PLACE, f"expected values of type {self.output_type or 'string'} from the rules {names}", got=got)


def apply_chain(chain: Sequence[Rule], values: Values) -> pa.StructArray:
    """Apply a chain of rules to an Arrow array once, without keeping what was learnt. See ``ChainFunction``.

    >>> import pyarrow as pa
    >>> from lakekit import rules
    >>> apply_chain([rules.integer()], pa.array(["7", None])).field("value").to_pylist()
    [7, None]
    """
    return ChainFunction(chain, cache_size=0)(values)


def _rebuild(chain: tuple[Rule, ...], cache_size: int) -> ChainFunction:
    return ChainFunction(chain, cache_size=cache_size)


@functools.lru_cache(maxsize=1024)
def _given(chain: tuple[Rule, ...], other: str) -> tuple[Rule, ...]:
    """The chain for the rows in which the other column has this text."""
    return tuple(rule.given(other) if isinstance(rule, BesideRule) and rule.beside is not None else rule for rule in chain)


def _strings(values: Values) -> Array:
    import pyarrow as pa

    array = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
    return array if pa.types.is_string(array.type) else array.cast(pa.string())


def _pairs(others: Array, values: Array) -> Array:
    """Each text behind that of the other column; NULL there is an empty one, and NULL here stays NULL."""
    import pyarrow.compute

    compute: Any = pyarrow.compute
    return compute.binary_join_element_wise(compute.replace_substring(others.fill_null(""), _BETWEEN, ""), values, _BETWEEN)


def _texts(array: Array) -> Sequence[str | bytes]:
    """The texts of an array; bytes where they are no UTF-8, which Spark does not check."""
    import pyarrow as pa

    try:
        return cast("list[str | bytes]", array.to_pylist())
    except UnicodeDecodeError:
        return [_decoded(raw) for raw in cast("list[bytes]", array.cast(pa.binary()).to_pylist())]


def _decoded(raw: bytes) -> str | bytes:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw


def _value_type(spark: str | None) -> pa.DataType:
    """The Arrow type of a type in Spark SQL's words."""
    import pyarrow as pa

    if spark is not None and spark.startswith("decimal("):
        precision, scale = spark.removeprefix("decimal(").removesuffix(")").split(",")
        return pa.decimal128(int(precision), int(scale))
    if spark == "timestamp":
        return pa.timestamp("us", tz="UTC")
    if spark == "date":
        return pa.date32()
    return {"bigint": pa.int64(), "boolean": pa.bool_()}.get(spark or "", pa.string())
