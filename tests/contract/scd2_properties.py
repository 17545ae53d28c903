"""What must hold of a dimension whatever its events were: scenarios that are told in words, not in rows."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any

import lakekit as lk
from lakekit.columns import DELETE, OPERATION, UPSERT
from tests.contract.cases import Row, require_known

GENERATOR = frozenset({"keys", "max_events_per_key", "p_delete", "p_duplicate_reemit", "p_non_null", "columns", "sequence", "batches"})
Write = Callable[[Any, str, Sequence[Row], str], Any]


def require_property(lake: Any, fields: Mapping[str, Any], path: Path) -> None:
    """Have chance make events as a scenario says, and raise unless what it says holds of them."""
    made = dict(fields["generator"])
    if "same_as" in made:
        other = json.loads(path.with_name(f"{made.pop('same_as')}.json").read_text())
        made = {**other["generator"], **made}
    require_known(made, GENERATOR, place="generator")
    chance = Random(path.stem)
    for words, check in PROPERTIES.items():
        if found := re.match(words, fields["property"]):
            check(lake, events(made, chance), chance, made.get("batches") or found["batches"])
            return
    raise ValueError(f"property: not understood: {fields['property']}")


def events(made: Mapping[str, Any], chance: Random) -> list[Row]:
    """Events in their order. Each has a sequence of its own; some repeat the values of the one before."""
    require_known([made["sequence"]], {"unique, global"}, place="generator: sequence")
    keys = [key for key in range(made["keys"]) for _ in range(chance.randint(1, made["max_events_per_key"]))]
    chance.shuffle(keys)
    last: dict[int, Row] = {}
    for number, key in enumerate(keys):
        row = {name: value(words, made["p_non_null"], chance) for name, words in made["columns"].items()}
        operation = DELETE if chance.random() < made["p_delete"] else UPSERT
        if key in last and chance.random() < made["p_duplicate_reemit"]:
            row, operation = {name: last[key][name] for name in row}, last[key][OPERATION]
        keys[number] = last[key] = {"id": key, **row, "seq": number, OPERATION: operation}  # type: ignore[call-overload]
    return keys  # type: ignore[return-value]


def value(words: str, p_non_null: float, chance: Random) -> Any:
    """A value as it is told: ``nullable int <100``."""
    found = re.fullmatch(r"(nullable )?(?:one of (?P<of>.+)|int <(?P<below>\d+)|(?P<bool>bool))", words)
    if found is None:
        raise ValueError(f"generator: not understood: {words}")
    if found[1] and chance.random() >= p_non_null:
        return None
    if found["of"]:
        return chance.choice(found["of"].split("/"))
    return chance.random() < 0.5 if found["bool"] else chance.randrange(int(found["below"]))


def delivered(told: Sequence[Row], chance: Random, words: str) -> list[list[Row]]:
    """Events in any order, in so many batches: ``8``, or ``1..8 random for each side``."""
    low, _, high = words.split(" ", maxsplit=1)[0].partition("..")
    shuffled, number = chance.sample(told, len(told)), chance.randint(int(low), int(high or low))
    return [part for index in range(number) if (part := shuffled[index::number])]


def scd1(lake: Any, table: str, rows: Sequence[Row], run: str) -> None:
    lk.merge(lk.from_frame(lake, list(rows), run_id=run), into=table, key="id", order_by="seq")


def scd2(lake: Any, table: str, rows: Sequence[Row], run: str) -> None:
    lk.merge_scd2(lk.from_frame(lake, list(rows), run_id=run), into=table, key="id", effective_at="seq")


def written(lake: Any, table: str, write: Write, batches: Sequence[Sequence[Row]], *names: str) -> list[str]:
    """The table's living rows, after the batches were written to it, as text."""
    for number, rows in enumerate(batches):
        write(lake, table, rows, f"{number}")
    rows = lk.read(lake, table).to_arrow().to_pylist()
    return sorted(str([row[name] for name in names]) for row in rows if row.get("is_current", True) or "valid_to" in names)


def require_any_order(lake: Any, told: Sequence[Row], chance: Random, batches: str) -> None:
    business = [name for name in told[0] if name != OPERATION]
    for write, more in ((scd1, []), (scd2, ["valid_from", "valid_to", "is_current"])):
        in_order = written(lake, f"gold.in_order_{write.__name__}", write, [told], *business, *more)
        assert written(lake, f"gold.shuffled_{write.__name__}", write, delivered(told, chance, batches), *business, *more) == in_order


def require_open_versions(lake: Any, told: Sequence[Row], chance: Random, batches: str) -> None:
    data = [name for name in told[0] if name not in (OPERATION, "seq")]
    current = written(lake, "gold.scd1", scd1, delivered(told, chance, batches), *data)
    assert written(lake, "gold.scd2", scd2, delivered(told, chance, batches), *data) == current


PROPERTIES: dict[str, Callable[[Any, Sequence[Row], Random, str], None]] = {
    r"apply\(sorted, 1 batch\) == apply\(shuffled, (?P<batches>\d+) batches\)": require_any_order,
    r"SCD1\(target\) rows == SCD2\(target\) rows where valid_to is null": require_open_versions,
}
