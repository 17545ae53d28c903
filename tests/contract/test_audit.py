"""audit: a write is seen only if the table then passes the checks; otherwise it waits on a branch, and the bookmark with it."""

from __future__ import annotations

from typing import Any

import pytest

import lakekit as lk
from lakekit import checks, rules
from lakekit.errors import ConfigError, ContractError
from lakekit.incremental import cas
from tests.contract.helpers import frame, living

UP, TABLE = "bronze.prices", "silver.prices"
POSITIVE = {"positive": "price > 0"}


def branches(lake: Any, name: str = TABLE) -> list[str]:
    return [reference for reference in lake.load(name, place="test").references if reference != "main"]


def run(lake: Any, held: Any = POSITIVE, **options: Any) -> lk.Commit:
    return lk.merge(lk.audit(lk.read_new(lake, UP, into=TABLE), held), key="id", **options)


def rows(*prices: int | None, first: int = 1) -> list[dict[str, Any]]:
    return [{"id": number, "price": price} for number, price in enumerate(prices, first)]


def test_a_write_that_passes_is_published_in_one_step_and_leaves_no_branch(lake: Any) -> None:
    lk.append(frame(lake, "a", *rows(5, 6)), into=UP)
    commit = run(lake)
    assert (commit.committed, commit.inserted, dict(commit.checks)) == (True, 2, {"positive": 0})
    assert living(lake, TABLE, "id", "price") == [(1, 5), (2, 6)]
    assert commit.snapshot_id == lake.load(TABLE, place="test").head
    assert branches(lake) == []
    again = run(lake)
    assert (again.read, again.committed) == (0, False)


def test_a_write_that_fails_is_seen_on_its_branch_only_and_the_next_run_goes_on_from_there(lake: Any) -> None:
    lk.append(frame(lake, "a", *rows(5)), into=UP)
    run(lake)
    before = lake.load(TABLE, place="test")
    lk.append(frame(lake, "b", *rows(6, -7, first=2)), into=UP)
    for _ in range(2):  # the second one replaces the branch of the first
        with pytest.raises(ContractError, match=r"'positive' failed by 1 of 3.*\n.*as_of='lakekit_audit_") as caught:
            run(lake)
        [branch] = branches(lake)
        assert branch in str(caught.value)
        assert "-7" not in str(caught.value)
        state = lake.load(TABLE, place="test")
        assert (state.head, cas.stored(state)) == (before.head, cas.stored(before))
        assert living(lake, TABLE, "id", "price") == [(1, 5)]
        staged = lk.read(lake, TABLE, as_of=branch).to_arrow().to_pylist()
        assert sorted((row["id"], row["price"]) for row in staged) == [(1, 5), (2, 6), (3, -7)]
    lk.append(frame(lake, "c", *rows(7, first=3)), into=UP)  # mended at the source
    commit = run(lake)
    assert (commit.inserted, commit.read) == (2, 3)
    assert living(lake, TABLE, "id", "price") == [(1, 5), (2, 6), (3, 7)]
    assert branches(lake) == []


def test_the_first_write_of_a_table_may_fail_too(lake: Any) -> None:
    lk.append(frame(lake, "a", *rows(-1)), into=UP)
    with pytest.raises(ContractError, match="'positive' failed by 1 of 1"):
        run(lake)
    assert living(lake, TABLE, "id") == []
    assert run(lake, {"any": "price < 0"}).inserted == 1
    assert living(lake, TABLE, "id", "price") == [(1, -1)]


def test_the_whole_table_is_looked_at_but_not_what_is_deleted(lake: Any) -> None:
    lk.append(frame(lake, "a", *rows(5, 5)), into=UP)
    with pytest.raises(ContractError, match="'one each' failed by 2 of 2"):
        run(lake, {"one each": checks.unique("price")})
    lk.append(frame(lake, "b", {"id": 2, "price": 5, "_operation": "delete"}), into=UP)
    assert run(lake, {"one each": checks.unique("price")}).checks == {"one each": 0}
    lk.append(frame(lake, "c", *rows(5, first=3)), into=UP)
    with pytest.raises(ContractError, match="'one each' failed by 2 of 2"):
        run(lake, {"one each": checks.unique("price")})


def test_a_warning_lets_the_write_pass(lake: Any) -> None:
    lk.append(frame(lake, "a", *rows(5, -6)), into=UP)
    commit = run(lake, {"positive": checks.expression("price > 0", severity="warn"), "some": checks.expression("price > 0", at_most=0.5)})
    assert (commit.inserted, dict(commit.checks)) == (2, {"positive": 1, "some": 1})


def test_appends_groups_and_histories_are_audited_too(lake: Any) -> None:
    lk.append(lk.audit(frame(lake, "a", *rows(5)), POSITIVE), into=UP)
    with pytest.raises(ContractError):
        lk.append(lk.audit(frame(lake, "b", *rows(-5)), POSITIVE), into=UP)
    assert living(lake, UP, "price") == [(5,)]
    groups = lk.read_new_groups(lake, UP, into="gold.prices", by="price")
    assert lk.replace_groups(lk.audit(groups, POSITIVE)).inserted == 1
    events = lk.select(frame(lake, "a", {"id": 1, "price": 5, "since": "2026-01-01"}), {"since": "CAST(since AS TIMESTAMP)"}, rest="keep")
    with pytest.raises(ContractError):
        lk.merge_scd2(lk.audit(events, {"negative": "price < 0 OR NOT is_current"}), into="gold.history", key="id", effective_at="since")
    assert lk.merge_scd2(lk.audit(events, POSITIVE), into="gold.history", key="id", effective_at="since").inserted == 1


def test_rejects_of_a_write_that_fails_are_kept_once(lake: Any) -> None:
    lk.append(frame(lake, "a", {"id": 1, "price": "x"}, {"id": 2, "price": "-5"}), into=UP)
    for _ in range(2):
        batch = lk.clean(lk.read_new(lake, UP, into=TABLE), {"price": rules.integer()})
        with pytest.raises(ContractError):
            lk.merge(lk.audit(batch, POSITIVE), key="id")
    assert lk.read(lake, f"{TABLE}__rejects").count() == 1


def test_an_ordinary_write_goes_on_beside_a_branch_that_is_left(lake: Any) -> None:
    lk.append(frame(lake, "a", *rows(-5)), into=UP)
    with pytest.raises(ContractError):
        run(lake)
    assert lk.merge(lk.read_new(lake, UP, into=TABLE), key="id").inserted == 1
    assert living(lake, TABLE, "id", "price") == [(1, -5)]
    assert len(branches(lake)) == 1


def test_a_dry_run_and_a_write_that_changes_nothing_are_not_audited(lake: Any) -> None:
    lk.append(frame(lake, "a", *rows(-5)), into=UP)
    assert run(lake, dry_run=True).inserted == 1
    assert TABLE not in lake.tables()
    lk.merge(frame(lake, "x", *rows(-5)), into=TABLE, key="id")
    assert not run(lake).committed


def test_what_cannot_be_audited_is_refused(lake: Any) -> None:
    batch = frame(lake, "a", *rows(5))
    with pytest.raises(ConfigError, match="at least one check"):
        lk.audit(batch, {})
    with pytest.raises(ConfigError, match="unique in the whole table"):
        lk.audit(batch, {"x": checks.unique("price", table=TABLE)})
    with pytest.raises(ConfigError, match="expected a check"):
        lk.audit(batch, {"x": 7})  # type: ignore[dict-item]
