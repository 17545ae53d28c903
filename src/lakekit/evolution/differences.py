"""How an incoming schema differs from a table's, and of which class each difference is. Pure: no engine, no rows."""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal, cast

import attrs

from lakekit import columns as system
from lakekit.display import Shown
from lakekit.engines.types import sql_type, storable, widens

if TYPE_CHECKING:
    import pyarrow as pa

Path = tuple[str, ...]
"""Names from a column inwards; ``element`` of a list, ``key`` and ``value`` of a map."""
Class = Literal["additive", "widening", "relaxing", "narrower", "missing", "conflict", "case", "rename", "reordered"]
CHANGING: Final[tuple[Class, ...]] = ("additive", "widening", "relaxing")
"""What a table's schema follows by; the other classes say how rows are written, or what somebody should look at."""
KEY: Final = "a column of the key"
"""What is noted of one that is missing: no row can be written without it."""
_ALIKE: Final = 0.6
"""Names as similar as this, of a column that went and one of its type that came, may be those of one column."""
_PAIRS: Final = 1_000
"""Where more pairs than this could be one column, nobody can tell: it is another table."""
_ROLES: Final = {"partitioned": "the table is partitioned by it", "sorted": "its files are sorted by it"}


@attrs.frozen
class Change:
    """One difference.

    Attributes:
        kind: Its class: ``additive`` (a column, or a field inside of one, that the table lacks), ``widening`` (a promotion that Iceberg
            allows), ``relaxing`` (may be NULL from now on), ``narrower`` (every incoming value fits as it is), ``missing`` (the source has
            it no more), ``conflict`` (values that don't fit), ``case`` (a name that differs in case only: the same column), ``rename``
            (a suspicion), ``reordered``.
        path: Where, in the table's names; for what is new, in the source's.
        before: The table's type. None: it has none.
        after: The incoming type. None: it has none.
        note: What else is to be known.
    """

    kind: Class
    path: Path
    before: pa.DataType | None = None
    after: pa.DataType | None = None
    note: str = ""

    @property
    def name(self) -> str:
        """The path as people read it."""
        return ".".join(self.path)

    @property
    def column(self) -> str:
        """The column it is, or is in."""
        return self.path[0]

    def __str__(self) -> str:
        before, after = (None if kind is None else sql_type(kind) for kind in (self.before, self.after))
        words = {"additive": f"{after}", "missing": f"{before}"}.get(self.kind, f"{before} -> {after}" if before != after else f"{before}")
        return f"{self.kind} {self.name}: {words}{f' ({self.note})' if self.note else ''}"


@attrs.frozen(repr=False)
class Difference(Shown):
    """All differences, in the order of the table's columns, then of the source's. Printable.

    Attributes:
        changes: Each of them.
        names: Incoming column to the table's, where they differ in case only.
    """

    changes: tuple[Change, ...] = ()
    names: dict[str, str] = attrs.field(factory=dict)

    def of(self, *kinds: Class) -> tuple[Change, ...]:
        """Those of some classes."""
        return tuple(change for change in self.changes if change.kind in kinds)

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self.changes)

    def __str__(self) -> str:
        return "\n".join(map(str, self.changes)) or "no difference"


