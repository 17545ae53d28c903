"""What librdkafka says when something fails, as lakekit's errors. Its texts pass only when they hold no secret, and are not chained."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

from lakekit.errors import ConfigError, LakekitError, MissingExtraError, SourceConfigError, SourceError
from lakekit.sources.kafka_options import Settings

_PROPERTY: Final = re.compile(r'property:? "(?P<name>[\w.]+)"|(?P<other>(?:ssl|sasl|enable)[\w.]+) failed')
_REFUSED: Final = frozenset(
    {
        "_AUTHENTICATION",
        "SASL_AUTHENTICATION_FAILED",
        "TOPIC_AUTHORIZATION_FAILED",
        "GROUP_AUTHORIZATION_FAILED",
        "CLUSTER_AUTHORIZATION_FAILED",
        "UNSUPPORTED_SASL_MECHANISM",
        "ILLEGAL_SASL_STATE",
        "TOPIC_EXCEPTION",
    }
)
_NO_TOPIC: Final = frozenset({"UNKNOWN_TOPIC_OR_PART", "_UNKNOWN_TOPIC", "_UNKNOWN_PARTITION", "UNKNOWN_TOPIC_ID"})
_GONE: Final = frozenset({"_AUTO_OFFSET_RESET", "OFFSET_OUT_OF_RANGE"})
# Of what librdkafka reports while it can't connect, the most telling comes first.
_TELLING: Final = ("_AUTHENTICATION", "_SSL", "_RESOLVE", "_TRANSPORT")


def missing_extra(package: str) -> MissingExtraError:
    """A package is not installed."""
    return MissingExtraError("sources.Kafka()", f"needs the package {package}", hint="pip install 'lakekit[kafka]'.")


def options(text: str) -> ConfigError:
    """The error for an option that librdkafka does not take. Its own text may quote the value."""
    found = _PROPERTY.search(text)
    return ConfigError(
        "sources.Kafka(options=)",
        "librdkafka does not take an option, or its value (not shown here: it may be a secret)",
        got=repr(found["name"] or found["other"]) if found else "",
        hint="librdkafka's CONFIGURATION.md lists them.",
    )


def of(error: Any, settings: Settings, *, place: str) -> LakekitError:
    """The error for a KafkaError."""
    name, said = error.name(), settings.without_secrets(_tidy(error.str()))
    if name in _NO_TOPIC:
        return SourceConfigError(
            place,
            "there is no such topic, or this user may not see it",
            got=said,
            hint="check the name, the servers and the user's rights.",
        )
    if name in _REFUSED:
        return SourceConfigError(
            place, "Kafka refuses this user", got=said, hint="check sasl.username, sasl.password and sasl.mechanism, and the user's rights."
        )
    if "SSL" in said:
        return SourceConfigError(
            place, "no encrypted connection could be agreed on", got=said, hint="check security.protocol, ssl.ca.location and the port."
        )
    if name in _GONE:
        return SourceError(place, "messages were deleted while they were read", got=said, hint="run it again: it tells what is lost.")
    return SourceError(place, "reading from Kafka broke off", got=said, hint="try again.")


def unreachable(reported: Iterable[Any], settings: Settings, *, place: str) -> LakekitError:
    """The error for brokers that can't be reached, from what librdkafka reported meanwhile."""
    by_name = {error.name(): error for error in reversed(list(reported))}
    telling = next((by_name[name] for name in _TELLING if name in by_name), None)
    said = settings.without_secrets(_tidy(telling.str())) if telling is not None else ""
    if telling is not None and (telling.name() in _REFUSED or "SSL" in said):
        return of(telling, settings, place=place)
    return SourceError(
        place, "no broker can be reached", got=said, hint="check servers and security.protocol, then try again: they may be starting."
    )


def _tidy(text: str) -> str:
    """The first line, without librdkafka's timings."""
    return text.splitlines()[0].partition(" (after ")[0] if text else ""
