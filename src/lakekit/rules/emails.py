"""The rule for e-mail addresses: syntax checked without the network, one spelling per address."""

from __future__ import annotations

import unicodedata
from typing import ClassVar, Final

import attrs

from lakekit.rules.base import Result, TextRule
from lakekit.rules.characters import EDGES, INVISIBLE

_LONGEST: Final = 1_000  # characters; far above the 254 bytes an address may have, so that nothing valid is cut off


@attrs.frozen
class Email(TextRule):
    """The rule that ``email()`` makes."""

    name: ClassVar[str] = "email"

    def scalar(self, value: str | None, /) -> Result:
        """The address in its one spelling, or a refusal."""
        from email_validator import validate_email  # here, so that importing lakekit stays quick

        if value is None:
            return Result(None)
        text = value.strip(EDGES)
        if not text.strip(INVISIBLE):
            return Result(None, "empty")
        if len(text) > _LONGEST:
            return Result(None, "not_an_email")
        try:
            address = validate_email(text, check_deliverability=False, allow_smtputf8=True, allow_quoted_local=True)
        except ValueError:  # EmailNotValidError and every UnicodeError; their text holds parts of the value and is dropped
            return Result(None, "not_an_email")
        return Result(unicodedata.normalize("NFC", address.normalized.lower()))


def email() -> Email:
    """An e-mail address in one spelling: trimmed, lower case on both sides of the @, Unicode NFC, the domain in letters, not in Punycode.

    Lower-casing the part before the @ goes beyond RFC 5321, which leaves its case to the receiver; in practice no receiver tells
    ``Ada@`` from ``ada@``, and one person should have one key. The spelling as it came stays in bronze. Quoted local parts and
    international addresses are valid; display names, bracketed IP addresses, domains without a dot and domains reserved for other
    uses (``.local``, ``.test``) are not. Nothing is looked up: a valid address may not exist. NULL stays NULL.

    Reasons: ``empty``, ``not_an_email``.

    Source: RFC 5321 section 4.1.2, RFC 6531 (international local parts), RFC 5891 and UTS #46 (international domains), RFC 6761.

    >>> email().scalar(" Ada.Lovelace@Example.COM ").value
    'ada.lovelace@example.com'
    >>> email().scalar("ada@xn--bcher-kva.example").value
    'ada@bücher.example'
    >>> email().scalar("ada at example.com").reason
    'not_an_email'
    """
    return Email()
