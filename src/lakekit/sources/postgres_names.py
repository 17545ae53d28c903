"""Names of PostgreSQL: tables as users write them, identifiers quoted, and the database that a connection string names."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import parse_qs, unquote

from lakekit.errors import ConfigError, SchemaError

Table = tuple[str, str]
"""Schema and table, exactly as the catalog holds them."""

_PART: Final = re.compile(r'"(?P<quoted>(?:[^"]|"")+)"|(?P<plain>[^\W\d][\w$]*)')
_SIMPLE: Final = re.compile(r"[a-z_][a-z0-9_$]*")
_SETTING: Final = re.compile(r"\s*(\w+)\s*=\s*(?:'((?:[^'\\]|\\.)*)'|((?:[^\s'\\]|\\.)*))(?:\s+|$)", re.DOTALL)
_SCHEMES: Final = ("postgresql", "postgres")


def quote(name: str) -> str:
    """An identifier as SQL.

    >>> quote('odd"name')
    '"odd""name"'
    """
    return '"' + name.replace('"', '""') + '"'


def quoted(table: Table) -> str:
    """A table as SQL.

    >>> quoted(("public", "users"))
    '"public"."users"'
    """
    return ".".join(quote(part) for part in table)


def literal(value: str) -> str:
    """A text as SQL, whatever ``standard_conforming_strings`` says.

    >>> literal("it's")
    "E'it''s'"
    """
    return "E'" + value.replace("\\", "\\\\").replace("'", "''") + "'"


def text(table: Table) -> str:
    """A table as people read it: quoted only where PostgreSQL itself would need it.

    >>> text(("public", "users")), text(("public", "Old.Users"))
    ('public.users', 'public."Old.Users"')
    """
    return ".".join(part if _SIMPLE.fullmatch(part) else quote(part) for part in table)


def parse_table(name: object, *, place: str) -> Table:
    """Schema and table from what a user writes. As in PostgreSQL, a part without quotes is folded to lower case; a tuple is exact.

    Raises:
        ConfigError: It is not the name of a table.

    >>> parse_table("users", place="table()"), parse_table('"Sales".Orders', place="table()"), parse_table(("a.b", "C"), place="table()")
    (('public', 'users'), ('Sales', 'orders'), ('a.b', 'C'))
    """
    if isinstance(name, tuple):
        given: tuple[object, ...] = name
        parts = [part for part in given if isinstance(part, str) and part]
        valid = len(parts) == len(given)
    elif isinstance(name, str):
        matches, end = list[re.Match[str]](), 0
        while match := _PART.match(name, end):
            matches.append(match)
            end = match.end()
            if end < len(name) and name[end] == ".":
                end += 1
            else:
                break
        parts = [match["plain"].lower() if match["plain"] else match["quoted"].replace('""', '"') for match in matches]
        valid = end == len(name) and not name.endswith(".")
    else:
        parts, valid = [], False
    if not valid or len(parts) not in {1, 2}:
        raise ConfigError(
            place,
            "expected a table as 'table', 'schema.table', '\"Quoted\".table' or a tuple",
            got=repr(name),
            hint="write 'public.users'; a name with dots or capitals goes in double quotes, or into a tuple.",
        )
    return ("public", parts[0]) if len(parts) == 1 else (parts[0], parts[1])


def refuse_alike(columns: Iterable[str], *, place: str) -> None:
    """Raise where names of columns differ in case only: neither Spark nor DuckDB tells them apart.

    Raises:
        SchemaError: Two do.
    """
    seen: dict[str, str] = {}
    for name in columns:
        if (other := seen.setdefault(name.lower(), name)) != name:
            raise SchemaError(
                place,
                "has columns whose names differ in case only, which Spark and DuckDB don't tell apart",
                got=f"{other!r} and {name!r}",
                hint="read one of them with columns=, or both from a view that renames one.",
            )


def settings(dsn: str) -> dict[str, str]:
    """The settings that a connection string names, as far as lakekit has to know them: a URI or ``key=value`` pairs.

    Raises:
        ConfigError: It is neither. The text does not quote it, since it may hold a password.

    >>> settings("postgresql://reader@db:5433/shop")["dbname"], settings("host=db dbname='my shop'")["dbname"]
    ('shop', 'my shop')
    """
    if dsn.partition("://")[0] in _SCHEMES:
        return _uri_settings(dsn)
    found, end = dict[str, str](), 0
    while end < len(dsn) and (match := _SETTING.match(dsn, end)):
        found[match[1]] = re.sub(r"\\(.)", r"\1", match[2] if match[2] is not None else match[3])
        end = match.end()
    if not found or end < len(dsn):
        raise _not_a_dsn()
    return found


def _uri_settings(dsn: str) -> dict[str, str]:
    # Taken apart by hand: urlsplit refuses what libpq allows (several hosts), and quotes what it refuses.
    rest = dsn.partition("://")[2]
    address, _, query = rest.partition("?")
    authority, _, path = address.partition("/")
    if "@" in path:  # a slash in the password: what follows is not the database's name, and must not be shown as one
        raise _not_a_dsn()
    login, at, _ = authority.rpartition("@")
    user, _, password = login.partition(":") if at else ("", "", "")
    found = {name: values[-1] for name, values in parse_qs(query).items()}
    for name, value in (("user", user), ("password", password), ("dbname", path)):
        if value:
            found.setdefault(name, unquote(value))
    return found


def in_utf8(dsn: str) -> str:
    """The connection string, for texts in UTF-8 whatever the database's encoding: libpq takes the last word.

    >>> in_utf8("postgresql://db/shop?sslmode=require"), in_utf8("dbname=shop")
    ('postgresql://db/shop?sslmode=require&client_encoding=UTF8', 'dbname=shop client_encoding=UTF8')
    """
    if dsn.partition("://")[0] in _SCHEMES:
        return f"{dsn}{'&' if '?' in dsn else '?'}client_encoding=UTF8"
    return f"{dsn} client_encoding=UTF8"


def _not_a_dsn() -> ConfigError:
    return ConfigError(
        "sources.Postgres(dsn=)",
        "expected a connection string of PostgreSQL (not shown here: it may hold a password)",
        hint="write 'postgresql://user:password@host:5432/database', or 'host=… dbname=… user=…'; special characters of a password"
        " are percent-encoded in the first form.",
    )


def database(dsn: str) -> str:
    """The database that a connection string names; like libpq, the user's name where it names none.

    Raises:
        ConfigError: It names neither.

    >>> database("postgresql://reader:secret@db:5433/shop?sslmode=require"), database("host=db user=shop")
    ('shop', 'shop')
    """
    found = settings(dsn)
    name = found.get("dbname") or found.get("user")
    if not name:
        raise ConfigError(
            "sources.Postgres(name=)",
            "the connection string does not name its database, so the source needs a name",
            hint="give Postgres(dsn, name='shop').",
        )
    return name
