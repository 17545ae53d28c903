"""A connection string in the words of PostgreSQL's JDBC driver, which Spark reads through."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Final
from urllib.parse import quote

from lakekit.errors import ConfigError
from lakekit.sources import postgres_errors

DRIVER: Final = "org.postgresql.Driver"
_RENAMED: Final = {
    "user": "user",
    "password": "password",
    "sslmode": "sslmode",
    "sslrootcert": "sslrootcert",
    "sslcert": "sslcert",
    "sslkey": "sslkey",
    "sslpassword": "sslpassword",
    "connect_timeout": "connectTimeout",
    "application_name": "ApplicationName",
    "options": "options",
    "gssencmode": "gssEncMode",
    "target_session_attrs": "targetServerType",
}
_SERVER_TYPES: Final = {
    "any": "any",
    "primary": "primary",
    "read-write": "primary",
    "standby": "secondary",
    "read-only": "secondary",
    "prefer-standby": "preferSecondary",
}
# libpq's words for what JDBC does anyway, or what says nothing about which rows are read.
_LEFT_OUT: Final = frozenset(
    {"host", "hostaddr", "port", "dbname", "client_encoding", "fallback_application_name", "channel_binding", "sslcompression"}
    | {"sslsni", "sslnegotiation", "ssl_min_protocol_version", "keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count"}
    | {"tcp_user_timeout", "load_balance_hosts", "gssdelegation", "krbsrvname"}
)


def options(dsn: str, *, place: str) -> dict[str, str]:
    """The options of Spark's JDBC source for a connection. They hold its password: not for logs.

    Raises:
        ConfigError: The connection string says what JDBC can't do.
    """
    given = _settings(dsn)
    unknown = sorted(set(given) - _LEFT_OUT - set(_RENAMED))
    if unknown:
        raise ConfigError(
            f"{place}, dsn=",
            "JDBC, which Spark reads through, has no such setting",
            got=", ".join(map(repr, unknown)),
            hint="leave it out on Spark, or ingest this table on the embedded engine: the bookmark is the same.",
        )
    hosts = (given.get("hostaddr") or given.get("host") or "").split(",")
    if any(not host or host.startswith(("/", "@")) for host in hosts):
        raise ConfigError(
            f"{place}, dsn=",
            "Spark reaches PostgreSQL by TCP, and the connection string names no host",
            hint="write 'postgresql://user:password@host:5432/database'.",
        )
    ports = (given.get("port") or "5432").split(",")
    ports = ports * len(hosts) if len(ports) == 1 else ports
    servers = ",".join(f"{f'[{host}]' if ':' in host else host}:{port or 5432}" for host, port in zip(hosts, ports, strict=False))
    found = {java: given[name] for name, java in _RENAMED.items() if name in given}
    if "targetServerType" in found:
        found["targetServerType"] = _SERVER_TYPES.get(found["targetServerType"], "any")
    database = quote(given.get("dbname") or given.get("user") or "", safe="")
    return {"url": f"jdbc:postgresql://{servers}/{database}", "driver": DRIVER, **found}


def _settings(dsn: str) -> Mapping[str, str]:
    """What a connection string says, taken apart by libpq, which adds what the environment says."""
    try:
        from psycopg import pq
    except ImportError:
        raise postgres_errors.missing_extra() from None
    environment = {
        found.keyword.decode(): found.val.decode()
        for found in pq.Conninfo.get_defaults()
        if found.val is not None and found.envvar is not None and found.envvar.decode() in os.environ
    }
    parsed = {found.keyword.decode(): found.val.decode() for found in pq.Conninfo.parse(dsn.encode()) if found.val is not None}
    return {**environment, **parsed}