def diff(
    current: pa.Schema,
    incoming: pa.Schema,
    *,
    keys: Collection[str] = (),
    partitioned: Collection[str] = (),
    sorted: Collection[str] = (),
    version: int = 2,
) -> Difference:
    """Compare a table's columns with incoming ones, by name, inside of structs, lists and maps too.

    A name that differs in case only is the same column, where the table has no other. A column of the system's (``_…``) is never missing.

    Args:
        current: The table's columns; ``nullable=False`` for those that can't be NULL.
        incoming: The source's.
        keys: The columns that tell the table's rows apart: no row can do without, so they are not relaxed.
        partitioned: What the table is partitioned by: noted where it goes or does not fit; a date stays one.
        sorted: What its files are sorted by: noted likewise.
        version: The table's format: from 3 on, a date may become a timestamp.

    >>> import pyarrow as pa
    >>> table = pa.schema([("id", pa.int32()), ("total", pa.string())])
    >>> source = pa.schema([("id", pa.int64()), ("total", pa.float64()), ("device_type", pa.string())])
    >>> for change in diff(table, source).changes:
    ...     print(change)
    widening id: INT -> BIGINT
    conflict total: STRING -> DOUBLE
    additive device_type: STRING
    """
    names: dict[str, str] = {}
    roles = {**dict.fromkeys(sorted, _ROLES["sorted"]), **dict.fromkeys(partitioned, _ROLES["partitioned"])}
    found = _fields((), list(current), list(incoming), names)
    if version >= 3:
        found = (_promoted(change, version, partitioned) for change in found)
    changes = [_noted(change, keys, roles) for change in found if change.kind != "relaxing" or change.name not in keys]
    return Difference((*changes, *_renames(changes)), names)


def _noted(change: Change, keys: Collection[str], roles: Mapping[str, str]) -> Change:
    """A change with what its column is to the table."""
    if change.kind == "missing" and change.name in keys:
        return attrs.evolve(change, note=KEY)
    role = roles.get(change.name) if change.kind in ("missing", "conflict") else None
    return attrs.evolve(change, note=role) if role else change


def _promoted(change: Change, version: int, partitioned: Collection[str]) -> Change:
    """A conflict that is none in a newer format. What partitions are made of would be another value then."""
    allowed = change.before is not None and change.after is not None and widens(change.before, change.after, version=version)
    return attrs.evolve(change, kind="widening") if change.kind == "conflict" and allowed and change.name not in partitioned else change


def _fields(
    path: Path, current: Sequence[pa.Field[Any]], incoming: Sequence[pa.Field[Any]], names: dict[str, str] | None = None
) -> Iterator[Change]:
    """What differs between the fields of two structs, or of two tables."""
    there = {field.name for field in current}
    given = _by_name(there, incoming)
    for field in current:
        new, own = given.get(field.name), (*path, field.name)
        if new is None:
            if path or not system.is_system(field.name):
                yield Change("missing", own, storable(field.type))
                yield from _relaxed(own, field, nullable=True)
            continue
        if new.name != field.name:
            yield Change("case", own, storable(field.type), storable(new.type), note=f"the source says {new.name}")
            if names is not None:
                names[new.name] = field.name
        yield from _relaxed(own, field, nullable=new.nullable)
        yield from _types(own, field.type, new.type)
    if len(given) < len(incoming):
        used = {field.name for field in given.values()}
        folded = {name.casefold(): name for name in there}
        for field in incoming:
            if field.name not in used:
                yield from _added((*path, field.name), field, folded)
    if _reordered(current, given, incoming):
        yield Change("reordered", path or ("*",), note="columns go by name: their order says nothing")


def _by_name(there: Collection[str], incoming: Sequence[pa.Field[Any]]) -> dict[str, pa.Field[Any]]:
    """The incoming field for each that is there: of its very name, else the only one that differs in case."""
    exact = {field.name: field for field in incoming if field.name in there}
    if len(exact) == len(incoming):
        return exact
    folded: dict[str, list[str]] = {}
    for name in there:
        folded.setdefault(name.casefold(), []).append(name)
    for field in incoming:
        same = folded.get(field.name.casefold(), [])
        if len(same) == 1 and same[0] not in exact and field.name not in there:
            exact[same[0]] = field
    return exact


def _added(path: Path, field: pa.Field[Any], folded: Mapping[str, str]) -> Iterator[Change]:
    if clash := folded.get(path[-1].casefold()):
        yield Change("conflict", path, None, storable(field.type), note=f"differs in case only from {clash}, which comes too")
        return
    note = "" if field.nullable else "the source says NOT NULL; older rows have no value"
    yield Change("additive", path, None, storable(field.type), note=note)


