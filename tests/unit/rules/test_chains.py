"""Chains of rules: what may follow what, and the function over Arrow arrays that the engines call."""

import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import attrs
import pyarrow as pa
import pytest

from lakekit import rules
from lakekit.errors import ConfigError
from lakekit.rules import ChainFunction, Result, apply_chain, check_rules
from lakekit.rules.base import PythonRule
from lakekit.rules.characters import LATIN

SECRET = "ada-secret-7"


@attrs.frozen
class Own(PythonRule):
    """A rule of a user's own, which does what it is told."""

    does: Any
    output_type: str | None = "string"
    name: str = "own"
    input_type: Any = "string"
    idempotent: bool = False

    def scalar(self, value: str | None, /) -> Result:
        return self.does(value)


def test_a_mapping_is_brought_into_one_form() -> None:
    phone, trim = rules.phone("US"), rules.trim()
    assert check_rules({"phone": phone, "name": [trim], "note": (trim, rules.lower())}) == {
        "phone": (phone,),
        "name": (trim,),
        "note": (trim, rules.lower()),
    }
    assert check_rules({}) == {}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"email": rules.email}, "function 'email'.*\nHint: call it: rules.email()"),
        ({"email": [rules.trim, rules.email()]}, "call it: rules.trim()"),
        ({"email": "email"}, "rules are values, not names"),
        ({"email": ["trim"]}, "rules are values, not names"),
        ({"email": str.strip}, "Batch.apply"),
        ({"email": lambda text: text}, "Batch.apply"),
        ({"email": None}, "got None"),
        ({"email": 7}, "type int"),
        ({"email": {rules.trim()}}, "type set"),
        ({"email": []}, "an empty list"),
        ({"email": type(rules.trim())}, "expected a rule"),
        ({7: rules.trim()}, "type int"),
        ({"": rules.trim()}, "an empty name"),
        ([rules.trim()], "type list"),
        (rules.trim(), "type Trim"),
        ("email", "type str"),
        (None, "None"),
    ],
)
def test_anything_else_is_refused_with_place_and_hint(given: object, words: str) -> None:
    with pytest.raises(ConfigError, match=r"^clean\(rules=\)") as caught:
        check_rules(given)
    assert all(part in str(caught.value) for part in words.split(".*\n"))


@pytest.mark.parametrize(
    "chain",
    [
        [rules.timestamp(), rules.trim()],
        [rules.decimal(10, 2), rules.integer()],
        [rules.date(), rules.one_of("2024-01-31")],
        [rules.integer(), rules.not_null(), rules.lower()],
    ],
)
def test_no_rule_for_text_follows_one_whose_result_is_no_text(chain: list[rules.Rule]) -> None:
    for build in (lambda: ChainFunction(chain), lambda: check_rules({"x": chain})):
        with pytest.raises(ConfigError, match="before"):
            build()


@pytest.mark.parametrize(
    ("chain", "reads", "gives"),
    [
        ([rules.trim(), rules.email()], "string", "string"),
        ([rules.trim(), rules.timestamp(), rules.not_null()], "string", "timestamp"),
        ([rules.decimal(10, 2)], "any", "decimal(10,2)"),
        ([rules.empty_to_null(), rules.date()], "string", "date"),
        ([rules.integer(), rules.not_null()], "any", "bigint"),
        ([rules.not_null()], "any", None),
        ([rules.one_of("a"), rules.matches("a")], "string", None),
        ([rules.not_null(), rules.trim()], "string", "string"),
    ],
)
def test_a_chain_reads_what_its_first_rules_read_and_gives_what_its_last_one_gives(
    chain: list[rules.Rule], reads: str, gives: str | None
) -> None:
    function = ChainFunction(chain)
    assert (function.input_type, function.output_type) == (reads, gives)
    assert function.struct_type == f"struct<value: {gives or 'string'}, rule: string, reason: string>"
    result = function(pa.array(["a", None]))
    assert result.type == function.arrow_type()


def test_the_first_rule_that_refuses_ends_the_chain() -> None:
    chain = [rules.one_of("a", "b", ""), rules.empty_to_null(), rules.not_null(), rules.matches("a")]
    rows = apply_chain(chain, pa.array(["a", "c", "", None, "b"])).to_pylist()
    assert [(row["value"], row["rule"], row["reason"]) for row in rows] == [
        ("a", None, None),
        (None, "one_of", "not_in_list"),
        (None, "not_null", "null"),
        (None, "not_null", "null"),
        (None, "matches", "no_match"),
    ]


