"""A schema registry: what schema the messages of a topic have, by Confluent's protocol and client.

A message begins with a zero byte and the four bytes of its schema's id. Credentials are used to ask, and never kept, shown or sent to workers.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Final, cast
from urllib.parse import unquote, urlsplit, urlunsplit

import attrs

from lakekit.errors import ConfigError, LakekitError, MissingExtraError, SourceConfigError, SourceError

Options = str | Mapping[str, Any]
GivenOptions = Options | Callable[[], Options] | None

_PLACE: Final = "sources.Kafka(registry=)"
_DEFAULTS: Final[Mapping[str, Any]] = {"timeout": 30, "max.retries": 2}
_SECRET: Final = re.compile(r"password|secret|token|user\.info|proxy")
HEADER: Final = 5  # bytes before the message itself


@attrs.frozen
class Registered:
    """A schema of the registry.

    Attributes:
        kind: ``AVRO``, ``JSON`` or ``PROTOBUF``.
        text: The schema itself.
        references: The schemas that it names, by these names, each after those it names itself.
    """

    kind: str
    text: str
    references: Mapping[str, str] = attrs.field(factory=dict)


Lookup = Callable[[int], Registered | None]
"""Gives the schema of an id. None: the registry has none."""


def check(options: object) -> None:
    """Raise where it can't be a registry's address.

    Raises:
        ConfigError: It is neither a URL nor a mapping with one.
    """
    url = cast("Mapping[str, object]", options).get("url") if isinstance(options, Mapping) else options
    if not isinstance(url, str) or not url.startswith(("http://", "https://")):
        raise ConfigError(
            _PLACE,
            "expected the URL of a schema registry, or a mapping of confluent-kafka's options with one, or a function that returns either",
            got=type(options).__name__ if not isinstance(options, Mapping) else "a mapping without 'url'",
            hint="write 'http://registry:8081', or {'url': …, 'basic.auth.user.info': 'user:password'}.",
        )


def has_secret(options: Options | None) -> bool:
    """Whether there is a secret in it.

    >>> has_secret("http://registry:8081"), has_secret("http://user:password@registry:8081")
    (False, True)
    """
    if options is None:
        return False
    given: Mapping[str, Any] = {"url": options} if isinstance(options, str) else options
    return any(_SECRET.search(name) for name in given) or any(urlsplit(url).password for url in str(given["url"]).split(","))


def frame(value: bytes) -> int | None:
    r"""The schema id that a message begins with. None: it has none.

    >>> frame(b"\x00\x00\x00\x00\x07rest"), frame(b"{}")
    (7, None)
    """
    return int.from_bytes(value[1:HEADER]) if len(value) >= HEADER and value[0] == 0 else None


def _without_user(options: Mapping[str, Any]) -> Mapping[str, Any]:
    """The options with user and password beside the URL: the HTTP client writes the URL to the log.

    >>> _without_user({"url": "http://me:a%20b@registry:8081/path"})
    {'url': 'http://registry:8081/path', 'basic.auth.user.info': 'me:a b'}
    """
    urls = [urlsplit(url.strip()) for url in options["url"].split(",")]
    users = [f"{unquote(url.username)}:{unquote(url.password or '')}" for url in urls if url.username is not None]
    bare = ",".join(urlunsplit(url._replace(netloc=url.netloc.rpartition("@")[2])) for url in urls)
    return {**options, "url": bare, **({"basic.auth.user.info": users[0]} if users else {})}


class Registry:
    """A connection to a registry. Made when it is needed, never kept."""

    def __init__(self, given: GivenOptions, *, place: str) -> None:
        """Make a client; nothing is asked yet.

        Raises:
            MissingExtraError: A package is not installed.
            ConfigError: The client does not take an option.
        """
        try:
            from confluent_kafka.schema_registry import SchemaRegistryClient
        except ImportError:
            raise missing_extra() from None
        options = given() if callable(given) else given
        check(options)
        own = _without_user({"url": options} if isinstance(options, str) else cast("Mapping[str, Any]", options))
        self._place = place
        self._found: dict[int, Registered | None] = {}
        refused = ""
        try:
            self._client: Any = SchemaRegistryClient({**_DEFAULTS, **own})
        except Exception as error:  # noqa: BLE001 -- of several kinds, and their texts may quote a secret
            refused = type(error).__name__
        if refused:
            raise ConfigError(_PLACE, "the registry's client does not take an option, or its value (not shown here)", got=refused)

    def newest(self, subject: str) -> Registered:
        """The last version of a subject.

        Raises:
            SourceConfigError: There is none, or the registry refuses this user.
            SourceError: The registry can't be reached.
        """
        found = self._ask(lambda: self._client.get_latest_version(subject).schema)
        if found is None:
            raise SourceConfigError(
                self._place,
                "the registry has no such subject",
                got=repr(subject),
                hint="name the one that the messages' producer registers with topic(subject=); the registry's URL may have a path, too.",
            )
        return found

    def schema(self, number: int) -> Registered | None:
        """The schema of an id. None: the registry has none.

        Raises:
            SourceConfigError: The registry refuses this user.
            SourceError: The registry can't be reached.
        """
        if number not in self._found:
            self._found[number] = self._ask(lambda: self._client.get_schema(number))
        return self._found[number]

    def _ask(self, ask: Callable[[], Any]) -> Registered | None:
        problem: LakekitError
        try:
            schema = ask()
            references: dict[str, str] = {}
            self._add_references(schema, references)
        except Exception as error:  # noqa: BLE001 -- of the HTTP client's kinds, which it may change; their texts may quote the address
            if getattr(error, "http_status_code", None) == 404:
                return None
            problem = self._problem(error)
        else:
            return Registered(schema.schema_type or "AVRO", schema.schema_str, references)
        raise problem

    def _add_references(self, schema: Any, found: dict[str, str]) -> None:
        for reference in schema.references or ():
            if reference.name not in found:
                named = self._client.get_version(reference.subject, reference.version).schema
                self._add_references(named, found)
                found[reference.name] = named.schema_str

    def _problem(self, error: Exception) -> LakekitError:
        status: int | None = getattr(error, "http_status_code", None)
        if status in {401, 403}:
            hint = "check 'basic.auth.user.info' in Kafka(registry=), and the user's rights."
            return SourceConfigError(self._place, "the schema registry refuses this user", got=f"HTTP status {status}", hint=hint)
        if status is not None and status < 500 and status != 429:
            return SourceConfigError(self._place, "the schema registry refuses", got=f"HTTP status {status}", hint="check its URL.")
        got = f"HTTP status {status}" if status is not None else type(error).__name__
        return SourceError(self._place, "the schema registry can't be reached", got=got, hint="nothing was written: try again.")

    def close(self) -> None:
        """Let its connections go."""
        with suppress(Exception):
            self._client.__exit__()


def missing_extra() -> MissingExtraError:
    """A package is not installed."""
    return MissingExtraError(
        "Kafka.topic(format=)", "needs a schema registry's client and fastavro", hint="pip install 'lakekit[registry]'."
    )
