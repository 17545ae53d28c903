"""What an SCD2 merge is told, resolved and checked; and the columns it stores beside the attributes.

The stored form is public format. A dimension remembers the events it was made of, as far as later events can need them:

- A version *without* ``_absorbed`` stands for exactly one event, at ``valid_from``, with the row's own values. Rows that another tool wrote
  are read that way too, so any SCD2 table can be adopted as it is.
- ``_absorbed`` lists *every* event of the version, its first one included, where the row alone doesn't tell them all. The tracked values of
  an event are the version's, by definition; an element holds what may differ: the instant, the order, the untracked values and the type-1
  values as the event gave them (a delete of the same instant can take the latest upsert away, and an older one's values then hold again).
- A version that ends where no other begins was ended by a delete at ``valid_to``. With ``order_by`` the delete's own order is the last element
  of ``_absorbed``, since an upsert of the same instant may still come behind it.
- Deletes that ended nothing (of an unknown key, or inside a gap) are rows of a companion table, written first, and only ever added to.

Dropping elements of ``_absorbed`` between the first and the last one before a horizon forgets nothing that an event after it could need.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import Final, Literal, cast

import attrs

from lakekit.columns import BY_NAME, IS_INFERRED
from lakekit.engines.functions import family
from lakekit.engines.types import ident
from lakekit.errors import ConfigError
from lakekit.incremental.contract import Recorded

DeleteMode = Literal["close", "ignore", "new_record", "hard"]
Columns = str | Sequence[str]
Types = Mapping[str, str] | Iterable[tuple[str, str]]

ABSORBED: Final = "_absorbed"
AT: Final = "_at"
IS_DELETE: Final = "_is_delete"
IS_CURRENT: Final = "is_current"
IS_DELETED: Final = "is_deleted"
CHANGE: Final = "_change"
SAYS: Final = "_says"
"""What a changed row says that the stored one didn't: other ``values``, another ``period``, or nothing that anybody sees (NULL)."""
_NUMBERS: Final = {
    "hash": "hash63(key) for the first version, hash63(key, valid_from) for later ones; -1, -2.",
    "sequence": "1, 2, 3, as versions came; a member's first version keeps its number, whenever it begins; -1, -2.",
}
_ORDERABLE: Final = frozenset("itnDds")
_TIMES: Final = frozenset("tnD")
_PLACE: Final = "merge_scd2({})"


@attrs.frozen
class StateColumn:
    """One column that a dimension stores beside its key and attributes: name, Spark type, meaning."""

    name: str
    type: str
    meaning: str


def _names(value: Columns) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)


def _names_or_none(value: Columns | None) -> tuple[str, ...] | None:
    return None if value is None else _names(value)


def _pairs(value: Types) -> tuple[tuple[str, str], ...]:
    pairs = value.items() if isinstance(value, Mapping) else value
    return tuple((name, type_.strip()) for name, type_ in cast("Iterable[tuple[str, str]]", pairs))


