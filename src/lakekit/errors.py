"""The errors lakekit raises, as one tree. The tree is the retry policy: the left branch may be tried again, the right one needs a change.

    LakekitError
    ├── RetryableError                retry these: nothing was written, the same call may succeed
    │   ├── SourceError               a source could not be reached or broke off in the middle
    │   └── CommitConflictError       somebody else moved the table or its bookmark first
    └── FixError                      fix these: the same call fails again
        ├── ConfigError               an argument or an option is wrong
        │   └── MissingExtraError     an optional package is not installed
        ├── SourceConfigError         the source refuses: password, missing table or column
        ├── TableError                a table is missing, half created or not what was expected
        │   ├── TableNotFoundError
        │   └── BookmarkLostError     the table's bookmark is gone, or the upstream was rolled back behind it
        ├── ContractError             the data breaks a promise: NULL cursor, conflicting types, too many rejects
        │   └── SchemaError           a column is missing, unknown or of another type
        ├── QueryError                SQL that cannot be used: unknown column or function, LIMIT on a bookmarked batch
        └── GuardError                refused for safety: mass deletes, an empty source

Every error names the place, what was expected, what came and a hint. None of them carries row values or secrets.
"""

from __future__ import annotations


class LakekitError(Exception):
    """The base of all errors of lakekit.

    Attributes:
        place: The function and argument, or the table, where it happened: ``ingest(into=)``.
        problem: What was expected.
        got: What came instead. Empty where there is nothing to show.
        hint: What to do about it. Empty where there is no advice.
        retryable: Whether the same call may succeed later.

    >>> raise ConfigError("ingest(into=)", "expected 'namespace.table'", got="'orders'", hint="write 'bronze.orders'.")
    Traceback (most recent call last):
    lakekit.errors.ConfigError: ingest(into=): expected 'namespace.table', got 'orders'.
    Hint: write 'bronze.orders'.
    """

    retryable: bool = False

    def __init__(self, place: str, problem: str, *, got: str = "", hint: str = "") -> None:
        self.place = place
        self.problem = problem
        self.got = got
        self.hint = hint
        text = f"{place}: {problem}" + (f", got {got}" if got else "")
        text = text if text.endswith((".", "\n")) else text + "."
        super().__init__(text + (f"\nHint: {hint}" if hint else ""))

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.place, self.problem, self.got, self.hint)


def _rebuild(kind: type[LakekitError], place: str, problem: str, got: str, hint: str) -> LakekitError:
    return kind(place, problem, got=got, hint=hint)


class RetryableError(LakekitError):
    """The same call may succeed later: nothing was written, or, where a catalog broke off, running it again finds what was."""

    retryable = True


class SourceError(RetryableError):
    """A source could not be reached, or broke off while it was read."""


class CommitConflictError(RetryableError):
    """Somebody else moved the table, or its bookmark, first."""


class FixError(LakekitError):
    """The same call fails again until something is changed."""


class ConfigError(FixError):
    """An argument or an option is wrong."""


class MissingExtraError(ConfigError):
    """An optional package is not installed."""


class SourceConfigError(FixError):
    """The source refuses: wrong password, missing table, missing column."""


class TableError(FixError):
    """A table is missing, half created, or not what was expected."""


class TableNotFoundError(TableError):
    """There is no such table in the catalog."""


class BookmarkLostError(TableError):
    """The bookmark of a table is gone, or its upstream was rolled back behind it."""


class ContractError(FixError):
    """The data breaks a promise: a NULL cursor, a key that is not unique, too many rejects."""


class SchemaError(ContractError):
    """A column is missing, unknown, or of another type than the table's."""


class QueryError(FixError):
    """SQL that cannot be used here: an unknown column or function, LIMIT on a bookmarked batch."""


class GuardError(FixError):
    """Refused for safety: it would delete too much, or the source came up empty."""
