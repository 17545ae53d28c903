"""What MongoDB and its driver say when something fails, as lakekit's errors.

Their own texts may hold the connection string, filters or documents, so they are neither quoted nor chained; names of error codes are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from lakekit.errors import ConfigError, LakekitError, MissingExtraError, SourceConfigError, SourceError

if TYPE_CHECKING:
    from pymongo.errors import OperationFailure

_URI_HINT: Final = "write 'mongodb://user:password@host:27017', with special characters percent-encoded; unknown options are refused, too."
_BAD_LOGIN: Final = {18, 11}
_UNAUTHORIZED: Final = {13, 8000}
# The cursor is gone, time is up, the server shuts down or is no primary, a shard is away, a snapshot is too old, it was interrupted.
_RETRY: Final = {
    6,
    7,
    43,
    50,
    89,
    91,
    133,
    175,
    189,
    239,
    246,
    262,
    9001,
    10107,
    11600,
    11601,
    11602,
    13388,
    13435,
    13436,
    63,
    150,
    234,
    237,
}
_STREAM_LOST: Final = {260, 280, 286}  # the token is not valid, the stream can't be resumed, the oplog has moved on
# What the network says, and the words for it here: the driver's own text names every address it tried.
_NETWORK: Final = (
    ("Connection refused", "nothing listens on its host and port"),
    ("Name or service not known", "its host name cannot be resolved"),
    ("nodename nor servname", "its host name cannot be resolved"),
    ("Temporary failure in name resolution", "its host name cannot be resolved"),
    ("CERTIFICATE", "its certificate is not trusted"),
    ("SSL", "no encrypted connection could be agreed on"),
    ("timed out", "it did not answer in time"),
    ("unreachable", "the network does not reach it"),
    ("No primary", "its replica set has no primary now"),
    ("No replica set members", "no member of its replica set is suitable"),
    ("incompatible", "it is older than the driver supports"),
)


def missing_extra() -> MissingExtraError:
    """The driver is not installed."""
    return MissingExtraError("sources.Mongo()", "needs the package pymongo", hint="pip install 'lakekit[mongo]'.")


def bad_uri() -> ConfigError:
    """The driver does not understand the connection string."""
    return ConfigError(
        "sources.Mongo(uri=)", "expected a connection string of MongoDB (not shown here: it may hold a password)", hint=_URI_HINT
    )


def unreadable(reason: str | None) -> ConfigError:
    """A file that the connection string names can't be read."""
    return ConfigError(
        "sources.Mongo(uri=)", "names a file that can't be read", got=reason or "", hint="check tlsCAFile and tlsCertificateKeyFile."
    )


def unresolved(place: str) -> SourceError:
    """The DNS does not know the server of a ``mongodb+srv`` address."""
    return SourceError(
        place, "MongoDB cannot be reached: the DNS does not know its mongodb+srv address", hint="check the host, then try again."
    )


def explain(error: Exception, *, place: str) -> LakekitError:
    """The error for what the driver raised."""
    from pymongo.errors import ConfigurationError, ConnectionFailure, InvalidName, OperationFailure, ProtocolError

    if isinstance(error, InvalidName):
        return ConfigError(place, "MongoDB does not allow this name", hint="check database= and the collection's name.")
    if isinstance(error, OperationFailure):
        return _refused(error, place=place)
    if isinstance(error, (ConnectionFailure, ProtocolError)):
        said = str(error)
        meaning = next((words for sign, words in _NETWORK if sign in said), "the connection could not be made, or broke")
        return SourceError(place, f"MongoDB cannot be reached: {meaning}", hint="nothing was written: check host and port, then try again.")
    if isinstance(error, ConfigurationError):
        return SourceConfigError(
            place, "the driver can't work with this server as the connection string says", hint="try mongosh with the same string."
        )
    return SourceError(place, f"the driver failed ({type(error).__name__})", hint="nothing was written: try again.")


def _refused(error: OperationFailure, *, place: str) -> LakekitError:
    details = error.details or {}
    name = details.get("codeName") or ""
    said = f"{name}, code {error.code}" if name else f"code {error.code}"
    if error.code in _BAD_LOGIN:
        return SourceConfigError(place, "MongoDB refused the log-in", got=said, hint="check user, password and authSource in the uri.")
    if error.code in _UNAUTHORIZED:
        return SourceConfigError(place, "the user may not read this", got=said, hint="grant the role 'read' on the database.")
    if error.code in _STREAM_LOST:
        hint = "lk.rewind(…, to=None) reads all documents again; a larger oplog, or reading more often, keeps it from happening."
        return SourceConfigError(place, "MongoDB no longer keeps the changes since the last read", got=said, hint=hint)
    if error.code in _RETRY or error.timeout or error.has_error_label("RetryableError"):
        return SourceError(place, "MongoDB broke off the read", got=said, hint="nothing was written: try again.")
    return SourceConfigError(place, "MongoDB refused", got=said, hint="check the names of database, collection and cursor.")
