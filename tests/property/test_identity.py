"""Who is one person is a function of the living records: whatever the order, the batches, the repeats, the crashes. Ids stay, or say why."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import attrs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import lakekit as lk
from lakekit import identity
from lakekit.engines.embedded.commit import PreparedFiles
from lakekit.identity.rules import refuse_contradictions
from tests.oracles.identity import ALIKE, EMAILS, OPPOSED, PHONES, partition

MAX_MEMBERS = 5
INTO = "silver.identities"
RULES = identity.Rules(
    match=[
        identity.exact("email", max_shared=EMAILS),
        identity.exact("phone", max_shared=PHONES),
        identity.fuzzy("name", at_least=ALIKE, within="phone", max_shared=PHONES),
    ],
    never=[identity.veto("name", below=OPPOSED, unless="email")],
    max_members=MAX_MEMBERS,
)
START = datetime(2026, 1, 1, tzinfo=UTC)
VALUES = st.fixed_dictionaries(
    {
        "email": st.sampled_from(["e1", "e2", "e3", None]),
        "phone": st.sampled_from(["p1", "p2", "p3", None]),
        "name": st.sampled_from(["anna lee", "ana lee", "bob", "robert", None]),
    }
)
RECORDS = st.tuples(st.sampled_from(["a", "b"]), st.sampled_from(["1", "2", "3", "4", "5"]))
CHANGES = st.dictionaries(RECORDS, st.one_of(VALUES, VALUES, st.none()), min_size=1, max_size=6)
OPERATIONS = st.one_of(
    st.tuples(st.just("change"), CHANGES),
    st.tuples(st.just("change"), CHANGES),
    st.tuples(st.just("run"), st.none()),
    st.tuples(st.just("decide"), st.tuples(st.sampled_from([identity.confirm, identity.separate]), RECORDS, RECORDS)),
    st.tuples(st.just("crash"), st.integers(0, 3)),
    st.tuples(st.just("dry run"), st.none()),
)
Record = tuple[str, str]


class Crash(Exception):  # noqa: N818 -- it is one
    pass


class World:
    """Two sources, the identities made of them, and what they should be."""

    def __init__(self, folder: str) -> None:
        self.lake = lk.connect(folder)
        self.step = 0
        self.live: dict[Record, dict[str, str | None]] = {}
        self.masters: dict[Record, int] = {}
        self.dead: set[int] = set()
        self.decisions: dict[tuple[Record, Record], str] = {}
        for source in ("a", "b"):
            self.append(source, [{"id": "0", "email": None, "phone": None, "name": None, "_operation": "upsert"}])
            self.live[source, "0"] = {"email": None, "phone": None, "name": None}

    def append(self, source: str, rows: list[dict[str, Any]]) -> None:
        self.step += 1
        if source == "b":  # one source knows nothing of names
            rows = [{name: value for name, value in row.items() if name != "name"} for row in rows]
        batch = lk.from_frame(self.lake, rows, run_id=f"step {self.step}", now=START + timedelta(hours=self.step))
        batch = lk.select(batch, {name: f"CAST({name} AS STRING)" for name in rows[0] if not name.startswith("_")})
        lk.append(batch, into=f"bronze.{source}")

    def change(self, changes: dict[Record, dict[str, str | None] | None]) -> None:
        for source in ("a", "b"):
            rows = []
            for (origin, key), values in changes.items():
                if origin == source:
                    rows.append(
                        {
                            "id": key,
                            **(values or dict.fromkeys(("email", "phone", "name"), "x")),
                            "_operation": "upsert" if values else "delete",
                        }
                    )
            if rows:
                self.append(source, rows)
        for (source, key), values in changes.items():
            if values is None:
                self.live.pop((source, key), None)
            else:
                self.live[source, key] = {name: value for name, value in values.items() if name != "name" or source == "a"}

    def resolve(self, *, dry_run: bool = False, rebuild: bool = False, decisions: Sequence[identity.Decision] = ()) -> lk.Commit:
        batches = {source: lk.read_new(self.lake, f"bronze.{source}", into=INTO) for source in ("a", "b")}
        return lk.resolve_identities(
            batches,
            record_key={"a": "id", "b": "id"},
            rules=attrs.evolve(RULES, overrides=decisions),
            now=START + timedelta(days=self.step),
            dry_run=dry_run,
            rebuild=rebuild,
        )

    def stored(self) -> list[dict[str, Any]]:
        return lk.read(self.lake, INTO, deleted=True).to_arrow().to_pylist()

    def check(self) -> None:
        """Parts as the oracle has them; every change of an id on record; changes read as changes."""
        rows = self.stored()
        assert len({(row["kind"], row["source"], row["record_key"]) for row in rows}) == len(rows)
        living = [row for row in rows if row["kind"] == "record" and row["_deleted_at"] is None]
        now = {(row["source"], row["record_key"]): row["master_user_id"] for row in living}
        parts: dict[int, set[Record]] = {}
        for record, master in now.items():
            parts.setdefault(master, set()).add(record)
        assert {frozenset(part) for part in parts.values()} == partition(self.live, max_members=MAX_MEMBERS, decisions=self.decisions)
        alias = {row["former_user_id"]: row["master_user_id"] for row in rows if row["kind"] == "alias"}
        split = {(row["former_user_id"], row["master_user_id"]) for row in rows if row["kind"] == "split"}
        for record, master in now.items():
            before = self.masters.get(record, master)
            assert before == master or before in alias or (before, master) in split
        assert not set(alias) & set(parts), "an id that became an alias is not used again"
        assert {master for master in alias.values() if master is not None} <= set(parts), "an alias leads to somebody"
        assert not self.dead & set(parts), "an id never comes back"
        self.dead |= set(self.masters.values()) - set(parts)
        assert self.dead <= set(alias)
        self.masters = now
        changed = lk.read_new(self.lake, INTO, into="gold.copy")
        lk.append(lk.select(changed, {name: name for name in changed.business_columns}))
        copied: dict[Any, Any] = {}
        for row in sorted(lk.read(self.lake, "gold.copy").to_arrow().to_pylist(), key=lambda row: row["assigned_at"]):
            if row["kind"] == "record":
                copied[row["source"], row["record_key"]] = None if row["_operation"] == "delete" else row["master_user_id"]
        assert {record: copied.get(record) for record in now} == now

    def crash(self, at: int) -> None:
        """A run that ends before its n-th commit, if it comes so far."""
        commit, count = PreparedFiles.commit, 0

        def broken(self: PreparedFiles, *arguments: Any, **options: Any) -> Any:
            nonlocal count
            count += 1
            if count > at:
                raise Crash
            return commit(self, *arguments, **options)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(PreparedFiles, "commit", broken)
            with contextlib.suppress(Crash):
                self.resolve()

    def decide(self, decide: Any, a: Record, b: Record) -> None:
        """A decision that somebody makes, if it is one."""
        self.resolve()
        if a != b:
            decision = decide(a, b)
            now = {**self.decisions, (decision.a, decision.b): decision.kind}
            try:
                refuse_contradictions(now, place="here")
            except lk.errors.ConfigError:
                with pytest.raises(lk.errors.ConfigError, match="contradict"):
                    self.resolve(decisions=[decision])
            else:
                self.resolve(decisions=[decision])
                self.decisions = now

    def do(self, operation: str, argument: Any) -> None:
        if operation == "change":
            self.change(argument)
        elif operation == "crash":
            self.crash(argument)
        elif operation == "decide":
            self.decide(*argument)
            self.check()
        elif operation == "dry run":
            promised = self.resolve(dry_run=True)
            kept = self.resolve()
            figures = ("read", "inserted", "updated", "deleted", "unchanged")
            assert [getattr(promised, name) for name in figures] == [getattr(kept, name) for name in figures]
            self.check()
        else:
            self.resolve()
            self.check()


def play(operations: list[tuple[str, Any]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        world = World(folder)
        for operation, argument in operations:
            world.do(operation, argument)
        world.do("run", None)
        before = world.stored()
        assert not world.resolve().committed
        assert not world.resolve(rebuild=True).committed, "nothing was left behind that looking at everything would find"
        assert world.stored() == before


@pytest.mark.slow  # minutes on a busy machine
@settings(max_examples=30, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(OPERATIONS, min_size=2, max_size=7))
def test_persons_are_a_function_of_the_living_records_whatever_happened(operations: list[tuple[str, Any]]) -> None:
    play(operations)
