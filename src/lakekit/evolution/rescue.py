"""unrescue: values out of ``_rescued_data``, back into their columns, once these can hold them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import pyarrow as pa

from lakekit import columns as system
from lakekit.bookmark import Bookmark
from lakekit.commit import Commit
from lakekit.engines import json_forms
from lakekit.engines.plan import Function, Node, Query, Scan, TableState
from lakekit.engines.protocol import count
from lakekit.engines.sql import literal
from lakekit.engines.types import ident, sql_type
from lakekit.errors import ConfigError
from lakekit.evolution.differences import Path
from lakekit.evolution.rows import conversion
from lakekit.incremental import cas, contract
from lakekit.names import TableName
from lakekit.operations import operation
from lakekit.sources.rescued import path as rescued_path

if TYPE_CHECKING:
    from lakekit.engines.protocol import Session
    from lakekit.lake import Lake

_TAGS = ("$decimal", "$double", "$timestamp", "$date")
_DAY = "[0-9]{4}-[0-9]{2}-[0-9]{2}"
_WRITTEN: tuple[tuple[Callable[[pa.DataType], bool], str], ...] = (
    (pa.types.is_boolean, "^(true|false)$"),
    (pa.types.is_date, f"^{_DAY}$"),
    (pa.types.is_timestamp, f"^{_DAY}[ T][0-9]{{2}}:[0-9]{{2}}:[0-9]{{2}}"),
)
"""How values are written that a cast would also take in other forms."""


@operation
def unrescue(lake: Lake, table: TableName, *, dry_run: bool = False) -> Commit:
    """Bring rescued values back into their columns, where these are NULL and can hold them now: after the table was mended by hand.

    A value comes back where nothing of it is lost on the way, and leaves ``_rescued_data`` then; what doesn't fit yet stays. Rows that change are
    stamped, and flow on to whoever reads changes (`read_new`). Run again, it finds nothing.

    Args:
        lake: Where the table is.
        table: The table: bronze, or kept by a key.
        dry_run: Count, and change nothing.

    Returns:
        A Commit; ``updated`` are the rows that got a value back.

    Raises:
        TableNotFoundError: There is no such table.
        ConfigError: On Spark, the table has no key by which its rows could be found.

    >>> import lakekit as lk, tempfile
    >>> lake = lk.connect(tempfile.mkdtemp())
    >>> for run, row in {"a": {"id": 1, "size": 7}, "b": {"id": 2, "size": 2.5}}.items():
    ...     _ = lk.append(lk.from_frame(lake, [row], run_id=run), into="bronze.things")
    >>> lk.evolution.unrescue(lake, "bronze.things").updated
    0
    """
    state = lake.load(table, place="evolution.unrescue()")
    if system.RESCUED_DATA not in state.schema.names or state.head is None:
        return Commit(table=state.label)
    with lake.engine.session() as session:
        key = contract.key(state) or state.identifiers
        if not session.places and not key:
            raise ConfigError(
                f"evolution.unrescue(): {state.label}",
                "has no key by which Spark finds its rows",
                hint="run it on the embedded engine: lk.connect(the catalog), the tables are the same.",
            )

        def planned(state: TableState, write_id: int) -> cas.Planned:
            rows = session.stage(_mended(session, state, write_id))
            size = count(session, rows)
            figures = Commit(table=state.label, read=size, updated=size)
            return cas.Planned(figures, (lambda: session.merge(state, rows, on=key)) if size else None)

        return cas.write(lake.engine, state.name, state, Bookmark(), planned, dry_run=dry_run)


def _mended(session: Session, state: TableState, write_id: int) -> Query:
    """The rows that get a value back."""
    rescued = ident(system.RESCUED_DATA)
    places = {path: kind for field in state.schema if not system.is_system(field.name) for path, kind in _places((field.name,), field.type)}
    back = {path: _back(rescued, path, kind) for path, kind in places.items()}
    fits = {path: f"({_at(path)} IS NULL AND {value} IS NOT NULL)" for path, value in back.items()}
    stored = {"stored": Scan(state, state.head, places=True)}
    listed = ", ".join(
        [
            f"lk_called({rescued}) AS {rescued}",
            *(ident(name) for name in state.schema.names if name != system.RESCUED_DATA),
            *session.places,
        ]
    )
    called = Function(partial(_called, places=tuple(map(rescued_path, places))), (pa.string(),), pa.string())
    rescuing: Node = Query(f"SELECT {listed} FROM stored WHERE {rescued} IS NOT NULL", stored, {"lk_called": called})
    found: Node = Query(f"SELECT * FROM rescuing WHERE {' OR '.join(fits.values())}", {"rescuing": rescuing})
    names = {path: literal(json.dumps(rescued_path(path)) + "\n") for path in fits}
    named = ", ".join(f"CASE WHEN {fit} THEN {names[path]} ELSE '' END" for path, fit in fits.items())
    gone = f"concat({named})"
    own = {
        system.WRITE_ID: f"CAST({write_id} AS BIGINT)",
        system.RESCUED_DATA: f"lk_left({rescued}, {gone})",
    }
    own |= {field.name: _value((field.name,), field.type, back) for field in state.schema if (field.name,) in back}
    columns = [f"{own.get(field.name, ident(field.name))} AS {ident(field.name)}" for field in state.schema]
    left = {"lk_left": Function(_left, (pa.string(), pa.string()), pa.string())}
    return Query(f"SELECT {', '.join([*columns, *session.places])}, 'update' AS _change FROM found", {"found": found}, left)


def _places(path: Path, kind: pa.DataType) -> Iterator[tuple[Path, pa.DataType]]:
    """Where values may go: columns, and fields inside of structs."""
    yield path, kind
    if pa.types.is_struct(kind):
        for field in cast("Any", kind):
            yield from _places((*path, field.name), field.type)


def _at(path: Path) -> str:
    return ".".join(map(ident, path))


def _value(path: Path, kind: pa.DataType, back: dict[Path, str]) -> str:
    """A column with what comes back, at any depth of its structs."""
    whole = f"coalesce({_at(path)}, {back[path]})"
    if not pa.types.is_struct(kind):
        return whole
    parts = ", ".join(f"{literal(field.name)}, {_value((*path, field.name), field.type, back)}" for field in cast("Any", kind))
    return f"CASE WHEN {_at(path)} IS NULL THEN {back[path]} ELSE named_struct({parts}) END"


def _back(rescued: str, path: Path, kind: pa.DataType) -> str:
    """A rescued value as one of its column's type; NULL where something of it would be lost."""
    name = literal(rescued_path(path))
    text = f"coalesce({', '.join(f'lk_json_text({rescued}, {name}, {literal(tag)})' for tag in _TAGS)}, lk_json_text({rescued}, {name}))"
    if pa.types.is_nested(kind):
        inside = f"STRUCT<v: {sql_type(json_forms.printed(kind))}>"
        whole = f"""lk_from_json(concat('{{"v":', lk_json_text({rescued}, {name}), '}}'), {literal(inside)})"""
        value = json_forms.parsed(f"{whole}.v", kind)
        again = f"lk_json_text(lk_to_json(named_struct('v', {json_forms.printable(value, kind)})), 'v')"
        return f"CASE WHEN {again} = lk_json_text({rescued}, {name}) THEN {value} END"
    if pa.types.is_binary(kind):
        return f"unbase64(lk_json_text({rescued}, {name}, '$binary'))"
    if pa.types.is_string(kind):
        return text
    if (written := next((pattern for is_kind, pattern in _WRITTEN if is_kind(kind)), None)) is not None:
        return f"CASE WHEN {text} RLIKE '{written}' THEN TRY_CAST({text} AS {sql_type(kind)}) END"
    exact = conversion(text, pa.string(), kind)
    return exact if exact is not None else f"TRY_CAST({text} AS {sql_type(kind)})"