def _relaxed(path: Path, field: pa.Field[Any], *, nullable: bool) -> Iterator[Change]:
    if nullable and not field.nullable:
        yield Change("relaxing", path, storable(field.type), storable(field.type), note="may be NULL")


def _reordered(current: Sequence[pa.Field[Any]], given: dict[str, pa.Field[Any]], incoming: Sequence[pa.Field[Any]]) -> bool:
    places = {field.name: index for index, field in enumerate(incoming)}
    found = [places[given[field.name].name] for field in current if field.name in given]
    return any(after < before for before, after in itertools.pairwise(found))


def _types(path: Path, old: pa.DataType, new: pa.DataType) -> Iterator[Change]:
    """What differs between two types."""
    import pyarrow as pa

    if old == new or pa.types.is_null(new):
        return
    if pa.types.is_struct(old) and pa.types.is_struct(new):
        yield from _fields(path, list(cast("Any", old)), list(cast("Any", new)))
    elif pa.types.is_map(old) and pa.types.is_map(new):
        keys = list(_types((*path, "key"), old.key_type, new.key_type))
        for change in keys:  # Iceberg changes no map's keys
            yield attrs.evolve(change, kind="conflict") if change.kind != "narrower" else change
        yield from _relaxed((*path, "value"), old.item_field, nullable=new.item_field.nullable)
        yield from _types((*path, "value"), old.item_type, new.item_type)
    elif _is_list(old) and _is_list(new):
        one, other = cast("Any", old).value_field, cast("Any", new).value_field
        yield from _relaxed((*path, "element"), one, nullable=other.nullable)
        yield from _types((*path, "element"), one.type, other.type)
    else:
        yield from _scalars(path, storable(old), storable(new))


def _scalars(path: Path, old: pa.DataType, new: pa.DataType) -> Iterator[Change]:
    if old == new:
        return
    if widens(old, new):
        yield Change("widening", path, old, new)
    elif fits(new, old):
        yield Change("narrower", path, old, new)
    else:
        yield Change("conflict", path, old, new)


def fits(incoming: pa.DataType, current: pa.DataType) -> bool:
    """Whether every incoming value fits the stored type as it is.

    >>> import pyarrow as pa
    >>> fits(pa.int64(), pa.decimal128(20, 0)), fits(pa.int64(), pa.float64())
    (True, False)
    """
    import pyarrow as pa

    if widens(incoming, current):
        return True
    if pa.types.is_integer(incoming) and pa.types.is_decimal(current):
        digits = 19 if pa.types.is_int64(incoming) else 10
        return current.precision - current.scale >= digits
    if pa.types.is_decimal(incoming) and pa.types.is_decimal(current):
        return current.scale >= incoming.scale and current.precision - current.scale >= incoming.precision - incoming.scale
    return pa.types.is_int32(incoming) and pa.types.is_float64(current)


def _is_list(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)


def _renames(changes: Sequence[Change]) -> Iterator[Change]:
    """Pairs of a column that went and one of its type that came, with like names or both the only ones: perhaps one column."""
    gone, came = (_by_place(changes, kind) for kind in ("missing", "additive"))
    for place, old_ones in gone.items():
        likely = came.get(place, [])
        if not likely or len(old_ones) * len(likely) > _PAIRS:
            continue
        for old in old_ones:
            near = difflib.get_close_matches(old.path[-1], [new.path[-1] for new in likely], n=1, cutoff=_ALIKE)
            if near or len(likely) == len(old_ones) == 1:
                new = next(new for new in likely if not near or new.path[-1] == near[0])
                yield Change("rename", old.path, old.before, new.after, note=f"perhaps {new.name} now; never applied by itself")


def _by_place(changes: Sequence[Change], kind: Class) -> dict[tuple[Path, pa.DataType | None], list[Change]]:
    """Changes of one class by what they are in and the type that came or went."""
    found: dict[tuple[Path, pa.DataType | None], list[Change]] = {}
    for change in changes:
        if change.kind == kind:
            found.setdefault((change.path[:-1], change.after or change.before), []).append(change)
    return found
