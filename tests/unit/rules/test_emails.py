"""The rule for e-mail addresses."""

import pytest

from lakekit import rules


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("ada@example.com", "ada@example.com"),
        (" Ada.Lovelace@Example.COM\n", "ada.lovelace@example.com"),
        ("\u200bada@example.com\ufeff", "ada@example.com"),
        ("\u202aada@example.com\u202c", "ada@example.com"),
        ("ada+news@example.com", "ada+news@example.com"),
        ("o'brien@example.ie", "o'brien@example.ie"),
        ("ADA@BÜCHER.EXAMPLE", "ada@bücher.example"),
        ("ada@xn--bcher-kva.example", "ada@bücher.example"),
        ("ada@example．com", "ada@example.com"),
        ("用户@例子.广告", "用户@例子.广告"),
        ("A\u030asa@example.se", "åsa@example.se"),
        ('"John Doe"@example.com', '"john doe"@example.com'),
        ('"ada"@example.com', "ada@example.com"),
        ("x" * 64 + "@example.com", "x" * 64 + "@example.com"),
        ("bounce-" + "x" * 90 + "@example.com", "bounce-" + "x" * 90 + "@example.com"),  # mailing lists do this, and receivers take it
        ("_______@example.com", "_______@example.com"),
        ("1234567890@example.co.uk", "1234567890@example.co.uk"),
    ],
)
def test_one_address_has_one_spelling(text: str, clean: str) -> None:
    assert rules.email().scalar(text) == (clean, None)


@pytest.mark.parametrize(
    "text",
    [
        "ada",
        "@example.com",
        "ada@",
        "ada@@example.com",
        "ada@example",
        "ada@localhost",
        "ada@printer.local",
        "ada@example.test",
        "ada@[127.0.0.1]",
        "ada@example.com.",
        ".ada@example.com",
        "ada.@example.com",
        "a..da@example.com",
        "ada lovelace@example.com",
        "Ada <ada@example.com>",
        "ada@example.com, bob@example.com",
        "mailto:ada@exa mple.com",
        "ada＠example.com",
        "ada@exam\u200bple.com",
        "ada@-example.com",
        "a\x00da@example.com",
        "ada\ud800@example.com",
        "x" * 10_000 + "@example.com",
        "ada@" + "x" * 64 + ".com",
        "ada@" + "xn--" + "\u00fc" * 300,
        "@" * 10_000,
        "n/a",
    ],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    assert rules.email().scalar(text) == (None, "not_an_email")


@pytest.mark.parametrize("text", ["", " ", "\u200b", "\u200c", "\x00"])
def test_an_empty_address_is_refused_as_empty(text: str) -> None:
    assert rules.email().scalar(text) == (None, "empty")


def test_null_passes() -> None:
    assert rules.email().scalar(None) == (None, None)


def test_a_chain_that_makes_blanks_null_lets_them_pass() -> None:
    chain = rules.ChainFunction([rules.empty_to_null(), rules.email()])
    assert chain.scalar(" ") is None
