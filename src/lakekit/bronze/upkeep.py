"""Upkeep of the table that a stream writes, between two of its micro-batches."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from lakekit import logs
from lakekit.clock import instant_of
from lakekit.errors import LakekitError
from lakekit.incremental.upkeep import keep_up

if TYPE_CHECKING:
    from lakekit.commit import Commit
    from lakekit.lake import Lake
    from lakekit.names import Identifier

log = logging.getLogger(__name__)


class Upkeep:
    """Compacts a table and lets its old snapshots go when a commit says that it is due, but not all the time: it may mend nothing."""

    def __init__(self, lake: Lake, table: Identifier, pause: float) -> None:
        self._lake = lake
        self._table = table
        self._pause = pause
        self._last: float | None = None

    def after(self, commit: Commit) -> None:
        """What a commit asks for. Where it can't be done, rows come in all the same: that is logged, and tried again after the pause."""
        if not commit.upkeep or (self._last is not None and time.monotonic() - self._last < self._pause):
            return
        try:
            done = keep_up(self._lake, self._table, now=instant_of(None, place="stream()"))
        except Exception as error:
            log.warning(
                "%s: upkeep failed (%s); the stream goes on",
                commit.table,
                type(error).__name__,
                exc_info=isinstance(error, LakekitError),  # what others say may hold values of rows
                extra=logs.fields("upkeep_failed", table=commit.table, error=type(error).__name__),
            )
        else:
            if done is not None and done.committed:
                log.info(
                    "%s: upkeep wrote %s files anew and let %s snapshots go",
                    commit.table,
                    done.files,
                    done.snapshots_expired,
                    extra=logs.fields("upkeep", table=commit.table, files=done.files, snapshots=done.snapshots_expired),
                )
        self._last = time.monotonic()