@attrs.frozen(kw_only=True)
class Scd2Spec:
    """How the events of a feed become the versions of a dimension.

    Attributes:
        key: The columns that name a member of the dimension.
        columns: Every stored column that comes with an event, with its Spark type, in the *table's* order: key, attributes, and the system
            columns ``_source``, ``_source_timestamp``, ``_ingestion_timestamp``, ``_rescued_data``. Not ``_write_id``. The order decides that
            of the fields inside ``_absorbed``: a new column goes to the end of both.
        effective_at: The event column that says when a change was true.
        order_by: Event columns that break order within one instant.
        unstored: Types of ``effective_at`` and ``order_by`` columns that the dimension doesn't store.
        track: Columns whose change opens a version. None: all business attributes but ``type1``, ``effective_at`` and ``order_by``.
        type1: Columns that overwrite all versions of the key with the value of its latest upsert.
        ignore_null: Columns whose NULL carries the last value, until a delete.
        deletes: ``close`` ends the version; ``ignore``; ``new_record`` opens a version with ``is_deleted``; ``hard`` makes the rows vanish.
        surrogate_key: The name of the surrogate key. None: there is none, and no inferred or special members.
        surrogate_keys: ``hash`` of the key, and of ``valid_from`` for later versions; or a ``sequence``, 1, 2, 3.
        valid_from: The name of the column that says when a version begins.
        valid_to: The name of the column that says when it ends.
        open_until: ISO text of the instant that open versions bear in ``valid_to``. None: NULL.
        first_version_from: ISO text of the instant at which first versions begin, if that is before their event. None: at their event.
        adopted: Tracked columns that came later, with the ISO text of the last instant that was known without them. A difference to an
            event at or before it opens no version: the open version takes the value, older ones stay as they are.
        recorded_columns: The names of the columns that say from when until when the table held a row. None: it overwrites what changes.
        rebuild: The events are all there ever were of their keys: what is stored of these is computed anew, from them alone.

    >>> spec = Scd2Spec(key="id", columns={"id": "INT", "name": "STRING", "visits": "INT"}, effective_at="at", unstored={"at": "DATE"}, track="name")
    >>> spec.tracked, spec.untracked
    (('name',), ('visits',))
    """

    key: tuple[str, ...] = attrs.field(converter=_names)
    columns: tuple[tuple[str, str], ...] = attrs.field(converter=_pairs)
    effective_at: str
    order_by: tuple[str, ...] = attrs.field(default=(), converter=_names)
    unstored: tuple[tuple[str, str], ...] = attrs.field(default=(), converter=_pairs)
    track: tuple[str, ...] | None = attrs.field(default=None, converter=_names_or_none)
    type1: tuple[str, ...] = attrs.field(default=(), converter=_names)
    ignore_null: tuple[str, ...] = attrs.field(default=(), converter=_names)
    deletes: DeleteMode = "close"
    surrogate_key: str | None = None
    surrogate_keys: Literal["hash", "sequence"] = "hash"
    valid_from: str = "valid_from"
    valid_to: str = "valid_to"
    open_until: str | None = None
    first_version_from: str | None = None
    adopted: tuple[tuple[str, str], ...] = attrs.field(default=(), converter=_pairs)
    recorded_columns: tuple[str, str] | None = None
    rebuild: bool = False

    def __attrs_post_init__(self) -> None:
        """Check everything that can be checked without reading a row."""
        _check(self)

    def type_of(self, name: str) -> str:
        """The Spark type of an event column."""
        return {**dict(self.unstored), **dict(self.columns)}[name]

    @property
    def instant_type(self) -> str:
        """The Spark type of ``valid_from`` and ``valid_to``: that of ``effective_at``."""
        return self.type_of(self.effective_at)

    @property
    def recorded(self) -> Recorded | None:
        """How the table says since when it holds a row. None: it doesn't. ``open_until`` is its open end, too, where that is a time."""
        if self.recorded_columns is None:
            return None
        if self.open_until is None or family(self.instant_type) not in _TIMES:
            return Recorded(*self.recorded_columns)
        at = datetime.fromisoformat(self.open_until)
        at = at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)
        return Recorded(*self.recorded_columns, at.isoformat(sep=" "))

    @property
    def attributes(self) -> tuple[str, ...]:
        """Stored columns that come with an event, key aside, in the table's order."""
        return tuple(name for name, _ in self.columns if name not in self.key)

    @property
    def system(self) -> tuple[str, ...]:
        """Stored system columns. They behave as untracked ones: a version bears those of its last event."""
        return tuple(name for name in self.attributes if name in BY_NAME)

    @property
    def tracked(self) -> tuple[str, ...]:
        """Columns whose change opens a version, in order of name, so that ties don't depend on the order of columns."""
        untracked = {*self.type1, self.effective_at, *self.order_by, *self.system}
        return tuple(sorted(self.track if self.track is not None else set(self.attributes) - untracked))

    @property
    def untracked(self) -> tuple[str, ...]:
        """Business columns of which a version bears the value of its last event, in order of name."""
        return tuple(sorted(set(self.attributes) - {*self.tracked, *self.type1, *self.system}))

    @property
    def remembered(self) -> tuple[tuple[str, str], ...]:
        """Columns whose values ``_absorbed`` keeps per event, with their types, in the table's order."""
        kept = {*self.untracked, *self.type1, *self.system, *self.ignore_null, *dict(self.adopted)} - {self.effective_at, *self.order_by}
        return tuple((name, type_) for name, type_ in self.columns if name in kept)


