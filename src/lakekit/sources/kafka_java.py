"""librdkafka's options in the words of Kafka's Java client, which Spark reads through."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from lakekit.errors import ConfigError

if TYPE_CHECKING:
    from lakekit.sources.kafka_options import Settings

_SAME: Final = (
    *("bootstrap.servers", "client.id", "security.protocol", "isolation.level", "client.rack", "metadata.max.age.ms"),
    *("fetch.min.bytes", "fetch.max.bytes", "max.partition.fetch.bytes", "sasl.kerberos.service.name", "ssl.cipher.suites"),
)
_RENAMED: Final = {
    "socket.timeout.ms": "request.timeout.ms",
    "fetch.wait.max.ms": "fetch.max.wait.ms",
    "receive.message.max.bytes": "fetch.max.bytes",
    "ssl.ca.pem": "ssl.truststore.certificates",
    "ssl.ca.location": "ssl.truststore.location",
    "ssl.certificate.pem": "ssl.keystore.certificate.chain",
    "ssl.key.pem": "ssl.keystore.key",
    "ssl.key.password": "ssl.key.password",
}
# They steer librdkafka itself, or are taken into account with others.
_ITS_OWN: Final = (
    *("group.id", "fetch.queue.backoff.ms", "error_cb", "log_cb", "stats_cb", "throttle_cb", "logger", "statistics.interval.ms"),
    *("queued.", "log", "debug", "enable.auto.", "auto.offset.reset", "enable.partition.eof", "sasl.mechanism", "sasl.username"),
    *("sasl.password", "ssl.endpoint.identification.algorithm", "broker.address.", "check.crcs"),
)
_MODULES: Final = {"PLAIN": "plain.PlainLoginModule", "SCRAM-SHA-256": "scram.ScramLoginModule", "SCRAM-SHA-512": "scram.ScramLoginModule"}


def options(settings: Settings, *, place: str) -> dict[str, str]:
    """The options of Spark's connector for a connection. They hold its secrets: not for logs.

    Raises:
        ConfigError: An option has no counterpart.
    """
    given: Mapping[str, Any] = settings.options
    found = {name: given[name] for name in _SAME if name in given}
    found |= {java: given[name] for name, java in _RENAMED.items() if name in given}
    if unknown := [name for name in given if name not in {*_SAME, *_RENAMED} and not name.startswith(_ITS_OWN)]:
        raise ConfigError(
            f"{place}, options=",
            "Kafka's Java client, which Spark reads through, has no such option",
            got=", ".join(map(repr, sorted(unknown))),
            hint="leave it out on Spark, or ingest this topic on the embedded engine: the bookmark is the same.",
        )
    if "ssl.ca.pem" in given or "ssl.ca.location" in given:
        found["ssl.truststore.type"] = "PEM"
    if "ssl.key.pem" in given:
        found["ssl.keystore.type"] = "PEM"
    if given.get("ssl.endpoint.identification.algorithm", "https") == "none":
        found["ssl.endpoint.identification.algorithm"] = ""
    found |= _sasl(given, place)
    return {f"kafka.{name}": str(value) for name, value in found.items()}


def _sasl(given: Mapping[str, Any], place: str) -> dict[str, str]:
    mechanism = given.get("sasl.mechanism") or given.get("sasl.mechanisms")
    if mechanism is None:
        return {}
    if mechanism not in _MODULES:
        raise ConfigError(
            f"{place}, options=",
            f"on Spark, expected the mechanism {', '.join(_MODULES)}",
            got=repr(mechanism),
            hint="ingest this topic on the embedded engine: the bookmark is the same.",
        )
    # Databricks brings the client under another name.
    shaded = "kafkashaded." if "DATABRICKS_RUNTIME_VERSION" in os.environ else ""
    module = f"{shaded}org.apache.kafka.common.security.{_MODULES[mechanism]}"
    user, password = (_quoted(str(given.get(name, ""))) for name in ("sasl.username", "sasl.password"))
    return {"sasl.mechanism": mechanism, "sasl.jaas.config": f"{module} required username={user} password={password};"}


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