@pytest.mark.parametrize(
    ("rule", "text", "value"),
    [
        (rules.timestamp(), "2024-01-31T12:30:00+01:00", datetime(2024, 1, 31, 11, 30, tzinfo=UTC)),
        (rules.timestamp(), "0001-01-01T00:00:00Z", datetime(1, 1, 1, tzinfo=UTC)),
        (rules.date(), "9999-12-31", date(9999, 12, 31)),
        (rules.decimal(38, 10), "-1.5", Decimal("-1.5000000000")),
        (rules.decimal(38, 38), "0.1", Decimal("0.1").quantize(Decimal("1e-38"), context=__import__("decimal").Context(prec=50))),
        (rules.integer(), "-9223372036854775808", -(2**63)),
    ],
)
def test_typed_values_arrive_in_arrow(rule: rules.Rule, text: str, value: object) -> None:
    assert apply_chain([rule], pa.array([text, None])).field("value").to_pylist() == [value, None]


@pytest.mark.parametrize(
    "values",
    [
        pa.array([], pa.string()),
        pa.array([None, None], pa.string()),
        pa.array(["a ", None, "a ", "b"]),
        pa.array(["a ", "b "]).slice(1),
        pa.array(["a ", None, "b"]).slice(1, 2),
        pa.chunked_array([["a "], [], ["a ", None]]),
        pa.chunked_array([], pa.string()),
        pa.array(["a ", None], pa.large_string()),
        pa.array(["a ", None], pa.string_view()),
        pa.array(["a ", "a ", None]).dictionary_encode(),
        pa.nulls(3),
        pa.array(["x\x00y", "", "\U0010ffff", "e\u0301"]),
    ],
)
def test_as_many_rows_come_out_as_went_in_in_the_same_order(values: Any) -> None:
    result = ChainFunction([rules.trim()])(values)
    assert isinstance(result, pa.StructArray)
    result.validate(full=True)
    assert result.field("value").to_pylist() == [None if text is None else text.strip() for text in values.to_pylist()]
    assert result.field("reason").null_count == len(values)
    assert result.null_count == 0


def test_each_distinct_text_is_worked_out_once_over_many_batches() -> None:
    seen: list[str | None] = []

    def note(value: str | None) -> Result:
        seen.append(value)
        return Result(value) if value != "b" else Result(None, "is_b")

    function = ChainFunction([Own(note)])
    for _ in range(3):
        rows = function(pa.array(["a", "b", "a", "c"] * 500)).to_pylist()
        assert [row["value"] for row in rows[:4]] == ["a", None, "a", "c"]
        assert rows[1]["reason"] == "is_b"
    assert seen == ["a", "b", "c"]


def test_the_memory_is_bounded_and_long_texts_are_not_kept() -> None:
    function = ChainFunction([rules.matches(".*")], cache_size=100)
    function(pa.array([str(number) for number in range(10_000)]))
    assert 50 <= len(function._memory) <= 100
    long = ChainFunction([rules.matches(".*")])
    long(pa.array(["x" * 10_000]))
    assert len(long._memory) == 0
    none = ChainFunction([rules.trim(), rules.not_null()], cache_size=0)
    assert none(pa.array(["a "])).field("value").to_pylist() == ["a"]
    assert len(none._memory) == 0


def test_the_texts_seen_last_are_remembered() -> None:
    seen: list[str | None] = []
    function = ChainFunction([Own(lambda value: (seen.append(value), Result(value))[1])], cache_size=100)
    function(pa.array([str(number) for number in range(500)]))
    seen.clear()
    function(pa.array([str(number) for number in range(450, 500)]))
    assert seen == []


def test_a_function_is_equal_by_its_chain_and_survives_pickling_without_its_memory() -> None:
    chain = [rules.empty_to_null(also=("-",)), rules.timestamp("%d.%m.%Y", "iso", time_zone="Europe/Berlin"), rules.not_null()]
    function = ChainFunction(chain, cache_size=1000)
    function(pa.array(["31.01.2024"]))
    copy = pickle.loads(pickle.dumps(function))
    assert copy == function == ChainFunction(chain, cache_size=1000)
    assert hash(copy) == hash(function)
    assert len(copy._memory) == 0
    assert copy(pa.array(["31.01.2024", "-"])).to_pylist() == function(pa.array(["31.01.2024", "-"])).to_pylist()


@pytest.mark.parametrize(
    "rule",
    [
        rules.phone("US", "GB", ambiguous="first"),
        rules.decimal(10, 2, thousands=","),
        rules.one_of("a"),
        rules.matches("a+"),
        rules.date("%d.%m.%Y"),
    ],
)
def test_a_rule_survives_pickling(rule: rules.Rule) -> None:
    copy = pickle.loads(pickle.dumps(rule))
    assert copy == rule
    assert hash(copy) == hash(rule)
    assert [copy.scalar(text) for text in ("a", "12", None)] == [rule.scalar(text) for text in ("a", "12", None)]


def test_threads_may_share_a_function() -> None:
    function = ChainFunction([rules.integer()], cache_size=64)
    batches = [[str((start * 7 + number) % 300) for number in range(512)] for start in range(40)]
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda batch: function(pa.array(batch)).field("value").to_pylist(), batches))
    assert results == [[int(text) for text in batch] for batch in batches]


