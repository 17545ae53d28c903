"""Runs of `resolve_identities`: again, beside each other, broken off, by other rules; what other tools do in between."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest

import lakekit as lk
from lakekit import identity
from lakekit.engines.embedded.commit import PreparedFiles
from lakekit.engines.spark.commit import PreparedRows
from lakekit.gold.keys import hash63
from tests.contract.helpers import foreign, frame, rewrite, snapshots
from tests.contract.identities import BY_EMAIL, INTO, masters, persons, resolve, rows

ADA, BO = {"user_id": 1, "email": "ada@example.com"}, {"user_id": 2, "email": "bo@example.com"}
BUYER = {"buyer_id": "x", "email": "ada@example.com"}


def test_the_same_run_again_changes_nothing(lake: Any) -> None:
    resolve(lake, "a", shop=[ADA, BO], market=[BUYER])
    before = masters(lake)
    made = {name: snapshots(lake, name) for name in (INTO, f"{INTO}__records", f"{INTO}__keys", f"{INTO}__links")}
    again = resolve(lake, "a", shop=[ADA, BO], market=[BUYER])
    repeated = resolve(lake, "b", shop=[ADA, BO], market=[BUYER])
    assert not again.committed
    assert (repeated.committed, repeated.unchanged) == (False, 3)
    assert masters(lake) == before
    assert made == {name: snapshots(lake, name) for name in made}


def test_a_run_with_nothing_new_looks_at_nothing_but_after_a_crash_it_does(lake: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def run() -> lk.Commit:
        return lk.resolve_identities({"shop": lk.read_new(lake, "bronze.users", into=INTO)}, record_key={"shop": "user_id"}, rules=BY_EMAIL)

    lk.append(frame(lake, "a", ADA, BO), into="bronze.users")
    run()
    with monkeypatch.context() as patch:
        patch.setattr("lakekit.identity.records.gather", lambda *_: 1 / 0)
        assert not run().committed
    lk.append(frame(lake, "b", {**BO, "email": "ada@example.com"}), into="bronze.users")
    with monkeypatch.context() as patch:
        patch.setattr("lakekit.identity.assign.put", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            run()
    assert run().committed
    assert persons(lake) == [["shop 1", "shop 2"]]


def test_a_stale_retry_of_an_older_run_changes_nothing(lake: Any) -> None:
    resolve(lake, "a", shop=[ADA], market=[BUYER])
    resolve(lake, "b", shop=[{**ADA, "email": "other@example.com"}])
    resolve(lake, "a", shop=[ADA], market=[BUYER])
    assert persons(lake) == [["market x"], ["shop 1"]]


def test_a_dry_run_counts_the_same_and_writes_nothing(lake: Any) -> None:
    figures = ("read", "inserted", "updated", "deleted", "unchanged", "rejected")
    promised = resolve(lake, "a", shop=[ADA, BO], market=[BUYER], dry_run=True)
    assert lake.tables() == []
    kept = resolve(lake, "a", shop=[ADA, BO], market=[BUYER])
    assert [getattr(promised, name) for name in figures] == [getattr(kept, name) for name in figures]
    change = [{**ADA, "_operation": "delete"}, {**BO, "email": "ada@example.com"}]
    before = masters(lake)
    promised = resolve(lake, "b", shop=change, dry_run=True)
    assert masters(lake) == before
    kept = resolve(lake, "b", shop=change)
    assert [getattr(promised, name) for name in figures] == [getattr(kept, name) for name in figures]


def test_reading_what_is_new_gives_exactly_the_changed_assignments(lake: Any) -> None:
    resolve(lake, "a", shop=[ADA, BO], market=[BUYER])
    lk.append(lk.read_new(lake, INTO, into="gold.copy"))
    resolve(lake, "b", shop=[{**BO, "email": "ada@example.com"}, {"user_id": 3, "email": "cy@example.com"}])
    changed = lk.read_new(lake, INTO, into="gold.copy").to_arrow().to_pylist()
    assert sorted((row["kind"], row["source"] or "", row["_operation"]) for row in changed) == [
        ("alias", "", "upsert"),
        ("record", "shop", "upsert"),
        ("record", "shop", "upsert"),
    ]


def test_other_rules_need_a_rebuild_which_carries_the_ids_over(lake: Any) -> None:
    people = [{**ADA, "phone": "+1"}, {**BO, "phone": "+1"}]
    both = identity.Rules(match=[identity.exact("email"), identity.exact("phone")])
    resolve(lake, "a", shop=people, rules=both)
    before = masters(lake)
    with pytest.raises(lk.errors.ConfigError, match="resolved by other rules"):
        resolve(lake, "b", shop=people)
    resolve(lake, "b", shop=people, rebuild=True)
    after = masters(lake)
    assert after["shop 1"] == before["shop 1"] != after["shop 2"]
    resolve(lake, "c", shop=people, rules=both, rebuild=True)
    assert set(masters(lake).values()) == {after["shop 1"]}


def test_rules_that_read_a_new_column_need_the_records_again(lake: Any) -> None:
    lk.append(frame(lake, "a", {**ADA, "phone": "+1"}, {**BO, "phone": "+1"}), into="bronze.users")

    def run(rules: identity.Rules, **options: Any) -> lk.Commit:
        batches = {"shop": lk.read_new(lake, "bronze.users", into=INTO)}
        return lk.resolve_identities(batches, record_key={"shop": "user_id"}, rules=rules, **options)

    run(BY_EMAIL)
    lk.append(frame(lake, "b", {"user_id": 3, "email": "cy@example.com", "phone": "+2"}), into="bronze.users")
    by_phone = identity.Rules(match=[identity.exact("phone")])
    with pytest.raises(lk.errors.ConfigError, match="lack a column") as error:
        run(by_phone, rebuild=True)
    assert "rewind()" in error.value.hint
    lk.rewind(lake, into=INTO, upstream="bronze.users", to=None)
    run(by_phone, rebuild=True)
    assert persons(lake) == [["shop 1", "shop 2"], ["shop 3"]]


def test_compaction_by_another_tool_and_expired_snapshots_change_nobodys_id(lake: Any) -> None:
    resolve(lake, "a", shop=[ADA, BO], market=[BUYER])
    before = masters(lake)
    for name in (INTO, f"{INTO}__records", f"{INTO}__keys", f"{INTO}__links"):
        rewrite(lake, name)
        table = foreign(lake, name)
        table.maintenance.expire_snapshots().by_ids(
            [found.snapshot_id for found in table.metadata.snapshots if found.snapshot_id != table.metadata.current_snapshot_id]
        ).commit()
    resolve(lake, "b", shop=[{"user_id": 3, "email": "ada@example.com"}])
    assert masters(lake) == {**before, "shop 3": before["shop 1"]}


def test_what_a_crashed_run_wrote_is_taken_up_by_the_next_run_of_another_source(lake: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    resolve(lake, "a", shop=[ADA], market=[BUYER])
    with monkeypatch.context() as patch:
        patch.setattr("lakekit.identity.assign.put", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            resolve(lake, "b", shop=[BO])
    assert persons(lake) == [["market x", "shop 1"]]
    resolve(lake, "c", market=[{**BUYER, "email": "bo@example.com"}])
    assert persons(lake) == [["market x", "shop 2"], ["shop 1"]]
    assert not resolve(lake, "b", shop=[BO]).committed


def test_the_first_id_is_a_hash_of_the_least_record_and_the_run(lake: Any) -> None:
    resolve(lake, "a", shop=[ADA], market=[BUYER])
    minted = hash63(["market", "x", 1], ["STRING", "STRING", "BIGINT"])
    assert masters(lake) == {"market x": minted, "shop 1": minted}
    assert [row["generation"] for row in rows(lake)] == [1, 1]


def test_records_meet_under_a_hash_of_the_block_and_its_values(lake: Any) -> None:
    resolve(lake, "a", shop=[ADA, BO], market=[BUYER])
    (block,) = BY_EMAIL.blocks
    kept = lk.read(lake, f"{INTO}__keys").to_arrow().to_pylist()
    assert {row["key"] for row in kept} == {hash63([block.name, row["email"]], ["STRING", "STRING"]) for row in (ADA, BO)}
    assert {row["block"] for row in kept} == {block.name}


def _changes(lake: Any, run: str) -> lk.Commit:
    """A run that merges two persons, splits one, and makes one."""
    shop = [{**BO, "email": "ada@example.com"}, {"user_id": 3, "email": "cy@example.com"}, {"user_id": 4, "email": None}]
    return resolve(lake, run, shop=shop, market=[{**BUYER, "email": "new@example.com"}])


def _prepare(lake: Any) -> None:
    people = [ADA, BO, {"user_id": 4, "email": "dee@example.com"}, {"user_id": 5, "email": "dee@example.com"}]
    resolve(lake, "a", shop=people, market=[BUYER])


def _prepared(lake: Any) -> Any:
    """The class whose objects commit."""
    return PreparedFiles if lake.engine.name == "embedded" else PreparedRows


def _content(lake: Any) -> list[tuple[Any, ...]]:
    found = lk.read(lake, INTO, deleted=True).to_arrow().to_pylist()
    return sorted((tuple(value for name, value in row.items() if name != "_write_id") for row in found), key=repr)


@pytest.mark.parametrize("at", range(4))
def test_a_run_that_breaks_off_before_any_of_its_commits_is_made_good_by_the_next(
    lake: Any, at: int, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    undisturbed = lk.connect(tmp_path / "undisturbed")
    for one in (lake, undisturbed):
        _prepare(one)
    prepared = _prepared(lake)
    commit, count = prepared.commit, 0

    def broken(self: Any, *arguments: Any, **options: Any) -> Any:
        nonlocal count
        count += 1
        if count > at:
            raise InterruptedError
        return commit(self, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(prepared, "commit", broken)
        with pytest.raises(InterruptedError):
            _changes(lake, "b")
    _changes(lake, "b")
    _changes(undisturbed, "b")
    assert _content(lake) == _content(undisturbed)


@pytest.mark.parametrize("at", range(4))
def test_two_runs_at_once_give_what_one_gives(lake: Any, at: int, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    undisturbed = lk.connect(tmp_path / "undisturbed")
    for one in (lake, undisturbed):
        _prepare(one)
    prepared = _prepared(lake)
    commit, count = prepared.commit, 0

    def overtaken(self: Any, *arguments: Any, **options: Any) -> Any:
        nonlocal count
        count += 1
        if count == at + 1:
            _changes(lake, "b")
        return commit(self, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(prepared, "commit", overtaken)
        with contextlib.suppress(lk.errors.CommitConflictError):
            assert not _changes(lake, "b").committed
    assert not _changes(lake, "b").committed
    _changes(undisturbed, "b")
    assert _content(lake) == _content(undisturbed)
