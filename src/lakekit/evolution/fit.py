"""Makes a table fit incoming columns: one schema commit, before a row is written; or an error that holds the statements to run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

from lakekit import columns as system
from lakekit.engines.plan import Alteration, TableState
from lakekit.engines.protocol import Engine
from lakekit.errors import CommitConflictError
from lakekit.evolution.differences import Change, Path, diff
from lakekit.evolution.policy import Policy
from lakekit.evolution.schema_plan import SchemaPlan, make

if TYPE_CHECKING:
    from collections.abc import Collection

    import pyarrow as pa

_ATTEMPTS: Final = 8
_KINDS: Final = {"additive": "add", "widening": "widen", "relaxing": "relax"}


def exact(state: TableState) -> pa.Schema:
    """A table's columns, those that can't be NULL marked as such."""
    import pyarrow as pa

    touched = {known[:length] for known in state.required for length in range(1, len(known) + 1)}
    return pa.schema([_marked((field.name,), field, state.required, touched) for field in state.schema])


def _marked(path: Path, field: pa.Field[Any], required: frozenset[Path], touched: set[Path]) -> pa.Field[Any]:
    import pyarrow as pa

    if path not in touched:
        return field
    kind: Any = field.type
    if pa.types.is_struct(kind):
        kind = pa.struct([_marked((*path, inner.name), inner, required, touched) for inner in kind])
    elif pa.types.is_list(kind):
        kind = pa.list_(_marked((*path, "element"), kind.value_field, required, touched))
    elif pa.types.is_map(kind):
        value: Any = _marked((*path, "value"), kind.item_field, required, touched)
        kind = pa.map_(kind.key_type, value)
    return field.with_type(kind).with_nullable(path not in required)


def planned(state: TableState, incoming: pa.Schema, policy: Policy, *, keys: Collection[str] = (), place: str) -> SchemaPlan:
    """The plan by which a table takes incoming columns.

    Raises:
        ConfigError: An unknown policy.
    """
    # By the rules of v2 for every table: what v3 allows more, neither engine carries out yet (pyiceberg 0.12, Iceberg 1.12 on Spark).
    found = diff(exact(state), incoming, keys={*keys, *state.identifiers}, partitioned=state.partitioned, sorted=state.sorted)
    return make(state.label, found, policy, schema_id=state.schema_id, catalog=state.catalog, place=place)


def alteration(change: Change) -> Alteration:
    """A change as an engine makes it."""
    return Alteration(cast("Any", _KINDS[change.kind]), change.path, cast("pa.DataType", change.after))


def fit(engine: Engine, state: TableState, incoming: pa.Schema, *, on_change: Policy, place: str) -> tuple[TableState, tuple[str, ...]]:
    """Make the table fit, in one schema commit. Where somebody else changes it meanwhile, what is left to do is looked at again.

    Returns:
        The table afterwards, and the names of the source's columns added to it.

    Raises:
        SchemaError: The policy says so; the text holds the statements that mend it.
        ConfigError: An unknown policy.
    """
    for _ in range(_ATTEMPTS):
        plan = planned(state, incoming, on_change, place=place)
        plan.require_allowed(place=place)
        if plan.of("rescue", "reject"):  # the rows were made for the table as it was
            raise CommitConflictError(state.label, "its schema has changed while the rows were read", hint="run it again.")
        changes = plan.of("evolve")
        if not changes:
            return state, ()
        try:
            changed = engine.alter(state, [alteration(change) for change in changes])
        except CommitConflictError:
            state = engine.load(state.name)
            continue
        new = (change.path for change in changes if change.kind == "additive")
        return changed, tuple(path[0] for path in new if len(path) == 1 and not system.is_system(path[0]))
    raise CommitConflictError(state.label, "its schema never stood still", hint="run it again.")
