"""audit: write to a branch, look at the table as it would be, and publish it, or leave the branch for inspection."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import attrs

from lakekit import checks as kinds
from lakekit import columns as system
from lakekit.engines.plan import Scan, TableState
from lakekit.errors import ConfigError
from lakekit.incremental import contract
from lakekit.incremental.tallies import count_checks
from lakekit.silver import examine

if TYPE_CHECKING:
    from lakekit.batch import Batch
    from lakekit.lake import Lake


def audit(batch: Batch, checks: Mapping[str, str | kinds.Check]) -> Batch:
    """The batch, whose write becomes visible only if the whole table then passes these checks: write, audit, publish.

    Whichever function writes it, its rows go to a branch of the Iceberg table first. All living rows of the branch (of a bitemporal
    dimension: those it holds now) are held to the checks. If they pass, main moves to the branch's snapshot, with the bookmark, in one
    step, and the branch goes. Otherwise readers see nothing, the bookmark stays where it was, and the branch is left:
    ``lk.read(lake, table, as_of=branch)``, with the name that the error gives. The next run reads the same rows again, and replaces the
    branch; so does one after a crash. `maintain` lets branches go that nobody came back to. A write that changes no row is not audited.

    Rejects are written before, whatever the audit says, and so is what hard deletes note, and the members that `lookup` infers.

    Args:
        batch: The rows, before or after `clean`, which looks at the batch alone.
        checks: Name to an SQL condition over the table's columns, or to a check of `lakekit.checks`. ``severity="warn"`` lets the write
            pass; ``reject`` is ``fail`` here.

    Raises:
        ConfigError: No check, something else than a check, or one that compares the table with itself.
        ContractError: At the write: the checks failed, and nothing was published.

    >>> import lakekit as lk, tempfile
    >>> lake = lk.connect(tempfile.mkdtemp())
    >>> batch = lk.from_frame(lake, [{"id": 1, "price": 5}], run_id="a")
    >>> commit = lk.merge(lk.audit(batch, {"positive": "price > 0", "some": lk.checks.unique("id")}), into="silver.prices", key="id")
    >>> commit.inserted, dict(commit.checks)
    (1, {'positive': 0, 'some': 0})
    """
    held = {name: _whole(name, check) for name, check in examine.named(checks, place="audit").items()}
    if not held:
        raise ConfigError("audit(checks)", "expected at least one check", got="none")
    return attrs.evolve(batch, audits=(*batch.audits, _Gate(batch.lake, held)))


def _whole(name: str, check: kinds.Check) -> kinds.Check:
    """A check of the whole table, where nothing can be rejected any more."""
    if isinstance(check, kinds.Unique) and (check.table is not None or check.key):
        given = "table=" if check.table is not None else "key="
        hint = "leave it out: all rows are looked at, each once."
        raise ConfigError(f"audit(checks={name!r})", "expected columns that are unique in the whole table", got=given, hint=hint)
    return attrs.evolve(check, severity="fail") if check.severity == "reject" else check


@attrs.frozen(eq=False)
class _Gate:
    """The checks as a write calls them."""

    lake: Lake
    held: Mapping[str, kinds.Check]

    def __call__(self, state: TableState, snapshot: int, branch: str, /) -> Mapping[str, int]:
        """How many rows of the snapshot failed each check."""
        recorded = contract.recorded(state)
        live = f"`{system.DELETED_AT}` IS NULL" if system.DELETED_AT in state.schema.names else recorded.now() if recorded else "true"
        rows = examine.Rows(self.lake, Scan(state, snapshot), state.schema, {}, live, lambda _: None, "audit")
        node = examine.examined(rows, self.held)
        hint = f"nothing was published; look at it with lk.read(lake, {state.label!r}, as_of={branch!r}), mend what is wrong, and run it again."
        with self.lake.engine.session() as session:
            return count_checks(session, [examine.tally(node, self.held, live)], into=state.name, hint=hint)