def _check(spec: Scd2Spec) -> None:
    stored = [name for name, _ in spec.columns]
    known = {*stored, *(name for name, _ in spec.unstored)}
    if not spec.key:
        raise ConfigError(_PLACE.format("key="), "expected at least one column", got="none")
    if spec.deletes not in {"close", "ignore", "new_record", "hard"}:
        raise ConfigError(_PLACE.format("deletes="), "expected 'close', 'ignore', 'new_record' or 'hard'", got=repr(spec.deletes))
    if spec.surrogate_keys not in _NUMBERS:
        raise ConfigError(_PLACE.format("surrogate_keys="), "expected 'hash' or 'sequence'", got=repr(spec.surrogate_keys))
    sequence = (spec.effective_at, *spec.order_by)
    _all_in("effective_at=", [spec.effective_at], known)
    _all_in("order_by=", spec.order_by, known)
    for argument, names in {"key=": spec.key, "track=": spec.track or (), "type1=": spec.type1, "ignore_null=": spec.ignore_null}.items():
        _all_in(argument, names, set(stored))
    _disjoint(
        "type1=",
        spec.type1,
        {*spec.key, *(spec.track or ()), *sequence, *spec.system},
        "the key, track=, effective_at=, order_by=, a system column",
    )
    _disjoint("track=", spec.track or (), {*spec.key, *spec.system}, "the key, a system column")
    _disjoint("ignore_null=", spec.ignore_null, {*spec.key, *sequence, *spec.system}, "the key, effective_at=, order_by=, a system column")
    _all_in("adopted=", dict(spec.adopted), set(spec.tracked))
    _disjoint("key=", spec.key, {*sequence}, "effective_at=, order_by=")
    own = [column.name for column in (*state_columns(spec), *recorded_columns(spec))]
    taken = {name.lower() for name in (*stored, AT, IS_DELETE, CHANGE, SAYS)}
    if repeated := sorted({name for name in own if name.lower() in taken or [n.lower() for n in own].count(name.lower()) > 1}):
        raise ConfigError(
            _PLACE.format("into="), "the dimension needs a column of this name for itself", got=", ".join(repeated), hint="rename it."
        )
    if fields := sorted(name for name in known if name.lower() in {AT, IS_DELETE, CHANGE, SAYS} or name.startswith("__")):
        raise ConfigError(_PLACE.format("into="), "these names are kept for SCD2 itself", got=", ".join(fields), hint="rename the column.")
    for name in spec.key:
        family(spec.type_of(name), place=_PLACE.format("key="))
    if family(spec.instant_type, place=_PLACE.format("effective_at=")) not in _ORDERABLE:
        raise ConfigError(_PLACE.format("effective_at="), "expected a time, a date, a number or a string", got=spec.instant_type)
    if maps := [name for name, type_ in spec.columns if "MAP<" in type_.upper() or type_.upper() == "VARIANT"]:
        raise ConfigError(
            _PLACE.format("into="),
            "Spark can't compare maps and variants",
            got=", ".join(maps),
            hint="make it an array of structs, or JSON text.",
        )
    instants = {"open_until=": spec.open_until, "first_version_from=": spec.first_version_from}
    for argument, text in [*instants.items(), *(("adopted=", text) for _, text in spec.adopted)]:
        if text is not None:
            instant_literal(text, spec.instant_type, place=_PLACE.format(argument))


def _all_in(argument: str, names: Iterable[str], known: set[str]) -> None:
    if missing := [name for name in names if name not in known]:
        raise ConfigError(_PLACE.format(argument), "unknown column", got=", ".join(missing), hint=f"there are: {', '.join(sorted(known))}.")


def _disjoint(argument: str, names: Iterable[str], others: set[str], words: str) -> None:
    if both := [name for name in names if name in others]:
        raise ConfigError(_PLACE.format(argument), f"expected columns that are not also in: {words}", got=", ".join(both))


def instant_literal(text: str, type_: str, *, place: str) -> str:
    """ISO text as an SQL literal of the type of ``valid_from``, checked.

    >>> instant_literal("9999-12-31", "TIMESTAMP", place="here")
    "CAST('9999-12-31 00:00:00+00:00' AS TIMESTAMP)"
    >>> instant_literal("i_am_not_a_timestamp", "TIMESTAMP", place="merge_scd2(open_until=)")
    Traceback (most recent call last):
    lakekit.errors.ConfigError: merge_scd2(open_until=): expected ISO text for TIMESTAMP, got 'i_am_not_a_timestamp'.
    """
    try:
        match family(type_, place=place):
            case "t":
                at = datetime.fromisoformat(text)
                at = at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)
                value = at.isoformat(sep=" ")
            case "n":
                value = datetime.fromisoformat(text).replace(tzinfo=None).isoformat(sep=" ")
            case "D":
                value = date.fromisoformat(text).isoformat()
            case "i" | "d":
                value = str(Decimal(text))
            case _:
                value = text.replace("\\", "\\\\").replace("'", "\\'")
    except (ValueError, InvalidOperation):
        raise ConfigError(place, f"expected ISO text for {type_}", got=repr(text)) from None
    return f"CAST('{value}' AS {type_})"


