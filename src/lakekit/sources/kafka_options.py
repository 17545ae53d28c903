"""librdkafka's options: those that lakekit sets, those a user gives, and which of them are secrets."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

import attrs

from lakekit.errors import ConfigError

Options = Mapping[str, Any]

_PLACE: Final = "sources.Kafka(options=)"
_NO_GROUP: Final = "lakekit"
_DEFAULTS: Final[Options] = {
    "client.id": "lakekit",
    "group.id": _NO_GROUP,  # librdkafka wants one; nothing is ever committed to this one
    "isolation.level": "read_committed",
    "socket.timeout.ms": 30_000,
    "fetch.queue.backoff.ms": 50,  # librdkafka's own second, after each time its queue was full, halves the throughput
    "fetch.wait.max.ms": 100,  # the end of a topic is noticed that much later
}
# Reading by bookmark depends on these.
_FIXED: Final[Options] = {
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    "auto.offset.reset": "error",  # an offset that is gone must not turn silently into another one
    "enable.partition.eof": True,
}
_REFUSED: Final = frozenset({"bootstrap.servers", "metadata.broker.list", *_FIXED})
_SECRET: Final = re.compile(r"password|secret|token|\.pem$|oauthbearer|jaas|\.keytab$")
# What librdkafka tells a client that only administers to leave out.
_CONSUMER: Final = (
    "group.",
    "fetch.",
    "queued.",
    "isolation.",
    "auto.",
    "enable.",
    "max.poll",
    "check.crcs",
    "session.",
    "heartbeat.",
    "partition.",
)


def check(options: object) -> None:
    """Raise where options are given that can't be used.

    Raises:
        ConfigError: They are no mapping, or name an option that lakekit sets itself.
    """
    if not isinstance(options, Mapping) or not all(isinstance(name, str) for name in options):  # pyright: ignore[reportUnknownVariableType]
        raise ConfigError(
            _PLACE,
            "expected a mapping of librdkafka's options, or a function that returns one",
            got=type(options).__name__,
            hint="write {'security.protocol': 'SASL_SSL', 'sasl.mechanism': 'PLAIN', …}.",
        )
    if taken := sorted(_REFUSED & set(options)):  # pyright: ignore[reportUnknownArgumentType]
        raise ConfigError(
            _PLACE, "lakekit sets this option itself", got=repr(taken[0]), hint="leave it out; the address is Kafka(servers)."
        )


def has_secret(options: Options) -> bool:
    """Whether one of the options is a secret."""
    return any(_SECRET.search(name) for name in options)


@attrs.frozen(repr=False)
class Settings:
    """All options of one connection. Made when it is needed, never kept."""

    options: Options

    @classmethod
    def of(cls, servers: str, options: Options | Callable[[], Options]) -> Settings:
        """The options given, calling the function where it is one, on top of lakekit's defaults."""
        given = options() if callable(options) else options
        check(given)
        return cls({**_DEFAULTS, **given, **_FIXED, "bootstrap.servers": servers})

    @property
    def timeout(self) -> float:
        """How many seconds the brokers may take to answer."""
        return float(self.options["socket.timeout.ms"]) / 1000

    @property
    def committed_only(self) -> bool:
        """Whether messages of open and aborted transactions are left out."""
        return self.options["isolation.level"] == "read_committed"

    @property
    def acknowledged_group(self) -> str | None:
        """The consumer group that is told how far a topic was read. None: the user names none."""
        group = str(self.options["group.id"])
        return None if group == _NO_GROUP else group

    def consumer(self, on_error: Callable[[Any], None]) -> dict[str, Any]:
        """The options of a consumer."""
        return {**self.options, "error_cb": self._told(on_error)}

    def admin(self, on_error: Callable[[Any], None]) -> dict[str, Any]:
        """The options of a client that asks about topics."""
        return {name: value for name, value in self.consumer(on_error).items() if not name.startswith(_CONSUMER)}

    def _told(self, on_error: Callable[[Any], None]) -> Callable[[Any], None]:
        own = self.options.get("error_cb")

        def told(error: Any) -> None:
            on_error(error)
            if own is not None:
                own(error)

        return told

    def without_secrets(self, text: str) -> str:
        """A text of librdkafka, or nothing where it holds a secret after all."""
        secrets = [str(value) for name, value in self.options.items() if _SECRET.search(name) and value]
        return "" if any(secret in text for secret in secrets) else text
