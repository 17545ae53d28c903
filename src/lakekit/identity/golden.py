"""golden: one record for each person, each value from the record that is trusted most with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final, Literal, get_args

import attrs

from lakekit import columns as system
from lakekit.batch import Batch
from lakekit.clock import instant_of
from lakekit.engines.plan import Node, Query, Scan, TableState
from lakekit.engines.sql import literal
from lakekit.engines.types import common_type, ident
from lakekit.errors import ConfigError, SchemaError
from lakekit.identity.tables import PROPERTY, RECORD, noted_keys
from lakekit.incremental import contract
from lakekit.incremental.read import Reading, consume
from lakekit.incremental.record_key import record_key_sql
from lakekit.lake import Lake
from lakekit.names import TableName

PLACE: Final = "golden"
MASTER: Final = "master_user_id"
Prefer = Literal["latest", "longest", "most_frequent", "greatest", "least"] | Sequence[str]
"""Which record a value is taken from: by a property of it, or by its source, the most trusted one first."""


def golden(
    lake: Lake,
    records: Mapping[str, TableName],
    *,
    identities: TableName,
    prefer: Mapping[str, Prefer],
    into: TableName,
    now: datetime | None = None,
) -> Batch:
    """One record for each person, made of all its records: a batch of the persons that changed, to be merged by ``master_user_id``.

    A person is made anew when one of its records, or its set of records, has changed since ``into`` was written last. Of two persons that
    became one, the id no longer used comes as a delete. NULL is never preferred to a value.

    Args:
        lake: Where the tables are.
        records: Source to the merged table that holds its records, by the sources' names in ``resolve_identities``.
        identities: A table made by `resolve_identities`.
        prefer: Column to what its value is taken from: ``"latest"``, ``"longest"``, ``"most_frequent"``, ``"greatest"``, ``"least"``, or
            sources from the most trusted one down (others come after them). ``"*"``: all other columns but the record keys. Ties go to
            the latest record.
        into: The table that the persons are merged into. Its bookmark says what it has seen.
        now: The instant in ``_ingestion_timestamp``, so that a person made anew is newer than the stored one. Default: the clock.

    Writes:
        ``master_user_id`` (BIGINT, never NULL), the preferred columns (NULL: no record of the person has a value), ``_operation``,
        ``_source_timestamp`` (the latest of the records'; of a person that is no more, when that became known), ``_ingestion_timestamp``.

    Raises:
        TableNotFoundError: A table is missing.
        ConfigError: A source that the identities don't know, a table that is not kept by the record key, or an unknown preference.
        SchemaError: No table has a preferred column, or its types don't fit together.

    >>> import lakekit as lk, tempfile
    >>> from lakekit import identity
    >>> lake = lk.connect(tempfile.mkdtemp())
    >>> for table, rows in {"shop": [{"id": 1, "email": "a@b.c", "name": "Ada"}], "market": [{"id": 9, "email": "a@b.c", "name": "Ada Byron"}]}.items():
    ...     _ = lk.merge(lk.from_frame(lake, rows, run_id="a"), key="id", into=f"silver.{table}")
    >>> batches = {name: lk.read_new(lake, f"silver.{name}", into="silver.identities") for name in ("shop", "market")}
    >>> rules = identity.Rules(match=[identity.exact("email")])
    >>> _ = lk.resolve_identities(batches, record_key={"shop": "id", "market": "id"}, rules=rules)
    >>> people = lk.golden(lake, {"shop": "silver.shop", "market": "silver.market"}, identities="silver.identities",
    ...                    prefer={"name": "longest", "email": ("shop", "market")}, into="silver.people")
    >>> lk.merge(people, key="master_user_id").inserted
    1
    >>> lk.read(lake, "silver.people").to_arrow().column("name").to_pylist()
    ['Ada Byron']
    """
    instant = instant_of(now, place=f"{PLACE}(now=)")
    who = consume(lake, identities, into, place=PLACE)
    if PROPERTY not in who.state.properties:
        raise ConfigError(f"{PLACE}(identities=): {who.state.label}", "holds no identities", hint="make it with resolve_identities().")
    keys = noted_keys(who.state)
    unknown = sorted(set(records) - set(keys))
    if unknown or not records:
        raise ConfigError(
            f"{PLACE}(records=)",
            f"expected tables of the sources {', '.join(sorted(keys))}",
            got=", ".join(unknown) if records else "none",
            hint='write {"postgres": "silver.users"}, with the names that resolve_identities() was given.',
        )
    sources = [Source(name, consume(lake, records[name], into, place=PLACE), tuple(keys[name])) for name in sorted(records)]
    for source in sources:
        source.require_keyed()
    columns = _columns(prefer, sources)
    bookmark = who.bookmark
    for source in sources:
        bookmark = bookmark.union(source.reading.bookmark)
    node = _golden(lake, who, sources, columns, instant)
    return Batch(lake, node, bookmark=bookmark, into=who.into, key=(MASTER,))


@attrs.frozen(eq=False)
class Source:
    """One source's table of records: what ``into`` has not seen of it, and its record key."""

    name: str
    reading: Reading
    key: tuple[str, ...]

    @property
    def state(self) -> TableState:
        """The table."""
        return self.reading.state

    def require_keyed(self) -> None:
        """Raise where a record may have several rows."""
        kept = contract.key(self.state)
        if not kept or not set(kept) <= set(self.key):
            raise ConfigError(
                f"{PLACE}(records=): {self.state.label}",
                f"expected a table with one row for each {', '.join(self.key)}",
                got=f"key {', '.join(kept)}" if kept else "a table without a key",
                hint="merge() it by the record key first.",
            )

    def key_sql(self, prefix: str) -> str:
        """SQL for the text of the record key."""
        return record_key_sql(self.state.schema, self.key, place=f"{PLACE}(records=): {self.state.label}", prefix=prefix)


def _columns(prefer: Mapping[str, Prefer], sources: Sequence[Source]) -> dict[str, Prefer]:
    """The columns of a golden record, each with what its value is taken from."""
    keys = {name for source in sources for name in source.key}
    names = dict.fromkeys(name for source in sources for name in source.state.schema.names if not system.is_system(name))
    for column, choice in prefer.items():
        place = f"{PLACE}(prefer=): column {column!r}"
        if column != "*" and column not in names:
            raise SchemaError(place, "no table has such a column", hint=f"there are: {', '.join(names)}.")
        if isinstance(choice, str):
            if choice not in get_args(get_args(Prefer)[0]):
                raise ConfigError(
                    place, f"expected one of {', '.join(get_args(get_args(Prefer)[0]))}, or a tuple of sources", got=repr(choice)
                )
            continue
        known = [source.name for source in sources]
        if not choice or not set(choice) <= set(known):
            raise ConfigError(place, f"expected sources among {', '.join(known)}", got=", ".join(map(repr, choice)) or "none")
    rest = [name for name in names if name not in keys and name != MASTER] if "*" in prefer else []
    chosen = {name: prefer.get(name) or prefer["*"] for name in names if name in prefer or name in rest}
    if not chosen:
        raise ConfigError(f"{PLACE}(prefer=)", "expected at least one column", hint='write {"email": "latest"}, or {"*": "latest"}.')
    return chosen


def _golden(lake: Lake, who: Reading, sources: Sequence[Source], columns: Mapping[str, Prefer], instant: datetime) -> Node:
    """The golden records of the persons that changed, and deletes of those that are no more."""
    known = Query(f"SELECT * FROM identities WHERE kind = '{RECORD}'", {"identities": Scan(who.state, who.state.head)})
    into = lake.find(who.into)
    touched = _touched(who, sources, known)
    rows = Query(
        f"SELECT r.* FROM records r LEFT SEMI JOIN touched t ON t.{MASTER} = r.{MASTER}",
        {"records": _records(sources, columns, known), "touched": touched},
    )
    ranked = ", ".join(
        f"row_number() OVER (PARTITION BY {MASTER} ORDER BY {_order(index, name, choice)}) AS `_nth_{index}`"
        for index, (name, choice) in enumerate(columns.items())
    )
    chosen = ", ".join(f"max(CASE WHEN `_nth_{index}` = 1 THEN {ident(name)} END) AS {ident(name)}" for index, name in enumerate(columns))
    made = Query(
        f"SELECT {MASTER}, {chosen}, max(`{system.SOURCE_TIMESTAMP}`) AS changed_at FROM (SELECT *, {ranked} FROM rows) r GROUP BY {MASTER}",
        {"rows": _counted(rows, columns)},
    )
    stored = _stored(into, _types(sources, columns))
    now = f"CAST('{instant.isoformat()}' AS TIMESTAMP)"
    # Newer than the stored row whatever the clock says, and never dated back when the latest record has left.
    later = f"greatest({now}, s.`{system.INGESTION_TIMESTAMP}` + INTERVAL '1' MICROSECOND)"
    kept = ", ".join(f"m.{ident(name)}" for name in columns)
    empty = ", ".join(f"s.{ident(name)}" for name in columns)
    return Query(
        f"""SELECT m.{MASTER}, {kept}, '{system.UPSERT}' AS `{system.OPERATION}`,
            greatest(m.changed_at, s.`{system.SOURCE_TIMESTAMP}`) AS `{system.SOURCE_TIMESTAMP}`, {later} AS `{system.INGESTION_TIMESTAMP}`
        FROM made m LEFT JOIN stored s ON s.{MASTER} = m.{MASTER}
        UNION ALL SELECT s.{MASTER}, {empty}, '{system.DELETE}', greatest(s.`{system.SOURCE_TIMESTAMP}`, g.gone_at), {later}
        FROM stored s LEFT SEMI JOIN touched t ON t.{MASTER} = s.{MASTER} LEFT ANTI JOIN made m ON m.{MASTER} = s.{MASTER}
        LEFT JOIN gone g ON g.{MASTER} = s.{MASTER} WHERE s.lives""",
        {"made": made, "stored": stored, "touched": touched, "gone": _gone(who, sources, known)},
    )


def _gone(who: Reading, sources: Sequence[Source], known: Query) -> Node:
    """When each person's records changed last, those of the person they became too: if they are no more, it is since then."""
    parts: list[str] = []
    inputs: dict[str, Node] = {"who": who.node, "known": known}
    for index, source in enumerate(sources):
        if system.SOURCE_TIMESTAMP in source.state.schema.names:
            inputs[f"changed_{index}"] = source.reading.node
            parts.append(
                f"SELECT k.{MASTER}, c.`{system.SOURCE_TIMESTAMP}` AS at FROM changed_{index} c "
                f"JOIN known k ON k.source = {literal(source.name)} AND k.record_key = {source.key_sql('c.')}"
            )
    if not parts:
        return Query(f"SELECT {MASTER}, CAST(NULL AS TIMESTAMP) AS gone_at FROM known WHERE false", {"known": known})
    inputs["said"] = Query(" UNION ALL ".join(parts), dict(inputs))
    became = f"SELECT w.former_user_id, s.at FROM said s JOIN who w ON w.{MASTER} = s.{MASTER} WHERE w.former_user_id IS NOT NULL"
    return Query(f"SELECT {MASTER}, max(at) AS gone_at FROM (SELECT * FROM said UNION ALL {became}) a GROUP BY {MASTER}", inputs)


def _touched(who: Reading, sources: Sequence[Source], known: Query) -> Node:
    """The persons whose records, or whose set of records, have changed."""
    parts = [f"SELECT {MASTER} FROM who", "SELECT former_user_id FROM who"]
    inputs: dict[str, Node] = {"who": who.node, "known": known}
    for index, source in enumerate(sources):
        inputs[f"changed_{index}"] = source.reading.node
        parts.append(
            f"SELECT k.{MASTER} FROM changed_{index} c JOIN known k ON k.source = {literal(source.name)} AND k.record_key = {source.key_sql('c.')}"
        )
    return Query(f"SELECT DISTINCT {MASTER} FROM ({' UNION ALL '.join(parts)}) t WHERE {MASTER} IS NOT NULL", inputs)


def _types(sources: Sequence[Source], columns: Mapping[str, Prefer]) -> dict[str, str]:
    """Column to the SQL type that holds it in every table."""
    schemas = [source.state.schema for source in sources]
    return {
        name: common_type(
            [schema.field(name).type for schema in schemas if name in schema.names], place=f"{PLACE}(records=): column {name!r}"
        )
        for name in columns
    }


def _records(sources: Sequence[Source], columns: Mapping[str, Prefer], known: Node) -> Node:
    """The living records of all sources, with their person."""
    types = _types(sources, columns) | {system.SOURCE_TIMESTAMP: "TIMESTAMP", system.INGESTION_TIMESTAMP: "TIMESTAMP"}
    parts: list[str] = []
    inputs: dict[str, Node] = {"known": known}
    for index, source in enumerate(sources):
        names = source.state.schema.names
        items = ", ".join(
            f"CAST({f'r.{ident(name)}' if name in names else 'NULL'} AS {words}) AS {ident(name)}" for name, words in types.items()
        )
        lives = f" AND r.`{system.DELETED_AT}` IS NULL" if system.DELETED_AT in names else ""
        parts.append(
            f"SELECT k.{MASTER}, k.source AS _origin, k.record_key AS _key, {items} FROM rows_{index} r "
            f"JOIN known k ON k.source = {literal(source.name)} AND k.record_key = {source.key_sql('r.')} WHERE k.`{system.DELETED_AT}` IS NULL{lives}"
        )
        inputs[f"rows_{index}"] = Scan(source.state, source.state.head)
    return Query(" UNION ALL ".join(parts), inputs)


def _counted(rows: Node, columns: Mapping[str, Prefer]) -> Node:
    """The records, and how many of their person's share a value, where the most frequent one is wanted."""
    counts = [
        f"count(*) OVER (PARTITION BY {MASTER}, {ident(name)}) AS `_count_{index}`"
        for index, (name, choice) in enumerate(columns.items())
        if choice == "most_frequent"
    ]
    return Query(f"SELECT {', '.join(['*', *counts])} FROM rows", {"rows": rows}) if counts else rows


def _order(index: int, name: str, choice: Prefer) -> str:
    """SQL: which record's value comes first."""
    value = ident(name)
    orders = {
        "latest": [],
        "longest": [f"length(CAST({value} AS STRING)) DESC"],
        "most_frequent": [f"`_count_{index}` DESC"],
        "greatest": [f"{value} DESC"],
        "least": [value],
    }
    if isinstance(choice, str):
        first = orders[choice]
    else:
        ranks = " ".join(f"WHEN {literal(source)} THEN {rank}" for rank, source in enumerate(choice))
        first = [f"CASE _origin {ranks} ELSE {len(choice)} END"]
    latest = [f"`{stamp}` DESC NULLS LAST" for stamp in (system.SOURCE_TIMESTAMP, system.INGESTION_TIMESTAMP)]
    return ", ".join([f"CASE WHEN {value} IS NULL THEN 1 ELSE 0 END", *first, *latest, "_origin", "_key"])


def _stored(into: TableState | None, types: Mapping[str, str]) -> Node:
    """The golden records as they are stored."""
    wanted = {MASTER: "BIGINT", **types, system.SOURCE_TIMESTAMP: "TIMESTAMP", system.INGESTION_TIMESTAMP: "TIMESTAMP"}
    names = into.schema.names if into else []
    items = [f"CAST({ident(name) if name in names else 'NULL'} AS {words}) AS {ident(name)}" for name, words in wanted.items()]
    items.append(f"`{system.DELETED_AT}` IS NULL AS lives" if system.DELETED_AT in names else "true AS lives")
    if into is None:
        return Query(f"SELECT {', '.join(items)} WHERE false", {})
    return Query(f"SELECT {', '.join(items)} FROM stored", {"stored": Scan(into, into.head)})