def open_sql(spec: Scd2Spec) -> str:
    """SQL for what open versions bear in ``valid_to``."""
    if spec.open_until is None:
        return f"CAST(NULL AS {spec.instant_type})"
    return instant_literal(spec.open_until, spec.instant_type, place="merge_scd2(open_until=)")


def last_known_sql(spec: Scd2Spec) -> str:
    """SQL for the last instant that a stored version knows an event of."""
    begins, ends = ident(spec.valid_from), ident(spec.valid_to)
    ended = f"CASE WHEN NOT {ident(IS_CURRENT)} THEN {ends} END"
    return f"GREATEST({begins}, COALESCE({ended}, {begins}), COALESCE(ELEMENT_AT({ident(ABSORBED)}, -1).{ident(AT)}, {begins}))"


def state_columns(spec: Scd2Spec) -> tuple[StateColumn, ...]:
    """The columns that the dimension stores behind ``spec.columns``, in this order."""
    fields = [(AT, spec.instant_type), (IS_DELETE, "BOOLEAN"), *((name, spec.type_of(name)) for name in spec.order_by), *spec.remembered]
    element = ", ".join(f"{ident(name)}: {type_}" for name, type_ in fields)
    instant = spec.instant_type
    until = f"NULL or {spec.open_until}" if spec.open_until else "NULL"
    found = [
        StateColumn(spec.valid_from, instant, "When the version begins. Half-open: a fact at exactly this instant belongs to it."),
        StateColumn(spec.valid_to, instant, f"When it ends, that instant excluded. {until}: it is open."),
        StateColumn(IS_CURRENT, "BOOLEAN", "Whether it is open. At most one version of a key is."),
        StateColumn(IS_INFERRED, "BOOLEAN", "True: a fact arrived before its member; the first real row takes its place."),
        StateColumn(
            ABSORBED, f"ARRAY<STRUCT<{element}>>", "Every event of the version, in order. NULL: one, at valid_from, with the row's values."
        ),
    ]
    if spec.surrogate_key is not None:
        found.insert(
            0,
            StateColumn(spec.surrogate_key, "BIGINT", _NUMBERS[spec.surrogate_keys]),
        )
    if spec.deletes == "new_record":
        found.insert(
            -2, StateColumn(IS_DELETED, "BOOLEAN", "True: the member does not exist from valid_from on; attributes are the last known.")
        )
    return tuple(found)


def recorded_columns(spec: Scd2Spec) -> tuple[StateColumn, ...]:
    """The columns that a bitemporal dimension stores behind those. The history is computed without them, of the rows that the table holds."""
    recorded = spec.recorded
    if recorded is None:
        return ()
    until = f"NULL or {recorded.until}" if recorded.until else "NULL"
    return (
        StateColumn(recorded.begins, "TIMESTAMP", "Since when the table holds the row: the instant of the write. Half-open."),
        StateColumn(
            recorded.ends, "TIMESTAMP", f"Until when it held it: the instant of the write that corrected it. {until}: it holds it."
        ),
    )


def merge_on(spec: Scd2Spec, *, foreign: bool = False) -> tuple[str, ...]:
    """The columns on which changes are merged: unique in the table, and stable.

    The key comes first, because files are pruned by it. Behind it the surrogate key, where there is one: an inferred member is then
    overwritten in place. Rows of another tool (``foreign``) have none yet.
    """
    return (*spec.key, spec.valid_from if foreign or spec.surrogate_key is None else spec.surrogate_key)


def tombstone_columns(spec: Scd2Spec) -> tuple[StateColumn, ...]:
    """The columns of the companion table of deletes that ended nothing. A delete may stand there more than once; rows are only ever added."""
    return (
        *(StateColumn(name, spec.type_of(name), "Part of the key of the member that was deleted.") for name in spec.key),
        StateColumn(AT, spec.instant_type, "When it was deleted."),
        *(StateColumn(name, spec.type_of(name), "The delete's place among events of the same instant.") for name in spec.order_by),
        *(
            StateColumn(name, spec.type_of(name), BY_NAME[name].meaning)
            for name in spec.system
            if name not in {spec.effective_at, *spec.order_by}
        ),
    )
