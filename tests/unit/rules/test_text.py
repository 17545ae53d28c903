"""Rules for text: what counts as white space, what stands for nothing, and case in all scripts."""

import pytest

from lakekit import rules
from lakekit.errors import ConfigError
from lakekit.rules.characters import INVISIBLE, SPACES, plain

ZWJ, ZWNJ, ZWSP, BOM, RLM, LRE, PDF, NBSP = "\u200d", "\u200c", "\u200b", "\ufeff", "\u200f", "\u202a", "\u202c", "\u00a0"


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("Ada", "Ada"),
        ("", ""),
        ("  Ada\t\r\n", "Ada"),
        (f"{NBSP}Ada\u3000", "Ada"),
        (f"{BOM}Ada{ZWSP}", "Ada"),
        ("\x00\x00Ada\x00", "Ada"),
        ("\x85Ada\u2028", "Ada"),
        (f"{LRE}Ada{PDF}", "Ada"),
        (f" {RLM} עדה {RLM} ", "עדה"),
        (" a  b ", "a  b"),
        (f"نمی{ZWNJ}دانم", f"نمی{ZWNJ}دانم"),
        (f"അവന{ZWJ}", f"അവന{ZWJ}"),
        ("👩‍💻 ", "👩‍💻"),
        ("\u180eAda", "\u180eAda"),
        ("- Ada -", "- Ada -"),
        (SPACES, ""),
    ],
)
def test_trim_strips_what_is_invisible_at_the_ends_and_nothing_else(text: str, clean: str) -> None:
    assert rules.trim().scalar(text) == (clean, None)


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("Ada Lovelace", "Ada Lovelace"),
        ("  Ada \t Lovelace\n", "Ada Lovelace"),
        (f"Ada{NBSP}Lovelace", "Ada Lovelace"),
        (f"Ada{ZWSP}Lovelace", "Ada Lovelace"),
        (f"Ada {ZWSP} {BOM} Lovelace", "Ada Lovelace"),
        ("Ada\x00Lovelace", "Ada Lovelace"),
        ("Ada\u2003\u202f\u205f\u3000Lovelace", "Ada Lovelace"),
        ("Ada\r\n\r\nLovelace", "Ada Lovelace"),
        (f"نمی{ZWNJ}دانم", f"نمی{ZWNJ}دانم"),
        ("👩‍💻  👩‍💻", "👩‍💻 👩‍💻"),
        (f"{RLM} Ada  L {RLM}", "Ada L"),
        (f"Ada {RLM} L", f"Ada {RLM} L"),
        (" " * 10_000 + "x" + " " * 10_000, "x"),
        (SPACES, ""),
    ],
)
def test_every_run_of_spaces_becomes_one(text: str, clean: str) -> None:
    assert rules.squash_spaces().scalar(text) == (clean, None)


@pytest.mark.parametrize(
    ("text", "low"),
    [
        ("ADA", "ada"),
        ("ÅSA", "åsa"),
        ("ΟΔΟΣ", "οδος"),
        ("STRASSE", "strasse"),
        ("ẞ", "ß"),
        ("İ", "i̇"),
        ("I", "i"),
        ("Ǆ", "ǆ"),
        ("Ⅻ", "ⅻ"),
        ("ＡＢＣ", "ａｂｃ"),
        ("𐐀", "𐐨"),
        ("A\x00B", "a\x00b"),
        ("", ""),
    ],
)
def test_lower_follows_unicode_in_every_script(text: str, low: str) -> None:
    assert rules.lower().scalar(text) == (low, None)


@pytest.mark.parametrize(
    ("text", "up"),
    [
        ("ada", "ADA"),
        ("straße", "STRASSE"),
        ("οδος", "ΟΔΟΣ"),
        ("ı", "I"),
        ("ŉ", "ʼN"),
        ("ﬁ", "FI"),
        ("ǆ", "Ǆ"),
        ("å", "Å"),
        ("ⅻ", "Ⅻ"),
        ("𐐨", "𐐀"),
        ("", ""),
    ],
)
def test_upper_follows_unicode_in_every_script(text: str, up: str) -> None:
    assert rules.upper().scalar(text) == (up, None)


@pytest.mark.parametrize("text", ["", " ", "\t\n", NBSP, ZWSP, BOM, "\x00", f"{LRE}{PDF}", ZWNJ, f" {ZWJ} ", "\u3000\u2028", INVISIBLE])
def test_a_text_that_shows_nothing_becomes_null(text: str) -> None:
    assert rules.empty_to_null().scalar(text) == (None, None)


@pytest.mark.parametrize("text", ["a", " a ", "0", "NULL", "N/A", "-", "\u00ad", "ㅤ", f"a{ZWNJ}"])
def test_a_text_that_shows_something_passes_as_it_is(text: str) -> None:
    assert rules.empty_to_null().scalar(text) == (text, None)


def test_words_that_stand_for_nothing_are_compared_trimmed_and_in_their_case() -> None:
    rule = rules.empty_to_null(also=(" N/A", "-"))
    assert [rule.scalar(text).value for text in ("N/A", f"{NBSP}N/A ", "-", "n/a", "--")] == [None, None, None, "n/a", "--"]


def test_one_text_for_also_is_refused_with_the_tuple_to_write() -> None:
    with pytest.raises(ConfigError, match=r"write \('N/A',\)"):
        rules.empty_to_null(also="N/A")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="NoneType"):
        rules.empty_to_null(also=(None,))  # type: ignore[arg-type]


@pytest.mark.parametrize("rule", [rules.trim(), rules.squash_spaces(), rules.lower(), rules.upper(), rules.empty_to_null()])
def test_null_passes_every_rule_for_text(rule: rules.Rule) -> None:
    assert rule.scalar(None) == (None, None)


def test_superscripts_and_fractions_are_no_digits() -> None:
    assert [plain(text) for text in ("10²", "½", "Ⅻ", "①")] == ["10²", "½", "Ⅻ", "①"]


def test_digits_of_any_script_and_full_width_signs_become_ascii() -> None:
    assert [plain(text) for text in ("１２．５", "٤٢", "४२", f"{RLM}٤٢", "\u22124")] == ["12.5", "42", "42", "42", "-4"]
