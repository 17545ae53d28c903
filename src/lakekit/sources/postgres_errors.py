"""What PostgreSQL and its driver say when something fails, as lakekit's errors.

Their own texts may hold the connection string or row values, so they are neither quoted nor chained; only harmless sentences pass.
"""

from __future__ import annotations

import re
from typing import Final

from lakekit.errors import ConfigError, LakekitError, MissingExtraError, SchemaError, SourceConfigError, SourceError
from lakekit.sources import postgres_names

_SERVER_SAYS: Final = re.compile(r"(?:FATAL|PANIC|ERROR):\s+(?P<text>[^\n]*)")
_RETRY_LOGIN: Final = (
    "too many",
    "starting up",
    "shutting down",
    "connection slots",
    "recovery mode",
    "terminating connection",
    "not accepting connections",
    "not yet accepting",
)
_BAD_DSN: Final = re.compile(
    r'missing "="|invalid (?:URI|percent|connection option|integer value|port|\w+ value)|unterminated|unexpected (?:character|spaces)'
    r"|could not match|could not find matching|definition of service|service file|forbidden value|end of string|missing key/value",
)
# What the network says, and the words for it here: libpq's own line names every address it tried.
_NETWORK: Final = (
    ("could not translate host name", "its host name cannot be resolved"),
    ("refused", "nothing listens on its host and port"),
    ("timeout expired", "it did not answer in time"),
    ("timed out", "it did not answer in time"),
    ("No such file", "no server listens on its socket"),
    ("unreachable", "the network does not reach it"),
    ("No route to host", "the network does not reach it"),
    ("closed the connection", "it closed the connection"),
    ("reset by peer", "it closed the connection"),
)
# SQLSTATE classes that pass by themselves: connection, resources, operator intervention, rolled back transactions, locks, system errors.
_RETRY_STATES: Final = ("08", "40", "53", "55", "57", "58", "XX")
_RETRY_STREAM: Final = (
    "canceling statement due to conflict",
    "canceling statement due to statement timeout",
    "canceling statement due to lock timeout",
    "canceling statement due to user request",
    "could not serialize",
    "deadlock detected",
    "out of memory",
    "disk full",
    "No space left",
    "could not extend",
    "terminating connection",
    "shutting down",
    "recovery",
)


def missing_extra() -> MissingExtraError:
    """The driver is not installed."""
    return MissingExtraError(
        "sources.Postgres()", "needs the packages adbc-driver-postgresql and adbc-driver-manager", hint="pip install 'lakekit[postgres]'."
    )


def connecting(text: str, *, dsn: str, place: str) -> LakekitError:
    """The error for a connection that could not be made."""
    if said := _SERVER_SAYS.search(text):
        line = _without_secret(said["text"], dsn)
        if any(word in line for word in _RETRY_LOGIN):
            return SourceError(place, "PostgreSQL takes no connections now", got=line, hint="try again later.")
        return SourceConfigError(
            place, "PostgreSQL refused the connection", got=line, hint="check user, password, database and pg_hba.conf; then try again."
        )
    if "no password supplied" in text:
        return SourceConfigError(place, "PostgreSQL asks for a password, and the connection string has none", hint="add it to the dsn.")
    if any(word in text for word in ("SSL", "certificate", "GSS")):
        return SourceConfigError(place, "no encrypted connection could be agreed on", hint="check sslmode, sslrootcert and the host.")
    for words, meaning in _NETWORK:
        if words in text:
            return SourceError(place, f"PostgreSQL cannot be reached: {meaning}", hint="check host and port, then try again.")
    if _BAD_DSN.search(text):
        return ConfigError(
            "sources.Postgres(dsn=)",
            "PostgreSQL does not understand the connection string (not shown here: it may hold a password)",
            hint="write 'postgresql://user:password@host:5432/database', with special characters percent-encoded.",
        )
    return SourceError(place, "the connection to PostgreSQL could not be made", hint="try psql with the same connection string.")


def _without_secret(line: str, dsn: str) -> str:
    """Drop a line that holds the password after all: proxies between us and the server say what they like."""
    try:
        found = postgres_names.settings(dsn)
    except ConfigError:
        return ""
    secrets = {value for name, value in found.items() if name.endswith("password") and value != found.get("user")}
    return "" if any(secret in line for secret in secrets) else line


def reading(text: str, state: str | None, *, place: str) -> LakekitError:
    """The error for a statement that failed, or for a stream that broke off."""
    said = _SERVER_SAYS.search(text)
    line = said["text"].strip() if said else ""
    code = f" (SQLSTATE {state})" if state else ""
    if said is None or (state or "").startswith(_RETRY_STATES) or any(words in line for words in _RETRY_STREAM):
        return SourceError(place, f"PostgreSQL broke off the read{code}", got=_masked(line), hint="nothing was written: try again.")
    if state == "42501":
        return SourceConfigError(place, "the user may not read this", got=line, hint="GRANT SELECT on the table, or on columns= of it.")
    if state == "42703":
        return SchemaError(place, "PostgreSQL does not know a column", got=line, hint="check where=, scope= and columns=.")
    if state and state.startswith("42"):  # about the statement: names and grammar, never values
        return SourceConfigError(place, f"PostgreSQL does not accept the statement{code}", got=line, hint="check where= and scope=.")
    return SourceConfigError(
        place,
        f"PostgreSQL failed on a row{code}",
        got=_masked(line),
        hint="check the expressions in where=, in scope=, or in the view that is read.",
    )


def _masked(line: str) -> str:
    """The server's sentence without the values it quotes; after a colon it quotes them, too."""
    return re.sub(r'"[^"]*"?|\'[^\']*\'?', '"…"', line)
