"""Several look-ups in one call: all dimensions of a fact, and one dimension in several roles."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Literal

import attrs

from lakekit.batch import Batch
from lakekit.engines.plan import TableState
from lakekit.errors import ConfigError
from lakekit.gold.lookup import looked_up
from lakekit.names import Columns, TableName


@attrs.frozen(kw_only=True)
class Role:
    """One look-up of `lookup_all`: a dimension, and what it is for the fact. As the arguments of `lookup`.

    >>> buyer = Role(dimension="gold.dim_users", on={"buyer_id": "user_id"}, at="ordered_at", take={"user_key": "buyer_key"})
    >>> buyer.missing
    'unknown'
    """

    dimension: TableName
    on: Columns | Mapping[str, str]
    at: str | None = None
    take: Columns | Mapping[str, str]
    missing: Literal["unknown", "infer", "null", "raise"] = "unknown"
    now: datetime | None = None


def lookup_all(batch: Batch, *roles: Role) -> Batch:
    """The batch after several look-ups, each as by `lookup`: all dimensions of a fact in one call, one of them in several roles or not.

    Each dimension is looked up as it stands at the call: once, whatever its roles.

    Args:
        batch: The facts.
        roles: The look-ups. No two may fill the same column.

    Raises:
        TableNotFoundError: There is no such dimension.
        ConfigError: It was not made by `merge_scd2`, ``on`` is not its key, or two roles fill one column.
        SchemaError: A named column is missing.
        ContractError: A fact finds no version and ``missing="raise"``.

    >>> import lakekit as lk, tempfile
    >>> lake = lk.connect(tempfile.mkdtemp())
    >>> people = lk.from_frame(lake, [{"id": 1, "name": "Ada", "at": 1}, {"id": 2, "name": "Bo", "at": 1}], run_id="a")
    >>> _ = lk.merge_scd2(people, into="gold.dim_people", key="id", effective_at="at")
    >>> facts = lk.from_frame(lake, [{"fact": 1, "buyer": 1, "seller": 2}], run_id="b")
    >>> role = lambda who: lk.gold.Role(dimension="gold.dim_people", on={who: "id"}, take={"name": f"{who}_name"})
    >>> lk.gold.lookup_all(facts, role("buyer"), role("seller")).to_arrow().select(["buyer_name", "seller_name"]).to_pylist()
    [{'buyer_name': 'Ada', 'seller_name': 'Bo'}]
    """
    states: dict[tuple[str, ...], TableState] = {}
    filled: set[str] = set()
    for role in roles:
        names = role.take.values() if isinstance(role.take, Mapping) else [role.take] if isinstance(role.take, str) else role.take
        if twice := sorted(filled & set(names)):
            raise ConfigError("lookup_all(take=)", "two roles fill one column", got=", ".join(twice), hint="rename: take={theirs: ours}.")
        filled |= set(names)
        name = batch.lake.identifier(role.dimension, place="lookup_all()")
        if name not in states:
            states[name] = batch.lake.load(name, place="lookup_all()")
        batch = looked_up(batch, states[name], on=role.on, at=role.at, take=role.take, missing=role.missing, now=role.now)
    return batch
