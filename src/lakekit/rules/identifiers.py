"""Rules for identifiers: UUIDs and URLs in one spelling."""

from __future__ import annotations

import re
from typing import ClassVar, Final
from urllib.parse import SplitResult, quote, unquote_to_bytes, urlsplit

import attrs

from lakekit.errors import ConfigError
from lakekit.rules.base import InputType, PythonRule, Result, TextRule
from lakekit.rules.characters import EDGES, INVISIBLE, plain

_UUID: Final = re.compile(
    r"(?:urn:uuid:)?(\{)?([0-9a-f]{8})(-?)([0-9a-f]{4})\3([0-9a-f]{4})\3([0-9a-f]{4})\3([0-9a-f]{12})(?(1)\})", re.IGNORECASE
)
_PORTS: Final = {"http": 80, "https": 443, "ftp": 21, "ws": 80, "wss": 443}
_LONGEST: Final = 8_000  # characters: RFC 9110 asks receivers for that many
_HOST: Final = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?)*\.?")
_UNRESERVED: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_ENCODED: Final = re.compile(r"%([0-9A-Fa-f]{2})")


@attrs.frozen
class Uuid(PythonRule):
    """The rule that ``uuid()`` makes."""

    name: ClassVar[str] = "uuid"
    input_type: ClassVar[InputType] = "any"
    output_type: ClassVar[str | None] = "string"
    idempotent: ClassVar[bool] = True

    def scalar(self, value: str | None, /) -> Result:
        """The UUID in lower case with hyphens, or a refusal."""
        if value is None:
            return Result(None)
        text = value.strip(EDGES)
        if not text.strip(INVISIBLE):
            return Result(None, "empty")
        match = _UUID.fullmatch(text) if text.isascii() else None
        return Result(None, "not_a_uuid") if match is None else Result("-".join(match.group(2, 4, 5, 6, 7)).lower())


@attrs.frozen
class Url(TextRule):
    """The rule that ``url()`` makes."""

    schemes: tuple[str, ...]

    name: ClassVar[str] = "url"

    def scalar(self, value: str | None, /) -> Result:
        """The URL in its one spelling, or a refusal."""
        if value is None:
            return Result(None)
        text = value.strip(EDGES)
        if not text.strip(INVISIBLE):
            return Result(None, "empty")
        if len(text) > _LONGEST or any(character in ' <>"{}|\\^`' or not character.isprintable() for character in text):
            return Result(None, "not_a_url")
        try:
            parts = urlsplit(text)
            if not parts.scheme or "://" not in text:
                return Result(None, "no_scheme")
            if parts.scheme not in self.schemes:
                return Result(None, "scheme_not_allowed")
            clean = _spelled(parts)
        except ValueError:  # a port that is none, brackets that don't close, a name that can't be one
            return Result(None, "not_a_url")
        return Result(None, "not_a_url") if clean is None else Result(clean)


def _spelled(parts: SplitResult) -> str | None:
    """Scheme and host in lower case, the host in letters of ASCII, no port that goes without saying, a path without dots."""
    host = _host(parts.hostname or "")
    if host is None:
        return None
    user = ""
    if parts.username is not None:
        user = _encoded(parts.username) + ("" if parts.password is None else f":{_encoded(parts.password)}") + "@"
    port = "" if parts.port is None or parts.port == _PORTS.get(parts.scheme) else f":{parts.port}"
    path = _without_dots(_encoded(parts.path)) or "/"
    query = f"?{_encoded(parts.query)}" if parts.query else ""
    fragment = f"#{_encoded(parts.fragment)}" if parts.fragment else ""
    return f"{parts.scheme}://{user}{host}{port}{path}{query}{fragment}"


def _host(name: str) -> str | None:
    import ipaddress

    import idna

    if ":" in name:
        return f"[{ipaddress.IPv6Address(name)}]"
    name = plain(name).lower()
    if not name.isascii():
        name = idna.encode(name, uts46=True).decode()
    return name if _HOST.fullmatch(name) and len(name.rstrip(".")) <= 253 else None


def _encoded(text: str) -> str:
    """What is not ASCII as the percent-encoded bytes of its UTF-8, and each encoding in its one form."""

    def one(match: re.Match[str]) -> str:
        byte = unquote_to_bytes(match.group())
        return byte.decode() if byte[0] in _UNRESERVED else match.group().upper()

    return quote(_ENCODED.sub(one, text), safe="%/?:@!$&'()*+,;=#[]~")


def _without_dots(path: str) -> str:
    kept: list[str] = []
    parts = path.split("/")
    for part in parts:
        if part == "..":
            kept = kept[:-1] if len(kept) > 1 else kept
        elif part != ".":
            kept.append(part)
    return "/".join(kept) + ("/" if parts[-1] in (".", "..") and kept[-1:] != [""] else "")


def uuid() -> Uuid:
    """A UUID in lower case with hyphens, out of any of its forms: upper case, without hyphens, in braces, as a URN. NULL stays NULL.

    Any version and variant passes. The result is text; a column of type UUID is read as text.

    Reasons: ``empty``, ``not_a_uuid``.

    Source: RFC 9562 section 4.

    >>> uuid().scalar("{6BA7B810-9DAD-11D1-80B4-00C04FD430C8}").value
    '6ba7b810-9dad-11d1-80b4-00c04fd430c8'
    >>> uuid().scalar("6ba7b810").reason
    'not_a_uuid'
    """
    return Uuid()


def url(*schemes: str) -> Url:
    """An absolute URL in one spelling, so that equal ones are equal texts. NULL stays NULL.

    Scheme and host are in lower case, the host as DNS knows it (Punycode), the port left out where it is the scheme's own, the path without
    ``.`` and ``..``, the rest percent-encoded once and in capitals. Nothing that could lead elsewhere is touched: query, fragment, the
    slash at the end of a path, ``www.``. Nothing is looked up.

    Args:
        schemes: Those that are allowed. Default: http and https.

    Reasons: ``empty``, ``no_scheme``, ``scheme_not_allowed``, ``not_a_url``.

    Raises:
        ConfigError: a scheme that is none.

    Source: RFC 3986 sections 3 and 6.2.2 to 6.2.3, RFC 5891 and UTS #46 (international domains).

    >>> url().scalar("HTTP://Bücher.example:80/a/../%7eada?q=ä").value
    'http://xn--bcher-kva.example/~ada?q=%C3%A4'
    >>> url().scalar("www.example.com").reason, url().scalar("javascript://alert").reason
    ('no_scheme', 'scheme_not_allowed')
    """
    for scheme in schemes:
        if not isinstance(scheme, str) or not re.fullmatch(r"[a-z][a-z0-9+.-]*", scheme):  # pyright: ignore[reportUnnecessaryIsInstance]
            got = repr(scheme) if isinstance(scheme, str) else f"a value of type {type(scheme).__name__}"  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConfigError("rules.url(*schemes)", "expected schemes in lower case", got=got, hint='write "https".')
    return Url(tuple(dict.fromkeys(schemes)) or ("http", "https"))
