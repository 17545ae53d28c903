"""The steps as a script for cron: ``0 * * * * cd /srv/shop && python -m examples.orchestrators.cron_shop``."""

from __future__ import annotations

import logging
import sys
import time

import lakekit as lk
from examples.orchestrators import steps

ATTEMPTS = 3
log = logging.getLogger("shop")


def main() -> int:
    """Run the steps in order; what may succeed later is tried again, what needs a person ends the run with its hint."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    lake = steps.lake()
    for step in (steps.bronze, steps.silver, steps.gold):
        for attempt in range(1, ATTEMPTS + 1):
            try:
                log.info("%s", step(lake))
                break
            except lk.errors.RetryableError:
                if attempt == ATTEMPTS:
                    raise
                time.sleep(30 * attempt)
            except lk.errors.FixError as error:
                log.error("%s", error)  # noqa: TRY400 -- its text says what to do
                return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
