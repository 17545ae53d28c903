"""The rule for the match key of an e-mail address: by what each provider takes for one mailbox."""

from __future__ import annotations

from typing import ClassVar, Final

import attrs

from lakekit.rules.base import Result, TextRule
from lakekit.rules.emails import Email


@attrs.frozen
class _Provider:
    """How a provider reads the part before the @.

    Attributes:
        domains: Its domains, which all lead to one mailbox; the first one stands in the key.
        ignored: Characters that make no difference.
        tag: What begins a tag, which makes no difference either.
        instead: A character that means the same as another one.
    """

    domains: tuple[str, ...]
    ignored: str = ""
    tag: str = "+"
    instead: tuple[str, str] = ("", "")


# As these providers are known to read addresses in 2026; one that is not listed gets no more than what e-mail itself says.
_PROVIDERS: Final = (
    _Provider(("gmail.com", "googlemail.com"), ignored="."),
    *(_Provider((domain,)) for domain in ("outlook.com", "hotmail.com", "live.com", "msn.com")),
    *(_Provider((domain,)) for domain in ("icloud.com", "me.com", "mac.com", "fastmail.com", "fastmail.fm", "zoho.com")),
    _Provider(("proton.me", "protonmail.com", "pm.me"), ignored=".-_"),
    _Provider(("yandex.ru", "ya.ru", "yandex.com", "yandex.by", "yandex.kz"), instead=(".", "-")),
)
_BY_DOMAIN: Final = {domain: provider for provider in _PROVIDERS for domain in provider.domains}


@attrs.frozen
class EmailKey(TextRule):
    """The rule that ``email_key()`` makes."""

    name: ClassVar[str] = "email_key"

    def scalar(self, value: str | None, /) -> Result:
        """The key of the mailbox, or the refusal that ``email()`` gives."""
        address, reason = Email().scalar(value)
        if reason is not None or not isinstance(address, str):
            return Result(None, reason)
        local, _, domain = address.rpartition("@")
        provider = _BY_DOMAIN.get(domain)
        if provider is None or local.startswith('"'):
            return Result(address)
        mailbox = local.partition(provider.tag)[0].translate({ord(character): None for character in provider.ignored})
        mailbox = mailbox.replace(*provider.instead) if provider.instead[0] else mailbox
        return Result(f"{mailbox or local}@{provider.domains[0]}")


def email_key() -> EmailKey:
    """A key that is equal for addresses of one mailbox: to match by, never to write to. NULL stays NULL.

    It is the address as ``email()`` spells it and, at providers known for it, without what makes no difference to them: Gmail's dots and
    ``+tags``, the other domain of the same mailbox. At any other domain a dot or a plus may be another person, and stays. Domains of
    one's own that are hosted by such a provider are not known, since nothing is looked up. Put it beside the address:

        {"email": rules.email(), "email_key": [rules.copy_of("email"), rules.email_key()]}

    Reasons: those of ``email()``: ``empty``, ``not_an_email``.

    Source: RFC 5233 (sub-addressing); the providers' own documentation.

    >>> email_key().scalar("Ada.Love.Lace+news@GoogleMail.com").value
    'adalovelace@gmail.com'
    >>> email_key().scalar("ada.lovelace+news@example.com").value
    'ada.lovelace+news@example.com'
    """
    return EmailKey()
