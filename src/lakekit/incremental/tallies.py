"""Checks counted when a batch is written: how many rows failed each, and whether that is too many."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from lakekit import logs
from lakekit.batch import Tally
from lakekit.commit import counted
from lakekit.errors import ContractError
from lakekit.names import Identifier, text

if TYPE_CHECKING:
    from lakekit.engines.protocol import Session

log = logging.getLogger(__name__)


_HINT: Final = "mend the rules or the source; nothing was written."


def count_checks(session: Session, tallies: Sequence[Tally], *, into: Identifier, hint: str = _HINT) -> dict[str, int]:
    """How many rows failed each check, by its name. The table has not been touched yet.

    Raises:
        ContractError: A check that fails, or more rows rejected by one than it allows.
    """
    return counted(_counted(session, one, into=into, hint=hint) for one in tallies)


def _counted(session: Session, tally: Tally, *, into: Identifier, hint: str) -> dict[str, int]:
    found = session.one(tally.node)
    read = int(found["n"])
    failed = {check.name: int(found[f"c{index}"]) for index, check in enumerate(tally.checks)}
    broken: list[str] = []
    for check in tally.checks:
        number = failed[check.name]
        limit = (None if check.severity == "reject" else 0.0) if check.at_most is None else check.at_most
        if limit is None or not number or number <= limit * read:
            continue
        shown = f"{check.name!r} failed by {number:,} of {read:,}" + (f" (at most {limit:.1%})" if limit else "")
        if check.severity == "warn":
            told = logs.fields("check_failed", table=text(into), check=check.name, rows_failed=number, rows_read=read)
            log.warning("%s: check %s", text(into), shown, extra=told)
        else:
            broken.append(shown)
    if broken:
        raise ContractError(text(into), "expected the rows to pass the checks", got=", ".join(broken), hint=hint)
    return failed
