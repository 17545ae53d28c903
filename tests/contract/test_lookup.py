"""lookup: a fact finds the version of its member that was valid at its time, or what stands for a missing one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import lakekit as lk
from lakekit.errors import ConfigError, ContractError, SchemaError, TableNotFoundError
from lakekit.gold.keys import hash63
from tests.contract.helpers import frame, snapshots, stored

DIM = "gold.dim_people"
DAY = datetime(2026, 1, 1, tzinfo=UTC)


def at(day: int) -> datetime:
    return DAY + timedelta(days=day)


@pytest.fixture
def filled(lake: Any) -> Any:
    events = [
        {"id": 1, "name": "a", "at": at(2), "_operation": "upsert"},
        {"id": 1, "name": "b", "at": at(5), "_operation": "upsert"},
        {"id": 1, "name": None, "at": at(7), "_operation": "delete"},
    ]
    lk.merge_scd2(frame(lake, "people", *events), into=DIM, key="id", effective_at="at", surrogate_key="person_key")
    return lake


def facts(lake: Any, *rows: tuple[int | None, int], run: str = "facts") -> lk.Batch:
    return frame(lake, run, *({"fact": index, "person": person, "at": at(day)} for index, (person, day) in enumerate(rows)))


def found(batch: lk.Batch, column: str) -> list[Any]:
    return batch.to_arrow().sort_by("fact").column(column).to_pylist()


def test_a_fact_at_exactly_valid_from_belongs_to_the_new_version(filled: Any) -> None:
    batch = lk.lookup(facts(filled, (1, 2), (1, 4), (1, 5), (1, 6)), DIM, on={"person": "id"}, at="at", take="name")
    assert found(batch, "name") == ["a", "a", "b", "b"]


def test_before_the_first_version_in_a_gap_and_without_a_key_there_is_the_unknown_member(filled: Any) -> None:
    batch = lk.lookup(facts(filled, (1, 0), (1, 7), (9, 3), (None, 3)), DIM, on={"person": "id"}, at="at", take="person_key")
    assert found(batch, "person_key") == [-1, -1, -1, -1]


def test_null_and_raise_say_so(filled: Any) -> None:
    batch = lk.lookup(facts(filled, (9, 3)), DIM, on={"person": "id"}, at="at", take="person_key", missing="null")
    assert found(batch, "person_key") == [None]
    with pytest.raises(ContractError, match="1 rows"):
        lk.lookup(facts(filled, (9, 3)), DIM, on={"person": "id"}, at="at", take="person_key", missing="raise")


def test_an_inferred_member_is_made_by_the_facts_write_and_overwritten_by_the_first_real_row(filled: Any) -> None:
    batch = lk.lookup(facts(filled, (9, 3), (1, 5)), DIM, on={"person": "id"}, at="at", take="person_key", missing="infer")
    assert snapshots(filled, DIM) == 1, "lookup itself writes nothing"
    lk.merge(batch, into="gold.facts", key="fact")
    number = hash63([9], ["BIGINT"])
    assert stored(filled, "gold.facts", "fact", "person_key")[0] == (0, number)
    (member,) = [row for row in lk.read(filled, DIM).to_arrow().to_pylist() if row["person_key"] == number]
    assert member["_is_inferred"]
    assert member["is_current"]
    real = {"id": 9, "name": "Radia", "at": at(1), "_operation": "upsert"}
    lk.merge_scd2(frame(filled, "real", real), into=DIM, key="id", effective_at="at", surrogate_key="person_key")
    (member,) = [row for row in lk.read(filled, DIM).to_arrow().to_pylist() if row["person_key"] == number]
    assert (member["name"], member["_is_inferred"], member["valid_from"]) == ("Radia", False, at(1))


def test_writing_the_facts_again_infers_nobody_twice(filled: Any) -> None:
    for run in ("one", "two"):
        batch = lk.lookup(facts(filled, (9, 3), (9, 4), run=run), DIM, on={"person": "id"}, at="at", take="person_key", missing="infer")
        lk.merge(batch, into="gold.facts", key="fact")
    assert [row["_is_inferred"] for row in lk.read(filled, DIM).to_arrow().to_pylist() if row["id"] == 9] == [True]


def test_the_current_version_is_taken_without_a_time_and_columns_may_be_renamed(filled: Any) -> None:
    lk.merge_scd2(
        frame(filled, "again", {"id": 1, "name": "c", "at": at(9), "_operation": "upsert"}),
        into=DIM, key="id", effective_at="at", surrogate_key="person_key",
    )  # fmt: skip
    batch = lk.lookup(facts(filled, (1, 0)), DIM, on={"person": "id"}, take={"name": "person_name"})
    assert found(batch, "person_name") == ["c"]


def test_a_wrong_lookup_is_named(filled: Any) -> None:
    batch = facts(filled, (1, 3))
    with pytest.raises(TableNotFoundError):
        lk.lookup(batch, "gold.dim_nobody", on="person", take="name")
    with pytest.raises(ConfigError, match="key is id"):
        lk.lookup(batch, DIM, on={"person": "name"}, take="name")
    with pytest.raises(SchemaError, match="'nmae'"):
        lk.lookup(batch, DIM, on={"person": "id"}, take="nmae")
    with pytest.raises(SchemaError, match="'when'"):
        lk.lookup(batch, DIM, on={"person": "id"}, at="when", take="name")
    with pytest.raises(ConfigError, match="unknown"):
        lk.lookup(batch, DIM, on={"person": "id"}, take="name", missing="guess")  # type: ignore[arg-type]