def test_bytes_that_are_no_text_are_refused_and_the_others_pass() -> None:
    broken = pa.Array.from_buffers(pa.string(), 3, pa.array([b"a ", b"\xff" + SECRET.encode(), b"b "]).buffers())
    rows = ChainFunction([rules.trim(), rules.lower()])(broken).to_pylist()
    assert [row["value"] for row in rows] == ["a", None, "b"]
    assert (rows[1]["rule"], rows[1]["reason"]) == ("trim", "not_utf8")


def raises(value: str | None) -> Result:
    raise ValueError(value)


@pytest.mark.parametrize(
    ("rule", "got"),
    [
        (Own(raises), "ValueError"),
        (Own(Result, output_type="bigint"), "Arrow"),
        (Own(lambda _: Result(object()), output_type="date"), "Arrow"),
        (Own(lambda value: Result("\ud800" + str(value))), "UnicodeEncodeError"),
        (Own(lambda _: Result(10**30), output_type="bigint"), "Error|Arrow"),
    ],
)
def test_a_broken_rule_of_a_users_own_is_reported_without_the_value(rule: rules.Rule, got: str) -> None:
    with pytest.raises(ConfigError, match=got) as caught:
        ChainFunction([rule])(pa.array([SECRET]))
    error: BaseException | None = caught.value
    while error is not None:
        assert SECRET not in str(error)
        error = error.__cause__ or error.__context__


def test_no_rule_puts_a_value_into_its_reason() -> None:
    texts = [SECRET, f"{SECRET}@", f"+1{SECRET}", "1e400", "31.31.3131"]
    given = [
        *(rules.email(), rules.phone("US"), rules.timestamp(), rules.date(), rules.decimal(4, 2), rules.integer()),
        *(rules.one_of("a"), rules.matches("a")),
    ]
    for rule in given:
        for text in texts:
            reason = rule.scalar(text).reason
            assert reason is not None
            assert reason.replace("_", "").isalpha() or reason == "not_utf8"
            assert reason.islower()


def test_importing_the_rules_loads_neither_arrow_nor_the_validators() -> None:
    program = "import sys, lakekit.rules as r; r.timestamp(), r.email(), r.decimal(3, 1), r.fix_mojibake(), r.name_key(), r.url(); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert not {"pyarrow", "phonenumbers", "email_validator", "babel", "ftfy", "nameparser", "duckdb", "pyspark", "sqlglot"} & set(loaded)


def test_every_rule_has_the_form_of_a_rule() -> None:
    made = [
        *(rules.trim(), rules.squash_spaces(), rules.lower(), rules.upper(), rules.empty_to_null(), rules.email(), rules.phone("US")),
        *(rules.timestamp(), rules.date(), rules.decimal(3, 1), rules.integer(), rules.not_null(), rules.one_of("a"), rules.matches("a")),
    ]
    assert all(isinstance(rule, rules.Rule) for rule in made)
    assert [rule.name for rule in made] == [
        *("trim", "squash_spaces", "lower", "upper", "empty_to_null", "email", "phone"),
        *("timestamp", "date", "decimal", "integer", "not_null", "one_of", "matches"),
    ]
    assert len({hash(rule) for rule in made}) == len(made)


VECTORS = [
    *(rules.trim(), rules.squash_spaces(), rules.lower(), rules.upper(), rules.empty_to_null(also=("N/A", "É"))),
    *(rules.normalize("NFC"), rules.normalize("NFKC"), rules.fix_mojibake()),
]


@pytest.mark.parametrize("rule", VECTORS, ids=repr)
def test_the_way_over_arrow_gives_what_the_scalar_one_gives_for_every_character(rule: rules.Rule) -> None:
    characters = [chr(code) for code in range(0x3000) if not 0xD800 <= code < 0xE000]
    texts = [text for one in characters for text in (one, f"a{one}", f" {one} b", f"{one}{one}")]
    texts += [f"{one}Σ" for one in LATIN] + [f"{one}\u0301" for one in LATIN]
    function = ChainFunction([rule])
    assert function.refuses_nothing
    assert function(pa.array(texts)).field("value").to_pylist() == [rule.scalar(text).value for text in texts]
    assert function.values(pa.array(texts[:200])).to_pylist() == [rule.scalar(text).value for text in texts[:200]]


@pytest.mark.parametrize("rule", VECTORS, ids=repr)
def test_a_plain_text_stays_plain(rule: Any) -> None:
    plain = LATIN if rule.plain == "latin" else "".join(map(chr, range(128)))
    assert {*"".join(str(rule.scalar(one).value or "") for one in plain)} <= {*plain}


def test_a_chain_that_may_refuse_has_no_way_over_arrow() -> None:
    assert not ChainFunction([rules.trim(), rules.not_null()]).refuses_nothing
    assert ChainFunction([rules.trim(), rules.lower()])(pa.array([" ÀB", None, " AΣ "])).field("value").to_pylist() == ["àb", None, "aς"]