def _left(texts: Any, gone: Any) -> Any:
    """What is left of JSON objects without some of their fields, each named in a line of its own; NULL where nothing is."""
    return pa.array(
        [
            left(text, {json.loads(name) for name in names.splitlines()})
            for text, names in zip(texts.to_pylist(), gone.to_pylist(), strict=True)
        ],
        pa.string(),
    )


def left(text: str, gone: set[str]) -> str | None:
    """A JSON object without some of its fields; the others stay as they are written.

    >>> left('{"a": 1.50, "b.c": "x", "d": [1, 2]}', {"b.c"}), left('{"a": 1}', {"a"})
    ('{"a":1.50,"d":[1, 2]}', None)
    """
    kept = [(name, value) for name, value in _fields(text) if name not in gone]
    return _object(kept) if kept else None


def _called(texts: Any, *, places: tuple[str, ...]) -> Any:
    """JSON objects whose fields are called as the table calls them."""
    known = {name.lower(): name for name in places}
    return pa.array([called(text, known) for text in texts.to_pylist()], pa.string())


def called(text: str, known: Mapping[str, str]) -> str:
    """A JSON object with the table's own names, by those in lower case: a column may come later and be written otherwise.

    >>> called('{"a": 1.50, "b": "x"}', {"a": "A", "c": "C"}), called('{"a": 1, "A": 2}', {"a": "A"})
    ('{"A":1.50,"b":"x"}', '{"a":1,"A":2}')
    """
    fields = list(_fields(text))
    often = Counter(name.lower() for name, _ in fields)
    return _object((known.get(name.lower(), name) if often[name.lower()] == 1 else name, value) for name, value in fields)


def _fields(text: str) -> Iterator[tuple[str, str]]:
    """The fields of a JSON object, each value as it is written."""
    decoder = json.JSONDecoder()
    at = text.index("{") + 1
    while text[at:].lstrip(" ,").startswith('"'):
        at += len(text[at:]) - len(text[at:].lstrip(" ,"))
        name, at = decoder.raw_decode(text, at)
        at = text.index(":", at) + 1
        at += len(text[at:]) - len(text[at:].lstrip())
        _, end = decoder.raw_decode(text, at)
        yield name, text[at:end]
        at = end


def _object(fields: Iterable[tuple[str, str]]) -> str:
    return "{" + ",".join(f"{json.dumps(name, ensure_ascii=False)}:{value}" for name, value in fields) + "}"
